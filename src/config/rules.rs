//! Reads conflict rules: `conflict = ...` of a field or sync, and `first = ...`.
//!
//! It checks that a rule has its shape and can be applied to the field's type; deciding by it is
//! `core::merge`'s business.

use serde_json::Value as Json;

use crate::core::spec::{First, Rule};
use crate::core::value::{FieldType, Value};

use super::problem::{Origin, Report};
use super::reader::Section;
use super::sides::resolve_sides;
use super::text::{did_you_mean, list};
use super::tree::{Kind, Node};

const WORDS: [(&str, Rule); 7] = [
    ("ask", Rule::Ask),
    ("largest", Rule::Largest),
    ("smallest", Rule::Smallest),
    ("union", Rule::Union),
    ("sum", Rule::Sum),
    ("newest", Rule::Newest),
    ("oldest", Rule::Oldest),
];
const TABLES: [&str; 2] = ["prefer", "furthest"];

/// A rule as written: the values of `furthest` still without a type.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Complete.
    Rule(Rule),
    /// `{ furthest = [...] }`, each value with its place.
    Furthest(Vec<(Json, Origin)>),
}

/// `conflict` of a field or of a sync, with its place.
pub fn conflict(section: &Section<'_>, names: &[&str], report: &mut Report<'_>) -> Option<(Written, Origin)> {
    let entry = section.node.get("conflict")?;
    let path = section.join("conflict");
    let at = entry.node.origin.clone();
    match &entry.node.kind {
        Kind::Text(word) => {
            let found = WORDS.iter().find(|(known, _)| known == word).map(|(_, rule)| rule.clone());
            if found.is_none() {
                let message = if TABLES.contains(&word.as_str()) {
                    format!("{path}: {word} needs its list: {{ {word} = [...] }}")
                } else {
                    format!("{path}: there is no rule \"{word}\"")
                };
                let known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).chain(TABLES).collect();
                let advice = did_you_mean(word, known.iter().copied().filter(|known| known != word));
                section.suggest(report, &at, &path, message, advice);
            }
            found.map(|rule| (Written::Rule(rule), at))
        }
        Kind::Table(_) => {
            let table = section.below(entry, report)?;
            table.only(report, TABLES);
            match (table.node.get("prefer"), table.node.get("furthest")) {
                (Some(_), None) => {
                    let chosen = table.texts(report, "prefer")?;
                    not_empty(&table, "prefer", chosen.is_empty(), report);
                    let sides = resolve_sides(&table, "prefer", &chosen, names, None, report);
                    Some((Written::Rule(Rule::Prefer(sides)), at))
                }
                (None, Some(values)) => furthest(&table, &values.node, report).map(|written| (written, at)),
                (Some(_), Some(_)) => {
                    section.problem(report, &at, &path, format!("{path} must hold one rule, not two"));
                    None
                }
                (None, None) => {
                    let message =
                        format!("{path} must be {{ prefer = [sides] }} or {{ furthest = [values] }}");
                    section.problem(report, &at, &path, message);
                    None
                }
            }
        }
        _ => {
            let message = format!("{path} must be a rule, not {}", entry.node.kind_name());
            section.problem(report, &at, &path, message);
            None
        }
    }
}

fn not_empty(section: &Section<'_>, key: &str, empty: bool, report: &mut Report<'_>) {
    if empty {
        let path = section.join(key);
        section.problem(report, &section.origin(key), &path, format!("{path} must not be empty"));
    }
}

fn furthest(section: &Section<'_>, node: &Node, report: &mut Report<'_>) -> Option<Written> {
    let path = section.join("furthest");
    let Kind::List(items) = &node.kind else {
        let message = format!("{path} must be a list of values in order, not {}", node.kind_name());
        section.problem(report, &node.origin, &path, message);
        return None;
    };
    if items.len() < 2 {
        let message = format!("{path} needs at least two values, in the order of progress");
        section.problem(report, &node.origin, &path, message);
    }
    let mut values = Vec::new();
    for item in items {
        match json(item) {
            Some(value) => values.push((value, item.origin.clone())),
            None => {
                let message = format!("{path} must hold plain values, not {}", item.kind_name());
                section.problem(report, &item.origin, &path, message);
            }
        }
    }
    Some(Written::Furthest(values))
}

/// A TOML value as JSON, numbers with every digit as written; `None` for tables.
pub fn json(node: &Node) -> Option<Json> {
    match &node.kind {
        Kind::Text(text) | Kind::Moment(text) => Some(Json::String(text.clone())),
        Kind::Integer(digits) | Kind::Float(digits) => {
            let plain = digits.replace('_', "");
            let plain = plain.trim_start_matches('+');
            Some(
                plain
                    .parse::<serde_json::Number>()
                    .map_or_else(|_| Json::String(plain.to_owned()), Json::Number),
            )
        }
        Kind::Boolean(value) => Some(Json::Bool(*value)),
        Kind::List(items) => items.iter().map(json).collect::<Option<Vec<_>>>().map(Json::Array),
        Kind::Table(_) => None,
    }
}

/// Gives a written rule the field's type; reports what the type cannot do.
pub fn typed(
    section: &Section<'_>,
    field: &str,
    kind: &FieldType,
    written: &Written,
    at: &Origin,
    report: &mut Report<'_>,
) -> Rule {
    let rule = match written {
        Written::Rule(rule) => rule.clone(),
        Written::Furthest(values) => Rule::Furthest(order(section, field, kind, values, report)),
    };
    if let Some(needed) = unfit(&rule, kind) {
        let (word, path) = (rule_word(&rule), format!("fields.{field}.conflict"));
        let message = format!("{path}: \"{word}\" needs {needed}, and {field} is {kind}");
        section.problem(report, at, &path, message);
    }
    rule
}

fn order(
    section: &Section<'_>,
    field: &str,
    kind: &FieldType,
    values: &[(Json, Origin)],
    report: &mut Report<'_>,
) -> Vec<Value> {
    let path = format!("fields.{field}.conflict.furthest");
    let mut order: Vec<Value> = Vec::new();
    for (raw, at) in values {
        match kind.read(raw) {
            Ok(value) if order.contains(&value) => {
                section.problem(report, at, &path, format!("{path} names {raw} twice"));
            }
            Ok(value) => order.push(value),
            Err(error) => {
                let message = format!("{path}: {raw} is no value of {field}, which is {kind}: {error}");
                section.problem(report, at, &path, message);
            }
        }
    }
    order
}

/// What a rule needs that this type is not.
fn unfit(rule: &Rule, kind: &FieldType) -> Option<&'static str> {
    let number = matches!(kind, FieldType::Integer | FieldType::Decimal(_));
    let moment = matches!(kind, FieldType::Date | FieldType::DateTime);
    match rule {
        Rule::Largest | Rule::Smallest if !number && !moment => {
            Some("an integer, a decimal, a date or a datetime")
        }
        Rule::Union if *kind != FieldType::Set => Some("a set"),
        Rule::Sum if !number => Some("an integer or a decimal"),
        _ => None,
    }
}

/// The word by which a rule is written.
pub fn rule_word(rule: &Rule) -> &'static str {
    match rule {
        Rule::Prefer(_) => "prefer",
        Rule::Furthest(_) => "furthest",
        other => WORDS.iter().find(|(_, rule)| rule == other).map_or("ask", |(word, _)| *word),
    }
}

/// `first`: how fields that differ are decided when records are first linked.
pub fn first(section: &Section<'_>, names: &[&str], report: &mut Report<'_>) -> First {
    let Some(entry) = section.node.get("first") else {
        return First::Ask;
    };
    let wrong = |report: &mut Report<'_>| {
        let message = "first must be \"ask\" or { prefer = [sides] }";
        let advice = Some(format!("the sides are {}", list(names.iter().copied())));
        section.suggest(report, &entry.node.origin, "first", message, advice);
        First::Ask
    };
    match &entry.node.kind {
        Kind::Text(word) if word == "ask" => First::Ask,
        Kind::Table(entries) if !entries.is_empty() => {
            let Some(table) = section.below(entry, report) else {
                return First::Ask;
            };
            table.only(report, ["prefer"]);
            let chosen = table.texts(report, "prefer").unwrap_or_default();
            not_empty(&table, "prefer", chosen.is_empty() && table.node.get("prefer").is_some(), report);
            First::Prefer(resolve_sides(&table, "prefer", &chosen, names, None, report))
        }
        _ => wrong(report),
    }
}
