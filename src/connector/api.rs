//! The one trait behind which every outside system stands, and the words it answers in.
//!
//! The engine knows systems only through this file: the declarative connectors and the Tallyfy adapter
//! implement it. No method here retries a write, decides a conflict or touches the state file; each sends
//! what it is asked to send and says exactly what is known about the outcome.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::core::record::{Record, Values};
use crate::ports::BoxFuture;

/// One outside system: a Tallyfy organisation, a Salesforce org, a NetSuite account.
pub trait System: Send + Sync {
    /// What the API of this entity can do; the guarantee card is derived from it.
    ///
    /// # Errors
    /// `Failure` of class `Invalid` when the entity cannot be served at all.
    fn capabilities(&self, entity: &str) -> Result<Capabilities, Failure>;

    /// Names what its definition means, as text: a changed one needs a new acceptance (P9).
    fn definition(&self) -> String;

    /// Who we are there and what the clock says: tenant, principal, clock offset.
    fn probe(&self) -> BoxFuture<'_, Result<Probe, Failure>>;

    /// Prepares an entity for reading and writing the requested paths: names are resolved here, and an
    /// unknown template, field or option is a `Failure` of class `Invalid` that names it and the nearest
    /// valid ones. Cheap to call again; it re-resolves.
    fn open(&self, request: EntityRequest) -> BoxFuture<'_, Result<Arc<dyn Entity>, Failure>>;
}

/// Which records of a system are wanted, and which of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityRequest {
    /// By the vendor's name.
    pub entity: String,
    /// Tallyfy runs: the template (title, alias or id).
    pub template: Option<String>,
    /// The mapped paths, sorted, without repeats.
    pub paths: Vec<String>,
    /// Those of `paths` that will be written; a read-only one is a failure.
    pub written: Vec<String>,
    /// The path that carries the mark of a create, where the API has no better create identity.
    pub marker: Option<String>,
    /// How long a fresh record may be missing from searches.
    pub search_lag: Duration,
    /// `reopen = true`: a completed task may be reopened by a write.
    pub reopen: bool,
}

/// One entity of one system, opened for a set of paths.
pub trait Entity: Send + Sync {
    /// Identifies the listing form: definition, entity, resolved names, paths. A raw hash belongs to one
    /// form; when this text changes, every record is decoded again.
    fn form(&self) -> &str;

    /// One page. `page` is `None` for the first, then what the last [`Page::next`] said.
    fn list<'a>(
        &'a self,
        listing: &'a Listing,
        page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, Failure>>;

    /// Decodes one raw item of a page. Pure.
    ///
    /// # Errors
    /// `Failure` of class `Bug` naming the record when the item is not what the definition says.
    fn decode(&self, raw: &str) -> Result<Record, Failure>;

    /// Reads one record by id, as fresh as the API can.
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Lookup, Failure>>;

    /// Records whose `path` has this value, archived ones included. Used for markers and keys.
    /// Only called when [`Capabilities::find`] says that it can be asked for this path.
    fn find<'a>(&'a self, path: &'a str, value: &'a Json) -> BoxFuture<'a, Result<Vec<Record>, Failure>>;

    /// Looks for a record that an earlier [`Entity::create`] with this mark may have made.
    fn find_marked<'a>(&'a self, mark: &'a str) -> BoxFuture<'a, Result<Vec<Record>, Failure>>;

    /// Why no record can be created as this side is configured, where that is known before one is tried.
    fn creates_refused(&self) -> Option<String> {
        None
    }

    /// Creates a record. One attempt; an unknown outcome is a `Failure` with [`Applied::Unknown`].
    fn create<'a>(&'a self, new: &'a NewRecord) -> BoxFuture<'a, Result<Written, Failure>>;

    /// Writes these paths of a record, with the strongest condition the API offers against `expected`,
    /// which was read just before. Sends nothing but `changes` and what the API forces us to echo.
    fn update<'a>(
        &'a self,
        expected: &'a Record,
        changes: &'a Values,
    ) -> BoxFuture<'a, Result<Written, Failure>>;

    /// Archives or deletes a record, conditional on `expected` where the API can.
    fn remove<'a>(&'a self, expected: &'a Record, how: Removal) -> BoxFuture<'a, Result<Written, Failure>>;

    /// Records that the system itself says were deleted since `since` (opaque, from the last answer).
    /// Only called when [`Capabilities::deletes`] is `Feed`.
    fn tombstones<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Tombstones, Failure>>;
}

/// What kind of listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// A sweep: every record with its mapped values. The only listing that may prove absence.
    Full,
    /// What changed since this cursor (with overlap); `None` starts from the beginning.
    Since(Option<String>),
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The items, each with its id and its raw text. The raw text decides by its hash whether anything
    /// needs to be decoded.
    pub items: Vec<RawItem>,
    /// Where the next page is; `None` on the last.
    pub next: Option<String>,
    /// On the last page: where the next incremental listing continues.
    pub cursor: Option<String>,
    /// How many records the system says there are in the whole listing.
    pub total: Option<u64>,
    /// The listing was not what it claims to be complete (server cap, restarted cursor, shifted pages):
    /// it may bring changes but must not prove absence. The text says why.
    pub incomplete: Option<String>,
}

/// One item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawItem {
    /// The record's id, normalised.
    pub id: String,
    /// The item's text as it stood in the answer.
    pub raw: String,
}

/// The answer to a read by id.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// There it is (possibly archived).
    Found(Record),
    /// Proof that it was deleted: a tombstone, 410, or 404 where the card says that 404 means gone.
    Gone {
        /// What the system said.
        evidence: String,
        /// The record it was merged into, where the system tells.
        merged_into: Option<String>,
    },
    /// Not there for us: deleted or hidden, the API does not say which.
    Missing(String),
}

/// A record to create.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// Mapped paths, and the `defaults` of the side.
    pub values: Values,
    /// Our mark: random, stored before anything is sent, never from time or business data.
    pub mark: String,
}

/// What is known after a write that the system accepted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// The id of the record (a create).
    pub id: Option<String>,
    /// The record as the answer showed it, when the answer shows it completely.
    pub record: Option<Record>,
    /// The version that exactly this write produced, when the API tells.
    pub version: Option<String>,
    /// The create found that the record with this mark existed already.
    pub existed: bool,
}

/// How a record is put away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The softest form.
    Archive,
    /// For good.
    Delete,
}

/// A stretch of the delete feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// Ids with the time of deletion and, after a merge, the id of the winner.
    pub ids: Vec<(String, Option<Timestamp>, Option<String>)>,
    /// Where to continue.
    pub next_since: Option<String>,
    /// The feed does not reach back far enough: only a sweep can tell what was missed.
    pub gap: bool,
}

/// Who we are in a system, and how its clock stands to ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// Tenant and principal, without secrets: a changed text means that another world may be visible.
    pub fingerprint: String,
    /// For people: "Corp GmbH, as sync@corp.example".
    pub title: String,
    /// Server clock minus ours, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// How far that may be wrong, in milliseconds.
    pub clock_error_ms: i64,
}

/// The capability axes of one entity (`docs/guarantees.md` section 0). The guarantee card is computed from
/// them and from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// V: write condition.
    pub condition: WriteCondition,
    /// K: create identity.
    pub create: CreateIdentity,
    /// D: delete visibility.
    pub deletes: DeleteVisibility,
    /// A 404 by id proves deletion.
    pub not_found_is_gone: bool,
    /// L: listing.
    pub listing: ListingKind,
    /// There is an incremental listing.
    pub incremental: bool,
    /// P: update shape.
    pub partial_update: bool,
    /// What the API forces us to repeat with every update, read just before ("members and groups").
    pub echoes: Option<String>,
    /// C: reads by id show our own writes at once.
    pub read_your_writes: bool,
    /// I: an id is never used again.
    pub ids_never_reused: bool,
    /// Which paths `find` can be asked for.
    pub find: FindPaths,
    /// The record can be archived.
    pub archive: bool,
    /// The record can be deleted.
    pub delete: bool,
    /// A remark for the card, from the definition ("exact to one second").
    pub condition_note: Option<String>,
}

/// V0, V1, V2 of the card; `Inexact` is a condition with one-second resolution or one that is racy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteCondition {
    /// V0: nothing to detect a concurrent write by.
    None,
    /// V1: a readable version or stamp: read, compare, write.
    Compare,
    /// V2 in form, but not exact.
    Inexact,
    /// V2: the system refuses a write whose condition does not hold.
    Exact,
}

/// K0 to K3 of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateIdentity {
    /// K0: none.
    None,
    /// K1: a marker that can be searched.
    Marker,
    /// K2: a unique external id with upsert or rejection.
    External,
    /// K3: an idempotency key.
    IdempotencyKey,
}

/// D0 to D2 of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteVisibility {
    /// D0: only missing from lists.
    Absence,
    /// D1: reading by id says gone.
    ById,
    /// D2: a delete feed.
    Feed,
}

/// L0 to L3 of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingKind {
    /// L0: offset pages over an unstable order.
    Offset,
    /// L1: a stable order on an immutable key.
    Stable,
    /// L2: a snapshot cursor.
    Snapshot,
    /// L3: a delta feed.
    Delta,
}

/// For which paths a look-up by value is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindPaths {
    /// None.
    None,
    /// These.
    Some(Vec<String>),
    /// Any mapped path.
    Any,
}

/// Whether a failed call changed the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Certainly not.
    No,
    /// It may have: sent, and the answer lost or unreadable.
    Unknown,
}

/// The closed set of error classes; each has one reaction in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Credentials do not work: the system stops and a person is told.
    Auth,
    /// This record or entity is not ours to read or write: park.
    Forbidden,
    /// Too many calls: the connection pauses.
    Throttled,
    /// The quota is used up: the connection pauses for long.
    Quota,
    /// Comes right by itself: backoff.
    Transient,
    /// Locked by somebody for seconds: backoff.
    Locked,
    /// A business hold (closed period): slow retry, then park.
    Held,
    /// The condition of the write did not hold: read again and decide again.
    Conflict,
    /// The record is gone.
    Gone,
    /// A create hit an existing record.
    AlreadyExists,
    /// A look-up found several.
    Ambiguous,
    /// The request is wrong: park until record, rule or config changes.
    Invalid,
    /// The cursor is no longer valid: start the listing again.
    CursorExpired,
    /// The answer is not what the definition says (login page, truncated JSON): nothing is concluded.
    Bug,
}

/// Everything that is known about a call that did not succeed, for the engine and for the person at 3 a.m.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The class decides what happens next.
    pub class: FailureClass,
    /// Whether the system may have changed.
    pub applied: Applied,
    /// What was attempted: `update salesOrder 1042 in erp`.
    pub attempted: String,
    /// What the system answered: status, code, message; no secrets, capped.
    pub answered: String,
    /// When to try again, if the system said so.
    pub retry_after: Option<Duration>,
    /// The fields that the system complains about, by path.
    pub fields: Vec<String>,
}

impl Failure {
    /// A failure of that class that certainly changed nothing.
    pub fn new(class: FailureClass, attempted: impl Into<String>, answered: impl Into<String>) -> Self {
        Self {
            class,
            applied: Applied::No,
            attempted: attempted.into(),
            answered: answered.into(),
            retry_after: None,
            fields: Vec::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.attempted, self.answered)
    }
}

impl std::error::Error for Failure {}

/// A place for secrets that must outlive the process: rotated refresh tokens and keys. Implemented by the
/// engine over the state file, encrypted; the connector only sees text.
pub trait SecretStore: Send + Sync {
    /// The stored secret of that name.
    ///
    /// # Errors
    /// When the state file cannot be read or the key does not fit.
    fn load(&self, name: &str) -> Result<Option<String>, String>;
    /// Stores it durably before returning.
    ///
    /// # Errors
    /// When the state file cannot be written.
    fn save(&self, name: &str, secret: &str) -> Result<(), String>;
}
