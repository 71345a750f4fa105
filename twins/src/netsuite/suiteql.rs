//! The plain data of a parsed query.
//!
//! No parsing and no evaluation here.

use super::suiteql_cell::Cell;

/// Why a query cannot be read or run; the sentence that the answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueryError(pub(super) String);

/// A parsed `SELECT`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Select {
    /// What to print; empty for `SELECT *`.
    pub(super) columns: Vec<Column>,
    /// The table.
    pub(super) table: String,
    /// The table's alias.
    pub(super) alias: Option<String>,
    /// What a row must satisfy.
    pub(super) condition: Option<Condition>,
    /// The order, first key first.
    pub(super) order: Vec<OrderBy>,
    /// How many rows at most.
    pub(super) limit: Option<usize>,
}

/// One printed column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    /// What it prints.
    pub(super) expression: Expression,
    /// What it is called in the answer, in lower case.
    pub(super) name: String,
}

/// A value inside a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// A column, with the alias it was qualified by.
    Column(Option<String>, String),
    /// A literal.
    Literal(Cell),
    /// A function call; the name is in upper case.
    Call(String, Vec<Expression>),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// `=`
    Equal,
    /// `!=` or `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`
    Like,
}

/// What a row must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// All of them.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// One comparison.
    Compare(Expression, Comparison, Expression),
    /// Being one of a list, or none of it when the flag says negated.
    In(Expression, Vec<Expression>, bool),
    /// Having no value, or having one when the flag says negated.
    IsNull(Expression, bool),
}

/// One key of the order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OrderBy {
    /// What to order by.
    pub(super) expression: Expression,
    /// Whether the largest come first.
    pub(super) descending: bool,
    /// Whether rows without a value come last, where the query says so.
    pub(super) nulls_last: Option<bool>,
}
