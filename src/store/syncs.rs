//! Syncs: what was accepted, what was printed, what is paused; and facts about the file itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::params;

use super::{Result, Store, StoreError, time_opt, time_text};

/// A sync as the file knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRow {
    /// Its name.
    pub name: String,
    /// The accepted meaning, part by part.
    pub meaning: Option<BTreeMap<String, String>>,
    /// When it was accepted; `None`: never, or changed since.
    pub accepted_at: Option<Timestamp>,
    /// A person paused it.
    pub paused: bool,
    /// The last pass that went through.
    pub passed_at: Option<Timestamp>,
}

/// A printed plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// Its number.
    pub id: i64,
    /// Its sync.
    pub sync: String,
    /// When it was printed.
    pub made_at: Timestamp,
    /// The meaning it was made under.
    pub meaning: String,
    /// Fingerprints of its actions: a JSON list of texts.
    pub actions: Vec<String>,
    /// The plan as printed.
    pub document: String,
}

impl Store {
    /// The row of a sync, made if it is new.
    ///
    /// # Errors
    /// When the state file cannot be used or the row is damaged.
    pub fn sync_row(&self, name: &str) -> Result<SyncRow> {
        self.run("INSERT INTO sync (name) VALUES (?1) ON CONFLICT DO NOTHING", [name])?;
        let (meaning, accepted, paused, passed) = self.conn().query_row(
            "SELECT meaning, accepted_at, paused, passed_at FROM sync WHERE name = ?1",
            [name],
            |row| {
                Ok((
                    row.get::<_, Option<String>>(0)?,
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, bool>(2)?,
                    row.get::<_, Option<String>>(3)?,
                ))
            },
        )?;
        let meaning = meaning
            .map(|text| {
                serde_json::from_str(&text)
                    .map_err(|e| StoreError::Damaged(format!("sync {name}"), format!("{e}")))
            })
            .transpose()?;
        Ok(SyncRow {
            name: name.to_owned(),
            meaning,
            accepted_at: time_opt(accepted)?,
            paused,
            passed_at: time_opt(passed)?,
        })
    }

    /// A sync is accepted under this meaning.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn accept_sync(
        &self,
        name: &str,
        meaning: &BTreeMap<String, String>,
        short: &str,
        plan: Option<i64>,
        at: Timestamp,
    ) -> Result<()> {
        let text = serde_json::to_string(meaning).map_err(|e| StoreError::Caller(e.to_string()))?;
        self.run(
            "UPDATE sync SET meaning = ?2, accepted_at = ?3, accepted_plan = ?4, config = ?5 WHERE name = ?1",
            params![name, text, time_text(at), plan, short],
        )?;
        Ok(())
    }

    /// The meaning changed: nothing is written until a plan is accepted. The old meaning stays for comparison.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn unaccept_sync(&self, name: &str) -> Result<()> {
        self.run("UPDATE sync SET accepted_at = NULL WHERE name = ?1", [name])?;
        Ok(())
    }

    /// Keeps the accepted meaning's text in step with changes that need no acceptance (tighter guards).
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_meaning(&self, name: &str, meaning: &BTreeMap<String, String>) -> Result<()> {
        let text = serde_json::to_string(meaning).map_err(|e| StoreError::Caller(e.to_string()))?;
        self.run("UPDATE sync SET meaning = ?2 WHERE name = ?1 AND meaning IS NOT ?2", params![name, text])?;
        Ok(())
    }

    /// A pass of this sync went through.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn sync_passed(&self, name: &str, at: Timestamp) -> Result<()> {
        self.run("UPDATE sync SET passed_at = ?2 WHERE name = ?1", params![name, time_text(at)])?;
        Ok(())
    }

    /// Pauses or resumes a sync. `false`: there is none of that name.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn pause_sync(&self, name: &str, paused: bool) -> Result<bool> {
        Ok(self.run("UPDATE sync SET paused = ?2 WHERE name = ?1", params![name, paused])? > 0)
    }

    /// Stores a printed plan; the one printed before is replaced, and what it covered is forgotten.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn put_plan(
        &self,
        sync: &str,
        meaning: &str,
        actions: &[String],
        document: &str,
        at: Timestamp,
    ) -> Result<i64> {
        self.run(
            "UPDATE plan SET state = 'replaced', actions = '[]' WHERE sync = ?1 AND state = 'printed'",
            [sync],
        )?;
        let actions = serde_json::to_string(actions).map_err(|e| StoreError::Caller(e.to_string()))?;
        self.run(
            "INSERT INTO plan (sync, made_at, state, meaning, actions, document) VALUES (?1, ?2, 'printed', ?3, ?4, ?5)",
            params![sync, time_text(at), meaning, actions, document],
        )?;
        Ok(self.conn().last_insert_rowid())
    }

    /// The plan that was printed last and not used yet.
    ///
    /// # Errors
    /// When the state file cannot be used or the row is damaged.
    pub fn printed_plan(&self, sync: &str) -> Result<Option<PlanRow>> {
        let row = self.maybe(
            "SELECT id, made_at, meaning, actions, document FROM plan WHERE sync = ?1 AND state = 'printed' \
             ORDER BY id DESC LIMIT 1",
            [sync],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, String>(4)?,
                ))
            },
        )?;
        row.map(|(id, made_at, meaning, actions, document)| {
            Ok(PlanRow {
                id,
                sync: sync.to_owned(),
                made_at: super::time_from(&made_at)?,
                meaning,
                actions: serde_json::from_str(&actions)
                    .map_err(|e| StoreError::Damaged(format!("plan {id}"), e.to_string()))?,
                document,
            })
        })
        .transpose()
    }

    /// A plan is used up.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn plan_accepted(&self, id: i64) -> Result<()> {
        self.run("UPDATE plan SET state = 'accepted' WHERE id = ?1", [id])?;
        Ok(())
    }

    /// A fact about the file.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn fact(&self, key: &str) -> Result<Option<String>> {
        self.maybe("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
    }

    /// Sets a fact about the file.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_fact(&self, key: &str, value: &str) -> Result<()> {
        self.run(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, value],
        )?;
        Ok(())
    }

    /// A sealed secret.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn sealed(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.maybe("SELECT sealed FROM secret WHERE name = ?1", [name], |row| row.get(0))
    }

    /// Stores a sealed secret.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_sealed(&self, name: &str, sealed: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO secret (name, sealed) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
            params![name, sealed],
        )?;
        Ok(())
    }
}
