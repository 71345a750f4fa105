//! From the text of an answer to records: splitting pages without building values, ids, codecs.
//!
//! The forms in which one record appears must come out as the same values; that is decided here and in
//! the definition's codecs, nowhere else. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::placeholder::{number, parse_time, plain, shifted, tryton_datetime};
use crate::core::record::{Record, Values};

/// The raw text at a pointer; `None` when it is not there.
///
/// # Errors
/// When the text is no JSON.
pub fn at<'a>(body: &'a str, pointer: &str) -> Result<Option<&'a RawValue>, String> {
    let bad = |error: serde_json::Error| format!("the answer is not valid JSON: {error}");
    let mut here = body;
    let mut found: Option<&RawValue> = None;
    for token in tokens(pointer) {
        let next = match here.trim_start().as_bytes().first() {
            Some(b'{') => pick(here, &token).map_err(bad)?,
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(here).map_err(bad)?;
                token.parse::<usize>().ok().and_then(|index| items.get(index).copied())
            }
            _ => serde_json::from_str::<&RawValue>(here).map(|_| None).map_err(bad)?,
        };
        let Some(next) = next else { return Ok(None) };
        here = next.get();
        found = Some(next);
    }
    match found {
        Some(found) => Ok(Some(found)),
        None => serde_json::from_str(body).map(Some).map_err(bad),
    }
}

fn tokens(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer
        .split('/')
        .skip(1)
        .filter(|token| !token.is_empty())
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// The items of the list at a pointer, as they stand in the text.
///
/// # Errors
/// When there is no list: that is never an empty page.
pub fn split<'a>(body: &'a str, pointer: &str) -> Result<Vec<&'a RawValue>, String> {
    let list = at(body, pointer)?.ok_or_else(|| format!("the answer has no {pointer:?}"))?;
    serde_json::from_str(list.get()).map_err(|_| format!("{pointer:?} of the answer is not a list"))
}

/// A small value at a pointer.
pub fn value_at(body: &str, pointer: &str) -> Option<Json> {
    let raw = at(body, pointer).ok()??;
    serde_json::from_str(raw.get()).ok()
}

/// Reads one key of an object and skips the rest.
fn pick<'a>(object: &'a str, key: &str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    struct Key<'k>(&'k str);

    impl<'de> Visitor<'de> for Key<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key_seed(Name)? {
                if name == self.0 {
                    found = Some(map.next_value::<&'de RawValue>()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(object);
    let found = reader.deserialize_map(Key(key))?;
    // A body that was cut, or two bodies in one, must not pass for a whole one.
    reader.end()?;
    Ok(found)
}

/// A key, borrowed where it holds no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        reader.deserialize_str(Text)
    }
}

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
    /// The normalised id of a raw record.
    ///
    /// # Errors
    /// When it has none.
    pub fn id_of(&self, raw: &str) -> Result<String, String> {
        let value = value_at(raw, &self.id).unwrap_or(Json::Null);
        self.normal_id(&value).ok_or_else(|| format!("a record without an id at {:?}", self.id))
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
        let mut body: Json =
            serde_json::from_str(raw).map_err(|error| format!("a record that is not valid JSON: {error}"))?;
        if !body.is_object() {
            return Err("a record that is not a JSON object".to_owned());
        }
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
                    let kind = self.kinds.get(path).map(String::as_str);
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
