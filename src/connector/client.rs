//! One connection to one origin: budget, pauses, retries, the server's clock.
//!
//! Every call of every connector goes through here. It must never send a request to another origin than
//! the pinned one, never repeat a request that may have taken effect, and never read a body as data that
//! is a login page.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

pub use super::answers::{Origin, excerpt, http_date};
use super::answers::{login_page, reset_in, retry_after};
use super::api::{Applied, Failure, FailureClass, SecretStore};
use super::budget::{Budget, Permit};
pub use super::budget::{ConnectionStatus, Limits, Purpose, QuotaHeader};
use crate::config::model::BudgetSpec;
use crate::ports::{Clock, HttpRequest, HttpResponse, Random, Transport, TransportError};

/// What a connector needs from the outside world.
#[derive(Clone)]
pub struct Ports {
    /// Sends requests.
    pub transport: Arc<dyn Transport>,
    /// Tells the time and waits.
    pub clock: Arc<dyn Clock>,
    /// Jitter, nonces.
    pub random: Arc<dyn Random>,
    /// Where rotated tokens are kept.
    pub secrets: Arc<dyn SecretStore>,
}

/// One intended call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The complete request.
    pub request: HttpRequest,
    /// For people: `update salesOrder 1042 in erp`.
    pub attempted: String,
    /// Decides who goes first.
    pub purpose: Purpose,
    /// Sending it twice does no harm (a read).
    pub repeatable: bool,
}

/// What an answer means for the connection, before anybody looks at its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it to the caller, success or not.
    Answer,
    /// Too many calls: pause the connection, then send the same request again. The request was refused
    /// before it did anything.
    Throttled(Option<Duration>),
    /// The quota is used up: pause the connection for long.
    Quota(Option<Duration>),
    /// Comes right by itself: repeat if repeatable. The request may have taken effect.
    Transient,
    /// Locked by somebody for seconds; certainly nothing done. Repeat if repeatable.
    Locked,
}

/// What a connector adds to each attempt.
pub trait Handler: Send + Sync {
    /// Called for every attempt, last before sending: signatures that must not repeat.
    ///
    /// # Errors
    /// When the request cannot be signed.
    fn prepare(&self, _request: &mut HttpRequest) -> Result<(), Failure> {
        Ok(())
    }

    /// Classifies an answer.
    fn verdict(&self, response: &HttpResponse) -> Verdict {
        default_verdict(response)
    }
}

/// 429 pauses, 5xx is transient, anything else is an answer.
pub struct PlainHandler;

impl Handler for PlainHandler {}

/// What an answer means when the connector has no better knowledge.
pub fn default_verdict(response: &HttpResponse) -> Verdict {
    match response.status {
        429 => Verdict::Throttled(None),
        500..=599 | 408 | 425 => Verdict::Transient,
        _ => Verdict::Answer,
    }
}

/// Server clock minus ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Milliseconds.
    pub offset_ms: i64,
    /// How far that may be wrong.
    pub error_ms: i64,
}

/// A connection to one pinned origin. Cheap to clone; clones share budget and pauses.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    system: String,
    origin: Origin,
    ports: Ports,
    budget: Mutex<Budget>,
    clock_bounds: Mutex<Option<ClockBounds>>,
    changed: Notify,
}

/// The offset lies between these two (milliseconds); each answer narrows it.
#[derive(Debug, Clone, Copy)]
struct ClockBounds {
    low: i64,
    high: i64,
    since: Timestamp,
}

/// Clocks drift: after this long the bounds are measured anew.
const BOUNDS_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl Client {
    /// A connection to `origin`, under the tighter of `budget` and `defaults`.
    ///
    /// # Errors
    /// Class `Invalid` when the origin is not acceptable.
    pub fn new(
        system: &str,
        origin: &str,
        budget: &BudgetSpec,
        defaults: Limits,
        ports: Ports,
    ) -> Result<Self, Failure> {
        let origin = Origin::parse(origin)
            .map_err(|why| Failure::new(FailureClass::Invalid, format!("connect to {system}"), why))?;
        Ok(Self {
            inner: Arc::new(Inner {
                system: system.to_owned(),
                origin,
                ports,
                budget: Mutex::new(Budget::new(budget, defaults)),
                clock_bounds: Mutex::new(None),
                changed: Notify::new(),
            }),
        })
    }

    /// The ports it was made with.
    pub fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    /// The system's name in the config.
    pub fn system(&self) -> &str {
        &self.inner.system
    }

    /// The pinned origin, `https://host`.
    pub fn origin(&self) -> String {
        self.inner.origin.text()
    }

    /// What the `Date` headers told about the server's clock; `None` before the first answer.
    pub fn measured_clock_offset(&self) -> Option<ClockOffset> {
        let bounds = (*lock(&self.inner.clock_bounds))?;
        Some(ClockOffset {
            offset_ms: bounds.low.midpoint(bounds.high),
            error_ms: (bounds.high - bounds.low) / 2 + 1,
        })
    }

    /// Our best knowledge of the server's time; our own where the server told nothing.
    pub fn server_now(&self) -> Timestamp {
        let now = self.inner.ports.clock.now();
        let offset = self.measured_clock_offset().map_or(0, |offset| offset.offset_ms);
        now.checked_add(SignedDuration::from_millis(offset)).unwrap_or(now)
    }

    /// Calls used, pauses, speed.
    pub fn status(&self) -> ConnectionStatus {
        lock(&self.inner.budget).status(self.inner.ports.clock.now())
    }

    /// Holds the whole connection for that long, because of something the connector found in an answer.
    pub fn pause(&self, pause: Duration, why: &str) {
        lock(&self.inner.budget).pause(pause, why, self.inner.ports.clock.now());
        self.inner.changed.notify_waiters();
    }

    /// Sends one call with the default reading of statuses.
    ///
    /// # Errors
    /// See [`Client::call_with`].
    pub async fn call(&self, call: Call) -> Result<HttpResponse, Failure> {
        self.call_with(call, &PlainHandler).await
    }

    /// Sends one call: waits for its turn, obeys pauses, repeats what may be repeated. Gives every answer
    /// that is not about the connection itself, whatever its status.
    ///
    /// # Errors
    /// A `Failure` that says whether the system may have changed.
    pub async fn call_with(&self, call: Call, handler: &dyn Handler) -> Result<HttpResponse, Failure> {
        self.check_origin(&call)?;
        let tries = lock(&self.inner.budget).limits().tries.max(1);
        let mut attempt = 1;
        loop {
            let turn = self.turn(&call).await?;
            let mut request = call.request.clone();
            handler.prepare(&mut request)?;
            let sent = self.inner.ports.clock.now();
            let outcome = self.inner.ports.transport.send(request).await;
            let received = self.inner.ports.clock.now();
            drop(turn);
            let failure = match outcome {
                Ok(response) => {
                    self.learn(&response, sent, received);
                    match self.judge(&call, response, handler, attempt, received) {
                        Judged::Done(result) => return result,
                        Judged::Again(failure) => failure,
                    }
                }
                Err(error) => self.transport_failure(&call, &error),
            };
            let unchanged = failure.applied == Applied::No || call.repeatable;
            let retry = unchanged && failure.class != FailureClass::Bug && attempt < tries;
            if !retry {
                return Err(failure);
            }
            let wait = failure.retry_after.unwrap_or_else(|| self.backoff(attempt));
            if wait > lock(&self.inner.budget).limits().patience {
                return Err(failure);
            }
            // A throttled call waits in the pause that it caused; anything else backs off on its own.
            if !matches!(failure.class, FailureClass::Throttled | FailureClass::Quota) {
                self.inner.ports.clock.sleep(wait).await;
            }
            attempt += 1;
        }
    }

    fn check_origin(&self, call: &Call) -> Result<(), Failure> {
        let refused = |why: String| Failure::new(FailureClass::Bug, call.attempted.clone(), why);
        let origin = Origin::parse(&call.request.url).map_err(|why| refused(format!("not sent: {why}")))?;
        if origin != self.inner.origin {
            return Err(refused(format!(
                "not sent: {} is not the pinned origin {}; credentials are never sent elsewhere",
                origin.text(),
                self.inner.origin.text()
            )));
        }
        Ok(())
    }

    /// Waits until the budget lets this call go.
    async fn turn(&self, call: &Call) -> Result<Turn<'_>, Failure> {
        let inner = &*self.inner;
        let place = Place { inner, ticket: lock(&inner.budget).enqueue(call.purpose) };
        loop {
            let changed = inner.changed.notified();
            tokio::pin!(changed);
            // Listen before asking: what changes in between must not be missed.
            changed.as_mut().enable();
            let permit = lock(&inner.budget).ask(place.ticket, inner.ports.clock.now());
            match permit {
                Permit::Granted => return Ok(Turn { inner }),
                Permit::WaitForTurn => changed.await,
                Permit::Wait(duration) => {
                    tokio::select! {
                        () = changed => {}
                        () = inner.ports.clock.sleep(duration) => {}
                    }
                }
                Permit::Refused { after, why, quota } => {
                    let class = if quota { FailureClass::Quota } else { FailureClass::Throttled };
                    let mut failure = Failure::new(class, call.attempted.clone(), format!("not sent: {why}"));
                    failure.retry_after = Some(after);
                    return Err(failure);
                }
            }
        }
    }

    fn judge(
        &self,
        call: &Call,
        response: HttpResponse,
        handler: &dyn Handler,
        attempt: u32,
        now: Timestamp,
    ) -> Judged {
        if let Some(failure) = login_page(call, &response) {
            return Judged::Done(Err(failure));
        }
        let told = retry_after(&response, now);
        match handler.verdict(&response) {
            Verdict::Answer => Judged::Done(Ok(response)),
            Verdict::Throttled(wait) => {
                let pause = told.or(wait).unwrap_or_else(|| self.backoff(attempt));
                let pause = pause.clamp(Duration::from_millis(100), Duration::from_secs(3600));
                Judged::Again(self.hold(call, &response, FailureClass::Throttled, pause, now))
            }
            Verdict::Quota(wait) => {
                let pause = told.or(wait).unwrap_or(Duration::from_secs(15 * 60));
                Judged::Again(self.hold(call, &response, FailureClass::Quota, pause, now))
            }
            verdict => {
                let class = match verdict {
                    Verdict::Locked => FailureClass::Locked,
                    _ => FailureClass::Transient,
                };
                let mut failure = Failure::new(class, call.attempted.clone(), excerpt(&response));
                failure.retry_after = told;
                if class == FailureClass::Transient && !call.repeatable {
                    failure.applied = Applied::Unknown;
                }
                Judged::Again(failure)
            }
        }
    }

    fn hold(
        &self,
        call: &Call,
        response: &HttpResponse,
        class: FailureClass,
        pause: Duration,
        now: Timestamp,
    ) -> Failure {
        let answered = excerpt(response);
        {
            let mut budget = lock(&self.inner.budget);
            let why = format!("{} asked for slower: {answered}", self.inner.system);
            budget.throttled(pause, &why, now);
        }
        self.inner.changed.notify_waiters();
        let mut failure = Failure::new(class, call.attempted.clone(), answered);
        failure.retry_after = Some(pause);
        failure
    }

    fn transport_failure(&self, call: &Call, error: &TransportError) -> Failure {
        let (class, applied) = match error {
            TransportError::NotSent(_) => (FailureClass::Transient, Applied::No),
            TransportError::AnswerLost(_) => (FailureClass::Transient, Applied::Unknown),
            TransportError::TooLarge(_) => (FailureClass::Bug, Applied::Unknown),
        };
        // Where it was to go is the first thing to look at: a wrong address fails like a system that is down.
        let answered = match error {
            TransportError::NotSent(why) => {
                format!("not sent to {}: {why}", self.origin())
            }
            other => other.to_string(),
        };
        let mut failure = Failure::new(class, call.attempted.clone(), answered);
        if !call.repeatable {
            failure.applied = applied;
        }
        failure
    }

    /// What every answer tells besides its content.
    fn learn(&self, response: &HttpResponse, sent: Timestamp, received: Timestamp) {
        if let Some(date) = response.header("date").and_then(http_date) {
            self.narrow_clock(date, sent, received);
        }
        let mut budget = lock(&self.inner.budget);
        let header = budget.limits().quota.clone();
        if let Some(header) = header
            && let Some(text) = response.header(&header.name)
            && let Some(found) = header.regex.captures(text)
            && let (Some(used), Some(limit)) = (number(&found, "used"), number(&found, "limit"))
        {
            budget.quota(used, limit, received);
        }
        // Only a plain count of calls in a short window; other units go by other header names.
        let remaining = response.header("x-ratelimit-remaining").and_then(|text| text.trim().parse().ok());
        if let Some(remaining) = remaining {
            let reset = response
                .header("x-ratelimit-reset")
                .and_then(|text| text.trim().parse::<i64>().ok())
                .and_then(|reset| reset_in(reset, received));
            budget.remaining(remaining, reset, received);
        }
    }

    fn narrow_clock(&self, date: Timestamp, sent: Timestamp, received: Timestamp) {
        // The header is cut to whole seconds: the server's clock stood somewhere in that second at some
        // moment between sending and receiving.
        let low = date.as_millisecond() - received.as_millisecond();
        let high = date.as_millisecond() + 1000 - sent.as_millisecond();
        let mut bounds = lock(&self.inner.clock_bounds);
        let fresh = ClockBounds { low, high, since: received };
        *bounds = Some(match *bounds {
            Some(known) if received.duration_since(known.since) < BOUNDS_LIFE => {
                let (low, high) = (known.low.max(low), known.high.min(high));
                if low <= high { ClockBounds { low, high, since: known.since } } else { fresh }
            }
            _ => fresh,
        });
    }

    /// Doubling, with jitter so that many clients do not come back together.
    fn backoff(&self, attempt: u32) -> Duration {
        let base = 1000_u64.saturating_mul(1 << attempt.saturating_sub(1).min(5));
        let jitter = self.inner.ports.random.next() % base.max(1);
        Duration::from_millis(base / 2 + jitter)
    }
}

enum Judged {
    Done(Result<HttpResponse, Failure>),
    Again(Failure),
}

/// A place in the queue; leaves it when dropped, so that a cancelled call blocks nobody.
struct Place<'a> {
    inner: &'a Inner,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.inner.budget).leave(self.ticket);
        self.inner.changed.notify_waiters();
    }
}

/// A slot in flight.
struct Turn<'a> {
    inner: &'a Inner,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.inner.budget).finished();
        self.inner.changed.notify_waiters();
    }
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(found: &regex_lite::Captures<'_>, name: &str) -> Option<u64> {
    found.name(name).and_then(|text| text.as_str().parse().ok())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
