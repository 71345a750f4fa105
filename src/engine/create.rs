//! Sends one create (P4): look for our mark, look for the key, intend, create once, account.

use std::sync::Arc;

use jiff::SignedDuration;

use super::apply::{Sending, Sent};
use super::confirm::account;
use super::context::Context;
use super::intake::take_record;
use super::view::{LinkView, raw_for};
use super::{Engine, Result};
use crate::connector::api::{CreateIdentity, FindPaths, NewRecord};
use crate::core::record::{Record, Values};
use crate::core::spec::SideIx;
use crate::core::value::Value;
use crate::store::mirror::Cause;
use crate::store::outbox::{Write, WriteState};
use crate::store::{Result as StoreResult, Store};

/// Everything a create needs, or why it is not wanted (any more).
enum Wanted {
    /// Create with these values; or adopt what has these key values.
    Yes { values: Values, keys: Vec<(String, serde_json::Value)> },
    /// Decided again.
    No(String),
    /// Cannot be written.
    Unwritable(String),
}

impl Engine {
    pub(super) async fn send_create(&self, one: &Sending) -> Result<Sent> {
        let Some(mark) = one.write.mark.clone() else {
            return self.settle(one, WriteState::Parked, "refused", "it carries no mark", None).await;
        };
        let (ctx, write, side) = (Arc::clone(&one.ctx), one.write.clone(), one.side);
        let wanted = self.store.transact(move |store| wanted(&ctx, store, side, &write)).await?;
        let (values, keys) = match wanted {
            Wanted::Yes { values, keys } => (values, keys),
            Wanted::No(why) => return self.overtaken(one, &why).await,
            Wanted::Unwritable(why) => {
                let why = format!(
                    "{why}. Nothing was sent; it is tried again when the value or the config changes"
                );
                return self.settle(one, WriteState::Parked, "refused", &why, None).await;
            }
        };
        // Without a mark to look for, a person has said that it was not made, or the config took that risk.
        if one.write.attempts > 0 && one.port.capabilities.create != CreateIdentity::None {
            match one.port.entity.find_marked(&mark).await?.as_slice() {
                [] => {}
                [record] => return self.adopt_record(one, record, "found").await,
                several => return self.several_marked(one, &mark, several).await,
            }
        }
        if let Some(sent) = self.look_up_key(one, &keys).await? {
            return Ok(sent);
        }
        if !self.intend(one, Vec::new()).await? {
            return Ok(Sent::Superseded);
        }
        let written = one.port.entity.create(&NewRecord { values, mark: mark.clone() }).await?;
        let read = match (written.record, written.id) {
            (Some(record), _) => Ok(Some(record)),
            (None, Some(id)) => one.port.entity.get(&id).await.map(super::update::found),
            (None, None) => one.port.entity.find_marked(&mark).await.map(|found| found.into_iter().next()),
        };
        // From here on it exists: a failed look at it must never lead to a second one.
        let failure = match read {
            Ok(Some(record)) => {
                let event = if written.existed { "found" } else { "confirmed" };
                return self.adopt_record(one, &record, event).await;
            }
            Ok(None) => String::new(),
            Err(failure) => format!(": {failure}"),
        };
        let why = format!(
            "it was accepted, but the new record cannot be read yet{failure}. It will be looked up by its mark"
        );
        self.settle(one, WriteState::Uncertain, "unknown", &why, Some(SignedDuration::from_secs(5))).await
    }

    /// Several records carry one mark: a person keeps one of them.
    pub(super) async fn several_marked(&self, one: &Sending, mark: &str, found: &[Record]) -> Result<Sent> {
        let ids: Vec<&str> = found.iter().map(|record| record.id.as_str()).collect();
        let why = format!("several records carry our mark {mark}: {}. Keep one and adopt it", ids.join(", "));
        self.settle(one, WriteState::Parked, "unknown", &why, None).await
    }

    /// Never a blind create on a business key: what a person made meanwhile is adopted, several are asked about.
    async fn look_up_key(&self, one: &Sending, keys: &[(String, serde_json::Value)]) -> Result<Option<Sent>> {
        let searchable = |path: &String| match &one.port.capabilities.find {
            FindPaths::None => false,
            FindPaths::Any => true,
            FindPaths::Some(paths) => paths.contains(path),
        };
        let [(path, value)] = keys else { return Ok(None) };
        if !searchable(path) {
            return Ok(None);
        }
        let found = one.port.entity.find(path, value).await?;
        let alive: Vec<&Record> = found.iter().filter(|record| !record.archived).collect();
        match alive.as_slice() {
            [] => Ok(None),
            [record] => {
                let (name, side, rid) = (one.write.sync.clone(), one.write.side.clone(), record.id.clone());
                let taken = self.store.transact(move |store| store.link_of(&name, &side, &rid)).await?;
                if let Some(link) = taken {
                    let why = format!(
                        "{} {} has this key already and belongs to link {link}",
                        one.write.side, record.id
                    );
                    return self.settle(one, WriteState::Parked, "refused", &why, None).await.map(Some);
                }
                let (ctx, side, stream, record) =
                    (Arc::clone(&one.ctx), one.write.side.clone(), one.write.stream, (*record).clone());
                let now = self.clock.now();
                let (id, link) = (record.id.clone(), one.write.link);
                let spelt_otherwise = self
                    .store
                    .transact(move |store| {
                        store.observe(stream, &record, None, Cause::Read, now)?;
                        take_record(&ctx, store, &side, stream, &record.id)?;
                        let key = store.link(link)?.and_then(|link| link.key);
                        Ok(store.waiting_key(&ctx.spec.name, &side, &record.id)? != key)
                    })
                    .await?;
                if spelt_otherwise {
                    // It would never join, and be found again with every try.
                    let why = format!(
                        "{} finds {id} for this key, which is not the same as we compare keys. None is made or linked; \
                         correct one of them, or set `normalise` on the key",
                        one.write.side
                    );
                    return self.settle(one, WriteState::Parked, "refused", &why, None).await.map(Some);
                }
                // It is a candidate now; matching joins it to this link by its key.
                self.overtaken(one, "a record with this key was made there meanwhile: it is linked instead")
                    .await
                    .map(Some)
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|record| record.id.as_str()).collect();
                let why = format!(
                    "several records there have this key: {}. None is made or linked",
                    ids.join(", ")
                );
                self.settle(one, WriteState::Parked, "refused", &why, None).await.map(Some)
            }
        }
    }

    /// The record that a create made (or is found to have made) joins the link.
    pub(super) async fn adopt_record(
        &self,
        one: &Sending,
        record: &Record,
        event: &'static str,
    ) -> Result<Sent> {
        let (ctx, write, side, record) = (Arc::clone(&one.ctx), one.write.clone(), one.side, record.clone());
        let now = self.clock.now();
        let sent = self
            .store
            .transact(move |store| {
                if store.write(write.id)?.is_some_and(|now| now.state == WriteState::Done) {
                    // A person or the program was quicker: what was accounted for since stays.
                    return Ok(Sent::Superseded);
                }
                store.observe(write.stream, &record, None, Cause::Confirm, now)?;
                store.set_write_record(write.id, &record.id)?;
                let taken = store.members(write.link)?.into_iter().find(|member| member.side == write.side);
                match store.link_of(&write.sync, &write.side, &record.id)? {
                    None if taken.is_none() => {
                        store.join(&write.sync, write.link, &write.side, write.stream, &record.id, now)?;
                    }
                    // A listing showed it, and its key joined it, before the outcome of the create was known.
                    Some(link) if link == write.link => {}
                    other => {
                        let why = match (other, taken) {
                            (None, Some(taken)) => format!(
                                "it made {}, but {} was linked meanwhile: there are two now. Nothing is joined or made again",
                                record.id, taken.rid
                            ),
                            (link, _) => format!(
                                "it made {}, which belongs to link {} already. Nothing is joined or made again",
                                record.id,
                                link.unwrap_or_default()
                            ),
                        };
                        if write.state == WriteState::Uncertain {
                            store.mark_due(write.link, now, std::time::Duration::ZERO, "looked up")?;
                        }
                        store.audit(&write, "refused", |_| None, &why, now)?;
                        store.move_write(write.id, WriteState::Parked, Some(&why), None, now)?;
                        return Ok(Sent::Parked);
                    }
                }
                // What was only found may have been edited since it was made.
                seed_bases(&ctx, store, &write, side, &record, event == "confirmed")?;
                let write = Write { rid: Some(record.id.clone()), ..write };
                store.audit(&write, event, |_| None, &write.reason, now)?;
                store.move_write(write.id, WriteState::Done, None, None, now)?;
                store.mark_due(write.link, now, std::time::Duration::ZERO, "confirmed")?;
                store.wake(&format!("waits for a record of {}", write.sync), now)?;
                Ok(Sent::Done)
            })
            .await?;
        Ok(sent)
    }
}

/// A fresh member has shown nothing before: fields that were sent start from blank and are accounted for like
/// any write, the others from what the record shows. Fields that a create cannot set are thereby behind and
/// are written next.
fn seed_bases(
    ctx: &Context,
    store: &Store,
    write: &Write,
    side: SideIx,
    record: &Record,
    proven: bool,
) -> StoreResult<()> {
    let Some(view) = LinkView::load(ctx, store, write.link)? else { return Ok(()) };
    let seen = super::view::seen_of(ctx, store, side, record)?;
    for unit in &ctx.spec.units {
        let sent = |ix: &usize| ctx.spec.fields.get(*ix).is_some_and(|f| write.fields.contains_key(&f.name));
        let says = |ix: &usize| matches!(seen.get(*ix), Some(crate::core::value::Seen::Value(value)) if !value.is_blank());
        if !proven && !unit.fields.iter().any(sent) && unit.fields.iter().any(says) {
            // A default of the system or an edit of a person, nobody can tell: without a base, it is compared
            // with the other sides like a record that is met for the first time.
            continue;
        }
        let base: Option<Vec<Value>> = unit
            .fields
            .iter()
            .map(|ix| match seen.get(*ix)? {
                _ if ctx.spec.fields.get(*ix).is_some_and(|field| write.fields.contains_key(&field.name)) => {
                    Some(Value::Null)
                }
                crate::core::value::Seen::Value(value) => Some(value.clone()),
                crate::core::value::Seen::Absent => Some(Value::Null),
                crate::core::value::Seen::Unknown(_) => None,
            })
            .collect();
        if let Some(base) = base {
            super::decisions::save_base(
                ctx,
                store,
                &view,
                unit,
                side,
                &base,
                stands_for(ctx, &view, write, unit),
            )?;
        }
    }
    account(ctx, store, write, side, record, proven)?;
    Ok(())
}

/// Where nothing was agreed to be said, a default of the config or of the system stands for that nothing: it is
/// never compared, and never blanked.
fn stands_for(ctx: &Context, view: &LinkView, write: &Write, unit: &crate::core::spec::Unit) -> u64 {
    let mut number = 0;
    for field in unit.fields.iter().filter_map(|ix| ctx.spec.fields.get(*ix)) {
        let Some(agreed) = view.agreed.get(&field.name) else { return 0 };
        let blank = Value::from_stored(&field.kind, &agreed.value).is_none_or(|value| value.is_blank());
        if !blank || write.fields.contains_key(&field.name) {
            return 0;
        }
        number = number.max(agreed.number);
    }
    number
}

fn wanted(ctx: &Context, store: &Store, side: SideIx, write: &Write) -> StoreResult<Wanted> {
    let Some(view) = LinkView::load(ctx, store, write.link)? else {
        return Ok(Wanted::No("the link ended".into()));
    };
    if view.link.state != "live" {
        return Ok(Wanted::No(format!("the link is not live any more ({})", view.link.state)));
    }
    if view.member(side).is_some() {
        return Ok(Wanted::No("a counterpart was linked meanwhile".into()));
    }
    if let Some(key) = &view.link.key {
        let counterpart =
            store.candidates_with_key(&write.sync, key)?.into_iter().any(|c| c.side == write.side);
        if counterpart {
            return Ok(Wanted::No("a record with this key appeared there meanwhile".into()));
        }
    }
    let mut values = Values::new();
    let mut keys = Vec::new();
    for (ix, field) in ctx.spec.fields.iter().enumerate() {
        let Some(wanted) = write.fields.get(&field.name) else { continue };
        if view.agreed.get(&field.name).is_some_and(|row| row.number != wanted.number) {
            return Ok(Wanted::No(format!("{} was decided again since", field.name)));
        }
        let Some(value) = Value::from_stored(&field.kind, &wanted.after) else { continue };
        match raw_for(ctx, store, side, ix, &value)? {
            Ok((path, raw)) => {
                if field.key {
                    keys.push((path.clone(), raw.clone()));
                }
                values.insert(path, raw);
            }
            Err(why) => return Ok(Wanted::Unwritable(why)),
        }
    }
    let Some((_, context)) = ctx.side(side) else {
        return Ok(Wanted::No("the side is not in the config".into()));
    };
    for (path, template) in &context.defaults {
        match template.render(&ctx.scope_of(&view.agreed_values(ctx), super::view::first_record(&view))) {
            Ok(value) => {
                values.entry(path.clone()).or_insert(value);
            }
            Err(why) => return Ok(Wanted::Unwritable(format!("default {path}: {why}"))),
        }
    }
    Ok(Wanted::Yes { values, keys })
}
