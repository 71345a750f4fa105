//! The record service: one record at a time, by id or by external id, and lists of ids.
//!
//! What may be stored is `values.rs`.

use serde_json::{Value, json};

use super::answers::{
    self, Reply, error, invalid_content, no_resource, nonexistent, put, resource, stamp, user_error,
};
use super::schema::{CREATED, EXTERNAL_ID, MODIFIED, RecordSeed, Schema};
use super::{filter, setting, values};
use crate::kit::{Answer, Request, Save, World};

/// One request on its way through the service, after it has been let in.
pub(super) struct Call<'a> {
    pub(super) schema: &'a Schema,
    pub(super) request: &'a Request,
    pub(super) actor: &'a str,
}

/// Where a record is looked for.
enum Key {
    Id(String),
    External(String),
}

/// Answers a request below `/services/rest/record/v1`.
pub(super) fn answer(world: &mut World, call: &Call<'_>, rest: &[String]) -> Reply {
    let (type_name, key) = match rest {
        [type_name] => (type_name, None),
        [type_name, key] => (type_name, Some(key)),
        _ => return Err(no_resource(&call.request.path)),
    };
    let of_type = call.schema.record(type_name).ok_or_else(|| {
        error(404, "NONEXISTENT_TYPE", &format!("Record type '{type_name}' does not exist."), None)
    })?;
    let key = key.map(|key| match key.strip_prefix("eid:") {
        Some(external) => Key::External(external.to_owned()),
        None => Key::Id(key.clone()),
    });
    match (call.request.method.as_str(), key) {
        ("GET", None) => list(world, call, of_type),
        ("POST", None) => {
            refuse_save(world)?;
            create(world, call, of_type, &body(call.request)?)
        }
        ("GET", Some(key)) => get(world, call, of_type, &key),
        ("PATCH", Some(key)) => {
            let id = find(world, of_type, &key)?;
            refuse_save(world)?;
            update(world, call, of_type, &id, &body(call.request)?)
        }
        ("PUT", Some(Key::External(external))) => {
            refuse_save(world)?;
            put_by_external_id(world, call, of_type, &external)
        }
        ("DELETE", Some(key)) => {
            let id = find(world, of_type, &key)?;
            refuse_save(world)?;
            world.remove(call.actor, "delete", &of_type.name, &id);
            Ok(Answer::empty(204))
        }
        (method, _) => {
            let detail = format!("The method {method} is not allowed for {}.", call.request.path);
            Err(error(405, "METHOD_NOT_ALLOWED", &detail, None))
        }
    }
}

/// The knobs that stand for what else in an account can refuse a save.
fn refuse_save(world: &World) -> Result<(), Answer> {
    if world.knob("concurrency").is_some() {
        return Err(answers::concurrency());
    }
    if world.knob("record_changed").is_some() {
        return Err(error(400, "RCRD_HAS_BEEN_CHANGED", "Record has been changed", None));
    }
    if world.knob("insufficient_permission").is_some() {
        let detail = "Permission Violation: You need a higher level of permission to access this record.";
        return Err(error(403, "INSUFFICIENT_PERMISSION", detail, None));
    }
    let closed = "This transaction cannot be saved because its posting period is closed.";
    let held = world.knob("held").map(|detail| detail.as_str().unwrap_or(closed).to_owned());
    let held = held
        .or_else(|| setting(world, "period_closed").and_then(|on| on.as_bool()?.then(|| closed.to_owned())));
    held.map_or(Ok(()), |detail| Err(user_error(&detail, None)))
}

fn body(request: &Request) -> Result<Value, Answer> {
    request
        .json()
        .map_err(|problem| invalid_content(&format!("Invalid content in the request body: {problem}."), None))
}

fn find(world: &World, of_type: &RecordSeed, key: &Key) -> Result<String, Answer> {
    let id = match key {
        Key::Id(id) => Some(id.clone()),
        Key::External(external) => values::by_external_id(world, of_type, external),
    };
    id.filter(|id| world.get(&of_type.name, id).is_some()).ok_or_else(nonexistent)
}

fn url(request: &Request, of_type: &RecordSeed, id: &str) -> String {
    format!("{}/services/rest/record/v1/{}/{id}", request.base_url, of_type.name)
}

fn done(request: &Request, of_type: &RecordSeed, id: &str) -> Answer {
    Answer::empty(204).with_header("location", &url(request, of_type, id))
}

fn get(world: &World, call: &Call<'_>, of_type: &RecordSeed, key: &Key) -> Reply {
    let id = find(world, of_type, key)?;
    let record = world.get(&of_type.name, &id).ok_or_else(nonexistent)?;
    let address = url(call.request, of_type, &id);
    let mut shown = values::show(world, call.schema, of_type, &id, &record, &address);
    if let (Some(wanted), Value::Object(map)) = (call.request.query("fields"), &mut shown) {
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
        if let Some(unknown) = wanted.iter().find(|name| **name != "id" && of_type.find(name).is_none()) {
            let detail = format!("Invalid field '{unknown}' in the query parameter 'fields'.");
            return Err(answers::invalid_parameter(&detail));
        }
        map.retain(|name, _| name == "links" || name == "id" || wanted.contains(&name.as_str()));
    }
    Ok(resource("singular", &shown))
}

fn list(world: &World, call: &Call<'_>, of_type: &RecordSeed) -> Reply {
    let (limit, offset) = answers::window(call.request)?;
    let wanted = call.request.query("q").map(|text| filter::parse(&text, of_type)).transpose()?;
    let mut ids: Vec<String> = world
        .list(&of_type.name)
        .into_iter()
        .filter(|(id, record)| wanted.as_ref().is_none_or(|wanted| wanted.holds(id, record)))
        .map(|(id, _)| id)
        .collect();
    ids.sort_by_key(|id| (id.len(), id.clone()));
    let total = ids.len();
    let items = ids
        .iter()
        .skip(offset)
        .take(limit)
        .map(|id| json!({"links": [{"rel": "self", "href": url(call.request, of_type, id)}], "id": id}));
    Ok(resource("collection", &answers::page(call.request, items.collect(), limit, offset, total)))
}

fn create(world: &mut World, call: &Call<'_>, of_type: &RecordSeed, body: &Value) -> Reply {
    let mut record = json!({});
    values::apply(world, call.schema, of_type, &mut record, body, true)?;
    let id = new_id(world, call.schema);
    values::check(world, of_type, &id, &record)?;
    stamp_record(world, &mut record, true);
    world.save(Save { actor: call.actor, kind: "create", entity: &of_type.name, id: &id, record });
    Ok(done(call.request, of_type, &id))
}

fn update(world: &mut World, call: &Call<'_>, of_type: &RecordSeed, id: &str, body: &Value) -> Reply {
    let before = world.get(&of_type.name, id).ok_or_else(nonexistent)?;
    let mut record = (*before).clone();
    values::apply(world, call.schema, of_type, &mut record, body, true)?;
    values::check(world, of_type, id, &record)?;
    stamp_record(world, &mut record, false);
    world.save(Save { actor: call.actor, kind: "update", entity: &of_type.name, id, record });
    Ok(done(call.request, of_type, id))
}

fn put_by_external_id(world: &mut World, call: &Call<'_>, of_type: &RecordSeed, external: &str) -> Reply {
    let mut body = body(call.request)?;
    let said = body.get(EXTERNAL_ID).and_then(Value::as_str);
    if said.is_some_and(|said| said != external) {
        let detail = "The external ID in the request body differs from the one in the URL.";
        return Err(invalid_content(detail, Some(EXTERNAL_ID)));
    }
    put(&mut body, EXTERNAL_ID, json!(external));
    match find(world, of_type, &Key::External(external.to_owned())) {
        Ok(id) => update(world, call, of_type, &id, &body),
        Err(_) => create(world, call, of_type, &body),
    }
}

/// Says when a record was saved, to the second.
pub(super) fn stamp_record(world: &World, record: &mut Value, is_new: bool) {
    let now = json!(stamp(world.now()));
    if is_new {
        put(record, CREATED, now.clone());
    }
    put(record, MODIFIED, now);
}

/// The next internal id; one series for the whole account.
pub(super) fn new_id(world: &mut World, schema: &Schema) -> String {
    loop {
        let id = (1000 + world.next_of("internal ids")).to_string();
        let is_taken = |record: &RecordSeed| world.get_any(&record.name, &id).is_some();
        if !schema.types.iter().any(is_taken) {
            return id;
        }
    }
}
