//! Opening systems and streams: which paths each stream is asked for, who we are there, and what of it
//! belongs to a sync's meaning (P9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use jiff::SignedDuration;

use super::context::{Context, SideContext, stream_key};
use super::{Engine, EngineError, Port, Result, StreamKey};
use crate::connector::api::{CreateIdentity, EntityRequest, Failure, FailureClass};
use crate::core::expr::{Expression, Template};
use crate::core::spec::{SideIx, SyncSpec};

/// So many transient failures in a row are the system's, not the records'.
const STRIKES: u32 = 5;
/// How long a system with refused credentials is left alone.
const BLOCK: SignedDuration = SignedDuration::from_mins(5);

impl Engine {
    /// Asks a system who we are there and stores the answer.
    ///
    /// # Errors
    /// What the system answered; refused credentials block it for a while.
    pub async fn probe(&self, name: &str) -> Result<()> {
        let system = Arc::clone(self.system(name)?);
        let connector = self.connector_of(name);
        let now = self.clock.now();
        match system.probe().await {
            Ok(probe) => {
                let identity = probe.fingerprint.clone();
                let owned = name.to_owned();
                self.store
                    .transact(move |store| {
                        store.system_row(&owned, &connector)?;
                        store.probed(
                            &owned,
                            &probe.fingerprint,
                            &probe.title,
                            probe.clock_offset_ms,
                            probe.clock_error_ms,
                            now,
                        )
                    })
                    .await?;
                self.identities
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name.to_owned(), identity);
                Ok(())
            }
            Err(failure) => {
                self.block(name, &failure).await?;
                Err(failure.into())
            }
        }
    }

    /// Stops calls to a system for as long as its failure asks, when it is one that concerns the system.
    pub(super) async fn block(&self, name: &str, failure: &Failure) -> Result<()> {
        let wait = match failure.class {
            FailureClass::Auth => BLOCK,
            FailureClass::Quota | FailureClass::Throttled => failure
                .retry_after
                .and_then(|wait| SignedDuration::try_from(wait).ok())
                .unwrap_or(SignedDuration::from_secs(30)),
            // One record's trouble is not the system's (P7); trouble in a row is.
            FailureClass::Transient | FailureClass::Bug if self.strike(name) => SignedDuration::from_secs(30),
            _ => return Ok(()),
        };
        let until = self.clock.now().saturating_add(wait).unwrap_or(self.clock.now());
        let (name, why, connector) = (name.to_owned(), failure.to_string(), self.connector_of(name));
        self.store
            .transact(move |store| {
                store.system_row(&name, &connector)?;
                store.block_system(&name, until, &why)
            })
            .await?;
        Ok(())
    }

    /// Counts a transient failure of a system; `true` when there were too many in a row.
    fn strike(&self, name: &str) -> bool {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        let count = strikes.entry(name.to_owned()).or_default();
        *count += 1;
        if *count < STRIKES {
            return false;
        }
        *count = 0;
        true
    }

    /// A call to a system went through.
    pub(super) fn forgive(&self, name: &str) {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(super) fn connector_of(&self, name: &str) -> String {
        self.config.systems.get(name).map(|spec| spec.connector.clone()).unwrap_or_default()
    }

    /// What the stream of this key is asked for, over all syncs that read it.
    pub fn request_for(&self, key: &StreamKey) -> EntityRequest {
        let mut paths = BTreeSet::new();
        let mut written = BTreeSet::new();
        let mut request = EntityRequest {
            entity: key.1.clone(),
            template: Some(key.2.clone()).filter(|template| !template.is_empty()),
            paths: Vec::new(),
            written: Vec::new(),
            marker: None,
            search_lag: std::time::Duration::ZERO,
            reopen: false,
        };
        for sync in &self.syncs {
            for (ix, side) in sync.sides.iter().enumerate().filter(|(_, side)| &stream_key(side) == key) {
                collect_paths(sync, ix, &mut paths, &mut written);
                request.marker = request.marker.take().or_else(|| side.marker.clone());
                request.search_lag = request.search_lag.max(side.search_lag);
                request.reopen |= side.reopen;
            }
        }
        request.paths = paths.into_iter().collect();
        request.written = written.into_iter().collect();
        request
    }

    /// Opens the stream of a side; names are resolved again each time.
    ///
    /// # Errors
    /// When a name cannot be resolved or the system does not answer.
    pub async fn open(&self, sync: &SyncSpec, side: SideIx) -> Result<Arc<Port>> {
        let spec = sync
            .sides
            .get(side)
            .ok_or_else(|| EngineError::Refused(format!("sync {} has no side {side}", sync.name)))?;
        let key = stream_key(spec);
        let system = Arc::clone(self.system(&spec.system)?);
        let request = self.request_for(&key);
        let marked = request.marker.is_some();
        let entity = system.open(request).await?;
        let mut capabilities = system.capabilities(&key.1)?;
        if capabilities.create == CreateIdentity::Marker && !marked {
            // A marker that could be searched is no identity while the side names none.
            capabilities.create = CreateIdentity::None;
        }
        let (a, b, c) = key.clone();
        let form = entity.form().to_owned();
        let stream = self
            .store
            .transact(move |store| {
                let stream = store.stream_for(&a, &b, &c)?;
                store.set_form(stream.id, &form)?;
                Ok(stream.id)
            })
            .await?;
        let port = Arc::new(Port {
            stream,
            key: key.clone(),
            entity,
            capabilities,
            listing: tokio::sync::Mutex::new(()),
        });
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&port));
        Ok(port)
    }

    /// The context of a pass over a sync. Sides that could not be opened are not fresh.
    ///
    /// # Errors
    /// When the state file cannot be used, or an expression does not compile.
    pub async fn context(&self, sync: &Arc<SyncSpec>, fresh: &[bool], settle: bool) -> Result<Context> {
        let mut sides = Vec::new();
        for (ix, side) in sync.sides.iter().enumerate() {
            let key = stream_key(side);
            let port = self.port(&key);
            let (a, b, c) = key;
            let connector = self.connector_of(&side.system);
            let (stream, row) = self
                .store
                .transact(move |store| {
                    Ok((store.stream_for(&a, &b, &c)?.id, store.system_row(&a, &connector)?))
                })
                .await?;
            let mut defaults = Vec::new();
            for (path, source) in &side.defaults {
                let template = Template::compile(source)
                    .map_err(|e| EngineError::Refused(format!("default {path} of {}: {e}", side.name)))?;
                defaults.push((path.clone(), template));
            }
            sides.push(SideContext {
                stream,
                capabilities: port.map(|port| port.capabilities.clone()),
                fresh: fresh.get(ix).copied().unwrap_or(false),
                clock_offset: SignedDuration::from_millis(row.clock_offset_ms.unwrap_or(0)),
                clock_error_ms: if row.clock_offset_ms.is_some() { row.clock_error_ms } else { i64::MAX },
                lenses: sync
                    .fields
                    .iter()
                    .map(|field| {
                        field
                            .lenses
                            .get(ix)
                            .and_then(Option::as_ref)
                            .map(|lens| lens.hash())
                            .unwrap_or_default()
                    })
                    .collect(),
                defaults,
            });
        }
        let scope = sync
            .scope
            .as_deref()
            .map(Expression::compile)
            .transpose()
            .map_err(|e| EngineError::Refused(format!("where of sync {}: {e}", sync.name)))?;
        Ok(Context {
            spec: Arc::clone(sync),
            sides,
            scope,
            now: self.clock.now(),
            settle,
            random: Arc::clone(&self.random),
        })
    }

    /// Everything whose change makes a sync write nothing until accepted: the config's part, and who we are
    /// in each of its systems, as far as that is known.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub async fn meaning(&self, sync: &SyncSpec) -> Result<BTreeMap<String, String>> {
        let place = self.syncs.iter().position(|other| other.name == sync.name).unwrap_or(usize::MAX);
        let mut parts = self.config.meanings.get(place).map(|m| m.parts.clone()).unwrap_or_default();
        let names: BTreeSet<String> = sync.sides.iter().map(|side| side.system.clone()).collect();
        for name in names {
            let (owned, connector) = (name.clone(), self.connector_of(&name));
            let row = self.store.transact(move |store| store.system_row(&owned, &connector)).await?;
            if let Some(fingerprint) = row.fingerprint {
                parts.insert(format!("systems.{name}.principal"), fingerprint);
            }
        }
        for side in &sync.sides {
            if let Some(system) = self.systems.get(&side.system) {
                parts.insert(format!("systems.{}.definition", side.system), system.definition());
            }
        }
        Ok(parts)
    }
}

fn collect_paths(
    sync: &SyncSpec,
    side: SideIx,
    paths: &mut BTreeSet<String>,
    written: &mut BTreeSet<String>,
) {
    for field in &sync.fields {
        let Some(Some(lens)) = field.lenses.get(side) else { continue };
        paths.extend(lens.paths.iter().cloned());
        if lens.writable && field.owner != Some(side) && !lens.path.is_empty() {
            written.insert(lens.path.clone());
        }
    }
    let scope = sync.scope.as_deref().and_then(|source| Expression::compile(source).ok());
    if side == 0
        && let Some(scope) = scope
    {
        paths.extend(scope.paths().iter().cloned());
    }
}
