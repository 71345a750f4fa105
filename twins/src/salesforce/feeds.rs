//! What was deleted and what was changed: the recycle bin and the two replication feeds.
//!
//! Deleted records are read from the true history, so that every way of deleting shows here. This file must
//! not write records.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answers::{Refusal, Reply, put, read_time, stamp, text};
use super::schema::ObjectSeed;
use crate::kit::{Answer, Request, World};

/// How long the recycle bin and the deletion log keep a record.
const BIN: SignedDuration = SignedDuration::from_hours(24 * 15);
/// How far back the feed of changes goes.
const CHANGES: SignedDuration = SignedDuration::from_hours(24 * 30);

/// A deleted record.
pub(super) struct Gone {
    /// Its id.
    pub(super) id: String,
    /// When it was deleted.
    pub(super) at: Timestamp,
    /// What it was, with the stamps of its end.
    pub(super) record: Value,
}

/// The deleted records of an object that are still in the recycle bin, by id.
pub(super) fn recycle_bin(world: &World, object: &str) -> Vec<Gone> {
    let mut last = BTreeMap::new();
    for event in world.history().iter().filter(|event| event.entity == object) {
        last.insert(event.id.as_str(), event);
    }
    let kept_since = setting_time(world, "recycle_bin_since").max(back(world, BIN));
    last.into_values()
        .filter(|event| event.after.is_null() && event.kind != super::ROLLBACK && event.at >= kept_since)
        .filter(|event| world.get_any(object, &event.id).is_none())
        .map(|event| {
            let mut record = event.before.clone();
            put(&mut record, "IsDeleted", json!(true));
            put(&mut record, "SystemModstamp", json!(stamp(event.at)));
            put(&mut record, "LastModifiedDate", json!(stamp(event.at)));
            Gone { id: event.id.clone(), at: event.at, record }
        })
        .collect()
}

/// Whether a record was there once.
pub(super) fn was_deleted(world: &World, object: &str, id: &str) -> bool {
    let last = world.history_of(object, id).last();
    world.get_any(object, id).is_none()
        && last.is_some_and(|event| event.after.is_null() && event.kind != super::ROLLBACK)
}

/// `GET sobjects/X/deleted/`.
pub(super) fn deleted(world: &World, object: &ObjectSeed, request: &Request) -> Reply {
    let (start, end) = window(world, request, BIN)?;
    let logged_since = setting_time(world, "delete_log_since").max(back(world, BIN));
    let rows: Vec<Value> = recycle_bin(world, &object.name)
        .into_iter()
        .filter(|gone| gone.at >= start.max(logged_since) && gone.at < end)
        .map(|gone| json!({"id": gone.id, "deletedDate": stamp(gone.at)}))
        .collect();
    Ok(Answer::json(
        200,
        &json!({"deletedRecords": rows, "earliestDateAvailable": stamp(logged_since),
                "latestDateCovered": stamp(covered(world, end))}),
    ))
}

/// `GET sobjects/X/updated/`.
pub(super) fn updated(world: &World, object: &ObjectSeed, request: &Request) -> Reply {
    let (start, end) = window(world, request, CHANGES)?;
    let covered = covered(world, end);
    let within = |record: &Value| {
        read_time(text(record, "SystemModstamp")).is_some_and(|at| at >= start && at < end && at <= covered)
    };
    let ids: Vec<String> =
        world.list(&object.name).into_iter().filter(|(_, record)| within(record)).map(|(id, _)| id).collect();
    Ok(Answer::json(200, &json!({"ids": ids, "latestDateCovered": stamp(covered)})))
}

/// The window asked for; seconds are left out of account, as the server does.
fn window(
    world: &World,
    request: &Request,
    reach: SignedDuration,
) -> Result<(Timestamp, Timestamp), Refusal> {
    let read = |name: &str| {
        let given = request.query(name).unwrap_or_default();
        let at = read_time(&given).ok_or_else(|| {
            let message =
                format!("Invalid value for the {name} parameter: '{given}' is not a valid date and time");
            Refusal::new(400, "INVALID_REPLICATION_DATE", message)
        })?;
        let second = at.as_second();
        Ok(Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at))
    };
    let (start, end) = (read("start")?, read("end")?);
    let refuse = |message: &str| Err(Refusal::new(400, "INVALID_REPLICATION_DATE", message));
    if end <= start {
        return refuse("endDate must be at least one minute after startDate");
    }
    let earliest = back(world, reach);
    // The first minute of the reach counts whole, since seconds do not count.
    if start.as_second() + 60 <= earliest.as_second() {
        return refuse("startDate is before the earliest date that replication data is available for");
    }
    Ok((start, end))
}

/// Up to when the answer is complete: a long transaction holds it back.
fn covered(world: &World, end: Timestamp) -> Timestamp {
    let lag = super::setting(world, "feed_lag_seconds").and_then(|lag| lag.as_i64()).unwrap_or(0);
    end.min(back(world, SignedDuration::from_secs(lag)))
}

fn back(world: &World, by: SignedDuration) -> Timestamp {
    let now = world.now();
    now.checked_sub(by).unwrap_or(now)
}

fn setting_time(world: &World, name: &str) -> Timestamp {
    let setting = super::setting(world, name);
    setting.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MIN)
}
