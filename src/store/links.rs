//! Links, their members, the records that wait to be linked, and the links that are due.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Row, params};

use super::{Result, Store, time_from, time_text};

/// A link and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: i64,
    /// Its sync.
    pub sync: String,
    /// `live`, `left`, `ending`, `ended`.
    pub state: String,
    /// Agreed key values, as matching compares them.
    pub key: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// Why it is not live.
    pub why: Option<String>,
}

/// One record of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The link.
    pub link: i64,
    /// The side's name.
    pub side: String,
    /// The stream of its record.
    pub stream: i64,
    /// The record's id.
    pub rid: String,
    /// When it joined.
    pub joined_at: Timestamp,
}

/// A record that takes part but is not linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The side's name.
    pub side: String,
    /// The record's id.
    pub rid: String,
    /// Its stream.
    pub stream: i64,
    /// Key values as matching compares them; `None`: blank.
    pub key: Option<String>,
    /// `fresh`, `alone`, `blank`, `ambiguous`, `outside`, `former`, `waiting`.
    pub state: String,
}

const LINK: &str = "id, sync, state, key, title, why";

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: row.get(0)?,
        sync: row.get(1)?,
        state: row.get(2)?,
        key: row.get(3)?,
        title: row.get(4)?,
        why: row.get(5)?,
    })
}

impl Store {
    /// A new live link.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn new_link(&self, sync: &str, key: Option<&str>, title: &str, at: Timestamp) -> Result<i64> {
        self.run(
            "INSERT INTO link (sync, state, key, title, created_at) VALUES (?1, 'live', ?2, ?3, ?4)",
            params![sync, key, title, time_text(at)],
        )?;
        Ok(self.conn().last_insert_rowid())
    }

    /// A link by its number.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn link(&self, id: i64) -> Result<Option<Link>> {
        self.maybe(&format!("SELECT {LINK} FROM link WHERE id = ?1"), [id], link)
    }

    /// Links of a sync with this key that have not ended.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn links_with_key(&self, sync: &str, key: &str) -> Result<Vec<Link>> {
        let sql =
            format!("SELECT {LINK} FROM link WHERE sync = ?1 AND key = ?2 AND state <> 'ended' ORDER BY id");
        self.all(&sql, params![sync, key], link)
    }

    /// Numbers of the links of a sync that have not ended.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn standing_links(&self, sync: &str) -> Result<Vec<i64>> {
        self.all("SELECT id FROM link WHERE sync = ?1 AND state <> 'ended' ORDER BY id", [sync], |row| {
            row.get(0)
        })
    }

    /// How many live links a sync has.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn linked_count(&self, sync: &str) -> Result<u64> {
        self.count(
            "SELECT count(*) FROM link WHERE sync = ?1 AND state IN ('live', 'left', 'ending')",
            [sync],
        )
    }

    /// Changes where a link stands.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_link_state(&self, id: i64, state: &str, why: Option<&str>) -> Result<()> {
        self.run(
            "UPDATE link SET state = ?2, why = ?3 WHERE id = ?1 AND (state <> ?2 OR why IS NOT ?3)",
            params![id, state, why],
        )?;
        Ok(())
    }

    /// Renames a link for people, and its key for matching.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_link_key(&self, id: i64, key: Option<&str>, title: &str) -> Result<()> {
        let former = self.link(id)?;
        let renamed = self.run(
            "UPDATE link SET key = ?2, title = ?3 WHERE id = ?1 AND (key IS NOT ?2 OR title IS NOT ?3)",
            params![id, key, title],
        )?;
        if let Some(former) = former.filter(|former| renamed > 0 && former.key.as_deref() != key) {
            for key in [former.key.as_deref(), key].into_iter().flatten() {
                self.look_again(&former.sync, key)?;
            }
        }
        Ok(())
    }

    /// A link ends: its members are free but remembered, so that nothing is made for them again.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn end_link(&self, id: i64, why: &str, at: Timestamp) -> Result<()> {
        self.run(
            "UPDATE link SET state = 'ended', why = ?2, ended_at = ?3 WHERE id = ?1",
            params![id, why, time_text(at)],
        )?;
        self.run("UPDATE member SET active = 0 WHERE link = ?1", [id])?;
        if let Some(Link { sync, key: Some(key), .. }) = self.link(id)? {
            self.look_again(&sync, &key)?;
        }
        self.run("DELETE FROM due WHERE link = ?1", [id])?;
        self.run(
            "UPDATE write SET state = 'superseded', closed_at = ?2, failure = 'the link ended' \
             WHERE link = ?1 AND state IN ('new', 'held', 'open', 'parked')",
            params![id, time_text(at)],
        )?;
        self.run(
            "UPDATE conflict SET state = 'closed', closed_at = ?2, resolution = 'the link ended' WHERE link = ?1 AND state = 'open'",
            params![id, time_text(at)],
        )?;
        Ok(())
    }

    /// A record joins a link.
    ///
    /// # Errors
    /// When the record is already in a live link on that side, or the side of the link is taken.
    pub fn join(
        &self,
        sync: &str,
        link: i64,
        side: &str,
        stream: i64,
        rid: &str,
        at: Timestamp,
    ) -> Result<()> {
        self.run(
            "INSERT INTO member (link, side, sync, stream, rid, joined_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![link, side, sync, stream, rid, time_text(at)],
        )?;
        self.run(
            "DELETE FROM candidate WHERE sync = ?1 AND side = ?2 AND rid = ?3",
            params![sync, side, rid],
        )?;
        Ok(())
    }

    /// The active members of a link.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn members(&self, link: i64) -> Result<Vec<Member>> {
        let rows = self.all(
            "SELECT side, stream, rid, joined_at FROM member WHERE link = ?1 AND active = 1",
            [link],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            },
        )?;
        rows.into_iter()
            .map(|(side, stream, rid, joined)| {
                Ok(Member { link, side, stream, rid, joined_at: time_from(&joined)? })
            })
            .collect()
    }

    /// The live link of a record on a side.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn link_of(&self, sync: &str, side: &str, rid: &str) -> Result<Option<i64>> {
        self.maybe(
            "SELECT link FROM member WHERE sync = ?1 AND side = ?2 AND rid = ?3 AND active = 1",
            params![sync, side, rid],
            |row| row.get(0),
        )
    }

    /// The live link of a record in a sync, on whatever side that reads this system and entity.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn link_of_record(&self, sync: &str, system: &str, rid: &str) -> Result<Option<i64>> {
        self.maybe(
            "SELECT m.link FROM member m JOIN stream t ON t.id = m.stream \
             WHERE m.sync = ?1 AND t.system = ?2 AND m.rid = ?3 AND m.active = 1",
            params![sync, system, rid],
            |row| row.get(0),
        )
    }

    /// The record of a link in a system: the other direction of a reference.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn record_of_link(&self, link: i64, system: &str) -> Result<Option<String>> {
        self.maybe(
            "SELECT m.rid FROM member m JOIN stream t ON t.id = m.stream WHERE m.link = ?1 AND t.system = ?2 AND m.active = 1",
            params![link, system],
            |row| row.get(0),
        )
    }

    /// The record was linked once, and that link ended.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn was_linked(&self, sync: &str, side: &str, stream: i64, rid: &str) -> Result<bool> {
        Ok(self
            .maybe(
                "SELECT 1 FROM member WHERE stream = ?3 AND rid = ?4 AND sync = ?1 AND side = ?2 AND active = 0",
                params![sync, side, stream, rid],
                |_| Ok(()),
            )?
            .is_some())
    }

    /// Marks a link due. Repeated marks push `not_before` on, but never beyond `latest` after the first.
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
             ON CONFLICT (link) DO UPDATE SET not_before = excluded.not_before, why = excluded.why",
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
             JOIN member m ON m.stream = r.stream AND m.rid = r.rid AND m.active = 1 \
             WHERE r.stream = ?1 AND (r.absent_sweeps > 0 OR r.state IN ('missing', 'gone')) \
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
            "SELECT d.link FROM due d JOIN link l ON l.id = d.link WHERE l.sync = ?1 AND d.link > ?3 \
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
        self.run(
            "UPDATE due SET not_before = ?2 WHERE why LIKE ?1 || '%' AND not_before > ?2",
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
        let text: Option<String> = self.conn().query_row(
            "SELECT min(t) FROM (SELECT min(d.not_before) AS t FROM due d JOIN link l ON l.id = d.link WHERE l.sync = ?1 \
             UNION ALL SELECT min(not_before) FROM candidate WHERE sync = ?1 AND state IN ('fresh', 'waiting'))",
            [sync],
            |row| row.get(0),
        )?;
        super::time_opt(text)
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
