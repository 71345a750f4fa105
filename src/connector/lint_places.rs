//! What the lint walks over: the places where a text stands, the operations of a template, the texts of a
//! table. It judges nothing.

use toml::Value;

use super::definition::{Operation, Template};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a path or host.
    Url,
    UrlQuery,
    Query,
    Header,
}

pub(super) fn operations(template: &Template) -> Vec<(&'static str, &Operation)> {
    let all = [
        ("list", &template.list),
        ("sweep", &template.sweep),
        ("get", &template.get),
        ("get_related", &template.get_related),
        ("get_by_key", &template.get_by_key),
        ("get_deleted", &template.get_deleted),
        ("find", &template.find),
        ("create", &template.create),
        ("upsert", &template.upsert),
        ("update", &template.update),
        ("delete", &template.delete),
        ("archive", &template.archive),
        ("deletes", &template.deletes),
        ("audit", &template.audit),
    ];
    all.into_iter().filter_map(|(name, op)| op.as_ref().map(|op| (name, op))).collect()
}

pub(super) fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Table(table) => {
            for (key, value) in table {
                found.push(key.clone());
                strings(value, found);
            }
        }
        _ => {}
    }
}
