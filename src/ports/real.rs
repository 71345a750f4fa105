//! The real transport, clock and randomness.
//!
//! The only file that opens a socket, reads the system clock or asks the operating system for random
//! bits. It must not retry, follow redirects or know any vendor: it sends exactly one request and says
//! exactly what is known about its fate.

use std::error::Error as StdError;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::{BoxFuture, Clock, HttpRequest, HttpResponse, Random, Transport, TransportError};

/// Names a PEM file with further certificate authorities to trust (a company's own, a test's).
pub const CA_FILE_VARIABLE: &str = "TALLYSYNC_CA_FILE";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// HTTP over reqwest: system trust store, no redirects, capped bodies.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    outside: reqwest::Client,
    /// Loopback requests never go through a proxy, whatever `HTTP_PROXY` says.
    loopback: reqwest::Client,
}

impl HttpTransport {
    /// A transport that trusts the system's roots and those of the file that `TALLYSYNC_CA_FILE` names.
    ///
    /// # Errors
    /// When that file cannot be read, or the TLS library cannot start.
    pub fn from_environment() -> Result<Self, String> {
        let extra = std::env::var_os(CA_FILE_VARIABLE).filter(|name| !name.is_empty());
        Self::with_authorities(extra.as_deref().map(Path::new))
    }

    /// A transport that also trusts the certificates of this PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate, or the TLS library cannot start.
    pub fn with_authorities(extra: Option<&Path>) -> Result<Self, String> {
        let mut authorities = Vec::new();
        if let Some(path) = extra {
            let shown = path.display();
            let pem =
                std::fs::read(path).map_err(|error| format!("{CA_FILE_VARIABLE}: read {shown}: {error}"))?;
            authorities = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("{CA_FILE_VARIABLE}: {shown}: {}", chain(&error)))?;
            if authorities.is_empty() {
                return Err(format!("{CA_FILE_VARIABLE}: {shown} holds no certificate in PEM form"));
            }
        }
        Ok(Self { outside: build(false, authorities.clone())?, loopback: build(true, authorities)? })
    }
}

fn build(loopback: bool, authorities: Vec<reqwest::Certificate>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("tallysync/", env!("CARGO_PKG_VERSION")));
    if !authorities.is_empty() {
        builder = builder.tls_certs_merge(authorities);
    }
    if loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| format!("start the HTTP client: {}", chain(&error)))
}

/// Whether a host name stands for this machine.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Transport for HttpTransport {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(self.exchange(request))
    }
}

impl HttpTransport {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let not_sent = |text: String| TransportError::NotSent(text);
        let url = reqwest::Url::parse(&request.url).map_err(|error| not_sent(format!("bad URL: {error}")))?;
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|_| not_sent(format!("bad method {:?}", request.method)))?;
        let near = url.host_str().is_some_and(is_loopback_host);
        let client = if near { &self.loopback } else { &self.outside };
        let mut builder = client.request(method, url).timeout(request.timeout);
        for (name, value) in &request.headers {
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| not_sent(format!("bad header name {name:?}")))?;
            let mut value = reqwest::header::HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| not_sent(format!("the value of header {name} holds a control character")))?;
            value.set_sensitive(name == reqwest::header::AUTHORIZATION);
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        // A request that cannot even be built was not sent; after this line only a failed connection proves that.
        let ready = builder.build().map_err(|error| not_sent(chain(&error)))?;
        let mut response = client.execute(ready).await.map_err(|error| lost_or_not(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        // What it announces is only a hint; a lying server gets no more than the cap reserved.
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = Vec::with_capacity(announced.unwrap_or(0).min(request.max_body));
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if body.len().saturating_add(chunk.len()) > request.max_body {
                return Err(TransportError::TooLarge(request.max_body));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse { status, headers, body })
    }
}

/// Only an error of the connection itself proves that nothing was sent. A time-out while connecting is
/// such an error; any other time-out is not.
fn lost_or_not(error: &reqwest::Error) -> TransportError {
    if error.is_connect() || error.is_builder() { TransportError::NotSent(chain(error)) } else { lost(error) }
}

fn lost(error: &reqwest::Error) -> TransportError {
    let what = if error.is_timeout() { "timed out: " } else { "" };
    TransportError::AnswerLost(format!("{what}{}", chain(error)))
}

/// The whole chain of causes, without the URL: a URL may hold business data, and the caller knows it.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn StdError> = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = cause.source();
    }
    if text.is_empty() { "the HTTP library gave no reason".to_owned() } else { text }
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Random bits from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next(&self) -> u64 {
        let mut bytes = [0_u8; 8];
        match aws_lc_rs::rand::fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            // The library has no entropy source left; the standard library's keys come from the system too.
            Err(_) => RandomState::new().build_hasher().finish(),
        }
    }
}

#[cfg(test)]
#[path = "real_tests.rs"]
mod tests;
