//! The transport against real sockets on loopback.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Serves one connection: reads until the blank line, then writes `answer` and closes.
async fn serve(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0_u8; 1024];
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = socket.read(&mut buffer).await.unwrap();
            seen.extend_from_slice(&buffer[..count]);
        }
        socket.write_all(&answer).await.unwrap();
        socket.shutdown().await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    (format!("http://{address}/a?b=c"), task)
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: vec![("X-Mark".to_owned(), "one".to_owned())],
        body: None,
        timeout: Duration::from_secs(5),
        max_body: 1000,
    }
}

#[tokio::test]
async fn answers_arrive_with_lower_case_headers_and_redirects_are_not_followed() {
    let (url, task) = serve(
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nX-Thing: Y\r\nContent-Length: 2\r\n\r\nok"
            .to_vec(),
    )
    .await;
    let transport = HttpTransport::with_authorities(None).unwrap();
    let answer = transport.send(request(&url)).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (302, b"ok".as_slice()));
    assert_eq!(answer.header("x-thing"), Some("Y"));
    let seen = task.await.unwrap();
    assert!(seen.starts_with("GET /a?b=c HTTP/1.1"), "{seen}");
    assert!(seen.to_lowercase().contains("x-mark: one"), "{seen}");
}

#[tokio::test]
async fn refused_connection_is_not_sent_and_cut_answer_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let transport = HttpTransport::with_authorities(None).unwrap();
    let refused = transport.send(request(&closed)).await.unwrap_err();
    assert!(matches!(refused, TransportError::NotSent(_)), "{refused:?}");

    let (url, _task) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf".to_vec()).await;
    let cut = transport.send(request(&url)).await.unwrap_err();
    assert!(matches!(cut, TransportError::AnswerLost(_)), "{cut:?}");

    let (url, _task) = serve(Vec::new()).await;
    let silent = transport.send(request(&url)).await.unwrap_err();
    assert!(matches!(silent, TransportError::AnswerLost(_)), "{silent:?}");
}

#[tokio::test]
async fn a_timeout_after_sending_is_a_lost_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let held = Arc::new(tokio::sync::Notify::new());
    let release = Arc::clone(&held);
    let task = tokio::spawn(async move {
        let (_socket, _) = listener.accept().await.unwrap();
        release.notified().await;
    });
    let transport = HttpTransport::with_authorities(None).unwrap();
    let mut slow = request(&url);
    slow.timeout = Duration::from_millis(100);
    let error = transport.send(slow).await.unwrap_err();
    held.notify_one();
    task.await.unwrap();
    assert!(matches!(&error, TransportError::AnswerLost(text) if text.contains("timed out")), "{error:?}");
}

#[tokio::test]
async fn too_large_bodies_are_refused_not_cut() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_vec();
    answer.extend(std::iter::repeat_n(b'x', 1001));
    let (url, _task) = serve(answer).await;
    let transport = HttpTransport::with_authorities(None).unwrap();
    assert_eq!(transport.send(request(&url)).await, Err(TransportError::TooLarge(1000)));
}

#[test]
fn a_missing_or_empty_authority_file_is_named() {
    let missing = HttpTransport::with_authorities(Some(Path::new("/nonexistent/ca.pem"))).unwrap_err();
    assert!(missing.contains("/nonexistent/ca.pem"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "no certificate here").unwrap();
    assert!(HttpTransport::with_authorities(Some(&empty)).unwrap_err().contains("no certificate"));
}

#[test]
fn loopback_hosts_are_known_in_every_spelling() {
    for host in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "::1", "LOCALHOST"] {
        assert!(is_loopback_host(host), "{host}");
    }
    for host in ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", ""] {
        assert!(!is_loopback_host(host), "{host}");
    }
}

#[test]
fn random_numbers_differ() {
    let numbers: std::collections::BTreeSet<u64> = (0..100).map(|_| SystemRandom.next()).collect();
    assert_eq!(numbers.len(), 100);
}
