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
    let systems = systems(&config, &ports)?;
    Ok(Engine::new(Arc::new(config), store, systems, clock, random))
}

fn systems(config: &Config, ports: &Ports) -> Result<BTreeMap<String, Arc<dyn System>>> {
    let refused = |problems: Vec<String>| EngineError::Refused(problems.join("\n"));
    let catalog = load_definitions(config.connectors_dir.as_deref()).map_err(refused)?;
    let mut systems: BTreeMap<String, Arc<dyn System>> = BTreeMap::new();
    let mut problems = Vec::new();
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
                problems.extend(found.into_iter().map(|problem| format!("[systems.{name}] {problem}")))
            }
        }
    }
    if problems.is_empty() { Ok(systems) } else { Err(refused(problems)) }
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
            .map_err(|e| EngineError::Refused(format!("[state] epoch {}: {e}", path.display())))
    }
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
