//! The batches that guards hold until a person approves them. Which writes a guard holds is the engine's business.

use jiff::Timestamp;
use rusqlite::params;

use super::{Result, Store, time_text};

impl Store {
    /// A guard holds these writes as one batch.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn hold(&self, sync: &str, guard: &str, why: &str, writes: &[i64], at: Timestamp) -> Result<i64> {
        self.run(
            "INSERT INTO batch (sync, guard, state, why, made_at) VALUES (?1, ?2, 'held', ?3, ?4)",
            params![sync, guard, why, time_text(at)],
        )?;
        let batch = self.conn().last_insert_rowid();
        for id in writes {
            self.run("UPDATE write SET state = 'held', batch = ?2 WHERE id = ?1", params![id, batch])?;
        }
        Ok(batch)
    }

    /// A sweep lists far too little: its absences do not count until a person says so.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn hold_emptied(&self, sync: &str, stream: i64, why: &str, at: Timestamp) -> Result<i64> {
        let open = self.maybe(
            "SELECT id FROM batch WHERE stream = ?1 AND sync = ?2 AND guard = 'emptied' AND state = 'held'",
            params![stream, sync],
            |row| row.get(0),
        )?;
        if let Some(id) = open {
            return Ok(id);
        }
        self.run(
            "INSERT INTO batch (sync, guard, stream, state, why, made_at) VALUES (?1, 'emptied', ?2, 'held', ?3, ?4)",
            params![sync, stream, why, time_text(at)],
        )?;
        Ok(self.conn().last_insert_rowid())
    }

    /// A person said that the emptied listing of this stream is true; consumed by the next sweep.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn emptied_approved(&self, stream: i64) -> Result<Option<i64>> {
        self.maybe(
            "SELECT id FROM batch WHERE stream = ?1 AND guard = 'emptied' AND state = 'approved' AND closed_at IS NULL",
            [stream],
            |row| row.get(0),
        )
    }

    /// The records came back: nothing is left to approve.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn withdraw_emptied(&self, stream: i64, at: Timestamp) -> Result<()> {
        self.run(
            "UPDATE batch SET state = 'withdrawn', closed_at = ?2 WHERE stream = ?1 AND guard = 'emptied' AND closed_at IS NULL",
            params![stream, time_text(at)],
        )?;
        Ok(())
    }

    /// Batches whose writes have all gone elsewhere are withdrawn by themselves.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn withdraw_empty_batches(&self, at: Timestamp) -> Result<()> {
        self.run(
            "UPDATE batch SET state = 'withdrawn', closed_at = ?1 WHERE state = 'held' AND guard <> 'emptied' \
             AND NOT EXISTS (SELECT 1 FROM write w INDEXED BY write_batch WHERE w.batch = batch.id AND w.state = 'held')",
            [time_text(at)],
        )?;
        Ok(())
    }

    /// Releases exactly one held batch, once. `None` when there is no held batch of that number; else how
    /// many writes were released.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn approve(&self, batch: i64, at: Timestamp) -> Result<Option<u64>> {
        let changed = self.run(
            "UPDATE batch SET state = 'approved', closed_at = CASE WHEN guard = 'emptied' THEN NULL ELSE ?2 END \
             WHERE id = ?1 AND state = 'held'",
            params![batch, time_text(at)],
        )?;
        if changed == 0 {
            return Ok(None);
        }
        let released = self.run(
            "UPDATE write INDEXED BY write_batch SET state = 'open', next_at = ?2 WHERE batch = ?1 AND state = 'held'",
            params![batch, time_text(at)],
        )?;
        Ok(Some(u64::try_from(released).unwrap_or(0)))
    }
}
