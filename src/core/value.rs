//! The values a sync compares: typed, exact, and with one canonical form each.
//!
//! A `Value` lives in the sync's own domain. How it is read from and written to one side is the lens's
//! business (`lens.rs`); this file knows no side, no path and no vendor.

use std::collections::BTreeSet;
use std::fmt;

use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use serde_json::Value as Json;
use unicode_normalization::UnicodeNormalization;

use super::spec::Normalise;

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
    /// A number in the one form in which numbers are kept: no trailing zeros, no negative zero.
    pub fn number(number: Decimal) -> Value {
        Value::Number(if number.is_zero() { Decimal::ZERO } else { number.normalize() })
    }

    /// A text; an empty one is `Null`.
    pub fn text(text: impl Into<String>) -> Value {
        let text = text.into();
        if text.is_empty() { Value::Null } else { Value::Text(text) }
    }

    /// Nothing is there: null, or a set or list without entries.
    pub fn is_blank(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            Value::Set(entries) => entries.is_empty(),
            Value::List(entries) => entries.is_empty(),
            Value::Number(_) | Value::Boolean(_) | Value::Date(_) | Value::Instant(_) | Value::Link(_) => {
                false
            }
        }
    }

    /// The comparison form under a field's `normalise`: two values are the same when their keys are equal.
    /// Never stored, never sent.
    pub fn key(&self, steps: &[Normalise]) -> Value {
        match self {
            blank if blank.is_blank() => Value::Null,
            Value::Text(text) => Value::text(normalise(text, steps)),
            Value::Set(entries) if !steps.is_empty() => {
                Value::Set(entries.iter().map(|entry| normalise(entry, steps)).collect())
            }
            Value::List(entries) if !steps.is_empty() => {
                Value::List(entries.iter().map(|entry| normalise(entry, steps)).collect())
            }
            other => other.clone(),
        }
    }

    /// The form in which the state file keeps it: exact, and readable by a person.
    pub fn stored(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Text(text) => Json::String(text.clone()),
            Value::Number(number) => number_json(*number),
            Value::Boolean(flag) => Json::Bool(*flag),
            Value::Date(date) => Json::String(date.to_string()),
            Value::Instant(instant) => Json::String(instant.to_string()),
            Value::Set(entries) => entries.iter().cloned().map(Json::String).collect(),
            Value::List(entries) => entries.iter().cloned().map(Json::String).collect(),
            Value::Link(link) => Json::from(*link),
        }
    }

    /// Reads [`Value::stored`] back; `None` when it is not the stored form of a value of that type, which
    /// happens after the type was changed.
    pub fn from_stored(kind: &FieldType, stored: &Json) -> Option<Value> {
        match (kind, stored) {
            (_, Json::Null) => Some(Value::Null),
            (FieldType::Text | FieldType::Ref(_), Json::String(text)) => Some(Value::text(text.clone())),
            (FieldType::Integer | FieldType::Decimal(_), Json::Number(number)) => {
                super::convert::exact_number(&number.to_string()).ok().map(Value::number)
            }
            (FieldType::Boolean, Json::Bool(flag)) => Some(Value::Boolean(*flag)),
            (FieldType::Date, Json::String(text)) => text.parse().ok().map(Value::Date),
            (FieldType::DateTime, Json::String(text)) => text.parse().ok().map(Value::Instant),
            (FieldType::Set, Json::Array(entries)) => texts(entries).map(Value::Set),
            (FieldType::List, Json::Array(entries)) => texts(entries).map(Value::List),
            (FieldType::Ref(_), Json::Number(number)) => number.as_i64().map(Value::Link),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            blank if blank.is_blank() => f.write_str("(blank)"),
            Value::Null => f.write_str("(blank)"),
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::Boolean(flag) => write!(f, "{flag}"),
            Value::Date(date) => write!(f, "{date}"),
            Value::Instant(instant) => write!(f, "{instant}"),
            Value::Set(entries) => join(f, entries.iter()),
            Value::List(entries) => join(f, entries.iter()),
            Value::Link(link) => write!(f, "link {link}"),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldType::Text => f.write_str("text"),
            FieldType::Integer => f.write_str("integer"),
            FieldType::Decimal(digits) => write!(f, "decimal({digits})"),
            FieldType::Boolean => f.write_str("boolean"),
            FieldType::Date => f.write_str("date"),
            FieldType::DateTime => f.write_str("datetime"),
            FieldType::Set => f.write_str("set"),
            FieldType::List => f.write_str("list"),
            FieldType::Ref(sync) => write!(f, "ref({sync})"),
        }
    }
}

/// A JSON number with every digit that the decimal has.
pub(crate) fn number_json(number: Decimal) -> Json {
    let text = number.to_string();
    // A plain decimal text is always a JSON number; the text is the honest fallback if that ever changes.
    text.parse::<serde_json::Number>().map_or(Json::String(text), Json::Number)
}

fn texts<C: FromIterator<String>>(entries: &[Json]) -> Option<C> {
    entries.iter().map(|entry| entry.as_str().map(str::to_owned)).collect()
}

fn join<'a>(f: &mut fmt::Formatter<'_>, entries: impl Iterator<Item = &'a String>) -> fmt::Result {
    for (place, entry) in entries.enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        f.write_str(entry)?;
    }
    Ok(())
}

/// Applies the steps in one fixed order, whatever the order in the config: composing first and folding case
/// last, and composing again because folding can decompose.
fn normalise(text: &str, steps: &[Normalise]) -> String {
    let has = |step| steps.contains(&step);
    let mut text = if has(Normalise::Nfc) { text.nfc().collect() } else { text.to_owned() };
    if has(Normalise::Collapse) {
        text = collapse(&text);
    }
    if has(Normalise::Trim) {
        text = text.trim().to_owned();
    }
    if has(Normalise::Lower) {
        text = text.to_lowercase();
        if has(Normalise::Nfc) {
            text = text.nfc().collect();
        }
    }
    text
}

fn collapse(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut in_space = false;
    for character in text.chars() {
        if !character.is_whitespace() {
            result.push(character);
        } else if !in_space {
            result.push(' ');
        }
        in_space = character.is_whitespace();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ignores_only_what_it_was_told_to_ignore() {
        let text = Value::text("  Caf\u{65}\u{301}   Mitte ");
        assert_eq!(text.key(&[]), text);
        assert_eq!(text.key(&[Normalise::Trim]), Value::text("Cafe\u{301}   Mitte"));
        assert_eq!(text.key(&[Normalise::Collapse]), Value::text(" Cafe\u{301} Mitte "));
        let all = [Normalise::Lower, Normalise::Nfc, Normalise::Collapse, Normalise::Trim];
        assert_eq!(text.key(&all), Value::text("caf\u{e9} mitte"));
    }

    #[test]
    fn blank_forms_have_one_key() {
        for blank in [Value::Null, Value::Set(BTreeSet::new()), Value::List(Vec::new())] {
            assert!(blank.is_blank());
            assert_eq!(blank.key(&[]), Value::Null);
        }
        assert_eq!(Value::text("   ").key(&[Normalise::Trim]), Value::Null);
        assert_ne!(Value::text("   ").key(&[]), Value::Null);
        assert!(!Value::Boolean(false).is_blank());
        assert!(!Value::number(Decimal::ZERO).is_blank());
    }

    #[test]
    fn numbers_have_one_form() {
        let long: Decimal = "10.1000".parse().unwrap();
        assert_eq!(Value::number(long).to_string(), "10.1");
        assert_eq!(Value::number("-0.00".parse().unwrap()).to_string(), "0");
        assert_eq!(Value::number("100".parse().unwrap()).to_string(), "100");
    }

    #[test]
    fn the_stored_form_comes_back_exactly() {
        let set: BTreeSet<String> = ["b", "a;c"].map(str::to_owned).into();
        let cases = [
            (FieldType::Text, Value::text("12.50")),
            (FieldType::Text, Value::Null),
            (FieldType::Decimal(2), Value::number("79228162514264337593543950335".parse().unwrap())),
            (FieldType::Decimal(2), Value::number("0.0000000000000000000000000001".parse().unwrap())),
            (FieldType::Integer, Value::number("-3".parse().unwrap())),
            (FieldType::Boolean, Value::Boolean(true)),
            (FieldType::Date, Value::Date("2024-02-29".parse().unwrap())),
            (FieldType::DateTime, Value::Instant("2026-03-29T01:30:00.000001Z".parse().unwrap())),
            (FieldType::Set, Value::Set(set)),
            (FieldType::List, Value::List(vec!["b".into(), "a".into(), "b".into()])),
            (FieldType::Ref("orders".into()), Value::Link(7)),
        ];
        for (kind, value) in cases {
            let text = serde_json::to_string(&value.stored()).unwrap();
            let back: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(Value::from_stored(&kind, &back), Some(value), "{kind} {text}");
        }
        assert_eq!(Value::from_stored(&FieldType::Integer, &Json::String("3".into())), None);
        assert_eq!(Value::from_stored(&FieldType::Date, &Json::String("soon".into())), None);
    }
}
