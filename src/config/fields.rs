//! Reads `[sync.fields.NAME]`: options, and one lens per side.
//!
//! Rules across fields (groups, keys, references) are checked in `units.rs` and `cross.rs`.

use std::ops::Range;

use serde_json::Value as Json;

use crate::core::lens::{Lens, LensParts};
use crate::core::spec::{FieldSpec, Normalise, SideIx};
use crate::core::value::FieldType;

use super::problem::{Origin, Report};
use super::reader::Section;
use super::rules::{Written, conflict, json};
use super::sides::ReadSide;
use super::systems::TALLYFY;
use super::text::{did_you_mean, is_name, list};
use super::tree::{Entry, Kind, Node};

const OPTIONS: [&str; 8] = ["type", "key", "owner", "conflict", "normalise", "group", "too_long", "on_blank"];
const LENS_KEYS: [&str; 4] = ["path", "values", "read", "write"];
const STEPS: [(&str, Normalise); 4] = [
    ("trim", Normalise::Trim),
    ("collapse", Normalise::Collapse),
    ("lower", Normalise::Lower),
    ("nfc", Normalise::Nfc),
];
/// Last segments of Tallyfy paths that no call can write. (So is a run's `due_date`: it follows from the
/// deadlines of its tasks.)
const TALLYFY_READ_ONLY: [&str; 4] = ["status", "url", "completer", "completed_at"];

/// A field with what later checks need.
#[derive(Debug, Clone)]
pub struct ReadField {
    /// The field.
    pub spec: FieldSpec,
    /// Where its name stands.
    pub at: Origin,
    /// Its own rule and where that stands.
    pub rule: Option<(Written, Origin)>,
    /// Its group and where that stands.
    pub group: Option<(String, Origin)>,
    /// Where each side's path stands.
    pub lens_at: Vec<Option<Origin>>,
}

/// All fields of a sync, in the order of the file.
pub fn read(sync: &Section<'_>, sides: &[ReadSide], text: &str, report: &mut Report<'_>) -> Vec<ReadField> {
    let Some(section) = sync.table(report, "fields") else {
        if sync.node.get("fields").is_none() {
            sync.missing(report, "fields", "a sync needs at least one [sync.fields.NAME] section");
        }
        return Vec::new();
    };
    let mut fields = Vec::new();
    for entry in section.node.entries().unwrap_or_default() {
        if let Some(table) = section.below(entry, report) {
            fields.push(field(&table, entry, sides, text, report));
        }
    }
    fields
}

fn field(
    table: &Section<'_>,
    entry: &Entry,
    sides: &[ReadSide],
    text: &str,
    report: &mut Report<'_>,
) -> ReadField {
    let names: Vec<&str> = sides.iter().map(|side| side.spec.name.as_str()).collect();
    unknown_keys(table, &names, report);
    let name = &entry.key;
    let usable = is_name(name) && !name.contains('-') && !name.starts_with(|c: char| c.is_ascii_digit());
    if !usable || name == "record" {
        let message = format!("the field name \"{name}\" cannot be used in expressions");
        let advice =
            Some("letters, digits and _ only, not beginning with a digit, and not \"record\"".to_owned());
        table.suggest(report, &entry.origin, &table.path, message, advice);
    }
    let kind = kind(table, report);
    let owner = owner(table, &names, report);
    let (mut lenses, mut lens_at) = (Vec::new(), Vec::new());
    for side in sides {
        let found = table.node.get(&side.spec.name);
        lenses.push(found.and_then(|entry| lens(table, entry, &kind, text, report)));
        lens_at.push(found.map(|entry| entry.node.origin.clone()));
    }
    let spec = FieldSpec {
        name: name.clone(),
        // A key of the wrong type was meant as one: that is told once, not again as a missing key.
        key: table.boolean(report, "key").unwrap_or(table.node.get("key").is_some()),
        owner,
        normalise: normalise(table, &kind, report),
        keep_on_blank: table.word(report, "on_blank", &[("propagate", false), ("keep", true)]) == Some(true),
        truncate: truncate(table, &kind, report),
        kind,
        lenses,
    };
    let group = table.filled(report, "group").map(|group| (group, table.origin("group")));
    let rule = conflict(table, &names, report);
    let field = ReadField { spec, at: entry.origin.clone(), rule, group, lens_at };
    check_sides(table, &field, sides, report);
    field
}

fn unknown_keys(table: &Section<'_>, names: &[&str], report: &mut Report<'_>) {
    for entry in table.node.entries().unwrap_or_default() {
        let key = entry.key.as_str();
        if OPTIONS.contains(&key) || names.contains(&key) {
            continue;
        }
        let advice = did_you_mean(key, OPTIONS.iter().chain(names).copied())
            .unwrap_or_else(|| format!("the sides are {}", list(names.iter().copied())));
        let message = format!("unknown key \"{key}\" under {}", table.path);
        table.suggest(report, &entry.origin, &table.join(key), message, Some(advice));
    }
}

fn kind(table: &Section<'_>, report: &mut Report<'_>) -> FieldType {
    let Some(text) = table.filled(report, "type") else {
        return FieldType::Text;
    };
    FieldType::parse(&text).unwrap_or_else(|error| {
        let path = table.join("type");
        table.problem(report, &table.origin("type"), &path, format!("{path}: {error}"));
        FieldType::Text
    })
}

fn owner(table: &Section<'_>, names: &[&str], report: &mut Report<'_>) -> Option<SideIx> {
    let owner = table.filled(report, "owner")?;
    let place = names.iter().position(|name| *name == owner);
    if place.is_none() {
        let path = table.join("owner");
        let advice = did_you_mean(&owner, names.iter().copied())
            .unwrap_or_else(|| format!("the sides are {}", list(names.iter().copied())));
        let message = format!("{path}: there is no side \"{owner}\"");
        table.suggest(report, &table.origin("owner"), &path, message, Some(advice));
    }
    place
}

fn normalise(table: &Section<'_>, kind: &FieldType, report: &mut Report<'_>) -> Vec<Normalise> {
    let path = table.join("normalise");
    let mut steps = Vec::new();
    let given = table.texts(report, "normalise");
    if given.is_some() && !matches!(kind, FieldType::Text | FieldType::Set | FieldType::List) {
        let message = format!("{path} works on text, set and list, and this field is {kind}");
        table.problem(report, &table.origin("normalise"), &path, message);
    }
    for (word, at) in given.unwrap_or_default() {
        match STEPS.iter().find(|(known, _)| *known == word) {
            Some((_, step)) => steps.push(*step),
            None => {
                let known = STEPS.iter().map(|(known, _)| *known);
                let advice =
                    did_you_mean(&word, known.clone()).unwrap_or_else(|| format!("known: {}", list(known)));
                table.suggest(
                    report,
                    &at,
                    &path,
                    format!("{path}: there is no step \"{word}\""),
                    Some(advice),
                );
            }
        }
    }
    steps
}

fn truncate(table: &Section<'_>, kind: &FieldType, report: &mut Report<'_>) -> bool {
    let truncate = table.word(report, "too_long", &[("hold", false), ("truncate", true)]) == Some(true);
    if truncate && *kind != FieldType::Text {
        let path = table.join("too_long");
        let message = format!("{path}: only a text can be truncated, and this field is {kind}");
        table.problem(report, &table.origin("too_long"), &path, message);
    }
    truncate
}

fn lens(
    field: &Section<'_>,
    entry: &Entry,
    kind: &FieldType,
    text: &str,
    report: &mut Report<'_>,
) -> Option<Lens> {
    let key = field.join(&entry.key);
    let before = report.count();
    let parts = match &entry.node.kind {
        Kind::Text(path) => LensParts {
            path: path.clone(),
            kind: Some(kind.clone()),
            values: Vec::new(),
            read: None,
            write: None,
        },
        Kind::Table(_) => {
            let table = field.below(entry, report)?;
            table.only(report, LENS_KEYS);
            LensParts {
                path: table.text(report, "path").unwrap_or_default(),
                kind: Some(kind.clone()),
                values: values(&table, text, report),
                read: table.filled(report, "read"),
                write: table.filled(report, "write"),
            }
        }
        _ => {
            let message =
                format!("{key} must be a path or a table with path, not {}", entry.node.kind_name());
            field.problem(report, &entry.node.origin, &key, message);
            return None;
        }
    };
    if parts.path.trim().is_empty() && (parts.read.is_none() || parts.write.is_some()) {
        let message = format!("{key} needs a path: only a side that is read by an expression can do without");
        field.problem(report, &entry.node.origin, &key, message);
    }
    if report.count() > before {
        return None;
    }
    match Lens::new(parts) {
        Ok(lens) => Some(lens),
        Err(error) => {
            field.problem(report, &entry.node.origin, &key, format!("{key}: {error}"));
            None
        }
    }
}

/// `values`: raw value on the side -> value in the sync, in the order of the file.
fn values(table: &Section<'_>, text: &str, report: &mut Report<'_>) -> Vec<(Json, Json)> {
    let mut pairs = Vec::new();
    let Some(section) = table.table(report, "values") else {
        return pairs;
    };
    for entry in section.node.entries().unwrap_or_default() {
        match value(&entry.node) {
            Some(value) => pairs.push((raw_key(entry, text), value)),
            None => {
                let key = section.join(&entry.key);
                let message = format!("{key} must be a plain value, not {}", entry.node.kind_name());
                section.problem(report, &entry.node.origin, &key, message);
            }
        }
    }
    pairs
}

fn value(node: &Node) -> Option<Json> {
    json(node).filter(|value| !value.is_array())
}

/// A bare number, `true` or `false` on the left of a value map is meant as such; a number in quotes is a text.
fn raw_key(entry: &Entry, text: &str) -> Json {
    let quoted = matches!(&entry.origin, Origin::File(range) if is_quoted(text, range));
    if !quoted {
        match entry.key.as_str() {
            "true" => return Json::Bool(true),
            "false" => return Json::Bool(false),
            key => {
                if let Ok(number) = key.parse::<i64>()
                    && number.to_string() == key
                {
                    return Json::from(number);
                }
            }
        }
    }
    Json::String(entry.key.clone())
}

fn is_quoted(text: &str, range: &Range<usize>) -> bool {
    text.get(range.start..).is_some_and(|rest| rest.starts_with(['"', '\'']))
}

/// The field against the sides: who has it, who owns it, who can be written.
fn check_sides(table: &Section<'_>, field: &ReadField, sides: &[ReadSide], report: &mut Report<'_>) {
    let spec = &field.spec;
    if !field.lens_at.iter().any(Option::is_some) {
        let names = sides.iter().map(|side| side.spec.name.as_str());
        let message = format!("{} stands on no side", table.path);
        let advice = (!sides.is_empty()).then(|| format!("give it a path on {}", list(names)));
        table.suggest(report, &field.at, &table.path, message, advice);
    }
    if let Some(owner) = spec.owner
        && field.lens_at.get(owner).is_some_and(Option::is_none)
    {
        let name = sides.get(owner).map(|side| side.spec.name.as_str()).unwrap_or_default();
        let path = table.join("owner");
        let message = format!("{path}: side \"{name}\" owns the field but has no path for it");
        table.problem(report, &table.origin("owner"), &path, message);
    }
    for (place, side) in sides.iter().enumerate() {
        let (Some(Some(lens)), Some(Some(at))) = (spec.lenses.get(place), field.lens_at.get(place)) else {
            continue;
        };
        if spec.owner == Some(place) {
            continue;
        }
        let name = &side.spec.name;
        let key = table.join(name);
        if side.connector == TALLYFY && tallyfy_read_only(&lens.path) {
            let message = format!("{key}: \"{}\" is read-only in Tallyfy", lens.path);
            let advice =
                Some(format!("say owner = \"{name}\", so that no other side's change has to go there"));
            table.suggest(report, at, &key, message, advice);
        } else if !lens.writable {
            let message = format!(
                "{}: {key} has read without write: changes from other sides never reach it",
                table.owner
            );
            report.warn(at, message);
        }
    }
}

/// Whether a Tallyfy path names something that only Tallyfy itself sets.
fn tallyfy_read_only(path: &str) -> bool {
    let (first, last) = (path.split('.').next(), path.rsplit('.').next());
    let (Some(first), Some(last)) = (first, last) else {
        return false;
    };
    let whole = first == last && (path == "due_date" || TALLYFY_READ_ONLY.contains(&path));
    whole || first == "tasks" && TALLYFY_READ_ONLY.contains(&last)
}
