//! Comments and issues on tasks, processes and templates.
//!
//! An open issue is a thread with the label `problem` that nothing has resolved.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::answers::{Reply, has, item, not_found, put, read_time, refused, stamp, text};
use super::{Call, setting_number, store};
use crate::kit::{Answer, World};

/// What a thread belongs to: the word of the API, the entity and the id.
pub(super) struct Subject<'a> {
    pub(super) kind: &'static str,
    pub(super) entity: &'static str,
    pub(super) id: &'a str,
}

impl<'a> Subject<'a> {
    /// The subject behind a part of a path.
    pub(super) fn of(part: &str, id: &'a str) -> Option<Subject<'a>> {
        match part {
            "tasks" => Some(Subject { kind: "Task", entity: "tasks", id }),
            "runs" => Some(Subject { kind: "Run", entity: "runs", id }),
            "checklists" => Some(Subject { kind: "Checklist", entity: "checklists", id }),
            _ => None,
        }
    }
}

/// `POST .../comment` and `.../bot-comment`.
pub(super) fn comment(world: &mut World, call: &Call<'_>, subject: &Subject<'_>) -> Reply {
    let label = match text(&call.body, "label") {
        "" => "comment",
        label => label,
    };
    let thread = add(world, call, subject, label)?;
    Ok(item(201, thread))
}

/// `POST .../problem`: an issue on a completed task reopens it.
pub(super) fn problem(world: &mut World, call: &Call<'_>, subject: &Subject<'_>) -> Reply {
    let thread = add(world, call, subject, "problem")?;
    let task = world.get(subject.entity, subject.id).filter(|_| subject.kind == "Task");
    if task.is_some_and(|task| has(&task, "completed_at")) {
        super::tasks::reopen(world, &call.caller.actor, None, subject.id)?;
    }
    super::fire(world, &call.caller.actor, "task.issue_raised", "", subject.id);
    Ok(item(201, thread))
}

/// `POST .../resolved-threads`.
pub(super) fn resolve(world: &mut World, call: &Call<'_>, subject: &Subject<'_>) -> Reply {
    let id = text(&call.body, "thread_id").to_owned();
    let thread = world.get("threads", &id).filter(|thread| text(thread, "subject_id") == subject.id);
    let thread = thread.ok_or_else(not_found)?;
    let answer = add(world, call, subject, "resolve")?;
    let mut resolved = (*thread).clone();
    put(&mut resolved, "resolve_id", answer.get("id").cloned().unwrap_or_default());
    put(&mut resolved, "updated_at", stamp(world.now()));
    store(world, &call.caller.actor, "resolve", "threads", &id, resolved);
    Ok(item(201, answer))
}

/// `PUT .../comment/{id}`.
pub(super) fn edit(world: &mut World, call: &Call<'_>, subject: &Subject<'_>, id: &str) -> Reply {
    let mut thread = (*find(world, subject, id)?).clone();
    for key in ["content", "state", "label"] {
        if let Some(value) = call.body.get(key) {
            put(&mut thread, key, value.clone());
        }
    }
    put(&mut thread, "updated_at", stamp(world.now()));
    let thread = store(world, &call.caller.actor, "update", "threads", id, thread);
    Ok(item(200, (*thread).clone()))
}

/// `DELETE .../comment/{id}`.
pub(super) fn delete(world: &mut World, call: &Call<'_>, subject: &Subject<'_>, id: &str) -> Reply {
    let mut thread = (*find(world, subject, id)?).clone();
    put(&mut thread, "archived_at", stamp(world.now()));
    store(world, &call.caller.actor, "delete", "threads", id, thread);
    Ok(Answer::empty(204))
}

fn find(world: &World, subject: &Subject<'_>, id: &str) -> Result<std::sync::Arc<Value>, Answer> {
    let thread = world.get("threads", id).filter(|thread| text(thread, "subject_id") == subject.id);
    thread.filter(|thread| !has(thread, "archived_at")).ok_or_else(not_found)
}

fn add(world: &mut World, call: &Call<'_>, subject: &Subject<'_>, label: &str) -> Result<Value, Answer> {
    world
        .get(subject.entity, subject.id)
        .filter(|record| !has(record, "archived_at"))
        .ok_or_else(not_found)?;
    let content = text(&call.body, "content");
    if content.is_empty() {
        return Err(refused("content", "The content field is required."));
    }
    let limit = setting_number(world, "comments_per_hour");
    let hour_ago = world.now().checked_sub(SignedDuration::from_hours(1)).unwrap_or_else(|_| world.now());
    let threads = world.list_any("threads");
    let recent = threads
        .iter()
        .filter(|(_, thread)| read_time(text(thread, "created_at")).is_some_and(|at| at > hour_ago));
    if recent.count() >= limit {
        let body = json!({"message": "Too many comments. Try again later.", "code": "RATE_LIMIT_EXCEEDED"});
        return Err(Answer::json(429, &body).with_header("retry-after", "3600"));
    }
    let state = match text(&call.body, "state") {
        "" => "hide-for-guests",
        state => state,
    };
    let id = world.next_hex32();
    let now = stamp(world.now());
    let task = if subject.kind == "Task" { json!(subject.id) } else { Value::Null };
    let thread = json!({
        "id": id, "content": content, "author_id": call.caller.user, "author_type": "user", "task_id": task,
        "subject_type": subject.kind, "subject_id": subject.id, "label": label, "state": state, "created_at": now,
        "updated_at": now, "archived_at": null, "resolve_id": null, "sent_to": [],
        "number": super::next_increment(world, "threads"),
    });
    let mut thread = (*store(world, &call.caller.actor, label, "threads", &id, thread)).clone();
    if let Value::Object(map) = &mut thread {
        map.remove("number");
    }
    Ok(thread)
}
