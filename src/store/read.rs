//! Reading for people: rows of the documented views and tables as JSON, for the commands that look into
//! the state file.

use rusqlite::types::ValueRef;
use serde_json::{Map, Value as Json};

use super::{Result, Store};

/// What a person may ask the state file of the demo with `sqlite3` alone.
pub const QUESTIONS: [&str; 4] = [
    "SELECT * FROM status",
    "SELECT side, record, document FROM linked_records WHERE title = 'SO-1001'",
    "SELECT at, event, side, before, after FROM why WHERE title = 'SO-1002' AND field = 'memo' ORDER BY at",
    "SELECT seq, at, system, kind, fields FROM recent_changes LIMIT 10",
];

/// One row: column name -> value, in the order of the columns.
pub type Row = Map<String, Json>;

/// A query for people. Closed: no SQL stands outside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// How each sync stands.
    Status,
    /// Systems.
    Systems,
    /// Streams and their listings.
    Streams,
    /// Linked records, one row per member; the limit counts links.
    Links,
    /// Records that wait to be linked.
    Unlinked,
    /// Changes, newest first.
    Changes,
    /// Writes, newest first.
    Writes,
    /// Writes that are not closed.
    OpenWrites,
    /// Conflicts that are open.
    Conflicts,
    /// The audit, newest first.
    Log,
    /// Problems.
    Problems,
    /// Held batches.
    Batches,
}

impl View {
    fn sql(self) -> &'static str {
        match self {
            Self::Status => "SELECT * FROM status WHERE (?1 IS NULL OR sync = ?1) LIMIT ?2",
            Self::Systems => {
                "SELECT name, connector, title, paused, blocked_until, blocked_why, clock_offset_ms, probed_at \
                 FROM system WHERE (?1 IS NULL OR name = ?1) LIMIT ?2"
            }
            Self::Streams => {
                "SELECT id, system, entity, template, polled_at, swept_at, swept_count, failure, failed_at FROM stream \
                 WHERE (?1 IS NULL OR system = ?1) LIMIT ?2"
            }
            Self::Links => {
                "SELECT * FROM linked_records WHERE id IN (SELECT id FROM link WHERE state <> 'ended' AND \
                 (?1 IS NULL OR sync = ?1) ORDER BY id LIMIT ?2) ORDER BY id, side"
            }
            Self::Unlinked => {
                "SELECT sync, side, rid AS record, key, state, why FROM candidate WHERE (?1 IS NULL OR sync = ?1) \
                 ORDER BY sync, key, side LIMIT ?2"
            }
            Self::Changes => "SELECT * FROM recent_changes WHERE (?1 IS NULL OR system = ?1) LIMIT ?2",
            Self::Writes => {
                "SELECT w.id, w.sync, w.link, l.title, w.system, t.entity, w.rid AS record, w.op, w.state, w.fields, w.reason, \
                 w.attempts, w.failure, w.made_at, w.closed_at FROM write w JOIN link l ON l.id = w.link \
                 JOIN stream t ON t.id = w.stream WHERE (?1 IS NULL OR w.sync = ?1) ORDER BY w.id DESC LIMIT ?2"
            }
            Self::OpenWrites => {
                "SELECT * FROM open_writes WHERE (?1 IS NULL OR sync = ?1) ORDER BY id LIMIT ?2"
            }
            Self::Conflicts => {
                "SELECT * FROM open_conflicts WHERE (?1 IS NULL OR sync = ?1) ORDER BY id LIMIT ?2"
            }
            Self::Log => {
                "SELECT id, at, write, event, sync, link, system, entity, rid AS record, op, field, before, after, reason, config \
                 FROM audit WHERE (?1 IS NULL OR sync = ?1) ORDER BY id DESC LIMIT ?2"
            }
            Self::Problems => "SELECT * FROM problems WHERE (?1 IS NULL OR subject = ?1) LIMIT ?2",
            Self::Batches => {
                "SELECT id, sync, guard, why, made_at, (SELECT count(*) FROM write w WHERE w.batch = batch.id AND w.state = 'held') \
                 AS writes FROM batch WHERE state = 'held' AND (?1 IS NULL OR sync = ?1) LIMIT ?2"
            }
        }
    }
}

fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(n) => Json::from(n),
        ValueRef::Real(x) => Json::from(x),
        ValueRef::Text(text) => Json::from(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Json::from(format!("{} bytes", bytes.len())),
    }
}

impl Store {
    /// Rows of a view, for one subject (a sync, or a system) or all.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn view(&self, view: View, subject: Option<&str>, limit: u32) -> Result<Vec<Row>> {
        self.rows(view.sql(), rusqlite::params![subject, limit])
    }

    /// The history of a link's fields, oldest first: what was decided, shown, sent and displaced.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn history(&self, link: i64, field: Option<&str>) -> Result<Vec<Row>> {
        self.rows(
            "SELECT at, field, event, side, write, before, after, reason FROM why WHERE link = ?1 AND (?2 IS NULL OR field = ?2) \
             ORDER BY field, at",
            rusqlite::params![link, field],
        )
    }

    /// The members of one link, as in `linked_records`.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn linked(&self, link: i64) -> Result<Vec<Row>> {
        self.rows("SELECT * FROM linked_records WHERE id = ?1 ORDER BY side", [link])
    }

    /// Open conflicts and writes of one link, as in their views.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn open_of_link(&self, link: i64) -> Result<(Vec<Row>, Vec<Row>)> {
        Ok((
            self.rows("SELECT * FROM open_conflicts WHERE link = ?1 ORDER BY id", [link])?,
            self.rows("SELECT * FROM open_writes WHERE link = ?1 ORDER BY id", [link])?,
        ))
    }

    /// Mirrored records of a stream with their documents, newest first: `(id, document)`.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn documents(
        &self,
        system: &str,
        entity: &str,
        template: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>> {
        self.all(
            "SELECT r.rid, r.document FROM record r JOIN stream t ON t.id = r.stream WHERE t.system = ?1 AND t.entity = ?2 \
             AND t.template = ?3 AND r.state IN ('present', 'archived') ORDER BY r.id DESC LIMIT ?4",
            rusqlite::params![system, entity, template, limit],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// Links of a sync that a person may mean by this text: a link number, `SIDE:ID`, or a key value.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn find_links(&self, sync: &str, text: &str) -> Result<Vec<i64>> {
        let (side, rid) = text.split_once(':').unwrap_or(("", ""));
        self.all(
            "SELECT id FROM link WHERE id = ?5 AND sync = ?1 \
             UNION SELECT m.link FROM stream t CROSS JOIN member m ON m.stream = t.id AND m.rid = ?4 \
             WHERE m.sync = ?1 AND m.side = ?3 \
             UNION SELECT id FROM link WHERE sync = ?1 AND key = ?2 \
             UNION SELECT id FROM link WHERE sync = ?1 AND title = ?2 ORDER BY 1",
            rusqlite::params![sync, text, side, rid, text.parse::<i64>().ok()],
            |row| row.get(0),
        )
    }

    fn rows(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Row>> {
        let mut statement = self.conn().prepare_cached(sql)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query(parameters)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let mut map = Map::new();
            for (place, name) in names.iter().enumerate() {
                map.insert(name.clone(), json(row.get_ref(place)?));
            }
            out.push(map);
        }
        Ok(out)
    }
}
