//! How Salesforce wraps what it answers: error lists, timestamps.
//!
//! This file must not read or write records.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kit::Answer;

/// Ok is the answer to a request that succeeded, Err why it was refused.
pub(super) type Reply = Result<Answer, Refusal>;

/// Why a request, or one record of it, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Status code when it is the whole answer.
    pub(super) status: u16,
    /// The `errorCode`.
    pub(super) code: String,
    /// The sentence.
    pub(super) message: String,
    /// The fields at fault; absent from the body when the vendor leaves them out.
    pub(super) fields: Option<Vec<String>>,
}

impl Refusal {
    /// A refusal that names no fields.
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.into(), fields: None }
    }

    /// A refusal of what was written, with the fields at fault.
    pub(super) fn of_fields(code: &str, message: impl Into<String>, fields: &[&str]) -> Refusal {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Refusal { status: 400, code: code.to_owned(), message: message.into(), fields: Some(fields) }
    }

    /// The whole answer: a list with one error.
    pub(super) fn answer(&self) -> Answer {
        let mut error = json!({"message": self.message, "errorCode": self.code});
        if let Some(fields) = &self.fields {
            put(&mut error, "fields", json!(fields));
        }
        Answer::json(self.status, &json!([error]))
    }

    /// The error as one row of a collection shows it.
    pub(super) fn row(&self) -> Value {
        json!({"statusCode": self.code, "message": self.message, "fields": self.fields.clone().unwrap_or_default()})
    }
}

pub(super) fn session_invalid() -> Refusal {
    Refusal::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(404, "NOT_FOUND", "The requested resource does not exist")
}

pub(super) fn method_not_allowed(method: &str, allowed: &str) -> Refusal {
    let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
    Refusal::new(405, "METHOD_NOT_ALLOWED", message)
}

/// A timestamp as answers write it: whole seconds, in UTC.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}

/// Reads a timestamp with a zone: `Z`, `+02:00` or `+0200`.
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    if !text.contains('T') {
        return None;
    }
    // The offset without a colon is what Salesforce itself writes.
    let bare = text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)).filter(|(_, offset)| {
        offset.starts_with(['+', '-']) && offset.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    });
    match bare.and_then(|(head, offset)| Some((head, offset.split_at_checked(3)?))) {
        Some((head, (hours, minutes))) => format!("{head}{hours}:{minutes}").parse().ok(),
        None => text.parse().ok(),
    }
}

/// The text of a member, empty when there is none.
pub(super) fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Sets a member of an object.
pub(super) fn put(record: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = record {
        map.insert(key.to_owned(), value);
    }
}
