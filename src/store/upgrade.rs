//! Brings older state files up to the newest schema, step by step; `schema.sql` is where the steps end.

use std::path::Path;

use rusqlite::Connection;

use super::{Result, StoreError};

/// The newest schema, as shipped and documented.
pub const SCHEMA: &str = include_str!("../../schema.sql");

/// The steps, from an empty file. Step `n` brings version `n` to `n + 1`. A step that was released is
/// never edited; a test proves that all of them together end in exactly [`SCHEMA`].
const STEPS: &[&str] = &[include_str!("steps/0001.sql")];

fn newest(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// Runs the steps that a file lacks, each in its own transaction.
///
/// # Errors
/// When the file is newer than this program, or a step fails (the file is then as before that step).
pub fn bring_up(conn: &mut Connection, path: &Path) -> Result<()> {
    run_steps(conn, path, STEPS)
}

fn run_steps(conn: &mut Connection, path: &Path, steps: &[&str]) -> Result<()> {
    let version = known_version(conn, path, steps)?;
    for (number, step) in (1i64..).zip(steps) {
        if number <= version {
            continue;
        }
        let transaction = conn.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The version is the one that this program writes.
pub fn is_newest(version: i64) -> bool {
    version == newest(STEPS)
}

/// The file's version, refused when this program is too old for it.
///
/// # Errors
/// When the file was written by a newer tallysync.
pub fn check_version(conn: &Connection, path: &Path) -> Result<i64> {
    known_version(conn, path, STEPS)
}

fn known_version(conn: &Connection, path: &Path, steps: &[&str]) -> Result<i64> {
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > newest(steps) {
        return Err(StoreError::Open {
            path: path.to_owned(),
            why: format!(
                "it has schema version {version}, this program knows {}; install the newer tallysync again",
                newest(steps)
            ),
        });
    }
    Ok(version)
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
