//! Expressions and templates: MiniJinja, sandboxed, strict, with typed values.

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As written.
    pub source: String,
}
