//! The mirror as its readers see it: what was last seen of every record. What writes it stands in `observe.rs`,
//! the change log in `changes.rs`.

use jiff::Timestamp;
use rusqlite::{CachedStatement, Row, params};

use super::{Result, Store, StoreError, time_opt};
use std::collections::BTreeMap;

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
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Sweep => "sweep",
            Self::Read => "read",
            Self::Confirm => "confirm",
            Self::Tombstone => "tombstone",
        }
    }
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

/// What a complete sweep means for the mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Records that it should have listed.
    pub known: u64,
    /// Records that it did not list: number, id, and where they stood. Archived ones count as present here.
    pub absent: Vec<(i64, String, RecordState)>,
}

/// See [`Store::glances`].
pub struct Glances<'s> {
    stream: i64,
    statement: CachedStatement<'s>,
}

impl Glances<'_> {
    /// Compares the hash of an item's text with the one it was last seen with.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn glance(&mut self, rid: &str, raw: i64) -> Result<Glance> {
        let mut rows = self.statement.query(params![self.stream, rid])?;
        Ok(match rows.next()? {
            None => Glance::New,
            Some(row) => {
                let known: i64 = row.get(0)?;
                if known == raw { Glance::Same(row.get(1)?) } else { Glance::Differs(row.get(1)?) }
            }
        })
    }
}

impl Store {
    /// Looks at items of a listing one after the other; the statement is kept for all of them.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn glances(&self, stream: i64) -> Result<Glances<'_>> {
        let statement =
            self.conn().prepare_cached("SELECT raw, record FROM seen WHERE stream = ?1 AND rid = ?2")?;
        Ok(Glances { stream, statement })
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

    /// Holds a complete sweep against the mirror: how many records it should have listed, and those of them
    /// that `listed` (asked by record number) does not have. Gone ones are left out. Reads only record numbers
    /// and the few records that are not in order: a document per record would cost more than the whole poll.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn held_against(&self, stream: i64, listed: impl Fn(i64) -> bool) -> Result<Sweep> {
        let astray: BTreeMap<i64, RecordState> = self
            .astray(stream)?
            .into_iter()
            .map(|(id, _, state)| Ok((id, RecordState::from_text(&state)?)))
            .collect::<Result<_>>()?;
        let mut statement = self.conn().prepare_cached("SELECT record, rid FROM seen WHERE stream = ?1")?;
        let mut rows = statement.query([stream])?;
        let mut sweep = Sweep::default();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let state = astray.get(&id).copied().unwrap_or(RecordState::Present);
            sweep.known += u64::from(matches!(state, RecordState::Present | RecordState::Archived));
            if state != RecordState::Gone && !listed(id) {
                sweep.absent.push((id, row.get(1)?, state));
            }
        }
        Ok(sweep)
    }

    /// Records that are missing, gone or counted absent: number, id, state.
    pub(super) fn astray(&self, stream: i64) -> Result<Vec<(i64, String, String)>> {
        self.all(
            "SELECT id, rid, state FROM record WHERE stream = ?1 \
             AND (state IN ('missing', 'gone') OR absent_sweeps > 0)",
            [stream],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    }
}
