//! What must hold of every definition before it is used: encoders, pinned hosts, no secret in a URL, and
//! no capability without the operation that keeps it. Pure; the first start and the tests run it.

use std::collections::BTreeSet;

use regex_lite::Regex;
use toml::{Table, Value};

use super::auth::AuthTable;
use super::capabilities::{WORDS, section};
use super::definition::{CapabilitySection, Definition, Operation, Template};
use super::items::CODECS;
use super::lint_places::{Place, operations, strings};
use super::placeholder::{Text, unknown};
use super::rules::{ErrorClass, Rule, duration};
use super::system::{operation, reserved_entity_keys};
use super::vars::KINDS;
use super::wire::Dialect;

/// The holes that the engine fills.
const ENGINE: &[&str] = &[
    "entity",
    "fields",
    "select",
    "keyset",
    "since",
    "until",
    "ts",
    "id",
    "last_id",
    "offset",
    "key",
    "record",
    "record_body",
    "changes",
    "version",
    "find_field",
    "value",
    "data_root",
    "context",
    "nothing",
    "seq",
    "named_args",
    "positional_args",
    "kwargs",
    "params",
    "args",
    "ids",
    "model",
    "fn",
    "token",
    "column",
    "token_url",
    "intent_uuid",
    "items",
    "job",
    "task",
    "uid",
    "old_key",
];
/// Built by the engine out of parts that were encoded already.
const BUILT: &[&str] = &["select", "keyset", "data_root"];
const PAGE_KINDS: &[&str] = &["next_url", "keyset_until", "offset", "none"];

/// Every problem of a definition.
pub fn check(definition: &Definition) -> Vec<String> {
    let mut lint = Lint { definition, problems: Vec::new() };
    if definition.schema != 1 {
        lint.say(format!("schema = {} is not a version that we read; 1 is", definition.schema));
    }
    lint.vars();
    lint.auth();
    lint.http();
    for (index, rule) in definition.errors.iter().enumerate() {
        if let Err(why) = Rule::compile(rule) {
            lint.say(format!("errors[{index}]: {why}"));
        }
    }
    for (name, template) in &definition.templates {
        lint.template(name, template);
    }
    if let Some(probe) = &definition.probe {
        lint.operation("probe", probe, &BTreeSet::new(), &BTreeSet::new());
    }
    lint.entities();
    lint.problems
}

struct Lint<'a> {
    definition: &'a Definition,
    problems: Vec<String>,
}

impl Lint<'_> {
    fn say(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn vars(&mut self) {
        for (name, var) in &self.definition.vars {
            if !KINDS.contains(&var.kind.as_str()) {
                let why = unknown("type", &var.kind, KINDS.iter().copied());
                self.problems.push(format!("vars.{name}: {why}"));
            }
            if var.kind == "enum" && var.values.is_empty() {
                self.problems.push(format!("vars.{name}: an enum needs values"));
            }
            if let Some(pattern) = &var.pattern
                && let Err(error) = Regex::new(pattern)
            {
                self.problems.push(format!("vars.{name}: pattern: {error}"));
            }
            if var.is_secret() && var.default.is_some() {
                self.problems.push(format!("vars.{name}: a secret has no default"));
            }
            if let Some(default) = &var.default
                && let Err(why) = Text::parse(default)
            {
                self.problems.push(format!("vars.{name}: default: {why}"));
            }
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        self.definition.vars.get(name).is_some_and(super::definition::Var::is_secret)
    }

    /// A host is literal or a var that can hold nothing but a host.
    fn host(&mut self, place: &str, url: &str) {
        let Some(rest) = url.strip_prefix("https://") else {
            return self.say(format!("{place}: {url:?} does not start with https://"));
        };
        let host = rest.split('/').next().unwrap_or_default();
        match Text::parse(host) {
            Err(why) => self.say(format!("{place}: {why}")),
            Ok(text) => {
                for hole in text.holes() {
                    let kind = self.definition.vars.get(&hole.name).map(|var| var.kind.as_str());
                    if kind != Some("host") {
                        let name = &hole.name;
                        self.problems
                            .push(format!("{place}: {{{name}}} in a host must be a var of type host"));
                    }
                }
            }
        }
    }

    fn auth(&mut self) {
        let table = &self.definition.auth;
        let chosen: Vec<(String, Table)> = if table.contains_key("kind") || table.is_empty() {
            vec![(String::new(), table.clone())]
        } else {
            table.iter().filter_map(|(n, v)| v.as_table().map(|t| (format!(".{n}"), t.clone()))).collect()
        };
        for (name, table) in chosen.into_iter().filter(|(_, table)| !table.is_empty()) {
            let place = format!("auth{name}");
            let auth = match AuthTable::read(&table) {
                Ok(auth) => auth,
                Err(why) => {
                    self.say(format!("{place}: {why}"));
                    continue;
                }
            };
            if let Some(url) = &auth.token_url {
                self.host(&format!("{place}.token_url"), url);
            }
            if let Some(pattern) = &auth.base_url_must_match
                && (!pattern.starts_with("^https://")
                    || !pattern.ends_with('$')
                    || Regex::new(pattern).is_err())
            {
                self.say(format!("{place}.base_url_must_match must be a pattern from ^https:// to $"));
            }
            for jwt in [&auth.jwt, &auth.assertion].into_iter().flatten() {
                if !self.key_is_secret(&jwt.key) {
                    self.say(format!("{place}: the key of a JWT must be a var of type secret_pem"));
                }
            }
        }
    }

    fn key_is_secret(&self, key: &str) -> bool {
        Text::parse(key).is_ok_and(|text| text.single().is_some_and(|hole| self.is_secret(&hole.name)))
    }

    fn http(&mut self) {
        let http = &self.definition.http;
        if let Some(url) = &http.base_url {
            self.host("http.base_url", url);
        }
        if http.numbers.as_deref().is_some_and(|numbers| numbers != "decimal_text") {
            self.say("http.numbers: numbers are always decimal_text".to_owned());
        }
        let pace = self.definition.limits.pace.as_ref().map(|pace| &pace.per);
        for text in http.timeout.iter().chain(pace) {
            if let Err(why) = duration(text) {
                self.say(why);
            }
        }
        if let Some(quota) = &self.definition.limits.quota_header {
            let fine = Regex::new(&quota.regex).is_ok_and(|regex| {
                let names: Vec<_> = regex.capture_names().flatten().collect();
                names.contains(&"used") && names.contains(&"limit")
            });
            if !fine || !(0.0..1.0).contains(&quota.reserve) {
                self.say(
                    "limits.quota_header needs groups used and limit, and a reserve from 0 to 1".to_owned(),
                );
            }
        }
        let root = http.data_root.clone().unwrap_or_default();
        self.text("http.data_root", &root, Place::Url, &BTreeSet::new(), &BTreeSet::new());
        for (name, dialect) in self.dialects() {
            match dialect {
                Err(why) => self.say(format!("rpc{name}: {why}")),
                Ok(dialect) => {
                    let place = format!("rpc{name}.path");
                    self.text(&place, &dialect.path, Place::Url, &BTreeSet::new(), &BTreeSet::new());
                }
            }
        }
    }

    fn dialects(&self) -> Vec<(String, Result<Dialect, String>)> {
        let table = &self.definition.rpc;
        let read = |table: &Table| table.clone().try_into::<Dialect>().map_err(|error| error.to_string());
        if table.is_empty() {
            Vec::new()
        } else if table.contains_key("select") {
            table.iter().filter_map(|(n, v)| v.as_table().map(|t| (format!(".{n}"), read(t)))).collect()
        } else {
            vec![(String::new(), read(table))]
        }
    }

    fn template(&mut self, name: &str, template: &Template) {
        let params: BTreeSet<String> = template.params.iter().cloned().collect();
        let literal = self.literal_params(name, template);
        for (key, op) in operations(template) {
            self.operation(&format!("templates.{name}.{key}"), op, &params, &literal);
        }
        for (index, rule) in template.columns.select.iter().enumerate() {
            let place = format!("templates.{name}.columns.select[{index}]");
            self.text(&place, &rule.text, Place::Query, &params, &literal);
        }
        if operation(template, "get").is_none() {
            self.say(format!("templates.{name}: an entity needs the operation get"));
        }
        if template.list.is_none() && template.sweep.is_none() {
            self.say(format!("templates.{name}: an entity needs the operation list or sweep"));
        }
        self.capabilities(&format!("templates.{name}"), template, &template.capabilities);
    }

    /// Params whose every value is written in the definition: nobody outside can put anything there.
    fn literal_params(&self, name: &str, template: &Template) -> BTreeSet<String> {
        let tables: Vec<&Table> =
            self.definition.entities.values().chain(&self.definition.entity_default).collect();
        let of_template = |table: &&Table| table.get("template").and_then(Value::as_str) == Some(name);
        let literal = |param: &&String| {
            tables.iter().filter(|table| of_template(table)).all(|table| {
                table.get(param.as_str()).is_none_or(|value| {
                    let mut texts = Vec::new();
                    strings(value, &mut texts);
                    texts.iter().all(|text| Text::parse(text).is_ok_and(|text| text.holes().next().is_none()))
                })
            })
        };
        template.params.iter().filter(literal).cloned().collect()
    }

    fn capabilities(&mut self, place: &str, template: &Template, section: &CapabilitySection) {
        let mode = section.concurrency.mode.as_deref();
        let given = [
            ("read_consistency", section.read_consistency.as_deref()),
            ("cursor", section.cursor.as_deref()),
            ("deletes", section.deletes.as_deref()),
            ("not_found", section.not_found.as_deref()),
            ("upsert", section.upsert.as_deref()),
            ("create_idempotent_by", section.create_idempotent_by.as_deref()),
            ("update_shape", section.update_shape.as_deref()),
            ("concurrency.mode", mode),
        ];
        for (axis, word) in given {
            let words = WORDS.iter().find(|(name, _)| *name == axis).map_or(&[][..], |(_, words)| words);
            if let Some(word) = word.filter(|word| !words.contains(word)) {
                self.say(format!(
                    "{place}.capabilities.{axis}: {}",
                    unknown("word", word, words.iter().copied())
                ));
            }
        }
        let has = |name| operation(template, name).is_some();
        let mut need = |holds: bool, what: &str| {
            if !holds {
                self.problems.push(format!("{place}.capabilities: {what}"));
            }
        };
        need(
            section.deletes.as_deref() != Some("feed") || has("deletes"),
            "deletes = feed needs the operation deletes",
        );
        let by_key = section.create_idempotent_by.as_deref() == Some("upsert");
        need(!by_key || has("upsert"), "create_idempotent_by = upsert needs the operation upsert");
        need(
            !by_key || template.identity.external_id.is_some(),
            "create_idempotent_by = upsert needs identity.external_id, a key that only we make",
        );
        let searched = section.create_idempotent_by.as_deref() == Some("search_before_create");
        need(
            !searched || has("find"),
            "create_idempotent_by = search_before_create needs the operation find",
        );
        let update = operation(template, "update");
        let header =
            |name: &str| update.is_some_and(|op| op.headers.keys().any(|key| key.eq_ignore_ascii_case(name)));
        let sends_version = update.is_some_and(|op| {
            let mut texts = op.headers.values().chain(op.query.values()).cloned().collect::<Vec<_>>();
            op.call.iter().for_each(|call| strings(&Value::Table(call.clone()), &mut texts));
            op.body.iter().filter_map(|body| body.json.as_ref()).for_each(|tree| strings(tree, &mut texts));
            texts.iter().any(|text| text.contains("{version"))
        });
        match mode {
            Some("if_unmodified_since") => {
                need(
                    header("If-Unmodified-Since") && sends_version,
                    "the update does not send If-Unmodified-Since",
                );
            }
            Some("if_match") => {
                need(header("If-Match") && sends_version, "the update does not send If-Match")
            }
            Some("token") => need(sends_version, "the update does not send {version}"),
            _ => {}
        }
    }

    fn operation(
        &mut self,
        place: &str,
        op: &Operation,
        params: &BTreeSet<String>,
        literal: &BTreeSet<String>,
    ) {
        if let Some(path) = &op.path {
            self.text(&format!("{place}.path"), path, Place::Url, params, literal);
        }
        for (name, value) in &op.query {
            self.text(&format!("{place}.query.{name}"), value, Place::UrlQuery, params, literal);
        }
        for (name, value) in &op.headers {
            self.text(&format!("{place}.headers.{name}"), value, Place::Header, params, literal);
        }
        let mut texts = Vec::new();
        op.body.iter().filter_map(|body| body.json.as_ref()).for_each(|tree| strings(tree, &mut texts));
        op.call.iter().for_each(|call| strings(&Value::Table(call.clone()), &mut texts));
        if let Some(keyset) = &op.keyset {
            [&keyset.first, &keyset.next].into_iter().flatten().for_each(|tree| strings(tree, &mut texts));
            texts.extend(keyset.upper.clone());
        }
        for text in texts {
            self.text(place, &text, Place::Query, params, literal);
        }
        if op.call.is_some() && self.definition.rpc.is_empty() {
            self.say(format!("{place}: a call needs [rpc]"));
        }
        for (kind, codec) in &op.codecs {
            let known = CODECS.iter().find(|(name, _)| name == kind).map(|(_, codecs)| *codecs);
            match known {
                None => self.say(format!(
                    "{place}.codecs: {}",
                    unknown("kind", kind, CODECS.iter().map(|(n, _)| *n))
                )),
                Some(codecs) if !codecs.contains(&codec.as_str()) => {
                    self.say(format!("{place}.codecs: {}", unknown("codec", codec, codecs.iter().copied())));
                }
                Some(_) => {}
            }
        }
        if let Some(page) = &op.page {
            if !PAGE_KINDS.contains(&page.kind.as_str()) {
                self.say(format!(
                    "{place}.page: {}",
                    unknown("kind", &page.kind, PAGE_KINDS.iter().copied())
                ));
            }
            if page.kind == "next_url" && page.same_origin != Some(true) {
                self.say(format!("{place}.page: next_url needs same_origin = true; no other is followed"));
            }
        }
        let window = &op.window;
        for text in [&window.overlap, &window.overlap_dst, &window.hold_back, &window.round, &window.max_span]
            .into_iter()
            .flatten()
        {
            if let Err(why) = duration(text) {
                self.say(format!("{place}.window: {why}"));
            }
        }
        for class in &op.treat_as_done {
            if let Err(why) = ErrorClass::parse(class) {
                self.say(format!("{place}.treat_as_done: {why}"));
            }
        }
    }

    fn text(
        &mut self,
        place: &str,
        source: &str,
        kind: Place,
        params: &BTreeSet<String>,
        literal: &BTreeSet<String>,
    ) {
        let text = match Text::parse(source) {
            Ok(text) => text,
            Err(why) => return self.say(format!("{place}: {why}")),
        };
        let alone = text.single().is_some();
        // Only a text with spaces, quotes or brackets around its holes is in a query language.
        let language = source.contains([' ', '\'', '"', '(']);
        for hole in text.holes() {
            let name = hole.name.as_str();
            let var = self.definition.vars.get(name);
            if var.is_none()
                && !ENGINE.contains(&name)
                && !params.contains(name)
                && !self.names().contains(name)
            {
                let names = self.names();
                let known = ENGINE.iter().copied().chain(names.iter().map(String::as_str));
                let why = unknown("placeholder", name, known.chain(params.iter().map(String::as_str)));
                self.problems.push(format!("{place}: {why}"));
            }
            if self.is_secret(name) && matches!(kind, Place::Url | Place::UrlQuery) {
                self.problems.push(format!("{place}: secret {{{name}}} must not stand in a URL"));
            }
            let encoded = hole.filters.last().is_some_and(super::placeholder::Filter::encodes);
            let trusted = BUILT.contains(&name)
                || literal.contains(name)
                || var.is_some_and(|var| {
                    var.pattern.is_some() || matches!(var.kind.as_str(), "enum" | "integer")
                });
            let needs = match kind {
                Place::Url => true,
                // A query value is percent-encoded as a whole; inside a query language that is not enough.
                Place::UrlQuery | Place::Query => !alone && language,
                Place::Header => false,
            };
            if needs && !encoded && !trusted {
                self.problems.push(format!(
                    "{place}: {{{name}}} has no encoder for where it stands: a value could change the {}",
                    if kind == Place::Url { "path" } else { "query" }
                ));
            }
        }
    }

    /// Vars, and what log-ins give.
    fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.definition.vars.keys().cloned().collect();
        let tables = std::iter::once(&self.definition.auth)
            .chain(self.definition.auth.values().filter_map(Value::as_table));
        for table in tables {
            names.extend(table.get("as").and_then(Value::as_str).map(str::to_owned));
            let session = table.get("session").and_then(Value::as_table);
            names.extend(session.into_iter().flat_map(|session| session.keys().cloned()));
        }
        names
    }

    fn entities(&mut self) {
        let definition = self.definition;
        let default = definition.entity_default.as_ref().map(|table| ("entity_default".to_owned(), table));
        let named = definition.entities.iter().map(|(name, table)| (format!("entities.{name:?}"), table));
        for (place, table) in named.chain(default) {
            let name = table.get("template").and_then(Value::as_str).unwrap_or_default();
            let Some(template) = definition.templates.get(name) else {
                let known = definition.templates.keys().map(String::as_str);
                self.say(format!("{place}: {}", unknown("template", name, known)));
                continue;
            };
            for key in table.keys() {
                let known =
                    reserved_entity_keys().iter().copied().chain(template.params.iter().map(String::as_str));
                if !known.clone().any(|name| name == key) {
                    self.say(format!("{place}: {}", unknown("key", key, known)));
                }
            }
            match section(template, table.get("capabilities").and_then(Value::as_table)) {
                Ok(section) => self.capabilities(&place, template, &section),
                Err(why) => self.say(format!("{place}: {why}")),
            }
        }
        if definition.entities.is_empty() && definition.entity_default.is_none() {
            self.say("a definition needs [entities.NAME] or [entity_default] with any = true".to_owned());
        }
    }
}
