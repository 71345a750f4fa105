//! What an answer of Tallyfy means: data, or one of the failure classes with a sentence for a person.
//!
//! Pure. Tallyfy prints errors in several shapes (`error` as flag, text or map; `message` at the top or
//! nested; `errors` by field) and at times whole stack traces; all of them end here.

use serde_json::Value as Json;

use super::json::scalar;
use crate::connector::api::{Applied, Failure, FailureClass};
use crate::ports::HttpResponse;

/// Reads an answer: the JSON of a success (null for an empty body), or a failure.
///
/// # Errors
/// By status, as `classify` says. A success that is no JSON is a `Bug`; for a write its outcome is unknown.
pub fn read(response: &HttpResponse, attempted: &str, writes: bool) -> Result<Json, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(classify(response, attempted));
    }
    if response.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Json::Null);
    }
    serde_json::from_slice(&response.body).map_err(|error| {
        let mut failure = Failure::new(
            FailureClass::Bug,
            attempted,
            format!("status {} with a body that is not JSON ({error})", response.status),
        );
        if writes {
            failure.applied = Applied::Unknown;
        }
        failure
    })
}

/// The failure that a status other than success means. All of these changed nothing.
fn classify(response: &HttpResponse, attempted: &str) -> Failure {
    let body: Json = serde_json::from_slice(&response.body).unwrap_or(Json::Null);
    let said = message(&body);
    let status = response.status;
    let (class, advice) = match status {
        401 => (FailureClass::Auth, "the credential is refused"),
        403 => (FailureClass::Forbidden, "the Tallyfy user may not do this, or a business rule forbids it"),
        404 if code(&body).as_deref() == Some("ENDPOINT_NOT_FOUND") => (
            FailureClass::Invalid,
            "Tallyfy has no such address: check `base_url`, `organization` and `api` of the system",
        ),
        404 | 410 => (FailureClass::Gone, "not there, or not visible to this Tallyfy user"),
        409 => (FailureClass::Held, "Tallyfy refuses it as things stand"),
        429 => (FailureClass::Throttled, "too many calls"),
        423 => (FailureClass::Locked, "locked for the moment"),
        300..=399 => {
            (FailureClass::Bug, "a redirect, which is never followed: check `base_url` of the system")
        }
        500..=599 => (FailureClass::Transient, "an error inside Tallyfy"),
        _ => (FailureClass::Invalid, "Tallyfy refuses the request"),
    };
    let answered = match said {
        Some(said) if status < 500 => format!("status {status}: {said} ({advice})"),
        _ => format!("status {status} ({advice})"),
    };
    let mut failure = Failure::new(class, attempted, answered);
    failure.fields = fields(&body);
    failure
}

/// The machine-readable code, wherever it stands.
fn code(body: &Json) -> Option<String> {
    body.get("code").and_then(scalar).or_else(|| body.get("error")?.get("code").and_then(scalar))
}

/// What the body says, in one line.
fn message(body: &Json) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let nested = body.get("error");
    for candidate in [
        body.get("message"),
        nested.and_then(|error| error.get("message")),
        nested.filter(|error| error.is_string()),
        body.get("error_description"),
    ] {
        if let Some(text) = candidate.and_then(scalar)
            && !parts.contains(&text)
        {
            parts.push(text);
        }
    }
    if let Some(Json::Object(errors)) = body.get("errors").or_else(|| nested?.get("errors")) {
        for (field, said) in errors {
            let mut leaves = Vec::new();
            collect(said, &mut leaves);
            parts.push(format!("{field}: {}", leaves.join("; ")));
        }
    }
    let line = scrub(&parts.join("; "));
    (!line.is_empty()).then_some(line)
}

/// The fields that the body complains about.
fn fields(body: &Json) -> Vec<String> {
    match body.get("errors").or_else(|| body.get("error")?.get("errors")) {
        Some(Json::Object(errors)) => errors.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn collect(said: &Json, leaves: &mut Vec<String>) {
    match said {
        Json::Array(list) => list.iter().for_each(|entry| collect(entry, leaves)),
        Json::Object(map) => map.values().for_each(|entry| collect(entry, leaves)),
        other => leaves.extend(scalar(other)),
    }
}

/// One line without markup, capped; what leaks from the inside of the server is left out.
pub fn scrub(text: &str) -> String {
    const MOST: usize = 400;
    if text.contains("SQLSTATE") || text.contains("Stack trace") {
        return "an error inside Tallyfy (details withheld)".to_owned();
    }
    let mut plain = String::new();
    let mut inside = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '<' if rest.peek().is_some_and(|next| next.is_ascii_alphabetic() || "/!".contains(*next)) => {
                inside = true;
            }
            '>' if inside => {
                inside = false;
                plain.push(' ');
            }
            _ if inside => {}
            other => plain.push(if other.is_control() { ' ' } else { other }),
        }
    }
    let mut line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > MOST {
        line = line.chars().take(MOST).collect();
        line.push_str(" ...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    fn failure(status: u16, body: &str) -> Failure {
        read(&answer(status, body), "read process b0c1 in tallyfy", false).unwrap_err()
    }

    #[test]
    fn every_shape_of_error_becomes_a_sentence() {
        for body in [
            r#"{"error":true,"message":"Nope"}"#,
            r#"{"error":{"code":"X","message":"Nope"}}"#,
            r#"{"error":"Nope"}"#,
            r#"{"message":"<b>Nope</b>"}"#,
        ] {
            let found = failure(403, body);
            assert_eq!(found.class, FailureClass::Forbidden);
            assert!(found.answered.starts_with("status 403: Nope ("), "{}", found.answered);
        }
    }

    #[test]
    fn refused_fields_are_named() {
        let body =
            r#"{"error":true,"errors":{"prerun.a1":["Order number is required"],"name":[{"x":"too long"}]}}"#;
        let found = failure(422, body);
        assert_eq!(found.class, FailureClass::Invalid);
        assert_eq!(found.fields, vec!["name", "prerun.a1"]);
        assert!(found.answered.contains("Order number is required") && found.answered.contains("too long"));
    }

    #[test]
    fn a_wrong_address_is_not_a_missing_record() {
        let wrong =
            failure(404, r#"{"error":true,"message":"API endpoint not found","code":"ENDPOINT_NOT_FOUND"}"#);
        assert_eq!(wrong.class, FailureClass::Invalid);
        assert!(wrong.answered.contains("base_url"));
        let gone =
            failure(404, r#"{"error":true,"message":"Resource not found","code":"RESOURCE_NOT_FOUND"}"#);
        assert_eq!(gone.class, FailureClass::Gone);
    }

    #[test]
    fn the_other_statuses_have_their_classes() {
        assert_eq!(failure(401, r#"{"error":"invalid_client"}"#).class, FailureClass::Auth);
        assert_eq!(
            failure(409, r#"{"error":{"code":"SEAT_POOL_EXHAUSTED","message":"full"}}"#).class,
            FailureClass::Held
        );
        assert_eq!(failure(302, "").class, FailureClass::Bug);
        let inside = failure(500, r#"{"message":"SQLSTATE[23505] secret"}"#);
        assert!(inside.class == FailureClass::Transient && !inside.answered.contains("SQLSTATE"));
    }

    #[test]
    fn a_success_is_json_or_nothing() {
        assert_eq!(read(&answer(200, " "), "x", true), Ok(Json::Null));
        let broken = read(&answer(201, "{\"data\":"), "x", true).unwrap_err();
        assert_eq!((broken.class, broken.applied), (FailureClass::Bug, Applied::Unknown));
    }

    #[test]
    fn markup_and_length_are_taken_out() {
        assert_eq!(scrub("a <br/>b <!-- x --> 1 < 2"), "a b 1 < 2");
        assert!(scrub(&"x ".repeat(1000)).chars().count() < 410);
    }
}
