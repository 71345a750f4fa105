//! Links, their members, and the records that wait to be linked. Which links are due is `due.rs`.

use jiff::Timestamp;
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
        // They wait under the key of the link: what is entered anew on another side finds them, none is made beside.
        self.run(
            "INSERT INTO candidate (sync, side, rid, stream, key, state, why) \
             SELECT m.sync, m.side, m.rid, m.stream, l.key, 'former', 'it was linked before, and that link ended' \
             FROM member m JOIN link l ON l.id = m.link JOIN seen s ON s.stream = m.stream AND s.rid = m.rid \
             JOIN record r ON r.id = s.record \
             WHERE m.link = ?1 AND m.active = 1 AND r.state = 'present' AND l.key IS NOT NULL \
             ON CONFLICT (sync, side, rid) DO NOTHING",
            [id],
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
            "SELECT m.link FROM stream t CROSS JOIN member m ON m.stream = t.id AND m.rid = ?3 \
             WHERE t.system = ?2 AND m.sync = ?1 AND m.active = 1",
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

    /// Records that nobody has looked at since they changed, with keys after `after`, at most `limit`, in key
    /// order.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn fresh_candidates(
        &self,
        sync: &str,
        now: Option<Timestamp>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Candidate>> {
        self.all(
            "SELECT side, rid, stream, key, state FROM candidate INDEXED BY candidate_fresh \
             WHERE sync = ?1 AND state IN ('fresh', 'waiting') \
             AND key > ?4 \
             AND (?2 IS NULL OR not_before IS NULL OR not_before <= ?2) ORDER BY key, side, rid LIMIT ?3",
            params![sync, now.map(time_text), limit, after.unwrap_or_default()],
            candidate,
        )
    }

    /// Records with this key that wait to be linked.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn candidates_with_key(&self, sync: &str, key: &str) -> Result<Vec<Candidate>> {
        self.all(
            "SELECT side, rid, stream, key, state FROM candidate INDEXED BY candidate_key \
             WHERE sync = ?1 AND key = ?2 ORDER BY side, rid",
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
