//! The mirror and the change log: what was last seen of every record, and every difference ever seen.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Result, Store, StoreError, time_opt, time_text};
use crate::core::record::{Record, Values};

/// Where a record stands, as far as we have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// There.
    Present,
    /// There, but put away.
    Archived,
    /// Not listed any more, or not found by id; nothing is proven.
    Missing,
    /// Proven deleted.
    Gone,
}

impl RecordState {
    /// As the file spells it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Archived => "archived",
            Self::Missing => "missing",
            Self::Gone => "gone",
        }
    }

    fn from_text(text: &str) -> Result<Self> {
        match text {
            "present" => Ok(Self::Present),
            "archived" => Ok(Self::Archived),
            "missing" => Ok(Self::Missing),
            "gone" => Ok(Self::Gone),
            other => Err(StoreError::Damaged("record.state".into(), other.into())),
        }
    }
}

/// One row of the mirror.
#[derive(Debug, Clone)]
pub struct Mirrored {
    /// Its number.
    pub id: i64,
    /// Its stream.
    pub stream: i64,
    /// The record, as last seen.
    pub record: Record,
    /// Where it stands.
    pub state: RecordState,
    /// When it was last read by id.
    pub read_at: Option<Timestamp>,
    /// Complete sweeps in a row that did not list it.
    pub absent_sweeps: u32,
    /// When the first of them started.
    pub absent_since: Option<Timestamp>,
    /// What proved that it was deleted.
    pub gone_evidence: Option<String>,
}

/// What the listing text of an item means against the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// The same text as last time: the record's number.
    Same(i64),
    /// Another text: the record's number.
    Differs(i64),
    /// Never seen.
    New,
}

/// Why the mirror is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// An incremental listing.
    Poll,
    /// A sweep.
    Sweep,
    /// A read by id.
    Read,
    /// The read-back of our own write.
    Confirm,
    /// The delete feed.
    Tombstone,
}

impl Cause {
    fn text(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Sweep => "sweep",
            Self::Read => "read",
            Self::Confirm => "confirm",
            Self::Tombstone => "tombstone",
        }
    }
}

/// One row of the change log, as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// The record.
    pub rid: String,
    /// It was seen in the answer to our own write.
    pub echo: bool,
}

const COLUMNS: &str = "r.id, r.stream, r.rid, r.state, r.document, r.version, r.updated_at, r.read_at, \
                       r.absent_sweeps, r.absent_since, r.gone_evidence";

struct RawRow {
    id: i64,
    stream: i64,
    rid: String,
    state: String,
    document: String,
    version: Option<String>,
    updated_at: Option<String>,
    read_at: Option<String>,
    absent_sweeps: u32,
    absent_since: Option<String>,
    gone_evidence: Option<String>,
}

fn raw_row(row: &Row<'_>) -> rusqlite::Result<RawRow> {
    Ok(RawRow {
        id: row.get(0)?,
        stream: row.get(1)?,
        rid: row.get(2)?,
        state: row.get(3)?,
        document: row.get(4)?,
        version: row.get(5)?,
        updated_at: row.get(6)?,
        read_at: row.get(7)?,
        absent_sweeps: row.get(8)?,
        absent_since: row.get(9)?,
        gone_evidence: row.get(10)?,
    })
}

fn mirrored(row: RawRow) -> Result<Mirrored> {
    let values: Values = serde_json::from_str(&row.document)
        .map_err(|e| StoreError::Damaged(format!("record {}", row.id), format!("{e}")))?;
    let state = RecordState::from_text(&row.state)?;
    Ok(Mirrored {
        id: row.id,
        stream: row.stream,
        record: Record {
            id: row.rid,
            version: row.version,
            updated_at: time_opt(row.updated_at)?,
            archived: state == RecordState::Archived,
            values,
        },
        state,
        read_at: time_opt(row.read_at)?,
        absent_sweeps: row.absent_sweeps,
        absent_since: time_opt(row.absent_since)?,
        gone_evidence: row.gone_evidence,
    })
}

impl Store {
    /// Compares the hash of an item's text with the one it was last seen with.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn glance(&self, stream: i64, rid: &str, raw: i64) -> Result<Glance> {
        let mut statement =
            self.conn().prepare_cached("SELECT raw, record FROM seen WHERE stream = ?1 AND rid = ?2")?;
        let mut rows = statement.query(params![stream, rid])?;
        Ok(match rows.next()? {
            None => Glance::New,
            Some(row) => {
                let known: i64 = row.get(0)?;
                if known == raw { Glance::Same(row.get(1)?) } else { Glance::Differs(row.get(1)?) }
            }
        })
    }

    /// The mirror row of a record.
    ///
    /// # Errors
    /// When the state file cannot be used or the row is damaged.
    pub fn mirrored(&self, stream: i64, rid: &str) -> Result<Option<Mirrored>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM seen s JOIN record r ON r.id = s.record WHERE s.stream = ?1 AND s.rid = ?2"
        );
        self.maybe(&sql, params![stream, rid], raw_row)?.map(mirrored).transpose()
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
        let document =
            record.canonical().map_err(|e| StoreError::Caller(format!("record {}: {e}", record.id)))?;
        match self.mirrored(stream, &record.id)? {
            None => self.observe_new(stream, record, &document, raw, cause, at).map(|id| (true, id)),
            Some(known) => {
                let differs = self.observe_known(&known, record, &document, cause, at)?;
                if let Some(raw) = raw {
                    self.run(
                        "UPDATE seen SET raw = ?3 WHERE stream = ?1 AND rid = ?2",
                        params![stream, record.id, raw],
                    )?;
                }
                Ok((differs, known.id))
            }
        }
    }

    fn observe_new(
        &self,
        stream: i64,
        record: &Record,
        document: &str,
        raw: Option<i64>,
        cause: Cause,
        at: Timestamp,
    ) -> Result<i64> {
        let state = if record.archived { RecordState::Archived } else { RecordState::Present };
        let by_id = matches!(cause, Cause::Read | Cause::Confirm);
        self.run(
            "INSERT INTO record (stream, rid, state, document, version, updated_at, seen_at, read_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                stream,
                record.id,
                state.text(),
                document,
                record.version,
                record.updated_at.map(time_text),
                time_text(at),
                by_id.then(|| time_text(at))
            ],
        )?;
        let id = self.conn().last_insert_rowid();
        self.run(
            "INSERT INTO seen (stream, rid, raw, record) VALUES (?1, ?2, ?3, ?4)",
            params![stream, record.id, raw.unwrap_or(0), id],
        )?;
        self.log_change(stream, &record.id, "created", cause, None, at)?;
        Ok(id)
    }

    fn observe_known(
        &self,
        known: &Mirrored,
        record: &Record,
        document: &str,
        cause: Cause,
        at: Timestamp,
    ) -> Result<bool> {
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
                    document,
                    record.version,
                    record.updated_at.map(time_text),
                    time_text(at),
                    by_id.then(|| time_text(at))
                ],
            )?;
        } else {
            self.run(
                "UPDATE record SET version = ?2, updated_at = ?3, read_at = coalesce(?4, read_at) WHERE id = ?1",
                params![
                    known.id,
                    record.version,
                    record.updated_at.map(time_text),
                    by_id.then(|| time_text(at))
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
            self.log_change(known.stream, &record.id, kind, cause, Some(&fields), at)?;
        }
        Ok(kind.is_some())
    }

    /// A record was not found by id: nothing is proven, but nothing can be written to it now.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn observe_missing(&self, stream: i64, rid: &str, cause: Cause, at: Timestamp) -> Result<()> {
        let changed = self.run(
            "UPDATE record SET state = 'missing' WHERE stream = ?1 AND rid = ?2 AND state IN ('present', 'archived')",
            params![stream, rid],
        )?;
        if changed > 0 {
            self.log_change(stream, rid, "missing", cause, None, at)?;
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
    ) -> Result<()> {
        let changed = self.run(
            "UPDATE record SET state = 'gone', gone_evidence = ?3 WHERE stream = ?1 AND rid = ?2 AND state <> 'gone'",
            params![stream, rid, evidence],
        )?;
        if changed > 0 {
            self.log_change(stream, rid, "gone", cause, None, at)?;
        }
        Ok(())
    }

    /// The number of records that a sweep should list: everything that is not gone.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn known_count(&self, stream: i64) -> Result<u64> {
        self.count(
            "SELECT count(*) FROM seen s JOIN record r ON r.id = s.record \
             WHERE s.stream = ?1 AND r.state IN ('present', 'archived')",
            [stream],
        )
    }

    /// Records of a stream that are not in `seen` (asked by record number): number, id and how often they
    /// were absent before. Gone ones are left out.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn not_listed(
        &self,
        stream: i64,
        listed: impl Fn(i64) -> bool,
    ) -> Result<Vec<(i64, String, RecordState)>> {
        let mut statement = self.conn().prepare_cached("SELECT record, rid FROM seen WHERE stream = ?1")?;
        let mut rows = statement.query([stream])?;
        let mut absent = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if listed(id) {
                continue;
            }
            let rid: String = row.get(1)?;
            let state: String = self
                .conn()
                .prepare_cached("SELECT state FROM record WHERE id = ?1")?
                .query_row([id], |row| row.get(0))?;
            let state = RecordState::from_text(&state)?;
            if state != RecordState::Gone {
                absent.push((id, rid, state));
            }
        }
        Ok(absent)
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
        let absent = self.all(
            "SELECT id, rid FROM record WHERE stream = ?1 AND (state = 'missing' OR state = 'gone' OR absent_sweeps > 0)",
            [stream],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        let mut back = 0;
        for (id, rid) in absent {
            if listed(id) {
                self.run(
                    "UPDATE record SET state = 'present', absent_sweeps = 0, absent_since = NULL, gone_evidence = NULL WHERE id = ?1",
                    [id],
                )?;
                self.log_change(stream, &rid, "returned", Cause::Sweep, None, at)?;
                back += 1;
            }
        }
        Ok(back)
    }

    /// Changes of a stream after `seq`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn changes_after(&self, stream: i64, seq: i64, limit: u32) -> Result<Vec<Change>> {
        self.all(
            "SELECT seq, rid, cause = 'confirm' FROM change WHERE seq > ?2 AND stream = ?1 ORDER BY seq LIMIT ?3",
            params![stream, seq, limit],
            |row| Ok(Change { seq: row.get(0)?, rid: row.get(1)?, echo: row.get(2)? }),
        )
    }

    /// How far a reader has come in a stream's changes.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn offset(&self, consumer: &str, stream: i64) -> Result<i64> {
        Ok(self
            .maybe(
                "SELECT seq FROM consumer WHERE name = ?1 AND stream = ?2",
                params![consumer, stream],
                |row| row.get(0),
            )?
            .unwrap_or(0))
    }

    /// A reader has come this far.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_offset(&self, consumer: &str, stream: i64, seq: i64) -> Result<()> {
        self.run(
            "INSERT INTO consumer (name, stream, seq) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name, stream) DO UPDATE SET seq = excluded.seq",
            params![consumer, stream, seq],
        )?;
        Ok(())
    }

    fn log_change(
        &self,
        stream: i64,
        rid: &str,
        kind: &str,
        cause: Cause,
        fields: Option<&str>,
        at: Timestamp,
    ) -> Result<()> {
        self.run(
            "INSERT INTO change (at, stream, rid, kind, cause, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![time_text(at), stream, rid, kind, cause.text(), fields],
        )?;
        Ok(())
    }
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
