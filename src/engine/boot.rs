//! Puts an engine together from a config: the state file with its lock and epoch, the systems with their
//! secrets, and the recovery of what a crash left open.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::secrets::SealedSecrets;
use super::{Engine, EngineError, Result};
use crate::config::model::{Config, VarValue};
use crate::connector::api::System;
use crate::connector::client::Ports;
use crate::connector::definition::load_definitions;
use crate::connector::secret::resolve_secret;
use crate::ports::real::{HttpTransport, SystemClock, SystemRandom};
use crate::ports::{Clock, Random, Transport};
use crate::store::handle::Handle;
use crate::store::{Store, StoreError};

/// An engine over the real world: the state file of the config, HTTP, the system's clock.
///
/// # Errors
/// When the state file is locked or damaged, or a system cannot be set up; all problems are named.
pub async fn engine(config: Config) -> Result<Engine> {
    let store = Store::open(&config.state.path)?;
    let handle =
        Handle::threaded(store).map_err(|e| EngineError::Refused(format!("the store thread: {e}")))?;
    let transport = HttpTransport::from_environment().map_err(EngineError::Refused)?;
    let engine = over(config, handle, Arc::new(transport), Arc::new(SystemClock), Arc::new(SystemRandom))?;
    engine.check_epoch().await?;
    engine.recover_start().await?;
    Ok(engine)
}

/// An engine for `plan` and `accept`: the whole one when nobody holds the lock, else one beside the daemon. Both
/// observe and decide in transactions of their own; what is accepted is sent by the daemon.
///
/// # Errors
/// As [`engine`], but for the lock.
pub async fn planning(config: Config) -> Result<Engine> {
    match engine(config.clone()).await {
        Err(EngineError::Store(StoreError::Locked { .. })) => adopting(config),
        other => other,
    }
}

/// An engine for what people decide (resolve, retry, drop, approve, pause): no system, no lock. It works
/// while the daemon runs; [`Store::open_shared`] says why that is safe.
///
/// # Errors
/// When there is no state file, or it cannot be used.
pub fn deciding(config: Config) -> Result<Engine> {
    let store = shared(&config.state.path)?;
    Ok(Engine::new(Arc::new(config), store, BTreeMap::new(), Arc::new(SystemClock), Arc::new(SystemRandom)))
}

/// [`deciding`] with the systems: for `adopt`, which reads a record, and for [`planning`].
///
/// # Errors
/// When the state file cannot be used, or a system cannot be set up.
pub fn adopting(config: Config) -> Result<Engine> {
    let store = shared(&config.state.path)?;
    let transport = HttpTransport::from_environment().map_err(EngineError::Refused)?;
    over(config, store, Arc::new(transport), Arc::new(SystemClock), Arc::new(SystemRandom))
}

/// The engine for a config that was changed while the daemon runs, over the store that it holds already.
///
/// # Errors
/// When the config names another state file, or a system cannot be set up.
pub fn rebuilt(config: Config, old: &Engine) -> Result<Engine> {
    if config.state.path != old.config().state.path {
        return Err(EngineError::Refused(format!(
            "[state] path changed from {} to {}: that needs a restart",
            old.config().state.path.display(),
            config.state.path.display()
        )));
    }
    let transport = HttpTransport::from_environment().map_err(EngineError::Refused)?;
    over(config, old.store().clone(), Arc::new(transport), Arc::new(SystemClock), Arc::new(SystemRandom))
}

/// An engine to look at the systems with, beside the daemon: what it learns about them stays in memory, so
/// that a missing secret in this shell blocks nothing there. Only rotated secrets go to the state file, which
/// is made if there is none. Systems that cannot be set up come back with their problems.
///
/// # Errors
/// When the state file cannot be made or used.
pub fn looking(config: Config) -> Result<(Engine, Unbuilt)> {
    let path = config.state.path.clone();
    if !path.exists() {
        drop(Store::open(&path)?);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let ports = Ports {
        transport: Arc::new(HttpTransport::from_environment().map_err(EngineError::Refused)?),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        secrets: Arc::new(SealedSecrets::new(shared(&path)?)),
    };
    let (systems, unbuilt) = systems(&config, &ports)?;
    let memory = Handle::inline(Store::in_memory()?);
    Ok((Engine::new(Arc::new(config), memory, systems, clock, random), unbuilt))
}

fn shared(path: &Path) -> Result<Handle> {
    Handle::threaded(Store::open_shared(path)?)
        .map_err(|e| EngineError::Refused(format!("the store thread: {e}")))
}

/// An engine over these parts: the same code for the daemon, the tests and the simulation.
///
/// # Errors
/// When a system cannot be set up; all problems are named.
pub fn over(
    config: Config,
    store: Handle,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Engine> {
    let ports = Ports {
        transport,
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        secrets: Arc::new(SealedSecrets::new(store.clone())),
    };
    let (systems, unbuilt) = systems(&config, &ports)?;
    if !unbuilt.is_empty() {
        let problems: Vec<String> = unbuilt
            .iter()
            .flat_map(|(name, found)| found.iter().map(move |problem| format!("[systems.{name}] {problem}")))
            .collect();
        return Err(EngineError::Refused(problems.join("\n")));
    }
    Ok(Engine::new(Arc::new(config), store, systems, clock, random))
}

/// Systems that cannot be set up, each with every reason.
pub type Unbuilt = BTreeMap<String, Vec<String>>;

type Systems = BTreeMap<String, Arc<dyn System>>;

fn systems(config: &Config, ports: &Ports) -> Result<(Systems, Unbuilt)> {
    let refused = |problems: Vec<String>| EngineError::Refused(problems.join("\n"));
    let catalog = load_definitions(config.connectors_dir.as_deref()).map_err(refused)?;
    let mut systems = Systems::new();
    let mut unbuilt = Unbuilt::new();
    for (name, spec) in &config.systems {
        let built = if spec.connector == "tallyfy" {
            crate::tallyfy::build(spec, &reveal, ports.clone())
        } else {
            match catalog.get(&spec.connector) {
                Some(definition) => crate::connector::system::build(
                    spec,
                    definition,
                    &|reference| resolve_secret(reference),
                    ports.clone(),
                ),
                None => Err(vec![format!(
                    "there is no connector {:?}; there are: tallyfy, {}",
                    spec.connector,
                    catalog
                        .all()
                        .map(|definition| definition.connector.id.clone())
                        .collect::<Vec<_>>()
                        .join(", ")
                )]),
            }
        };
        match built {
            Ok(system) => {
                systems.insert(name.clone(), system);
            }
            Err(found) => {
                unbuilt.insert(name.clone(), found);
            }
        }
    }
    Ok((systems, unbuilt))
}

fn reveal(value: &VarValue) -> std::result::Result<String, String> {
    match value {
        VarValue::Plain(text) => Ok(text.clone()),
        VarValue::Secret(reference) => resolve_secret(reference).map(|secret| secret.expose().to_owned()),
    }
}

impl Engine {
    /// P14: counts starts in the state file and in a file outside it. A state file that is behind was restored
    /// from a copy: its bases are not trusted, equal fields are based again, different ones are decided by
    /// the `first` rule.
    ///
    /// # Errors
    /// When either file cannot be used.
    pub async fn check_epoch(&self) -> Result<()> {
        let Some(path) = self.config().state.epoch.clone() else { return Ok(()) };
        epoch_has_a_place(&path)?;
        let outside = read_epoch(&path)?;
        let now = self.clock().now();
        let (inside, next) = self
            .store()
            .transact(move |store| {
                let inside: u64 = store.fact("epoch")?.and_then(|text| text.parse().ok()).unwrap_or(0);
                if outside > inside {
                    store.distrust_bases()?;
                    store.mark_everything_due("config", now)?;
                }
                let next = inside.max(outside).saturating_add(1);
                store.set_fact("epoch", &next.to_string())?;
                Ok((inside, next))
            })
            .await?;
        if outside > inside {
            tracing::warn!(
                "the state file is older than the epoch file {} says ({inside} < {outside}): it was restored from a copy. \
                 No base is trusted; fields that differ between sides are listed as conflicts",
                path.display()
            );
        }
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, next.to_string())
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|e| {
                EngineError::Refused(format!("[state] epoch {}: it cannot be written: {e}", path.display()))
            })
    }
}

/// Whether the epoch file can be kept where the config wants it, without touching it.
///
/// # Errors
/// When its folder is not there or it cannot be read.
pub(super) fn epoch_has_a_place(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(EngineError::Refused(format!(
            "[state] epoch {}: there is no folder {}. It is not made by itself, because it may be a disk that is not \
             mounted: mount it, or make the folder and let the user of tallysync write in it",
            path.display(),
            folder.display()
        )));
    }
    read_epoch(path).map(|_| ())
}

fn read_epoch(path: &Path) -> Result<u64> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            EngineError::Store(StoreError::Damaged(
                format!("[state] epoch {}", path.display()),
                text.trim().to_owned(),
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(EngineError::Refused(format!("[state] epoch {}: {error}", path.display()))),
    }
}
