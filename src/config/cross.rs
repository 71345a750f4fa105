//! Checks what concerns several syncs at once: unique names, references and their order, rival creates.

use crate::core::spec::SyncSpec;
use crate::core::value::FieldType;

use super::problem::Report;
use super::sync::ReadSync;
use super::text::{did_you_mean, list};

/// All checks across syncs.
pub fn check(syncs: &[ReadSync], report: &mut Report<'_>) {
    unique_names(syncs, report);
    rival_creates(syncs, report);
    references(syncs, report);
    cycles(syncs, report);
}

fn unique_names(syncs: &[ReadSync], report: &mut Report<'_>) {
    for (place, sync) in syncs.iter().enumerate() {
        let name = &sync.spec.name;
        if !name.is_empty() && syncs.iter().take(place).any(|other| other.spec.name == *name) {
            report.problem(&sync.at, "name", format!("{}: there is another sync of that name", sync.owner));
        }
    }
}

fn rival_creates(syncs: &[ReadSync], report: &mut Report<'_>) {
    let creating: Vec<_> = syncs
        .iter()
        .flat_map(|sync| sync.sides.iter().map(move |side| (sync, side)))
        .filter(|(_, side)| !side.spec.create_for.is_empty())
        .collect();
    for (place, (sync, side)) in creating.iter().enumerate() {
        let rival = creating.iter().take(place).find(|(_, other)| {
            (&other.spec.system, &other.spec.entity, &other.spec.template)
                == (&side.spec.system, &side.spec.entity, &side.spec.template)
        });
        let Some((other_sync, other_side)) = rival else {
            continue;
        };
        let template =
            side.spec.template.as_ref().map(|title| format!(" of template \"{title}\"")).unwrap_or_default();
        let message = format!(
            "{}: side {} creates {}{template} in {}, and so does side {} of {}: each would make its own",
            sync.owner,
            side.spec.name,
            side.spec.entity,
            side.spec.system,
            other_side.spec.name,
            other_sync.owner
        );
        report.problem(&side.create_at, "create", message);
    }
}

fn references(syncs: &[ReadSync], report: &mut Report<'_>) {
    let names: Vec<&str> = syncs.iter().map(|sync| sync.spec.name.as_str()).collect();
    for sync in syncs {
        for field in &sync.fields {
            let FieldType::Ref(target) = &field.spec.kind else {
                continue;
            };
            let path = format!("fields.{}.type", field.spec.name);
            let Some(parent) = syncs.iter().find(|other| other.spec.name == *target) else {
                let message =
                    format!("{}: {path} is ref({target}), and there is no sync \"{target}\"", sync.owner);
                let advice = did_you_mean(target, names.iter().copied())
                    .unwrap_or_else(|| format!("there is {}", list(names.iter().copied())));
                report.suggest(&field.at, &path, message, Some(advice));
                continue;
            };
            for (side, at) in sync.sides.iter().zip(&field.lens_at) {
                let reached = parent.sides.iter().any(|other| other.spec.system == side.spec.system);
                if let (Some(at), false) = (at, reached) {
                    let message = format!(
                        "{}: {path} is ref({target}), but that sync has no side in system \"{}\"",
                        sync.owner, side.spec.system
                    );
                    report.problem(at, &path, message);
                }
            }
        }
    }
}

/// Places of the syncs that this one refers to.
fn parents(syncs: &[SyncSpec], place: usize) -> Vec<usize> {
    let Some(sync) = syncs.get(place) else {
        return Vec::new();
    };
    sync.fields
        .iter()
        .filter_map(|field| match &field.kind {
            FieldType::Ref(target) => syncs.iter().position(|other| other.name == *target),
            _ => None,
        })
        .collect()
}

fn cycles(syncs: &[ReadSync], report: &mut Report<'_>) {
    let specs: Vec<SyncSpec> = syncs.iter().map(|sync| sync.spec.clone()).collect();
    let mut told: Vec<usize> = Vec::new();
    for (place, sync) in syncs.iter().enumerate() {
        if told.contains(&place) {
            continue;
        }
        if let Some(cycle) = cycle_from(&specs, place) {
            let names: Vec<&str> = cycle
                .iter()
                .chain([&place])
                .filter_map(|at| specs.get(*at))
                .map(|spec| spec.name.as_str())
                .collect();
            let message = format!(
                "{}: its references run in a circle ({}): no record could be first",
                sync.owner,
                names.join(" -> ")
            );
            report.problem(&sync.at, "type", message);
            told.extend(cycle);
        }
    }
}

/// The way from a sync along its references back to itself, without the return.
fn cycle_from(specs: &[SyncSpec], start: usize) -> Option<Vec<usize>> {
    let mut ways = vec![vec![start]];
    let mut seen = Vec::new();
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        for parent in parents(specs, last) {
            if parent == start {
                return Some(way);
            }
            if !seen.contains(&parent) {
                seen.push(parent);
                let mut longer = way.clone();
                longer.push(parent);
                ways.push(longer);
            }
        }
    }
    None
}

/// Places of the syncs in an order in which what is referred to comes before what refers to it; otherwise
/// in the order of the file.
pub fn parents_first(syncs: &[SyncSpec]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < syncs.len() {
        let open = || (0..syncs.len()).filter(|place| !order.contains(place));
        let ready = open().find(|place| parents(syncs, *place).iter().all(|parent| order.contains(parent)));
        // A circle is refused when the config is read; should one get here, the file's order breaks it.
        match ready.or_else(|| open().next()) {
            Some(place) => order.push(place),
            None => break,
        }
    }
    order
}
