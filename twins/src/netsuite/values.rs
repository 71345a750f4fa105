//! What may be stored in a record, and how the record API shows it.
//!
//! This file must not save anything.

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Map, Value, json};

use super::answers::{error, invalid_content, put, stamp, text, user_error};
use super::schema::{EXTERNAL_ID, FieldKind, FieldSeed, RecordSeed, Schema};
use crate::kit::{Answer, World};

/// Puts what a request body says into a record; `null` takes a value away.
pub(super) fn apply(
    world: &World,
    schema: &Schema,
    of_type: &RecordSeed,
    record: &mut Value,
    body: &Value,
    by_api: bool,
) -> Result<(), Answer> {
    let Value::Object(changes) = body else {
        return Err(invalid_content("The request body must be a JSON object.", None));
    };
    for (name, value) in changes {
        // What an answer says of the record itself may be sent back with it.
        if ["links", "id", "refName"].contains(&name.as_str()) {
            continue;
        }
        let field = of_type.find(name).ok_or_else(|| {
            invalid_content(&format!("Unknown reference or field '{name}' in {}.", of_type.name), Some(name))
        })?;
        if field.read_only && by_api {
            let detail = format!(
                "You do not have permissions to set a value for element {name} due to one of the \
                                  following reasons: 1) The field is read-only; 2) An associated feature is disabled."
            );
            return Err(user_error(&detail, Some(name)));
        }
        match convert(world, schema, field, value)? {
            Some(value) => put(record, name, value),
            None => {
                if let Value::Object(map) = record {
                    map.remove(name);
                }
            }
        }
    }
    Ok(())
}

/// Checks what is true of whole records: required values are there, unique ones are not taken.
pub(super) fn check(world: &World, of_type: &RecordSeed, id: &str, record: &Value) -> Result<(), Answer> {
    for field in &of_type.fields {
        let value = record.get(&field.name);
        if field.required && value.is_none() {
            let detail = format!("Please enter value(s) for: {}", field.name);
            return Err(user_error(&detail, Some(&field.name)));
        }
        let (true, Some(value)) = (field.unique, value) else { continue };
        let wanted = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let holders = world.list_any_where(&of_type.name, &field.name, &wanted);
        if holders.iter().any(|(other, _)| other != id) {
            let detail =
                format!("This record already exists: another {} has the same {}.", of_type.name, field.name);
            return Err(error(400, "DUP_ENTITY", &detail, Some(&field.name)));
        }
    }
    Ok(())
}

fn convert(
    world: &World,
    schema: &Schema,
    field: &FieldSeed,
    value: &Value,
) -> Result<Option<Value>, Answer> {
    let wrong = |wanted: &str| {
        let detail = format!("Invalid value for the field '{}': {wanted} is expected.", field.name);
        invalid_content(&detail, Some(&field.name))
    };
    match (&field.kind, value) {
        (_, Value::Null) => Ok(None),
        (FieldKind::Text, Value::String(text)) => {
            if text.is_empty() {
                return Ok(None);
            }
            match field.length {
                Some(most) if text.chars().count() > most => Err(user_error(
                    &format!(
                        "The field {} contained more than the maximum number ( {most} ) of characters allowed.",
                        field.name
                    ),
                    Some(&field.name),
                )),
                _ => Ok(Some(value.clone())),
            }
        }
        (FieldKind::Text, _) => Err(wrong("a string")),
        (FieldKind::Number(scale), Value::Number(number)) => {
            let number = number.to_string();
            let exact = number.parse::<Decimal>().or_else(|_| Decimal::from_scientific(&number));
            let exact = exact.map_err(|_| wrong("a number of at most 28 digits"))?;
            let rounded = exact.round_dp_with_strategy(*scale, RoundingStrategy::MidpointAwayFromZero);
            let stored = rounded.to_string().parse().map_err(|_| wrong("a number"))?;
            Ok(Some(Value::Number(stored)))
        }
        (FieldKind::Number(_), _) => Err(wrong("a number")),
        (FieldKind::Boolean, Value::Bool(_)) => Ok(Some(value.clone())),
        (FieldKind::Boolean, _) => Err(wrong("true or false")),
        (FieldKind::Date, Value::String(text)) if text.len() == 10 && text.parse::<Date>().is_ok() => {
            Ok(Some(value.clone()))
        }
        (FieldKind::Date, _) => Err(wrong("a date as YYYY-MM-DD")),
        (FieldKind::DateTime, Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(at) => Ok(Some(json!(stamp(at)))),
            Err(_) => Err(wrong("a date and time as YYYY-MM-DDThh:mm:ssZ")),
        },
        (FieldKind::DateTime, _) => Err(wrong("a date and time as YYYY-MM-DDThh:mm:ssZ")),
        (FieldKind::Reference(target), Value::Object(given)) => {
            referenced(world, schema, field, target, given).map(Some)
        }
        (FieldKind::Reference(_), _) => Err(wrong("an object with 'id' or 'externalId'")),
        (FieldKind::Select(options), Value::Object(given)) => {
            let id = given.get("id").and_then(Value::as_str).unwrap_or_default();
            match options.iter().any(|(option, _)| option == id) {
                true => Ok(Some(json!({"id": id}))),
                false => Err(bad_key(field, id)),
            }
        }
        (FieldKind::Select(_), _) => Err(wrong("an object with 'id'")),
    }
}

fn referenced(
    world: &World,
    schema: &Schema,
    field: &FieldSeed,
    target: &str,
    given: &Map<String, Value>,
) -> Result<Value, Answer> {
    let types =
        schema.types.iter().filter(|record| target.is_empty() || record.name.eq_ignore_ascii_case(target));
    let id = match given.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    let external = given.get(EXTERNAL_ID).and_then(Value::as_str).unwrap_or_default();
    for of_type in types {
        let found = if id.is_empty() {
            by_external_id(world, of_type, external)
        } else {
            world.get_any(&of_type.name, &id).map(|_| id.clone())
        };
        if let Some(found) = found {
            return Ok(json!({"id": found}));
        }
    }
    Err(bad_key(field, if id.is_empty() { external } else { &id }))
}

fn bad_key(field: &FieldSeed, id: &str) -> Answer {
    let detail = format!("Invalid Field Value {id} for the following field: {}", field.name);
    error(400, "INVALID_KEY_OR_REF", &detail, Some(&field.name))
}

/// The id of the record with that external id.
pub(super) fn by_external_id(world: &World, of_type: &RecordSeed, external: &str) -> Option<String> {
    if external.is_empty() {
        return None;
    }
    let holders = world.list_any_where(&of_type.name, EXTERNAL_ID, external);
    holders.into_iter().map(|(id, _)| id).next()
}

/// What stands for a record where only one line is shown.
pub(super) fn display_name(of_type: &RecordSeed, record: &Value) -> String {
    let names = ["companyName", "tranId", "entityId", "itemId", "name"];
    let known = names.iter().find(|name| of_type.find(name).is_some() && !text(record, name).is_empty());
    known.map(|name| text(record, name).to_owned()).unwrap_or_default()
}

/// A record as the record API shows it.
pub(super) fn show(
    world: &World,
    schema: &Schema,
    of_type: &RecordSeed,
    id: &str,
    record: &Value,
    url: &str,
) -> Value {
    let mut shown = json!({"links": [{"rel": "self", "href": url}], "id": id});
    for field in &of_type.fields {
        let value = match (&field.kind, record.get(&field.name)) {
            (FieldKind::Boolean, None) => json!(false),
            (_, None) => continue,
            (FieldKind::Reference(target), Some(value)) => {
                let id = text(value, "id");
                json!({"id": id, "refName": reference_name(world, schema, target, id)})
            }
            (FieldKind::Select(options), Some(value)) => {
                let id = text(value, "id");
                let option = options.iter().find(|(option, _)| option == id);
                json!({"id": id, "refName": option.map(|(_, name)| name.as_str()).unwrap_or_default()})
            }
            (_, Some(value)) => value.clone(),
        };
        put(&mut shown, &field.name, value);
    }
    shown
}

fn reference_name(world: &World, schema: &Schema, target: &str, id: &str) -> String {
    let types =
        schema.types.iter().filter(|record| target.is_empty() || record.name.eq_ignore_ascii_case(target));
    let mut found =
        types.filter_map(|of_type| Some(display_name(of_type, &*world.get_any(&of_type.name, id)?)));
    found.next().unwrap_or_default()
}
