//! From changes to work: reads the change log from a sync's own offset and marks links due or records fresh.

use super::context::Context;
use super::view::seen_of;
use crate::core::identity::key_text;
use crate::store::links::Candidate;
use crate::store::mirror::RecordState;
use crate::store::{Result, Store};

/// Changes read in one step.
const STEP: u32 = 1000;

/// Reads a thousand changes at most per side. `true`: there may be more.
///
/// # Errors
/// When the state file cannot be used.
pub fn take_changes(ctx: &Context, store: &Store) -> Result<bool> {
    let mut more = false;
    for (spec, side) in ctx.spec.sides.iter().zip(&ctx.sides) {
        let reader = reader(ctx, &spec.name);
        let offset = store.offset(&reader, side.stream)?;
        let changes = store.changes_after(side.stream, offset, STEP)?;
        for change in &changes {
            // Our own write to one side is no reason to send again what another side has refused.
            let why = if change.echo { "confirmed" } else { "changed" };
            take(ctx, store, &spec.name, side.stream, &change.rid, why)?;
        }
        if let Some(last) = changes.last() {
            store.set_offset(&reader, side.stream, last.seq)?;
        }
        more |= changes.len() >= usize::try_from(STEP).unwrap_or(usize::MAX);
    }
    Ok(more)
}

fn reader(ctx: &Context, side_name: &str) -> String {
    format!("{}/{side_name}", ctx.spec.name)
}

/// The meaning of the sync changed: what waits to be linked gets its key anew, and takes no part where its side
/// reads something else now.
///
/// # Errors
/// When the state file cannot be used.
pub fn retake_candidates(ctx: &Context, store: &Store) -> Result<()> {
    for (side, stream, rid) in store.candidate_records(&ctx.spec.name)? {
        let current = ctx.side_ix(&side).and_then(|ix| ctx.sides.get(ix)).map(|side| side.stream);
        if current == Some(stream) {
            take_record(ctx, store, &side, stream, &rid)?;
        } else {
            store.drop_candidate(&ctx.spec.name, &side, &rid)?;
            // Should the side read it again, its changes are read from the start: it waits again then.
            store.set_offset(&reader(ctx, &side), stream, 0)?;
        }
    }
    Ok(())
}

/// A record changed: its link is due, or it is (again) a candidate.
///
/// # Errors
/// When the state file cannot be used.
pub fn take_record(ctx: &Context, store: &Store, side_name: &str, stream: i64, rid: &str) -> Result<()> {
    take(ctx, store, side_name, stream, rid, "changed")
}

fn take(ctx: &Context, store: &Store, side_name: &str, stream: i64, rid: &str, why: &str) -> Result<()> {
    let sync = &ctx.spec.name;
    if let Some(link) = store.link_of(sync, side_name, rid)? {
        return store.mark_due(link, ctx.now, ctx.spec.settle, why);
    }
    let Some(side) = ctx.side_ix(side_name) else { return Ok(()) };
    let Some(row) = store.mirrored(stream, rid)? else { return Ok(()) };
    // Whatever becomes of it, the others of its former key may not be ambiguous any more.
    if let Some(key) = store.waiting_key(sync, side_name, rid)? {
        store.look_again(sync, &key)?;
    }
    if row.state != RecordState::Present {
        return store.drop_candidate(sync, side_name, rid);
    }
    let seen = seen_of(ctx, store, side, &row.record)?;
    let key = key_text(&ctx.spec.fields, &seen);
    let former = store.was_linked(sync, side_name, stream, rid)?;
    let (state, why) = match (&key, former) {
        (_, true) => ("former", Some("it was linked before, and that link ended")),
        (None, _) => ("blank", Some("a key field is blank or unreadable")),
        (Some(_), _) => ("fresh", None),
    };
    let candidate =
        Candidate { side: side_name.to_owned(), rid: rid.to_owned(), stream, key, state: state.to_owned() };
    let settle = jiff::SignedDuration::try_from(ctx.spec.settle).unwrap_or_default();
    let ready = ctx.now.saturating_add(settle).unwrap_or(ctx.now);
    store.put_candidate(sync, &candidate, why, Some(ready))
}
