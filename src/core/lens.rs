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
