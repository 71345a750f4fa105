//! What a sync is, after the config has been read and checked: plain data for the decision core.
//!
//! Built by `config/`, read by `core/merge` and `engine/`. Nothing here is parsed, looked up or defaulted:
//! a `SyncSpec` that exists is complete and consistent.

use std::time::Duration;

use super::lens::Lens;
use super::value::{FieldType, Value};

/// Which side of a sync, by its place in [`SyncSpec::sides`].
pub type SideIx = usize;

/// One `[[sync]]`.
#[derive(Debug, Clone)]
pub struct SyncSpec {
    /// Unique over syncs, flows and exports.
    pub name: String,
    /// Two or more sides, in the order of the config file.
    pub sides: Vec<SideSpec>,
    /// The fields, in the order of the config file.
    pub fields: Vec<FieldSpec>,
    /// Fields decided together, each under one rule; every field is in exactly one unit. A field without
    /// `group` is a unit of one.
    pub units: Vec<Unit>,
    /// `schedule`: five-field cron text for the incremental poll.
    pub schedule: String,
    /// `sweep`: five-field cron text for the complete listing.
    pub sweep: String,
    /// `settle`.
    pub settle: Duration,
    /// `where`: source text of the condition over the sync's fields; `None` takes every record.
    pub scope: Option<String>,
    /// `on_leave`.
    pub on_leave: OnLeave,
    /// `first`.
    pub first: First,
    /// `[sync.guard]`.
    pub guard: GuardSpec,
}

/// One `[sync.sides.NAME]`.
#[derive(Debug, Clone)]
pub struct SideSpec {
    /// The side's name: its system unless `system` says otherwise.
    pub name: String,
    /// The system it lives in.
    pub system: String,
    /// The entity there, by the vendor's name.
    pub entity: String,
    /// Tallyfy runs: the template (title, alias or id).
    pub template: Option<String>,
    /// Sides for whose records a counterpart is created here. Empty: never.
    pub create_for: Vec<SideIx>,
    /// `defaults`: path -> template source, sent on create only.
    pub defaults: Vec<(String, String)>,
    /// The path where the mark goes by which a create is found again.
    pub marker: Option<String>,
    /// `on_delete`.
    pub on_delete: OnDelete,
    /// `archived = "deleted"`: an archived record counts as deleted.
    pub archived_is_deleted: bool,
    /// `search_lag`: how long a fresh record may be missing from searches.
    pub search_lag: Duration,
    /// `on_uncertain`.
    pub on_uncertain: OnUncertain,
    /// `reopen = true`: a completed task may be reopened by us.
    pub reopen: bool,
}

/// What a proven delete elsewhere does on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// The link ends, the record stays (default).
    Unlink,
    /// The record is archived.
    Archive,
    /// The record is deleted.
    Delete,
    /// A person decides.
    Ask,
}

/// What to do with a create whose outcome is unknown and cannot be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUncertain {
    /// Stop and ask (default).
    Hold,
    /// Send again: a duplicate is possible.
    Retry,
    /// Take it as done.
    AssumeDone,
}

/// What happens to the link of a record that leaves the scope (P10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLeave {
    /// The link stays, nothing is written (default).
    Freeze,
    /// The link ends.
    Unlink,
    /// Treated as a delete, under the guard.
    Delete,
}

/// How fields that differ are decided when records are first linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// Store a conflict (default).
    Ask,
    /// The first side of the list that has the field.
    Prefer(Vec<SideIx>),
}

/// One `[sync.fields.NAME]`.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    /// The field's name.
    pub name: String,
    /// Its type.
    pub kind: FieldType,
    /// One lens per side, in the order of [`SyncSpec::sides`]; `None` where the side lacks the field.
    pub lenses: Vec<Option<Lens>>,
    /// `key = true`.
    pub key: bool,
    /// The only side whose changes count.
    pub owner: Option<SideIx>,
    /// How values are compared; what is stored stays untouched.
    pub normalise: Vec<Normalise>,
    /// `on_blank = "keep"`: a blank does not travel.
    pub keep_on_blank: bool,
    /// `too_long = "truncate"`.
    pub truncate: bool,
}

/// A step of `normalise`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalise {
    /// Leading and trailing white space does not count.
    Trim,
    /// Runs of white space count as one blank.
    Collapse,
    /// Case does not count.
    Lower,
    /// Unicode NFC.
    Nfc,
}

/// Fields that are decided together, under one rule.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The group's name, or the field's own.
    pub name: String,
    /// Places in [`SyncSpec::fields`].
    pub fields: Vec<usize>,
    /// The rule.
    pub rule: Rule,
}

/// How a conflict is decided (design section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Store the conflict and touch nothing (default).
    Ask,
    /// The first of these sides that changed.
    Prefer(Vec<SideIx>),
    /// The value furthest along this order.
    Furthest(Vec<Value>),
    /// The largest value.
    Largest,
    /// The smallest value.
    Smallest,
    /// Three-way union of sets, from every side's delta.
    Union,
    /// Counter: the sum of every side's delta.
    Sum,
    /// The newest by the systems' own stamps, corrected by the measured clock offset.
    Newest,
    /// The oldest likewise.
    Oldest,
}

/// The brakes of `[sync.guard]`, with the defaults of design section 5.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardSpec {
    /// A record counts as missing after absence from this many complete sweeps.
    pub delete_sweeps: u32,
    /// The sweeps must span at least this.
    pub delete_over: Duration,
    /// Most deletes in the window.
    pub delete_max: u32,
    /// Most deletes in the window, in percent of linked records (at least one).
    pub delete_percent: f64,
    /// The window of the delete guard.
    pub delete_window: Duration,
    /// Most creates in the window.
    pub create_max: u32,
    /// The window of the create guard.
    pub create_window: Duration,
    /// Most records updated in one plan, in percent of linked records.
    pub update_percent: f64,
    /// The percentage counts only above this many.
    pub update_min: u32,
    /// Most values blanked in one plan, in percent of linked records.
    pub blank_percent: f64,
}

impl Default for GuardSpec {
    fn default() -> Self {
        Self {
            delete_sweeps: 3,
            delete_over: Duration::from_secs(3600),
            delete_max: 10,
            delete_percent: 2.0,
            delete_window: Duration::from_secs(24 * 3600),
            create_max: 200,
            create_window: Duration::from_secs(3600),
            update_percent: 30.0,
            update_min: 50,
            blank_percent: 10.0,
        }
    }
}
