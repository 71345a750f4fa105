//! A stand-in for NetSuite's REST record service and SuiteQL, written from its public documents.
//!
//! Records are in the world under their type names (`salesOrder`, `customer`, `inventoryItem`, and what a test
//! adds), besides them `tokens`, `credentials` and `settings` (see `seed.rs`). This twin must not be changed to
//! suit a client: only a document or a measurement may change it.

mod answers;
mod auth;
mod filter;
mod oauth1;
mod records;
mod routes;
mod schema;
mod seed;
mod suiteql;
mod suiteql_cell;
mod suiteql_lexer;
mod suiteql_parser;
mod suiteql_run;
mod suiteql_tables;
mod values;

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod suiteql_tests;

use serde_json::{Value, json};

use crate::kit::{Answer, Request, Twin, World};
use schema::{CREATED, MODIFIED, Schema};

pub use schema::{FieldKind, FieldSeed, RecordSeed};
pub use seed::{Builder, NetsuiteTwin, SignedToken};

/// The state machine behind the paths.
struct Machine {
    schema: Schema,
}

impl Twin for Machine {
    fn name(&self) -> &'static str {
        "netsuite"
    }

    fn kind(&self, request: &Request) -> String {
        routes::kind(&self.schema, request)
    }

    fn handle(&self, world: &mut World, request: &Request) -> Answer {
        routes::answer(world, &self.schema, request).unwrap_or_else(|refusal| refusal)
    }

    fn is_read(&self, request: &Request) -> bool {
        request.method == "GET" || request.path.ends_with("/suiteql")
    }

    fn new_id(&self, world: &mut World, entity: &str) -> String {
        match self.schema.record(entity) {
            Some(_) => records::new_id(world, &self.schema),
            None => world.next_hex32(),
        }
    }

    fn person_saves(
        &self,
        world: &mut World,
        entity: &str,
        id: &str,
        before: Option<&Value>,
        record: Value,
    ) -> Result<Value, String> {
        let Some(of_type) = self.schema.types.iter().find(|of_type| of_type.name == entity) else {
            let known = ["settings", "tokens", "credentials"].contains(&entity);
            return if known { Ok(record) } else { Err(format!("there is no record type {entity}")) };
        };
        let reason = |answer: Answer| answer.body_json().to_string();
        let mut saved = json!({});
        values::apply(world, &self.schema, of_type, &mut saved, &record, false).map_err(reason)?;
        values::check(world, of_type, id, &saved).map_err(reason)?;
        // An import may bring its own time; everyone else gets the time of the save.
        let own_time = |name: &str| {
            let said = saved.get(name).cloned();
            said.filter(|said| before.and_then(|before| before.get(name)) != Some(said))
        };
        let (created, modified) = (own_time(CREATED), own_time(MODIFIED));
        let first = before.and_then(|before| before.get(CREATED)).cloned();
        records::stamp_record(world, &mut saved, before.is_none());
        for (name, own) in [(CREATED, created.or(first)), (MODIFIED, modified)] {
            if let Some(own) = own {
                answers::put(&mut saved, name, own);
            }
        }
        Ok(saved)
    }

    fn expire_token(&self, world: &mut World, token: &str) {
        auth::expire(world, token);
    }

    fn failure(&self, status: u16) -> Answer {
        match status {
            401 => answers::unauthorized("INVALID_LOGIN"),
            404 => answers::nonexistent(),
            429 => answers::concurrency(),
            403 => answers::error(403, "INSUFFICIENT_PERMISSION", "Permission Violation.", None),
            503 => {
                answers::error(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.", None)
            }
            _ => {
                let detail = "An unexpected error occurred. Error ID: k3x9c2m1";
                answers::error(status, "UNEXPECTED_ERROR", detail, None)
            }
        }
    }
}

/// A setting of the account.
fn setting(world: &World, name: &str) -> Option<Value> {
    world.get_any("settings", "settings")?.get(name).cloned()
}
