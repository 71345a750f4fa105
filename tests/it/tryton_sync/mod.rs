//! The whole way between a real ERP and Tallyfy: a real Tryton server and the Tallyfy twin, over real HTTP,
//! with the config that a user would write.
//!
//! What a person does goes past the program, straight into Tryton or the twin. No test here looks at how the
//! engine works inside, only at what both systems show and at what went over the wire. This file is the stage;
//! the stories stand in the files below.

mod creates;
mod flows;
mod trouble;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tallysync::store::outbox::{Write, WriteState};
use tempfile::TempDir;
use twins::kit::{Edit, Running};
use twins::tallyfy::{FieldSeed, RunSeed, StepSeed, TallyfyTwin, TemplateSeed};

use crate::support::bridge::Bridge;
use crate::support::tryton::{DATABASE, LOGIN, PASSWORD, Person, Tryton};
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
