//! The state file: the only place with SQL.
//!
//! Functions are named by what they mean, so that another engine could stand behind them (design section
//! 11). Nothing here decides anything: no merge, no rule, no guard. Every function runs inside a
//! transaction that its caller opened through [`Store::transact`] or [`Store::rehearse`].

pub mod audit;
pub mod batches;
pub mod changes;
pub mod conflicts;
pub mod decisions;
pub mod due;
pub mod handle;
pub mod links;
pub mod mirror;
pub mod observe;
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
    #[error("state file: {0}{advice}", advice = advice(.0))]
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
    /// Another process holds the lock.
    #[error(
        "state file {path}: another tallysync is writing to it. Stop that one first (systemctl stop tallysync). Meanwhile \
         these work beside it: plan, accept, status, links, changes, writes, log, why, conflicts, check; and resolve, \
         retry, drop, adopt, approve, pause, resume"
    )]
    Locked {
        /// Which file.
        path: PathBuf,
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
    /// Rows that statements stepped over because no index led to what they looked for.
    #[cfg(test)]
    scanned: std::cell::Cell<i64>,
}

/// Which file it is about: while it is being opened that is the first thing to know.
fn named(error: StoreError, path: &Path) -> StoreError {
    match error {
        StoreError::Sql(error) => {
            StoreError::Open { path: path.to_owned(), why: format!("{error}{}", advice(&error)) }
        }
        other => other,
    }
}

fn is_no_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        let why = "it is a folder; name the file in it".to_owned();
        return Err(StoreError::Open { path: path.to_owned(), why });
    }
    Ok(())
}

impl Store {
    /// Opens or creates the file for writing, takes the lock, and upgrades the schema.
    ///
    /// # Errors
    /// When another process holds the file, or it is newer than this program, or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        is_no_folder(path)?;
        let lock = lock(path)?;
        let opened = || -> Result<Connection> {
            let mut conn = Connection::open(path)?;
            prepare(&conn)?;
            upgrade::bring_up(&mut conn, path)?;
            Ok(conn)
        };
        Ok(Self::over(opened().map_err(|error| named(error, path))?, Some(lock)))
    }

    /// A store in memory, for pure tests.
    ///
    /// # Errors
    /// When SQLite cannot make one.
    pub fn in_memory() -> Result<Self> {
        let mut conn = Connection::open_in_memory()?;
        prepare(&conn)?;
        upgrade::bring_up(&mut conn, Path::new(":memory:"))?;
        Ok(Self::over(conn, None))
    }

    /// Opens an existing file for reading only: never blocks the daemon and is never blocked by it.
    ///
    /// # Errors
    /// When there is no file, or it is newer than this program.
    pub fn open_readonly(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(no_file(path));
        }
        is_no_folder(path)?;
        let opened = || -> Result<Connection> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            conn.busy_timeout(BUSY)?;
            if upgrade::check_version(&conn, path)? == 0 {
                let why = "there is nothing of tallysync in it; is it the right file?".to_owned();
                return Err(StoreError::Open { path: path.to_owned(), why });
            }
            Ok(conn)
        };
        Ok(Self::over(opened().map_err(|error| named(error, path))?, None))
    }

    fn over(conn: Connection, lock: Option<File>) -> Self {
        Self {
            conn,
            _lock: lock,
            #[cfg(test)]
            scanned: std::cell::Cell::new(0),
        }
    }

    /// Opens an existing file for what people do while a daemon may hold the lock: short decisions (resolve,
    /// retry, drop, approve, pause), and `plan` and `accept`.
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
        is_no_folder(path)?;
        let opened = || -> Result<(Connection, i64)> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            prepare(&conn)?;
            let version = upgrade::check_version(&conn, path)?;
            Ok((conn, version))
        };
        let (conn, version) = opened().map_err(|error| named(error, path))?;
        if !upgrade::is_newest(version) {
            return Err(StoreError::Open {
                path: path.to_owned(),
                why: "it has an older schema; `tallysync run` or `tallysync sync` brings it up first".into(),
            });
        }
        Ok(Self::over(conn, None))
    }

    /// Runs `work` in one transaction: all of it is committed, or none.
    ///
    /// # Errors
    /// What `work` returned (everything is rolled back), or a failed commit.
    pub fn transact<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = work(self).and_then(|value| {
            self.conn.execute_batch("COMMIT")?;
            Ok(value)
        });
        if outcome.is_err() {
            self.take_back();
        }
        outcome
    }

    /// Ends a transaction that must not be kept. A full disk ends it by itself, a commit that failed may leave
    /// it open; the error that led here is the one to report, and the next transaction must be able to begin.
    fn take_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!("state file: a transaction could not be taken back: {error}");
        }
    }

    /// Runs `work` in one transaction and takes everything back: what would happen, without it happening.
    ///
    /// # Errors
    /// What `work` returned.
    pub fn rehearse<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = work(self);
        self.take_back();
        outcome
    }

    pub(crate) fn conn(&self) -> &Connection {
        &self.conn
    }

    fn run(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.execute(parameters)?;
        self.watch(&statement);
        Ok(rows)
    }

    fn maybe<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        map: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        use rusqlite::OptionalExtension;
        let mut statement = self.conn.prepare_cached(sql)?;
        let found = statement.query_row(parameters, map).optional()?;
        self.watch(&statement);
        Ok(found)
    }

    fn all<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        map: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, map)?.collect::<rusqlite::Result<Vec<T>>>()?;
        self.watch(&statement);
        Ok(rows)
    }

    fn count(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<u64> {
        let n: i64 = self.maybe(sql, parameters, |row| row.get(0))?.unwrap_or(0);
        Ok(u64::try_from(n).unwrap_or(0))
    }

    /// Tests ask how much was read without an index; the program itself does not count.
    fn watch(&self, _statement: &rusqlite::Statement<'_>) {
        #[cfg(test)]
        {
            let steps = _statement.reset_status(rusqlite::StatementStatus::FullscanStep);
            self.scanned.set(self.scanned.get() + i64::from(steps));
        }
    }
}

/// What the person can do about an error of SQLite that is not the program's fault.
fn advice(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
            ". The disk is full, limited or failing: nothing of this step was kept; make room, and it goes on by itself"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            ". Check owner and permissions of the file and of its folder: both must be writable for this user"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            ". Another program holds it: a backup or an open sqlite3 shell; try again when it is done"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            ". Nothing was changed in it. Look at the path, or restore a copy (docs/operations.md)"
        }
        _ => "",
    }
}

fn no_file(path: &Path) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        why: "there is no state file yet; run `tallysync plan` first".into(),
    }
}

/// How long a transaction waits for another process's: as long as a plan may take to rehearse.
const BUSY: std::time::Duration = std::time::Duration::from_secs(60);

fn prepare(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )?;
    // A batch of a first poll fits: pages that spill out of a transaction are written twice.
    conn.pragma_update(None, "cache_size", -12_000)?;
    // The log of one great transaction (a first plan) is cut back when the next one starts it anew.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
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
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(e)) => Err(open_error(format!("cannot lock it: {e}"))),
    }
}

#[cfg(test)]
mod conflicts_tests;
#[cfg(test)]
mod links_tests;
#[cfg(test)]
mod mirror_tests;
#[cfg(test)]
mod outbox_tests;
#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod views_tests;
