//! The outbox: intended writes, committed before anything is sent. What guards hold is `batches.rs`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Result, Store, StoreError, time_from, time_opt, time_text};

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Makes a record.
    Create,
    /// Changes fields of one.
    Update,
    /// Puts one away.
    Archive,
    /// Deletes one.
    Delete,
}

impl Op {
    /// As the file spells it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Archive => "archive",
            Self::Delete => "delete",
        }
    }

    fn from_text(text: &str) -> Result<Self> {
        match text {
            "create" => Ok(Self::Create),
            "update" => Ok(Self::Update),
            "archive" => Ok(Self::Archive),
            "delete" => Ok(Self::Delete),
            other => Err(StoreError::Damaged("write.op".into(), other.into())),
        }
    }
}

/// Where a write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteState {
    /// Decided in this pass; the guards have not looked at it yet.
    New,
    /// A guard holds it.
    Held,
    /// To be sent when its time comes.
    Open,
    /// Being sent: after a crash its outcome is unknown.
    Sent,
    /// Sent, and the outcome is unknown.
    Uncertain,
    /// Not retried until something changes or a person says so.
    Parked,
    /// Took effect.
    Done,
    /// A person dropped it.
    Dropped,
    /// A newer decision took its place.
    Superseded,
}

impl WriteState {
    /// As the file spells it.
    pub fn text(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Held => "held",
            Self::Open => "open",
            Self::Sent => "sent",
            Self::Uncertain => "uncertain",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Dropped => "dropped",
            Self::Superseded => "superseded",
        }
    }

    fn from_text(text: &str) -> Result<Self> {
        Ok(match text {
            "new" => Self::New,
            "held" => Self::Held,
            "open" => Self::Open,
            "sent" => Self::Sent,
            "uncertain" => Self::Uncertain,
            "parked" => Self::Parked,
            "done" => Self::Done,
            "dropped" => Self::Dropped,
            "superseded" => Self::Superseded,
            other => return Err(StoreError::Damaged("write.state".into(), other.into())),
        })
    }
}

/// What a write does to one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldWrite {
    /// The value it displaces (the member's base), stored form.
    pub before: Json,
    /// The value it brings, stored form.
    pub after: Json,
    /// The number of the agreed value that it carries.
    pub number: u64,
}

/// One row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Its number.
    pub id: i64,
    /// The sync that wants it.
    pub sync: String,
    /// The link it serves.
    pub link: i64,
    /// The side written.
    pub side: String,
    /// That side's system.
    pub system: String,
    /// That side's stream.
    pub stream: i64,
    /// The record; `None` until a create is confirmed.
    pub rid: Option<String>,
    /// What it does.
    pub op: Op,
    /// Where it stands.
    pub state: WriteState,
    /// By field.
    pub fields: BTreeMap<String, FieldWrite>,
    /// By which a create is found again.
    pub mark: Option<String>,
    /// Why it is wanted.
    pub reason: String,
    /// The batch that holds it.
    pub batch: Option<i64>,
    /// How often it was sent.
    pub attempts: u32,
    /// Not before this.
    pub next_at: Timestamp,
    /// When it was last sent.
    pub sent_at: Option<Timestamp>,
    /// What the system answered.
    pub failure: Option<String>,
}

const COLUMNS: &str = "id, sync, link, side, system, stream, rid, op, state, fields, mark, reason, batch, attempts, \
                       next_at, sent_at, failure";

struct RawWrite {
    write: Write,
    op: String,
    state: String,
    fields: String,
    next_at: String,
    sent_at: Option<String>,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<RawWrite> {
    Ok(RawWrite {
        write: Write {
            id: row.get(0)?,
            sync: row.get(1)?,
            link: row.get(2)?,
            side: row.get(3)?,
            system: row.get(4)?,
            stream: row.get(5)?,
            rid: row.get(6)?,
            op: Op::Update,
            state: WriteState::New,
            fields: BTreeMap::new(),
            mark: row.get(10)?,
            reason: row.get(11)?,
            batch: row.get(12)?,
            attempts: row.get(13)?,
            next_at: Timestamp::UNIX_EPOCH,
            sent_at: None,
            failure: row.get(16)?,
        },
        op: row.get(7)?,
        state: row.get(8)?,
        fields: row.get(9)?,
        next_at: row.get(14)?,
        sent_at: row.get(15)?,
    })
}

fn finish(raw: RawWrite) -> Result<Write> {
    let mut write = raw.write;
    write.op = Op::from_text(&raw.op)?;
    write.state = WriteState::from_text(&raw.state)?;
    write.fields = serde_json::from_str(&raw.fields)
        .map_err(|e| StoreError::Damaged(format!("write {}", write.id), e.to_string()))?;
    write.next_at = time_from(&raw.next_at)?;
    write.sent_at = time_opt(raw.sent_at)?;
    Ok(write)
}

impl Store {
    /// Puts a write into the outbox and returns its number.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn put_write(&self, write: &Write, at: Timestamp) -> Result<i64> {
        let fields = serde_json::to_string(&write.fields).map_err(|e| StoreError::Caller(e.to_string()))?;
        self.run(
            "INSERT INTO write (sync, link, side, system, stream, rid, op, state, fields, mark, reason, batch, attempts, \
             next_at, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, ?13, ?14)",
            params![
                write.sync,
                write.link,
                write.side,
                write.system,
                write.stream,
                write.rid,
                write.op.text(),
                write.state.text(),
                fields,
                write.mark,
                write.reason,
                write.batch,
                time_text(write.next_at),
                time_text(at)
            ],
        )?;
        Ok(self.conn().last_insert_rowid())
    }

    /// A write by its number.
    ///
    /// # Errors
    /// When the state file cannot be used or the row is damaged.
    pub fn write(&self, id: i64) -> Result<Option<Write>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM write WHERE id = ?1"), [id], raw)?.map(finish).transpose()
    }

    /// The writes of a link that are not closed.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn standing_writes(&self, link: i64) -> Result<Vec<Write>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM write WHERE link = ?1 AND state IN ('new', 'held', 'open', 'sent', 'uncertain', 'parked') ORDER BY id"
        );
        self.all(&sql, [link], raw)?.into_iter().map(finish).collect()
    }

    /// Writes of a state in a sync (all syncs: `None`), oldest first.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn writes_in(&self, state: WriteState, sync: Option<&str>) -> Result<Vec<Write>> {
        let sql =
            format!("SELECT {COLUMNS} FROM write WHERE state = ?1 AND (?2 IS NULL OR sync = ?2) ORDER BY id");
        self.all(&sql, params![state.text(), sync], raw)?.into_iter().map(finish).collect()
    }

    /// Numbers of the writes of a state in a sync, oldest first: for who looks at one after the other.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn write_ids_in(&self, state: WriteState, sync: &str) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM write WHERE state = ?1 AND sync = ?2 ORDER BY id";
        self.all(sql, params![state.text(), sync], |row| row.get(0))
    }

    /// Open and uncertain writes of a sync whose time has come, oldest first; none while the sync is paused or
    /// not accepted, and none to systems that are paused or blocked.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn ready_writes(&self, sync: &str, now: Timestamp, limit: u32) -> Result<Vec<Write>> {
        // Per state the index gives the oldest first: a long outbox is not read to its end.
        let part = |state: &str| {
            format!(
                "SELECT * FROM (SELECT * FROM write w INDEXED BY write_state \
                 WHERE state = '{state}' AND sync = ?1 AND next_at <= ?2 \
                 AND EXISTS (SELECT 1 FROM sync s WHERE s.name = ?1 AND s.paused = 0 AND s.accepted_at IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM system y WHERE y.name = w.system AND (y.paused = 1 OR y.blocked_until > ?2)) \
                 ORDER BY next_at, id LIMIT ?3)"
            )
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM ({} UNION ALL {}) ORDER BY next_at, id LIMIT ?3",
            part("open"),
            part("uncertain")
        );
        self.all(&sql, params![sync, time_text(now), limit], raw)?.into_iter().map(finish).collect()
    }

    /// When the next open or uncertain write becomes ready.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn next_write_at(&self, sync: &str) -> Result<Option<Timestamp>> {
        let text = self.maybe(
            "SELECT min(next_at) FROM write WHERE state IN ('open', 'uncertain') AND sync = ?1",
            [sync],
            |row| row.get::<_, Option<String>>(0),
        )?;
        time_opt(text.flatten())
    }

    /// Moves a write to another state; closing states get their time.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn move_write(
        &self,
        id: i64,
        state: WriteState,
        failure: Option<&str>,
        next_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<()> {
        let closes = matches!(state, WriteState::Done | WriteState::Dropped | WriteState::Superseded);
        self.run(
            "UPDATE write SET state = ?2, failure = coalesce(?3, failure), next_at = coalesce(?4, next_at), \
             closed_at = CASE WHEN ?5 THEN ?6 ELSE closed_at END WHERE id = ?1",
            params![id, state.text(), failure, next_at.map(time_text), closes, time_text(at)],
        )?;
        Ok(())
    }

    /// The last thing before the request leaves: from here on a crash means "unknown". `false`: it is not open
    /// any more, and nothing was changed.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn mark_sent(&self, id: i64, at: Timestamp) -> Result<bool> {
        let changed = self.run(
            "UPDATE write SET state = 'sent', sent_at = ?2, attempts = attempts + 1 WHERE id = ?1 AND state = 'open'",
            params![id, time_text(at)],
        )?;
        Ok(changed > 0)
    }

    /// The last create of a link on a side that was ever sent, or tried and not found out about: its mark, and
    /// how often.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn former_create(&self, link: i64, side: &str) -> Result<Option<(String, u32)>> {
        self.maybe(
            "SELECT mark, attempts FROM write INDEXED BY write_link WHERE link = ?1 AND side = ?2 AND op = 'create' \
             AND sent_at IS NOT NULL AND mark IS NOT NULL ORDER BY id DESC LIMIT 1",
            params![link, side],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// A parked create that may have made its record: it names one, or its outcome was never found out.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn may_exist(&self, write: &Write) -> Result<bool> {
        if write.op != Op::Create || write.state != WriteState::Parked {
            return Ok(false);
        }
        let last: Option<String> = self.maybe(
            "SELECT event FROM audit WHERE link = ?1 AND write = ?2 ORDER BY id DESC LIMIT 1",
            [write.link, write.id],
            |row| row.get(0),
        )?;
        Ok(write.rid.is_some() || last.as_deref() == Some("unknown"))
    }

    /// So many tries were made, sent or not.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn count_attempts(&self, id: i64, attempts: u32) -> Result<()> {
        self.run("UPDATE write SET attempts = max(attempts, ?2) WHERE id = ?1", params![id, attempts])?;
        Ok(())
    }

    /// The record of this write was found changed under it: the next write to it starts with that count, so
    /// that a record which is always changed meanwhile is parked in the end.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn lost_races(&self, link: i64, side: &str, since: Timestamp) -> Result<u64> {
        self.count(
            "SELECT count(*) FROM write WHERE link = ?1 AND side = ?2 AND op = 'update' AND state = 'superseded' \
             AND attempts > 0 AND closed_at >= ?3",
            params![link, side, time_text(since)],
        )
    }

    /// The record that a create made or found.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_write_record(&self, id: i64, rid: &str) -> Result<()> {
        self.run("UPDATE write SET rid = ?2 WHERE id = ?1", params![id, rid])?;
        Ok(())
    }

    /// How many creates were let through since then.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn creates_since(&self, sync: &str, since: Timestamp) -> Result<u64> {
        self.count(
            "SELECT count(*) FROM write INDEXED BY write_made WHERE sync = ?1 AND op = 'create' AND made_at >= ?2 \
             AND state IN ('open', 'sent', 'uncertain', 'parked', 'done')",
            params![sync, time_text(since)],
        )
    }

    /// Of how many links records were let be deleted or archived since then. A link counts once, on however
    /// many sides.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn removals_since(&self, sync: &str, since: Timestamp) -> Result<u64> {
        self.count(
            "SELECT count(DISTINCT link) FROM write INDEXED BY write_made WHERE sync = ?1 AND op IN ('archive', 'delete') AND made_at >= ?2 \
             AND state IN ('open', 'sent', 'uncertain', 'parked', 'done')",
            params![sync, time_text(since)],
        )
    }

    /// The values that the last `limit` confirmed writes of a field brought to a side, newest first, not older
    /// than `since`: the evidence of a field that alternates.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn last_written(
        &self,
        link: i64,
        field: &str,
        side: &str,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<String>> {
        self.all(
            "SELECT after FROM audit WHERE link = ?1 AND field = ?2 AND side = ?3 AND event = 'confirmed' AND at >= ?4 \
             ORDER BY id DESC LIMIT ?5",
            params![link, field, side, time_text(since), limit],
            |row| Ok(row.get::<_, Option<String>>(0)?.unwrap_or_default()),
        )
    }
}
