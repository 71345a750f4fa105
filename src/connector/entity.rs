//! One entity of a declarative system, opened for a set of paths: reads and writes of single records.
//!
//! Listings stand in `listing.rs`, deletions in `tombstones.rs`. Nothing here decides a conflict or
//! repeats a write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex_lite::Regex;
use serde_json::{Map, Value as Json};

use super::api::{
    Applied, Capabilities, CreateIdentity, Entity, EntityRequest, Failure, FailureClass, Listing, Lookup,
    NewRecord, Page, Removal, Tombstones, Written,
};
use super::client::Purpose;
use super::connection::{Answer, Ask, Connection};
use super::definition::Operation;
use super::items::{self, Codecs, Decoder};
use super::placeholder::{Scope, Text, plain};
use super::rules::{CallKind, ErrorClass};
use super::system::{Plan, operation};
use crate::core::record::{Record, Values};
use crate::ports::BoxFuture;

/// See the module.
pub struct DeclarativeEntity {
    pub(super) connection: Arc<Connection>,
    pub(super) plan: Plan,
    pub(super) request: EntityRequest,
    pub(super) decoder: Decoder,
    /// That of the listing, made once: a first poll decodes every record.
    pub(super) listed: Decoder,
    pub(super) holes: BTreeMap<String, Json>,
    pub(super) write_as: Vec<(Option<Regex>, BTreeSet<String>, String)>,
    pub(super) form: String,
}

impl DeclarativeEntity {
    /// The decoder for the answers of one operation.
    pub(super) fn decoder_of(&self, operation: &Operation) -> Decoder {
        Decoder {
            absent_is_null: operation.absent.as_deref() == Some("null"),
            drop: operation.drop.clone(),
            codecs: Codecs(operation.codecs.clone()),
            ..self.decoder.clone()
        }
    }

    /// `update salesOrder 1042 in erp`.
    pub(super) fn words(&self, verb: &str, id: &str) -> String {
        let system = self.connection.system();
        let space = if id.is_empty() { "" } else { " " };
        format!("{verb} {}{space}{id} in {system}", self.request.entity)
    }

    pub(super) fn operation(&self, name: &str, attempted: &str) -> Result<&Operation, Failure> {
        operation(&self.plan.template, name).ok_or_else(|| {
            Failure::new(
                FailureClass::Invalid,
                attempted,
                format!("not sent: the connector has no operation {name:?} for {}", self.request.entity),
            )
        })
    }

    pub(super) fn holes(&self, more: &[(&str, Json)]) -> BTreeMap<String, Json> {
        let mut holes = self.holes.clone();
        holes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        holes
    }

    pub(super) async fn read(
        &self,
        operation: &Operation,
        holes: &BTreeMap<String, Json>,
        attempted: String,
        kind: CallKind,
    ) -> Result<Answer, Failure> {
        let ask = Ask {
            operation,
            holes,
            next_url: None,
            attempted,
            purpose: Purpose::Write,
            repeatable: true,
            kind,
        };
        self.connection.exchange(ask).await
    }

    async fn write(
        &self,
        operation: &Operation,
        holes: &BTreeMap<String, Json>,
        attempted: String,
    ) -> Result<Answer, Failure> {
        let ask = Ask {
            operation,
            holes,
            next_url: None,
            attempted,
            purpose: Purpose::Write,
            repeatable: false,
            kind: CallKind::One,
        };
        self.connection.exchange(ask).await
    }

    fn bug(attempted: &str, why: String) -> Failure {
        Failure::new(FailureClass::Bug, attempted, why)
    }

    /// The records of an answer, whether it holds one or a list.
    fn records(
        &self,
        operation: &Operation,
        answer: &Answer,
        attempted: &str,
    ) -> Result<Vec<Record>, Failure> {
        if answer.empty {
            return Ok(Vec::new());
        }
        let decoder = self.decoder_of(operation);
        let bug = |why: String| Self::bug(attempted, why);
        let raws: Vec<String> = match &operation.records {
            Some(pointer) => items::split(&answer.text, &answer.pointer(pointer))
                .map_err(bug)?
                .iter()
                .map(|raw| raw.get().to_owned())
                .collect(),
            None => {
                let pointer = answer.pointer(operation.record.as_deref().unwrap_or_default());
                let raw = items::at(&answer.text, &pointer).map_err(bug)?;
                raw.map(|raw| raw.get().to_owned()).into_iter().filter(|raw| raw != "null").collect()
            }
        };
        raws.iter().map(|raw| decoder.decode(raw).map_err(bug)).collect()
    }

    async fn get_now(&self, id: &str) -> Result<Lookup, Failure> {
        let attempted = self.words("read", id);
        let related = self.request.paths.iter().any(|path| path.contains('.'));
        let name = if related && self.plan.template.get_related.is_some() { "get_related" } else { "get" };
        let operation = self.operation(name, &attempted)?;
        let holes = self.holes(&[("id", Json::String(id.to_owned()))]);
        match self.read(operation, &holes, attempted.clone(), CallKind::One).await {
            Ok(answer) => {
                let found =
                    self.records(operation, &answer, &attempted)?.into_iter().find(|record| record.id == id);
                match found {
                    Some(mut record) => {
                        // Some APIs show the version only around the record, not in it.
                        let place = self.plan.template.identity.version.as_deref();
                        if let Some(place) = place.filter(|place| place.starts_with("header:")) {
                            record.version = answer.value(place).map(|version| plain(&version));
                        }
                        Ok(Lookup::Found(record))
                    }
                    None => self.not_found(id, "the answer holds no record of that id".to_owned()).await,
                }
            }
            Err(failure) if failure.class == FailureClass::Gone => self.not_found(id, failure.answered).await,
            Err(failure) => Err(failure),
        }
    }

    /// Asks what became of a record that is not found, where the API can tell.
    async fn not_found(&self, id: &str, evidence: String) -> Result<Lookup, Failure> {
        let attempted = self.words("look up the deletion of", id);
        if let Some(operation) = operation(&self.plan.template, "get_deleted") {
            let holes = self.holes(&[("id", Json::String(id.to_owned()))]);
            match self.read(operation, &holes, attempted, CallKind::List).await {
                Ok(answer) => {
                    let row = answer.value(operation.record.as_deref().unwrap_or_default());
                    if let Some(row) = row.filter(Json::is_object) {
                        return Ok(self.tombstone(&row, &evidence));
                    }
                }
                Err(failure) if matches!(failure.class, FailureClass::Invalid | FailureClass::Forbidden) => {}
                Err(failure) => return Err(failure),
            }
        }
        if self.plan.capabilities.not_found_is_gone {
            Ok(Lookup::Gone { evidence, merged_into: None })
        } else {
            Ok(Lookup::Missing(format!("{evidence}; deleted or hidden from us, the API does not say which")))
        }
    }

    fn tombstone(&self, row: &Json, evidence: &str) -> Lookup {
        let deleted = row.pointer("/IsDeleted").is_none_or(|flag| flag == &Json::Bool(true));
        if !deleted {
            return Lookup::Missing(format!("{evidence}; the record exists, but is not shown to us"));
        }
        let winner = self.plan.template.deletes.as_ref().and_then(|op| op.merged_into.as_ref());
        let merged_into =
            winner.and_then(|rule| row.pointer(&rule.path)).and_then(|value| self.decoder.normal_id(value));
        Lookup::Gone { evidence: format!("in the recycle bin ({evidence})"), merged_into }
    }

    async fn find_now(&self, path: &str, value: &Json) -> Result<Vec<Record>, Failure> {
        let attempted = self.words(&format!("find by {path}"), "");
        let operation = self.operation("find", &attempted)?;
        let kind = self.plan.kinds.get(path).map(String::as_str);
        let value = Codecs(operation.codecs.clone()).write(value, kind);
        let field = Json::String(path.to_owned());
        let holes = self.holes(&[("find_field", field), ("key", value.clone()), ("value", value)]);
        let answer = self.read(operation, &holes, attempted.clone(), CallKind::List).await?;
        self.records(operation, &answer, &attempted)
    }

    fn external_field(&self) -> Option<String> {
        let source = self.plan.template.identity.external_id.as_ref()?.field.as_deref()?;
        Text::parse(source)
            .ok()?
            .render(&Scope::new(self.connection.vars()))
            .ok()?
            .filter(|name| !name.is_empty())
    }

    fn key(&self, mark: &str) -> String {
        let external = self.plan.template.identity.external_id.as_ref();
        let prefix = external
            .and_then(|external| external.prefix.as_deref())
            .and_then(|source| Text::parse(source).ok()?.render(&Scope::new(self.connection.vars())).ok()?);
        format!("{}{mark}", prefix.unwrap_or_default())
    }

    async fn find_marked_now(&self, mark: &str) -> Result<Vec<Record>, Failure> {
        let attempted = self.words("find the record with mark", mark);
        if self.plan.capabilities.create != CreateIdentity::External {
            let Some(marker) = self.request.marker.clone().or_else(|| self.external_field()) else {
                return Err(Failure::new(
                    FailureClass::Invalid,
                    attempted,
                    "not sent: this API needs `marker = PATH` on the side to find its own creates again",
                ));
            };
            return self.find_now(&marker, &Json::String(mark.to_owned())).await;
        }
        let key = self.key(mark);
        let by_key = match operation(&self.plan.template, "get_by_key") {
            Some(by_key) => by_key.clone(),
            None => match (self.external_field(), operation(&self.plan.template, "find")) {
                (Some(field), Some(_)) => return self.find_now(&field, &Json::String(key)).await,
                // What can be written by key can be read by key.
                _ => Operation {
                    method: Some("GET".to_owned()),
                    path: self.operation("upsert", &attempted)?.path.clone(),
                    ..Operation::default()
                },
            },
        };
        let holes = self.holes(&[("key", Json::String(key))]);
        let answer = match self.read(&by_key, &holes, attempted.clone(), CallKind::One).await {
            Ok(answer) => answer,
            Err(failure) if failure.class == FailureClass::Gone => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let id = answer.value(&self.decoder.id).and_then(|id| self.decoder.normal_id(&id));
        let id = id.ok_or_else(|| Self::bug(&attempted, "the record has no id".to_owned()))?;
        match self.get_now(&id).await? {
            Lookup::Found(record) => Ok(vec![record]),
            Lookup::Gone { .. } => Ok(Vec::new()),
            // It is there under its key but not in the other form: that is no absence.
            Lookup::Missing(why) => {
                let mut failure = Failure::new(FailureClass::Transient, attempted, why);
                failure.applied = Applied::No;
                Err(failure)
            }
        }
    }

    /// Values as the API wants them.
    fn encode(&self, operation: &Operation, values: &Values) -> Json {
        let codecs = Codecs(operation.codecs.clone());
        let mut body = Map::new();
        for (path, value) in values {
            let kind = self.plan.kinds.get(path).map(String::as_str);
            let mut encoded = codecs.write(value, kind);
            let form = self.write_form(path);
            if form == Some("object_id") && !encoded.is_null() && !encoded.is_object() {
                encoded = Json::Object(Map::from_iter([("id".to_owned(), Json::String(plain(&encoded)))]));
            }
            match path.split_once('.').filter(|_| form == Some("new_line")) {
                Some((list, field)) => add_to_line(&mut body, list, field, encoded),
                None => {
                    body.insert(path.clone(), encoded);
                }
            }
        }
        Json::Object(body)
    }

    /// The codec of the first `write_as` rule for this path.
    fn write_form(&self, path: &str) -> Option<&str> {
        let matches = |regex: &Option<Regex>, listed: &BTreeSet<String>| {
            listed.contains(path) || regex.as_ref().is_some_and(|regex| regex.is_match(path))
        };
        self.write_as
            .iter()
            .find(|(regex, listed, _)| matches(regex, listed))
            .map(|(_, _, codec)| codec.as_str())
    }

    async fn create_now(&self, new: &NewRecord) -> Result<Written, Failure> {
        let attempted = self.words("create", "");
        let attempted = format!("{attempted} (mark {})", new.mark);
        let operation = self.operation("create", &attempted)?;
        let mut values = new.values.clone();
        let external = self.plan.capabilities.create == CreateIdentity::External;
        if let (false, Some(marker)) =
            (external, self.request.marker.clone().or_else(|| self.external_field()))
        {
            values.insert(marker, Json::String(new.mark.clone()));
        }
        let record = self.encode(operation, &values);
        let holes = self.holes(&[
            ("key", Json::String(self.key(&new.mark))),
            ("record_body", record),
            ("intent_uuid", Json::String(new.mark.clone())),
        ]);
        let answer = match self.write(operation, &holes, attempted.clone()).await {
            Ok(answer) => answer,
            Err(mut failure) => {
                // Nothing can be gone before it was made: the entity or the key field is not there.
                if failure.class == FailureClass::Gone {
                    failure.class = FailureClass::Invalid;
                }
                return Err(failure);
            }
        };
        let existed = operation
            .result
            .created
            .as_deref()
            .and_then(|pointer| answer.value(pointer))
            .is_some_and(|created| created == Json::Bool(false));
        let id = operation.result.id.as_deref().and_then(|place| answer.value(place));
        let id = id.and_then(|id| self.decoder.normal_id(&id)).filter(|id| !id.starts_with("eid:"));
        let id = match id {
            Some(id) => id,
            None => self.id_after_create(&new.mark, &attempted).await?,
        };
        Ok(Written { id: Some(id), record: None, version: None, existed })
    }

    /// The answer did not name the id: the mark finds it.
    async fn id_after_create(&self, mark: &str, attempted: &str) -> Result<String, Failure> {
        let unknown = |answered: String| {
            let mut failure = Failure::new(FailureClass::Transient, attempted, answered);
            failure.applied = Applied::Unknown;
            failure
        };
        let found = self
            .find_marked_now(mark)
            .await
            .map_err(|failure| unknown(format!("accepted without an id, and: {failure}")))?;
        match found.as_slice() {
            [record] => Ok(record.id.clone()),
            many => Err(unknown(format!("accepted without an id; {} records carry the mark", many.len()))),
        }
    }

    async fn update_now(&self, expected: &Record, changes: &Values) -> Result<Written, Failure> {
        let attempted = self.words("update", &expected.id);
        let operation = self.operation("update", &attempted)?;
        let answer = self.change(operation, expected, self.encode(operation, changes), attempted).await?;
        let version = operation.result.version.as_deref().and_then(|place| answer.value(place));
        Ok(Written { version: version.map(|version| plain(&version)), ..Written::default() })
    }

    async fn change(
        &self,
        operation: &Operation,
        expected: &Record,
        changes: Json,
        attempted: String,
    ) -> Result<Answer, Failure> {
        let mut more = vec![("id", Json::String(expected.id.clone())), ("changes", changes)];
        if let Some(version) = &expected.version {
            more.push(("version", Json::String(version.clone())));
        }
        self.write(operation, &self.holes(&more), attempted).await
    }

    async fn remove_now(&self, expected: &Record, how: Removal) -> Result<Written, Failure> {
        let (verb, name) = match how {
            Removal::Archive => ("archive", "archive"),
            Removal::Delete => ("delete", "delete"),
        };
        let attempted = self.words(verb, &expected.id);
        let operation = self.operation(name, &attempted)?;
        match self.change(operation, expected, Json::Object(Map::new()), attempted).await {
            Ok(_) => Ok(Written::default()),
            Err(failure) if is_done(operation, &failure) => Ok(Written::default()),
            Err(failure) => Err(failure),
        }
    }

    /// The capabilities it was opened with.
    pub fn capabilities(&self) -> &Capabilities {
        &self.plan.capabilities
    }
}

/// Puts a value into the one new line of a list of lines: `lines = [["create", [{ field: value }]]]`.
fn add_to_line(body: &mut Map<String, Json>, list: &str, field: &str, value: Json) {
    let lines = body.entry(list.to_owned()).or_insert_with(|| serde_json::json!([["create", [{}]]]));
    if let Some(Json::Object(line)) = lines.pointer_mut("/0/1/0") {
        line.insert(field.to_owned(), value);
    }
}

fn is_done(operation: &Operation, failure: &Failure) -> bool {
    let done = operation.treat_as_done.iter().filter_map(|name| ErrorClass::parse(name).ok());
    failure.applied == Applied::No && done.map(ErrorClass::failure).any(|class| class == failure.class)
}

impl Entity for DeclarativeEntity {
    fn form(&self) -> &str {
        &self.form
    }

    fn list<'a>(
        &'a self,
        listing: &'a Listing,
        page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, Failure>> {
        Box::pin(self.list_now(listing, page))
    }

    fn decode(&self, raw: &str) -> Result<Record, Failure> {
        self.listed.decode(raw).map_err(|why| Self::bug(&self.words("read a record of", ""), why))
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Lookup, Failure>> {
        Box::pin(self.get_now(id))
    }

    fn find<'a>(&'a self, path: &'a str, value: &'a Json) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(self.find_now(path, value))
    }

    fn find_marked<'a>(&'a self, mark: &'a str) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(self.find_marked_now(mark))
    }

    fn create<'a>(&'a self, new: &'a NewRecord) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.create_now(new))
    }

    fn update<'a>(
        &'a self,
        expected: &'a Record,
        changes: &'a Values,
    ) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.update_now(expected, changes))
    }

    fn remove<'a>(&'a self, expected: &'a Record, how: Removal) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(self.remove_now(expected, how))
    }

    fn tombstones<'a>(&'a self, since: Option<&'a str>) -> BoxFuture<'a, Result<Tombstones, Failure>> {
        Box::pin(self.tombstones_now(since))
    }
}
