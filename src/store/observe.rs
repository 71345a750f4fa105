//! Writes the mirror: what listings, reads and delete feeds showed, one change row per difference.
//!
//! A row is written only where something differs; what is read again unchanged costs no write.

use jiff::Timestamp;
use rusqlite::{CachedStatement, params};

use super::mirror::{Cause, Mirrored, RecordState};
use super::{Result, Store, StoreError, time_text};
use crate::core::record::{Record, Values};

/// Puts records into the mirror that are known not to be there, many in one transaction: a first poll.
/// [`Newcomers::finish`] must be called in the same transaction; it writes their change rows.
pub struct Newcomers<'s> {
    store: &'s Store,
    stream: i64,
    cause: Cause,
    at: String,
    record: CachedStatement<'s>,
    seen: CachedStatement<'s>,
    first: Option<i64>,
}

impl Newcomers<'_> {
    /// Puts one in and returns its number.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn add(&mut self, record: &Record, raw: Option<i64>) -> Result<i64> {
        let state = if record.archived { RecordState::Archived } else { RecordState::Present };
        let by_id = matches!(self.cause, Cause::Read | Cause::Confirm);
        let id = self.record.insert(params![
            self.stream,
            record.id,
            state.text(),
            canonical(record)?,
            record.version,
            record.updated_at.map(time_text),
            self.at,
            by_id.then_some(&self.at)
        ])?;
        self.seen.execute(params![self.stream, record.id, raw.unwrap_or(0), id])?;
        self.first.get_or_insert(id);
        Ok(id)
    }

    /// Logs that they were created: one statement, however many there are.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn finish(self) -> Result<()> {
        // Only this transaction wrote since: every later number is a record that was added here, or one of
        // another stream.
        let Some(first) = self.first else { return Ok(()) };
        self.store.run(
            "INSERT INTO change (at, stream, rid, kind, cause) \
             SELECT ?1, stream, rid, 'created', ?2 FROM record WHERE id >= ?3 AND stream = ?4 ORDER BY id",
            params![self.at, self.cause.text(), first, self.stream],
        )?;
        Ok(())
    }
}

impl Store {
    /// For records that are not in the mirror yet.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn newcomers(&self, stream: i64, cause: Cause, at: Timestamp) -> Result<Newcomers<'_>> {
        Ok(Newcomers {
            store: self,
            stream,
            cause,
            at: time_text(at),
            record: self.conn().prepare_cached(
                "INSERT INTO record (stream, rid, state, document, version, updated_at, seen_at, read_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            seen: self
                .conn()
                .prepare_cached("INSERT INTO seen (stream, rid, raw, record) VALUES (?1, ?2, ?3, ?4)")?,
            first: None,
        })
    }

    /// Stores what a listing or a read showed. Writes a change only for a difference; returns whether
    /// there was one, and the record's number.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn observe(
        &self,
        stream: i64,
        record: &Record,
        raw: Option<i64>,
        cause: Cause,
        at: Timestamp,
    ) -> Result<(bool, i64)> {
        match self.mirrored(stream, &record.id)? {
            None => {
                let mut newcomers = self.newcomers(stream, cause, at)?;
                let id = newcomers.add(record, raw)?;
                newcomers.finish()?;
                Ok((true, id))
            }
            Some(known) => Ok((self.observe_known(&known, record, raw, cause, at)?, known.id)),
        }
    }

    /// [`Store::observe`] for a record whose mirror row was just read; returns whether there was a difference.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn observe_known(
        &self,
        known: &Mirrored,
        record: &Record,
        raw: Option<i64>,
        cause: Cause,
        at: Timestamp,
    ) -> Result<bool> {
        let at = time_text(at);
        let state = if record.archived { RecordState::Archived } else { RecordState::Present };
        let moved = known.record.values != record.values;
        let by_id = matches!(cause, Cause::Read | Cause::Confirm);
        if moved || known.state != state || known.absent_sweeps > 0 {
            self.run(
                "UPDATE record SET state = ?2, document = ?3, version = ?4, updated_at = ?5, seen_at = ?6, \
                 read_at = coalesce(?7, read_at), absent_sweeps = 0, absent_since = NULL, gone_evidence = NULL WHERE id = ?1",
                params![
                    known.id,
                    state.text(),
                    canonical(record)?,
                    record.version,
                    record.updated_at.map(time_text),
                    at,
                    by_id.then_some(&at)
                ],
            )?;
        } else {
            self.run(
                "UPDATE record SET version = ?2, updated_at = ?3, read_at = coalesce(?4, read_at) WHERE id = ?1",
                params![
                    known.id,
                    record.version,
                    record.updated_at.map(time_text),
                    by_id.then_some(&at)
                ],
            )?;
        }
        let kind = match (known.state, state) {
            (RecordState::Missing | RecordState::Gone, _) => Some("returned"),
            (RecordState::Present, RecordState::Archived) => Some("archived"),
            (RecordState::Archived, RecordState::Present) => Some("restored"),
            _ if moved => Some("updated"),
            _ => None,
        };
        if let Some(kind) = kind {
            let fields = difference(&known.record.values, &record.values);
            self.log_change(known.stream, &record.id, kind, cause, Some(&fields), &at)?;
        }
        // What was read by id was not listed: the text of the listing before says nothing about it, and a listing
        // that shows that text again shows a change.
        if let Some(raw) = raw.or_else(|| kind.is_some().then_some(0)) {
            self.run(
                "UPDATE seen SET raw = ?3 WHERE stream = ?1 AND rid = ?2",
                params![known.stream, record.id, raw],
            )?;
        }
        Ok(kind.is_some())
    }

    /// A record was not found by id: nothing is proven, but nothing can be written to it now.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn observe_missing(&self, stream: i64, rid: &str, cause: Cause, at: Timestamp) -> Result<()> {
        let changed = self.run(
            "UPDATE record SET state = 'missing' WHERE id = (SELECT record FROM seen WHERE stream = ?1 AND rid = ?2) \
             AND state IN ('present', 'archived')",
            params![stream, rid],
        )?;
        if changed > 0 {
            self.log_change(stream, rid, "missing", cause, None, &time_text(at))?;
        }
        Ok(())
    }

    /// A record is proven deleted.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn observe_gone(
        &self,
        stream: i64,
        rid: &str,
        evidence: &str,
        cause: Cause,
        at: Timestamp,
    ) -> Result<bool> {
        let changed = self.run(
            "UPDATE record SET state = 'gone', gone_evidence = ?3 \
             WHERE id = (SELECT record FROM seen WHERE stream = ?1 AND rid = ?2) AND state <> 'gone'",
            params![stream, rid, evidence],
        )?;
        if changed > 0 {
            self.log_change(stream, rid, "gone", cause, None, &time_text(at))?;
        }
        Ok(changed > 0)
    }

    /// One more complete sweep that did not list this record.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn count_absence(
        &self,
        stream: i64,
        id: i64,
        rid: &str,
        started: Timestamp,
        at: Timestamp,
    ) -> Result<()> {
        self.observe_missing(stream, rid, Cause::Sweep, at)?;
        self.run(
            "UPDATE record SET absent_sweeps = absent_sweeps + 1, absent_since = coalesce(absent_since, ?2) WHERE id = ?1",
            params![id, time_text(started)],
        )?;
        Ok(())
    }

    /// Records counted absent that a sweep listed again with the same text.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn listed_again(&self, stream: i64, listed: impl Fn(i64) -> bool, at: Timestamp) -> Result<u64> {
        let mut back = 0;
        for (id, rid, _) in self.astray(stream)? {
            if listed(id) {
                self.run(
                    "UPDATE record SET state = 'present', absent_sweeps = 0, absent_since = NULL, gone_evidence = NULL WHERE id = ?1",
                    [id],
                )?;
                self.log_change(stream, &rid, "returned", Cause::Sweep, None, &time_text(at))?;
                back += 1;
            }
        }
        Ok(back)
    }

    fn log_change(
        &self,
        stream: i64,
        rid: &str,
        kind: &str,
        cause: Cause,
        fields: Option<&str>,
        at: &str,
    ) -> Result<()> {
        self.run(
            "INSERT INTO change (at, stream, rid, kind, cause, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![at, stream, rid, kind, cause.text(), fields],
        )?;
        Ok(())
    }
}

fn canonical(record: &Record) -> Result<String> {
    record.canonical().map_err(|e| StoreError::Caller(format!("record {}: {e}", record.id)))
}

/// `path -> [before, after]` for the paths that differ, as JSON text.
fn difference(before: &Values, after: &Values) -> String {
    let mut map = serde_json::Map::new();
    for path in before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))) {
        let (old, new) = (before.get(path), after.get(path));
        if old != new {
            let pair = vec![old.cloned().unwrap_or_default(), new.cloned().unwrap_or_default()];
            map.insert(path.clone(), serde_json::Value::Array(pair));
        }
    }
    serde_json::Value::Object(map).to_string()
}
