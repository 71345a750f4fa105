//! The records of a twin: entity, id, JSON document; cheap to copy, so that a lagging replica is one copy.
//!
//! This file must not know who writes or why; that is `world.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

type Index = BTreeMap<String, BTreeSet<String>>;

/// The records of one entity, and which of them have which value in the fields that are indexed.
#[derive(Debug, Clone, Default)]
struct Table {
    records: BTreeMap<String, Arc<Value>>,
    indexes: BTreeMap<String, Index>,
}

impl Table {
    fn enter(&mut self, id: &str, record: &Value) {
        for (field, index) in &mut self.indexes {
            index.entry(key(record, field)).or_default().insert(id.to_owned());
        }
    }

    fn leave(&mut self, id: &str, record: &Value) {
        for (field, index) in &mut self.indexes {
            let old = key(record, field);
            if let Some(ids) = index.get_mut(&old) {
                ids.remove(id);
                if ids.is_empty() {
                    index.remove(&old);
                }
            }
        }
    }
}

fn key(record: &Value, field: &str) -> String {
    match record.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// All records. A clone shares everything until one of the two is written.
#[derive(Debug, Clone, Default)]
pub struct Store {
    tables: BTreeMap<String, Arc<Table>>,
}

impl Store {
    /// One record.
    pub fn get(&self, entity: &str, id: &str) -> Option<Arc<Value>> {
        self.tables.get(entity)?.records.get(id).cloned()
    }

    /// All records of an entity, by id.
    pub fn list(&self, entity: &str) -> Vec<(String, Arc<Value>)> {
        self.tables
            .get(entity)
            .map(|table| table.records.iter().map(|(id, record)| (id.clone(), Arc::clone(record))).collect())
            .unwrap_or_default()
    }

    /// The records with that text in a field, by id; quick when the field is indexed.
    pub fn list_where(&self, entity: &str, field: &str, value: &str) -> Vec<(String, Arc<Value>)> {
        let Some(table) = self.tables.get(entity) else { return Vec::new() };
        if let Some(index) = table.indexes.get(field) {
            let ids = index.get(value).into_iter().flatten();
            return ids.filter_map(|id| Some((id.clone(), Arc::clone(table.records.get(id)?)))).collect();
        }
        let found = table.records.iter().filter(|(_, record)| key(record, field) == value);
        found.map(|(id, record)| (id.clone(), Arc::clone(record))).collect()
    }

    /// Makes `list_where` quick for a field.
    pub fn index(&mut self, entity: &str, field: &str) {
        let table = Arc::make_mut(self.tables.entry(entity.to_owned()).or_default());
        let mut index = Index::new();
        for (id, record) in &table.records {
            index.entry(key(record, field)).or_default().insert(id.clone());
        }
        table.indexes.insert(field.to_owned(), index);
    }

    /// The entities that have or had records, and how many they have.
    pub fn entities(&self) -> Vec<(String, usize)> {
        self.tables.iter().map(|(entity, table)| (entity.clone(), table.records.len())).collect()
    }

    /// Puts a record in place of the old one, which is given back.
    pub fn put(&mut self, entity: &str, id: &str, record: Arc<Value>) -> Option<Arc<Value>> {
        let table = Arc::make_mut(self.tables.entry(entity.to_owned()).or_default());
        let before = table.records.insert(id.to_owned(), Arc::clone(&record));
        if let Some(before) = &before {
            table.leave(id, before);
        }
        table.enter(id, &record);
        before
    }

    /// Takes a whole entity over from another store.
    pub(crate) fn adopt(&mut self, entity: &str, other: &Store) {
        match other.tables.get(entity) {
            Some(table) => self.tables.insert(entity.to_owned(), Arc::clone(table)),
            None => self.tables.remove(entity),
        };
    }

    /// Takes a record out.
    pub fn remove(&mut self, entity: &str, id: &str) -> Option<Arc<Value>> {
        let table = Arc::make_mut(self.tables.get_mut(entity)?);
        let before = table.records.remove(id)?;
        table.leave(id, &before);
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_copy_does_not_see_later_writes() {
        let mut store = Store::default();
        store.put("runs", "a", Arc::new(json!({"name": "one"})));
        let copy = store.clone();
        store.put("runs", "a", Arc::new(json!({"name": "two"})));
        store.put("runs", "b", Arc::new(json!({})));
        assert_eq!(copy.get("runs", "a").unwrap()["name"], "one");
        assert_eq!(copy.list("runs").len(), 1);
        assert_eq!(store.entities(), [("runs".to_owned(), 2)]);
        assert!(store.remove("runs", "a").is_some());
        assert!(store.get("runs", "a").is_none());
        assert!(store.remove("tasks", "a").is_none());
    }

    #[test]
    fn an_index_follows_every_change_and_answers_as_a_scan_does() {
        let mut store = Store::default();
        store.put("tasks", "1", Arc::new(json!({"run": "a"})));
        let scanned = store.clone();
        store.index("tasks", "run");
        store.put("tasks", "2", Arc::new(json!({"run": "a"})));
        store.put("tasks", "3", Arc::new(json!({"run": 7})));
        let ids = |store: &Store, value: &str| {
            store.list_where("tasks", "run", value).into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(
            (ids(&store, "a"), ids(&store, "7"), ids(&scanned, "a")),
            (vec!["1".into(), "2".into()], vec!["3".into()], vec!["1".to_owned()])
        );
        store.put("tasks", "1", Arc::new(json!({"run": "b"})));
        store.remove("tasks", "2");
        assert_eq!((ids(&store, "a"), ids(&store, "b")), (vec![], vec!["1".to_owned()]));
        assert!(ids(&store, "").is_empty() && store.list_where("none", "x", "").is_empty());
    }
}
