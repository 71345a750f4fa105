//! The links that are due for a look, since when, and why. What a look finds is the engine's business.

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::{Result, Store, time_from, time_opt, time_text};

impl Store {
    /// Marks a link due. Repeated marks push `not_before` on, but never beyond `latest` after the first; a
    /// confirmed write does not hide a better reason.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn mark_due(&self, link: i64, at: Timestamp, settle: std::time::Duration, why: &str) -> Result<()> {
        let settle = SignedDuration::try_from(settle).unwrap_or(SignedDuration::ZERO);
        let first =
            self.maybe("SELECT since FROM due WHERE link = ?1", [link], |row| row.get::<_, String>(0))?;
        let since = match first {
            Some(text) => time_from(&text)?,
            None => at,
        };
        let latest = since.saturating_add(settle.saturating_mul(6)).unwrap_or(at);
        let not_before = at.saturating_add(settle).unwrap_or(at).min(latest);
        self.run(
            "INSERT INTO due (link, since, not_before, why) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (link) DO UPDATE SET not_before = excluded.not_before, \
             why = CASE WHEN excluded.why = 'confirmed' THEN due.why ELSE excluded.why END",
            params![link, time_text(since), time_text(not_before), why],
        )?;
        Ok(())
    }

    /// Every standing link of a sync is due: a new config, an acceptance.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn mark_all_due(&self, sync: &str, at: Timestamp, why: &str) -> Result<()> {
        self.run(
            "INSERT INTO due (link, since, not_before, why) \
             SELECT id, ?2, ?2, ?3 FROM link WHERE sync = ?1 AND state <> 'ended' \
             ON CONFLICT (link) DO UPDATE SET not_before = excluded.not_before",
            params![sync, time_text(at), why],
        )?;
        Ok(())
    }

    /// Links with a member that complete sweeps keep missing are due: the evidence has grown.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn mark_absent_due(&self, stream: i64, at: Timestamp) -> Result<()> {
        self.run(
            "INSERT INTO due (link, since, not_before, why) \
             SELECT m.link, ?2, ?2, 'a member was not listed' FROM record r \
             CROSS JOIN member m ON m.stream = r.stream AND m.rid = r.rid AND m.active = 1 \
             WHERE r.stream = ?1 AND (r.state IN ('missing', 'gone') OR r.absent_sweeps > 0) \
             ON CONFLICT (link) DO NOTHING",
            params![stream, time_text(at)],
        )?;
        Ok(())
    }

    /// Due links of a sync, oldest first, after `after`; `now` of `None` ignores settle.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn due_links(&self, sync: &str, now: Option<Timestamp>, after: i64, limit: u32) -> Result<Vec<i64>> {
        self.all(
            "SELECT d.link FROM due d CROSS JOIN link l ON l.id = d.link WHERE l.sync = ?1 AND d.link > ?3 \
             AND (?2 IS NULL OR d.not_before <= ?2) ORDER BY d.link LIMIT ?4",
            params![sync, now.map(time_text), after, limit],
            |row| row.get(0),
        )
    }

    /// Why a link is due.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn due_why(&self, link: i64) -> Result<Option<String>> {
        self.maybe("SELECT why FROM due WHERE link = ?1", [link], |row| row.get(0))
    }

    /// A link waits for something that wakes it ([`Store::wake`]); it is looked at again after an hour anyway.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn wait(&self, link: i64, at: Timestamp, why: &str) -> Result<()> {
        let later = at.saturating_add(SignedDuration::from_hours(1)).unwrap_or(at);
        self.run(
            "INSERT INTO due (link, since, not_before, why) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (link) DO UPDATE SET not_before = excluded.not_before, why = excluded.why",
            params![link, time_text(at), time_text(later), why],
        )?;
        Ok(())
    }

    /// What links waited for has come: those whose reason starts with this text are due now.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn wake(&self, why: &str, at: Timestamp) -> Result<()> {
        // The last of all characters: the index gives exactly the reasons that start so.
        self.run(
            "UPDATE due SET not_before = ?2 WHERE why >= ?1 AND why < ?1 || char(1114111) AND not_before > ?2",
            params![why, time_text(at)],
        )?;
        Ok(())
    }

    /// A link was looked at.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn not_due(&self, link: i64) -> Result<()> {
        self.run("DELETE FROM due WHERE link = ?1", [link])?;
        Ok(())
    }

    /// The earliest time at which a due link or a settled candidate of a sync becomes ready.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn next_due(&self, sync: &str) -> Result<Option<Timestamp>> {
        let text = self.maybe(
            "SELECT min(t) FROM (SELECT min(d.not_before) AS t FROM due d CROSS JOIN link l ON l.id = d.link \
             WHERE l.sync = ?1 UNION ALL SELECT min(not_before) FROM candidate INDEXED BY candidate_fresh WHERE sync = ?1 AND state IN ('fresh', 'waiting'))",
            [sync],
            |row| row.get::<_, Option<String>>(0),
        )?;
        time_opt(text.flatten())
    }

    /// Every standing link of every sync is due: a restored state file.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn mark_everything_due(&self, why: &str, at: Timestamp) -> Result<()> {
        self.run(
            "INSERT INTO due (link, since, not_before, why) SELECT id, ?1, ?1, ?2 FROM link WHERE state <> 'ended' \
             ON CONFLICT (link) DO UPDATE SET not_before = excluded.not_before, why = excluded.why",
            params![time_text(at), why],
        )?;
        Ok(())
    }
}
