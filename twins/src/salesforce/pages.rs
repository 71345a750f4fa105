//! Queries in pages: the first page, the locators of the others, and their end.
//!
//! Locators live beside the world and not in it: they belong to the query server, which a lagging replica of
//! the records does not touch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Machine;
use super::answers::{Refusal, Reply, put};
use super::ids;
use super::query;
use super::soql;
use crate::kit::{Answer, Request, World};

/// Two days, as far as anybody has said.
const LIFE: i64 = 2 * 24 * 3600;

/// What is left of one query.
struct Locator {
    rows: Vec<Value>,
    size: usize,
    made: Timestamp,
}

/// The queries that have more pages.
#[derive(Default)]
pub(super) struct Locators(Mutex<BTreeMap<String, Locator>>);

impl Locators {
    /// Ends them all.
    pub(super) fn clear(&self) -> usize {
        let mut all = self.all();
        let count = all.len();
        all.clear();
        count
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Locator>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET query?q=` and `GET queryAll?q=`.
pub(super) fn first(
    machine: &Machine,
    world: &mut World,
    request: &Request,
    with_deleted: bool,
    base: &str,
) -> Reply {
    let malformed = |message: String| Refusal::new(400, "MALFORMED_QUERY", message);
    let text = request.query("q").ok_or_else(|| malformed("The 'q' parameter is missing".to_owned()))?;
    let select = soql::parse(&text).map_err(malformed)?;
    let found = query::run(machine, world, &select, with_deleted, base)?;
    if found.rows.is_empty() {
        return Ok(Answer::json(200, &json!({"totalSize": found.total, "done": true, "records": []})));
    }
    let size = page_size(world, request);
    let id = ids::make("01g", world.next_of("locators"));
    let locator = Locator { rows: found.rows, size, made: world.now() };
    let answer = page(&locator, 0, &id, base);
    if locator.rows.len() > size {
        machine.locators.all().insert(id, locator);
    }
    Ok(answer)
}

/// `GET query/01g...-2000`.
pub(super) fn next(machine: &Machine, world: &World, written: &str, base: &str) -> Reply {
    let invalid = || Refusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let (id, from) = written.split_once('-').ok_or_else(invalid)?;
    let from: usize = from.parse().map_err(|_| invalid())?;
    let id = ids::full(id).ok_or_else(invalid)?;
    let life = super::setting(world, "locator_seconds").and_then(|life| life.as_i64()).unwrap_or(LIFE);
    if world.knob("expire_locator").is_some() {
        machine.locators.all().remove(&id);
    }
    let all = machine.locators.all();
    let locator = all.get(&id).ok_or_else(invalid)?;
    let ends = locator.made.checked_add(SignedDuration::from_secs(life)).unwrap_or(Timestamp::MAX);
    if ends <= world.now() || from >= locator.rows.len() {
        return Err(invalid());
    }
    Ok(page(locator, from, &id, base))
}

fn page(locator: &Locator, from: usize, id: &str, base: &str) -> Answer {
    let total = locator.rows.len();
    let to = from.saturating_add(locator.size).min(total);
    let rows = locator.rows.get(from..to).unwrap_or_default();
    let mut body = json!({"totalSize": total, "done": to == total, "records": rows});
    if to < total {
        put(&mut body, "nextRecordsUrl", json!(format!("{base}/query/{id}-{to}")));
    }
    Answer::json(200, &body)
}

/// The setting `page_size` is obeyed to the row; what a client asks for is held between 200 and 2000.
fn page_size(world: &World, request: &Request) -> usize {
    let set = super::setting(world, "page_size").and_then(|size| size.as_u64());
    if let Some(size) = set.and_then(|size| usize::try_from(size).ok()) {
        return size.max(1);
    }
    let asked = request.header("sforce-query-options").and_then(|options| {
        options.split([',', ';']).find_map(|option| {
            let (name, value) = option.split_once('=')?;
            name.trim().eq_ignore_ascii_case("batchSize").then(|| value.trim().parse::<usize>().ok())?
        })
    });
    asked.map_or(2000, |size| size.clamp(200, 2000))
}
