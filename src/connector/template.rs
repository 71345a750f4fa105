//! The part of a definition that says how entities are read and written: templates and their operations.
//!
//! Like `definition.rs`, this file only gives names to what the file says.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Table;

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
