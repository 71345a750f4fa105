//! Records that wait to be linked. Which of them belong together is decided elsewhere.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::links::Candidate;
use super::{Result, Store, time_text};

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        side: row.get(0)?,
        rid: row.get(1)?,
        stream: row.get(2)?,
        key: row.get(3)?,
        state: row.get(4)?,
    })
}

impl Store {
    /// Puts a record among those that wait to be linked, or changes why it waits.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn put_candidate(
        &self,
        sync: &str,
        candidate: &Candidate,
        why: Option<&str>,
        not_before: Option<Timestamp>,
    ) -> Result<()> {
        self.run(
            "INSERT INTO candidate (sync, side, rid, stream, key, state, why, not_before) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT (sync, side, rid) DO UPDATE SET key = excluded.key, state = excluded.state, why = excluded.why, \
             not_before = excluded.not_before",
            params![
                sync,
                candidate.side,
                candidate.rid,
                candidate.stream,
                candidate.key,
                candidate.state,
                why,
                not_before.map(time_text)
            ],
        )?;
        Ok(())
    }

    /// The records of a key are matched again: one of them got another key, or the link that had it did.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn look_again(&self, sync: &str, key: &str) -> Result<()> {
        self.run(
            "UPDATE candidate SET state = 'fresh', why = NULL WHERE sync = ?1 AND key = ?2 AND state IN ('alone', 'ambiguous')",
            [sync, key],
        )?;
        Ok(())
    }

    /// The key under which a record waits to be linked.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn waiting_key(&self, sync: &str, side: &str, rid: &str) -> Result<Option<String>> {
        Ok(self
            .maybe(
                "SELECT key FROM candidate WHERE sync = ?1 AND side = ?2 AND rid = ?3",
                [sync, side, rid],
                |row| row.get::<_, Option<String>>(0),
            )?
            .flatten())
    }

    /// A record no longer waits.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn drop_candidate(&self, sync: &str, side: &str, rid: &str) -> Result<()> {
        self.run(
            "DELETE FROM candidate WHERE sync = ?1 AND side = ?2 AND rid = ?3",
            params![sync, side, rid],
        )?;
        Ok(())
    }

    /// Records that nobody has looked at since they changed, at most `limit`, in key order.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn fresh_candidates(&self, sync: &str, now: Option<Timestamp>, limit: u32) -> Result<Vec<Candidate>> {
        self.all(
            "SELECT side, rid, stream, key, state FROM candidate WHERE sync = ?1 AND state IN ('fresh', 'waiting') \
             AND (?2 IS NULL OR not_before IS NULL OR not_before <= ?2) ORDER BY key, side, rid LIMIT ?3",
            params![sync, now.map(time_text), limit],
            candidate,
        )
    }

    /// When the next settled candidate is ready.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn candidates_with_key(&self, sync: &str, key: &str) -> Result<Vec<Candidate>> {
        self.all(
            "SELECT side, rid, stream, key, state FROM candidate WHERE sync = ?1 AND key = ?2 ORDER BY side, rid",
            params![sync, key],
            candidate,
        )
    }

    /// Everything that waits to be linked: side, stream, record.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn candidate_records(&self, sync: &str) -> Result<Vec<(String, i64, String)>> {
        self.all(
            "SELECT side, stream, rid FROM candidate WHERE sync = ?1 ORDER BY side, rid",
            [sync],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    }
}
