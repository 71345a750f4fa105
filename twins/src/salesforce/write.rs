//! What may be written: reads a body against the schema, and saves it with its stamps.
//!
//! This file must not know requests or answers.

use std::sync::Arc;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Map, Value, json};

use super::Machine;
use super::answers::{Refusal, put, read_time, stamp, text};
use super::ids;
use super::schema::{FieldSeed, FieldType, ObjectSeed};
use super::soql::{parse_date, parse_decimal};
use crate::kit::{Save, World};

/// Who writes.
pub(super) struct Writer<'a> {
    /// The name in the history.
    pub(super) actor: &'a str,
    /// The user's id, for the stamps.
    pub(super) user: &'a str,
}

/// Reads the fields of a body; `address` is the external id that the record was addressed by.
pub(super) fn read(
    machine: &Machine,
    world: &World,
    object: &ObjectSeed,
    body: &Value,
    address: Option<&str>,
) -> Result<Map<String, Value>, Refusal> {
    let Value::Object(members) = body else {
        return Err(Refusal::new(400, "JSON_PARSER_ERROR", "The body is not an object"));
    };
    let mut changes = Map::new();
    for (name, value) in members.iter().filter(|(name, _)| *name != "attributes") {
        let addressed = address.is_some_and(|address| address.eq_ignore_ascii_case(name));
        if name.eq_ignore_ascii_case("Id") || addressed {
            let message = format!("The {name} field should not be specified in the sobject data.");
            return Err(Refusal::new(400, "INVALID_FIELD", message));
        }
        if let Some((field, id)) = by_external_id(machine, world, object, name, value)? {
            changes.insert(field, id);
            continue;
        }
        let field = object.field(name).ok_or_else(|| {
            let message = format!("No such column '{name}' on sobject of type {}", object.name);
            Refusal::new(400, "INVALID_FIELD", message)
        })?;
        if field.read_only {
            let message = format!(
                "Unable to create/update fields: {}. Please check the security settings of this field and verify \
                 that it is read/write for your profile or permission set.",
                field.name
            );
            return Err(Refusal::of_fields("INVALID_FIELD_FOR_INSERT_UPDATE", message, &[&field.name]));
        }
        let value = convert(field, value)?;
        check_reference(machine, world, field, &value)?;
        changes.insert(field.name.clone(), value);
    }
    Ok(changes)
}

/// A reference written as the other record's external id: `{"Account": {"ERP_Customer__c": "C-1"}}`.
fn by_external_id(
    machine: &Machine,
    world: &World,
    object: &ObjectSeed,
    name: &str,
    value: &Value,
) -> Result<Option<(String, Value)>, Refusal> {
    let field = object.fields.iter().find(|field| {
        !field.read_only && field.relationship().is_some_and(|known| known.eq_ignore_ascii_case(name))
    });
    let (Some(field), Value::Object(members)) = (field, value) else { return Ok(None) };
    let target = field.refers_to.as_deref().and_then(|target| machine.object(world, target));
    let wanted = members.iter().find(|(key, _)| *key != "attributes");
    let (Some(target), Some((key, wanted))) = (target, wanted) else { return Ok(None) };
    let found =
        target.field(key).filter(|key| key.external_id).map(|key| holders(world, &target, key, wanted));
    match found.as_deref() {
        Some([id]) => Ok(Some((field.name.clone(), json!(id)))),
        Some([]) => {
            let message = format!(
                "Foreign key external ID: {} not found for field {key} in entity {}",
                plain(wanted).to_lowercase(),
                target.name
            );
            Err(Refusal::new(400, "INVALID_FIELD", message))
        }
        Some(_) => {
            Err(Refusal::new(400, "INVALID_FIELD", format!("{key} is not unique: more than one record")))
        }
        None => {
            let message = format!(
                "Field name provided, {key} is not an External ID or indexed field for {}",
                target.name
            );
            Err(Refusal::new(400, "INVALID_FIELD", message))
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The ids of the records that have this value in this field.
pub(super) fn holders(world: &World, object: &ObjectSeed, field: &FieldSeed, wanted: &Value) -> Vec<String> {
    let wanted = plain(wanted);
    let same = |record: &Value| match record.get(&field.name) {
        None | Some(Value::Null) => false,
        Some(held @ Value::Number(_)) => parse_decimal(&held.to_string()) == parse_decimal(&wanted),
        Some(held) => plain(held).to_lowercase() == wanted.to_lowercase(),
    };
    world.list_any(&object.name).into_iter().filter(|(_, record)| same(record)).map(|(id, _)| id).collect()
}

fn check_reference(
    machine: &Machine,
    world: &World,
    field: &FieldSeed,
    value: &Value,
) -> Result<(), Refusal> {
    let (Some(target), Some(id)) = (field.refers_to.as_deref(), value.as_str()) else { return Ok(()) };
    if machine.object(world, target).is_some() && world.get_any(target, id).is_none() {
        let message = format!("invalid cross reference id: {id}");
        return Err(Refusal::of_fields("INVALID_CROSS_REFERENCE_KEY", message, &[&field.name]));
    }
    Ok(())
}

/// Values by field name, as the server stores them.
pub(super) fn converted(
    object: &ObjectSeed,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    let mut stored = Map::new();
    for (name, value) in given {
        if let Some(field) = object.field(name) {
            stored.insert(field.name.clone(), convert(field, value)?);
        }
    }
    Ok(stored)
}

/// The value as the server stores it.
fn convert(field: &FieldSeed, value: &Value) -> Result<Value, Refusal> {
    let cannot = || {
        let token = match value {
            Value::String(_) => "VALUE_STRING",
            Value::Number(number) if number.to_string().contains(['.', 'e', 'E']) => "VALUE_NUMBER_FLOAT",
            Value::Number(_) => "VALUE_NUMBER_INT",
            Value::Bool(true) => "VALUE_TRUE",
            Value::Bool(false) => "VALUE_FALSE",
            Value::Array(_) => "START_ARRAY",
            Value::Object(_) => "START_OBJECT",
            Value::Null => "VALUE_NULL",
        };
        let message = format!(
            "Cannot deserialize instance of {} from {token} value {} or request may be missing a required field at \
             [line:1, column:2]",
            field.kind.name(),
            plain(value)
        );
        Refusal::new(400, "JSON_PARSER_ERROR", message)
    };
    if value.is_null() || value.as_str().is_some_and(str::is_empty) {
        return Ok(if field.kind == FieldType::Boolean { json!(false) } else { Value::Null });
    }
    let given = value.as_str();
    match field.kind {
        FieldType::Boolean => match (value, given) {
            (Value::Bool(_), _) => Ok(value.clone()),
            (_, Some("true")) => Ok(json!(true)),
            (_, Some("false")) => Ok(json!(false)),
            _ => Err(cannot()),
        },
        kind if kind.is_number() => {
            let number = match value {
                Value::Number(_) | Value::String(_) => {
                    parse_decimal(plain(value).trim()).ok_or_else(cannot)?
                }
                _ => return Err(cannot()),
            };
            round(field, number)
        }
        FieldType::Date => {
            let date = given.and_then(|text| parse_date(text.get(..10).unwrap_or_default()));
            date.map(|date| json!(date.to_string())).ok_or_else(cannot)
        }
        FieldType::DateTime => given.and_then(read_time).map(|at| json!(stamp(at))).ok_or_else(cannot),
        FieldType::Id | FieldType::Reference => {
            let id = given.ok_or_else(cannot)?;
            let malformed = || {
                let message = format!("{}: id value of incorrect type: {id}", field.name);
                Refusal::of_fields("MALFORMED_ID", message, &[&field.name])
            };
            ids::full(id).map(|id| json!(id)).ok_or_else(malformed)
        }
        _ => written(field, given.ok_or_else(cannot)?),
    }
}

fn round(field: &FieldSeed, number: Decimal) -> Result<Value, Refusal> {
    let rounded =
        number.round_dp_with_strategy(field.scale, RoundingStrategy::MidpointAwayFromZero).normalize();
    let whole_digits = rounded.trunc().abs().to_string().len();
    let allowed = usize::try_from(field.length.saturating_sub(field.scale)).unwrap_or(usize::MAX);
    if whole_digits > allowed {
        let message = format!("{}: value outside of valid range on numeric field: {number}", field.name);
        return Err(Refusal::of_fields("NUMBER_OUTSIDE_VALID_RANGE", message, &[&field.name]));
    }
    // Decimal numbers always show a point.
    let shown = match rounded.to_string() {
        whole if field.kind != FieldType::Int && !whole.contains('.') => format!("{whole}.0"),
        other => other,
    };
    shown.parse().map(Value::Number).map_err(|_| Refusal::new(500, "UNKNOWN_EXCEPTION", shown))
}

fn written(field: &FieldSeed, given: &str) -> Result<Value, Refusal> {
    let length = u32::try_from(given.chars().count()).unwrap_or(u32::MAX);
    if length > field.length {
        let message = format!("{}: data value too large: {given} (max length={})", field.name, field.length);
        return Err(Refusal::of_fields("STRING_TOO_LONG", message, &[&field.name]));
    }
    let bad_choice = |value: &str| {
        let message = format!("{}: bad value for restricted picklist field: {value}", field.name);
        Refusal::of_fields("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &[&field.name])
    };
    match field.kind {
        FieldType::Picklist if !field.picklist.is_empty() => {
            let known = field.picklist.iter().find(|value| value.eq_ignore_ascii_case(given));
            known.map(|value| json!(value)).ok_or_else(|| bad_choice(given))
        }
        FieldType::MultiPicklist if !field.picklist.is_empty() => {
            let chosen: Vec<&str> = given.split(';').filter(|part| !part.is_empty()).collect();
            if let Some(unknown) =
                chosen.iter().find(|part| !field.picklist.iter().any(|value| value == *part))
            {
                return Err(bad_choice(unknown));
            }
            // Stored in the order in which the choices were defined.
            let mut kept = field.picklist.iter().map(String::as_str).collect::<Vec<_>>();
            kept.retain(|value| chosen.contains(value));
            Ok(json!(kept.join(";")))
        }
        FieldType::Email if !looks_like_email(given) => {
            let message = format!("{}: invalid email address: {given}", field.name);
            Err(Refusal::of_fields("INVALID_EMAIL_ADDRESS", message, &[&field.name]))
        }
        _ => Ok(json!(given)),
    }
}

fn looks_like_email(given: &str) -> bool {
    given.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !given.contains(char::is_whitespace) && !host.contains('@')
    })
}

/// The record with the changes in it, if the object's rules allow it.
pub(super) fn merged(
    world: &World,
    object: &ObjectSeed,
    id: &str,
    before: Option<&Value>,
    changes: &Map<String, Value>,
) -> Result<Value, Refusal> {
    let mut record = before.cloned().unwrap_or_else(|| json!({}));
    if let Value::Object(map) = &mut record {
        for (name, value) in changes {
            if value.is_null() {
                map.remove(name);
            } else {
                map.insert(name.clone(), value.clone());
            }
        }
    }
    let missing: Vec<&str> = object
        .fields
        .iter()
        .filter(|field| field.required && record.get(&field.name).is_none_or(Value::is_null))
        .filter(|field| before.is_none() || changes.contains_key(&field.name))
        .map(|field| field.name.as_str())
        .collect();
    if !missing.is_empty() {
        let message = format!("Required fields are missing: [{}]", missing.join(", "));
        return Err(Refusal::of_fields("REQUIRED_FIELD_MISSING", message, &missing));
    }
    for field in object.fields.iter().filter(|field| field.unique && changes.contains_key(&field.name)) {
        let Some(value) = record.get(&field.name) else { continue };
        if let Some(other) = holders(world, object, field, value).into_iter().find(|other| other != id) {
            let message =
                format!("duplicate value found: {} duplicates value on record with id: {other}", field.name);
            return Err(Refusal::of_fields("DUPLICATE_VALUE", message, &[]));
        }
    }
    Ok(record)
}

/// Gives a record that is written now its stamps, its id and its number.
pub(super) fn stamped(
    world: &mut World,
    writer: &Writer<'_>,
    object: &ObjectSeed,
    id: &str,
    mut record: Value,
) -> Value {
    let now = json!(stamp(world.now()));
    if text(&record, "CreatedDate").is_empty() {
        put(&mut record, "Id", json!(id));
        put(&mut record, "IsDeleted", json!(false));
        put(&mut record, "CreatedDate", now.clone());
        put(&mut record, "CreatedById", json!(writer.user));
        for field in object.fields.iter().filter(|field| field.auto_number) {
            let number = world.next_of(&format!("{}.{}", object.name, field.name));
            put(&mut record, &field.name, json!(format!("{number:08}")));
        }
    }
    put(&mut record, "LastModifiedDate", now.clone());
    put(&mut record, "LastModifiedById", json!(writer.user));
    put(&mut record, "SystemModstamp", now);
    record
}

/// Creates or updates a record with what `read` gave.
pub(super) fn store(
    world: &mut World,
    writer: &Writer<'_>,
    object: &ObjectSeed,
    id: &str,
    changes: &Map<String, Value>,
) -> Result<Arc<Value>, Refusal> {
    let before = world.get_any(&object.name, id);
    let record = merged(world, object, id, before.as_deref(), changes)?;
    let record = stamped(world, writer, object, id, record);
    let kind = if before.is_some() { "update" } else { "create" };
    Ok(world.save(Save { actor: writer.actor, kind, entity: &object.name, id, record }))
}

/// A new id for a record of this object.
pub(super) fn new_id(world: &mut World, object: &ObjectSeed) -> String {
    let number = world.next_of(&object.name);
    ids::make(object.key_prefix.as_deref().unwrap_or("a00"), number)
}
