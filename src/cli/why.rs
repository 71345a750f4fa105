//! `why`: where the value of a field came from, what each side shows now, and what was displaced. It tells what
//! the state file holds; it decides nothing.

use serde_json::{Value as Json, json};

use super::args::Global;
use super::look::{conflicts_text, links_of};
use super::output::{Look, Row, cell, opened, print, print_json, seconds, value_text};
use super::place::looking;
use super::{FINE, Failed, Outcome};
use crate::config::model::Config;
use crate::core::record::Values;
use crate::core::spec::SyncSpec;
use crate::core::value::{Seen, Value};
use crate::store::Store;
use crate::store::read::View;

/// `why SYNC RECORD [FIELD]`.
pub fn why(global: &Global, look: Look, sync: &str, record: &str, field: Option<&str>) -> Outcome {
    let (store, config) = looking(global)?;
    let spec = spec(config.as_ref(), sync)?;
    if let (Some(spec), Some(field)) = (spec, field)
        && !spec.fields.iter().any(|known| known.name == field)
    {
        let names: Vec<&str> = spec.fields.iter().map(|known| known.name.as_str()).collect();
        return Err(Failed::config(format!(
            "sync {sync} has no field {field:?}; it has {}",
            names.join(", ")
        )));
    }
    let link = the_link(&store, sync, record)?;
    let told = tell(&store, spec, link, field)?;
    if global.json {
        print_json(&told);
    } else {
        print(&text(look, &told));
    }
    Ok(FINE)
}

fn spec<'c>(config: Option<&'c Config>, sync: &str) -> Result<Option<&'c SyncSpec>, Failed> {
    let Some(config) = config else { return Ok(None) };
    match config.syncs.iter().find(|spec| spec.name == sync) {
        Some(spec) => Ok(Some(spec)),
        None => {
            let names: Vec<&str> = config.syncs.iter().map(|spec| spec.name.as_str()).collect();
            Err(Failed::config(format!("there is no sync {sync:?}; the config has: {}", names.join(", "))))
        }
    }
}

fn the_link(store: &Store, sync: &str, record: &str) -> Result<i64, Failed> {
    let found = store.find_links(sync, record)?;
    match found.as_slice() {
        [link] => Ok(*link),
        [] => Err(Failed::new(unlinked(store, sync, record)?)),
        several => {
            let numbers: Vec<String> = several.iter().map(i64::to_string).collect();
            Err(Failed::new(format!(
                "{record:?} may mean any of the links {} of {sync}; name one by its number",
                numbers.join(", ")
            )))
        }
    }
}

/// Why there is no link of this record: what is known of it, or where to look.
fn unlinked(store: &Store, sync: &str, record: &str) -> Result<String, Failed> {
    let waiting: Vec<String> = store
        .view(View::Unlinked, Some(sync), u32::MAX)?
        .iter()
        .map(|row| (format!("{}:{}", cell(row, "side"), cell(row, "record")), row))
        .filter(|(name, row)| name == record || cell(row, "key") == record)
        .map(|(name, row)| {
            let why = cell(row, "why");
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            format!("{name} is not linked in {sync} ({}{why})", cell(row, "state"))
        })
        .collect();
    if !waiting.is_empty() {
        return Ok(waiting.join("\n"));
    }
    Ok(format!(
        "no link of {sync} is known by {record:?}. A record is named by SIDE:ID, by its key, or by its link \
         number; `tallysync links {sync}` lists them, `tallysync links {sync} --unlinked` what waits"
    ))
}

/// The documented JSON form.
fn tell(store: &Store, spec: Option<&SyncSpec>, link: i64, field: Option<&str>) -> Result<Json, Failed> {
    let row = store.link(link)?.ok_or_else(|| Failed::new(format!("link {link} is gone")))?;
    let members = links_of(store.linked(link)?);
    let members = members.first().and_then(|link| link.get("members")).cloned().unwrap_or(json!([]));
    let history = store.history(link, field)?;
    let mut names: Vec<String> = match spec {
        Some(spec) => spec.fields.iter().map(|field| field.name.clone()).collect(),
        None => Vec::new(),
    };
    for row in &history {
        let name = cell(row, "field");
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names.retain(|name| field.is_none_or(|wanted| wanted == name));
    let mut fields = Vec::new();
    for name in &names {
        fields.push(tell_field(store, spec, link, name, &members, &history)?);
    }
    let open = |rows: Vec<Row>| -> Vec<Json> {
        let columns = ["agreed", "candidates", "fields"];
        rows.into_iter().map(|row| Json::Object(opened(row, &columns))).collect()
    };
    let (conflicts, writes) = store.open_of_link(link)?;
    // Creates and deletes are about the record and no field.
    let whole: Vec<Json> = history
        .iter()
        .filter(|row| cell(row, "field").is_empty())
        .map(|row| Json::Object(opened(row.clone(), &["before", "after"])))
        .collect();
    Ok(json!({
        "sync": row.sync,
        "link": link,
        "title": row.title,
        "key": row.key,
        "state": row.state,
        "why": row.why,
        "members": members,
        "fields": fields,
        "record_history": whole,
        "conflicts": open(conflicts),
        "writes": open(writes),
    }))
}

fn tell_field(
    store: &Store,
    spec: Option<&SyncSpec>,
    link: i64,
    name: &str,
    members: &Json,
    history: &[Row],
) -> Result<Json, Failed> {
    let of_field: Vec<Row> = history
        .iter()
        .filter(|row| cell(row, "field") == name)
        .map(|row| opened(row.clone(), &["before", "after"]))
        .collect();
    let decided = of_field.iter().find(|row| cell(row, "event") == "agreed");
    let agreed = store.agreed(link)?.into_iter().find(|row| row.field == name).map(|row| {
        let of = |column: &str| decided.and_then(|row| row.get(column)).cloned().unwrap_or(Json::Null);
        json!({
            "value": row.value,
            "number": row.number,
            "origin": row.origin,
            "rule": of("reason"),
            "decided_at": of("at"),
        })
    });
    let bases = store.bases(link)?;
    let mut sides = Vec::new();
    for member in members.as_array().into_iter().flatten().filter_map(Json::as_object) {
        let side = cell(member, "side");
        let base = bases.iter().find(|base| base.side == side && base.field == name);
        let shown = spec.and_then(|spec| shown(spec, name, &side, member.get("values")));
        if base.is_none() && shown.is_none() {
            continue;
        }
        let changed =
            base.zip(shown.as_ref()).and_then(|(base, shown)| moved(spec, name, &base.value, shown));
        let (value, unreadable) = match shown {
            Some(Seen::Value(value)) => (value.stored(), None),
            Some(Seen::Unknown(reason)) => (Json::Null, Some(reason)),
            Some(Seen::Absent) => (Json::Null, Some("the record has no such path".to_owned())),
            None => (Json::Null, Some("the config has no such field on this side".to_owned())),
        };
        sides.push(json!({
            "side": side,
            "shows": value,
            "unreadable": unreadable,
            "base": base.map(|base| base.value.clone()),
            "stands_for": base.map(|base| base.stands),
            "changed": changed,
        }));
    }
    // What is agreed and accounted for stands above; the rest is what happened.
    let happened: Vec<Row> = of_field
        .into_iter()
        .filter(|row| !matches!(cell(row, "event").as_str(), "agreed" | "accounted"))
        .collect();
    Ok(json!({ "field": name, "agreed": agreed, "sides": sides, "history": happened }))
}

/// What a side shows for a field now, by the mirror; `None` where the side lacks the field.
fn shown(spec: &SyncSpec, field: &str, side: &str, document: Option<&Json>) -> Option<Seen> {
    let place = spec.sides.iter().position(|known| known.name == side)?;
    let field = spec.fields.iter().find(|known| known.name == field)?;
    let lens = field.lenses.get(place)?.as_ref()?;
    let values: Values =
        document?.as_object()?.iter().map(|(path, value)| (path.clone(), value.clone())).collect();
    Some(lens.read(&values))
}

/// Whether a side shows something else than its base, compared as the field's type compares; `None` where that
/// cannot be told.
fn moved(spec: Option<&SyncSpec>, field: &str, base: &Json, shown: &Seen) -> Option<bool> {
    let field = spec?.fields.iter().find(|known| known.name == field)?;
    let (Seen::Value(shown), Some(base)) = (shown, Value::from_stored(&field.kind, base)) else {
        return None;
    };
    Some(shown.key(&field.normalise) != base.key(&field.normalise))
}

fn text(look: Look, told: &Json) -> String {
    let Some(link) = told.as_object() else { return String::new() };
    let rows = |name: &str| -> Vec<&Row> {
        link.get(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object).collect()
    };
    let head = format!("{} {}", cell(link, "sync"), cell(link, "title"));
    let because = cell(link, "why");
    let because = if because.is_empty() { because } else { format!(": {because}") };
    let mut text =
        format!("{}  (link {}, {}{because})\n", look.heading(&head), cell(link, "link"), cell(link, "state"));
    for member in rows("members") {
        text.push_str(&format!(
            "  {}: {} {} in {}, {}\n",
            cell(member, "side"),
            cell(member, "entity"),
            cell(member, "record"),
            cell(member, "system"),
            cell(member, "record_state")
        ));
    }
    for field in rows("fields") {
        field_text(look, field, &mut text);
    }
    let whole = rows("record_history");
    if !whole.is_empty() {
        text.push_str(&format!("\n{}\n", look.heading("the record")));
        history_text(&whole, &mut text);
    }
    let conflicts: Vec<Row> = rows("conflicts").into_iter().cloned().collect();
    if !conflicts.is_empty() {
        text.push_str(&format!("\nOpen conflicts:\n{}", conflicts_text(look, &conflicts)));
    }
    let writes = rows("writes");
    if !writes.is_empty() {
        text.push_str("\nWaiting:\n");
    }
    for write in writes {
        let failure = cell(write, "failure");
        let why = if failure.is_empty() { cell(write, "reason") } else { failure };
        let what = format!("write {}: {} in {}", cell(write, "id"), cell(write, "op"), cell(write, "system"));
        text.push_str(&format!("  {what}, {}: {why}\n", cell(write, "state")));
    }
    text
}

fn field_text(look: Look, field: &Row, text: &mut String) {
    text.push_str(&format!("\n{}\n", look.heading(&cell(field, "field"))));
    let agreed = field.get("agreed").and_then(Json::as_object);
    let number = agreed.and_then(|agreed| agreed.get("number")).cloned();
    match agreed {
        Some(agreed) => {
            let value = agreed.get("value").map(value_text).unwrap_or_default();
            let origin = agreed.get("origin").map(value_text).unwrap_or_default();
            let from = if origin.is_empty() { String::new() } else { format!(" from {origin}") };
            text.push_str(&format!(
                "  agreed: {value}  (number {}{from}, {}: {})\n",
                cell(agreed, "number"),
                seconds(&cell(agreed, "decided_at")),
                cell(agreed, "rule")
            ));
        }
        None => text.push_str("  agreed: nothing yet\n"),
    }
    let sides = field.get("sides").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object);
    for side in sides {
        let shows = match side.get("unreadable").and_then(Json::as_str) {
            Some(reason) => format!("cannot be read: {reason}"),
            None => side.get("shows").map(value_text).unwrap_or_default(),
        };
        let (base, stands) = (side.get("base"), side.get("stands_for"));
        let note = if base.is_none_or(Json::is_null) {
            "not accounted for yet".to_owned()
        } else if side.get("changed") == Some(&Json::Bool(true)) {
            format!(
                "changed there since it was accounted for as {}",
                base.map(value_text).unwrap_or_default()
            )
        } else if stands == number.as_ref() {
            "stands for the agreed value".to_owned()
        } else {
            format!("behind: stands for number {}", stands.map(Json::to_string).unwrap_or_default())
        };
        text.push_str(&format!("  {}: {shows}  ({note})\n", cell(side, "side")));
    }
    let rows: Vec<&Row> = field
        .get("history")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_object)
        .collect();
    history_text(&rows, text);
}

fn history_text(rows: &[&Row], text: &mut String) {
    for row in rows {
        let before = row.get("before").map(value_text).unwrap_or_default();
        let after = row.get("after").map(value_text).unwrap_or_default();
        let values = match cell(row, "event").as_str() {
            _ if cell(row, "field").is_empty() => String::new(),
            // Only a write that took effect has displaced something.
            "confirmed" | "found" => format!(" {after}, displaced {before}"),
            _ => format!(" {before} -> {after}"),
        };
        let write = cell(row, "write");
        text.push_str(&format!(
            "    {}  {} on {} (write {write}){values}: {}\n",
            seconds(&cell(row, "at")),
            cell(row, "event"),
            cell(row, "side"),
            cell(row, "reason")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_of_a_field() {
        let told = json!({
            "sync": "orders", "link": 7, "title": "SO-1", "key": "SO-1", "state": "live", "why": null,
            "members": [{"side": "erp", "entity": "salesOrder", "record": "42", "system": "erp", "record_state": "present"}],
            "fields": [{
                "field": "amount",
                "agreed": {"value": 11.5, "number": 2, "origin": ["crm"], "rule": "only crm changed",
                           "decided_at": "2026-11-21T12:00:00.000000Z"},
                "sides": [
                    {"side": "erp", "shows": 11.5, "unreadable": null, "base": 11.5, "stands_for": 2, "changed": false},
                    {"side": "crm", "shows": 12, "unreadable": null, "base": 11.5, "stands_for": 2, "changed": true},
                    {"side": "tallyfy", "shows": 10, "unreadable": null, "base": 10, "stands_for": 1, "changed": false},
                ],
                "history": [{"at": "2026-11-21T12:00:01.000000Z", "field": "amount", "event": "confirmed", "side": "erp",
                             "write": 3, "before": 10, "after": 11.5, "reason": "read back"}],
            }],
            "record_history": [], "conflicts": [],
            "writes": [{"id": 4, "op": "update", "system": "tallyfy", "state": "parked", "failure": "refused", "reason": "r"}],
        });
        let expected = "\
orders SO-1  (link 7, live)
  erp: salesOrder 42 in erp, present

amount
  agreed: 11.5  (number 2 from crm, 2026-11-21 12:00:00Z: only crm changed)
  erp: 11.5  (stands for the agreed value)
  crm: 12  (changed there since it was accounted for as 11.5)
  tallyfy: 10  (behind: stands for number 1)
    2026-11-21 12:00:01Z  confirmed on erp (write 3) 11.5, displaced 10: read back

Waiting:
  write 4: update in tallyfy, parked: refused
";
        assert_eq!(text(Look::PLAIN, &told), expected);
    }
}
