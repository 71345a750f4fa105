//! Accounting for a write that was answered.
use super::spec::{FieldSpec, SideIx, Unit};
use super::value::{FieldType, Seen, Value};

/// What is known after a write of one unit to one member.
#[derive(Debug, Clone)]
pub struct WriteBack<'a> {
    /// The fields of the sync.
    pub fields: &'a [FieldSpec],
    /// The unit.
    pub unit: &'a Unit,
    /// The side written.
    pub side: SideIx,
    /// The base before.
    pub base: &'a [Value],
    /// What was sent, in the sync's domain; `None`: not sent.
    pub sent: &'a [Option<Value>],
    /// The number of the agreed value that was sent.
    pub number: u64,
    /// What the side shows now.
    pub shown: &'a [Seen],
    /// The answer, or the version, proves that it is what our write produced.
    pub proven: bool,
}
/// What a write led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The new base.
    pub base: Vec<Value>,
    /// The number it stands for.
    pub stands: u64,
    /// What happened.
    pub outcome: Outcome,
}
/// How what the side shows relates to what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It shows what was sent.
    AsSent,
    /// It shows another spelling of it; says which.
    Normalised(String),
    /// Somebody else changed it meanwhile: the difference travels as a change.
    OutsideEdit(String),
}
/// Accounts for a write that was accepted.
pub fn after_write(_back: &WriteBack) -> Account {
    todo!()
}
/// What a side may have done to a value without changing its meaning; `None` when nothing explains it.
pub fn explains(_kind: &FieldType, _sent: &Value, _shown: &Value) -> Option<&'static str> {
    todo!()
}
