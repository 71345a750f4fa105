//! How Tallyfy wraps what it answers: envelopes, pages, error bodies, timestamps.
//!
//! This file must not read or write records.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::kit::{Answer, Request};

/// Ok is the answer to a request that succeeded, Err the answer to one that did not.
pub(super) type Reply = Result<Answer, Answer>;

/// Page size when none is asked for.
const PER_PAGE: usize = 10;
/// The largest page size on the lists that have a cap.
const PER_PAGE_CAP: usize = 100;

/// A timestamp as responses write it.
pub(super) fn stamp(at: Timestamp) -> Value {
    Value::String(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// Reads a timestamp in any of the forms that requests may use.
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let with_time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok();
    let date = || jiff::civil::Date::strptime("%Y-%m-%d", text).ok().map(|date| date.at(0, 0, 0, 0));
    with_time.or_else(date)?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Moves a deadline that falls on a weekend to the Monday after it.
pub(super) fn to_working_day(at: Timestamp) -> Timestamp {
    let days = match at.to_zoned(jiff::tz::TimeZone::UTC).weekday() {
        jiff::civil::Weekday::Saturday => 2,
        jiff::civil::Weekday::Sunday => 1,
        _ => 0,
    };
    at.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(at)
}

/// One item in its envelope.
pub(super) fn item(status: u16, data: Value) -> Answer {
    Answer::json(status, &json!({"data": data}))
}

/// A list in its envelope, cut to the page that the request asks for.
///
/// `links` is an empty list when there is nothing to link to, as PHP writes an empty map, and the link names
/// the page only: whoever follows it blindly loses the other parameters.
pub(super) fn page(request: &Request, rows: Vec<Value>, default_size: Option<usize>) -> Answer {
    page_of(request, &rows, default_size, Value::clone)
}

/// The same for rows that are rendered only when they are on the page.
pub(super) fn page_of<T>(
    request: &Request,
    rows: &[T],
    default_size: Option<usize>,
    render: impl Fn(&T) -> Value,
) -> Answer {
    let number = |name: &str| request.query_literal_plus(name).and_then(|text| text.parse::<usize>().ok());
    if request.query_literal_plus("without_pagination").as_deref() == Some("true") {
        let data: Vec<Value> = rows.iter().map(render).collect();
        return Answer::json(200, &json!({"data": data}));
    }
    let size = match (number("per_page"), default_size) {
        (Some(asked), None) => asked.clamp(1, PER_PAGE_CAP),
        (Some(asked), Some(default)) => asked.clamp(1, default.max(PER_PAGE_CAP)),
        (None, default) => default.unwrap_or(PER_PAGE),
    };
    let current = number("page").unwrap_or(1).max(1);
    let total = rows.len();
    let pages = total.div_ceil(size).max(1);
    let data: Vec<Value> =
        rows.iter().skip((current - 1).saturating_mul(size)).take(size).map(render).collect();
    let link = |page: usize| json!(format!("{}{}?page={page}", request.base_url, request.path));
    let mut links = Map::new();
    if current > 1 {
        links.insert("previous".to_owned(), link(current - 1));
    }
    if current < pages {
        links.insert("next".to_owned(), link(current + 1));
    }
    let links = if links.is_empty() { json!([]) } else { Value::Object(links) };
    let pagination = json!({
        "total": total, "count": data.len(), "per_page": size, "current_page": current, "total_pages": pages,
        "links": links,
    });
    Answer::json(200, &json!({"data": data, "meta": {"pagination": pagination}}))
}

/// The record does not exist, or may not be seen.
pub(super) fn not_found() -> Answer {
    Answer::json(404, &json!({"error": true, "message": "Resource not found", "code": "RESOURCE_NOT_FOUND"}))
}

/// There is no such path.
pub(super) fn no_endpoint() -> Answer {
    Answer::json(
        404,
        &json!({"error": true, "message": "API endpoint not found", "code": "ENDPOINT_NOT_FOUND"}),
    )
}

/// No valid token, or no client header.
pub(super) fn unauthenticated() -> Answer {
    Answer::json(401, &json!({"error": true, "message": "Unauthenticated."}))
}

/// The token's user may not do this.
pub(super) fn forbidden(message: &str) -> Answer {
    Answer::json(403, &json!({"message": message}))
}

/// The request is well formed and refused, for one field.
pub(super) fn refused(field: &str, message: &str) -> Answer {
    refused_all(&[(field.to_owned(), message.to_owned())])
}

/// The request is well formed and refused, for several fields.
pub(super) fn refused_all(problems: &[(String, String)]) -> Answer {
    let mut errors: Map<String, Value> = Map::new();
    for (field, message) in problems {
        if let Value::Array(messages) = errors.entry(field.clone()).or_insert_with(|| json!([])) {
            messages.push(json!(message));
        }
    }
    let first = problems.first().map(|(_, message)| message.as_str()).unwrap_or_default();
    Answer::json(422, &json!({"error": true, "message": first, "errors": errors}))
}

/// The body is not JSON.
pub(super) fn bad_request(message: &str) -> Answer {
    Answer::json(400, &json!({"message": message}))
}

/// Text of a member of an object; empty when it is none.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a member of an object is there and not null.
pub(super) fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|member| !member.is_null())
}

/// Whether a member of an object is true, 1 or "true".
pub(super) fn truthy(value: &Value, key: &str) -> bool {
    match value.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        Some(Value::String(text)) => text == "true" || text == "1",
        _ => false,
    }
}

/// The list under a key; empty when it is none.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether an id, a number or a text, is the one that a query parameter writes.
pub(super) fn is_id(id: &Value, written: &str) -> bool {
    match id {
        Value::String(id) => id == written,
        id => id.as_u64().is_some_and(|id| written.parse() == Ok(id)),
    }
}

/// Puts a member into an object.
pub(super) fn put(record: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = record {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_the_guides_use() {
        let moment: Timestamp = "2026-05-02T09:00:00Z".parse().unwrap();
        for text in ["2026-05-02T09:00:00.000Z", "2026-05-02T11:00:00+02:00", "2026-05-02 09:00:00"] {
            assert_eq!(read_time(text), Some(moment), "{text}");
        }
        assert_eq!(read_time("2026-05-02").map(stamp), Some(json!("2026-05-02T00:00:00.000Z")));
        assert_eq!(read_time("2026-31-12"), None);
        assert_eq!(stamp(to_working_day(moment)), json!("2026-05-04T09:00:00.000Z"));
    }

    #[test]
    fn links_are_an_empty_list_on_an_only_page_and_name_the_page_alone_otherwise() {
        let rows = |count: usize| (0..count).map(|row| json!(row)).collect::<Vec<_>>();
        let only = page(&Request::new("GET", "/x/runs"), rows(3), None).body_json();
        assert_eq!(only["meta"]["pagination"]["links"], json!([]));
        assert_eq!(only["meta"]["pagination"]["per_page"], json!(10));
        let middle = page(&Request::new("GET", "/x/runs?per_page=2&page=2&q=a"), rows(5), None).body_json();
        assert_eq!(middle["data"], json!([2, 3]));
        assert_eq!(
            middle["meta"]["pagination"],
            json!({"total": 5, "count": 2, "per_page": 2, "current_page": 2, "total_pages": 3, "links": {
                "previous": "http://twin.invalid/x/runs?page=1", "next": "http://twin.invalid/x/runs?page=3"}})
        );
        let capped = page(&Request::new("GET", "/x?per_page=500"), rows(250), None).body_json();
        assert_eq!(capped["data"].as_array().unwrap().len(), 100);
        let all = page(&Request::new("GET", "/x?without_pagination=true"), rows(250), None).body_json();
        assert_eq!((all["data"].as_array().unwrap().len(), all.get("meta")), (250, None));
    }
}
