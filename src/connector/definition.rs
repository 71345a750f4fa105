//! A connector definition as it stands in its TOML file, parsed strictly.
//!
//! This file only gives names to what the file says; `lint.rs` judges it, `system.rs` runs it. The format
//! is described in `docs/connectors.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Table;

pub use super::catalog::{Catalog, load_definitions, parse};
pub use super::template::*;

/// A definition: how to talk to one kind of system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Version of the format: 1.
    pub schema: u32,
    /// Who it is.
    pub connector: About,
    /// What the operator supplies.
    #[serde(default)]
    pub vars: BTreeMap<String, Var>,
    /// How to authenticate: one kind, or `select` and one table per choice.
    #[serde(default)]
    pub auth: Table,
    /// Envelopes of RPC calls: one dialect, or `select` and one table per choice.
    #[serde(default)]
    pub rpc: Table,
    /// Base URL, time-out, headers.
    #[serde(default)]
    pub http: Http,
    /// What the API tolerates.
    #[serde(default)]
    pub limits: LimitsSection,
    /// First match wins.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// Who we are there.
    pub probe: Option<Operation>,
    /// Shared operations.
    pub templates: BTreeMap<String, Template>,
    /// Entities by the vendor's name.
    #[serde(default)]
    pub entities: BTreeMap<String, Table>,
    /// What serves every entity that is not listed: `template`, `any = true`, and the template's params,
    /// in which `{entity}` stands for the name.
    pub entity_default: Option<Table>,
    /// The whole document, for what needs to walk over every text in it.
    #[serde(skip)]
    pub document: Table,
}

impl Definition {
    /// A short text that changes when anything in the definition does: part of every listing form, and of
    /// what a new acceptance is asked for.
    pub fn digest(&self) -> String {
        // Tables print in the order of their keys, so the text is the same for the same content.
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(self.document.to_string().as_bytes()))
    }
}

/// `[connector]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// What `connector = ` in the config names.
    pub id: String,
    /// For people.
    pub title: String,
    /// Of the definition; part of what a new acceptance is asked for.
    pub definition_version: String,
    /// For people: what to set up in the system, what to beware of.
    pub note: Option<String>,
}

/// One entry of `[vars]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Var {
    /// `string`, `host`, `url`, `ident`, `enum`, `integer`, `duration`, `secret`, `secret_pem`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Must be given, if something that is in use refers to it.
    #[serde(default)]
    pub required: bool,
    /// `other=value`: required then.
    pub required_if: Option<String>,
    /// Used when not given; may hold placeholders of other vars.
    pub default: Option<String>,
    /// The whole value must match.
    pub pattern: Option<String>,
    /// Of an `enum`.
    #[serde(default)]
    pub values: Vec<String>,
    /// Names a probe that could find the value; informational.
    pub discover: Option<String>,
    /// For people.
    pub note: Option<String>,
}

impl Var {
    /// Never shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind.as_str(), "secret" | "secret_pem")
    }
}

/// `[http]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// `https://{host}`; absent where the token answer brings it.
    pub base_url: Option<String>,
    /// For one call.
    pub timeout: Option<String>,
    /// Sent with every call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Always `decimal_text`: numbers never go through binary floating point.
    pub numbers: Option<String>,
    /// A path prefix, as the hole `{data_root}`.
    pub data_root: Option<String>,
    /// Largest answer in bytes.
    pub max_body: Option<usize>,
}

/// `[limits]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// Calls in flight at once.
    pub max_in_flight: Option<u32>,
    /// `{ requests, per }`.
    pub pace: Option<Pace>,
    /// A header that tells used and allowed calls.
    pub quota_header: Option<QuotaSection>,
    /// Always on; informational.
    pub adaptive: Option<Table>,
}

/// `pace`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// So many calls ...
    pub requests: u32,
    /// ... per this time.
    pub per: String,
}

/// `quota_header`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaSection {
    /// Header name.
    pub name: String,
    /// With groups `used` and `limit`.
    pub regex: String,
    /// Left to others, 0 to 1.
    #[serde(default)]
    pub reserve: f64,
}

/// `[[errors]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Of the closed set.
    pub class: String,
    /// All parts must hold.
    #[serde(default)]
    pub when: When,
    /// How long.
    pub wait: Option<Wait>,
    /// Where code, message and fields stand.
    pub detail: Option<Detail>,
    /// Pointers whose text is never shown.
    #[serde(default)]
    pub redact: Vec<String>,
    /// `{ follow = "header:Location" }`; informational.
    pub then: Option<Table>,
}

/// `when`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// `412`, `"5xx"`, or a list of either.
    pub status: Option<toml::Value>,
    /// A pointer; `*` for every element.
    #[serde(alias = "any")]
    pub path: Option<String>,
    /// One of the values found is one of these.
    #[serde(rename = "in", default)]
    pub values: Vec<String>,
    /// One of the values found matches.
    pub regex: Option<String>,
    /// `name` or `name: regex` of a header.
    pub header: Option<String>,
    /// The RPC envelope carried an error.
    pub rpc_error: Option<bool>,
}

/// `wait`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// Always that long.
    pub fixed: Option<String>,
    /// From .. to; the client's own backoff stays inside.
    pub backoff: Option<String>,
    /// `Retry-After` is obeyed anyway; informational.
    pub retry_after: Option<bool>,
    /// The engine's retry policy decides; informational.
    pub tries: Option<u32>,
    /// Informational.
    pub then: Option<String>,
}

/// `detail`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// Pointer.
    pub code: Option<String>,
    /// Pointer.
    pub message: Option<String>,
    /// Pointer, `*` allowed.
    pub fields: Option<String>,
}
<<<<<<< HEAD

/// One `[templates.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// What an entity of this template gives: names of holes.
    #[serde(default)]
    pub params: Vec<String>,
    /// Where id, stamp and version stand.
    pub identity: Identity,
    /// The axes of the guarantee card.
    #[serde(default)]
    pub capabilities: CapabilitySection,
    /// How requested paths become fields of a request.
    #[serde(default)]
    pub columns: Columns,
    /// Which writes need another form, by path.
    #[serde(default)]
    pub write_as: Vec<WriteAs>,
    /// Lists the entity's fields, so that unknown names are found before the first poll.
    pub describe: Option<Describe>,
    /// Changes since a moment, and the complete listing where there is no `sweep`.
    pub list: Option<Operation>,
    /// The complete listing.
    pub sweep: Option<Operation>,
    /// One record by id.
    pub get: Option<Operation>,
    /// One record by id where a requested path has a dot.
    pub get_related: Option<Operation>,
    /// One record by our key.
    pub get_by_key: Option<Operation>,
    /// What the system knows of a record that is gone.
    pub get_deleted: Option<Operation>,
    /// Records by the value of a path.
    pub find: Option<Operation>,
    /// Creates.
    pub create: Option<Operation>,
    /// Creates or updates by our key.
    pub upsert: Option<Operation>,
    /// Writes some fields.
    pub update: Option<Operation>,
    /// For good.
    pub delete: Option<Operation>,
    /// The softest form.
    pub archive: Option<Operation>,
    /// The delete feed.
    pub deletes: Option<Operation>,
    /// Reserved: a second opinion on the cursor. Parsed, not run.
    pub audit: Option<Operation>,
    /// Reserved: batches. Parsed, not run.
    pub batch: Option<Table>,
}

/// `identity`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Pointer.
    pub id: String,
    /// `sf18`, or nothing.
    pub id_normalise: Option<String>,
    /// Pointer and codec.
    pub updated_at: Option<Stamp>,
    /// A pointer, `updated_at`, `content_hash` or `header:ETag`.
    pub version: Option<String>,
    /// `{ field }` or `{ path, prefix }`.
    pub external_id: Option<External>,
    /// Informational.
    pub modified_by: Option<String>,
}

/// `updated_at`, `deleted_at`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Pointer.
    pub path: String,
    /// Used where `path` is null.
    pub or: Option<String>,
    /// How it is written.
    pub codec: Option<String>,
    /// Informational.
    pub resolution: Option<String>,
    /// Informational.
    pub truncated: Option<bool>,
    /// The stamp is in the system's own zone: the var with its offset. Without it the stamp is no
    /// instant and is not used as one.
    pub zone: Option<String>,
}

/// `external_id`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Its name.
    pub field: Option<String>,
    /// Where it stands.
    pub path: Option<String>,
    /// Before our mark.
    pub prefix: Option<String>,
}

/// `capabilities`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilitySection {
    /// `database` (reads show our writes) or `index`.
    pub read_consistency: Option<String>,
    /// `keyset`, `timestamp_ge`, `offset`, `snapshot`, `delta`.
    pub cursor: Option<String>,
    /// `feed`, `by_id`, `id_sweep`.
    pub deletes: Option<String>,
    /// Informational.
    pub deletes_fallback: Option<String>,
    /// `gone` or `missing` (default): what "not found" by id proves.
    pub not_found: Option<String>,
    /// `{ field, is }`: the record is put away then.
    pub archived: Option<Archived>,
    /// `{ mode, resolution, on, exact, note }`.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// `external_id` or `none`.
    pub upsert: Option<String>,
    /// `upsert`, `search_before_create`, `idempotency_key`, `none`.
    pub create_idempotent_by: Option<String>,
    /// Reserved.
    pub batch: Option<Table>,
    /// `full` (whole-object PUT) or `partial` (default).
    pub update_shape: Option<String>,
    /// Ids may be used again.
    #[serde(default)]
    pub ids_reused: bool,
    /// `any`, or a list of paths that `find` can be asked for.
    pub find: Option<toml::Value>,
}

/// `archived`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    /// Pointer.
    pub field: String,
    /// The value that means archived.
    pub is: toml::Value,
    /// Informational.
    pub meaning: Option<String>,
}

/// `concurrency`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// `if_unmodified_since`, `if_match`, `token`, `precheck`, `none`.
    pub mode: Option<String>,
    /// `1s` makes the condition inexact.
    pub resolution: Option<String>,
    /// Informational.
    #[serde(default)]
    pub on: Vec<String>,
    /// `false`: the check is racy.
    pub exact: Option<bool>,
    /// For the card.
    pub note: Option<String>,
}

/// How requested paths become the hole `{fields}` (a list) and `{select}` (a text).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Always requested.
    #[serde(default)]
    pub base: Vec<String>,
    /// Requested where `describe` says that the entity has them.
    #[serde(default)]
    pub optional: Vec<String>,
    /// `lower`: the API folds names to lower case; answers are matched without regard to case.
    pub case: Option<String>,
    /// First match gives the text of one column in `{select}`; `{column}` is the path.
    #[serde(default)]
    pub select: Vec<ColumnRule>,
    /// `dotted` paths may be requested.
    #[serde(default)]
    pub dotted: bool,
}

/// One rule of `columns.select`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// The path matches; absent: always.
    #[serde(rename = "match")]
    pub regex: Option<String>,
    /// The path is in this var's comma-separated list.
    pub listed_in: Option<String>,
    /// The column's text.
    pub text: String,
}

/// One rule of `write_as`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteAs {
    /// The path matches.
    #[serde(rename = "match")]
    pub regex: Option<String>,
    /// The path is in this var's comma-separated list.
    pub listed_in: Option<String>,
    /// `object_id`: `{ "id": VALUE }`. `new_line`: a dotted path becomes a field of one new line,
    /// `[["create", [{ FIELD: VALUE }]]]`; for what a create sends along (defaults, marker).
    pub codec: String,
}

/// `describe`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Describe {
    /// The operation.
    pub call: Option<Table>,
    /// HTTP form.
    pub method: Option<String>,
    /// HTTP form.
    pub path: Option<String>,
    /// Pointer to a list of objects, or to an object by field name.
    pub fields: String,
    /// In a list: where the name stands.
    pub name: Option<String>,
    /// Where the type stands.
    pub kind: Option<String>,
    /// Where it stands that the field can be written.
    pub writable: Option<String>,
}

/// One operation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operation {
    /// Another operation of the template that does this one's work.
    #[serde(rename = "use")]
    pub uses: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// Path with holes.
    pub path: Option<String>,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// `{ json = TREE }` or `{ form = { k = v } }`.
    pub body: Option<Body>,
    /// An RPC call, put into the dialect's envelope.
    pub call: Option<Table>,
    /// Statuses that mean success; default any 2xx.
    pub ok: Vec<u16>,
    /// Pointer to the list of records.
    pub records: Option<String>,
    /// Pointer to the record.
    pub record: Option<String>,
    /// Pointer to a list of bare ids.
    pub ids: Option<String>,
    /// Pointer to the id inside a record of this answer.
    pub id: Option<String>,
    /// Where the answer to a write shows things.
    pub result: ResultSection,
    /// Pointer to the total.
    pub total: Option<String>,
    /// The condition that moves through the listing.
    pub keyset: Option<Keyset>,
    /// Overlap and hold-back.
    pub window: Window,
    /// How pages follow each other.
    pub page: Option<PageRule>,
    /// Pointers that are removed before a record is read.
    pub drop: Vec<String>,
    /// `null`: a requested field that is not in the record is null.
    pub absent: Option<String>,
    /// Codecs of this operation.
    pub codecs: BTreeMap<String, String>,
    /// Informational: the engine reads back what it wrote.
    pub verify: Option<String>,
    /// Informational: the engine reads before it writes.
    pub precheck: Option<String>,
    /// Classes that mean that nothing is left to do.
    pub treat_as_done: Vec<String>,
    /// Informational.
    pub every: Option<String>,
    /// Informational.
    pub guard: Option<Table>,
    /// Deletion time in a tombstone.
    pub deleted_at: Option<Stamp>,
    /// Where the feed says how far it reached.
    pub next_since: Option<String>,
    /// When the feed does not reach back far enough.
    pub gap_if: Option<GapRule>,
    /// How to find the winner of a merge.
    pub merged_into: Option<MergedInto>,
    /// Informational: several are always ambiguous.
    pub ambiguous_if: Option<String>,
    /// Reserved.
    pub or: Option<Table>,
    /// Informational.
    pub title: Option<String>,
    /// Pointers whose texts make the fingerprint of a probe.
    pub fingerprint: Vec<String>,
}

/// `body`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Body {
    /// A tree with holes.
    pub json: Option<toml::Value>,
    /// Form fields.
    pub form: BTreeMap<String, String>,
}

/// `result`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResultSection {
    /// Pointer, or `header:Location|last_segment`.
    pub id: Option<String>,
    /// Pointer to "it was created": false means that it existed.
    pub created: Option<String>,
    /// Pointer to the new version.
    pub version: Option<String>,
}

/// `keyset`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keyset {
    /// Of the first page: `{since}`.
    pub first: Option<toml::Value>,
    /// Of the next: `{ts}` and `{id}` of the last record, and `{since}`.
    pub next: Option<toml::Value>,
    /// Added to both with AND: `{until}`.
    pub upper: Option<String>,
}

/// `window`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Window {
    /// How far an incremental listing reads back.
    pub overlap: Option<String>,
    /// Instead of `overlap` where stamps are in local time.
    pub overlap_dst: Option<String>,
    /// The cursor stays this far behind the server's clock.
    pub hold_back: Option<String>,
    /// Informational: the engine compares hashes.
    pub dedupe: Option<String>,
    /// `server` (default): the cursor is the server's clock. `rows`: the newest stamp seen, for stamps in
    /// a zone that we do not know.
    pub by: Option<String>,
    /// Bounds are cut to this.
    pub round: Option<String>,
    /// One request spans at most this.
    pub max_span: Option<String>,
}

/// `page`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageRule {
    /// `next_url`, `keyset_until`, `offset`, `none`.
    pub kind: String,
    /// Pointer to the next page's URL.
    pub url: Option<String>,
    /// Must be true.
    pub same_origin: Option<bool>,
    /// Class at which the listing goes on by keyset.
    pub restart_on: Option<String>,
    /// Pointer to "there is more", or `full_page`.
    pub more: Option<String>,
    /// Records per page.
    pub size: Option<usize>,
    /// `short_page`.
    pub until: Option<String>,
    /// Informational.
    pub re_read_if_moved: Option<bool>,
}

/// `gap_if`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapRule {
    /// Pointer to the earliest time that the feed knows.
    pub path: String,
    /// `{since}`.
    pub after: Option<String>,
    /// `full_sweep`.
    pub then: Option<String>,
}

/// `merged_into`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergedInto {
    /// The operation to ask.
    pub follow: String,
    /// Pointer to the winner's id.
    pub path: String,
}

const BUILT_IN: &[(&str, &str)] = &[
    ("netsuite.toml", include_str!("catalog/netsuite.toml")),
    ("salesforce.toml", include_str!("catalog/salesforce.toml")),
    ("tryton.toml", include_str!("catalog/tryton.toml")),
];

/// Reads and checks one definition.
///
/// # Errors
/// Every problem found, each with the file's name.
pub fn parse(file: &str, source: &str) -> Result<Definition, Vec<String>> {
    let mut definition: Definition =
        toml::from_str(source).map_err(|error| vec![format!("{file}: {}", explain(&error, source))])?;
    definition.document = toml::from_str(source).unwrap_or_default();
    let problems = lint::check(&definition);
    if problems.is_empty() {
        Ok(definition)
    } else {
        Err(problems.into_iter().map(|problem| format!("{file}: {problem}")).collect())
    }
}

/// Line, what is wrong, and the nearest valid name.
fn explain(error: &toml::de::Error, source: &str) -> String {
    let line = error.span().map(|span| {
        source.get(..span.start).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count() + 1
    });
    let message = error.message();
    let mut text = line.map_or_else(|| message.to_owned(), |line| format!("line {line}: {message}"));
    if message.starts_with("unknown field") {
        let mut names = message.split('`').skip(1).step_by(2);
        if let Some(got) = names.next() {
            let hint = super::placeholder::unknown("key", got, names);
            if let Some((_, near)) = hint.split_once("; ") {
                text = format!("{text}; {near}");
            }
        }
    }
    text
}

/// The definitions by id: those built in, and the user's own, which win.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    definitions: BTreeMap<String, Arc<Definition>>,
}

impl Catalog {
    /// Only what is built in.
    ///
    /// # Errors
    /// Never in a released program: a test proves that all of them are clean.
    pub fn built_in() -> Result<Self, Vec<String>> {
        let mut catalog = Self::default();
        let mut problems = Vec::new();
        for (file, source) in BUILT_IN {
            match parse(file, source) {
                Ok(definition) => catalog.add(definition),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(catalog) } else { Err(problems) }
    }

    fn add(&mut self, definition: Definition) {
        self.definitions.insert(definition.connector.id.clone(), Arc::new(definition));
    }

    /// The definition of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<Definition>> {
        self.definitions.get(id)
    }

    /// All, by id.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values()
    }
}

/// What is built in, and the `*.toml` files of `dir`; a file with the id of a built-in one replaces it.
///
/// # Errors
/// Every problem of every file.
pub fn load_definitions(dir: Option<&Path>) -> Result<Catalog, Vec<String>> {
    let mut catalog = Catalog::built_in()?;
    let Some(dir) = dir else { return Ok(catalog) };
    let entries = std::fs::read_dir(dir)
        .map_err(|error| vec![format!("[connectors] dir {}: {error}", dir.display())])?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for path in files {
        let shown = path.display().to_string();
        let parsed = std::fs::read_to_string(&path)
            .map_err(|error| vec![format!("{shown}: {error}")])
            .and_then(|source| parse(&shown, &source));
        match parsed {
            Ok(definition) => {
                let id = definition.connector.id.clone();
                if let Some(other) = seen.insert(id.clone(), shown.clone()) {
                    problems.push(format!("{shown}: connector id {id:?} is already in {other}"));
                }
                catalog.add(definition);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(catalog) } else { Err(problems) }
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
=======
>>>>>>> main
