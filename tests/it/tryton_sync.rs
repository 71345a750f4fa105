//! The whole way between a real ERP and Tallyfy: a real Tryton server and the Tallyfy twin, over real HTTP,
//! with the config that a user would write.
//!
//! What a person does goes past the program, straight into Tryton or the twin. No test here looks at how the
//! engine works inside, only at what both systems show and at what went over the wire.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tallysync::store::outbox::{Write, WriteState};
use tempfile::TempDir;
use twins::kit::{Edit, Running};
use twins::tallyfy::{FieldSeed, RunSeed, StepSeed, TallyfyTwin, TemplateSeed};

use crate::support::bridge::{Bridge, Trap};
use crate::support::http;
use crate::support::tryton::{DATABASE, LOGIN, PASSWORD, Person, Tryton, date, decimal};
use crate::support::twins::serve;

const CREATE_PARTY: &str = "model.party.party.create";
const WRITE_PARTY: &str = "model.party.party.write";
const STAMPS: [&str; 3] = ["id", "write_date", "_timestamp"];

/// Both systems, seeded, and a folder for the config.
struct World {
    tryton: Arc<Mutex<Tryton>>,
    person: Person,
    tallyfy: TallyfyTwin,
    running: Running,
    folder: TempDir,
    company: i64,
    customers: Vec<i64>,
    product: i64,
}

impl World {
    fn start() -> World {
        let tryton = Tryton::start();
        let customer = TemplateSeed::new("Customer")
            .kickoff(FieldSeed::new("Customer code", "text"))
            .kickoff(FieldSeed::new("Company name", "text"))
            .kickoff(FieldSeed::new("Sync id", "text"))
            .step(StepSeed::task("Check customer"));
        let order = TemplateSeed::new("Order")
            .kickoff(FieldSeed::new("Number", "text"))
            .kickoff(FieldSeed::new("Reference", "text"))
            .kickoff(FieldSeed::new("Description", "textarea"))
            .kickoff(FieldSeed::new("Sale date", "date"))
            .kickoff(FieldSeed::new("Total", "text"))
            .kickoff(FieldSeed::new("Customer", "text"))
            .kickoff(FieldSeed::new("Sync id", "text"))
            .step(StepSeed::task("Check order"));
        let price = TemplateSeed::new("Price")
            .kickoff(FieldSeed::new("Line", "text"))
            .kickoff(FieldSeed::new("Unit price", "text"))
            .kickoff(FieldSeed::new("Order", "text"))
            .kickoff(FieldSeed::new("Sync id", "text"))
            .step(StepSeed::task("Check price"));
        let tallyfy = TallyfyTwin::builder()
            .user(10013, "kim@corp.example", "Kim Doe", "admin")
            .template(&customer)
            .template(&order)
            .template(&price)
            .build();
        let running = serve(&tallyfy.hub);
        let (person, seed) = (tryton.login(), tryton.seed().clone());
        World {
            tryton: Arc::new(Mutex::new(tryton)),
            person,
            tallyfy,
            running,
            folder: tempfile::tempdir().unwrap(),
            company: seed.company,
            customers: seed.customers,
            product: seed.product,
        }
    }

    /// The engine over these systems and this part of a config.
    fn bridge(&self, syncs: &str) -> Bridge {
        let folder = self.folder.path();
        std::fs::write(folder.join("tallyfy-token"), &self.tallyfy.token).unwrap();
        std::fs::write(folder.join("tryton-password"), PASSWORD).unwrap();
        let systems = format!(
            r#"
            [state]
            path = "state.db"

            [systems.tallyfy]
            connector    = "tallyfy"
            base_url     = "{}"
            organization = "{}"
            auth         = {{ kind = "token", token = {{ file = "tallyfy-token" }} }}
            budget       = {{ per_minute = 60000 }}

            [systems.erp]
            connector = "tryton"
            base_url  = "{}"
            vars      = {{ database = "{DATABASE}", username = "{LOGIN}", password = {{ file = "tryton-password" }}, company = {} }}
            budget    = {{ per_minute = 60000 }}
            "#,
            self.running.base_url,
            self.tallyfy.organization,
            self.tryton.lock().unwrap().host(),
            self.company,
        );
        let path: PathBuf = folder.join("sync.toml");
        std::fs::write(&path, format!("{systems}\n{syncs}")).unwrap();
        Bridge::over(&path)
    }

    /// Launches a process as a person would.
    fn launch(&self, template: &str, kickoff: &[(&str, &str)]) -> String {
        let kickoff = kickoff.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let seed = RunSeed { template: template.to_owned(), name: "Launched by hand".to_owned(), kickoff };
        self.tallyfy.add_run(&seed).unwrap()
    }

    /// What a kick-off field of a run holds.
    fn kickoff(&self, template: &str, run: &str, field: &str) -> Value {
        let id = self.tallyfy.field_id(template, field).unwrap();
        let record = self.tallyfy.hub.world().get("runs", run).unwrap();
        record["prerun"][id].clone()
    }

    /// A person fills in a kick-off field of a run.
    fn fill(&self, template: &str, run: &str, field: &str, value: Value) {
        let field = self.tallyfy.field_id(template, field).unwrap();
        let patch = json!({"prerun": {field: value}});
        self.tallyfy
            .hub
            .person(Edit::Patch { entity: "runs".to_owned(), id: run.to_owned(), patch })
            .unwrap();
    }

    /// The runs of a template whose kick-off field holds this.
    fn runs(&self, template: &str, field: &str, value: &str) -> Vec<String> {
        let template_id = self.tallyfy.template_id(template).unwrap();
        let field = self.tallyfy.field_id(template, field).unwrap();
        let all = self.tallyfy.hub.world().list("runs");
        all.into_iter()
            .filter(|(_, run)| run["checklist_id"] == template_id.as_str() && run["prerun"][&field] == value)
            .map(|(id, _)| id)
            .collect()
    }

    /// The only such run.
    fn run(&self, template: &str, field: &str, value: &str) -> String {
        let runs = self.runs(template, field, value);
        assert_eq!(runs.len(), 1, "runs with {field} = {value}: {runs:?}");
        runs[0].clone()
    }

    /// Parties with this code, inactive ones included.
    fn parties(&self, code: &str) -> Vec<i64> {
        let domain = json!([["code", "=", code], ["active", "in", [true, false]]]);
        let rows = self.person.search("party.party", domain, 10, &["id"]);
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    }

    fn party(&self, code: &str) -> i64 {
        let parties = self.parties(code);
        assert_eq!(parties.len(), 1, "parties with code {code}: {parties:?}");
        parties[0]
    }

    /// Id, stamp and version of every record of a model.
    fn stamps(&self, model: &str) -> Vec<Value> {
        self.person.search(model, json!([]), 1000, &STAMPS)
    }
}

const CUSTOMERS: &str = r#"
[[sync]]
name = "customers"

[sync.sides.erp]
entity    = "party.party"
create    = ["tallyfy"]
marker    = "identifiers.code"
on_delete = "archive"

[sync.sides.tallyfy]
entity    = "runs"
template  = "Customer"
create    = ["erp"]
defaults  = { name = "Customer {{ code }}" }
marker    = "kickoff.sync-id"
on_delete = "archive"

[sync.fields.code]
key     = true
erp     = "code"
tallyfy = "kickoff.customer-code"

[sync.fields.name]
erp     = "name"
tallyfy = "kickoff.company-name"

[sync.guard]
deletes = { sweeps = 2, over = "1m", percent = 100 }
blanks  = { percent = 100 }
"#;

const ORDERS: &str = r#"
[[sync]]
name = "orders"

[sync.sides.erp]
entity = "sale.sale"

[sync.sides.tallyfy]
entity   = "runs"
template = "Order"
create   = ["erp"]
defaults = { name = "Order {{ number }}" }
marker   = "kickoff.sync-id"

[sync.fields.number]
key     = true
erp     = "id"
tallyfy = "kickoff.number"

[sync.fields.reference]
erp     = "reference"
tallyfy = "kickoff.reference"

[sync.fields.description]
erp     = "description"
tallyfy = "kickoff.description"

[sync.fields.sale_date]
type    = "date"
erp     = "sale_date"
tallyfy = "kickoff.sale-date"

[sync.fields.total]
type    = "decimal(2)"
owner   = "erp"
erp     = "total_amount"
tallyfy = "kickoff.total"

[sync.fields.customer]
owner   = "erp"
erp     = "party.code"
tallyfy = "kickoff.customer"

[sync.guard]
blanks = { percent = 100 }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_flow_both_ways_and_then_all_is_quiet() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    let launched = world.launch("Customer", &[("customer-code", "T-1"), ("company-name", "Umbrella  ")]);
    bridge.accept("customers").await;
    bridge.pass("customers").await;

    // Created on either side: made once on the other, blanks and all.
    let umbrella = world.party("T-1");
    assert_eq!(world.person.read("party.party", umbrella, &["name"])["name"], "Umbrella  ");
    let acme = world.run("Customer", "customer-code", "C-1");
    assert_eq!(world.kickoff("Customer", &acme, "company-name"), "Acme");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1);

    // Edited on either side.
    world.person.write("party.party", umbrella, json!({"name": "Umbrella Ltd "}));
    world.fill("Customer", &acme, "company-name", json!("Acme & Søn  "));
    bridge.pass("customers").await;
    assert_eq!(world.kickoff("Customer", &launched, "company-name"), "Umbrella Ltd ");
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme & Søn  ");

    // A value taken away is taken away there too, and comes back.
    world.person.write("party.party", umbrella, json!({"name": null}));
    bridge.pass("customers").await;
    let blank = world.kickoff("Customer", &launched, "company-name");
    assert!(blank.is_null() || blank == "", "{blank}");
    world.fill("Customer", &launched, "company-name", json!("Umbrella again"));
    bridge.pass("customers").await;
    assert_eq!(world.person.read("party.party", umbrella, &["name"])["name"], "Umbrella again");

    quiet(&world, &bridge, "customers", "party.party").await;
}

/// Ten passes, one of them a sweep, that find nothing to do write nothing: neither system moved.
async fn quiet(world: &World, bridge: &Bridge, sync: &str, model: &str) {
    bridge.pass(sync).await;
    let (sent, stamps) = (bridge.wire.writes().len(), world.stamps(model));
    let events = world.tallyfy.hub.world().history().len();
    for number in 0..10 {
        let report = if number == 5 { bridge.sweep(sync).await } else { bridge.pass(sync).await };
        assert_eq!(report.applied.done + report.applied.waiting + report.applied.parked, 0, "{report:?}");
    }
    assert_eq!(bridge.wire.writes()[sent..], [] as [String; 0]);
    assert_eq!(world.stamps(model), stamps, "neither write_date nor _timestamp moved");
    assert_eq!(world.tallyfy.hub.world().history().len(), events);
    assert!(open_writes(bridge).await.is_empty());
}

/// Writes that are neither done nor given up.
async fn open_writes(bridge: &Bridge) -> Vec<Write> {
    let states =
        [WriteState::Open, WriteState::Sent, WriteState::Uncertain, WriteState::Parked, WriteState::Held];
    let found = bridge.engine.store().transact(move |store| {
        let mut all = Vec::new();
        for state in states {
            all.extend(store.writes_in(state, None)?);
        }
        Ok(all)
    });
    found.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_flow_to_tallyfy_and_written_fields_flow_back() {
    let world = World::start();
    let bridge = world.bridge(ORDERS);
    let sale = world.person.create_sale(world.customers[0], "PO-77", "First order", "2026-11-21");
    world.person.add_sale_line(sale, world.product, 3, "12.5000");
    bridge.accept("orders").await;
    bridge.pass("orders").await;
    let run = world.run("Order", "number", &sale.to_string());
    let shown = |field: &str| world.kickoff("Order", &run, field);
    assert_eq!(shown("reference"), "PO-77");
    assert_eq!(shown("description"), "First order");
    assert!(
        shown("sale-date").as_str().is_some_and(|day| day.starts_with("2026-11-21")),
        "{}",
        shown("sale-date")
    );
    assert_eq!(shown("total"), "37.50");
    assert_eq!(shown("customer"), "C-1");

    // Two people edit different fields of the same order: both edits survive on both sides.
    world.person.write("sale.sale", sale, json!({"description": "Changed in the ERP"}));
    world.fill("Order", &run, "reference", json!("PO-78"));
    bridge.pass("orders").await;
    let fields = ["reference", "description", "sale_date", "total_amount"];
    let row = world.person.read("sale.sale", sale, &fields);
    assert_eq!(row["reference"], "PO-78");
    assert_eq!(row["description"], "Changed in the ERP");
    assert_eq!(shown("description"), "Changed in the ERP");

    // A date in either direction, and a date and a text taken away.
    world.fill("Order", &run, "sale-date", json!("2026-12-24"));
    bridge.pass("orders").await;
    assert_eq!(world.person.read("sale.sale", sale, &fields)["sale_date"], date("2026-12-24"));
    world.person.write("sale.sale", sale, json!({"sale_date": null, "description": null}));
    bridge.pass("orders").await;
    for field in ["sale-date", "description"] {
        assert!(shown(field).is_null() || shown(field) == "", "{field}: {}", shown(field));
    }
    world.person.write("sale.sale", sale, json!({"sale_date": date("2027-01-02")}));
    bridge.pass("orders").await;
    assert!(
        shown("sale-date").as_str().is_some_and(|day| day.starts_with("2027-01-02")),
        "{}",
        shown("sale-date")
    );

    // Tryton takes blanks off the ends of this field: that is its answer to our write, not an edit.
    world.fill("Order", &run, "description", json!("Ends in blanks  "));
    bridge.pass("orders").await;
    assert_eq!(world.person.read("sale.sale", sale, &fields)["description"], "Ends in blanks");

    // The total belongs to the ERP: another line moves it, and what somebody types elsewhere is put back.
    world.person.add_sale_line(sale, world.product, 1, "0.1000");
    bridge.pass("orders").await;
    assert_eq!(shown("total"), "37.60");
    world.fill("Order", &run, "total", json!("1.00"));
    bridge.pass("orders").await;
    assert_eq!(shown("total"), "37.60");
    assert_eq!(world.person.read("sale.sale", sale, &fields)["total_amount"], decimal("37.60"));

    quiet(&world, &bridge, "orders", "sale.sale").await;
}

const PRICES: &str = r#"
[[sync]]
name = "prices"

[sync.sides.erp]
entity = "sale.line"

[sync.sides.tallyfy]
entity   = "runs"
template = "Price"
create   = ["erp"]
defaults = { name = "Line {{ line }}" }
marker   = "kickoff.sync-id"

[sync.fields.line]
key     = true
erp     = "id"
tallyfy = "kickoff.line"

[sync.fields.order]
owner   = "erp"
erp     = "sale.reference"
tallyfy = "kickoff.order"

[sync.fields.unit_price]
type    = "decimal(4)"
erp     = "unit_price"
tallyfy = "kickoff.unit-price"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exact_decimals_flow_both_ways_and_other_spellings_are_no_changes() {
    let world = World::start();
    let bridge = world.bridge(PRICES);
    let sale = world.person.create_sale(world.customers[0], "PO-1", "Prices", "2026-11-21");
    world.person.add_sale_line(sale, world.product, 2, "12.5000");
    let line =
        world.person.search("sale.line", json!([["sale", "=", sale]]), 1, &["id"])[0]["id"].as_i64().unwrap();
    bridge.accept("prices").await;
    bridge.pass("prices").await;
    let run = world.run("Price", "line", &line.to_string());
    assert_eq!(world.kickoff("Price", &run, "order"), "PO-1");
    let price = |world: &World| world.person.read("sale.line", line, &["unit_price"])["unit_price"].clone();

    world.fill("Price", &run, "unit-price", json!("0.1001"));
    bridge.pass("prices").await;
    assert_eq!(price(&world), decimal("0.1001"));
    world.person.write("sale.line", line, json!({"unit_price": decimal("1234567.8901")}));
    bridge.pass("prices").await;
    assert_eq!(world.kickoff("Price", &run, "unit-price"), "1234567.8901");

    // The same number in another spelling is no change.
    world.fill("Price", &run, "unit-price", json!("1234567.89010"));
    quiet(&world, &bridge, "prices", "sale.line").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_between_our_read_and_our_write_is_refused_by_tryton_and_merged() {
    let world = World::start();
    let bridge = world.bridge(ORDERS);
    let sale = world.person.create_sale(world.customers[0], "PO-1", "Text", "2026-11-21");
    bridge.accept("orders").await;
    bridge.pass("orders").await;
    let run = world.run("Order", "number", &sale.to_string());
    let fields = ["reference", "description", "sale_date"];

    // Another field of the same record: both edits survive.
    let person = world.person.clone();
    let edit = move || person.write("sale.sale", sale, json!({"description": "At the last moment"}));
    bridge.wire.trap("model.sale.sale.write", Trap::Before(Box::new(edit)));
    world.fill("Order", &run, "reference", json!("PO-2"));
    let report = bridge.pass("orders").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    assert!(report.applied.superseded >= 1, "the first attempt was refused: {report:?}");
    assert_eq!(bridge.wire.count("model.sale.sale.write"), 2);
    bridge.pass("orders").await;
    let row = world.person.read("sale.sale", sale, &fields);
    assert_eq!(row["reference"], "PO-2");
    assert_eq!(row["description"], "At the last moment");
    assert_eq!(world.kickoff("Order", &run, "description"), "At the last moment");

    // The very same field: the person's edit stands, and the difference waits as a conflict.
    let person = world.person.clone();
    let edit = move || person.write("sale.sale", sale, json!({"reference": "PO-person"}));
    bridge.wire.trap("model.sale.sale.write", Trap::Before(Box::new(edit)));
    world.fill("Order", &run, "reference", json!("PO-3"));
    bridge.pass("orders").await;
    bridge.pass("orders").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    assert_eq!(world.person.read("sale.sale", sale, &fields)["reference"], "PO-person");
    assert_eq!(world.kickoff("Order", &run, "reference"), "PO-3");
    let conflicts = open_conflicts(&bridge).await;
    assert_eq!(conflicts.len(), 1);
    let take = tallysync::engine::people::Decide::Take("tallyfy".to_owned());
    bridge.engine.resolve(conflicts[0], take).await.unwrap();
    bridge.pass("orders").await;
    assert_eq!(world.person.read("sale.sale", sale, &fields)["reference"], "PO-3");
    quiet(&world, &bridge, "orders", "sale.sale").await;
}

/// Numbers of the open conflicts.
async fn open_conflicts(bridge: &Bridge) -> Vec<i64> {
    let found = bridge.engine.store().transact(|store| {
        let mut all = Vec::new();
        for sync in ["orders", "customers"] {
            for link in store.standing_links(sync)? {
                all.extend(store.open_conflicts(link)?.into_iter().map(|row| row.id));
            }
        }
        Ok(all)
    });
    found.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_party_stays_linked_and_a_deleted_one_needs_evidence() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    let hidden = world.person.create("party.party", json!({"name": "Hidden", "code": "H-1"}));
    let doomed = world.person.create("party.party", json!({"name": "Doomed", "code": "D-1"}));
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let hidden_run = world.run("Customer", "customer-code", "H-1");
    let doomed_run = world.run("Customer", "customer-code", "D-1");
    let archived = |run: &str| !world.tallyfy.hub.world().get("runs", run).unwrap()["archived_at"].is_null();

    // Deactivated: it leaves Tryton's default searches, and is neither missing nor deleted for us.
    world.person.write("party.party", hidden, json!({"active": false}));
    for _ in 0..4 {
        bridge.sweep("customers").await;
        bridge.clock.forward(Duration::from_secs(90));
    }
    assert!(!archived(&hidden_run));
    // Active again, it goes on as if nothing had been.
    world.person.write("party.party", hidden, json!({"active": true}));
    world.person.write("party.party", hidden, json!({"name": "Back again"}));
    bridge.pass("customers").await;
    assert_eq!(world.kickoff("Customer", &hidden_run, "company-name"), "Back again");

    // Deleted: Tryton keeps no trace, so it takes complete listings over some time before that is acted upon.
    world.person.delete("party.party", doomed);
    bridge.pass("customers").await;
    bridge.sweep("customers").await;
    assert!(!archived(&doomed_run), "one listing proves nothing");
    bridge.clock.forward(Duration::from_secs(90));
    bridge.sweep("customers").await;
    bridge.clock.forward(Duration::from_secs(90));
    bridge.sweep("customers").await;
    bridge.pass("customers").await;
    assert!(archived(&doomed_run), "{:?}", open_writes(&bridge).await);
    assert!(!archived(&hidden_run));
    assert_eq!(world.parties("D-1"), [] as [i64; 0], "what was deleted is not made again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_run_deactivates_its_party_only_where_the_config_says_so() {
    let world = World::start();
    let archiving = CUSTOMERS.replacen(
        "on_delete = \"archive\"\n\n[sync.fields.code]",
        "on_delete = \"archive\"\narchived = \"deleted\"\n\n[sync.fields.code]",
        1,
    );
    assert_ne!(archiving, CUSTOMERS);
    let bridge = world.bridge(&archiving);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let run = world.run("Customer", "customer-code", "C-3");
    let action = Edit::Action { name: "archive-run".to_owned(), with: json!({"run_id": run}) };
    world.tallyfy.hub.person(action).unwrap();
    bridge.pass("customers").await;
    bridge.sweep("customers").await;
    bridge.pass("customers").await;
    let party = world.person.read("party.party", world.customers[2], &["active", "name"]);
    assert!(party["active"] == json!(0) || party["active"] == json!(false), "{party}");
    assert_eq!(party["name"], "Initech", "put away, not deleted");
    assert!(open_writes(&bridge).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_is_renewed_and_nothing_is_written_twice() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count("common.db.login"), 1);
    let end_session = |bridge: &Bridge| {
        let seen = bridge.wire.seen();
        let last =
            seen.iter().rev().find(|seen| seen.what.starts_with("model.")).unwrap().authorization.clone();
        let url = world.tryton.lock().unwrap().rpc_url();
        move || {
            let body = json!({"id": 1, "method": "common.db.logout", "params": []});
            let answer = http::post_json(&url, &[("authorization", last.as_str())], &body).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    // Between two passes, and right before a write.
    end_session(&bridge)();
    world.person.write("party.party", world.customers[0], json!({"name": "Acme 2"}));
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count("common.db.login"), 2);
    let acme = world.run("Customer", "customer-code", "C-1");
    assert_eq!(world.kickoff("Customer", &acme, "company-name"), "Acme 2");
    bridge.wire.trap(WRITE_PARTY, Trap::Before(Box::new(end_session(&bridge))));
    world.fill("Customer", &acme, "company-name", json!("Acme 3"));
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count("common.db.login"), 3);
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme 3");
    assert_eq!(bridge.wire.count(WRITE_PARTY), 2, "refused once with 401, then accepted once");
    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_mid_sync_delays_its_records_and_loses_nothing() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    for number in 1..=3 {
        let (code, name) = (format!("N-{number}"), format!("New {number}"));
        world.launch("Customer", &[("customer-code", &code), ("company-name", &name)]);
    }
    let acme = world.run("Customer", "customer-code", "C-1");
    world.fill("Customer", &acme, "company-name", json!("Acme edited"));
    let tryton = Arc::clone(&world.tryton);
    bridge.wire.trap(CREATE_PARTY, Trap::Before(Box::new(move || tryton.lock().unwrap().stop())));
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);

    // Still down: the pass goes through, names the side, and does not write.
    bridge.clock.forward(Duration::from_secs(60));
    world.fill("Customer", &acme, "company-name", json!("Acme edited twice"));
    let report = bridge.try_pass("customers").await;
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert!(report.failures[0].starts_with("erp: "), "{report:?}");

    world.tryton.lock().unwrap().resume();
    for _ in 0..4 {
        bridge.clock.forward(Duration::from_secs(90));
        bridge.try_pass("customers").await;
    }
    for number in 1..=3 {
        let party = world.party(&format!("N-{number}"));
        assert_eq!(world.person.read("party.party", party, &["name"])["name"], format!("New {number}"));
    }
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme edited twice");
    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_create_ends_with_one_party_that_its_mark_finds() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    world.launch("Customer", &[("customer-code", "L-1"), ("company-name", "Lost and found")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    let waiting = open_writes(&bridge).await;
    assert!(waiting.iter().all(|write| write.state == WriteState::Uncertain), "{waiting:?}");
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;

    let party = world.party("L-1");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1, "found, not sent again");
    let domain = json!([["party", "=", party]]);
    let marks = world.person.search("party.identifier", domain, 10, &["code"]);
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert!(marks[0]["code"].as_str().is_some_and(|mark| mark.starts_with("ts-")), "{marks:?}");
    assert_eq!(world.runs("Customer", "customer-code", "L-1").len(), 1);
    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_marker_a_lost_create_is_recognised_by_its_key_or_waits_for_a_person() {
    let world = World::start();
    let bridge = world.bridge(&CUSTOMERS.replacen("marker    = \"identifiers.code\"\n", "", 1));
    bridge.accept("customers").await;
    bridge.pass("customers").await;

    // Recognised: the next listing shows a party with the key of the link.
    world.launch("Customer", &[("customer-code", "K-1"), ("company-name", "Known by key")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;
    world.party("K-1");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1);
    assert!(open_writes(&bridge).await.is_empty());

    // Not recognised, because its key is not what was sent: a person says which one it is.
    let run = world.launch("Customer", &[("customer-code", "K-2"), ("company-name", "Renamed")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    let made = world.party("K-2");
    world.person.delete("party.party", made);
    let other = world.person.create("party.party", json!({"name": "Renamed", "code": "K-2-b"}));
    bridge.clock.forward(Duration::from_secs(30));
    bridge.try_pass("customers").await;
    let waiting = open_writes(&bridge).await;
    let held: Vec<&Write> = waiting.iter().filter(|write| write.state == WriteState::Uncertain).collect();
    assert_eq!(held.len(), 1, "{waiting:?}");
    assert!(held[0].failure.as_deref().unwrap_or_default().contains("tallysync adopt"), "{:?}", held[0]);
    assert_eq!(bridge.wire.count(CREATE_PARTY), 2, "never sent again by itself");

    // It was not made (any more): a person says so, and it is sent again, once.
    bridge.engine.retry(held[0].id).await.unwrap();
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.count(CREATE_PARTY), 3);
    assert_eq!(world.kickoff("Customer", &run, "customer-code"), "K-2");
    world.party("K-2");
    assert!(other > 0);
    assert!(open_writes(&bridge).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_whose_key_tryton_spells_otherwise_is_no_second_customer() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let run = world.launch("Customer", &[("customer-code", "B-1 "), ("company-name", "Blank at the end")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    world.party("B-1");
    let runs = world.tallyfy.hub.world().list("runs").len();
    // The listing shows the party under a key that no link has, before its mark is looked up.
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;
    bridge.pass("customers").await;
    assert_eq!(world.tallyfy.hub.world().list("runs").len(), runs, "no process for our own create");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1);
    assert!(open_writes(&bridge).await.is_empty());
    assert_eq!(world.kickoff("Customer", &run, "company-name"), "Blank at the end");
}
