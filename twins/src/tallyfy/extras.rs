//! Custom fields, the activity feed and search.
//!
//! This file must not know how processes move.

use serde_json::{Map, Value, json};

use super::answers::{Reply, item, not_found, page, put, refused, stamp, text};
use super::{Call, store};
use crate::kit::{Event, World};

/// `GET`, `PUT .../custom-fields` and `PATCH`, `DELETE .../custom-fields/{key}`.
///
/// `PUT` replaces all: keys that are not sent are cleared. A key that the organisation has not defined is refused.
pub(super) fn custom_fields(
    world: &mut World,
    call: &Call<'_>,
    entity: &str,
    id: &str,
    key: Option<&str>,
) -> Reply {
    let mut record = (*world.get(entity, id).ok_or_else(not_found)?).clone();
    let mut fields = record.get("custom_fields").and_then(Value::as_object).cloned().unwrap_or_default();
    let known = |key: &str| world.get("custom_field_keys", key).is_some();
    let unknown = |key: &str| refused(key, &format!("The custom field key {key} does not exist."));
    match (call.request.method.as_str(), key) {
        ("GET", None) => return Ok(item(200, Value::Object(fields))),
        ("PUT", None) => {
            let sent = call.body.get("custom_fields").unwrap_or(&call.body);
            fields = sent.as_object().cloned().unwrap_or_else(Map::new);
            if let Some(key) = fields.keys().find(|key| !known(key)) {
                return Err(unknown(key));
            }
        }
        ("PATCH", Some(key)) if known(key) => {
            fields.insert(key.to_owned(), call.body.get("value").cloned().unwrap_or_default());
        }
        ("DELETE", Some(key)) if known(key) => {
            fields.remove(key);
        }
        (_, Some(key)) => return Err(unknown(key)),
        _ => return Err(super::answers::no_endpoint()),
    }
    put(&mut record, "custom_fields", Value::Object(fields.clone()));
    put(&mut record, "last_updated", stamp(world.now()));
    store(world, &call.caller.actor, "custom-fields", entity, id, record);
    Ok(item(200, Value::Object(fields)))
}

/// `GET /activity-feeds`: all of the organisation for administrators, one's own otherwise.
pub(super) fn activity(world: &World, call: &Call<'_>) -> Reply {
    let day_of = |event: &Event| event.at.strftime("%Y-%m-%d").to_string();
    let mut rows: Vec<Value> = Vec::new();
    for event in world.history().iter().rev() {
        let Some(kind) = entity_type(&event.entity) else { continue };
        let verb = verb(event);
        let fits = (call.caller.admin || event.actor == call.caller.actor)
            && call.query("entity_type").is_none_or(|asked| asked == kind)
            && call.query("entity_id").is_none_or(|asked| asked == event.id)
            && call.query("verb").is_none_or(|asked| asked == verb)
            && call.query("actor_email").is_none_or(|asked| asked == event.actor)
            && call.query("created_after").is_none_or(|day| day_of(event) >= day)
            && call.query("created_before").is_none_or(|day| day_of(event) <= day)
            && call.query("type").is_none_or(|asked| asked == feed_type(kind));
        if fits {
            rows.push(json!({
                "id": event.seq, "verb": [verb], "type": [feed_type(kind)], "source": ["Member"],
                "actor_id": [event.actor], "auditable_type": [kind], "auditable_id": [event.id],
                "description": [format!("{verb} {kind}")], "field": null, "old_value": null,
                "created_at": stamp(event.at),
            }));
        }
    }
    if call.query("sort").as_deref() == Some("created_at") {
        rows.reverse();
    }
    let mut request = call.request.clone();
    if call.query("per_page").is_none() {
        request.raw_query = format!("{}&per_page=20", request.raw_query);
    }
    Ok(page(&request, rows, None))
}

fn entity_type(entity: &str) -> Option<&'static str> {
    match entity {
        "runs" => Some("run"),
        "tasks" => Some("task"),
        "checklists" => Some("checklist"),
        "steps" => Some("step"),
        "threads" => Some("thread"),
        _ => None,
    }
}

fn feed_type(kind: &str) -> &'static str {
    match kind {
        "run" => "Process",
        "task" => "Task",
        "checklist" => "Blueprint",
        "step" => "Step",
        _ => "Comment",
    }
}

fn verb(event: &Event) -> &'static str {
    match event.kind.as_str() {
        "create" | "launch" => "created",
        "complete" => "completed",
        "reopen" => "re-opened",
        "archive" => "archived",
        "restore" => "unarchived",
        "purge" | "delete" => "deleted",
        "comment" => "commented",
        "problem" => "issue-reported",
        "resolve" => "issue-resolved",
        _ => "updated",
    }
}

/// `GET /search`: hits under a key per kind; task hits lack their run.
pub(super) fn search(world: &World, call: &Call<'_>) -> Reply {
    let wanted = call.query("search").unwrap_or_default().to_lowercase();
    let mut answer = Map::new();
    for kind in call.query("on").unwrap_or_default().split(',') {
        let (entity, name) = match kind {
            "process" => ("runs", "name"),
            "task" => ("tasks", "title"),
            "blueprint" => ("checklists", "title"),
            "step" => ("steps", "title"),
            _ => continue,
        };
        let records = world.list(entity).into_iter().map(|(_, record)| record);
        let hits = records.filter(|record| !super::answers::has(record, "archived_at"));
        let hits = hits.filter(|record| text(record, name).to_lowercase().contains(&wanted));
        let hits: Vec<Value> = hits.map(|hit| json!({"id": hit.get("id"), name: hit.get(name)})).collect();
        answer.insert(kind.to_owned(), page(call.request, hits, None).body_json());
    }
    Ok(crate::kit::Answer::json(200, &Value::Object(answer)))
}
