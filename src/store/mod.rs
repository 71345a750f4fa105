//! The state file: the only place with SQL.
//!
//! Functions are named by what they mean, so that another engine could stand behind them (design section
//! 11). Nothing here decides anything: no merge, no rule, no guard. Every function runs inside a
//! transaction that its caller opened through [`Store::transact`] or [`Store::rehearse`].

pub mod audit;
pub mod candidates;
pub mod conflicts;
pub mod decisions;
pub mod handle;
pub mod links;
pub mod mirror;
pub mod outbox;
pub mod read;
pub mod streams;
pub mod syncs;
pub mod systems;
pub mod upgrade;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

/// What can go wrong with the state file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused something.
    #[error("state file: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A stored text is not what the program writes there.
    #[error("state file: {0} is damaged: {1}")]
    Damaged(String, String),
    /// The file cannot be opened or locked.
    #[error("state file {path}: {why}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// What happened, and what to do.
        why: String,
    },
    /// The writer thread is gone.
    #[error("the state file's writer has stopped; restart the daemon")]
    Stopped,
    /// Whatever the caller's own step reported inside a transaction.
    #[error("{0}")]
    Caller(String),
}

/// What store functions return.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Time as the file holds it: UTC, always six digits, so that text order is time order.
pub fn time_text(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Reads a time from the file.
///
/// # Errors
/// When the text is no time.
pub fn time_from(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|e| StoreError::Damaged(format!("time {text:?}"), format!("{e}")))
}

fn time_opt(text: Option<String>) -> Result<Option<Timestamp>> {
    text.map(|t| time_from(&t)).transpose()
}

/// The open state file. One writer at a time; readers open their own connection.
pub struct Store {
    conn: Connection,
    /// Held as long as the store lives: a second daemon on the same file cannot start (P14).
    _lock: Option<File>,
}

impl Store {
    /// Opens or creates the file for writing, takes the lock, and upgrades the schema.
    ///
    /// # Errors
    /// When another process holds the file, or it is newer than this program, or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let lock = lock(path)?;
        let mut conn = Connection::open(path)?;
        prepare(&conn)?;
        upgrade::bring_up(&mut conn, path)?;
        Ok(Self { conn, _lock: Some(lock) })
    }

    /// A store in memory, for pure tests.
    ///
    /// # Errors
    /// When SQLite cannot make one.
    pub fn in_memory() -> Result<Self> {
        let mut conn = Connection::open_in_memory()?;
        prepare(&conn)?;
        upgrade::bring_up(&mut conn, Path::new(":memory:"))?;
        Ok(Self { conn, _lock: None })
    }

    /// Opens an existing file for reading only: never blocks the daemon and is never blocked by it.
    ///
    /// # Errors
    /// When there is no file, or it is newer than this program.
    pub fn open_readonly(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(no_file(path));
        }
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        upgrade::check_version(&conn, path)?;
        Ok(Self { conn, _lock: None })
    }

    /// Opens an existing file for a short decision of a person (resolve, retry, drop, approve, pause) while a
    /// daemon may hold the lock.
    ///
    /// This is safe because the lock keeps two *daemons* apart, not two transactions: SQLite lets one write
    /// transaction through at a time and the other waits; a decision is one transaction over rows that it
    /// reads inside it, and sends nothing; and the daemon keeps no decision in memory between transactions,
    /// it reads conflicts, writes, batches and pauses again at every step. Upgrading the schema stays with
    /// the holder of the lock.
    ///
    /// # Errors
    /// When there is no file, or its schema is not exactly this program's.
    pub fn open_shared(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(no_file(path));
        }
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        prepare(&conn)?;
        if !upgrade::is_newest(upgrade::check_version(&conn, path)?) {
            return Err(StoreError::Open {
                path: path.to_owned(),
                why: "it has an older schema; `tallysync run` or `tallysync sync` brings it up first".into(),
            });
        }
        Ok(Self { conn, _lock: None })
    }

    /// Runs `work` in one transaction: all of it is committed, or none.
    ///
    /// # Errors
    /// What `work` returned (everything is rolled back), or a failed commit.
    pub fn transact<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        match work(self) {
            Ok(value) => {
                self.conn.execute_batch("COMMIT")?;
                Ok(value)
            }
            Err(error) => {
                self.conn.execute_batch("ROLLBACK")?;
                Err(error)
            }
        }
    }

    /// Runs `work` in one transaction and takes everything back: what would happen, without it happening.
    ///
    /// # Errors
    /// What `work` returned.
    pub fn rehearse<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = work(self);
        self.conn.execute_batch("ROLLBACK")?;
        outcome
    }

    pub(crate) fn conn(&self) -> &Connection {
        &self.conn
    }

    fn run(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        Ok(self.conn.prepare_cached(sql)?.execute(parameters)?)
    }

    fn maybe<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        map: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        use rusqlite::OptionalExtension;
        Ok(self.conn.prepare_cached(sql)?.query_row(parameters, map).optional()?)
    }

    fn all<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        map: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, map)?;
        Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
    }

    fn count(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<u64> {
        let n: i64 = self.conn.prepare_cached(sql)?.query_row(parameters, |row| row.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    }
}

fn no_file(path: &Path) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        why: "there is no state file yet; run `tallysync plan` first".into(),
    }
}

fn prepare(conn: &Connection) -> Result<()> {
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )?;
    conn.set_prepared_statement_cache_capacity(256);
    Ok(())
}

fn lock(path: &Path) -> Result<File> {
    let open_error = |why: String| StoreError::Open { path: path.to_owned(), why };
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| open_error(format!("cannot create its folder: {e}")))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(&name))
        .map_err(|e| open_error(format!("cannot open the lock file: {e}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(open_error(
            "another tallysync is writing to it. Stop that one first (systemctl stop tallysync). Meanwhile \
             these work beside it: status, links, changes, writes, log, why, conflicts, check; and resolve, \
             retry, drop, adopt, approve, pause, resume"
                .into(),
        )),
        Err(TryLockError::Error(e)) => Err(open_error(format!("cannot lock it: {e}"))),
    }
}
