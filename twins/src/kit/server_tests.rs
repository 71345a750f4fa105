//! The server with real sockets: plain and encrypted, dropped and broken connections, held requests.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::hub_tests::hub;
use super::*;

fn post(text: &str) -> String {
    let body = json!({"text": text}).to_string();
    format!(
        "POST /notes HTTP/1.1\r\nhost: twin\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Everything that comes back until the connection ends, however it ends.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(count) = stream.read(&mut piece).await {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(answer).unwrap()
}

async fn plain(running: &Running, request: &str) -> String {
    talk(TcpStream::connect(running.address).await.unwrap(), request).await
}

async fn serve(hub: &Arc<Hub>) -> Running {
    start(Arc::clone(hub), "127.0.0.1:0".parse().unwrap(), Tls::Off).await.unwrap()
}

#[tokio::test]
async fn answers_arrive_are_lost_and_break_over_a_real_socket() {
    let hub = hub();
    let running = serve(&hub).await;
    let whole = plain(&running, &post("a")).await;
    assert!(whole.starts_with("HTTP/1.1 201 Created\r\n") && whole.ends_with(r#"{"text":"a"}"#), "{whole}");
    assert_eq!(whole.matches("date: ").count(), 1);
    hub.fault(Fault::next(Effect::DropAfter));
    assert_eq!(plain(&running, &post("b")).await, "");
    hub.fault(Fault::next(Effect::DropBefore));
    assert_eq!(plain(&running, &post("c")).await, "");
    hub.fault(Fault::next(Effect::BreakBody));
    let long = "x".repeat(2000);
    let broken = plain(&running, &post(&long)).await;
    assert!(
        broken.starts_with("HTTP/1.1 201") && broken.contains("{\"text\":\"xx") && broken.len() < 2000,
        "{broken}"
    );
    assert_eq!(hub.world().list_any("notes").len(), 3);
    let control =
        plain(&running, "GET /__twin/counts HTTP/1.1\r\nhost: twin\r\nconnection: close\r\n\r\n").await;
    assert!(control.ends_with(r#"{"notes.make":4}"#), "{control}");
}

#[tokio::test]
async fn a_held_request_waits_and_takes_effect_even_when_its_client_gave_up() {
    let hub = hub();
    let running = serve(&hub).await;
    hub.fault(Fault::next(Effect::Hold { gate: "door".into(), when: When::Before }));
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(post("a").as_bytes()).await.unwrap();
    hub.gates.wait_until_held("door", 1).await;
    assert_eq!(hub.world().list_any("notes").len(), 0);
    drop(client);
    hub.fault(Fault::next(Effect::Hold { gate: "exit".into(), when: When::After }));
    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(post("b").as_bytes()).await.unwrap();
    hub.gates.wait_until_held("exit", 1).await;
    assert_eq!(hub.world().list_any("notes").len(), 1);
    let release = "POST /__twin/release HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 15\r\n\r\n{\"gate\":\"exit\"}";
    assert!(plain(&running, release).await.starts_with("HTTP/1.1 200"));
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    // Stopping lets the first one go; it was never cancelled.
    running.stop().await;
    let again = serve(&hub).await;
    while hub.world().list_any("notes").len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.gates.waiting()["door"], 0);
    drop(again);
}

#[tokio::test]
async fn https_is_trusted_through_the_exported_authority_and_through_nothing_else() {
    let hub = hub();
    let authority = Authority::new().unwrap();
    let running = start(Arc::clone(&hub), "127.0.0.1:0".parse().unwrap(), Tls::By(&authority)).await.unwrap();
    assert!(running.base_url.starts_with("https://127.0.0.1:"));
    let file = std::env::temp_dir().join(format!("twins-authority-{}.pem", running.address.port()));
    authority.export(&file).unwrap();
    let pem = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(running.ca_pem.as_deref().map(str::as_bytes), Some(pem.as_slice()));
    let connector = |pem: &[u8]| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    };
    let name = || ServerName::try_from("127.0.0.1").unwrap();
    let tcp = || TcpStream::connect(running.address);
    let stranger = Authority::new().unwrap();
    assert!(connector(stranger.pem().as_bytes()).connect(name(), tcp().await.unwrap()).await.is_err());
    let stream = connector(&pem).connect(name(), tcp().await.unwrap()).await.unwrap();
    assert!(talk(stream, &post("a")).await.starts_with("HTTP/1.1 201"));
    hub.fault(Fault::next(Effect::DropAfter));
    let stream = connector(&pem).connect(name(), tcp().await.unwrap()).await.unwrap();
    assert_eq!(talk(stream, &post("b")).await, "");
    assert_eq!(hub.world().list_any("notes").len(), 2);
}

#[tokio::test]
async fn what_a_twin_sends_by_itself_arrives_once_or_in_copies_or_not_at_all() {
    let (sender, receiver) = (hub(), hub());
    let running = serve(&sender).await;
    let other = serve(&receiver).await;
    let url = format!("{}/notes?from=hook", other.base_url);
    let mut settled = 0;
    for (copies, arrived) in [(1, 1), (0, 1), (2, 3)] {
        sender.world().outgoing_copies = copies;
        sender.world().send(&url, vec![("x-org".into(), "7".into())], json!({"copies": copies}));
        plain(&running, &post("a")).await;
        settled += copies;
        // Delivery runs beside the answer; the history says when each attempt is over.
        while sender.world().history().iter().filter(|event| event.entity == "outgoing").count() < settled {
            tokio::task::yield_now().await;
        }
        assert_eq!(receiver.world().list_any("notes").len(), arrived);
    }
    assert_eq!(receiver.world().get_any("notes", "1").unwrap()["copies"], json!(1));
    assert!(receiver.world().requests()[0].headers.contains(&("x-org".to_owned(), "7".to_owned())));
    sender.world().outgoing_copies = 1;
    sender.world().send("https://nobody.example/", vec![], json!({}));
    plain(&running, &post("b")).await;
    while sender.world().history().last().is_none_or(|event| event.kind != "failed") {
        tokio::task::yield_now().await;
    }
}
