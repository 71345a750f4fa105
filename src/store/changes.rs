//! The change log as its readers see it, and how far each has come. Rows are written by `observe.rs` only.

use rusqlite::params;

use super::{Result, Store};

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

impl Store {
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
}
