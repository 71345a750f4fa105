//! The views are an interface: a person with nothing but `sqlite3` answers the questions of a bad morning.

use std::process::Command;

use serde_json::json;

use super::Store;
use super::conflicts::ConflictRow;
use super::decisions::{AgreedRow, BaseRow};
use super::mirror::Cause;
use super::outbox::WriteState;
use super::read::View;
use super::testing::{at, linked, orders, record, update};

/// A file in which one of everything went wrong.
fn bad_morning(store: &Store) -> i64 {
    let (erp, crm) = orders(store);
    store.sync_row("invoices").unwrap();
    let link = linked(store, (erp, crm), "1042");
    store.observe(erp, &record("1042", 2), None, Cause::Poll, at(5)).unwrap();
    let agreed = AgreedRow {
        field: "amount".to_owned(),
        number: 2,
        value: json!(2),
        origin: vec!["erp".to_owned()],
        stamp: None,
    };
    store.set_agreed(link, &agreed, "only erp changed", at(6)).unwrap();
    let base = BaseRow {
        side: "crm".to_owned(),
        field: "amount".to_owned(),
        value: json!(1),
        stands: 1,
        lens: "l".to_owned(),
    };
    store.set_base(link, &base, at(0)).unwrap();
    let parked = store.put_write(&update(link, crm, "1042"), at(6)).unwrap();
    store.mark_sent(parked, at(7)).unwrap();
    let write = store.write(parked).unwrap().unwrap();
    store.audit(&write, "sent", |_| Some("1".to_owned()), "changed in erp", at(7)).unwrap();
    store.move_write(parked, WriteState::Parked, Some("field is locked"), None, at(8)).unwrap();
    let second = linked(store, (erp, crm), "1043");
    let held = store.put_write(&update(second, crm, "1043"), at(6)).unwrap();
    store.hold("orders", "updates", "31 % of the linked records", &[held], at(6)).unwrap();
    let conflict = ConflictRow {
        id: 0,
        sync: "orders".to_owned(),
        link: second,
        unit: "amount".to_owned(),
        kind: "edit".to_owned(),
        state: "open".to_owned(),
        agreed: None,
        candidates: json!([{"sides": ["erp"], "values": {"amount": 5}}, {"sides": ["crm"], "values": {"amount": 6}}]),
        observed: json!({}),
        why: "erp and crm changed".to_owned(),
    };
    store.put_conflict(&conflict, at(9)).unwrap();
    store.block_system("crm", at(60), "429 too many requests").unwrap();
    link
}

#[test]
fn the_views_answer_what_the_commands_show() {
    let store = Store::in_memory().unwrap();
    let link = bad_morning(&store);
    let status = store.view(View::Status, Some("orders"), 10).unwrap();
    let shown: Vec<String> = ["state", "linked", "conflicts", "waiting", "held", "parked", "uncertain"]
        .iter()
        .map(|column| status[0][*column].to_string())
        .collect();
    assert_eq!(shown, ["\"live\"", "2", "1", "0", "1", "1", "0"]);
    let problems = store.view(View::Problems, None, 100).unwrap();
    let kinds: Vec<&str> = problems.iter().filter_map(|row| row["problem"].as_str()).collect();
    assert_eq!(kinds, ["conflict", "parked write", "held batch", "system", "not accepted"]);
    assert!(problems.iter().all(|row| row["remedy"].as_str().unwrap().contains("tallysync")));
    let history = store.history(link, Some("amount")).unwrap();
    let events: Vec<&str> = history.iter().filter_map(|row| row["event"].as_str()).collect();
    assert_eq!(events, ["accounted", "agreed", "sent"]);
    assert_eq!(history[2]["before"], json!("1"));
    assert_eq!(history[2]["after"], json!("12500.50"));
    let changes = store.view(View::Changes, Some("erp"), 1).unwrap();
    assert_eq!((&changes[0]["record"], &changes[0]["kind"]), (&json!("1043"), &json!("created")));
    for text in [link.to_string().as_str(), "erp:1042", "1042", "order 1042"] {
        assert_eq!(store.find_links("orders", text).unwrap(), [link], "{text}");
    }
    assert_eq!(store.find_links("invoices", "1042").unwrap(), Vec::<i64>::new());
    assert_eq!(store.view(View::Links, Some("orders"), 100).unwrap().len(), 4);
    assert_eq!(store.view(View::Batches, None, 10).unwrap()[0]["writes"], json!(1));
    for view in [
        View::Systems,
        View::Streams,
        View::Unlinked,
        View::Writes,
        View::OpenWrites,
        View::Conflicts,
        View::Log,
    ] {
        store.view(view, None, 10).unwrap();
    }
}

#[test]
fn a_person_with_only_sqlite3_finds_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    store.transact(|store| Ok(bad_morning(store))).unwrap();
    // The program is still running: the file is open, and its newest rows are in the log beside it.
    let ask = |sql: &str| {
        let output = match Command::new("sqlite3").arg("-readonly").arg(&path).arg(sql).output() {
            Ok(output) => output,
            Err(error) => panic!("this test needs the sqlite3 command (apt install sqlite3): {error}"),
        };
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(
        ask("SELECT sync, state, linked, held, parked FROM status ORDER BY sync"),
        "invoices|not accepted|0|0|0\norders|live|2|1|1"
    );
    assert_eq!(
        ask(
            "SELECT event, title, system, op, field, before, after, reason FROM recent_writes WHERE at > '2026'"
        ),
        "sent|order 1042|crm|update|amount|1|12500.50|changed in erp"
    );
    assert_eq!(
        ask("SELECT state, held_why FROM open_writes ORDER BY id"),
        "parked|\nheld|31 % of the linked records"
    );
    assert_eq!(ask("SELECT count(*) FROM waiting_links WHERE title IS NULL"), "0");
    assert_eq!(ask("SELECT count(*) FROM unlinked_records"), "0");
    assert_eq!(
        ask("SELECT detail, remedy FROM problems WHERE problem = 'parked write'"),
        "update in crm: field is locked|tallysync retry 1 or tallysync drop 1"
    );
    assert_eq!(
        ask(
            "SELECT side, record, json_extract(document, '$.amount') FROM linked_records WHERE title = 'order 1042' ORDER BY side"
        ),
        "crm|1042|1\nerp|1042|2"
    );
    assert_eq!(
        ask(
            "SELECT event, side, before, after FROM why WHERE title = 'order 1042' AND field = 'amount' ORDER BY at"
        ),
        "accounted|crm||1\nagreed|erp||2\nsent|crm|1|12500.50"
    );
    assert_eq!(ask("SELECT title, field, why FROM open_conflicts"), "order 1043|amount|erp and crm changed");
    assert_eq!(ask("SELECT state, reason FROM open_writes WHERE batch = 1"), "held|changed in erp");
    assert_eq!(
        ask(
            "SELECT json_extract(fields, '$.amount[0]'), json_extract(fields, '$.amount[1]') FROM recent_changes WHERE kind = 'updated'"
        ),
        "1|2"
    );
}

#[test]
fn a_write_that_keeps_failing_is_a_problem_though_it_is_tried_again() {
    let store = Store::in_memory().unwrap();
    let (erp, crm) = orders(&store);
    let link = linked(&store, (erp, crm), "1");
    let id = store.put_write(&update(link, crm, "1"), at(0)).unwrap();
    let failing = |store: &Store| {
        let rows = store.view(View::Problems, None, 100).unwrap();
        rows.iter().any(|row| row["problem"] == "failing write" && row["id"] == id)
    };
    for minutes in 1..=5 {
        store.move_write(id, WriteState::Open, Some("503"), Some(at(minutes)), at(minutes)).unwrap();
        assert!(!failing(&store), "{minutes} tries may be bad luck");
        assert!(store.mark_sent(id, at(minutes)).unwrap());
    }
    store.move_write(id, WriteState::Open, Some("503"), Some(at(9)), at(9)).unwrap();
    assert!(failing(&store));
}
