//! Absence: what a complete sweep did not list, and when that counts (P5).
//!
//! Nothing here deletes. Evidence is counted; whether it is enough is `deletes.rs`' business.

use std::sync::Arc;

use jiff::Timestamp;

use super::poll::Polled;
use super::{Engine, EngineError, Port, Result};
use crate::connector::api::Lookup;
use crate::store::mirror::{Cause, RecordState, Sweep};

/// So many absent records are read by id one by one; more are counted without.
const LOOK_UP: usize = 50;

/// Which mirror rows a sweep listed: one bit per record number.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    words: Vec<u64>,
    count: u64,
}

impl Listed {
    /// This record was listed.
    pub fn add(&mut self, record: i64) {
        let Ok(place) = usize::try_from(record) else { return };
        let (word, bit) = (place / 64, place % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(slot) = self.words.get_mut(word) {
            self.count += u64::from(*slot & (1 << bit) == 0);
            *slot |= 1 << bit;
        }
    }

    /// It was listed.
    pub fn has(&self, record: i64) -> bool {
        usize::try_from(record)
            .ok()
            .and_then(|place| self.words.get(place / 64).map(|word| word & (1 << (place % 64)) != 0))
            .unwrap_or(false)
    }

    /// How many different records were listed.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Engine {
    /// Counts a complete sweep for and against absence. A changed principal, or a listing that is suddenly
    /// half empty, counts nothing.
    pub(super) async fn count_sweep(
        &self,
        port: &Arc<Port>,
        started: Timestamp,
        listed: Listed,
        polled: &mut Polled,
    ) -> Result<()> {
        self.probe(&port.key.0).await?;
        let fingerprint = self.identity(&port.key.0);
        let (stream, now, count) = (port.stream, self.clock.now(), listed.count());
        let (before, Sweep { known, absent }) = self
            .store
            .transact(move |store| {
                let before = store.stream(stream)?;
                Ok((before, store.held_against(stream, |id| listed.has(id))?))
            })
            .await?;
        if before.fingerprint.as_ref().is_some_and(|old| *old != fingerprint) {
            polled.complete = false;
            polled
                .remarks
                .push("another tenant or principal than at the last sweep: absence proves nothing".into());
            return Ok(());
        }
        let newly = absent.iter().filter(|(_, _, state)| *state != RecordState::Missing).count();
        if newly >= 3
            && u64::try_from(newly).unwrap_or(0) * 2 > known
            && !self.emptied_is_approved(port).await?
        {
            self.hold_emptied(port, newly, known).await?;
            polled.complete = false;
            polled
                .remarks
                .push(format!("{newly} of {known} known records were not listed: held until approved"));
            return Ok(());
        }
        let still_absent = self.look_up_absent(port, absent).await?;
        self.store
            .transact(move |store| {
                for (id, rid) in &still_absent {
                    store.count_absence(stream, *id, rid, started, now)?;
                }
                store.sweep_counted(stream, started, count, &fingerprint)?;
                if newly == 0 {
                    store.withdraw_emptied(stream, now)?;
                }
                store.mark_absent_due(stream, now)
            })
            .await?;
        Ok(())
    }

    /// What was missing and is listed again is back, whatever kind of listing showed it.
    pub(super) async fn take_back(&self, port: &Arc<Port>, listed: &Listed) -> Result<()> {
        let (stream, now, seen) = (port.stream, self.clock.now(), listed.clone());
        self.store.transact(move |store| store.listed_again(stream, |id| seen.has(id), now)).await?;
        Ok(())
    }

    /// Absence from a listing is doubted by a look at each record, as far as that is cheap.
    async fn look_up_absent(
        &self,
        port: &Arc<Port>,
        absent: Vec<(i64, String, RecordState)>,
    ) -> Result<Vec<(i64, String)>> {
        let cheap = absent.len() <= LOOK_UP;
        let mut still_absent = Vec::new();
        for (id, rid, _) in absent {
            if !cheap {
                still_absent.push((id, rid));
                continue;
            }
            match self.read_record(port, &rid, Cause::Read).await {
                // It is there: the listing lied, or it moved while we read. Or it is proven gone already.
                Ok(Lookup::Found(_) | Lookup::Gone { .. }) => {}
                Ok(Lookup::Missing(_)) => still_absent.push((id, rid)),
                // Not found out: not counted, and nobody else's trouble (P7).
                Err(EngineError::Failure(failure)) => {
                    tracing::warn!(record = %rid, "an absent record could not be looked up: {failure}");
                }
                Err(other) => return Err(other),
            }
        }
        Ok(still_absent)
    }

    async fn emptied_is_approved(&self, port: &Arc<Port>) -> Result<bool> {
        let (stream, now) = (port.stream, self.clock.now());
        let approved = self
            .store
            .transact(move |store| {
                let approved = store.emptied_approved(stream)?;
                if approved.is_some() {
                    store.withdraw_emptied(stream, now)?;
                }
                Ok(approved)
            })
            .await?;
        Ok(approved.is_some())
    }

    async fn hold_emptied(&self, port: &Arc<Port>, absent: usize, known: u64) -> Result<()> {
        let why = format!(
            "{} in {} suddenly lists {absent} of {known} known records no more. Nothing is deleted. If they are really \
             gone, approve this batch and sweep again; if access was lost, restore it and the batch is withdrawn",
            port.key.1, port.key.0
        );
        let (stream, now) = (port.stream, self.clock.now());
        let syncs: Vec<String> = self
            .syncs
            .iter()
            .filter(|sync| sync.sides.iter().any(|side| super::context::stream_key(side) == port.key))
            .map(|sync| sync.name.clone())
            .collect();
        self.store
            .transact(move |store| {
                // One batch is enough to decide; the first sync that reads the stream carries it.
                if let Some(sync) = syncs.first() {
                    store.hold_emptied(sync, stream, &why, now)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    pub(super) fn identity(&self, system: &str) -> String {
        self.identities
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(system)
            .cloned()
            .unwrap_or_default()
    }
}
