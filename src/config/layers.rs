//! The layers of the config, joined by figment: built-in defaults, the file, `TALLYSYNC_*`, flags.
//!
//! Figment decides which layer wins and remembers, by tag, which one it was; that is turned back into a
//! tree whose every value knows its place. Which keys are valid is not decided here.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Num, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::problem::{Origin, Report};
use super::text::did_you_mean;
use super::tree::{Entry, Kind, Node};

/// The sections that the environment may speak to.
const FROM_ENVIRONMENT: [&str; 3] = ["state", "daemon", "systems"];
/// The sections that flags may speak to.
const FROM_FLAGS: [&str; 4] = ["state", "daemon", "systems", "connectors"];
const PREFIX: &str = "TALLYSYNC_";
const DEFAULTS: [(&str, &str, &str); 3] =
    [("state", "path", "state.db"), ("daemon", "listen", "127.0.0.1:8710"), ("daemon", "timezone", "UTC")];

/// One layer: a dictionary, and the origin of everything in it.
struct Layer {
    metadata: Metadata,
    data: Dict,
}

impl Layer {
    fn file(path: &Path, root: &Node) -> Self {
        let data = match value(root) {
            Value::Dict(_, data) => data,
            _ => Dict::new(),
        };
        Self { metadata: Metadata::from("sync.toml", path), data }
    }

    /// A layer with one value. The origin travels as `kind:name` in figment's metadata.
    fn single(kind: &str, name: &str, path: &[String], text: &str) -> Self {
        let leaf = Value::from(text);
        let nested = path.iter().rev().fold(leaf, |inner, key| {
            let mut dict = Dict::new();
            dict.insert(key.clone(), inner);
            Value::from(dict)
        });
        let data = match nested {
            Value::Dict(_, data) => data,
            _ => Dict::new(),
        };
        Self { metadata: Metadata::named(format!("{kind}:{name}")), data }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}

/// Joins the layers and gives the tree of what counts.
pub fn join(
    path: &Path,
    root: &Node,
    environment: impl Iterator<Item = (String, String)>,
    overrides: &[(String, String)],
    report: &mut Report<'_>,
) -> Node {
    let mut figment = Figment::new();
    for (section, key, text) in DEFAULTS {
        figment = figment.merge(Layer::single("default", key, &[section.to_owned(), key.to_owned()], text));
    }
    figment = figment.merge(Layer::file(path, root));
    let mut variables: Vec<(String, String)> =
        environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, text) in variables {
        if let Some(path) = variable_path(&name, root, report) {
            figment = figment.merge(Layer::single("environment", &name, &path, &text));
        }
    }
    for (key, text) in overrides {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        if path.len() < 2 || !path.first().is_some_and(|first| FROM_FLAGS.contains(&first.as_str())) {
            let message = format!("{key} cannot be set from the command line");
            report.problem(&Origin::Flag(key.clone()), key, message);
            continue;
        }
        figment = figment.merge(Layer::single("flag", key, &path, text));
    }
    rebuild_root(&figment, root)
}

/// `TALLYSYNC_SYSTEMS__ERP__BASE_URL` -> `systems.erp.base_url`. Names that the file has are matched
/// without case and with `-` for `_`, because a variable's name can hold neither.
fn variable_path(name: &str, root: &Node, report: &mut Report<'_>) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    // Variables without `__` belong to the command line (TALLYSYNC_CONFIG) or to the surroundings.
    if !rest.contains("__") {
        return None;
    }
    let parts: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    let first = parts.first()?;
    if !FROM_ENVIRONMENT.contains(&first.as_str()) {
        let hint = did_you_mean(first, FROM_ENVIRONMENT).map(|hint| format!(" ({hint})")).unwrap_or_default();
        let message = format!(
            "ignored: only [state], [daemon] and [systems] can be set from the environment, not \"{first}\"{hint}"
        );
        report.warn(&Origin::Environment(name.to_owned()), message);
        return None;
    }
    if parts.len() < 2 || parts.iter().any(String::is_empty) {
        let message = "the name must be a section and keys, joined by \"__\"";
        report.problem(&Origin::Environment(name.to_owned()), name, message);
        return None;
    }
    let mut at = Some(root);
    let mut path = Vec::new();
    for part in parts {
        let key = at
            .and_then(Node::entries)
            .and_then(|entries| entries.iter().find(|entry| folded(&entry.key) == part))
            .map_or(part, |entry| entry.key.clone());
        at = at.and_then(|node| node.get(&key)).map(|entry| &entry.node);
        path.push(key);
    }
    Some(path)
}

fn folded(key: &str) -> String {
    key.to_ascii_lowercase().replace('-', "_")
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Text(text) | Kind::Moment(text) | Kind::Float(text) => Value::from(text.as_str()),
        Kind::Integer(digits) => digits
            .parse::<i128>()
            .map_or_else(|_| Value::from(digits.as_str()), |number| Num::I128(number).into_value()),
        Kind::Boolean(value) => Value::from(*value),
        Kind::List(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Kind::Table(entries) => {
            Value::from(entries.iter().map(|entry| (entry.key.clone(), value(&entry.node))).collect::<Dict>())
        }
    }
}

trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for Num {
    fn into_value(self) -> Value {
        Value::Num(figment::value::Tag::Default, self)
    }
}

fn rebuild_root(figment: &Figment, root: &Node) -> Node {
    // The whole dictionary: the layers above never fail to give data, so neither does this.
    let joined: Dict =
        figment.data().ok().and_then(|mut profiles| profiles.remove(&Profile::Default)).unwrap_or_default();
    Node { origin: root.origin.clone(), kind: Kind::Table(rebuild_entries(&joined, Some(root), figment)) }
}

/// Entries in the order of the file, then what other layers add.
fn rebuild_entries(dict: &Dict, file: Option<&Node>, figment: &Figment) -> Vec<Entry> {
    let mut entries = Vec::new();
    for entry in file.and_then(Node::entries).unwrap_or_default() {
        if let Some(value) = dict.get(&entry.key) {
            let node = rebuild(value, Some(&entry.node), figment);
            entries.push(Entry { key: entry.key.clone(), origin: entry.origin.clone(), node });
        }
    }
    for (key, value) in dict {
        if file.and_then(|node| node.get(key)).is_none() {
            let node = rebuild(value, None, figment);
            entries.push(Entry { key: key.clone(), origin: node.origin.clone(), node });
        }
    }
    entries
}

fn rebuild(value: &Value, file: Option<&Node>, figment: &Figment) -> Node {
    let origin = origin(value, figment);
    match (value, file) {
        (Value::Dict(_, dict), Some(table)) if table.entries().is_some() => Node {
            origin: table.origin.clone(),
            kind: Kind::Table(rebuild_entries(dict, Some(table), figment)),
        },
        (Value::Dict(_, dict), _) => Node { origin, kind: Kind::Table(rebuild_entries(dict, None, figment)) },
        (_, Some(node)) if origin == Origin::Default && !came_from_defaults(value, figment) => node.clone(),
        (Value::String(_, text), _) => Node { origin, kind: Kind::Text(text.clone()) },
        (other, _) => Node { origin, kind: Kind::Text(format!("{other:?}")) },
    }
}

fn came_from_defaults(value: &Value, figment: &Figment) -> bool {
    figment.get_metadata(value.tag()).is_some_and(|metadata| metadata.name.starts_with("default:"))
}

/// The origin that figment remembers; `Default` for the file, whose places the file's own tree knows.
fn origin(value: &Value, figment: &Figment) -> Origin {
    let name = figment.get_metadata(value.tag()).map(|metadata| metadata.name.as_ref()).unwrap_or_default();
    match name.split_once(':') {
        Some(("environment", variable)) => Origin::Environment(variable.to_owned()),
        Some(("flag", flag)) => Origin::Flag(flag.to_owned()),
        _ => Origin::Default,
    }
}

/// The folder that relative paths count from.
pub fn folder(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}
