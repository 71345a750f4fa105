//! Sends one archive or delete: only while the proof stands and nobody edited the record.

use std::sync::Arc;

use super::apply::{Sending, Sent};
use super::deletes;
use super::view::{LinkView, seen_of};
use super::{Engine, Result};
use crate::connector::api::{Lookup, Removal};
use crate::core::record::Record;
use crate::core::value::{Seen, Value};
use crate::store::mirror::Cause;
use crate::store::outbox::{Op, Write, WriteState};

impl Engine {
    pub(super) async fn send_removal(&self, one: &Sending) -> Result<Sent> {
        let Some(rid) = one.write.rid.clone() else {
            return self.settle(one, WriteState::Parked, "refused", "it names no record", None).await;
        };
        let record = match self.read_record(&one.port, &rid, Cause::Read).await? {
            Lookup::Found(record) if !(record.archived && one.write.op == Op::Archive) => record,
            _ => return self.removed(one, "found").await,
        };
        let (ctx, write, side, shown) = (Arc::clone(&one.ctx), one.write.clone(), one.side, record.clone());
        let objection = self
            .store
            .transact(move |store| {
                let Some(view) = LinkView::load(&ctx, store, write.link)? else {
                    return Ok(Some("the link ended".into()));
                };
                let seen = seen_of(&ctx, store, side, &shown)?;
                Ok(objection(&ctx, &view, side, &seen))
            })
            .await?;
        if let Some(why) = objection {
            let link = one.write.link;
            self.store
                .transact(move |store| {
                    // The link does not end over this: it is decided again, and an edit against a delete asks.
                    let Some(row) = store.link(link)?.filter(|row| row.state == "ending") else {
                        return Ok(());
                    };
                    if row.why.as_deref().is_some_and(|why| why.starts_with("left the scope")) {
                        return Ok(());
                    }
                    store.set_link_state(link, "live", None)
                })
                .await?;
            return self.overtaken(one, &why).await;
        }
        if !self.intend(one, vec![(String::new(), pre_image(&record))]).await? {
            return Ok(Sent::Superseded);
        }
        let how = if one.write.op == Op::Delete { Removal::Delete } else { Removal::Archive };
        one.port.entity.remove(&record, how).await?;
        self.read_record(&one.port, &rid, Cause::Confirm).await?;
        self.removed(one, "confirmed").await
    }

    /// The record is put away: the row is closed and the link looks whether it can end.
    pub(super) async fn removed(&self, one: &Sending, event: &'static str) -> Result<Sent> {
        let (write, now): (Write, _) = (one.write.clone(), self.clock.now());
        self.store
            .transact(move |store| {
                store.audit(&write, event, |_| None, &write.reason, now)?;
                store.move_write(write.id, WriteState::Done, None, None, now)?;
                store.mark_due(write.link, now, std::time::Duration::ZERO, "confirmed")
            })
            .await?;
        Ok(Sent::Done)
    }
}

/// Why this record must not be put away now, if anything speaks against it.
fn objection(ctx: &super::context::Context, view: &LinkView, side: usize, seen: &[Seen]) -> Option<String> {
    let left_scope = view.link.why.as_deref().is_some_and(|why| why.starts_with("left the scope"));
    let by_person = view.link.why.as_deref().is_some_and(|why| why.starts_with("a person decided"));
    let proven = view.members.iter().any(|m| m.side != side && deletes::proof(ctx, m).is_some());
    if !proven && !left_scope && !by_person {
        return Some("the record that was deleted came back".into());
    }
    let name = &ctx.spec.sides.get(side)?.name;
    ctx.spec.fields.iter().zip(seen).find_map(|(field, seen)| {
        let Seen::Value(shown) = seen else { return None };
        let row = view.bases.get(&(name.clone(), field.name.clone()))?;
        let base = Value::from_stored(&field.kind, &row.value)?;
        (base.key(&field.normalise) != shown.key(&field.normalise))
            .then(|| format!("{} was edited meanwhile: it shows {shown}", field.name))
    })
}

/// The record as it was, for the audit: what a delete displaced can be read there.
fn pre_image(record: &Record) -> String {
    record.canonical().unwrap_or_default()
}
