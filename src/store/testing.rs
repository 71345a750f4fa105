//! What the store's tests share: a store in memory, times, records, and a linked pair.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Store;
use super::mirror::Cause;
use super::outbox::{FieldWrite, Op, Write, WriteState};
use crate::core::record::Record;

/// A moment, in minutes after noon.
pub(super) fn at(minutes: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minutes)
}

/// A record with one field.
pub(super) fn record(id: &str, amount: i64) -> Record {
    Record {
        id: id.to_owned(),
        version: Some(format!("v{amount}")),
        updated_at: Some(at(amount)),
        archived: false,
        values: BTreeMap::from([("amount".to_owned(), json!(amount)), ("name".to_owned(), json!("x"))]),
    }
}

/// An accepted sync `orders` over the streams `erp` and `crm`, whose numbers are returned.
pub(super) fn orders(store: &Store) -> (i64, i64) {
    store.sync_row("orders").unwrap();
    store.accept_sync("orders", &BTreeMap::new(), "short", None, at(0)).unwrap();
    store.system_row("erp", "netsuite").unwrap();
    store.system_row("crm", "salesforce").unwrap();
    let erp = store.stream_for("erp", "salesOrder", "").unwrap().id;
    let crm = store.stream_for("crm", "Order", "").unwrap().id;
    (erp, crm)
}

/// A live link between a record of each side, which has the same id in both.
pub(super) fn linked(store: &Store, (erp, crm): (i64, i64), rid: &str) -> i64 {
    store.observe(erp, &record(rid, 1), Some(1), Cause::Sweep, at(0)).unwrap();
    store.observe(crm, &record(rid, 1), Some(1), Cause::Sweep, at(0)).unwrap();
    let link = store.new_link("orders", Some(rid), &format!("order {rid}"), at(0)).unwrap();
    store.join("orders", link, "erp", erp, rid, at(0)).unwrap();
    store.join("orders", link, "crm", crm, rid, at(0)).unwrap();
    link
}

/// A new update of the amount in the CRM.
pub(super) fn update(link: i64, stream: i64, rid: &str) -> Write {
    Write {
        id: 0,
        sync: "orders".to_owned(),
        link,
        side: "crm".to_owned(),
        system: "crm".to_owned(),
        stream,
        rid: Some(rid.to_owned()),
        op: Op::Update,
        state: WriteState::New,
        fields: BTreeMap::from([(
            "amount".to_owned(),
            FieldWrite { before: json!(1), after: serde_json::from_str("12500.50").unwrap(), number: 2 },
        )]),
        mark: None,
        reason: "changed in erp".to_owned(),
        batch: None,
        attempts: 0,
        next_at: at(0),
        sent_at: None,
        failure: None,
    }
}
