//! Small readings of Tallyfy's JSON, tolerant where the API is known to vary.
//!
//! PHP prints an empty map as `[]`, relations come wrapped in `data` or bare, ids are numbers or texts.
//! Nothing here decides what a value means.

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

/// A member that is there and not null.
pub fn member<'a>(object: &'a Json, name: &str) -> Option<&'a Json> {
    object.get(name).filter(|value| !value.is_null())
}

/// A member as text: numbers as they are printed.
pub fn text(object: &Json, name: &str) -> Option<String> {
    member(object, name).and_then(scalar)
}

/// A scalar as text; `None` for null, lists and maps.
pub fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The content of an envelope: `{"data": X}` gives X, anything else itself.
pub fn unwrap(body: &Json) -> &Json {
    body.get("data").unwrap_or(body)
}

/// A list that may be wrapped in `data`, null, or an empty map.
pub fn items(value: Option<&Json>) -> &[Json] {
    match value.map(unwrap) {
        Some(Json::Array(list)) => list,
        _ => &[],
    }
}

/// A map that may be printed as an empty list; `None` when it is not there at all or not a map.
pub fn map(value: Option<&Json>) -> Option<Map<String, Json>> {
    match value {
        Some(Json::Object(map)) => Some(map.clone()),
        Some(Json::Array(list)) if list.is_empty() => Some(Map::new()),
        _ => None,
    }
}

/// True for PHP's and JSON's ways to say yes.
pub fn truthy(value: Option<&Json>) -> bool {
    match value {
        Some(Json::Bool(flag)) => *flag,
        Some(Json::Number(number)) => number.to_string() != "0",
        Some(Json::String(text)) => matches!(text.as_str(), "1" | "true" | "yes"),
        _ => false,
    }
}

/// An instant in any of the forms Tallyfy answers with; without a zone it is UTC.
pub fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(found) = text.parse::<Timestamp>() {
        return Some(found);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// An instant in the one spelling that is handed on, because Tallyfy prints the same one as `...Z`,
/// `....000Z`, `....000000Z`, `+00:00` or without a zone, depending on the call.
pub fn canonical_instant(value: &Json) -> Json {
    match value {
        Json::String(text) => match instant(text) {
            Some(found) => Json::String(found.to_string()),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// A day or an instant as an instant; a day begins at midnight UTC, as Tallyfy stores it.
pub fn moment(text: &str) -> Option<Timestamp> {
    match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() == 10 => instant(&format!("{day}T00:00:00Z")),
        _ => instant(text),
    }
}

/// An id for a write: users are integers in Tallyfy, everything else is text.
pub fn user_id(text: &str) -> Option<Json> {
    text.parse::<u64>().ok().map(Json::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn takes_wrapped_and_bare_lists() {
        assert_eq!(items(Some(&json!({"data": [1]}))), &[json!(1)]);
        assert_eq!(items(Some(&json!([1]))), &[json!(1)]);
        assert!(items(Some(&json!({}))).is_empty());
        assert!(items(None).is_empty());
    }

    #[test]
    fn an_empty_list_is_an_empty_map_but_nothing_is_not() {
        assert_eq!(map(Some(&json!([]))), Some(Map::new()));
        assert_eq!(map(Some(&json!([1]))), None);
        assert_eq!(map(None), None);
    }

    #[test]
    fn instants_get_one_spelling() {
        for text in [
            "2026-05-05T17:00:00Z",
            "2026-05-05T17:00:00.000Z",
            "2026-05-05T17:00:00.000000Z",
            "2026-05-05T17:00:00+00:00",
            "2026-05-05 17:00:00",
        ] {
            assert_eq!(canonical_instant(&json!(text)), json!("2026-05-05T17:00:00Z"), "{text}");
        }
        assert_eq!(canonical_instant(&json!("soon")), json!("soon"));
        assert_eq!(canonical_instant(&Json::Null), Json::Null);
    }
}
