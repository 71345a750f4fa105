//! Reads one table of the config: known keys, right types, and a problem for everything else.
//!
//! It knows how to ask, not what is asked for; the keys stand in the files that read the sections.

use std::time::Duration;

use super::problem::{Origin, Report};
use super::text::{did_you_mean, duration, list};
use super::tree::{Entry, Kind, Node};

/// One table on its way to becoming plain data.
#[derive(Debug, Clone)]
pub struct Section<'n> {
    /// The table.
    pub node: &'n Node,
    /// What it belongs to, as messages begin: `sync "orders"`, `[state]`.
    pub owner: String,
    /// The dotted path of the table below the owner; empty at its top.
    pub path: String,
}

impl<'n> Section<'n> {
    /// The top table of an owner.
    pub fn top(node: &'n Node, owner: impl Into<String>) -> Self {
        Self { node, owner: owner.into(), path: String::new() }
    }

    /// The table under a key, at its place below the same owner. Reports when it is no table.
    pub fn below(&self, entry: &'n Entry, report: &mut Report<'_>) -> Option<Section<'n>> {
        let path = self.join(&entry.key);
        if entry.node.entries().is_none() {
            let message = format!("{path} must be a table, not {}", entry.node.kind_name());
            self.problem(report, &entry.node.origin, &path, message);
            return None;
        }
        Some(Section { node: &entry.node, owner: self.owner.clone(), path })
    }

    /// The table under a key, if the key is there.
    pub fn table(&self, report: &mut Report<'_>, key: &str) -> Option<Section<'n>> {
        let entry = self.node.get(key)?;
        self.below(entry, report)
    }

    /// A key's dotted path below the owner.
    pub fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem of this owner.
    pub fn problem(&self, report: &mut Report<'_>, at: &Origin, key: &str, message: impl std::fmt::Display) {
        self.suggest(report, at, key, message, None);
    }

    /// Notes a problem of this owner with what to write instead.
    pub fn suggest(
        &self,
        report: &mut Report<'_>,
        at: &Origin,
        key: &str,
        message: impl std::fmt::Display,
        suggestion: Option<String>,
    ) {
        report.suggest(at, key, format!("{}: {message}", self.owner), suggestion);
    }

    /// Notes every key that is not one of these.
    pub fn only<'k>(&self, report: &mut Report<'_>, known: impl IntoIterator<Item = &'k str>) {
        let known: Vec<&str> = known.into_iter().collect();
        for entry in self.node.entries().unwrap_or_default() {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let place = if self.path.is_empty() { String::new() } else { format!(" under {}", self.path) };
            let suggestion = did_you_mean(&entry.key, known.iter().copied())
                .or_else(|| (known.len() <= 12).then(|| format!("known: {}", known.join(", "))));
            let message = format!("unknown key \"{}\"{place}", entry.key);
            self.suggest(report, &entry.origin, &self.join(&entry.key), message, suggestion);
        }
    }

    /// Notes that a key is missing.
    pub fn missing(&self, report: &mut Report<'_>, key: &str, what: &str) {
        let path = self.join(key);
        self.problem(report, &self.node.origin, &path, format!("{path} is missing: {what}"));
    }

    fn wrong(&self, report: &mut Report<'_>, entry: &Entry, expected: &str) {
        let path = self.join(&entry.key);
        let message = format!("{path} must be {expected}, not {}", entry.node.kind_name());
        self.problem(report, &entry.node.origin, &path, message);
    }

    /// A text.
    pub fn text(&self, report: &mut Report<'_>, key: &str) -> Option<String> {
        let entry = self.node.get(key)?;
        match &entry.node.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => {
                self.wrong(report, entry, "a text");
                None
            }
        }
    }

    /// A text that is not blank.
    pub fn filled(&self, report: &mut Report<'_>, key: &str) -> Option<String> {
        let text = self.text(report, key)?;
        if text.trim().is_empty() {
            let path = self.join(key);
            self.problem(report, &self.origin(key), &path, format!("{path} must not be empty"));
            return None;
        }
        Some(text)
    }

    /// True or false.
    pub fn boolean(&self, report: &mut Report<'_>, key: &str) -> Option<bool> {
        let entry = self.node.get(key)?;
        match &entry.node.kind {
            Kind::Boolean(value) => Some(*value),
            _ => {
                self.wrong(report, entry, "true or false");
                None
            }
        }
    }

    /// A whole number of at least `least`. From the environment and from flags it arrives as a text.
    pub fn whole(&self, report: &mut Report<'_>, key: &str, least: u32) -> Option<u32> {
        let entry = self.node.get(key)?;
        let digits = match (&entry.node.kind, &entry.node.origin) {
            (Kind::Integer(digits), _) => digits,
            (Kind::Text(digits), Origin::Environment(_) | Origin::Flag(_)) => digits,
            _ => {
                self.wrong(report, entry, "a whole number");
                return None;
            }
        };
        let number = digits.trim().parse::<u32>().ok().filter(|number| *number >= least);
        if number.is_none() {
            let path = self.join(key);
            let message = format!("{path} must be a whole number from {least} to {}, not {digits}", u32::MAX);
            self.problem(report, &entry.node.origin, &path, message);
        }
        number
    }

    /// A percentage above 0 and up to 100.
    pub fn percent(&self, report: &mut Report<'_>, key: &str) -> Option<f64> {
        let entry = self.node.get(key)?;
        let (Kind::Integer(digits) | Kind::Float(digits)) = &entry.node.kind else {
            self.wrong(report, entry, "a number of percent");
            return None;
        };
        let number = digits.replace('_', "").parse::<f64>().ok().filter(|n| (0.0..=100.0).contains(n));
        if number.is_none() {
            let path = self.join(key);
            let message = format!("{path} must be from 0 to 100 percent, not {digits}");
            self.problem(report, &entry.node.origin, &path, message);
        }
        number
    }

    /// A duration.
    pub fn duration(&self, report: &mut Report<'_>, key: &str) -> Option<Duration> {
        let text = self.text(report, key)?;
        let value = duration(&text);
        if value.is_none() {
            let path = self.join(key);
            let message = format!("{path} must be a duration such as \"10s\", \"5m\", \"1h\" or \"2d\"");
            self.problem(report, &self.origin(key), &path, format!("{message}, not \"{text}\""));
        }
        value
    }

    /// One of these words, with what each stands for.
    pub fn word<T: Copy>(&self, report: &mut Report<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(report, key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let path = self.join(key);
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!(
                "{path} is \"{text}\", which is none of {}",
                list(names.iter().copied()).replace(" and ", ", ")
            );
            self.suggest(report, &self.origin(key), &path, message, did_you_mean(&text, names));
        }
        found
    }

    /// A list of texts, each with its place.
    pub fn texts(&self, report: &mut Report<'_>, key: &str) -> Option<Vec<(String, Origin)>> {
        let entry = self.node.get(key)?;
        let Kind::List(items) = &entry.node.kind else {
            self.wrong(report, entry, "a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.kind {
                Kind::Text(text) => texts.push((text.clone(), item.origin.clone())),
                _ => {
                    let path = self.join(key);
                    let message = format!("{path} must be a list of texts; it holds {}", item.kind_name());
                    self.problem(report, &item.origin, &path, message);
                }
            }
        }
        Some(texts)
    }

    /// Where the value of a key stands; the table itself if the key is missing.
    pub fn origin(&self, key: &str) -> Origin {
        self.node.get(key).map_or_else(|| self.node.origin.clone(), |entry| entry.node.origin.clone())
    }
}
