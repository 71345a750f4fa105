//! Stored conflicts: one open per unit, refreshed when the sides move, ended once.

use serde_json::json;

use super::Store;
use super::conflicts::ConflictRow;
use super::testing::{at, linked, orders};

fn conflict(link: i64, amount: i64) -> ConflictRow {
    ConflictRow {
        id: 0,
        sync: "orders".to_owned(),
        link,
        unit: "amount".to_owned(),
        kind: "edit".to_owned(),
        state: "open".to_owned(),
        agreed: Some(json!({"amount": serde_json::from_str::<serde_json::Value>("1.10").unwrap()})),
        candidates: json!([{"sides": ["erp"], "values": {"amount": amount}}]),
        observed: json!({"erp": {"amount": amount}}),
        why: "both changed".to_owned(),
    }
}

#[test]
fn a_conflict_is_refreshed_and_keeps_its_number() {
    let store = Store::in_memory().unwrap();
    let streams = orders(&store);
    let link = linked(&store, streams, "1");
    let id = store.put_conflict(&conflict(link, 5), at(0)).unwrap();
    assert_eq!(store.put_conflict(&conflict(link, 5), at(1)).unwrap(), id);
    assert_eq!(
        store.put_conflict(&conflict(link, 6), at(2)).unwrap(),
        id,
        "the same question, newer answers"
    );
    let open = store.open_conflicts(link).unwrap();
    assert_eq!(open, [ConflictRow { id, ..conflict(link, 6) }]);
    assert_eq!(open[0].agreed.as_ref().unwrap().to_string(), r#"{"amount":1.10}"#, "every digit");
    let opened: String =
        store.maybe("SELECT opened_at FROM conflict WHERE id = ?1", [id], |row| row.get(0)).unwrap().unwrap();
    assert_eq!(opened, super::time_text(at(0)), "since when it is open");
}

#[test]
fn a_conflict_that_goes_on_keeps_the_reason_for_which_it_began() {
    let store = Store::in_memory().unwrap();
    let streams = orders(&store);
    let link = linked(&store, streams, "1");
    let id = store.put_conflict(&conflict(link, 5), at(0)).unwrap();
    let later = ConflictRow { why: crate::core::merge::UNDECIDED.to_owned(), ..conflict(link, 6) };
    store.put_conflict(&later, at(1)).unwrap();
    assert_eq!(store.open_conflicts(link).unwrap(), [ConflictRow { id, ..conflict(link, 6) }]);
}

#[test]
fn an_ended_conflict_stays_ended_and_the_next_is_a_new_one() {
    let store = Store::in_memory().unwrap();
    let streams = orders(&store);
    let link = linked(&store, streams, "1");
    let first = store.put_conflict(&conflict(link, 5), at(0)).unwrap();
    store.end_conflict(first, "resolved", "took erp", at(1)).unwrap();
    store.end_conflict(first, "closed", "too late", at(2)).unwrap();
    assert_eq!(store.open_conflicts(link).unwrap(), []);
    assert_eq!(store.conflict(first).unwrap().unwrap().state, "resolved");
    let second = store.put_conflict(&conflict(link, 5), at(3)).unwrap();
    assert_ne!(first, second);
    store.end_link(link, "deleted", at(4)).unwrap();
    assert_eq!(store.conflict(second).unwrap().unwrap().state, "closed");
    assert_eq!(store.conflict(first + second + 1).unwrap(), None);
}
