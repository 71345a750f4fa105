//! Processes: list, get, launch, update, archive, restore, purge, kick-off form.
//!
//! Launching makes the tasks; everything about tasks afterwards is in `tasks.rs`.

use serde_json::{Map, Value, json};

use super::answers::{
    Reply, forbidden, has, is_id, item, list, not_found, page_of, put, read_time, refused, refused_all,
    stamp, text, to_working_day, truthy,
};
use super::render::{self, Family, With};
use super::values::{accept, missing};
use super::{Call, setting, store};
use crate::kit::{Answer, World};

/// `GET /runs`.
pub(super) fn index(world: &World, call: &Call<'_>) -> Reply {
    let family = Family::of(world);
    let with = With::of(call.request);
    let mut rows: Vec<_> = world.list("runs").into_iter().map(|(_, run)| run).collect();
    rows.retain(|run| wanted(world, call, &family, run));
    // Newest first unless asked otherwise; an unknown sort key is ignored, as unknown parameters are.
    rows.sort_by_key(|run| std::cmp::Reverse(run.get("increment_id").and_then(Value::as_u64)));
    let sort = call.query("sort").or_else(|| call.query("sort_by")).unwrap_or_default();
    match sort.trim_start_matches('-') {
        "name" => rows.sort_by_key(|run| text(run, "name").to_lowercase()),
        "created_at" => rows.sort_by_key(|run| {
            (text(run, "created_at").to_owned(), run.get("increment_id").and_then(Value::as_u64))
        }),
        "updated_at" | "last_updated" if setting(world, "sort_by_updated") => {
            rows.sort_by_key(|run| text(run, "last_updated").to_owned());
        }
        _ => return Ok(shown(world, call, &family, &with, &rows)),
    }
    if sort.starts_with('-') {
        rows.reverse();
    }
    Ok(shown(world, call, &family, &with, &rows))
}

fn shown(
    world: &World,
    call: &Call<'_>,
    family: &Family<'_>,
    with: &With,
    rows: &[std::sync::Arc<Value>],
) -> Answer {
    page_of(call.request, rows, None, |run| render::run(world, family, run, with))
}

fn wanted(world: &World, call: &Call<'_>, family: &Family<'_>, run: &Value) -> bool {
    let id = text(run, "id");
    let archived = has(run, "archived_at");
    let archive = match call.query("archived").as_deref() {
        Some("only") => archived,
        Some("true" | "1") => true,
        _ => !archived,
    };
    let csv = |name: &str| -> Option<Vec<String>> {
        call.query(name)
            .filter(|text| !text.is_empty())
            .map(|text| text.split(',').map(str::to_owned).collect())
    };
    let tagged = |tag: &String| render::tags(world, id).iter().any(|link| text(link, "tag_id") == tag);
    let owned_by = |user: &String| {
        run.get("owner_id").is_some_and(|owner| is_id(owner, user))
            || family
                .tasks(id)
                .iter()
                .filter_map(|task| task.get("owners"))
                .any(|owners| list(owners, "users").iter().any(|owner| is_id(owner, user)))
    };
    archive
        && call.query("q").is_none_or(|q| text(run, "name").to_lowercase().contains(&q.to_lowercase()))
        && call.query("status").is_none_or(|status| has_status(world, family, run, &status))
        && call
            .query("checklist_id")
            .or_else(|| call.query("blueprint_id"))
            .is_none_or(|checklist| text(run, "checklist_id") == checklist)
        && call.query("type").is_none_or(|kind| text(run, "type") == kind)
        && call.query("folder").is_none_or(|folder| text(run, "folder_id") == folder)
        && call.query("starred").is_none_or(|starred| truthy(run, "starred") == (starred == "true"))
        && csv("owners").is_none_or(|users| users.iter().any(owned_by))
        && csv("groups")
            .is_none_or(|groups| groups.iter().any(|group| list(run, "groups").contains(&json!(group))))
        && call.query("tag").is_none_or(|tag| tagged(&tag))
        && csv("tag_ids").is_none_or(|tags| tags.iter().any(tagged))
        && (call.query("untagged").as_deref() != Some("true") || render::tags(world, id).is_empty())
        && match call.query("task_status").as_deref() {
            Some("in-progress") => family.tasks(id).iter().any(|task| !render::is_completed(task)),
            Some("completed") => family.is_complete(run),
            _ => true,
        }
}

fn has_status(world: &World, family: &Family<'_>, run: &Value, asked: &str) -> bool {
    let status = family.status(run);
    match asked {
        "problem" => status == "problem" || status == "issue",
        "starred" => truthy(run, "starred"),
        "delayed" => {
            let late = |task: &Value| read_time(text(task, "deadline")).is_some_and(|at| at < world.now());
            let tasks = family.tasks(text(run, "id"));
            status == "active" && tasks.iter().any(|task| !render::is_completed(task) && late(task))
        }
        asked => status == asked,
    }
}

/// `GET /runs/{run}`; archived ones are served too.
pub(super) fn show(world: &World, call: &Call<'_>, id: &str) -> Reply {
    let run = world.get("runs", id).ok_or_else(not_found)?;
    let with = With::of(call.request);
    Ok(item(200, render::run(world, &Family::of(world), &run, &with)))
}

/// `POST /runs`.
pub(super) fn launch(world: &mut World, call: &Call<'_>) -> Reply {
    let body = &call.body;
    let checklist_id = text(body, "checklist_id");
    if checklist_id.is_empty() {
        return Err(refused("checklist_id", "The checklist id field is required."));
    }
    let template = world.get("checklists", checklist_id).filter(|template| !has(template, "archived_at"));
    let template = template.ok_or_else(not_found)?;
    let name = match text(body, "name") {
        "" => format!("{} - {}", text(&template, "title"), world.now().strftime("%Y-%m-%d")),
        name => name.to_owned(),
    };
    if name.chars().count() > 550 {
        return Err(refused("name", "The name may not be greater than 550 characters."));
    }
    let definitions = list(&template, "prerun");
    let mut problems = Vec::new();
    let prerun = accept(definitions, body.get("prerun").unwrap_or(&Value::Null), &mut problems);
    if problems.is_empty() {
        problems = missing(definitions, &prerun);
    }
    if !problems.is_empty() {
        return Err(refused_all(&problems));
    }
    let id = world.next_hex32();
    let run = new_run(world, call, &template, &id, &name, prerun);
    store(world, &call.caller.actor, "launch", "runs", &id, run);
    for step in render::steps(world, checklist_id) {
        let task_id = world.next_hex32();
        let task = new_task(world, call, &step, &id, &task_id);
        store(world, &call.caller.actor, "launch", "tasks", &task_id, task);
    }
    super::tasks::apply_rules(world, &call.caller.actor, &id);
    for tag in list(body, "tags").iter().filter_map(Value::as_str) {
        super::members::link_tag(world, &call.caller.actor, "Run", &id, tag);
    }
    super::fire(world, &call.caller.actor, "process.launched", &id, "");
    let with = With::of(call.request);
    let run = world.get_any("runs", &id).ok_or_else(not_found)?;
    Ok(item(201, render::run(world, &Family::of(world), &run, &with)))
}

fn new_run(
    world: &mut World,
    call: &Call<'_>,
    template: &Value,
    id: &str,
    name: &str,
    prerun: Map<String, Value>,
) -> Value {
    let body = &call.body;
    let now = stamp(world.now());
    let or = |key: &str, default: Value| {
        body.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(default)
    };
    let starter = or("user_id", json!(call.caller.user));
    json!({
        "id": id, "increment_id": super::next_increment(world, "runs"), "checklist_id": template.get("id"),
        "checklist_title": template.get("title"), "name": name, "summary": or("summary", json!("")),
        "owner_id": or("owner_id", starter.clone()), "started_by": starter, "prerun": prerun,
        "prerun_status": "complete", "prerun_completed_at": now, "prerun_completed_by": call.caller.user,
        "starred": or("starred", json!(false)), "created_at": now, "started_at": now, "last_updated": now,
        "archived_at": null, "due_date": null, "users": or("users", json!([call.caller.user])),
        "groups": or("groups", json!([])), "type": template.get("type"), "is_public": or("is_public", json!(false)),
        "parent_id": or("parent_id", Value::Null), "can_add_oot": true, "assign_someone_else": true,
        "folder_id": list(body, "folders").first(),
        "custom_fields": template.get("custom_fields").cloned().unwrap_or_else(|| json!({})),
    })
}

fn new_task(world: &mut World, call: &Call<'_>, step: &Value, run: &str, id: &str) -> Value {
    let now = world.now();
    let sent =
        call.body.get("tasks").and_then(|tasks| tasks.get(text(step, "id"))).cloned().unwrap_or(Value::Null);
    let days = step.pointer("/deadline/value").and_then(Value::as_i64).unwrap_or(5);
    let due = now.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap_or(now);
    let due = read_time(text(&sent, "deadline")).unwrap_or(due);
    let due = if setting(world, "shift_deadlines") { to_working_day(due) } else { due };
    let buckets = sent.get("owners").cloned().unwrap_or_else(|| {
        json!({"users": list(step, "assignees"), "guests": list(step, "guests"), "groups": list(step, "groups")})
    });
    json!({
        "id": id, "increment_id": super::next_increment(world, "tasks"), "title": step.get("title"),
        "original_title": step.get("title"), "summary": step.get("summary"), "run_id": run,
        "checklist_id": step.get("checklist_id"), "step_id": step.get("id"), "alias": step.get("alias"),
        "status": "not-started", "task_type": step.get("step_type"), "is_approved": null,
        "position": step.get("position"), "blueprint_position": step.get("position"), "stage_id": null,
        "owners": super::tasks::buckets(&buckets), "taskdata": {}, "started_at": stamp(now), "deadline": stamp(due),
        "created_at": stamp(now), "last_updated": stamp(now), "completed_at": null, "archived_at": null,
        "starter_id": call.caller.user, "completer_id": null, "completer_guest": null, "completer_guest_id": null,
        "is_oneoff_task": false, "is_completable": true, "everyone_must_complete": false,
        "completion_progress": null, "can_complete_only_assignees": truthy(step, "can_complete_only_assignees"),
        "max_assignable": 0, "webhook": null, "prevent_guest_comment": false, "top_secret": false,
        "custom_fields": {},
    })
}

/// `PUT /runs/{run}`: members and groups that are not sent are detached.
pub(super) fn update(world: &mut World, call: &Call<'_>, id: &str) -> Reply {
    let before = world.get("runs", id).filter(|run| !has(run, "archived_at")).ok_or_else(not_found)?;
    let body = &call.body;
    if text(body, "name").chars().count() > 550 {
        return Err(refused("name", "The name may not be greater than 550 characters."));
    }
    let mut run = (*before).clone();
    for key in ["name", "summary", "owner_id", "starred", "is_public", "publicly_hidden_fields"] {
        if let Some(value) = body.get(key) {
            put(&mut run, key, value.clone());
        }
    }
    for key in ["users", "groups"] {
        put(
            &mut run,
            key,
            body.get(key).filter(|value| value.is_array()).cloned().unwrap_or_else(|| json!([])),
        );
    }
    if let Some(sent) = body.get("prerun") {
        let definitions = render::template(world, &run).map(|template| list(&template, "prerun").to_vec());
        let mut problems = Vec::new();
        let accepted = accept(&definitions.unwrap_or_default(), sent, &mut problems);
        if !problems.is_empty() {
            return Err(refused_all(&problems));
        }
        let keep = if setting(world, "prerun_replaces") {
            None
        } else {
            run.get("prerun").and_then(Value::as_object)
        };
        let mut prerun = keep.cloned().unwrap_or_default();
        prerun.extend(accepted);
        put(&mut run, "prerun", Value::Object(prerun));
    }
    put(&mut run, "last_updated", stamp(world.now()));
    store(world, &call.caller.actor, "update", "runs", id, run);
    changed(world, id)
}

/// The answer to a change of a run; `progress` is a bare number here when the twin is told so.
fn changed(world: &World, id: &str) -> Reply {
    let run = world.get("runs", id).ok_or_else(not_found)?;
    let mut shown = render::run(world, &Family::of(world), &run, &With::default());
    if setting(world, "bare_progress") {
        let percent = shown.pointer("/progress/percent").cloned().unwrap_or_else(|| json!(0));
        put(&mut shown, "progress", percent);
    }
    Ok(item(200, shown))
}

/// `DELETE /runs/{run}` and `PUT /runs/{run}/activate`: tasks and threads follow.
pub(super) fn set_archived(world: &mut World, actor: &str, id: &str, archive: bool) -> Reply {
    let run = world.get("runs", id).ok_or_else(not_found)?;
    if has(&run, "archived_at") == archive {
        return Err(if archive { not_found() } else { refused("run", "The process is not archived.") });
    }
    let at = if archive { stamp(world.now()) } else { Value::Null };
    let kind = if archive { "archive" } else { "restore" };
    let tasks = Family::of(world).tasks(id);
    for task in tasks {
        let mut changed = (*task).clone();
        put(&mut changed, "archived_at", at.clone());
        store(world, actor, kind, "tasks", text(&task, "id"), changed);
    }
    let mut archived = (*run).clone();
    put(&mut archived, "archived_at", at);
    put(&mut archived, "last_updated", stamp(world.now()));
    store(world, actor, kind, "runs", id, archived);
    changed(world, id)
}

/// `DELETE /runs/{run}/delete`.
pub(super) fn purge(world: &mut World, actor: &str, admin: bool, id: &str) -> Reply {
    if !admin {
        return Err(forbidden("You are not allowed to perform this action."));
    }
    let run = world.get("runs", id).ok_or_else(not_found)?;
    if !has(&run, "archived_at") {
        return Err(refused("run", "The process must be archived first."));
    }
    let tasks = Family::of(world).tasks(id);
    for task in tasks {
        world.remove(actor, "purge", "tasks", text(&task, "id"));
    }
    world.remove(actor, "purge", "runs", id);
    Ok(Answer::empty(200))
}

/// `POST` and `DELETE /runs/{run}/complete-prerun`.
pub(super) fn kickoff_form(world: &mut World, call: &Call<'_>, id: &str, complete: bool) -> Reply {
    let mut run = (*world.get("runs", id).ok_or_else(not_found)?).clone();
    let values = run.get("prerun").and_then(Value::as_object).cloned().unwrap_or_default();
    if complete {
        let definitions = render::template(world, &run).map(|template| list(&template, "prerun").to_vec());
        let problems = missing(&definitions.unwrap_or_default(), &values);
        if !problems.is_empty() {
            return Err(refused_all(&problems));
        }
    }
    put(&mut run, "prerun_status", json!(if complete { "complete" } else { "incomplete" }));
    put(&mut run, "prerun_completed_at", if complete { stamp(world.now()) } else { Value::Null });
    put(&mut run, "prerun_completed_by", if complete { json!(call.caller.user) } else { Value::Null });
    put(&mut run, "last_updated", stamp(world.now()));
    store(world, &call.caller.actor, "update", "runs", id, run);
    changed(world, id)
}

/// `GET /runs/{run}/form-fields`.
pub(super) fn form_fields(world: &World, id: &str) -> Reply {
    let run = world.get("runs", id).ok_or_else(not_found)?;
    let family = Family::of(world);
    let fields: Vec<Value> =
        family.tasks(id).iter().flat_map(|task| render::form_fields(world, task)).collect();
    Ok(item(200, json!({"ko_form_fields": render::kickoff_fields(world, &run), "form_fields": fields})))
}
