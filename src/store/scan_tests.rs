//! What a pass asks of the store is led to by indexes: its cost grows with changes, not with what is stored.

use std::time::Duration;

use super::Store;
use super::links::Candidate;
use super::mirror::Cause;
use super::outbox::WriteState;
use super::read::View;
use super::testing::{at, linked, orders, update};

const STORED: usize = 300;

/// Rows that the work stepped over without an index.
fn scanned<T>(store: &Store, work: impl FnOnce() -> super::Result<T>) -> i64 {
    let before = store.scanned.get();
    work().unwrap();
    store.scanned.get() - before
}

/// A store in which everything has happened a few hundred times.
fn filled() -> (Store, i64, i64, Vec<i64>) {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let mut links = Vec::new();
    for number in 0..STORED {
        let rid = format!("r{number}");
        let link = linked(&store, (erp, crm), &rid);
        let done = store.put_write(&update(link, crm, &rid), at(0)).unwrap();
        let batch = store.hold("orders", "updates", "many", &[done], at(0)).unwrap();
        store.approve(batch, at(0)).unwrap();
        store.move_write(done, WriteState::Done, None, None, at(0)).unwrap();
        let written = store.write(done).unwrap().unwrap();
        store.audit(&written, "confirmed", |_| None, "test", at(0)).unwrap();
        let waiting = Candidate {
            side: "erp".to_owned(),
            rid: format!("c{number}"),
            stream: erp,
            key: Some(format!("k{number}")),
            state: "alone".to_owned(),
        };
        store.put_candidate("orders", &waiting, None, None).unwrap();
        links.push(link);
    }
    (store, erp, crm, links)
}

#[test]
fn the_questions_of_a_pass_read_no_table_from_end_to_end() {
    let (store, erp, crm, links) = filled();
    let s = &store;
    let unled = scanned(s, || s.count("SELECT count(*) FROM audit WHERE reason = 'nobody'", []));
    assert!(unled >= i64::try_from(STORED).unwrap() - 1, "the counter counts: {unled}");
    let none = |what: &str, steps: i64| assert_eq!(steps, 0, "{what} stepped over rows without an index");
    none("changes_after", scanned(s, || s.changes_after(erp, 590, 10)));
    none("link_of", scanned(s, || s.link_of("orders", "erp", "r7")));
    none("link_of_record", scanned(s, || s.link_of_record("orders", "crm", "r7")));
    none("record_of_link", scanned(s, || s.record_of_link(links[7], "crm")));
    none("was_linked", scanned(s, || s.was_linked("orders", "erp", erp, "r7")));
    none("mirrored", scanned(s, || s.mirrored(crm, "r7")));
    none("observe_missing", scanned(s, || s.observe_missing(erp, "r7", Cause::Read, at(1))));
    none("observe_gone", scanned(s, || s.observe_gone(erp, "r7", "410", Cause::Read, at(1))));
    none("astray", scanned(s, || s.astray(erp)));
    none("mark_absent_due", scanned(s, || s.mark_absent_due(erp, at(1))));
    none("fresh_candidates", scanned(s, || s.fresh_candidates("orders", Some(at(1)), None, 10)));
    none("candidates_with_key", scanned(s, || s.candidates_with_key("orders", "k7")));
    none("links_with_key", scanned(s, || s.links_with_key("orders", "r7")));
    none("members", scanned(s, || s.members(links[7])));
    none("agreed", scanned(s, || s.agreed(links[7])));
    none("bases", scanned(s, || s.bases(links[7])));
    none("open_conflicts", scanned(s, || s.open_conflicts(links[7])));
    none("standing_writes", scanned(s, || s.standing_writes(links[7])));
    none("last_written", scanned(s, || s.last_written(links[7], "amount", "crm", at(0), 5)));
    none("lost_races", scanned(s, || s.lost_races(links[7], "crm", at(0))));
    none("writes_in", scanned(s, || s.writes_in(WriteState::New, Some("orders"))));
    none("creates_since", scanned(s, || s.creates_since("orders", at(0))));
    none("removals_since", scanned(s, || s.removals_since("orders", at(0))));
    none("waiting_key", scanned(s, || s.waiting_key("orders", "erp", "c7")));
    none("look_again", scanned(s, || s.look_again("orders", "k7")));
    none("linked_count", scanned(s, || s.linked_count("orders")));
    for link in &links {
        s.mark_due(*link, at(0), Duration::ZERO, "changed").unwrap();
    }
    none("wake", scanned(s, || s.wake("waits for a record of orders", at(1))));
    none("write_ids_in", scanned(s, || s.write_ids_in(WriteState::New, "orders")));
    none("next_write_at", scanned(s, || s.next_write_at("orders")));
    // Streams are read from end to end: there are two.
    assert!(scanned(s, || s.find_links("orders", "order r7")) <= 2);
}

#[test]
fn due_links_batches_and_ready_writes_cost_what_is_due_held_or_ready() {
    let (store, _, crm, links) = filled();
    store.mark_due(links[3], at(0), Duration::ZERO, "changed").unwrap();
    let open = store.put_write(&update(links[3], crm, "r3"), at(0)).unwrap();
    store.move_write(open, WriteState::Open, None, Some(at(0)), at(0)).unwrap();
    // A few steps over the one due link, and over small tables such as streams, are fine; hundreds are not.
    let few = 10;
    assert!(scanned(&store, || store.due_links("orders", Some(at(1)), 0, 10)) < few);
    assert!(scanned(&store, || store.next_due("orders")) < few);
    assert!(scanned(&store, || store.ready_writes("orders", at(1), 10)) < few);
    let batches = i64::try_from(STORED).unwrap();
    assert!(
        scanned(&store, || { store.withdraw_empty_batches(at(1)) }) <= batches + few,
        "batches, not writes"
    );
    assert!(scanned(&store, || store.approve(1, at(1))) < few);
}

#[test]
fn status_and_problems_do_not_read_closed_writes_or_ended_links() {
    let (store, ..) = filled();
    let status = store.view(View::Status, None, 10).unwrap();
    assert_eq!(status[0]["linked"], serde_json::json!(STORED));
    let plan = |sql: &str| -> Vec<String> {
        store.all(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3)).unwrap()
    };
    for step in plan("SELECT * FROM status").into_iter().chain(plan("SELECT * FROM problems")) {
        for table in ["w", "l", "r"] {
            assert!(step != format!("SCAN {table}"), "{step}");
        }
    }
}
