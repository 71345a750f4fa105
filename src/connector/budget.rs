//! How many calls a connection may make now, and whose turn it is. Pure: time comes in as an argument.
//!
//! It decides nothing about answers and sends nothing; `client.rs` asks it before each call and tells it
//! what came back.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::config::model::BudgetSpec;

/// Why a call is made; decides who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A write, or the read that belongs to one.
    Write,
    /// Looking for changes.
    Poll,
    /// A complete listing.
    Sweep,
    /// `check`, log-in, name resolution: something waits for it.
    Probe,
}

impl Purpose {
    fn rank(self) -> usize {
        match self {
            Self::Write => 0,
            Self::Probe => 1,
            Self::Poll => 2,
            Self::Sweep => 3,
        }
    }

    /// Which part of a daily quota this purpose may use up. Writes may use all of it.
    fn daily_share(self) -> f64 {
        match self {
            Self::Write | Self::Probe => 1.0,
            Self::Poll => 0.95,
            Self::Sweep => 0.85,
        }
    }
}

/// What the connector knows about the API's limits; the config's budget may be tighter.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Calls in any 60 seconds; `None`: no limit of our own.
    pub per_minute: Option<u32>,
    /// Calls per day (UTC).
    pub per_day: Option<u32>,
    /// Calls in flight at once.
    pub max_in_flight: u32,
    /// A header that tells used and allowed calls.
    pub quota: Option<QuotaHeader>,
    /// The longest pause that one answer may order.
    pub longest_pause: Duration,
    /// A pause longer than this is not waited for: the call fails and says when to come back.
    pub patience: Duration,
    /// How often one call is tried in all.
    pub tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_minute: None,
            per_day: None,
            max_in_flight: 4,
            quota: None,
            longest_pause: Duration::from_secs(24 * 3600),
            patience: Duration::from_secs(60),
            tries: 4,
        }
    }
}

/// A header such as `Sforce-Limit-Info: api-usage=18/5000`.
#[derive(Debug, Clone)]
pub struct QuotaHeader {
    /// Header name in lower case.
    pub name: String,
    /// With the groups `used` and `limit`.
    pub regex: regex_lite::Regex,
    /// The part of the limit that is left to people and other programs, 0 to 1.
    pub reserve: f64,
}

impl PartialEq for QuotaHeader {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.regex.as_str() == other.regex.as_str()
            && self.reserve == other.reserve
    }
}

/// What is to be done before a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Go. The slot is taken.
    Granted,
    /// Somebody else's turn, or all slots in flight: wait until told.
    WaitForTurn,
    /// Nothing before this much time has passed.
    Wait(Duration),
    /// Not within the caller's patience.
    Refused {
        /// Time until it may work.
        after: Duration,
        /// Why, for people.
        why: String,
        /// The day's calls are used up, rather than a short pause.
        quota: bool,
    },
}

#[derive(Debug, Clone)]
struct Waiter {
    ticket: u64,
    purpose: Purpose,
}

/// After this many calls of others, a waiting kind gets the next one: sweeps and polls never starve.
const FAIR_SHARE: u32 = 4;
const WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// How long after the last refusal the rate begins to recover, and each further step.
const RECOVERY_STEP: SignedDuration = SignedDuration::from_secs(60);
const SLOWEST: f64 = 1.0 / 16.0;

/// The state of one connection's budget.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    tokens: f64,
    refilled: Option<Timestamp>,
    /// Adaptive: 1 is full speed; halved by each refusal, recovers in steps.
    factor: f64,
    factor_changed: Option<Timestamp>,
    recent: VecDeque<Timestamp>,
    in_flight: u32,
    waiting: Vec<Waiter>,
    passed_over: [u32; 4],
    next_ticket: u64,
    paused: Option<(Timestamp, String)>,
    day: Option<jiff::civil::Date>,
    day_used: u32,
    total: u64,
    /// Used and limit as the server told.
    quota: Option<(u64, u64)>,
    quota_day: Option<jiff::civil::Date>,
}

impl Budget {
    /// The tighter of what the config and the connector say.
    pub fn new(spec: &BudgetSpec, defaults: Limits) -> Self {
        let tighter = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let limits = Limits {
            // The operator knows the contract better than the definition: a configured rate replaces it.
            per_minute: spec.per_minute.or(defaults.per_minute).map(|n| n.max(1)),
            per_day: tighter(spec.per_day, defaults.per_day),
            max_in_flight: spec.max_in_flight.unwrap_or(defaults.max_in_flight).max(1),
            ..defaults
        };
        Self {
            tokens: burst(limits.per_minute),
            limits,
            refilled: None,
            factor: 1.0,
            factor_changed: None,
            recent: VecDeque::new(),
            in_flight: 0,
            waiting: Vec::new(),
            passed_over: [0; 4],
            next_ticket: 0,
            paused: None,
            day: None,
            day_used: 0,
            total: 0,
            quota: None,
            quota_day: None,
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Joins the queue.
    pub fn enqueue(&mut self, purpose: Purpose) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push(Waiter { ticket, purpose });
        ticket
    }

    /// Leaves the queue without having been granted.
    pub fn leave(&mut self, ticket: u64) {
        self.waiting.retain(|waiter| waiter.ticket != ticket);
    }

    /// Asks whether this ticket may go now.
    pub fn ask(&mut self, ticket: u64, now: Timestamp) -> Permit {
        let Some(purpose) = self.waiting.iter().find(|w| w.ticket == ticket).map(|w| w.purpose) else {
            return Permit::WaitForTurn;
        };
        if let Some((after, why)) = self.pause_left(now) {
            if after > self.limits.patience {
                return Permit::Refused { after, why, quota: false };
            }
            return Permit::Wait(after);
        }
        if let Some((after, why)) = self.day_exhausted(purpose, now) {
            return Permit::Refused { after, why, quota: true };
        }
        if self.next_in_turn() != Some(ticket) || self.in_flight >= self.limits.max_in_flight {
            return Permit::WaitForTurn;
        }
        if let Some(wait) = self.pace(now) {
            return Permit::Wait(wait);
        }
        self.grant(ticket, purpose, now);
        Permit::Granted
    }

    /// A granted call came to its end.
    pub fn finished(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The server asked for slower: nothing goes out for that long, and the rate is halved.
    pub fn throttled(&mut self, pause: Duration, why: &str, now: Timestamp) {
        self.pause(pause, why, now);
        // Several calls in flight are refused together; that is one piece of news, not several.
        let fresh =
            self.factor_changed.is_none_or(|at| now.duration_since(at) > SignedDuration::from_secs(2));
        if fresh {
            self.factor = (self.factor / 2.0).max(SLOWEST);
            self.factor_changed = Some(now);
        }
    }

    /// Nothing goes out for that long. A running pause is never shortened.
    pub fn pause(&mut self, pause: Duration, why: &str, now: Timestamp) {
        let until = later(now, pause.min(self.limits.longest_pause));
        if self.paused.as_ref().is_none_or(|(known, _)| *known < until) {
            self.paused = Some((until, why.to_owned()));
        }
    }

    /// Takes note of how many calls the server says are left in its window.
    pub fn remaining(&mut self, remaining: u64, reset: Option<Duration>, now: Timestamp) {
        if remaining == 0 {
            let pause = reset.unwrap_or(Duration::from_secs(5)).min(Duration::from_secs(3600));
            self.pause(pause, "the system says that no calls are left in its window", now);
        }
    }

    /// Takes note of a quota header.
    pub fn quota(&mut self, used: u64, limit: u64, now: Timestamp) {
        self.quota = Some((used, limit));
        self.quota_day = Some(utc_day(now));
    }

    /// For `status`.
    pub fn status(&self, now: Timestamp) -> ConnectionStatus {
        let paused = self.paused.clone().filter(|(until, _)| *until > now);
        ConnectionStatus {
            calls: self.total,
            calls_last_minute: self.recent.iter().filter(|at| now.duration_since(**at) < WINDOW).count(),
            calls_today: if self.day == Some(utc_day(now)) { self.day_used } else { 0 },
            per_minute: self.limits.per_minute,
            per_day: self.limits.per_day,
            in_flight: self.in_flight,
            speed: self.factor,
            quota: self.quota,
            paused_until: paused.as_ref().map(|(until, _)| *until),
            paused_because: paused.map(|(_, why)| why),
        }
    }

    fn pause_left(&self, now: Timestamp) -> Option<(Duration, String)> {
        let (until, why) = self.paused.as_ref()?;
        positive(until.duration_since(now)).map(|left| (left, why.clone()))
    }

    fn day_exhausted(&mut self, purpose: Purpose, now: Timestamp) -> Option<(Duration, String)> {
        let today = utc_day(now);
        if self.day != Some(today) {
            self.day = Some(today);
            self.day_used = 0;
        }
        let share = purpose.daily_share();
        let own =
            self.limits.per_day.is_some_and(|limit| f64::from(self.day_used) >= f64::from(limit) * share);
        let told = self.quota_day == Some(today)
            && match (&self.quota, &self.limits.quota) {
                (Some((used, limit)), Some(header)) => {
                    *used as f64 >= *limit as f64 * (1.0 - header.reserve) * share
                }
                _ => false,
            };
        if !own && !told {
            return None;
        }
        let why = if own {
            format!("the budget of {} calls a day is used up for this kind of call", self.day_used)
        } else {
            let (used, limit) = self.quota.unwrap_or_default();
            format!("{used} of the {limit} calls that the system allows are used; the rest is reserved")
        };
        // A rolling quota frees calls all the time; our own day ends at midnight.
        let after = if own { until_midnight(now) } else { Duration::from_secs(15 * 60) };
        if told && !own {
            // Forget the figure so that one call may go out after the wait and bring a fresh one.
            self.quota = None;
            self.pause(after, &why, now);
        }
        Some((after, why))
    }

    fn next_in_turn(&self) -> Option<u64> {
        let starved = self
            .waiting
            .iter()
            .filter(|w| self.passed_over.get(w.purpose.rank()).is_some_and(|n| *n >= FAIR_SHARE))
            .max_by_key(|w| (w.purpose.rank(), std::cmp::Reverse(w.ticket)));
        starved.or_else(|| self.waiting.iter().min_by_key(|w| (w.purpose.rank(), w.ticket))).map(|w| w.ticket)
    }

    /// How long until the rate allows another call.
    fn pace(&mut self, now: Timestamp) -> Option<Duration> {
        let per_minute = self.limits.per_minute?;
        self.recover(now);
        let rate = f64::from(per_minute) / 60.0 * self.factor;
        if let Some(before) = self.refilled {
            let passed = now.duration_since(before).as_secs_f64().max(0.0);
            self.tokens = (self.tokens + passed * rate).min(burst(Some(per_minute)));
        }
        self.refilled = Some(now);
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= per_minute as usize {
            let oldest = self.recent.front().copied().unwrap_or(now);
            return positive(WINDOW.saturating_sub(now.duration_since(oldest)));
        }
        if self.tokens < 1.0 - 1e-9 {
            return Some(Duration::from_secs_f64(((1.0 - self.tokens) / rate).max(0.001)));
        }
        None
    }

    fn recover(&mut self, now: Timestamp) {
        if self.factor < 1.0
            && let Some(at) = self.factor_changed
            && now.duration_since(at) >= RECOVERY_STEP
        {
            self.factor = (self.factor * 1.5).min(1.0);
            self.factor_changed = Some(now);
        }
    }

    fn grant(&mut self, ticket: u64, purpose: Purpose, now: Timestamp) {
        self.leave(ticket);
        for (rank, count) in self.passed_over.iter_mut().enumerate() {
            let waits = self.waiting.iter().any(|w| w.purpose.rank() == rank);
            *count = if rank == purpose.rank() || !waits { 0 } else { count.saturating_add(1) };
        }
        if self.limits.per_minute.is_some() {
            self.tokens -= 1.0;
        }
        self.recent.push_back(now);
        // Without a rate limit the window only feeds `status`: keep it short.
        while self.recent.len() > self.limits.per_minute.map_or(1000, |n| n as usize) {
            self.recent.pop_front();
        }
        self.in_flight += 1;
        self.day_used = self.day_used.saturating_add(1);
        self.total += 1;
    }
}

/// What `status` shows of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionStatus {
    /// Calls since the start of the program.
    pub calls: u64,
    /// Calls in the last 60 seconds.
    pub calls_last_minute: usize,
    /// Calls since midnight UTC, by this process.
    pub calls_today: u32,
    /// The rate in force.
    pub per_minute: Option<u32>,
    /// The daily limit in force.
    pub per_day: Option<u32>,
    /// Calls in flight.
    pub in_flight: u32,
    /// 1 is full speed; less after the system asked for slower.
    pub speed: f64,
    /// Used and allowed calls, as the system last told.
    pub quota: Option<(u64, u64)>,
    /// Nothing is sent before.
    pub paused_until: Option<Timestamp>,
    /// Why.
    pub paused_because: Option<String>,
}

fn burst(per_minute: Option<u32>) -> f64 {
    per_minute.map_or(1.0, |n| f64::from((n / 10).max(1)))
}

fn positive(duration: SignedDuration) -> Option<Duration> {
    Duration::try_from(duration).ok().filter(|d| !d.is_zero())
}

fn utc_day(now: Timestamp) -> jiff::civil::Date {
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn until_midnight(now: Timestamp) -> Duration {
    let second = now.as_second().rem_euclid(86_400);
    Duration::from_secs(u64::try_from(86_400 - second).unwrap_or(86_400))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
