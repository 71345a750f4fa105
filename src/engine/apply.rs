//! Act: takes ready writes from the outbox, sends each, and reacts to what the system said.
//!
//! The request of a write is never sent before its row says `sent`; a crash from then on leaves a row that
//! says what to look up. Failures of one record delay only that record (P7).

use std::sync::Arc;

use futures_util::StreamExt;
use jiff::SignedDuration;

use super::context::Context;
use super::{Engine, EngineError, Port, Result};
use crate::connector::api::{Applied, Failure, FailureClass};
use crate::core::retry::backoff;
use crate::core::spec::{SideIx, SyncSpec};
use crate::store::outbox::{Op, Write, WriteState};

/// Writes taken from the outbox in one step.
const STEP: u32 = 200;
/// Writes in flight at once; the systems' own limits are narrower where they matter.
const IN_FLIGHT: usize = 8;
/// After so many refusals because the record moved, the write is parked as too hot.
const LOST_RACES: u64 = 3;
/// After so many tries a write that only waits for a business hold is parked.
const HELD_TRIES: u32 = 12;
const HELD_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// After so many answers that make no sense (a page for people, half a document) a write is parked.
const SENSELESS_TRIES: u32 = 12;

/// What became of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It took effect (or was found to have).
    Done,
    /// It was overtaken: decided again.
    Superseded,
    /// It will be tried again, or looked up.
    Waiting,
    /// It needs a change or a person.
    Parked,
}

/// What a step of applying did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applications {
    /// Took effect.
    pub done: u64,
    /// Decided again.
    pub superseded: u64,
    /// To be tried again.
    pub waiting: u64,
    /// Parked.
    pub parked: u64,
}

impl Applications {
    fn count(&mut self, sent: Sent) {
        match sent {
            Sent::Done => self.done += 1,
            Sent::Superseded => self.superseded += 1,
            Sent::Waiting => self.waiting += 1,
            Sent::Parked => self.parked += 1,
        }
    }

    /// Something moved: there may be more to do now.
    pub fn progressed(&self) -> bool {
        self.done + self.superseded > 0
    }

    /// Adds another step's counts.
    pub fn add(&mut self, other: Self) {
        self.done += other.done;
        self.superseded += other.superseded;
        self.waiting += other.waiting;
        self.parked += other.parked;
    }
}

/// One write on its way, with everything it needs.
pub(super) struct Sending {
    pub(super) ctx: Arc<Context>,
    pub(super) write: Write,
    pub(super) side: SideIx,
    pub(super) port: Arc<Port>,
}

impl Engine {
    /// Sends the ready writes of a sync, in order per record.
    ///
    /// # Errors
    /// When the state file cannot be used; what systems answer is stored with the write.
    pub async fn apply(&self, sync: &Arc<SyncSpec>, ctx: &Arc<Context>) -> Result<Applications> {
        let mut applied = Applications::default();
        let (name, now) = (sync.name.clone(), self.clock.now());
        let ready = self.store.transact(move |store| store.ready_writes(&name, now, STEP)).await?;
        let mut sending = Vec::new();
        for write in ready {
            let Some(side) = ctx.side_ix(&write.side) else { continue };
            let Some(port) = ctx.spec.sides.get(side).and_then(|s| self.port(&super::context::stream_key(s)))
            else {
                continue;
            };
            sending.push(Sending { ctx: Arc::clone(ctx), write, side, port });
        }
        let mut outcomes = futures_util::stream::iter(sending.into_iter().map(|one| self.send(one)))
            .buffer_unordered(IN_FLIGHT);
        while let Some(outcome) = outcomes.next().await {
            applied.count(outcome?);
        }
        Ok(applied)
    }

    async fn send(&self, one: Sending) -> Result<Sent> {
        // Another write of the same step may have blocked the system, closed this row, or ended its link.
        let (id, system, now) = (one.write.id, one.write.system.clone(), self.clock.now());
        let connector = self.connector_of(&system);
        let (current, row) = self
            .store
            .transact(move |store| Ok((store.write(id)?, store.system_row(&system, &connector)?)))
            .await?;
        let Some(write) = current.filter(|w| matches!(w.state, WriteState::Open | WriteState::Uncertain))
        else {
            return Ok(Sent::Superseded);
        };
        if row.paused || row.blocked_until.is_some_and(|until| until > now) {
            return Ok(Sent::Waiting);
        }
        let one = Sending { write, ..one };
        if one.port.stream != one.write.stream {
            let why = format!(
                "{} reads another entity or template now: nothing of this is sent or looked up there. Look at its old \
                 record, then drop this write",
                one.write.side
            );
            return self.settle(&one, WriteState::Parked, "unknown", &why, None).await;
        }
        let outcome = match (one.write.state, one.write.op) {
            (WriteState::Uncertain, Op::Create) => self.recover_create(&one).await,
            (WriteState::Uncertain, _) => self.recover_by_reading(&one).await,
            (_, Op::Create) => self.send_create(&one).await,
            (_, Op::Update) => self.send_update(&one).await,
            (_, Op::Archive | Op::Delete) => self.send_removal(&one).await,
        };
        match outcome {
            Err(EngineError::Failure(failure)) => self.refused(&one, &failure).await,
            other => {
                self.forgive(&one.port.key.0);
                other
            }
        }
    }

    /// The row says `sent` before the request leaves, and the audit says what is about to be displaced.
    /// `false`: a person dropped it, or it was closed otherwise, since it was taken up; it must not be sent.
    pub(super) async fn intend(&self, one: &Sending, displaced: Vec<(String, String)>) -> Result<bool> {
        let (write, now) = (one.write.clone(), self.clock.now());
        let sent = self
            .store
            .transact(move |store| {
                if !store.mark_sent(write.id, now)? {
                    return Ok(false);
                }
                let lookup =
                    |field: &str| displaced.iter().find(|(name, _)| name == field).map(|(_, v)| v.clone());
                store.audit(&write, "sent", lookup, &write.reason, now)?;
                Ok(true)
            })
            .await?;
        Ok(sent)
    }

    /// Reacts to a failure by its class.
    async fn refused(&self, one: &Sending, failure: &Failure) -> Result<Sent> {
        self.block(&one.port.key.0, failure).await?;
        tracing::warn!(write = one.write.id, system = %one.port.key.0, class = ?failure.class, "{failure}");
        if failure.applied == Applied::Unknown {
            let why = format!(
                "{failure}. Whether it took effect is unknown: it will be looked up, never sent blindly again"
            );
            return self
                .settle(one, WriteState::Uncertain, "unknown", &why, Some(SignedDuration::from_secs(1)))
                .await;
        }
        let attempt = one.write.attempts.saturating_add(1);
        // A try that failed before anything was sent counts too, or it would be repeated every other second.
        let id = one.write.id;
        self.store.transact(move |store| store.count_attempts(id, attempt)).await?;
        let wait = SignedDuration::try_from(backoff(attempt, self.random.next()))
            .unwrap_or(SignedDuration::from_mins(1));
        let stated = failure.retry_after.and_then(|wait| SignedDuration::try_from(wait).ok());
        if one.write.state == WriteState::Uncertain {
            // Only a look failed: what is in doubt stays in doubt, whatever the reason, and is never sent for it.
            let why =
                format!("its outcome could not be looked up: {failure}. It is looked up again by itself");
            let wait = Some(stated.unwrap_or(wait));
            return self.settle(one, WriteState::Uncertain, "unknown", &why, wait).await;
        }
        match failure.class {
            FailureClass::Auth
            | FailureClass::Throttled
            | FailureClass::Quota
            | FailureClass::Transient
            | FailureClass::Locked
            | FailureClass::CursorExpired => {
                let why = format!("{failure}. It is tried again by itself");
                self.settle(one, WriteState::Open, "refused", &why, Some(stated.unwrap_or(wait))).await
            }
            FailureClass::Bug if attempt < SENSELESS_TRIES => {
                let why = format!("{failure}. It is tried again by itself, ever more rarely");
                self.settle(one, WriteState::Open, "refused", &why, Some(wait)).await
            }
            FailureClass::Held if attempt < HELD_TRIES => {
                let why = format!(
                    "{failure}. A business hold: tried again every six hours, parked after {HELD_TRIES} tries"
                );
                self.settle(one, WriteState::Open, "refused", &why, Some(HELD_WAIT)).await
            }
            FailureClass::Conflict if !self.too_hot(one).await? => self.decide_again(one, failure).await,
            FailureClass::Gone => self.decide_again(one, failure).await,
            _ => {
                let why = format!(
                    "{failure}. It is not tried again until the record, the rule or the config changes, or `tallysync retry {}`",
                    one.write.id
                );
                self.settle(one, WriteState::Parked, "refused", &why, None).await
            }
        }
    }

    /// A record that is changed under every write is parked in the end.
    async fn too_hot(&self, one: &Sending) -> Result<bool> {
        let (link, side, now) = (one.write.link, one.write.side.clone(), self.clock.now());
        let since = now.saturating_sub(SignedDuration::from_mins(10)).unwrap_or(now);
        let lost = self.store.transact(move |store| store.lost_races(link, &side, since)).await?;
        Ok(lost >= LOST_RACES)
    }

    /// The record moved under us: look at it and let the merge decide with what it shows now.
    async fn decide_again(&self, one: &Sending, failure: &Failure) -> Result<Sent> {
        if let Some(rid) = &one.write.rid {
            match self.read_record(&one.port, rid, crate::store::mirror::Cause::Read).await {
                Ok(_) => {}
                Err(EngineError::Failure(again)) => {
                    let why =
                        format!("{failure}; and it could not be read: {again}. It is tried again by itself");
                    let wait = Some(SignedDuration::from_secs(30));
                    return self.settle(one, WriteState::Open, "refused", &why, wait).await;
                }
                Err(other) => return Err(other),
            }
        }
        self.overtaken(one, &failure.to_string()).await
    }

    /// Closes a write that must be decided again.
    pub(super) async fn overtaken(&self, one: &Sending, why: &str) -> Result<Sent> {
        let (write, ctx, why) = (one.write.clone(), Arc::clone(&one.ctx), why.to_owned());
        let now = self.clock.now();
        self.store
            .transact(move |store| {
                store.move_write(write.id, WriteState::Superseded, Some(&why), None, now)?;
                if write.state == WriteState::Uncertain || write.attempts > 0 {
                    store.audit(&write, "not-applied", |_| None, &why, now)?;
                }
                store.mark_due(write.link, ctx.now, std::time::Duration::ZERO, "lost a race")
            })
            .await?;
        Ok(Sent::Superseded)
    }

    /// Moves a write to a state, with an audit row for what the system said.
    pub(super) async fn settle(
        &self,
        one: &Sending,
        state: WriteState,
        event: &'static str,
        why: &str,
        wait: Option<SignedDuration>,
    ) -> Result<Sent> {
        let now = self.clock.now();
        let next = wait.map(|wait| now.saturating_add(wait).unwrap_or(now));
        let (write, why) = (one.write.clone(), why.to_owned());
        self.store
            .transact(move |store| {
                store.move_write(write.id, state, Some(&why), next, now)?;
                if write.state == WriteState::Uncertain && state != WriteState::Uncertain {
                    // The link waited for this outcome: what happened on its other sides meanwhile goes on.
                    store.mark_due(write.link, now, std::time::Duration::ZERO, "looked up")?;
                }
                store.audit(&write, event, |_| None, &why, now)
            })
            .await?;
        Ok(if state == WriteState::Parked { Sent::Parked } else { Sent::Waiting })
    }
}
