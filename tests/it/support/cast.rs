//! The twins of a world behind one vocabulary: add an order, edit a field, read it back, delete, archive.
//!
//! Field names here are those of the sync (`order_no`, `amount`, `ship_date`, `memo`, `labels`); the paths and
//! JSON shapes of each vendor stay in this file.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use twins::kit::{Edit, Hub, Logged};
use twins::tallyfy::{FieldSeed, RunSeed, TallyfyTwin, TemplateSeed};

/// The template that every Tallyfy twin of a world has.
pub const TEMPLATE: &str = "Order approval";

/// Who plays a side.
pub enum Actor {
    /// Tallyfy, with runs of [`TEMPLATE`].
    Tallyfy(TallyfyTwin),
}

impl Actor {
    /// A Tallyfy organisation whose ids follow from `seed`.
    pub fn tallyfy(seed: u64) -> Actor {
        let tags = FieldSeed::new("Tags", "multiselect").options(&["old", "rush", "fragile", "export"]);
        let template = TemplateSeed::order_approval().kickoff(FieldSeed::new("Labels", "text")).kickoff(tags);
        let twin = TallyfyTwin::builder_with_seed(seed)
            .user(10013, "kim@corp.example", "Kim Doe", "admin")
            .template(&template)
            .build();
        Actor::Tallyfy(twin)
    }

    /// The twin's hub.
    pub fn hub(&self) -> &Arc<Hub> {
        match self {
            Actor::Tallyfy(twin) => &twin.hub,
        }
    }

    /// The token that lets us in.
    pub fn token(&self) -> &str {
        match self {
            Actor::Tallyfy(twin) => &twin.token,
        }
    }

    /// What stands in `[systems.NAME]` for it, but for address, auth and budget.
    pub fn system(&self) -> String {
        match self {
            Actor::Tallyfy(twin) => {
                format!("connector = \"tallyfy\"\norganization = \"{}\"\n", twin.organization)
            }
        }
    }

    /// What stands in `[sync.sides.NAME]` for it.
    pub fn side(&self) -> String {
        match self {
            Actor::Tallyfy(_) => format!(
                "entity = \"runs\"\ntemplate = \"{TEMPLATE}\"\nmarker = \"kickoff.sync-id\"\n\
                 defaults = {{ name = \"Order {{{{ order_no }}}}\" }}\n"
            ),
        }
    }

    /// Where a field of the sync is.
    pub fn path(&self, field: &str) -> String {
        match self {
            Actor::Tallyfy(_) => format!("kickoff.{}", alias(field)),
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
        }
    }

    /// A person changes one field.
    pub fn edit(&self, id: &str, field: &str, value: Value) {
        let (entity, pointer) = self.place(field);
        let patch = pointer.rsplit('/').filter(|part| !part.is_empty()).fold(value, |inner, part| {
            let mut outer = serde_json::Map::new();
            outer.insert(part.to_owned(), inner);
            Value::Object(outer)
        });
        let edit = Edit::Patch { entity: entity.to_owned(), id: id.to_owned(), patch };
        self.hub().person(edit).unwrap_or_else(|problem| panic!("{field} of {id}: {problem}"));
    }

    /// Entity and JSON pointer of a field in the twin's world.
    pub fn place(&self, field: &str) -> (&'static str, String) {
        match self {
            Actor::Tallyfy(twin) => {
                let id = twin.field_id(TEMPLATE, alias(field));
                let id = id.unwrap_or_else(|| panic!("the template has no field for {field}"));
                ("runs", format!("/prerun/{id}"))
            }
        }
    }

    /// Ids of all records, archived ones too.
    pub fn ids(&self) -> Vec<String> {
        match self {
            Actor::Tallyfy(_) => self.hub().world().list_any("runs").into_iter().map(|(id, _)| id).collect(),
        }
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
