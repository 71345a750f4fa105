//! What the engine needs from the outside world, as traits: HTTP, time, randomness.
//!
//! Everything above this file can run in one thread under a simulator that implements these three. The
//! real implementations stand in `ports/real.rs`; nothing else in the program asks the operating system
//! for the time, a random number or a socket.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

pub mod real;

/// A boxed future, so that the traits stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One HTTP request, complete: nothing is added on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Absolute URL, already encoded.
    pub url: String,
    /// Header names and values, in order.
    pub headers: Vec<(String, String)>,
    /// Body bytes.
    pub body: Option<Vec<u8>>,
    /// How long to wait for the whole answer.
    pub timeout: Duration,
    /// Largest body that is read, in bytes; more is an error, nothing is cut silently.
    pub max_body: usize,
}

/// One HTTP answer, read completely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body bytes, decompressed.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Why there is no answer, and whether the request may have taken effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent: the connection could not be made.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It was sent, or may have been; the answer is lost.
    #[error("answer lost: {0}")]
    AnswerLost(String),
    /// The answer was larger than `max_body`.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends HTTP requests. Redirects are never followed.
pub trait Transport: Send + Sync {
    /// Sends one request and reads its whole answer.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>>;
}

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Waits that long.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// Gives random numbers: markers, jitter, nonces.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn next(&self) -> u64;
}
