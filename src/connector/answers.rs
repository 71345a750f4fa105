//! Reading what stands around an answer: origin, dates, waits, and whether it is a page for people. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::api::{Applied, Failure, FailureClass};
use super::client::Call;
use crate::ports::HttpResponse;
use crate::ports::real::is_loopback_host;

/// Scheme, host and port: where a request may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads the origin of a URL; a path is ignored.
    ///
    /// # Errors
    /// A text that says what is wrong: no URL, credentials in it, or plain http to another machine.
    pub fn parse(url: &str) -> Result<Self, String> {
        let parsed = reqwest::Url::parse(url).map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("a URL must not hold a user name or password".to_owned());
        }
        let host = parsed.host_str().unwrap_or_default().to_ascii_lowercase();
        let Some(port) = parsed.port_or_known_default().filter(|_| !host.is_empty()) else {
            return Err(format!("{url:?} names no host"));
        };
        match parsed.scheme() {
            "https" => {}
            "http" if is_loopback_host(&host) => {}
            "http" => {
                return Err(format!("{url:?}: plain http is accepted for loopback hosts only; use https"));
            }
            other => return Err(format!("{url:?}: {other} is not a scheme we speak; use https")),
        }
        Ok(Self { scheme: parsed.scheme().to_owned(), host, port })
    }

    /// `https://host:port`, the port only where it is not the usual one.
    pub fn text(&self) -> String {
        let usual = if self.scheme == "https" { 443 } else { 80 };
        if self.port == usual {
            format!("{}://{}", self.scheme, self.host)
        } else {
            format!("{}://{}:{}", self.scheme, self.host, self.port)
        }
    }
}

/// Reads an HTTP date.
pub fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

/// `Retry-After` in both of its forms.
pub(super) fn retry_after(response: &HttpResponse, now: Timestamp) -> Option<Duration> {
    let text = response.header("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(7 * 86_400)));
    }
    // Counted from the server's own clock where the same answer shows it.
    let from = response.header("date").and_then(http_date).unwrap_or(now);
    Duration::try_from(http_date(text)?.duration_since(from)).ok()
}

/// `X-RateLimit-Reset` is a time in some APIs, a number of seconds in others.
pub(super) fn reset_in(reset: i64, now: Timestamp) -> Option<Duration> {
    let seconds = if reset > 1_000_000_000 { reset - now.as_second() } else { reset };
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A page for people where data was asked for: a login page, a proxy's notice, a captive portal.
pub(super) fn login_page(call: &Call, response: &HttpResponse) -> Option<Failure> {
    if !(200..300).contains(&response.status) || response.body.is_empty() {
        return None;
    }
    let accept = call.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("accept"));
    if accept.is_some_and(|(_, value)| !value.contains("json") && !value.contains("*/*")) {
        return None;
    }
    let html = response.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let first = response.body.iter().find(|byte| !byte.is_ascii_whitespace());
    if !html && first != Some(&b'<') {
        return None;
    }
    let mut failure = Failure::new(
        FailureClass::Bug,
        call.attempted.clone(),
        format!(
            "status {} with a page for people instead of data (a login page?): {}",
            response.status,
            shorten(&response.body)
        ),
    );
    if !call.repeatable {
        failure.applied = Applied::Unknown;
    }
    Some(failure)
}

/// Status and the beginning of the body, for a failure's text.
pub fn excerpt(response: &HttpResponse) -> String {
    let body = shorten(&response.body);
    if body.is_empty() {
        format!("status {} without a body", response.status)
    } else {
        format!("status {}: {body}", response.status)
    }
}

/// The beginning of a body on one line. A stranger's text: control characters are taken out.
fn shorten(body: &[u8]) -> String {
    const MOST: usize = 300;
    let head = body.get(..body.len().min(4 * MOST)).unwrap_or_default();
    let text = String::from_utf8_lossy(head);
    let mut line: String = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.chars().count() > MOST {
        line = line.chars().take(MOST).collect();
        line.push_str(" ...");
    }
    line
}
