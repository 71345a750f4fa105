//! Answers that get lost, systems that refuse, throttle or vanish for a while: nothing is made twice, nothing is
//! forgotten.

use tallysync::engine::pass::PassOptions;
use twins::kit::{Effect, Fault, RetryAfter, When};

use crate::support::world::{SIDES, Setup, World};

/// The next write request of this method to a side suffers this.
fn strike(world: &World, side: &str, method: &str, target: &str, effect: Effect) -> u64 {
    let fault = Fault { method: Some(method.into()), target: target.into(), ..Fault::next(effect) };
    world.on(side).hub().fault(fault)
}

async fn patiently(world: &World, passes: usize) {
    for _ in 0..passes {
        world.later(120);
        // A system that is left alone for a while fails its listing: that is part of the story.
        world.engine().pass(&world.sync(), PassOptions::default()).await.expect("the pass ends");
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_found_again() {
    for effect in
        [Effect::DropAfter, Effect::BreakBody, Effect::Status { status: 502, when: When::After, body: None }]
    {
        let mut world = World::shipped(Setup::default()).await;
        world.plan_and_accept().await;
        strike(&world, "tallyfy", "POST", "/runs", effect.clone());
        strike(&world, "crm", "PATCH", "/sobjects/Opportunity", effect.clone());
        world.add("erp", "SO-1", "1", "hello");
        patiently(&world, 4).await;
        for side in SIDES {
            assert_eq!(world.ids(side, "SO-1").len(), 1, "{side} after {effect:?}");
        }
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn a_create_that_never_arrived_is_sent_again() {
    let mut world = World::shipped(Setup::default()).await;
    world.plan_and_accept().await;
    strike(&world, "tallyfy", "POST", "/runs", Effect::DropBefore);
    strike(&world, "crm", "PATCH", "/sobjects/Opportunity", Effect::DropBefore);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 4).await;
    for side in SIDES {
        assert_eq!(world.ids(side, "SO-1").len(), 1, "{side}");
    }
    world.assert_converged().await;
}

#[tokio::test]
async fn an_update_whose_answer_is_lost_is_looked_up_and_not_sent_again() {
    for (side, method) in [("erp", "PATCH"), ("tallyfy", "PUT"), ("crm", "PATCH")] {
        let mut world = World::shipped_with_order(Setup::default()).await;
        strike(&world, side, method, "", Effect::DropAfter);
        let from = if side == "erp" { "crm" } else { "erp" };
        world.edit(from, "SO-1", "memo", "sent once");
        patiently(&world, 3).await;
        world.expect("SO-1", "memo", "sent once");
        let place = SIDES.iter().position(|name| *name == side).expect("a side");
        assert_eq!(world.writes()[place], 1, "{side} was written again although the write took effect");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn an_edit_by_somebody_else_after_a_lost_answer_survives() {
    let world = World::shipped_with_order(Setup::default()).await;
    strike(&world, "crm", "PATCH", "", Effect::DropAfter);
    world.edit("erp", "SO-1", "memo", "ours");
    patiently(&world, 1).await;
    world.edit("crm", "SO-1", "memo", "theirs, after ours");
    patiently(&world, 3).await;
    let shown: Vec<String> = SIDES.iter().map(|side| world.shows(side, "SO-1", "memo")).collect();
    let asked = !world.conflicts().await.is_empty();
    assert!(asked || shown.iter().all(|memo| memo == "theirs, after ours"), "an edit is lost: {shown:?}");
}

#[tokio::test]
async fn a_person_who_edits_just_before_our_write_is_not_overwritten() {
    use twins::kit::Edit;
    let world = World::shipped_with_order(Setup::default()).await;
    let id = world.id("crm", "SO-1");
    let edit = Edit::Patch {
        entity: "Opportunity".into(),
        id,
        patch: serde_json::json!({"Description": "typed meanwhile"}),
    };
    // While the pass is under way; the edit is newer than what the plan was made from, or part of it.
    let fault = Fault {
        method: Some("GET".into()),
        skip: 1,
        ..Fault::next(Effect::Person { when: When::Before, edits: vec![edit] })
    };
    world.on("crm").hub().fault(fault);
    world.edit("erp", "SO-1", "memo", "from the ERP");
    patiently(&world, 2).await;
    assert_eq!(world.shows("crm", "SO-1", "memo"), "typed meanwhile");
    assert_eq!(world.shows("erp", "SO-1", "memo"), "from the ERP");
    world.conflict("memo").await;
}

#[tokio::test]
async fn a_throttled_system_is_left_alone_and_the_others_go_on() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    let wait = Effect::Throttle { retry_after: RetryAfter::Seconds(300) };
    strike(&world, "crm", "PATCH", "", wait);
    world.edit("erp", "SO-1", "memo", "new");
    patiently(&world, 1).await;
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "new");
    let asked = |world: &World| world.on("crm").hub().world().requests().len();
    let before = asked(&world);
    patiently(&world, 1).await;
    assert_eq!(asked(&world), before, "it asked for five minutes of peace");
    patiently(&world, 3).await;
    world.expect("SO-1", "memo", "new");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_system_that_is_down_delays_only_its_own_work() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    let down = Fault { times: 0, ..Fault::next(Effect::DropBefore) };
    let rule = world.on("crm").hub().fault(down);
    world.edit("erp", "SO-1", "memo", "while the CRM is down");
    world.add("erp", "SO-2", "1", "new meanwhile");
    patiently(&world, 3).await;
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "while the CRM is down");
    assert_eq!(world.ids("tallyfy", "SO-2").len(), 1);
    world.on("crm").hub().world().faults.remove(rule);
    world.later(3600);
    patiently(&world, 2).await;
    world.expect("SO-1", "memo", "while the CRM is down");
    world.expect("SO-2", "memo", "new meanwhile");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_program_that_stops_in_the_middle_goes_on_after_the_next_start() {
    let mut world = World::shipped(Setup::default()).await;
    world.plan_and_accept().await;
    world.add("erp", "SO-1", "1", "hello");
    let gate = Effect::Hold { gate: "launch".into(), when: When::After };
    strike(&world, "tallyfy", "POST", "/runs", gate);
    world.later(120);
    {
        let sync = world.sync();
        let pass = world.engine().pass(&sync, PassOptions::default());
        let hub = std::sync::Arc::clone(world.on("tallyfy").hub());
        let launched = async {
            while hub.world().list_any("runs").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        // The launch took effect; its answer is held, and the program is stopped there.
        tokio::select! {
            _ = pass => panic!("the pass ended although an answer is held"),
            () = launched => {}
        }
    }
    let setup = world.setup.clone();
    world.reconfigure(setup).await;
    world.on("tallyfy").hub().gates.release("launch");
    patiently(&world, 3).await;
    for side in SIDES {
        assert_eq!(world.ids(side, "SO-1").len(), 1, "{side}");
    }
    world.assert_converged().await;
}
