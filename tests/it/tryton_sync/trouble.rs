//! What goes wrong: concurrent edits, refusals, deletions, ended sessions, a server that goes down.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tallysync::store::outbox::WriteState;
use twins::kit::Edit;

use super::{CREATE_PARTY, CUSTOMERS, ORDERS, WRITE_PARTY, World, open_conflicts, open_writes, quiet};
use crate::support::bridge::{Bridge, Trap};
use crate::support::http;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_between_our_read_and_our_write_is_refused_by_tryton_and_merged() {
    let world = World::start();
    let bridge = world.bridge(ORDERS);
    let sale = world.person.create_sale(world.customers[0], "PO-1", "Text", "2026-11-21");
    bridge.accept("orders").await;
    bridge.pass("orders").await;
    let run = world.run("Order", "number", &sale.to_string());
    let fields = ["reference", "description", "sale_date"];

    // Another field of the same record: both edits survive.
    let person = world.person.clone();
    let edit = move || person.write("sale.sale", sale, json!({"description": "At the last moment"}));
    bridge.wire.trap("model.sale.sale.write", Trap::Before(Box::new(edit)));
    world.fill("Order", &run, "reference", json!("PO-2"));
    let report = bridge.pass("orders").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    assert!(report.applied.superseded >= 1, "the first attempt was refused: {report:?}");
    assert_eq!(bridge.wire.count("model.sale.sale.write"), 2);
    bridge.pass("orders").await;
    let row = world.person.read("sale.sale", sale, &fields);
    assert_eq!(row["reference"], "PO-2");
    assert_eq!(row["description"], "At the last moment");
    assert_eq!(world.kickoff("Order", &run, "description"), "At the last moment");

    // The very same field: the person's edit stands, and the difference waits as a conflict.
    let person = world.person.clone();
    let edit = move || person.write("sale.sale", sale, json!({"reference": "PO-person"}));
    bridge.wire.trap("model.sale.sale.write", Trap::Before(Box::new(edit)));
    world.fill("Order", &run, "reference", json!("PO-3"));
    bridge.pass("orders").await;
    bridge.pass("orders").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    assert_eq!(world.person.read("sale.sale", sale, &fields)["reference"], "PO-person");
    assert_eq!(world.kickoff("Order", &run, "reference"), "PO-3");
    let conflicts = open_conflicts(&bridge).await;
    assert_eq!(conflicts.len(), 1);
    let take = tallysync::engine::people::Decide::Take("tallyfy".to_owned());
    bridge.engine.resolve(conflicts[0], take).await.unwrap();
    bridge.pass("orders").await;
    assert_eq!(world.person.read("sale.sale", sale, &fields)["reference"], "PO-3");
    quiet(&world, &bridge, "orders", "sale.sale").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_party_stays_linked_and_a_deleted_one_needs_evidence() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    let hidden = world.person.create("party.party", json!({"name": "Hidden", "code": "H-1"}));
    let doomed = world.person.create("party.party", json!({"name": "Doomed", "code": "D-1"}));
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let hidden_run = world.run("Customer", "customer-code", "H-1");
    let doomed_run = world.run("Customer", "customer-code", "D-1");
    let archived = |run: &str| !world.tallyfy.hub.world().get("runs", run).unwrap()["archived_at"].is_null();

    // Deactivated: it leaves Tryton's default searches, and is neither missing nor deleted for us.
    world.person.write("party.party", hidden, json!({"active": false}));
    for _ in 0..4 {
        bridge.sweep("customers").await;
        bridge.clock.forward(Duration::from_secs(90));
    }
    assert!(!archived(&hidden_run));
    // Active again, it goes on as if nothing had been.
    world.person.write("party.party", hidden, json!({"active": true}));
    world.person.write("party.party", hidden, json!({"name": "Back again"}));
    bridge.pass("customers").await;
    assert_eq!(world.kickoff("Customer", &hidden_run, "company-name"), "Back again");

    // Deleted: Tryton keeps no trace, so it takes complete listings over some time before that is acted upon.
    world.person.delete("party.party", doomed);
    bridge.pass("customers").await;
    bridge.sweep("customers").await;
    assert!(!archived(&doomed_run), "one listing proves nothing");
    bridge.clock.forward(Duration::from_secs(90));
    bridge.sweep("customers").await;
    bridge.clock.forward(Duration::from_secs(90));
    bridge.sweep("customers").await;
    bridge.pass("customers").await;
    assert!(archived(&doomed_run), "{:?}", open_writes(&bridge).await);
    assert!(!archived(&hidden_run));
    assert_eq!(world.parties("D-1"), [] as [i64; 0], "what was deleted is not made again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_run_deactivates_its_party_only_where_the_config_says_so() {
    let world = World::start();
    let archiving = CUSTOMERS.replacen(
        "on_delete = \"archive\"\n\n[sync.fields.code]",
        "on_delete = \"archive\"\narchived = \"deleted\"\n\n[sync.fields.code]",
        1,
    );
    assert_ne!(archiving, CUSTOMERS);
    let bridge = world.bridge(&archiving);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let run = world.run("Customer", "customer-code", "C-3");
    let action = Edit::Action { name: "archive-run".to_owned(), with: json!({"run_id": run}) };
    world.tallyfy.hub.person(action).unwrap();
    bridge.pass("customers").await;
    bridge.sweep("customers").await;
    bridge.pass("customers").await;
    let party = world.person.read("party.party", world.customers[2], &["active", "name"]);
    assert!(party["active"] == json!(0) || party["active"] == json!(false), "{party}");
    assert_eq!(party["name"], "Initech", "put away, not deleted");
    assert!(open_writes(&bridge).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_is_renewed_and_nothing_is_written_twice() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count("common.db.login"), 1);
    let end_session = |bridge: &Bridge| {
        let seen = bridge.wire.seen();
        let last =
            seen.iter().rev().find(|seen| seen.what.starts_with("model.")).unwrap().authorization.clone();
        let url = world.tryton.lock().unwrap().rpc_url();
        move || {
            let body = json!({"id": 1, "method": "common.db.logout", "params": []});
            let answer = http::post_json(&url, &[("authorization", last.as_str())], &body).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    // Between two passes, and right before a write.
    end_session(&bridge)();
    world.person.write("party.party", world.customers[0], json!({"name": "Acme 2"}));
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count("common.db.login"), 2);
    let acme = world.run("Customer", "customer-code", "C-1");
    assert_eq!(world.kickoff("Customer", &acme, "company-name"), "Acme 2");
    bridge.wire.trap(WRITE_PARTY, Trap::Before(Box::new(end_session(&bridge))));
    world.fill("Customer", &acme, "company-name", json!("Acme 3"));
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count("common.db.login"), 3);
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme 3");
    assert_eq!(bridge.wire.count(WRITE_PARTY), 2, "refused once with 401, then accepted once");
    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_mid_sync_delays_its_records_and_loses_nothing() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    for number in 1..=3 {
        let (code, name) = (format!("N-{number}"), format!("New {number}"));
        world.launch("Customer", &[("customer-code", &code), ("company-name", &name)]);
    }
    let acme = world.run("Customer", "customer-code", "C-1");
    world.fill("Customer", &acme, "company-name", json!("Acme edited"));
    let tryton = Arc::clone(&world.tryton);
    bridge.wire.trap(CREATE_PARTY, Trap::Before(Box::new(move || tryton.lock().unwrap().stop())));
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);

    // Still down: the pass goes through, names the side, and does not write.
    bridge.clock.forward(Duration::from_secs(60));
    world.fill("Customer", &acme, "company-name", json!("Acme edited twice"));
    let report = bridge.try_pass("customers").await;
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert!(report.failures[0].starts_with("erp: "), "{report:?}");

    world.tryton.lock().unwrap().resume();
    for _ in 0..4 {
        bridge.clock.forward(Duration::from_secs(90));
        bridge.try_pass("customers").await;
    }
    for number in 1..=3 {
        let party = world.party(&format!("N-{number}"));
        assert_eq!(world.person.read("party.party", party, &["name"])["name"], format!("New {number}"));
    }
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme edited twice");
    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_an_update_is_looked_up_and_not_sent_again() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let acme = world.run("Customer", "customer-code", "C-1");
    world.fill("Customer", &acme, "company-name", json!("Acme renamed"));
    bridge.wire.trap(WRITE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    // Meanwhile somebody edits it once more over there: that edit is newer than ours.
    world.person.write("party.party", world.customers[0], json!({"name": "Acme by hand"}));
    bridge.clock.forward(Duration::from_secs(30));
    bridge.try_pass("customers").await;
    bridge.clock.forward(Duration::from_secs(30));
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.count(WRITE_PARTY), 1);
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme by hand");
    // Our own value is known to have been sent, so what stands there now is a person's: either it travels, or
    // it is asked about; it is never overwritten.
    let shown = world.kickoff("Customer", &acme, "company-name");
    let asked = open_conflicts(&bridge).await.len();
    assert!(shown == "Acme by hand" || (shown == "Acme renamed" && asked == 1), "{shown}, {asked} conflicts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_tryton_refuses_waits_alone() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let acme = world.run("Customer", "customer-code", "C-1");
    let globex = world.run("Customer", "customer-code", "C-2");
    // Tryton locks the name of an inactive party.
    world.person.write("party.party", world.customers[0], json!({"active": false}));
    world.fill("Customer", &acme, "company-name", json!("Acme renamed"));
    world.fill("Customer", &globex, "company-name", json!("Globex renamed"));
    bridge.pass("customers").await;
    assert_eq!(world.person.read("party.party", world.customers[1], &["name"])["name"], "Globex renamed");
    let waiting = open_writes(&bridge).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(waiting[0].state, WriteState::Parked);
    let why = waiting[0].failure.clone().unwrap_or_default();
    assert!(why.contains("not allowed to modify the field"), "{why}");
    bridge.pass("customers").await;
    let tried = bridge.wire.count(WRITE_PARTY);
    bridge.pass("customers").await;
    assert_eq!(bridge.wire.count(WRITE_PARTY), tried, "not tried again before something changes");

    // The party is active again: the change of the record lets the write through by itself.
    world.person.write("party.party", world.customers[0], json!({"active": true}));
    bridge.pass("customers").await;
    bridge.pass("customers").await;
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme renamed");
    quiet(&world, &bridge, "customers", "party.party").await;
}
