//! What people do in the product's own screens: edits, merges, undeletes.
//!
//! This file must not know requests.

use serde_json::{Map, Value, json};

use super::Machine;
use super::answers::{put, stamp, text};
use super::schema::ObjectSeed;
use super::write::{self, Writer};
use crate::kit::{Save, World};

/// Gives what a person saves the stamps and checks of the API; fields closed to the API may be changed here,
/// since formulas and processes change them, and such a change alone moves no stamp.
pub(super) fn saves(
    world: &mut World,
    object: &ObjectSeed,
    id: &str,
    before: Option<&Value>,
    record: Value,
) -> Result<Value, String> {
    let Value::Object(mut given) = record else { return Err("a record is an object".to_owned()) };
    given.remove("id");
    let old = before.and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut changes, mut silent) = (Map::new(), Map::new());
    let names: Vec<String> =
        given.keys().chain(old.keys().filter(|key| !given.contains_key(*key))).cloned().collect();
    for name in names {
        let value = given.get(&name).cloned().unwrap_or_default();
        if old.get(&name).cloned().unwrap_or_default() == value && before.is_some() {
            continue;
        }
        let field = object.field(&name).ok_or_else(|| format!("{} has no field {name}", object.name))?;
        let target = if field.read_only { &mut silent } else { &mut changes };
        target.insert(name, value);
    }
    let changes = write::converted(object, &changes).map_err(|refusal| refusal.message)?;
    let merged = write::merged(world, object, id, before, &changes).map_err(|refusal| refusal.message)?;
    let user = person(world);
    let writer = Writer { actor: "person", user: &user };
    let mut stamped = if before.is_some() && changes.is_empty() {
        merged
    } else {
        write::stamped(world, &writer, object, id, merged)
    };
    for (name, value) in silent {
        put(&mut stamped, &name, value);
    }
    Ok(stamped)
}

/// The user behind people's edits.
fn person(world: &World) -> String {
    let name = super::setting(world, "person").unwrap_or_default();
    let users = world.list_any("User").into_iter();
    let found = users.filter(|(_, user)| user.get("Username") == Some(&name)).map(|(id, _)| id).next();
    found.unwrap_or_default()
}

/// `merge` (`entity`, `winner`, `losers`), `undelete` (`entity`, `id`), `touch` (`entity`, `ids`: what a bulk job
/// of the server's own does, which moves `SystemModstamp` and nothing else), `expire_locators`.
pub(super) fn action(
    machine: &Machine,
    world: &mut World,
    actor: &str,
    name: &str,
    with: &Value,
) -> Result<Value, String> {
    if name == "expire_locators" {
        return Ok(json!({"expired": machine.locators.clear()}));
    }
    let entity = text(with, "entity");
    let object = machine.whole(entity).ok_or_else(|| format!("no object {entity:?}"))?;
    match name {
        "merge" => merge(world, actor, object, with),
        "undelete" => undelete(world, actor, object, text(with, "id")),
        "touch" => touch(world, actor, object, &ids_of(with, "ids")),
        _ => Err(format!("the salesforce twin has no action {name:?}")),
    }
}

fn ids_of(with: &Value, key: &str) -> Vec<String> {
    let listed = with.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    listed.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn merge(world: &mut World, actor: &str, object: &ObjectSeed, with: &Value) -> Result<Value, String> {
    if !object.is_mergeable() {
        return Err(format!("records of {} cannot be merged", object.name));
    }
    let (winner, losers) = (text(with, "winner"), ids_of(with, "losers"));
    for id in losers.iter().map(String::as_str).chain([winner]) {
        world.get_any(&object.name, id).ok_or_else(|| format!("no {} {id}", object.name))?;
    }
    if losers.iter().any(|loser| loser == winner) || losers.is_empty() {
        return Err("a merge needs a winner and others to lose".to_owned());
    }
    for loser in &losers {
        if let Some(record) = world.get_any(&object.name, loser) {
            let mut record = (*record).clone();
            put(&mut record, "MasterRecordId", json!(winner));
            world.save(Save { actor, kind: "merge", entity: &object.name, id: loser, record });
            world.remove(actor, "merge", &object.name, loser);
        }
    }
    let user = person(world);
    let record = world.get_any(&object.name, winner).map(|record| (*record).clone()).unwrap_or_default();
    let record = write::stamped(world, &Writer { actor, user: &user }, object, winner, record);
    let stored = world.save(Save { actor, kind: "merge", entity: &object.name, id: winner, record });
    Ok((*stored).clone())
}

fn undelete(world: &mut World, actor: &str, object: &ObjectSeed, id: &str) -> Result<Value, String> {
    let gone = super::feeds::recycle_bin(world, &object.name).into_iter().find(|gone| gone.id == id);
    let mut record = gone.ok_or_else(|| format!("no {} {id} in the recycle bin", object.name))?.record;
    put(&mut record, "IsDeleted", json!(false));
    if let Value::Object(map) = &mut record {
        map.remove("MasterRecordId");
    }
    let user = person(world);
    let record = write::stamped(world, &Writer { actor, user: &user }, object, id, record);
    let stored = world.save(Save { actor, kind: "undelete", entity: &object.name, id, record });
    Ok((*stored).clone())
}

fn touch(world: &mut World, actor: &str, object: &ObjectSeed, ids: &[String]) -> Result<Value, String> {
    let now = json!(stamp(world.now()));
    for id in ids {
        let record = world.get_any(&object.name, id).ok_or_else(|| format!("no {} {id}", object.name))?;
        let mut record = (*record).clone();
        put(&mut record, "SystemModstamp", now.clone());
        world.save(Save { actor, kind: "touch", entity: &object.name, id, record });
    }
    Ok(json!({"touched": ids.len()}))
}
