//! The mirror: what is written when something differs, and that nothing is when nothing does.

use serde_json::json;

use super::Store;
use super::mirror::{Cause, Glance, RecordState};
use super::testing::{at, orders, record};

/// Kind, cause and fields of every change, oldest first.
fn changes(store: &Store) -> Vec<(String, String, Option<String>)> {
    store
        .all("SELECT kind, cause, fields FROM change ORDER BY seq", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap()
}

fn kinds(store: &Store) -> Vec<String> {
    changes(store).into_iter().map(|(kind, _, _)| kind).collect()
}

#[test]
fn a_new_record_is_stored_once_and_its_text_known_by_hash() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    assert_eq!(store.glances(erp).unwrap().glance("7", 99).unwrap(), Glance::New);
    let (differs, id) = store.observe(erp, &record("7", 1), Some(99), Cause::Poll, at(0)).unwrap();
    assert!(differs);
    let mut glances = store.glances(erp).unwrap();
    assert_eq!(glances.glance("7", 99).unwrap(), Glance::Same(id));
    assert_eq!(glances.glance("7", 98).unwrap(), Glance::Differs(id));
    assert_eq!(store.glances(crm).unwrap().glance("7", 99).unwrap(), Glance::New, "each stream has its own");
    let known = store.mirrored(erp, "7").unwrap().unwrap();
    assert_eq!((known.record, known.state, known.read_at), (record("7", 1), RecordState::Present, None));
    assert_eq!(changes(&store), [("created".to_owned(), "poll".to_owned(), None)]);
}

#[test]
fn an_equal_record_writes_no_change_and_a_different_one_says_what_moved() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    store.observe(erp, &record("7", 1), Some(1), Cause::Sweep, at(0)).unwrap();
    // Other text, same values: only the hash moves.
    let mut same = record("7", 1);
    same.version = Some("other".to_owned());
    let (differs, id) = store.observe(erp, &same, Some(2), Cause::Sweep, at(1)).unwrap();
    assert!(!differs);
    assert_eq!(store.glances(erp).unwrap().glance("7", 2).unwrap(), Glance::Same(id));
    assert_eq!(store.mirrored(erp, "7").unwrap().unwrap().record.version.as_deref(), Some("other"));
    assert_eq!(kinds(&store), ["created"]);

    let (differs, _) = store.observe(erp, &record("7", 2), Some(3), Cause::Poll, at(2)).unwrap();
    assert!(differs);
    let (kind, cause, fields) = changes(&store).pop().unwrap();
    assert_eq!((kind.as_str(), cause.as_str()), ("updated", "poll"));
    let fields: serde_json::Value = serde_json::from_str(&fields.unwrap()).unwrap();
    assert_eq!(fields, json!({"amount": [1, 2]}));
}

#[test]
fn digits_survive_the_mirror() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    let mut exact = record("7", 1);
    exact.values.insert("amount".to_owned(), serde_json::from_str("12345678901234567.8900").unwrap());
    store.observe(erp, &exact, None, Cause::Read, at(0)).unwrap();
    let known = store.mirrored(erp, "7").unwrap().unwrap();
    assert_eq!(known.record.values["amount"].to_string(), "12345678901234567.8900");
    assert_eq!(known.read_at, Some(at(0)), "read by id");
}

#[test]
fn archived_restored_missing_gone_and_returned_are_told_apart() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    let mut put_away = record("7", 1);
    put_away.archived = true;
    store.observe(erp, &record("7", 1), None, Cause::Poll, at(0)).unwrap();
    store.observe(erp, &put_away, None, Cause::Poll, at(1)).unwrap();
    store.observe(erp, &record("7", 1), None, Cause::Poll, at(2)).unwrap();
    store.observe_missing(erp, "7", Cause::Read, at(3)).unwrap();
    store.observe_missing(erp, "7", Cause::Read, at(4)).unwrap();
    store.observe_gone(erp, "7", "410", Cause::Tombstone, at(5)).unwrap();
    store.observe_gone(erp, "7", "410 again", Cause::Tombstone, at(6)).unwrap();
    let known = store.mirrored(erp, "7").unwrap().unwrap();
    assert_eq!((known.state, known.gone_evidence.as_deref()), (RecordState::Gone, Some("410")));
    // What is gone is not missing again, and an unknown id is no record.
    store.observe_missing(erp, "7", Cause::Read, at(7)).unwrap();
    store.observe_gone(erp, "unknown", "410", Cause::Tombstone, at(7)).unwrap();
    store.observe(erp, &record("7", 1), None, Cause::Poll, at(8)).unwrap();
    let known = store.mirrored(erp, "7").unwrap().unwrap();
    assert_eq!((known.state, known.gone_evidence), (RecordState::Present, None));
    assert_eq!(kinds(&store), ["created", "archived", "restored", "missing", "gone", "returned"]);
}

#[test]
fn sweeps_count_absence_until_the_record_is_listed_again() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    let mut ids = Vec::new();
    for rid in ["a", "b", "c", "d"] {
        ids.push(store.observe(erp, &record(rid, 1), Some(1), Cause::Sweep, at(0)).unwrap().1);
    }
    store.observe_gone(erp, "d", "410", Cause::Tombstone, at(0)).unwrap();
    let only_a = |id: i64| id == ids[0];
    let sweep = store.held_against(erp, only_a).unwrap();
    assert_eq!(sweep.known, 3, "what is gone need not be listed");
    let absent: Vec<&str> = sweep.absent.iter().map(|(_, rid, _)| rid.as_str()).collect();
    assert_eq!(absent, ["b", "c"]);

    for (started, now) in [(at(10), at(11)), (at(20), at(21))] {
        store.count_absence(erp, ids[1], "b", started, now).unwrap();
    }
    let known = store.mirrored(erp, "b").unwrap().unwrap();
    assert_eq!((known.state, known.absent_sweeps), (RecordState::Missing, 2));
    assert_eq!(known.absent_since, Some(at(10)), "the first sweep that missed it");
    assert_eq!(store.held_against(erp, only_a).unwrap().known, 2);

    assert_eq!(store.listed_again(erp, only_a, at(30)).unwrap(), 0);
    assert_eq!(store.listed_again(erp, |id| id == ids[1], at(30)).unwrap(), 1);
    let known = store.mirrored(erp, "b").unwrap().unwrap();
    assert_eq!((known.state, known.absent_sweeps, known.absent_since), (RecordState::Present, 0, None));
    assert_eq!(kinds(&store).last().map(String::as_str), Some("returned"));
}

#[test]
fn every_reader_of_the_change_log_has_its_own_place() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    for number in 0..10 {
        let stream = if number % 2 == 0 { erp } else { crm };
        store.observe(stream, &record(&format!("r{number}"), 1), None, Cause::Poll, at(number)).unwrap();
    }
    let first = store.changes_after(erp, 0, 3).unwrap();
    let rids: Vec<&str> = first.iter().map(|change| change.rid.as_str()).collect();
    assert_eq!(rids, ["r0", "r2", "r4"]);
    store.set_offset("orders/erp", erp, first[2].seq).unwrap();
    assert_eq!(store.offset("orders/erp", erp).unwrap(), first[2].seq);
    assert_eq!(store.offset("invoices/erp", erp).unwrap(), 0);
    let rest = store.changes_after(erp, first[2].seq, 10).unwrap();
    assert_eq!(rest.len(), 2);
    assert_eq!(store.changes_after(crm, 0, 100).unwrap().len(), 5);
}

#[test]
fn a_listing_that_shows_again_what_it_showed_before_a_read_shows_a_change() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    let (_, id) = store.observe(erp, &record("7", 1), Some(1), Cause::Poll, at(0)).unwrap();
    // Our write, and somebody puts the old value back before the next listing.
    store.observe(erp, &record("7", 2), None, Cause::Confirm, at(1)).unwrap();
    assert_eq!(store.glances(erp).unwrap().glance("7", 1).unwrap(), Glance::Differs(id));
    // A read that shows what was listed leaves the text known.
    store.observe(erp, &record("7", 3), Some(3), Cause::Poll, at(2)).unwrap();
    store.observe(erp, &record("7", 3), None, Cause::Read, at(3)).unwrap();
    assert_eq!(store.glances(erp).unwrap().glance("7", 3).unwrap(), Glance::Same(id));
}
