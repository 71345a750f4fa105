//! What P9 compares: the parts of a sync whose change needs a new acceptance, as texts.
//!
//! Secrets, schedules, settle and budgets are left out on purpose. The connector definition's own hash is
//! added by the engine, which knows the definition.

use std::collections::BTreeMap;

use crate::core::lens::Lens;
use crate::core::spec::{
    First, GuardSpec, Normalise, OnDelete, OnLeave, OnUncertain, Rule, SideIx, SyncSpec,
};

use super::model::{Meaning, SystemSpec, VarValue};
use super::rules::rule_word;

/// The brakes by name, with the direction in which each becomes tighter.
const GUARDS: [(&str, Tighter); 10] = [
    ("guard.deletes.sweeps", Tighter::Larger),
    ("guard.deletes.over", Tighter::Larger),
    ("guard.deletes.max", Tighter::Smaller),
    ("guard.deletes.percent", Tighter::Smaller),
    ("guard.deletes.window", Tighter::Larger),
    ("guard.creates.max", Tighter::Smaller),
    ("guard.creates.window", Tighter::Larger),
    ("guard.updates.percent", Tighter::Smaller),
    ("guard.updates.min", Tighter::Smaller),
    ("guard.blanks.percent", Tighter::Smaller),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tighter {
    Larger,
    Smaller,
}

/// The meaning of a sync.
pub fn meaning(sync: &SyncSpec, systems: &BTreeMap<String, SystemSpec>, timezone: &str) -> Meaning {
    let mut parts =
        Parts { names: sync.sides.iter().map(|side| side.name.clone()).collect(), map: BTreeMap::new() };
    parts.put("daemon.timezone", timezone);
    parts.put("where", sync.scope.as_deref().unwrap_or("every record"));
    parts.put(
        "on_leave",
        match sync.on_leave {
            OnLeave::Freeze => "freeze",
            OnLeave::Unlink => "unlink",
            OnLeave::Delete => "delete",
        },
    );
    let first = match &sync.first {
        First::Ask => "ask".to_owned(),
        First::Prefer(sides) => format!("prefer {}", parts.side_names(sides)),
    };
    parts.put("first", &first);
    sides(sync, systems, &mut parts);
    fields(sync, &mut parts);
    guards(&sync.guard, &mut parts);
    Meaning { parts: parts.map }
}

struct Parts {
    names: Vec<String>,
    map: BTreeMap<String, String>,
}

impl Parts {
    fn put(&mut self, part: impl Into<String>, text: impl Into<String>) {
        self.map.insert(part.into(), text.into());
    }

    fn side_names(&self, sides: &[SideIx]) -> String {
        let names: Vec<&str> =
            sides.iter().filter_map(|side| self.names.get(*side)).map(String::as_str).collect();
        names.join(", ")
    }
}

fn sides(sync: &SyncSpec, systems: &BTreeMap<String, SystemSpec>, parts: &mut Parts) {
    for side in &sync.sides {
        let part = |key: &str| format!("sides.{}.{key}", side.name);
        parts.put(part("system"), &side.system);
        parts.put(part("entity"), &side.entity);
        if let Some(template) = &side.template {
            parts.put(part("template"), template);
        }
        let create = parts.side_names(&side.create_for);
        parts.put(
            part("create"),
            if create.is_empty() { "never".to_owned() } else { format!("for {create}") },
        );
        for (path, source) in &side.defaults {
            parts.put(part(&format!("defaults.{path}")), source);
        }
        if let Some(marker) = &side.marker {
            parts.put(part("marker"), marker);
        }
        parts.put(
            part("on_delete"),
            match side.on_delete {
                OnDelete::Unlink => "unlink",
                OnDelete::Archive => "archive",
                OnDelete::Delete => "delete",
                OnDelete::Ask => "ask",
            },
        );
        parts.put(part("archived"), if side.archived_is_deleted { "deleted" } else { "kept" });
        parts.put(
            part("on_uncertain"),
            match side.on_uncertain {
                OnUncertain::Hold => "hold",
                OnUncertain::Retry => "retry",
                OnUncertain::AssumeDone => "assume_done",
            },
        );
        parts.put(part("reopen"), side.reopen.to_string());
        if let Some(system) = systems.get(&side.system) {
            system_parts(system, parts);
        }
    }
}

/// Host, tenant and principal of a system, as far as they are no secrets.
fn system_parts(system: &SystemSpec, parts: &mut Parts) {
    let part = |key: &str| format!("systems.{}.{key}", system.name);
    parts.put(part("connector"), &system.connector);
    for (key, value) in
        [("base_url", &system.base_url), ("organization", &system.organization), ("api", &system.api)]
    {
        if let Some(value) = value {
            parts.put(part(key), value);
        }
    }
    if let Some(auth) = &system.auth {
        parts.put(part("auth.kind"), &auth.kind);
        for (key, value) in &auth.values {
            if let VarValue::Plain(text) = value {
                parts.put(part(&format!("auth.{key}")), text);
            }
        }
    }
    for (key, value) in &system.vars {
        if let VarValue::Plain(text) = value {
            parts.put(part(&format!("vars.{key}")), text);
        }
    }
}

fn fields(sync: &SyncSpec, parts: &mut Parts) {
    for field in &sync.fields {
        let part = |key: &str| format!("fields.{}.{key}", field.name);
        parts.put(part("type"), field.kind.to_string());
        parts.put(part("key"), field.key.to_string());
        let owner = field.owner.map(|owner| parts.side_names(&[owner]));
        parts.put(part("owner"), owner.unwrap_or_else(|| "none".to_owned()));
        let steps: Vec<&str> = field.normalise.iter().map(step_word).collect();
        parts.put(part("normalise"), steps.join(", "));
        parts.put(part("on_blank"), if field.keep_on_blank { "keep" } else { "propagate" });
        parts.put(part("too_long"), if field.truncate { "truncate" } else { "hold" });
        for (side, lens) in sync.sides.iter().zip(&field.lenses) {
            if let Some(lens) = lens {
                parts.put(part(&side.name), lens_text(lens));
            }
        }
    }
    for unit in &sync.units {
        let members: Vec<&str> = unit
            .fields
            .iter()
            .filter_map(|place| sync.fields.get(*place))
            .map(|field| field.name.as_str())
            .collect();
        for name in &members {
            let rule = rule_text(&unit.rule, parts);
            parts.put(format!("fields.{name}.conflict"), rule);
        }
        if members != [unit.name.as_str()] {
            parts.put(format!("groups.{}", unit.name), members.join(", "));
        }
    }
}

fn step_word(step: &Normalise) -> &'static str {
    match step {
        Normalise::Trim => "trim",
        Normalise::Collapse => "collapse",
        Normalise::Lower => "lower",
        Normalise::Nfc => "nfc",
    }
}

fn rule_text(rule: &Rule, parts: &Parts) -> String {
    match rule {
        Rule::Prefer(sides) => format!("prefer {}", parts.side_names(sides)),
        Rule::Furthest(values) => {
            let order: Vec<String> = values.iter().map(|value| value.stored().to_string()).collect();
            format!("furthest {}", order.join(" < "))
        }
        other => rule_word(other).to_owned(),
    }
}

fn lens_text(lens: &Lens) -> String {
    let mut text = lens.path.clone();
    if !lens.values.is_empty() {
        let pairs: Vec<String> =
            lens.values.iter().map(|(raw, value)| format!("{raw} = {}", value.stored())).collect();
        text.push_str(&format!(" values {{ {} }}", pairs.join(", ")));
    }
    if let Some(read) = &lens.read {
        text.push_str(&format!(" read {}", read.source));
    }
    if let Some(write) = &lens.write {
        text.push_str(&format!(" write {}", write.source));
    }
    text.trim_start().to_owned()
}

fn guards(guard: &GuardSpec, parts: &mut Parts) {
    let values = [
        guard.delete_sweeps.to_string(),
        guard.delete_over.as_secs().to_string(),
        guard.delete_max.to_string(),
        guard.delete_percent.to_string(),
        guard.delete_window.as_secs().to_string(),
        guard.create_max.to_string(),
        guard.create_window.as_secs().to_string(),
        guard.update_percent.to_string(),
        guard.update_min.to_string(),
        guard.blank_percent.to_string(),
    ];
    for ((name, _), value) in GUARDS.iter().zip(values) {
        parts.put(*name, value);
    }
}

/// What changed from `old` to `new` that needs a new acceptance, one line per part; empty: nothing did.
/// A guard that became tighter is no such change, a loosened one is.
pub fn needs_acceptance(old: &Meaning, new: &Meaning) -> Vec<String> {
    let mut changes = Vec::new();
    let mut names: Vec<&String> = old.parts.keys().chain(new.parts.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (before, after) = (old.parts.get(name), new.parts.get(name));
        if before == after || only_tighter(name, before, after) {
            continue;
        }
        let shown = |text: Option<&String>| text.map_or_else(|| "(not there)".to_owned(), Clone::clone);
        changes.push(format!("{name}: {} -> {}", shown(before), shown(after)));
    }
    changes
}

fn only_tighter(name: &str, before: Option<&String>, after: Option<&String>) -> bool {
    let Some((_, tighter)) = GUARDS.iter().find(|(guard, _)| *guard == name) else {
        return false;
    };
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<f64>().ok());
    match (number(before), number(after), tighter) {
        (Some(before), Some(after), Tighter::Larger) => after >= before,
        (Some(before), Some(after), Tighter::Smaller) => after <= before,
        _ => false,
    }
}
