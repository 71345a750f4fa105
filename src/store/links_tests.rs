//! Links, candidates, and when a link is due.

use std::time::Duration;

use super::Store;
use super::links::Candidate;
use super::mirror::Cause;
use super::outbox::WriteState;
use super::testing::{at, linked, orders, record, update};

const SETTLE: Duration = Duration::from_secs(600);

fn due(store: &Store, minutes: i64) -> Vec<i64> {
    store.due_links("orders", Some(at(minutes)), 0, 100).unwrap()
}

#[test]
fn a_link_that_keeps_changing_settles_but_not_for_ever() {
    let store = Store::in_memory().unwrap();
    let streams = orders(&store);
    let link = linked(&store, streams, "1");
    store.mark_due(link, at(0), SETTLE, "changed").unwrap();
    assert_eq!(due(&store, 9), Vec::<i64>::new());
    assert_eq!(due(&store, 10), [link]);
    assert_eq!(store.due_links("orders", None, 0, 100).unwrap(), [link], "a person does not wait");
    assert_eq!(store.next_due("orders").unwrap(), Some(at(10)));
    // A change every nine minutes pushes it on, but never beyond six times the settle time.
    for minutes in (9..60).step_by(9) {
        store.mark_due(link, at(minutes), SETTLE, "changed").unwrap();
    }
    assert_eq!(store.next_due("orders").unwrap(), Some(at(60)));
    assert_eq!(store.next_due("invoices").unwrap(), None);
    store.not_due(link).unwrap();
    assert_eq!(due(&store, 1000), Vec::<i64>::new());
}

#[test]
fn a_waiting_link_is_woken_by_what_it_waits_for() {
    let store = Store::in_memory().unwrap();
    let streams = orders(&store);
    let (one, two) = (linked(&store, streams, "1"), linked(&store, streams, "2"));
    store.wait(one, at(0), "reference customers/7").unwrap();
    store.wait(two, at(0), "reference customers/8").unwrap();
    assert_eq!(due(&store, 1), Vec::<i64>::new());
    store.wake("reference customers/6", at(1)).unwrap();
    assert_eq!(due(&store, 1), Vec::<i64>::new());
    store.wake("reference customers/7", at(1)).unwrap();
    assert_eq!(due(&store, 1), [one]);
    assert_eq!(store.due_why(two).unwrap().as_deref(), Some("reference customers/8"));
    assert_eq!(due(&store, 61), [one, two], "it is looked at again anyway");
    assert_eq!(store.due_links("orders", Some(at(61)), one, 100).unwrap(), [two]);
}

#[test]
fn a_record_is_in_one_live_link_per_side_only() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let link = linked(&store, (erp, crm), "1");
    let other = store.new_link("orders", None, "other", at(0)).unwrap();
    store.join("orders", other, "erp", erp, "1", at(0)).unwrap_err();
    store.join("orders", link, "erp", erp, "2", at(0)).unwrap_err();
    assert_eq!(store.link_of("orders", "erp", "1").unwrap(), Some(link));
    assert_eq!(store.link_of_record("orders", "crm", "1").unwrap(), Some(link));
    assert_eq!(store.link_of_record("orders", "tallyfy", "1").unwrap(), None);
    assert_eq!(store.record_of_link(link, "crm").unwrap().as_deref(), Some("1"));
}

#[test]
fn a_link_that_ends_frees_its_records_and_is_remembered() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let link = linked(&store, (erp, crm), "1");
    let write = store.put_write(&update(link, crm, "1"), at(0)).unwrap();
    store.mark_due(link, at(0), Duration::ZERO, "changed").unwrap();
    assert_eq!(store.linked_count("orders").unwrap(), 1);
    store.end_link(link, "deleted in erp", at(1)).unwrap();
    assert_eq!(store.linked_count("orders").unwrap(), 0);
    assert_eq!(store.standing_links("orders").unwrap(), Vec::<i64>::new());
    assert_eq!(store.links_with_key("orders", "1").unwrap(), []);
    assert_eq!(store.members(link).unwrap(), []);
    assert_eq!(due(&store, 10), Vec::<i64>::new());
    assert_eq!(store.write(write).unwrap().unwrap().state, WriteState::Superseded);
    assert!(store.was_linked("orders", "erp", erp, "1").unwrap());
    assert!(!store.was_linked("orders", "erp", erp, "2").unwrap());
    let next = store.new_link("orders", Some("1"), "again", at(2)).unwrap();
    store.join("orders", next, "erp", erp, "1", at(2)).unwrap();
    assert!(next > link, "numbers are not used twice");
}

#[test]
fn candidates_come_in_key_order_when_settled_and_leave_when_linked() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    let candidate = |rid: &str, key: &str| Candidate {
        side: "erp".to_owned(),
        rid: rid.to_owned(),
        stream: erp,
        key: Some(key.to_owned()),
        state: "fresh".to_owned(),
    };
    store.put_candidate("orders", &candidate("1", "b"), None, Some(at(10))).unwrap();
    store.put_candidate("orders", &candidate("2", "a"), None, None).unwrap();
    store
        .put_candidate("orders", &Candidate { state: "alone".into(), ..candidate("3", "a") }, None, None)
        .unwrap();
    let rids = |now: Option<i64>| -> Vec<String> {
        let fresh = store.fresh_candidates("orders", now.map(at), "", 10).unwrap();
        fresh.into_iter().map(|candidate| candidate.rid).collect()
    };
    assert_eq!(rids(Some(5)), ["2"]);
    assert_eq!(rids(Some(10)), ["2", "1"]);
    assert_eq!(rids(None), ["2", "1"]);
    let from_b = store.fresh_candidates("orders", None, "a\0", 10).unwrap();
    assert_eq!(from_b.iter().map(|one| one.rid.as_str()).collect::<Vec<_>>(), ["1"], "what follows a key");
    assert_eq!(store.next_due("orders").unwrap(), Some(at(10)));
    let same_key = store.candidates_with_key("orders", "a").unwrap();
    assert_eq!(same_key.iter().map(|one| one.rid.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    let link = store.new_link("orders", Some("b"), "b", at(0)).unwrap();
    store.join("orders", link, "erp", erp, "1", at(11)).unwrap();
    assert_eq!(rids(None), ["2"]);
    store.look_again("orders", "a").unwrap();
    assert_eq!(rids(None), ["2", "3"]);
}

#[test]
fn links_of_absent_records_are_due_and_no_others() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let link = linked(&store, (erp, crm), "1");
    linked(&store, (erp, crm), "2");
    store.observe(erp, &record("3", 1), None, Cause::Sweep, at(0)).unwrap();
    for rid in ["1", "3"] {
        let id = store.mirrored(erp, rid).unwrap().unwrap().id;
        store.count_absence(erp, id, rid, at(1), at(2)).unwrap();
    }
    store.mark_absent_due(erp, at(2)).unwrap();
    assert_eq!(due(&store, 2), [link]);
}
