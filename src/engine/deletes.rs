//! What a deleted record means for its link (P5): proof, policy, and the conflict when somebody edited
//! another side meanwhile.

use jiff::SignedDuration;

use super::context::Context;
use super::reconcile::supersede;
use super::view::{LinkView, MemberView};
use crate::core::spec::{OnDelete, SideIx};
use crate::core::value::{Seen, Value};
use crate::store::conflicts::ConflictRow;
use crate::store::decisions::BaseRow;
use crate::store::mirror::{Mirrored, RecordState};
use crate::store::outbox::{Op, Write, WriteState};
use crate::store::{Result, Store};

/// How evidence names the record that another one was merged into.
pub const MERGED: &str = "merged into";
/// The unit name of a conflict about a delete.
pub const DELETE_UNIT: &str = "(deleted)";

/// What became of a link with respect to deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing is proven deleted: go on.
    Lives,
    /// It was dealt with; so many writes were put into the outbox.
    Handled(u64),
}

/// Looks whether a member is proven deleted, and acts on it.
///
/// # Errors
/// When the state file cannot be used.
pub fn fate(ctx: &Context, store: &Store, view: &LinkView) -> Result<Fate> {
    let proven: Vec<(&MemberView, String)> =
        view.members.iter().filter_map(|member| Some((member, proof(ctx, member)?))).collect();
    if view.link.state == "ending" {
        return end_when_done(ctx, store, view).map(Fate::Handled);
    }
    let Some((gone, evidence)) = proven.first() else {
        withdraw(ctx, store, view)?;
        return Ok(Fate::Lives);
    };
    let why = format!("{} {} is deleted: {evidence}", gone.member.side, gone.member.rid);
    if view.link.state == "left" {
        // Outside the scope nothing is written (P10): the link ends, the other records stay.
        store.end_link(view.link.id, &why, ctx.now)?;
        return Ok(Fate::Handled(0));
    }
    let rest: Vec<&MemberView> = view
        .members
        .iter()
        .filter(|member| proven.iter().all(|(gone, _)| gone.side != member.side))
        .collect();
    let edited = rest.iter().find(|member| edited(ctx, view, member));
    let asks = rest.iter().any(|member| policy(ctx, member.side) == OnDelete::Ask);
    let decided = view.conflicts.iter().find(|row| row.kind == "delete");
    let edited = edited.map(|member| member.member.side.clone());
    if let Some(edited) = edited.or_else(|| unseen(ctx, view, gone)) {
        let why = format!("{why}, but {edited} was edited meanwhile");
        return ask(ctx, store, view, decided, &why).map(|()| Fate::Handled(0));
    }
    // A record that was merged into another is not simply gone: what is linked to it may belong to the other.
    if asks || evidence.contains(MERGED) {
        return ask(ctx, store, view, decided, &why).map(|()| Fate::Handled(0));
    }
    spread(ctx, store, view, &rest, &why).map(Fate::Handled)
}

/// Acts on a link that left the scope under `on_leave = "delete"`: every side's own policy counts.
///
/// # Errors
/// When the state file cannot be used.
pub fn leave(ctx: &Context, store: &Store, view: &LinkView, why: &str) -> Result<u64> {
    let members: Vec<&MemberView> = view.members.iter().collect();
    spread(ctx, store, view, &members, &format!("left the scope: {why}"))
}

/// A person said that the delete stands, or that the link just ends.
///
/// # Errors
/// When the state file cannot be used.
pub fn decided(ctx: &Context, store: &Store, view: &LinkView, spread_it: bool) -> Result<u64> {
    if !spread_it {
        store.end_link(view.link.id, "a person kept the remaining records", ctx.now)?;
        return Ok(0);
    }
    let rest: Vec<&MemberView> = view.members.iter().filter(|member| proof(ctx, member).is_none()).collect();
    for member in &rest {
        account_for_shown(ctx, store, view, member)?;
    }
    put_removals(ctx, store, view, &rest, "a person decided that the delete stands", |side| {
        match policy(ctx, side) {
            OnDelete::Ask => OnDelete::Archive,
            other => other,
        }
    })
}

/// The person saw what the member shows: only an edit after that speaks against the delete.
fn account_for_shown(ctx: &Context, store: &Store, view: &LinkView, member: &MemberView) -> Result<()> {
    for (ix, field) in ctx.spec.fields.iter().enumerate() {
        let Some(Seen::Value(shown)) = member.seen.get(ix) else { continue };
        if let Some(row) = view.bases.get(&(member.member.side.clone(), field.name.clone())) {
            let row = BaseRow { value: shown.stored(), ..row.clone() };
            store.set_base(view.link.id, &row, ctx.now)?;
        }
    }
    Ok(())
}

/// The proof that a member's record was deleted, in words.
pub fn proof(ctx: &Context, member: &MemberView) -> Option<String> {
    let row = member.mirrored.as_ref()?;
    let side = ctx.spec.sides.get(member.side)?;
    match row.state {
        RecordState::Gone => Some(row.gone_evidence.clone().unwrap_or_else(|| "the system says so".into())),
        RecordState::Archived if side.archived_is_deleted => Some("it is archived".into()),
        RecordState::Missing => absence(ctx, row),
        RecordState::Present | RecordState::Archived => None,
    }
}

fn absence(ctx: &Context, row: &Mirrored) -> Option<String> {
    let guard = &ctx.spec.guard;
    let since = row.absent_since?;
    let lasted = ctx.now.duration_since(since);
    let over = SignedDuration::try_from(guard.delete_over).ok()?;
    (row.absent_sweeps >= guard.delete_sweeps.max(1) && lasted >= over)
        .then(|| format!("absent from {} complete sweeps since {since:.0}", row.absent_sweeps))
}

fn policy(ctx: &Context, side: SideIx) -> OnDelete {
    ctx.spec.sides.get(side).map_or(OnDelete::Unlink, |side| side.on_delete)
}

/// Somebody changed this member since it was last accounted for.
fn edited(ctx: &Context, view: &LinkView, member: &MemberView) -> bool {
    ctx.spec.fields.iter().enumerate().any(|(ix, field)| {
        let Some(Seen::Value(shown)) = member.seen.get(ix) else { return false };
        let base = view
            .bases
            .get(&(member.member.side.clone(), field.name.clone()))
            .and_then(|row| Value::from_stored(&field.kind, &row.value));
        base.is_some_and(|base| base.key(&field.normalise) != shown.key(&field.normalise))
    })
}

/// The side of an edit that was decided and never reached the record before it was deleted: whoever deleted it
/// had not seen that edit.
fn unseen(ctx: &Context, view: &LinkView, gone: &MemberView) -> Option<String> {
    let side = &gone.member.side;
    ctx.spec.fields.iter().find_map(|field| {
        let agreed = view.agreed.get(&field.name)?;
        let base = view.bases.get(&(side.clone(), field.name.clone()))?;
        let elsewhere = agreed.origin.iter().find(|origin| *origin != side)?;
        (base.stands < agreed.number && !agreed.origin.contains(side)).then(|| elsewhere.clone())
    })
}

fn spread(ctx: &Context, store: &Store, view: &LinkView, rest: &[&MemberView], why: &str) -> Result<u64> {
    put_removals(ctx, store, view, rest, why, |side| policy(ctx, side))
}

fn put_removals(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    rest: &[&MemberView],
    why: &str,
    policy: impl Fn(SideIx) -> OnDelete,
) -> Result<u64> {
    supersede(
        store,
        view,
        |write| matches!(write.op, Op::Create | Op::Update),
        "the record was deleted",
        ctx,
    )?;
    let mut made = 0;
    for member in rest {
        let op = match policy(member.side) {
            OnDelete::Archive => Op::Archive,
            OnDelete::Delete => Op::Delete,
            OnDelete::Unlink | OnDelete::Ask => continue,
        };
        let Some((side, context)) = ctx.side(member.side) else { continue };
        let stands = view.writes.iter().any(|write| write.side == side.name && write.op == op);
        let there = member.mirrored.as_ref().is_some_and(|row| row.state == RecordState::Present);
        if stands || !there {
            continue;
        }
        let write = Write {
            id: 0,
            sync: ctx.spec.name.clone(),
            link: view.link.id,
            side: side.name.clone(),
            system: side.system.clone(),
            stream: context.stream,
            rid: Some(member.member.rid.clone()),
            op,
            state: WriteState::New,
            fields: std::collections::BTreeMap::new(),
            mark: None,
            reason: why.to_owned(),
            batch: None,
            attempts: 0,
            next_at: ctx.now,
            sent_at: None,
            failure: None,
        };
        store.put_write(&write, ctx.now)?;
        made += 1;
    }
    if made == 0 && !view.writes.iter().any(|write| matches!(write.op, Op::Archive | Op::Delete)) {
        store.end_link(view.link.id, why, ctx.now)?;
    } else {
        store.set_link_state(view.link.id, "ending", Some(why))?;
    }
    Ok(made)
}

/// A link that is ending ends once its removals are through; or lives again when the record came back first.
fn end_when_done(ctx: &Context, store: &Store, view: &LinkView) -> Result<u64> {
    let removals: Vec<&Write> =
        view.writes.iter().filter(|write| matches!(write.op, Op::Archive | Op::Delete)).collect();
    let still_proven = view.members.iter().any(|member| proof(ctx, member).is_some());
    let left_scope = view.link.why.as_deref().is_some_and(|why| why.starts_with("left the scope"));
    if !still_proven && !left_scope {
        // It came back: what was not sent yet is taken back by itself.
        supersede(
            store,
            view,
            |write| matches!(write.op, Op::Archive | Op::Delete),
            "the record came back",
            ctx,
        )?;
        store.set_link_state(view.link.id, "live", None)?;
        store.withdraw_empty_batches(ctx.now)?;
        store.mark_due(view.link.id, ctx.now, std::time::Duration::ZERO, "changed")?;
        return Ok(0);
    }
    if removals.is_empty() {
        store.end_link(
            view.link.id,
            view.link.why.as_deref().unwrap_or("the record was deleted"),
            ctx.now,
        )?;
    }
    Ok(0)
}

fn ask(ctx: &Context, store: &Store, view: &LinkView, open: Option<&ConflictRow>, why: &str) -> Result<()> {
    supersede(store, view, |_| true, "a person must decide about a delete", ctx)?;
    if open.is_some() {
        return Ok(());
    }
    let row = ConflictRow {
        id: 0,
        sync: ctx.spec.name.clone(),
        link: view.link.id,
        unit: DELETE_UNIT.into(),
        kind: "delete".into(),
        state: "open".into(),
        agreed: None,
        candidates: serde_json::json!([{ "sides": [], "values": { DELETE_UNIT: "delete" } },
                                       { "sides": [], "values": { DELETE_UNIT: "keep" } }]),
        observed: serde_json::json!({}),
        why: format!(
            "{why}. `--value delete` lets each side's on_delete act, `--value keep` ends the link only"
        ),
    };
    store.put_conflict(&row, ctx.now)?;
    Ok(())
}

/// Nothing is deleted (any more): a question about it is moot.
fn withdraw(ctx: &Context, store: &Store, view: &LinkView) -> Result<()> {
    for row in view.conflicts.iter().filter(|row| row.kind == "delete") {
        store.end_conflict(row.id, "closed", "the record came back", ctx.now)?;
    }
    Ok(())
}
