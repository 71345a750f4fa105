//! Seeds a Tallyfy twin: organisation, users, templates, runs; and gives tests the ids by name.
//!
//! Seeded records have the actor `seed` in the history. Settings, all off unless set, decide where the documents
//! disagree: `shift_deadlines` (to working days), `owners_as_objects`, `bare_progress` (a number in answers to
//! changes), `recomplete_fails` (completing twice is refused instead of firing again), `prerun_replaces` (the
//! kick-off values sent replace all others), `touch_runs` (a changed task moves `last_updated` of its run),
//! `sort_by_updated` (the undocumented sort key works), and `comments_per_hour`, a number (120).

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answers::{list, stamp, text};
use super::{Machine, store};
use crate::kit::{Edit, Hub, Request, SEED, World};

/// A form field, of the kick-off form or of a step.
#[derive(Debug, Clone)]
pub struct FieldSeed {
    label: String,
    kind: String,
    required: bool,
    options: Vec<String>,
    columns: Vec<String>,
}

impl FieldSeed {
    /// A field; the alias is the label as a slug.
    pub fn new(label: &str, kind: &str) -> FieldSeed {
        FieldSeed {
            label: label.to_owned(),
            kind: kind.to_owned(),
            required: false,
            options: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// The same field, required.
    pub fn required(mut self) -> FieldSeed {
        self.required = true;
        self
    }

    /// The same field with options, numbered from 1.
    pub fn options(mut self, options: &[&str]) -> FieldSeed {
        self.options = options.iter().map(|option| (*option).to_owned()).collect();
        self
    }

    /// The same field with columns, numbered from 1.
    pub fn columns(mut self, columns: &[&str]) -> FieldSeed {
        self.columns = columns.iter().map(|column| (*column).to_owned()).collect();
        self
    }

    fn definition(&self, world: &mut World, position: usize) -> Value {
        let numbered = |names: &[String], key: &str| -> Vec<Value> {
            names.iter().zip(1..).map(|(name, id): (_, u32)| json!({"id": id, key: name})).collect()
        };
        let now = stamp(world.now());
        json!({
            "id": world.next_hex32(), "alias": slug(&self.label), "label": self.label, "field_type": self.kind,
            "required": self.required, "guidance": "", "position": position, "options": numbered(&self.options, "text"),
            "columns": numbered(&self.columns, "label"), "field_validation": [], "collect_time": false,
            "default_value_enabled": false, "default_value": null, "created_at": now, "last_updated": now,
        })
    }
}

/// A step of a template.
#[derive(Debug, Clone)]
pub struct StepSeed {
    title: String,
    kind: String,
    captures: Vec<FieldSeed>,
    visible_when: Option<(String, Option<bool>)>,
    webhook: Option<String>,
}

impl StepSeed {
    /// A plain task.
    pub fn task(title: &str) -> StepSeed {
        StepSeed::of_kind(title, "task")
    }

    /// An approval.
    pub fn approval(title: &str) -> StepSeed {
        StepSeed::of_kind(title, "approval")
    }

    /// Any kind: `expiring`, `email`, `expiring_email`.
    pub fn of_kind(title: &str, kind: &str) -> StepSeed {
        StepSeed {
            title: title.to_owned(),
            kind: kind.to_owned(),
            captures: Vec::new(),
            visible_when: None,
            webhook: None,
        }
    }

    /// The same step with one more form field.
    pub fn capture(mut self, field: FieldSeed) -> StepSeed {
        self.captures.push(field);
        self
    }

    /// The same step, hidden until an earlier step (by title) is completed, with that verdict if one is given.
    pub fn visible_when(mut self, step: &str, is_approved: Option<bool>) -> StepSeed {
        self.visible_when = Some((step.to_owned(), is_approved));
        self
    }

    /// The same step with a webhook address.
    pub fn webhook(mut self, address: &str) -> StepSeed {
        self.webhook = Some(address.to_owned());
        self
    }
}

/// A template.
#[derive(Debug, Clone)]
pub struct TemplateSeed {
    title: String,
    kickoff: Vec<FieldSeed>,
    steps: Vec<StepSeed>,
}

impl TemplateSeed {
    /// A template without fields and steps.
    pub fn new(title: &str) -> TemplateSeed {
        TemplateSeed { title: title.to_owned(), kickoff: Vec::new(), steps: Vec::new() }
    }

    /// The same template with one more kick-off field.
    pub fn kickoff(mut self, field: FieldSeed) -> TemplateSeed {
        self.kickoff.push(field);
        self
    }

    /// The same template with one more step.
    pub fn step(mut self, step: StepSeed) -> TemplateSeed {
        self.steps.push(step);
        self
    }

    /// "Order approval": order number, amount, ship date, memo and sync id; finance review, then approval.
    pub fn order_approval() -> TemplateSeed {
        TemplateSeed::new("Order approval")
            .kickoff(FieldSeed::new("Order number", "text").required())
            .kickoff(FieldSeed::new("Amount", "text"))
            .kickoff(FieldSeed::new("Ship date", "date"))
            .kickoff(FieldSeed::new("Memo", "textarea"))
            .kickoff(FieldSeed::new("Sync id", "text"))
            .step(StepSeed::task("Finance review").capture(FieldSeed::new("Finance note", "textarea")))
            .step(StepSeed::approval("Management approval"))
    }
}

/// A run that is there before the story begins.
#[derive(Debug, Clone)]
pub struct RunSeed {
    /// Title of the template.
    pub template: String,
    /// Name of the run.
    pub name: String,
    /// Kick-off values by alias or label.
    pub kickoff: Vec<(String, Value)>,
}

/// Makes a twin.
pub struct Builder {
    world: World,
    organization: String,
    first_user: Option<String>,
}

impl Builder {
    /// Stops the clock at a moment; the real clock runs otherwise. Call it first: it stamps what is seeded.
    pub fn at(mut self, now: Timestamp) -> Builder {
        self.world.set_now(now);
        self
    }

    /// The organisation, in place of the default one.
    pub fn organization(mut self, id: &str, name: &str) -> Builder {
        self.world.remove(SEED, "replace", "organizations", &self.organization);
        self.organization = id.to_owned();
        put_organization(&mut self.world, id, name);
        self
    }

    /// A user with a password for the password grant. The role is `admin`, `standard` or `light`.
    pub fn user(mut self, id: u64, email: &str, full_name: &str, role: &str) -> Builder {
        let (first, last) = full_name.split_once(' ').unwrap_or((full_name, ""));
        let now = stamp(self.world.now());
        let user = json!({"id": id, "email": email, "first_name": first, "last_name": last, "full_name": full_name,
            "role": role, "status": "active", "is_active": true, "timezone": "UTC", "password": "correct horse",
            "created_at": now, "last_updated": now, "disabled_at": null});
        self.first_user.get_or_insert_with(|| id.to_string());
        store(&mut self.world, SEED, "create", "users", &id.to_string(), user);
        self
    }

    /// A personal token of a user.
    pub fn token(mut self, token: &str, user: u64) -> Builder {
        let expires = self
            .world
            .now()
            .checked_add(jiff::SignedDuration::from_hours(24 * 180))
            .unwrap_or(Timestamp::MAX);
        let record = json!({"kind": "personal", "organization": self.organization, "user": user.to_string(),
                            "client": "", "expires_at": expires.to_string()});
        store(&mut self.world, SEED, "create", "tokens", token, record);
        self
    }

    /// An OAuth client.
    pub fn client(mut self, id: u64, secret: &str) -> Builder {
        let record = json!({"id": id, "secret": secret, "organization": self.organization});
        store(&mut self.world, SEED, "create", "clients", &id.to_string(), record);
        self
    }

    /// A setting; see the head of this file.
    pub fn setting(mut self, name: &str, value: Value) -> Builder {
        let mut settings =
            self.world.get_any("settings", "settings").map(|record| (*record).clone()).unwrap_or_default();
        crate::kit::set(&mut settings, &format!("/{name}"), value);
        store(&mut self.world, SEED, "create", "settings", "settings", settings);
        self
    }

    /// A key for custom fields.
    pub fn custom_field(mut self, key: &str) -> Builder {
        let record = json!({"key": key, "field_type": "text", "is_active": true});
        store(&mut self.world, SEED, "create", "custom_field_keys", key, record);
        self
    }

    /// A template.
    pub fn template(mut self, seed: &TemplateSeed) -> Builder {
        put_template(&mut self.world, seed, self.first_user.as_deref());
        self
    }

    /// The twin, with one user, token and client where none was given.
    pub fn build(self) -> TallyfyTwin {
        let builder = if self.world.list_any("users").is_empty() {
            self.user(10013, "kim@corp.example", "Kim Doe", "admin")
        } else {
            self
        };
        let user = builder.first_user.as_deref().and_then(|id| id.parse().ok()).unwrap_or(10013);
        let tokens = builder.world.list_any("tokens");
        let (builder, token) = match tokens.into_iter().next() {
            Some((token, _)) => (builder, token),
            None => (builder.token("tallyfy-token", user), "tallyfy-token".to_owned()),
        };
        let builder = if builder.world.list_any("clients").is_empty() {
            builder.client(4711, "secret")
        } else {
            builder
        };
        let organization = builder.organization;
        TallyfyTwin { hub: Hub::new(Machine, builder.world), organization, token }
    }
}

fn put_organization(world: &mut World, id: &str, name: &str) {
    let record = json!({"id": id, "name": name, "timezone": "UTC", "webhook_date_field_format": "yyyy-MM-ddTHH:mm:ssZ",
        "working_days": {"monday": true, "tuesday": true, "wednesday": true, "thursday": true, "friday": true,
                         "saturday": false, "sunday": false},
        "deadline_setting": "working_days", "default_deadline": {"type": "days", "value": 5}, "auto_archive": false,
        "auto_archive_processes_after": {"unit": "weeks", "value": 52}, "auto_complete_tasks": false,
        "users_count": 1});
    store(world, SEED, "create", "organizations", id, record);
}

fn put_template(world: &mut World, seed: &TemplateSeed, owner: Option<&str>) {
    let owner = owner.and_then(|owner| owner.parse::<u64>().ok()).unwrap_or_default();
    let id = world.next_hex32();
    let now = stamp(world.now());
    let mut prerun = Vec::new();
    for (field, position) in seed.kickoff.iter().zip(1..) {
        let mut definition = field.definition(world, position);
        super::put(&mut definition, "checklist_id", json!(id));
        prerun.push(definition);
    }
    let template = json!({"id": id, "title": seed.title, "summary": "", "alias": slug(&seed.title), "webhook": null,
        "guidance": "", "status": "active", "type": "procedure", "owner_id": owner, "created_by": owner,
        "folder_id": null, "default_process_name_format": null, "auto_naming": false, "is_public": false,
        "is_public_kickoff": false, "prerun": prerun, "automated_actions": [], "users": [owner], "groups": [],
        "created_at": now, "last_updated": now, "archived_at": null, "last_updated_by": owner, "starred": false});
    store(world, SEED, "create", "checklists", &id, template);
    let mut by_title: Vec<(String, String)> = Vec::new();
    for (step, position) in seed.steps.iter().zip(1_usize..) {
        let step_id = world.next_hex32();
        let mut captures = Vec::new();
        for (field, position) in step.captures.iter().zip(1..) {
            let mut definition = field.definition(world, position);
            super::put(&mut definition, "step_id", json!(step_id));
            captures.push(definition);
        }
        let rule = step.visible_when.as_ref().and_then(|(title, verdict)| {
            let (_, trigger) = by_title.iter().find(|(known, _)| known == title)?;
            Some(json!({"step_id": trigger, "is_approved": verdict}))
        });
        by_title.push((step.title.clone(), step_id.clone()));
        let record = json!({"id": step_id, "checklist_id": id, "alias": slug(&step.title), "title": step.title,
            "summary": "", "step_type": step.kind, "position": position, "captures": captures,
            "deadline": {"value": 5, "unit": "days", "option": "from", "step": "start_run"}, "assignees": [owner],
            "guests": [], "groups": [], "roles": [], "webhook": step.webhook, "everyone_must_complete": false,
            "can_complete_only_assignees": false, "max_assignable": 0, "last_updated": now, "archived_at": null,
            "visible_when": rule});
        store(world, SEED, "create", "steps", &step_id, record);
    }
}

/// A Tallyfy twin and the ids that a test needs.
#[derive(Clone)]
pub struct TallyfyTwin {
    /// The twin with its world, faults and gates; serve it with `kit::start`.
    pub hub: Arc<Hub>,
    /// Id of the organisation.
    pub organization: String,
    /// A personal token of the first user.
    pub token: String,
}

impl TallyfyTwin {
    /// A builder with an organisation and seed 1; users, tokens and templates are added, or made by `build`.
    pub fn builder() -> Builder {
        TallyfyTwin::builder_with_seed(1)
    }

    /// The same with ids from another seed.
    pub fn builder_with_seed(seed: u64) -> Builder {
        let organization = "0123456789abcdef0123456789abcdef".to_owned();
        let mut world = World::new(seed);
        for (entity, field) in [
            ("tasks", "run_id"),
            ("threads", "subject_id"),
            ("tag_links", "subject_id"),
            ("steps", "checklist_id"),
            ("runs", "checklist_id"),
        ] {
            world.index(entity, field);
        }
        put_organization(&mut world, &organization, "Corp");
        let builder = Builder { world, organization, first_user: None };
        builder.setting("comments_per_hour", json!(120))
    }

    /// A twin with the template "Order approval".
    pub fn with_order_approval() -> TallyfyTwin {
        TallyfyTwin::builder()
            .user(10013, "kim@corp.example", "Kim Doe", "admin")
            .template(&TemplateSeed::order_approval())
            .build()
    }

    /// Id of a template by title.
    pub fn template_id(&self, title: &str) -> Option<String> {
        let templates = self.hub.world().list_any("checklists");
        templates.into_iter().find(|(_, template)| text(template, "title") == title).map(|(id, _)| id)
    }

    /// Id of a kick-off field, or of a field of any step, by alias or label.
    pub fn field_id(&self, template: &str, field: &str) -> Option<String> {
        let id = self.template_id(template)?;
        let world = self.hub.world();
        let mut fields = world.get_any("checklists", &id).map(|record| list(&record, "prerun").to_vec())?;
        for step in super::render::steps(&world, &id) {
            fields.extend(list(&step, "captures").iter().cloned());
        }
        let named =
            |definition: &&Value| text(definition, "alias") == field || text(definition, "label") == field;
        fields.iter().find(named).map(|definition| text(definition, "id").to_owned())
    }

    /// Id of a task of a run by the title of its step.
    pub fn task_id(&self, run: &str, title: &str) -> Option<String> {
        let tasks = self.hub.world().list_where("tasks", "run_id", run);
        let wanted = |task: &Value| text(task, "original_title") == title;
        tasks.into_iter().find(|(_, task)| wanted(task)).map(|(id, _)| id)
    }

    /// Launches a run as a person would, and gives its id.
    pub fn add_run(&self, run: &RunSeed) -> Result<String, String> {
        let template =
            self.template_id(&run.template).ok_or_else(|| format!("no template {:?}", run.template))?;
        let mut prerun = Map::new();
        for (name, value) in &run.kickoff {
            let field = self.field_id(&run.template, name).ok_or_else(|| format!("no field {name:?}"))?;
            prerun.insert(field, value.clone());
        }
        let with = json!({"checklist_id": template, "name": run.name, "prerun": prerun});
        let launched = self.hub.person(Edit::Action { name: "launch".to_owned(), with })?;
        Ok(text(&launched, "id").to_owned())
    }

    /// A request with the headers that the API wants, below the organisation: `request("GET", "/runs")`.
    pub fn request(&self, method: &str, below: &str) -> Request {
        Request::new(method, &format!("/organizations/{}{below}", self.organization))
            .with_header("authorization", &format!("Bearer {}", self.token))
            .with_header("accept", "application/json")
            .with_header("x-tallyfy-client", "APIClient")
    }
}

/// A label as Tallyfy makes an alias of it: lower case, words joined by hyphens.
fn slug(label: &str) -> String {
    let words = label.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}
