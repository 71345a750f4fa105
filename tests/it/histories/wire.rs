//! The wire of a history: requests reach the twins in process, and the program can be killed at any of them.
//!
//! It must not judge and must not keep time; the faults between it and a twin are the twin's own.

use std::sync::{Arc, Mutex};

use tallysync::ports::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use tokio::sync::Notify;
use twins::kit::{Edit, Hub, Outcome, Request};

/// When the program dies: at which request from now, and whether that request still arrives.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// Requests that go through before.
    pub after: usize,
    /// The request reaches the system; its answer reaches nobody.
    pub arrives: bool,
}

/// A person's edit in the middle of what the program does.
#[derive(Debug, Clone)]
pub struct Interruption {
    /// The side that it happens on.
    pub side: usize,
    /// The record. The edit happens just before the program looks at it: between its last look and its
    /// write there is a moment that no API without conditions can close.
    pub record: String,
    /// Looks at the record that go by before.
    pub after: usize,
    /// The edit.
    pub edit: Edit,
}

/// Carries requests to the twins.
pub struct Wire {
    hubs: Vec<Arc<Hub>>,
    interruption: Mutex<Option<Interruption>>,
    death: Mutex<Option<Death>>,
    dead: Notify,
}

impl Wire {
    /// A wire to these twins, the first at port 1, and so on.
    pub fn new(hubs: Vec<Arc<Hub>>) -> Wire {
        Wire { hubs, interruption: Mutex::default(), death: Mutex::default(), dead: Notify::new() }
    }

    /// The addresses of the twins.
    pub fn addresses(&self) -> Vec<String> {
        (1..=self.hubs.len()).map(|port| format!("http://127.0.0.1:{port}")).collect()
    }

    /// Arms the death of the program, or disarms it.
    pub fn arm(&self, death: Option<Death>) {
        *self.death.lock().expect("nobody panics with it") = death;
    }

    /// Lets a person edit during what comes next, or takes that back; gives what has not happened.
    pub fn interrupt(&self, interruption: Option<Interruption>) -> Option<Interruption> {
        std::mem::replace(&mut *self.interruption.lock().expect("nobody panics with it"), interruption)
    }

    fn people_act(&self, side: usize, request: &HttpRequest) {
        let mut interruption = self.interruption.lock().expect("nobody panics with it");
        let looks = |armed: &&mut Interruption| {
            armed.side == side && request.method == "GET" && request.url.contains(&armed.record)
        };
        let Some(armed) = interruption.as_mut().filter(looks) else { return };
        if armed.after > 0 {
            armed.after -= 1;
            return;
        }
        let edit = armed.edit.clone();
        *interruption = None;
        // The record may be gone by now; then nobody edits it.
        let _ = self.hubs[side].person(edit);
    }

    /// Waits until the program is dead.
    pub async fn dead(&self) {
        self.dead.notified().await;
    }

    /// Whether the program dies at this request.
    fn strikes(&self) -> Option<Death> {
        let mut death = self.death.lock().expect("nobody panics with it");
        match death.as_mut() {
            Some(armed) if armed.after > 0 => {
                armed.after -= 1;
                None
            }
            _ => death.take(),
        }
    }

    fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, TransportError> {
        let rest = request.url.strip_prefix("http://127.0.0.1:").expect("the wire only reaches the twins");
        let (port, target) = rest.split_once('/').expect("an address has a path");
        let place: usize = port.parse().expect("a port is a number");
        let mut asked = Request::new(&request.method, &format!("/{target}"));
        asked.base_url = format!("http://127.0.0.1:{port}");
        for (name, value) in &request.headers {
            asked = asked.with_header(name, value);
        }
        asked.body = request.body.clone().unwrap_or_default();
        self.people_act(place - 1, request);
        match self.hubs[place - 1].exchange(asked) {
            Outcome::Closed => Err(TransportError::AnswerLost("the connection was closed".to_owned())),
            Outcome::Broken(_) => Err(TransportError::AnswerLost("the answer broke off".to_owned())),
            Outcome::Answer(answer) if answer.body.len() > request.max_body => {
                Err(TransportError::TooLarge(request.max_body))
            }
            Outcome::Answer(answer) => {
                Ok(HttpResponse { status: answer.status, headers: answer.headers, body: answer.body })
            }
        }
    }
}

impl Transport for Wire {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            // The other sides' requests come in between, as on a real wire.
            tokio::task::yield_now().await;
            let death = self.strikes();
            let answer = match death {
                Some(Death { arrives: false, .. }) => None,
                _ => Some(self.exchange(&request)),
            };
            match (death, answer) {
                (None, Some(answer)) => answer,
                _ => {
                    self.dead.notify_one();
                    std::future::pending().await
                }
            }
        })
    }
}
