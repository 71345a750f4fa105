//! Writing the simpler entities: guests and tasks.
//!
//! As with processes, each write reads and compares just before it is sent, and is sent once.

use serde_json::{Map, Value as Json, json};

use super::json::{instant, member, scalar, text, unwrap};
use super::shape;
use super::table::TableEntity;
use crate::connector::api::{Applied, Failure, FailureClass, NewRecord, Removal, Written};
use crate::connector::client::Purpose;
use crate::core::record::{Record, Values};

impl TableEntity {
    /// The row, if it still shows what the caller had seen.
    async fn unmoved(
        &self,
        expected: &Record,
        paths: impl Iterator<Item = &String>,
        attempted: &str,
    ) -> Result<Json, Failure> {
        let Some(row) = self.row(&expected.id, Purpose::Write).await? else {
            return Err(Failure::new(FailureClass::Gone, attempted, "it is not there, or not visible to us"));
        };
        let seen = self.record(&row)?;
        let moved: Vec<String> =
            paths.filter(|path| expected.values.get(*path) != seen.values.get(*path)).cloned().collect();
        if moved.is_empty() {
            return Ok(row);
        }
        let why = format!("not sent: {} changed in Tallyfy since it was read", moved.join(", "));
        let mut failure = Failure::new(FailureClass::Conflict, attempted, why);
        failure.fields = moved;
        Err(failure)
    }

    /// The members to send.
    fn body(&self, values: &Values, attempted: &str) -> Result<Map<String, Json>, Failure> {
        let invalid = |why: String| Failure::new(FailureClass::Invalid, attempted, why);
        let mut body = Map::new();
        for (path, value) in values {
            let at_creation = self.table.name == "tasks" && path == "task_type";
            if !at_creation && !self.table.writable.contains(&path.as_str()) {
                return Err(invalid(format!("`{path}` of {} cannot be written", self.table.name)));
            }
            let value = match path.as_str() {
                "owners" => shape::write_owners(value).map_err(|why| invalid(format!("`owners`: {why}")))?,
                "deadline" | "started_at" => scalar(value)
                    .and_then(|text| instant(&text))
                    .map(|at| Json::String(at.strftime("%Y-%m-%d %H:%M:%S").to_string()))
                    .ok_or_else(|| invalid(format!("`{path}`: {value} is not an instant")))?,
                "title" => shape::limited(value, 600).map_err(|why| invalid(format!("`title`: {why}")))?,
                _ => value.clone(),
            };
            body.insert(path.clone(), value);
        }
        Ok(body)
    }

    /// Creates a guest or a one-off task.
    pub(super) async fn make(&self, new: &NewRecord) -> Result<Written, Failure> {
        let attempted = self.attempted("create", "");
        let invalid = |why: &str| Failure::new(FailureClass::Invalid, attempted.clone(), why);
        let mut body = self.body(&new.values, &attempted)?;
        match self.table.name {
            "guests" => {
                let email =
                    body.get("email").and_then(scalar).ok_or_else(|| invalid("a guest needs `email`"))?;
                if let Some(row) = self.row(&email, Purpose::Write).await? {
                    return Ok(Written { id: self.id_of(&row), existed: true, ..Written::default() });
                }
            }
            "tasks" => {
                for needed in ["title", "deadline", "owners"] {
                    if !body.contains_key(needed) {
                        return Err(invalid("a task needs `title`, `deadline` and `owners`"));
                    }
                }
                body.entry("task_type").or_insert_with(|| json!("task"));
            }
            _ => return Err(invalid("this entity is read-only")),
        }
        let answer = self.api.write("POST", &[self.table.name], Some(Json::Object(body)), &attempted).await?;
        let Some(id) = self.id_of(&answer) else {
            let mut failure =
                Failure::new(FailureClass::Bug, attempted, "Tallyfy accepted it but gave no id");
            failure.applied = Applied::Unknown;
            return Err(failure);
        };
        Ok(Written { id: Some(id), ..Written::default() })
    }

    /// Writes these members.
    pub(super) async fn change(&self, expected: &Record, changes: &Values) -> Result<Written, Failure> {
        let id = expected.id.as_str();
        let attempted = self.attempted("update", id);
        let mut body = self.body(changes, &attempted)?;
        if self.table.name == "guests" && body.contains_key("email") {
            let why = "the mail address of a guest is its identity; invite the new address as another guest";
            return Err(Failure::new(FailureClass::Invalid, attempted, why));
        }
        let row = self.unmoved(expected, changes.keys(), &attempted).await?;
        let run = text(&row, "run_id").filter(|_| row.get("is_oneoff_task") != Some(&Json::Bool(true)));
        let answer = match (self.table.name, &run) {
            ("tasks", Some(run)) => {
                self.api
                    .write("PUT", &["runs", run, "tasks", id], Some(Json::Object(body)), &attempted)
                    .await?
            }
            ("tasks", None) => {
                // An update of a one-off task must repeat these, changed or not.
                for name in ["title", "deadline"] {
                    body.entry(name).or_insert_with(|| row.get(name).cloned().unwrap_or(Json::Null));
                }
                if !body.contains_key("owners") {
                    let owners = json!(row.get("owners").map(shape::read_owners).unwrap_or_default());
                    let owners = shape::write_owners(&owners)
                        .map_err(|why| Failure::new(FailureClass::Bug, attempted.clone(), why))?;
                    body.insert("owners".to_owned(), owners);
                }
                self.api.write("PUT", &["tasks", id], Some(Json::Object(body)), &attempted).await?
            }
            (name, _) => self.api.write("PUT", &[name, id], Some(Json::Object(body)), &attempted).await?,
        };
        // An answer that shows the record spares a read that a lagging replica might answer wrongly.
        let shown = unwrap(&answer);
        let complete = self.id_of(shown).as_deref() == Some(id)
            && self
                .paths
                .iter()
                .all(|(_, members)| members.iter().try_fold(shown, |v, m| v.get(m)).is_some());
        let record = if complete { self.record(shown).ok() } else { None };
        Ok(Written { record, ..Written::default() })
    }

    /// Archives or deletes.
    pub(super) async fn put_away(&self, expected: &Record, how: Removal) -> Result<Written, Failure> {
        let id = expected.id.as_str();
        let attempted = self.attempted("remove", id);
        let row = self.unmoved(expected, expected.values.keys(), &attempted).await?;
        let one_off =
            member(&row, "run_id").is_none() || row.get("is_oneoff_task") == Some(&Json::Bool(true));
        match (self.table.name, how) {
            ("tasks", _) if !one_off => {
                let why = "a task of a process goes only with its process";
                return Err(Failure::new(FailureClass::Invalid, attempted, why));
            }
            ("tasks", _) => {
                if member(&row, "archived_at").is_none() {
                    self.api.write("DELETE", &["tasks", id], None, &attempted).await?;
                }
                if how == Removal::Delete {
                    self.api
                        .write("DELETE", &["tasks", id, "delete"], None, &attempted)
                        .await
                        .map_err(|failure| super::http::partly(failure, "its archiving"))?;
                }
            }
            ("guests", Removal::Delete) => {
                self.api.write("DELETE", &["guests", id], None, &attempted).await?;
            }
            _ => {
                let why = format!("{} cannot be removed in this way", self.table.name);
                return Err(Failure::new(FailureClass::Invalid, attempted, why));
            }
        }
        Ok(Written::default())
    }
}
