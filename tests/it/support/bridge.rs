//! The real engine between a real Tryton and a Tallyfy twin, over real HTTP, with hands on the wire.
//!
//! A test says what happens at which request: somebody edits first, or the answer gets lost. Time is the
//! system's, but a test may put it forward instead of waiting.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tallysync::engine::pass::{PassOptions, PassReport};
use tallysync::engine::{Engine, boot};
use tallysync::ports::real::{HttpTransport, SystemClock, SystemRandom};
use tallysync::ports::{BoxFuture, Clock, HttpRequest, HttpResponse, Transport, TransportError};
use tallysync::store::Store;
use tallysync::store::handle::Handle;

/// What a trap does to the request that it waits for.
pub enum Trap {
    /// Something happens first; then the request goes its way.
    Before(Box<dyn FnOnce() + Send>),
    /// The request goes its way, and its answer gets lost.
    LoseAnswer,
}

/// A request as the tests see it: the JSON-RPC method, or the HTTP method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `model.party.party.write`, `PUT /organizations/...`.
    pub what: String,
    /// The `Authorization` header.
    pub authorization: String,
    /// The body.
    pub body: String,
}

impl Seen {
    /// It changes business data.
    pub fn writes(&self) -> bool {
        match self.what.strip_prefix("model.") {
            Some(method) => [".create", ".write", ".delete"].iter().any(|end| method.ends_with(end)),
            None => !self.what.starts_with("GET ") && !self.what.starts_with("common."),
        }
    }
}

/// The wire: real HTTP, watched.
pub struct Wire {
    real: HttpTransport,
    traps: Mutex<Vec<(String, Trap)>>,
    seen: Mutex<Vec<Seen>>,
}

impl Wire {
    fn new() -> Arc<Wire> {
        let real = HttpTransport::from_environment().expect("a transport can be made");
        Arc::new(Wire { real, traps: Mutex::new(Vec::new()), seen: Mutex::new(Vec::new()) })
    }

    /// Waits for the next request of that name.
    pub fn trap(&self, what: &str, trap: Trap) {
        self.traps.lock().unwrap().push((what.to_owned(), trap));
    }

    /// Traps that nothing walked into.
    pub fn waiting_traps(&self) -> usize {
        self.traps.lock().unwrap().len()
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests of that name there were.
    pub fn count(&self, what: &str) -> usize {
        self.seen().iter().filter(|seen| seen.what == what).count()
    }

    /// Names of all requests that change business data.
    pub fn writes(&self) -> Vec<String> {
        self.seen().into_iter().filter(Seen::writes).map(|seen| seen.what).collect()
    }
}

fn describe(request: &HttpRequest) -> Seen {
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
    let method = serde_json::from_str::<Value>(&body).ok().and_then(|body| {
        let rpc = request.url.ends_with("/rpc/");
        body["method"].as_str().filter(|_| rpc).map(str::to_owned)
    });
    let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let authorization = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    Seen {
        what: method.unwrap_or_else(|| format!("{} /{path}", request.method)),
        authorization: authorization.map(|(_, value)| value.clone()).unwrap_or_default(),
        body,
    }
}

impl Transport for Wire {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let seen = describe(&request);
        let trap = {
            let mut traps = self.traps.lock().unwrap();
            let place = traps.iter().position(|(what, _)| *what == seen.what);
            place.map(|place| traps.remove(place).1)
        };
        self.seen.lock().unwrap().push(seen);
        Box::pin(async move {
            match trap {
                None => self.real.send(request).await,
                Some(Trap::Before(happens)) => {
                    happens();
                    self.real.send(request).await
                }
                Some(Trap::LoseAnswer) => {
                    let answer = self.real.send(request).await;
                    assert!(answer.is_ok(), "the request whose answer is to be lost failed: {answer:?}");
                    Err(TransportError::AnswerLost("the connection was cut by the test".to_owned()))
                }
            }
        })
    }
}

/// The system's clock, which a test may put forward. Waiting puts it forward too, instead of waiting.
#[derive(Default)]
pub struct Hurry {
    ahead: AtomicI64,
}

impl Hurry {
    /// Puts the clock forward.
    pub fn forward(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a test does not wait for ages");
        self.ahead.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Hurry {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.ahead.load(Ordering::SeqCst));
        SystemClock.now().checked_add(ahead).expect("a test stays in this age")
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.forward(duration);
        Box::pin(tokio::task::yield_now())
    }
}

/// The engine over a config, with its wire and clock.
pub struct Bridge {
    /// The engine.
    pub engine: Engine,
    /// Everything it sends.
    pub wire: Arc<Wire>,
    /// Its clock.
    pub clock: Arc<Hurry>,
}

impl Bridge {
    /// Reads the config as the program would, and builds the engine over the watched wire.
    pub fn over(path: &Path) -> Bridge {
        let config = tallysync::config::load(path, std::env::vars(), &[])
            .unwrap_or_else(|problems| panic!("the config is not right: {problems}"));
        let store = Store::open(&config.state.path).expect("a fresh state file opens");
        let store = Handle::threaded(store).expect("a thread can be started");
        let (wire, clock) = (Wire::new(), Arc::new(Hurry::default()));
        let engine = boot::over(config, store, wire.clone(), clock.clone(), Arc::new(SystemRandom))
            .unwrap_or_else(|error| panic!("no engine: {error}"));
        Bridge { engine, wire, clock }
    }

    /// Plans and accepts a sync, as a person does once.
    pub async fn accept(&self, sync: &str) {
        let sync = self.engine.sync_named(sync).unwrap();
        let printed = self.engine.plan(&sync, true).await.unwrap();
        assert!(printed.failures.is_empty(), "{:?}", printed.failures);
        self.engine.accept(&sync, None).await.unwrap();
    }

    /// One pass, whatever it brings.
    pub async fn try_pass(&self, sync: &str) -> PassReport {
        let sync = self.engine.sync_named(sync).unwrap();
        let report = self.engine.pass(&sync, PassOptions::default()).await.unwrap();
        assert_eq!(report.idle, None);
        report
    }

    /// One pass that must go well.
    pub async fn pass(&self, sync: &str) -> PassReport {
        let report = self.try_pass(sync).await;
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert!(report.held.is_empty(), "{:?}", report.held);
        report
    }

    /// One pass with a complete listing of every side.
    pub async fn sweep(&self, sync: &str) -> PassReport {
        let sync = self.engine.sync_named(sync).unwrap();
        let options = PassOptions { sweep: true, ..PassOptions::default() };
        let report = self.engine.pass(&sync, options).await.unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        report
    }
}
