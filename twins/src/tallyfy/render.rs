//! How stored records appear in answers: derived values and the relations that `with=` asks for.
//!
//! This file must not write records.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answers::{has, list, put, read_time, text, truthy};
use crate::kit::{Request, World};

/// The relations that a request asks for, with nested ones (`tasks.threads`) kept whole.
#[derive(Debug, Clone, Default)]
pub(super) struct With(BTreeSet<String>);

impl With {
    pub(super) fn of(request: &Request) -> With {
        let asked = request.query_literal_plus("with").unwrap_or_default();
        let mut names: BTreeSet<String> = asked.split(',').map(|name| name.trim().to_owned()).collect();
        if request.query_literal_plus("form_fields_values").as_deref() == Some("true") {
            names.extend(["ko_form_fields".to_owned(), "form_fields".to_owned()]);
        }
        // `tasks.threads` includes `tasks`.
        let parents: Vec<String> = names
            .iter()
            .filter_map(|name| name.split_once('.'))
            .map(|(parent, _)| parent.to_owned())
            .collect();
        names.extend(parents);
        With(names)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    fn below(&self, parent: &str) -> With {
        let prefix = format!("{parent}.");
        With(self.0.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }
}

/// The tasks and open issues of runs, looked up as they are needed.
pub(super) struct Family<'w> {
    world: &'w World,
}

impl<'w> Family<'w> {
    pub(super) fn of(world: &'w World) -> Family<'w> {
        Family { world }
    }

    /// The tasks of a run by position.
    pub(super) fn tasks(&self, run: &str) -> Vec<Arc<Value>> {
        let found = self.world.list_where("tasks", "run_id", run).into_iter();
        let mut tasks: Vec<Arc<Value>> = found.map(|(_, task)| task).collect();
        tasks.sort_by_key(|task| task.get("position").and_then(Value::as_u64));
        tasks
    }

    pub(super) fn has_issue(&self, subject: &str) -> bool {
        let open = |thread: &Value| {
            text(thread, "label") == "problem" && !has(thread, "resolve_id") && !has(thread, "archived_at")
        };
        self.world.list_where("threads", "subject_id", subject).iter().any(|(_, thread)| open(thread))
    }

    /// The status of a run, which follows from its tasks, its kick-off form and its open issues.
    pub(super) fn status(&self, run: &Value) -> &'static str {
        let tasks = self.tasks(text(run, "id"));
        if has(run, "archived_at") {
            "archived"
        } else if self.has_issue(text(run, "id")) {
            "issue"
        } else if tasks.iter().any(|task| self.has_issue(text(task, "id"))) {
            "problem"
        } else if self.is_complete(run) {
            "complete"
        } else {
            "active"
        }
    }

    pub(super) fn is_complete(&self, run: &Value) -> bool {
        let (done, total) = self.progress(run);
        total > 0 && done == total && text(run, "prerun_status") == "complete"
    }

    fn progress(&self, run: &Value) -> (usize, usize) {
        let tasks = self.tasks(text(run, "id"));
        let visible = tasks.iter().filter(|task| !is_hidden(task));
        let (mut done, mut total) = (0, 0);
        for task in visible {
            total += 1;
            done += usize::from(is_completed(task));
        }
        (done, total)
    }
}

/// Whether a rule hides a task.
pub(super) fn is_hidden(task: &Value) -> bool {
    text(task, "status") == "auto-skipped"
}

/// Whether a task is done.
pub(super) fn is_completed(task: &Value) -> bool {
    has(task, "completed_at")
}

/// A run as lists and single gets show it.
pub(super) fn run(world: &World, family: &Family<'_>, record: &Value, with: &With) -> Value {
    let id = text(record, "id");
    let tasks = family.tasks(id);
    let (done, total) = family.progress(record);
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    let progress = json!({"complete": done, "total": total, "percent": percent});
    let complete = family.is_complete(record);
    let completed_at =
        if complete { tasks.iter().map(|task| text(task, "completed_at")).max() } else { None };
    let now = world.now();
    let open = tasks.iter().filter(|task| !is_completed(task) && !is_hidden(task));
    let deadlines: Vec<&str> =
        open.map(|task| text(task, "deadline")).filter(|deadline| !deadline.is_empty()).collect();
    let late = deadlines.iter().filter(|deadline| read_time(deadline).is_some_and(|at| at < now)).count();
    let definitions = template(world, record).map_or(0, |template| list(&template, "prerun").len());
    let mut shown = record.clone();
    for (key, value) in [
        ("status", json!(family.status(record))),
        ("progress", progress.clone()),
        ("whole_progress", progress),
        ("completed_at", json!(completed_at)),
        ("has_open_issue", json!(family.has_issue(id))),
        ("late_tasks", json!(late)),
        ("max_task_deadline", json!(deadlines.iter().max())),
        ("due_date_passed", json!(late > 0)),
        ("due_soon", json!(false)),
        ("prerun_length", json!(definitions)),
        ("collaborators", json!(collaborators(record, &tasks))),
    ] {
        put(&mut shown, key, value);
    }
    if record.get("prerun").and_then(Value::as_object).is_some_and(Map::is_empty) {
        // An empty map, as PHP writes it.
        put(&mut shown, "prerun", json!([]));
    }
    include_run(world, family, record, with, &mut shown);
    shown
}

fn include_run(world: &World, family: &Family<'_>, record: &Value, with: &With, shown: &mut Value) {
    let id = text(record, "id");
    let tasks = family.tasks(id);
    let wrap = |rows: Vec<Value>| json!({"data": rows});
    if with.has("tasks") {
        let below = with.below("tasks");
        put(shown, "tasks", wrap(tasks.iter().map(|row| task(world, family, row, &below)).collect()));
    }
    if with.has("next_task") {
        // Over REST the next task is the one with the earliest deadline, in a collection.
        let mut open: Vec<_> = tasks.iter().filter(|row| !is_completed(row) && !is_hidden(row)).collect();
        open.sort_by_key(|row| text(row, "deadline").to_owned());
        put(
            shown,
            "next_task",
            wrap(open.iter().take(1).map(|row| task(world, family, row, &With::default())).collect()),
        );
    }
    if with.has("checklist") {
        put(shown, "checklist", json!({"data": template(world, record).as_deref()}));
    }
    if with.has("tags") {
        put(shown, "tags", wrap(tags(world, id)));
    }
    if with.has("ko_form_fields") {
        put(shown, "ko_form_fields", wrap(kickoff_fields(world, record)));
    }
    if with.has("form_fields") {
        put(shown, "form_fields", wrap(tasks.iter().flat_map(|row| form_fields(world, row)).collect()));
    }
    if with.has("tasks_meta") {
        let hidden = tasks.iter().filter(|row| is_hidden(row)).count();
        put(shown, "tasks_meta", json!({"data": {"total": tasks.len(), "hidden": hidden}}));
    }
    for empty in ["assets", "permissions", "stages", "folders", "member_watchers", "guest_watchers"] {
        if with.has(empty) {
            put(shown, empty, wrap(Vec::new()));
        }
    }
}

/// A task as lists and single gets show it.
pub(super) fn task(world: &World, family: &Family<'_>, record: &Value, with: &With) -> Value {
    let id = text(record, "id");
    let mut shown = record.clone();
    let run = world.get("runs", text(record, "run_id"));
    let problem = family.has_issue(id);
    put(&mut shown, "problem", json!(problem));
    let status = match text(record, "status") {
        "completed" => "completed".to_owned(),
        _ if problem => "hasproblem".to_owned(),
        status => status.to_owned(),
    };
    put(&mut shown, "status_label", json!(status));
    put(&mut shown, "run_status", json!(run.as_deref().map(|run| family.status(run))));
    for (key, map) in [("taskdata", record.get("taskdata")), ("custom_fields", record.get("custom_fields"))] {
        if map.and_then(Value::as_object).is_none_or(Map::is_empty) {
            put(&mut shown, key, json!([]));
        }
    }
    if super::setting(world, "owners_as_objects") {
        put(&mut shown, "owners", owners_as_objects(world, record));
    }
    if !with.has("summary")
        && let Value::Object(map) = &mut shown
    {
        map.remove("summary");
    }
    let wrap = |rows: Vec<Value>| json!({"data": rows});
    if with.has("form_fields") {
        put(&mut shown, "form_fields", wrap(form_fields(world, record)));
    }
    if with.has("threads") || with.has("comments") {
        put(&mut shown, "threads", wrap(threads(world, id, false)));
    }
    if with.has("issues") {
        put(&mut shown, "issues", wrap(threads(world, id, true)));
    }
    if with.has("threads_count") {
        put(&mut shown, "threads_count", json!(threads(world, id, false).len()));
    }
    if with.has("run") {
        let below = with.below("run");
        let shown_run = run.as_deref().map(|run| super::render::run(world, family, run, &below));
        put(&mut shown, "run", json!({"data": shown_run}));
    }
    if with.has("step") {
        put(&mut shown, "step", json!({"data": world.get("steps", text(record, "step_id")).as_deref()}));
    }
    if with.has("tags") {
        put(&mut shown, "tags", wrap(tags(world, id)));
    }
    for empty in ["assets", "folders", "roles", "activities", "member_watchers", "guest_watchers"] {
        if with.has(empty) {
            put(&mut shown, empty, wrap(Vec::new()));
        }
    }
    shown
}

/// The template of a run, archived or not.
pub(super) fn template(world: &World, run: &Value) -> Option<Arc<Value>> {
    world.get_any("checklists", text(run, "checklist_id"))
}

/// The kick-off fields of a run with their answers.
pub(super) fn kickoff_fields(world: &World, run: &Value) -> Vec<Value> {
    let Some(template) = template(world, run) else { return Vec::new() };
    with_answers(list(&template, "prerun"), run.get("prerun"), None)
}

/// The fields of a task with their answers.
pub(super) fn form_fields(world: &World, task: &Value) -> Vec<Value> {
    with_answers(&captures(world, task), task.get("taskdata"), Some(text(task, "id")))
}

/// The definitions of a task's fields: those of its step, or its own when it is a one-off task.
pub(super) fn captures(world: &World, task: &Value) -> Vec<Value> {
    match world.get_any("steps", text(task, "step_id")) {
        Some(step) => list(&step, "captures").to_vec(),
        None => list(task, "own_form_fields").to_vec(),
    }
}

fn with_answers(definitions: &[Value], values: Option<&Value>, task: Option<&str>) -> Vec<Value> {
    let answered = |definition: &Value| {
        let mut field = definition.clone();
        let value =
            values.and_then(|values| values.get(text(definition, "id"))).cloned().unwrap_or(Value::Null);
        put(&mut field, "field_value", value);
        if let Some(task) = task {
            put(&mut field, "task_id", json!(task));
        }
        field
    };
    definitions.iter().map(answered).collect()
}

/// The tags of a subject: each the association (`id`) with the tag it stands for (`tag_id`).
pub(super) fn tags(world: &World, subject: &str) -> Vec<Value> {
    let of_subject = world.list_where("tag_links", "subject_id", subject).into_iter().map(|(_, link)| link);
    of_subject
        .filter_map(|link| {
            let tag = world.get("tags", text(&link, "tag_id"))?;
            Some(json!({"id": link.get("id"), "tag_id": link.get("tag_id"), "subject_id": subject,
                        "subject_type": link.get("subject_type"), "title": tag.get("title"), "color": tag.get("color")}))
        })
        .collect()
}

/// The comments and issues of a subject, oldest first.
pub(super) fn threads(world: &World, subject: &str, issues_only: bool) -> Vec<Value> {
    let all = world.list_where("threads", "subject_id", subject).into_iter().map(|(_, thread)| thread);
    let mut found: Vec<Value> = all
        .filter(|thread| !has(thread, "archived_at"))
        .filter(|thread| !issues_only || text(thread, "label") == "problem")
        .map(|thread| (*thread).clone())
        .collect();
    found.sort_by_key(|thread| thread.get("number").and_then(Value::as_u64));
    for thread in &mut found {
        if let Value::Object(map) = thread {
            map.remove("number");
        }
    }
    found
}

fn collaborators(run: &Value, tasks: &[Arc<Value>]) -> Vec<Value> {
    let mut found: Vec<Value> = list(run, "users").to_vec();
    for owner in tasks.iter().filter_map(|task| task.get("owners")).flat_map(|owners| list(owners, "users")) {
        if !found.contains(owner) {
            found.push(owner.clone());
        }
    }
    found
}

fn owners_as_objects(world: &World, task: &Value) -> Value {
    let mut owners = task.get("owners").cloned().unwrap_or_else(|| json!({}));
    let users = list(&owners, "users").iter().map(|id| match world.get_any("users", &id.to_string()) {
        Some(user) => json!({"id": id, "email": user.get("email"), "full_name": user.get("full_name")}),
        None => json!({"id": id}),
    });
    let users: Vec<Value> = users.collect();
    put(&mut owners, "users", json!(users));
    owners
}

/// A template as lists and single gets show it.
pub(super) fn checklist(world: &World, record: &Value, with: &With) -> Value {
    let id = text(record, "id");
    let mut shown = record.clone();
    let steps = steps(world, id);
    let runs = world.list_where("runs", "checklist_id", id).len();
    put(&mut shown, "steps_count", json!(steps.len()));
    put(&mut shown, "started_processes", json!(runs));
    put(&mut shown, "is_archived", json!(truthy(record, "is_archived") || has(record, "archived_at")));
    if with.has("steps") {
        put(&mut shown, "steps", json!({"data": steps}));
    }
    if with.has("tags") {
        put(&mut shown, "tags", json!({"data": tags(world, id)}));
    }
    for empty in
        ["folder", "permissions", "stages", "linked_tasks", "assets", "member_watchers", "guest_watchers"]
    {
        if with.has(empty) {
            put(&mut shown, empty, json!({"data": []}));
        }
    }
    shown
}

/// The steps of a template by position.
pub(super) fn steps(world: &World, checklist: &str) -> Vec<Value> {
    let all = world.list_where("steps", "checklist_id", checklist).into_iter();
    let mut found: Vec<Value> = all.map(|(_, step)| (*step).clone()).collect();
    found.sort_by_key(|step| step.get("position").and_then(Value::as_u64));
    found
}
