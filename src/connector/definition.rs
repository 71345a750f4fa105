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
