//! Expressions and templates: MiniJinja, sandboxed, strict, with typed values.
use super::record::Values;
use super::value::Value;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As written.
    pub source: String,
}
/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    /// As written.
    pub source: String,
}
/// The names that an expression sees.
#[derive(Debug, Clone, Default)]
pub struct Scope {}
impl Scope {
    /// No names.
    pub fn new() -> Scope {
        todo!()
    }
    /// Adds a typed value.
    pub fn value(self, _name: &str, _value: &Value) -> Scope {
        todo!()
    }
    /// Adds a raw value.
    pub fn json(self, _name: &str, _raw: Json) -> Scope {
        todo!()
    }
    /// Adds a record by its paths (`record.PATH`).
    pub fn record(self, _name: &str, _values: Arc<Values>) -> Scope {
        todo!()
    }
}
impl Expression {
    /// Compiles.
    pub fn compile(_source: &str) -> Result<Expression, String> {
        todo!()
    }
    /// The names it uses.
    pub fn roots(&self) -> &BTreeSet<String> {
        todo!()
    }
    /// The `record.PATH`s it uses.
    pub fn paths(&self) -> &BTreeSet<String> {
        todo!()
    }
    /// Evaluates to JSON: decimals exact, dates as ISO text.
    pub fn eval_json(&self, _scope: &Scope) -> Result<Json, String> {
        todo!()
    }
    /// Evaluates to a typed value.
    pub fn eval(&self, _scope: &Scope) -> Result<Value, String> {
        todo!()
    }
    /// Evaluates a condition; anything but true or false is an error.
    pub fn condition(&self, _scope: &Scope) -> Result<bool, String> {
        todo!()
    }
}
impl Template {
    /// Compiles.
    pub fn compile(_source: &str) -> Result<Template, String> {
        todo!()
    }
    /// The names it uses.
    pub fn roots(&self) -> &BTreeSet<String> {
        todo!()
    }
    /// The `record.PATH`s it uses.
    pub fn paths(&self) -> &BTreeSet<String> {
        todo!()
    }
    /// Renders; a text that is exactly one `{{ }}` keeps its type.
    pub fn render(&self, _scope: &Scope) -> Result<Json, String> {
        todo!()
    }
}
