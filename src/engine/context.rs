//! What one pass over one sync carries into the store's thread: the spec, the streams, the time.
//!
//! Plain data and pure helpers; nothing here reads the store or a system.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::StreamKey;
use crate::connector::api::Capabilities;
use crate::core::expr::{Expression, Scope, Template};
use crate::core::record::Values;
use crate::core::spec::{SideIx, SideSpec, SyncSpec};
use crate::core::value::{FieldType, Value};
use crate::ports::Random;

/// One side as the pass sees it.
#[derive(Clone)]
pub struct SideContext {
    /// Its stream.
    pub stream: i64,
    /// What its API can do; `None` when it could not be opened.
    pub capabilities: Option<Capabilities>,
    /// Its last listing succeeded in this pass: absence of a counterpart means something.
    pub fresh: bool,
    /// Its clock minus ours.
    pub clock_offset: SignedDuration,
    /// How far that may be wrong, in milliseconds.
    pub clock_error_ms: i64,
    /// Lens hash per field; empty where the side lacks the field.
    pub lenses: Vec<String>,
    /// `defaults`, compiled.
    pub defaults: Vec<(String, Template)>,
}

/// One sync in one pass.
#[derive(Clone)]
pub struct Context {
    /// The sync.
    pub spec: Arc<SyncSpec>,
    /// In the order of the spec.
    pub sides: Vec<SideContext>,
    /// `where`, compiled.
    pub scope: Option<Expression>,
    /// When the pass started.
    pub now: Timestamp,
    /// Wait for `settle`: the daemon does, `sync` and `plan` do not.
    pub settle: bool,
    /// For marks.
    pub random: Arc<dyn Random>,
}

impl Context {
    /// The side of that name.
    pub fn side_ix(&self, name: &str) -> Option<SideIx> {
        self.spec.sides.iter().position(|side| side.name == name)
    }

    /// The spec and context of a side.
    pub fn side(&self, ix: SideIx) -> Option<(&SideSpec, &SideContext)> {
        Some((self.spec.sides.get(ix)?, self.sides.get(ix)?))
    }

    /// Not-before for due links: `None` when settle does not count.
    pub fn settled(&self) -> Option<Timestamp> {
        self.settle.then_some(self.now)
    }

    /// Names for expressions: the sync's fields, and the raw record of the first side.
    pub fn scope_of(&self, values: &[Value], record: Option<Arc<Values>>) -> Scope {
        let mut scope = Scope::new();
        for (field, value) in self.spec.fields.iter().zip(values) {
            scope = scope.value(&field.name, value);
        }
        scope.record("record", record.unwrap_or_default())
    }

    /// What people call a record with these values: its key fields.
    pub fn title_of(&self, values: &[Value]) -> String {
        let keys: Vec<String> = self
            .spec
            .fields
            .iter()
            .zip(values)
            .filter(|(field, value)| field.key && !value.is_blank())
            .map(|(_, value)| value.to_string())
            .collect();
        keys.join(" / ")
    }

    /// A mark by which a create is found again: random, never made from time or business data.
    pub fn new_mark(&self) -> String {
        format!("ts-{:016x}{:08x}", self.random.next(), self.random.next() >> 32)
    }
}

/// The stream that a side reads.
pub fn stream_key(side: &SideSpec) -> StreamKey {
    (side.system.clone(), side.entity.clone(), side.template.clone().unwrap_or_default())
}

/// The syncs that this one's references point to.
pub fn parents(sync: &SyncSpec) -> Vec<String> {
    sync.fields
        .iter()
        .filter_map(|field| match &field.kind {
            FieldType::Ref(parent) => Some(parent.clone()),
            _ => None,
        })
        .collect()
}
