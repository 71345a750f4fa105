//! Recognises the same thing on several sides: fresh records with equal keys become links.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::view::seen_of;
use crate::connector::api::CreateIdentity;
use crate::core::identity::{Identity, Linked, Unlinked, decide};
use crate::core::record::Values;
use crate::core::spec::SideIx;
use crate::core::value::{Seen, Value};
use crate::store::links::Candidate;
use crate::store::outbox::{Op, WriteState};
use crate::store::{Result, Store, StoreError};

/// Candidates looked at in one step.
const STEP: u32 = 500;

/// What matching did, for reports and plans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched {
    /// Links made or joined.
    pub links: u64,
    /// Keys that several records of one side share.
    pub ambiguous: Vec<(String, String)>,
    /// There may be more to look at, after this key.
    pub more: Option<String>,
}

/// Looks at a few hundred fresh candidates with keys after `after`. Some of them may stay fresh.
///
/// Nothing is matched before every side was listed completely once: a counterpart that was not listed yet
/// would be made a second time.
///
/// # Errors
/// When the state file cannot be used.
pub fn match_fresh(ctx: &Context, store: &Store, after: Option<&str>) -> Result<Matched> {
    let mut matched = Matched::default();
    for side in &ctx.sides {
        if store.stream(side.stream)?.swept_at.is_none() {
            return Ok(matched);
        }
    }
    let unanswered = unanswered_creates(ctx, store)?;
    let fresh = store.fresh_candidates(&ctx.spec.name, ctx.settled(), after, STEP)?;
    let full = fresh.len() >= usize::try_from(STEP).unwrap_or(usize::MAX);
    matched.more = fresh.last().filter(|_| full).and_then(|candidate| candidate.key.clone());
    for stray in fresh.iter().filter(|candidate| ctx.side_ix(&candidate.side).is_none()) {
        store.drop_candidate(&ctx.spec.name, &stray.side, &stray.rid)?;
    }
    let keys: BTreeSet<String> = fresh.iter().filter_map(|candidate| candidate.key.clone()).collect();
    for key in &keys {
        match_key(ctx, store, key, &unanswered, &mut matched)?;
    }
    if matched.links > 0 {
        store.wake(&format!("waits for a record of {}", ctx.spec.name), ctx.now)?;
    }
    Ok(matched)
}

/// Sides with a create of unknown outcome that will be looked up by its mark. Until then, a fresh record there
/// may be that create's own, under a key that the system spells otherwise: it is no news to carry elsewhere.
fn unanswered_creates(ctx: &Context, store: &Store) -> Result<BTreeSet<SideIx>> {
    let mut sides = BTreeSet::new();
    for state in [WriteState::Sent, WriteState::Uncertain] {
        for write in store.writes_in(state, Some(&ctx.spec.name))? {
            let side = ctx.side_ix(&write.side).filter(|_| write.op == Op::Create);
            let looked_up = |side: &SideIx| {
                let capabilities = ctx.sides.get(*side).and_then(|side| side.capabilities.as_ref());
                capabilities.is_none_or(|capabilities| capabilities.create != CreateIdentity::None)
            };
            sides.extend(side.filter(looked_up));
        }
    }
    Ok(sides)
}

fn match_key(
    ctx: &Context,
    store: &Store,
    key: &str,
    unanswered: &BTreeSet<SideIx>,
    matched: &mut Matched,
) -> Result<()> {
    let inside = store.candidates_with_key(&ctx.spec.name, key)?;
    let linked = links_of_key(ctx, store, key)?;
    if linked.is_empty() && !in_scope(ctx, store, &inside)? {
        return Ok(());
    }
    let unlinked: Vec<Unlinked> = inside
        .iter()
        .filter_map(|candidate| {
            Some(Unlinked {
                side: ctx.side_ix(&candidate.side)?,
                record: candidate.rid.clone(),
                key: candidate.key.clone(),
                may_create: candidate.state != "former",
            })
        })
        .collect();
    let mut settled: BTreeSet<(SideIx, String)> = BTreeSet::new();
    for identity in decide(&ctx.spec.sides, &unlinked, &linked) {
        match identity {
            Identity::Link { members, .. } if members.iter().any(|(side, _)| unanswered.contains(side)) => {}
            Identity::Link { members, key, .. } => {
                settled.extend(members.iter().cloned());
                make_link(ctx, store, &members, key.as_deref(), &inside)?;
                matched.links += 1;
            }
            Identity::Join { link, side, record } => {
                settled.insert((side, record.clone()));
                join(ctx, store, link, side, &record, &inside)?;
                settle_creates(ctx, store, link, side, &record)?;
                matched.links += 1;
            }
            Identity::Ambiguous { key, members, reason, .. } => {
                for (side, record) in &members {
                    settled.insert((*side, record.clone()));
                    set_state(ctx, store, *side, record, &inside, "ambiguous", Some(&reason))?;
                }
                matched.ambiguous.push((key, reason));
            }
        }
    }
    for record in &unlinked {
        let waits = unanswered.contains(&record.side);
        if !waits && !settled.contains(&(record.side, record.record.clone())) && record.may_create {
            let why = "no counterpart on another side, and none is created for it";
            set_state(ctx, store, record.side, &record.record, &inside, "alone", Some(why))?;
        }
    }
    Ok(())
}

fn links_of_key(ctx: &Context, store: &Store, key: &str) -> Result<Vec<Linked>> {
    let mut linked = Vec::new();
    for link in store.links_with_key(&ctx.spec.name, key)? {
        let taken = store.members(link.id)?.iter().filter_map(|member| ctx.side_ix(&member.side)).collect();
        linked.push(Linked { link: link.id, key: link.key, taken });
    }
    Ok(linked)
}

/// Records of one key take part when `where` holds for what they show together: the owner's value of a field
/// where it has one, else the first side's that is not blank.
fn in_scope(ctx: &Context, store: &Store, group: &[Candidate]) -> Result<bool> {
    let Some(scope) = &ctx.scope else { return Ok(true) };
    let mut shown: Vec<(SideIx, Vec<Seen>)> = Vec::new();
    let mut record: Option<Arc<Values>> = None;
    for candidate in group {
        let Some(side) = ctx.side_ix(&candidate.side) else { continue };
        let Some(row) = store.mirrored(candidate.stream, &candidate.rid)? else { continue };
        shown.push((side, seen_of(ctx, store, side, &row.record)?));
        if side == 0 {
            record = Some(Arc::new(row.record.values));
        }
    }
    shown.sort_by_key(|(side, _)| *side);
    let why = match scope.condition(&ctx.scope_of(&together(ctx, &shown), record)) {
        Ok(true) => return Ok(true),
        Ok(false) => "the condition `where` does not hold".to_owned(),
        Err(error) => format!("the condition `where` cannot be decided: {error}"),
    };
    for candidate in group.iter().filter(|candidate| candidate.state != "former") {
        let outside = Candidate { state: "outside".into(), ..candidate.clone() };
        store.put_candidate(&ctx.spec.name, &outside, Some(&why), None)?;
    }
    Ok(false)
}

fn together(ctx: &Context, shown: &[(SideIx, Vec<Seen>)]) -> Vec<Value> {
    let value_on = |side: SideIx, ix: usize| {
        let seen = shown.iter().find(|(other, _)| *other == side)?.1.get(ix)?;
        if let Seen::Value(value) = seen { Some(value.clone()) } else { None }
    };
    ctx.spec
        .fields
        .iter()
        .enumerate()
        .map(|(ix, field)| {
            let owned = field.owner.and_then(|owner| value_on(owner, ix));
            owned
                .or_else(|| shown.iter().filter_map(|(side, _)| value_on(*side, ix)).find(|v| !v.is_blank()))
                .unwrap_or(Value::Null)
        })
        .collect()
}

fn make_link(
    ctx: &Context,
    store: &Store,
    members: &[(SideIx, String)],
    key: Option<&str>,
    inside: &[Candidate],
) -> Result<()> {
    let title = title(ctx, store, members, inside)?;
    let link = store.new_link(&ctx.spec.name, key, &title, ctx.now)?;
    for (side, record) in members {
        join(ctx, store, link, *side, record, inside)?;
    }
    Ok(())
}

fn title(ctx: &Context, store: &Store, members: &[(SideIx, String)], inside: &[Candidate]) -> Result<String> {
    let Some((side, record)) = members.first() else { return Ok(String::new()) };
    let Some(candidate) = find(ctx, inside, *side, record) else { return Ok(record.clone()) };
    let Some(row) = store.mirrored(candidate.stream, record)? else { return Ok(record.clone()) };
    let values: Vec<Value> = seen_of(ctx, store, *side, &row.record)?
        .into_iter()
        .map(|seen| if let Seen::Value(value) = seen { value } else { Value::Null })
        .collect();
    Ok(ctx.title_of(&values))
}

fn join(
    ctx: &Context,
    store: &Store,
    link: i64,
    side: SideIx,
    record: &str,
    inside: &[Candidate],
) -> Result<()> {
    let Some(candidate) = find(ctx, inside, side, record) else {
        return Err(StoreError::Caller(format!("record {record} is no candidate")));
    };
    store.join(&ctx.spec.name, link, &candidate.side, candidate.stream, record, ctx.now)?;
    store.mark_due(link, ctx.now, std::time::Duration::ZERO, "linked")
}

/// A counterpart was found: what was about to make one is not wanted any more.
fn settle_creates(ctx: &Context, store: &Store, link: i64, side: SideIx, record: &str) -> Result<()> {
    for write in store.standing_writes(link)? {
        if write.op != Op::Create || ctx.side_ix(&write.side) != Some(side) {
            continue;
        }
        if matches!(write.state, WriteState::Sent | WriteState::Uncertain) {
            // A create of unknown outcome waits for exactly this.
            store.move_write(write.id, write.state, None, Some(ctx.now), ctx.now)?;
        } else {
            let why = format!("{record} is the counterpart: nothing is made");
            store.move_write(write.id, WriteState::Superseded, Some(&why), None, ctx.now)?;
        }
    }
    store.withdraw_empty_batches(ctx.now)
}

fn set_state(
    ctx: &Context,
    store: &Store,
    side: SideIx,
    record: &str,
    inside: &[Candidate],
    state: &str,
    why: Option<&str>,
) -> Result<()> {
    let Some(candidate) = find(ctx, inside, side, record) else { return Ok(()) };
    let changed = Candidate { state: state.to_owned(), ..candidate.clone() };
    store.put_candidate(&ctx.spec.name, &changed, why, None)
}

fn find<'a>(ctx: &Context, inside: &'a [Candidate], side: SideIx, record: &str) -> Option<&'a Candidate> {
    let name = &ctx.spec.sides.get(side)?.name;
    inside.iter().find(|candidate| candidate.side == *name && candidate.rid == record)
}
