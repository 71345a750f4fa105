//! The audit: append-only. No function here changes or removes a row.

use jiff::Timestamp;
use rusqlite::params;

use super::outbox::Write;
use super::{Result, Store, time_text};

impl Store {
    /// Accounts for an event of a write: one row per field, or one row when it has none. `displaced` gives
    /// the value that the record showed just before, per field, where it was read.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn audit(
        &self,
        write: &Write,
        event: &str,
        displaced: impl Fn(&str) -> Option<String>,
        reason: &str,
        at: Timestamp,
    ) -> Result<()> {
        let entity: String = self.stream(write.stream)?.entity;
        let config: Option<String> =
            self.maybe("SELECT config FROM sync WHERE name = ?1", [&write.sync], |row| row.get(0))?.flatten();
        let mut rows: Vec<(Option<&str>, Option<String>, Option<String>)> = write
            .fields
            .iter()
            .map(|(name, field)| {
                let before = displaced(name).unwrap_or_else(|| field.before.to_string());
                (Some(name.as_str()), Some(before), Some(field.after.to_string()))
            })
            .collect();
        if rows.is_empty() {
            rows.push((None, displaced(""), None));
        }
        for (field, before, after) in rows {
            self.run(
                "INSERT INTO audit (at, write, event, sync, link, side, system, entity, rid, op, field, before, after, \
                 reason, config) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                params![
                    time_text(at),
                    write.id,
                    event,
                    write.sync,
                    write.link,
                    write.side,
                    write.system,
                    entity,
                    write.rid,
                    write.op.text(),
                    field,
                    before,
                    after,
                    reason,
                    config
                ],
            )?;
        }
        Ok(())
    }
}
