//! Edits that travel: one side, several sides, different fields, the same value, and quiet afterwards.

use crate::support::world::{SIDES, Setup, World};

#[tokio::test]
async fn an_edit_on_any_side_reaches_the_others_with_one_write_each() {
    let mut world = World::with_order(Setup::default()).await;
    for (place, side) in SIDES.iter().enumerate() {
        let value = format!("said by {side}");
        world.edit(side, "SO-1", "memo", value.as_str());
        world.pass().await;
        let expected: Vec<usize> = (0..3).map(|other| usize::from(other != place)).collect();
        assert_eq!(world.writes(), expected, "after an edit in {side}");
        world.expect("SO-1", "memo", &value);
    }
    world.assert_converged().await;
}

#[tokio::test]
async fn every_type_of_field_travels() {
    let mut world = World::with_order(Setup::default()).await;
    world.edit("tallyfy", "SO-1", "amount", "12500.5");
    world.edit("crm", "SO-1", "ship_date", "2031-02-28T00:00:00.000Z");
    world.pass().await;
    world.expect("SO-1", "amount", "12500.5");
    world.expect("SO-1", "ship_date", "2031-02-28");
    world.assert_converged().await;
}

#[tokio::test]
async fn different_fields_edited_at_once_both_survive() {
    let mut world = World::with_order(Setup::default()).await;
    world.edit("erp", "SO-1", "memo", "from the ERP");
    world.edit("crm", "SO-1", "amount", "777");
    world.edit("tallyfy", "SO-1", "ship_date", "2031-01-02T00:00:00.000Z");
    world.pass().await;
    world.expect("SO-1", "memo", "from the ERP");
    world.expect("SO-1", "amount", "777");
    world.expect("SO-1", "ship_date", "2031-01-02");
    assert_eq!(world.writes(), [1, 1, 1]);
    world.assert_converged().await;
}

#[tokio::test]
async fn the_same_edit_on_two_sides_is_written_to_the_third_only() {
    let mut world = World::with_order(Setup::default()).await;
    world.edit("erp", "SO-1", "memo", "agreed on the phone");
    world.edit("crm", "SO-1", "memo", "agreed on the phone");
    world.pass().await;
    assert_eq!(world.writes(), [0, 1, 0]);
    world.expect("SO-1", "memo", "agreed on the phone");

    for side in SIDES {
        world.edit(side, "SO-1", "memo", "all three at once");
    }
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    world.assert_converged().await;
}

#[tokio::test]
async fn ten_quiet_passes_write_nothing() {
    let mut world = World::with_order(Setup::default()).await;
    world.add("erp", "SO-2", "3", "another");
    world.pass().await;
    world.assert_quiet(10).await;
    world.sweep().await;
    assert_eq!(world.writes(), [0, 0, 0]);
}

#[tokio::test]
async fn a_change_waits_until_it_has_settled() {
    let mut world = World::with_order(Setup::default().sync("settle = \"30s\"")).await;
    let settling = tallysync::engine::pass::PassOptions { settle: true, ..Default::default() };
    world.edit("erp", "SO-1", "memo", "half a sent");
    world.pass_now(settling).await;
    world.edit("erp", "SO-1", "memo", "half a sentence, now whole");
    world.pass_now(settling).await;
    world.later(20);
    world.pass_now(settling).await;
    assert_eq!(world.writes(), [0, 0, 0], "20 s after the last edit");
    world.later(15);
    world.pass_now(settling).await;
    assert_eq!(world.writes(), [0, 1, 1], "35 s after the last edit");
    world.expect("SO-1", "memo", "half a sentence, now whole");
}

#[tokio::test]
async fn a_record_that_never_settles_travels_after_six_times_the_wait() {
    let mut world = World::with_order(Setup::default().sync("settle = \"30s\"")).await;
    let settling = tallysync::engine::pass::PassOptions { settle: true, ..Default::default() };
    for edit in 0..25 {
        world.edit("erp", "SO-1", "memo", format!("edit {edit}").as_str());
        world.pass_now(settling).await;
    }
    assert!(world.writes()[1] >= 1, "250 s of edits every 10 s, and none has travelled");
}

#[tokio::test]
async fn a_listing_that_lags_is_not_believed_against_our_own_write() {
    use twins::kit::{Effect, Fault};
    let mut world = World::with_order(Setup::default()).await;
    // The first listing from now on is true; the one after our write comes from a replica that knows nothing yet.
    let lagging = Fault { kind: "runs.list".into(), skip: 1, ..Fault::next(Effect::Stale { lag: 200 }) };
    world.on("tallyfy").hub().fault(lagging);
    world.edit("erp", "SO-1", "memo", "new");
    world.pass().await;
    world.expect("SO-1", "memo", "new");
    world.count_anew();
    world.later(30);
    world.pass_now(Default::default()).await;
    let struck = world.on("tallyfy").hub().world().requests().iter().filter(|r| !r.faults.is_empty()).count();
    assert_eq!(struck, 1, "the replica was asked");
    assert_eq!(world.writes(), [0, 0, 0]);
    world.expect("SO-1", "memo", "new");
}
