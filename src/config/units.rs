//! Builds the units of a sync: groups of fields that are decided together, under one rule and one owner.

use crate::core::spec::{Rule, Unit};

use super::fields::ReadField;
use super::problem::{Origin, Report};
use super::reader::Section;
use super::rules::{Written, rule_word, typed};

/// One unit per group and one per field without a group, in the order of the file.
pub fn build(
    sync: &Section<'_>,
    fields: &[ReadField],
    default: Option<&(Written, Origin)>,
    report: &mut Report<'_>,
) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for (place, field) in fields.iter().enumerate() {
        let Some((group, at)) = &field.group else {
            let rule = rule_of(sync, field, field.rule.as_ref(), default, report);
            units.push(Unit { name: field.spec.name.clone(), fields: vec![place], rule });
            continue;
        };
        if units.iter().any(|unit| unit.name == *group) {
            continue;
        }
        let members: Vec<usize> =
            (0..fields.len()).filter(|other| in_group(fields.get(*other), group)).collect();
        let rule = group_rule(sync, group, fields, default, report);
        if members.len() == 1 {
            report.warn(at, format!("{}: group \"{group}\" has one field only", sync.owner));
        }
        units.push(Unit { name: group.clone(), fields: members, rule });
    }
    for (group, at) in fields.iter().filter_map(|field| field.group.as_ref()) {
        if fields.iter().any(|field| field.spec.name == *group && field.group.is_none()) {
            let message = format!("group \"{group}\" has the name of a field outside it");
            sync.problem(report, at, group, message);
        }
    }
    units
}

fn in_group(field: Option<&ReadField>, group: &str) -> bool {
    field.and_then(|field| field.group.as_ref()).is_some_and(|(name, _)| name == group)
}

fn rule_of(
    sync: &Section<'_>,
    field: &ReadField,
    own: Option<&(Written, Origin)>,
    default: Option<&(Written, Origin)>,
    report: &mut Report<'_>,
) -> Rule {
    let Some((written, at)) = own.or(default) else {
        return Rule::Ask;
    };
    if let (Some(_), Some((_, at))) = (field.spec.owner, &field.rule) {
        let message = format!(
            "{}: fields.{} has an owner: its conflict rule is never asked",
            sync.owner, field.spec.name
        );
        report.warn(at, message);
    }
    let rule = typed(sync, &field.spec.name, &field.spec.kind, written, at, report);
    match rule {
        Rule::Prefer(sides) => prefer(sync, field, sides, own.is_some(), at, report),
        rule => rule,
    }
}

/// `prefer` can only name sides that have the field; a sync's default is cut down to those.
fn prefer(
    sync: &Section<'_>,
    field: &ReadField,
    sides: Vec<usize>,
    own: bool,
    at: &Origin,
    report: &mut Report<'_>,
) -> Rule {
    let has = |side: &usize| field.lens_at.get(*side).is_some_and(Option::is_some);
    if own && !sides.iter().all(has) {
        let path = format!("fields.{}.conflict.prefer", field.spec.name);
        let message = format!("{path} names a side that does not have the field");
        sync.problem(report, at, &path, message);
    }
    let having: Vec<usize> = sides.into_iter().filter(|side| has(side)).collect();
    if having.is_empty() { Rule::Ask } else { Rule::Prefer(having) }
}

fn group_rule(
    sync: &Section<'_>,
    group: &str,
    fields: &[ReadField],
    default: Option<&(Written, Origin)>,
    report: &mut Report<'_>,
) -> Rule {
    let members: Vec<&ReadField> = fields.iter().filter(|field| in_group(Some(field), group)).collect();
    let Some(first) = members.first() else {
        return Rule::Ask;
    };
    // The one rule that a member states counts for the group.
    let stated = members.iter().find_map(|field| field.rule.as_ref());
    let rule = rule_of(sync, first, stated, default, report);
    for field in members.iter().skip(1) {
        let name = &field.spec.name;
        let path = format!("fields.{name}");
        if field.spec.owner != first.spec.owner {
            let message = format!(
                "{path} is in group \"{group}\" with fields.{}, which has another owner: a group is decided as one",
                first.spec.name
            );
            sync.problem(report, &field.at, &path, message);
        }
        let own = rule_of(sync, field, stated, default, report);
        let differs = field
            .rule
            .as_ref()
            .is_some_and(|(written, _)| stated.is_some_and(|(other, _)| !same(written, other)));
        if differs && let Some((written, at)) = &field.rule {
            let message = format!(
                "{path}.conflict is {}, but group \"{group}\" has {} already: a group has one rule",
                word(written),
                stated.map(|(other, _)| word(other)).unwrap_or_default()
            );
            sync.problem(report, at, &path, message);
        } else if own != rule && !matches!(rule, Rule::Furthest(_)) {
            let message = format!(
                "{path}: group \"{group}\" has one rule, and not every side it prefers has this field"
            );
            sync.problem(report, &field.at, &path, message);
        }
    }
    if members.len() > 1
        && matches!(rule, Rule::Union | Rule::Sum | Rule::Largest | Rule::Smallest | Rule::Furthest(_))
    {
        let (_, at) = stated.or(default).map_or((&Written::Rule(Rule::Ask), &first.at), |(w, at)| (w, at));
        let message = format!(
            "group \"{group}\" cannot be decided by \"{}\": that rule looks at one value, and would mix the sides",
            rule_word(&rule)
        );
        sync.problem(report, at, group, message);
    }
    rule
}

fn same(one: &Written, other: &Written) -> bool {
    match (one, other) {
        (Written::Furthest(one), Written::Furthest(other)) => {
            one.iter().map(|(value, _)| value).eq(other.iter().map(|(value, _)| value))
        }
        _ => one == other,
    }
}

fn word(written: &Written) -> String {
    match written {
        Written::Rule(rule) => format!("\"{}\"", rule_word(rule)),
        Written::Furthest(_) => "\"furthest\"".to_owned(),
    }
}
