//! The three-way merge of one unit of one link, over two or more sides, with a base per side.
//!
//! A pure function of what is stored and what is seen; `docs/guarantees.md` section 7 gives the rules by
//! number and the tests name them. It knows no clock, no store and no system.

mod rules;
mod view;

use jiff::Timestamp;

use self::rules::Outcome;
use self::view::View;
use super::spec::{FieldSpec, First, Rule, SideIx, SideSpec, Unit};
use super::value::{Seen, Value};

/// The reason of a conflict that goes on: the one for which it began stays the one to show.
pub const UNDECIDED: &str = "a person has not decided yet";

/// What a write is for when the value was decided before: by a person, or by a pass that could not write it.
pub const BEHIND: &str = "does not show the agreed value yet";

/// The agreed value of one unit: what all sides should say.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreed {
    /// One value per field of the unit, in the unit's order.
    pub values: Vec<Value>,
    /// Counts decisions, from 1.
    pub number: u64,
    /// The sides whose change made it.
    pub origin: Vec<SideIx>,
    /// The stamp of the origin's record when it was decided, for `newest` and `oldest`.
    pub stamp: Option<Timestamp>,
}

/// One member of the link, as far as this unit is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberUnit {
    /// Its side.
    pub side: SideIx,
    /// What it shows now, one entry per field of the unit.
    pub seen: Vec<Seen>,
    /// What it showed when it was last accounted for; `None` for a new member or one whose lens changed.
    pub base: Option<Vec<Value>>,
    /// The number of the agreed value that the base stands for; 0 before any.
    pub stands: u64,
    /// The record's own stamp, corrected by the system's measured clock offset.
    pub stamp: Option<Timestamp>,
    /// How far the corrected stamp may be wrong, in milliseconds.
    pub stamp_error_ms: i64,
}

/// Everything the merge of one unit needs.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The sides of the sync, for their names.
    pub sides: &'a [SideSpec],
    /// The fields of the sync.
    pub fields: &'a [FieldSpec],
    /// The unit to decide.
    pub unit: &'a Unit,
    /// The sync's `first` rule.
    pub first: &'a First,
    /// The agreed value so far.
    pub agreed: Option<Agreed>,
    /// The members that exist, at most one per side.
    pub members: Vec<MemberUnit>,
    /// An open conflict freezes the unit (rule 5).
    pub frozen: bool,
}

/// What the merge decided about one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The agreed value after it.
    pub agreed: Option<Agreed>,
    /// For every member that takes part and is accounted for: its base and the number it stands for, after
    /// the decision. A member that is not listed keeps what is stored.
    pub members: Vec<(SideIx, Vec<Value>, u64)>,
    /// Members that do not stand for the agreed value and are due a write.
    pub writes: Vec<UnitWrite>,
    /// A conflict to store (or the one that is open, refreshed).
    pub conflict: Option<Conflict>,
    /// Why this was decided, for the plan and the audit: one sentence.
    pub reason: String,
}

/// A write that a member is due.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitWrite {
    /// The side to write.
    pub side: SideIx,
    /// The value per field of the unit; `None` where the side lacks the field or already shows it.
    pub values: Vec<Option<Value>>,
    /// Why, for the person who reads the plan.
    pub reason: String,
}

/// Several sides changed one unit to different values and no rule decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// What all had agreed on before.
    pub agreed: Option<Vec<Value>>,
    /// Every candidate with the sides it stands for.
    pub candidates: Vec<Candidate>,
    /// Why the rule did not decide.
    pub reason: String,
}

/// One of the values that a conflict is between.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// One value per field of the unit.
    pub values: Vec<Value>,
    /// The sides it stands for.
    pub sides: Vec<SideIx>,
}

/// What a person decides about a conflict.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The value of the candidate that this side stands for.
    Take(SideIx),
    /// These values, one per field of the unit.
    Values(Vec<Value>),
}

/// Decides one unit: what is agreed now, what is due to whom, or that a person must decide.
pub fn merge(input: &Input) -> Decision {
    let view = View::new(input);
    if view.parts.is_empty() {
        return undecided(&view, "no side shows this field".to_owned());
    }
    match view.agreed() {
        None => first_link(&view),
        Some(agreed) => next_link(&view, agreed),
    }
}

/// A person's decision on the open conflict.
///
/// # Errors
/// When what the sides show is no longer what the conflict was about (the decision is stale), or the choice
/// names no candidate. Nothing is decided then.
pub fn resolve(input: &Input, conflict: &Conflict, choice: &Choice) -> Result<Decision, String> {
    let view = View::new(input);
    let mut now = open_candidates(&view);
    let mut then = conflict.candidates.clone();
    rules::sort(&mut now);
    rules::sort(&mut then);
    if now != then {
        return Err(format!(
            "the sides no longer show what this conflict was about (now {}); look at it again and decide again",
            rules::describe(&view, &now)
        ));
    }
    let (values, origin, reason) = match choice {
        Choice::Take(side) => {
            let taken =
                now.into_iter().find(|candidate| candidate.sides.contains(side)).ok_or_else(|| {
                    format!("{} is not among the sides that this conflict is between", view.side_name(*side))
                })?;
            (taken.values, taken.sides, format!("a person decided for {}", view.side_name(*side)))
        }
        Choice::Values(values) if values.len() == input.unit.fields.len() => {
            (values.clone(), Vec::new(), "a person decided for a value of their own".to_owned())
        }
        Choice::Values(values) => {
            return Err(format!(
                "{} values were given for the {} fields of {}",
                values.len(),
                input.unit.fields.len(),
                input.unit.name
            ));
        }
    };
    let stamp = view.newest_stamp(&origin);
    let number = input.agreed.as_ref().map_or(0, |agreed| agreed.number) + 1;
    Ok(settle(&view, Agreed { values, number, origin, stamp }, reason))
}

/// A person's value for a unit that is frozen because it alternates: there are no candidates to choose from.
pub fn impose(input: &Input, values: Vec<Value>) -> Decision {
    let view = View::new(input);
    let number = input.agreed.as_ref().map_or(0, |agreed| agreed.number) + 1;
    let agreed = Agreed { values, number, origin: Vec::new(), stamp: None };
    settle(&view, agreed, "a person decided for this value".to_owned())
}

/// What the conflict is between, were it raised now: the same whether it is raised, refreshed or resolved.
fn open_candidates(view: &View) -> Vec<Candidate> {
    let Some(agreed) = view.agreed() else {
        return view.first_candidates().unwrap_or_default();
    };
    let now = match by_rule(view, agreed) {
        Changes::Disputed(candidates, _) => return candidates,
        Changes::Quiet => agreed.clone(),
        Changes::Decided(now, _) => now,
    };
    // The sides that have a base decide among themselves first; the conflict is with the member that joined.
    let joining = view.joining_candidates(&now);
    if joining.len() > 1 { joining } else { with_agreed(view, agreed, view.candidates(agreed)) }
}

/// A conflict that is down to one changed side is still one between that side and what was agreed.
fn with_agreed(view: &View, agreed: &Agreed, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    if candidates.len() == 1 {
        let sides: Vec<SideIx> =
            view.parts.iter().filter(|part| !part.changed).map(|part| part.side).collect();
        candidates.push(Candidate { values: agreed.values.clone(), sides });
        rules::sort(&mut candidates);
    }
    candidates
}

/// Rule 8 for records that are linked for the first time, or of which no base is trusted any more.
fn first_link(view: &View) -> Decision {
    let candidates = match view.first_candidates() {
        Ok(candidates) => candidates,
        Err(reason) => return undecided(view, reason),
    };
    let decide = |candidate: &Candidate, reason: String| {
        let agreed = Agreed {
            values: candidate.values.clone(),
            // After a number that was given before: writes under it must not be taken for this decision's.
            number: view.input.agreed.as_ref().map_or(0, |old| old.number) + 1,
            origin: candidate.sides.clone(),
            stamp: view.newest_stamp(&candidate.sides),
        };
        settle(view, agreed, reason)
    };
    match candidates.as_slice() {
        [] => undecided(view, "no side shows this field".to_owned()),
        [only] if view.input.frozen => decide(only, "all sides now say the same".to_owned()),
        [only] => decide(only, view.first_reason(only)),
        _ if view.input.frozen => conflict(view, None, candidates, UNDECIDED.to_owned()),
        several => match rules::first(view, several) {
            Outcome::Chosen(chosen, reason) => decide(&chosen, reason),
            Outcome::Ask(reason) => conflict(view, None, candidates, reason),
        },
    }
}

/// Rules 1 to 6 for a unit that was decided before; then rule 8 for members that joined since.
fn next_link(view: &View, agreed: &Agreed) -> Decision {
    let based = match decide_changes(view, agreed) {
        Ok(decided) => decided,
        Err(decision) => return *decision,
    };
    let (agreed, reason) = based;
    let candidates = view.joining_candidates(&agreed);
    if candidates.len() < 2 {
        return settle(view, agreed, reason);
    }
    if view.input.frozen {
        return conflict(view, view.input.agreed.as_ref(), candidates, UNDECIDED.to_owned());
    }
    match rules::joining(view, &agreed, &candidates) {
        Outcome::Chosen(chosen, why) if rules::same(view, &chosen.values, &agreed.values) => {
            settle(view, agreed, why)
        }
        Outcome::Chosen(chosen, why) => {
            let number = view.input.agreed.as_ref().map_or(0, |old| old.number) + 1;
            let stamp = view.newest_stamp(&chosen.sides);
            settle(view, Agreed { values: chosen.values, number, origin: chosen.sides, stamp }, why)
        }
        Outcome::Ask(why) => conflict(view, view.input.agreed.as_ref(), candidates, why),
    }
}

/// What the changes of the members that have a base come to, without regard to an open conflict.
enum Changes {
    /// None counts.
    Quiet,
    /// The agreed value to go on with, and why.
    Decided(Agreed, String),
    /// A person must decide between these, and why.
    Disputed(Vec<Candidate>, String),
}

fn by_rule(view: &View, agreed: &Agreed) -> Changes {
    let candidates = view.candidates(agreed);
    if candidates.is_empty() {
        return Changes::Quiet;
    }
    if matches!(view.input.unit.rule, Rule::Union | Rule::Sum) {
        return match rules::deltas(view, agreed) {
            Ok((values, reason)) => {
                let sides = changed_sides(view);
                Changes::Decided(next(view, agreed, Candidate { values, sides }), reason)
            }
            Err(reason) => Changes::Disputed(with_agreed(view, agreed, candidates), reason),
        };
    }
    if let [only] = candidates.as_slice() {
        let reason = format!("changed on {}", view.side_names(&only.sides));
        return Changes::Decided(next(view, agreed, only.clone()), reason);
    }
    match rules::choose(view, agreed, &candidates) {
        Outcome::Chosen(chosen, reason) => Changes::Decided(next(view, agreed, chosen), reason),
        Outcome::Ask(reason) => Changes::Disputed(candidates, reason),
    }
}

fn changed_sides(view: &View) -> Vec<SideIx> {
    view.parts.iter().filter(|part| part.changed).map(|part| part.side).collect()
}

/// The next decision (rule 4).
fn next(view: &View, agreed: &Agreed, candidate: Candidate) -> Agreed {
    let stays = rules::same(view, &candidate.values, &agreed.values);
    let stamp = if stays { agreed.stamp } else { view.newest_stamp(&candidate.sides) };
    Agreed { values: candidate.values, number: agreed.number + 1, origin: candidate.sides, stamp }
}

/// The agreed value to go on with and why, or the conflict that ends it. An open conflict is closed only by all
/// sides saying the same (rule 5).
fn decide_changes(view: &View, agreed: &Agreed) -> Result<(Agreed, String), Box<Decision>> {
    if view.input.frozen && view.parts.iter().any(|part| part.changed) {
        if let Some(values) = view.all_say() {
            let decided = next(view, agreed, Candidate { values, sides: changed_sides(view) });
            return Ok((decided, "all sides came to say the same by themselves".to_owned()));
        }
        let waiting = UNDECIDED.to_owned();
        return Err(Box::new(conflict(view, Some(agreed), open_candidates(view), waiting)));
    }
    match by_rule(view, agreed) {
        Changes::Quiet => Ok((agreed.clone(), view.quiet_reason())),
        Changes::Decided(decided, reason) => Ok((decided, reason)),
        Changes::Disputed(candidates, reason) => {
            Err(Box::new(conflict(view, Some(agreed), candidates, reason)))
        }
    }
}

/// Accounts for everything that was seen, against the agreed value, and lists the writes that are due
/// (rules 4 and 6).
fn settle(view: &View, agreed: Agreed, reason: String) -> Decision {
    let mut members = Vec::with_capacity(view.parts.len());
    let mut writes = Vec::new();
    for part in &view.parts {
        let shows: Vec<bool> = (0..view.width()).map(|place| view.stands_at(part, place, &agreed)).collect();
        let stands = if shows.iter().all(|shown| *shown) {
            agreed.number
        } else if part.put_back || part.unbased || view.input.agreed.is_none() {
            0
        } else {
            part.stands
        };
        members.push((part.side, view.base_after(part), stands));
        if stands >= agreed.number {
            continue;
        }
        let values: Vec<Option<Value>> = agreed
            .values
            .iter()
            .zip(&shows)
            .enumerate()
            .map(|(place, (value, shown))| {
                (!shown && view.lens(part.side, place).is_some_and(|lens| lens.writable))
                    .then(|| value.clone())
            })
            .collect();
        if values.iter().any(Option::is_some) {
            writes.push(UnitWrite {
                side: part.side,
                values,
                reason: view.write_reason(part, &agreed, &reason),
            });
        }
    }
    let reason = view.with_unknown(reason);
    Decision { agreed: Some(agreed), members, writes, conflict: None, reason }
}

/// Nothing is decided and nothing is accounted for: the stored bases stay as they are.
fn conflict(
    view: &View,
    agreed: Option<&Agreed>,
    mut candidates: Vec<Candidate>,
    reason: String,
) -> Decision {
    rules::sort(&mut candidates);
    let text = format!("{}: {reason}", rules::describe(view, &candidates));
    let mut decision = undecided(view, text);
    decision.conflict =
        Some(Conflict { agreed: agreed.map(|agreed| agreed.values.clone()), candidates, reason });
    decision
}

fn undecided(view: &View, reason: String) -> Decision {
    let members = view
        .parts
        .iter()
        .filter(|_| view.input.agreed.is_some())
        .filter_map(|part| Some((part.side, part.base.clone()?, part.stands)))
        .collect();
    let agreed = view.input.agreed.clone();
    Decision { agreed, members, writes: Vec::new(), conflict: None, reason: view.with_unknown(reason) }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "merge_simulation.rs"]
mod simulation;
