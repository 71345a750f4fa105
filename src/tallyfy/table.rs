//! The simpler entities of Tallyfy, by one table: tasks, users, guests, checklists, tags, groups.
//!
//! Paths are members of the object as Tallyfy names them (`company_name`, `custom.KEY`), nested ones with
//! dots. No conflict is decided here and no write is repeated.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::http::{Api, ListPage};
use super::json::{canonical_instant, instant, member, scalar, text};
use super::path::segments;
use super::shape;
use crate::connector::api::{
    Capabilities, CreateIdentity, Entity, EntityRequest, Failure, FailureClass, FindPaths, Listing, Lookup,
    NewRecord, Page, RawItem, Removal, Tombstones, Written,
};
use crate::connector::client::Purpose;
use crate::core::record::{Record, Values};
use crate::ports::BoxFuture;

/// One simple entity.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, which is its address too.
    pub name: &'static str,
    /// The member that is the id.
    id: &'static str,
    /// `GET /{name}/{id}` works for every user; otherwise the list is searched.
    by_id: bool,
    /// There is a list of archived ones.
    archives: bool,
    /// Members that can be written; none: the entity is read-only.
    pub(super) writable: &'static [&'static str],
    /// Small enough to be searched by walking the list.
    small: bool,
}

/// Every simple entity.
pub const TABLES: &[Table] = &[
    Table {
        name: "tasks",
        id: "id",
        by_id: true,
        archives: true,
        writable: &["title", "summary", "deadline", "owners", "started_at"],
        small: false,
    },
    Table { name: "users", id: "id", by_id: false, archives: false, writable: &[], small: true },
    Table {
        name: "guests",
        id: "email",
        by_id: true,
        archives: false,
        writable: &[
            "email",
            "first_name",
            "last_name",
            "phone_1",
            "company_name",
            "company_url",
            "contact_url",
            "opportunity_url",
            "opportunity_name",
            "external_sync_source",
            "external_date_creation",
        ],
        small: true,
    },
    Table { name: "checklists", id: "id", by_id: true, archives: true, writable: &[], small: true },
    Table { name: "tags", id: "id", by_id: false, archives: false, writable: &[], small: true },
    Table { name: "groups", id: "id", by_id: true, archives: false, writable: &[], small: true },
];

impl Table {
    /// By name; `templates` and `blueprints` are the names people use for checklists.
    pub fn named(name: &str) -> Option<&'static Self> {
        let name = if matches!(name, "templates" | "blueprints") { "checklists" } else { name };
        TABLES.iter().find(|table| table.name == name)
    }

    /// What it can do, from what processes can.
    pub fn capabilities(&self, runs: Capabilities) -> Capabilities {
        Capabilities {
            create: CreateIdentity::None,
            find: if self.small { FindPaths::Any } else { FindPaths::None },
            archive: self.name == "tasks",
            delete: matches!(self.name, "tasks" | "guests"),
            // The id of a guest is a mail address, which may come back.
            ids_never_reused: self.name != "guests",
            condition_note: Some(if self.writable.is_empty() {
                "read-only".to_owned()
            } else {
                "Tallyfy has no version: the record is read and compared just before each write".to_owned()
            }),
            ..runs
        }
    }
}

/// One simple entity, opened for a set of paths.
pub struct TableEntity {
    pub(super) api: Arc<Api>,
    pub(super) table: &'static Table,
    /// The text of each path and the members it leads through.
    pub(super) paths: Vec<(String, Vec<String>)>,
    form: String,
}

impl TableEntity {
    /// Opens it.
    ///
    /// # Errors
    /// Class `Invalid` for a path that is none or cannot be written.
    pub fn open(api: Arc<Api>, table: &'static Table, request: &EntityRequest) -> Result<Self, Failure> {
        let attempted = format!("open {} in {}", table.name, api.system());
        let mut problems = Vec::new();
        let mut paths = Vec::new();
        for path in &request.paths {
            match members_of(path) {
                Ok(members) => paths.push((path.clone(), members)),
                Err(why) => problems.push(why),
            }
        }
        for path in request.written.iter().filter(|path| !table.writable.contains(&path.as_str())) {
            problems.push(if table.writable.is_empty() {
                format!("`{path}` cannot be written: {} are read-only here", table.name)
            } else {
                format!(
                    "`{path}` cannot be written; of {} these can: {}",
                    table.name,
                    table.writable.join(", ")
                )
            });
        }
        if !problems.is_empty() {
            return Err(Failure::new(FailureClass::Invalid, attempted, problems.join("; ")));
        }
        let form = format!("tallyfy/{}/1 {} {}", table.name, api.organization(), request.paths.join("\n"));
        Ok(Self { api, table, paths, form })
    }

    pub(super) fn attempted(&self, what: &str, id: &str) -> String {
        format!("{what} {} {id} in {}", self.table.name, self.api.system())
    }

    pub(super) fn id_of(&self, row: &Json) -> Option<String> {
        text(row, self.table.id)
    }

    /// The mapped members, as they stood in the answer.
    fn slice(&self, row: &Json) -> Json {
        let mut kept = Map::new();
        let fixed = [self.table.id, "archived_at", "last_updated", "updated_at"];
        let mapped = self.paths.iter().filter_map(|(_, members)| members.first().map(String::as_str));
        for name in fixed.into_iter().chain(mapped) {
            if let Some(value) = row.get(name) {
                kept.insert(name.to_owned(), value.clone());
            }
        }
        Json::Object(kept)
    }

    pub(super) fn record(&self, row: &Json) -> Result<Record, Failure> {
        let id = self.id_of(row).ok_or_else(|| {
            Failure::new(
                FailureClass::Bug,
                self.attempted("read", ""),
                format!("a row has no `{}`", self.table.id),
            )
        })?;
        let updated = text(row, "last_updated").or_else(|| text(row, "updated_at"));
        let mut values = Values::new();
        for (path, members) in &self.paths {
            let found = members.iter().try_fold(row, |value, name| value.get(name));
            if let Some(found) = found {
                values.insert(path.clone(), meaning(path, found));
            }
        }
        Ok(Record {
            id,
            version: None,
            updated_at: updated.and_then(|stamp| instant(&stamp)),
            archived: member(row, "archived_at").is_some(),
            values,
        })
    }

    async fn list_page(&self, listing: &Listing, page: Option<&str>) -> Result<Page, Failure> {
        let attempted = format!("list {} in {}", self.table.name, self.api.system());
        let full = *listing == Listing::Full;
        let purpose = if full { Purpose::Sweep } else { Purpose::Poll };
        let at: Json =
            page.and_then(|page| serde_json::from_str(page).ok()).unwrap_or_else(|| json!({"page": 1}));
        let number = |name: &str| at.get(name).and_then(Json::as_u64);
        let (current, before) = (number("page").unwrap_or(1), number("total"));
        let archived = at.get("archived").is_some();
        let found =
            self.api.page(&[self.table.name], &self.query(archived), current, purpose, &attempted).await?;
        let mut answer = Page { items: self.items(&found), ..Page::default() };
        let shifted = matches!((before, found.total), (Some(before), Some(now)) if before != now);
        if shifted || at.get("shifted").is_some() {
            answer.incomplete = Some("the number of rows changed between two pages".to_owned());
        }
        let mut next = match found.next {
            Some(next) => json!({"page": next, "total": found.total}),
            None if full && self.table.archives && !archived => json!({"page": 1, "archived": true}),
            None => {
                answer.cursor = (!full).then(|| "complete".to_owned());
                return Ok(answer);
            }
        };
        if let Json::Object(next) = &mut next {
            if archived {
                next.insert("archived".to_owned(), Json::Bool(true));
            }
            if answer.incomplete.is_some() {
                next.insert("shifted".to_owned(), Json::Bool(true));
            }
        }
        answer.next = Some(next.to_string());
        Ok(answer)
    }

    /// What a list must be asked so that its rows show what a read by id shows.
    fn query(&self, archived: bool) -> Vec<(&'static str, &'static str)> {
        let mut query = Vec::new();
        if self.table.name == "tasks" {
            query.extend([("sort", "newest"), ("with", "summary")]);
        }
        if archived {
            query.push(("archived", "only"));
        }
        query
    }

    fn items(&self, found: &ListPage) -> Vec<RawItem> {
        found
            .rows
            .iter()
            .filter_map(|row| Some(RawItem { id: self.id_of(row)?, raw: self.slice(row).to_string() }))
            .collect()
    }

    pub(super) async fn row(&self, id: &str, purpose: Purpose) -> Result<Option<Json>, Failure> {
        let attempted = self.attempted("read", id);
        let name = self.table.name;
        if self.table.by_id
            && let Some(found) = self.api.find(&[name, id], &[], purpose, &attempted).await?
        {
            return Ok(Some(found));
        }
        for archived in [false, true] {
            let listed = if archived { self.table.archives } else { !self.table.by_id };
            if !listed {
                continue;
            }
            let rows = self.api.all(&[name], &self.query(archived), purpose, &attempted).await?;
            if let Some(row) = rows.into_iter().find(|row| self.id_of(row).as_deref() == Some(id)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    async fn search(&self, path: &str, value: &Json) -> Result<Vec<Record>, Failure> {
        let attempted =
            format!("look for {} with {path} = {value} in {}", self.table.name, self.api.system());
        let name = self.table.name;
        let mut rows = self.api.all(&[name], &self.query(false), Purpose::Write, &attempted).await?;
        if self.table.archives {
            rows.extend(self.api.all(&[name], &self.query(true), Purpose::Write, &attempted).await?);
        }
        let members = members_of(path).map_err(|why| Failure::new(FailureClass::Invalid, attempted, why))?;
        let fits = |row: &Json| {
            let found = members.iter().try_fold(row, |value, name| value.get(name))?;
            let found = meaning(path, found);
            Some(found == *value || (scalar(&found).is_some() && scalar(&found) == scalar(value)))
        };
        rows.iter().filter(|row| fits(row) == Some(true)).map(|row| self.record(row)).collect()
    }
}

fn members_of(path: &str) -> Result<Vec<String>, String> {
    let mut members = segments(path).map_err(|why| format!("`{path}` is not a path: {why}"))?;
    if members.len() > 1
        && let Some(first) = members.first_mut().filter(|first| *first == "custom")
    {
        "custom_fields".clone_into(first);
    }
    Ok(members)
}

/// One spelling for what Tallyfy spells in several ways; a blank is null.
fn meaning(path: &str, value: &Json) -> Json {
    let stamp = matches!(path, "deadline" | "due_date") || path.ends_with("_at") || path == "last_updated";
    match value {
        Json::Object(_) if path == "owners" => {
            shape::read(&shape::Kind::Text, &json!(shape::read_owners(value)))
        }
        _ if stamp => canonical_instant(value),
        _ => shape::read(&shape::Kind::Text, value),
    }
}

impl Entity for TableEntity {
    fn form(&self) -> &str {
        &self.form
    }

    fn list<'a>(
        &'a self,
        listing: &'a Listing,
        page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, Failure>> {
        Box::pin(self.list_page(listing, page))
    }

    fn decode(&self, raw: &str) -> Result<Record, Failure> {
        let row: Json = serde_json::from_str(raw).map_err(|error| {
            Failure::new(FailureClass::Bug, self.attempted("decode", ""), format!("no JSON: {error}"))
        })?;
        self.record(&row)
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Lookup, Failure>> {
        Box::pin(async move {
            Ok(match self.row(id, Purpose::Poll).await? {
                Some(row) => Lookup::Found(self.record(&row)?),
                None => Lookup::Missing(format!(
                    "{} shows no {} {id}: deleted, or not visible to this user",
                    self.api.system(),
                    self.table.name
                )),
            })
        })
    }

    fn find<'a>(&'a self, path: &'a str, value: &'a Json) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(self.search(path, value))
    }

    fn find_marked<'a>(&'a self, mark: &'a str) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(async move {
            let attempted = self.attempted("look for the mark", mark);
            let why = format!("{} of Tallyfy carry no mark", self.table.name);
            Err(Failure::new(FailureClass::Invalid, attempted, why))
        })
    }

    fn create<'a>(&'a self, new: &'a NewRecord) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.make(new))
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
            let attempted = self.attempted("read deleted", "");
            Err(Failure::new(FailureClass::Invalid, attempted, "Tallyfy has no list of deleted records"))
        })
    }
}
