//! A real ERP for the tests: Tryton 8.2 with parties, products and sales, each server on its own database.
//!
//! The database is made and seeded once, then copied, so that a server starts in about two seconds. The
//! server is a separate process from the Python package index; nothing of it is part of this project.
//! Tests speak to it as a person would, through [`Person`]; only the program under test uses a connector.
//!
//! What was measured of its JSON-RPC (`POST /erp/rpc/`), because a connector depends on it:
//! - the context is always the last parameter; without it the answer is 422 with HTML;
//! - every business outcome is HTTP 200: `{"id":1,"result":...}` or `{"id":1,"error":[kind, detail]}`;
//! - a bad, ended or missing session is 401 with an empty body, a wrong password 401 with HTML;
//! - dates, datetimes and decimals are tagged: `{"__class__":"date","year":2026,"month":11,"day":21}`,
//!   `{"__class__":"Decimal","decimal":"37.50"}`; the scale of a decimal varies (`"0"`, `"37.50"`);
//! - a `sale.sale` row: `state` `"draft"`, `party` the integer id, `party.code` asked for comes back inside
//!   an object under the key `"party."`, unset text and dates are null, `write_date` is null until the first
//!   write (a party has one from the start), `_timestamp` is an opaque string and always there;
//! - `active` exists on parties, not on sales, and reads 1 or 0 over SQLite, true or false over PostgreSQL;
//! - a search hides inactive records (unless the context says `"active_test": false`), a read by id does not;
//! - deleting a missing record succeeds; reading or writing one is a `UserError` that ends "don't exist.".

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::python::{Environment, run_to_success};
use super::{build_once, eventually, fingerprint, http, read_repository_file, target_folder};

/// The person that the seeded database knows.
pub const LOGIN: &str = "admin";
/// That person's password; the server listens on loopback and lives as long as one test.
pub const PASSWORD: &str = "tallysync-tests";
/// The name of the database, which is also the first segment of every path.
pub const DATABASE: &str = "erp";

const SEED_SCRIPT: &str = "tests/python/tryton_seed.py";
const CONFIGURATION_FILE: &str = "trytond.conf";
const LOG_FILE: &str = "trytond.log";

/// Ids of what the seed script made.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The company that sales belong to.
    pub company: i64,
    /// Acme (code C-1), Globex (C-2), Initech (C-3).
    pub customers: Vec<i64>,
    /// A salable product.
    pub product: i64,
}

/// A running Tryton server with a database of its own; killed when dropped.
#[derive(Debug)]
pub struct Tryton {
    process: Option<Child>,
    port: u16,
    folder: TempDir,
    seed: Seed,
}

impl Tryton {
    /// Starts a server on a fresh copy of the seeded database and waits until a person can log in.
    pub fn start() -> Tryton {
        let template = template();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let database = format!("{DATABASE}.sqlite");
        std::fs::copy(template.join(&database), folder.path().join(&database))
            .unwrap_or_else(|error| panic!("cannot copy the seeded Tryton database: {error}"));
        let seed = read_seed(&template);
        let mut server = Tryton { process: None, port: 0, folder, seed };
        // Between choosing a free port and binding it, another process may take it: then choose again.
        for _ in 0..3 {
            server.port = free_port();
            write_configuration(server.folder.path(), server.port);
            if server.launch().is_ok() {
                return server;
            }
        }
        panic!("Tryton did not start on three ports in turn; its log:\n{}", server.log());
    }

    /// `http://127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where JSON-RPC is posted to.
    pub fn rpc_url(&self) -> String {
        rpc_url(self.port)
    }

    /// What the seed script made.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// A person who logs in now, with a session of their own.
    pub fn login(&self) -> Person {
        Person::login(&self.rpc_url(), &self.seed)
            .unwrap_or_else(|reason| panic!("Tryton lets nobody in: {reason}\nits log:\n{}", self.log()))
    }

    /// Takes the server down; the database stays for [`Tryton::resume`].
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Brings the server back on the same port with the same database.
    pub fn resume(&mut self) {
        self.stop();
        let started = self.launch();
        assert!(started.is_ok(), "Tryton did not come back: {started:?}\nits log:\n{}", self.log());
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(LOG_FILE)).unwrap_or_default()
    }

    fn launch(&mut self) -> Result<(), String> {
        let log = File::create(self.folder.path().join(LOG_FILE)).expect("a log file can be made");
        let copy = log.try_clone().expect("a file handle can be doubled");
        let mut command = environment().command("trytond");
        // Without --database the first login answers an error for ever: the pool is never filled.
        command.args(["--config", CONFIGURATION_FILE, "--database", DATABASE]).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log).stderr(copy);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start trytond: {error}"));
        let process = self.process.insert(child);
        let url = rpc_url(self.port);
        let seed = &self.seed;
        eventually("the start of Tryton", Duration::from_secs(60), || {
            if let Some(status) = process.try_wait().expect("the process can be asked") {
                return Ok(Err(format!("trytond ended with {status}")));
            }
            Person::login(&url, seed).map(|_| Ok(()))
        })
    }
}

impl Drop for Tryton {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why the server refused: `["UserError", [...]]` and the like, as it sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// `ConcurrencyException`, `UserError`, ...
    pub kind: String,
    /// The rest of the error, as text.
    pub detail: String,
}

/// Somebody who works in the ERP: logs in, creates, edits, looks.
///
/// What a person does is expected to work; `try_` functions show refusals instead.
#[derive(Debug, Clone)]
pub struct Person {
    url: String,
    authorization: String,
    context: Value,
}

impl Person {
    fn login(url: &str, seed: &Seed) -> Result<Person, String> {
        let body = json!({
            "id": 1, "method": "common.db.login", "params": [LOGIN, {"password": PASSWORD}, "en"],
        });
        let answer = http::post_json(url, &[], &body)?;
        let shown = format!("HTTP {}: {}", answer.status, answer.text);
        let parsed: Value = serde_json::from_str(&answer.text).map_err(|_| shown.clone())?;
        let session = &parsed["result"];
        let (Some(user), Some(token)) = (session[0].as_i64(), session[1].as_str()) else { return Err(shown) };
        let authorization = format!("Session {}", STANDARD.encode(format!("{LOGIN}:{user}:{token}")));
        let context = json!({"company": seed.company, "companies": [seed.company]});
        Ok(Person { url: url.to_owned(), authorization, context })
    }

    /// Calls any method; the context is added as the last parameter.
    pub fn try_call(&self, method: &str, parameters: &[Value]) -> Result<Value, Refusal> {
        self.try_call_within(method, parameters, self.context.clone())
    }

    /// Calls any method; a refusal fails the test.
    pub fn call(&self, method: &str, parameters: &[Value]) -> Value {
        self.try_call(method, parameters)
            .unwrap_or_else(|refusal| panic!("Tryton refused {method}{parameters:?}: {refusal:?}"))
    }

    /// Creates one record and gives its id.
    pub fn create(&self, model: &str, values: Value) -> i64 {
        let created = self.call(&format!("model.{model}.create"), &[json!([values])]);
        created[0].as_i64().unwrap_or_else(|| panic!("create of {model} answered {created}"))
    }

    /// Edits one record, whatever it looks like by now.
    pub fn write(&self, model: &str, id: i64, values: Value) {
        self.call(&format!("model.{model}.write"), &[json!([id]), values]);
    }

    /// Edits one record only if its `_timestamp` is still the given one.
    pub fn try_write_at(&self, model: &str, id: i64, stamp: &str, values: Value) -> Result<(), Refusal> {
        let mut context = self.context.clone();
        context["_timestamp"] = json!({format!("{model},{id}"): stamp});
        self.try_call_within(&format!("model.{model}.write"), &[json!([id]), values], context).map(|_| ())
    }

    /// Deletes one record.
    pub fn delete(&self, model: &str, id: i64) {
        self.call(&format!("model.{model}.delete"), &[json!([id])]);
    }

    /// Reads one record by id, also when it is inactive.
    pub fn read(&self, model: &str, id: i64, fields: &[&str]) -> Value {
        self.call(&format!("model.{model}.read"), &[json!([id]), json!(fields)])[0].take()
    }

    /// The first `limit` records of a domain in the order of their ids; inactive ones are not shown.
    pub fn search(&self, model: &str, domain: Value, limit: usize, fields: &[&str]) -> Vec<Value> {
        let parameters = [domain, json!(0), json!(limit), json!([["id", "ASC"]]), json!(fields)];
        match self.call(&format!("model.{model}.search_read"), &parameters) {
            Value::Array(rows) => rows,
            other => panic!("search_read of {model} answered {other}"),
        }
    }

    /// Creates a party and gives its id.
    pub fn create_party(&self, name: &str) -> i64 {
        self.create("party.party", json!({"name": name}))
    }

    /// Creates a draft sale; `day` is `2026-11-21`.
    pub fn create_sale(&self, party: i64, reference: &str, description: &str, day: &str) -> i64 {
        let values = json!({
            "party": party, "reference": reference, "description": description, "sale_date": date(day),
        });
        self.create("sale.sale", values)
    }

    /// Adds a line to a draft sale: so many units of the product at that price.
    pub fn add_sale_line(&self, sale: i64, product: i64, quantity: u32, price: &str) {
        let unit = self.read("product.product", product, &["default_uom"])["default_uom"].take();
        let line = json!({
            "product": product, "quantity": quantity, "unit": unit, "unit_price": decimal(price),
        });
        self.write("sale.sale", sale, json!({"lines": [["create", [line]]]}));
    }

    /// Takes a draft sale to the state `quotation`; the party's first address serves for everything.
    pub fn quote_sale(&self, sale: i64) {
        let party = self.read("sale.sale", sale, &["party"])["party"].as_i64().expect("a sale has a party");
        let address = self.read("party.party", party, &["addresses"])["addresses"][0].take();
        self.write("sale.sale", sale, json!({"invoice_address": address, "shipment_address": address}));
        self.call("model.sale.sale.quote", &[json!([sale])]);
    }

    fn try_call_within(&self, method: &str, parameters: &[Value], context: Value) -> Result<Value, Refusal> {
        let mut all = parameters.to_vec();
        all.push(context);
        let body = json!({"id": 1, "method": method, "params": all});
        let headers = [("authorization", self.authorization.as_str())];
        let answer = http::post_json(&self.url, &headers, &body)
            .unwrap_or_else(|reason| panic!("Tryton gave no answer to {method}: {reason}"));
        assert_eq!(answer.status, 200, "{method} was answered HTTP {}: {}", answer.status, answer.text);
        let mut parsed = answer.json();
        match parsed.get("error") {
            None => Ok(parsed["result"].take()),
            Some(error) => Err(Refusal {
                kind: error[0].as_str().unwrap_or_default().to_owned(),
                detail: error[1].to_string(),
            }),
        }
    }
}

/// Tryton's way to write a day: `2026-11-21` as a tagged object.
pub fn date(day: &str) -> Value {
    let day: jiff::civil::Date = day.parse().expect("a day reads like 2026-11-21");
    json!({"__class__": "date", "year": day.year(), "month": day.month(), "day": day.day()})
}

/// Tryton's way to write an exact number.
pub fn decimal(digits: &str) -> Value {
    json!({"__class__": "Decimal", "decimal": digits})
}

fn environment() -> Environment {
    Environment::of("tryton")
}

fn rpc_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/{DATABASE}/rpc/")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

fn write_configuration(folder: &Path, port: u16) {
    let folder_text = folder.display();
    let text = format!(
        "[database]\nuri = sqlite://\npath = {folder_text}\n\n[web]\nlisten = 127.0.0.1:{port}\n\n\
         [session]\nauthentications = password\n"
    );
    std::fs::write(folder.join(CONFIGURATION_FILE), text).expect("a configuration file can be written");
}

/// The folder of the seeded database, made on first use (about twenty seconds of processor time).
fn template() -> PathBuf {
    let environment = environment();
    let requirements = read_repository_file("tests/python/tryton.txt");
    let hash = fingerprint(&[&requirements, &read_repository_file(SEED_SCRIPT), PASSWORD]);
    let folder = target_folder("test-tryton").join(format!("seeded-{hash}"));
    build_once(&folder, |folder| {
        // trytond-admin refuses a database file that does not exist.
        File::create(folder.join(format!("{DATABASE}.sqlite"))).expect("an empty database can be made");
        std::fs::write(folder.join("password"), PASSWORD).expect("the password file can be written");
        write_configuration(folder, 0);
        let mut initialise = environment.command("trytond-admin");
        initialise.args(["--config", CONFIGURATION_FILE, "--database", DATABASE, "--update", "sale"]);
        initialise.args(["--activate-dependencies", "--email", "admin@example.invalid", "--language", "en"]);
        initialise.env("TRYTONPASSFILE", folder.join("password")).current_dir(folder);
        run_to_success(&mut initialise);
        let seed = environment.run_script(SEED_SCRIPT, &[DATABASE, CONFIGURATION_FILE], &[], folder);
        std::fs::write(folder.join("seed.json"), seed).expect("the ids of the seed can be written");
    });
    folder
}

fn read_seed(template: &Path) -> Seed {
    let text = std::fs::read_to_string(template.join("seed.json")).expect("the template holds its ids");
    let ids: Value = serde_json::from_str(&text).expect("the seed script prints JSON");
    let id = |value: &Value| value.as_i64().expect("ids are integers");
    Seed {
        company: id(&ids["company"]),
        customers: ids["customers"].as_array().expect("a list").iter().map(id).collect(),
        product: id(&ids["product"]),
    }
}
