//! How a field is read from and written to one side.

use super::expr::Expression;
use super::value::{FieldType, Value};

/// The way between one side's raw values and the sync's domain.
#[derive(Debug, Clone)]
pub struct Lens {
    /// Where the value stands on that side; empty when `read` computes it from several paths.
    pub path: String,
    /// The field's type.
    pub kind: FieldType,
    /// `values`: raw value on the side, value in the sync. Empty: none.
    pub values: Vec<(serde_json::Value, Value)>,
    /// `read = EXPR` over `value` (raw value at `path`) and `record`.
    pub read: Option<Expression>,
    /// `write = EXPR` over `value` (the sync's value).
    pub write: Option<Expression>,
    /// The side may be written: false with `read` and no `write`.
    pub writable: bool,
    /// Every path that must be requested from the side.
    pub paths: Vec<String>,
}

/// What a [`Lens`] is made from.
#[derive(Debug, Clone)]
pub struct LensParts {
    /// Where the value stands; empty with `read` alone.
    pub path: String,
    /// The field's type.
    pub kind: FieldType,
    /// Raw value on the side, value in the sync, both as written.
    pub values: Vec<(serde_json::Value, serde_json::Value)>,
    /// `read = EXPR`.
    pub read: Option<String>,
    /// `write = EXPR`.
    pub write: Option<String>,
}
impl Lens {
    /// Checks and compiles.
    pub fn new(_parts: LensParts) -> Result<Lens, String> {
        todo!()
    }
    /// What the side shows.
    pub fn read(&self, _values: &super::record::Values) -> super::value::Seen {
        todo!()
    }
    /// The raw value to send at `path`.
    pub fn write(&self, _value: &Value) -> Result<serde_json::Value, String> {
        todo!()
    }
    /// What that value looks like on this side.
    pub fn image(&self, _value: &Value) -> Option<Value> {
        todo!()
    }
    /// A text that names everything whose change gives the field another meaning on this side.
    pub fn hash(&self) -> String {
        todo!()
    }
    /// Reading what was written gives the same back, over this record.
    pub fn check_law(&self, _values: &super::record::Values) -> Result<(), String> {
        todo!()
    }
}
