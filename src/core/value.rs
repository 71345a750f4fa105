//! The values a sync compares: typed, exact, and with one canonical form each.
//!
//! A `Value` lives in the sync's own domain. How it is read from and written to one side is the lens's
//! business (`lens.rs`); this file knows no side, no path and no vendor.

use std::collections::BTreeSet;

use jiff::{Timestamp, civil};
use rust_decimal::Decimal;

/// The type of a field, as written in `type = "..."` (design section 5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// `text`, the default.
    Text,
    /// `integer`.
    Integer,
    /// `decimal(N)`: exact, rounded half away from zero to N digits when read.
    Decimal(u32),
    /// `boolean`.
    Boolean,
    /// `date`: a calendar day without a zone.
    Date,
    /// `datetime`: an instant.
    DateTime,
    /// `set`: unordered texts without repeats.
    Set,
    /// `list`: ordered texts.
    List,
    /// `ref(SYNC)`: the link of that sync which the side's record id belongs to.
    Ref(String),
}

/// A value in the sync's domain.
///
/// A blank text is `Null`: most APIs cannot tell the two apart, so neither does a comparison. A field that
/// is not there at all is not a value; see [`Seen`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Known to be empty.
    Null,
    /// A text that is not empty.
    Text(String),
    /// An integer or an exact decimal, normalised (no trailing zeros).
    Number(Decimal),
    /// True or false.
    Boolean(bool),
    /// A calendar day.
    Date(civil::Date),
    /// An instant, to the microsecond.
    Instant(Timestamp),
    /// Unordered texts.
    Set(BTreeSet<String>),
    /// Ordered texts.
    List(Vec<String>),
    /// The link (by number) that a reference points to.
    Link(i64),
}

/// What one side shows for one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The side has no such field on this record: it takes no part in the field.
    Absent,
    /// There is something we cannot read as the field's type, or a value outside the value map:
    /// reported, never propagated, never overwritten. The text says why.
    Unknown(String),
    /// A value.
    Value(Value),
}

impl Value {
    /// Nothing is there: null, or a set or list without entries.
    pub fn is_blank(&self) -> bool {
        todo!()
    }
    /// The comparison form under a field's `normalise`: two values are the same when their keys are equal.
    pub fn key(&self, _normalise: &[super::spec::Normalise]) -> Value {
        todo!()
    }
    /// The form in which the state file keeps it: exact, and readable by a person.
    pub fn stored(&self) -> serde_json::Value {
        todo!()
    }
    /// Reads [`Value::stored`] back; `None` when the text is not of that type.
    pub fn from_stored(_kind: &FieldType, _stored: &serde_json::Value) -> Option<Value> {
        todo!()
    }
}
impl std::fmt::Display for Value {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::fmt::Display for FieldType {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
