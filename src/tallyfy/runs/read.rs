//! From the JSON of a process and its tasks to a record.
//!
//! Pure. A listing and a read by id go through the same two steps, so that they cannot differ: `slice` keeps
//! the mapped members as they stood in the answer (that text is hashed), `decode` gives them their meaning.

use serde_json::{Map, Value as Json, json};

use super::bind::{Binding, Bindings, Bound, StepRef};
use crate::core::record::Record;
use crate::tallyfy::json::{canonical_instant, instant, items, map, member, scalar, text, truthy};
use crate::tallyfy::path::{Member, TaskPart};
use crate::tallyfy::shape;

/// A process is put away.
pub fn is_archived(run: &Json) -> bool {
    member(run, "archived_at").is_some() || text(run, "status").as_deref() == Some("archived")
}

/// A task is done.
pub fn is_completed(task: &Json) -> bool {
    member(task, "completed_at").is_some()
        || matches!(text(task, "status").as_deref(), Some("completed" | "complete"))
}

/// A rule has taken the task out of the process; it may come back.
pub fn is_hidden(task: &Json) -> bool {
    text(task, "status").as_deref() == Some("auto-skipped")
}

/// The task of a step. By the step's id; by its alias where the task names no step.
pub fn task_of<'a>(step: &StepRef, tasks: &'a [Json]) -> Option<&'a Json> {
    tasks.iter().find(|task| text(task, "step_id").as_deref() == Some(step.id.as_str())).or_else(|| {
        tasks.iter().find(|task| {
            member(task, "step_id").is_none() && step.alias.is_some() && text(task, "alias") == step.alias
        })
    })
}

/// What a listing must hold so that a process can be decoded from its row alone.
pub fn row_suffices(bindings: &Bindings, run: &Json) -> bool {
    (!bindings.has_kickoff() || map(run.get("prerun")).is_some())
        && (!bindings.has(Member::Tags) || run.get("tags").is_some())
}

/// The mapped members of a process and its tasks, as they stood in the answer.
pub fn slice(bindings: &Bindings, run: &Json, tasks: &[Json]) -> Json {
    let mut kept = Map::new();
    let mut keep = |name: &str| {
        if let Some(value) = run.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    };
    for name in ["id", "checklist_id", "status", "archived_at", "last_updated"] {
        keep(name);
    }
    for binding in &bindings.all {
        match &binding.bound {
            Bound::Member(Member::Name) => keep("name"),
            Bound::Member(Member::Summary) => keep("summary"),
            Bound::Member(Member::Owner) => keep("owner_id"),
            Bound::Member(Member::DueDate) => keep("due_date"),
            _ => {}
        }
    }
    if bindings.has(Member::Tags) {
        let titles: Vec<Json> =
            items(run.get("tags")).iter().filter_map(|tag| member(tag, "title").cloned()).collect();
        kept.insert("tags".to_owned(), Json::Array(titles));
    }
    if bindings.has_kickoff()
        && let Some(values) = map(run.get("prerun"))
    {
        let wanted = bindings.all.iter().filter_map(|binding| match &binding.bound {
            Bound::Kickoff(field) => values.get(&field.id).map(|value| (field.id.clone(), value.clone())),
            _ => None,
        });
        kept.insert("prerun".to_owned(), Json::Object(wanted.collect()));
    }
    if let Some(values) = map(run.get("custom_fields")) {
        let wanted: Map<String, Json> = bindings
            .all
            .iter()
            .filter_map(|binding| match &binding.bound {
                Bound::Custom(key) => Some((key.clone(), values.get(key).cloned().unwrap_or(Json::Null))),
                _ => None,
            })
            .collect();
        if !wanted.is_empty() {
            kept.insert("custom_fields".to_owned(), Json::Object(wanted));
        }
    }
    let tasks: Map<String, Json> = bindings
        .steps()
        .into_iter()
        .filter_map(|step| {
            task_of(step, tasks).map(|task| (step.id.clone(), task_slice(bindings, step, task)))
        })
        .collect();
    json!({"run": kept, "tasks": tasks})
}

fn task_slice(bindings: &Bindings, step: &StepRef, task: &Json) -> Json {
    let mut kept = Map::new();
    let mut keep = |name: &str| {
        if let Some(value) = task.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    };
    for name in ["id", "status", "completed_at"] {
        keep(name);
    }
    if bindings.needs(&step.id, TaskPart::Approved) {
        keep("is_approved");
    }
    if bindings.needs(&step.id, TaskPart::Completer) {
        keep("completer_id");
        keep("completer_guest");
    }
    if bindings.needs(&step.id, TaskPart::Deadline) {
        keep("deadline");
    }
    if bindings.needs(&step.id, TaskPart::Owners) {
        let owners = task.get("owners").map(shape::read_owners).unwrap_or_default();
        kept.insert("owners".to_owned(), json!(owners));
    }
    let forms = bindings.forms_of(&step.id);
    if !forms.is_empty() {
        let values = forms.into_iter().map(|field| (field.id.clone(), form_value(task, &field.id)));
        kept.insert("taskdata".to_owned(), Json::Object(values.collect()));
    }
    Json::Object(kept)
}

/// The answer to a form field: in the task's data, else beside the field's definition.
fn form_value(task: &Json, field: &str) -> Json {
    if let Some(value) = map(task.get("taskdata")).and_then(|data| data.get(field).cloned()) {
        return value;
    }
    items(task.get("form_fields"))
        .iter()
        .find(|definition| text(definition, "id").as_deref() == Some(field))
        .and_then(|definition| {
            definition.get("field_value").or_else(|| definition.get("value")).map(|value| {
                // Some answers wrap the stored row; its `value` is the answer.
                value.get("value").filter(|_| value.get("text").is_none()).unwrap_or(value).clone()
            })
        })
        .unwrap_or(Json::Null)
}

/// Gives a slice its meaning.
///
/// # Errors
/// One sentence when the slice is not what it should be; nothing is guessed.
pub fn decode(
    bindings: &Bindings,
    sliced: &Json,
    page_of: &dyn Fn(&str) -> String,
) -> Result<Record, String> {
    let run = sliced.get("run").ok_or("the item holds no process")?;
    let id = text(run, "id").ok_or("the process has no id")?;
    let mut record = Record {
        id,
        version: None,
        updated_at: text(run, "last_updated").and_then(|stamp| instant(&stamp)),
        archived: is_archived(run),
        values: crate::core::record::Values::new(),
    };
    for binding in &bindings.all {
        if let Some(value) = value_of(binding, sliced, run, &record, page_of)? {
            record.values.insert(binding.text.clone(), value);
        }
    }
    Ok(record)
}

fn value_of(
    binding: &Binding,
    sliced: &Json,
    run: &Json,
    record: &Record,
    page_of: &dyn Fn(&str) -> String,
) -> Result<Option<Json>, String> {
    let task = |step: &StepRef| {
        sliced.get("tasks").and_then(|tasks| tasks.get(&step.id)).filter(|task| !is_hidden(task))
    };
    Ok(match &binding.bound {
        Bound::Member(found) => Some(member_value(*found, run, record, page_of)),
        Bound::Custom(key) => run.get("custom_fields").map(|all| blank(all.get(key))),
        Bound::Kickoff(field) => {
            let values = run.get("prerun").ok_or("the process came without its kick-off values")?;
            Some(values.get(&field.id).map_or(Json::Null, |stored| shape::read(&field.kind, stored)))
        }
        Bound::Form(step, field) => task(step).map(|task| {
            task.get("taskdata")
                .and_then(|data| data.get(&field.id))
                .map_or(Json::Null, |stored| shape::read(&field.kind, stored))
        }),
        Bound::Task(step, part) => task(step).map(|task| part_value(*part, task)),
    })
}

fn member_value(found: Member, run: &Json, record: &Record, page_of: &dyn Fn(&str) -> String) -> Json {
    match found {
        Member::Name => blank(run.get("name")),
        Member::Summary => blank(run.get("summary")),
        Member::Owner => member(run, "owner_id").and_then(scalar).map_or(Json::Null, Json::String),
        Member::Status if record.archived => json!("archived"),
        Member::Status => blank(run.get("status")),
        Member::DueDate => blank(run.get("due_date").map(canonical_instant).as_ref()),
        Member::Tags => blank(run.get("tags")),
        Member::Url => Json::String(page_of(&record.id)),
    }
}

fn part_value(part: TaskPart, task: &Json) -> Json {
    let completed = is_completed(task);
    match part {
        TaskPart::Status => blank(task.get("status")),
        TaskPart::Completed => Json::Bool(completed),
        // After a reopening the old decision may still stand in the answer; it no longer counts.
        TaskPart::Approved => match member(task, "is_approved") {
            Some(_) if completed => Json::Bool(truthy(task.get("is_approved"))),
            _ => Json::Null,
        },
        TaskPart::Completer => member(task, "completer_id")
            .or_else(|| member(task, "completer_guest"))
            .and_then(|who| match who {
                Json::Object(_) => text(who, "email").or_else(|| text(who, "id")),
                other => scalar(other),
            })
            .map_or(Json::Null, Json::String),
        TaskPart::CompletedAt => blank(task.get("completed_at").map(canonical_instant).as_ref()),
        TaskPart::Deadline => blank(task.get("deadline").map(canonical_instant).as_ref()),
        TaskPart::Owners => blank(task.get("owners")),
    }
}

fn blank(value: Option<&Json>) -> Json {
    value.map_or(Json::Null, |value| shape::read(&shape::Kind::Text, value))
}
