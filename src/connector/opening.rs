//! Opening an entity: names are checked against what the API says it has, and everything that reading
//! needs is prepared, before the first poll.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use regex_lite::Regex;
use serde_json::Value as Json;

use super::api::{EntityRequest, Failure, FailureClass};
use super::auth::to_json;
use super::client::Purpose;
use super::connection::{Ask, Connection};
use super::definition::{Columns, Definition, Operation, Stamp, WriteAs};
use super::entity::DeclarativeEntity;
use super::items::{Codecs, Decoder, Version};
use super::placeholder::{Scope, Text, plain, unknown};
use super::rules::CallKind;
use super::system::Plan;
use super::vars::value_list;

/// The codecs of `write_as`.
const WRITE_FORMS: &[&str] = &["object_id", "new_line"];

impl DeclarativeEntity {
    /// Resolves names and prepares reading; asks the API for its fields where the definition says how.
    ///
    /// # Errors
    /// Class `Invalid` with the nearest names, or what the API answers.
    pub(super) async fn open(
        connection: Arc<Connection>,
        definition: &Definition,
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
        entity.form = format!(
            "{} {} {} {:?} {}",
            definition.connector.id,
            definition.digest(),
            entity.request.entity,
            entity.plan.holes.values().map(plain).collect::<Vec<_>>(),
            entity.request.paths.join(",")
        );
        Ok(entity)
    }

    fn compile(&self, rule: &WriteAs) -> Result<(Option<Regex>, BTreeSet<String>, String), String> {
        if !WRITE_FORMS.contains(&rule.codec.as_str()) {
            return Err(format!("write_as: {}", unknown("codec", &rule.codec, WRITE_FORMS.iter().copied())));
        }
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
