//! From two lists of records to links: the first plan, its acceptance, keys, and what is not linked.

use crate::support::world::{Setup, World, text};
use serde_json::Value;
use tallysync::store::read::View;

#[tokio::test]
async fn nothing_is_written_before_the_plan_is_accepted() {
    let mut world = World::new(Setup::default()).await;
    world.add("erp", "SO-1", "12500", "hello");

    let report = world.pass().await;
    assert!(report.idle.is_some_and(|why| why.contains("not accepted")));
    let printed = world.plan().await;
    assert!(printed.needs_acceptance);
    let text = printed.plan.to_string();
    assert!(text.contains("SO-1") && text.contains("12500"), "{text}");
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);

    assert_eq!(world.accept().await.opened, 2);
    world.pass().await;
    world.expect("SO-1", "memo", "hello");
    world.expect("SO-1", "amount", "12500");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_launch_is_made_once_and_carries_a_mark() {
    let mut world = World::with_order(Setup::default()).await;
    for _ in 0..3 {
        world.sweep().await;
    }
    for side in ["tallyfy", "crm"] {
        let mark = world.shows(side, "SO-1", "sync_id");
        assert!(mark.starts_with("ts-"), "{side} has no mark: {mark:?}");
    }
    assert_eq!(world.writes(), [0, 0, 0]);
}

#[tokio::test]
async fn records_that_are_there_already_are_linked_by_their_key() {
    let mut world = World::new(Setup::default()).await;
    for side in ["erp", "tallyfy", "crm"] {
        world.add(side, "SO-1", "1", "same");
    }
    world.plan_and_accept().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    world.edit("crm", "SO-1", "memo", "now linked");
    world.pass().await;
    world.expect("SO-1", "memo", "now linked");
}

#[tokio::test]
async fn differences_at_first_sight_are_asked_about_and_can_be_decided() {
    let mut world = World::new(Setup::default()).await;
    world.add("erp", "SO-1", "1", "from the ERP");
    world.add("tallyfy", "SO-1", "1", "from Tallyfy");
    world.add("crm", "SO-1", "1", "from the ERP");
    let printed = world.plan().await;
    assert_eq!(printed.plan.conflicts.len(), 1, "{}", printed.plan);
    world.accept().await;
    world.pass().await;
    world.expect_each("SO-1", "memo", ["from the ERP", "from Tallyfy", "from the ERP"]);

    let id = world.conflict("memo").await;
    let decide = tallysync::engine::people::Decide::Take("tallyfy".into());
    world.engine().resolve(id, decide).await.expect("the question is open");
    world.pass().await;
    world.expect("SO-1", "memo", "from Tallyfy");
    world.assert_converged().await;
}

#[tokio::test]
async fn first_can_prefer_a_side() {
    let mut world = World::new(Setup::default().sync("first = { prefer = [\"crm\"] }")).await;
    world.add("erp", "SO-1", "1", "from the ERP");
    world.add("tallyfy", "SO-1", "1", "from Tallyfy");
    world.add("crm", "SO-1", "1", "from the CRM");
    world.plan_and_accept().await;
    world.expect("SO-1", "memo", "from the CRM");
    world.assert_converged().await;
}

#[tokio::test]
async fn an_ambiguous_key_links_nothing_and_is_listed() {
    let mut world = World::new(Setup::default()).await;
    world.add("erp", "SO-1", "1", "the order");
    world.add("crm", "SO-1", "1", "one");
    world.add("crm", "SO-1", "1", "another");
    let printed = world.plan().await;
    assert_eq!(printed.plan.ambiguous.len(), 1, "{}", printed.plan);
    world.accept().await;
    world.pass().await;

    assert_eq!(world.writes(), [0, 0, 0]);
    assert!(world.links().await.is_empty());
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.starts_with("ambiguous key")), "{problems:?}");

    // Somebody makes the key unique: the rest is linked by itself.
    let second = world.ids("crm", "SO-1").remove(1);
    world.on("crm").edit(&second, "order_no", Value::from("SO-2"));
    world.pass().await;
    world.pass().await;
    world.expect("SO-1", "amount", "1");
    let problems = world.problems().await;
    assert!(!problems.iter().any(|problem| problem.starts_with("ambiguous key")), "{problems:?}");
}

#[tokio::test]
async fn a_blank_key_never_creates_anything() {
    let mut world = World::new(Setup::default()).await;
    world.add("erp", " ", "1", "no number yet");
    world.add("crm", " ", "1", "no number either");
    world.plan_and_accept().await;
    world.sweep().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    assert!(world.links().await.is_empty());
    let waiting = world.rows(View::Unlinked).await;
    assert!(waiting.iter().all(|row| text(row, "state") == "blank"), "{waiting:?}");

    // The number comes: now it is an order like any other.
    let id = world.ids("erp", " ").remove(0);
    world.on("erp").edit(&id, "order_no", Value::from("SO-7"));
    world.pass().await;
    assert_eq!(world.writes(), [0, 1, 1]);
    world.expect("SO-7", "memo", "no number yet");
}

#[tokio::test]
async fn a_counterpart_that_appears_later_joins_its_link() {
    let mut world = World::new(Setup::default().without_creates()).await;
    world.add("erp", "SO-1", "1", "same");
    world.add("tallyfy", "SO-1", "1", "same");
    world.plan_and_accept().await;
    world.edit("erp", "SO-1", "memo", "newer");
    world.pass().await;
    world.later(60);
    world.add("crm", "SO-1", "1", "newer");
    world.pass().await;
    world.edit("crm", "SO-1", "memo", "newest");
    world.pass().await;
    world.expect("SO-1", "memo", "newest");
    world.assert_converged().await;
}

#[tokio::test]
async fn no_counterpart_is_made_beside_records_that_already_have_the_key() {
    let mut world = World::new(Setup::default().without_creates()).await;
    world.add("erp", "SO-1", "100", "one");
    world.add("crm", "SO-1", "100", "one");
    world.plan_and_accept().await;
    world.add("tallyfy", "SO-1", "100", "one");
    world.add("tallyfy", "SO-1", "100", "one");
    world.pass().await;
    world.reconfigure(Setup::default()).await;
    world.plan_and_accept().await;
    for _ in 0..3 {
        world.later(7200);
        world.pass().await;
    }
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 2, "nothing is made beside the two");
    let creates = world.rows(View::Writes).await;
    assert!(creates.is_empty(), "nothing is even tried: {creates:?}");
}
