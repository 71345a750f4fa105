//! What a server does to records by itself: drops fields, normalises values, runs automations on save.
//!
//! This file must not know any vendor; a twin's own rules stand in the twin.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who saves what.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// Who writes.
    pub actor: &'a str,
    /// What kind of change.
    pub kind: &'a str,
    /// Entity of the record.
    pub entity: &'a str,
    /// Id of the record.
    pub id: &'a str,
    /// The record before.
    pub before: Option<&'a Value>,
}

/// A way to change one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// No white space at either end.
    Trim,
    /// Upper case.
    Upper,
    /// Lower case.
    Lower,
    /// So many decimal places, half away from zero.
    Round(u32),
    /// At most so many characters.
    Cut(usize),
}

/// One value that the server normalises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    /// Entity of the record.
    pub entity: String,
    /// JSON pointer of the value (`/taskdata/abc`).
    pub pointer: String,
    /// What is done to it.
    pub how: Normalise,
}

/// One value that the server accepts and does not store, unless a person writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// Entity of the record.
    pub entity: String,
    /// JSON pointer of the value.
    pub pointer: String,
}

/// A rule of the server's own that edits a record after it was saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Automation {
    /// Entity of the record.
    pub entity: String,
    /// Only when this pointer ...
    #[serde(default)]
    pub when_pointer: Option<String>,
    /// ... has this value.
    #[serde(default)]
    pub when_value: Value,
    /// The pointer that is set.
    pub pointer: String,
    /// The value it gets.
    pub value: Value,
    /// How often the rule runs; 0 is always.
    #[serde(default)]
    pub times: u32,
}

/// A rule of a test's own: sees the occasion, edits the record after it was saved.
pub type Hook = Box<dyn Fn(&Occasion<'_>, &mut Value) + Send>;

/// Everything a server does to records by itself.
#[derive(Default)]
pub struct Behaviour {
    /// Values that are accepted and not stored.
    pub dropped: Vec<Dropped>,
    /// Values that are normalised.
    pub normalisers: Vec<Normaliser>,
    /// Rules that run after a save.
    pub automations: Vec<Automation>,
    /// Rules of a test's own that run after a save.
    pub hooks: Vec<Hook>,
}

/// The actor of records that were there before the story began; no behaviour applies to it.
pub const SEED: &str = "seed";

impl Behaviour {
    pub(crate) fn shape(&self, occasion: &Occasion<'_>, record: &mut Value) {
        if occasion.actor == SEED {
            return;
        }
        let by_person = occasion.actor.starts_with("person");
        for rule in self.dropped.iter().filter(|rule| rule.entity == occasion.entity && !by_person) {
            match occasion.before.and_then(|before| before.pointer(&rule.pointer)) {
                Some(old) => set(record, &rule.pointer, old.clone()),
                None => unset(record, &rule.pointer),
            }
        }
        for rule in self.normalisers.iter().filter(|rule| rule.entity == occasion.entity) {
            if let Some(value) = record.pointer_mut(&rule.pointer) {
                normalise(value, &rule.how);
            }
        }
    }

    pub(crate) fn automate(&mut self, occasion: &Occasion<'_>, record: &mut Value) {
        if occasion.actor == SEED {
            return;
        }
        self.automations.retain_mut(|rule| {
            let met = rule.entity == occasion.entity
                && rule
                    .when_pointer
                    .as_deref()
                    .is_none_or(|pointer| record.pointer(pointer) == Some(&rule.when_value));
            if !met || record.pointer(&rule.pointer) == Some(&rule.value) {
                return true;
            }
            set(record, &rule.pointer, rule.value.clone());
            // 0 from the start means no count; a counted rule ends with its last run.
            let last = rule.times == 1;
            rule.times = rule.times.saturating_sub(1);
            !last
        });
        for hook in &self.hooks {
            hook(occasion, record);
        }
    }
}

/// Sets the value at a pointer; missing objects on the way are made.
pub fn set(record: &mut Value, pointer: &str, value: Value) {
    let mut place = record;
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        if let (Value::Array(items), Ok(index)) = (&mut *place, key.parse::<usize>()) {
            match items.get_mut(index) {
                Some(_) => {}
                None => return,
            }
        } else if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = match place {
            Value::Object(map) => map.entry(key).or_insert(Value::Null),
            Value::Array(items) => match key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => item,
                None => return,
            },
            _ => return,
        };
    }
    *place = value;
}

/// Takes the value at a pointer away.
pub fn unset(record: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(map)) = record.pointer_mut(parent) {
        map.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

/// Merges a patch into a record as RFC 7396 says: objects deeply, `null` takes away, the rest replaces.
pub fn merge(record: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *record = patch.clone();
        return;
    };
    if !record.is_object() {
        *record = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(map) = record {
        for (key, change) in changes {
            if change.is_null() {
                map.remove(key);
            } else {
                merge(map.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
    }
}

fn normalise(value: &mut Value, how: &Normalise) {
    if let Normalise::Round(places) = how {
        let is_text = value.is_string();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Ok(number) = text.trim().parse::<Decimal>() {
            let rounded = number.round_dp_with_strategy(*places, RoundingStrategy::MidpointAwayFromZero);
            *value = match rounded.to_string().parse::<serde_json::Number>() {
                Ok(number) if !is_text => Value::Number(number),
                _ => Value::String(rounded.to_string()),
            };
        }
        return;
    }
    let Value::String(text) = value else { return };
    *text = match how {
        Normalise::Trim => text.trim().to_owned(),
        Normalise::Upper => text.to_uppercase(),
        Normalise::Lower => text.to_lowercase(),
        Normalise::Cut(length) => text.chars().take(*length).collect(),
        Normalise::Round(_) => return,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{Save, World};
    use serde_json::json;

    fn save(world: &mut World, actor: &str, record: Value) -> Value {
        (*world.save(Save { actor, kind: "update", entity: "e", id: "1", record })).clone()
    }

    #[test]
    fn dropped_fields_keep_the_old_value_unless_a_person_writes() {
        let mut world = World::new(1);
        save(&mut world, SEED, json!({"a": 1, "b": 1}));
        world.behaviour.dropped.push(Dropped { entity: "e".into(), pointer: "/a".into() });
        assert_eq!(save(&mut world, "api", json!({"a": 2, "b": 2})), json!({"a": 1, "b": 2}));
        assert_eq!(save(&mut world, "person", json!({"a": 3, "b": 3})), json!({"a": 3, "b": 3}));
    }

    #[test]
    fn normalisers_change_what_came_in_and_keep_the_json_type() {
        let mut world = World::new(1);
        for (pointer, how) in [
            ("/x/t", Normalise::Trim),
            ("/u", Normalise::Upper),
            ("/r", Normalise::Round(2)),
            ("/s", Normalise::Round(2)),
            ("/c", Normalise::Cut(2)),
        ] {
            world.behaviour.normalisers.push(Normaliser { entity: "e".into(), pointer: pointer.into(), how });
        }
        let number: Value = serde_json::from_str("12345678901234567.125").unwrap();
        let stored = save(
            &mut world,
            "api",
            json!({"x": {"t": " a "}, "u": "ü", "r": number, "s": "1.005", "c": "ärger"}),
        );
        let expected: Value = serde_json::from_str(
            r#"{"x": {"t": "a"}, "u": "Ü", "r": 12345678901234567.13, "s": "1.01", "c": "är"}"#,
        )
        .unwrap();
        assert_eq!(stored, expected);
    }

    #[test]
    fn an_automation_runs_as_itself_and_only_so_often() {
        let mut world = World::new(1);
        world.behaviour.automations.push(Automation {
            entity: "e".into(),
            when_pointer: Some("/stage".into()),
            when_value: json!("won"),
            pointer: "/probability".into(),
            value: json!(100),
            times: 1,
        });
        assert_eq!(save(&mut world, "api", json!({"stage": "open"})), json!({"stage": "open"}));
        assert_eq!(
            save(&mut world, "api", json!({"stage": "won"})),
            json!({"stage": "won", "probability": 100})
        );
        assert_eq!(world.history().last().unwrap().actor, "automation");
        assert_eq!(save(&mut world, "api", json!({"stage": "won"})), json!({"stage": "won"}));
    }

    #[test]
    fn pointers_reach_into_objects_and_lists() {
        let mut record = json!({"list": [{"a": 1}]});
        set(&mut record, "/list/0/a", json!(2));
        set(&mut record, "/new/deep", json!(true));
        set(&mut record, "/list/7", json!("nowhere"));
        unset(&mut record, "/list/0/missing");
        assert_eq!(record, json!({"list": [{"a": 2}], "new": {"deep": true}}));
        merge(&mut record, &json!({"new": {"deep": null, "b": 1}, "list": []}));
        assert_eq!(record, json!({"list": [], "new": {"b": 1}}));
    }
}
