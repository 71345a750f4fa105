//! A config as a tree in which every key and value knows where it comes from.
//!
//! It keeps the order of the file and the digits of numbers as written, which a plain TOML table does not.
//! Nothing here knows which keys are valid.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problems, Report, Source};
use super::secret::{
    ALWAYS_SECRET_IN_AUTH, FORMS, is_variable_name, looks_like_secret_value, names_a_secret,
};

/// A value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value stands.
    pub origin: Origin,
    /// What it is.
    pub kind: Kind,
}

/// The forms of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A text.
    Text(String),
    /// An integer, in decimal digits.
    Integer(String),
    /// A number with a point or exponent, as written.
    Float(String),
    /// True or false.
    Boolean(bool),
    /// A TOML date or time, as written.
    Moment(String),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub origin: Origin,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// What kind of value this is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "a text",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a number with a point",
            Kind::Boolean(_) => "true or false",
            Kind::Moment(_) => "a date or time",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    /// The entries, if it is a table.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under a key, if it is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// A scalar as text; `None` for a list or table.
    pub fn scalar(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(text) | Kind::Integer(text) | Kind::Float(text) | Kind::Moment(text) => {
                Some(text.clone())
            }
            Kind::Boolean(value) => Some(value.to_string()),
            Kind::List(_) | Kind::Table(_) => None,
        }
    }
}

/// Reads TOML into a tree and covers, in `source`, every value that must not be shown.
///
/// # Errors
/// Every place where the text is not TOML.
pub fn parse(source: &mut Source) -> Result<Node, Problems> {
    let text = source.text.clone();
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        cover_by_line(source);
        let mut report = Report::new(source);
        for error in &errors {
            let range = error.span().unwrap_or(0..0);
            report.problem(&Origin::File(range), "", format!("this is not TOML: {}", error.message()));
        }
        return Err(report.finish().0);
    }
    let root = Node { origin: Origin::File(table.span()), kind: Kind::Table(entries(table.get_ref())) };
    cover(&root, "", "", source);
    Ok(root)
}

fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    let mut found: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let span = key.span();
            let entry = Entry {
                key: key.get_ref().to_string(),
                origin: Origin::File(span.clone()),
                node: node(value),
            };
            (span.start, entry)
        })
        .collect();
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, entry)| entry).collect()
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) => Kind::Integer(
            i128::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.to_string(), |number| number.to_string()),
        ),
        DeValue::Float(number) => Kind::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Kind::Boolean(*value),
        DeValue::Datetime(moment) => Kind::Moment(moment.to_string()),
        DeValue::Array(items) => Kind::List(items.iter().map(node).collect()),
        DeValue::Table(table) => Kind::Table(entries(table)),
    };
    Node { origin: Origin::File(value.span()), kind }
}

/// Covers every scalar under a name that a secret would have, and every value that looks like one.
/// `around` is the key of the table that the value stands in.
fn cover(node: &Node, key: &str, around: &str, source: &mut Source) {
    match &node.kind {
        Kind::Table(entries) => {
            for entry in entries {
                cover(&entry.node, &entry.key, key, source);
            }
        }
        Kind::List(items) => {
            for item in items {
                cover(item, key, around, source);
            }
        }
        _ => {
            let text = node.scalar().unwrap_or_default();
            let place = FORMS.contains(&key) && (key != "env" || is_variable_name(&text));
            let named = names_a_secret(key) || around == "auth" && ALWAYS_SECRET_IN_AUTH.contains(&key);
            let secret = named || names_a_secret(around) && !place || looks_like_secret_value(&text);
            if let (true, Origin::File(range)) = (secret, &node.origin) {
                source.cover(range.clone());
            }
        }
    }
}

/// In a text that is no TOML nobody knows where values end: from the first secret's name on a line to the
/// line's end everything is covered, and a line that opens neither a table nor a key is covered whole.
fn cover_by_line(source: &mut Source) {
    let mut start = 0;
    let mut ranges = Vec::new();
    for line in source.text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let end = start + content.len();
        let opens = content.trim_start().starts_with('[') || content.contains('=');
        let secret =
            content.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').any(names_a_secret)
                || looks_like_secret_value(content);
        if !opens && !content.trim().is_empty() {
            ranges.push(start..end);
        } else if secret {
            let from = content.find('=').map_or(start, |at| start + at + 1);
            ranges.push(from..end);
        } else if content.trim_end().ends_with('=') && !content.contains(' ') {
            // A line of base64 with its padding, not a key.
            ranges.push(start..end);
        }
        start += line.len();
    }
    for range in ranges {
        source.cover(range);
    }
}
