//! The floor: the least that any program must do for the same result. It fetches every page, splits it into
//! raw slices, hashes each, looks its hash up by row, and stores the text of what differs. It has no change
//! log, no absence, no error reading, no budget: it measures what those cost.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named<'a> {
    id: &'a str,
}

/// The floor over one file.
pub struct Floor {
    connection: Connection,
    client: reqwest::Client,
}

impl Floor {
    /// Over a fresh file in this folder, with the settings that tallysync uses.
    pub fn new(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("floor.db")).expect("open");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE seen (rid TEXT PRIMARY KEY, raw INTEGER NOT NULL, body INTEGER NOT NULL) WITHOUT ROWID;
                 CREATE TABLE body (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",
            )
            .expect("tables");
        let client = reqwest::Client::builder().no_proxy().build().expect("client");
        Self { connection, client }
    }

    /// Reads everything once; returns how many records differed.
    pub async fn poll(&self, base: &str, size: usize) -> usize {
        let mut look = self.connection.prepare("SELECT raw, body FROM seen WHERE rid = ?1").expect("look");
        let mut body = self.connection.prepare("INSERT INTO body (text) VALUES (?1)").expect("body");
        let mut seen =
            self.connection.prepare("INSERT INTO seen (rid, raw, body) VALUES (?1, ?2, ?3)").expect("seen");
        let mut fresh = self.connection.prepare("UPDATE seen SET raw = ?2 WHERE rid = ?1").expect("fresh");
        let mut text = self.connection.prepare("UPDATE body SET text = ?2 WHERE id = ?1").expect("text");
        let mut changed = 0;
        let mut after = String::new();
        let mut pending = 0;
        self.connection.execute_batch("BEGIN IMMEDIATE").expect("begin");
        loop {
            let url = if after.is_empty() {
                format!("{base}/records?size={size}")
            } else {
                format!("{base}/records?after={after}&size={size}")
            };
            let bytes = self.client.get(url).send().await.expect("send").bytes().await.expect("read");
            let page: Page<'_> = serde_json::from_slice(&bytes).expect("a page");
            let count = page.records.len();
            for record in page.records {
                let id = serde_json::from_str::<Named<'_>>(record.get()).expect("a record").id;
                let raw = i64::from_ne_bytes(xxh3_64(record.get().as_bytes()).to_ne_bytes());
                let known: Option<(i64, i64)> =
                    look.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional().expect("look");
                match known {
                    Some((old, _)) if old == raw => {}
                    Some((_, place)) => {
                        fresh.execute(params![id, raw]).expect("fresh");
                        text.execute(params![place, record.get()]).expect("text");
                        changed += 1;
                    }
                    None => {
                        body.execute([record.get()]).expect("body");
                        seen.execute(params![id, raw, self.connection.last_insert_rowid()]).expect("seen");
                        changed += 1;
                    }
                }
                after.clear();
                after.push_str(id);
            }
            pending += count;
            if pending >= 4000 {
                self.connection.execute_batch("COMMIT; BEGIN IMMEDIATE").expect("commit");
                pending = 0;
            }
            if count < size {
                break;
            }
        }
        self.connection.execute_batch("COMMIT").expect("commit");
        changed
    }
}
