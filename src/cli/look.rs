//! `links`, `changes`, `writes`, `log`, `conflicts`: rows of the state file, for people or as JSON. Nothing is
//! computed from them, and nothing is written.

use serde_json::{Value as Json, json};

use super::args::Global;
use super::output::{Look, Row, cell, opened, print, print_json, time_cell, value_text};
use super::place::looking;
use super::{FINE, Failed, Outcome};
use crate::store::read::View;

fn rows(global: &Global, view: View, subject: Option<&str>, limit: u32) -> Result<Vec<Row>, Failed> {
    let (store, config) = looking(global)?;
    let known = config.map(|config| {
        let mut names: Vec<String> = config.syncs.iter().map(|sync| sync.name.clone()).collect();
        if view == View::Changes {
            names = config.systems.into_keys().collect();
        }
        names
    });
    let found = store.view(view, subject, limit)?;
    if let (Some(name), Some(known), true) = (subject, known, found.is_empty())
        && !known.iter().any(|other| other == name)
    {
        let what = if view == View::Changes { "system" } else { "sync" };
        let text = format!("there is no {what} {name:?}; the config has: {}", known.join(", "));
        return Err(Failed::config(text));
    }
    Ok(found)
}

fn show(global: &Global, json: impl FnOnce() -> Json, text: impl FnOnce() -> String) -> Outcome {
    if global.json {
        print_json(&json());
    } else {
        print(&text());
    }
    Ok(FINE)
}

/// Rows as a JSON list, with the columns that hold JSON opened.
fn list(rows: Vec<Row>, columns: &[&str]) -> Json {
    rows.into_iter().map(|row| Json::Object(opened(row, columns))).collect()
}

fn table(
    look: Look,
    rows: &[Row],
    head: &[&str],
    nothing: &str,
    line: impl Fn(&Row) -> Vec<String>,
) -> String {
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    look.table(head, rows.iter().map(line))
}

/// `links [SYNC]`.
pub fn links(global: &Global, look: Look, sync: Option<&str>, limit: u32) -> Outcome {
    let links = links_of(rows(global, View::Links, sync, limit)?);
    show(global, || Json::Array(links.clone()), || links_text(look, &links))
}

/// Member rows -> one document per link.
pub fn links_of(rows: Vec<Row>) -> Vec<Json> {
    let mut links: Vec<Json> = Vec::new();
    for row in rows {
        let row = opened(row, &["document"]);
        let take = |column: &str| row.get(column).cloned().unwrap_or(Json::Null);
        let member = json!({
            "side": take("side"),
            "system": take("system"),
            "entity": take("entity"),
            "record": take("record"),
            "record_state": take("record_state"),
            "joined_at": take("joined_at"),
            "values": take("document"),
        });
        let same = links.last_mut().filter(|link| link.get("id") == row.get("id"));
        match same.and_then(|link| link.get_mut("members")).and_then(Json::as_array_mut) {
            Some(members) => members.push(member),
            None => links.push(json!({
                "id": take("id"),
                "sync": take("sync"),
                "title": take("title"),
                "key": take("key"),
                "state": take("state"),
                "members": [member],
            })),
        }
    }
    links
}

fn links_text(look: Look, links: &[Json]) -> String {
    if links.is_empty() {
        return "no records are linked yet; `tallysync links --unlinked` lists those that wait\n".to_owned();
    }
    let lines = links.iter().filter_map(Json::as_object).map(|link| {
        let members = link.get("members").and_then(Json::as_array).into_iter().flatten();
        let members: Vec<String> = members
            .filter_map(Json::as_object)
            .map(|member| {
                let state = cell(member, "record_state");
                let state = if state == "present" { String::new() } else { format!(" ({state})") };
                format!("{}:{}{state}", cell(member, "side"), cell(member, "record"))
            })
            .collect();
        vec![
            cell(link, "id"),
            cell(link, "sync"),
            cell(link, "title"),
            cell(link, "state"),
            members.join("  "),
        ]
    });
    look.table(&["link", "sync", "title", "state", "records"], lines)
}

/// `links --unlinked`.
pub fn unlinked(global: &Global, look: Look, sync: Option<&str>, limit: u32) -> Outcome {
    let rows = rows(global, View::Unlinked, sync, limit)?;
    show(
        global,
        || list(rows.clone(), &[]),
        || {
            let head = ["sync", "record", "key", "state", "why"];
            table(look, &rows, &head, "every record that takes part is linked", |row| {
                let record = format!("{}:{}", cell(row, "side"), cell(row, "record"));
                vec![cell(row, "sync"), record, cell(row, "key"), cell(row, "state"), cell(row, "why")]
            })
        },
    )
}

/// `changes [SYSTEM]`.
pub fn changes(global: &Global, look: Look, system: Option<&str>, limit: u32) -> Outcome {
    let rows = rows(global, View::Changes, system, limit)?;
    show(
        global,
        || list(rows.clone(), &["fields"]),
        || {
            let head = ["seq", "at", "record", "kind", "cause", "fields"];
            table(look, &rows, &head, "nothing was observed yet", |row| {
                let record =
                    format!("{} {} {}", cell(row, "system"), cell(row, "entity"), cell(row, "record"));
                vec![
                    cell(row, "seq"),
                    time_cell(row, "at"),
                    record,
                    cell(row, "kind"),
                    cell(row, "cause"),
                    differences(row),
                ]
            })
        },
    )
}

/// `path: before -> after` of a change.
fn differences(row: &Row) -> String {
    let row = opened(row.clone(), &["fields"]);
    let Some(fields) = row.get("fields").and_then(Json::as_object) else { return String::new() };
    let parts: Vec<String> = fields
        .iter()
        .map(|(path, pair)| {
            let at = |place: usize| pair.get(place).map(value_text).unwrap_or_default();
            format!("{path}: {} -> {}", at(0), at(1))
        })
        .collect();
    parts.join("; ")
}

/// `writes [SYNC] [--open]`.
pub fn writes(global: &Global, look: Look, sync: Option<&str>, open: bool, limit: u32) -> Outcome {
    let (view, nothing) = if open {
        (View::OpenWrites, "nothing waits to be written")
    } else {
        (View::Writes, "nothing was written yet")
    };
    let rows = rows(global, view, sync, limit)?;
    show(
        global,
        || list(rows.clone(), &["fields"]),
        || {
            let head = ["write", "sync", "title", "what", "state", "fields", "why"];
            table(look, &rows, &head, nothing, |row| {
                let what = [cell(row, "op"), cell(row, "system"), cell(row, "entity"), cell(row, "record")];
                let batch = cell(row, "batch");
                let state = cell(row, "state");
                let held = if state == "held" && !batch.is_empty() {
                    format!("{state} (batch {batch})")
                } else {
                    state
                };
                let why = waits_for(row);
                let what = what.join(" ").trim_end().to_owned();
                vec![cell(row, "id"), cell(row, "sync"), cell(row, "title"), what, held, sent(row), why]
            })
        },
    )
}

/// Why a write stands where it stands: what holds it, what went wrong with it, or else why it was made. What
/// went wrong on the way of a write that is done is history.
fn waits_for(row: &Row) -> String {
    let of = |column: &str| Some(cell(row, column)).filter(|text| !text.is_empty());
    let failure = of("failure").filter(|_| cell(row, "state") != "done");
    of("held_why").or(failure).unwrap_or_else(|| cell(row, "reason"))
}

/// `field: before -> after` of a write.
fn sent(row: &Row) -> String {
    let row = opened(row.clone(), &["fields"]);
    let Some(fields) = row.get("fields").and_then(Json::as_object) else { return String::new() };
    let create = cell(&row, "op") == "create";
    let parts: Vec<String> = fields
        .iter()
        .map(|(name, change)| {
            let of = |key: &str| change.get(key).map(value_text).unwrap_or_default();
            if create {
                format!("{name}: {}", of("after"))
            } else {
                format!("{name}: {} -> {}", of("before"), of("after"))
            }
        })
        .collect();
    parts.join("; ")
}

/// `log [SYNC]`.
pub fn log(global: &Global, look: Look, sync: Option<&str>, limit: u32) -> Outcome {
    let rows = rows(global, View::Log, sync, limit)?;
    show(
        global,
        || list(rows.clone(), &["before", "after"]),
        || {
            let head = ["at", "write", "event", "what", "field", "before", "after", "reason"];
            table(look, &rows, &head, "nothing was written yet", |row| {
                let what = [cell(row, "op"), cell(row, "system"), cell(row, "entity"), cell(row, "record")];
                let open = opened(row.clone(), &["before", "after"]);
                let value = |name: &str| {
                    open.get(name).filter(|_| row.get("field") != Some(&Json::Null)).map(value_text)
                };
                vec![
                    time_cell(row, "at"),
                    cell(row, "write"),
                    cell(row, "event"),
                    what.join(" ").trim_end().to_owned(),
                    cell(row, "field"),
                    value("before").unwrap_or_default(),
                    value("after").unwrap_or_default(),
                    cell(row, "reason"),
                ]
            })
        },
    )
}

/// `conflicts [SYNC]`.
pub fn conflicts(global: &Global, look: Look, sync: Option<&str>, limit: u32) -> Outcome {
    let rows = rows(global, View::Conflicts, sync, limit)?;
    show(global, || list(rows.clone(), &["agreed", "candidates"]), || conflicts_text(look, &rows))
}

/// Conflicts, one block each: what every side says, and the command that decides.
pub fn conflicts_text(look: Look, rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no conflict is open\n".to_owned();
    }
    let mut text = String::new();
    for row in rows {
        let row = opened(row.clone(), &["agreed", "candidates"]);
        let head = format!(
            "{} {} {}: {}",
            cell(&row, "id"),
            cell(&row, "sync"),
            cell(&row, "title"),
            cell(&row, "field")
        );
        text.push_str(&format!("{}  (since {})\n", look.heading(&head), time_cell(&row, "opened_at")));
        text.push_str(&format!("  {}\n", cell(&row, "why")));
        if let Some(agreed) = row.get("agreed").filter(|agreed| !agreed.is_null()) {
            text.push_str(&format!("  agreed before: {}\n", values_text(agreed)));
        }
        let mut sides = Vec::new();
        for candidate in row.get("candidates").and_then(Json::as_array).into_iter().flatten() {
            let names: Vec<&str> = candidate
                .get("sides")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .collect();
            let values = candidate.get("values").map(values_text).unwrap_or_default();
            text.push_str(&format!("  {}: {values}\n", names.join(" and ")));
            sides.extend(names.first().map(|name| (*name).to_owned()));
        }
        let side = if sides.is_empty() { "SIDE".to_owned() } else { sides.join("|") };
        let choice = if cell(&row, "kind") == "delete" {
            "--value delete|keep".to_owned()
        } else {
            format!("--take {side}")
        };
        text.push_str(&format!("  decide with: tallysync resolve {} {choice}\n", cell(&row, "id")));
    }
    text
}

/// The values of a conflict: alone where there is one field, named where there are several.
fn values_text(values: &Json) -> String {
    match values.as_object() {
        Some(fields) if fields.len() == 1 => fields.values().map(value_text).collect(),
        Some(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name} {}", value_text(value))).collect();
            parts.join(", ")
        }
        None => value_text(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_conflict_shows_every_side_and_the_command() {
        let conflict = row(
            r#"{"id":3,"sync":"orders","title":"SO-1","field":"amount","kind":"edit","agreed":"{\"amount\":10.00}",
                "candidates":"[{\"sides\":[\"erp\"],\"values\":{\"amount\":11.50}},{\"sides\":[\"crm\"],\"values\":{\"amount\":null}}]",
                "why":"two sides changed it","opened_at":"2026-11-21T12:00:00.000000Z"}"#,
        );
        assert_eq!(
            conflicts_text(Look::PLAIN, &[conflict]),
            "3 orders SO-1: amount  (since 2026-11-21 12:00:00Z)\n  two sides changed it\n  agreed before: 10.00\n  \
             erp: 11.50\n  crm: (blank)\n  decide with: tallysync resolve 3 --take erp|crm\n"
        );
    }

    #[test]
    fn a_delete_conflict_says_its_own_choice() {
        let conflict = row(
            r#"{"id":4,"sync":"o","title":"t","field":"delete","kind":"delete","candidates":"[]","why":"w"}"#,
        );
        assert!(conflicts_text(Look::PLAIN, &[conflict]).contains("resolve 4 --value delete|keep\n"));
    }

    #[test]
    fn members_are_gathered_under_their_link() {
        let member = |id: i64, side: &str| {
            row(&format!(
                r#"{{"id":{id},"sync":"o","title":"t","key":"k","state":"live","side":"{side}","system":"{side}",
                    "entity":"E","record":"{id}{side}","record_state":"present","document":"{{\"a\":1.0}}","joined_at":"x"}}"#
            ))
        };
        let links = links_of(vec![member(1, "a"), member(1, "b"), member(2, "a")]);
        assert_eq!(links.len(), 2);
        assert_eq!(links[0]["members"].as_array().map(Vec::len), Some(2));
        assert_eq!(links[0]["members"][1]["values"].to_string(), r#"{"a":1.0}"#);
        assert_eq!(
            links_text(Look::PLAIN, &links),
            "LINK  SYNC  TITLE  STATE  RECORDS\n1     o     t      live   a:1a  b:1b\n2     o     t      live   a:2a\n"
        );
    }

    #[test]
    fn the_reason_of_a_write_is_the_one_that_counts_now() {
        let parked =
            row(r#"{"state":"parked","reason":"changed on erp","failure":"locked","held_why":null}"#);
        assert_eq!(waits_for(&parked), "locked");
        let done = row(r#"{"state":"done","reason":"changed on erp","failure":"the answer was lost"}"#);
        assert_eq!(waits_for(&done), "changed on erp");
        let held =
            row(r#"{"state":"held","reason":"changed on erp","failure":null,"held_why":"31 % in one plan"}"#);
        assert_eq!(waits_for(&held), "31 % in one plan");
    }

    #[test]
    fn what_is_sent_reads_as_before_and_after() {
        let update =
            row(r#"{"op":"update","fields":"{\"amount\":{\"before\":1.10,\"after\":2.20,\"number\":3}}"}"#);
        assert_eq!(sent(&update), "amount: 1.10 -> 2.20");
        let create =
            row(r#"{"op":"create","fields":"{\"amount\":{\"before\":null,\"after\":2.20,\"number\":3}}"}"#);
        assert_eq!(sent(&create), "amount: 2.20");
        let change = row(r#"{"fields":"{\"memo\":[null,\"x\"]}"}"#);
        assert_eq!(differences(&change), "memo: (blank) -> x");
    }
}
