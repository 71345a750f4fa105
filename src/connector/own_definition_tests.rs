//! A definition that a user might write: plain REST, offset pages, ETags, HTTP Basic, a session in RPC.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::api::{
    Applied, Capabilities, CreateIdentity, Entity, EntityRequest, FailureClass, FindPaths, Listing,
    ListingKind, Lookup, NewRecord, Removal, WriteCondition,
};
use super::definition::{Definition, parse};
use super::fakes::{Answer, Fakes, fakes, json as answer, with_headers};
use super::secret::Secret;
use super::system::build;
use crate::config::model::{BudgetSpec, SecretRef, SystemSpec, VarValue};
use crate::core::record::Values;
use crate::ports::{HttpRequest, TransportError};

const DESK: &str = r#"
schema = 1
[connector]
id = "desk"
title = "Desk"
definition_version = "1"
[vars]
host = { type = "host", required = true }
user = { type = "string", required = true }
key  = { type = "secret", required = true }
[auth]
kind = "basic"
username = "{user}"
password = "{key}"
[http]
base_url = "https://{host}"
[[errors]]
class = "empty"
when = { status = 204 }
[[errors]]
class = "held"
when = { status = 422, path = "/code", in = ["closed"] }
detail = { code = "/code", message = "/text", fields = "/fields/*" }
[templates.thing]
params = ["path"]
[templates.thing.identity]
id = "/id"
version = "header:ETag"
updated_at = { path = "/changed" }
[templates.thing.capabilities]
read_consistency = "database"
cursor = "offset"
deletes = "by_id"
not_found = "gone"
concurrency = { mode = "if_match" }
create_idempotent_by = "search_before_create"
archived = { field = "/closed", is = true }
update_shape = "full"
find = ["number"]
[templates.thing.list]
method = "GET"
path = "/api/{path|path}"
query = { changed_since = "{since|soql_dt}", offset = "{offset}", limit = "2" }
window = { overlap = "5m", hold_back = "10s" }
records = "/data"
total = "/total"
page = { kind = "offset", size = 2, until = "short_page" }
[templates.thing.get]
method = "GET"
path = "/api/{path|path}/{id|path}"
[templates.thing.find]
method = "GET"
path = "/api/{path|path}"
query = { field = "{find_field}", value = "{value}" }
records = "/data"
[templates.thing.create]
method = "POST"
path = "/api/{path|path}"
body = { json = { thing = "{record}" } }
ok = [201]
result = { id = "/id" }
[templates.thing.update]
method = "PUT"
path = "/api/{path|path}/{id|path}"
headers = { If-Match = "{version}" }
body = { json = "{changes}" }
[templates.thing.archive]
method = "POST"
path = "/api/{path|path}/{id|path}/close"
treat_as_done = ["gone"]
[entities.Ticket]
template = "thing"
path = "tickets"
[entities.Note]
template = "thing"
path = "notes"
capabilities = { concurrency = { mode = "precheck" }, not_found = "missing" }
"#;

fn desk(request: &HttpRequest) -> Answer {
    let row = |id: u32| {
        format!(r#"{{"id":{id},"number":"N{id}","closed":false,"changed":"2026-11-21T11:00:00Z"}}"#)
    };
    let target = request.url.strip_prefix("https://desk.example.com/api/tickets").unwrap_or("?");
    match (request.method.as_str(), target) {
        ("GET", list) if list.contains("offset=0") => {
            answer(200, &format!(r#"{{"total":3,"data":[{},{}]}}"#, row(1), row(2)))
        }
        ("GET", list) if list.contains("offset=2") => {
            answer(200, &format!(r#"{{"total":3,"data":[{}]}}"#, row(3)))
        }
        ("GET", find) if find.contains("value=none") => with_headers(204, "", &[]),
        ("GET", find) if find.contains("field=number") => answer(200, &format!(r#"{{"data":[{}]}}"#, row(1))),
        ("GET", "/1") => with_headers(200, &row(1), &[("etag", "\"v7\"")]),
        ("PUT", "/1") => answer(412, "{}"),
        ("PUT", "/2") => answer(422, r#"{"code":"closed","text":"is closed","fields":["number"]}"#),
        ("POST", "/9/close") => answer(404, "{}"),
        ("POST", "") => Err(TransportError::AnswerLost("reset".to_owned())),
        ("GET", _) => answer(404, "{}"),
        _ => answer(500, "oops"),
    }
}

fn definition() -> Arc<Definition> {
    Arc::new(parse("desk.toml", DESK).unwrap_or_else(|problems| panic!("{}", problems.join("\n"))))
}

fn spec() -> SystemSpec {
    SystemSpec {
        name: "desk".to_owned(),
        connector: "desk".to_owned(),
        base_url: None,
        organization: None,
        api: None,
        auth: None,
        vars: BTreeMap::from([
            ("host".to_owned(), VarValue::Plain("desk.example.com".to_owned())),
            ("user".to_owned(), VarValue::Plain("ada".to_owned())),
            ("key".to_owned(), VarValue::Secret(SecretRef::Env("K".to_owned()))),
        ]),
        budget: BudgetSpec::default(),
    }
}

async fn tickets(fakes: &Fakes, marker: Option<&str>) -> (Arc<dyn Entity>, Capabilities, Capabilities) {
    let system = build(&spec(), &definition(), &|_| Ok(Secret::new("hunter2")), fakes.ports.clone()).unwrap();
    let request = EntityRequest {
        entity: "Ticket".to_owned(),
        template: None,
        paths: vec!["number".to_owned()],
        written: vec!["number".to_owned()],
        marker: marker.map(str::to_owned),
        search_lag: Duration::ZERO,
        reopen: false,
    };
    let entity = system.open(request).await.unwrap();
    (entity, system.capabilities("Ticket").unwrap(), system.capabilities("Note").unwrap())
}

fn last(fakes: &Fakes) -> HttpRequest {
    fakes.transport.seen.lock().unwrap().last().cloned().unwrap()
}

#[tokio::test]
async fn offset_pages_are_walked_and_their_weakness_is_on_the_card() {
    let fakes = fakes(desk);
    let (entity, ticket, note) = tickets(&fakes, None).await;
    let first = entity.list(&Listing::Full, None).await.unwrap();
    let second = entity.list(&Listing::Full, first.next.as_deref()).await.unwrap();
    let ids: Vec<&str> = first.items.iter().chain(&second.items).map(|item| item.id.as_str()).collect();
    assert_eq!((ids, first.total, second.next), (vec!["1", "2", "3"], Some(3), None));
    assert_eq!(ticket.listing, ListingKind::Offset);
    assert_eq!((ticket.condition, note.condition), (WriteCondition::Exact, WriteCondition::Compare));
    assert_eq!((ticket.not_found_is_gone, note.not_found_is_gone), (true, false));
    assert_eq!((ticket.create, ticket.partial_update), (CreateIdentity::Marker, false));
    assert_eq!(ticket.find, FindPaths::Some(vec!["number".to_owned()]));
    let authorization = last(&fakes).headers.into_iter().find(|(name, _)| name == "Authorization").unwrap().1;
    assert_eq!(authorization, "Basic YWRhOmh1bnRlcjI=");
}

#[tokio::test]
async fn etags_travel_from_the_read_to_the_write() {
    let fakes = fakes(desk);
    let (entity, ..) = tickets(&fakes, None).await;
    let Lookup::Found(mut record) = entity.get("1").await.unwrap() else { panic!("not found") };
    assert_eq!(record.version.as_deref(), Some("\"v7\""));
    let changes = Values::from([("number".to_owned(), json!("N9"))]);
    let lost = entity.update(&record, &changes).await.unwrap_err();
    assert_eq!(lost.class, FailureClass::Conflict);
    assert!(last(&fakes).headers.contains(&("If-Match".to_owned(), "\"v7\"".to_owned())));
    record.id = "2".to_owned();
    let held = entity.update(&record, &changes).await.unwrap_err();
    assert_eq!((held.class, held.fields), (FailureClass::Held, vec!["number".to_owned()]));
    assert!(held.answered.contains("closed: is closed"), "{}", held.answered);
    record.id = "5".to_owned();
    let unknown = entity.update(&record, &changes).await.unwrap_err();
    assert_eq!((unknown.class, unknown.applied), (FailureClass::Transient, Applied::Unknown));
    assert!(matches!(entity.get("404").await.unwrap(), Lookup::Gone { .. }));
    record.id = "9".to_owned();
    entity.remove(&record, Removal::Archive).await.unwrap();
}

#[tokio::test]
async fn a_lost_create_is_found_by_its_mark_and_never_sent_twice() {
    let fakes = fakes(desk);
    let (entity, ..) = tickets(&fakes, Some("number")).await;
    let new = NewRecord { values: Values::new(), mark: "m1".to_owned() };
    let lost = entity.create(&new).await.unwrap_err();
    assert_eq!(lost.applied, Applied::Unknown);
    let posts = fakes.transport.seen.lock().unwrap().iter().filter(|sent| sent.method == "POST").count();
    assert_eq!(posts, 1);
    let body: Json = serde_json::from_slice(&last(&fakes).body.unwrap()).unwrap();
    assert_eq!(body, json!({"thing": {"number": "m1"}}));
    assert_eq!(entity.find_marked("m1").await.unwrap().len(), 1);
    assert!(entity.find_marked("none").await.unwrap().is_empty());
    let (without, ..) = tickets(&fakes, None).await;
    let asked = without.find_marked("m1").await.unwrap_err();
    assert!(asked.answered.contains("marker = PATH"), "{asked}");
}
