//! The control surface under `/__twin/`: everything that a test can do in process, over HTTP and JSON.
//!
//! It is for tests and the demo in another process; it must not be reachable from anywhere but loopback,
//! which the server's address sees to.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::behaviour::{Automation, Dropped, Normaliser};
use super::faults::{Edit, Fault};
use super::http::{Answer, Request};
use super::hub::Hub;

type Reply = Result<Value, (u16, String)>;

/// The answer to a control request; `None` when the request is for the twin itself.
pub(crate) fn answer(hub: &Hub, request: &Request) -> Option<Answer> {
    let segments = request.segments();
    let (first, rest) = segments.split_first()?;
    if first != "__twin" {
        return None;
    }
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let reply = request.json().map_err(bad).and_then(|body| route(hub, request, &rest, body));
    Some(match reply {
        Ok(value) => Answer::json(200, &value),
        Err((status, problem)) => Answer::json(status, &json!({"error": problem})),
    })
}

fn route(hub: &Hub, request: &Request, rest: &[&str], body: Value) -> Reply {
    match (request.method.as_str(), rest) {
        ("GET", []) => Ok(overview(hub)),
        ("GET", ["history"]) => history(hub, request),
        ("GET", ["requests"]) => requests(hub, request),
        ("GET", ["counts"]) => shown(&hub.world().counts()),
        ("GET", ["faults"]) => Ok(Value::Array(
            hub.world()
                .faults
                .pending()
                .iter()
                .map(|(number, fault)| json!({"number": number, "fault": fault}))
                .collect(),
        )),
        ("POST", ["faults"]) => Ok(json!({"number": hub.fault(read::<Fault>(body)?)})),
        ("DELETE", ["faults"]) => {
            hub.world().faults.clear();
            Ok(json!({}))
        }
        ("DELETE", ["faults", number]) => match number.parse() {
            Ok(number) if hub.world().faults.remove(number) => Ok(json!({})),
            _ => Err((404, format!("no fault {number}"))),
        },
        ("GET", ["outgoing"]) => shown(&hub.world().outgoing()),
        ("POST", ["outgoing"]) => {
            let copies =
                body.get("copies").and_then(Value::as_u64).and_then(|copies| usize::try_from(copies).ok());
            hub.world().outgoing_copies = copies.ok_or_else(|| bad("copies is missing".to_owned()))?;
            Ok(json!({}))
        }
        ("GET", ["held"]) => shown(&hub.gates.waiting()),
        ("POST", ["release"]) => {
            match body.get("gate").and_then(Value::as_str) {
                Some(gate) => hub.gates.release(gate),
                None => hub.gates.release_all(),
            }
            Ok(json!({}))
        }
        ("POST", ["release-late"]) => Ok(json!({"applied": hub.release_late()})),
        ("POST", ["clock"]) => clock(hub, &body),
        ("POST", ["hidden"]) => hidden(hub, body),
        ("GET" | "POST" | "DELETE", ["behaviour"]) => behaviour(hub, &request.method, body),
        (_, ["records", ..]) => records(hub, request, rest, body),
        ("POST", ["action", name]) => {
            person(hub, request, Edit::Action { name: (*name).to_owned(), with: body })
        }
        _ => Err((404, format!("no control {} {}", request.method, request.path))),
    }
}

fn overview(hub: &Hub) -> Value {
    let world = hub.world();
    let entities: serde_json::Map<String, Value> =
        world.entities().into_iter().map(|(entity, count)| (entity, json!(count))).collect();
    json!({
        "twin": hub.name(),
        "now": world.now().to_string(),
        "entities": entities,
        "history": world.history().len(),
        "requests": world.requests().len(),
    })
}

fn history(hub: &Hub, request: &Request) -> Reply {
    let since = number(request, "since")?;
    let (entity, id) = (request.query("entity"), request.query("id"));
    let world = hub.world();
    let events: Vec<_> = world
        .history()
        .iter()
        .filter(|event| event.seq > since)
        .filter(|event| entity.as_ref().is_none_or(|entity| *entity == event.entity))
        .filter(|event| id.as_ref().is_none_or(|id| *id == event.id))
        .collect();
    shown(&events)
}

fn requests(hub: &Hub, request: &Request) -> Reply {
    let since = number(request, "since")?;
    let kind = request.query("kind");
    let world = hub.world();
    let logged: Vec<_> = world
        .requests()
        .iter()
        .filter(|logged| logged.seq > since)
        .filter(|logged| kind.as_ref().is_none_or(|kind| *kind == logged.kind))
        .collect();
    shown(&logged)
}

fn records(hub: &Hub, request: &Request, rest: &[&str], body: Value) -> Reply {
    match (request.method.as_str(), rest) {
        ("GET", [_, entity]) => {
            let world = hub.world();
            let rows = world.list_any(entity).into_iter();
            Ok(Value::Array(rows.map(|(id, record)| json!({"id": id, "record": *record})).collect()))
        }
        ("GET", [_, entity, id]) => match hub.world().get_any(entity, id) {
            Some(record) => Ok(json!({"id": id, "record": *record})),
            None => Err((404, format!("no {entity} {id}"))),
        },
        ("POST", [_, entity]) => {
            person(hub, request, Edit::Create { entity: (*entity).to_owned(), record: body })
        }
        ("PATCH", [_, entity, id]) => person(
            hub,
            request,
            Edit::Patch { entity: (*entity).to_owned(), id: (*id).to_owned(), patch: body },
        ),
        ("PUT", [_, entity, id]) => person(
            hub,
            request,
            Edit::Replace { entity: (*entity).to_owned(), id: (*id).to_owned(), record: body },
        ),
        ("DELETE", [_, entity, id]) => {
            person(hub, request, Edit::Delete { entity: (*entity).to_owned(), id: (*id).to_owned() })
        }
        _ => Err((404, format!("no control {} {}", request.method, request.path))),
    }
}

fn person(hub: &Hub, request: &Request, edit: Edit) -> Reply {
    let actor = request.query("actor").unwrap_or_else(|| "person".to_owned());
    hub.person_as(&actor, edit).map_err(|problem| {
        let status = if problem.starts_with("no ") { 404 } else { 422 };
        (status, problem)
    })
}

fn clock(hub: &Hub, body: &Value) -> Reply {
    let mut world = hub.world();
    let seconds = |name: &str| body.get(name).and_then(Value::as_i64).map(SignedDuration::from_secs);
    if body.get("real") == Some(&Value::Bool(true)) {
        world.use_real_time();
    }
    if let Some(now) = body.get("now").and_then(Value::as_str) {
        world.set_now(now.parse::<Timestamp>().map_err(|problem| bad(format!("now = {now:?}: {problem}")))?);
    }
    if let Some(by) = seconds("advance_seconds") {
        world.advance(by);
    }
    if let Some(skew) = seconds("skew_seconds") {
        world.set_skew(skew);
    }
    Ok(json!({"now": world.now().to_string(), "date_header": super::hub::http_date(world.header_date())}))
}

fn hidden(hub: &Hub, body: Value) -> Reply {
    let entity =
        body.get("entity").and_then(Value::as_str).ok_or_else(|| bad("entity is missing".to_owned()))?;
    match body.get("ids") {
        _ if body.get("hidden") == Some(&Value::Bool(false)) => hub.world().unhide(entity),
        None | Some(Value::Null) => hub.world().hide(entity, None),
        Some(ids) => hub.world().hide(entity, Some(read(ids.clone())?)),
    }
    Ok(json!({}))
}

fn behaviour(hub: &Hub, method: &str, mut body: Value) -> Reply {
    let mut world = hub.world();
    if method == "DELETE" {
        world.behaviour = super::behaviour::Behaviour::default();
    } else if method == "POST" {
        let mut part = |name: &str| body.get_mut(name).map_or_else(|| json!([]), Value::take);
        let dropped = read::<Vec<Dropped>>(part("dropped"))?;
        let normalisers = read::<Vec<Normaliser>>(part("normalisers"))?;
        let automations = read::<Vec<Automation>>(part("automations"))?;
        world.behaviour.dropped.extend(dropped);
        world.behaviour.normalisers.extend(normalisers);
        world.behaviour.automations.extend(automations);
    }
    Ok(json!({
        "dropped": world.behaviour.dropped,
        "normalisers": world.behaviour.normalisers,
        "automations": world.behaviour.automations,
    }))
}

fn number(request: &Request, name: &str) -> Result<u64, (u16, String)> {
    match request.query(name) {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| bad(format!("{name} = {text:?} is not a number"))),
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, (u16, String)> {
    serde_json::from_value(body).map_err(|problem| bad(problem.to_string()))
}

fn shown(value: &impl Serialize) -> Reply {
    serde_json::to_value(value).map_err(|problem| (500, problem.to_string()))
}

fn bad(problem: String) -> (u16, String) {
    (400, problem)
}
