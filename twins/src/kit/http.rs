//! Requests and answers as plain data, so that a twin can be called over a socket or in process.
//!
//! This file must not know any vendor, keep any state, or open a socket.

use serde_json::Value;

/// One HTTP request as a twin sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ... in upper case.
    pub method: String,
    /// The path as it was sent, still percent-encoded, without the query.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub raw_query: String,
    /// Header names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// Body bytes.
    pub body: Vec<u8>,
    /// Where the twin can be reached (`http://127.0.0.1:4711`), for the links it gives out.
    pub base_url: String,
}

impl Request {
    /// A request without headers and body; `target` is the path with an optional query.
    pub fn new(method: &str, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            raw_query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            base_url: "http://twin.invalid".to_owned(),
        }
    }

    /// The same request with one more header.
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The same request with a body of that type.
    pub fn with_body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        let mut request = self.with_header("content-type", content_type);
        request.body = body.into();
        request
    }

    /// The same request with a JSON body.
    pub fn with_json(self, body: &Value) -> Request {
        self.with_body("application/json", body.to_string())
    }

    /// Path and query together, as sent.
    pub fn target(&self) -> String {
        if self.raw_query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.raw_query)
        }
    }

    /// The decoded parts of the path, without empty ones.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect()
    }

    /// The decoded value of a query parameter; `+` is a space, as in forms.
    pub fn query(&self, name: &str) -> Option<String> {
        pairs(&self.raw_query, true).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The decoded value of a query parameter where the vendor leaves `+` alone.
    pub fn query_literal_plus(&self, name: &str) -> Option<String> {
        pairs(&self.raw_query, false).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All query parameters, decoded as forms are.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        pairs(&self.raw_query, true)
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token of an `Authorization: Bearer ...` header: one space exactly, no more.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
    }

    /// The body as text; bytes that are not UTF-8 become replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; an empty body is an empty object.
    pub fn json(&self) -> Result<Value, String> {
        if self.body.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))
    }

    /// The body as a form.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&self.text(), true)
    }

    /// One field of the body as a form.
    pub fn form_field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// One HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::text(status, "application/json", &body.to_string())
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// An answer of any type.
    pub fn text(status: u16, content_type: &str, body: &str) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.as_bytes().to_vec(),
        }
    }

    /// The same answer with one more header.
    pub fn with_header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` when it is none.
    pub fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the status says that the request succeeded.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Splits and decodes `a=1&b=2`.
pub fn pairs(text: &str, plus_is_space: bool) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key, plus_is_space), decode(value, plus_is_space))
        })
        .collect()
}

/// Undoes percent-encoding; a `%` that is not followed by two hex digits stays as it is.
pub fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus_is_space => decoded.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                match (ahead.next().and_then(hex_digit), ahead.next().and_then(hex_digit)) {
                    (Some(high), Some(low)) => {
                        decoded.push(high * 16 + low);
                        bytes = ahead;
                    }
                    _ => decoded.push(byte),
                }
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-encodes everything but letters, digits and `-._~`.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded_part_by_part() {
        let request = Request::new("get", "/guests/a%40b.example/x%2Fy?q=one%20two+three&q2=%zz");
        assert_eq!(request.method, "GET");
        assert_eq!(request.segments(), ["guests", "a@b.example", "x/y"]);
        assert_eq!(request.query("q").as_deref(), Some("one two three"));
        assert_eq!(request.query_literal_plus("q").as_deref(), Some("one two+three"));
        assert_eq!(request.query("q2").as_deref(), Some("%zz"));
        assert_eq!(decode(&encode("ä b/c"), false), "ä b/c");
    }

    #[test]
    fn a_bearer_token_has_exactly_one_space_before_it() {
        let with = |value: &str| Request::new("GET", "/").with_header("Authorization", value);
        assert_eq!(with("Bearer abc").bearer(), Some("abc"));
        assert_eq!(with("Bearer  abc").bearer(), None);
        assert_eq!(with("Bearer").bearer(), None);
        assert_eq!(with("Basic abc").bearer(), None);
    }
}
