//! Error rules: from an answer to one class of the closed set. Pure.
//!
//! Rules are ordered, the first match wins, and what no rule matches has a default by status. Nothing here
//! decides what happens then; the client and the engine do.

use std::time::Duration;

use regex_lite::Regex;
use serde_json::Value as Json;

use super::api::FailureClass;
use super::definition::{Detail, ErrorRule};
use super::placeholder::{plain, unknown};
use crate::ports::HttpResponse;

/// The closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// New credentials, then once more.
    AuthRefresh,
    /// Credentials do not work.
    AuthFatal,
    /// Not ours.
    Forbidden,
    /// Too many calls.
    Throttled,
    /// The quota is used up.
    Quota,
    /// Comes right by itself; the request may have taken effect.
    Transient,
    /// Locked for seconds; nothing done.
    Locked,
    /// A business hold.
    Held,
    /// The condition did not hold.
    Conflict,
    /// Gone.
    Gone,
    /// A create hit an existing record.
    AlreadyExists,
    /// Several matches.
    Ambiguous,
    /// Our own earlier request.
    DuplicateSubmit,
    /// The request is wrong.
    Invalid,
    /// Start the listing again.
    CursorExpired,
    /// The request is too large.
    TooLarge,
    /// Success without records.
    Empty,
    /// Not what the definition says.
    Bug,
}

/// The names as definitions write them.
pub const CLASS_NAMES: &[(&str, ErrorClass)] = &[
    ("auth_refresh", ErrorClass::AuthRefresh),
    ("auth_fatal", ErrorClass::AuthFatal),
    ("forbidden", ErrorClass::Forbidden),
    ("throttled", ErrorClass::Throttled),
    ("quota", ErrorClass::Quota),
    ("transient", ErrorClass::Transient),
    ("locked", ErrorClass::Locked),
    ("held", ErrorClass::Held),
    ("conflict", ErrorClass::Conflict),
    ("gone", ErrorClass::Gone),
    ("already_exists", ErrorClass::AlreadyExists),
    ("ambiguous_match", ErrorClass::Ambiguous),
    ("duplicate_submit", ErrorClass::DuplicateSubmit),
    ("invalid", ErrorClass::Invalid),
    ("cursor_expired", ErrorClass::CursorExpired),
    ("too_large", ErrorClass::TooLarge),
    ("empty", ErrorClass::Empty),
    ("bug", ErrorClass::Bug),
];

impl ErrorClass {
    /// By its name.
    ///
    /// # Errors
    /// With the nearest name.
    pub fn parse(name: &str) -> Result<Self, String> {
        CLASS_NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, class)| *class)
            .ok_or_else(|| unknown("error class", name, CLASS_NAMES.iter().map(|(known, _)| *known)))
    }

    /// The engine's word for it.
    pub fn failure(self) -> FailureClass {
        match self {
            Self::AuthRefresh | Self::AuthFatal => FailureClass::Auth,
            Self::Forbidden => FailureClass::Forbidden,
            Self::Throttled => FailureClass::Throttled,
            Self::Quota => FailureClass::Quota,
            Self::Transient => FailureClass::Transient,
            Self::Locked => FailureClass::Locked,
            Self::Held => FailureClass::Held,
            Self::Conflict => FailureClass::Conflict,
            Self::Gone => FailureClass::Gone,
            Self::AlreadyExists | Self::DuplicateSubmit => FailureClass::AlreadyExists,
            Self::Ambiguous => FailureClass::Ambiguous,
            Self::Invalid | Self::TooLarge => FailureClass::Invalid,
            Self::CursorExpired => FailureClass::CursorExpired,
            Self::Empty | Self::Bug => FailureClass::Bug,
        }
    }
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    class: ErrorClass,
    status: Option<Vec<(u16, u16)>>,
    path: Option<String>,
    values: Vec<String>,
    regex: Option<Regex>,
    header: Option<(String, Option<Regex>)>,
    rpc_error: Option<bool>,
    wait: Option<Duration>,
    detail: Option<Detail>,
    redact: Vec<String>,
}

impl Rule {
    /// Compiles one `[[errors]]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(rule: &ErrorRule) -> Result<Self, String> {
        let regex = |text: &str| Regex::new(text).map_err(|error| format!("regex {text:?}: {error}"));
        let when = &rule.when;
        let unconditional =
            when.status.is_none() && when.path.is_none() && when.header.is_none() && when.rpc_error.is_none();
        if unconditional {
            return Err(format!("the rule for {} has no condition: it would match everything", rule.class));
        }
        let header = match &when.header {
            None => None,
            Some(text) => match text.split_once(':') {
                None => Some((text.trim().to_lowercase(), None)),
                Some((name, pattern)) => Some((name.trim().to_lowercase(), Some(regex(pattern.trim())?))),
            },
        };
        Ok(Self {
            class: ErrorClass::parse(&rule.class)?,
            status: when.status.as_ref().map(statuses).transpose()?,
            path: when.path.clone(),
            values: when.values.clone(),
            regex: when.regex.as_deref().map(regex).transpose()?,
            header,
            rpc_error: when.rpc_error,
            wait: rule.wait.as_ref().and_then(|wait| wait.fixed.as_deref()).map(duration).transpose()?,
            detail: rule.detail.clone(),
            redact: rule.redact.clone(),
        })
    }

    fn matches(&self, response: &HttpResponse, view: &Json, rpc_error: bool) -> bool {
        let status = self
            .status
            .as_ref()
            .is_none_or(|ranges| ranges.iter().any(|(low, high)| (*low..=*high).contains(&response.status)));
        let header = self.header.as_ref().is_none_or(|(name, pattern)| {
            response.header(name).is_some_and(|text| pattern.as_ref().is_none_or(|p| p.is_match(text)))
        });
        let rpc = self.rpc_error.is_none_or(|wanted| wanted == rpc_error);
        let path = self.path.as_ref().is_none_or(|path| {
            let found = select(view, path);
            found.iter().any(|value| {
                let text = plain(value);
                (self.values.is_empty() || self.values.contains(&text))
                    && self.regex.as_ref().is_none_or(|regex| regex.is_match(&text))
            })
        });
        status && header && rpc && path
    }
}

/// `"90s"`, `"15m"`, `"2h"`, `"1d"`; of a range `"1s..60s"` the lower end.
///
/// # Errors
/// When it is no duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.split("..").next().unwrap_or_default().trim();
    let bad = || format!("{text:?} is not a duration like 30s, 15m, 2h or 1d");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (digits, unit) = text.split_at(at);
    let count: u64 = digits.parse().map_err(|_| bad())?;
    let factor = match unit {
        "ms" => return Ok(Duration::from_millis(count)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    Ok(Duration::from_secs(count.saturating_mul(factor)))
}

fn statuses(value: &toml::Value) -> Result<Vec<(u16, u16)>, String> {
    match value {
        toml::Value::Integer(code) => {
            let code = u16::try_from(*code).map_err(|_| format!("{code} is not a status"))?;
            Ok(vec![(code, code)])
        }
        toml::Value::String(text) => match text.as_bytes() {
            [digit @ b'1'..=b'5', b'x', b'x'] => {
                let low = u16::from(digit - b'0') * 100;
                Ok(vec![(low, low + 99)])
            }
            _ => Err(format!("{text:?} is not a status like 412 or \"5xx\"")),
        },
        toml::Value::Array(items) => {
            let parts: Result<Vec<_>, _> = items.iter().map(statuses).collect();
            Ok(parts?.into_iter().flatten().collect())
        }
        other => Err(format!("{other} is not a status")),
    }
}

/// Everything that a pointer with `*` finds; objects count as lists of their values.
pub fn select<'a>(value: &'a Json, pointer: &str) -> Vec<&'a Json> {
    let mut found = vec![value];
    for token in pointer.split('/').skip(1).filter(|token| !token.is_empty()) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let mut next = Vec::new();
        for value in found {
            match value {
                Json::Array(items) if token == "*" => next.extend(items),
                Json::Object(map) if token == "*" => next.extend(map.values()),
                Json::Array(items) => next.extend(token.parse().ok().and_then(|i: usize| items.get(i))),
                Json::Object(map) => next.extend(map.get(&token)),
                _ => {}
            }
        }
        found = next;
    }
    found
}

/// What an answer that is no success means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// The class.
    pub class: ErrorClass,
    /// Code and message, without what the rule redacts.
    pub text: String,
    /// Fields that the system complains about.
    pub fields: Vec<String>,
    /// How long the definition says to wait.
    pub wait: Option<Duration>,
}

/// What kind of call was answered; decides the default for 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// A listing or search.
    List,
    /// One record: read or write.
    One,
    /// Anything else.
    Other,
}

/// Classifies an answer that is no success. `view` is the body, or the error part of an RPC envelope.
pub fn classify(
    rules: &[Rule],
    response: &HttpResponse,
    view: &Json,
    rpc_error: bool,
    kind: CallKind,
) -> Classified {
    let rule = rules.iter().find(|rule| rule.matches(response, view, rpc_error));
    let class = match rule {
        Some(rule) => rule.class,
        None if rpc_error => ErrorClass::Invalid,
        None => by_status(response.status, kind),
    };
    // A rule may classify without detail; any other rule's detail fits the same body.
    let detail = rule
        .and_then(|rule| rule.detail.as_ref())
        .or_else(|| rules.iter().find_map(|rule| rule.detail.as_ref()));
    let mut parts = Vec::new();
    let mut fields = Vec::new();
    if let Some(detail) = detail {
        for pointer in [&detail.code, &detail.message].into_iter().flatten() {
            parts.extend(select(view, pointer).first().map(|value| plain(value)).filter(|t| !t.is_empty()));
        }
        for value in detail.fields.as_deref().map(|pointer| select(view, pointer)).unwrap_or_default() {
            match value {
                Json::Array(items) => fields.extend(items.iter().map(plain)),
                Json::Null => {}
                other => fields.push(plain(other)),
            }
        }
    }
    let text = if parts.is_empty() { fallback_text(response, view, rule) } else { parts.join(": ") };
    let text = if rpc_error { shown(&text) } else { format!("status {}: {}", response.status, shown(&text)) };
    Classified { class, text, fields, wait: rule.and_then(|rule| rule.wait) }
}

fn fallback_text(response: &HttpResponse, view: &Json, rule: Option<&Rule>) -> String {
    if view.is_null() {
        return String::from_utf8_lossy(&response.body).into_owned();
    }
    let mut view = view.clone();
    for pointer in rule.map(|rule| rule.redact.as_slice()).unwrap_or_default() {
        if let Some(value) = view.pointer_mut(pointer) {
            *value = Json::String("(not shown)".to_owned());
        }
    }
    view.to_string()
}

/// A stranger's text on one line, capped.
pub fn shown(text: &str) -> String {
    let line: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line = line.join(" ");
    if line.chars().count() > 400 {
        format!("{} ...", line.chars().take(400).collect::<String>())
    } else {
        line
    }
}

fn by_status(status: u16, kind: CallKind) -> ErrorClass {
    match status {
        401 => ErrorClass::AuthRefresh,
        403 => ErrorClass::Forbidden,
        404 | 410 if kind == CallKind::One => ErrorClass::Gone,
        404 => ErrorClass::Bug,
        408 | 425 | 502..=504 => ErrorClass::Transient,
        409 | 412 => ErrorClass::Conflict,
        413 => ErrorClass::TooLarge,
        423 => ErrorClass::Locked,
        428 => ErrorClass::Bug,
        429 => ErrorClass::Throttled,
        400..=499 => ErrorClass::Invalid,
        500..=599 => ErrorClass::Transient,
        _ => ErrorClass::Bug,
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
