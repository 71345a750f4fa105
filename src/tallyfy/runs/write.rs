//! Writing processes: change, launch, archive.
//!
//! Tallyfy has no conditional writes. A change reads the process, compares what it is about to replace with
//! what the caller had seen, and writes at once; the window is the time between those two calls. Nothing is
//! sent twice here, and a completed task is never completed again.

use serde_json::{Map, Value as Json, json};

use super::bind::{Bound, Marker};
use super::plan::{Plan, TaskPlan, same};
use super::read::{is_archived, is_completed, is_hidden, row_suffices, task_of};
use super::tags::TagChanges;
use super::{Deep, Fetched, Runs};
use crate::connector::api::{Applied, Failure, FailureClass, NewRecord, Removal, Written};
use crate::connector::client::Purpose;
use crate::core::record::{Record, Values};
use crate::tallyfy::http::partly;
use crate::tallyfy::json::{items, member, scalar, text, truthy};
use crate::tallyfy::path::Member;

impl Runs {
    /// Writes these values; see [`crate::connector::api::Entity::update`].
    pub(super) async fn change(&self, expected: &Record, changes: &Values) -> Result<Written, Failure> {
        let id = expected.id.as_str();
        let attempted = format!("update process {id} in {}", self.api.system());
        self.plan(changes, &attempted)?;
        let mut deep = self.present(id, &attempted).await?;
        if is_archived(&deep.run) {
            let why = format!(
                "process {id} is archived and refuses writes; restore it in Tallyfy to let the change through"
            );
            return Err(Failure::new(FailureClass::Invalid, attempted, why));
        }
        let seen = self.record(&deep)?;
        let todo = still_to_write(expected, &seen, changes, &attempted)?;
        if todo.is_empty() {
            return Ok(Written { record: Some(seen), ..Written::default() });
        }
        let plan = self.plan(&todo, &attempted)?;
        self.check_tasks(&plan, &deep, &attempted)?;
        let tags = self.tag_changes(&plan, &deep, &attempted).await?;
        let shown = self
            .execute(id, &plan, &tags, &mut deep, &attempted)
            .await
            .map_err(|failure| self.by_path(failure))?;
        self.settled(id, deep, shown, &todo).await
    }

    /// Names the paths where Tallyfy complains about ids.
    fn by_path(&self, mut failure: Failure) -> Failure {
        for field in &mut failure.fields {
            let named = self.bindings.all.iter().find(|binding| match &binding.bound {
                Bound::Kickoff(of) | Bound::Form(_, of) => field.contains(of.id.as_str()),
                _ => false,
            });
            if let Some(binding) = named {
                field.clone_from(&binding.text);
            }
        }
        failure
    }

    /// Launches a process; see [`crate::connector::api::Entity::create`].
    pub(super) async fn launch(&self, new: &NewRecord) -> Result<Written, Failure> {
        let template = &self.bindings.template;
        let attempted = format!("launch a process of `{}` in {}", template.title, self.api.system());
        let wanted: Values = new
            .values
            .iter()
            .filter(|(_, value)| !value.is_null() && value.as_str() != Some(""))
            .map(|(path, value)| (path.clone(), value.clone()))
            .collect();
        let mut plan = self.plan(&wanted, &attempted)?;
        let body = self.launch_body(&mut plan, new, &attempted).await?;
        let sent = self.api.write("POST", &["runs"], Some(body), &attempted).await;
        let answer = sent.map_err(|failure| self.by_path(failure))?;
        let Some(id) = text(&answer, "id") else {
            let mut failure =
                Failure::new(FailureClass::Bug, attempted, "Tallyfy accepted it but named no process");
            failure.applied = Applied::Unknown;
            return Err(failure);
        };
        let launched = format!("the launch of process {id}");
        let follows = plan.tasks.values().any(|task| task.has_values() || task.wants_completed(false));
        if !plan.custom.is_empty() || follows {
            let follow = async {
                let mut deep = self.present(&id, &attempted).await?;
                self.check_tasks(&plan, &deep, &attempted)?;
                let shown = self.execute(&id, &plan, &TagChanges::default(), &mut deep, &attempted).await?;
                self.settled(&id, deep, shown, &wanted).await
            };
            let written = follow.await.map_err(|failure| partly(failure, &launched))?;
            return Ok(Written { id: Some(id), ..written });
        }
        let shown = !self.needs_tasks() && row_suffices(&self.bindings, &answer);
        let deep = Deep { run: answer, tasks: Vec::new() };
        let written = self.settled(&id, deep, shown, &wanted).await?;
        Ok(Written { id: Some(id), ..written })
    }

    /// Archives, or archives and purges; see [`crate::connector::api::Entity::remove`].
    pub(super) async fn put_away(&self, expected: &Record, how: Removal) -> Result<Written, Failure> {
        let id = expected.id.as_str();
        let word = if how == Removal::Delete { "purge" } else { "archive" };
        let attempted = format!("{word} process {id} in {}", self.api.system());
        let mut deep = self.present(id, &attempted).await?;
        let seen = self.record(&deep)?;
        let already = is_archived(&deep.run);
        // An archived process may show its tasks differently; what it said as an active one is compared.
        if already == expected.archived {
            unmoved(expected, &seen, expected.values.keys(), &attempted)?;
        }
        if !already {
            let answer = self.api.write("DELETE", &["runs", id], None, &attempted).await?;
            deep.learn_run(&answer);
        }
        if how == Removal::Delete {
            self.api
                .write("DELETE", &["runs", id, "delete"], None, &attempted)
                .await
                .map_err(|failure| if already { failure } else { partly(failure, "its archiving") })?;
            return Ok(Written::default());
        }
        let record = if is_archived(&deep.run) { self.record(&deep).ok() } else { self.reread(id).await };
        Ok(Written { record, ..Written::default() })
    }

    fn plan(&self, values: &Values, attempted: &str) -> Result<Plan, Failure> {
        Plan::of(&self.bindings, values).map_err(|problems| {
            let (fields, sentences): (Vec<String>, Vec<String>) = problems.into_iter().unzip();
            let mut failure = Failure::new(FailureClass::Invalid, attempted, sentences.join("; "));
            failure.fields = fields;
            failure
        })
    }

    async fn present(&self, id: &str, attempted: &str) -> Result<Deep, Failure> {
        match self.fetch(id, Purpose::Write).await? {
            Fetched::Found(deep) => Ok(deep),
            Fetched::Missing(why) => Err(Failure::new(FailureClass::Gone, attempted, why)),
        }
    }

    async fn reread(&self, id: &str) -> Option<Record> {
        match self.fetch(id, Purpose::Write).await {
            Ok(Fetched::Found(deep)) => self.record(&deep).ok(),
            _ => None,
        }
    }

    /// The record after a write: as the answers showed it if they showed everything, else as read again. A
    /// replica that lags must not contradict the answer of the write itself.
    async fn settled(&self, id: &str, deep: Deep, shown: bool, written: &Values) -> Result<Written, Failure> {
        let fits = |record: &Record| {
            written
                .iter()
                .filter(|(path, _)| self.bindings.all.iter().any(|binding| binding.text == **path))
                .all(|(path, value)| record.values.get(path).is_some_and(|seen| same(seen, value)))
        };
        let answered = self.record(&deep).ok().filter(|record| fits(record));
        let record = match (answered, shown) {
            (Some(record), true) => Some(record),
            (answered, _) => match self.reread(id).await {
                Some(record) if answered.is_none() || fits(&record) => Some(record),
                // A lagging replica; a record that is only partly shown by the answers is none.
                _ => answered.filter(|_| shown),
            },
        };
        Ok(Written { record, ..Written::default() })
    }

    async fn launch_body(&self, plan: &mut Plan, new: &NewRecord, attempted: &str) -> Result<Json, Failure> {
        let invalid = |why: String| Failure::new(FailureClass::Invalid, attempted, why);
        let template = &self.bindings.template;
        let marker = self.bindings.marker.as_ref().map_err(|why| invalid(format!("not launched: {why}")))?;
        match marker {
            Marker::Kickoff(field) => {
                plan.prerun.insert(field.id.clone(), Json::String(new.mark.clone()));
            }
            Marker::Name => {
                let name = plan.run.get("name").and_then(scalar).unwrap_or_else(|| template.title.clone());
                plan.run.insert("name".to_owned(), json!(format!("{name} [{}]", new.mark)));
            }
        }
        let missing: Vec<&str> = template
            .kickoff
            .iter()
            .filter(|field| field.required && !field.has_default && !plan.prerun.contains_key(&field.id))
            .map(|field| field.label.as_str())
            .collect();
        if !missing.is_empty() {
            let mut failure = invalid(format!(
                "not launched: the kick-off form of `{}` requires {}; map them or give `defaults`",
                template.title,
                missing.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
            ));
            failure.fields = missing.iter().map(|label| format!("kickoff.\"{label}\"")).collect();
            return Err(failure);
        }
        let mut body = std::mem::take(&mut plan.run);
        body.insert("checklist_id".to_owned(), json!(template.id));
        body.insert("prerun".to_owned(), Json::Object(std::mem::take(&mut plan.prerun)));
        let mut tasks = Map::new();
        for task in plan.tasks.values_mut() {
            if !task.members.is_empty() {
                tasks.insert(task.step.id.clone(), Json::Object(std::mem::take(&mut task.members)));
            }
        }
        if !tasks.is_empty() {
            body.insert("tasks".to_owned(), Json::Object(tasks));
        }
        if let Some(titles) = plan.tags.take().filter(|titles| !titles.is_empty()) {
            body.insert("tags".to_owned(), json!(self.tag_ids(&titles, attempted).await?));
        }
        Ok(Json::Object(body))
    }

    /// Everything that would stop a task halfway is found before the first call.
    fn check_tasks(&self, plan: &Plan, deep: &Deep, attempted: &str) -> Result<(), Failure> {
        let invalid = |why: String| Err(Failure::new(FailureClass::Invalid, attempted, why));
        if !plan.tasks.is_empty() && truthy(deep.run.get("has_open_issue")) {
            let why = "an issue is open on the process, so its tasks cannot change until it is resolved";
            return Err(Failure::new(FailureClass::Held, attempted, why));
        }
        for wanted in plan.tasks.values() {
            let title = &wanted.step.title;
            let task = match task_of(&wanted.step, &deep.tasks) {
                Some(task) if !is_hidden(task) => task,
                Some(_) => return invalid(format!("the task `{title}` is hidden by a rule of the template")),
                None => return invalid(format!("the process has no task `{title}`")),
            };
            if truthy(task.get("problem")) && wanted.wants_completed(false) {
                let why = format!("an issue is open on the task `{title}`, so it cannot be completed");
                return Err(Failure::new(FailureClass::Held, attempted, why));
            }
            if text(task, "id").is_none() {
                return invalid(format!("the task `{title}` came without an id"));
            }
            let done = is_completed(task);
            if self.must_reopen(wanted, task) && !self.reopen {
                return invalid(format!(
                    "the task `{title}` is completed and refuses writes; it is reopened only with `reopen = true`"
                ));
            }
            let approval = is_approval(wanted, task);
            if wanted.approved.is_some() && !approval {
                return invalid(format!("the task `{title}` is not an approval; write `completed` instead"));
            }
            if wanted.wants_completed(done) && !done && approval && decision(wanted, task).is_none() {
                return invalid(format!(
                    "the task `{title}` is an approval: it needs `approved`, not only `completed`"
                ));
            }
        }
        Ok(())
    }

    fn must_reopen(&self, wanted: &TaskPlan, task: &Json) -> bool {
        let moved = matches!(wanted.approved, Some(Some(_)))
            && is_approval(wanted, task)
            && decision(wanted, task) != member(task, "is_approved").map(|it| truthy(Some(it)));
        is_completed(task) && (wanted.has_values() || !wanted.wants_completed(true) || moved)
    }

    /// Sends the calls of a plan. Gives false when an answer did not show what it did.
    async fn execute(
        &self,
        id: &str,
        plan: &Plan,
        tags: &TagChanges,
        deep: &mut Deep,
        attempted: &str,
    ) -> Result<bool, Failure> {
        let mut done: Vec<String> = Vec::new();
        let mut shown = true;
        if !plan.leaves_run() {
            let body = run_body(plan, &deep.run, attempted)?;
            let answer = self.api.write("PUT", &["runs", id], Some(body), attempted).await?;
            shown &= text(&answer, "id").as_deref() == Some(id);
            deep.learn_run(&answer);
            done.push("the process itself".to_owned());
        }
        for (key, value) in &plan.custom {
            let path = ["runs", id, "custom-fields", key.as_str()];
            self.api
                .write("PATCH", &path, Some(json!({"value": value})), attempted)
                .await
                .map_err(|failure| after(failure, &done))?;
            done.push(format!("custom field `{key}`"));
            shown = false;
        }
        shown &= !self.retag(id, tags, attempted, &mut done).await?;
        for task in plan.tasks.values() {
            shown &= self.execute_task(id, task, deep, attempted, &mut done).await?;
        }
        Ok(shown)
    }

    async fn execute_task(
        &self,
        run: &str,
        wanted: &TaskPlan,
        deep: &mut Deep,
        attempted: &str,
        done: &mut Vec<String>,
    ) -> Result<bool, Failure> {
        let title = &wanted.step.title;
        let Some(task) = task_of(&wanted.step, &deep.tasks).cloned() else { return Ok(false) };
        let task_id = text(&task, "id").unwrap_or_default();
        let attempted = format!("{attempted}, task `{title}` ({task_id})");
        let was_done = is_completed(&task);
        let reopens = self.must_reopen(wanted, &task);
        let decided = decision(wanted, &task);
        let mut shown = true;
        if reopens {
            let path = ["runs", run, "completed-tasks", task_id.as_str()];
            let answer = self
                .api
                .write("DELETE", &path, None, &attempted)
                .await
                .map_err(|failure| after(failure, done))?;
            done.push(format!("the reopening of task `{title}`"));
            shown &= text(&answer, "id").as_deref() == Some(task_id.as_str());
            deep.learn_task(&answer);
        }
        if wanted.has_values() {
            let mut body = wanted.members.clone();
            if !wanted.taskdata.is_empty() {
                body.insert("taskdata".to_owned(), Json::Object(wanted.taskdata.clone()));
            }
            let path = ["runs", run, "tasks", task_id.as_str()];
            let answer = self
                .api
                .write("PUT", &path, Some(Json::Object(body)), &attempted)
                .await
                .map_err(|failure| after(failure, done))?;
            done.push(format!("the values of task `{title}`"));
            shown &= text(&answer, "id").as_deref() == Some(task_id.as_str());
            deep.learn_task(&answer);
            // Somebody completed it while we wrote: completing again would fire everything twice.
            if !was_done && is_completed(&answer) {
                return Ok(false);
            }
        }
        let completes = wanted.wants_completed(was_done) && (!was_done || reopens);
        if completes {
            let mut body = json!({"task_id": task_id});
            if is_approval(wanted, &task)
                && let (Some(decided), Json::Object(body)) = (decided, &mut body)
            {
                body.insert("is_approved".to_owned(), Json::Bool(decided));
            }
            let path = ["runs", run, "completed-tasks"];
            let answer = self
                .api
                .write("POST", &path, Some(body), &attempted)
                .await
                .map_err(|failure| after(failure, done))?;
            done.push(format!("the completion of task `{title}`"));
            shown &= text(&answer, "id").as_deref() == Some(task_id.as_str());
            deep.learn_task(&answer);
        }
        // The answer shows the task, but not what became of the process by it.
        Ok(shown && !((completes || reopens) && self.bindings.has(Member::Status)))
    }
}

/// The decision that a completion must carry: the wanted one, else the one that stands. What an open task
/// still shows from before its reopening does not stand.
fn decision(wanted: &TaskPlan, task: &Json) -> Option<bool> {
    match wanted.approved {
        Some(decision) => decision,
        None if is_completed(task) => member(task, "is_approved").map(|it| truthy(Some(it))),
        None => None,
    }
}

fn is_approval(wanted: &TaskPlan, task: &Json) -> bool {
    text(task, "task_type").map_or(wanted.step.approval, |kind| kind == "approval")
}

pub(super) fn after(failure: Failure, done: &[String]) -> Failure {
    if done.is_empty() { failure } else { partly(failure, &done.join(", ")) }
}

/// The changed members, and the members and groups as they are: Tallyfy detaches them all from a process
/// that is updated without them.
fn run_body(plan: &Plan, run: &Json, attempted: &str) -> Result<Json, Failure> {
    let mut body = plan.run.clone();
    if !plan.prerun.is_empty() {
        body.insert("prerun".to_owned(), Json::Object(plan.prerun.clone()));
    }
    for name in ["users", "groups"] {
        if run.get(name).is_none() {
            let why = format!(
                "not sent: the process came without its `{name}`, and an update that does not repeat them \
                 would take them off the process"
            );
            return Err(Failure::new(FailureClass::Bug, attempted, why));
        }
        let echoed: Vec<Json> =
            items(run.get(name)).iter().map(|entry| member(entry, "id").unwrap_or(entry).clone()).collect();
        body.insert(name.to_owned(), Json::Array(echoed));
    }
    Ok(Json::Object(body))
}

/// Of the changes those that the process does not show yet, provided that what they replace is what the
/// caller had seen.
fn still_to_write(
    expected: &Record,
    seen: &Record,
    changes: &Values,
    attempted: &str,
) -> Result<Values, Failure> {
    let todo: Values = changes
        .iter()
        .filter(|(path, value)| !seen.values.get(*path).is_some_and(|now| now == *value))
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect();
    unmoved(expected, seen, todo.keys(), attempted)?;
    Ok(todo)
}

fn unmoved<'a>(
    expected: &Record,
    seen: &Record,
    paths: impl Iterator<Item = &'a String>,
    attempted: &str,
) -> Result<(), Failure> {
    let moved: Vec<String> = paths
        .filter(|path| match (expected.values.get(*path), seen.values.get(*path)) {
            (Some(before), Some(now)) => !same(before, now),
            (None, None) => false,
            _ => true,
        })
        .cloned()
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    let why = format!("not sent: {} changed in Tallyfy since it was read", moved.join(", "));
    let mut failure = Failure::new(FailureClass::Conflict, attempted, why);
    failure.fields = moved;
    Err(failure)
}
