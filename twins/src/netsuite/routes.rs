//! Which path is what.
//!
//! What the paths do stands in the files beside this one.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::answers::{self, Reply, invalid_parameter, no_resource, resource};
use super::records::Call;
use super::schema::{DELETED_TABLE, RecordSeed, Schema};
use super::suiteql::QueryError;
use super::suiteql_tables::{Account, Table};
use super::{auth, records, setting, suiteql_parser, suiteql_run, values};
use crate::kit::{Request, World};

/// The most rows that the query service gives of one query.
const MOST_ROWS: usize = 100_000;

/// What is asked, for counting and for fault rules: `login`, `suiteql`, `suiteql.deleted`, `salesOrder.list`,
/// `salesOrder.get`, `salesOrder.create`, `salesOrder.update`, `salesOrder.upsert`, `salesOrder.delete`, `other`.
pub(super) fn kind(schema: &Schema, request: &Request) -> String {
    if request.path == auth::TOKEN_PATH {
        return "login".to_owned();
    }
    let segments = request.segments();
    let rest = match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["services", "rest", "query", "v1", "suiteql"] => {
            let deleted = request.text().to_lowercase().contains(DELETED_TABLE);
            return if deleted { "suiteql.deleted" } else { "suiteql" }.to_owned();
        }
        ["services", "rest", "record", "v1", rest @ ..] => {
            rest.iter().map(|part| (*part).to_owned()).collect()
        }
        _ => Vec::new(),
    };
    let Some(of_type) = rest.first().and_then(|name| schema.record(name)) else {
        return "other".to_owned();
    };
    let word = match (request.method.as_str(), rest.len()) {
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PATCH", _) => "update",
        ("PUT", _) => "upsert",
        ("DELETE", _) => "delete",
        _ => "other",
    };
    format!("{}.{word}", of_type.name)
}

/// Answers a request.
pub(super) fn answer(world: &mut World, schema: &Schema, request: &Request) -> Reply {
    if request.path == auth::TOKEN_PATH {
        return Ok(auth::grant(world, request));
    }
    let actor = auth::caller(world, request)?;
    if world.knob("concurrency").is_some() {
        return Err(answers::concurrency());
    }
    let segments = request.segments();
    let rest = |skip: usize| segments.iter().skip(skip).cloned().collect::<Vec<_>>();
    match segments.iter().map(String::as_str).take(4).collect::<Vec<_>>().as_slice() {
        ["services", "rest", "record", "v1"] => {
            records::answer(world, &Call { schema, request, actor: &actor }, &rest(4))
        }
        ["services", "rest", "query", "v1"] if rest(4) == ["suiteql"] && request.method == "POST" => {
            query(world, schema, request)
        }
        _ => Err(no_resource(&request.path)),
    }
}

fn refused(problem: QueryError) -> crate::kit::Answer {
    invalid_parameter(&format!(
        "Invalid search query. Detailed unprocessed description follows. Search error occurred: {}.",
        problem.0
    ))
}

fn query(world: &World, schema: &Schema, request: &Request) -> Reply {
    let is_transient = request.header("prefer").is_some_and(|prefer| {
        prefer.split([',', ';']).any(|wish| wish.trim().eq_ignore_ascii_case("transient"))
    });
    if !is_transient {
        let detail =
            "The required request header 'Prefer' is missing or invalid; the value must be 'transient'.";
        return Err(answers::error(400, "INVALID_HEADER", detail, None));
    }
    let (limit, offset) = answers::window(request)?;
    if offset.saturating_add(limit) > MOST_ROWS {
        return Err(invalid_parameter("A query can return a maximum of 100,000 results."));
    }
    let body = request.json().map_err(|problem| answers::invalid_content(&problem, None))?;
    let text = body.get("q").and_then(Value::as_str);
    let text = text.ok_or_else(|| invalid_parameter("The request body must have the query under 'q'."))?;
    let select = suiteql_parser::parse(text).map_err(refused)?;
    let not_found = || refused(QueryError(format!("Record '{}' was not found", select.table)));
    let may_see_deleted = world.knob("no_deleted_permission").is_none()
        && setting(world, "deleted_records").and_then(|on| on.as_bool()) != Some(false);
    // Without the permission the table is as unknown as one that does not exist.
    if select.table.eq_ignore_ascii_case(DELETED_TABLE) && !may_see_deleted {
        return Err(not_found());
    }
    let deleted = RecordSeed::deleted();
    let table = Table::open(world, schema, &deleted, &select.table).ok_or_else(not_found)?;
    let account = account(world, schema, text);
    let found = suiteql_run::run(&account, &table, &select, limit, offset).map_err(refused)?;
    let total = found.total.min(MOST_ROWS);
    Ok(resource("collection", &answers::page(request, found.items, limit, offset, total)))
}

/// How the account shows times, dates and references.
fn account(world: &World, schema: &Schema, text: &str) -> Account {
    let word = |name: &str| setting(world, name).and_then(|value| value.as_str().map(str::to_owned));
    let zone = word("zone").and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC);
    let mut names = BTreeMap::new();
    if text.to_uppercase().contains("BUILTIN.DF") {
        for record in &schema.types {
            let records = world.list_any(&record.name).into_iter();
            names.extend(records.map(|(id, held)| (id, values::display_name(record, &held))));
        }
    }
    let date_format = word("date_format").unwrap_or_else(|| "MM/DD/YYYY".to_owned());
    Account { zone, date_format, now: world.now(), names }
}
