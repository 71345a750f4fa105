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

#[tokio::test]
async fn the_verdict_of_the_approval_is_told_to_the_others() {
    use crate::support::cast::Actor;
    use twins::kit::Edit;
    let approval = "owner = \"tallyfy\"\nerp = \"custbody_approval\"\ncrm = \"Approval__c\"\n\
        tallyfy = { path = \"tasks.management-approval.approved\", values = { true = \"approved\", false = \"rejected\" } }";
    let mut world = World::shipped_with_order(Setup::default().field("approval", approval)).await;
    let Actor::Tallyfy(twin) = world.on("tallyfy") else { panic!("Tallyfy plays itself") };
    let run = world.id("tallyfy", "SO-1");
    let review = twin.task_id(&run, "Finance review").expect("the first step");
    let verdict = twin.task_id(&run, "Management approval").expect("the second step");
    let complete = |task: &str, with: serde_json::Value| {
        let mut with = with;
        with["task_id"] = task.into();
        twin.hub
            .person(Edit::Action { name: "complete-task".into(), with })
            .expect("a person completes the task");
    };
    complete(&review, serde_json::json!({}));
    complete(&verdict, serde_json::json!({"is_approved": true}));
    world.pass().await;
    let shown = |side: &str, name: &str| {
        let actor = world.on(side);
        let id = world.id(side, "SO-1");
        let record = actor.hub().world().get_any(actor.entity(), &id).expect("the order");
        record.get(name).cloned().unwrap_or_default()
    };
    assert_eq!(shown("erp", "custbody_approval"), "approved");
    assert_eq!(shown("crm", "Approval__c"), "approved");
    world.count_anew();
    world.assert_quiet(3).await;
}

#[tokio::test]
async fn a_field_that_the_order_lacks_keeps_the_default_of_the_create() {
    let mut world = World::shipped(Setup::default()).await;
    world.on("erp").add(&[
        ("order_no", "SO-1".into()),
        ("amount", "5".into()),
        ("memo", "no date yet".into()),
    ]);
    world.plan_and_accept().await;
    world.expect("SO-1", "memo", "no date yet");
    assert_eq!(world.shows("erp", "SO-1", "ship_date"), "", "a default is sent, never compared");
    assert_eq!(world.shows("crm", "SO-1", "ship_date"), "2031-12-31");
    world.assert_quiet(3).await;
    assert!(world.problems().await.is_empty(), "{:?}", world.problems().await);
    world.edit("erp", "SO-1", "ship_date", "2031-05-05");
    world.pass().await;
    world.expect("SO-1", "ship_date", "2031-05-05");
    world.assert_converged().await;
}
