//! Reads `[sync.sides.NAME]`.
//!
//! Names of other sides are resolved here; whether the entity or template exists is asked of the system
//! itself by `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::expr::Template;
use crate::core::spec::{OnDelete, OnUncertain, SideIx, SideSpec};

use super::model::SystemSpec;
use super::problem::{Origin, Report};
use super::reader::Section;
use super::systems::TALLYFY;
use super::text::{did_you_mean, is_name, list};
use super::tree::{Entry, Kind, Node};

/// The Tallyfy entity whose records are runs of one template.
pub const RUNS: &str = "runs";
/// How long a fresh record may be missing from searches unless the side says otherwise.
const SEARCH_LAG: Duration = Duration::from_secs(60);

const KEYS: [&str; 12] = [
    "system",
    "entity",
    "template",
    "blueprint",
    "create",
    "defaults",
    "marker",
    "on_delete",
    "archived",
    "search_lag",
    "on_uncertain",
    "reopen",
];

/// Words that mean something in a field, so that no side can be called so.
pub const OPTION_WORDS: [&str; 18] = [
    "type",
    "key",
    "owner",
    "conflict",
    "path",
    "values",
    "read",
    "write",
    "normalise",
    "normalize",
    "group",
    "too_long",
    "on_blank",
    "system",
    "entity",
    "template",
    "name",
    "record",
];

/// A side with the places that later checks point at.
#[derive(Debug, Clone)]
pub struct ReadSide {
    /// The side.
    pub spec: SideSpec,
    /// Its connector; empty if its system is unknown.
    pub connector: String,
    /// Where `create` stands.
    pub create_at: Origin,
    /// Where the marker stands.
    pub marker_at: Origin,
    /// Where each of `defaults` stands.
    pub defaults_at: Vec<Origin>,
}

/// All sides of a sync, in the order of the file.
pub fn read(
    sync: &Section<'_>,
    systems: &BTreeMap<String, SystemSpec>,
    report: &mut Report<'_>,
) -> Vec<ReadSide> {
    let mut sides = Vec::new();
    let Some(section) = sync.table(report, "sides") else {
        if sync.node.get("sides").is_none() {
            sync.missing(report, "sides", "a sync needs at least two [sync.sides.NAME] sections");
        }
        return sides;
    };
    let entries = section.node.entries().unwrap_or_default();
    let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    for entry in entries {
        if let Some(table) = section.below(entry, report) {
            sides.push(side(&table, entry, &names, systems, report));
        }
    }
    if entries.len() < 2 {
        let message = format!("a sync needs at least two sides, this one has {}", entries.len());
        sync.problem(report, &section.node.origin, "sides", message);
    }
    sides
}

fn side(
    table: &Section<'_>,
    entry: &Entry,
    names: &[&str],
    systems: &BTreeMap<String, SystemSpec>,
    report: &mut Report<'_>,
) -> ReadSide {
    table.only(report, KEYS);
    let name = entry.key.as_str();
    if OPTION_WORDS.contains(&name) {
        let message = format!("a side cannot be called \"{name}\": the word means something in a field");
        let advice = format!("call it otherwise and write system = \"{name}\"");
        table.suggest(report, &entry.origin, &table.path, message, Some(advice));
    } else if !is_name(name) {
        let message = format!("the side name \"{name}\" may hold letters, digits, - and _ only");
        table.problem(report, &entry.origin, &table.path, message);
    }
    let system = table.filled(report, "system").unwrap_or_else(|| name.to_owned());
    let connector = systems.get(&system).map(|system| system.connector.clone());
    if connector.is_none() && !systems.is_empty() {
        let at = table.node.get("system").map_or(&entry.origin, |entry| &entry.node.origin);
        let message = format!("side {name}: there is no system \"{system}\"");
        let known = systems.keys().map(String::as_str);
        let advice =
            did_you_mean(&system, known.clone()).unwrap_or_else(|| format!("there is {}", list(known)));
        table.suggest(report, at, &table.join("system"), message, Some(advice));
    }
    let entity = table.filled(report, "entity");
    if entity.is_none() && table.node.get("entity").is_none() {
        table.missing(report, "entity", "the kind of record, by the vendor's name");
    }
    let (defaults, defaults_at) = defaults(table, report);
    let spec = SideSpec {
        name: name.to_owned(),
        template: template(table, entity.as_deref(), connector.as_deref(), report),
        system,
        entity: entity.unwrap_or_default(),
        create_for: create_for(table, name, names, report),
        defaults,
        marker: table.filled(report, "marker"),
        on_delete: on_delete(table, report),
        archived_is_deleted: table.word(report, "archived", &[("kept", false), ("deleted", true)])
            == Some(true),
        search_lag: table.duration(report, "search_lag").unwrap_or(SEARCH_LAG),
        on_uncertain: on_uncertain(table, report),
        reopen: table.boolean(report, "reopen").unwrap_or(false),
    };
    let read = ReadSide {
        connector: connector.unwrap_or_default(),
        create_at: table.origin("create"),
        marker_at: table.origin("marker"),
        defaults_at,
        spec,
    };
    remarks(&read, table, report);
    read
}

fn on_delete(table: &Section<'_>, report: &mut Report<'_>) -> OnDelete {
    let words = [
        ("unlink", OnDelete::Unlink),
        ("archive", OnDelete::Archive),
        ("delete", OnDelete::Delete),
        ("ask", OnDelete::Ask),
    ];
    table.word(report, "on_delete", &words).unwrap_or(OnDelete::Unlink)
}

fn on_uncertain(table: &Section<'_>, report: &mut Report<'_>) -> OnUncertain {
    let words = [
        ("hold", OnUncertain::Hold),
        ("retry", OnUncertain::Retry),
        ("assume_done", OnUncertain::AssumeDone),
    ];
    table.word(report, "on_uncertain", &words).unwrap_or(OnUncertain::Hold)
}

/// What is allowed but has a consequence that the reader should know.
fn remarks(side: &ReadSide, table: &Section<'_>, report: &mut Report<'_>) {
    let (name, owner) = (&side.spec.name, &table.owner);
    let runs = side.connector == TALLYFY && side.spec.entity == RUNS;
    if runs && !side.spec.create_for.is_empty() && side.spec.marker.is_none() {
        let message = format!(
            "{owner}: side {name} launches processes but has no marker: without one no process is launched, \
             because a launch whose answer is lost could not be found again"
        );
        report.warn(&side.create_at, message);
    }
    if side.spec.create_for.is_empty() && !side.spec.defaults.is_empty() {
        let message = format!("{owner}: side {name} has defaults but no create: they are never sent");
        report.warn(&table.origin("defaults"), message);
    }
    if side.spec.on_uncertain == OnUncertain::Retry && !side.spec.create_for.is_empty() {
        let message =
            format!("{owner}: side {name} says on_uncertain = \"retry\": a lost answer can make a duplicate");
        report.warn(&table.origin("on_uncertain"), message);
    }
}

fn template(
    table: &Section<'_>,
    entity: Option<&str>,
    connector: Option<&str>,
    report: &mut Report<'_>,
) -> Option<String> {
    let given = table.filled(report, "template");
    let alias = table.filled(report, "blueprint");
    if let (Some(_), Some(entry)) = (&given, table.node.get("blueprint")) {
        let message = "template and blueprint are two words for the same thing: keep one";
        table.problem(report, &entry.origin, &table.join("blueprint"), message);
    }
    let template = given.or(alias);
    let asked = table.node.get("template").or_else(|| table.node.get("blueprint"));
    match (connector, entity, asked) {
        (Some(TALLYFY), Some(RUNS), None) => {
            table.missing(report, "template", "the title, alias or id of the template whose runs take part");
        }
        (Some(other), _, Some(entry)) if other != TALLYFY => {
            let message = format!("{} belongs to sides of a Tallyfy system", table.join(&entry.key));
            table.problem(report, &entry.origin, &table.join(&entry.key), message);
        }
        _ => {}
    }
    template
}

fn create_for(table: &Section<'_>, name: &str, names: &[&str], report: &mut Report<'_>) -> Vec<SideIx> {
    let others = || (0..names.len()).filter(|at| names.get(*at) != Some(&name)).collect();
    match table.node.get("create").map(|entry| &entry.node) {
        None => Vec::new(),
        Some(Node { kind: Kind::Boolean(true), .. }) => others(),
        Some(Node { kind: Kind::Boolean(false), .. }) => Vec::new(),
        Some(Node { kind: Kind::List(_), .. }) => {
            let chosen = table.texts(report, "create").unwrap_or_default();
            resolve_sides(table, "create", &chosen, names, Some(name), report)
        }
        Some(node) => {
            let path = table.join("create");
            let message = format!("{path} must be true, false or a list of sides, not {}", node.kind_name());
            table.problem(report, &node.origin, &path, message);
            Vec::new()
        }
    }
}

/// Turns names of sides into their places; reports unknown ones, repeats, and the side itself.
pub fn resolve_sides(
    section: &Section<'_>,
    key: &str,
    chosen: &[(String, Origin)],
    names: &[&str],
    itself: Option<&str>,
    report: &mut Report<'_>,
) -> Vec<SideIx> {
    let path = section.join(key);
    let mut found = Vec::new();
    for (text, at) in chosen {
        let place = names.iter().position(|name| name == text);
        match place {
            Some(_) if itself == Some(text.as_str()) => {
                section.problem(report, at, &path, format!("{path} names the side itself"));
            }
            Some(place) if found.contains(&place) => {
                section.problem(report, at, &path, format!("{path} names \"{text}\" twice"));
            }
            Some(place) => found.push(place),
            None => {
                let message = format!("{path}: there is no side \"{text}\"");
                let advice = did_you_mean(text, names.iter().copied())
                    .unwrap_or_else(|| format!("the sides are {}", list(names.iter().copied())));
                section.suggest(report, at, &path, message, Some(advice));
            }
        }
    }
    found
}

/// `defaults`: nested tables become dotted paths, numbers and truth values keep their type by `{{ }}`.
fn defaults(table: &Section<'_>, report: &mut Report<'_>) -> (Vec<(String, String)>, Vec<Origin>) {
    let (mut pairs, mut places) = (Vec::new(), Vec::new());
    if let Some(section) = table.table(report, "defaults") {
        let before = section.node.entries().unwrap_or_default();
        collect_defaults(&section, before, "", &mut pairs, &mut places, report);
    }
    (pairs, places)
}

fn collect_defaults(
    section: &Section<'_>,
    entries: &[Entry],
    prefix: &str,
    pairs: &mut Vec<(String, String)>,
    places: &mut Vec<Origin>,
    report: &mut Report<'_>,
) {
    for entry in entries {
        let path = format!("{prefix}{}", entry.key);
        let key = section.join(&path);
        let source = match &entry.node.kind {
            Kind::Table(inner) => {
                collect_defaults(section, inner, &format!("{path}."), pairs, places, report);
                continue;
            }
            Kind::Text(text) | Kind::Moment(text) => text.clone(),
            Kind::Integer(number) | Kind::Float(number) => format!("{{{{ {number} }}}}"),
            Kind::Boolean(value) => format!("{{{{ {value} }}}}"),
            Kind::List(_) => {
                section.problem(
                    report,
                    &entry.node.origin,
                    &key,
                    format!("{key} must be a text, not a list"),
                );
                continue;
            }
        };
        if let Err(error) = Template::compile(&source) {
            section.problem(report, &entry.node.origin, &key, format!("{key}: {error}"));
            continue;
        }
        pairs.push((path, source));
        places.push(entry.node.origin.clone());
    }
}
