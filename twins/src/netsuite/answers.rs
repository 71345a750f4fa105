//! How NetSuite wraps what it answers: error bodies, links, timestamps.
//!
//! This file must not read or write records.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kit::{Answer, Request};

/// Ok is the answer to a request that succeeded, Err the answer to one that did not.
pub(super) type Reply = Result<Answer, Answer>;

/// The media type of answers to the record service.
const RESOURCE: &str = "application/vnd.oracle.resource+json; type=";

/// A timestamp as the record API writes it: whole seconds, UTC.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An answer of the record service: `kind` is `singular` or `collection`.
pub(super) fn resource(kind: &str, body: &Value) -> Answer {
    Answer::text(200, &format!("{RESOURCE}{kind}"), &body.to_string())
}

/// An error body with one detail.
pub(super) fn error(status: u16, code: &str, detail: &str, path: Option<&str>) -> Answer {
    let (title, section) = match status {
        400 => ("Bad Request", "sec10.4.1"),
        401 => ("Unauthorized", "sec10.4.2"),
        403 => ("Forbidden", "sec10.4.4"),
        404 => ("Not Found", "sec10.4.5"),
        405 => ("Method Not Allowed", "sec10.4.6"),
        429 => ("Too Many Requests", "sec10.4"),
        503 => ("Service Unavailable", "sec10.5.4"),
        _ => ("Internal Server Error", "sec10.5.1"),
    };
    let mut entry = json!({"detail": detail, "o:errorCode": code});
    if let (Some(path), Value::Object(map)) = (path, &mut entry) {
        map.insert("o:errorPath".to_owned(), json!(path));
    }
    let body = json!({
        "type": format!("https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#{section}"),
        "title": title, "status": status, "o:errorDetails": [entry],
    });
    Answer::text(status, "application/vnd.oracle.resource+json; type=error", &body.to_string())
}

/// The content of the request does not fit the record.
pub(super) fn invalid_content(detail: &str, path: Option<&str>) -> Answer {
    error(400, "INVALID_CONTENT", detail, path)
}

/// A rule of the record or of the account refuses the save.
pub(super) fn user_error(detail: &str, path: Option<&str>) -> Answer {
    error(400, "USER_ERROR", detail, path)
}

/// A query parameter or the query itself is wrong.
pub(super) fn invalid_parameter(detail: &str) -> Answer {
    error(400, "INVALID_PARAMETER", detail, None)
}

/// There is no record with this id.
pub(super) fn nonexistent() -> Answer {
    let detail = "The record instance does not exist. Provide a valid record instance ID.";
    error(404, "NONEXISTENT_ID", detail, None)
}

/// There is no such path or record type.
pub(super) fn no_resource(path: &str) -> Answer {
    error(404, "NONEXISTENT_TYPE", &format!("The resource {path} does not exist."), None)
}

/// The request was not let in.
pub(super) fn unauthorized(code: &str) -> Answer {
    let detail = "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at Setup > \
                  Users/Roles > User Management > View Login Audit Trail.";
    let challenge =
        "Bearer realm=\"NetSuite\", error=\"invalid_token\", error_description=\"Invalid login attempt.\"";
    error(401, code, detail, None).with_header("www-authenticate", challenge)
}

/// Too many requests of the account are under way.
pub(super) fn concurrency() -> Answer {
    let detail = "Concurrent request limit exceeded. Request blocked.";
    error(429, "CONCURRENCY_LIMIT_EXCEEDED", detail, None)
}

/// The offset and limit that a list request asks for, with the rules that NetSuite has for both.
pub(super) fn window(request: &Request) -> Result<(usize, usize), Answer> {
    let number = |name: &str, default: usize| match request.query(name) {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| {
            invalid_parameter(&format!("Invalid value '{text}' for the query parameter '{name}'."))
        }),
    };
    let limit = number("limit", LARGEST_PAGE)?;
    let offset = number("offset", 0)?;
    if limit == 0 || limit > LARGEST_PAGE {
        return Err(invalid_parameter("The limit must be between 1 and 1000."));
    }
    if offset % limit != 0 {
        return Err(invalid_parameter("The offset must be divisible by the limit."));
    }
    Ok((limit, offset))
}

/// The largest page of any list.
const LARGEST_PAGE: usize = 1000;

/// One page of a list in its envelope; `items` is the page alone.
pub(super) fn page(request: &Request, items: Vec<Value>, limit: usize, offset: usize, total: usize) -> Value {
    let has_more = offset.saturating_add(items.len()) < total;
    let link = |rel: &str, at: usize| json!({"rel": rel, "href": format!("{}{}?limit={limit}&offset={at}", request.base_url, request.path)});
    let mut links = Vec::new();
    if offset > 0 {
        links.push(link("first", 0));
        links.push(link("prev", offset.saturating_sub(limit)));
    }
    if has_more {
        links.push(link("next", offset.saturating_add(limit)));
        links.push(link("last", total.saturating_sub(1) / limit * limit));
    }
    links.push(link("self", offset));
    json!({"links": links, "count": items.len(), "hasMore": has_more, "items": items, "offset": offset,
           "totalResults": total})
}

/// Text of a member of an object; empty when it is none.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Puts a member into an object.
pub(super) fn put(record: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = record {
        map.insert(key.to_owned(), value);
    }
}
