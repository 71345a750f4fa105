//! The outbox: which writes are ready, what a batch holds, and that it is released once.

use super::Store;
use super::outbox::{Op, Write, WriteState};
use super::testing::{at, linked, orders, update};

fn ready(store: &Store, minutes: i64) -> Vec<i64> {
    store.ready_writes("orders", at(minutes), 100).unwrap().into_iter().map(|write| write.id).collect()
}

#[test]
fn a_write_goes_through_its_states_with_its_values_untouched() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let link = linked(&store, (erp, crm), "1");
    let wanted = update(link, crm, "1");
    let id = store.put_write(&wanted, at(0)).unwrap();
    let stored = store.write(id).unwrap().unwrap();
    assert_eq!(stored, Write { id, ..wanted });
    assert_eq!(stored.fields["amount"].after.to_string(), "12500.50");
    assert_eq!(ready(&store, 1), Vec::<i64>::new(), "no guard has looked at it yet");

    store.move_write(id, WriteState::Open, None, Some(at(5)), at(1)).unwrap();
    assert_eq!(ready(&store, 4), Vec::<i64>::new());
    assert_eq!(ready(&store, 5), [id]);
    assert_eq!(store.next_write_at("orders").unwrap(), Some(at(5)));
    store.mark_sent(id, at(5)).unwrap();
    assert_eq!(ready(&store, 6), Vec::<i64>::new());
    store.move_write(id, WriteState::Uncertain, Some("answer lost"), Some(at(7)), at(6)).unwrap();
    let stored = store.write(id).unwrap().unwrap();
    assert_eq!((stored.state, stored.attempts, stored.sent_at), (WriteState::Uncertain, 1, Some(at(5))));
    assert_eq!(stored.failure.as_deref(), Some("answer lost"));
    assert_eq!(ready(&store, 7), [id]);
    store.move_write(id, WriteState::Done, None, None, at(8)).unwrap();
    assert_eq!(store.standing_writes(link).unwrap(), []);
    assert_eq!(store.write(id).unwrap().unwrap().failure.as_deref(), Some("answer lost"), "it is kept");
}

#[test]
fn paused_blocked_and_unaccepted_things_have_no_ready_writes() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let mut ids = Vec::new();
    for (rid, minutes) in [("1", 3), ("2", 1), ("3", 2)] {
        let link = linked(&store, (erp, crm), rid);
        let id = store.put_write(&update(link, crm, rid), at(0)).unwrap();
        let state = if rid == "3" { WriteState::Uncertain } else { WriteState::Open };
        store.move_write(id, state, None, Some(at(minutes)), at(0)).unwrap();
        ids.push(id);
    }
    assert_eq!(ready(&store, 10), [ids[1], ids[2], ids[0]], "oldest first, whatever the state");
    assert_eq!(store.ready_writes("orders", at(10), 2).unwrap().len(), 2);
    store.pause_sync("orders", true).unwrap();
    assert_eq!(ready(&store, 10), Vec::<i64>::new());
    store.pause_sync("orders", false).unwrap();
    store.block_system("crm", at(20), "429").unwrap();
    assert_eq!(ready(&store, 10), Vec::<i64>::new());
    assert_eq!(ready(&store, 20).len(), 3);
    store.pause_system("crm", true).unwrap();
    assert_eq!(ready(&store, 20), Vec::<i64>::new());
    store.pause_system("crm", false).unwrap();
    store.unaccept_sync("orders").unwrap();
    assert_eq!(ready(&store, 20), Vec::<i64>::new());
}

#[test]
fn a_batch_is_approved_once_and_releases_only_its_own_writes() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let mut ids = Vec::new();
    for number in 0..4 {
        let rid = number.to_string();
        let link = linked(&store, (erp, crm), &rid);
        ids.push(store.put_write(&update(link, crm, &rid), at(0)).unwrap());
    }
    let one = store.hold("orders", "updates", "too many", &ids[..2], at(0)).unwrap();
    let two = store.hold("orders", "blanks", "too many", &ids[2..], at(0)).unwrap();
    assert_eq!(store.approve(one + two, at(1)).unwrap(), None, "there is no such batch");
    assert_eq!(store.approve(one, at(1)).unwrap(), Some(2));
    assert_eq!(store.approve(one, at(2)).unwrap(), None, "once");
    assert_eq!(ready(&store, 1), ids[..2]);

    // The other batch's writes went elsewhere: it is withdrawn by itself, and cannot be approved.
    store.move_write(ids[2], WriteState::Superseded, None, None, at(3)).unwrap();
    store.withdraw_empty_batches(at(3)).unwrap();
    assert_eq!(store.write(ids[3]).unwrap().unwrap().state, WriteState::Held);
    store.move_write(ids[3], WriteState::Dropped, None, None, at(3)).unwrap();
    store.withdraw_empty_batches(at(3)).unwrap();
    assert_eq!(store.approve(two, at(4)).unwrap(), None);
}

#[test]
fn what_was_let_through_is_counted_since_a_moment_and_a_link_once() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let put = |link: i64, side: &str, op: Op, state: WriteState, minutes: i64| {
        let write = Write { op, side: side.to_owned(), ..update(link, crm, "1") };
        let id = store.put_write(&write, at(minutes)).unwrap();
        store.move_write(id, state, None, None, at(minutes)).unwrap();
    };
    let (one, two) = (linked(&store, (erp, crm), "1"), linked(&store, (erp, crm), "2"));
    put(one, "crm", Op::Create, WriteState::Open, 1);
    put(two, "crm", Op::Create, WriteState::Done, 2);
    put(two, "crm", Op::Create, WriteState::Held, 3);
    assert_eq!(store.creates_since("orders", at(1)).unwrap(), 2, "what a guard holds was not let through");
    assert_eq!(store.creates_since("orders", at(2)).unwrap(), 1);
    assert_eq!(store.creates_since("others", at(0)).unwrap(), 0);

    put(one, "crm", Op::Archive, WriteState::Done, 1);
    put(one, "erp", Op::Delete, WriteState::Open, 2);
    put(two, "erp", Op::Delete, WriteState::Superseded, 2);
    assert_eq!(store.removals_since("orders", at(1)).unwrap(), 1, "one link on two sides");
    put(two, "erp", Op::Delete, WriteState::Sent, 3);
    assert_eq!(store.removals_since("orders", at(1)).unwrap(), 2);
    assert_eq!(store.removals_since("orders", at(4)).unwrap(), 0);
}

#[test]
fn an_emptied_listing_is_held_once_and_its_approval_lasts_until_the_next_sweep() {
    let store = Store::in_memory().unwrap();
    let (erp, _) = orders(&store);
    let batch = store.hold_emptied("orders", erp, "lists nothing", at(0)).unwrap();
    assert_eq!(store.hold_emptied("orders", erp, "still nothing", at(1)).unwrap(), batch);
    store.withdraw_empty_batches(at(1)).unwrap();
    assert_eq!(store.emptied_approved(erp).unwrap(), None);
    assert_eq!(store.approve(batch, at(2)).unwrap(), Some(0));
    assert_eq!(store.emptied_approved(erp).unwrap(), Some(batch));
    store.withdraw_emptied(erp, at(3)).unwrap();
    assert_eq!(store.emptied_approved(erp).unwrap(), None);
}

#[test]
fn lost_races_are_counted_since_a_moment() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let link = linked(&store, (erp, crm), "1");
    for minutes in [1, 2, 3] {
        let open = Write { state: WriteState::Open, ..update(link, crm, "1") };
        let id = store.put_write(&open, at(minutes)).unwrap();
        assert!(store.mark_sent(id, at(minutes)).unwrap());
        store.move_write(id, WriteState::Superseded, Some("changed meanwhile"), None, at(minutes)).unwrap();
    }
    // Superseded before it was sent: nobody raced, and it cannot be sent any more.
    let id = store.put_write(&update(link, crm, "1"), at(4)).unwrap();
    store.move_write(id, WriteState::Superseded, None, None, at(4)).unwrap();
    assert!(!store.mark_sent(id, at(4)).unwrap());
    assert_eq!(store.lost_races(link, "crm", at(2)).unwrap(), 2);
    assert_eq!(store.lost_races(link, "erp", at(0)).unwrap(), 0);
}
