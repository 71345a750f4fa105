//! One pass over a sync: poll its streams, decide what is due, apply what is ready, until nothing more can be
//! done now.

use std::sync::Arc;

use futures_util::future::join_all;

use super::apply::Applications;
use super::context::{Context, stream_key};
use super::guards;
use super::intake::take_changes;
use super::matching::match_fresh;
use super::reconcile::reconcile_due;
use super::{Engine, Result};
use crate::config::model::Meaning;
use crate::config::needs_acceptance;
use crate::core::schedule::Schedule;
use crate::core::spec::{SideIx, SyncSpec};

/// Rounds of decide-and-apply in one pass; more is a sign of a loop and waits for the next pass.
const ROUNDS: usize = 25;

/// How a pass is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassOptions {
    /// Sweep whatever the schedule says.
    pub sweep: bool,
    /// Wait for `settle`.
    pub settle: bool,
    /// Do not poll: only decide and apply what waits.
    pub without_poll: bool,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassReport {
    /// The sync.
    pub sync: String,
    /// Records that differed from the mirror.
    pub changed: u64,
    /// Links looked at.
    pub decided: u64,
    /// Writes.
    pub applied: Applications,
    /// Why nothing was written: not accepted, paused.
    pub idle: Option<String>,
    /// Listings that failed.
    pub failures: Vec<String>,
    /// Guards that hold something.
    pub held: Vec<String>,
}

impl Engine {
    /// Runs one pass over a sync.
    ///
    /// # Errors
    /// When the state file cannot be used. Failures of systems are in the report.
    pub async fn pass(&self, sync: &Arc<SyncSpec>, options: PassOptions) -> Result<PassReport> {
        let mut report = PassReport { sync: sync.name.clone(), ..PassReport::default() };
        // Passes of one sync never overlap: whatever says `sent` now was left behind by a failed commit.
        self.recover_sent(Some(&sync.name), "its outcome could not be stored").await?;
        let fresh = if options.without_poll {
            self.reopen_sides(sync).await?
        } else {
            let sweep = options.sweep || self.sweep_overdue(sync).await?;
            self.poll_sides(sync, sweep, &mut report).await?
        };
        if let Some(why) = self.idle(sync).await? {
            report.idle = Some(why);
            return Ok(report);
        }
        self.wake_listed(sync, &fresh).await?;
        let mut ctx = self.context(sync, &fresh, options.settle).await?;
        for _ in 0..ROUNDS {
            ctx.now = self.clock.now();
            let held = self.decide(&ctx, &mut report).await?;
            report.held.extend(held);
            let applied = self.apply(sync, &Arc::new(ctx.clone())).await?;
            report.applied.add(applied);
            if !applied.progressed() {
                break;
            }
        }
        let (name, now) = (sync.name.clone(), self.clock.now());
        self.store.transact(move |store| store.sync_passed(&name, now)).await?;
        Ok(report)
    }

    /// What waited for a listing of a side goes on with it, not an hour later.
    async fn wake_listed(&self, sync: &SyncSpec, fresh: &[bool]) -> Result<()> {
        let listed = sync.sides.iter().zip(fresh).filter(|(_, fresh)| **fresh);
        let reasons: Vec<String> =
            listed.map(|(side, _)| format!("waits for a listing of {}", side.system)).collect();
        let now = self.clock.now();
        self.store.transact(move |store| reasons.iter().try_for_each(|why| store.wake(why, now))).await?;
        Ok(())
    }

    /// The sweep schedule has come round since the last sweep was tried.
    async fn sweep_overdue(&self, sync: &SyncSpec) -> Result<bool> {
        let schedule = Schedule::parse(&sync.sweep, &self.config.daemon.timezone)
            .map_err(|why| super::EngineError::Refused(format!("sweep of {}: {why}", sync.name)))?;
        let keys: Vec<_> = sync.sides.iter().map(stream_key).collect();
        let tried = self
            .store
            .transact(move |store| {
                let mut oldest = None;
                for (system, entity, template) in &keys {
                    let stream = store.stream_for(system, entity, template)?;
                    let Some(at) = store.sweep_tried(stream.id)? else { continue };
                    oldest = Some(oldest.map_or(at, |other: jiff::Timestamp| other.min(at)));
                }
                Ok(oldest)
            })
            .await?;
        // A stream that was never swept is swept by its first poll anyway.
        Ok(tried.and_then(|at| schedule.next_after(at)).is_some_and(|due| due <= self.clock.now()))
    }

    /// Polls every stream of a sync, systems side by side. `true` per side: its listing went through.
    pub(super) async fn poll_sides(
        &self,
        sync: &Arc<SyncSpec>,
        sweep: bool,
        report: &mut PassReport,
    ) -> Result<Vec<bool>> {
        let polls = sync.sides.iter().enumerate().map(|(side, _)| self.poll_side(sync, side, sweep));
        let mut fresh = Vec::new();
        for (outcome, side) in join_all(polls).await.into_iter().zip(&sync.sides) {
            match outcome {
                Ok(changed) => {
                    report.changed += changed;
                    fresh.push(true);
                }
                Err(super::EngineError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(sync = %sync.name, side = %side.name, "{error}");
                    report.failures.push(format!("{}: {error}", side.name));
                    fresh.push(false);
                }
            }
        }
        Ok(fresh)
    }

    async fn poll_side(&self, sync: &Arc<SyncSpec>, side: SideIx, sweep: bool) -> Result<u64> {
        let Some(spec) = sync.sides.get(side) else { return Ok(0) };
        self.not_stopped(&spec.system).await?;
        let opened = match self.ask_who_we_are(&spec.system).await {
            Ok(()) => self.open(sync, side).await,
            Err(error) => Err(error),
        };
        let port = match opened {
            Ok(port) => port,
            Err(error) => {
                self.note_unopened(spec, &error).await?;
                return Err(error);
            }
        };
        Ok(self.poll(&port, sweep).await?.changed)
    }

    /// Once per process; who answers decides what the bases are worth.
    async fn ask_who_we_are(&self, system: &str) -> Result<()> {
        if self.identity(system).is_empty() { self.probe(system).await } else { Ok(()) }
    }

    /// A system that is paused or blocked is not called.
    async fn not_stopped(&self, system: &str) -> Result<()> {
        let (name, connector, now) = (system.to_owned(), self.connector_of(system), self.clock.now());
        let row = self.store.transact(move |store| store.system_row(&name, &connector)).await?;
        if row.paused {
            return Err(super::EngineError::Refused(format!(
                "{system} is paused; `tallysync resume {system}`"
            )));
        }
        match (row.blocked_until, row.blocked_why) {
            (Some(until), Some(why)) if until > now => {
                Err(super::EngineError::Refused(format!("{system} is left alone until {until:.0}: {why}")))
            }
            _ => Ok(()),
        }
    }

    async fn note_unopened(
        &self,
        side: &crate::core::spec::SideSpec,
        error: &super::EngineError,
    ) -> Result<()> {
        let (a, b, c) = stream_key(side);
        let (why, now) = (error.to_string(), self.clock.now());
        self.store
            .transact(move |store| {
                let stream = store.stream_for(&a, &b, &c)?;
                store.stream_failed(stream.id, &why, now)
            })
            .await?;
        Ok(())
    }

    /// Opens the sides that are not open yet, without polling; a side whose last listing went through counts as
    /// fresh.
    async fn reopen_sides(&self, sync: &Arc<SyncSpec>) -> Result<Vec<bool>> {
        let mut fresh = Vec::new();
        for (side, spec) in sync.sides.iter().enumerate() {
            let open = self.not_stopped(&spec.system).await.is_ok()
                && (self.port(&stream_key(spec)).is_some() || self.open(sync, side).await.is_ok());
            let (system, entity, template) = stream_key(spec);
            let listed = self
                .store
                .transact(move |store| {
                    let stream = store.stream_for(&system, &entity, &template)?;
                    Ok(stream.polled_at.is_some() && stream.failure.is_none())
                })
                .await?;
            fresh.push(open && listed);
        }
        Ok(fresh)
    }

    /// Why a sync must not decide anything now, if so. A changed meaning takes its acceptance away (P9).
    async fn idle(&self, sync: &Arc<SyncSpec>) -> Result<Option<String>> {
        let meaning = self.meaning(sync).await?;
        let name = sync.name.clone();
        let (row, now) = (
            self.store
                .transact({
                    let name = name.clone();
                    move |store| store.sync_row(&name)
                })
                .await?,
            self.clock.now(),
        );
        if row.paused {
            return Ok(Some(format!("{name} is paused; `tallysync resume {name}`")));
        }
        let Some(accepted) = row.meaning.filter(|_| row.accepted_at.is_some()) else {
            return Ok(Some(format!(
                "{name} is not accepted: look at `tallysync plan {name}`, then `tallysync accept {name}`"
            )));
        };
        let changes =
            needs_acceptance(&Meaning { parts: accepted.clone() }, &Meaning { parts: meaning.clone() });
        if changes.is_empty() {
            if accepted != meaning {
                self.store.transact(move |store| store.set_meaning(&name, &meaning)).await?;
            }
            return Ok(None);
        }
        tracing::warn!(sync = %name, at = %now, "the config changed what this sync means: {}", changes.join("; "));
        let changed = changes.join("; ");
        let owned = name.clone();
        self.store.transact(move |store| store.unaccept_sync(&owned)).await?;
        Ok(Some(format!(
            "{name} means something else than was accepted ({changed}): look at `tallysync plan {name}`, then `tallysync accept {name}`"
        )))
    }

    /// Takes the changes in, matches, merges and brakes: everything that needs no system. Returns what guards
    /// hold.
    pub(super) async fn decide(&self, ctx: &Context, report: &mut PassReport) -> Result<Vec<String>> {
        loop {
            let ctx = ctx.clone();
            if !self.store.transact(move |store| take_changes(&ctx, store)).await? {
                break;
            }
        }
        let mut looked_at = None;
        loop {
            let ctx = ctx.clone();
            let after = looked_at.take();
            let matched =
                self.store.transact(move |store| match_fresh(&ctx, store, after.as_deref())).await?;
            looked_at = matched.more;
            if looked_at.is_none() {
                break;
            }
        }
        let mut after = 0;
        loop {
            let step = ctx.clone();
            let done = self.store.transact(move |store| reconcile_due(&step, store, after)).await?;
            report.decided += done.links;
            after = done.last;
            if !done.more {
                break;
            }
        }
        let brakes = ctx.clone();
        let trips = self.store.transact(move |store| guards::brake(&brakes, store)).await?;
        Ok(trips.into_iter().map(|trip| trip.reason).collect())
    }
}
