//! Reads one `[[sync]]`: its own keys, and through the neighbouring files its sides, fields and guard.
//!
//! What concerns several syncs at once stands in `cross.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::core::expr::{Expression, Template};
use crate::core::schedule::Schedule;
use crate::core::spec::{OnLeave, SyncSpec};

use super::fields::{self, ReadField};
use super::guard;
use super::model::SystemSpec;
use super::problem::{Origin, Report};
use super::reader::Section;
use super::rules;
use super::sides::{self, ReadSide};
use super::text::{did_you_mean, is_name, list};
use super::tree::Node;
use super::units;

const KEYS: [&str; 11] = [
    "name", "schedule", "sweep", "settle", "where", "on_leave", "first", "conflict", "sides", "fields",
    "guard",
];
/// Every five minutes.
const SCHEDULE: &str = "*/5 * * * *";
/// Every night at three.
const SWEEP: &str = "0 3 * * *";
const SETTLE: Duration = Duration::from_secs(10);

/// A sync with the places that later checks point at.
#[derive(Debug, Clone)]
pub struct ReadSync {
    /// The sync.
    pub spec: SyncSpec,
    /// `sync "orders"`: how messages begin.
    pub owner: String,
    /// Where its name stands.
    pub at: Origin,
    /// Its sides.
    pub sides: Vec<ReadSide>,
    /// Its fields.
    pub fields: Vec<ReadField>,
}

/// What a sync is read against.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// All systems.
    pub systems: &'a BTreeMap<String, SystemSpec>,
    /// The zone of schedules.
    pub timezone: &'a str,
    /// The text of the file.
    pub text: &'a str,
}

/// Reads the sync at this place (from 1) of the file.
pub fn read(node: &Node, number: usize, around: &Surroundings<'_>, report: &mut Report<'_>) -> ReadSync {
    let title = node.get("name").and_then(|entry| entry.node.scalar());
    let owner = title.map_or_else(|| format!("sync number {number}"), |name| format!("sync \"{name}\""));
    let section = Section::top(node, owner.clone());
    section.only(report, KEYS);
    let name = name(&section, report);
    let read_sides = sides::read(&section, around.systems, report);
    let names: Vec<&str> = read_sides.iter().map(|side| side.spec.name.as_str()).collect();
    let fields = fields::read(&section, &read_sides, around.text, report);
    let default = rules::conflict(&section, &names, report);
    let spec = SyncSpec {
        name,
        schedule: schedule(&section, "schedule", SCHEDULE, around.timezone, report),
        sweep: schedule(&section, "sweep", SWEEP, around.timezone, report),
        settle: section.duration(report, "settle").unwrap_or(SETTLE),
        scope: scope(&section, &fields, report),
        on_leave: on_leave(&section, report),
        first: rules::first(&section, &names, report),
        guard: guard::read(&section, report),
        units: units::build(&section, &fields, default.as_ref(), report),
        sides: read_sides.iter().map(|side| side.spec.clone()).collect(),
        fields: fields.iter().map(|field| field.spec.clone()).collect(),
    };
    let sync = ReadSync { spec, owner, at: section.origin("name"), sides: read_sides, fields };
    defaults(&section, &sync, report);
    markers(&section, &sync, report);
    keys(&section, &sync, report);
    single_sided(&section, &sync, report);
    sync
}

fn name(section: &Section<'_>, report: &mut Report<'_>) -> String {
    if section.node.get("name").is_none() {
        section.missing(report, "name", "by it the sync is accepted, paused and reported");
    }
    let name = section.filled(report, "name").unwrap_or_default();
    if !name.is_empty() && !is_name(&name) {
        let message = "its name may hold letters, digits, - and _ only";
        section.problem(report, &section.origin("name"), "name", message);
    }
    name
}

fn schedule(
    section: &Section<'_>,
    key: &str,
    default: &str,
    timezone: &str,
    report: &mut Report<'_>,
) -> String {
    let Some(text) = section.filled(report, key) else {
        return default.to_owned();
    };
    // A wrong time zone is reported once, at its own key.
    let zone = if jiff::tz::TimeZone::get(timezone).is_ok() { timezone } else { "UTC" };
    let wrong = match Schedule::parse(&text, zone) {
        Err(error) => Some(error),
        Ok(schedule) if schedule.next_after(Timestamp::UNIX_EPOCH).is_none() => {
            Some(format!("{text:?} names a day that never comes"))
        }
        Ok(_) => None,
    };
    if let Some(wrong) = wrong {
        let message = format!("{key}: {wrong}");
        section.problem(report, &section.origin(key), key, message);
    }
    text
}

fn on_leave(section: &Section<'_>, report: &mut Report<'_>) -> OnLeave {
    let words = [("freeze", OnLeave::Freeze), ("unlink", OnLeave::Unlink), ("delete", OnLeave::Delete)];
    section.word(report, "on_leave", &words).unwrap_or(OnLeave::Freeze)
}

fn scope(section: &Section<'_>, fields: &[ReadField], report: &mut Report<'_>) -> Option<String> {
    let text = section.filled(report, "where")?;
    let at = section.origin("where");
    match Expression::compile(&text) {
        Ok(expression) => {
            let known: Vec<&str> = fields.iter().map(|field| field.spec.name.as_str()).collect();
            known_names(section, "where", expression.roots(), &known, &at, report);
        }
        Err(error) => section.problem(report, &at, "where", format!("where: {error}")),
    }
    Some(text)
}

/// Every name that an expression uses must be a field, or `record`.
fn known_names(
    section: &Section<'_>,
    key: &str,
    roots: &BTreeSet<String>,
    fields: &[&str],
    at: &Origin,
    report: &mut Report<'_>,
) {
    for root in roots.iter().filter(|root| *root != "record" && !fields.contains(&root.as_str())) {
        let message = format!("{key} uses \"{root}\", which is no field of this sync");
        let advice = did_you_mean(root, fields.iter().copied()).unwrap_or_else(|| {
            format!("the fields are {}; raw values are record.PATH", list(fields.iter().copied()))
        });
        section.suggest(report, at, key, message, Some(advice));
    }
}

fn defaults(section: &Section<'_>, sync: &ReadSync, report: &mut Report<'_>) {
    let known: Vec<&str> = sync.fields.iter().map(|field| field.spec.name.as_str()).collect();
    for (place, side) in sync.sides.iter().enumerate() {
        for ((path, source), at) in side.spec.defaults.iter().zip(&side.defaults_at) {
            let key = format!("sides.{}.defaults.{path}", side.spec.name);
            if let Ok(template) = Template::compile(source) {
                known_names(section, &key, template.roots(), &known, at, report);
            }
            let mapped = sync.fields.iter().find(|field| has_path(field, place, path));
            if let Some(field) = mapped {
                let message = format!(
                    "{}: {key} is also the path of fields.{}: the default counts only when the field has no value",
                    sync.owner, field.spec.name
                );
                report.warn(at, message);
            }
        }
    }
}

fn has_path(field: &ReadField, side: usize, path: &str) -> bool {
    matches!(field.spec.lenses.get(side), Some(Some(lens)) if lens.path == path)
}

fn markers(section: &Section<'_>, sync: &ReadSync, report: &mut Report<'_>) {
    for (place, side) in sync.sides.iter().enumerate() {
        let Some(marker) = &side.spec.marker else {
            continue;
        };
        if let Some(field) = sync.fields.iter().find(|field| has_path(field, place, marker)) {
            let key = format!("sides.{}.marker", side.spec.name);
            let message = format!(
                "{key}: \"{marker}\" is also the path of fields.{}: the sync would write over the mark",
                field.spec.name
            );
            section.problem(report, &side.marker_at, &key, message);
        }
    }
}

fn keys(section: &Section<'_>, sync: &ReadSync, report: &mut Report<'_>) {
    let keys: Vec<&ReadField> = sync.fields.iter().filter(|field| field.spec.key).collect();
    for field in &keys {
        if field.lens_at.iter().flatten().count() < 2 {
            let path = format!("fields.{}", field.spec.name);
            let message =
                format!("{path} is a key but stands on fewer than two sides: nothing could match by it");
            section.problem(report, &field.at, &path, message);
        }
    }
    if !keys.is_empty() || sync.fields.is_empty() {
        return;
    }
    let creating = sync.sides.iter().find(|side| !side.spec.create_for.is_empty());
    match creating {
        Some(side) => {
            let message = format!(
                "side {} creates records, but no field has key = true: what exists already could not be recognised",
                side.spec.name
            );
            section.problem(report, &side.create_at, "create", message);
        }
        None => {
            let message =
                format!("{}: no field has key = true: records are never matched with each other", sync.owner);
            report.warn(&sync.at, message);
        }
    }
}

/// A field on one side is read for `where` and `defaults`; otherwise it does nothing.
fn single_sided(section: &Section<'_>, sync: &ReadSync, report: &mut Report<'_>) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    if let Some(Ok(expression)) = sync.spec.scope.as_deref().map(Expression::compile) {
        used.extend(expression.roots().iter().cloned());
    }
    for (_, source) in sync.sides.iter().flat_map(|side| &side.spec.defaults) {
        if let Ok(template) = Template::compile(source) {
            used.extend(template.roots().iter().cloned());
        }
    }
    for field in &sync.fields {
        let name = &field.spec.name;
        if field.lens_at.iter().flatten().count() == 1 && !field.spec.key && !used.contains(name) {
            let message = format!(
                "{}: fields.{name} stands on one side only and no where or defaults uses it: it does nothing",
                section.owner
            );
            report.warn(&field.at, message);
        }
    }
}
