//! What a form field accepts: one validator for kick-off fields and for fields of tasks.
//!
//! This file must not read or write records.

use serde_json::{Map, Value};

use super::answers::{has, list, read_time, text, truthy};

/// Keeps the values whose key is a field, and checks their shapes.
///
/// Unknown keys vanish without a word, as the API does it; a value that is no object loses everything.
pub(super) fn accept(
    definitions: &[Value],
    sent: &Value,
    problems: &mut Vec<(String, String)>,
) -> Map<String, Value> {
    let mut accepted = Map::new();
    let Value::Object(sent) = sent else { return accepted };
    for definition in definitions {
        let id = text(definition, "id");
        let Some(value) = sent.get(id) else { continue };
        match problem(definition, value) {
            Some(message) => problems.push((id.to_owned(), message)),
            None => {
                accepted.insert(id.to_owned(), value.clone());
            }
        }
    }
    accepted
}

/// The fields that must be filled and are not, as the messages of the API.
pub(super) fn missing(definitions: &[Value], values: &Map<String, Value>) -> Vec<(String, String)> {
    definitions
        .iter()
        .filter(|definition| truthy(definition, "required"))
        .filter(|definition| values.get(text(definition, "id")).is_none_or(is_blank))
        .map(|definition| {
            (text(definition, "id").to_owned(), format!("{} is required", text(definition, "label")))
        })
        .collect()
}

/// Null, false, 0, an empty text or an empty list: what clears a field.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn problem(definition: &Value, value: &Value) -> Option<String> {
    let label = text(definition, "label");
    let kind = text(definition, "field_type");
    if kind == "table" {
        let columns = list(definition, "columns").len();
        return match value {
            Value::Array(cells) if cells.len() == columns => None,
            _ => Some("Number of columns does not match required columns".to_owned()),
        };
    }
    if is_blank(value) {
        return None;
    }
    let wrong = |what: &str| Some(format!("{label} {what}"));
    match kind {
        "text" => match value {
            Value::String(text) if text.chars().count() > 200 => {
                wrong("may not be greater than 200 characters")
            }
            Value::Array(_) | Value::Object(_) => wrong("must be a string"),
            _ => None,
        },
        "textarea" => match value {
            Value::String(text) if text.chars().count() > 30000 => {
                wrong("may not be greater than 30000 characters")
            }
            Value::String(_) => None,
            _ => wrong("must be a string"),
        },
        "date" => match value {
            Value::String(text) if read_time(text).is_some() => None,
            _ => wrong("is not a valid date"),
        },
        "radio" => match value {
            Value::String(chosen) if options(definition).any(|option| text(option, "text") == chosen) => None,
            _ => wrong("is not one of the options"),
        },
        "dropdown" => {
            if options(definition).any(|option| same_option(option, value)) {
                None
            } else {
                wrong("is not one of the options")
            }
        }
        "multiselect" => match value {
            Value::Array(chosen)
                if chosen
                    .iter()
                    .all(|choice| options(definition).any(|option| same_option(option, choice))) =>
            {
                None
            }
            _ => wrong("is not a list of options"),
        },
        "file" => match value {
            Value::Array(files) if files.iter().all(is_file) => None,
            _ => wrong("must be a list of files"),
        },
        "assignees_form" => {
            if value.is_object() {
                None
            } else {
                wrong("must be an object")
            }
        }
        _ => None,
    }
}

fn options(definition: &Value) -> impl Iterator<Item = &Value> {
    list(definition, "options").iter()
}

fn same_option(option: &Value, chosen: &Value) -> bool {
    chosen.get("id").is_some()
        && option.get("id") == chosen.get("id")
        && option.get("text") == chosen.get("text")
}

fn is_file(file: &Value) -> bool {
    has(file, "filename") && (has(file, "id") || has(file, "url") || has(file, "full_url"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(kind: &str) -> Value {
        json!({"id": "f", "label": "F", "field_type": kind, "required": true,
               "options": [{"id": 1, "text": "Low"}, {"id": 2, "text": "High"}], "columns": [{"id": 1}, {"id": 2}]})
    }

    fn passes(kind: &str, value: Value) -> bool {
        let mut problems = Vec::new();
        let kept = accept(&[field(kind)], &json!({"f": value.clone(), "unknown": 1}), &mut problems);
        assert_eq!(kept.get("f") == Some(&value), problems.is_empty());
        assert!(!kept.contains_key("unknown"));
        problems.is_empty()
    }

    #[test]
    fn each_type_takes_its_own_shape_only() {
        for (kind, good) in [
            ("text", json!("a")),
            ("text", json!(12)),
            ("textarea", json!("a")),
            ("date", json!("2026-05-15T00:00:00.000Z")),
            ("radio", json!("High")),
            ("dropdown", json!({"id": 2, "text": "High", "value": null})),
            ("multiselect", json!([{"id": 1, "text": "Low", "selected": true}])),
            ("table", json!(["a", "b"])),
            ("file", json!([{"filename": "x.pdf", "source": "url", "url": "https://x.example/x.pdf"}])),
            ("assignees_form", json!({"users": [1], "guests": [], "groups": []})),
            ("date", json!("")),
            ("dropdown", json!(null)),
        ] {
            assert!(passes(kind, good.clone()), "{kind} {good}");
        }
        for (kind, bad) in [
            ("text", json!("x".repeat(201))),
            ("text", json!({"value": "a"})),
            ("textarea", json!(12)),
            ("date", json!(1_700_000_000)),
            ("date", json!("soon")),
            ("radio", json!("high")),
            ("dropdown", json!("High")),
            ("dropdown", json!({"id": 1, "text": "High"})),
            ("multiselect", json!(["Low"])),
            ("table", json!(["a"])),
            ("table", json!("")),
            ("file", json!("x.pdf")),
            ("assignees_form", json!("kim")),
        ] {
            assert!(!passes(kind, bad.clone()), "{kind} {bad}");
        }
    }

    #[test]
    fn required_means_not_blank() {
        let filled = |value: Value| Map::from_iter([("f".to_owned(), value)]);
        assert_eq!(missing(&[field("text")], &Map::new()), [("f".to_owned(), "F is required".to_owned())]);
        assert_eq!(missing(&[field("text")], &filled(json!(""))).len(), 1);
        assert!(missing(&[field("text")], &filled(json!("0"))).is_empty());
    }
}
