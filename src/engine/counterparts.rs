//! Counterparts: the creates that the config asks for and that a link never had.
//!
//! Puts rows into the outbox; sends nothing.

use std::collections::BTreeMap;

use super::context::Context;
use super::reconcile::{Reconciled, same_content};
use super::view::{LinkView, raw_for};
use crate::core::spec::SideIx;
use crate::core::value::{FieldType, Seen, Value};
use crate::store::mirror::RecordState;
use crate::store::outbox::{FieldWrite, Op, Write, WriteState};
use crate::store::{Result, Store};

/// Creates the counterparts that the config asks for and that the link never had.
pub(super) fn put_creates(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    done: &mut Reconciled,
) -> Result<u64> {
    let mut made = 0;
    let key_blank = view.link.key.is_none();
    for (side, spec) in ctx.spec.sides.iter().enumerate() {
        let wanted = view.members.iter().any(|member| {
            spec.create_for.contains(&member.side)
                && member.mirrored.as_ref().is_some_and(|row| row.state == RecordState::Present)
        });
        if view.member(side).is_some() || !wanted || key_blank {
            continue;
        }
        let Some((_, context)) = ctx.side(side) else { continue };
        if !context.fresh {
            // Without a fresh listing of that side we cannot know that there is no counterpart.
            let waits = format!("waits for a listing of {}", spec.system);
            store.wait(view.link.id, ctx.now, &waits)?;
            done.blocked.push((view.link.id, waits));
            continue;
        }
        if let Some(waits) = counterpart_waits(ctx, store, view, side)? {
            store.wait(view.link.id, ctx.now, &waits)?;
            done.blocked.push((view.link.id, waits));
            continue;
        }
        let mut fields = BTreeMap::new();
        let mut waits = None;
        for (ix, field) in ctx.spec.fields.iter().enumerate() {
            if let (FieldType::Ref(parent), None) = (&field.kind, view.agreed.get(&field.name))
                && view.members.iter().any(|member| matches!(member.seen.get(ix), Some(Seen::Unknown(_))))
            {
                waits = Some(format!("waits for a record of {parent}"));
            }
            let writable = field.lenses.get(side).and_then(Option::as_ref).is_some_and(|lens| lens.writable);
            let Some(row) = view.agreed.get(&field.name) else { continue };
            let value = Value::from_stored(&field.kind, &row.value).unwrap_or(Value::Null);
            if !writable || value.is_blank() || field.owner == Some(side) {
                continue;
            }
            if let Err(why) = raw_for(ctx, store, side, ix, &value)?
                && why.starts_with("waits for")
            {
                waits = Some(why);
            }
            fields.insert(
                field.name.clone(),
                FieldWrite { before: serde_json::Value::Null, after: row.value.clone(), number: row.number },
            );
        }
        if let Some(waits) = waits {
            store.wait(view.link.id, ctx.now, &waits)?;
            done.blocked.push((view.link.id, waits));
            continue;
        }
        made += put_create(ctx, store, view, side, fields)?;
    }
    Ok(made)
}

/// A record with the key of this link is on that side already: it joins when it can, and none is made beside it.
fn counterpart_waits(ctx: &Context, store: &Store, view: &LinkView, side: SideIx) -> Result<Option<String>> {
    let (Some((spec, _)), Some(key)) = (ctx.side(side), &view.link.key) else { return Ok(None) };
    let waiting = store.candidates_with_key(&ctx.spec.name, key)?;
    let there = waiting.iter().find(|candidate| candidate.side == spec.name);
    Ok(there.map(|candidate| {
        format!("waits for what becomes of record {} in {}, which has its key", candidate.rid, spec.name)
    }))
}

fn put_create(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    side: SideIx,
    fields: BTreeMap<String, FieldWrite>,
) -> Result<u64> {
    let Some((spec, context)) = ctx.side(side) else { return Ok(0) };
    let standing = view.writes.iter().find(|write| write.side == spec.name && write.op == Op::Create);
    if let Some(write) = standing {
        if same_content(write, &fields) && write.state != WriteState::Parked {
            return Ok(0);
        }
        if store.may_exist(write)? {
            // It stays until its record is listed and joins, or a person decides: another one would be a second.
            return Ok(0);
        }
        store.move_write(
            write.id,
            WriteState::Superseded,
            Some("a newer decision took its place"),
            None,
            ctx.now,
        )?;
    }
    let from: Vec<&str> = view
        .members
        .iter()
        .filter(|member| spec.create_for.contains(&member.side))
        .map(|member| member.member.side.as_str())
        .collect();
    // A create that was sent before keeps its mark, and is looked for first: the record may exist.
    let former = store.former_create(view.link.id, &spec.name)?;
    let attempts = former.as_ref().map_or(0, |(_, attempts)| *attempts);
    let write = Write {
        id: 0,
        sync: ctx.spec.name.clone(),
        link: view.link.id,
        side: spec.name.clone(),
        system: spec.system.clone(),
        stream: context.stream,
        rid: None,
        op: Op::Create,
        state: WriteState::New,
        fields,
        mark: Some(former.map_or_else(|| ctx.new_mark(), |(mark, _)| mark)),
        reason: format!("{} has no counterpart of this record of {}", spec.name, from.join(" and ")),
        batch: None,
        attempts: 0,
        next_at: ctx.now,
        sent_at: None,
        failure: None,
    };
    let id = store.put_write(&write, ctx.now)?;
    store.count_attempts(id, attempts)?;
    Ok(1)
}
