//! The twins of a world behind one vocabulary: add an order, edit a field, read it back, delete, archive.
//!
//! Field names here are those of the sync (`order_no`, `amount`, `ship_date`, `memo`, `labels`); the paths and
//! JSON shapes of each vendor stay in this file.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use twins::kit::{Edit, Hub, Logged};
use twins::netsuite::NetsuiteTwin;
use twins::salesforce::SalesforceTwin;
use twins::tallyfy::{FieldSeed, RunSeed, TallyfyTwin, TemplateSeed};

/// The template that every Tallyfy twin of a world has.
pub const TEMPLATE: &str = "Order approval";

/// Who plays a side.
pub enum Actor {
    /// Tallyfy, with runs of [`TEMPLATE`].
    Tallyfy(TallyfyTwin),
    /// NetSuite, with sales orders.
    Netsuite(NetsuiteTwin),
    /// Salesforce, with opportunities.
    Salesforce(SalesforceTwin),
}

impl Actor {
    /// A Tallyfy organisation whose ids follow from `seed`.
    pub fn tallyfy(seed: u64) -> Actor {
        let tags = FieldSeed::new("Tags", "multiselect").options(&["old", "rush", "fragile", "export"]);
        let template = TemplateSeed::order_approval().kickoff(FieldSeed::new("Labels", "text")).kickoff(tags);
        let customer = TemplateSeed::new("Customer")
            .kickoff(FieldSeed::new("Customer name", "text"))
            .kickoff(FieldSeed::new("Sync id", "text"));
        let twin = TallyfyTwin::builder_with_seed(seed)
            .user(10013, "kim@corp.example", "Kim Doe", "admin")
            .template(&template)
            .template(&customer)
            .build();
        Actor::Tallyfy(twin)
    }

    /// NetSuite.
    pub fn netsuite() -> Actor {
        Actor::Netsuite(NetsuiteTwin::with_sales_orders())
    }

    /// Salesforce.
    pub fn salesforce() -> Actor {
        Actor::Salesforce(SalesforceTwin::with_opportunities())
    }

    /// The twin's hub.
    pub fn hub(&self) -> &Arc<Hub> {
        match self {
            Actor::Tallyfy(twin) => &twin.hub,
            Actor::Netsuite(twin) => &twin.hub,
            Actor::Salesforce(twin) => &twin.hub,
        }
    }

    /// The token that lets us in.
    pub fn token(&self) -> &str {
        match self {
            Actor::Tallyfy(twin) => &twin.token,
            Actor::Netsuite(twin) => &twin.token,
            Actor::Salesforce(twin) => &twin.token,
        }
    }

    /// What stands in `[systems.NAME]` for it, but for address, auth and budget.
    pub fn system(&self) -> String {
        match self {
            Actor::Tallyfy(twin) => {
                format!("connector = \"tallyfy\"\norganization = \"{}\"\n", twin.organization)
            }
            Actor::Netsuite(_) => "connector = \"netsuite\"\nvars = { account = \"123456\" }\n".to_owned(),
            Actor::Salesforce(_) => "connector = \"salesforce\"\n".to_owned(),
        }
    }

    /// What stands in `[sync.sides.NAME]` for it.
    pub fn side(&self) -> String {
        match self {
            Actor::Tallyfy(_) => format!(
                "entity = \"runs\"\ntemplate = \"{TEMPLATE}\"\nmarker = \"kickoff.sync-id\"\n\
                 defaults = {{ name = \"Order {{{{ order_no }}}}\" }}\n"
            ),
            Actor::Netsuite(_) => "entity = \"salesOrder\"\n".to_owned(),
            Actor::Salesforce(_) => {
                "entity = \"Opportunity\"\ndefaults = { Name = \"Order {{ order_no }}\", \
                                     StageName = \"Prospecting\", CloseDate = \"2031-12-31\" }\n"
                    .to_owned()
            }
        }
    }

    /// Where a field of the sync is.
    pub fn path(&self, field: &str) -> String {
        match self {
            Actor::Tallyfy(_) => format!("kickoff.{}", alias(field)),
            Actor::Netsuite(_) | Actor::Salesforce(_) => {
                self.place(field).1.trim_start_matches('/').to_owned()
            }
        }
    }

    /// A person makes a record; gives its id.
    pub fn add(&self, values: &[(&str, Value)]) -> String {
        match self {
            Actor::Tallyfy(twin) => {
                let kickoff =
                    values.iter().map(|(field, value)| (alias(field).to_owned(), value.clone())).collect();
                let run = RunSeed { template: TEMPLATE.to_owned(), name: "By hand".to_owned(), kickoff };
                twin.add_run(&run).expect("a person launches a run")
            }
            Actor::Netsuite(_) | Actor::Salesforce(_) => {
                let mut record = serde_json::Map::new();
                for (field, value) in values {
                    record.insert(self.path(field), self.own_shape(field, value.clone()));
                }
                if matches!(self, Actor::Salesforce(_)) {
                    for (name, value) in
                        [("Name", "By hand"), ("StageName", "Prospecting"), ("CloseDate", "2031-12-31")]
                    {
                        record.entry(name).or_insert_with(|| json!(value));
                    }
                }
                let edit = Edit::Create { entity: self.entity().to_owned(), record: Value::Object(record) };
                let made = self.hub().person(edit).unwrap_or_else(|problem| panic!("an order: {problem}"));
                let id = made.get("Id").or_else(|| made.get("id")).cloned().unwrap_or_default();
                id.as_str().map_or_else(|| id.to_string(), str::to_owned)
            }
        }
    }

    /// A person launches a run of any template.
    pub fn launch(&self, template: &str, values: &[(&str, Value)]) -> String {
        let Actor::Tallyfy(twin) = self else { panic!("only Tallyfy has runs") };
        let kickoff = values.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
        let run = RunSeed { template: template.to_owned(), name: "By hand".to_owned(), kickoff };
        twin.add_run(&run).expect("a person launches a run")
    }

    /// The run of a template with that value in a kick-off field.
    pub fn run_of(&self, template: &str, field: &str, value: &str) -> Option<String> {
        let Actor::Tallyfy(twin) = self else { panic!("only Tallyfy has runs") };
        let field = twin.field_id(template, field)?;
        let runs = twin.hub.world().list_any("runs");
        let says =
            |run: &Value| run.pointer(&format!("/prerun/{field}")).and_then(Value::as_str) == Some(value);
        runs.into_iter().find(|(_, run)| says(run)).map(|(id, _)| id)
    }

    /// A person changes one field.
    pub fn edit(&self, id: &str, field: &str, value: Value) {
        let edit = self.change(id, field, value);
        self.hub().person(edit).unwrap_or_else(|problem| panic!("{field} of {id}: {problem}"));
    }

    /// The edit of one field, for a person to make later.
    pub fn change(&self, id: &str, field: &str, value: Value) -> Edit {
        let (entity, pointer) = self.place(field);
        let value = self.own_shape(field, value);
        let patch = pointer.rsplit('/').filter(|part| !part.is_empty()).fold(value, |inner, part| {
            let mut outer = serde_json::Map::new();
            outer.insert(part.to_owned(), inner);
            Value::Object(outer)
        });
        Edit::Patch { entity: entity.to_owned(), id: id.to_owned(), patch }
    }

    /// Entity and JSON pointer of a field in the twin's world.
    pub fn place(&self, field: &str) -> (&'static str, String) {
        match self {
            Actor::Tallyfy(twin) => {
                let id = twin.field_id(TEMPLATE, alias(field));
                let id = id.unwrap_or_else(|| panic!("the template has no field for {field}"));
                ("runs", format!("/prerun/{id}"))
            }
            Actor::Netsuite(_) => ("salesOrder", format!("/{}", netsuite_name(field))),
            Actor::Salesforce(_) => ("Opportunity", format!("/{}", salesforce_name(field))),
        }
    }

    /// A value as this vendor's people would save it.
    fn own_shape(&self, field: &str, value: Value) -> Value {
        if matches!(self, Actor::Tallyfy(_)) {
            return value;
        }
        match (field, value) {
            (_, Value::String(text)) if text.is_empty() => Value::Null,
            ("amount", Value::String(text)) => serde_json::from_str(&text).expect("a number"),
            ("ship_date", Value::String(text)) => Value::String(text.chars().take(10).collect()),
            (_, value) => value,
        }
    }

    /// Ids of all records, archived ones too.
    pub fn ids(&self) -> Vec<String> {
        self.hub().world().list_any(self.entity()).into_iter().map(|(id, _)| id).collect()
    }

    /// What a record shows for a field, in the plain words of the tests.
    pub fn shows(&self, id: &str, field: &str) -> String {
        let (entity, pointer) = self.place(field);
        let record = self.hub().world().get_any(entity, id);
        plain(field, record.as_deref().and_then(|record| record.pointer(&pointer)))
    }

    /// Whether the record is archived.
    pub fn is_archived(&self, id: &str) -> bool {
        match self {
            Actor::Tallyfy(_) => {
                let run = self.hub().world().get_any("runs", id);
                run.and_then(|run| run.get("archived_at").cloned()).is_some_and(|at| !at.is_null())
            }
            Actor::Netsuite(_) | Actor::Salesforce(_) => false,
        }
    }

    /// A person archives a record, or gets it back.
    pub fn archive(&self, id: &str, archive: bool) {
        match self {
            Actor::Tallyfy(twin) => {
                let name = if archive { "archive-run" } else { "restore-run" }.to_owned();
                let edit = Edit::Action { name, with: json!({ "run_id": id }) };
                twin.hub.person(edit).expect("a person archives");
            }
            Actor::Netsuite(_) | Actor::Salesforce(_) => panic!("only Tallyfy archives"),
        }
    }

    /// A person deletes a record for good.
    pub fn delete(&self, id: &str) {
        match self {
            Actor::Tallyfy(twin) => {
                if !self.is_archived(id) {
                    self.archive(id, true);
                }
                let edit = Edit::Action { name: "purge-run".to_owned(), with: json!({ "run_id": id }) };
                twin.hub.person(edit).expect("a person deletes");
            }
            Actor::Netsuite(_) | Actor::Salesforce(_) => {
                let edit = Edit::Delete { entity: self.entity().to_owned(), id: id.to_owned() };
                self.hub().person(edit).expect("a person deletes");
            }
        }
    }

    /// Takes records from our sight (or gives it back): lost permission, not deletion.
    pub fn hide(&self, ids: Option<Vec<String>>) {
        self.hub().world().hide(self.entity(), ids);
    }

    /// Gives the sight back.
    pub fn unhide(&self) {
        self.hub().world().unhide(self.entity());
    }

    /// The entity of the records in the twin's world.
    pub fn entity(&self) -> &'static str {
        match self {
            Actor::Tallyfy(_) => "runs",
            Actor::Netsuite(_) => "salesOrder",
            Actor::Salesforce(_) => "Opportunity",
        }
    }
}

/// A request that changes something: neither a read, nor a query that is sent by POST, nor a login.
pub fn is_write(request: &Logged) -> bool {
    let asks =
        ["query", "oauth", "search", "/composite/sobjects"].iter().any(|word| request.target.contains(word));
    request.method != "GET" && !(request.method == "POST" && asks)
}

fn alias(field: &str) -> &'static str {
    match field {
        "order_no" => "order-number",
        "amount" => "amount",
        "ship_date" => "ship-date",
        "memo" => "memo",
        "labels" => "labels",
        "tags" => "tags",
        "sync_id" => "sync-id",
        other => panic!("the cast knows no field {other}"),
    }
}

fn netsuite_name(field: &str) -> &'static str {
    match field {
        "order_no" => "tranId",
        "amount" => "total",
        "ship_date" => "shipDate",
        "memo" => "memo",
        other => panic!("NetSuite has no field for {other}"),
    }
}

fn salesforce_name(field: &str) -> &'static str {
    match field {
        "order_no" => "ERP_Order__c",
        "amount" => "Amount",
        "ship_date" => "CloseDate",
        "memo" => "Description",
        other => panic!("Salesforce has no field for {other}"),
    }
}

fn plain(field: &str, value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match field {
        "amount" => text.parse::<Decimal>().map_or(text, |number| number.normalize().to_string()),
        "ship_date" => text.chars().take(10).collect(),
        _ => text,
    }
}
