//! Streams and their listings: cursors, sweeps, what failed.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Result, Store, time_opt, time_text};

/// One entity of one system, as far as syncs ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its number.
    pub id: i64,
    /// The system.
    pub system: String,
    /// The entity there.
    pub entity: String,
    /// Tallyfy runs: the template; else empty.
    pub template: String,
    /// Where the incremental listing continues.
    pub cursor: Option<String>,
    /// Where the delete feed continues.
    pub delete_cursor: Option<String>,
    /// The listing form of the raw hashes and of the cursor.
    pub form: String,
    /// The principal at the last complete sweep.
    pub fingerprint: Option<String>,
    /// The last listing that succeeded.
    pub polled_at: Option<Timestamp>,
    /// The last complete sweep.
    pub swept_at: Option<Timestamp>,
    /// How many records it had.
    pub swept_count: Option<u64>,
    /// Why the last listing failed.
    pub failure: Option<String>,
}

/// What a finished listing leaves behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The row of `poll`.
    pub poll: i64,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Pages read.
    pub pages: u64,
    /// Items read.
    pub items: u64,
    /// Records that differed.
    pub changed: u64,
    /// It was a sweep that may prove absence.
    pub complete: bool,
    /// Why it proves nothing, or failed.
    pub remark: Option<String>,
}

const COLUMNS: &str = "id, system, entity, template, cursor, delete_cursor, form, fingerprint, polled_at, swept_at, \
                       swept_count, failure";

type RawStream = (Stream, Option<String>, Option<String>);

fn stream(row: &Row<'_>) -> rusqlite::Result<RawStream> {
    Ok((
        Stream {
            id: row.get(0)?,
            system: row.get(1)?,
            entity: row.get(2)?,
            template: row.get(3)?,
            cursor: row.get(4)?,
            delete_cursor: row.get(5)?,
            form: row.get(6)?,
            fingerprint: row.get(7)?,
            polled_at: None,
            swept_at: None,
            swept_count: row.get::<_, Option<i64>>(10)?.and_then(|n| u64::try_from(n).ok()),
            failure: row.get(11)?,
        },
        row.get(8)?,
        row.get(9)?,
    ))
}

fn finish((mut stream, polled, swept): RawStream) -> Result<Stream> {
    stream.polled_at = time_opt(polled)?;
    stream.swept_at = time_opt(swept)?;
    Ok(stream)
}

impl Store {
    /// The stream for this entity, made if it is new.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn stream_for(&self, system: &str, entity: &str, template: &str) -> Result<Stream> {
        self.run(
            "INSERT INTO stream (system, entity, template) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![system, entity, template],
        )?;
        let sql = format!("SELECT {COLUMNS} FROM stream WHERE system = ?1 AND entity = ?2 AND template = ?3");
        let found = self.conn().prepare_cached(&sql)?.query_row(params![system, entity, template], stream)?;
        finish(found)
    }

    /// A stream by its number.
    ///
    /// # Errors
    /// When the state file cannot be used or has no such stream.
    pub fn stream(&self, id: i64) -> Result<Stream> {
        let sql = format!("SELECT {COLUMNS} FROM stream WHERE id = ?1");
        finish(self.conn().prepare_cached(&sql)?.query_row([id], stream)?)
    }

    /// All streams.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn streams(&self) -> Result<Vec<Stream>> {
        self.all(&format!("SELECT {COLUMNS} FROM stream ORDER BY id"), [], stream)?
            .into_iter()
            .map(finish)
            .collect()
    }

    /// A new listing form: cursors made under the old one are not trusted.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_form(&self, stream: i64, form: &str) -> Result<()> {
        self.run(
            "UPDATE stream SET form = ?2, cursor = NULL, delete_cursor = NULL WHERE id = ?1 AND form <> ?2",
            params![stream, form],
        )?;
        Ok(())
    }

    /// A listing starts.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn poll_started(&self, stream: i64, sweep: bool, at: Timestamp) -> Result<i64> {
        self.run(
            "INSERT INTO poll (stream, kind, started) VALUES (?1, ?2, ?3)",
            params![stream, if sweep { "sweep" } else { "incremental" }, time_text(at)],
        )?;
        let id = self.conn().last_insert_rowid();
        // The history is for people: a few hundred rows a stream are plenty.
        self.run("DELETE FROM poll WHERE stream = ?1 AND id <= ?2 - 1000", params![stream, id])?;
        Ok(id)
    }

    /// A listing went through to its last page.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn poll_finished(&self, stream: i64, done: &Finished, cursor: Option<&str>) -> Result<()> {
        self.poll_row(done)?;
        self.run(
            "UPDATE stream SET cursor = coalesce(?2, cursor), polled_at = ?3, failure = NULL, failed_at = NULL WHERE id = ?1",
            params![stream, cursor, time_text(done.started)],
        )?;
        Ok(())
    }

    /// A sweep was complete: it counts for and against absence.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn sweep_counted(
        &self,
        stream: i64,
        started: Timestamp,
        count: u64,
        fingerprint: &str,
    ) -> Result<()> {
        self.run(
            "UPDATE stream SET swept_at = ?2, swept_count = ?3, fingerprint = ?4 WHERE id = ?1",
            params![stream, time_text(started), i64::try_from(count).unwrap_or(i64::MAX), fingerprint],
        )?;
        Ok(())
    }

    /// A listing failed; what was read before it failed is kept.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn poll_failed(&self, stream: i64, done: &Finished) -> Result<()> {
        self.poll_row(done)?;
        self.run(
            "UPDATE stream SET failure = ?2, failed_at = ?3 WHERE id = ?1",
            params![stream, done.remark, time_text(done.ended)],
        )?;
        Ok(())
    }

    /// A stream could not even be opened.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn stream_failed(&self, stream: i64, why: &str, at: Timestamp) -> Result<()> {
        self.run(
            "UPDATE stream SET failure = ?2, failed_at = ?3 WHERE id = ?1",
            params![stream, why, time_text(at)],
        )?;
        Ok(())
    }

    /// The system no longer knows the cursor: the next listing starts again.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn forget_cursor(&self, stream: i64) -> Result<()> {
        self.run("UPDATE stream SET cursor = NULL WHERE id = ?1", [stream])?;
        Ok(())
    }

    /// When the last sweep of a stream was started, whether it went through or not.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn sweep_tried(&self, stream: i64) -> Result<Option<Timestamp>> {
        let text: Option<String> = self.conn().query_row(
            "SELECT max(started) FROM poll WHERE stream = ?1 AND kind = 'sweep'",
            [stream],
            |row| row.get(0),
        )?;
        time_opt(text)
    }

    /// How many pages the last complete sweep of a stream had.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn sweep_pages(&self, system: &str, entity: &str, template: &str) -> Result<Option<u64>> {
        let pages: Option<i64> = self.maybe(
            "SELECT p.pages FROM poll p JOIN stream t ON t.id = p.stream WHERE t.system = ?1 AND t.entity = ?2 \
             AND t.template = ?3 AND p.kind = 'sweep' AND p.complete = 1 ORDER BY p.id DESC LIMIT 1",
            params![system, entity, template],
            |row| row.get(0),
        )?;
        Ok(pages.and_then(|pages| u64::try_from(pages).ok()))
    }

    /// Listings that a crash left open.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn close_open_polls(&self, at: Timestamp) -> Result<()> {
        self.run(
            "UPDATE poll SET ended = ?1, remark = 'the program stopped meanwhile' WHERE ended IS NULL",
            [time_text(at)],
        )?;
        Ok(())
    }

    /// The delete feed was read up to here.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_delete_cursor(&self, stream: i64, cursor: Option<&str>) -> Result<()> {
        self.run(
            "UPDATE stream SET delete_cursor = coalesce(?2, delete_cursor) WHERE id = ?1",
            params![stream, cursor],
        )?;
        Ok(())
    }

    fn poll_row(&self, done: &Finished) -> Result<()> {
        self.run(
            "UPDATE poll SET ended = ?2, pages = ?3, items = ?4, changed = ?5, complete = ?6, remark = ?7 WHERE id = ?1",
            params![
                done.poll,
                time_text(done.ended),
                i64::try_from(done.pages).unwrap_or(i64::MAX),
                i64::try_from(done.items).unwrap_or(i64::MAX),
                i64::try_from(done.changed).unwrap_or(i64::MAX),
                done.complete,
                done.remark
            ],
        )?;
        Ok(())
    }
}
