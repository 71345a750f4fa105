//! A user's own connector: the very definition that `docs/connectors.md` shows, against a small HTTP server,
//! with the real engine and Tallyfy's twin on the other side.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use twins::kit::Edit;
use twins::tallyfy::{FieldSeed, RunSeed, StepSeed, TallyfyTwin, TemplateSeed};

use crate::support::bridge::{Bridge, Trap};
use crate::support::read_repository_file;
use crate::support::twins::serve;

const KEY: &str = "rolodex-secret-key";

/// The address book: rows by id.
#[derive(Default)]
struct Rolodex {
    rows: BTreeMap<u64, Value>,
    last: u64,
}

/// It, shared with the server that answers for it.
type Shared = Arc<Mutex<Rolodex>>;

impl Rolodex {
    fn add(&mut self, values: &Value) -> Value {
        self.last += 1;
        let mut row = json!({"id": self.last, "code": null, "name": null, "mark": null, "archived": false});
        merge(&mut row, values);
        self.rows.insert(self.last, row);
        self.edit(self.last, &json!({}))
    }

    /// Any edit moves version and stamp.
    fn edit(&mut self, id: u64, values: &Value) -> Value {
        let row = self.rows.get_mut(&id).expect("the row is there");
        merge(row, values);
        let version = row["version"].as_u64().unwrap_or(0) + 1;
        merge(row, &json!({"version": version, "changed": Timestamp::now().to_string()}));
        row.clone()
    }

    fn by_code(&self, code: &str) -> Vec<(u64, Value)> {
        let found = self.rows.iter().filter(|(_, row)| row["code"] == code);
        found.map(|(id, row)| (*id, row.clone())).collect()
    }

    fn answer(&mut self, request: &Request) -> (u16, Value) {
        if request.headers.get("x-api-key").map(String::as_str) != Some(KEY) {
            return (401, json!({"code": "key", "message": "who are you?"}));
        }
        if request.path == "/me" {
            return (200, json!({"account": "Corp", "user": "sync"}));
        }
        let Some(below) = request.path.strip_prefix("/contacts") else { return (404, json!({})) };
        let id: Option<u64> = below.strip_prefix('/').and_then(|id| id.parse().ok());
        match (request.method.as_str(), id) {
            ("GET", None) => (200, self.list(&request.query)),
            ("POST", None) => (201, self.add(&request.body)),
            (_, Some(id)) if !self.rows.contains_key(&id) => {
                (404, json!({"code": "none", "message": "no such row"}))
            }
            ("GET", Some(id)) => (200, self.rows[&id].clone()),
            ("PATCH", Some(id)) => {
                let version = self.rows[&id]["version"].to_string();
                if request.headers.get("if-match") != Some(&version) {
                    return (
                        412,
                        json!({"code": "stale", "message": format!("the version is {version} now")}),
                    );
                }
                (200, self.edit(id, &request.body))
            }
            _ => (405, json!({})),
        }
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Value {
        let after: u64 = query.get("after").map_or(0, |id| id.parse().expect("after is an id"));
        let since = query.get("changed_since").map(|at| at.parse::<Timestamp>().expect("a time"));
        let fits = |row: &Value| {
            let changed: Timestamp = row["changed"].as_str().and_then(|at| at.parse().ok()).expect("a stamp");
            let field = query.get("field").is_none_or(|field| row[field] == query["value"].as_str());
            since.is_none_or(|since| changed >= since) && field
        };
        let found: Vec<&Value> =
            self.rows.range(after + 1..).map(|(_, row)| row).filter(|row| fits(row)).collect();
        let limit: usize = query["limit"].parse().expect("a limit");
        json!({"rows": found.iter().take(limit).collect::<Vec<_>>(), "more": found.len() > limit})
    }
}

fn merge(row: &mut Value, values: &Value) {
    for (name, value) in values.as_object().expect("values are an object") {
        row[name] = value.clone();
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// Reads one request; what is not HTTP as we send it fails the test.
fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let url = format!("http://here{}", words.next().unwrap_or_default());
    let url = reqwest::Url::parse(&url).expect("a path");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    Request { method, path: url.path().to_owned(), query, headers, body }
}

/// Answers for an address book on a free port until the test process ends; gives the base URL.
fn start(book: &Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let book = Arc::clone(book);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let request = read(&stream);
            let (status, body) = book.lock().unwrap().answer(&request);
            let (body, date) = (body.to_string(), Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT"));
            let head = format!(
                "HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that hung up meanwhile is its own affair.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    format!("http://{address}")
}

/// The first TOML block of the document that is a whole definition.
fn documented() -> String {
    let text = read_repository_file("docs/connectors.md");
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found = blocks.filter(|block| block.starts_with("schema = 1")).map(str::to_owned).next();
    found.expect("the document shows a definition")
}

const SYNC: &str = r#"
[[sync]]
name = "contacts"

[sync.sides.rolodex]
entity    = "contact"
create    = ["tallyfy"]
marker    = "mark"
on_delete = "archive"

[sync.sides.tallyfy]
entity    = "runs"
template  = "Customer"
create    = ["rolodex"]
defaults  = { name = "Customer {{ code }}" }
marker    = "kickoff.sync-id"
on_delete = "archive"

[sync.fields.code]
key     = true
rolodex = "code"
tallyfy = "kickoff.customer-code"

[sync.fields.name]
rolodex = "name"
tallyfy = "kickoff.company-name"

[sync.guard]
deletes = { percent = 100 }
"#;

fn bridge(folder: &std::path::Path, base: &str, tallyfy: &TallyfyTwin, tallyfy_base: &str) -> Bridge {
    std::fs::create_dir_all(folder.join("connectors")).unwrap();
    std::fs::write(folder.join("connectors/rolodex.toml"), documented()).unwrap();
    std::fs::write(folder.join("key"), KEY).unwrap();
    std::fs::write(folder.join("tallyfy-token"), &tallyfy.token).unwrap();
    let config = format!(
        r#"
        [state]
        path = "state.db"
        [connectors]
        dir = "connectors"
        [systems.rolodex]
        connector = "rolodex"
        base_url  = "{base}"
        vars      = {{ api_key = {{ file = "key" }} }}
        budget    = {{ per_minute = 60000 }}
        [systems.tallyfy]
        connector    = "tallyfy"
        base_url     = "{tallyfy_base}"
        organization = "{}"
        auth         = {{ kind = "token", token = {{ file = "tallyfy-token" }} }}
        budget       = {{ per_minute = 60000 }}
        {SYNC}
        "#,
        tallyfy.organization
    );
    let path = folder.join("sync.toml");
    std::fs::write(&path, config).unwrap();
    Bridge::over(&path)
}

/// A Tallyfy organisation with a template for customers.
fn customers() -> TallyfyTwin {
    let template = TemplateSeed::new("Customer")
        .kickoff(FieldSeed::new("Customer code", "text"))
        .kickoff(FieldSeed::new("Company name", "text"))
        .kickoff(FieldSeed::new("Sync id", "text"))
        .step(StepSeed::task("Check customer"));
    TallyfyTwin::builder().template(&template).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_definition_keeps_a_system_in_step() {
    let tallyfy = customers();
    let running = serve(&tallyfy.hub);
    let book = Shared::default();
    for number in 1..=5 {
        book.lock().unwrap().add(&json!({"code": format!("R-{number}"), "name": format!("Row {number}")}));
    }
    let folder = tempfile::tempdir().unwrap();
    let bridge = bridge(folder.path(), &start(&book), &tallyfy, &running.base_url);
    let field = |name: &str| tallyfy.field_id("Customer", name).unwrap();
    let (code, name) = (field("customer-code"), field("company-name"));
    let run_of = |wanted: &str| {
        let runs = tallyfy.hub.world().list("runs");
        let mut found = runs.into_iter().filter(|(_, run)| run["prerun"][&code] == wanted);
        let run = found.next().unwrap_or_else(|| panic!("no run for {wanted}"));
        assert!(found.next().is_none(), "two runs for {wanted}");
        run
    };
    let fill = |run: &str, value: &str| {
        let patch = json!({"prerun": {&name: value}});
        tallyfy.hub.person(Edit::Patch { entity: "runs".into(), id: run.into(), patch }).unwrap();
    };
    let launch = |number: &str| {
        let kickoff =
            vec![("customer-code".into(), json!(number)), ("company-name".into(), json!("By hand"))];
        tallyfy.add_run(&RunSeed { template: "Customer".into(), name: "By hand".into(), kickoff }).unwrap()
    };

    // Three pages are listed; both sides get what they lack, also when an answer is lost.
    launch("T-1");
    bridge.accept("contacts").await;
    bridge.wire.trap("POST /contacts", Trap::LoseAnswer);
    bridge.try_pass("contacts").await;
    bridge.clock.forward(Duration::from_secs(120));
    bridge.pass("contacts").await;
    assert_eq!(run_of("R-5").1["prerun"][&name], "Row 5");
    assert_eq!(book.lock().unwrap().by_code("T-1").len(), 1);
    assert_eq!(bridge.wire.count("POST /contacts"), 1);

    // Edits both ways; one of them collides with somebody's edit between our look and our write.
    let (third, first) = (run_of("R-3").0, run_of("R-1").0);
    fill(&third, "Row three");
    book.lock().unwrap().edit(1, &json!({"name": "Row one"}));
    let person = Arc::clone(&book);
    let edit = move || drop(person.lock().unwrap().edit(3, &json!({"mark": "touched"})));
    bridge.wire.trap("PATCH /contacts/3", Trap::Before(Box::new(edit)));
    bridge.pass("contacts").await;
    bridge.pass("contacts").await;
    assert_eq!(
        bridge.wire.count("PATCH /contacts/3"),
        2,
        "refused with 412, then written over the new version"
    );
    assert_eq!(book.lock().unwrap().rows[&3]["name"], "Row three");
    assert_eq!(book.lock().unwrap().rows[&3]["mark"], "touched");
    assert_eq!(tallyfy.hub.world().get("runs", &first).unwrap()["prerun"][&name], "Row one");

    // Then nothing moves.
    bridge.pass("contacts").await;
    let (writes, events) = (bridge.wire.writes().len(), tallyfy.hub.world().history().len());
    let rows = book.lock().unwrap().rows.clone();
    for _ in 0..5 {
        bridge.pass("contacts").await;
        bridge.sweep("contacts").await;
    }
    assert_eq!(bridge.wire.writes().len(), writes);
    assert_eq!(tallyfy.hub.world().history().len(), events);
    assert_eq!(book.lock().unwrap().rows, rows);

    // A row that is gone by its id is proven gone: its process is archived.
    book.lock().unwrap().rows.remove(&2);
    let doomed = run_of("R-2").0;
    bridge.sweep("contacts").await;
    bridge.pass("contacts").await;
    assert!(!tallyfy.hub.world().get("runs", &doomed).unwrap()["archived_at"].is_null());
}
