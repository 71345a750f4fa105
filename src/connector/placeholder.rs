//! Texts with holes: `{name|filter|filter}`, filled with values encoded for where they stand.
//!
//! A hole never becomes part of a query, a path or a URL without an encoder; the lint refuses such a
//! definition, and the encoders here refuse a value that they cannot carry. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json};

/// Everything but the unreserved characters of RFC 3986.
pub const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One step of a hole's way from value to text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// One segment of a path, percent-encoded.
    Path,
    /// An identifier, or several joined by dots; anything else is refused.
    Ident,
    /// A list of dotted identifiers, joined by commas.
    CsvIdent,
    /// A quoted SOQL text.
    SoqlStr,
    /// A SOQL literal of the value's own type.
    SoqlLiteral,
    /// A SOQL date-time, in UTC.
    SoqlDt,
    /// A quoted SQL text.
    SqlStr,
    /// A whole number, or refused.
    SqlInt,
    /// A quoted SQL text, or a number as it is.
    SqlLiteral,
    /// `YYYY-MM-DDTHH:MM:SS` without a zone.
    NsTs,
    /// `YYYY-MM-DDTHH:MM:SS+00:00`.
    SfDtOffset,
    /// `YYYY-MM-DD HH:MM:SS` in UTC.
    OdooDt,
    /// A Tryton tagged date-time.
    TrytonDt,
    /// `Sat, 21 Nov 2026 12:00:00 GMT`.
    HttpDate,
    /// A calendar day, in UTC.
    Date,
    /// A JSON number.
    Int,
    /// Base64.
    Base64,
    /// Lower case.
    Lower,
    /// `replace:a:b`.
    Replace(String, String),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("replace:") {
            let (from, to) = rest.split_once(':').ok_or("replace needs two parts: replace:a:b")?;
            return Ok(Self::Replace(from.to_owned(), to.to_owned()));
        }
        NAMES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, filter)| filter.clone())
            .ok_or_else(|| unknown("filter", text, NAMES.iter().map(|(name, _)| *name)))
    }

    /// Whether its result is safe inside a longer query text or path.
    pub fn encodes(&self) -> bool {
        !matches!(self, Self::Lower | Self::Replace(..) | Self::NsTs | Self::Base64 | Self::TrytonDt)
    }
}

const NAMES: &[(&str, Filter)] = &[
    ("path", Filter::Path),
    ("ident", Filter::Ident),
    ("csv_ident", Filter::CsvIdent),
    ("soql_str", Filter::SoqlStr),
    ("soql_literal", Filter::SoqlLiteral),
    ("soql_dt", Filter::SoqlDt),
    ("sql_str", Filter::SqlStr),
    ("sql_int", Filter::SqlInt),
    ("sql_literal", Filter::SqlLiteral),
    ("ns_ts", Filter::NsTs),
    ("sf_dt_offset", Filter::SfDtOffset),
    ("odoo_dt", Filter::OdooDt),
    ("tryton_dt", Filter::TrytonDt),
    ("http_date", Filter::HttpDate),
    ("date", Filter::Date),
    ("int", Filter::Int),
    ("base64", Filter::Base64),
    ("lower", Filter::Lower),
];

/// `what "got" is not known; did you mean "near"?`
pub fn unknown<'a>(what: &str, got: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &got.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min();
    match near {
        Some((_, near)) => format!("{what} {got:?} is not known; did you mean {near:?}?"),
        None => format!("{what} {got:?} is not known"),
    }
}

/// A place in a text that is filled later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Which value.
    pub name: String,
    /// How it is encoded.
    pub filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Hole(Hole),
}

/// A text with holes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    parts: Vec<Part>,
}

impl Text {
    /// Reads a text; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// A brace without its partner, or an unknown filter.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if from.starts_with('}') {
                return Err(format!("{source:?}: '}}' without '{{'"));
            } else {
                let inner = from.get(1..).unwrap_or_default();
                let (hole, after) =
                    inner.split_once('}').ok_or_else(|| format!("{source:?}: '{{' is never closed"))?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Hole(parse_hole(hole).map_err(|why| format!("{source:?}: {why}"))?));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The holes in order.
    pub fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Literal(_) => None,
        })
    }

    /// The hole, if the text is nothing else: its value keeps its type.
    pub fn single(&self) -> Option<&Hole> {
        match self.parts.as_slice() {
            [Part::Hole(hole)] => Some(hole),
            _ => None,
        }
    }

    /// Fills the holes. `None` when a hole's value is null or not there.
    ///
    /// # Errors
    /// A value that its encoder refuses.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Option<String>, String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Hole(hole) => match fill(hole, scope)? {
                    Json::Null => return Ok(None),
                    value => text.push_str(&plain(&value)),
                },
            }
        }
        Ok(Some(text))
    }
}

fn parse_hole(source: &str) -> Result<Hole, String> {
    let mut pieces = source.split('|');
    let name = pieces.next().unwrap_or_default().trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !plain {
        return Err(format!("{{{source}}} names nothing"));
    }
    let filters = pieces.map(|piece| Filter::parse(piece.trim())).collect::<Result<_, _>>()?;
    Ok(Hole { name: name.to_owned(), filters })
}

/// The values that holes are filled from; later layers win.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    layer: &'a BTreeMap<String, Json>,
    below: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// The lowest layer.
    pub fn new(layer: &'a BTreeMap<String, Json>) -> Self {
        Self { layer, below: None }
    }

    /// Another layer above this one.
    pub fn with(&'a self, layer: &'a BTreeMap<String, Json>) -> Scope<'a> {
        Scope { layer, below: Some(self) }
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&'a Json> {
        self.layer.get(name).or_else(|| self.below.and_then(|below| below.get(name)))
    }
}

/// A bare `{record}` is the body of a write even where a template has a param of that name, which only
/// ever stands with an encoder.
fn lookup<'a>(hole: &Hole, scope: &Scope<'a>) -> Option<&'a Json> {
    let body = (hole.name == "record" && hole.filters.is_empty()).then(|| scope.get("record_body")).flatten();
    body.or_else(|| scope.get(&hole.name))
}

fn fill(hole: &Hole, scope: &Scope<'_>) -> Result<Json, String> {
    let mut value = lookup(hole, scope).cloned().unwrap_or(Json::Null);
    for filter in &hole.filters {
        if value.is_null() {
            break;
        }
        value = apply(filter, &value).map_err(|why| format!("{{{}}}: {why}", hole.name))?;
    }
    Ok(value)
}

/// Fills a tree of JSON. A text that is one hole becomes the value with its type; an entry whose hole has
/// no value is left out of objects and lists.
///
/// # Errors
/// A text that does not parse, or a value that its encoder refuses.
pub fn render_tree(tree: &Json, scope: &Scope<'_>) -> Result<Json, String> {
    Ok(fill_tree(tree, scope)?.unwrap_or(Json::Null))
}

fn fill_tree(tree: &Json, scope: &Scope<'_>) -> Result<Option<Json>, String> {
    match tree {
        Json::String(source) => {
            let text = Text::parse(source)?;
            if let Some(hole) = text.single() {
                // A value that is null on purpose (a cleared field) stays; one that is not there goes.
                if lookup(hole, scope).is_none() {
                    return Ok(None);
                }
                return fill(hole, scope).map(Some);
            }
            Ok(text.render(scope)?.map(Json::String))
        }
        Json::Array(items) => {
            let mut filled = Vec::with_capacity(items.len());
            for item in items {
                filled.extend(fill_tree(item, scope)?);
            }
            let emptied = filled.is_empty() && !items.is_empty();
            Ok(if emptied { None } else { Some(Json::Array(filled)) })
        }
        Json::Object(entries) => {
            let mut filled = Map::new();
            for (key, value) in entries {
                let key = Text::parse(key)?.render(scope)?;
                if let (Some(key), Some(value)) = (key, fill_tree(value, scope)?) {
                    filled.insert(key, value);
                }
            }
            Ok(Some(Json::Object(filled)))
        }
        other => Ok(Some(other.clone())),
    }
}

/// A value as bare text.
pub fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn apply(filter: &Filter, value: &Json) -> Result<Json, String> {
    let text = plain(value);
    let encoded = match filter {
        Filter::Path => {
            // A segment that is only dots would change the path.
            if text.is_empty() || text.chars().all(|c| c == '.') {
                return Err(format!("{text:?} cannot be part of a path"));
            }
            utf8_percent_encode(&text, STRICT).to_string()
        }
        Filter::Ident => identifier(&text)?,
        Filter::CsvIdent => match value {
            Json::Array(items) => {
                let names: Result<Vec<_>, _> = items.iter().map(|item| identifier(&plain(item))).collect();
                names?.join(",")
            }
            _ => identifier(&text)?,
        },
        Filter::SoqlStr => soql_text(&text),
        Filter::SoqlLiteral => match value {
            Json::String(_) => soql_text(&text),
            Json::Number(_) | Json::Bool(_) => text,
            _ => return Err("only a text, number or boolean can be compared".to_owned()),
        },
        Filter::SqlStr => sql_text(&text)?,
        Filter::SqlLiteral => match value {
            Json::Number(_) => text,
            Json::Bool(yes) => if *yes { "'T'" } else { "'F'" }.to_owned(),
            Json::String(_) => sql_text(&text)?,
            _ => return Err("only a text, number or boolean can be compared".to_owned()),
        },
        Filter::SqlInt => whole(&text)?,
        Filter::Int => return Ok(number(&whole(&text)?)),
        Filter::SoqlDt => time(&text)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Filter::NsTs => time(&text)?.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
        Filter::SfDtOffset => time(&text)?.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        Filter::OdooDt => time(&text)?.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Filter::HttpDate => time(&text)?.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        Filter::Date => time(&text)?.strftime("%Y-%m-%d").to_string(),
        Filter::TrytonDt => return Ok(tryton_datetime(time(&text)?)),
        Filter::Base64 => base64::engine::general_purpose::STANDARD.encode(&text),
        Filter::Lower => text.to_lowercase(),
        Filter::Replace(from, to) => text.replace(from.as_str(), to),
    };
    Ok(Json::String(encoded))
}

/// A JSON number with exactly these digits.
pub fn number(digits: &str) -> Json {
    serde_json::from_str::<serde_json::Number>(digits).map_or(Json::Null, Json::Number)
}

fn whole(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is not a whole number"));
    }
    // Leading zeros are no JSON number, and an id written so is another id.
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(format!("{text:?} is not a whole number in its usual spelling"));
    }
    Ok(text.to_owned())
}

fn identifier(text: &str) -> Result<String, String> {
    let good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if text.split('.').all(good) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name that this API can have"))
    }
}

fn soql_text(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

fn sql_text(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c == '\0') {
        return Err("a text with U+0000 cannot be compared".to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

fn time(text: &str) -> Result<jiff::Zoned, String> {
    parse_time(text)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC))
        .ok_or_else(|| format!("{text:?} is not a time that we can read"))
}

/// Reads a time in any of the spellings that the embedded APIs use; without a zone it is UTC.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"] {
        if let Ok(at) = Timestamp::strptime(form, text) {
            return Some(at);
        }
    }
    let local: jiff::civil::DateTime = text.trim().replace(' ', "T").parse().ok()?;
    local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// A time shifted by a duration, saturating.
pub fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// Tryton's tagged form.
pub fn tryton_datetime(at: jiff::Zoned) -> Json {
    let part = |value: i64| Json::Number(value.into());
    let mut tagged = Map::new();
    tagged.insert("__class__".to_owned(), Json::String("datetime".to_owned()));
    tagged.insert("year".to_owned(), part(at.year().into()));
    tagged.insert("month".to_owned(), part(at.month().into()));
    tagged.insert("day".to_owned(), part(at.day().into()));
    tagged.insert("hour".to_owned(), part(at.hour().into()));
    tagged.insert("minute".to_owned(), part(at.minute().into()));
    tagged.insert("second".to_owned(), part(at.second().into()));
    tagged.insert("microsecond".to_owned(), part(i64::from(at.subsec_nanosecond()) / 1000));
    Json::Object(tagged)
}

#[cfg(test)]
#[path = "placeholder_tests.rs"]
mod tests;
