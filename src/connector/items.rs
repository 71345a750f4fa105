//! From the text of an answer to records: ids, stamps, values, codecs. Finding text in text is `scan.rs`.
//!
//! The forms in which one record appears must come out as the same values; that is decided here and in
//! the definition's codecs, nowhere else. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};

use super::placeholder::{number, parse_time, plain, shifted, tryton_datetime};
use super::scan::{self, Pointer};
pub use super::scan::{at, split, value_at};
use crate::core::record::{Record, Values};

/// How a definition spells values on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codecs(pub BTreeMap<String, String>);

impl Codecs {
    fn is(&self, kind: &str, codec: &str) -> bool {
        self.0.get(kind).is_some_and(|name| name == codec)
    }
}

/// Every codec, by the kind of value it is for.
pub const CODECS: &[(&str, &[&str])] = &[
    ("boolean", &["T_F", "json"]),
    ("integer", &["text"]),
    ("decimal", &["text"]),
    ("ref", &["object_id", "pair_id"]),
    ("enum", &["object_id"]),
    ("datetime", &["sf_datetime"]),
    ("value", &["tagged"]),
    ("null", &["false"]),
];

/// Everything that is needed to read one record of an entity.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    /// Requested paths.
    pub paths: Vec<String>,
    /// Names are matched without regard to case.
    pub fold_case: bool,
    /// A requested field that is not there is null.
    pub absent_is_null: bool,
    /// Pointers to remove.
    pub drop: Vec<String>,
    /// Wire spellings.
    pub codecs: Codecs,
    /// Field types, by path, where known.
    pub kinds: BTreeMap<String, String>,
    /// Pointer to the id.
    pub id: String,
    /// `sf18`.
    pub id_normalise: Option<String>,
    /// Pointers to the stamp, first that is not null.
    pub updated_at: Vec<String>,
    /// The stamp is no instant without this offset: `None` means that stamps are not read as instants.
    pub zone: Option<SignedDuration>,
    /// What the version is.
    pub version: Version,
    /// Pointer, and the value that means archived.
    pub archived: Option<(String, Json)>,
}

/// What a record's version is read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Version {
    /// There is none.
    #[default]
    None,
    /// The stamp, as it is written.
    UpdatedAt,
    /// A pointer.
    At(String),
}

impl Decoder {
    /// The normalised id of a raw record that is known to be valid JSON; `at` is where [`Decoder::id`] points.
    ///
    /// # Errors
    /// When it has none.
    pub fn id_of(&self, raw: &str, at: &Pointer) -> Result<String, String> {
        match scan::first_at(raw, at) {
            Some(Json::String(text)) if self.id_normalise.is_none() && !text.is_empty() => Some(text),
            value => value.and_then(|value| self.normal_id(&value)),
        }
        .ok_or_else(|| format!("a record without an id at {:?}", self.id))
    }

    /// The one spelling of an id.
    pub fn normal_id(&self, value: &Json) -> Option<String> {
        let text = match value {
            Json::String(text) => text.clone(),
            Json::Number(digits) => digits.to_string(),
            _ => return None,
        };
        if text.is_empty() {
            return None;
        }
        if self.id_normalise.as_deref() == Some("sf18") {
            return Some(sf18(&text));
        }
        Some(text)
    }

    /// The stamp as the record writes it.
    pub fn stamp_of(&self, raw: &str) -> Option<String> {
        self.updated_at
            .iter()
            .filter_map(|pointer| value_at(raw, pointer))
            .find(|value| !value.is_null())
            .map(|value| stamp_text(&value))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is no JSON object or has no id.
    pub fn decode(&self, raw: &str) -> Result<Record, String> {
        let mut body = scan::members(raw, &|name| self.wants(name)).map_err(|error| {
            let data = error.is_data();
            if data {
                "a record that is not a JSON object".to_owned()
            } else {
                format!("a record that is not valid JSON: {error}")
            }
        })?;
        for pointer in &self.drop {
            remove(&mut body, pointer);
        }
        let id = body
            .pointer(&self.id)
            .and_then(|value| self.normal_id(value))
            .ok_or_else(|| format!("a record without an id at {:?}", self.id))?;
        let stamp = self
            .updated_at
            .iter()
            .filter_map(|pointer| body.pointer(pointer))
            .find(|value| !value.is_null())
            .map(stamp_text);
        let updated_at = match (&stamp, self.zone) {
            (Some(text), Some(offset)) => parse_time(text).map(|at| shifted(at, -offset)),
            _ => None,
        };
        let version = match &self.version {
            Version::None => None,
            Version::UpdatedAt => stamp,
            Version::At(pointer) => body.pointer(pointer).filter(|v| !v.is_null()).map(plain),
        };
        let archived = self
            .archived
            .as_ref()
            .is_some_and(|(pointer, is)| body.pointer(pointer).is_some_and(|value| same(value, is)));
        let mut values = Values::new();
        for path in &self.paths {
            match self.find(&body, path) {
                Some(value) => {
                    let kind =
                        if self.kinds.is_empty() { None } else { self.kinds.get(path).map(String::as_str) };
                    values.insert(path.clone(), self.codecs.read(value, kind));
                }
                None if self.absent_is_null => {
                    values.insert(path.clone(), Json::Null);
                }
                None => {}
            }
        }
        Ok(Record { id, version, updated_at, archived, values })
    }

    /// A member of a record that something is read from; all others are skipped.
    fn wants(&self, name: &str) -> bool {
        let version = match &self.version {
            Version::At(pointer) => Some(pointer),
            _ => None,
        };
        let archived = self.archived.as_ref().map(|(pointer, _)| pointer);
        let mut pointers = self.updated_at.iter().chain([&self.id]).chain(version).chain(archived);
        self.paths.iter().any(|path| self.leads_to(name, path))
            || pointers.any(|pointer| begins(pointer, name))
    }

    /// The member is the path itself, or its first part (with or without the dot).
    fn leads_to(&self, name: &str, path: &str) -> bool {
        let Some(head) = path.get(..name.len()) else { return false };
        let same = head == name || (self.fold_case && head.eq_ignore_ascii_case(name));
        same && (head.len() == path.len()
            || name.ends_with('.')
            || path.as_bytes().get(name.len()) == Some(&b'.'))
    }

    fn find<'a>(&self, body: &'a Json, path: &str) -> Option<&'a Json> {
        let map = body.as_object()?;
        if let Some(value) = self.key(map, path) {
            return Some(value);
        }
        let (head, rest) = path.split_once('.')?;
        // Tryton answers a dotted request under the name with its dot.
        let inner = self.key(map, head).or_else(|| self.key(map, &format!("{head}.")))?;
        let inner = match inner {
            Json::Object(_) => inner,
            Json::Null => return Some(&Json::Null),
            _ => self.key(map, &format!("{head}."))?,
        };
        if inner.is_null() { Some(inner) } else { self.find(inner, rest) }
    }

    fn key<'a>(&self, map: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
        map.get(name).or_else(|| {
            let folded = self.fold_case.then(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
            folded.flatten().map(|(_, value)| value)
        })
    }
}

/// The first token of the pointer is this name.
fn begins(pointer: &str, name: &str) -> bool {
    let first = pointer.strip_prefix('/').unwrap_or(pointer);
    let first = first.split_once('/').map_or(first, |(first, _)| first);
    if first.contains('~') { first.replace("~1", "/").replace("~0", "~") == name } else { first == name }
}

fn remove(body: &mut Json, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(Json::Object(map)) = body.pointer_mut(parent) {
        map.remove(key);
    }
}

/// True and 1 are the same flag; some databases cannot tell them apart.
fn same(value: &Json, is: &Json) -> bool {
    match (value, is) {
        (Json::Number(digits), Json::Bool(flag)) => digits.to_string() == if *flag { "1" } else { "0" },
        _ => value == is,
    }
}

fn stamp_text(value: &Json) -> String {
    match untag(value) {
        Some(Json::String(text)) => text,
        _ => plain(value),
    }
}

/// Salesforce's 18-character form of a 15-character id: the suffix tells which letters are upper case.
pub fn sf18(id: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if id.len() != 15 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut full = id.to_owned();
    for chunk in id.as_bytes().chunks(5) {
        let bits = chunk
            .iter()
            .enumerate()
            .filter(|(_, byte)| byte.is_ascii_uppercase())
            .fold(0_usize, |bits, (place, _)| bits | (1 << place));
        full.push(char::from(ALPHABET.get(bits).copied().unwrap_or(b'A')));
    }
    full
}

impl Codecs {
    /// From the wire to the record.
    pub fn read(&self, value: &Json, kind: Option<&str>) -> Json {
        if self.is("value", "tagged")
            && let Some(plain) = untag(value)
        {
            return plain;
        }
        if self.is("null", "false") && value == &Json::Bool(false) && !is_boolean(kind) {
            return Json::Null;
        }
        match value {
            Json::String(text) => self.read_text(text, kind).unwrap_or_else(|| value.clone()),
            Json::Object(map) if self.is("ref", "object_id") => {
                map.get("id").map_or_else(|| value.clone(), |id| Json::String(plain(id)))
            }
            Json::Array(items) if self.is("ref", "pair_id") && is_reference(kind, items) => {
                items.first().map_or(Json::Null, |id| Json::String(plain(id)))
            }
            Json::Number(digits) if is_boolean(kind) => Json::Bool(digits.to_string() != "0"),
            Json::Number(digits) if kind == Some("many2one") => Json::String(digits.to_string()),
            _ => value.clone(),
        }
    }

    fn read_text(&self, text: &str, kind: Option<&str>) -> Option<Json> {
        if self.is("boolean", "T_F") && (kind.is_none() || is_boolean(kind)) {
            match text {
                "T" => return Some(Json::Bool(true)),
                "F" => return Some(Json::Bool(false)),
                _ => {}
            }
        }
        if self.is("datetime", "sf_datetime") && text.ends_with("+0000") && text.contains('T') {
            return parse_time(text).map(|at| Json::String(at.to_string()));
        }
        None
    }

    /// From the record to the wire.
    pub fn write(&self, value: &Json, kind: Option<&str>) -> Json {
        if self.is("null", "false") && value.is_null() {
            return Json::Bool(false);
        }
        if self.is("value", "tagged") {
            return tag(value, kind);
        }
        value.clone()
    }
}

fn is_boolean(kind: Option<&str>) -> bool {
    matches!(kind, Some("boolean" | "bool"))
}

fn is_reference(kind: Option<&str>, items: &[Json]) -> bool {
    matches!(kind, Some("many2one" | "ref"))
        || (kind.is_none() && matches!(items, [Json::Number(_), Json::String(_)]))
}

/// A Tryton tagged value as plain JSON; `None` when it is not tagged.
pub fn untag(value: &Json) -> Option<Json> {
    let map = value.as_object()?;
    let part = |name: &str| map.get(name).and_then(Json::as_i64).unwrap_or(0);
    match map.get("__class__")?.as_str()? {
        "Decimal" => {
            let digits = plain(map.get("decimal")?);
            // "1E+2" and friends are numbers too, but not JSON's; the text still tells the value.
            Some(match number(&digits) {
                Json::Null => Json::String(digits),
                exact => exact,
            })
        }
        "date" => Some(Json::String(format!("{:04}-{:02}-{:02}", part("year"), part("month"), part("day")))),
        "datetime" => {
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                part("year"),
                part("month"),
                part("day"),
                part("hour"),
                part("minute"),
                part("second"),
                part("microsecond")
            );
            Some(Json::String(text.parse::<Timestamp>().map_or(text, |at| at.to_string())))
        }
        "time" => {
            Some(Json::String(format!("{:02}:{:02}:{:02}", part("hour"), part("minute"), part("second"))))
        }
        "timedelta" => map.get("seconds").cloned(),
        "bytes" => map.get("base64").cloned(),
        _ => None,
    }
}

/// Plain JSON as Tryton's tagged value, by the field's type, or by its look where the type is unknown.
pub fn tag(value: &Json, kind: Option<&str>) -> Json {
    let text = plain(value);
    let looks_like_day = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    match (value, kind) {
        (Json::Number(_) | Json::String(_), Some("numeric")) => decimal(&text),
        (Json::Number(_), None) if text.contains(['.', 'e', 'E']) => decimal(&text),
        (Json::String(_), Some("date")) | (Json::String(_), None) if looks_like_day => day(&text),
        (Json::String(_), Some("datetime" | "timestamp")) => parse_time(&text)
            .map_or_else(|| value.clone(), |at| tryton_datetime(at.to_zoned(jiff::tz::TimeZone::UTC))),
        (Json::String(_), Some("many2one" | "integer" | "float")) => match number(&text) {
            Json::Null => value.clone(),
            digits => digits,
        },
        _ => value.clone(),
    }
}

fn decimal(digits: &str) -> Json {
    let mut map = Map::new();
    map.insert("__class__".to_owned(), Json::String("Decimal".to_owned()));
    map.insert("decimal".to_owned(), Json::String(digits.to_owned()));
    Json::Object(map)
}

fn day(text: &str) -> Json {
    let Ok(date) = text.parse::<jiff::civil::Date>() else { return Json::String(text.to_owned()) };
    let mut map = Map::new();
    map.insert("__class__".to_owned(), Json::String("date".to_owned()));
    for (name, part) in
        [("year", i64::from(date.year())), ("month", date.month().into()), ("day", date.day().into())]
    {
        map.insert(name.to_owned(), Json::Number(part.into()));
    }
    Json::Object(map)
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;
