//! A stand-in for Tallyfy, written from its public documents.
//!
//! All state is in the world's records, under the entities `organizations`, `users`, `clients`, `tokens`,
//! `checklists`, `steps`, `runs`, `tasks`, `threads`, `guests`, `groups`, `tags`, `tag_links`,
//! `custom_field_keys`, `watchers` and `settings`. Where the documents disagree, `settings` decides (see `seed.rs`).
//! This twin must not be changed to suit a client: only a document or a measurement may change it.

mod answers;
mod auth;
mod extras;
mod hooks;
mod members;
mod render;
mod routes;
mod runs;
mod seed;
mod tasks;
mod templates;
mod threads;
mod values;

#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod route_tests;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kit::{Answer, Request, Save, Twin, World};
use answers::{put, stamp, text};
use auth::Caller;
use hooks::fire;

pub use seed::{Builder, FieldSeed, RunSeed, StepSeed, TallyfyTwin, TemplateSeed};

/// One request on its way through the twin, after it has been let in.
struct Call<'a> {
    request: &'a Request,
    caller: Caller,
    body: Value,
    /// Whether it came by the path style of the middleware guides.
    v1: bool,
    /// The query, taken apart once; the API does not read `+` as a space.
    parameters: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    fn new(request: &'a Request, caller: Caller, body: Value, v1: bool) -> Call<'a> {
        let parameters = crate::kit::http::pairs(&request.raw_query, false);
        Call { request, caller, body, v1, parameters }
    }

    /// A query parameter.
    fn query(&self, name: &str) -> Option<String> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// The state machine behind the paths.
struct Machine;

impl Twin for Machine {
    fn name(&self) -> &'static str {
        "tallyfy"
    }

    fn kind(&self, request: &Request) -> String {
        routes::kind(request)
    }

    fn handle(&self, world: &mut World, request: &Request) -> Answer {
        let id = world.next_of("x-request-id");
        let answer = routes::answer(world, request).unwrap_or_else(|refusal| refusal);
        answer.with_header("x-request-id", &format!("{id:016x}"))
    }

    fn never_stale(&self) -> &'static [&'static str] {
        &["tokens", "users", "settings", "organizations"]
    }

    fn new_id(&self, world: &mut World, entity: &str) -> String {
        match entity {
            "users" => (10_000 + next_increment(world, "users")).to_string(),
            "tag_links" => next_increment(world, "tag_links").to_string(),
            _ => world.next_hex32(),
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
        let mut record = record;
        if entity == "settings" || entity == "tokens" {
            return Ok(record);
        }
        let numeric = entity == "users" || entity == "tag_links";
        let id = id.parse::<u64>().ok().filter(|_| numeric).map_or_else(|| json!(id), |number| json!(number));
        if entity != "guests" {
            put(&mut record, "id", id);
        }
        let stamp_key = if entity == "threads" { "updated_at" } else { "last_updated" };
        put(&mut record, stamp_key, stamp(world.now()));
        if before.is_none() {
            put(&mut record, "created_at", stamp(world.now()));
        }
        if entity == "tasks"
            && text(&record, "status") == "completed"
            && !answers::has(&record, "completed_at")
        {
            put(&mut record, "completed_at", stamp(world.now()));
        }
        if entity == "runs" && before.is_none() && !answers::has(&record, "increment_id") {
            put(&mut record, "increment_id", json!(next_increment(world, "runs")));
        }
        Ok(record)
    }

    fn action(&self, world: &mut World, actor: &str, name: &str, with: &Value) -> Result<Value, String> {
        routes::action(world, actor, name, with)
    }

    fn expire_token(&self, world: &mut World, token: &str) {
        auth::expire(world, token);
    }

    fn failure(&self, status: u16) -> Answer {
        match status {
            401 => answers::unauthenticated(),
            403 => answers::forbidden("You are not allowed to perform this action."),
            404 => answers::not_found(),
            429 => Answer::json(429, &json!({"message": "Too Many Attempts."})),
            503 => Answer::text(
                503,
                "text/html",
                "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>",
            ),
            // Server errors leak what went wrong inside, now and then.
            _ => Answer::json(
                status,
                &json!({"message": "SQLSTATE[08006] [7] could not connect to server: db-1"}),
            ),
        }
    }
}

fn store(world: &mut World, actor: &str, kind: &str, entity: &str, id: &str, record: Value) -> Arc<Value> {
    world.save(Save { actor, kind, entity, id, record })
}

/// Whether a setting is on.
fn setting(world: &World, name: &str) -> bool {
    world.get_any("settings", "settings").is_some_and(|settings| answers::truthy(&settings, name))
}

fn setting_number(world: &World, name: &str) -> usize {
    let settings = world.get_any("settings", "settings");
    let number = settings.and_then(|settings| settings.get(name).and_then(Value::as_u64));
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX)
}

/// The next human number of an entity.
fn next_increment(world: &mut World, entity: &str) -> u64 {
    world.next_of(entity)
}

/// Moves `last_updated` of a run when a child changed, if the twin is told that Tallyfy does so.
fn touch_run(world: &mut World, actor: &str, run: &str) {
    if !setting(world, "touch_runs") {
        return;
    }
    if let Some(record) = world.get_any("runs", run) {
        let mut record = (*record).clone();
        put(&mut record, "last_updated", stamp(world.now()));
        store(world, actor, "touch", "runs", run, record);
    }
}
