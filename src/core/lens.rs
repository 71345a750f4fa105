//! How a field is read from and written to one side: path, type, value map, expressions.
//!
//! A lens says what a raw value means and how a value is spelled; it does not know which values are agreed.

use std::sync::Arc;

use serde_json::Value as Json;

use super::convert::exact_number;
use super::expr::{Expression, Scope};
use super::record::Values;
use super::value::{FieldType, Seen, Value};

/// The way between one side's raw values and the sync's domain.
#[derive(Debug, Clone)]
pub struct Lens {
    /// Where the value stands on that side; empty when `read` computes it from several paths.
    pub path: String,
    /// The field's type.
    pub kind: FieldType,
    /// `values`: raw value on the side, value in the sync. Empty: none.
    pub values: Vec<(Json, Value)>,
    /// `read = EXPR` over `value` (raw value at `path`) and `record`.
    pub read: Option<Expression>,
    /// `write = EXPR` over `value` (the sync's value).
    pub write: Option<Expression>,
    /// The side may be written: false with `read` and no `write`.
    pub writable: bool,
    /// Every path that must be requested from the side.
    pub paths: Vec<String>,
}

/// What a [`Lens`] is made from, as it stands in the config.
#[derive(Debug, Clone, Default)]
pub struct LensParts {
    /// Where the value stands; empty with `read` alone.
    pub path: String,
    /// The field's type; `None` is `text`.
    pub kind: Option<FieldType>,
    /// `values`: raw value on the side, value in the sync. The raw texts `true` and `false`, which is all that
    /// a TOML key can say, mean the booleans.
    pub values: Vec<(Json, Json)>,
    /// `read = EXPR`.
    pub read: Option<String>,
    /// `write = EXPR`.
    pub write: Option<String>,
}

impl Lens {
    /// Checks and compiles.
    ///
    /// # Errors
    /// When the parts contradict each other or an expression cannot be read; the text says which and why.
    pub fn new(parts: LensParts) -> Result<Lens, String> {
        let kind = parts.kind.unwrap_or(FieldType::Text);
        if parts.path.is_empty() && parts.read.is_none() {
            return Err("a path (or read = EXPR) is missing".to_owned());
        }
        if parts.path.is_empty() && parts.write.is_some() {
            return Err("write = EXPR needs a path to write to".to_owned());
        }
        let read = parts.read.map(|source| compile("read", &source, &["value", "record"])).transpose()?;
        let write = parts.write.map(|source| compile("write", &source, &["value"])).transpose()?;
        let mut values: Vec<(Json, Value)> = Vec::with_capacity(parts.values.len());
        for (raw, value) in parts.values {
            let raw = match raw.as_str() {
                Some("true") => Json::Bool(true),
                Some("false") => Json::Bool(false),
                _ => raw,
            };
            if values.iter().any(|(known, _)| spelling(known) == spelling(&raw)) {
                return Err(format!("values: {raw} stands there twice"));
            }
            let entry = element(&kind);
            let value = entry.read(&value).map_err(|why| format!("values: {raw} = {value}: {why}"))?;
            values.push((raw, value));
        }
        let mut paths: Vec<String> = read.iter().flat_map(|read| read.paths().iter().cloned()).collect();
        if !parts.path.is_empty() {
            paths.push(parts.path.clone());
        }
        paths.sort();
        paths.dedup();
        let writable = read.is_none() || write.is_some();
        Ok(Lens { path: parts.path, kind, values, read, write, writable, paths })
    }

    /// What the side shows for this field.
    pub fn read(&self, record: &Values) -> Seen {
        let Some(expression) = &self.read else {
            return match record.get(&self.path) {
                None => Seen::Absent,
                Some(raw) => self.meaning(raw),
            };
        };
        let mut scope = Scope::new().record("record", Arc::new(record.clone()));
        if !self.path.is_empty() {
            let Some(raw) = record.get(&self.path) else { return Seen::Absent };
            scope = scope.json("value", raw.clone());
        } else if !self.paths.is_empty() && !self.paths.iter().any(|path| holds(record, path)) {
            return Seen::Absent;
        }
        match expression.eval_json(&scope) {
            Ok(raw) => self.meaning(&raw),
            Err(why) => Seen::Unknown(why),
        }
    }

    fn meaning(&self, raw: &Json) -> Seen {
        if self.values.is_empty() {
            return self.kind.read(raw).map_or_else(Seen::Unknown, Seen::Value);
        }
        let mapped = match self.kind {
            FieldType::Set | FieldType::List => self.kind.read(raw).and_then(|value| self.each(&value, true)),
            _ => self.value_of(raw),
        };
        mapped.map_or_else(Seen::Unknown, Seen::Value)
    }

    fn value_of(&self, raw: &Json) -> Result<Value, String> {
        let wanted = spelling(raw);
        match self.values.iter().find(|(known, _)| spelling(known) == wanted) {
            Some((_, value)) => Ok(value.clone()),
            // Nothing chosen is not a choice outside the map.
            None if wanted.as_deref() == Some("") => Ok(Value::Null),
            None => Err(format!("{raw} is not in the value map of {}", self.path)),
        }
    }

    fn raw_of(&self, value: &Value) -> Result<Json, String> {
        match self.values.iter().find(|(_, known)| known == value) {
            Some((raw, _)) => Ok(raw.clone()),
            None if value.is_blank() => Ok(Json::Null),
            None => Err(format!(
                "{value} is not in the value map of {}, so it cannot be written there",
                self.path
            )),
        }
    }

    /// The entries of a set or list through the value map, one by one.
    fn each(&self, value: &Value, reading: bool) -> Result<Value, String> {
        let map = |entry: &String| -> Result<String, String> {
            let mapped = if reading {
                self.value_of(&Json::String(entry.clone()))?
            } else {
                Value::text(spelling(&self.raw_of(&Value::text(entry.clone()))?).unwrap_or_default())
            };
            Ok(match mapped {
                Value::Text(text) => text,
                other => other.to_string(),
            })
        };
        Ok(match value {
            Value::Set(entries) => Value::Set(entries.iter().map(map).collect::<Result<_, _>>()?),
            Value::List(entries) => Value::List(entries.iter().map(map).collect::<Result<_, _>>()?),
            other => other.clone(),
        })
    }

    /// The raw value to send at `path`. A blank is sent as null; of several raw values that mean the same, the
    /// first is sent.
    ///
    /// # Errors
    /// When the side is read-only, the value is not in the value map, `write` fails, or a reference was not
    /// replaced by the side's record id.
    pub fn write(&self, value: &Value) -> Result<Json, String> {
        if !self.writable {
            return Err(format!("{} is only read: it has read = EXPR and no write", self.paths.join(", ")));
        }
        if let Value::Link(link) = value {
            return Err(format!("link {link} has no record id here yet"));
        }
        let raw = match (self.values.is_empty(), value) {
            (true, _) => None,
            (false, Value::Set(_) | Value::List(_)) => Some(self.kind.write(&self.each(value, false)?)),
            (false, _) => Some(self.raw_of(value)?),
        };
        if value.is_blank() {
            return Ok(raw.unwrap_or(Json::Null));
        }
        match (&self.write, raw) {
            (None, None) => Ok(self.kind.write(value)),
            (None, Some(raw)) => Ok(raw),
            (Some(write), None) => write.eval_json(&Scope::new().value("value", value)),
            (Some(write), Some(raw)) => write.eval_json(&Scope::new().json("value", raw)),
        }
    }

    /// What that value looks like on this side: read after being written. `None` where that cannot be known
    /// beforehand (a read-only side, a value outside the map, a `read` over other paths).
    pub fn image(&self, value: &Value) -> Option<Value> {
        let raw = self.write(value).ok()?;
        match self.read(&Values::from([(self.path.clone(), raw)])) {
            Seen::Value(image) => Some(image),
            Seen::Absent | Seen::Unknown(_) => None,
        }
    }

    /// A text that names everything whose change gives the field another meaning on this side. A base is valid
    /// under the text that it was made with.
    pub fn hash(&self) -> String {
        let values: Vec<Json> =
            self.values.iter().map(|(raw, value)| Json::Array(vec![raw.clone(), value.stored()])).collect();
        let source = |expression: &Option<Expression>| {
            expression.as_ref().map_or(Json::Null, |expression| Json::String(expression.source.clone()))
        };
        Json::Array(vec![
            Json::String(self.path.clone()),
            Json::String(self.kind.to_string()),
            Json::Array(values),
            source(&self.read),
            source(&self.write),
        ])
        .to_string()
    }

    /// The round-trip law over one record: what it shows, written back and read again, is the same.
    ///
    /// # Errors
    /// When it is not, or the value cannot be written; the text shows the value at every step.
    pub fn check_law(&self, record: &Values) -> Result<(), String> {
        let Seen::Value(value) = self.read(record) else { return Ok(()) };
        if !self.writable {
            return Ok(());
        }
        let raw =
            self.write(&value).map_err(|why| format!("reads {value}, which cannot be written: {why}"))?;
        let mut written = record.clone();
        written.insert(self.path.clone(), raw.clone());
        match self.read(&written) {
            Seen::Value(again) if again == value => Ok(()),
            Seen::Value(again) => Err(format!("reads {value}, writes {raw}, and then reads {again}")),
            Seen::Absent => Err(format!("reads {value}, writes {raw}, and then reads nothing")),
            Seen::Unknown(why) => Err(format!("reads {value}, writes {raw}, and then cannot read it: {why}")),
        }
    }
}

fn compile(key: &str, source: &str, allowed: &[&str]) -> Result<Expression, String> {
    let expression = Expression::compile(source).map_err(|why| format!("{key}: {why}"))?;
    match expression.roots().iter().find(|name| !allowed.contains(&name.as_str())) {
        Some(name) => Err(format!("{key}: {source:?} uses {name}; there is only {}", allowed.join(" and "))),
        None => Ok(expression),
    }
}

/// The type of what one entry of a value map maps to.
fn element(kind: &FieldType) -> &FieldType {
    match kind {
        FieldType::Set | FieldType::List => &FieldType::Text,
        other => other,
    }
}

/// The text under which a raw value is looked up in a value map: `1`, `"1"` and `1.0` are one spelling.
fn spelling(raw: &Json) -> Option<String> {
    if let Json::Number(number) = raw {
        let text = number.to_string();
        return Some(exact_number(&text).map_or(text, |number| number.to_string()));
    }
    match FieldType::Text.read(raw) {
        Ok(Value::Text(text)) => Some(text),
        Ok(_) => Some(String::new()),
        Err(_) => None,
    }
}

/// The record has the path, or an object that the path leads into.
fn holds(record: &Values, path: &str) -> bool {
    record.contains_key(path)
        || path
            .rmatch_indices('.')
            .any(|(dot, _)| path.get(..dot).is_some_and(|start| record.contains_key(start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(text: &str) -> Values {
        serde_json::from_str(text).unwrap()
    }

    fn approval() -> Lens {
        Lens::new(LensParts {
            path: "approved".into(),
            values: vec![
                (json!("true"), json!("approved")),
                (json!("false"), json!("rejected")),
                (json!("2"), json!("rejected")),
            ],
            ..LensParts::default()
        })
        .unwrap()
    }

    #[test]
    fn a_value_map_is_read_both_ways_and_closed() {
        let lens = approval();
        for (raw, expected) in
            [("true", "approved"), ("\"true\"", "approved"), ("2", "rejected"), ("\"2\"", "rejected")]
        {
            let seen = lens.read(&record(&format!(r#"{{"approved": {raw}}}"#)));
            assert_eq!(seen, Seen::Value(Value::text(expected)), "{raw}");
        }
        assert_eq!(lens.read(&record(r#"{"approved": null}"#)), Seen::Value(Value::Null));
        assert_eq!(lens.read(&record("{}")), Seen::Absent);
        let Seen::Unknown(why) = lens.read(&record(r#"{"approved": "maybe"}"#)) else { panic!("known") };
        assert!(why.contains("maybe") && why.contains("approved"), "{why}");
        assert_eq!(lens.write(&Value::text("rejected")), Ok(json!(false)), "the first raw value wins");
        assert_eq!(lens.write(&Value::Null), Ok(Json::Null));
        assert!(lens.write(&Value::text("later")).unwrap_err().contains("later"));
        assert_eq!(lens.image(&Value::text("later")), None);
        assert_eq!(lens.check_law(&record(r#"{"approved": 2}"#)), Ok(()));
    }

    #[test]
    fn sets_are_mapped_entry_by_entry() {
        let lens = Lens::new(LensParts {
            path: "tags".into(),
            kind: Some(FieldType::Set),
            values: vec![(json!("1"), json!("red")), (json!("2"), json!("blue"))],
            ..LensParts::default()
        })
        .unwrap();
        let both = Value::Set(["blue", "red"].map(str::to_owned).into());
        assert_eq!(lens.read(&record(r#"{"tags": [2, 1]}"#)), Seen::Value(both.clone()));
        assert_eq!(lens.write(&both), Ok(json!(["1", "2"])));
        assert!(matches!(lens.read(&record(r#"{"tags": "1;3"}"#)), Seen::Unknown(_)));
        assert_eq!(lens.image(&both), Some(both));
    }

    #[test]
    fn expressions_read_and_write() {
        let cents = Lens::new(LensParts {
            path: "cents".into(),
            kind: Some(FieldType::Decimal(2)),
            read: Some("value / 100".into()),
            write: Some("(value * 100)|int".into()),
            ..LensParts::default()
        })
        .unwrap();
        assert_eq!(
            cents.read(&record(r#"{"cents": 1234}"#)),
            Seen::Value(Value::number("12.34".parse().unwrap()))
        );
        assert_eq!(cents.write(&Value::number("12.3".parse().unwrap())).unwrap().to_string(), "1230");
        assert_eq!(cents.check_law(&record(r#"{"cents": 1234}"#)), Ok(()));
        assert_eq!(cents.write(&Value::Null), Ok(Json::Null));

        let full = Lens::new(LensParts {
            read: Some("record.first ~ ' ' ~ record.name.last".into()),
            ..LensParts::default()
        })
        .unwrap();
        assert!(!full.writable);
        assert_eq!(full.paths, ["first", "name.last"]);
        let person = record(r#"{"first": "Ann", "name": {"last": "Lee"}}"#);
        assert_eq!(full.read(&person), Seen::Value(Value::text("Ann Lee")));
        assert_eq!(full.read(&record("{}")), Seen::Absent);
        assert!(matches!(full.read(&record(r#"{"first": "Ann"}"#)), Seen::Unknown(_)));
        assert!(full.write(&Value::text("x")).unwrap_err().contains("only read"));
    }

    #[test]
    fn a_lossy_lens_breaks_the_law_and_shows_its_image() {
        let upper = Lens::new(LensParts {
            path: "code".into(),
            read: Some("value".into()),
            write: Some("value|upper".into()),
            ..LensParts::default()
        })
        .unwrap();
        assert_eq!(upper.image(&Value::text("ab")), Some(Value::text("AB")));
        assert!(upper.check_law(&record(r#"{"code": "ab"}"#)).unwrap_err().contains("AB"));
    }

    #[test]
    fn contradictions_are_refused() {
        let new = |parts: LensParts| Lens::new(parts).unwrap_err();
        assert!(new(LensParts::default()).contains("path"));
        assert!(
            new(LensParts { read: Some("1".into()), write: Some("value".into()), ..LensParts::default() })
                .contains("path")
        );
        assert!(
            new(LensParts { path: "a".into(), read: Some("amount".into()), ..LensParts::default() })
                .contains("uses amount")
        );
        let twice = vec![(json!(1), json!("a")), (json!("1"), json!("b"))];
        assert!(new(LensParts { path: "a".into(), values: twice, ..LensParts::default() }).contains("twice"));
        let kind = Some(FieldType::Integer);
        let wrong = vec![(json!("x"), json!("many"))];
        assert!(
            new(LensParts { path: "a".into(), kind, values: wrong, ..LensParts::default() }).contains("many")
        );
        assert_ne!(
            approval().hash(),
            Lens::new(LensParts { path: "approved".into(), ..LensParts::default() }).unwrap().hash()
        );
    }
}
