//! An engine over two systems in memory and a state file on disk, and the commands of the real binary over the
//! same file. Nothing of the engine or the store is shortened for the measurement.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tallysync::connector::api::System;
use tallysync::core::spec::SyncSpec;
use tallysync::engine::Engine;
use tallysync::engine::pass::PassOptions;
use tallysync::ports::real::{SystemClock, SystemRandom};
use tallysync::store::Store;
use tallysync::store::handle::Handle;

use crate::memory::{FIELDS, Memory, Orders};

/// Two systems, one sync, one state file.
pub struct World {
    pub engine: Engine,
    pub sync: Arc<SyncSpec>,
    pub erp: Arc<Memory>,
    pub records: usize,
    folder: PathBuf,
}

impl World {
    /// Over a fresh state file in this folder. `differs`: the memo of every pair is not the same on both sides.
    pub fn new(folder: &Path, records: usize, differs: bool) -> Self {
        let connectors = folder.join("connectors");
        std::fs::create_dir_all(&connectors).expect("folder");
        std::fs::write(connectors.join("bench.toml"), DEFINITION).expect("definition");
        let path = folder.join("sync.toml");
        std::fs::write(&path, config_text()).expect("config");
        let config = tallysync::config::load(&path, std::iter::empty(), &[])
            .unwrap_or_else(|problems| panic!("{problems}"));
        let store = Store::open(&config.state.path).expect("a state file");
        let erp = Memory::new(records, "as agreed");
        let crm = Memory::new(records, if differs { "as the customer said" } else { "as agreed" });
        let systems = [("erp", &erp), ("crm", &crm)]
            .map(|(name, memory)| (name.to_owned(), Arc::new(Orders(Arc::clone(memory))) as Arc<dyn System>));
        let engine = Engine::new(
            Arc::new(config),
            Handle::threaded(store).expect("the store's thread"),
            systems.into_iter().collect(),
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        );
        let sync = engine.sync_named("orders").expect("the sync");
        Self { engine, sync, erp, records, folder: folder.to_owned() }
    }

    /// Passes until nothing is left to do; returns how many writes took effect.
    pub async fn pass(&self) -> u64 {
        let mut written = 0;
        loop {
            let report = self.engine.pass(&self.sync, PassOptions::default()).await.expect("a pass");
            assert_eq!((report.idle, report.failures), (None, Vec::new()), "a pass goes through");
            written += report.applied.done;
            if report.applied.done == 0 {
                return written;
            }
        }
    }

    /// Accepts the sync without a plan, as if one had been read: the passes then link everything step by step.
    pub async fn accept_unread(&self) {
        for side in 0..self.sync.sides.len() {
            self.engine.probe(&self.sync.sides[side].system).await.expect("a probe");
        }
        let meaning = self.engine.meaning(&self.sync).await.expect("a meaning");
        let (name, now) = (self.sync.name.clone(), self.engine.clock().now());
        self.engine
            .store()
            .transact(move |store| {
                store.sync_row(&name)?;
                store.accept_sync(&name, &meaning, "bench", None, now)
            })
            .await
            .expect("accepted");
    }

    /// Size of the state file and of its log, in MiB.
    pub fn sizes(&self) -> (f64, f64) {
        let size = |name: &str| {
            let bytes = std::fs::metadata(self.folder.join(name)).map_or(0, |file| file.len());
            bytes as f64 / 1024.0 / 1024.0
        };
        (size("state.db"), size("state.db-wal"))
    }

    /// Gives up the engine; the state file stays and is free when this returns.
    pub fn close(self) -> PathBuf {
        let path = self.engine.config().state.path.clone();
        drop(self.engine);
        // The store's thread ends a moment after its last handle.
        while Store::open(&path).is_err() {
            std::thread::yield_now();
        }
        self.folder
    }
}

/// Copies everything that is linked so many times within the state file: what passes would make in an hour.
pub fn multiply(folder: &Path, links: usize, times: usize) {
    let file = rusqlite::Connection::open(folder.join("state.db")).expect("the state file");
    let copy = |table: &str, columns: &str, values: &str| {
        let sql = format!(
            "WITH RECURSIVE n(k) AS (SELECT 1 WHERE {times} > 1 UNION ALL SELECT k + 1 FROM n WHERE k + 1 < {times}) \
             INSERT INTO {table} ({columns}) SELECT {values} FROM n CROSS JOIN {table}"
        );
        // Every copy has numbers of its own, after those of the copy before.
        let sql =
            sql.replace("LINK", &format!("{links} * k")).replace("RECORD", &format!("{} * k", 2 * links));
        file.execute(&sql, []).unwrap_or_else(|error| panic!("{table}: {error}"));
    };
    file.execute_batch(
        "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; BEGIN",
    )
    .expect("begin");
    copy(
        "link",
        "id, sync, state, key, title, created_at",
        "id + LINK, sync, state, key || '-' || k, title || '-' || k, created_at",
    );
    copy(
        "record",
        "id, stream, rid, state, document, seen_at",
        "id + RECORD, stream, rid || '-' || k, state, document, seen_at",
    );
    copy("seen", "stream, rid, raw, record", "stream, rid || '-' || k, raw, record + RECORD");
    copy(
        "member",
        "link, side, sync, stream, rid, joined_at",
        "link + LINK, side, sync, stream, rid || '-' || k, joined_at",
    );
    copy(
        "agreed",
        "link, field, number, value, origin, rule, decided_at",
        "link + LINK, field, number, value, origin, rule, decided_at",
    );
    copy(
        "base",
        "link, side, field, value, stands, lens, at",
        "link + LINK, side, field, value, stands, lens, at",
    );
    copy("change", "at, stream, rid, kind, cause", "at, stream, rid || '-' || k, kind, cause");
    file.execute_batch(
        "UPDATE consumer SET seq = (SELECT max(seq) FROM change WHERE change.stream = consumer.stream); COMMIT; \
         PRAGMA journal_mode = WAL",
    )
    .expect("commit");
}

/// Wall seconds of one command of the real binary over this folder.
pub fn command(folder: &Path, arguments: &[&str]) -> f64 {
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_tallysync"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("run the command");
    let spent = started.elapsed().as_secs_f64();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty(), "{arguments:?} says something");
    spent
}

/// Wall seconds from the start of the daemon until it tells its supervisor that it is ready.
pub fn start(folder: &Path) -> f64 {
    let socket = folder.join("notify");
    // A socket of the run before is in the way.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixDatagram::bind(&socket).expect("a socket");
    listener.set_read_timeout(Some(Duration::from_secs(120))).expect("a time limit");
    let started = Instant::now();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_tallysync"))
        .arg("run")
        .current_dir(folder)
        .env("NOTIFY_SOCKET", &socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the daemon");
    let mut message = [0_u8; 512];
    let spent = loop {
        let length = listener.recv(&mut message).expect("the daemon says that it is ready");
        if String::from_utf8_lossy(&message[..length]).contains("READY=1") {
            break started.elapsed().as_secs_f64();
        }
    };
    daemon.kill().expect("stop the daemon");
    daemon.wait().expect("the daemon ends");
    spent
}

fn config_text() -> String {
    let mut text = "[state]\npath = \"state.db\"\n[connectors]\ndir = \"connectors\"\n\
        [systems.erp]\nconnector = \"bench\"\nbase_url = \"http://127.0.0.1:9\"\n\
        [systems.crm]\nconnector = \"bench\"\nbase_url = \"http://127.0.0.1:9\"\n\
        [[sync]]\nname = \"orders\"\nfirst = { prefer = [\"erp\"] }\n\
        [sync.sides.erp]\nentity = \"orders\"\n[sync.sides.crm]\nentity = \"orders\"\n"
        .to_owned();
    for (field, kind) in FIELDS {
        let key = if field == "number" { "key = true\n" } else { "" };
        text.push_str(&format!(
            "[sync.fields.{field}]\n{key}type = \"{kind}\"\nerp = \"{field}\"\ncrm = \"{field}\"\n"
        ));
    }
    text
}

/// For the real binary: a connector that nobody answers.
const DEFINITION: &str = r#"schema = 1
[connector]
id = "bench"
title = "Nobody"
definition_version = "1"
[vars]
base_url = { type = "url", required = true }
[auth]
kind = "none"
[http]
timeout = "60s"
headers = { Accept = "application/json" }
numbers = "decimal_text"
[templates.record]
[templates.record.identity]
id = "/id"
updated_at = { path = "/updatedAt" }
version = "updated_at"
[templates.record.capabilities]
read_consistency = "database"
cursor = "keyset"
deletes = "id_sweep"
not_found = "missing"
concurrency = { mode = "precheck" }
upsert = "none"
create_idempotent_by = "search_before_create"
[templates.record.list]
method = "GET"
path = "/records"
query = { after = "{last_id}", size = "100" }
records = "/records"
window = { overlap = "10m" }
page = { kind = "keyset_until", more = "full_page", size = 100 }
[templates.record.get]
method = "GET"
path = "/records/{id|path}"
record = "/"
[templates.record.find]
method = "GET"
path = "/records"
query = { field = "{find_field}", value = "{value}" }
records = "/records"
[templates.record.update]
method = "PATCH"
path = "/records/{id|path}"
body = { json = "{changes}" }
[templates.record.create]
method = "POST"
path = "/records"
body = { json = "{record}" }
result = { id = "/id" }
[entity_default]
any = true
template = "record"
"#;
