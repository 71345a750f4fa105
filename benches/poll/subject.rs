//! tallysync itself, as the daemon runs it: a config, a connector definition, a state file on disk, HTTP over
//! loopback, `Engine::poll` on an opened port. Nothing is shortened for the measurement.

use std::path::Path;
use std::sync::Arc;

use tallysync::engine::{Engine, Port, boot};

/// The fields that the measured sync maps.
const MAPPED: &[&str] = &[
    "number",
    "status",
    "currency",
    "total",
    "tax",
    "open",
    "priority",
    "orderDate",
    "shipDate",
    "memo",
    "owner",
    "approved",
];

/// An engine with one opened stream.
pub struct Subject {
    engine: Engine,
    port: Arc<Port>,
    state: std::path::PathBuf,
}

impl Subject {
    /// Over a fresh state file in this folder.
    pub async fn new(folder: &Path, base: &str, size: usize) -> Self {
        let connectors = folder.join("connectors");
        std::fs::create_dir_all(&connectors).expect("folder");
        std::fs::write(connectors.join("bench.toml"), definition(size)).expect("definition");
        let mut config = format!(
            "[state]\npath = \"state.db\"\n[connectors]\ndir = \"connectors\"\n[systems.erp]\nconnector = \"bench\"\n\
             base_url = \"{base}\"\n[systems.crm]\nconnector = \"bench\"\nbase_url = \"{base}\"\n\
             [[sync]]\nname = \"orders\"\n[sync.sides.erp]\nentity = \"orders\"\n[sync.sides.crm]\nentity = \"orders\"\n"
        );
        for (place, field) in MAPPED.iter().enumerate() {
            let key = if place == 0 { "key = true\n" } else { "" };
            let kind = match *field {
                "total" | "tax" => "type = \"decimal(2)\"\n",
                "priority" => "type = \"integer\"\n",
                "open" | "approved" => "type = \"boolean\"\n",
                "orderDate" | "shipDate" => "type = \"date\"\n",
                _ => "",
            };
            config.push_str(&format!(
                "[sync.fields.{field}]\n{key}{kind}erp = \"{field}\"\ncrm = \"{field}\"\n"
            ));
        }
        let path = folder.join("sync.toml");
        let config = tallysync::config::load_text(&path, &config, std::iter::empty(), &[])
            .unwrap_or_else(|problems| panic!("{problems}"));
        let state = config.state.path.clone();
        let engine = boot::engine(config).await.expect("an engine");
        let sync = engine.sync_named("orders").expect("the sync");
        let port = engine.open(&sync, 0).await.expect("a port");
        Self { engine, port, state }
    }

    /// Reads everything once; returns how many records differed.
    pub async fn poll(&self, records: usize) -> usize {
        let polled = self.engine.poll(&self.port, true).await.expect("a poll");
        assert!(polled.complete, "the sweep was not complete: {:?}", polled.remarks);
        assert_eq!(usize::try_from(polled.items).ok(), Some(records), "every record is listed");
        usize::try_from(polled.changed).unwrap_or(usize::MAX)
    }

    /// How many rows the mirror has, and a hash over all of them: two equal answers mean that nothing was
    /// written in between.
    pub fn mirror(&self) -> (i64, u64) {
        use std::hash::Hasher;
        let file = rusqlite::Connection::open(&self.state).expect("open the state file");
        let mut hash = std::hash::DefaultHasher::new();
        let mut rows_seen = 0;
        for table in ["seen", "record", "change"] {
            let mut statement =
                file.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).expect("prepare");
            let columns = statement.column_count();
            let mut rows = statement.query([]).expect("query");
            while let Some(row) = rows.next().expect("a row") {
                rows_seen += 1;
                for column in 0..columns {
                    hash.write(format!("{:?}", row.get_ref(column).expect("a value")).as_bytes());
                }
            }
        }
        (rows_seen, hash.finish())
    }
}

fn definition(size: usize) -> String {
    format!(
        r#"schema = 1
[connector]
id = "bench"
title = "Pages on loopback"
definition_version = "1"
[vars]
base_url = {{ type = "url", required = true }}
[auth]
kind = "none"
[http]
timeout = "60s"
headers = {{ Accept = "application/json" }}
numbers = "decimal_text"
[templates.record]
[templates.record.identity]
id = "/id"
updated_at = {{ path = "/updatedAt" }}
version = "updated_at"
[templates.record.capabilities]
read_consistency = "database"
cursor = "keyset"
deletes = "id_sweep"
not_found = "missing"
concurrency = {{ mode = "precheck" }}
upsert = "none"
create_idempotent_by = "search_before_create"
[templates.record.list]
method = "GET"
path = "/records"
query = {{ after = "{{last_id}}", size = "{size}" }}
records = "/records"
window = {{ overlap = "10m" }}
page = {{ kind = "keyset_until", more = "full_page", size = {size} }}
[templates.record.get]
method = "GET"
path = "/records/{{id|path}}"
record = "/"
[templates.record.find]
method = "GET"
path = "/records"
query = {{ field = "{{find_field}}", value = "{{value}}" }}
records = "/records"
[templates.record.update]
method = "PATCH"
path = "/records/{{id|path}}"
body = {{ json = "{{changes}}" }}
[templates.record.create]
method = "POST"
path = "/records"
body = {{ json = "{{record}}" }}
result = {{ id = "/id" }}
[entity_default]
any = true
template = "record"
"#
    )
}
