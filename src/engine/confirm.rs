//! Closes a write: mirror, base, audit and the outbox row in one transaction.

use std::sync::Arc;

use super::apply::{Sending, Sent};
use super::context::Context;
use super::decisions::save_base;
use super::view::{LinkView, seen_of};
use super::{Engine, Result};
use crate::core::account::{Outcome, WriteBack, after_write};
use crate::core::record::Record;
use crate::core::spec::SideIx;
use crate::core::value::Value;
use crate::store::mirror::Cause;
use crate::store::outbox::{Write, WriteState};
use crate::store::{Result as StoreResult, Store};

impl Engine {
    /// Accounts for an update that was accepted (`confirmed`) or found to have taken effect (`found`).
    /// `proven`: the record is shown exactly as our write made it.
    pub(super) async fn confirm(
        &self,
        one: &Sending,
        record: &Record,
        proven: bool,
        event: &'static str,
    ) -> Result<Sent> {
        let (ctx, write, side, record) = (Arc::clone(&one.ctx), one.write.clone(), one.side, record.clone());
        let now = self.clock.now();
        let sent = self
            .store
            .transact(move |store| {
                store.observe(write.stream, &record, None, Cause::Confirm, now)?;
                let refused = account(&ctx, store, &write, side, &record, proven)?;
                if let Some(why) = refused {
                    let why = format!(
                        "the system accepted the write, but {why}: read-only there, or dropped silently. It is not tried again \
                         until something changes, or `tallysync retry {}`",
                        write.id
                    );
                    store.audit(&write, "refused", |_| None, &why, now)?;
                    store.move_write(write.id, WriteState::Parked, Some(&why), None, now)?;
                    return Ok(Sent::Parked);
                }
                store.audit(&write, event, |_| None, &write.reason, now)?;
                store.move_write(write.id, WriteState::Done, None, None, now)?;
                store.mark_due(write.link, now, std::time::Duration::ZERO, "confirmed")?;
                Ok(Sent::Done)
            })
            .await?;
        Ok(sent)
    }
}

/// Gives the fields of a write their new base. Returns what was not taken, if anything.
///
/// # Errors
/// When the state file cannot be used.
pub(super) fn account(
    ctx: &Context,
    store: &Store,
    write: &Write,
    side: SideIx,
    record: &Record,
    proven: bool,
) -> StoreResult<Option<String>> {
    let Some(view) = LinkView::load(ctx, store, write.link)? else { return Ok(None) };
    let shown = seen_of(ctx, store, side, record)?;
    let mut refused: Vec<String> = Vec::new();
    for unit in &ctx.spec.units {
        let written = unit
            .fields
            .iter()
            .filter_map(|ix| ctx.spec.fields.get(*ix))
            .any(|f| write.fields.contains_key(&f.name));
        if !written {
            continue;
        }
        let input = view.input(ctx, unit)?;
        let Some(member) = input.members.iter().find(|member| member.side == side) else { continue };
        let blank = vec![Value::Null; unit.fields.len()];
        let base = member.base.as_ref().unwrap_or(&blank);
        let sent: Vec<Option<Value>> = unit
            .fields
            .iter()
            .map(|ix| {
                let field = ctx.spec.fields.get(*ix)?;
                Value::from_stored(&field.kind, &write.fields.get(&field.name)?.after)
            })
            .collect();
        let number = unit
            .fields
            .iter()
            .filter_map(|ix| write.fields.get(&ctx.spec.fields.get(*ix)?.name))
            .map(|field| field.number)
            .max()
            .unwrap_or(0);
        let unit_shown: Vec<_> = unit.fields.iter().filter_map(|ix| shown.get(*ix).cloned()).collect();
        let account = after_write(&WriteBack {
            fields: &ctx.spec.fields,
            unit,
            side,
            base,
            stood: member.stands,
            sent: &sent,
            number,
            shown: &unit_shown,
            proven,
        });
        // What the system took without acting on it stays behind and visible: nothing is given up silently.
        let (stands, not_taken) = match account.outcome {
            Outcome::Unchanged(what) | Outcome::Ignored(what) => (member.stands, Some(what)),
            _ => (account.stands, None),
        };
        save_base(ctx, store, &view, unit, side, &account.base, stands)?;
        refused.extend(not_taken);
    }
    Ok((!refused.is_empty()).then(|| refused.join("; ")))
}
