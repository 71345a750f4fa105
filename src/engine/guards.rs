//! The brakes: looks at the writes that a pass decided and holds what is too much, as numbered batches.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::context::Context;
use crate::core::guard::{Brake, Counts, Tripped, check};
use crate::store::outbox::{Op, Write, WriteState};
use crate::store::{Result, Store};

/// The guards that the new writes of this sync trip, with the writes each of them holds. Changes nothing.
///
/// # Errors
/// When the state file cannot be used.
pub fn tripped(ctx: &Context, store: &Store) -> Result<Vec<(Tripped, Vec<i64>)>> {
    let new = store.writes_in(WriteState::New, Some(&ctx.spec.name))?;
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let guard = &ctx.spec.guard;
    // An accepted plan approved what it showed: only what came after it counts.
    let accepted = store.sync_row(&ctx.spec.name)?.accepted_at;
    let accepted = accepted.and_then(|at| at.checked_add(SignedDuration::from_micros(1)).ok());
    let since = |window: std::time::Duration| {
        let window = SignedDuration::try_from(window).unwrap_or_default();
        let since = ctx.now.saturating_sub(window).unwrap_or(ctx.now);
        accepted.map_or(since, |accepted| since.max(accepted))
    };
    let counts = Counts {
        linked: store.linked_count(&ctx.spec.name)?,
        deletes: links(&new, is_delete),
        deletes_done: store.removals_since(&ctx.spec.name, since(guard.delete_window))?,
        creates: size(new.iter().filter(|write| write.op == Op::Create).count()),
        creates_done: store.creates_since(&ctx.spec.name, since(guard.create_window))?,
        updates: links(&new, |write| write.op == Op::Update),
        blanks: blanks(&new),
    };
    let held = |brake: Brake, field: Option<&str>| -> Vec<i64> {
        new.iter()
            .filter(|write| match brake {
                Brake::Deletes => is_delete(write),
                Brake::Creates => write.op == Op::Create,
                Brake::Updates => write.op == Op::Update,
                Brake::Blanks => field.is_some_and(|field| blanks_field(write, field)),
            })
            .map(|write| write.id)
            .collect()
    };
    Ok(check(guard, &counts)
        .into_iter()
        .map(|trip| {
            let writes = held(trip.brake, trip.field.as_deref());
            (trip, writes)
        })
        .collect())
}

/// Holds what is too much and opens the rest.
///
/// # Errors
/// When the state file cannot be used.
pub fn brake(ctx: &Context, store: &Store) -> Result<Vec<Tripped>> {
    let mut trips = Vec::new();
    for (trip, writes) in tripped(ctx, store)? {
        // A write that two guards hold belongs to the first: one approval is enough for it.
        let mut mine = Vec::new();
        for id in writes {
            if store.write(id)?.is_some_and(|write| write.state == WriteState::New) {
                mine.push(id);
            }
        }
        if !mine.is_empty() {
            store.hold(&ctx.spec.name, trip.brake.name(), &trip.reason, &mine, ctx.now)?;
            trips.push(trip);
        }
    }
    open_all(ctx, store)?;
    store.withdraw_empty_batches(ctx.now)?;
    Ok(trips)
}

/// Opens every new write of the sync: what was accepted needs no guard.
///
/// # Errors
/// When the state file cannot be used.
pub fn open_all(ctx: &Context, store: &Store) -> Result<()> {
    for write in store.writes_in(WriteState::New, Some(&ctx.spec.name))? {
        store.move_write(write.id, WriteState::Open, None, Some(ctx.now), ctx.now)?;
    }
    Ok(())
}

fn is_delete(write: &Write) -> bool {
    matches!(write.op, Op::Archive | Op::Delete)
}

/// A link counts once, on however many sides it is written: the limits are shares of linked records.
fn links(writes: &[Write], which: impl Fn(&Write) -> bool) -> u64 {
    let links: BTreeSet<i64> = writes.iter().filter(|write| which(write)).map(|write| write.link).collect();
    size(links.len())
}

fn size(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn blanks_field(write: &Write, field: &str) -> bool {
    write.op == Op::Update
        && write.fields.get(field).is_some_and(|change| change.after.is_null() && !change.before.is_null())
}

fn blanks(writes: &[Write]) -> Vec<(String, u64)> {
    let fields: BTreeSet<&String> =
        writes.iter().filter(|write| write.op == Op::Update).flat_map(|write| write.fields.keys()).collect();
    fields
        .into_iter()
        .map(|field| (field.clone(), links(writes, |write| blanks_field(write, field))))
        .filter(|(_, count)| *count > 0)
        .collect()
}
