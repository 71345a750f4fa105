//! Stores what was decided about a unit: agreed values, bases, and the conflict that is left.
//!
//! Decides nothing and sends nothing.

use super::context::Context;
use super::view::LinkView;
use crate::core::merge::Decision;
use crate::core::spec::{SideIx, Unit};
use crate::core::value::{Seen, Value};
use crate::store::conflicts::ConflictRow;
use crate::store::decisions::{AgreedRow, BaseRow};
use crate::store::{Result, Store};

/// Stores a decision with its conflict, if one is left or ended by it.
///
/// # Errors
/// When the state file cannot be used.
pub(super) fn save(
    ctx: &Context,
    store: &Store,
    view: &mut LinkView,
    unit: &Unit,
    decision: &Decision,
) -> Result<()> {
    save_decision(ctx, store, view, unit, decision)?;
    save_conflict(ctx, store, view, unit, decision)
}

/// Stores what was decided about one unit: the agreed values, and what every member is accounted for with.
///
/// # Errors
/// When the state file cannot be used.
pub(super) fn save_decision(
    ctx: &Context,
    store: &Store,
    view: &mut LinkView,
    unit: &Unit,
    decision: &Decision,
) -> Result<()> {
    if let Some(agreed) = &decision.agreed {
        for (ix, value) in unit.fields.iter().zip(&agreed.values) {
            let Some(field) = ctx.spec.fields.get(*ix) else { continue };
            let origin =
                agreed.origin.iter().filter_map(|side| Some(ctx.spec.sides.get(*side)?.name.clone()));
            let row = AgreedRow {
                field: field.name.clone(),
                number: agreed.number,
                value: value.stored(),
                origin: origin.collect(),
                stamp: agreed.stamp,
            };
            store.set_agreed(view.link.id, &row, &decision.reason, ctx.now)?;
            view.agreed.insert(field.name.clone(), row);
        }
    }
    for (side, base, stands) in &decision.members {
        save_base(ctx, store, view, unit, *side, base, *stands)?;
    }
    Ok(())
}

/// Stores the base of one member for one unit; fields that the side lacks have none.
///
/// # Errors
/// When the state file cannot be used.
pub(super) fn save_base(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    unit: &Unit,
    side: SideIx,
    base: &[Value],
    stands: u64,
) -> Result<()> {
    let Some((spec, context)) = ctx.side(side) else { return Ok(()) };
    for (ix, value) in unit.fields.iter().zip(base) {
        let (Some(field), Some(lens)) = (ctx.spec.fields.get(*ix), context.lenses.get(*ix)) else { continue };
        if lens.is_empty() {
            continue;
        }
        let row = BaseRow {
            side: spec.name.clone(),
            field: field.name.clone(),
            value: value.stored(),
            stands,
            lens: lens.clone(),
        };
        store.set_base(view.link.id, &row, ctx.now)?;
    }
    Ok(())
}

fn save_conflict(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    unit: &Unit,
    decision: &Decision,
) -> Result<()> {
    let open = view.conflicts.iter().find(|row| row.unit == unit.name);
    let Some(conflict) = &decision.conflict else {
        if let Some(open) = open {
            let how = format!("nothing is left to decide: {}", decision.reason);
            store.end_conflict(open.id, "closed", &how, ctx.now)?;
        }
        return Ok(());
    };
    let names = |ix: &usize| ctx.spec.fields.get(*ix).map(|field| field.name.clone()).unwrap_or_default();
    let by_name = |values: &[Value]| -> serde_json::Map<String, serde_json::Value> {
        unit.fields.iter().map(names).zip(values.iter().map(Value::stored)).collect()
    };
    let side_name = |side: &SideIx| ctx.spec.sides.get(*side).map(|s| s.name.clone()).unwrap_or_default();
    let candidates: Vec<serde_json::Value> = conflict
        .candidates
        .iter()
        .map(|candidate| {
            let sides: Vec<String> = candidate.sides.iter().map(side_name).collect();
            serde_json::json!({ "sides": sides, "values": by_name(&candidate.values) })
        })
        .collect();
    let kind = open.map_or_else(
        || if conflict.agreed.is_none() { "first".to_owned() } else { "edit".to_owned() },
        |open| open.kind.clone(),
    );
    let row = ConflictRow {
        id: 0,
        sync: ctx.spec.name.clone(),
        link: view.link.id,
        unit: unit.name.clone(),
        kind,
        state: "open".into(),
        agreed: conflict.agreed.as_deref().map(|values| by_name(values).into()),
        candidates: candidates.into(),
        observed: observed(ctx, view, unit).into(),
        why: conflict.reason.clone(),
    };
    store.put_conflict(&row, ctx.now)?;
    Ok(())
}

/// What every member shows for a unit: side -> field -> value.
pub(super) fn observed(
    ctx: &Context,
    view: &LinkView,
    unit: &Unit,
) -> serde_json::Map<String, serde_json::Value> {
    view.members
        .iter()
        .map(|member| {
            let shown: serde_json::Map<String, serde_json::Value> = unit
                .fields
                .iter()
                .filter_map(|ix| {
                    let Seen::Value(value) = member.seen.get(*ix)? else { return None };
                    Some((ctx.spec.fields.get(*ix)?.name.clone(), value.stored()))
                })
                .collect();
            (member.member.side.clone(), shown.into())
        })
        .collect()
}
