//! Requests that a twin sends by itself: webhooks. One attempt each, as most vendors do it.
//!
//! What is to be sent is kept in the world, so that a test without a network can read it; `deliver` is for
//! twins that are served. Only plain HTTP is spoken here: the receiver stands on the same machine.

use std::io;

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request that the twin wants to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outgoing {
    /// Rising number, without gaps.
    pub seq: u64,
    /// Where to: `http://127.0.0.1:8710/hooks/x`.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The JSON body.
    pub body: Value,
}

/// Sends one request and gives the status that came back.
pub(crate) async fn deliver(outgoing: &Outgoing) -> io::Result<u16> {
    let wrong = || {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a plain HTTP address", outgoing.url))
    };
    let rest = outgoing.url.strip_prefix("http://").ok_or_else(wrong)?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let body = outgoing.body.to_string();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in &outgoing.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(&body);
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the receiver's answer is not HTTP"))
}
