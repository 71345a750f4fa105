//! Plans: what a sync would do, rehearsed in a transaction that is taken back; and their acceptance.
//!
//! A plan is bound to what it observed: accepting it does the same work again and lets through only the
//! actions that are still exactly those that were printed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::guards;
use super::intake::{retake_candidates, take_changes};
use super::matching::match_fresh;
use super::pass::PassReport;
use super::reconcile::reconcile_due;
use super::{Engine, EngineError, Result};
use crate::core::plan::{Action, ActionKind, Brief, FieldChange, Plan, Remark};
use crate::core::spec::SyncSpec;
use crate::core::value::Value;
use crate::store::outbox::{Op, Write, WriteState};
use crate::store::{Result as StoreResult, Store};

/// A plan as printed.
#[derive(Debug, Clone)]
pub struct Printed {
    /// Its number; `accept --plan ID`.
    pub id: i64,
    /// What would be done.
    pub plan: Plan,
    /// The sync writes nothing until this plan is accepted.
    pub needs_acceptance: bool,
    /// Listings that failed: what they would show is not in the plan.
    pub failures: Vec<String>,
}

/// What accepting did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The sync.
    pub sync: String,
    /// Actions that were opened.
    pub opened: u64,
    /// Actions that moved since the plan was printed: left out, decided again by the next pass.
    pub moved: Vec<String>,
}

impl Engine {
    /// Polls and prints what would be written. Writes nothing but the mirror and the plan itself.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub async fn plan(&self, sync: &Arc<SyncSpec>, poll: bool) -> Result<Printed> {
        let mut report = PassReport::default();
        let fresh = if poll {
            self.poll_sides(sync, false, &mut report).await?
        } else {
            vec![true; sync.sides.len()]
        };
        let ctx = self.context(sync, &fresh, false).await?;
        let meaning = self.meaning(sync).await?;
        let name = sync.name.clone();
        let row = self.store.transact(move |store| store.sync_row(&name)).await?;
        let accepted = row.accepted_at.is_some() && row.meaning.as_ref() == Some(&meaning);
        let mut rehearsed = {
            let ctx = ctx.clone();
            self.store.rehearse(move |store| rehearse(&ctx, store, !accepted)).await?
        };
        for failure in &report.failures {
            rehearsed.blocked.push(Remark { link: None, title: String::new(), text: failure.clone() });
        }
        let actions: Vec<String> = rehearsed.actions.iter().map(Action::fingerprint).collect();
        // The printed form is for people and stays short; what is accepted are the fingerprints.
        let document = Brief(&rehearsed).to_string();
        let (name, meaning, now) = (sync.name.clone(), short_name(&meaning), self.clock.now());
        let id = self
            .store
            .transact(move |store| store.put_plan(&name, &meaning, &actions, &document, now))
            .await?;
        Ok(Printed { id, plan: rehearsed, needs_acceptance: !accepted, failures: report.failures })
    }

    /// Accepts the plan that was printed last (or the one of that number): opens exactly its actions.
    ///
    /// # Errors
    /// When there is no such plan, it was used, or the config changed since.
    pub async fn accept(&self, sync: &Arc<SyncSpec>, plan: Option<i64>) -> Result<Accepted> {
        let name = sync.name.clone();
        let printed = self.store.transact(move |store| store.printed_plan(&name)).await?;
        let Some(printed) = printed else {
            return Err(EngineError::Refused(format!(
                "no plan of {0} is waiting; print one with `tallysync plan {0}` and read it first",
                sync.name
            )));
        };
        if let Some(id) = plan.filter(|id| *id != printed.id) {
            return Err(EngineError::Refused(format!(
                "plan {id} of {} was used or replaced; the one that can be accepted is {}",
                sync.name, printed.id
            )));
        }
        let meaning = self.meaning(sync).await?;
        let short = short_name(&meaning);
        if printed.meaning != short {
            return Err(EngineError::Refused(format!(
                "the config changed since plan {} was printed; print a new one with `tallysync plan {}`",
                printed.id, sync.name
            )));
        }
        for (side, _) in sync.sides.iter().enumerate() {
            self.open(sync, side).await?;
        }
        let ctx = self.context(sync, &vec![true; sync.sides.len()], false).await?;
        let now = self.clock.now();
        let allowed: BTreeSet<String> = printed.actions.iter().cloned().collect();
        let name = sync.name.clone();
        let accepted = self
            .store
            .transact(move |store| {
                store.accept_sync(&name, &meaning, &short, Some(printed.id), now)?;
                store.plan_accepted(printed.id)?;
                decide_all(&ctx, store, true)?;
                let mut accepted = Accepted { sync: name.clone(), ..Accepted::default() };
                for (state, id) in decided(&ctx, store)? {
                    let Some(write) = store.write(id)?.filter(|write| write.state == state) else { continue };
                    let action = action(&ctx, store, &write)?;
                    if allowed.contains(&action.fingerprint()) {
                        store.move_write(write.id, WriteState::Open, None, Some(now), now)?;
                        accepted.opened += 1;
                    } else {
                        let why = "it is not in the accepted plan: something moved since it was printed";
                        store.move_write(write.id, WriteState::Superseded, Some(why), None, now)?;
                        store.mark_due(write.link, now, std::time::Duration::ZERO, "config")?;
                        accepted.moved.push(format!(
                            "{} {} in {}",
                            write.op.text(),
                            action.title,
                            write.system
                        ));
                    }
                }
                Ok(accepted)
            })
            .await?;
        Ok(accepted)
    }
}

/// Eight characters that name a meaning in audit rows and plans.
fn short_name(meaning: &std::collections::BTreeMap<String, String>) -> String {
    let text = serde_json::to_string(meaning).unwrap_or_default();
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes())).chars().take(8).collect()
}

/// Decides everything that is due (all links, when the config is new), and tells what was decided.
fn rehearse(ctx: &Context, store: &Store, everything: bool) -> StoreResult<Plan> {
    let mut plan = decide_all(ctx, store, everything)?;
    if !everything {
        for (trip, writes) in guards::tripped(ctx, store)? {
            let text = format!("{} writes: {}", writes.len(), trip.reason);
            plan.blocked.push(Remark { link: None, title: trip.brake.name().into(), text });
        }
    }
    collect_conflicts(ctx, store, &mut plan)?;
    // One after the other: a first plan has as many writes as there are records.
    for (_, id) in decided(ctx, store)? {
        if let Some(write) = store.write(id)? {
            plan.actions.push(action(ctx, store, &write)?);
        }
    }
    Ok(plan)
}

/// The writes that wait to be sent, by number.
fn decided(ctx: &Context, store: &Store) -> StoreResult<Vec<(WriteState, i64)>> {
    let mut found = Vec::new();
    for state in [WriteState::New, WriteState::Open] {
        found.extend(store.write_ids_in(state, &ctx.spec.name)?.into_iter().map(|id| (state, id)));
    }
    Ok(found)
}

/// Decides everything that is due. The plan that comes back has no actions yet, only what stands in their way.
fn decide_all(ctx: &Context, store: &Store, everything: bool) -> StoreResult<Plan> {
    if everything {
        retake_candidates(ctx, store)?;
        store.mark_all_due(&ctx.spec.name, ctx.now, "config")?;
        release(ctx, store)?;
    }
    let mut plan = Plan { sync: ctx.spec.name.clone(), ..Plan::default() };
    while take_changes(ctx, store)? {}
    let mut looked_at = None;
    loop {
        let matched = match_fresh(ctx, store, looked_at.as_deref())?;
        for (key, reason) in matched.ambiguous {
            plan.ambiguous.push(Remark { link: None, title: key, text: reason });
        }
        looked_at = matched.more;
        if looked_at.is_none() {
            break;
        }
    }
    let mut after = 0;
    loop {
        let done = reconcile_due(ctx, store, after)?;
        for (link, why) in done.blocked {
            let title = store.link(link)?.and_then(|link| link.title).unwrap_or_default();
            plan.blocked.push(Remark { link: Some(link), title, text: why });
        }
        after = done.last;
        if !done.more {
            break;
        }
    }
    Ok(plan)
}

/// A new meaning decides anew: what waits under the old one gives way.
fn release(ctx: &Context, store: &Store) -> StoreResult<()> {
    for state in [WriteState::New, WriteState::Open, WriteState::Held, WriteState::Parked] {
        for write in store.writes_in(state, Some(&ctx.spec.name))? {
            if store.may_exist(&write)? {
                // What it may have made is there under any config.
                continue;
            }
            store.move_write(write.id, WriteState::Superseded, Some("the config changed"), None, ctx.now)?;
        }
    }
    Ok(())
}

/// What each side of a stored conflict says: `erp: 12.50; crm and tallyfy: (blank)`.
fn says(candidates: &str) -> String {
    let candidates: Vec<serde_json::Value> = serde_json::from_str(candidates).unwrap_or_default();
    let said = |candidate: &serde_json::Value| {
        let sides = candidate.get("sides")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
        let values = candidate.get("values")?.as_object()?;
        let named = values.len() > 1;
        let values = values.iter().map(|(field, value)| {
            let value = match value {
                serde_json::Value::Null => "(blank)".to_owned(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if named { format!("{field} {value}") } else { value }
        });
        let (sides, values): (Vec<&str>, Vec<String>) = (sides.collect(), values.collect());
        Some(format!("{}: {}", sides.join(" and "), values.join(", ")))
    };
    candidates.iter().filter_map(said).collect::<Vec<_>>().join("; ")
}

fn collect_conflicts(ctx: &Context, store: &Store, plan: &mut Plan) -> StoreResult<()> {
    for row in store.view(crate::store::read::View::Conflicts, Some(&ctx.spec.name), u32::MAX)? {
        let text = |name: &str| row.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        plan.conflicts.push(Remark {
            link: row.get("link").and_then(serde_json::Value::as_i64),
            title: text("title"),
            text: format!("{}: {} ({})", text("field"), text("why"), says(&text("candidates"))),
        });
    }
    Ok(())
}

fn action(ctx: &Context, store: &Store, write: &Write) -> StoreResult<Action> {
    let title = store.link(write.link)?.and_then(|link| link.title).unwrap_or_default();
    let entity =
        ctx.side_ix(&write.side).and_then(|ix| ctx.spec.sides.get(ix)).map(|side| side.entity.clone());
    let fields = ctx
        .spec
        .fields
        .iter()
        .filter_map(|field| {
            let change = write.fields.get(&field.name)?;
            Some(FieldChange {
                field: field.name.clone(),
                before: Value::from_stored(&field.kind, &change.before).filter(|_| write.op == Op::Update),
                after: Value::from_stored(&field.kind, &change.after)?,
                reason: write.reason.clone(),
            })
        })
        .collect();
    Ok(Action {
        kind: match write.op {
            Op::Create => ActionKind::Create,
            Op::Update => ActionKind::Update,
            Op::Archive => ActionKind::Archive,
            Op::Delete => ActionKind::Delete,
        },
        // Links are numbered when they are made, which a rehearsal takes back: a plan names records by title.
        link: None,
        side: write.side.clone(),
        system: write.system.clone(),
        entity: entity.unwrap_or_default(),
        record: write.rid.clone(),
        title,
        fields,
        reason: write.reason.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sides_of_a_conflict_say_is_told_in_words() {
        let stored = r#"[{"sides":["erp"],"values":{"amount":12.50}},{"sides":["crm","tallyfy"],"values":{"amount":null}}]"#;
        assert_eq!(says(stored), "erp: 12.50; crm and tallyfy: (blank)");
        assert_eq!(says(r#"[{"sides":["erp"],"values":{"a":1,"b":"x"}}]"#), "erp: a 1, b x");
        assert_eq!(says("[]"), "");
    }
}
