//! What changed values mean as calls: the body of the process, of each task, and the completions.
//!
//! Pure. Everything that can be wrong with a value is found here, before anything is sent.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::bind::{Binding, Bindings, Bound, StepRef};
use crate::core::record::Values;
use crate::tallyfy::json::{moment, scalar, user_id};
use crate::tallyfy::path::{Member, RunPath, TaskPart};
use crate::tallyfy::shape;

/// The calls that a set of values needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Members of the process.
    pub run: Map<String, Json>,
    /// Kick-off values by timeline id.
    pub prerun: Map<String, Json>,
    /// Custom fields.
    pub custom: Vec<(String, Json)>,
    /// All titles of tags that the process shall have.
    pub tags: Option<Vec<String>>,
    /// Tasks by the place of their step: earlier steps are completed first.
    pub tasks: BTreeMap<usize, TaskPlan>,
}

/// What is to be done with one task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPlan {
    /// Its step.
    pub step: StepRef,
    /// Members of the task.
    pub members: Map<String, Json>,
    /// Form values by timeline id.
    pub taskdata: Map<String, Json>,
    /// `completed` as wanted.
    pub completed: Option<bool>,
    /// `approved` as wanted; `Some(None)` takes the decision back.
    pub approved: Option<Option<bool>>,
}

impl TaskPlan {
    /// Whether the task shall be completed in the end.
    pub fn wants_completed(&self, now: bool) -> bool {
        match (self.completed, self.approved) {
            (Some(completed), _) => completed,
            (None, Some(decision)) => decision.is_some(),
            (None, None) => now,
        }
    }

    /// Something other than a completion is written.
    pub fn has_values(&self) -> bool {
        !self.members.is_empty() || !self.taskdata.is_empty()
    }
}

impl Plan {
    /// Reads the values.
    ///
    /// # Errors
    /// Every path with its problem.
    pub fn of(bindings: &Bindings, values: &Values) -> Result<Self, Vec<(String, String)>> {
        let mut plan = Self::default();
        let mut problems = Vec::new();
        for (path, value) in values {
            let added = bindings.get(path).and_then(|binding| plan.add(&binding, value));
            if let Err(why) = added {
                problems.push((path.clone(), format!("`{path}`: {why}")));
            }
        }
        for task in plan.tasks.values() {
            if matches!(
                (task.completed, task.approved),
                (Some(false), Some(Some(_))) | (Some(true), Some(None))
            ) {
                let why = format!("the task `{}` cannot be open and decided at once", task.step.title);
                problems.push((format!("tasks.{}.approved", task.step.title), why));
            }
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// Nothing is written to the process itself.
    pub fn leaves_run(&self) -> bool {
        self.run.is_empty() && self.prerun.is_empty()
    }

    fn add(&mut self, binding: &Binding, value: &Json) -> Result<(), String> {
        match &binding.bound {
            Bound::Member(member) => self.add_member(*member, binding, value),
            Bound::Custom(key) => {
                self.custom.push((key.clone(), value.clone()));
                Ok(())
            }
            Bound::Kickoff(field) => {
                let encoded =
                    shape::write(field, value).map_err(|why| format!("field `{}`: {why}", field.label))?;
                self.prerun.insert(field.id.clone(), encoded);
                Ok(())
            }
            Bound::Form(step, field) => {
                let encoded =
                    shape::write(field, value).map_err(|why| format!("field `{}`: {why}", field.label))?;
                self.task(step).taskdata.insert(field.id.clone(), encoded);
                Ok(())
            }
            Bound::Task(step, part) => self.add_part(step, *part, binding, value),
        }
    }

    fn add_member(&mut self, member: Member, binding: &Binding, value: &Json) -> Result<(), String> {
        match member {
            Member::Name => {
                if value.is_null() || value.as_str().is_some_and(|name| name.trim().is_empty()) {
                    return Err("a process cannot be without a name".to_owned());
                }
                self.run.insert("name".to_owned(), shape::limited(value, 550)?);
            }
            Member::Summary => {
                let text = if value.is_null() {
                    Json::String(String::new())
                } else {
                    shape::limited(value, 30_000)?
                };
                self.run.insert("summary".to_owned(), text);
            }
            Member::Owner => {
                let id = scalar(value).and_then(|text| user_id(&text));
                let id = id.ok_or_else(|| format!("{value} is not the number of a member"))?;
                self.run.insert("owner_id".to_owned(), id);
            }
            Member::Tags => {
                let titles = match value {
                    Json::Null => Vec::new(),
                    Json::Array(list) => list.iter().filter_map(scalar).collect(),
                    other => scalar(other).into_iter().collect(),
                };
                self.tags = Some(titles);
            }
            Member::Status | Member::DueDate | Member::Url => return Err(read_only(binding)),
        }
        Ok(())
    }

    fn add_part(
        &mut self,
        step: &StepRef,
        part: TaskPart,
        binding: &Binding,
        value: &Json,
    ) -> Result<(), String> {
        match part {
            TaskPart::Completed => self.task(step).completed = Some(flag(value)?.unwrap_or(false)),
            TaskPart::Approved => {
                if !step.approval {
                    return Err(format!("the step `{}` is not an approval", step.title));
                }
                self.task(step).approved = Some(flag(value)?);
            }
            TaskPart::Deadline => {
                let encoded = deadline(value)?;
                self.task(step).members.insert("deadline".to_owned(), encoded);
            }
            TaskPart::Owners => {
                let encoded = shape::write_owners(value)?;
                self.task(step).members.insert("owners".to_owned(), encoded);
            }
            TaskPart::Status | TaskPart::Completer | TaskPart::CompletedAt => return Err(read_only(binding)),
        }
        Ok(())
    }

    fn task(&mut self, step: &StepRef) -> &mut TaskPlan {
        self.tasks.entry(step.place).or_insert_with(|| TaskPlan {
            step: step.clone(),
            members: Map::new(),
            taskdata: Map::new(),
            completed: None,
            approved: None,
        })
    }
}

fn read_only(binding: &Binding) -> String {
    let why = RunPath::parse(&binding.text).ok().and_then(|path| path.read_only());
    format!("it is read-only: {}", why.unwrap_or_default())
}

fn flag(value: &Json) -> Result<Option<bool>, String> {
    match value {
        Json::Null => Ok(None),
        Json::Bool(flag) => Ok(Some(*flag)),
        other => match scalar(other).as_deref() {
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            _ => Err(format!("{other} is neither true nor false")),
        },
    }
}

/// `YYYY-MM-DD HH:MM:SS` in UTC, the form that every client of Tallyfy sends.
fn deadline(value: &Json) -> Result<Json, String> {
    if value.is_null() {
        return Err("a deadline can be moved, not removed".to_owned());
    }
    let text = scalar(value).ok_or("a day or an instant is needed")?;
    let at = moment(&text);
    let at = at.ok_or_else(|| format!("`{text}` is neither a day nor an instant in ISO 8601"))?;
    Ok(Json::String(at.strftime("%Y-%m-%d %H:%M:%S").to_string()))
}

/// Two values say the same: equal, equal as texts, the same moment, or lists with the same texts.
pub fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Array(left), Json::Array(right)) => {
            let texts = |list: &[Json]| {
                let mut texts: Vec<Option<String>> = list.iter().map(scalar).collect();
                texts.sort();
                texts
            };
            left == right || (texts(left) == texts(right) && !texts(left).contains(&None))
        }
        (Json::Null, other) | (other, Json::Null) => match other {
            Json::Null => true,
            Json::String(text) => text.is_empty(),
            Json::Array(list) => list.is_empty(),
            _ => false,
        },
        (Json::String(left), Json::String(right)) if left != right => {
            moment(left).is_some_and(|at| moment(right) == Some(at))
        }
        _ => left == right || (scalar(left).is_some() && scalar(left) == scalar(right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_the_same_in_any_spelling() {
        for (left, right) in [
            (json!("12.50"), json!("12.50")),
            (json!(12), json!("12")),
            (json!("2026-06-01"), json!("2026-06-01T00:00:00.000Z")),
            (json!(["b", "a"]), json!(["a", "b"])),
            (Json::Null, json!("")),
            (json!([]), Json::Null),
        ] {
            assert!(same(&left, &right) && same(&right, &left), "{left} {right}");
        }
        for (left, right) in [
            (json!("12.50"), json!("12.5")),
            (json!("2026-06-01"), json!("2026-06-02")),
            (json!(["a"]), json!(["a", "a"])),
            (Json::Null, json!(false)),
            (json!("a"), json!(["a"])),
        ] {
            assert!(!same(&left, &right) && !same(&right, &left), "{left} {right}");
        }
    }

    #[test]
    fn deadlines_are_written_in_utc_and_never_removed() {
        assert_eq!(deadline(&json!("2026-06-01T14:00:00+02:00")), Ok(json!("2026-06-01 12:00:00")));
        assert_eq!(deadline(&json!("2026-06-01")), Ok(json!("2026-06-01 00:00:00")));
        assert!(deadline(&Json::Null).is_err() && deadline(&json!("soon")).is_err());
    }

    #[test]
    fn flags_are_read_in_every_spelling() {
        assert_eq!(flag(&json!("true")), Ok(Some(true)));
        assert_eq!(flag(&json!(0)), Ok(Some(false)));
        assert_eq!(flag(&Json::Null), Ok(None));
        assert!(flag(&json!("approved")).is_err());
    }
}
