//! Sends one update: look, check the premise, intend, send with the strongest condition, read back.

use std::sync::Arc;

use super::apply::{Sending, Sent};
use super::view::{raw_for, seen_of};
use super::{Engine, Result};
use crate::connector::api::{Lookup, Written};
use crate::core::record::{Record, Values};
use crate::core::value::{Seen, Value};
use crate::store::Store;
use crate::store::mirror::Cause;
use crate::store::outbox::{Write, WriteState};

/// What the premise check found.
enum Premise {
    /// Send these raw values; the record shows these texts, field by field.
    Holds { changes: Values, displaced: Vec<(String, String)> },
    /// The record shows already what we meant to write.
    Met,
    /// Something moved; says what.
    Moved(String),
    /// A value cannot be written to this side; says why.
    Unwritable(String),
}

impl Engine {
    pub(super) async fn send_update(&self, one: &Sending) -> Result<Sent> {
        let Some(rid) = one.write.rid.clone() else {
            return self.settle(one, WriteState::Parked, "refused", "it names no record", None).await;
        };
        let record = match self.read_record(&one.port, &rid, Cause::Read).await? {
            Lookup::Found(record) => record,
            Lookup::Gone { evidence, .. } => {
                return self.overtaken(one, &format!("the record is gone: {evidence}")).await;
            }
            Lookup::Missing(what) => {
                let why = format!(
                    "the record is not there for us ({what}): deleted or hidden. Looked at again when a listing shows it"
                );
                return self.settle(one, WriteState::Parked, "refused", &why, None).await;
            }
        };
        let (ctx, write, side, shown) = (Arc::clone(&one.ctx), one.write.clone(), one.side, record.clone());
        let premise = self
            .store
            .transact(move |store| {
                let seen = seen_of(&ctx, store, side, &shown)?;
                check_premise(&ctx, store, side, &write, &seen)
            })
            .await?;
        match premise {
            Premise::Moved(why) => self.overtaken(one, &why).await,
            Premise::Met => self.confirm(one, &record, false, "found").await,
            Premise::Unwritable(why) => {
                let why = format!(
                    "{why}. Nothing was sent; it is tried again when the value or the config changes"
                );
                self.settle(one, WriteState::Parked, "refused", &why, None).await
            }
            Premise::Holds { changes, displaced } => {
                if !self.intend(one, displaced).await? {
                    return Ok(Sent::Superseded);
                }
                let written = one.port.entity.update(&record, &changes).await?;
                self.read_back(one, &rid, written).await
            }
        }
    }

    /// The write was accepted: what does the record show now?
    pub(super) async fn read_back(&self, one: &Sending, rid: &str, written: Written) -> Result<Sent> {
        if let Some(record) = written.record {
            return self.confirm(one, &record, true, "confirmed").await;
        }
        match one.port.entity.get(rid).await {
            Ok(Lookup::Found(record)) => {
                let proven = written.version.is_some() && written.version == record.version;
                self.confirm(one, &record, proven, "confirmed").await
            }
            Ok(Lookup::Gone { evidence, .. }) => {
                self.overtaken(one, &format!("gone right after the write: {evidence}")).await
            }
            Ok(Lookup::Missing(what)) => {
                let why = format!(
                    "it was accepted, but the record cannot be read back ({what}). It will be looked up"
                );
                self.settle(
                    one,
                    WriteState::Uncertain,
                    "unknown",
                    &why,
                    Some(jiff::SignedDuration::from_secs(5)),
                )
                .await
            }
            Err(failure) => {
                let why = format!(
                    "it was accepted, but the record could not be read back: {failure}. It will be looked up"
                );
                self.settle(
                    one,
                    WriteState::Uncertain,
                    "unknown",
                    &why,
                    Some(jiff::SignedDuration::from_secs(5)),
                )
                .await
            }
        }
    }
}

/// Rule 6: a member is written only over a value equal to its base; and only while the agreed value that
/// the write carries still stands, its unit is not frozen, and the link is live.
fn check_premise(
    ctx: &super::context::Context,
    store: &Store,
    side: usize,
    write: &Write,
    seen: &[Seen],
) -> crate::store::Result<Premise> {
    let Some(view) = super::view::LinkView::load(ctx, store, write.link)? else {
        return Ok(Premise::Moved("the link ended".into()));
    };
    if view.link.state != "live" {
        return Ok(Premise::Moved(format!("the link is not live any more ({})", view.link.state)));
    }
    let mut changes = Values::new();
    let mut displaced = Vec::new();
    let mut met = true;
    for unit in ctx.spec.units.iter().filter(|unit| touches(ctx, unit, write)) {
        if view.conflicts.iter().any(|row| row.unit == unit.name) {
            return Ok(Premise::Moved(format!("{} is in conflict now", unit.name)));
        }
        // The whole group is checked, not only the fields that are written: never a mixed pair.
        for ix in &unit.fields {
            let Some(field) = ctx.spec.fields.get(*ix) else { continue };
            let Some(Seen::Value(shown)) = seen.get(*ix) else {
                if write.fields.contains_key(&field.name) {
                    // What cannot be read back could never be accounted for.
                    return Ok(Premise::Unwritable(format!("{} cannot be read there now", field.name)));
                }
                continue;
            };
            let shown_key = shown.key(&field.normalise);
            let key = (write.side.clone(), field.name.clone());
            let base = view.bases.get(&key).and_then(|row| Value::from_stored(&field.kind, &row.value));
            let wanted = write.fields.get(&field.name);
            let target = wanted.and_then(|wanted| Value::from_stored(&field.kind, &wanted.after));
            if let (Some(wanted), Some(row)) = (wanted, view.agreed.get(&field.name))
                && row.number != wanted.number
            {
                return Ok(Premise::Moved(format!("{} was decided again since", field.name)));
            }
            let is_met = target.as_ref().is_some_and(|target| target.key(&field.normalise) == shown_key);
            if is_met {
                continue;
            }
            if base.is_none_or(|base| base.key(&field.normalise) != shown_key) {
                return Ok(Premise::Moved(format!(
                    "{} shows {shown} now: somebody changed it meanwhile",
                    field.name
                )));
            }
            let Some(target) = target else { continue };
            met = false;
            displaced.push((field.name.clone(), shown.stored().to_string()));
            match raw_for(ctx, store, side, *ix, &target)? {
                Ok((path, raw)) => {
                    changes.insert(path, raw);
                }
                Err(why) => return Ok(Premise::Unwritable(why)),
            }
        }
    }
    Ok(if met { Premise::Met } else { Premise::Holds { changes, displaced } })
}

fn touches(ctx: &super::context::Context, unit: &crate::core::spec::Unit, write: &Write) -> bool {
    unit.fields
        .iter()
        .any(|ix| ctx.spec.fields.get(*ix).is_some_and(|field| write.fields.contains_key(&field.name)))
}

/// The record, when a look found it.
pub(super) fn found(lookup: Lookup) -> Option<Record> {
    match lookup {
        Lookup::Found(record) => Some(record),
        Lookup::Gone { .. } | Lookup::Missing(_) => None,
    }
}
