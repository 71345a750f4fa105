//! A transport, a clock and randomness for tests: scripted answers, time that moves only by waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::api::SecretStore;
use super::client::Ports;
use crate::ports::{BoxFuture, Clock, HttpRequest, HttpResponse, Random, Transport, TransportError};

/// What a scripted transport answers.
pub(crate) type Answer = Result<HttpResponse, TransportError>;

/// Answers by a function of the request, and remembers every request.
pub(crate) struct FakeTransport {
    pub seen: Mutex<Vec<HttpRequest>>,
    answer: Box<dyn Fn(&HttpRequest) -> Answer + Send + Sync>,
}

impl Transport for FakeTransport {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Answer> {
        let answer = (self.answer)(&request);
        self.seen.lock().unwrap().push(request);
        Box::pin(async move {
            // One turn of the executor, so that calls really overlap.
            tokio::task::yield_now().await;
            answer
        })
    }
}

/// Time that moves when somebody waits.
pub(crate) struct FakeClock {
    pub now: Mutex<Timestamp>,
    pub slept: Mutex<Vec<Duration>>,
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.slept.lock().unwrap().push(duration);
            let mut now = self.now.lock().unwrap();
            *now = now.checked_add(SignedDuration::try_from(duration).unwrap()).unwrap();
        })
    }
}

/// A counter.
pub(crate) struct FakeRandom(Mutex<u64>);

impl Random for FakeRandom {
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 8
    }
}

/// Secrets in memory.
#[derive(Default)]
pub(crate) struct FakeSecrets(pub Mutex<std::collections::BTreeMap<String, String>>);

impl SecretStore for FakeSecrets {
    fn load(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn save(&self, name: &str, secret: &str) -> Result<(), String> {
        self.0.lock().unwrap().insert(name.to_owned(), secret.to_owned());
        Ok(())
    }
}

/// Everything together.
pub(crate) struct Fakes {
    pub transport: Arc<FakeTransport>,
    pub clock: Arc<FakeClock>,
    pub secrets: Arc<FakeSecrets>,
    pub ports: Ports,
}

/// Fakes that answer by this function.
pub(crate) fn fakes(answer: impl Fn(&HttpRequest) -> Answer + Send + Sync + 'static) -> Fakes {
    let transport = Arc::new(FakeTransport { seen: Mutex::new(Vec::new()), answer: Box::new(answer) });
    let clock = Arc::new(FakeClock {
        now: Mutex::new("2026-11-21T12:00:00Z".parse().unwrap()),
        slept: Mutex::new(Vec::new()),
    });
    let secrets = Arc::new(FakeSecrets::default());
    let ports = Ports {
        transport: Arc::<FakeTransport>::clone(&transport),
        clock: Arc::<FakeClock>::clone(&clock),
        random: Arc::new(FakeRandom(Mutex::new(7))),
        secrets: Arc::<FakeSecrets>::clone(&secrets),
    };
    Fakes { transport, clock, secrets, ports }
}

/// Fakes that give these answers in turn, then "no more answers" as a refused connection.
pub(crate) fn scripted(answers: Vec<Answer>) -> Fakes {
    let left = Mutex::new(VecDeque::from(answers));
    fakes(move |_| {
        left.lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Err(TransportError::NotSent("the script has no more answers".to_owned())))
    })
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &str) -> Answer {
    with_headers(status, body, &[("content-type", "application/json")])
}

/// An answer with headers.
pub(crate) fn with_headers(status: u16, body: &str, headers: &[(&str, &str)]) -> Answer {
    Ok(HttpResponse {
        status,
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        body: body.as_bytes().to_vec(),
    })
}
