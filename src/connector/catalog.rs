//! Reading definitions: those built in, and the user's own, which win.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::definition::Definition;
use super::lint;

const BUILT_IN: &[(&str, &str)] = &[
    ("netsuite.toml", include_str!("catalog/netsuite.toml")),
    ("salesforce.toml", include_str!("catalog/salesforce.toml")),
    ("tryton.toml", include_str!("catalog/tryton.toml")),
];

/// Reads and checks one definition.
///
/// # Errors
/// Every problem found, each with the file's name.
pub fn parse(file: &str, source: &str) -> Result<Definition, Vec<String>> {
    let mut definition: Definition =
        toml::from_str(source).map_err(|error| vec![format!("{file}: {}", explain(&error, source))])?;
    definition.document = toml::from_str(source).unwrap_or_default();
    let problems = lint::check(&definition);
    if problems.is_empty() {
        Ok(definition)
    } else {
        Err(problems.into_iter().map(|problem| format!("{file}: {problem}")).collect())
    }
}

/// Line, what is wrong, and the nearest valid name.
fn explain(error: &toml::de::Error, source: &str) -> String {
    let line = error.span().map(|span| {
        source.get(..span.start).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count() + 1
    });
    let message = error.message();
    let mut text = line.map_or_else(|| message.to_owned(), |line| format!("line {line}: {message}"));
    if message.starts_with("unknown field") {
        let mut names = message.split('`').skip(1).step_by(2);
        if let Some(got) = names.next() {
            let hint = super::placeholder::unknown("key", got, names);
            if let Some((_, near)) = hint.split_once("; ") {
                text = format!("{text}; {near}");
            }
        }
    }
    text
}

/// The definitions by id: those built in, and the user's own, which win.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    definitions: BTreeMap<String, Arc<Definition>>,
}

impl Catalog {
    /// Only what is built in.
    ///
    /// # Errors
    /// Never in a released program: a test proves that all of them are clean.
    pub fn built_in() -> Result<Self, Vec<String>> {
        let mut catalog = Self::default();
        let mut problems = Vec::new();
        for (file, source) in BUILT_IN {
            match parse(file, source) {
                Ok(definition) => catalog.add(definition),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(catalog) } else { Err(problems) }
    }

    fn add(&mut self, definition: Definition) {
        self.definitions.insert(definition.connector.id.clone(), Arc::new(definition));
    }

    /// The definition of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<Definition>> {
        self.definitions.get(id)
    }

    /// All, by id.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values()
    }
}

/// What is built in, and the `*.toml` files of `dir`; a file with the id of a built-in one replaces it.
///
/// # Errors
/// Every problem of every file.
pub fn load_definitions(dir: Option<&Path>) -> Result<Catalog, Vec<String>> {
    let mut catalog = Catalog::built_in()?;
    let Some(dir) = dir else { return Ok(catalog) };
    let entries = std::fs::read_dir(dir)
        .map_err(|error| vec![format!("[connectors] dir {}: {error}", dir.display())])?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for path in files {
        let shown = path.display().to_string();
        let parsed = std::fs::read_to_string(&path)
            .map_err(|error| vec![format!("{shown}: {error}")])
            .and_then(|source| parse(&shown, &source));
        match parsed {
            Ok(definition) => {
                let id = definition.connector.id.clone();
                if let Some(other) = seen.insert(id.clone(), shown.clone()) {
                    problems.push(format!("{shown}: connector id {id:?} is already in {other}"));
                }
                catalog.add(definition);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(catalog) } else { Err(problems) }
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
