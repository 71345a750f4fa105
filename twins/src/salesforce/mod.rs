//! A stand-in for Salesforce's REST API, written from its public documents and its client libraries.
//!
//! Records live under the entity of their object's name (`Opportunity`), by their id of 18 characters; besides
//! them there are `tokens`, `clients`, `passwords` and `settings`. The settings, all absent at first:
//! `page_size` (rows of a page, to the row), `locator_seconds`, `session_seconds`, `api_limit`,
//! `feed_lag_seconds`, `delete_log_since` and `recycle_bin_since` (moments before which deletions are
//! forgotten), `upsert_update_status` (200 or 204), `hidden_fields` (a list of `Opportunity.Amount`: fields the
//! API's user may not see). Faults can turn the knobs `expire_locator` and `refuse` (`{code, message, fields,
//! status}`). This twin must not be changed to suit a client: only a document or a measurement may change it.

mod answers;
mod auth;
mod collections;
mod feeds;
mod ids;
mod pages;
mod people;
mod query;
mod records;
mod routes;
mod schema;
mod seed;
mod soql;
mod soql_lexer;
mod write;

#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod session_tests;

use serde_json::{Value, json};

use crate::kit::{Answer, Request, Twin, World};
use answers::Refusal;
use schema::ObjectSeed as Object;

pub use schema::{FieldSeed, FieldType, ObjectSeed};
pub use seed::{Builder, SalesforceTwin};

/// The kind of history lines that take back a request of which a part failed.
const ROLLBACK: &str = "rollback";

/// One request on its way through the twin, after it has been let in.
struct Call<'a> {
    machine: &'a Machine,
    request: &'a Request,
    caller: auth::Caller,
    /// The path up to the version.
    base: String,
}

/// The state machine behind the paths.
struct Machine {
    all: Vec<Object>,
    locators: pages::Locators,
}

impl Machine {
    /// The object of that name in any case, as far as the API's user may see it.
    fn object(&self, world: &World, name: &str) -> Option<Object> {
        let mut object = self.whole(name)?.clone();
        let hidden = setting(world, "hidden_fields").unwrap_or_default();
        if let Some(hidden) = hidden.as_array() {
            let own = object.name.clone();
            object.fields.retain(|field| !hidden.contains(&json!(format!("{own}.{}", field.name))));
        }
        Some(object)
    }

    /// The object with all its fields.
    fn whole(&self, name: &str) -> Option<&Object> {
        self.all.iter().find(|object| object.name.eq_ignore_ascii_case(name))
    }

    fn objects(&self, world: &World) -> Vec<Object> {
        self.all.iter().filter_map(|object| self.object(world, &object.name)).collect()
    }

    /// The object that an id belongs to.
    fn object_of_id(&self, world: &World, id: &str) -> Option<Object> {
        let prefix = id.get(..3)?;
        let object = self.all.iter().find(|object| object.key_prefix.as_deref() == Some(prefix))?;
        self.object(world, &object.name)
    }
}

impl Twin for Machine {
    fn name(&self) -> &'static str {
        "salesforce"
    }

    fn kind(&self, request: &Request) -> String {
        routes::kind(request)
    }

    fn handle(&self, world: &mut World, request: &Request) -> Answer {
        routes::answer(self, world, request)
    }

    fn new_id(&self, world: &mut World, entity: &str) -> String {
        match self.whole(entity) {
            Some(object) => write::new_id(world, object),
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
        match self.whole(entity) {
            Some(object) => people::saves(world, object, id, before, record),
            None => Ok(record),
        }
    }

    fn action(&self, world: &mut World, actor: &str, name: &str, with: &Value) -> Result<Value, String> {
        people::action(self, world, actor, name, with)
    }

    fn expire_token(&self, world: &mut World, token: &str) {
        auth::expire(world, token);
    }

    fn failure(&self, status: u16) -> Answer {
        let refusal = match status {
            401 => answers::session_invalid(),
            403 => Refusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
            404 => answers::not_found(),
            429 => Refusal::new(429, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
            503 => Refusal::new(503, "SERVER_UNAVAILABLE", "The server is temporarily unavailable"),
            _ => {
                let message = "An unexpected error occurred. Please include this ErrorId if you contact support: \
                               1234567890-12345 (-1234567890)";
                Refusal::new(status, "UNKNOWN_EXCEPTION", message)
            }
        };
        refusal.answer()
    }
}

/// A setting, if it is set.
fn setting(world: &World, name: &str) -> Option<Value> {
    world.get_any("settings", "settings")?.get(name).cloned()
}
