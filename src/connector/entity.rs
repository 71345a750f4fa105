//! One entity of a declarative system, opened for a set of paths: reads and writes of single records.
//!
//! Listings stand in `listing.rs`, deletions in `tombstones.rs`. Nothing here decides a conflict or
//! repeats a write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use regex_lite::Regex;
use serde_json::{Map, Value as Json};

use super::api::{
    Applied, Capabilities, CreateIdentity, Entity, EntityRequest, Failure, FailureClass, Listing, Lookup,
    NewRecord, Page, Removal, Tombstones, Written,
};
use super::auth::to_json;
use super::client::Purpose;
use super::connection::{Answer, Ask, Connection};
use super::definition::{About, Columns, Operation, Stamp, WriteAs};
use super::items::{self, Codecs, Decoder, Version};
use super::placeholder::{Scope, Text, plain, unknown};
use super::rules::{CallKind, ErrorClass};
use super::system::{Plan, operation};
use super::vars::value_list;
use crate::core::record::{Record, Values};
use crate::ports::BoxFuture;

/// See the module.
pub struct DeclarativeEntity {
    pub(super) connection: Arc<Connection>,
    pub(super) plan: Plan,
    pub(super) request: EntityRequest,
    pub(super) decoder: Decoder,
    /// That of the listing, made once: a first poll decodes every record.
    listed: Decoder,
    holes: BTreeMap<String, Json>,
    write_as: Vec<(Option<Regex>, BTreeSet<String>, String)>,
    form: String,
}

impl DeclarativeEntity {
    /// Resolves names and prepares reading; asks the API for its fields where the definition says how.
    ///
    /// # Errors
    /// Class `Invalid` with the nearest names, or what the API answers.
    pub(super) async fn open(
        connection: Arc<Connection>,
        about: &About,
        plan: Plan,
        request: EntityRequest,
    ) -> Result<Self, Failure> {
        let attempted = format!("open {} in {}", request.entity, connection.system());
        let invalid = |why: String| Failure::new(FailureClass::Invalid, attempted.clone(), why);
        let columns = plan.template.columns.clone();
        for path in &request.paths {
            check_path(path, &columns).map_err(invalid)?;
        }
        let mut entity = Self {
            holes: plan.holes.clone(),
            decoder: Decoder::default(),
            listed: Decoder::default(),
            write_as: Vec::new(),
            form: String::new(),
            connection,
            plan,
            request,
        };
        let described = entity.describe(&attempted).await?;
        if let Some(known) = &described {
            entity.check_names(known, &columns).map_err(invalid)?;
        }
        let write_as = std::mem::take(&mut entity.plan.template.write_as);
        for rule in &write_as {
            entity.write_as.push(entity.compile(rule).map_err(invalid)?);
        }
        entity.prepare(&columns, described.as_ref()).map_err(invalid)?;
        if let Ok(listing) = entity.listing_operation(true, &attempted) {
            entity.listed = entity.decoder_of(listing);
        }
        entity.form = format!(
            "{} {} {} {:?} {}",
            about.id,
            about.definition_version,
            entity.request.entity,
            entity.plan.holes.values().map(plain).collect::<Vec<_>>(),
            entity.request.paths.join(",")
        );
        Ok(entity)
    }

    fn compile(&self, rule: &WriteAs) -> Result<(Option<Regex>, BTreeSet<String>, String), String> {
        let regex = rule.regex.as_deref().map(Regex::new).transpose().map_err(|error| error.to_string())?;
        let listed = rule.listed_in.as_deref().map(|name| value_list(self.connection.vars(), name));
        Ok((regex, listed.unwrap_or_default(), rule.codec.clone()))
    }

    /// The fields that the API says there are: type and whether they can be written. `None` where it
    /// cannot be asked.
    async fn describe(
        &self,
        attempted: &str,
    ) -> Result<Option<BTreeMap<String, (Option<String>, bool)>>, Failure> {
        let Some(describe) = &self.plan.template.describe else { return Ok(None) };
        let operation = Operation {
            call: describe.call.clone(),
            method: describe.method.clone(),
            path: describe.path.clone(),
            ..Operation::default()
        };
        let ask = Ask {
            operation: &operation,
            holes: &self.holes,
            next_url: None,
            attempted: attempted.to_owned(),
            purpose: Purpose::Probe,
            repeatable: true,
            kind: CallKind::Other,
        };
        let answer = match self.connection.exchange(ask).await {
            Ok(answer) => answer,
            // Not offered, or not to us: names are then checked by the first call that uses them.
            Err(failure)
                if matches!(
                    failure.class,
                    FailureClass::Bug | FailureClass::Gone | FailureClass::Forbidden | FailureClass::Invalid
                ) =>
            {
                tracing::debug!(%failure, "the fields cannot be listed");
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let mut known = BTreeMap::new();
        let mut add = |name: &str, entry: &Json| {
            let kind = describe.kind.as_deref().and_then(|pointer| entry.pointer(pointer)).map(plain);
            let writable = describe.writable.as_deref().and_then(|pointer| entry.pointer(pointer));
            known.insert(name.to_owned(), (kind, writable.and_then(Json::as_bool).unwrap_or(true)));
        };
        match answer.value(&describe.fields) {
            Some(Json::Array(entries)) => {
                for entry in &entries {
                    let name = describe.name.as_deref().and_then(|pointer| entry.pointer(pointer));
                    if let Some(name) = name.and_then(Json::as_str) {
                        add(name, entry);
                    }
                }
            }
            Some(Json::Object(entries)) => entries.iter().for_each(|(name, entry)| add(name, entry)),
            _ => {}
        }
        Ok(Some(known).filter(|known: &BTreeMap<_, _>| !known.is_empty()))
    }

    fn check_names(
        &mut self,
        known: &BTreeMap<String, (Option<String>, bool)>,
        columns: &Columns,
    ) -> Result<(), String> {
        let fold = columns.case.as_deref() == Some("lower");
        let mut problems = Vec::new();
        let marker = self.request.marker.iter();
        for path in self.request.paths.iter().chain(marker) {
            let (head, related) =
                path.split_once('.').map_or((path.as_str(), false), |(head, _)| (head, true));
            let found =
                known.iter().find(|(name, _)| *name == head || (fold && name.eq_ignore_ascii_case(head)));
            match found {
                None if related => {}
                None => problems.push(unknown(
                    &format!("field of {}", self.request.entity),
                    path,
                    known.keys().map(String::as_str),
                )),
                Some((_, (kind, writable))) => {
                    if let (Some(kind), false) = (kind, related) {
                        self.plan.kinds.entry(path.clone()).or_insert_with(|| kind.clone());
                    }
                    if !writable && self.request.written.contains(path) {
                        problems.push(format!("field {path:?} of {} cannot be written", self.request.entity));
                    }
                }
            }
        }
        for path in self.request.written.iter().filter(|path| path.contains('.')) {
            problems
                .push(format!("{path:?} belongs to a related record and cannot be written through this one"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Decoder, and the holes `fields` and `select`.
    fn prepare(
        &mut self,
        columns: &Columns,
        described: Option<&BTreeMap<String, (Option<String>, bool)>>,
    ) -> Result<(), String> {
        let fold = columns.case.as_deref() == Some("lower");
        let same = |a: &str, b: &str| if fold { a.eq_ignore_ascii_case(b) } else { a == b };
        let mut fields: Vec<String> = columns.base.clone();
        let optional = columns.optional.iter().filter(|f| described.is_some_and(|d| d.contains_key(*f)));
        for field in optional.chain(&self.plan.fields).chain(&self.request.paths) {
            if !fields.iter().any(|known| same(known, field)) {
                fields.push(field.clone());
            }
        }
        let mut select = Vec::new();
        for field in &fields {
            if let Some(text) = self.column(columns, field)? {
                select.push(text);
            }
        }
        self.holes.insert("select".to_owned(), Json::String(select.join(", ")));
        self.holes.insert("fields".to_owned(), Json::Array(fields.into_iter().map(Json::String).collect()));
        let identity = &self.plan.template.identity;
        let stamp = identity.updated_at.as_ref();
        self.decoder = Decoder {
            paths: self.request.paths.clone(),
            fold_case: fold,
            absent_is_null: false,
            drop: Vec::new(),
            codecs: Codecs::default(),
            kinds: self.plan.kinds.clone(),
            id: identity.id.clone(),
            id_normalise: identity.id_normalise.clone(),
            updated_at: stamp
                .map(|stamp| [Some(stamp.path.clone()), stamp.or.clone()].into_iter().flatten().collect())
                .unwrap_or_default(),
            zone: stamp.and_then(|stamp| self.zone(stamp)),
            version: match identity.version.as_deref() {
                Some("updated_at") => Version::UpdatedAt,
                Some(pointer) if pointer.starts_with('/') => Version::At(pointer.to_owned()),
                _ => Version::None,
            },
            archived: self.plan.section.archived.as_ref().map(|a| (a.field.clone(), to_json(&a.is))),
        };
        Ok(())
    }

    fn column(&self, columns: &Columns, field: &str) -> Result<Option<String>, String> {
        let holes = BTreeMap::from([("column".to_owned(), Json::String(field.to_owned()))]);
        let below = Scope::new(&self.plan.holes);
        let scope = below.with(&holes);
        for rule in &columns.select {
            let regex =
                rule.regex.as_deref().map(Regex::new).transpose().map_err(|error| error.to_string())?;
            let listed = rule.listed_in.as_deref().is_none_or(|name| {
                value_list(self.connection.vars(), name).iter().any(|known| known.eq_ignore_ascii_case(field))
            });
            if listed && regex.is_none_or(|regex| regex.is_match(field)) {
                return Text::parse(&rule.text)?.render(&scope);
            }
        }
        Ok(None)
    }

    /// The offset of the zone that stamps are written in; `None` where we do not know it.
    pub(super) fn zone(&self, stamp: &Stamp) -> Option<SignedDuration> {
        let Some(var) = &stamp.zone else { return Some(SignedDuration::ZERO) };
        let text = self.connection.vars().get(var).map(plain)?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.trim_start_matches('+')),
        };
        let offset = SignedDuration::try_from(super::rules::duration(digits).ok()?).ok()?;
        Some(if negative { -offset } else { offset })
    }

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
                    Some(record) => Ok(Lookup::Found(record)),
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
        let holes = self.holes(&[("find_field", Json::String(path.to_owned())), ("value", value)]);
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
        let Some(by_key) = operation(&self.plan.template, "get_by_key") else {
            let field = self.external_field().ok_or_else(|| {
                Failure::new(
                    FailureClass::Invalid,
                    attempted.clone(),
                    "not sent: no external id field is named",
                )
            })?;
            return self.find_now(&field, &Json::String(key)).await;
        };
        let holes = self.holes(&[("key", Json::String(key))]);
        let answer = match self.read(by_key, &holes, attempted.clone(), CallKind::One).await {
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
            let as_object = self.write_as.iter().any(|(regex, listed, codec)| {
                codec == "object_id"
                    && (listed.contains(path) || regex.as_ref().is_some_and(|regex| regex.is_match(path)))
            });
            if as_object && !encoded.is_null() && !encoded.is_object() {
                encoded = Json::Object(Map::from_iter([("id".to_owned(), Json::String(plain(&encoded)))]));
            }
            body.insert(path.clone(), encoded);
        }
        Json::Object(body)
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

fn is_done(operation: &Operation, failure: &Failure) -> bool {
    let done = operation.treat_as_done.iter().filter_map(|name| ErrorClass::parse(name).ok());
    failure.applied == Applied::No && done.map(ErrorClass::failure).any(|class| class == failure.class)
}

fn check_path(path: &str, columns: &Columns) -> Result<(), String> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !path.split('.').all(part) {
        return Err(format!("{path:?} is not a name that a field of this API can have"));
    }
    if path.contains('.') && !columns.dotted {
        return Err(format!("{path:?}: fields of related records cannot be read from this API"));
    }
    Ok(())
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
