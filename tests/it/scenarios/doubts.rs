//! Doubts that last: creates of unknown outcome, lookups that fail, decisions that meet a write under way.
//! Whatever is not known is not guessed, and nobody waits for it for ever.

use std::collections::BTreeMap;

use tallysync::engine::pass::PassOptions;
use tallysync::engine::people::Decide;
use tallysync::store::outbox::{Op, Write, WriteState};
use twins::kit::{Effect, Fault, RetryAfter, When};

use crate::support::world::{SYNC, Setup, World};

/// The next launch on a side suffers this.
fn strike_launch(world: &World, side: &str, effect: Effect) {
    let fault = Fault { method: Some("POST".into()), target: "/runs".into(), ..Fault::next(effect) };
    world.on(side).hub().fault(fault);
}

async fn patiently(world: &World, passes: usize) {
    for _ in 0..passes {
        world.later(120);
        // A system that is left alone for a while fails its listing: that is part of the story.
        world.engine().pass(&world.sync(), PassOptions::default()).await.expect("the pass ends");
    }
}

/// States of all writes to a side, oldest first.
async fn states(world: &World, side: &'static str) -> Vec<&'static str> {
    let writes = writes(world).await;
    writes.iter().filter(|write| write.side == side).map(|write| write.state.text()).collect()
}

async fn writes(world: &World) -> Vec<Write> {
    let all = world.engine().store().transact(|store| {
        let mut all = Vec::new();
        let mut id = 1;
        while let Some(write) = store.write(id)? {
            all.push(write);
            id += 1;
        }
        Ok(all)
    });
    all.await.expect("the outbox can be read")
}

/// Only Tallyfy gets counterparts, so that one create is in doubt and no other.
fn tallyfy_only() -> Setup {
    Setup::default().without_creates().side("tallyfy", "create = [\"erp\"]")
}

async fn accepted(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.plan_and_accept().await;
    world
}

#[tokio::test]
async fn a_lookup_that_fails_leaves_the_create_in_doubt() {
    let world = accepted(tallyfy_only().side("tallyfy", "search_lag = \"1h\"")).await;
    strike_launch(&world, "tallyfy", Effect::DropAfter);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    assert_eq!(states(&world, "tallyfy").await, ["uncertain"]);
    // Searches do not show it yet, and the next one fails.
    world.on("tallyfy").hide(Some(world.ids("tallyfy", "SO-1")));
    let down = Effect::Status { status: 503, when: When::Before, body: None };
    let fault = Fault { method: Some("GET".into()), times: 0, ..Fault::next(down) };
    let rule = world.on("tallyfy").hub().fault(fault);
    world.later(120);
    let without_poll = PassOptions { without_poll: true, ..PassOptions::default() };
    world.engine().pass(&world.sync(), without_poll).await.expect("the pass ends");
    assert_eq!(states(&world, "tallyfy").await, ["uncertain"], "nothing was found out");
    world.on("tallyfy").hub().world().faults.remove(rule);
    patiently(&world, 3).await;
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 1, "made again before a search could show it");
    world.on("tallyfy").unhide();
    world.later(3600);
    patiently(&world, 3).await;
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 1);
    assert_eq!(states(&world, "tallyfy").await.last(), Some(&"done"));
}

#[tokio::test]
async fn a_create_that_made_too_many_waits_for_a_person_and_makes_no_more() {
    let mut world = accepted(tallyfy_only().side("tallyfy", "search_lag = \"1h\"")).await;
    strike_launch(&world, "tallyfy", Effect::DropAfter);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    // A middlebox sent it twice, and somebody renamed both before we looked.
    let run = world.id("tallyfy", "SO-1");
    let mark = world.on("tallyfy").shows(&run, "sync_id");
    world.on("tallyfy").edit(&run, "order_no", "one".into());
    world.on("tallyfy").add(&[("order_no", "two".into()), ("sync_id", mark.into())]);
    patiently(&world, 2).await;
    assert_eq!(states(&world, "tallyfy").await, ["parked"]);
    world.edit("erp", "SO-1", "memo", "edited meanwhile");
    patiently(&world, 2).await;
    assert_eq!(world.on("tallyfy").ids().len(), 2, "a third one");
    // A new config does not make it forgotten either.
    let setup = world.setup.clone();
    world.reconfigure(setup.field("memo", "conflict = { prefer = [\"erp\"] }")).await;
    world.plan().await;
    world.accept().await;
    patiently(&world, 2).await;
    assert_eq!(world.on("tallyfy").ids().len(), 2, "a third one");
    assert_eq!(states(&world, "tallyfy").await, ["parked"]);
}

#[tokio::test]
async fn a_dropped_create_of_unknown_outcome_is_looked_for_before_it_is_made_again() {
    let world = accepted(tallyfy_only().side("tallyfy", "search_lag = \"1h\"")).await;
    strike_launch(&world, "tallyfy", Effect::DropAfter);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    let run = world.id("tallyfy", "SO-1");
    // Its key is changed there, so that only the mark tells whose it is.
    world.on("tallyfy").edit(&run, "order_no", "other".into());
    let doubtful = writes(&world).await[0].id;
    world.engine().drop_write(doubtful).await.expect("it is not under way");
    world.edit("erp", "SO-1", "memo", "edited meanwhile");
    patiently(&world, 3).await;
    assert_eq!(world.on("tallyfy").ids().len(), 1, "it was made already, under its mark");
}

#[tokio::test]
async fn a_second_record_of_a_lost_create_stops_nobody() {
    let world = accepted(tallyfy_only().side("tallyfy", "search_lag = \"10m\"")).await;
    strike_launch(&world, "tallyfy", Effect::DropAfter);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    world.on("tallyfy").hide(Some(world.ids("tallyfy", "SO-1")));
    // Somebody makes it by hand before ours can be seen: theirs is linked.
    world.add("tallyfy", "SO-1", "1", "by hand");
    patiently(&world, 1).await;
    world.on("tallyfy").unhide();
    world.later(900);
    patiently(&world, 2).await;
    world.add("erp", "SO-2", "2", "goes on");
    world.pass().await;
    assert_eq!(world.ids("tallyfy", "SO-2").len(), 1, "one doubtful create stops the sync");
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 2, "none is made again");
    world.edit("erp", "SO-1", "amount", "5");
    patiently(&world, 2).await;
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 2, "none is made again");
    assert!(!world.problems().await.is_empty(), "a person is told");
}

#[tokio::test]
async fn a_create_that_two_counterparts_stand_against_is_not_decided_round_and_round() {
    let world = accepted(tallyfy_only()).await;
    strike_launch(&world, "tallyfy", Effect::Throttle { retry_after: RetryAfter::Seconds(300) });
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    world.add("tallyfy", "SO-1", "1", "one");
    world.add("tallyfy", "SO-1", "1", "two");
    world.later(600);
    patiently(&world, 3).await;
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 2);
    let rows = writes(&world).await.len();
    assert!(rows <= 3, "{rows} writes were decided for one create");
}

#[tokio::test]
async fn many_records_beside_a_create_in_doubt_do_not_stop_the_pass() {
    let world = accepted(tallyfy_only().side("tallyfy", "search_lag = \"1h\"")).await;
    strike_launch(&world, "tallyfy", Effect::DropAfter);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    world.on("tallyfy").hide(Some(world.ids("tallyfy", "SO-1")));
    for number in 0..520 {
        world.add("tallyfy", &format!("T-{number:04}"), "1", "by hand");
    }
    patiently(&world, 1).await;
    assert_eq!(states(&world, "tallyfy").await, ["uncertain"]);
}

#[tokio::test]
async fn a_record_that_lost_its_counterpart_is_found_when_that_is_made_anew() {
    let first = "first = { prefer = [\"erp\"] }";
    let world = accepted(tallyfy_only().sync(first).side("erp", "archived = \"deleted\"")).await;
    let order = world.add("erp", "SO-1", "1", "hello");
    world.pass().await;
    let run = world.id("tallyfy", "SO-1");
    world.on("erp").archive(&order, true);
    world.sweep().await;
    world.pass().await;
    assert!(!world.on("tallyfy").is_archived(&run), "its policy is to unlink");
    // The archived one is out of the way: it carries another number.
    world.on("erp").edit(&order, "order_no", "SO-1-old".into());
    let again = world.add("erp", "SO-1", "2", "entered again");
    world.pass().await;
    world.pass().await;
    assert_eq!(world.id("tallyfy", "SO-1"), run, "a second run for the same order");
    world.on("erp").edit(&again, "memo", "linked again".into());
    world.pass().await;
    world.pass().await;
    assert_eq!(world.shows("tallyfy", "SO-1", "order_no"), "SO-1");
    assert_eq!(
        world.on("tallyfy").shows(&run, "memo"),
        "linked again",
        "{:?} {:?}",
        world.links().await,
        world.conflicts().await
    );
}

#[tokio::test]
async fn a_field_of_another_type_goes_on_from_what_is_agreed_under_it() {
    let mut world = World::with_order(Setup::default().field("amount", "")).await;
    let setup = world.setup.clone();
    world.reconfigure(setup.field("amount", "type = \"decimal(2)\"")).await;
    world.plan_and_accept().await;
    world.edit("crm", "SO-1", "amount", "13000");
    world.pass().await;
    assert_eq!(world.conflicts().await, []);
    world.expect("SO-1", "amount", "13000");
    world.edit("erp", "SO-1", "amount", "14000");
    world.pass().await;
    world.expect("SO-1", "amount", "14000");
}

#[tokio::test]
async fn a_question_about_a_field_that_is_gone_is_closed() {
    let mut world =
        World::with_order(Setup::default().field(
            "note",
            "erp = \"kickoff.labels\"\ntallyfy = \"kickoff.labels\"\ncrm = \"kickoff.labels\"",
        ))
        .await;
    world.on("erp").edit(&world.id("erp", "SO-1"), "labels", "one".into());
    world.on("crm").edit(&world.id("crm", "SO-1"), "labels", "two".into());
    world.pass().await;
    world.conflict("note").await;
    let mut setup = world.setup.clone();
    setup.fields.retain(|(name, _)| name != "note");
    world.reconfigure(setup).await;
    world.plan_and_accept().await;
    assert_eq!(world.conflicts().await, []);
}

#[tokio::test]
async fn an_edit_at_the_last_moment_before_an_archive_asks() {
    let world = accepted(
        tallyfy_only().side("tallyfy", "on_delete = \"archive\"").side("erp", "archived = \"deleted\""),
    )
    .await;
    let order = world.add("erp", "SO-1", "1", "hello");
    world.pass().await;
    let run = world.id("tallyfy", "SO-1");
    world.on("erp").archive(&order, true);
    // Somebody edits between the decision and the call.
    world.later(120);
    let gate = Effect::Hold { gate: "look".into(), when: When::Before };
    let fault = Fault { method: Some("GET".into()), target: format!("/runs/{run}"), ..Fault::next(gate) };
    world.on("tallyfy").hub().fault(fault);
    let pass = async {
        world.engine().pass(&world.sync(), PassOptions { sweep: true, ..PassOptions::default() }).await
    };
    let person = async {
        world.on("tallyfy").hub().gates.wait_until_held("look", 1).await;
        world.on("tallyfy").edit(&run, "memo", "still working on it".into());
        world.on("tallyfy").hub().gates.release("look");
    };
    let (passed, ()) = tokio::join!(pass, person);
    passed.expect("the pass ends");
    world.pass().await;
    assert!(!world.on("tallyfy").is_archived(&run));
    world.conflict("(deleted)").await;
}

#[tokio::test]
async fn a_decision_about_one_delete_lets_nothing_else_past_the_guards() {
    let world =
        accepted(tallyfy_only().side("tallyfy", "on_delete = \"ask\"").side("erp", "archived = \"deleted\""))
            .await;
    let order = world.add("erp", "SO-1", "1", "hello");
    world.add("erp", "SO-2", "1", "hello");
    world.pass().await;
    world.on("erp").archive(&order, true);
    world.sweep().await;
    let asked = world.conflict("(deleted)").await;
    // What a pass that was stopped between its decision and its guards leaves behind.
    let made = writes(&world).await;
    let other = made.iter().max_by_key(|write| write.link).expect("two creates").clone();
    let now = world.engine().clock().now();
    let unseen =
        Write { op: Op::Delete, state: WriteState::New, fields: BTreeMap::new(), mark: None, ..other };
    let id =
        world.engine().store().transact(move |store| store.put_write(&unseen, now)).await.expect("a row");
    world.engine().resolve(asked, Decide::Value("delete".into())).await.expect("the question is open");
    let row = world.engine().store().transact(move |store| store.write(id)).await.expect("the row");
    assert_eq!(row.map(|write| write.state), Some(WriteState::New), "no guard has looked at it ({SYNC})");
}

#[tokio::test]
async fn a_create_in_doubt_on_a_side_that_is_taken_away_holds_up_nobody() {
    let mut world = accepted(Setup::default().side("crm", "search_lag = \"10h\"")).await;
    strike_launch(&world, "crm", Effect::DropBefore);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    assert_eq!(states(&world, "crm").await, ["uncertain"]);
    let setup = world.setup.clone();
    world.reconfigure(setup.without_side("crm")).await;
    world.plan().await;
    world.accept().await;
    world.edit("erp", "SO-1", "memo", "goes on");
    patiently(&world, 2).await;
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "goes on");
}

#[tokio::test]
async fn what_waited_on_a_side_waits_again_when_the_side_comes_back() {
    let mut world = accepted(Setup::default()).await;
    world.add("crm", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    let setup = world.setup.clone();
    for setup in [setup.clone().without_side("crm"), setup] {
        world.reconfigure(setup).await;
        world.plan().await;
        world.accept().await;
        patiently(&world, 1).await;
    }
    let waiting = world.engine().store().transact(|store| store.candidate_records(SYNC)).await.expect("rows");
    assert_eq!(waiting.iter().map(|(side, _, _)| side.as_str()).collect::<Vec<_>>(), ["crm"]);
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 2).await;
    assert_eq!(world.ids("crm", "SO-1").len(), 1, "a second one is made beside it");
    world.edit("erp", "SO-1", "memo", "linked");
    patiently(&world, 2).await;
    world.expect("SO-1", "memo", "linked");
}

#[tokio::test]
async fn what_waits_for_a_listing_goes_on_with_the_listing() {
    let world = accepted(Setup::default().sync("settle = \"1s\"")).await;
    let settled = PassOptions { settle: true, ..PassOptions::default() };
    let down = Fault { times: 0, ..Fault::next(Effect::DropBefore) };
    let rule = world.on("crm").hub().fault(down);
    world.add("erp", "SO-1", "1", "hello");
    for _ in 0..5 {
        world.later(120);
        world.engine().pass(&world.sync(), settled).await.expect("the pass ends");
    }
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 1);
    world.on("crm").hub().world().faults.remove(rule);
    for _ in 0..2 {
        world.later(600);
        world.engine().pass(&world.sync(), settled).await.expect("the pass ends");
    }
    assert_eq!(world.ids("crm", "SO-1").len(), 1, "the CRM answers again");
}

#[tokio::test]
async fn a_pass_between_listings_makes_nothing_where_the_last_listing_failed() {
    let world = accepted(Setup::default()).await;
    let down = Effect::Status { status: 503, when: When::Before, body: None };
    world.on("crm").hub().fault(Fault { method: Some("GET".into()), times: 0, ..Fault::next(down) });
    world.add("erp", "SO-1", "1", "hello");
    patiently(&world, 1).await;
    let without_poll = PassOptions { without_poll: true, ..PassOptions::default() };
    world.engine().pass(&world.sync(), without_poll).await.expect("the pass ends");
    assert_eq!(states(&world, "crm").await, Vec::<&str>::new(), "nobody knows what is there now");
}
