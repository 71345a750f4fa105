//! Which records take part, and what happens to those that leave.

use tallysync::store::read::View;

use crate::support::world::{Setup, World, text};

fn large_orders() -> Setup {
    Setup::default().sync("where = \"amount >= 10000\"")
}

#[tokio::test]
async fn only_records_inside_the_scope_take_part() {
    let mut world = World::shipped(large_orders()).await;
    world.add("erp", "SO-1", "12500", "large");
    world.add("erp", "SO-2", "9999.99", "small");
    world.plan_and_accept().await;
    world.expect("SO-1", "memo", "large");
    assert!(world.ids("tallyfy", "SO-2").is_empty() && world.ids("crm", "SO-2").is_empty());
    let unlinked = world.rows(View::Unlinked).await;
    assert_eq!(unlinked.len(), 1);
    assert_eq!(text(&unlinked[0], "state"), "outside");

    // It grows into the scope.
    world.edit("erp", "SO-2", "amount", "10000");
    world.pass().await;
    world.expect("SO-2", "memo", "small");
    world.assert_converged().await;
}

#[tokio::test]
async fn leaving_the_scope_freezes_and_coming_back_shows_what_gathered() {
    let mut world = World::shipped_with_order(large_orders()).await;
    world.edit("erp", "SO-1", "amount", "50");
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0], "the small amount itself does not travel");
    assert_eq!(world.links().await["SO-1"], "left");
    world.edit("erp", "SO-1", "memo", "said while outside");
    world.edit("crm", "SO-1", "ship_date", "2032-01-01");
    world.assert_quiet(3).await;
    world.sweep().await;
    assert_eq!(world.writes(), [0, 0, 0]);

    world.edit("erp", "SO-1", "amount", "20000");
    world.pass().await;
    assert_eq!(world.links().await["SO-1"], "live");
    world.expect("SO-1", "amount", "20000");
    world.expect("SO-1", "memo", "said while outside");
    world.expect("SO-1", "ship_date", "2032-01-01");
    world.assert_converged().await;
}

#[tokio::test]
async fn differences_that_gathered_outside_can_still_conflict() {
    let world = World::shipped_with_order(large_orders()).await;
    world.edit("erp", "SO-1", "amount", "50");
    world.pass().await;
    world.edit("erp", "SO-1", "memo", "one");
    world.edit("crm", "SO-1", "memo", "two");
    world.pass().await;
    assert!(world.conflicts().await.is_empty(), "nobody is asked about a record outside");
    world.edit("erp", "SO-1", "amount", "20000");
    world.pass().await;
    world.conflict("memo").await;
    world.expect_each("SO-1", "memo", ["one", "hello", "two"]);
}

#[tokio::test]
async fn on_leave_unlink_ends_the_link_and_touches_nothing() {
    let mut world = World::shipped_with_order(large_orders().sync("on_leave = \"unlink\"")).await;
    world.edit("erp", "SO-1", "amount", "50");
    world.pass().await;
    world.edit("erp", "SO-1", "amount", "20000");
    world.edit("erp", "SO-1", "memo", "on its own");
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "hello");
}

#[tokio::test]
async fn on_leave_delete_goes_by_the_policy_of_each_side() {
    let setup = large_orders().sync("on_leave = \"delete\"").side("tallyfy", "on_delete = \"archive\"");
    let mut world = World::shipped_with_order(setup).await;
    let run = world.id("tallyfy", "SO-1");
    world.edit("erp", "SO-1", "amount", "50");
    world.pass().await;
    assert!(world.on("tallyfy").is_archived(&run));
    assert_eq!(world.writes(), [0, 1, 0]);
    assert_eq!(world.ids("erp", "SO-1").len(), 1);
}

#[tokio::test]
async fn an_edit_elsewhere_cannot_pull_an_owned_field_out_of_the_scope() {
    let setup = large_orders().field("amount", "type = \"decimal(2)\"\nowner = \"erp\"");
    let mut world = World::shipped_with_order(setup).await;
    world.edit("crm", "SO-1", "amount", "1");
    world.pass().await;
    world.expect("SO-1", "amount", "12500");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_condition_that_cannot_be_decided_ends_nothing() {
    let setup = Setup::default().sync("where = \"memo | int > 0\"").sync("on_leave = \"unlink\"");
    let mut world = World::new(setup).await;
    world.add("erp", "SO-1", "100", "7");
    world.plan_and_accept().await;
    assert_eq!(world.links().await["SO-1"], "live");
    world.count_anew();
    world.edit("erp", "SO-1", "memo", "not a number");
    world.pass().await;
    assert_eq!(world.links().await["SO-1"], "left", "frozen, not unlinked");
    assert_eq!(world.writes(), [0, 0, 0]);
    world.edit("erp", "SO-1", "memo", "8");
    world.pass().await;
    assert_eq!(world.links().await["SO-1"], "live");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_delete_outside_the_scope_writes_nothing() {
    let setup = large_orders().side("tallyfy", "on_delete = \"archive\"");
    let mut world = World::shipped_with_order(setup).await;
    let (order, run) = (world.id("erp", "SO-1"), world.id("tallyfy", "SO-1"));
    world.edit("erp", "SO-1", "amount", "50");
    world.pass().await;
    world.count_anew();
    world.on("erp").delete(&order);
    world.later(300);
    world.sweep().await;
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    assert!(!world.on("tallyfy").is_archived(&run));
    assert!(world.links().await.get("SO-1").is_none_or(|state| state == "ended"), "the link ends");
}
