//! The records of a twin: entity, id, JSON document; cheap to copy, so that a lagging replica is one copy.
//!
//! This file must not know who writes or why; that is `world.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

type Table = BTreeMap<String, Arc<Value>>;

/// All records. A clone shares everything until one of the two is written.
#[derive(Debug, Clone, Default)]
pub struct Store {
    tables: BTreeMap<String, Arc<Table>>,
}

impl Store {
    /// One record.
    pub fn get(&self, entity: &str, id: &str) -> Option<Arc<Value>> {
        self.tables.get(entity)?.get(id).cloned()
    }

    /// All records of an entity, by id.
    pub fn list(&self, entity: &str) -> Vec<(String, Arc<Value>)> {
        self.tables
            .get(entity)
            .map(|table| table.iter().map(|(id, record)| (id.clone(), Arc::clone(record))).collect())
            .unwrap_or_default()
    }

    /// The entities that have or had records, and how many they have.
    pub fn entities(&self) -> Vec<(String, usize)> {
        self.tables.iter().map(|(entity, table)| (entity.clone(), table.len())).collect()
    }

    /// Puts a record in place of the old one, which is given back.
    pub fn put(&mut self, entity: &str, id: &str, record: Arc<Value>) -> Option<Arc<Value>> {
        let table = self.tables.entry(entity.to_owned()).or_default();
        Arc::make_mut(table).insert(id.to_owned(), record)
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
        Arc::make_mut(self.tables.get_mut(entity)?).remove(id)
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
}
