//! The config file: from `sync.toml`, `TALLYSYNC_*` and flags to a checked [`Config`], or to everything that
//! is wrong with it at once.
//!
//! Nothing here reaches a system, reads a secret or touches the state file. Layers are joined in `layers.rs`,
//! keys are read in the file of their section, and what is wrong is told by `problem.rs`.

mod cross;
mod fields;
mod guard;
mod layers;
pub mod meaning;
pub mod model;
pub mod problem;
mod reader;
mod rules;
mod secret;
mod sides;
mod starter;
mod sync;
mod systems;
mod text;
mod tree;
mod units;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use cross::parents_first;
pub use meaning::needs_acceptance;
pub use problem::{Problem, Problems};
pub use starter::starter;
pub use text::{duration, duration_text};

use model::Config;
use problem::{Origin, Report, Source};
use sync::{ReadSync, Surroundings};
use tree::{Kind, Node};

const SECTIONS: [&str; 5] = ["state", "daemon", "connectors", "systems", "sync"];
/// Sections of the format that this version does not run, with what they would be.
const LATER: [(&str, &str); 2] = [("flow", "flows"), ("export", "exports")];

/// Reads the config file, lays the environment and the flags over it, and checks everything.
///
/// `env` is the whole environment; only `TALLYSYNC_*` is looked at. `overrides` are flags as dotted keys
/// (`state.path`) with their text. Relative paths count from the folder of the file, wherever they are
/// written.
///
/// # Errors
/// Every problem, each with its place.
pub fn load(
    path: &Path,
    env: impl Iterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Config, Problems> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => load_text(path, &text, env, overrides),
        Err(error) => {
            let source = Source::new(name, "");
            let mut report = Report::new(&source);
            let advice = Some("`tallysync init` writes one, --config names another".to_owned());
            report.suggest(&Origin::Default, "", format!("cannot be read: {error}"), advice);
            Err(report.finish().0)
        }
    }
}

/// [`load`] over a text that is already read; `path` says where it would stand.
///
/// # Errors
/// Every problem, each with its place.
pub fn load_text(
    path: &Path,
    text: &str,
    env: impl Iterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Config, Problems> {
    let mut source = Source::new(path.display().to_string(), text);
    let file = tree::parse(&mut source)?;
    let mut report = Report::new(&source);
    let root = layers::join(path, &file, env, overrides, &mut report);
    let folder = layers::folder(path);
    sections(&root, &mut report);
    let state = systems::state(&root, &folder, &mut report);
    let daemon = systems::daemon(&root, &mut report);
    let connectors_dir = systems::connectors(&root, &folder, &mut report);
    let systems = systems::systems(&root, &folder, &mut report);
    // Syncs come from the file alone: no layer may speak to them, and their order and digits count.
    let around = Surroundings { systems: &systems, timezone: &daemon.timezone, text };
    let syncs = syncs(&file, &around, &mut report);
    cross::check(&syncs, &mut report);
    let (problems, warnings) = report.finish();
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let syncs: Vec<_> = syncs.into_iter().map(|sync| sync.spec).collect();
    let meanings = syncs.iter().map(|sync| meaning::meaning(sync, &systems, &daemon.timezone)).collect();
    Ok(Config { path: path.to_owned(), state, daemon, connectors_dir, systems, syncs, meanings, warnings })
}

fn sections(root: &Node, report: &mut Report<'_>) {
    for entry in root.entries().unwrap_or_default() {
        let name = entry.key.as_str();
        if SECTIONS.contains(&name) {
            continue;
        }
        let Some((_, what)) = LATER.iter().find(|(later, _)| *later == name) else {
            let known: Vec<&str> = SECTIONS.to_vec();
            let advice = text::did_you_mean(name, known.iter().copied())
                .or_else(|| Some(format!("known: {}", known.join(", "))));
            report.suggest(&entry.origin, name, format!("unknown section \"{name}\""), advice);
            continue;
        };
        let items = match &entry.node.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![&entry.node],
        };
        for item in items {
            let title = item.get("name").and_then(|entry| entry.node.scalar());
            let title = title.map(|title| format!(" \"{title}\"")).unwrap_or_default();
            let message = format!("{name}{title}: this version does not run {what}");
            let at = if matches!(item.origin, Origin::File(_)) { &item.origin } else { &entry.origin };
            let advice = Some(format!("take [[{name}]]{title} out of the file"));
            report.suggest(at, name, message, advice);
        }
    }
}

fn syncs(file: &Node, around: &Surroundings<'_>, report: &mut Report<'_>) -> Vec<ReadSync> {
    let Some(entry) = file.get("sync") else {
        report.warn(&Origin::Default, "there is no [[sync]]: nothing will be kept equal");
        return Vec::new();
    };
    let Kind::List(items) = &entry.node.kind else {
        report.problem(&entry.origin, "sync", "sync must be written with two brackets: [[sync]]");
        return Vec::new();
    };
    let mut syncs = Vec::new();
    for (place, item) in items.iter().enumerate() {
        if item.entries().is_some() {
            syncs.push(sync::read(item, place + 1, around, report));
        } else {
            let message = format!("sync number {} must be a table, not {}", place + 1, item.kind_name());
            report.problem(&item.origin, "sync", message);
        }
    }
    syncs
}
