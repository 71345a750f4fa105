//! One record at a time: create, read, update, upsert, delete, with their preconditions.
//!
//! This file must not know how requests are routed.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers::{Refusal, Reply, not_found, read_time, text};
use super::schema::ObjectSeed;
use super::write::{self, Writer};
use super::{Call, feeds, ids, query};
use crate::kit::{Answer, Request, World};

/// Which record a path names.
pub(super) enum Address {
    /// By its own id.
    Id(String),
    /// By the value of an external id.
    External(String, String),
}

/// How an upsert ended.
pub(super) enum Upserted {
    /// A new record.
    Created(String),
    /// A record that was there.
    Updated(String),
}

fn gone_or_unknown(world: &World, object: &ObjectSeed, id: &str) -> Refusal {
    if feeds::was_deleted(world, &object.name, id) {
        return Refusal::new(404, "ENTITY_IS_DELETED", "entity is deleted");
    }
    not_found()
}

/// The id of the record that a path names; 300 when there is more than one.
fn locate(
    call: &Call<'_>,
    world: &World,
    object: &ObjectSeed,
    address: &Address,
) -> Result<Option<String>, Reply> {
    match address {
        Address::Id(written) => match ids::full(written) {
            Some(id) => Ok(Some(id)),
            None => {
                let message =
                    format!("Provided external ID field does not exist or is not accessible: {written}");
                Err(Err(Refusal::new(404, "NOT_FOUND", message)))
            }
        },
        Address::External(field, value) => {
            let known = object.field(field).filter(|field| field.external_id);
            let Some(field) = known else {
                let message =
                    format!("Provided external ID field does not exist or is not accessible: {field}");
                return Err(Err(Refusal::new(404, "NOT_FOUND", message)));
            };
            let mut found = write::holders(world, object, field, &json!(value));
            found.retain(|id| world.get(&object.name, id).is_some());
            if found.len() > 1 {
                let row = |id: &String| format!("{}/sobjects/{}/{id}", call.base, object.name);
                let urls: Vec<String> = found.iter().map(row).collect();
                return Err(Ok(Answer::json(300, &json!(urls))));
            }
            Ok(found.pop())
        }
    }
}

/// `GET sobjects/X/id` and `GET sobjects/X/Ext__c/value`.
pub(super) fn get(call: &Call<'_>, world: &World, object: &ObjectSeed, address: &Address) -> Reply {
    let id = match locate(call, world, object, address) {
        Ok(id) => id.ok_or_else(not_found)?,
        Err(reply) => return reply,
    };
    let record = world.get(&object.name, &id).ok_or_else(|| gone_or_unknown(world, object, &id))?;
    if let Some(answer) = unmodified(call.request, object, &record) {
        return Ok(answer);
    }
    check_preconditions(call.request, object, &record)?;
    let fields: Option<Vec<String>> = call.request.query("fields").map(|list| {
        list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    });
    let shown = query::show(object, &record, fields.as_deref(), &call.base)?;
    let answer = Answer::json(200, &shown);
    let answer = match modified(&record) {
        Some(at) => answer.with_header("last-modified", &http_date(at)),
        None => answer,
    };
    Ok(if object.name == "Account" { answer.with_header("etag", &tag(&record)) } else { answer })
}

/// `POST sobjects/X`.
pub(super) fn create(
    call: &Call<'_>,
    world: &mut World,
    object: &ObjectSeed,
    body: &Value,
) -> Result<String, Refusal> {
    refuse_by_knob(world)?;
    let changes = write::read(call.machine, world, object, body, None)?;
    let id = write::new_id(world, object);
    write::store(world, &call.writer(), object, &id, &changes)?;
    Ok(id)
}

/// `PATCH sobjects/X/id`.
pub(super) fn update(
    call: &Call<'_>,
    world: &mut World,
    object: &ObjectSeed,
    id: &str,
    body: &Value,
) -> Result<(), Refusal> {
    let record = world.get(&object.name, id).ok_or_else(|| gone_or_unknown(world, object, id))?;
    check_preconditions(call.request, object, &record)?;
    refuse_by_knob(world)?;
    let changes = write::read(call.machine, world, object, body, None)?;
    write::store(world, &call.writer(), object, id, &changes)?;
    Ok(())
}

/// `PATCH sobjects/X/Ext__c/value`.
pub(super) fn upsert(
    call: &Call<'_>,
    world: &mut World,
    object: &ObjectSeed,
    (field, value): (&str, &str),
    body: &Value,
) -> Result<Upserted, Reply> {
    let address = Address::External(field.to_owned(), value.to_owned());
    let found = locate(call, world, object, &address)?;
    refuse_by_knob(world).map_err(Err)?;
    let mut changes = write::read(call.machine, world, object, body, Some(field)).map_err(Err)?;
    match found {
        Some(id) => {
            if let Some(record) = world.get(&object.name, &id) {
                check_preconditions(call.request, object, &record).map_err(Err)?;
            }
            write::store(world, &call.writer(), object, &id, &changes).map_err(Err)?;
            Ok(Upserted::Updated(id))
        }
        None => {
            let addressed =
                write::read(call.machine, world, object, &json!({field: value}), None).map_err(Err)?;
            changes.extend(addressed);
            let id = write::new_id(world, object);
            write::store(world, &call.writer(), object, &id, &changes).map_err(Err)?;
            Ok(Upserted::Created(id))
        }
    }
}

/// `DELETE sobjects/X/id` and `DELETE sobjects/X/Ext__c/value`.
pub(super) fn delete(call: &Call<'_>, world: &mut World, object: &ObjectSeed, address: &Address) -> Reply {
    let id = match locate(call, world, object, address) {
        Ok(id) => id.ok_or_else(not_found)?,
        Err(reply) => return reply,
    };
    remove(call, world, object, &id)?;
    Ok(Answer::empty(204))
}

/// Deletes a record by its full id.
pub(super) fn remove(
    call: &Call<'_>,
    world: &mut World,
    object: &ObjectSeed,
    id: &str,
) -> Result<(), Refusal> {
    let record = world.get(&object.name, id).ok_or_else(|| gone_or_unknown(world, object, id))?;
    check_preconditions(call.request, object, &record)?;
    refuse_by_knob(world)?;
    world.remove(&call.caller.actor, "delete", &object.name, id);
    Ok(())
}

/// The knob `refuse` turns a write away with a code of a test's choice: a lock, a trigger, a validation rule.
fn refuse_by_knob(world: &World) -> Result<(), Refusal> {
    let Some(with) = world.knob("refuse") else { return Ok(()) };
    let given = |key: &str, otherwise: &str| match text(with, key) {
        "" => otherwise.to_owned(),
        given => given.to_owned(),
    };
    let fields = with.get("fields").and_then(Value::as_array);
    let fields = fields.map(|fields| fields.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let status = with.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    Err(Refusal {
        status: status.unwrap_or(400),
        code: given("code", "UNABLE_TO_LOCK_ROW"),
        message: given("message", "unable to obtain exclusive access to this record"),
        fields: Some(fields.unwrap_or_default()),
    })
}

impl Call<'_> {
    /// Whose stamps a write leaves.
    pub(super) fn writer(&self) -> Writer<'_> {
        Writer { actor: &self.caller.actor, user: &self.caller.user }
    }
}

fn modified(record: &Value) -> Option<Timestamp> {
    read_time(text(record, "LastModifiedDate"))
}

fn tag(record: &Value) -> String {
    let stamp = modified(record).map(Timestamp::as_second).unwrap_or_default();
    format!("\"{}-{stamp:x}\"", text(record, "Id"))
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A header's date, `EEE, dd MMM yyyy HH:mm:ss z`.
fn header_date(request: &Request, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(given) = request.header(name) else { return Ok(None) };
    match jiff::fmt::rfc2822::parse(given) {
        Ok(at) => Ok(Some(at.timestamp())),
        Err(_) if request.method == "GET" => Ok(None),
        Err(_) => {
            Err(Refusal::new(400, "INVALID_HEADER", format!("Invalid value for header {name}: {given}")))
        }
    }
}

/// 304, when the caller has the record already.
fn unmodified(request: &Request, object: &ObjectSeed, record: &Value) -> Option<Answer> {
    let since = header_date(request, "if-modified-since").ok().flatten();
    let not_since = since.zip(modified(record)).is_some_and(|(since, at)| at <= since);
    let same_tag =
        object.name == "Account" && request.header("if-none-match").is_some_and(|tags| has_tag(tags, record));
    (not_since || same_tag).then(|| Answer::empty(304))
}

/// 412, when the record is not as the caller knows it. Tags count on accounts only.
fn check_preconditions(request: &Request, object: &ObjectSeed, record: &Value) -> Result<(), Refusal> {
    let failed = || {
        let message = "Record has been modified since the last time it was accessed";
        Err(Refusal::new(412, "PRECONDITION_FAILED", message))
    };
    let unmodified_since = header_date(request, "if-unmodified-since")?;
    if unmodified_since.zip(modified(record)).is_some_and(|(since, at)| at > since) {
        return failed();
    }
    match request.header("if-match") {
        Some(tags) if object.name == "Account" && !has_tag(tags, record) => failed(),
        _ => Ok(()),
    }
}

fn has_tag(tags: &str, record: &Value) -> bool {
    let own = tag(record);
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag == own)
}
