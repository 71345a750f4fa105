//! The engine: observe, decide, act. The only place that knows both the store and the systems.
//!
//! Everything it needs from outside comes in through [`Engine::new`]: the store's handle, the systems, the
//! clock, randomness. Decisions are made by `core`; nothing here compares two values on its own.

pub mod accept;
mod alternating;
pub mod apply;
pub mod boot;
pub mod confirm;
pub mod context;
pub mod counterparts;
pub mod create;
pub mod daemon;

mod decisions;
pub mod deletes;
pub mod guards;
pub mod inspect;
pub mod intake;
pub mod matching;
pub mod pass;
pub mod people;
pub mod poll;
pub mod reconcile;
pub mod recover;
pub mod remove;
pub mod secrets;

pub mod setup;
pub mod sweep;
pub mod update;
pub mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::model::Config;
use crate::connector::api::{Capabilities, Entity, Failure, System};
use crate::core::spec::SyncSpec;
use crate::ports::{Clock, Random};
use crate::store::StoreError;
use crate::store::handle::Handle;

/// What stops an engine step.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A system.
    #[error("{0}")]
    Failure(#[from] Failure),
    /// Something a person asked for cannot be done; says why and what can.
    #[error("{0}")]
    Refused(String),
    /// A person named something that the config does not have; says what it has.
    #[error("{0}")]
    Unknown(String),
}

/// What engine steps return.
pub type Result<T> = std::result::Result<T, EngineError>;

/// Identifies a stream: system, entity, template (empty where there is none).
pub type StreamKey = (String, String, String);

/// A stream that is ready to be read and written.
pub struct Port {
    /// Its number in the state file.
    pub stream: i64,
    /// Its name.
    pub key: StreamKey,
    /// The opened entity.
    pub entity: Arc<dyn Entity>,
    /// What its API can do.
    pub capabilities: Capabilities,
    /// One listing at a time.
    listing: tokio::sync::Mutex<()>,
}

/// The engine over one config and one state file.
pub struct Engine {
    config: Arc<Config>,
    syncs: Vec<Arc<SyncSpec>>,
    store: Handle,
    systems: BTreeMap<String, Arc<dyn System>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    opened: Mutex<BTreeMap<StreamKey, Arc<Port>>>,
    /// Facts that join the config's meaning (P9): definition hashes and principals, by system.
    identities: Mutex<BTreeMap<String, String>>,
    /// Transient failures in a row, by system.
    strikes: Mutex<BTreeMap<String, u32>>,
}

impl Engine {
    /// An engine over these parts. Nothing is read or sent yet.
    pub fn new(
        config: Arc<Config>,
        store: Handle,
        systems: BTreeMap<String, Arc<dyn System>>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let syncs = config.syncs.iter().cloned().map(Arc::new).collect();
        Self {
            config,
            syncs,
            store,
            systems,
            clock,
            random,
            opened: Mutex::new(BTreeMap::new()),
            identities: Mutex::new(BTreeMap::new()),
            strikes: Mutex::new(BTreeMap::new()),
        }
    }

    /// The store.
    pub fn store(&self) -> &Handle {
        &self.store
    }

    /// The config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The sync of that name.
    ///
    /// # Errors
    /// When there is none; names the ones there are.
    pub fn sync_named(&self, name: &str) -> Result<Arc<SyncSpec>> {
        self.syncs.iter().find(|sync| sync.name == name).cloned().ok_or_else(|| {
            let names: Vec<&str> = self.syncs.iter().map(|sync| sync.name.as_str()).collect();
            EngineError::Unknown(format!("there is no sync {name:?}; the config has: {}", names.join(", ")))
        })
    }

    /// The syncs that a command means: the named one, or all, parents before those that refer to them.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn syncs_meant(&self, name: Option<&str>) -> Result<Vec<Arc<SyncSpec>>> {
        match name {
            Some(name) => Ok(vec![self.sync_named(name)?]),
            None => Ok(self.parents_first()),
        }
    }

    fn parents_first(&self) -> Vec<Arc<SyncSpec>> {
        let mut ordered: Vec<Arc<SyncSpec>> = Vec::new();
        let mut rest: Vec<Arc<SyncSpec>> = self.syncs.clone();
        while !rest.is_empty() {
            let ready = rest.iter().position(|sync| {
                context::parents(sync)
                    .iter()
                    .all(|parent| parent == &sync.name || rest.iter().all(|other| &other.name != parent))
            });
            // A cycle is refused by the config; if one came here, any order is as good.
            ordered.push(rest.remove(ready.unwrap_or(0)));
        }
        ordered
    }

    fn system(&self, name: &str) -> Result<&Arc<dyn System>> {
        self.systems
            .get(name)
            .ok_or_else(|| EngineError::Refused(format!("there is no [systems.{name}] in the config")))
    }

    fn port(&self, key: &StreamKey) -> Option<Arc<Port>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}
