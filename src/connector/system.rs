//! A configured system over a definition: the `System` of the declarative engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::api::{Capabilities, Entity, EntityRequest, Failure, FailureClass, Probe, System};
use super::auth::{AuthTable, to_json};
use super::capabilities;
use super::client::{ConnectionStatus, Limits, Ports, Purpose, QuotaHeader};
use super::connection::{Answer, Ask, Connection, Settings};
use super::definition::{CapabilitySection, Definition, LimitsSection, Operation, Template};
use super::entity::DeclarativeEntity;
use super::placeholder::{Scope, Text, plain, render_tree, unknown};
use super::rules::{CallKind, Rule, duration};
use super::scan;
use super::secret::Secret;
use super::vars::{self, Vars};
use super::wire::{Dialect, chosen};
use crate::config::model::{AuthSpec, SecretRef, SystemSpec};
use crate::ports::BoxFuture;

/// Makes a system of its configuration and its definition. Nothing is sent.
///
/// # Errors
/// Every problem, naming the system and the key.
pub fn build(
    spec: &SystemSpec,
    definition: &Arc<Definition>,
    resolve: &dyn Fn(&SecretRef) -> Result<Secret, String>,
    ports: Ports,
) -> Result<Arc<dyn System>, Vec<String>> {
    Ok(Arc::new(DeclarativeSystem::new(spec, definition, resolve, ports)?))
}

/// See the module.
pub struct DeclarativeSystem {
    connection: Arc<Connection>,
    definition: Arc<Definition>,
}

/// An entity as the definition describes it for one name.
pub(super) struct Plan {
    pub(super) template: Template,
    pub(super) holes: BTreeMap<String, Json>,
    pub(super) fields: Vec<String>,
    pub(super) kinds: BTreeMap<String, String>,
    pub(super) section: CapabilitySection,
    pub(super) capabilities: Capabilities,
}

const RESERVED: &[&str] = &["template", "any", "fields", "schema", "capabilities", "note"];

impl DeclarativeSystem {
    /// See [`build`].
    ///
    /// # Errors
    /// See [`build`].
    pub fn new(
        spec: &SystemSpec,
        definition: &Arc<Definition>,
        resolve: &dyn Fn(&SecretRef) -> Result<Secret, String>,
        ports: Ports,
    ) -> Result<Self, Vec<String>> {
        let mut vars = vars::resolve(spec, definition, resolve)?;
        let named = |why: String| vec![format!("systems.{}: {why}", spec.name)];
        let auth = match &spec.auth {
            Some(auth) => replaced_auth(spec, auth, resolve, &mut vars).map_err(named)?,
            None => own_auth(definition, &vars).map_err(named)?,
        };
        if let Some(base) = &spec.base_url {
            super::client::Origin::parse(base)
                .map_err(|why| vec![format!("systems.{}.base_url: {why}", spec.name)])?;
        }
        let scope = Scope::new(&vars.values);
        let rpc = match chosen("rpc", &definition.rpc, &scope).map_err(named)? {
            None => None,
            Some((_, table)) => {
                let dialect: Dialect = table.clone().try_into().map_err(|e| named(format!("[rpc]: {e}")))?;
                Some(dialect)
            }
        };
        let base = match &definition.http.base_url {
            Some(source) if spec.base_url.is_none() => {
                Text::parse(source).and_then(|text| text.render(&scope)).map_err(named)?
            }
            _ => vars.values.get("base_url").map(plain),
        };
        let data_root = definition
            .http
            .data_root
            .as_deref()
            .map(|source| Text::parse(source).and_then(|text| text.render(&scope)));
        let data_root = data_root.transpose().map_err(named)?.flatten().unwrap_or_default();
        let timeout = definition.http.timeout.as_deref().map(duration).transpose().map_err(named)?;
        let rules: Result<Vec<Rule>, String> = definition.errors.iter().map(Rule::compile).collect();
        let limits = limits(&definition.limits).map_err(named)?;
        vars.values.insert("data_root".to_owned(), Json::String(data_root));
        vars.values.insert("nothing".to_owned(), Json::Null);
        let settings = Settings {
            system: spec.name.clone(),
            vars: vars.values,
            hidden: vars.hidden,
            auth,
            rpc,
            rules: rules.map_err(named)?,
            headers: definition.http.headers.clone(),
            timeout: timeout.unwrap_or(Duration::from_secs(60)),
            max_body: definition.http.max_body.unwrap_or(32 << 20),
            pinned: spec.base_url.as_ref().map(|base| base.trim_end_matches('/').to_owned()),
            base,
            budget: spec.budget.clone(),
            limits,
            ports,
        };
        Ok(Self { connection: Arc::new(Connection::new(settings)), definition: Arc::clone(definition) })
    }

    /// Calls used, pauses, speed; `None` before the first call.
    pub fn status(&self) -> Option<ConnectionStatus> {
        self.connection.data_client().map(|client| client.status())
    }

    /// What the definition says about this entity.
    fn plan(&self, entity: &str) -> Result<Plan, Failure> {
        let attempted = format!("open {entity} in {}", self.connection.system());
        plan(&self.definition, entity, self.connection.vars())
            .map_err(|why| Failure::new(FailureClass::Invalid, attempted, why))
    }

    async fn open_entity(&self, request: EntityRequest) -> Result<Arc<dyn Entity>, Failure> {
        let plan = self.plan(&request.entity)?;
        let entity =
            DeclarativeEntity::open(Arc::clone(&self.connection), &self.definition, plan, request).await?;
        Ok(Arc::new(entity))
    }

    async fn probe_now(&self) -> Result<Probe, Failure> {
        let system = self.connection.system();
        let mut shown = Vec::new();
        if let Some(operation) = &self.definition.probe {
            let ask = Ask {
                operation,
                holes: &BTreeMap::new(),
                next_url: None,
                attempted: format!("ask {system} who we are"),
                purpose: Purpose::Probe,
                repeatable: true,
                kind: CallKind::Other,
            };
            match self.connection.exchange(ask).await {
                Ok(answer) => {
                    for pointer in &operation.fingerprint {
                        // Half an answer names nobody: taken as somebody else, it would undo the acceptance.
                        legible(&answer, pointer, system)?;
                        shown.extend(answer.value(pointer).filter(|v| !v.is_null()).map(|v| plain(&v)));
                    }
                }
                // The credentials work, only this question is not allowed or not known there.
                Err(failure)
                    if matches!(
                        failure.class,
                        FailureClass::Invalid
                            | FailureClass::Forbidden
                            | FailureClass::Gone
                            | FailureClass::Bug
                    ) && failure.answered.starts_with("status 4") => {}
                Err(failure) => return Err(failure),
            }
        }
        let client = self.connection.data_client();
        let offset = client.as_ref().and_then(super::client::Client::measured_clock_offset);
        let origin = client.map_or_else(String::new, |client| client.origin());
        let who = shown.join(" ");
        Ok(Probe {
            fingerprint: format!("{origin} {who}").trim().to_owned(),
            title: if who.is_empty() { origin } else { format!("{} at {origin}", shown.join(", ")) },
            clock_offset_ms: offset.map(|offset| offset.offset_ms),
            clock_error_ms: offset.map_or(0, |offset| offset.error_ms),
        })
    }
}

/// An error when a place in the body cannot be looked at, because the body is no JSON.
fn legible(answer: &Answer, place: &str, system: &str) -> Result<(), Failure> {
    if place.starts_with("header:") || answer.empty {
        return Ok(());
    }
    let attempted = format!("ask {system} who we are");
    scan::at(&answer.text, &answer.pointer(place))
        .map(|_| ())
        .map_err(|why| Failure::new(FailureClass::Bug, attempted, why))
}

impl System for DeclarativeSystem {
    fn definition(&self) -> String {
        let connector = &self.definition.connector;
        // The parsed definition, not its text: a comment changes no meaning.
        let hash = xxhash_rust::xxh3::xxh3_64(format!("{:?}", self.definition).as_bytes());
        format!("{} {} {hash:016x}", connector.id, connector.definition_version)
    }

    fn capabilities(&self, entity: &str) -> Result<Capabilities, Failure> {
        self.plan(entity).map(|plan| plan.capabilities)
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Failure>> {
        Box::pin(self.probe_now())
    }

    fn open(&self, request: EntityRequest) -> BoxFuture<'_, Result<Arc<dyn Entity>, Failure>> {
        Box::pin(self.open_entity(request))
    }
}

/// What a definition says about an entity of that name; `vars` fill the params.
pub(super) fn plan(
    definition: &Definition,
    entity: &str,
    vars: &BTreeMap<String, Json>,
) -> Result<Plan, String> {
    let named = !entity.is_empty()
        && entity.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if !named {
        return Err(format!("{entity:?} is not a name that an entity can have"));
    }
    let default = definition.entity_default.as_ref();
    let any = default.and_then(|table| table.get("any")).and_then(Value::as_bool).unwrap_or(false);
    let own = definition.entities.get(entity);
    if own.is_none() && !any {
        let known = definition.entities.keys().map(String::as_str);
        return Err(unknown("entity", entity, known));
    }
    let get = |key: &str| own.and_then(|table| table.get(key));
    let name = template_of(own).or_else(|| template_of(default)).unwrap_or_default();
    let template = definition
        .templates
        .get(name)
        .ok_or_else(|| unknown("template", name, definition.templates.keys().map(String::as_str)))?;
    // Defaults fit only entities of the same template.
    let default = default.filter(|_| template_of(default) == Some(name));
    let mut holes = BTreeMap::from([("entity".to_owned(), Json::String(entity.to_owned()))]);
    for param in &template.params {
        let value = get(param).or_else(|| default.and_then(|table| table.get(param)));
        if let Some(value) = value {
            let below = Scope::new(vars);
            let filled = render_tree(&to_json(value), &below.with(&holes))?;
            holes.insert(param.clone(), filled);
        }
    }
    let fields = get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut kinds = BTreeMap::new();
    if let Some(schema) = get("schema").and_then(Value::as_table) {
        for (field, entry) in schema {
            if let Some(kind) = entry.get("type").and_then(Value::as_str) {
                kinds.insert(field.clone(), kind.to_owned());
            }
        }
    }
    let section = capabilities::section(template, get("capabilities").and_then(Value::as_table))?;
    Ok(Plan {
        capabilities: capabilities::axes(template, &section),
        template: template.clone(),
        holes,
        fields: fields.iter().filter_map(|field| field.as_str().map(str::to_owned)).collect(),
        kinds,
        section,
    })
}

fn template_of(table: Option<&Table>) -> Option<&str> {
    table?.get("template")?.as_str()
}

/// Keys of an entity table that are no params.
pub(super) fn reserved_entity_keys() -> &'static [&'static str] {
    RESERVED
}

fn own_auth(definition: &Definition, vars: &Vars) -> Result<AuthTable, String> {
    match chosen("auth", &definition.auth, &Scope::new(&vars.values))? {
        Some((_, table)) => AuthTable::read(table),
        None => Ok(AuthTable { kind: "none".to_owned(), ..AuthTable::default() }),
    }
}

/// `auth = { ... }` of the config in place of the definition's own.
fn replaced_auth(
    spec: &SystemSpec,
    auth: &AuthSpec,
    resolve: &dyn Fn(&SecretRef) -> Result<Secret, String>,
    vars: &mut Vars,
) -> Result<AuthTable, String> {
    let mut table = AuthTable { kind: auth.kind.clone(), ..AuthTable::default() };
    let wanted: &[&str] = match auth.kind.as_str() {
        "token" => &["token"],
        "basic" => &["username", "password"],
        "none" => &[],
        other => {
            let hint = unknown("auth kind", other, ["token", "basic", "none"]);
            return Err(format!("{hint}; `auth` replaces the connector's own by token, basic or none"));
        }
    };
    for name in auth.values.keys() {
        if !wanted.contains(&name.as_str()) {
            return Err(unknown("key of auth", name, wanted.iter().copied()));
        }
    }
    for name in wanted {
        let value = auth.values.get(*name).ok_or_else(|| format!("auth.{name} is missing"))?;
        let (text, _) = vars::value_of(value, resolve).map_err(|why| format!("auth.{name}: {why}"))?;
        if text.chars().any(char::is_control) {
            return Err(format!("auth.{name} of {} holds a control character", spec.name));
        }
        if *name != "username" {
            vars.hidden.push(Secret::new(text.clone()));
        }
        // A name that no var of a definition can have.
        vars.values.insert(format!("config_auth_{name}"), Json::String(text));
    }
    table.token = Some(Value::String("{config_auth_token}".to_owned()));
    table.username = Some("{config_auth_username}".to_owned());
    table.password = Some("{config_auth_password}".to_owned());
    Ok(table)
}

fn limits(section: &LimitsSection) -> Result<Limits, String> {
    let mut limits = Limits::default();
    if let Some(count) = section.max_in_flight {
        limits.max_in_flight = count;
    }
    if let Some(pace) = &section.pace {
        let seconds = duration(&pace.per)?.as_secs().max(1);
        let per_minute = u64::from(pace.requests).saturating_mul(60) / seconds;
        limits.per_minute = Some(u32::try_from(per_minute.max(1)).unwrap_or(u32::MAX));
    }
    if let Some(header) = &section.quota_header {
        let regex = regex_lite::Regex::new(&header.regex).map_err(|error| error.to_string())?;
        limits.quota = Some(QuotaHeader { name: header.name.to_lowercase(), regex, reserve: header.reserve });
    }
    Ok(limits)
}

/// What `connectors [NAME]` shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Version of the definition.
    pub version: String,
    /// For people.
    pub note: Option<String>,
    /// Vars: name, type, required, default, note.
    pub vars: Vec<VarLine>,
    /// Ways to authenticate.
    pub auth: Vec<String>,
    /// Entities that are described by name.
    pub entities: Vec<String>,
    /// Any other name is served too.
    pub any_entity: bool,
    /// Per template (named by an example entity): the axes.
    pub capabilities: Vec<(String, Capabilities)>,
}

/// One var of a [`Description`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarLine {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: String,
    /// Must be given, always or under a condition.
    pub required: String,
    /// Default.
    pub default: Option<String>,
    /// For people.
    pub note: Option<String>,
}

/// Describes a definition for people and for `--json`.
pub fn describe(definition: &Definition) -> Description {
    let vars = definition.vars.iter().map(|(name, var)| VarLine {
        name: name.clone(),
        kind: var.kind.clone(),
        required: match (&var.required_if, var.required) {
            (Some(condition), _) => format!("if {condition}"),
            (None, true) => "yes".to_owned(),
            (None, false) => "no".to_owned(),
        },
        default: var.default.clone(),
        note: var.note.clone(),
    });
    let auth = if definition.auth.contains_key("select") {
        definition.auth.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name.clone()).collect()
    } else {
        definition.auth.get("kind").and_then(Value::as_str).map(str::to_owned).into_iter().collect()
    };
    let any = definition.entity_default.as_ref().and_then(|t| t.get("any")).and_then(Value::as_bool);
    let mut names: Vec<String> = definition.entities.keys().cloned().collect();
    if any == Some(true) {
        names.push("any".to_owned());
    }
    let empty = BTreeMap::new();
    let capabilities = names
        .iter()
        .filter_map(|name| plan(definition, name, &empty).ok().map(|plan| (name.clone(), plan.capabilities)))
        .collect();
    Description {
        id: definition.connector.id.clone(),
        title: definition.connector.title.clone(),
        version: definition.connector.definition_version.clone(),
        note: definition.connector.note.clone(),
        vars: vars.collect(),
        auth,
        entities: definition.entities.keys().cloned().collect(),
        any_entity: any.unwrap_or(false),
        capabilities,
    }
}

/// The operation that does the work of another that says `use`.
pub(super) fn operation<'a>(template: &'a Template, name: &str) -> Option<&'a Operation> {
    let found = match name {
        "list" => &template.list,
        "sweep" => &template.sweep,
        "get" => &template.get,
        "get_related" => &template.get_related,
        "get_by_key" => &template.get_by_key,
        "get_deleted" => &template.get_deleted,
        "find" => &template.find,
        "create" => &template.create,
        "upsert" => &template.upsert,
        "update" => &template.update,
        "delete" => &template.delete,
        "archive" => &template.archive,
        "deletes" => &template.deletes,
        _ => return None,
    }
    .as_ref()?;
    match &found.uses {
        Some(other) if other != name => operation(template, other),
        Some(_) => None,
        None => Some(found),
    }
}

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
