//! Values as the expression language sees them: exact numbers, dates and instants as objects of their own, raw
//! JSON wrapped and handed out piece by piece. Nothing here goes through a serializer or a float.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::{Timestamp, civil};
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value as Dynamic, ValueKind};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::super::convert::exact_number;
use super::super::record::Values;
use super::super::value::{Value, number_json};

/// A value with an order that prints as itself.
macro_rules! scalar_object {
    ($name:ident, $inner:ty, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $name(pub(super) $inner);

        impl Object for $name {
            fn repr(self: &Arc<Self>) -> ObjectRepr {
                ObjectRepr::Plain
            }

            fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
                other.downcast_ref::<$name>().map(|other| self.0.cmp(&other.0))
            }

            fn is_true(self: &Arc<Self>) -> bool {
                truthy(&from_scalar(**self))
            }

            fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

scalar_object!(Number, Decimal, "An exact number.");
scalar_object!(Day, civil::Date, "A calendar day.");
scalar_object!(Instant, Timestamp, "An instant.");

fn from_scalar<T: Into<Value>>(scalar: T) -> Value {
    scalar.into()
}

fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Number(number) if number.is_zero())
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        Value::number(number.0)
    }
}

impl From<Day> for Value {
    fn from(day: Day) -> Value {
        Value::Date(day.0)
    }
}

impl From<Instant> for Value {
    fn from(instant: Instant) -> Value {
        Value::Instant(instant.0)
    }
}

/// A raw object or array; its parts are wrapped when they are asked for.
#[derive(Debug)]
struct Raw(Json);

impl Object for Raw {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.0.is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Dynamic) -> Option<Dynamic> {
        match (&self.0, key.as_str()) {
            (Json::Object(object), Some(key)) => object.get(key).map(from_json),
            (Json::Array(items), None) => items.get(key.as_usize()?).map(from_json),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.0 {
            Json::Array(items) => Enumerator::Seq(items.len()),
            Json::Object(object) => {
                Enumerator::Values(object.keys().map(|key| Dynamic::from(key.as_str())).collect())
            }
            _ => Enumerator::Empty,
        }
    }
}

/// A record, or the part of it below a path.
#[derive(Debug)]
struct Paths {
    values: Arc<Values>,
    below: String,
}

impl Paths {
    fn find(&self, key: &str) -> Option<Dynamic> {
        let path = if self.below.is_empty() { key.to_owned() } else { format!("{}.{key}", self.below) };
        if let Some(raw) = self.values.get(&path) {
            return Some(from_json(raw));
        }
        if self.keys_below(&path).next().is_some() {
            return Some(Dynamic::from_object(Paths { values: Arc::clone(&self.values), below: path }));
        }
        // What was requested as one path may hold an object: the rest of the path leads into it.
        path.rmatch_indices('.').find_map(|(dot, _)| {
            let (start, rest) = path.split_at(dot);
            let raw = self.values.get(start)?;
            rest.split('.').skip(1).try_fold(raw, |raw, key| raw.get(key)).map(from_json)
        })
    }

    fn keys_below<'p>(&'p self, path: &'p str) -> impl Iterator<Item = &'p str> {
        self.values.keys().filter_map(move |key| {
            if path.is_empty() { Some(key.as_str()) } else { key.strip_prefix(path)?.strip_prefix('.') }
        })
    }
}

impl Object for Paths {
    fn get_value(self: &Arc<Self>, key: &Dynamic) -> Option<Dynamic> {
        self.find(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys: BTreeSet<&str> = self.keys_below(&self.below).collect();
        Enumerator::Values(keys.into_iter().map(Dynamic::from).collect())
    }
}

#[derive(Debug)]
struct Names(Arc<BTreeMap<String, Dynamic>>);

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Dynamic) -> Option<Dynamic> {
        self.0.get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| Dynamic::from(key.as_str())).collect())
    }
}

pub(super) fn from_scope(names: Arc<BTreeMap<String, Dynamic>>) -> Dynamic {
    Dynamic::from_object(Names(names))
}

pub(super) fn from_record(values: Arc<Values>) -> Dynamic {
    Dynamic::from_object(Paths { values, below: String::new() })
}

pub(super) fn from_number(number: Decimal) -> Dynamic {
    Dynamic::from_object(Number(number.normalize()))
}

pub(super) fn from_value(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::from(()),
        Value::Text(text) => Dynamic::from(text.as_str()),
        Value::Number(number) => from_number(*number),
        Value::Boolean(flag) => Dynamic::from(*flag),
        Value::Date(date) => Dynamic::from_object(Day(*date)),
        Value::Instant(instant) => Dynamic::from_object(Instant(*instant)),
        Value::Set(entries) => {
            entries.iter().map(|entry| Dynamic::from(entry.as_str())).collect::<Vec<_>>().into()
        }
        Value::List(entries) => {
            entries.iter().map(|entry| Dynamic::from(entry.as_str())).collect::<Vec<_>>().into()
        }
        Value::Link(link) => Dynamic::from(*link),
    }
}

pub(super) fn from_json(raw: &Json) -> Dynamic {
    match raw {
        Json::Null => Dynamic::from(()),
        Json::Bool(flag) => Dynamic::from(*flag),
        Json::String(text) => Dynamic::from(text.as_str()),
        // A number that does not fit stays a text, with which no arithmetic can go wrong unnoticed.
        Json::Number(number) => {
            let text = number.to_string();
            exact_number(&text).map_or_else(|_| Dynamic::from(text.as_str()), from_number)
        }
        Json::Array(_) | Json::Object(_) => Dynamic::from_object(Raw(raw.clone())),
    }
}

/// The exact number that a dynamic value is; a float only comes out of MiniJinja's own filters, and counts as
/// its shortest spelling.
pub(super) fn number(value: &Dynamic) -> Option<Decimal> {
    if let Some(number) = value.downcast_object_ref::<Number>() {
        return Some(number.0);
    }
    (value.kind() == ValueKind::Number).then(|| exact_number(&value.to_string()).ok()).flatten()
}

pub(super) fn to_json(value: &Dynamic) -> Result<Json, String> {
    if let Some(raw) = value.downcast_object_ref::<Raw>() {
        return Ok(raw.0.clone());
    }
    if let Some(number) = number(value) {
        return Ok(number_json(number));
    }
    match value.kind() {
        ValueKind::Undefined => Err("a part of the result is undefined".to_owned()),
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::String => Ok(Json::String(value.as_str().unwrap_or_default().to_owned())),
        ValueKind::Seq | ValueKind::Iterable => items(value)?.iter().map(to_json).collect(),
        ValueKind::Map => {
            let mut object = serde_json::Map::new();
            for key in items(value)? {
                let item = value.get_item(&key).map_err(|e| e.to_string())?;
                object.insert(key.to_string(), to_json(&item)?);
            }
            Ok(Json::Object(object))
        }
        ValueKind::Plain => Ok(Json::String(value.to_string())),
        other => Err(format!("the result is a {other}, which is no value")),
    }
}

pub(super) fn to_value(value: &Dynamic) -> Result<Value, String> {
    if let Some(number) = number(value) {
        return Ok(Value::number(number));
    }
    if let Some(day) = value.downcast_object_ref::<Day>() {
        return Ok((*day).into());
    }
    if let Some(instant) = value.downcast_object_ref::<Instant>() {
        return Ok((*instant).into());
    }
    match value.kind() {
        ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Boolean(value.is_true())),
        ValueKind::String => Ok(Value::text(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            let texts: Vec<String> = items(value)?.iter().map(ToString::to_string).collect();
            Ok(if texts.is_empty() { Value::Null } else { Value::List(texts) })
        }
        other => Err(format!("the result is a {other}, where one value was expected")),
    }
}

pub(super) fn items(value: &Dynamic) -> Result<Vec<Dynamic>, String> {
    Ok(value.try_iter().map_err(|e| e.to_string())?.collect())
}
