//! Decide: merges every due link and turns the decisions into outbox rows, all in the caller's transaction.
//!
//! From mirror, base and agreed, never from the event that made the link due. Sends nothing.

use std::collections::BTreeMap;

use super::alternating::freeze_alternating;
use super::context::Context;
use super::counterparts::put_creates;
use super::decisions::save;
use super::deletes::{self, Fate};
use super::view::{LinkView, MemberView, first_record, raw_for};
use crate::core::identity::key_text;
use crate::core::merge::{BEHIND, Decision, merge};
use crate::core::spec::{OnLeave, SideIx, Unit};
use crate::core::value::{FieldType, Seen, Value};
use crate::store::mirror::RecordState;
use crate::store::outbox::{FieldWrite, Op, Write, WriteState};
use crate::store::{Result, Store};

/// Links decided in one step.
const STEP: u32 = 200;

/// What a step of reconciling did, for reports and plans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Links looked at.
    pub links: u64,
    /// Writes put into the outbox.
    pub writes: u64,
    /// Links that wait, with the reason.
    pub blocked: Vec<(i64, String)>,
    /// The last link looked at: the next step starts after it.
    pub last: i64,
    /// There may be more.
    pub more: bool,
}

/// What one side is due: field name -> write, and why.
#[derive(Default)]
pub(super) struct Due {
    pub(super) fields: BTreeMap<String, FieldWrite>,
    reasons: Vec<String>,
    waits: Option<String>,
}

/// Decides a few hundred due links at most, after link number `after`.
///
/// # Errors
/// When the state file cannot be used.
pub fn reconcile_due(ctx: &Context, store: &Store, after: i64) -> Result<Reconciled> {
    let mut done = Reconciled { last: after, ..Reconciled::default() };
    let due = store.due_links(&ctx.spec.name, ctx.settled(), after, STEP)?;
    done.more = due.len() >= usize::try_from(STEP).unwrap_or(usize::MAX);
    for link in due {
        done.links += 1;
        done.last = link;
        let why = store.due_why(link)?.unwrap_or_default();
        store.not_due(link)?;
        reconcile_link(ctx, store, link, &why, &mut done)?;
    }
    Ok(done)
}

fn reconcile_link(ctx: &Context, store: &Store, id: i64, why: &str, done: &mut Reconciled) -> Result<()> {
    let Some(mut view) = LinkView::load(ctx, store, id)? else { return Ok(()) };
    // On a side that the config does not name any more nobody looks it up: a person may, and nobody waits for it.
    let under_way = |write: &&Write| {
        matches!(write.state, WriteState::Sent | WriteState::Uncertain) && ctx.side_ix(&write.side).is_some()
    };
    if let Some(write) = view.writes.iter().find(under_way) {
        // Its outcome decides what is true; it marks the link due when it is known.
        let waits = format!("write {} is not answered for yet", write.id);
        store.wait(id, ctx.now, &waits)?;
        done.blocked.push((id, waits));
        return Ok(());
    }
    if let Some(member) = view.members.iter().find(|member| is_foreign(ctx, member)) {
        let why = format!(
            "its record {} in {} belongs to another entity or template than the config names now",
            member.member.rid, member.member.side
        );
        store.set_link_state(id, "left", Some(&why))?;
        supersede(store, &view, |_| true, &why, ctx)?;
        done.blocked.push((id, why));
        return Ok(());
    }
    match deletes::fate(ctx, store, &view)? {
        Fate::Lives => {}
        Fate::Handled(writes) => {
            done.writes += writes;
            return Ok(());
        }
    }
    let decisions = decide(ctx, &view)?;
    if !stays_in_scope(ctx, store, &mut view, &decisions, done)? {
        return Ok(());
    }
    close_orphans(ctx, store, &view)?;
    for (unit, decision) in &decisions {
        save(ctx, store, &mut view, unit, decision)?;
    }
    rename(ctx, store, &view)?;
    wait_for_parents(ctx, store, &view)?;
    let mut due = writes_due(ctx, store, &view, &decisions)?;
    for (side, due) in &mut due {
        freeze_alternating(ctx, store, &view, *side, due)?;
        if let Some(waits) = &due.waits {
            store.wait(id, ctx.now, waits)?;
            done.blocked.push((id, waits.clone()));
        }
        done.writes += put_update(ctx, store, &view, *side, due, why)?;
    }
    drop_stale(ctx, store, &view, &due)?;
    done.writes += put_creates(ctx, store, &view, done)?;
    Ok(())
}

/// The side reads another stream now: its old record is neither evidence nor a place to write.
fn is_foreign(ctx: &Context, member: &MemberView) -> bool {
    ctx.sides.get(member.side).is_none_or(|side| side.stream != member.member.stream)
}

fn decide<'a>(ctx: &'a Context, view: &LinkView) -> Result<Vec<(&'a Unit, Decision)>> {
    let mut decisions = Vec::with_capacity(ctx.spec.units.len());
    for unit in &ctx.spec.units {
        let decision = merge(&view.input(ctx, unit)?);
        // What alternates stays frozen until a person decides or nothing is left to write: the merge itself knows
        // of no dispute there and would go on writing.
        let alternates = view.conflicts.iter().any(|row| row.unit == unit.name && row.kind == "alternating");
        if alternates && decision.conflict.is_none() && !decision.writes.is_empty() {
            continue;
        }
        decisions.push((unit, decision));
    }
    Ok(decisions)
}

/// P10: a link whose decided values leave the scope is not written; what happens to it is `on_leave`.
fn stays_in_scope(
    ctx: &Context,
    store: &Store,
    view: &mut LinkView,
    decisions: &[(&Unit, Decision)],
    done: &mut Reconciled,
) -> Result<bool> {
    let Some(scope) = &ctx.scope else {
        enter(store, view)?;
        return Ok(true);
    };
    let mut values = view.agreed_values(ctx);
    for (unit, decision) in decisions {
        let Some(agreed) = &decision.agreed else { continue };
        for (ix, value) in unit.fields.iter().zip(&agreed.values) {
            if let Some(slot) = values.get_mut(*ix) {
                *slot = value.clone();
            }
        }
    }
    let (why, on_leave) = match scope.condition(&ctx.scope_of(&values, first_record(view))) {
        Ok(true) => {
            enter(store, view)?;
            return Ok(true);
        }
        Ok(false) => ("the condition `where` does not hold any more".to_owned(), ctx.spec.on_leave),
        // What cannot be decided is no reason to end or delete anything.
        Err(error) => (format!("the condition `where` cannot be decided: {error}"), OnLeave::Freeze),
    };
    match on_leave {
        OnLeave::Unlink => store.end_link(view.link.id, &format!("left the scope: {why}"), ctx.now)?,
        OnLeave::Delete => done.writes += deletes::leave(ctx, store, view, &why)?,
        OnLeave::Freeze => {
            store.set_link_state(view.link.id, "left", Some(&why))?;
            supersede(store, view, |_| true, "the link left the scope", ctx)?;
        }
    }
    Ok(false)
}

/// A link that was outside is back in scope, with its old bases.
fn enter(store: &Store, view: &mut LinkView) -> Result<()> {
    if view.link.state == "left" {
        store.set_link_state(view.link.id, "live", None)?;
        view.link.state = "live".into();
    }
    Ok(())
}

/// A question about a field or group that the config no longer has can be decided by nobody.
fn close_orphans(ctx: &Context, store: &Store, view: &LinkView) -> Result<()> {
    for row in view.conflicts.iter().filter(|row| row.kind != "delete") {
        if ctx.spec.units.iter().all(|unit| unit.name != row.unit) {
            let how = format!("the config has no field or group {} any more", row.unit);
            store.end_conflict(row.id, "closed", &how, ctx.now)?;
        }
    }
    Ok(())
}

/// A reference to a record that is not linked yet says nothing; the link is looked at again when it is.
fn wait_for_parents(ctx: &Context, store: &Store, view: &LinkView) -> Result<()> {
    for (ix, field) in ctx.spec.fields.iter().enumerate() {
        let FieldType::Ref(parent) = &field.kind else { continue };
        if view.members.iter().any(|member| matches!(member.seen.get(ix), Some(Seen::Unknown(_)))) {
            store.wait(view.link.id, ctx.now, &format!("waits for a record of {parent}"))?;
        }
    }
    Ok(())
}

fn rename(ctx: &Context, store: &Store, view: &LinkView) -> Result<()> {
    let values = view.agreed_values(ctx);
    let seen: Vec<Seen> = values.iter().cloned().map(Seen::Value).collect();
    let title = ctx.title_of(&values);
    if title.is_empty() {
        return Ok(());
    }
    store.set_link_key(view.link.id, key_text(&ctx.spec.fields, &seen).as_deref(), &title)
}

fn writes_due(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    decisions: &[(&Unit, Decision)],
) -> Result<BTreeMap<SideIx, Due>> {
    let mut due: BTreeMap<SideIx, Due> = BTreeMap::new();
    for (unit, decision) in decisions {
        for write in &decision.writes {
            let entry = due.entry(write.side).or_default();
            let number = decision.agreed.as_ref().map_or(0, |agreed| agreed.number);
            let mut wanted = None;
            for (ix, value) in unit.fields.iter().zip(&write.values) {
                let (Some(value), Some(field)) = (value, ctx.spec.fields.get(*ix)) else { continue };
                if let Err(why) = raw_for(ctx, store, write.side, *ix, value)?
                    && why.starts_with("waits for")
                {
                    entry.waits = Some(why);
                    continue;
                }
                let before = view
                    .bases
                    .get(&(side_name(ctx, write.side), field.name.clone()))
                    .map_or(serde_json::Value::Null, |row| row.value.clone());
                let before = accounted(unit, decision, write.side, *ix).unwrap_or(before);
                entry.fields.insert(field.name.clone(), FieldWrite { before, after: value.stored(), number });
                wanted = Some(field);
            }
            if let Some(field) = wanted {
                let reason = whole_reason(store, view.link.id, &field.name, &write.reason)?;
                // Fields that were decided alike have one reason, not one each.
                if !entry.reasons.contains(&reason) {
                    entry.reasons.push(reason);
                }
            }
        }
    }
    Ok(due)
}

/// Why something is written that was decided before: what decided it, and only then that the side is behind.
fn whole_reason(store: &Store, link: i64, field: &str, reason: &str) -> Result<String> {
    if !reason.ends_with(BEHIND) {
        return Ok(reason.to_owned());
    }
    Ok(match store.agreed_rule(link, field)? {
        Some(rule) => format!("{rule}; {reason}"),
        None => reason.to_owned(),
    })
}

/// The base that this very decision gave the member: what the write will displace.
fn accounted(unit: &Unit, decision: &Decision, side: SideIx, field: usize) -> Option<serde_json::Value> {
    let (_, base, _) = decision.members.iter().find(|(member, _, _)| *member == side)?;
    let place = unit.fields.iter().position(|ix| *ix == field)?;
    base.get(place).map(Value::stored)
}

pub(super) fn side_name(ctx: &Context, side: SideIx) -> String {
    ctx.spec.sides.get(side).map(|side| side.name.clone()).unwrap_or_default()
}

/// Puts the update of one side into the outbox, unless one with the same content stands there already.
fn put_update(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    side: SideIx,
    due: &Due,
    why: &str,
) -> Result<u64> {
    let (Some((spec, context)), Some(member)) = (ctx.side(side), view.member(side)) else { return Ok(0) };
    let there = member
        .mirrored
        .as_ref()
        .is_some_and(|row| matches!(row.state, RecordState::Present | RecordState::Archived));
    if due.fields.is_empty() || !there {
        return Ok(0);
    }
    for write in view.writes.iter().filter(|write| write.side == spec.name && write.op == Op::Update) {
        if same_content(write, &due.fields) {
            // Parked: something changed since, so it gets another try. Else it stands as it is.
            if write.state == WriteState::Parked && matches!(why, "changed" | "config" | "retry") {
                store.move_write(write.id, WriteState::New, None, Some(ctx.now), ctx.now)?;
                return Ok(1);
            }
            return Ok(0);
        }
    }
    let write = Write {
        id: 0,
        sync: ctx.spec.name.clone(),
        link: view.link.id,
        side: spec.name.clone(),
        system: spec.system.clone(),
        stream: context.stream,
        rid: Some(member.member.rid.clone()),
        op: Op::Update,
        state: WriteState::New,
        fields: due.fields.clone(),
        mark: None,
        reason: due.reasons.join("; "),
        batch: None,
        attempts: 0,
        next_at: ctx.now,
        sent_at: None,
        failure: None,
    };
    store.put_write(&write, ctx.now)?;
    Ok(1)
}

pub(super) fn same_content(write: &Write, fields: &BTreeMap<String, FieldWrite>) -> bool {
    write.fields.len() == fields.len()
        && write.fields.iter().all(|(name, old)| fields.get(name).is_some_and(|new| new.after == old.after))
}

/// Updates that are no longer wanted, or not as they stand there, give way.
fn drop_stale(ctx: &Context, store: &Store, view: &LinkView, due: &BTreeMap<SideIx, Due>) -> Result<()> {
    let stale = |write: &Write| {
        write.op == Op::Update
            && ctx
                .side_ix(&write.side)
                .and_then(|side| due.get(&side))
                .is_none_or(|due| !same_content(write, &due.fields))
    };
    supersede(store, view, stale, "a newer decision took its place", ctx)
}

/// Closes standing writes that were not sent.
///
/// # Errors
/// When the state file cannot be used.
pub(super) fn supersede(
    store: &Store,
    view: &LinkView,
    which: impl Fn(&Write) -> bool,
    why: &str,
    ctx: &Context,
) -> Result<()> {
    for write in view.writes.iter().filter(|write| which(write)) {
        if !matches!(write.state, WriteState::Sent | WriteState::Uncertain) {
            store.move_write(write.id, WriteState::Superseded, Some(why), None, ctx.now)?;
        }
    }
    Ok(())
}
