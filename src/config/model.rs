//! The checked config as plain data: what `sync.toml` says, with secrets still by reference.
//!
//! Parsing and checking stand in the other files of this folder; nothing here reads a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::core::spec::SyncSpec;

/// Everything the program was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// `[state]`.
    pub state: StateSpec,
    /// `[daemon]`.
    pub daemon: DaemonSpec,
    /// `[connectors] dir`, absolute.
    pub connectors_dir: Option<PathBuf>,
    /// `[systems.NAME]`, by name.
    pub systems: BTreeMap<String, SystemSpec>,
    /// `[[sync]]`, in order.
    pub syncs: Vec<SyncSpec>,
    /// Per sync, a text of everything whose change needs a new acceptance (P9), field by field; compared
    /// as text, shown as a difference. In the order of `syncs`.
    pub meanings: Vec<Meaning>,
    /// Remarks that do not stop the start.
    pub warnings: Vec<String>,
}

/// What P9 compares: the parts of a sync whose change makes it write nothing until accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// `part -> text`, for example `sides.erp.entity -> salesOrder`. Neither secrets, schedules, budgets
    /// nor guards are in it.
    pub parts: BTreeMap<String, String>,
}

/// `[state]`.
#[derive(Debug, Clone)]
pub struct StateSpec {
    /// The SQLite file, absolute.
    pub path: PathBuf,
    /// The epoch file outside it (P14).
    pub epoch: Option<PathBuf>,
}

/// `[daemon]`.
#[derive(Debug, Clone)]
pub struct DaemonSpec {
    /// Address to listen on; empty: none.
    pub listen: String,
    /// What to register as webhook address.
    pub public_url: Option<String>,
    /// IANA name of the zone that schedules are read in.
    pub timezone: String,
}

/// `[systems.NAME]`.
#[derive(Debug, Clone)]
pub struct SystemSpec {
    /// Its name.
    pub name: String,
    /// `tallyfy`, or the id of a connector definition.
    pub connector: String,
    /// Overrides the connector's own host and becomes the pinned one.
    pub base_url: Option<String>,
    /// Tallyfy: the organisation id.
    pub organization: Option<String>,
    /// Tallyfy: `organizations` (default) or `v1`.
    pub api: Option<String>,
    /// `auth = { kind = "...", ... }`: replaces the connector's own (or, for Tallyfy, is the only one).
    pub auth: Option<AuthSpec>,
    /// `vars`.
    pub vars: BTreeMap<String, VarValue>,
    /// `budget`.
    pub budget: BudgetSpec,
}

/// `auth = { kind, ... }`.
#[derive(Debug, Clone)]
pub struct AuthSpec {
    /// `token`, `password`, `refresh`, `client_credentials`, ...
    pub kind: String,
    /// The other keys.
    pub values: BTreeMap<String, VarValue>,
}

/// A plain text or a secret by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VarValue {
    /// A text, number or boolean, as text.
    Plain(String),
    /// `{ env = }`, `{ file = }`, `{ credential = }`.
    Secret(SecretRef),
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file, absolute.
    File(PathBuf),
    /// A file in systemd's credentials directory.
    Credential(String),
}

/// `budget`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BudgetSpec {
    /// Calls per minute; `None`: the connector's own limit.
    pub per_minute: Option<u32>,
    /// Calls per day.
    pub per_day: Option<u32>,
    /// Calls in flight at once.
    pub max_in_flight: Option<u32>,
}
