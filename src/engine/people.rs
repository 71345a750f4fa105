//! What people decide: conflicts, parked and uncertain writes, held batches, pauses.

use std::sync::Arc;

use super::context::Context;
use super::decisions::{observed, save_decision};
use super::deletes;
use super::view::LinkView;
use super::{Engine, EngineError, Result};
use crate::connector::api::Lookup;
use crate::core::merge::{Candidate, Choice, Conflict, impose, resolve};
use crate::core::value::Value;
use crate::store::conflicts::ConflictRow;
use crate::store::outbox::{Op, Write, WriteState};
use crate::store::{Result as StoreResult, Store, StoreError};

/// A person's choice, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decide {
    /// `--take SIDE`.
    Take(String),
    /// `--value V`: one value, or `field=value` pairs for a group.
    Value(String),
}

impl Engine {
    /// Decides an open conflict. Refused as stale when what the sides show has moved since it was stored.
    ///
    /// # Errors
    /// When there is no such open conflict, the choice names no candidate, or it is stale.
    pub async fn resolve(&self, id: i64, decide: Decide) -> Result<String> {
        let row = self.store.transact(move |store| store.conflict(id)).await?;
        let Some(row) = row.filter(|row| row.state == "open") else {
            return Err(EngineError::Refused(format!(
                "there is no open conflict {id}; `tallysync conflicts` lists them"
            )));
        };
        let sync = self.sync_named(&row.sync)?;
        let ctx = self.context(&sync, &[], false).await?;
        let done = self
            .store
            .transact(move |store| resolve_row(&ctx, store, &row, &decide).map_err(refused))
            .await?;
        Ok(done)
    }

    /// Tries a parked or uncertain write again. An uncertain create is sent again: a person says that it was
    /// not made.
    ///
    /// # Errors
    /// When there is no such write.
    pub async fn retry(&self, id: i64) -> Result<String> {
        let now = self.clock.now();
        let done = self
            .store
            .transact(move |store| {
                let write = standing(store, id)?;
                match (write.state, write.op) {
                    (WriteState::Parked | WriteState::Open, _) | (WriteState::Uncertain, Op::Create) => {
                        store.move_write(id, WriteState::Open, None, Some(now), now)?;
                    }
                    (WriteState::Uncertain, _) => {
                        store.move_write(id, WriteState::Uncertain, None, Some(now), now)?;
                    }
                    (WriteState::Held, _) => {
                        let batch = write.batch.unwrap_or_default();
                        return Err(StoreError::Caller(format!(
                            "write {id} is held by batch {batch}; `tallysync approve {batch}` releases it"
                        )));
                    }
                    _ => return Err(StoreError::Caller(format!("write {id} is {}", write.state.text()))),
                }
                store.audit(&write, "decided", |_| None, "a person asked to try again", now)?;
                Ok(format!("write {id} is tried again at the next pass"))
            })
            .await?;
        Ok(done)
    }

    /// Drops a write that was not sent. The field stays behind until something changes.
    ///
    /// # Errors
    /// When there is no such write or it is under way.
    pub async fn drop_write(&self, id: i64) -> Result<String> {
        let now = self.clock.now();
        let done = self
            .store
            .transact(move |store| {
                let write = standing(store, id)?;
                if write.state == WriteState::Sent {
                    return Err(StoreError::Caller(format!("write {id} is being sent right now")));
                }
                store.move_write(id, WriteState::Dropped, Some("a person dropped it"), None, now)?;
                store.audit(&write, "decided", |_| None, "a person dropped it", now)?;
                store.withdraw_empty_batches(now)?;
                if matches!(write.op, Op::Archive | Op::Delete) {
                    // A link that only waited for this ends now.
                    store.mark_due(write.link, now, std::time::Duration::ZERO, "dropped")?;
                }
                Ok(format!("write {id} is dropped; it comes back only when one of its records changes"))
            })
            .await?;
        Ok(done)
    }

    /// Says which record a create of unknown outcome made.
    ///
    /// # Errors
    /// When the write is no standing create, or there is no such record.
    pub async fn adopt(&self, id: i64, rid: &str) -> Result<String> {
        let write = self.store.transact(move |store| standing(store, id)).await?;
        if write.op != Op::Create {
            return Err(EngineError::Refused(format!(
                "write {id} is no create; only a create can adopt a record"
            )));
        }
        let sync = self.sync_named(&write.sync)?;
        let ctx = Arc::new(self.context(&sync, &[], false).await?);
        let Some(side) = ctx.side_ix(&write.side) else {
            return Err(EngineError::Refused(format!(
                "sync {} has no side {} any more",
                write.sync, write.side
            )));
        };
        let port = self.open(&sync, side).await?;
        let record = match port.entity.get(rid).await? {
            Lookup::Found(record) => record,
            Lookup::Gone { evidence, .. } => {
                return Err(EngineError::Refused(format!("{rid} in {} is gone: {evidence}", write.system)));
            }
            Lookup::Missing(what) => {
                return Err(EngineError::Refused(format!("{rid} is not there in {}: {what}", write.system)));
            }
        };
        let (name, side_name, found) = (write.sync.clone(), write.side.clone(), record.id.clone());
        if let Some(link) = self.store.transact(move |store| store.link_of(&name, &side_name, &found)).await?
        {
            return Err(EngineError::Refused(format!("{rid} belongs to link {link} already")));
        }
        let one = super::apply::Sending { ctx, write, side, port };
        if self.adopt_record(&one, &record, "found").await? != super::apply::Sent::Done {
            return Err(EngineError::Refused(format!(
                "{rid} cannot join: another record did meanwhile, or the write is closed; `tallysync writes` says which"
            )));
        }
        Ok(format!("record {rid} joined the link; what it shows otherwise is merged at the next pass"))
    }

    /// Releases exactly one held batch, once.
    ///
    /// # Errors
    /// When there is no held batch of that number.
    pub async fn approve(&self, batch: i64) -> Result<String> {
        let now = self.clock.now();
        match self.store.transact(move |store| store.approve(batch, now)).await? {
            Some(writes) => Ok(format!("batch {batch} is released: {writes} writes go out at the next pass")),
            None => Err(EngineError::Refused(format!(
                "there is no held batch {batch}; `tallysync status` lists what is held (a batch is released once)"
            ))),
        }
    }

    /// Pauses or resumes a sync or a system.
    ///
    /// # Errors
    /// When there is neither of that name.
    pub async fn pause(&self, name: &str, paused: bool) -> Result<String> {
        let is_sync = self.syncs.iter().any(|sync| sync.name == name);
        let is_system = self.config.systems.contains_key(name);
        if !is_sync && !is_system {
            let syncs = self.syncs.iter().map(|sync| sync.name.as_str());
            let known: Vec<&str> = syncs.chain(self.config.systems.keys().map(String::as_str)).collect();
            let text = format!("there is no sync or system {name:?}; the config has: {}", known.join(", "));
            return Err(EngineError::Unknown(text));
        }
        let (owned, connector) = (name.to_owned(), self.connector_of(name));
        self.store
            .transact(move |store| {
                if is_sync {
                    store.sync_row(&owned)?;
                    store.pause_sync(&owned, paused)?;
                }
                if is_system {
                    store.system_row(&owned, &connector)?;
                    store.pause_system(&owned, paused)?;
                }
                Ok(())
            })
            .await?;
        Ok(format!("{name} is {}", if paused { "paused" } else { "running again" }))
    }
}

fn refused(error: EngineError) -> StoreError {
    match error {
        EngineError::Store(error) => error,
        other => StoreError::Caller(other.to_string()),
    }
}

fn standing(store: &Store, id: i64) -> StoreResult<Write> {
    let write = store.write(id)?;
    let closed =
        |w: &Write| matches!(w.state, WriteState::Done | WriteState::Dropped | WriteState::Superseded);
    match write {
        Some(write) if !closed(&write) => Ok(write),
        Some(write) => Err(StoreError::Caller(format!("write {id} is closed ({})", write.state.text()))),
        None => Err(StoreError::Caller(format!("there is no write {id}; `tallysync writes` lists them"))),
    }
}

fn resolve_row(ctx: &Context, store: &Store, row: &ConflictRow, decide: &Decide) -> Result<String> {
    let Some(mut view) = LinkView::load(ctx, store, row.link)? else {
        return Err(EngineError::Refused(format!("the link of conflict {} ended", row.id)));
    };
    if row.kind == "delete" {
        return resolve_delete(ctx, store, &view, row, decide);
    }
    let Some(unit) = ctx.spec.units.iter().find(|unit| unit.name == row.unit) else {
        return Err(EngineError::Refused(format!("the config has no field or group {} any more", row.unit)));
    };
    let now_shown = serde_json::Value::Object(observed(ctx, &view, unit));
    if now_shown != row.observed {
        return Err(EngineError::Refused(format!(
            "conflict {} is stale: a side has moved on since it was stored. The sides show now: {}. Let a pass go \
             through (tallysync sync, or the daemon), look again with `tallysync conflicts`, decide again",
            row.id,
            shown(&now_shown)
        )));
    }
    let choice = choice(ctx, unit, &view, row, decide)?;
    let said = match (decide, &choice) {
        (Decide::Take(side), _) => format!("a person took {side}"),
        // What will be written, which the type may have rounded or trimmed, not what was typed.
        (Decide::Value(_), Choice::Values(values)) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("a person set {}", values.join(", "))
        }
        (Decide::Value(value), _) => format!("a person set {value}"),
    };
    let input = view.input(ctx, unit)?;
    let decision = match choice {
        // Frozen although the merge could decide: the person's value becomes the new agreed one.
        Choice::Values(values) if row.kind == "alternating" => impose(&input, values),
        choice => resolve(&input, &stored_conflict(ctx, unit, row), &choice).map_err(EngineError::Refused)?,
    };
    save_decision(ctx, store, &mut view, unit, &decision)?;
    store.end_conflict(row.id, "resolved", &said, ctx.now)?;
    store.mark_due(row.link, ctx.now, std::time::Duration::ZERO, "resolved")?;
    Ok(format!("conflict {} is resolved: {said}; it is written at the next pass", row.id))
}

/// `{"erp":{"amount":5}}` in words: `erp: amount 5`.
fn shown(observed: &serde_json::Value) -> String {
    let words = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "(blank)".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let side = |(side, fields): (&String, &serde_json::Value)| {
        let fields = match fields.as_object() {
            Some(fields) => {
                let named = fields.iter().map(|(field, value)| format!("{field} {}", words(value)));
                named.collect::<Vec<_>>().join(", ")
            }
            None => words(fields),
        };
        format!("{side}: {fields}")
    };
    observed.as_object().into_iter().flatten().map(side).collect::<Vec<_>>().join("; ")
}

fn resolve_delete(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    row: &ConflictRow,
    decide: &Decide,
) -> Result<String> {
    let spread = match decide {
        Decide::Value(value) if value == "delete" => true,
        Decide::Value(value) if value == "keep" => false,
        _ => {
            return Err(EngineError::Refused(format!(
                "conflict {} is about a delete: decide with `--value delete` or `--value keep`",
                row.id
            )));
        }
    };
    store.end_conflict(row.id, "resolved", if spread { "delete" } else { "keep" }, ctx.now)?;
    let writes = deletes::decided(ctx, store, view, spread)?;
    // These a person has seen; what else is new in the sync has not been looked at by any guard yet.
    for write in store.standing_writes(row.link)?.iter().filter(|write| write.state == WriteState::New) {
        store.move_write(write.id, WriteState::Open, None, Some(ctx.now), ctx.now)?;
    }
    Ok(format!("conflict {} is resolved; {} at the next pass", row.id, put_away(writes)))
}

fn put_away(writes: u64) -> String {
    match writes {
        0 => "no record is archived or deleted".to_owned(),
        1 => "1 record is archived or deleted".to_owned(),
        many => format!("{many} records are archived or deleted"),
    }
}

fn choice(
    ctx: &Context,
    unit: &crate::core::spec::Unit,
    view: &LinkView,
    row: &ConflictRow,
    decide: &Decide,
) -> Result<Choice> {
    match decide {
        Decide::Take(name) => {
            let side = ctx.side_ix(name).ok_or_else(|| {
                let names: Vec<&str> = ctx.spec.sides.iter().map(|side| side.name.as_str()).collect();
                EngineError::Refused(format!(
                    "sync {} has no side {name:?}; it has {}",
                    row.sync,
                    names.join(", ")
                ))
            })?;
            if row.kind != "alternating" {
                return Ok(Choice::Take(side));
            }
            let shown = view.member(side).map(|member| member.seen.clone()).unwrap_or_default();
            let values = unit
                .fields
                .iter()
                .map(|ix| match shown.get(*ix) {
                    Some(crate::core::value::Seen::Value(value)) => value.clone(),
                    _ => Value::Null,
                })
                .collect();
            Ok(Choice::Values(values))
        }
        Decide::Value(text) => {
            let [ix] = unit.fields.as_slice() else {
                return Err(EngineError::Refused(format!(
                    "{} is a group: decide it with --take SIDE",
                    unit.name
                )));
            };
            let Some(field) = ctx.spec.fields.get(*ix) else {
                return Err(EngineError::Refused("the field is not in the config".into()));
            };
            let raw = serde_json::Value::String(text.clone());
            let value = field.kind.read(&raw).map_err(|why| {
                EngineError::Refused(format!("{text:?} is no value of {}: {why}", field.name))
            })?;
            Ok(Choice::Values(vec![value]))
        }
    }
}

fn stored_conflict(ctx: &Context, unit: &crate::core::spec::Unit, row: &ConflictRow) -> Conflict {
    let values = |map: &serde_json::Value| -> Vec<Value> {
        unit.fields
            .iter()
            .filter_map(|ix| {
                let field = ctx.spec.fields.get(*ix)?;
                Value::from_stored(&field.kind, map.get(&field.name)?)
            })
            .collect()
    };
    let candidates = row
        .candidates
        .as_array()
        .into_iter()
        .flatten()
        .map(|candidate| Candidate {
            values: candidate.get("values").map(values).unwrap_or_default(),
            sides: candidate
                .get("sides")
                .and_then(|sides| sides.as_array())
                .into_iter()
                .flatten()
                .filter_map(|name| ctx.side_ix(name.as_str()?))
                .collect(),
        })
        .collect();
    Conflict { agreed: row.agreed.as_ref().map(values), candidates, reason: row.why.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sides_show_is_told_in_words() {
        let observed = serde_json::json!({ "crm": { "amount": null, "memo": "x" }, "erp": { "amount": 5 } });
        assert_eq!(shown(&observed), "crm: amount (blank), memo x; erp: amount 5");
        assert_eq!(put_away(1), "1 record is archived or deleted");
    }
}
