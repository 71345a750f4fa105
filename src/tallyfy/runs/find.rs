//! Looking for processes by a value or by the mark of a launch.
//!
//! Archived processes are always looked through too. Tallyfy may answer from a replica that lags; asking
//! again later is the engine's business.

use serde_json::Value as Json;

use super::bind::{Bound, Marker};
use super::plan::same;
use super::{Deep, Fetched, Runs};
use crate::connector::api::{Entity, Failure, FailureClass, Listing};
use crate::connector::client::Purpose;
use crate::core::record::Record;
use crate::tallyfy::json::{map, scalar, text};
use crate::tallyfy::path::Member;
use crate::tallyfy::shape::{self, Kind};

impl Runs {
    /// Processes whose `path` has this value: the name by search, kick-off fields by walking.
    pub(super) async fn find_by(&self, path: &str, value: &Json) -> Result<Vec<Record>, Failure> {
        let attempted = format!("look for a process with {path} = {value} in {}", self.api.system());
        let binding = self
            .bindings
            .get(path)
            .map_err(|why| Failure::new(FailureClass::Invalid, attempted.clone(), why))?;
        let rows = match &binding.bound {
            Bound::Member(Member::Name) => {
                let name = scalar(value).unwrap_or_default();
                let found = self.search(&name, &attempted).await?;
                found.into_iter().filter(|run| text(run, "name").as_deref() == Some(name.as_str())).collect()
            }
            Bound::Kickoff(field) => {
                self.walk_for(&attempted, |run| kickoff_is(run, &field.id, &field.kind, value)).await?
            }
            _ => return self.list_for(path, value).await,
        };
        self.records(rows).await
    }

    /// Any other path: a complete listing, which costs as much as a sweep.
    async fn list_for(&self, path: &str, value: &Json) -> Result<Vec<Record>, Failure> {
        let mut found: Vec<Record> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.list_page(&Listing::Full, next.as_deref()).await?;
            for item in page.items {
                let record = self.decode(&item.raw)?;
                found.retain(|known| known.id != record.id);
                if record.values.get(path).is_some_and(|seen| same(seen, value)) {
                    found.push(record);
                }
            }
            match page.next {
                Some(token) => next = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// Processes that a launch with this mark has made.
    pub(super) async fn find_mark(&self, mark: &str) -> Result<Vec<Record>, Failure> {
        let attempted = format!("look for the launch marked {mark} in {}", self.api.system());
        let marker = self
            .bindings
            .marker
            .as_ref()
            .map_err(|why| Failure::new(FailureClass::Invalid, attempted.clone(), why.clone()))?;
        let rows = match marker {
            Marker::Name => {
                let found = self.search(mark, &attempted).await?;
                found
                    .into_iter()
                    .filter(|run| text(run, "name").is_some_and(|it| it.contains(mark)))
                    .collect()
            }
            Marker::Kickoff(field) => {
                let wanted = Json::String(mark.to_owned());
                self.walk_for(&attempted, |run| kickoff_is(run, &field.id, &field.kind, &wanted)).await?
            }
        };
        self.records(rows).await
    }

    /// Tallyfy's search by name, over active and archived processes.
    async fn search(&self, words: &str, attempted: &str) -> Result<Vec<Json>, Failure> {
        let mut rows: Vec<Json> = Vec::new();
        for archived in [false, true] {
            let mut query = vec![("q", words), ("checklist_id", self.bindings.template.id.as_str())];
            if archived {
                query.push(("archived", "only"));
            }
            rows.extend(self.api.all(&["runs"], &query, Purpose::Write, attempted).await?);
        }
        Ok(rows)
    }

    /// Every process of the template that fits, newest first, active and archived ones.
    async fn walk_for(
        &self,
        attempted: &str,
        fits: impl Fn(&Json) -> Option<bool>,
    ) -> Result<Vec<Json>, Failure> {
        let mut rows = Vec::new();
        for phase in ["active", "archived"] {
            let mut page = 1;
            loop {
                let found = self.runs_page(phase, page, "-created_at", Purpose::Write, attempted).await?;
                for run in found.rows {
                    if !self.is_ours(&run) {
                        continue;
                    }
                    match fits(&run) {
                        Some(true) => rows.push(run),
                        Some(false) => {}
                        None => {
                            let why =
                                "the list shows no kick-off values, so nothing can be concluded from it";
                            return Err(Failure::new(FailureClass::Bug, attempted, why));
                        }
                    }
                }
                match found.next {
                    Some(next) => page = next,
                    None => break,
                }
            }
        }
        Ok(rows)
    }

    /// The records of rows, each once, read deeply where the row does not show everything.
    async fn records(&self, rows: Vec<Json>) -> Result<Vec<Record>, Failure> {
        let mut records: Vec<Record> = Vec::new();
        for run in rows {
            let Some(id) = text(&run, "id") else { continue };
            if !self.is_ours(&run) || records.iter().any(|record| record.id == id) {
                continue;
            }
            if !self.needs_tasks() && super::read::row_suffices(&self.bindings, &run) {
                records.push(self.record(&Deep { run, tasks: Vec::new() })?);
            } else if let Fetched::Found(deep) = self.fetch(&id, Purpose::Write).await? {
                records.push(self.record(&deep)?);
            }
        }
        Ok(records)
    }
}

/// Whether a row has that kick-off value; `None` when the row shows no values at all.
fn kickoff_is(run: &Json, field: &str, kind: &Kind, value: &Json) -> Option<bool> {
    let values = map(run.get("prerun"))?;
    Some(values.get(field).is_some_and(|stored| same(&shape::read(kind, stored), value)))
}
