//! The Tallyfy adapter: one organisation behind the connector trait.
//!
//! This file builds the system from its config, says what its entities can do, and finds templates. It
//! retries no write, decides no conflict and never sees the state file.

mod answer;
mod auth;
mod http;
mod json;
pub mod path;
mod runs;
mod shape;
mod table;
mod table_write;
mod template;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[cfg(feature = "demo")]
mod twin_tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;

use self::auth::{Addresses, Auth, Grant};
use self::http::{Api, Request, Style};
use self::json::{items, text, unwrap};
use self::runs::{DeepReads, Runs};
use self::table::{TABLES, Table, TableEntity};
use self::template::{Named, Template, pick};
use crate::config::model::{BudgetSpec, SystemSpec, VarValue};
use crate::connector::api::{
    Capabilities, CreateIdentity, DeleteVisibility, Entity, EntityRequest, Failure, FailureClass, FindPaths,
    ListingKind, Probe, System, WriteCondition,
};
use crate::connector::client::{Client, Limits, Ports, Purpose};
use crate::ports::BoxFuture;

/// Where Tallyfy lives unless the config says otherwise.
pub const DEFAULT_BASE: &str = "https://go.tallyfy.com/api";
/// About two calls a second: below every limit that Tallyfy has published.
const CALLS_PER_MINUTE: u32 = 120;

/// One Tallyfy organisation.
struct Tallyfy {
    api: Arc<Api>,
    deep_reads: DeepReads,
}

/// Builds the system from its config. `resolve` turns a configured value into its text, secrets included.
///
/// # Errors
/// Every problem of the config, one sentence each.
pub fn build(
    spec: &SystemSpec,
    resolve: &dyn Fn(&VarValue) -> Result<String, String>,
    ports: Ports,
) -> Result<Arc<dyn System>, Vec<String>> {
    let mut problems = Vec::new();
    let style = match spec.api.as_deref() {
        None | Some("organizations") => Style::Organizations,
        Some("v1") => Style::V1,
        Some(other) => {
            problems.push(format!("systems.{}.api `{other}` is neither organizations nor v1", spec.name));
            Style::Organizations
        }
    };
    let organization = spec.organization.as_deref().unwrap_or_default().trim();
    if organization.is_empty() {
        problems.push(format!(
            "systems.{}.organization is missing: the id of the Tallyfy organisation",
            spec.name
        ));
    }
    let grant = grant(spec, resolve).map_err(|found| problems.extend(found)).ok();
    let base = base_of(spec.base_url.as_deref().unwrap_or(DEFAULT_BASE), style);
    let limits = Limits { per_minute: Some(CALLS_PER_MINUTE), ..Limits::default() };
    let connect = |url: &str, budget: &BudgetSpec| {
        Client::new(&spec.name, url, budget, limits.clone(), ports.clone())
            .map_err(|failure| format!("systems.{}.base_url: {}", spec.name, failure.answered))
    };
    let data = connect(&base, &spec.budget).map_err(|problem| problems.push(problem)).ok();
    let (Some(grant), Some(data), true) = (grant, data, problems.is_empty()) else {
        return Err(problems);
    };
    let token = token_address(&base, &data.origin(), &grant);
    // Tallyfy's own token address may stand on another host than the data; each host has its connection.
    let tokens = if token.starts_with(&format!("{}/", data.origin())) {
        data.clone()
    } else {
        connect(&token, &BudgetSpec::default()).map_err(|problem| vec![problem])?
    };
    let addresses = Addresses { token, base: base.clone(), organization: organization.to_owned() };
    let auth = Auth::new(grant, addresses, tokens, data.clone());
    let api = Arc::new(Api::new(&base, organization, style, data, auth));
    Ok(Arc::new(Tallyfy { api, deep_reads: Arc::new(Mutex::new(HashMap::new())) }))
}

fn grant(
    spec: &SystemSpec,
    resolve: &dyn Fn(&VarValue) -> Result<String, String>,
) -> Result<Grant, Vec<String>> {
    let name = &spec.name;
    let Some(auth) = &spec.auth else {
        return Err(vec![format!(
            "systems.{name}.auth is missing, for example auth = {{ kind = \"token\", token = {{ env = \"TALLYFY_TOKEN\" }} }}"
        )]);
    };
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    for (key, value) in &auth.values {
        match resolve(value) {
            Ok(text) => {
                values.insert(key.clone(), text);
            }
            Err(why) => problems.push(format!("systems.{name}.auth.{key}: {why}")),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Grant::read(&auth.kind, values)
        .map_err(|found| found.into_iter().map(|why| format!("systems.{name}.{why}")).collect())
}

/// Without a slash at the end; for the guides' path style the host root, also when the usual base is given.
fn base_of(url: &str, style: Style) -> String {
    let base = url.trim().trim_end_matches('/');
    match style {
        Style::Organizations => base.to_owned(),
        Style::V1 => {
            let root = base.strip_suffix("/v1").unwrap_or(base);
            root.strip_suffix("/api").unwrap_or(root).to_owned()
        }
    }
}

/// Where tokens are asked for: beside the API, except on Tallyfy's own hosts, which have one place for it.
fn token_address(base: &str, origin: &str, grant: &Grant) -> String {
    let own = match origin {
        "https://go.tallyfy.com" | "https://api.tallyfy.com" => "https://go.tallyfy.com",
        "https://staging.go.tallyfy.com" | "https://staging-api.tallyfy.com" => {
            "https://staging.go.tallyfy.com"
        }
        _ => return format!("{base}/oauth/token"),
    };
    match grant {
        Grant::ClientCredentials { .. } => format!("{own}/oauth/token"),
        _ => format!("{own}/api/oauth/token"),
    }
}

impl Tallyfy {
    fn unknown_entity(&self, entity: &str) -> Failure {
        let known: Vec<&str> = std::iter::once(RUNS).chain(TABLES.iter().map(|table| table.name)).collect();
        Failure::new(
            FailureClass::Invalid,
            format!("open {entity} in {}", self.api.system()),
            format!("Tallyfy has no entity `{entity}` here; it has {}", known.join(", ")),
        )
    }

    async fn who(&self) -> Result<Probe, Failure> {
        let system = self.api.system();
        let attempted = format!("ask {system} who we are");
        let organization = self.api.organization();
        let ask = |path: &'static [&'static str]| Request {
            method: "GET",
            path,
            query: &[],
            body: None,
            purpose: Purpose::Probe,
            attempted: attempted.clone(),
        };
        let me = match self.api.send(ask(&["me"])).await {
            Ok(me) => unwrap(&me).clone(),
            // Gateways in the guides' path style need not have it; the list of templates proves as much.
            Err(failure)
                if self.api.style() == Style::V1
                    && matches!(failure.class, FailureClass::Gone | FailureClass::Invalid) =>
            {
                self.api.send(ask(&["checklists"])).await?;
                Json::Null
            }
            Err(mut failure) => {
                // The only name in this address that can be wrong is the organisation's.
                if failure.class == FailureClass::Gone {
                    failure.answered.push_str(&format!(
                        "; is `organization = \"{organization}\"` the id of the organisation, and is the token's user a \
                         member of it?"
                    ));
                }
                return Err(failure);
            }
        };
        let named = match self.api.style() {
            Style::Organizations => {
                let found = self.api.send(ask(&[])).await?;
                text(unwrap(&found), "name")
            }
            Style::V1 => None,
        };
        let user = text(&me, "id").unwrap_or_else(|| "unknown user".to_owned());
        let shown = text(&me, "email").or_else(|| text(&me, "full_name")).unwrap_or_else(|| user.clone());
        let offset = self.api.client().measured_clock_offset();
        Ok(Probe {
            fingerprint: format!("{} organization {organization} user {user}", self.api.client().origin()),
            title: format!("{}, as {shown}", named.unwrap_or_else(|| organization.to_owned())),
            clock_offset_ms: offset.map(|offset| offset.offset_ms),
            clock_error_ms: offset.map_or(0, |offset| offset.error_ms),
        })
    }

    async fn open_entity(&self, request: EntityRequest) -> Result<Arc<dyn Entity>, Failure> {
        if request.entity != RUNS {
            let table = Table::named(&request.entity).ok_or_else(|| self.unknown_entity(&request.entity))?;
            return Ok(Arc::new(TableEntity::open(Arc::clone(&self.api), table, &request)?));
        }
        let attempted = format!("open runs in {}", self.api.system());
        let Some(name) = request.template.as_deref().filter(|name| !name.trim().is_empty()) else {
            let why = "runs need a `template`: its title, alias or id";
            return Err(Failure::new(FailureClass::Invalid, attempted, why));
        };
        let attempted = format!("{attempted} for the template `{name}`");
        let template = self.template(name, &attempted).await?;
        let runs =
            Runs::open(Arc::clone(&self.api), template, &request, Arc::clone(&self.deep_reads), &attempted)?;
        Ok(Arc::new(runs))
    }

    /// Finds a template by id, alias or title and reads it with its steps and fields.
    async fn template(&self, name: &str, attempted: &str) -> Result<Template, Failure> {
        let invalid = |why: String| Failure::new(FailureClass::Invalid, attempted, why);
        let with = [("with", "steps")];
        let mut found = None;
        if shape::is_hex_id(name) {
            found = self.api.find(&["checklists", name], &with, Purpose::Poll, attempted).await?;
        }
        let mut id = name.to_owned();
        if found.is_none() {
            id = self.template_id(name, attempted).await?;
            found = self.api.find(&["checklists", &id], &with, Purpose::Poll, attempted).await?;
        }
        let Some(body) = found else {
            return Err(invalid(format!(
                "the template `{name}` ({id}) cannot be read: archived, or not visible"
            )));
        };
        let mut steps = items(body.get("steps")).to_vec();
        let complete = body.get("steps").is_some() && steps.iter().all(|step| step.get("captures").is_some());
        if !complete {
            steps = self.api.all(&["checklists", &id, "steps"], &[], Purpose::Poll, attempted).await?;
        }
        Template::read(&body, &steps)
            .map_err(|why| Failure::new(FailureClass::Bug, attempted.to_owned(), why))
    }

    async fn template_id(&self, name: &str, attempted: &str) -> Result<String, Failure> {
        let invalid = |why: String| Failure::new(FailureClass::Invalid, attempted, why);
        let place = format!("the organisation {}", self.api.organization());
        let active = self.titles(&[], attempted).await?;
        let miss = match pick(name, &active) {
            Ok(found) => return Ok(found.id.clone()),
            Err(miss) => miss,
        };
        if matches!(miss, template::Miss::Unknown(_)) {
            let archived = self.titles(&[("archived", "only")], attempted).await?;
            if pick(name, &archived).is_ok() {
                return Err(invalid(format!(
                    "the template `{name}` is archived; restore it or name another"
                )));
            }
        }
        Err(invalid(miss.say("template", name, &place)))
    }

    async fn titles(&self, query: &[(&str, &str)], attempted: &str) -> Result<Vec<Title>, Failure> {
        let rows = self.api.all(&["checklists"], query, Purpose::Poll, attempted).await?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                Some(Title {
                    id: text(row, "id")?,
                    alias: text(row, "alias"),
                    title: text(row, "title").unwrap_or_default(),
                })
            })
            .collect())
    }
}

/// A template in a list.
struct Title {
    id: String,
    alias: Option<String>,
    title: String,
}

impl Named for Title {
    fn id(&self) -> &str {
        &self.id
    }
    fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }
    fn label(&self) -> &str {
        &self.title
    }
}

/// The entity of processes.
const RUNS: &str = "runs";

/// What processes can do; the tables differ from it.
fn processes() -> Capabilities {
    Capabilities {
        condition: WriteCondition::Compare,
        create: CreateIdentity::Marker,
        deletes: DeleteVisibility::Absence,
        not_found_is_gone: false,
        listing: ListingKind::Offset,
        incremental: true,
        echoes: Some("the members and groups of the process".to_owned()),
        partial_update: true,
        read_your_writes: false,
        ids_never_reused: true,
        // `name` by Tallyfy's search; kick-off fields by walking the processes of the template, anything
        // else by a complete listing.
        find: FindPaths::Any,
        archive: true,
        delete: true,
        condition_note: Some(
            "Tallyfy has no version: the process is read and compared just before each write; an update \
             must repeat its members and groups, which are read in the same moment"
                .to_owned(),
        ),
    }
}

/// Every entity and what it can do, for `tallysync connectors tallyfy`.
pub fn all_capabilities() -> Vec<(String, Capabilities)> {
    let tables = TABLES.iter().map(|table| (table.name.to_owned(), table.capabilities(processes())));
    std::iter::once((RUNS.to_owned(), processes())).chain(tables).collect()
}

impl System for Tallyfy {
    fn definition(&self) -> String {
        // Counted up when the adapter reads or writes a path differently than before.
        "tallyfy adapter 1".to_owned()
    }

    fn capabilities(&self, entity: &str) -> Result<Capabilities, Failure> {
        if entity == RUNS {
            return Ok(processes());
        }
        let table = Table::named(entity).ok_or_else(|| self.unknown_entity(entity))?;
        Ok(table.capabilities(processes()))
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Failure>> {
        Box::pin(self.who())
    }

    fn open(&self, request: EntityRequest) -> BoxFuture<'_, Result<Arc<dyn Entity>, Failure>> {
        Box::pin(self.open_entity(request))
    }
}
