//! Creates whose answer is lost, or that somebody else anticipates: one party in the end, whatever happens.

use std::time::Duration;

use serde_json::json;
use tallysync::store::outbox::{Write, WriteState};

use super::{CREATE_PARTY, CUSTOMERS, World, open_writes, quiet};
use crate::support::bridge::Trap;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_create_ends_with_one_party_that_its_mark_finds() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    world.launch("Customer", &[("customer-code", "L-1"), ("company-name", "Lost and found")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    let waiting = open_writes(&bridge).await;
    assert!(waiting.iter().all(|write| write.state == WriteState::Uncertain), "{waiting:?}");
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;

    let party = world.party("L-1");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1, "found, not sent again");
    let domain = json!([["party", "=", party]]);
    let marks = world.person.search("party.identifier", domain, 10, &["code"]);
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert!(marks[0]["code"].as_str().is_some_and(|mark| mark.starts_with("ts-")), "{marks:?}");
    assert_eq!(world.runs("Customer", "customer-code", "L-1").len(), 1);
    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_marker_a_lost_create_is_recognised_by_its_key_or_waits_for_a_person() {
    let world = World::start();
    let bridge = world.bridge(&CUSTOMERS.replacen("marker    = \"identifiers.code\"\n", "", 1));
    bridge.accept("customers").await;
    bridge.pass("customers").await;

    // Recognised: the next listing shows a party with the key of the link.
    world.launch("Customer", &[("customer-code", "K-1"), ("company-name", "Known by key")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;
    world.party("K-1");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1);
    assert!(open_writes(&bridge).await.is_empty());

    // Not recognised, because its key is not what was sent: a person says which one it is.
    let run = world.launch("Customer", &[("customer-code", "K-2"), ("company-name", "Renamed")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    let made = world.party("K-2");
    world.person.delete("party.party", made);
    world.person.create("party.party", json!({"name": "Renamed", "code": "K-2-b"}));
    bridge.clock.forward(Duration::from_secs(30));
    bridge.try_pass("customers").await;
    let waiting = open_writes(&bridge).await;
    let held: Vec<&Write> = waiting.iter().filter(|write| write.state == WriteState::Uncertain).collect();
    assert_eq!(held.len(), 1, "{waiting:?}");
    assert!(held[0].failure.as_deref().unwrap_or_default().contains("tallysync adopt"), "{:?}", held[0]);
    assert_eq!(bridge.wire.count(CREATE_PARTY), 2, "never sent again by itself");

    // It was not made (any more): a person says so, and it is sent again, once.
    bridge.engine.retry(held[0].id).await.unwrap();
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.count(CREATE_PARTY), 3);
    assert_eq!(world.kickoff("Customer", &run, "customer-code"), "K-2");
    world.party("K-2");
    assert_ne!(world.party("K-2-b"), world.party("K-2"));
    assert!(open_writes(&bridge).await.is_empty());

    // It was made: a person names the record before any listing shows it.
    let run = world.launch("Customer", &[("customer-code", "K-3"), ("company-name", "Adopted")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    let waiting = open_writes(&bridge).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let made = world.party("K-3");
    bridge.engine.adopt(waiting[0].id, &made.to_string()).await.unwrap();
    world.fill("Customer", &run, "company-name", json!("Adopted and edited"));
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;
    assert_eq!(world.person.read("party.party", made, &["name"])["name"], "Adopted and edited");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 4);
    assert!(open_writes(&bridge).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_create_whose_key_tryton_spells_otherwise_is_no_second_customer() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    let run = world.launch("Customer", &[("customer-code", "B-1 "), ("company-name", "Blank at the end")]);
    bridge.wire.trap(CREATE_PARTY, Trap::LoseAnswer);
    bridge.try_pass("customers").await;
    world.party("B-1");
    let runs = world.tallyfy.hub.world().list("runs").len();
    // The listing shows the party under a key that no link has, before its mark is looked up.
    bridge.clock.forward(Duration::from_secs(30));
    bridge.pass("customers").await;
    bridge.pass("customers").await;
    assert_eq!(world.tallyfy.hub.world().list("runs").len(), runs, "no process for our own create");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1);
    assert!(open_writes(&bridge).await.is_empty());
    assert_eq!(world.kickoff("Customer", &run, "company-name"), "Blank at the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_somebody_makes_first_is_linked_and_not_doubled() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    bridge.accept("customers").await;
    bridge.pass("customers").await;
    // The same customer is typed into Tryton between our look-up of its code and our create.
    let run = world.launch("Customer", &[("customer-code", "R-1"), ("company-name", "Race")]);
    let person = world.person.clone();
    let first = move || {
        person.create("party.party", json!({"name": "Race", "code": "R-1"}));
    };
    bridge.wire.trap(CREATE_PARTY, Trap::Before(Box::new(first)));
    bridge.try_pass("customers").await;
    assert_eq!(bridge.wire.waiting_traps(), 0);
    bridge.pass("customers").await;
    bridge.pass("customers").await;
    let party = world.party("R-1");
    world.fill("Customer", &run, "company-name", json!("Race, linked"));
    bridge.pass("customers").await;
    assert_eq!(world.person.read("party.party", party, &["name"])["name"], "Race, linked");
    assert_eq!(world.runs("Customer", "customer-code", "R-1"), [run]);
    quiet(&world, &bridge, "customers", "party.party").await;
}
