//! Up to 200 records in one request, with results in the order of the request.
//!
//! This file must not know how requests are routed.

use serde_json::{Value, json};

use super::answers::{Refusal, Reply, text};
use super::records::{self, Upserted};
use super::schema::ObjectSeed;
use super::{Call, ids, query};
use crate::kit::{Answer, World};

/// The most records of one request.
const MOST: usize = 200;

/// What is done with each record.
pub(super) enum Job<'a> {
    /// Created.
    Create,
    /// Updated; each has its `id`.
    Update,
    /// Upserted by this external id of this object.
    Upsert(&'a ObjectSeed, &'a str),
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "JSON_PARSER_ERROR", message)
}

/// `POST` and `PATCH` of `composite/sobjects`.
pub(super) fn write(call: &Call<'_>, world: &mut World, job: &Job<'_>, body: &Value) -> Reply {
    let rows =
        body.get("records").and_then(Value::as_array).ok_or_else(|| malformed("The records are missing"))?;
    refuse_too_many(rows.len())?;
    all_or_none(world, body, |world| rows.iter().map(|row| one(call, world, job, row)).collect())
}

/// `DELETE composite/sobjects?ids=a,b`.
pub(super) fn delete(call: &Call<'_>, world: &mut World) -> Reply {
    let ids = call.request.query("ids").unwrap_or_default();
    let written: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    refuse_too_many(written.len())?;
    let options = json!({"allOrNone": call.request.query("allOrNone").as_deref() == Some("true")});
    all_or_none(world, &options, |world| {
        written
            .iter()
            .map(|written| {
                let malformed = || Refusal::new(400, "MALFORMED_ID", format!("malformed id {written}"));
                let id = ids::full(written).ok_or_else(malformed)?;
                let object = call.machine.object_of_id(world, &id).ok_or_else(malformed)?;
                records::remove(call, world, &object, &id)?;
                Ok((id, None))
            })
            .collect()
    })
}

/// `GET composite/sobjects/X?ids=&fields=`, and the same by `POST` with both in the body: `null` for what is not there.
pub(super) fn retrieve(call: &Call<'_>, world: &World, object: &ObjectSeed, body: &Value) -> Reply {
    let list = |name: &str| -> Vec<String> {
        match body.get(name).and_then(Value::as_array) {
            Some(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => {
                let given = call.request.query(name).unwrap_or_default();
                given.split(',').filter(|part| !part.is_empty()).map(|part| part.trim().to_owned()).collect()
            }
        }
    };
    let (ids, fields) = (list("ids"), list("fields"));
    if fields.is_empty() {
        return Err(malformed("The fields parameter is missing"));
    }
    let mut rows = Vec::new();
    for id in ids {
        let record = ids::full(&id).and_then(|id| world.get(&object.name, &id));
        rows.push(match record {
            Some(record) => query::show(object, &record, Some(&fields), &call.base)?,
            None => Value::Null,
        });
    }
    Ok(Answer::json(200, &Value::Array(rows)))
}

type Row = Result<(String, Option<bool>), Refusal>;

fn refuse_too_many(count: usize) -> Result<(), Refusal> {
    if count <= MOST {
        return Ok(());
    }
    let message = format!("record limit reached. cannot submit more than {MOST} records in this operation");
    Err(Refusal::new(400, "EXCEEDED_ID_LIMIT", message))
}

/// Shows the results; with `allOrNone`, one failure takes the others back.
fn all_or_none(world: &mut World, body: &Value, work: impl FnOnce(&mut World) -> Vec<Row>) -> Reply {
    let saved = world.history().len();
    let mut rows = work(world);
    let together = body.get("allOrNone") == Some(&json!(true));
    if together && rows.iter().any(Result::is_err) {
        roll_back(world, saved);
        for row in rows.iter_mut().filter(|row| row.is_ok()) {
            let message = "Record rolled back because not all records were valid and the request was using \
                           AllOrNone header";
            *row = Err(Refusal::of_fields("ALL_OR_NONE_OPERATION_ROLLED_BACK", message, &[]));
        }
    }
    let shown: Vec<Value> = rows.into_iter().map(show).collect();
    Ok(Answer::json(200, &Value::Array(shown)))
}

/// Undoes what was written since, newest first. The history keeps both: a rollback is no way to hide a bug.
fn roll_back(world: &mut World, saved: usize) {
    let undone: Vec<_> = world.history().get(saved..).unwrap_or_default().to_vec();
    for event in undone.into_iter().rev() {
        let (entity, id) = (event.entity.as_str(), event.id.as_str());
        if event.before.is_null() {
            world.remove("server", super::ROLLBACK, entity, id);
        } else {
            let record = event.before;
            world.save(crate::kit::Save {
                actor: crate::kit::SEED,
                kind: super::ROLLBACK,
                entity,
                id,
                record,
            });
        }
    }
}

fn show(row: Row) -> Value {
    match row {
        Ok((id, None)) => json!({"id": id, "success": true, "errors": []}),
        Ok((id, Some(created))) => json!({"id": id, "success": true, "errors": [], "created": created}),
        Err(refusal) => json!({"success": false, "errors": [refusal.row()]}),
    }
}

fn one(call: &Call<'_>, world: &mut World, job: &Job<'_>, row: &Value) -> Row {
    let kind = row.pointer("/attributes/type").and_then(Value::as_str).unwrap_or_default();
    let object = call.machine.object(world, kind);
    let object = object.ok_or_else(|| query::unknown_object(kind))?;
    let (body, id) = without_id(row);
    match job {
        Job::Create => Ok((records::create(call, world, &object, row)?, None)),
        Job::Update => {
            let malformed =
                || Refusal::of_fields("MISSING_ARGUMENT", "Id not specified in an update call", &[]);
            let id = id.as_deref().and_then(ids::full).ok_or_else(malformed)?;
            records::update(call, world, &object, &id, &body).map(|()| (id, None))
        }
        Job::Upsert(target, field) => {
            if !target.name.eq_ignore_ascii_case(&object.name) {
                let message = format!("records must be of type {}", target.name);
                return Err(Refusal::of_fields("INVALID_TYPE", message, &[]));
            }
            upsert(call, world, &object, field, &body)
        }
    }
}

fn upsert(call: &Call<'_>, world: &mut World, object: &ObjectSeed, field: &str, row: &Value) -> Row {
    let mut body = row.clone();
    let named =
        body.as_object().and_then(|map| map.keys().find(|key| key.eq_ignore_ascii_case(field)).cloned());
    let value = named.and_then(|name| body.as_object_mut()?.remove(&name));
    let Some(value) = value.filter(|value| !value.is_null()) else {
        let message = format!("{field} not specified");
        return Err(Refusal::of_fields("MISSING_ARGUMENT", message, &[field]));
    };
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match records::upsert(call, world, object, (field, &value), &body) {
        Ok(Upserted::Created(id)) => Ok((id, Some(true))),
        Ok(Upserted::Updated(id)) => Ok((id, Some(false))),
        Err(Err(refusal)) => Err(refusal),
        Err(Ok(_)) => {
            let message = format!("{field}: more than one record found for external id field: {value}");
            Err(Refusal::of_fields("DUPLICATE_EXTERNAL_ID", message, &[field]))
        }
    }
}

fn without_id(row: &Value) -> (Value, Option<String>) {
    let mut body = row.clone();
    let name =
        body.as_object().and_then(|map| map.keys().find(|key| key.eq_ignore_ascii_case("id")).cloned());
    let id = name.and_then(|name| body.as_object_mut()?.remove(&name));
    let id = id.as_ref().map(|id| text(&json!({"id": id}), "id").to_owned());
    (body, id)
}
