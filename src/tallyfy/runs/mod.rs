//! The entity `runs`: the processes launched from one template.
//!
//! This file holds what the other files of the folder share: reading one process deeply, and the trait's
//! face. It decides nothing about conflicts and retries nothing.

mod bind;
mod find;
mod list;
mod plan;
mod read;
mod tags;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;

use self::bind::Bindings;
use self::list::Walk;
use super::http::Api;
use super::json::{items, text, unwrap};
use super::path::Member;
use super::template::Template;
use crate::connector::api::{
    Entity, EntityRequest, Failure, FailureClass, Listing, Lookup, NewRecord, Page, Removal, Tombstones,
    Written,
};
use crate::connector::client::Purpose;
use crate::core::record::{Record, Values};
use crate::ports::BoxFuture;

/// Processes whose tasks had to be read one by one, with the hash of what the listing showed then: as long
/// as the listing shows the same, they need not be read again. Shared by all openings of one system.
pub type DeepReads = Arc<Mutex<HashMap<(String, String), (u64, Vec<Json>)>>>;

/// The processes of one template, for a set of paths.
pub struct Runs {
    api: Arc<Api>,
    bindings: Bindings,
    form: String,
    reopen: bool,
    walks: Mutex<BTreeMap<u64, Walk>>,
    deep_reads: DeepReads,
}

/// One process with its tasks, as the API answered.
#[derive(Debug, Clone, PartialEq)]
struct Deep {
    run: Json,
    tasks: Vec<Json>,
}

/// A read of one process.
enum Fetched {
    Found(Deep),
    Missing(String),
}

impl Runs {
    /// Binds the request to a template that was read just now.
    ///
    /// # Errors
    /// Class `Invalid` when a path means nothing in the template or cannot be written.
    pub fn open(
        api: Arc<Api>,
        template: Template,
        request: &EntityRequest,
        deep_reads: DeepReads,
        attempted: &str,
    ) -> Result<Self, Failure> {
        let bindings = Bindings::resolve(template, request, attempted)?;
        let form = bindings.form(api.organization());
        Ok(Self {
            api,
            bindings,
            form,
            reopen: request.reopen,
            walks: Mutex::new(BTreeMap::new()),
            deep_reads,
        })
    }

    fn needs_tasks(&self) -> bool {
        !self.bindings.steps().is_empty()
    }

    /// The relations that a process must come with.
    fn with(&self, tasks: bool) -> String {
        let mut with: Vec<&str> = Vec::new();
        if tasks && self.needs_tasks() {
            with.push("tasks");
            if self.bindings.has_forms() {
                with.push("tasks.form_fields");
            }
        }
        if self.bindings.has(Member::Tags) {
            with.push("tags");
        }
        with.join(",")
    }

    /// Reads a process and its tasks, as fresh as the API can. A process that cannot be read by its id is
    /// looked for among the archived ones.
    async fn fetch(&self, id: &str, purpose: Purpose) -> Result<Fetched, Failure> {
        let attempted = format!("read process {id} in {}", self.api.system());
        let with = self.with(true);
        let query: Vec<(&str, &str)> =
            if with.is_empty() { Vec::new() } else { vec![("with", with.as_str())] };
        let found = match self.api.find(&["runs", id], &query, purpose, &attempted).await? {
            Some(run) => Some(run),
            None => self.among_archived(id, purpose).await?,
        };
        let Some(run) = found else {
            return Ok(Fetched::Missing(format!(
                "{} answers 404 for process {id}, and it is not among the archived ones: purged, or no \
                 longer visible to this user",
                self.api.system()
            )));
        };
        let Some(shown) = text(&run, "id") else {
            return Err(Failure::new(FailureClass::Bug, attempted, "the answer holds no process"));
        };
        if shown != id {
            let why = format!("process {shown} came instead");
            return Err(Failure::new(FailureClass::Bug, attempted, why));
        }
        if !self.is_ours(&run) {
            return Ok(Fetched::Missing(format!(
                "process {id} belongs to another template than `{}`",
                self.bindings.template.title
            )));
        }
        let tasks = match run.get("tasks") {
            _ if !self.needs_tasks() => Vec::new(),
            Some(tasks) => items(Some(tasks)).to_vec(),
            None => {
                let path = ["runs", id, "tasks"];
                self.api.all(&path, &[("with", "form_fields")], purpose, &attempted).await?
            }
        };
        Ok(Fetched::Found(Deep { run, tasks }))
    }

    async fn among_archived(&self, id: &str, purpose: Purpose) -> Result<Option<Json>, Failure> {
        let attempted = format!("look for process {id} among the archived ones in {}", self.api.system());
        let mut page = 1;
        loop {
            let found = self.runs_page("archived", page, "created_at", purpose, &attempted).await?;
            if let Some(run) = found.rows.iter().find(|run| text(run, "id").as_deref() == Some(id)) {
                return Ok(Some(run.clone()));
            }
            match found.next {
                Some(next) => page = next,
                None => return Ok(None),
            }
        }
    }

    /// One page of the processes of the template.
    async fn runs_page(
        &self,
        phase: &str,
        page: u64,
        sort: &str,
        purpose: Purpose,
        attempted: &str,
    ) -> Result<super::http::ListPage, Failure> {
        let with = self.with(phase == "archived");
        let mut query = vec![("checklist_id", self.bindings.template.id.as_str()), ("sort", sort)];
        if !with.is_empty() {
            query.push(("with", with.as_str()));
        }
        if phase == "archived" {
            query.push(("archived", "only"));
        }
        self.api.page(&["runs"], &query, page, purpose, attempted).await
    }

    /// The filter by template is not relied upon.
    fn is_ours(&self, run: &Json) -> bool {
        text(run, "checklist_id").is_none_or(|template| template == self.bindings.template.id)
    }

    fn raw(&self, deep: &Deep) -> Json {
        read::slice(&self.bindings, &deep.run, &deep.tasks)
    }

    fn record(&self, deep: &Deep) -> Result<Record, Failure> {
        self.meaning(&self.raw(deep))
    }

    fn meaning(&self, sliced: &Json) -> Result<Record, Failure> {
        read::decode(&self.bindings, sliced, &|id| self.api.page_of(id)).map_err(|why| {
            let id = sliced.get("run").and_then(|run| text(run, "id")).unwrap_or_default();
            Failure::new(FailureClass::Bug, format!("read process {id} in {}", self.api.system()), why)
        })
    }
}

impl Deep {
    /// Takes over what the answer to a write to the process shows.
    fn learn_run(&mut self, answer: &Json) {
        if text(answer, "id") == text(&self.run, "id") {
            merge_into(&mut self.run, answer);
        }
    }

    /// Takes over what the answer to a write to a task shows, siblings changed by rules included.
    fn learn_task(&mut self, answer: &Json) {
        let changed = items(answer.get("tasks_changed_by_rules"));
        for shown in std::iter::once(answer).chain(changed.iter().map(unwrap)) {
            let Some(id) = text(shown, "id") else { continue };
            if let Some(task) = self.tasks.iter_mut().find(|task| text(task, "id").as_ref() == Some(&id)) {
                merge_into(task, shown);
            }
        }
    }
}

fn merge_into(known: &mut Json, shown: &Json) {
    if let (Json::Object(known), Json::Object(shown)) = (known, shown) {
        for (name, value) in shown {
            // Relations are included on request only; their absence or brevity in an answer says nothing.
            if !matches!(name.as_str(), "tasks" | "tags" | "form_fields" | "tasks_changed_by_rules") {
                known.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entity for Runs {
    fn form(&self) -> &str {
        &self.form
    }

    fn creates_refused(&self) -> Option<String> {
        self.bindings.marker.as_ref().err().cloned()
    }

    fn list<'a>(
        &'a self,
        listing: &'a Listing,
        page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, Failure>> {
        Box::pin(self.list_page(listing, page))
    }

    fn decode(&self, raw: &str) -> Result<Record, Failure> {
        let sliced: Json = serde_json::from_str(raw).map_err(|error| {
            let attempted = format!("decode a process of {}", self.api.system());
            Failure::new(FailureClass::Bug, attempted, format!("the stored item is no JSON: {error}"))
        })?;
        self.meaning(&sliced)
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Lookup, Failure>> {
        Box::pin(async move {
            match self.fetch(id, Purpose::Poll).await? {
                Fetched::Found(deep) => Ok(Lookup::Found(self.record(&deep)?)),
                Fetched::Missing(why) => Ok(Lookup::Missing(why)),
            }
        })
    }

    fn find<'a>(&'a self, path: &'a str, value: &'a Json) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(self.find_by(path, value))
    }

    fn find_marked<'a>(&'a self, mark: &'a str) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(self.find_mark(mark))
    }

    fn create<'a>(&'a self, new: &'a NewRecord) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.launch(new))
    }

    fn update<'a>(
        &'a self,
        expected: &'a Record,
        changes: &'a Values,
    ) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.change(expected, changes))
    }

    fn remove<'a>(&'a self, expected: &'a Record, how: Removal) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.put_away(expected, how))
    }

    fn tombstones<'a>(&'a self, _since: Option<&'a str>) -> BoxFuture<'a, Result<Tombstones, Failure>> {
        Box::pin(async move {
            let attempted = format!("read deleted processes of {}", self.api.system());
            Err(Failure::new(FailureClass::Invalid, attempted, "Tallyfy has no list of deleted processes"))
        })
    }
}
