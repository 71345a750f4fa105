//! Serves a hub over HTTP or HTTPS on loopback.
//!
//! This file must not decide anything about requests; that is the hub.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::http::{Answer, Request};
use super::hub::{Hub, Outcome};
use super::outgoing::deliver;
use super::stream::{Connection, TwinListener};
use super::tls::Tls;

/// The largest request body that a twin reads.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How long stopping waits for open connections.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A twin that is being served; it stops when this is dropped.
pub struct Running {
    /// Where it can be reached: `http://127.0.0.1:4711`.
    pub base_url: String,
    /// The address it listens on.
    pub address: SocketAddr,
    /// The certificate that clients must trust; absent for plain HTTP.
    pub ca_pem: Option<String>,
    /// The twin behind it.
    pub hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl Running {
    /// Stops listening, lets held requests go and waits for the connections to end. The hub lives on and
    /// can be started again.
    pub async fn stop(mut self) {
        self.signal();
        if let Some(server) = self.server.take() {
            let ended = server.abort_handle();
            // A client that keeps a connection open without asking anything must not hold up the end; a panic
            // in the task has already been printed.
            if tokio::time::timeout(PATIENCE, server).await.is_err() {
                ended.abort();
            }
        }
    }

    fn signal(&self) {
        self.stop.send_replace(true);
        self.hub.gates.release_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal();
    }
}

/// Serves a hub on an address; port 0 takes a free one.
pub async fn start(hub: Arc<Hub>, address: SocketAddr, tls: Tls<'_>) -> io::Result<Running> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (scheme, acceptor, ca_pem) = match tls {
        Tls::Off => ("http", None, None),
        Tls::By(authority) => ("https", Some(authority.acceptor()?), Some(authority.pem().to_owned())),
    };
    let listener = TwinListener::new(listener, acceptor)?;
    let base_url = format!("{scheme}://{address}");
    let state = Front { hub: Arc::clone(&hub), base_url: base_url.clone() };
    let service =
        Router::new().fallback(front).with_state(state).into_make_service_with_connect_info::<Connection>();
    let (stop, mut stopped) = watch::channel(false);
    let server = tokio::spawn(async move {
        let ended = async move {
            // An error means that the handle is gone, which is the same wish.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(problem) = axum::serve(listener, service).with_graceful_shutdown(ended).await {
            eprintln!("a twin stopped serving: {problem}");
        }
    });
    Ok(Running { base_url, address, ca_pem, hub, stop, server: Some(server) })
}

#[derive(Clone)]
struct Front {
    hub: Arc<Hub>,
    base_url: String,
}

async fn front(
    State(front): State<Front>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return render(Answer::empty(413));
    };
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        raw_query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: body.to_vec(),
        base_url: front.base_url,
    };
    // In a task of its own: a client that gives up does not stop what the server has begun.
    let hub = front.hub;
    let handled = tokio::spawn(async move {
        let outcome = hub.exchange_held(request).await;
        deliver_all(&hub);
        outcome
    })
    .await;
    match handled {
        Ok(Outcome::Answer(answer)) => render(answer),
        Ok(Outcome::Broken(answer)) => {
            // Past the status line and the headers, short of the body's end.
            let header: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
            connection.allow_only(header + 40 + answer.body.len() / 2);
            render(answer)
        }
        Ok(Outcome::Closed) => {
            connection.allow_only(0);
            render(Answer::empty(500))
        }
        Err(problem) => render(Answer::text(500, "text/plain", &format!("the twin failed: {problem}"))),
    }
}

/// Sends what the twin wants to send, each by itself; what became of it is in the history (`outgoing`).
fn deliver_all(hub: &Arc<Hub>) {
    let outgoing = hub.world().take_outgoing();
    for one in outgoing {
        let hub = Arc::clone(hub);
        tokio::spawn(async move {
            let (kind, what) = match deliver(&one).await {
                Ok(status) => ("sent", Value::from(status)),
                Err(problem) => ("failed", Value::from(problem.to_string())),
            };
            hub.world().note("server", kind, "outgoing", &one.seq.to_string(), Value::Null, what);
        });
    }
}

fn render(answer: Answer) -> Response {
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(name, value);
    }
    match builder.body(Body::from(answer.body)) {
        Ok(response) => response,
        Err(problem) => {
            let mut response = Response::new(Body::from(format!("the twin made no valid answer: {problem}")));
            *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
