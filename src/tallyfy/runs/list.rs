//! Listing processes: pages that may shift, and tasks that come by another road.
//!
//! Tallyfy has no changed-since filter, so every listing is complete over the active processes; a sweep adds
//! the archived ones and reads every running process deeply. Nothing here interprets a value.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value as Json, json};

use super::read::{is_archived, row_suffices, task_of};
use super::{Deep, Fetched, Runs, lock, read};
use crate::connector::api::{Failure, FailureClass, Listing, Page, RawItem};
use crate::connector::client::Purpose;
use crate::tallyfy::http::ListPage;
use crate::tallyfy::json::{items, map, text};

/// Deep reads under way at once; the client's budget is tighter where it must be.
const AT_ONCE: usize = 4;
/// Listings remembered between pages; more than one only when two run at once.
const MOST_WALKS: usize = 8;

/// What is remembered from page to page of one listing.
#[derive(Debug, Default)]
pub struct Walk {
    /// Ids on earlier pages.
    seen: HashSet<String>,
    /// Task values by process, from the list of all tasks; `None` when no task is mapped.
    tasks: Option<HashMap<String, Vec<Json>>>,
    /// What the pages of this phase say the total is.
    total: Option<u64>,
    /// Totals of the finished phases.
    totals: Option<u64>,
    /// The totals count processes of other templates too.
    foreign: bool,
    /// Why this listing proves no absence.
    problem: Option<String>,
}

/// Which page comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    walk: u64,
    archived: bool,
    page: u64,
}

impl Place {
    fn text(self) -> String {
        json!({"walk": self.walk, "archived": self.archived, "page": self.page}).to_string()
    }

    fn read(page: &str) -> Option<Self> {
        let token: Json = serde_json::from_str(page).ok()?;
        Some(Self {
            walk: token.get("walk")?.as_u64()?,
            archived: token.get("archived")?.as_bool()?,
            page: token.get("page")?.as_u64()?,
        })
    }
}

impl Runs {
    /// One page; see [`crate::connector::api::Entity::list`].
    pub(super) async fn list_page(&self, listing: &Listing, page: Option<&str>) -> Result<Page, Failure> {
        let full = *listing == Listing::Full;
        let purpose = if full { Purpose::Sweep } else { Purpose::Poll };
        let attempted =
            format!("list processes of `{}` in {}", self.bindings.template.title, self.api.system());
        let (place, mut walk) = match page {
            None => self.start(purpose, None).await?,
            Some(text) => {
                let place = Place::read(text).ok_or_else(|| {
                    Failure::new(FailureClass::CursorExpired, attempted.clone(), "the page token is not ours")
                })?;
                let known = lock(&self.walks).remove(&place.walk);
                match known {
                    Some(walk) => (place, walk),
                    // After a restart: the tasks are read again, what earlier pages held is not known.
                    None => {
                        let (new, walk) = self.start(purpose, Some("the listing was resumed")).await?;
                        (Place { walk: new.walk, ..place }, walk)
                    }
                }
            }
        };
        let answer = self.page_of_walk(&mut walk, place, full, purpose, &attempted).await;
        // Also after a failure: the engine may ask for the same page again.
        let last = answer.as_ref().is_ok_and(|page| page.next.is_none());
        if !last {
            let mut walks = lock(&self.walks);
            walks.insert(place.walk, walk);
            while walks.len() > MOST_WALKS {
                walks.pop_first();
            }
        }
        answer
    }

    async fn start(&self, purpose: Purpose, problem: Option<&str>) -> Result<(Place, Walk), Failure> {
        let mut walk = Walk { problem: problem.map(str::to_owned), ..Walk::default() };
        if self.needs_tasks() {
            walk.tasks = Some(self.walk_tasks(purpose, &mut walk.problem).await?);
        }
        let number = self.api.client().ports().random.next();
        Ok((Place { walk: number, archived: false, page: 1 }, walk))
    }

    async fn page_of_walk(
        &self,
        walk: &mut Walk,
        place: Place,
        full: bool,
        purpose: Purpose,
        attempted: &str,
    ) -> Result<Page, Failure> {
        let phase = if place.archived { "archived" } else { "active" };
        let found = self.runs_page(phase, place.page, "created_at", purpose, attempted).await?;
        let rows = self.rows_of_page(walk, place, &found);
        let tasks = walk.tasks.as_ref();
        let deep: Vec<(String, Option<Deep>)> = stream::iter(rows)
            .map(|(id, run)| async move {
                let deep = self.complete(&id, run, tasks, place.archived, full, purpose).await?;
                Ok::<_, Failure>((id, deep))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut page = Page::default();
        for (id, deep) in deep {
            match deep {
                Some(deep) => page.items.push(RawItem { raw: self.raw(&deep).to_string(), id: id.clone() }),
                None => {
                    walk.problem.get_or_insert(format!("process {id} vanished while it was listed"));
                }
            }
            walk.seen.insert(id);
        }
        walk.total = found.total.or(walk.total);
        page.next = match found.next {
            Some(next) => Some(Place { page: next, ..place }.text()),
            None => {
                walk.totals = walk.total.map(|total| walk.totals.unwrap_or_default() + total);
                walk.total = None;
                (full && !place.archived).then(|| Place { archived: true, page: 1, ..place }.text())
            }
        };
        if page.next.is_none() {
            page.total = walk.totals.filter(|_| !walk.foreign);
            page.cursor = (!full).then(|| "complete".to_owned());
        }
        page.incomplete.clone_from(&walk.problem);
        Ok(page)
    }

    /// The rows of a page that are ours and new; notes what shows that pages have shifted.
    fn rows_of_page(&self, walk: &mut Walk, place: Place, found: &ListPage) -> Vec<(String, Json)> {
        if let (Some(before), Some(now)) = (walk.total, found.total)
            && before != now
        {
            let why = format!("the number of processes went from {before} to {now} between two pages");
            walk.problem.get_or_insert(why);
        }
        let mut rows: Vec<(String, Json)> = Vec::new();
        for run in &found.rows {
            let Some(id) = text(run, "id") else {
                walk.problem.get_or_insert("a process came without an id".to_owned());
                continue;
            };
            let foreign = !self.is_ours(run) || (place.archived && !is_archived(run));
            if foreign {
                walk.foreign = true;
                continue;
            }
            if walk.seen.contains(&id) || rows.iter().any(|(known, _)| *known == id) {
                walk.problem.get_or_insert(format!("process {id} came twice, the pages have shifted"));
                // Archived since it was listed as active: the newer sight counts.
                if !place.archived {
                    continue;
                }
            }
            rows.push((id, run.clone()));
        }
        rows
    }

    /// Joins a row with its tasks, by a deep read where the lists do not tell everything.
    async fn complete(
        &self,
        id: &str,
        run: Json,
        tasks: Option<&HashMap<String, Vec<Json>>>,
        archived: bool,
        full: bool,
        purpose: Purpose,
    ) -> Result<Option<Deep>, Failure> {
        if !row_suffices(&self.bindings, &run) {
            return self.deep(id, purpose).await;
        }
        let Some(tasks) = tasks else { return Ok(Some(Deep { run, tasks: Vec::new() })) };
        if archived || is_archived(&run) {
            return match run.get("tasks") {
                Some(tasks) => {
                    let tasks = items(Some(tasks)).to_vec();
                    Ok(Some(Deep { run, tasks }))
                }
                None => self.deep(id, purpose).await,
            };
        }
        // The tasks of a completed process do not move; the list of all tasks is enough for it.
        if full && text(&run, "status").as_deref() != Some("complete") {
            return self.deep(id, purpose).await;
        }
        let Some(known) = tasks.get(id) else { return self.deep(id, purpose).await };
        if self.bindings.steps().into_iter().all(|step| task_of(step, known).is_some()) {
            return Ok(Some(Deep { run, tasks: known.clone() }));
        }
        // A mapped step has no task in the list: hidden by a rule, or the pages shifted. One deep read
        // tells; it is remembered until the list shows something else.
        let shown = json!([read::slice(&self.bindings, &run, known)]).to_string();
        let hash = xxhash_rust::xxh3::xxh3_64(shown.as_bytes());
        let key = (self.form.clone(), id.to_owned());
        let remembered = lock(&self.deep_reads).get(&key).filter(|(of, _)| *of == hash && !full).cloned();
        if let Some((_, tasks)) = remembered {
            return Ok(Some(Deep { run, tasks }));
        }
        let deep = self.deep(id, purpose).await?;
        if let Some(deep) = &deep {
            let trimmed = deep.tasks.iter().filter_map(|task| self.trim(task)).collect();
            lock(&self.deep_reads).insert(key, (hash, trimmed));
        }
        Ok(deep)
    }

    async fn deep(&self, id: &str, purpose: Purpose) -> Result<Option<Deep>, Failure> {
        Ok(match self.fetch(id, purpose).await? {
            Fetched::Found(deep) => Some(deep),
            Fetched::Missing(_) => None,
        })
    }

    /// The mapped values of the tasks of all our processes, from the list of all tasks. Newest first, so
    /// that a task made meanwhile repeats others but hides none.
    async fn walk_tasks(
        &self,
        purpose: Purpose,
        problem: &mut Option<String>,
    ) -> Result<HashMap<String, Vec<Json>>, Failure> {
        let attempted = format!("list the tasks of {}", self.api.system());
        let mut query = vec![("sort", "newest")];
        if self.bindings.has_forms() {
            query.push(("with", "form_fields"));
        }
        let mut by_run: HashMap<String, Vec<Json>> = HashMap::new();
        let mut seen = HashSet::new();
        let (mut number, mut total) = (1, None);
        loop {
            let page = self.api.page(&["tasks"], &query, number, purpose, &attempted).await?;
            if total.is_some() && page.total.is_some() && total != page.total {
                problem.get_or_insert("the number of tasks changed between two pages".to_owned());
            }
            total = page.total.or(total);
            for task in &page.rows {
                let template = text(task, "checklist_id");
                let foreign = template.is_some_and(|template| template != self.bindings.template.id);
                let (Some(id), Some(run), false) = (text(task, "id"), text(task, "run_id"), foreign) else {
                    continue;
                };
                let of_run = by_run.entry(run).or_default();
                if seen.insert(id) {
                    of_run.extend(self.trim(task));
                }
            }
            match page.next {
                Some(next) => number = next,
                None => return Ok(by_run),
            }
        }
    }

    /// A task cut down to what the mapped paths need; `None` when no mapped step is its.
    fn trim(&self, task: &Json) -> Option<Json> {
        let one = std::slice::from_ref(task);
        let step = self.bindings.steps().into_iter().find(|step| task_of(step, one).is_some())?;
        let mut kept = Map::new();
        for name in [
            "id",
            "step_id",
            "alias",
            "status",
            "completed_at",
            "is_approved",
            "completer_id",
            "completer_guest",
            "deadline",
            "owners",
        ] {
            if let Some(value) = task.get(name) {
                kept.insert(name.to_owned(), value.clone());
            }
        }
        let fields = self.bindings.forms_of(&step.id);
        if let Some(sliced) = (!fields.is_empty())
            .then(|| read::slice(&self.bindings, &Json::Null, one))
            .and_then(|sliced| sliced.get("tasks")?.get(&step.id)?.get("taskdata").cloned())
            && let Some(values) = map(Some(&sliced))
        {
            kept.insert("taskdata".to_owned(), Json::Object(values));
        }
        Some(Json::Object(kept))
    }
}
