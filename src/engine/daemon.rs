//! The daemon: one task per sync on its schedule, a clean stop on SIGTERM, a new config on SIGHUP.
//!
//! A job never overlaps itself. What was missed while the machine slept is caught up once, not tick by tick.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pass::PassOptions;
use super::{Engine, EngineError, Result};
use crate::config::model::Config;
use crate::core::schedule::Schedule;
use crate::core::spec::SyncSpec;

/// Between two looks at a sync, at the least: a due link that keeps waiting must not spin.
const AT_LEAST: SignedDuration = SignedDuration::from_secs(1);
/// Between two looks at a sync, at the most: what a person decided beside the daemon, and a clock that jumped, are
/// noticed by then. A look reads two rows of the state file when there is nothing to do.
const AT_MOST: SignedDuration = SignedDuration::from_secs(5);

/// Why the daemon's engine stops.
enum Stop {
    Terminate,
    Reload(Box<Config>),
}

/// Runs until SIGTERM or SIGINT. `reload` reads the config again on SIGHUP; a config with problems is
/// reported and the old one stays. `rebuild` makes the engine for a new config over the same store.
///
/// # Errors
/// When the state file cannot be used or signals cannot be had.
pub async fn run(
    engine: Engine,
    reload: impl Fn() -> std::result::Result<Config, String>,
    rebuild: impl Fn(Config, &Engine) -> Result<Engine>,
) -> Result<()> {
    let signals = |e: std::io::Error| EngineError::Refused(format!("signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(signals)?;
    let mut engine = Arc::new(engine);
    loop {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for sync in engine.syncs_meant(None)? {
            tasks.spawn(serve(Arc::clone(&engine), sync, stopped.clone()));
        }
        tasks.spawn(watchdog(Arc::clone(&engine), stopped.clone()));
        notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!(syncs = engine.config().syncs.len(), "running");
        let why = loop {
            tokio::select! {
                _ = terminate.recv() => break Stop::Terminate,
                _ = interrupt.recv() => break Stop::Terminate,
                _ = hangup.recv() => match reload() {
                    Ok(config) => break Stop::Reload(Box::new(config)),
                    Err(problems) => tracing::error!("the new config is not used, the old one stays:\n{problems}"),
                },
            }
        };
        tracing::info!("finishing what is under way");
        if matches!(why, Stop::Terminate) {
            notify(&[sd_notify::NotifyState::Stopping]);
        }
        // A receiver that is gone has stopped already.
        let _ = stop.send(true);
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a task did not end cleanly: {error}");
            }
        }
        match why {
            Stop::Terminate => return Ok(()),
            Stop::Reload(config) => match rebuild(*config, &engine) {
                Ok(new) => engine = Arc::new(new),
                Err(error) => tracing::error!("the new config is not used, the old one stays: {error}"),
            },
        }
    }
}

/// Serves one sync until it is told to stop; a pass under way is finished first.
async fn serve(engine: Arc<Engine>, sync: Arc<SyncSpec>, mut stopped: watch::Receiver<bool>) {
    let zone = engine.config().daemon.timezone.clone();
    let (poll, sweep) = match (Schedule::parse(&sync.schedule, &zone), Schedule::parse(&sync.sweep, &zone)) {
        (Ok(poll), Ok(sweep)) => (poll, sweep),
        (Err(why), _) | (_, Err(why)) => {
            tracing::error!(sync = %sync.name, "it is not served: {why}");
            return;
        }
    };
    let start = engine.clock().now();
    // At the start one pass catches up whatever was missed; a pass sweeps by itself when a sweep is overdue.
    let mut next_poll = Some(start);
    let mut next_sweep = sweep.next_after(start);
    while !*stopped.borrow() {
        let now = engine.clock().now();
        let sweep_now = next_sweep.is_some_and(|at| at <= now);
        let poll_now = sweep_now || next_poll.is_some_and(|at| at <= now);
        if poll_now || engine.has_work(&sync, now).await {
            let options = PassOptions { sweep: false, settle: true, without_poll: !poll_now };
            match engine.pass(&sync, options).await {
                Ok(report) => {
                    if let Some(idle) = report.idle.filter(|_| poll_now) {
                        tracing::info!(sync = %sync.name, "{idle}");
                    }
                }
                Err(error) => tracing::error!(sync = %sync.name, "a pass failed: {error}"),
            }
        }
        let now = engine.clock().now();
        if poll_now {
            next_poll = poll.next_after(now);
        }
        if sweep_now {
            next_sweep = sweep.next_after(now);
        }
        let wake = engine.next_wake(&sync, now, [next_poll, next_sweep]).await;
        tokio::select! {
            () = engine.clock().sleep(wake) => {}
            _ = stopped.changed() => {}
        }
    }
}

impl Engine {
    /// A link or a write of this sync is ready.
    async fn has_work(&self, sync: &SyncSpec, now: Timestamp) -> bool {
        let name = sync.name.clone();
        let waiting =
            self.store.transact(move |store| Ok([store.next_due(&name)?, store.next_write_at(&name)?])).await;
        // A state file that cannot be read is reported by the pass.
        waiting.is_ok_and(|waiting| waiting.into_iter().flatten().any(|at| at <= now))
    }

    /// How long a sync may sleep: until its schedule, a settled link, or a write whose time has come.
    async fn next_wake(
        &self,
        sync: &SyncSpec,
        now: Timestamp,
        scheduled: [Option<Timestamp>; 2],
    ) -> Duration {
        let name = sync.name.clone();
        let waiting = self
            .store
            .transact(move |store| Ok([store.next_due(&name)?, store.next_write_at(&name)?]))
            .await
            .unwrap_or([None, None]);
        let earliest = scheduled.into_iter().chain(waiting).flatten().min();
        let wait = earliest.map_or(AT_MOST, |at| at.duration_since(now)).clamp(AT_LEAST, AT_MOST);
        Duration::try_from(wait).unwrap_or(Duration::from_secs(1))
    }
}

/// Tells systemd that we live, as long as the store answers.
async fn watchdog(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    while !*stopped.borrow() {
        if engine.store().transact(|_| Ok(())).await.is_ok() {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
        tokio::select! {
            () = engine.clock().sleep(interval / 3) => {}
            _ = stopped.changed() => {}
        }
    }
}

/// Not being run by systemd is fine: there is nobody to tell then.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}
