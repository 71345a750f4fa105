//! Runs a parsed query over the world's records, and shows records as rows.
//!
//! This file must not write records or know pages.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::Machine;
use super::answers::{Refusal, put, read_time, text};
use super::feeds;
use super::ids;
use super::schema::{FieldSeed, FieldType, ObjectSeed};
use super::soql::{Cell, Comparison, Condition, LITERAL_MARK, OrderBy, Select, parse_date, parse_decimal};
use crate::kit::World;

/// What a query found.
pub(super) struct Found {
    /// How many rows.
    pub(super) total: usize,
    /// The rows as answered; none for `COUNT()`.
    pub(super) rows: Vec<Value>,
}

/// A field as a query names it: some references to follow, then the field.
pub(super) struct Path {
    hops: Vec<Hop>,
    field: FieldSeed,
}

struct Hop {
    relationship: String,
    field: String,
    object: String,
}

/// Runs a query; deleted rows are there only when asked for.
pub(super) fn run(
    machine: &Machine,
    world: &World,
    select: &Select,
    with_deleted: bool,
    base: &str,
) -> Result<Found, Refusal> {
    let object = machine.object(world, &select.object).ok_or_else(|| unknown_object(&select.object))?;
    if select.offset > 2000 {
        let message = "Maximum SOQL offset allowed is 2000";
        return Err(Refusal::new(400, "NUMBER_OUTSIDE_VALID_RANGE", message));
    }
    let scope = Scope { machine, world, object: &object };
    let paths =
        select.fields.iter().map(|field| scope.resolve(field)).collect::<Result<Vec<Path>, Refusal>>()?;
    let condition = select.condition.as_ref().map(|condition| scope.check(condition)).transpose()?;
    let keys =
        select.order.iter().map(|key| scope.filterable(&key.field)).collect::<Result<Vec<Path>, _>>()?;
    let mut records: Vec<Value> =
        world.list(&object.name).into_iter().map(|(_, record)| (*record).clone()).collect();
    if with_deleted {
        records.extend(feeds::recycle_bin(world, &object.name).into_iter().map(|gone| gone.record));
    }
    let mut kept: Vec<(Vec<Cell>, Value)> = Vec::new();
    for record in records {
        if condition.as_ref().is_none_or(|condition| scope.holds(condition, &record)) {
            let cells = keys.iter().map(|path| scope.cell(path, &record)).collect();
            kept.push((cells, record));
        }
    }
    kept.sort_by(|(left, _), (right, _)| order(left, right, &select.order));
    let limit = select.limit.unwrap_or(usize::MAX);
    let chosen: Vec<Value> =
        kept.into_iter().map(|(_, record)| record).skip(select.offset).take(limit).collect();
    let rows = if paths.is_empty() {
        Vec::new()
    } else {
        chosen.iter().map(|record| scope.row(&paths, record, base)).collect()
    };
    Ok(Found { total: chosen.len(), rows })
}

/// One record with all its fields, or with those asked for, as the row resource shows it.
pub(super) fn show(
    object: &ObjectSeed,
    record: &Value,
    fields: Option<&[String]>,
    base: &str,
) -> Result<Value, Refusal> {
    let mut row = attributes(object, record, base);
    match fields {
        None => {
            for field in &object.fields {
                put(&mut row, &field.name, shown(field, record));
            }
        }
        Some(names) => {
            for name in names {
                let field = object.field(name).ok_or_else(|| no_column(name, &object.name))?;
                put(&mut row, &field.name, shown(field, record));
            }
            put(&mut row, "Id", json!(text(record, "Id")));
        }
    }
    Ok(row)
}

pub(super) fn unknown_object(name: &str) -> Refusal {
    let message = format!(
        "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append \
         the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
    );
    Refusal::new(400, "INVALID_TYPE", message)
}

fn no_column(name: &str, object: &str) -> Refusal {
    let message = format!(
        "No such column '{name}' on entity '{object}'. If you are attempting to use a custom field, be sure to \
         append the '__c' after the custom field name. Please reference your WSDL or the describe call for the \
         appropriate names."
    );
    Refusal::new(400, "INVALID_FIELD", message)
}

fn attributes(object: &ObjectSeed, record: &Value, base: &str) -> Value {
    let url = format!("{base}/sobjects/{}/{}", object.name, text(record, "Id"));
    json!({"attributes": {"type": object.name, "url": url}})
}

fn shown(field: &FieldSeed, record: &Value) -> Value {
    match record.get(&field.name) {
        None | Some(Value::Null) if field.kind == FieldType::Boolean => json!(false),
        None => Value::Null,
        Some(value) => value.clone(),
    }
}

/// A condition whose fields are known and whose literals fit them.
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare(Path, Comparison, Cell),
    In(Path, Vec<Cell>, bool),
}

struct Scope<'a> {
    machine: &'a Machine,
    world: &'a World,
    object: &'a ObjectSeed,
}

impl Scope<'_> {
    fn resolve(&self, written: &str) -> Result<Path, Refusal> {
        let mut parts: Vec<&str> = written.split('.').collect();
        if parts.len() > 1 && parts.first().is_some_and(|first| first.eq_ignore_ascii_case(&self.object.name))
        {
            parts.remove(0);
        }
        let last = parts.pop().unwrap_or_default();
        let mut object = self.object.clone();
        let mut hops = Vec::new();
        for part in parts {
            let hop = object.fields.iter().find_map(|field| {
                let relationship = field.relationship().filter(|name| name.eq_ignore_ascii_case(part))?;
                let object = field.refers_to.clone()?;
                Some(Hop { relationship, field: field.name.clone(), object })
            });
            let next = hop.as_ref().and_then(|hop| self.machine.object(self.world, &hop.object));
            let (Some(hop), Some(next)) = (hop, next) else {
                let message = format!("Didn't understand relationship '{part}' in field path.");
                return Err(Refusal::new(400, "INVALID_FIELD", message));
            };
            hops.push(hop);
            object = next;
        }
        let field = object.field(last).ok_or_else(|| no_column(last, &object.name))?.clone();
        Ok(Path { hops, field })
    }

    fn filterable(&self, written: &str) -> Result<Path, Refusal> {
        let path = self.resolve(written)?;
        if path.field.is_filterable() {
            return Ok(path);
        }
        let message = format!("field '{}' can not be filtered in a query call", path.field.name);
        Err(Refusal::new(400, "INVALID_FIELD", message))
    }

    fn check(&self, condition: &Condition) -> Result<Test, Refusal> {
        let all =
            |parts: &[Condition]| parts.iter().map(|part| self.check(part)).collect::<Result<Vec<_>, _>>();
        Ok(match condition {
            Condition::All(parts) => Test::All(all(parts)?),
            Condition::Any(parts) => Test::Any(all(parts)?),
            Condition::Not(inner) => Test::Not(Box::new(self.check(inner)?)),
            Condition::Compare(field, Comparison::Like, pattern) => {
                let path = self.filterable(field)?;
                let is_text = fit(&path.field, &Cell::Text(String::new())).is_ok()
                    && !matches!(path.field.kind, FieldType::Id | FieldType::Reference);
                if !is_text || !matches!(pattern, Cell::Text(_)) {
                    let message = "invalid operator on field: LIKE";
                    return Err(Refusal::new(400, "INVALID_QUERY_FILTER_OPERATOR", message));
                }
                Test::Compare(path, Comparison::Like, pattern.clone())
            }
            Condition::Compare(field, operator, cell) => {
                let path = self.filterable(field)?;
                let cell = fit(&path.field, cell)?;
                Test::Compare(path, *operator, cell)
            }
            Condition::In(field, cells, negated) => {
                let path = self.filterable(field)?;
                let cells = cells.iter().map(|cell| fit(&path.field, cell)).collect::<Result<_, _>>()?;
                Test::In(path, cells, *negated)
            }
        })
    }

    fn holds(&self, test: &Test, record: &Value) -> bool {
        match test {
            Test::All(parts) => parts.iter().all(|part| self.holds(part, record)),
            Test::Any(parts) => parts.iter().any(|part| self.holds(part, record)),
            Test::Not(inner) => !self.holds(inner, record),
            Test::Compare(path, operator, wanted) => compare(&self.cell(path, record), *operator, wanted),
            Test::In(path, members, negated) => {
                let held = self.cell(path, record);
                members.iter().any(|member| compare(&held, Comparison::Equal, member)) != *negated
            }
        }
    }

    /// The record at the end of the references; nothing when one of them is empty or points nowhere.
    fn follow(&self, path: &Path, record: &Value) -> Option<Value> {
        let mut at = record.clone();
        for hop in &path.hops {
            let next = self.world.get(&hop.object, text(&at, &hop.field))?;
            at = (*next).clone();
        }
        Some(at)
    }

    fn cell(&self, path: &Path, record: &Value) -> Cell {
        self.follow(path, record).map_or(Cell::Null, |record| stored_cell(&path.field, &record))
    }

    fn row(&self, paths: &[Path], record: &Value, base: &str) -> Value {
        let mut row = attributes(self.object, record, base);
        for path in paths {
            self.place(&mut row, &path.hops, &path.field, record, base);
        }
        row
    }

    /// Puts a value where a path says; an empty reference is `null` in place of the whole record behind it.
    fn place(&self, row: &mut Value, hops: &[Hop], field: &FieldSeed, record: &Value, base: &str) {
        let Value::Object(map) = row else { return };
        let Some((hop, further)) = hops.split_first() else {
            map.insert(field.name.clone(), shown(field, record));
            return;
        };
        let next = self.world.get(&hop.object, text(record, &hop.field));
        let Some((next, object)) = next.zip(self.machine.object(self.world, &hop.object)) else {
            map.insert(hop.relationship.clone(), Value::Null);
            return;
        };
        let inner = map.entry(hop.relationship.clone()).or_insert_with(|| attributes(&object, &next, base));
        self.place(inner, further, field, &next, base);
    }
}

fn stored_cell(field: &FieldSeed, record: &Value) -> Cell {
    match shown(field, record) {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Boolean(flag),
        Value::Number(number) => parse_decimal(&number.to_string()).map_or(Cell::Null, Cell::Number),
        Value::String(text) => match field.kind {
            FieldType::Date => parse_date(&text).map_or(Cell::Text(text), Cell::Date),
            FieldType::DateTime => read_time(&text).map_or(Cell::Text(text), Cell::Instant),
            FieldType::Id | FieldType::Reference => Cell::Id(text),
            _ => Cell::Text(text),
        },
        other => Cell::Text(other.to_string()),
    }
}

/// The literal as the field is compared with it.
fn fit(field: &FieldSeed, cell: &Cell) -> Result<Cell, Refusal> {
    match (field.kind, cell) {
        (_, Cell::Null) => Ok(Cell::Null),
        (FieldType::Id | FieldType::Reference, Cell::Text(id)) if id.is_empty() => Ok(Cell::Null),
        (FieldType::Id | FieldType::Reference, Cell::Text(id)) => {
            ids::full(id).map(Cell::Id).ok_or_else(|| {
                Refusal::new(400, "INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {id}"))
            })
        }
        (FieldType::Boolean, Cell::Boolean(_))
        | (FieldType::Date, Cell::Date(_))
        | (FieldType::DateTime, Cell::Instant(_)) => Ok(cell.clone()),
        (kind, Cell::Number(_)) if kind.is_number() => Ok(cell.clone()),
        // An empty text is no value, here as in what is stored.
        (kind, Cell::Text(text)) if is_text(kind) => {
            Ok(if text.is_empty() { Cell::Null } else { cell.clone() })
        }
        (kind, cell) => {
            let sort = kind.name();
            let how = match cell {
                Cell::Text(_) => "should not be enclosed in quotes",
                _ if is_text(kind) => "should be enclosed in quotes",
                _ => "has another type",
            };
            let message = format!(
                "value of filter criterion for field '{}' must be of type {sort} and {how}",
                field.name
            );
            Err(Refusal::new(400, "INVALID_FIELD", message))
        }
    }
}

fn is_text(kind: FieldType) -> bool {
    use FieldType::{Email, MultiPicklist, Phone, Picklist, Text, TextArea, Url};
    matches!(kind, Text | TextArea | Picklist | MultiPicklist | Email | Phone | Url)
}

fn natural(left: &Cell, right: &Cell) -> Option<Ordering> {
    match (left, right) {
        (Cell::Text(left), Cell::Text(right)) => Some(left.to_lowercase().cmp(&right.to_lowercase())),
        // Two ids can differ by case alone.
        (Cell::Id(left), Cell::Id(right)) => Some(left.cmp(right)),
        (Cell::Number(left), Cell::Number(right)) => Some(left.cmp(right)),
        (Cell::Boolean(left), Cell::Boolean(right)) => Some(left.cmp(right)),
        (Cell::Date(left), Cell::Date(right)) => Some(left.cmp(right)),
        (Cell::Instant(left), Cell::Instant(right)) => Some(left.cmp(right)),
        (Cell::Null, Cell::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

fn compare(held: &Cell, operator: Comparison, wanted: &Cell) -> bool {
    let ordering = natural(held, wanted);
    let either_empty = *held == Cell::Null || *wanted == Cell::Null;
    match operator {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        _ if either_empty => false,
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Like => match (held, wanted) {
            (Cell::Text(text), Cell::Text(pattern)) => {
                let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
                let text: Vec<char> = text.to_lowercase().chars().collect();
                matches_pattern(&text, &pattern)
            }
            _ => false,
        },
    }
}

/// `%` stands for any run and `_` for one character, unless marked as meant literally.
fn matches_pattern(text: &[char], pattern: &[char]) -> bool {
    // The set of pattern positions that the text so far can stand at; each letter moves the whole set on,
    // so that a pattern of many `%` costs no more than a short one.
    let close = |positions: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if positions.get(at) == Some(&true)
                && pattern.get(at) == Some(&'%')
                && let Some(next) = positions.get_mut(at + 1)
            {
                *next = true;
            }
        }
    };
    let mut positions = vec![false; pattern.len() + 1];
    positions.iter_mut().take(1).for_each(|start| *start = true);
    close(&mut positions);
    for letter in text {
        let mut next = vec![false; pattern.len() + 1];
        for (at, _) in positions.iter().enumerate().filter(|(_, stands)| **stands) {
            let target = match pattern.get(at) {
                Some('%') => at,
                Some('_') => at + 1,
                Some(&LITERAL_MARK) if pattern.get(at + 1) == Some(letter) => at + 2,
                Some(wanted) if wanted == letter => at + 1,
                _ => continue,
            };
            if let Some(place) = next.get_mut(target) {
                *place = true;
            }
        }
        close(&mut next);
        positions = next;
    }
    positions.last() == Some(&true)
}

fn order(left: &[Cell], right: &[Cell], keys: &[OrderBy]) -> Ordering {
    for ((left, right), key) in left.iter().zip(right).zip(keys) {
        let ordering = match (*left == Cell::Null, *right == Cell::Null) {
            (true, true) => Ordering::Equal,
            (true, false) if key.nulls_last => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if key.nulls_last => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let natural = natural(left, right).unwrap_or(Ordering::Equal);
                if key.descending { natural.reverse() } else { natural }
            }
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_like_does() {
        let like = |text: &str, pattern: &str| {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            matches_pattern(&chars(text), &chars(pattern))
        };
        assert!(like("order", "order") && like("order", "o%r") && like("order", "%") && like("", "%%"));
        assert!(like("order", "_rde_") && like("50%", &format!("50{LITERAL_MARK}%")));
        assert!(
            !like("order", "o") && !like("order", "_____r") && !like("500", &format!("50{LITERAL_MARK}%"))
        );
        assert!(!like(&"a".repeat(500), &format!("{}b", "%a".repeat(100))));
    }
}
