//! A field that is written back and forth is frozen and reported; it is not written again until a person
//! decides. Only counts and freezes: what is right is not decided here.

use super::context::Context;
use super::decisions::observed;
use super::reconcile::{Due, side_name};
use super::view::LinkView;
use crate::core::spec::SideIx;
use crate::store::conflicts::ConflictRow;
use crate::store::{Result, Store};

/// A field of a member that was written with two values in turn this often is frozen (P6).
const ALTERNATIONS: usize = 4;

/// P6: a field that is written back and forth is frozen and reported with both values.
pub(super) fn freeze_alternating(
    ctx: &Context,
    store: &Store,
    view: &LinkView,
    side: SideIx,
    due: &mut Due,
) -> Result<()> {
    let since = ctx.now.saturating_sub(jiff::SignedDuration::from_hours(1)).unwrap_or(ctx.now);
    let name = side_name(ctx, side);
    let fields: Vec<String> = due.fields.keys().cloned().collect();
    for field in fields {
        let Some(write) = due.fields.get(&field) else { continue };
        let wanted = write.after.to_string();
        let written = store.last_written(view.link.id, &field, &name, since, 16)?;
        let Some(other) = alternates(&written, &wanted, &write.before.to_string()) else { continue };
        let (first, second) = (&wanted, &other);
        let Some(unit) = ctx.spec.units.iter().find(|unit| {
            unit.fields.iter().any(|ix| ctx.spec.fields.get(*ix).is_some_and(|spec| spec.name == field))
        }) else {
            continue;
        };
        let candidate = |value: &str| {
            let value: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
            serde_json::json!({ "sides": [], "values": { field.as_str(): value } })
        };
        let row = ConflictRow {
            id: 0,
            sync: ctx.spec.name.clone(),
            link: view.link.id,
            unit: unit.name.clone(),
            kind: "alternating".into(),
            state: "open".into(),
            agreed: None,
            candidates: serde_json::json!([candidate(first), candidate(second)]),
            observed: observed(ctx, view, unit).into(),
            why: format!(
                "{field} on {name} was written {first} and {second} in turn within the hour: something there sets it back. \
                 It is frozen until a person decides"
            ),
        };
        store.put_conflict(&row, ctx.now)?;
        due.fields.remove(&field);
    }
    Ok(())
}

/// The other value, when the side was given `wanted` again and again: in turn with another value, or because
/// something there keeps setting it back to what it showed.
fn alternates(written: &[String], wanted: &str, shown: &str) -> Option<String> {
    if let [first, second, third, fourth, ..] = written
        && first == third
        && second == fourth
        && first != second
        && second == wanted
    {
        return Some(first.clone());
    }
    let again = written.iter().filter(|value| *value == wanted).count();
    (again + 1 >= ALTERNATIONS).then(|| shown.to_owned())
}
