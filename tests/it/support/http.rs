//! Blocking HTTP for tests, usable from plain and from async tests alike.
//!
//! It knows no vendor: who speaks JSON-RPC or REST builds on it.

use std::future::Future;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

/// The runtime that every server and every request of the test process shares.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("the machine can start a tokio runtime"))
}

/// Waits for a future on the shared runtime; allowed inside another runtime, unlike tokio's `block_on`.
pub fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    runtime().spawn(async move {
        // Nobody listens any more only when the test has already failed.
        let _ = sender.send(future.await);
    });
    receiver.recv().expect("the future on the shared runtime panicked; its message stands above")
}

/// One answer, read completely.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON, or a failure that shows the body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("HTTP {} answered no JSON ({error}): {}", self.status, self.text))
    }
}

/// Sends one request; `Err` says why there is no answer.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Result<Answer, String> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a plain HTTP client can be built")
    });
    let method: reqwest::Method = method.parse().expect("a test names a real HTTP method");
    let mut request = client.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let what = url.to_owned();
    block_on(async move {
        let response = request.send().await.map_err(|error| format!("{what}: {error:?}"))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| format!("{what}: body: {error:?}"))?;
        Ok(Answer { status, text })
    })
}

/// A GET without further headers.
pub fn get(url: &str) -> Result<Answer, String> {
    send("GET", url, &[], None)
}

/// A POST of JSON.
pub fn post_json(url: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer, String> {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    send("POST", url, &all, Some(body.to_string()))
}
