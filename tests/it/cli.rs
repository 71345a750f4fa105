//! The command line from outside: exit codes, the documented JSON, and who may work beside whom.
//!
//! The state file is made by the program itself and filled with a small fixed world, so that everything that
//! is printed is known to the letter.

use std::fs::OpenOptions;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::Tallysync;
use crate::support::read_repository_file;

const CONFIG: &str = r#"
[state]
path = "state.db"
[systems.erp]
connector = "netsuite"
vars = { account = "1234567", client_id = { env = "NS_ID" }, cert_id = { env = "NS_CERT" }, private_key = { file = "ns.pem" } }
[systems.crm]
connector = "salesforce"
vars = { client_id = { env = "SF_ID" }, username = "sync@corp.example", private_key = { file = "sf.pem" } }
[[sync]]
name = "orders"
schedule = "*/5 * * * *"
sweep = "0 3 * * *"
[sync.sides.erp]
entity = "salesOrder"
[sync.sides.crm]
entity = "Opportunity"
[sync.fields.order_no]
key = true
erp = "tranId"
crm = "ERP_Order__c"
[sync.fields.amount]
type = "decimal(2)"
owner = "erp"
erp = "total"
crm = "Amount"
[sync.fields.memo]
erp = "memo"
crm = "Description"
"#;

/// One link, one open conflict, one parked write, one unlinked record.
const WORLD: &str = r#"
INSERT INTO system (name, connector, fingerprint, title, clock_offset_ms, probed_at)
  VALUES ('crm', 'salesforce', 'f', 'Corp as sync', 12, '2026-11-21T11:00:00.000000Z'),
         ('erp', 'netsuite', 'g', 'Corp 1234567', NULL, '2026-11-21T11:00:00.000000Z');
INSERT INTO stream (id, system, entity, polled_at, swept_at, swept_count)
  VALUES (1, 'erp', 'salesOrder', '2026-11-21T11:05:00.000000Z', '2026-11-21T03:00:00.000000Z', 2),
         (2, 'crm', 'Opportunity', '2026-11-21T11:05:00.000000Z', NULL, NULL);
INSERT INTO sync (name, meaning, accepted_at, config, passed_at)
  VALUES ('orders', '{}', '2026-11-20T10:00:00.000000Z', 'abcd1234', '2026-11-21T11:05:01.000000Z');
INSERT INTO record (id, stream, rid, state, document, seen_at)
  VALUES (1, 1, '42', 'present', '{"memo":"from erp","total":11.50,"tranId":"SO-1"}', '2026-11-21T11:00:00.000000Z'),
         (2, 2, '006A', 'present', '{"Amount":10.00,"Description":"from crm","ERP_Order__c":"SO-1"}', '2026-11-21T11:00:00.000000Z'),
         (3, 1, '43', 'present', '{"memo":null,"total":1,"tranId":"SO-2"}', '2026-11-21T11:00:00.000000Z');
INSERT INTO seen (stream, rid, raw, record) VALUES (1, '42', 1, 1), (2, '006A', 2, 2), (1, '43', 3, 3);
INSERT INTO change (at, stream, rid, kind, cause, fields)
  VALUES ('2026-11-21T11:00:00.000000Z', 1, '42', 'updated', 'poll', '{"total":[10.00,11.50]}');
INSERT INTO link (id, sync, state, key, title, created_at)
  VALUES (1, 'orders', 'live', 'SO-1', 'SO-1', '2026-11-20T10:00:00.000000Z');
INSERT INTO member (link, side, sync, stream, rid, joined_at)
  VALUES (1, 'erp', 'orders', 1, '42', '2026-11-20T10:00:00.000000Z'),
         (1, 'crm', 'orders', 2, '006A', '2026-11-20T10:00:00.000000Z');
INSERT INTO candidate (sync, side, rid, stream, key, state, why)
  VALUES ('orders', 'erp', '43', 1, 'SO-2', 'alone', 'no counterpart');
INSERT INTO agreed (link, field, number, value, origin, rule, decided_at)
  VALUES (1, 'amount', 2, '11.5', 'erp', 'erp owns it', '2026-11-21T11:00:02.000000Z');
INSERT INTO base (link, side, field, value, stands, lens, at)
  VALUES (1, 'erp', 'amount', '11.5', 2, 'l', '2026-11-21T11:00:02.000000Z'),
         (1, 'crm', 'amount', '10', 1, 'l', '2026-11-20T10:00:00.000000Z');
INSERT INTO write (id, sync, link, side, system, stream, rid, op, state, fields, reason, attempts, next_at, made_at, failure)
  VALUES (1, 'orders', 1, 'crm', 'crm', 2, '006A', 'update', 'parked', '{"amount":{"before":10,"after":11.5,"number":2}}',
          'erp owns it', 1, '2026-11-21T11:00:02.000000Z', '2026-11-21T11:00:02.000000Z', 'the period is closed');
INSERT INTO audit (at, write, event, sync, link, side, system, entity, rid, op, field, before, after, reason, config)
  VALUES ('2026-11-21T11:00:03.000000Z', 1, 'refused', 'orders', 1, 'crm', 'crm', 'Opportunity', '006A', 'update', 'amount',
          '10', '11.5', 'the period is closed', 'abcd1234');
INSERT INTO conflict (id, sync, link, unit, kind, state, candidates, observed, why, opened_at)
  VALUES (1, 'orders', 1, 'memo', 'first', 'open',
          '[{"sides":["erp"],"values":{"memo":"from erp"}},{"sides":["crm"],"values":{"memo":"from crm"}}]',
          '{"crm":{"memo":"from crm"},"erp":{"memo":"from erp"}}', 'the sides differ', '2026-11-20T10:00:00.000000Z');
"#;

/// A folder with the config and the prepared state file.
fn world() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sync.toml"), CONFIG).unwrap();
    // Its secrets are missing, so it goes no further than making the state file.
    let refused = command(&folder, &["sync"]).run().expect_code(1);
    assert!(refused.stderr.contains("NS_ID"), "{}", refused.stderr);
    let state = Connection::open(folder.path().join("state.db")).unwrap();
    state.execute_batch(WORLD).unwrap();
    folder
}

fn command(folder: &TempDir, words: &[&str]) -> Tallysync {
    Tallysync::inside(folder.path()).args(words.iter().copied())
}

/// Expects exactly the documented JSON of a command.
fn expect_snapshot(folder: &TempDir, words: &[&str], name: &str) {
    let mut shown = command(folder, words).json();
    if let Some(path) = shown.get_mut("state_file") {
        *path = json!("state.db");
    }
    let text = serde_json::to_string_pretty(&shown).unwrap();
    let expected: Value =
        serde_json::from_str(&read_repository_file(&format!("tests/snapshots/cli/{name}.json"))).unwrap();
    // Compared as text: every digit counts.
    assert_eq!(text, serde_json::to_string_pretty(&expected).unwrap(), "{name}.json; printed was:\n{text}");
}

#[test]
fn a_bad_config_is_told_completely_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let bad = CONFIG.replace("schedule =", "shedule =").replace("key = true", "kee = true");
    std::fs::write(folder.path().join("sync.toml"), bad).unwrap();
    for words in [&["check"][..], &["status"], &["plan"], &["run"], &["pause", "orders"]] {
        let refused = command(&folder, words).run().expect_code(2);
        for expected in ["shedule", "schedule", "kee", "sync.toml:12", "nothing was started"] {
            assert!(
                refused.stderr.contains(expected),
                "{words:?}: {expected} is missing in\n{}",
                refused.stderr
            );
        }
        assert_eq!(refused.stdout, "", "{words:?}");
    }
    let told = command(&folder, &["check", "--json"]).run().expect_code(2);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["ok"], json!(false));
    assert!(told["config"].as_array().is_some_and(|problems| problems.len() >= 2), "{told}");
}

#[test]
fn usage_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["frobnicate"][..], &["resolve", "1"], &["status", "--nothing"], &[]] {
        command(&folder, words).run().expect_code(2);
    }
    let missing = command(&folder, &["status"]).run().expect_code(2);
    assert!(missing.stderr.contains("tallysync init"), "{}", missing.stderr);
    for (words, name) in
        [(&["undo", "3"][..], "undo"), (&["sim", "--seed", "1"], "sim"), (&["hooks"], "hooks")]
    {
        let refused = command(&folder, words).run().expect_code(2);
        assert!(
            refused.stderr.contains(&format!("`tallysync {name}` is not in this version")),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn the_json_of_everything_that_looks_into_the_state_file() {
    let folder = world();
    for (words, name) in [
        (&["status"][..], "status"),
        (&["links"], "links"),
        (&["links", "orders", "--unlinked"], "unlinked"),
        (&["changes"], "changes"),
        (&["writes"], "writes"),
        (&["writes", "--open"], "open-writes"),
        (&["log"], "log"),
        (&["conflicts"], "conflicts"),
        (&["why", "orders", "SO-1"], "why"),
    ] {
        expect_snapshot(&folder, words, name);
    }
}

#[test]
fn people_read_tables() {
    let folder = world();
    let status = command(&folder, &["status"]).succeed();
    assert!(status.contains("2 problems open:"), "{status}");
    assert!(status.contains("-> tallysync resolve 1 --take SIDE"), "{status}");
    let links = command(&folder, &["links"]).succeed();
    assert!(links.contains("1     orders  SO-1   live   crm:006A  erp:42"), "{links}");
    let why = command(&folder, &["why", "orders", "erp:42", "amount"]).succeed();
    let expected = "\
orders SO-1  (link 1, live)
  crm: Opportunity 006A in crm, present
  erp: salesOrder 42 in erp, present

amount
  agreed: 11.5  (number 2 from erp, 2026-11-21 11:00:02Z: erp owns it)
  crm: 10  (behind: stands for number 1)
  erp: 11.5  (stands for the agreed value)
    2026-11-21 11:00:03Z  refused on crm (write 1) 10 -> 11.5: the period is closed

Open conflicts:
1 orders SO-1: memo  (since 2026-11-20 10:00:00Z)
  the sides differ
  erp: from erp
  crm: from crm
  decide with: tallysync resolve 1 --take erp|crm

Waiting:
  write 1: update in crm, parked: the period is closed
";
    assert_eq!(why, expected);
}

#[test]
fn what_nobody_knows_is_said_with_what_there_is() {
    let folder = world();
    let unknown = command(&folder, &["why", "orders", "SO-9"]).run().expect_code(1);
    assert!(unknown.stderr.contains("tallysync links orders"), "{}", unknown.stderr);
    let sync = command(&folder, &["links", "order"]).run().expect_code(2);
    assert!(sync.stderr.contains("the config has: orders"), "{}", sync.stderr);
    let field = command(&folder, &["why", "orders", "SO-1", "amuont"]).run().expect_code(2);
    assert!(field.stderr.contains("order_no, amount, memo"), "{}", field.stderr);
}

#[test]
fn a_monitor_learns_that_a_person_is_needed() {
    let folder = world();
    command(&folder, &["status", "--check"]).run().expect_code(4);
    let state = Connection::open(folder.path().join("state.db")).unwrap();
    state.execute_batch("UPDATE conflict SET state = 'resolved'; UPDATE write SET state = 'done';").unwrap();
    command(&folder, &["status", "--check"]).run().expect_code(0);
}

/// What a running daemon holds.
fn hold_the_lock(folder: &Path) -> std::fs::File {
    let lock = OpenOptions::new().write(true).open(folder.join("state.db.lock")).unwrap();
    lock.try_lock().unwrap();
    lock
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let folder = world();
    let lock = hold_the_lock(folder.path());
    for words in [&["sync"][..], &["run"]] {
        let refused = command(&folder, words).run().expect_code(1);
        assert!(refused.stderr.contains("systemctl stop tallysync"), "{words:?}: {}", refused.stderr);
    }
    for words in [&["status"][..], &["links"], &["changes"], &["writes"], &["log"], &["conflicts"]] {
        command(&folder, words).succeed();
    }
    drop(lock);
    let free = command(&folder, &["plan"]).run().expect_code(1);
    assert!(!free.stderr.contains("systemctl"), "{}", free.stderr);
}

#[test]
fn people_decide_while_the_daemon_runs_and_without_its_secrets() {
    let folder = world();
    let _lock = hold_the_lock(folder.path());
    let wrong = command(&folder, &["resolve", "1", "--take", "tallyfy"]).run().expect_code(1);
    assert!(wrong.stderr.contains("it has erp, crm"), "{}", wrong.stderr);
    let resolved = command(&folder, &["resolve", "1", "--take", "erp"]).succeed();
    assert!(resolved.contains("conflict 1 is resolved: a person took erp"), "{resolved}");
    assert_eq!(command(&folder, &["conflicts"]).json(), json!([]));
    let again = command(&folder, &["resolve", "1", "--take", "erp"]).run().expect_code(1);
    assert!(again.stderr.contains("no open conflict 1"), "{}", again.stderr);

    let retried = command(&folder, &["retry", "1"]).json();
    assert_eq!(retried, json!({ "done": "write 1 is tried again at the next pass" }));
    command(&folder, &["drop", "1"]).succeed();
    assert_eq!(command(&folder, &["writes", "--open"]).json(), json!([]));
    command(&folder, &["approve", "1"]).run().expect_code(1);

    command(&folder, &["pause", "orders"]).succeed();
    assert_eq!(command(&folder, &["status"]).json()["syncs"][0]["state"], "paused");
    command(&folder, &["resume", "orders"]).succeed();
    assert_eq!(command(&folder, &["status"]).json()["syncs"][0]["state"], "live");
    let unknown = command(&folder, &["pause", "ordres"]).run().expect_code(2);
    assert!(unknown.stderr.contains("ordres"), "{}", unknown.stderr);
}

#[test]
fn a_check_tells_everything_that_is_wrong_and_runs_beside_the_daemon() {
    let folder = world();
    let _lock = hold_the_lock(folder.path());
    let told = command(&folder, &["check", "--json"]).run().expect_code(1);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let systems = told["systems"].as_array().unwrap();
    assert_eq!(systems.len(), 2, "a broken system does not hide the other: {told}");
    for system in systems {
        assert_eq!(system["ok"], json!(false));
        assert!(system["problems"][0].is_string(), "{system}");
    }
    assert_eq!(told["sides"][0]["records_tried"], json!(2), "lenses are tried without the system: {told}");
    assert_eq!(told["sides"][0]["skipped"], json!(true));
    // It blocked nothing for the daemon.
    assert_eq!(command(&folder, &["status"]).json()["systems"][0]["blocked_why"], Value::Null);
}

#[test]
fn connectors_and_completions_need_no_config() {
    let folder = tempfile::tempdir().unwrap();
    let all = command(&folder, &["connectors"]).json();
    assert!(all.as_array().unwrap().iter().any(|one| one["id"] == "netsuite"), "{all}");
    let one = command(&folder, &["connectors", "netsuite"]).json();
    assert!(one["guarantees"][0]["lines"][0]["promise"].is_string(), "{one}");
    command(&folder, &["connectors", "netsiute"]).run().expect_code(2);
    for shell in ["bash", "zsh", "fish"] {
        let script = command(&folder, &["completions", shell]).succeed();
        assert!(script.contains("tallysync"), "{shell}");
        assert!(!script.contains("hooks"), "{shell} completes to what this version does not have");
    }
    command(&folder, &["init", "--from", "netsuite", "--from", "salesforce"]).succeed();
    let again = command(&folder, &["init", "--from", "netsuite"]).run().expect_code(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let refused = command(&folder, &["plan"]).run().expect_code(1);
    assert!(refused.stderr.contains("[systems."), "the written config is sound: {}", refused.stderr);
}
