//! Tasks: list, get, create one-off, update, complete, reopen, archive; and the rules that show and hide them.
//!
//! This file must not know templates beyond the steps that tasks were made from.

use serde_json::{Value, json};

use super::answers::{
    Reply, has, is_id, item, list, not_found, page_of, put, read_time, refused, refused_all, stamp, text,
    to_working_day, truthy,
};
use super::render::{self, Family, With};
use super::values::{accept, missing};
use super::{Call, setting, store};
use crate::kit::{Answer, World};

/// Which tasks a list is about.
pub(super) enum Scope<'a> {
    /// All of the organisation.
    Organization,
    /// Those of a run.
    Run(&'a str),
    /// Those that a user owns; only active ones unless the request says otherwise.
    User(u64),
}

/// `GET /tasks`, `GET /runs/{run}/tasks`, `GET /me/tasks`, `GET /users/{id}/tasks`.
pub(super) fn index(world: &World, call: &Call<'_>, scope: &Scope<'_>) -> Reply {
    if let Scope::Run(run) = scope {
        world.get("runs", run).ok_or_else(not_found)?;
    }
    let family = Family::of(world);
    let with = With::of(call.request);
    let mut rows: Vec<_> = world.list("tasks").into_iter().map(|(_, task)| task).collect();
    rows.retain(|task| in_scope(scope, task) && wanted(world, call, scope, &family, task));
    let sort = call.query("sort").unwrap_or_default();
    rows.sort_by_key(|task| std::cmp::Reverse(task.get("increment_id").and_then(Value::as_u64)));
    match (sort.trim_start_matches('-'), scope) {
        ("deadline", _) => rows.sort_by_key(|task| text(task, "deadline").to_owned()),
        ("completed_newest", _) => {
            rows.sort_by_key(|task| std::cmp::Reverse(text(task, "completed_at").to_owned()))
        }
        ("newest", _) => {}
        (_, Scope::Run(_)) => rows.sort_by_key(|task| task.get("position").and_then(Value::as_u64)),
        _ => {}
    }
    if sort.starts_with('-') {
        rows.reverse();
    }
    Ok(page_of(call.request, &rows, None, |task| render::task(world, &family, task, &with)))
}

fn in_scope(scope: &Scope<'_>, task: &Value) -> bool {
    match scope {
        Scope::Organization => true,
        Scope::Run(run) => text(task, "run_id") == *run,
        Scope::User(user) => {
            task.get("owners").is_some_and(|owners| list(owners, "users").contains(&json!(user)))
        }
    }
}

fn wanted(world: &World, call: &Call<'_>, scope: &Scope<'_>, family: &Family<'_>, task: &Value) -> bool {
    let archived = has(task, "archived_at");
    let archive = match call.query("archived").as_deref() {
        Some("only") => archived,
        Some("true" | "1") => true,
        // The tasks of one run are listed with their run, archived or not.
        _ => !archived || matches!(scope, Scope::Run(_)),
    };
    let status = match (call.query("status"), scope) {
        (Some(status), _) => has_status(world, family, task, &status),
        (None, Scope::User(_)) => has_status(world, family, task, "active"),
        (None, _) => true,
    };
    let owned = |bucket: &str| {
        call.query(bucket).is_none_or(|asked| {
            let owners = task.get("owners").map(|owners| list(owners, bucket)).unwrap_or_default();
            asked.split(',').any(|one| owners.iter().any(|owner| is_id(owner, one)))
        })
    };
    let unassigned = || {
        let owners = task.get("owners").cloned().unwrap_or_default();
        ["users", "guests", "groups"].iter().all(|bucket| list(&owners, bucket).is_empty())
    };
    let day = |name: &str| call.query(name);
    let deadline = text(task, "deadline").get(..10).unwrap_or_default();
    let created = text(task, "created_at").get(..10).unwrap_or_default();
    archive
        && status
        && ["users", "guests", "groups"].iter().all(|bucket| owned(bucket))
        && call.query("owners").is_none_or(|asked| {
            let users = task.get("owners").map(|owners| list(owners, "users")).unwrap_or_default();
            asked.split(',').any(|one| users.iter().any(|user| is_id(user, one)))
        })
        && (call.query("unassigned").as_deref() != Some("true") || unassigned())
        && day("deadline_before").is_none_or(|limit| deadline < limit.as_str())
        && day("deadline_after").is_none_or(|limit| deadline > limit.as_str())
        && day("deadline_on").is_none_or(|limit| deadline == limit)
        && day("deadline_start_range").is_none_or(|limit| deadline >= limit.as_str())
        && day("deadline_end_range").is_none_or(|limit| deadline <= limit.as_str())
        && day("created").is_none_or(|range| {
            let (from, to) = range.split_once(':').unwrap_or((&range, &range));
            created >= from && created <= to
        })
        && call.query("q").is_none_or(|q| text(task, "title").to_lowercase().contains(&q.to_lowercase()))
        && call.query("is_oneoff").is_none_or(|asked| truthy(task, "is_oneoff_task") == (asked == "true"))
        && call.query("custom_field_key").is_none_or(|key| {
            let value = task.get("custom_fields").and_then(|fields| fields.get(&key));
            value.is_some_and(|value| {
                Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    == call.query("custom_field_value")
            })
        })
}

fn has_status(world: &World, family: &Family<'_>, task: &Value, asked: &str) -> bool {
    let done = render::is_completed(task);
    let open = !done && !render::is_hidden(task);
    let late = || read_time(text(task, "deadline")).is_some_and(|at| at < world.now());
    match asked {
        "all" => true,
        "complete" | "completed" => done,
        "active" | "active_visible" | "incomplete" | "inprogress" => open,
        "not-started" => open && text(task, "status") == "not-started",
        "overdue" => open && late(),
        "due_soon" => open && !late(),
        "hasproblem" => family.has_issue(text(task, "id")),
        _ => false,
    }
}

/// `GET /tasks/{task}` and `GET /runs/{run}/tasks/{task}`.
pub(super) fn show(world: &World, call: &Call<'_>, run: Option<&str>, id: &str) -> Reply {
    let task = find(world, run, id)?;
    Ok(item(200, shown(world, &task, &With::of(call.request))))
}

fn shown(world: &World, task: &Value, with: &With) -> Value {
    let mut shown = render::task(world, &Family::of(world), task, with);
    // A single get carries the summary without being asked.
    put(&mut shown, "summary", task.get("summary").cloned().unwrap_or(Value::Null));
    shown
}

/// A task; the path through a run finds only tasks of that run, and no one-off tasks.
fn find(world: &World, run: Option<&str>, id: &str) -> Result<std::sync::Arc<Value>, Answer> {
    let task = world.get("tasks", id).ok_or_else(not_found)?;
    match run {
        Some(run) if text(&task, "run_id") != run || truthy(&task, "is_oneoff_task") => Err(not_found()),
        _ => Ok(task),
    }
}

/// The three buckets of owners; a bucket that is not sent is emptied.
pub(super) fn buckets(sent: &Value) -> Value {
    json!({"users": list(sent, "users"), "guests": list(sent, "guests"), "groups": list(sent, "groups"), "taskUrls": []})
}

/// `POST /tasks`.
pub(super) fn create(world: &mut World, call: &Call<'_>) -> Reply {
    let body = &call.body;
    let problems: Vec<(String, String)> = ["title", "task_type", "owners", "deadline"]
        .iter()
        .filter(|key| !has(body, key))
        .map(|key| ((*key).to_owned(), format!("The {} field is required.", key.replace('_', " "))))
        .collect();
    if !problems.is_empty() {
        return Err(refused_all(&problems));
    }
    let due = read_time(text(body, "deadline"))
        .ok_or_else(|| refused("deadline", "The deadline is not a valid date."))?;
    let run = text(body, "run_id");
    if !run.is_empty() {
        world.get("runs", run).filter(|run| truthy(run, "can_add_oot")).ok_or_else(not_found)?;
    }
    let id = world.next_hex32();
    let mut fields = list(body, "form_fields").to_vec();
    for field in &mut fields {
        put(field, "id", json!(world.next_hex32()));
    }
    let now = stamp(world.now());
    let description = if has(body, "summary") { text(body, "summary") } else { text(body, "description") };
    let due = if setting(world, "shift_deadlines") { to_working_day(due) } else { due };
    let task = json!({
        "id": id, "increment_id": super::next_increment(world, "tasks"), "title": body.get("title"),
        "original_title": body.get("title"), "summary": description, "checklist_id": null, "step_id": null,
        "run_id": if run.is_empty() { Value::Null } else { json!(run) }, "alias": null, "status": "not-started",
        "task_type": body.get("task_type"), "is_approved": null, "position": 1, "stage_id": null,
        "owners": buckets(body.get("owners").unwrap_or(&Value::Null)), "taskdata": {}, "started_at": now,
        "deadline": stamp(due), "created_at": now, "last_updated": now, "completed_at": null, "archived_at": null,
        "starter_id": call.caller.user, "completer_id": null, "is_oneoff_task": true, "is_completable": true,
        "webhook": body.get("webhook"), "own_form_fields": fields, "custom_fields": {},
    });
    let task = store(world, &call.caller.actor, "create", "tasks", &id, task);
    Ok(item(201, shown(world, &task, &With::of(call.request))))
}

/// `PUT /runs/{run}/tasks/{task}` and `PUT /tasks/{task}` (one-off: title, deadline and owners every time).
pub(super) fn update(world: &mut World, call: &Call<'_>, run: Option<&str>, id: &str) -> Reply {
    let before = find(world, run, id)?;
    let body = &call.body;
    if render::is_completed(&before) {
        return Err(refused("task", "A completed task cannot be updated."));
    }
    if has(&before, "archived_at") {
        return Err(not_found());
    }
    if Family::of(world).has_issue(text(&before, "run_id")) {
        return Err(refused("task", "The process has an open issue. Resolve it first."));
    }
    if run.is_none() && !call.v1 {
        if !truthy(&before, "is_oneoff_task") {
            return Err(not_found());
        }
        let absent = ["title", "deadline", "owners"].into_iter().filter(|key| !has(body, key));
        let problems: Vec<_> =
            absent.map(|key| (key.to_owned(), format!("The {key} field is required."))).collect();
        if !problems.is_empty() {
            return Err(refused_all(&problems));
        }
    }
    let mut task = (*before).clone();
    change(world, body, &mut task)?;
    put(&mut task, "last_updated", stamp(world.now()));
    store(world, &call.caller.actor, "update", "tasks", id, task);
    super::touch_run(world, &call.caller.actor, text(&before, "run_id"));
    let task = find(world, run, id)?;
    Ok(item(200, shown(world, &task, &With::of(call.request))))
}

fn change(world: &World, body: &Value, task: &mut Value) -> Result<(), Answer> {
    if text(body, "title").chars().count() > 600 {
        return Err(refused("title", "The title may not be greater than 600 characters."));
    }
    for key in
        ["title", "summary", "webhook", "prevent_guest_comment", "position", "max_assignable", "top_secret"]
    {
        if let Some(value) = body.get(key) {
            put(task, key, value.clone());
        }
    }
    for key in ["deadline", "started_at"] {
        let Some(value) = body.get(key).filter(|value| !value.is_null()) else { continue };
        let at = value.as_str().and_then(read_time);
        let at = at.ok_or_else(|| refused(key, &format!("The {key} is not a valid date.")))?;
        let at = if setting(world, "shift_deadlines") { to_working_day(at) } else { at };
        put(task, key, stamp(at));
    }
    if let Some(owners) = body.get("owners") {
        put(task, "owners", buckets(owners));
    }
    if let Some(sent) = body.get("taskdata") {
        let mut problems = Vec::new();
        let accepted = accept(&render::captures(world, task), sent, &mut problems);
        if !problems.is_empty() {
            return Err(refused_all(&problems));
        }
        let mut data = task.get("taskdata").and_then(Value::as_object).cloned().unwrap_or_default();
        data.extend(accepted);
        put(task, "taskdata", Value::Object(data));
    }
    Ok(())
}

/// `POST /runs/{run}/completed-tasks` and `POST /completed-tasks`.
///
/// Completing a completed task answers 200 and fires everything again, unless the twin is told to refuse it.
pub(super) fn complete(world: &mut World, call: &Call<'_>, run: Option<&str>) -> Reply {
    let body = &call.body;
    let id = text(body, "task_id");
    if id.is_empty() {
        return Err(refused("task_id", "The task id field is required."));
    }
    let task = find(world, run, id)?;
    may_complete(world, body, &task)?;
    let mut done = (*task).clone();
    let again = render::is_completed(&task);
    if !again {
        put(&mut done, "status", json!("completed"));
        put(&mut done, "completed_at", stamp(world.now()));
        let completer = body.get("override_user").filter(|user| !user.is_null()).cloned();
        put(&mut done, "completer_id", completer.unwrap_or_else(|| json!(call.caller.user)));
        if let Some(verdict) = body.get("is_approved") {
            put(&mut done, "is_approved", verdict.clone());
        }
        put(&mut done, "last_updated", stamp(world.now()));
        store(world, &call.caller.actor, "complete", "tasks", id, done);
    }
    let run_id = text(&task, "run_id").to_owned();
    super::fire(world, &call.caller.actor, "task.completed", &run_id, id);
    let changed = if again { Vec::new() } else { apply_rules(world, &call.caller.actor, &run_id) };
    super::touch_run(world, &call.caller.actor, &run_id);
    let family = Family::of(world);
    if !again && world.get("runs", &run_id).is_some_and(|run| family.is_complete(&run)) {
        super::fire(world, &call.caller.actor, "process.completed", &run_id, "");
    }
    with_changed(world, run, id, &changed)
}

fn may_complete(world: &World, body: &Value, task: &Value) -> Result<(), Answer> {
    let family = Family::of(world);
    if has(task, "archived_at") || render::is_hidden(task) {
        return Err(not_found());
    }
    if render::is_completed(task) {
        let refuses = setting(world, "recomplete_fails");
        return if refuses { Err(refused("task", "The task is already completed.")) } else { Ok(()) };
    }
    if text(task, "task_type") == "approval" && !body.get("is_approved").is_some_and(Value::is_boolean) {
        return Err(refused("is_approved", "The is approved field is required."));
    }
    if family.has_issue(text(task, "id")) || family.has_issue(text(task, "run_id")) {
        return Err(refused("task", "The task has an open issue. Resolve it first."));
    }
    let values = task.get("taskdata").and_then(Value::as_object).cloned().unwrap_or_default();
    let problems = missing(&render::captures(world, task), &values);
    if problems.is_empty() { Ok(()) } else { Err(refused_all(&problems)) }
}

/// `DELETE /runs/{run}/completed-tasks/{task}` and `DELETE /completed-tasks/{task}`.
pub(super) fn reopen(world: &mut World, actor: &str, run: Option<&str>, id: &str) -> Reply {
    let mut task = (*find(world, run, id)?).clone();
    if !render::is_completed(&task) {
        return Err(refused("task", "The task is not completed."));
    }
    for key in ["completed_at", "completer_id", "is_approved"] {
        put(&mut task, key, Value::Null);
    }
    put(&mut task, "status", json!("not-started"));
    put(&mut task, "last_updated", stamp(world.now()));
    let run_id = text(&task, "run_id").to_owned();
    store(world, actor, "reopen", "tasks", id, task);
    let changed = apply_rules(world, actor, &run_id);
    super::touch_run(world, actor, &run_id);
    with_changed(world, run, id, &changed)
}

fn with_changed(world: &World, run: Option<&str>, id: &str, changed: &[String]) -> Reply {
    let task = find(world, run, id)?;
    let family = Family::of(world);
    let mut answer = shown(world, &task, &With::default());
    if !truthy(&task, "is_oneoff_task") {
        let rows = changed.iter().filter_map(|other| world.get("tasks", other));
        let rows: Vec<Value> = rows.map(|row| render::task(world, &family, &row, &With::default())).collect();
        put(&mut answer, "tasks_changed_by_rules", json!(rows));
    }
    Ok(item(200, answer))
}

/// Shows and hides tasks by the rules of their steps (`visible_when`), and says which changed.
pub(super) fn apply_rules(world: &mut World, actor: &str, run: &str) -> Vec<String> {
    let tasks = Family::of(world).tasks(run);
    let mut changed = Vec::new();
    for task in &tasks {
        let Some(step) = world.get_any("steps", text(task, "step_id")) else { continue };
        let Some(rule) = step.get("visible_when").filter(|rule| rule.is_object()) else { continue };
        let trigger = tasks.iter().find(|other| other.get("step_id") == rule.get("step_id"));
        let met = trigger.is_some_and(|other| {
            render::is_completed(other)
                && (!has(rule, "is_approved") || other.get("is_approved") == rule.get("is_approved"))
        });
        if render::is_completed(task) || met != render::is_hidden(task) {
            continue;
        }
        let mut turned = (**task).clone();
        put(&mut turned, "status", json!(if met { "not-started" } else { "auto-skipped" }));
        put(&mut turned, "last_updated", stamp(world.now()));
        store(world, actor, "rule", "tasks", text(task, "id"), turned);
        changed.push(text(task, "id").to_owned());
    }
    changed
}

/// `DELETE /tasks/{task}`, `PUT /tasks/{task}/restore`, `DELETE /tasks/{task}/delete`: one-off tasks only.
pub(super) fn retire(world: &mut World, call: &Call<'_>, id: &str, how: &str) -> Reply {
    let mut task =
        (*world.get("tasks", id).filter(|task| truthy(task, "is_oneoff_task")).ok_or_else(not_found)?)
            .clone();
    match how {
        "purge" => {
            world.remove(&call.caller.actor, how, "tasks", id);
        }
        how => {
            put(&mut task, "archived_at", if how == "archive" { stamp(world.now()) } else { Value::Null });
            store(world, &call.caller.actor, how, "tasks", id, task);
        }
    }
    if how == "restore" { show(world, call, None, id) } else { Ok(Answer::empty(204)) }
}
