//! The `q` parameter of lists: `companyName START_WITH "Acme" AND isInactive IS false`.
//!
//! Conditions joined by AND and OR, without parentheses; AND binds closer.

use std::cmp::Ordering;

use serde_json::Value;

use super::answers::{invalid_parameter, text};
use super::schema::{FieldKind, RecordSeed};
use super::suiteql_cell::parse_decimal;
use crate::kit::Answer;

/// A parsed filter: one of these lists of conditions must hold completely.
pub(super) struct Filter {
    any: Vec<Vec<Test>>,
}

struct Test {
    field: String,
    kind: FieldKind,
    operator: String,
    operand: String,
}

const WITHOUT_OPERAND: [&str; 2] = ["EMPTY", "EMPTY_NOT"];
const OF_TEXT: [&str; 6] = ["IS", "IS_NOT", "CONTAIN", "CONTAIN_NOT", "START_WITH", "END_WITH"];
const OF_NUMBER: [&str; 6] = ["EQUAL", "EQUAL_NOT", "GREATER", "GREATER_OR_EQUAL", "LESS", "LESS_OR_EQUAL"];
const OF_DATE: [&str; 5] = ["ON", "AFTER", "ON_OR_AFTER", "BEFORE", "ON_OR_BEFORE"];

/// Reads a filter.
pub(super) fn parse(text: &str, of_type: &RecordSeed) -> Result<Filter, Answer> {
    let wrong = || invalid_parameter(&format!("Invalid query filter: {text}"));
    let mut words = words(text).ok_or_else(wrong)?.into_iter().peekable();
    let mut any = vec![Vec::new()];
    loop {
        let name = words.next().ok_or_else(wrong)?;
        let kind = match (name.as_str(), of_type.find(&name)) {
            ("id", _) => FieldKind::Number(0),
            (_, Some(field)) => field.kind.clone(),
            (_, None) => {
                return Err(invalid_parameter(&format!("Invalid query filter: unknown field '{name}'.")));
            }
        };
        let operator = words.next().ok_or_else(wrong)?.to_uppercase();
        let allowed: &[&str] = match kind {
            FieldKind::Number(_) => &OF_NUMBER,
            FieldKind::Date | FieldKind::DateTime => &OF_DATE,
            _ => &OF_TEXT,
        };
        let needs_operand = !WITHOUT_OPERAND.contains(&operator.as_str());
        if needs_operand && !allowed.contains(&operator.as_str()) {
            return Err(invalid_parameter(&format!(
                "Invalid query filter: {operator} does not fit '{name}'."
            )));
        }
        let operand = if needs_operand { words.next().ok_or_else(wrong)? } else { String::new() };
        if let Some(all) = any.last_mut() {
            all.push(Test { field: name, kind, operator, operand });
        }
        match words.next().map(|word| word.to_uppercase()).as_deref() {
            None => return Ok(Filter { any }),
            Some("AND") => {}
            Some("OR") => any.push(Vec::new()),
            Some(_) => return Err(wrong()),
        }
    }
}

/// Words, with what stands in double quotes as one; `None` when a quote stays open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(inner) => inner.split_once('"')?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        found.push(word.to_owned());
        rest = after.trim_start();
    }
    Some(found)
}

impl Filter {
    /// Whether a record passes.
    pub(super) fn holds(&self, id: &str, record: &Value) -> bool {
        self.any.iter().any(|all| all.iter().all(|test| test.holds(id, record)))
    }
}

impl Test {
    fn holds(&self, id: &str, record: &Value) -> bool {
        let held = match (self.field.as_str(), record.get(&self.field)) {
            ("id", _) => id.to_owned(),
            (_, Some(Value::String(text))) => text.clone(),
            (_, Some(object @ Value::Object(_))) => text(object, "id").to_owned(),
            (_, Some(value)) => value.to_string(),
            (_, None) if self.kind == FieldKind::Boolean => "false".to_owned(),
            (_, None) => String::new(),
        };
        let ordering = match self.kind {
            FieldKind::Number(_) => {
                parse_decimal(&held).zip(parse_decimal(&self.operand)).map(|(held, wanted)| held.cmp(&wanted))
            }
            // Only the day counts.
            _ => held.get(..10).zip(self.operand.get(..10)).map(|(held, wanted)| held.cmp(wanted)),
        };
        let (held, wanted) = (held.to_lowercase(), self.operand.to_lowercase());
        match self.operator.as_str() {
            "EMPTY" => held.is_empty(),
            "EMPTY_NOT" => !held.is_empty(),
            "IS" => held == wanted,
            "IS_NOT" => held != wanted,
            "CONTAIN" => held.contains(&wanted),
            "CONTAIN_NOT" => !held.contains(&wanted),
            "START_WITH" => held.starts_with(&wanted),
            "END_WITH" => held.ends_with(&wanted),
            "EQUAL" | "ON" => ordering == Some(Ordering::Equal),
            "EQUAL_NOT" => ordering != Some(Ordering::Equal),
            "GREATER" | "AFTER" => ordering == Some(Ordering::Greater),
            "GREATER_OR_EQUAL" | "ON_OR_AFTER" => ordering.is_some_and(Ordering::is_ge),
            "LESS" | "BEFORE" => ordering == Some(Ordering::Less),
            _ => ordering.is_some_and(Ordering::is_le),
        }
    }
}
