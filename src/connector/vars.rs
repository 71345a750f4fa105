//! The values of a definition's vars for one configured system: given, defaulted, checked.
//!
//! Only what is in use must be given: a system whose `base_url` and `auth` are replaced by the config
//! needs none of the vars that only those would have used.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::definition::{Definition, Var};
use super::placeholder::{Scope, Text, plain, unknown};
use super::secret::Secret;
use super::wire::chosen;
use crate::config::model::{SecretRef, SystemSpec, VarValue};

/// The result.
#[derive(Debug, Default)]
pub struct Vars {
    /// By name.
    pub values: BTreeMap<String, Json>,
    /// What must not be shown.
    pub hidden: Vec<Secret>,
}

/// Resolves a plain or secret value.
pub fn value_of(
    value: &VarValue,
    resolve: &dyn Fn(&SecretRef) -> Result<Secret, String>,
) -> Result<(String, bool), String> {
    match value {
        VarValue::Plain(text) => Ok((text.clone(), false)),
        VarValue::Secret(reference) => Ok((resolve(reference)?.expose().to_owned(), true)),
    }
}

/// Resolves and checks all vars.
///
/// # Errors
/// Every problem, naming the system and the var.
pub fn resolve(
    spec: &SystemSpec,
    definition: &Definition,
    secret: &dyn Fn(&SecretRef) -> Result<Secret, String>,
) -> Result<Vars, Vec<String>> {
    let place = format!("systems.{}.vars", spec.name);
    let mut problems = Vec::new();
    let mut vars = Vars::default();
    let mut unresolved: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &spec.vars {
        let Some(var) = definition.vars.get(name) else {
            let known = definition.vars.keys().map(String::as_str);
            problems.push(format!("{place}: {}", unknown("var", name, known)));
            continue;
        };
        if var.is_secret() && matches!(value, VarValue::Plain(_)) {
            problems.push(format!(
                "{place}.{name} is a secret: write {{ env = ... }}, {{ file = ... }} or {{ credential = ... }}"
            ));
            continue;
        }
        match value_of(value, secret) {
            Ok((text, hidden)) => {
                if hidden {
                    vars.hidden.push(Secret::new(text.clone()));
                }
                vars.values.insert(name.clone(), Json::String(text));
            }
            // Only a trouble when something uses it: credentials that `auth` replaces need not be there.
            Err(why) => {
                unresolved.insert(name.clone(), why);
            }
        }
    }
    if let (Some(base), true) = (&spec.base_url, definition.vars.contains_key("base_url")) {
        vars.values.insert("base_url".to_owned(), Json::String(base.clone()));
    }
    problems.extend(apply_defaults(definition, &mut vars.values));
    let used = used_names(spec, definition, &vars.values);
    for (name, var) in &definition.vars {
        if let (true, Some(why)) = (used.contains(name), unresolved.get(name)) {
            problems.push(format!("{place}.{name}: {why}"));
            continue;
        }
        match vars.values.get(name) {
            Some(value) => {
                if let Err(why) = check(var, &plain(value)) {
                    // A secret that does not fit is not shown.
                    let shown = if var.is_secret() { "its value" } else { &plain(value) };
                    problems.push(format!("{place}.{name}: {shown} {why}"));
                }
            }
            None if used.contains(name) && is_required(var, &vars.values) => {
                problems.push(format!(
                    "{place}.{name} is missing: connector {} needs it ({})",
                    definition.connector.id, var.kind
                ));
            }
            None => {}
        }
    }
    if problems.is_empty() { Ok(vars) } else { Err(problems) }
}

/// Defaults may refer to other vars, so they are filled until nothing moves.
fn apply_defaults(definition: &Definition, values: &mut BTreeMap<String, Json>) -> Vec<String> {
    let mut problems = Vec::new();
    for _ in 0..definition.vars.len() {
        let mut moved = false;
        for (name, var) in &definition.vars {
            let (None, Some(default)) = (values.get(name), &var.default) else { continue };
            match Text::parse(default).and_then(|text| text.render(&Scope::new(values))) {
                Ok(Some(text)) if !text.is_empty() => {
                    values.insert(name.clone(), Json::String(text));
                    moved = true;
                }
                Ok(_) => {}
                Err(why) => problems.push(format!("default of var {name}: {why}")),
            }
        }
        if !moved {
            break;
        }
    }
    problems
}

fn is_required(var: &Var, values: &BTreeMap<String, Json>) -> bool {
    if var.required {
        return true;
    }
    let condition = var.required_if.as_deref().and_then(|text| text.split_once('='));
    condition.is_some_and(|(name, wanted)| values.get(name.trim()).is_some_and(|v| plain(v) == wanted.trim()))
}

/// The names of holes in the parts that this system uses, through the defaults of other vars.
fn used_names(
    spec: &SystemSpec,
    definition: &Definition,
    values: &BTreeMap<String, Json>,
) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let scope = Scope::new(values);
    for section in ["templates", "entities", "entity_default", "probe"] {
        if let Some(value) = definition.document.get(section) {
            collect(value, &mut used);
        }
    }
    if let Some(http) = definition.document.get("http").and_then(Value::as_table) {
        let skip = if spec.base_url.is_some() { "base_url" } else { "" };
        collect_but(http, skip, &mut used);
    }
    for (name, table, replaced) in
        [("auth", &definition.auth, spec.auth.is_some()), ("rpc", &definition.rpc, false)]
    {
        if replaced {
            continue;
        }
        collect_direct(table, &mut used);
        if let Ok(Some((_, table))) = chosen(name, table, &scope) {
            let skip = if spec.base_url.is_some() { "token_url" } else { "" };
            collect_but(table, skip, &mut used);
        }
    }
    // With neither a base URL of its own nor one in the token answer, the var of that name is it.
    if spec.base_url.is_none() && definition.http.base_url.is_none() {
        used.insert("base_url".to_owned());
    }
    loop {
        let mut more = BTreeSet::new();
        for name in &used {
            let needed = values.get(name).is_none();
            if let (true, Some(default)) =
                (needed, definition.vars.get(name).and_then(|v| v.default.as_ref()))
            {
                collect(&Value::String(default.clone()), &mut more);
            }
        }
        let before = used.len();
        used.extend(more);
        if used.len() == before {
            return used;
        }
    }
}

fn collect_direct(table: &Table, used: &mut BTreeSet<String>) {
    for value in table.values().filter(|value| value.is_str()) {
        collect(value, used);
    }
}

fn collect_but(table: &Table, skip: &str, used: &mut BTreeSet<String>) {
    for (_, value) in table.iter().filter(|(key, _)| *key != skip) {
        collect(value, used);
    }
}

fn collect(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            // Patterns hold braces that are no holes.
            if let Ok(text) = Text::parse(text) {
                used.extend(text.holes().map(|hole| hole.name.clone()));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, used)),
        Value::Table(table) => {
            for (key, value) in table {
                collect(&Value::String(key.clone()), used);
                collect(value, used);
            }
        }
        _ => {}
    }
}

/// The kinds of vars.
pub const KINDS: &[&str] =
    &["string", "host", "url", "ident", "enum", "integer", "duration", "secret", "secret_pem"];

fn check(var: &Var, text: &str) -> Result<(), String> {
    let all = |fits: fn(char) -> bool| !text.is_empty() && text.chars().all(fits);
    let fine = match var.kind.as_str() {
        "host" => all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')),
        "ident" => all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')),
        "integer" => text.parse::<i64>().is_ok(),
        "url" => super::client::Origin::parse(text).is_ok(),
        "enum" if !var.values.iter().any(|known| known == text) => {
            return Err(format!("is not one of {}", var.values.join(", ")));
        }
        _ => !text.chars().any(|c| c.is_control() && var.kind != "secret_pem"),
    };
    if !fine {
        return Err(format!("is not a valid {}", var.kind));
    }
    if let Some(pattern) = &var.pattern {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        if !regex.is_match(text) {
            return Err(format!("does not match {pattern}"));
        }
    }
    Ok(())
}

/// A var that holds names separated by commas.
pub fn value_list(values: &BTreeMap<String, Json>, name: &str) -> BTreeSet<String> {
    let text = values.get(name).map(plain).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
