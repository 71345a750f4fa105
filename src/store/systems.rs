//! Systems: who we are there, how their clock stands, and whether calls to them are stopped.

use jiff::Timestamp;
use rusqlite::params;

use super::{Result, Store, time_opt, time_text};

/// A system as the file knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemRow {
    /// Its name.
    pub name: String,
    /// Tenant and principal at the last probe.
    pub fingerprint: Option<String>,
    /// Their clock minus ours, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// How far that may be wrong, in milliseconds.
    pub clock_error_ms: i64,
    /// A person paused it.
    pub paused: bool,
    /// No calls before this.
    pub blocked_until: Option<Timestamp>,
    /// Why.
    pub blocked_why: Option<String>,
}

impl Store {
    /// The row of a system, made if it is new.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn system_row(&self, name: &str, connector: &str) -> Result<SystemRow> {
        self.run(
            "INSERT INTO system (name, connector) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET connector = excluded.connector \
             WHERE system.connector <> excluded.connector",
            params![name, connector],
        )?;
        let (mut row, until) = self.conn().query_row(
            "SELECT fingerprint, clock_offset_ms, clock_error_ms, paused, blocked_why, blocked_until FROM system WHERE name = ?1",
            [name],
            |row| {
                Ok((
                    SystemRow {
                        name: name.to_owned(),
                        fingerprint: row.get(0)?,
                        clock_offset_ms: row.get(1)?,
                        clock_error_ms: row.get(2)?,
                        paused: row.get(3)?,
                        blocked_until: None,
                        blocked_why: row.get(4)?,
                    },
                    row.get::<_, Option<String>>(5)?,
                ))
            },
        )?;
        row.blocked_until = time_opt(until)?;
        Ok(row)
    }

    /// What a probe found.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn probed(
        &self,
        name: &str,
        fingerprint: &str,
        title: &str,
        offset_ms: Option<i64>,
        error_ms: i64,
        at: Timestamp,
    ) -> Result<()> {
        self.run(
            "UPDATE system SET fingerprint = ?2, title = ?3, clock_offset_ms = ?4, clock_error_ms = ?5, probed_at = ?6, \
             blocked_until = NULL, blocked_why = NULL WHERE name = ?1",
            params![name, fingerprint, title, offset_ms, error_ms, time_text(at)],
        )?;
        Ok(())
    }

    /// Calls to a system stop until then.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn block_system(&self, name: &str, until: Timestamp, why: &str) -> Result<()> {
        self.run(
            "UPDATE system SET blocked_until = ?2, blocked_why = ?3 WHERE name = ?1",
            params![name, time_text(until), why],
        )?;
        Ok(())
    }

    /// The system answered: a block whose time is over is history.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn unblock_system(&self, name: &str, now: Timestamp) -> Result<()> {
        self.run(
            "UPDATE system SET blocked_until = NULL, blocked_why = NULL WHERE name = ?1 AND blocked_until <= ?2",
            params![name, time_text(now)],
        )?;
        Ok(())
    }

    /// Pauses or resumes a system. `false`: there is none of that name.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn pause_system(&self, name: &str, paused: bool) -> Result<bool> {
        Ok(self.run("UPDATE system SET paused = ?2 WHERE name = ?1", params![name, paused])? > 0)
    }
}
