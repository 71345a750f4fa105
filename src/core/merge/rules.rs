//! The conflict rules: which of several candidates wins, or why none of them can be said to (rule 3). A rule
//! that cannot decide asks; none of them guesses.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::super::spec::{First, Rule, SideIx};
use super::super::value::Value;
use super::view::View;
use super::{Agreed, Candidate};

/// What a rule said.
pub(super) enum Outcome {
    /// This candidate wins, for this reason.
    Chosen(Candidate, String),
    /// A person must decide, for this reason.
    Ask(String),
}

/// The same values, as far as the fields' `normalise` distinguishes.
pub(super) fn same(view: &View, one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).enumerate().all(|(place, (a, b))| view.key(place, a) == view.key(place, b))
}

/// One order for candidates, whatever the order of the sides.
pub(super) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|one, other| one.values.cmp(&other.values).then_with(|| one.sides.cmp(&other.sides)));
}

/// `erp says 5 and crm says 7`.
pub(super) fn describe(view: &View, candidates: &[Candidate]) -> String {
    let said: Vec<String> = candidates
        .iter()
        .map(|candidate| {
            let values: Vec<String> = candidate.values.iter().map(ToString::to_string).collect();
            let verb = if candidate.sides.len() > 1 { "say" } else { "says" };
            format!("{} {verb} {}", view.side_names(&candidate.sides), values.join(" / "))
        })
        .collect();
    if said.is_empty() { "nothing differs".to_owned() } else { said.join(", ") }
}

/// `first` for records that are linked for the first time.
pub(super) fn first(view: &View, candidates: &[Candidate]) -> Outcome {
    match view.input.first {
        First::Ask => Outcome::Ask("they differ at first sight, and first = \"ask\"".to_owned()),
        First::Prefer(sides) => {
            let skips = |side: &SideIx| candidates.iter().any(|candidate| candidate.sides.contains(side));
            preferred(view, sides, candidates, skips, "first prefers")
        }
    }
}

/// `first` for a member that joined a decided unit; an owner decides before it is asked.
pub(super) fn joining(view: &View, agreed: &Agreed, candidates: &[Candidate]) -> Outcome {
    owner(view, agreed, candidates).unwrap_or_else(|| first(view, candidates))
}

/// The owner's value, when one side owns every field of the unit.
fn owner(view: &View, agreed: &Agreed, candidates: &[Candidate]) -> Option<Outcome> {
    let owner = view.field(0)?.owner?;
    if !(0..view.width()).all(|place| view.field(place).is_some_and(|field| field.owner == Some(owner))) {
        return None;
    }
    let chosen = candidates.iter().find(|candidate| candidate.sides.contains(&owner)).cloned();
    let chosen =
        chosen.unwrap_or_else(|| Candidate { values: agreed.values.clone(), sides: agreed.origin.clone() });
    Some(Outcome::Chosen(chosen, format!("{} owns it", view.side_name(owner))))
}

/// The unit's rule, for several candidates that changed since they last agreed.
pub(super) fn choose(view: &View, agreed: &Agreed, candidates: &[Candidate]) -> Outcome {
    if let Some(outcome) = owner(view, agreed, candidates) {
        return outcome;
    }
    match &view.input.unit.rule {
        Rule::Ask => Outcome::Ask("changed to different values, and no rule says which one wins".to_owned()),
        Rule::Prefer(sides) => {
            let changed = |side: &SideIx| candidates.iter().any(|candidate| candidate.sides.contains(side));
            preferred(view, sides, candidates, changed, "the rule prefers")
        }
        Rule::Furthest(order) => furthest(view, order, candidates),
        Rule::Largest => extreme(view, candidates, true),
        Rule::Smallest => extreme(view, candidates, false),
        Rule::Newest => by_stamp(view, agreed, candidates, true),
        Rule::Oldest => by_stamp(view, agreed, candidates, false),
        Rule::Union | Rule::Sum => Outcome::Ask("the values cannot be added up".to_owned()),
    }
}

fn preferred(
    view: &View,
    order: &[SideIx],
    candidates: &[Candidate],
    eligible: impl Fn(&SideIx) -> bool,
    why: &str,
) -> Outcome {
    let chosen = order.iter().find(|side| eligible(side)).and_then(|side| {
        let candidate = candidates.iter().find(|candidate| candidate.sides.contains(side))?;
        Some((candidate.clone(), *side))
    });
    match chosen {
        Some((candidate, side)) => Outcome::Chosen(candidate, format!("{why} {}", view.side_name(side))),
        None => Outcome::Ask(format!("{why} {}, which is not among them", view.side_names(order))),
    }
}

fn singles(candidates: &[Candidate]) -> Option<Vec<(&Candidate, &Value)>> {
    candidates
        .iter()
        .map(|candidate| match candidate.values.as_slice() {
            [value] => Some((candidate, value)),
            _ => None,
        })
        .collect()
}

const GROUPED: &str = "the rule compares single values, and these fields are decided together";

fn furthest(view: &View, order: &[Value], candidates: &[Candidate]) -> Outcome {
    let Some(values) = singles(candidates) else { return Outcome::Ask(GROUPED.to_owned()) };
    let mut best: Option<(usize, &Candidate)> = None;
    for (candidate, value) in values {
        let key = view.key(0, value);
        let Some(rank) = order.iter().position(|known| view.key(0, known) == key) else {
            return Outcome::Ask(format!("{value} is not in the order that the rule goes by"));
        };
        if best.is_none_or(|(furthest, _)| rank > furthest) {
            best = Some((rank, candidate));
        }
    }
    match best {
        Some((_, candidate)) => Outcome::Chosen(
            candidate.clone(),
            format!("{} is further along", view.side_names(&candidate.sides)),
        ),
        None => Outcome::Ask("there is nothing to compare".to_owned()),
    }
}

fn extreme(view: &View, candidates: &[Candidate], largest: bool) -> Outcome {
    let Some(values) = singles(candidates) else { return Outcome::Ask(GROUPED.to_owned()) };
    if values.iter().any(|(_, value)| value.is_blank()) {
        return Outcome::Ask("one of them is blank, which is neither larger nor smaller".to_owned());
    }
    let kind = values.first().map(|(_, value)| std::mem::discriminant(*value));
    if values.iter().any(|(_, value)| Some(std::mem::discriminant(*value)) != kind) {
        return Outcome::Ask("they are not of one kind and cannot be compared".to_owned());
    }
    let by_key = |pair: &&(&Candidate, &Value)| view.key(0, pair.1);
    let (best, word) = if largest {
        (values.iter().max_by_key(by_key), "largest")
    } else {
        (values.iter().min_by_key(by_key), "smallest")
    };
    match best {
        Some((candidate, value)) => Outcome::Chosen(
            (*candidate).clone(),
            format!("{value} from {} is the {word}", view.side_names(&candidate.sides)),
        ),
        None => Outcome::Ask("there is nothing to compare".to_owned()),
    }
}

/// The stamp of a candidate and how far it may be wrong. What was agreed carries the stamp of its decision; how
/// wrong that may be is taken from its origin, and from the worst side where the origin shows nothing now.
fn stamp(view: &View, agreed: &Agreed, candidate: &Candidate, newest: bool) -> Option<(Timestamp, i64)> {
    let changed: Vec<_> =
        view.parts.iter().filter(|part| part.changed && candidate.sides.contains(&part.side)).collect();
    if changed.is_empty() {
        let origin = view.parts.iter().filter(|part| candidate.sides.contains(&part.side));
        let error = origin.map(|part| part.stamp_error_ms).max();
        let error = error.or_else(|| view.parts.iter().map(|part| part.stamp_error_ms).max());
        return agreed.stamp.map(|stamp| (stamp, error.unwrap_or(0)));
    }
    let stamps: Option<Vec<(Timestamp, i64)>> =
        changed.iter().map(|part| part.stamp.map(|stamp| (stamp, part.stamp_error_ms))).collect();
    let stamps = stamps?.into_iter();
    if newest { stamps.max() } else { stamps.min() }
}

fn by_stamp(view: &View, agreed: &Agreed, candidates: &[Candidate], newest: bool) -> Outcome {
    let mut stamped = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let Some((stamp, error)) = stamp(view, agreed, candidate, newest) else {
            return Outcome::Ask(format!(
                "{} does not say when it was changed",
                view.side_names(&candidate.sides)
            ));
        };
        stamped.push((stamp, error, candidate));
    }
    stamped.sort_by_key(|(stamp, _, _)| *stamp);
    if newest {
        stamped.reverse();
    }
    let word = if newest { "newest" } else { "oldest" };
    let Some(((stamp, error, best), others)) = stamped.split_first() else {
        return Outcome::Ask("there is nothing to compare".to_owned());
    };
    for (other, other_error, _) in others {
        let gap = (stamp.as_millisecond() - other.as_millisecond()).abs();
        let uncertain = error.saturating_add(*other_error);
        if gap <= uncertain {
            return Outcome::Ask(format!(
                "they were changed {gap} ms apart, and the clocks are only known to {uncertain} ms"
            ));
        }
    }
    Outcome::Chosen(
        (*best).clone(),
        format!("{} has the {word} stamp, {stamp}", view.side_names(&best.sides)),
    )
}

/// `sum` and `union`: what every changed side did to its own base, done to the agreed value.
pub(super) fn deltas(view: &View, agreed: &Agreed) -> Result<(Vec<Value>, String), String> {
    let [before] = agreed.values.as_slice() else { return Err(GROUPED.to_owned()) };
    let sum = matches!(view.input.unit.rule, Rule::Sum);
    let mut steps = Vec::new();
    let mut sides = Vec::new();
    for part in view.parts.iter().filter(|part| part.changed) {
        let base = part.base.as_ref().and_then(|base| base.first());
        let shown = part.shown.first().and_then(Option::as_ref);
        if let (Some(base), Some(shown)) = (base, shown) {
            steps.push((base, shown));
            sides.push(part.side);
        }
    }
    let value = if sum { summed(before, &steps)? } else { united(before, &steps)? };
    let how = if sum { "added to" } else { "united with" };
    Ok((vec![value], format!("changes on {} {how} what was agreed", view.side_names(&sides))))
}

fn summed(before: &Value, steps: &[(&Value, &Value)]) -> Result<Value, String> {
    let number = |value: &Value| match value {
        Value::Number(number) => Ok(*number),
        Value::Null => Ok(Decimal::ZERO),
        other => Err(format!("{other} is not a number that could be added")),
    };
    let mut total = number(before)?;
    for (base, shown) in steps {
        let step = number(shown)?.checked_sub(number(base)?);
        total = step
            .and_then(|step| total.checked_add(step))
            .ok_or_else(|| "the sum is larger than can be kept exactly".to_owned())?;
    }
    Ok(Value::number(total))
}

fn united(before: &Value, steps: &[(&Value, &Value)]) -> Result<Value, String> {
    let set = |value: &Value| match value {
        Value::Set(entries) => Ok(entries.clone()),
        Value::Null => Ok(std::collections::BTreeSet::new()),
        other => Err(format!("{other} is not a set")),
    };
    let mut result = set(before)?;
    // All removals first: what one side added stays, whatever another removed.
    for (base, shown) in steps {
        let shown = set(shown)?;
        for entry in set(base)?.difference(&shown) {
            result.remove(entry);
        }
    }
    for (base, shown) in steps {
        result.extend(set(shown)?.difference(&set(base)?).cloned());
    }
    Ok(if result.is_empty() { Value::Null } else { Value::Set(result) })
}
