//! Stored conflicts. Candidates and observations cross this border as JSON.

use jiff::Timestamp;
use rusqlite::{Row, params};
use serde_json::Value as Json;

use crate::core::merge::UNDECIDED;

use super::{Result, Store, StoreError, time_text};

/// One stored conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictRow {
    /// Its number.
    pub id: i64,
    /// Its sync.
    pub sync: String,
    /// Its link.
    pub link: i64,
    /// The unit (field or group).
    pub unit: String,
    /// `edit`, `first`, `delete`, `alternating`.
    pub kind: String,
    /// `open`, `resolved`, `closed`.
    pub state: String,
    /// What all had agreed on before: field -> value.
    pub agreed: Option<Json>,
    /// The candidates: `[{sides, values: {field: value}}]`.
    pub candidates: Json,
    /// Side -> field -> what it showed when the conflict was stored.
    pub observed: Json,
    /// Why no rule decided.
    pub why: String,
}

const COLUMNS: &str = "id, sync, link, unit, kind, state, agreed, candidates, observed, why";

type RawConflict = (ConflictRow, Option<String>, String, String);

fn raw(row: &Row<'_>) -> rusqlite::Result<RawConflict> {
    Ok((
        ConflictRow {
            id: row.get(0)?,
            sync: row.get(1)?,
            link: row.get(2)?,
            unit: row.get(3)?,
            kind: row.get(4)?,
            state: row.get(5)?,
            agreed: None,
            candidates: Json::Null,
            observed: Json::Null,
            why: row.get(9)?,
        },
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
    ))
}

fn finish((mut row, agreed, candidates, observed): RawConflict) -> Result<ConflictRow> {
    let parse = |text: &str| {
        serde_json::from_str(text)
            .map_err(|e| StoreError::Damaged(format!("conflict {}", row.id), e.to_string()))
    };
    let agreed = agreed.map(|text| parse(&text)).transpose()?;
    let candidates = parse(&candidates)?;
    let observed = parse(&observed)?;
    row.agreed = agreed;
    row.candidates = candidates;
    row.observed = observed;
    Ok(row)
}

impl Store {
    /// The open conflicts of a link.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn open_conflicts(&self, link: i64) -> Result<Vec<ConflictRow>> {
        let sql = format!("SELECT {COLUMNS} FROM conflict WHERE link = ?1 AND state = 'open' ORDER BY id");
        self.all(&sql, [link], raw)?.into_iter().map(finish).collect()
    }

    /// A conflict by its number.
    ///
    /// # Errors
    /// When the state file cannot be used or the row is damaged.
    pub fn conflict(&self, id: i64) -> Result<Option<ConflictRow>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM conflict WHERE id = ?1"), [id], raw)?
            .map(finish)
            .transpose()
    }

    /// Stores a conflict, or refreshes the one that is open for this unit. Returns its number.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn put_conflict(&self, row: &ConflictRow, at: Timestamp) -> Result<i64> {
        let agreed = row.agreed.as_ref().map(Json::to_string);
        self.run(
            "INSERT INTO conflict (sync, link, unit, kind, state, agreed, candidates, observed, why, opened_at) \
             VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (link, unit) WHERE state = 'open' DO UPDATE SET candidates = excluded.candidates, \
             observed = excluded.observed, why = CASE WHEN excluded.why = ?10 THEN conflict.why ELSE excluded.why END \
             WHERE conflict.candidates <> excluded.candidates OR conflict.observed <> excluded.observed",
            params![
                row.sync,
                row.link,
                row.unit,
                row.kind,
                agreed,
                row.candidates.to_string(),
                row.observed.to_string(),
                row.why,
                time_text(at),
                // That nobody has decided yet says nothing about why there is a conflict.
                UNDECIDED
            ],
        )?;
        let id = self.conn().query_row(
            "SELECT id FROM conflict WHERE link = ?1 AND unit = ?2 AND state = 'open'",
            params![row.link, row.unit],
            |row| row.get(0),
        )?;
        Ok(id)
    }

    /// A conflict ends: decided by a person (`resolved`), or because its cause is gone (`closed`).
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn end_conflict(&self, id: i64, state: &str, resolution: &str, at: Timestamp) -> Result<()> {
        self.run(
            "UPDATE conflict SET state = ?2, resolution = ?3, closed_at = ?4 WHERE id = ?1 AND state = 'open'",
            params![id, state, resolution, time_text(at)],
        )?;
        Ok(())
    }
}
