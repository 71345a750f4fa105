//! Observe: streams the pages of a listing into the mirror.
//!
//! The raw text of an item is hashed first; only when the hash differs is the item decoded and compared.
//! A few thousand items go into one transaction, and the next page is fetched meanwhile.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::deletes::MERGED;
use super::sweep::Listed;
use super::{Engine, Port, Result};
use crate::connector::api::{
    DeleteVisibility, Entity, Failure, FailureClass, Listing, ListingKind, Lookup, Page, RawItem,
};
use crate::core::record::Record;
use crate::store::mirror::{Cause, Glance, Mirrored, RecordState};
use crate::store::streams::Finished;
use crate::store::{Result as StoreResult, Store};

/// Items that are stored in one transaction.
const BATCH: usize = 4000;
/// After we read or wrote a record by id, a listing that shows it otherwise is not believed for so long: it may
/// come from a replica that lags. The record is read by id instead.
const DISTRUST: SignedDuration = SignedDuration::from_secs(120);

/// What a listing brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    /// Pages read.
    pub pages: u64,
    /// Items read.
    pub items: u64,
    /// Records that differed from the mirror.
    pub changed: u64,
    /// A complete sweep.
    pub complete: bool,
    /// Why it proves nothing.
    pub remarks: Vec<String>,
    /// Records that were listed but could not be read.
    pub unreadable: Vec<String>,
}

struct Absorbed {
    listed: Listed,
    polled: Polled,
    suspects: Vec<String>,
    /// Unreadable records that the mirror does not know.
    unknown: u64,
}

impl Engine {
    /// Reads a stream: incrementally where the API can, completely when `sweep` (or when it never was).
    ///
    /// # Errors
    /// What the system answered; what was read before is kept, the cursor is not moved.
    pub async fn poll(&self, port: &Arc<Port>, sweep: bool) -> Result<Polled> {
        let _one_at_a_time = port.listing.lock().await;
        let started = self.clock.now();
        let stream_id = port.stream;
        let stream = self.store.transact(move |store| store.stream(stream_id)).await?;
        // The first listing is a sweep: what is not there yet can only be told by a complete one.
        let sweep = sweep || stream.swept_at.is_none() || !port.capabilities.incremental;
        let listing = if sweep { Listing::Full } else { Listing::Since(stream.cursor.clone()) };
        let poll = self.store.transact(move |store| store.poll_started(stream_id, sweep, started)).await?;
        let outcome = self.stream_pages(port, &listing, sweep).await;
        match outcome {
            Ok((absorbed, cursor)) => self.finish_poll(port, poll, started, sweep, absorbed, cursor).await,
            Err(error) => {
                let done = Finished {
                    poll,
                    started,
                    ended: self.clock.now(),
                    pages: 0,
                    items: 0,
                    changed: 0,
                    complete: false,
                    remark: Some(error.to_string()),
                };
                let expired = matches!(&error, super::EngineError::Failure(f) if f.class == FailureClass::CursorExpired);
                self.store
                    .transact(move |store| {
                        if expired {
                            store.forget_cursor(stream_id)?;
                        }
                        store.poll_failed(stream_id, &done)
                    })
                    .await?;
                if let super::EngineError::Failure(failure) = &error {
                    self.block(&port.key.0, failure).await?;
                }
                Err(error)
            }
        }
    }

    async fn stream_pages(
        &self,
        port: &Arc<Port>,
        listing: &Listing,
        sweep: bool,
    ) -> Result<(Absorbed, Option<String>)> {
        let mut absorbed = Absorbed {
            listed: Listed::default(),
            polled: Polled::default(),
            suspects: Vec::new(),
            unknown: 0,
        };
        let mut total: Option<u64> = None;
        let mut page = port.entity.list(listing, None).await?;
        let mut batch: Vec<RawItem> = Vec::new();
        loop {
            let Page { items, next, cursor, total: announced, incomplete } = page;
            absorbed.polled.pages += 1;
            absorbed.polled.items += u64::try_from(items.len()).unwrap_or(0);
            absorbed.polled.remarks.extend(incomplete);
            // Where pages are cut by offset, a moving total means that records may have slipped between them.
            if let (Some(before), Some(now)) = (total, announced)
                && before != now
                && port.capabilities.listing == ListingKind::Offset
            {
                absorbed
                    .polled
                    .remarks
                    .push(format!("the announced total moved from {before} to {now} while reading"));
            }
            total = announced.or(total);
            batch.extend(items);
            let full = batch.len() >= BATCH || next.is_none();
            let store_now = if full { std::mem::take(&mut batch) } else { Vec::new() };
            match next {
                Some(token) => {
                    let (stored, fetched) = futures_util::future::join(
                        self.absorb(port, store_now, sweep, absorbed),
                        port.entity.list(listing, Some(&token)),
                    )
                    .await;
                    absorbed = stored?;
                    page = fetched?;
                }
                None => {
                    absorbed = self.absorb(port, store_now, sweep, absorbed).await?;
                    let listed = absorbed.listed.count() + absorbed.unknown;
                    if let Some(total) = total
                        && sweep
                        && listed < total
                    {
                        absorbed
                            .polled
                            .remarks
                            .push(format!("it announced {total} records and listed {listed}"));
                    }
                    return Ok((absorbed, cursor));
                }
            }
        }
    }

    async fn absorb(
        &self,
        port: &Arc<Port>,
        items: Vec<RawItem>,
        sweep: bool,
        mut absorbed: Absorbed,
    ) -> Result<Absorbed> {
        if items.is_empty() {
            return Ok(absorbed);
        }
        let entity = Arc::clone(&port.entity);
        let (stream, now) = (port.stream, self.clock.now());
        let cause = if sweep { Cause::Sweep } else { Cause::Poll };
        let stored = self
            .store
            .transact(move |store| {
                let seed = xxh3_64(entity.form().as_bytes());
                let mut glances = store.glances(stream)?;
                let mut newcomers = store.newcomers(stream, cause, now)?;
                let batch = Batch { store, entity: entity.as_ref(), stream, cause, now };
                for item in &items {
                    let raw = i64::from_ne_bytes(xxh3_64_with_seed(item.raw.as_bytes(), seed).to_ne_bytes());
                    match glances.glance(&item.id, raw)? {
                        Glance::Same(id) => absorbed.listed.add(id),
                        Glance::Differs(id) => {
                            absorbed.listed.add(id);
                            batch.absorb_known(item, raw, &mut absorbed)?;
                        }
                        Glance::New => {
                            if let Some(record) = batch.decode(item, &mut absorbed) {
                                absorbed.listed.add(newcomers.add(&record, Some(raw))?);
                                absorbed.polled.changed += 1;
                            } else {
                                absorbed.unknown += 1;
                            }
                        }
                    }
                }
                newcomers.finish()?;
                Ok(absorbed)
            })
            .await?;
        Ok(stored)
    }

    async fn finish_poll(
        &self,
        port: &Arc<Port>,
        poll: i64,
        started: Timestamp,
        sweep: bool,
        mut absorbed: Absorbed,
        cursor: Option<String>,
    ) -> Result<Polled> {
        for rid in std::mem::take(&mut absorbed.suspects) {
            match self.read_record(port, &rid, Cause::Read).await {
                Ok(_) => absorbed.polled.changed += 1,
                // One record's trouble delays only itself (P7): its listing text is not remembered, so the next
                // poll looks at it again.
                Err(super::EngineError::Failure(failure)) => {
                    absorbed.polled.unreadable.push(failure.to_string())
                }
                Err(other) => return Err(other),
            }
        }
        if port.capabilities.deletes == DeleteVisibility::Feed {
            self.read_tombstones(port, &mut absorbed.polled).await?;
        }
        self.take_back(port, &absorbed.listed).await?;
        let complete = sweep && absorbed.polled.remarks.is_empty();
        absorbed.polled.complete = complete;
        if complete {
            self.count_sweep(port, started, absorbed.listed, &mut absorbed.polled).await?;
        }
        let polled = absorbed.polled.clone();
        let done = Finished {
            poll,
            started,
            ended: self.clock.now(),
            pages: polled.pages,
            items: polled.items,
            changed: polled.changed,
            complete,
            remark: Some([polled.remarks.as_slice(), &polled.unreadable].concat().join("; "))
                .filter(|remark| !remark.is_empty()),
        };
        let (stream, system) = (port.stream, port.key.0.clone());
        self.store
            .transact(move |store| {
                store.unblock_system(&system, done.ended)?;
                store.poll_finished(stream, &done, cursor.as_deref())
            })
            .await?;
        Ok(polled)
    }

    /// Reads one record by id into the mirror and returns what the system said.
    ///
    /// # Errors
    /// What the system answered.
    pub(super) async fn read_record(&self, port: &Arc<Port>, rid: &str, cause: Cause) -> Result<Lookup> {
        let lookup = port.entity.get(rid).await?;
        let (stream, now, rid, seen) = (port.stream, self.clock.now(), rid.to_owned(), lookup.clone());
        self.store.transact(move |store| observe_lookup(store, stream, &rid, &seen, cause, now)).await?;
        Ok(lookup)
    }

    async fn read_tombstones(&self, port: &Arc<Port>, polled: &mut Polled) -> Result<()> {
        let stream = port.stream;
        let since = self.store.transact(move |store| Ok(store.stream(stream)?.delete_cursor)).await?;
        let feed = match port.entity.tombstones(since.as_deref()).await {
            Ok(feed) => feed,
            Err(failure) if failure.class == FailureClass::Forbidden => {
                tracing::warn!(system = %port.key.0, entity = %port.key.1, "the delete feed is not readable: {failure}");
                return Ok(());
            }
            Err(failure) => return Err(failure.into()),
        };
        if feed.gap && since.is_some() {
            polled
                .remarks
                .push("the delete feed does not reach back to the last look; only sweeps can tell".into());
        }
        let next = feed.next_since;
        let known = self.store.transact(move |store| still_there(store, stream, feed.ids)).await?;
        for (rid, evidence) in known {
            // The feed tells of deletions, not of restorations, and it is read with overlap: only a record that
            // is not there now is gone. A look that fails leaves the cursor where it is.
            let lookup = port.entity.get(&rid).await?;
            let now = self.clock.now();
            let gone = self
                .store
                .transact(move |store| match lookup {
                    Lookup::Found(record) => {
                        store.observe(stream, &record, None, Cause::Read, now).map(|_| false)
                    }
                    Lookup::Gone { .. } | Lookup::Missing(_) => {
                        store.observe_gone(stream, &rid, &evidence, Cause::Tombstone, now)
                    }
                })
                .await?;
            polled.changed += u64::from(gone);
        }
        self.store.transact(move |store| store.set_delete_cursor(stream, next.as_deref())).await?;
        Ok(())
    }
}

type Tombstone = (String, Option<Timestamp>, Option<String>);

/// Of the records that the feed names, those that the mirror holds and does not know to be gone, with the
/// evidence in words.
fn still_there(store: &Store, stream: i64, ids: Vec<Tombstone>) -> StoreResult<Vec<(String, String)>> {
    let mut known = Vec::new();
    for (rid, at, winner) in ids {
        if store.mirrored(stream, &rid)?.is_none_or(|row| row.state == RecordState::Gone) {
            continue;
        }
        let when = at.map_or_else(|| "at an unknown time".to_owned(), |at| format!("at {at}"));
        let into = winner.map_or_else(String::new, |id| format!(", {MERGED} {id}"));
        known.push((rid, format!("listed as deleted {when}{into}")));
    }
    Ok(known)
}

/// Puts the answer to a read by id into the mirror.
pub(super) fn observe_lookup(
    store: &Store,
    stream: i64,
    rid: &str,
    lookup: &Lookup,
    cause: Cause,
    now: Timestamp,
) -> StoreResult<()> {
    match lookup {
        Lookup::Found(record) => store.observe(stream, record, None, cause, now).map(|_| ()),
        Lookup::Gone { evidence, merged_into } => {
            let into = merged_into.as_ref().map_or_else(String::new, |id| format!(", {MERGED} {id}"));
            store.observe_gone(stream, rid, &format!("{evidence}{into}"), cause, now).map(|_| ())
        }
        Lookup::Missing(_) => store.observe_missing(stream, rid, cause, now),
    }
}

/// What the items of one transaction have in common.
struct Batch<'a> {
    store: &'a Store,
    entity: &'a dyn Entity,
    stream: i64,
    cause: Cause,
    now: Timestamp,
}

impl Batch<'_> {
    /// One unreadable record delays only itself (P7); it was listed, so it is not absent either.
    fn decode(&self, item: &RawItem, absorbed: &mut Absorbed) -> Option<Record> {
        match self.entity.decode(&item.raw) {
            Ok(record) if record.id == item.id => Some(record),
            Ok(record) => {
                let attempted = format!("read record {} of a listing", item.id);
                let answered = format!("its text names another id, {}", record.id);
                note_unreadable(absorbed, &Failure::new(FailureClass::Bug, attempted, answered));
                None
            }
            Err(failure) => {
                note_unreadable(absorbed, &failure);
                None
            }
        }
    }

    fn absorb_known(&self, item: &RawItem, raw: i64, absorbed: &mut Absorbed) -> StoreResult<()> {
        let Some(record) = self.decode(item, absorbed) else { return Ok(()) };
        let Some(known) = self.store.mirrored(self.stream, &record.id)? else { return Ok(()) };
        if is_suspect(&known, &record, self.now) {
            absorbed.suspects.push(record.id);
            return Ok(());
        }
        let differs = self.store.observe_known(&known, &record, Some(raw), self.cause, self.now)?;
        absorbed.polled.changed += u64::from(differs);
        Ok(())
    }
}

/// A listing shows a record otherwise than we just read it by id, or older than we know it.
fn is_suspect(known: &Mirrored, record: &Record, now: Timestamp) -> bool {
    if known.record.values == record.values && known.record.archived == record.archived {
        return false;
    }
    let older = matches!((record.updated_at, known.record.updated_at), (Some(new), Some(old)) if new < old);
    let just_read = known.read_at.is_some_and(|at| now.duration_since(at) < DISTRUST);
    older || just_read
}

fn note_unreadable(absorbed: &mut Absorbed, failure: &Failure) {
    tracing::warn!("a record could not be read: {failure}");
    // The first few say enough; a page full of them would hide everything else.
    if absorbed.polled.unreadable.len() < 5 {
        absorbed.polled.unreadable.push(format!("unreadable: {failure}"));
    }
}
