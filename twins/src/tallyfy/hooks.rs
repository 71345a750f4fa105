//! Webhooks: what is sent when, and the watchers of the organisation.
//!
//! One attempt, no signature, no order: as documented. Values may differ in form from what REST answers.

use serde_json::{Map, Value, json};

use super::answers::{Reply, forbidden, item, not_found, page, put, refused, text};
use super::render::{self, Family, With};
use super::{Call, store};
use crate::kit::{Answer, World};

/// Sends the webhooks for something that happened, and notes it in the history under the entity `events`.
///
/// A step's own address replaces the template's for that step; watchers hear of everything.
pub(super) fn fire(world: &mut World, actor: &str, event: &str, run: &str, task: &str) {
    let task_record = world.get_any("tasks", task);
    let run_record = world.get_any("runs", run);
    let step = task_record.as_deref().and_then(|task| world.get_any("steps", text(task, "step_id")));
    let template = run_record.as_deref().and_then(|run| render::template(world, run));
    let of =
        |record: Option<&Value>| record.map(|record| text(record, "webhook").to_owned()).unwrap_or_default();
    let candidates = match event {
        "task.completed" => vec![of(task_record.as_deref()), of(step.as_deref()), of(template.as_deref())],
        "process.launched" | "process.completed" => vec![of(template.as_deref())],
        // The older levels know no other events.
        _ => Vec::new(),
    };
    let address = candidates.into_iter().find(|address| !address.is_empty());
    let after = json!({"event": event, "run": run, "task": task, "webhook": address});
    world.note(actor, event, "events", if task.is_empty() { run } else { task }, Value::Null, after);
    let organization =
        world.list_any("organizations").into_iter().next().map(|(id, _)| id).unwrap_or_default();
    let headers = vec![("X-Tallyfy-orgID".to_owned(), organization.clone())];
    if let (Some(address), Some(run_record)) = (address, &run_record) {
        let body = match &task_record {
            Some(task) => task_body(world, &organization, run_record, task),
            None => process_body(world, &organization, run_record),
        };
        world.send(&address, headers.clone(), body);
    }
    let subject = if task.is_empty() { ("process", run) } else { ("task", task) };
    for (_, watcher) in world.list_any("watchers") {
        let body = json!({"event": event, subject.0: {"id": subject.1}});
        world.send(text(&watcher, "webhook"), headers.clone(), body);
    }
}

fn task_body(world: &World, organization: &str, run: &Value, task: &Value) -> Value {
    let template = render::template(world, run);
    let mut fields = by_alias(&render::kickoff_fields(world, run));
    let family = Family::of(world);
    let tasks = family.tasks(text(run, "id"));
    for sibling in &tasks {
        fields.extend(by_alias(&render::form_fields(world, sibling)));
    }
    // By position here, unlike over REST; an empty list when there is none.
    let next = tasks.iter().find(|task| !render::is_completed(task) && !render::is_hidden(task));
    let mut this_task = task.clone();
    put(&mut this_task, "captures", captures(&render::form_fields(world, task)));
    put(&mut this_task, "completed_by", person(world, task.get("completer_id")));
    put(&mut this_task, "assets", json!([]));
    json!({
        "this_task": this_task, "launcher": person(world, run.get("started_by")),
        "completer": person(world, task.get("completer_id")), "process-tasks": task_ids(&tasks),
        "form-fields": fields, "guest-links": {},
        "template": {"id": run.get("checklist_id"), "title": run.get("checklist_title"),
                     "alias": template.as_deref().map(|template| text(template, "alias"))},
        "process": process(world, &family, organization, run),
        "next_task": next.map_or_else(|| json!([]), |next| json!({"id": next.get("id"), "title": next.get("title")})),
    })
}

fn process_body(world: &World, organization: &str, run: &Value) -> Value {
    let family = Family::of(world);
    let mut body = process(world, &family, organization, run);
    for (key, value) in [
        ("process-tasks", task_ids(&family.tasks(text(run, "id")))),
        ("ko-form-fields", Value::Object(by_alias(&render::kickoff_fields(world, run)))),
        ("launcher", person(world, run.get("started_by"))),
        ("guest-links", json!({})),
    ] {
        put(&mut body, key, value);
    }
    body
}

/// A run as webhooks show it: progress is a number, the values keep their ids as keys.
fn process(world: &World, family: &Family<'_>, organization: &str, run: &Value) -> Value {
    let mut shown = render::run(world, family, run, &With::default());
    let percent = shown.pointer("/progress/percent").cloned().unwrap_or_default();
    let address = format!("https://go.tallyfy.com/tracker/{}", text(run, "id"));
    for (key, value) in [
        ("progress", percent),
        ("organization_id", json!(organization)),
        ("ClientURL", json!(address)),
        ("process_forms", json!([])),
        ("tags", json!(render::tags(world, text(run, "id")))),
    ] {
        put(&mut shown, key, value);
    }
    shown
}

fn by_alias(fields: &[Value]) -> Map<String, Value> {
    let answered = fields.iter().filter(|field| !field.get("field_value").is_none_or(Value::is_null));
    answered
        .map(|field| (text(field, "alias").to_owned(), field.get("field_value").cloned().unwrap_or_default()))
        .collect()
}

fn captures(fields: &[Value]) -> Value {
    if fields.is_empty() {
        return json!([]);
    }
    let shown = fields.iter().map(|field| {
        let capture = json!({"alias": field.get("alias"), "label": field.get("label"), "value": field.get("field_value")});
        (text(field, "id").to_owned(), capture)
    });
    Value::Object(shown.collect())
}

fn task_ids(tasks: &[std::sync::Arc<Value>]) -> Value {
    let pairs = tasks.iter().map(|task| {
        let alias = if text(task, "alias").is_empty() { text(task, "id") } else { text(task, "alias") };
        (alias.to_owned(), json!(text(task, "id")))
    });
    Value::Object(pairs.collect())
}

/// A person as webhooks show one: the id is a text here.
fn person(world: &World, id: Option<&Value>) -> Value {
    let id = id.map(Value::to_string).unwrap_or_default();
    match world.get_any("users", &id) {
        Some(user) => json!({"id": id, "email": user.get("email"), "full_name": user.get("full_name")}),
        None => json!({}),
    }
}

/// `POST /users/{me}/add-watcher`: administrators only.
pub(super) fn add_watcher(world: &mut World, call: &Call<'_>) -> Reply {
    if !call.caller.admin {
        return Err(forbidden("You are not allowed to perform this action."));
    }
    if text(&call.body, "object_type") != "organization" || text(&call.body, "notification_type") != "webhook"
    {
        return Err(refused("object_type", "The selected object type is invalid."));
    }
    if text(&call.body, "webhook").is_empty() {
        return Err(refused("webhook", "The webhook field is required."));
    }
    let id = world.next_hex32();
    let mut watcher = call.body.clone();
    put(&mut watcher, "id", json!(id));
    put(&mut watcher, "notification", json!("webhook"));
    let watcher = store(world, &call.caller.actor, "create", "watchers", &id, watcher);
    Ok(item(201, (*watcher).clone()))
}

/// `GET /watchers`.
pub(super) fn watchers(world: &World, call: &Call<'_>) -> Reply {
    let mut rows: Vec<Value> =
        world.list("watchers").into_iter().map(|(_, watcher)| (*watcher).clone()).collect();
    rows.retain(|watcher| {
        call.query("notification").is_none_or(|asked| text(watcher, "notification") == asked)
    });
    Ok(page(call.request, rows, None))
}

/// `DELETE /remove-watcher/{id}`.
pub(super) fn remove_watcher(world: &mut World, call: &Call<'_>, id: &str) -> Reply {
    if !call.caller.admin {
        return Err(forbidden("You are not allowed to perform this action."));
    }
    world.remove(&call.caller.actor, "delete", "watchers", id).ok_or_else(not_found)?;
    Ok(Answer::empty(204))
}
