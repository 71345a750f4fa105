//! A link as the decision core wants it: members, what they show, bases, agreed values.
//!
//! Reads the store and builds inputs; decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::context::Context;
use crate::core::merge::{Agreed, Input, MemberUnit};
use crate::core::record::{Record, Values};
use crate::core::spec::{SideIx, Unit};
use crate::core::value::{FieldType, Seen, Value};
use crate::store::conflicts::ConflictRow;
use crate::store::decisions::{AgreedRow, BaseRow};
use crate::store::links::{Link, Member};
use crate::store::mirror::Mirrored;
use crate::store::outbox::Write;
use crate::store::{Result, Store, StoreError};

/// One member with its record as the mirror has it.
pub struct MemberView {
    /// Its side.
    pub side: SideIx,
    /// The member.
    pub member: Member,
    /// The record; `None` when the mirror lost it (a restored file).
    pub mirrored: Option<Mirrored>,
    /// What it shows, one entry per field of the sync.
    pub seen: Vec<Seen>,
}

/// A link with everything a decision about it needs.
pub struct LinkView {
    /// The link.
    pub link: Link,
    /// Its active members.
    pub members: Vec<MemberView>,
    /// Agreed values by field name.
    pub agreed: BTreeMap<String, AgreedRow>,
    /// Bases by side and field name, made under the current lenses.
    pub bases: BTreeMap<(String, String), BaseRow>,
    /// Open conflicts.
    pub conflicts: Vec<ConflictRow>,
    /// Writes that are not closed.
    pub writes: Vec<Write>,
}

impl LinkView {
    /// Loads a link. `None` when it ended or never was.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn load(ctx: &Context, store: &Store, id: i64) -> Result<Option<Self>> {
        let Some(link) = store.link(id)?.filter(|link| link.state != "ended") else { return Ok(None) };
        let mut members = Vec::new();
        for member in store.members(id)? {
            let Some(side) = ctx.side_ix(&member.side) else { continue };
            let mirrored = store.mirrored(member.stream, &member.rid)?;
            let seen = match &mirrored {
                Some(row) => seen_of(ctx, store, side, &row.record)?,
                None => vec![Seen::Absent; ctx.spec.fields.len()],
            };
            members.push(MemberView { side, member, mirrored, seen });
        }
        members.sort_by_key(|member| member.side);
        let agreed = store.agreed(id)?.into_iter().map(|row| (row.field.clone(), row)).collect();
        let bases = store
            .bases(id)?
            .into_iter()
            .filter(|row| current_lens(ctx, row))
            .map(|row| ((row.side.clone(), row.field.clone()), row))
            .collect();
        Ok(Some(Self {
            conflicts: store.open_conflicts(id)?,
            writes: store.standing_writes(id)?,
            link,
            members,
            agreed,
            bases,
        }))
    }

    /// The member of a side.
    pub fn member(&self, side: SideIx) -> Option<&MemberView> {
        self.members.iter().find(|member| member.side == side)
    }

    /// The input of the merge of one unit.
    ///
    /// # Errors
    /// When a stored value is not of its field's type any more in a way that cannot be told from damage.
    pub fn input<'a>(&self, ctx: &'a Context, unit: &'a Unit) -> Result<Input<'a>> {
        Ok(Input {
            sides: &ctx.spec.sides,
            fields: &ctx.spec.fields,
            unit,
            first: &ctx.spec.first,
            agreed: self.agreed_unit(ctx, unit),
            members: self.members.iter().map(|member| self.member_unit(ctx, unit, member)).collect(),
            frozen: self.conflicts.iter().any(|row| row.unit == unit.name),
        })
    }

    /// The agreed values of all fields, null where nothing is agreed.
    pub fn agreed_values(&self, ctx: &Context) -> Vec<Value> {
        ctx.spec
            .fields
            .iter()
            .map(|field| {
                self.agreed
                    .get(&field.name)
                    .and_then(|row| Value::from_stored(&field.kind, &row.value))
                    .unwrap_or(Value::Null)
            })
            .collect()
    }

    fn agreed_unit(&self, ctx: &Context, unit: &Unit) -> Option<Agreed> {
        let mut agreed: Option<Agreed> = None;
        for ix in &unit.fields {
            let field = ctx.spec.fields.get(*ix)?;
            // A field that joined the unit, or changed its type, has no agreed value: the unit starts anew.
            let row = self.agreed.get(&field.name)?;
            let value = Value::from_stored(&field.kind, &row.value)?;
            match &mut agreed {
                None => {
                    agreed = Some(Agreed {
                        values: vec![value],
                        number: row.number,
                        origin: row.origin.iter().filter_map(|name| ctx.side_ix(name)).collect(),
                        stamp: row.stamp,
                    });
                }
                Some(agreed) => {
                    agreed.number = agreed.number.max(row.number);
                    agreed.values.push(value);
                }
            }
        }
        agreed
    }

    fn member_unit(&self, ctx: &Context, unit: &Unit, member: &MemberView) -> MemberUnit {
        let mut seen = Vec::new();
        let mut base = Some(Vec::new());
        let mut stands = u64::MAX;
        for ix in &unit.fields {
            seen.push(member.seen.get(*ix).cloned().unwrap_or(Seen::Absent));
            let Some(field) = ctx.spec.fields.get(*ix) else { continue };
            if field.lenses.get(member.side).is_none_or(Option::is_none) {
                if let Some(base) = &mut base {
                    base.push(Value::Null);
                }
                continue;
            }
            let row = self.bases.get(&(member.member.side.clone(), field.name.clone()));
            let value = row.and_then(|row| Value::from_stored(&field.kind, &row.value));
            match (value, &mut base) {
                (Some(value), Some(base)) => base.push(value),
                _ => base = None,
            }
            stands = stands.min(row.map_or(0, |row| row.stands));
        }
        let (stamp, stamp_error_ms) = corrected_stamp(ctx, member);
        MemberUnit {
            side: member.side,
            seen,
            base,
            stands: if stands == u64::MAX { 0 } else { stands },
            stamp,
            stamp_error_ms,
        }
    }
}

/// The base was made under the lens that the config has now (P9: a changed lens unbases its field).
fn current_lens(ctx: &Context, row: &BaseRow) -> bool {
    let Some(side) = ctx.side_ix(&row.side) else { return false };
    let Some(field) = ctx.spec.fields.iter().position(|field| field.name == row.field) else { return false };
    ctx.sides.get(side).and_then(|side| side.lenses.get(field)).is_some_and(|lens| *lens == row.lens)
}

fn corrected_stamp(ctx: &Context, member: &MemberView) -> (Option<Timestamp>, i64) {
    let Some(side) = ctx.sides.get(member.side) else { return (None, i64::MAX) };
    let stamp = member.mirrored.as_ref().and_then(|row| row.record.updated_at);
    (stamp.and_then(|at| at.checked_sub(side.clock_offset).ok()), side.clock_error_ms)
}

/// What a record shows on a side, one entry per field; references are resolved to links.
///
/// # Errors
/// When the state file cannot be used.
pub fn seen_of(ctx: &Context, store: &Store, side: SideIx, record: &Record) -> Result<Vec<Seen>> {
    ctx.spec
        .fields
        .iter()
        .map(|field| {
            let Some(Some(lens)) = field.lenses.get(side) else { return Ok(Seen::Absent) };
            let seen = lens.read(&record.values);
            match (&field.kind, seen) {
                (FieldType::Ref(parent), Seen::Value(Value::Text(rid))) => {
                    let system = ctx.side(side).map(|(spec, _)| spec.system.clone()).unwrap_or_default();
                    Ok(match store.link_of_record(parent, &system, &rid)? {
                        Some(link) => Seen::Value(Value::Link(link)),
                        None => Seen::Unknown(format!("{system} record {rid} is not linked in {parent} yet")),
                    })
                }
                (_, seen) => Ok(seen),
            }
        })
        .collect()
}

/// What a side must be sent for a value, or why it cannot be sent now.
///
/// # Errors
/// When the state file cannot be used.
pub fn raw_for(
    ctx: &Context,
    store: &Store,
    side: SideIx,
    field_ix: usize,
    value: &Value,
) -> Result<std::result::Result<(String, serde_json::Value), String>> {
    let missing = || StoreError::Caller("the sync's spec has no such field or side".into());
    let field = ctx.spec.fields.get(field_ix).ok_or_else(missing)?;
    let lens = field.lenses.get(side).and_then(Option::as_ref).ok_or_else(missing)?;
    let value = match (&field.kind, value) {
        (FieldType::Ref(parent), Value::Link(link)) => {
            let system = ctx.side(side).map(|(spec, _)| spec.system.clone()).unwrap_or_default();
            match store.record_of_link(*link, &system)? {
                Some(rid) => Value::Text(rid),
                None => return Ok(Err(format!("waits for a record of {parent} in {system}"))),
            }
        }
        (_, value) => value.clone(),
    };
    Ok(lens.write(&value).map(|raw| (lens.path.clone(), raw)).map_err(|why| format!("{}: {why}", field.name)))
}

/// The raw record of the first side, for `record.PATH` in conditions.
pub fn first_record(view: &LinkView) -> Option<Arc<Values>> {
    view.member(0).and_then(|member| member.mirrored.as_ref()).map(|row| Arc::new(row.record.values.clone()))
}
