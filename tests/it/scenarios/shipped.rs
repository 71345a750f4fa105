//! The shipped story: an order in NetSuite, its approval in Tallyfy, its opportunity in Salesforce.

use crate::support::world::{SIDES, Setup, World};

#[tokio::test]
async fn an_order_is_told_the_same_way_everywhere() {
    let mut world = World::shipped(Setup::default()).await;
    world.add("erp", "SO-1", "12500.55", "hello");
    world.plan_and_accept().await;
    world.expect("SO-1", "memo", "hello");
    world.expect("SO-1", "amount", "12500.55");
    world.expect("SO-1", "ship_date", "2031-01-31");
    world.assert_quiet(10).await;
    world.sweep().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    world.assert_converged().await;
}

#[tokio::test]
async fn an_edit_on_any_side_reaches_the_others_with_one_write_each() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    for (place, side) in SIDES.iter().enumerate() {
        for (field, value, shown) in [
            ("memo", format!("said by {side}"), format!("said by {side}")),
            ("amount", format!("{}.25", 100 + place), format!("{}.25", 100 + place)),
            ("ship_date", format!("2031-02-0{}T00:00:00.000Z", place + 1), format!("2031-02-0{}", place + 1)),
        ] {
            world.edit(side, "SO-1", field, value.as_str());
            world.pass().await;
            let expected: Vec<usize> = (0..3).map(|other| usize::from(other != place)).collect();
            assert_eq!(world.writes(), expected, "after an edit of {field} in {side}");
            world.expect("SO-1", field, &shown);
        }
    }
    world.assert_converged().await;
}

#[tokio::test]
async fn different_fields_edited_at_once_all_survive() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    world.edit("erp", "SO-1", "amount", "99");
    world.edit("crm", "SO-1", "memo", "from the CRM");
    world.edit("tallyfy", "SO-1", "ship_date", "2031-03-03T00:00:00.000Z");
    world.pass().await;
    assert_eq!(world.writes(), [1, 1, 1]);
    world.expect("SO-1", "amount", "99");
    world.expect("SO-1", "memo", "from the CRM");
    world.expect("SO-1", "ship_date", "2031-03-03");
    world.assert_converged().await;
}

#[tokio::test]
async fn the_owner_of_the_amount_is_the_erp() {
    let mut world =
        World::shipped_with_order(Setup::default().field("amount", "type = \"decimal(2)\"\nowner = \"erp\""))
            .await;
    world.edit("crm", "SO-1", "amount", "1");
    world.pass().await;
    world.expect("SO-1", "amount", "12500");
    assert_eq!(world.writes(), [0, 0, 1]);
    world.assert_converged().await;
}

#[tokio::test]
async fn a_delete_in_any_system_with_a_feed_archives_the_run() {
    for side in ["erp", "crm"] {
        let mut world =
            World::shipped_with_order(Setup::default().side("tallyfy", "on_delete = \"archive\"")).await;
        world.add("erp", "SO-2", "1", "stays");
        world.pass().await;
        world.count_anew();
        let (gone, run) = (world.id(side, "SO-1"), world.id("tallyfy", "SO-1"));
        world.later(60);
        world.on(side).delete(&gone);
        world.pass().await;
        assert!(world.on("tallyfy").is_archived(&run), "the delete feed of {side} says so");
        assert_eq!(world.writes(), [0, 1, 0], "{side}");
        world.sweep().await;
        world.assert_quiet(2).await;
        assert!(world.ids(side, "SO-1").is_empty(), "it was made again in {side}");
    }
}

#[tokio::test]
async fn a_cleared_memo_is_cleared_everywhere() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    for side in SIDES {
        world.edit(side, "SO-1", "memo", "");
        world.pass().await;
        world.expect("SO-1", "memo", "");
        world.edit(side, "SO-1", "memo", "filled again");
        world.pass().await;
        world.expect("SO-1", "memo", "filled again");
    }
    world.assert_converged().await;
}

#[tokio::test]
async fn many_orders_enter_at_once() {
    let mut world = World::shipped(Setup::default()).await;
    for order in 1..=40 {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.plan_and_accept().await;
    for order in 1..=40 {
        world.expect(&format!("SO-{order}"), "memo", "hello");
    }
    world.assert_converged().await;
}
