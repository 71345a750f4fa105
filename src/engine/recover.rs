//! Writes whose outcome is unknown: resolved by looking, never by sending blindly again (P3, P4).

use std::sync::Arc;

use jiff::SignedDuration;

use super::apply::{Sending, Sent};
use super::view::seen_of;
use super::{Engine, Result};
use crate::connector::api::{CreateIdentity, Lookup};
use crate::core::account::explains;
use crate::core::retry::backoff;
use crate::core::spec::OnUncertain;
use crate::core::value::{Seen, Value};
use crate::store::mirror::Cause;
use crate::store::outbox::{Op, WriteState};

impl Engine {
    /// At start: what a crash left as `sent` is uncertain, and is looked up before anything else of its record.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub async fn recover_start(&self) -> Result<u64> {
        let now = self.clock.now();
        self.store.transact(move |store| store.close_open_polls(now)).await?;
        self.recover_sent(None, "the program stopped while this was being sent").await
    }

    /// Rows that say `sent` although nothing is on its way: a crash, or a state file that could not take the
    /// outcome (disk full). Called when no write of these syncs is under way in the holder of the lock.
    pub(super) async fn recover_sent(&self, sync: Option<&str>, what: &'static str) -> Result<u64> {
        let (sync, now) = (sync.map(str::to_owned), self.clock.now());
        let found = self
            .store
            .transact(move |store| {
                let sent = store.writes_in(WriteState::Sent, sync.as_deref())?;
                for write in &sent {
                    let why = format!("{what}; it is looked up, not sent again");
                    store.move_write(write.id, WriteState::Uncertain, Some(&why), Some(now), now)?;
                    store.audit(write, "unknown", |_| None, &why, now)?;
                }
                Ok(u64::try_from(sent.len()).unwrap_or(0))
            })
            .await?;
        Ok(found)
    }

    /// An update, archive or delete of unknown outcome: what does the record show?
    pub(super) async fn recover_by_reading(&self, one: &Sending) -> Result<Sent> {
        let Some(rid) = one.write.rid.clone() else {
            return self.settle(one, WriteState::Parked, "refused", "it names no record", None).await;
        };
        let lookup = self.read_record(&one.port, &rid, Cause::Read).await?;
        let record = match (lookup, one.write.op) {
            (Lookup::Found(record), Op::Archive) if record.archived => {
                return self.removed(one, "found").await;
            }
            (Lookup::Gone { .. } | Lookup::Missing(_), Op::Archive | Op::Delete) => {
                return self.removed(one, "found").await;
            }
            (Lookup::Found(record), Op::Update) => record,
            (Lookup::Found(_), _) => return self.overtaken(one, "it did not take effect").await,
            (Lookup::Gone { evidence, .. }, _) => {
                return self.overtaken(one, &format!("the record is gone: {evidence}")).await;
            }
            (Lookup::Missing(what), _) => {
                return self.overtaken(one, &format!("the record is not there: {what}")).await;
            }
        };
        // Shown as meant: it took effect. Otherwise what is shown is an observation like any other (rule 7);
        // the fields that did take effect are found equal by the merge, the rest are written again.
        let (ctx, write, side, shown) = (Arc::clone(&one.ctx), one.write.clone(), one.side, record.clone());
        let took = self
            .store
            .transact(move |store| {
                let seen = seen_of(&ctx, store, side, &shown)?;
                Ok(ctx.spec.fields.iter().zip(&seen).all(|(field, seen)| {
                    let Some(wanted) = write.fields.get(&field.name) else { return true };
                    let target = Value::from_stored(&field.kind, &wanted.after);
                    match (seen, target) {
                        (Seen::Value(shown), Some(target)) => {
                            shown.key(&field.normalise) == target.key(&field.normalise)
                                || explains(&field.kind, &target, shown).is_some()
                        }
                        _ => false,
                    }
                }))
            })
            .await?;
        if took {
            self.confirm(one, &record, false, "found").await
        } else {
            // Sent again only over what it was decided on; anything else is decided again then.
            self.reopen(one, "it did not take effect, and is tried again").await
        }
    }

    /// A create of unknown outcome: is there a record with our mark?
    pub(super) async fn recover_create(&self, one: &Sending) -> Result<Sent> {
        let identity = one.port.capabilities.create;
        let lag = one.ctx.spec.sides.get(one.side).map(|side| side.search_lag).unwrap_or_default();
        let waited =
            one.write.sent_at.map(|at| self.clock.now().duration_since(at)).unwrap_or(SignedDuration::MAX);
        if identity != CreateIdentity::None {
            let Some(mark) = one.write.mark.clone() else {
                return self.settle(one, WriteState::Parked, "refused", "it carries no mark", None).await;
            };
            let found = one.port.entity.find_marked(&mark).await?;
            match found.as_slice() {
                [record] => return self.adopt_record(one, record, "found").await,
                [] => {}
                several => return self.several_marked(one, &mark, several).await,
            }
            let lag = SignedDuration::try_from(lag).unwrap_or_default();
            if identity == CreateIdentity::Marker && waited < lag {
                let why = format!(
                    "not found yet; a fresh record may be missing from searches for {lag:#}. Looked up again then"
                );
                return self.settle(one, WriteState::Uncertain, "unknown", &why, Some(lag - waited)).await;
            }
            return self
                .reopen(one, "no record carries its mark: it did not take effect, and is sent again")
                .await;
        }
        let (link, side) = (one.write.link, one.write.side.clone());
        let listed = self
            .store
            .transact(move |store| Ok(store.members(link)?.into_iter().any(|member| member.side == side)))
            .await?;
        if listed {
            return self.overtaken(one, "a record with its key was listed and linked meanwhile").await;
        }
        match one.ctx.spec.sides.get(one.side).map(|side| side.on_uncertain) {
            Some(OnUncertain::Retry) => {
                self.reopen(one, "sent again as on_uncertain = \"retry\" says; a duplicate is possible").await
            }
            Some(OnUncertain::AssumeDone) => {
                let why = "taken as done, as on_uncertain = \"assume_done\" says";
                self.settle(one, WriteState::Parked, "unknown", why, None).await
            }
            _ => {
                let why = format!(
                    "this API cannot tell whether the record was made. Look there: `tallysync adopt {0} RECORD` if it was, \
                     `tallysync retry {0}` if it was not",
                    one.write.id
                );
                self.settle(one, WriteState::Uncertain, "unknown", &why, Some(SignedDuration::from_hours(24)))
                    .await
            }
        }
    }

    async fn reopen(&self, one: &Sending, why: &'static str) -> Result<Sent> {
        let (write, now) = (one.write.clone(), self.clock.now());
        // Once is bad luck; a system that fails with every try is asked ever more rarely.
        let wait = match write.attempts {
            0 | 1 => SignedDuration::ZERO,
            more => SignedDuration::try_from(backoff(more, self.random.next())).unwrap_or_default(),
        };
        let next = now.saturating_add(wait).unwrap_or(now);
        self.store
            .transact(move |store| {
                store.audit(&write, "not-applied", |_| None, why, now)?;
                store.move_write(write.id, WriteState::Open, None, Some(next), now)?;
                // The link waited for this: its other sides must not wait for the next try.
                store.mark_due(write.link, now, std::time::Duration::ZERO, "looked up")
            })
            .await?;
        Ok(Sent::Superseded)
    }
}
