//! Deletes need proof: what is deleted, what is only hidden or archived, who is asked, and what is held.

use serde_json::json;
use tallysync::engine::pass::PassOptions;
use tallysync::engine::people::Decide;
use tallysync::store::mirror::Cause;
use tallysync::store::read::View;
use twins::kit::Edit;

use crate::support::world::{Setup, World, number, text};

/// Tallyfy says only by absence that a run is gone: four sweeps, twenty minutes apart, prove it.
async fn prove(world: &World) {
    for _ in 0..4 {
        world.later(20 * 60);
        world.sweep().await;
    }
    world.pass().await;
}

fn archiving() -> Setup {
    Setup::default().side("tallyfy", "on_delete = \"archive\"")
}

async fn orders(setup: Setup, count: usize) -> World {
    let mut world = World::new(setup).await;
    for order in 1..=count {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.plan_and_accept().await;
    world
}

async fn held(world: &World) -> Vec<(i64, String)> {
    let rows = world.rows(View::Batches).await;
    rows.iter().map(|row| (number(row, "id"), text(row, "guard"))).collect()
}

#[tokio::test]
async fn a_deleted_order_archives_its_run_and_unlinks_the_rest() {
    let mut world = orders(archiving(), 3).await;
    let (erp, run, deal) = (world.id("erp", "SO-1"), world.id("tallyfy", "SO-1"), world.id("crm", "SO-1"));
    world.on("erp").delete(&erp);

    world.sweep().await;
    world.pass().await;
    assert!(!world.on("tallyfy").is_archived(&run), "one sweep proves nothing");
    prove(&world).await;

    assert!(world.on("tallyfy").is_archived(&run));
    assert!(!world.on("crm").is_archived(&deal), "on_delete of the CRM is unlink");
    assert_eq!(world.writes(), [0, 1, 0]);
    assert!(!world.links().await.contains_key("SO-1") || world.links().await["SO-1"] == "ended");
    // What is left is not made again, nor linked anew by itself.
    world.sweep().await;
    world.assert_quiet(3).await;
    assert!(world.ids("erp", "SO-1").is_empty());
}

#[tokio::test]
async fn archiving_is_not_deleting() {
    let mut world = orders(archiving(), 2).await;
    let run = world.id("erp", "SO-1");
    world.on("erp").archive(&run, true);
    prove(&world).await;
    assert_eq!(world.writes(), [0, 0, 0]);
    assert_eq!(world.links().await["SO-1"], "live");
    world.on("erp").archive(&run, false);
    world.edit("erp", "SO-1", "memo", "back again");
    world.pass().await;
    world.expect("SO-1", "memo", "back again");
}

#[tokio::test]
async fn a_side_may_say_that_archived_means_deleted() {
    let world = orders(archiving().side("erp", "archived = \"deleted\""), 2).await;
    let (erp, run) = (world.id("erp", "SO-1"), world.id("tallyfy", "SO-1"));
    world.on("erp").archive(&erp, true);
    world.sweep().await;
    assert!(world.on("tallyfy").is_archived(&run));
}

#[tokio::test]
async fn a_delete_against_an_edit_asks() {
    let mut world = orders(archiving(), 2).await;
    let (erp, run) = (world.id("erp", "SO-1"), world.id("tallyfy", "SO-1"));
    world.on("erp").delete(&erp);
    world.on("tallyfy").edit(&run, "memo", "still working on it".into());
    prove(&world).await;
    assert!(!world.on("tallyfy").is_archived(&run));
    let conflicts = world.conflicts().await;
    assert_eq!(conflicts.len(), 1, "{conflicts:#?}");
    assert_eq!(text(&conflicts[0], "kind"), "delete");
    let writes = world.writes();
    assert_eq!(writes[1], 0, "the edited run is left alone");

    let id = number(&conflicts[0], "id");
    assert!(world.engine().resolve(id, Decide::Take("erp".into())).await.is_err());
    world.engine().resolve(id, Decide::Value("delete".into())).await.expect("it is open");
    world.pass().await;
    assert!(world.on("tallyfy").is_archived(&run), "the person saw the edit and decided");
}

#[tokio::test]
async fn an_edit_at_the_same_moment_as_the_delete_asks_too() {
    let world = orders(archiving().side("erp", "archived = \"deleted\""), 2).await;
    let (erp, run) = (world.id("erp", "SO-1"), world.id("tallyfy", "SO-1"));
    world.on("erp").archive(&erp, true);
    world.on("tallyfy").edit(&run, "memo", "still working on it".into());
    world.sweep().await;
    assert!(!world.on("tallyfy").is_archived(&run));
    let conflicts = world.conflicts().await;
    assert_eq!(conflicts.len(), 1, "{conflicts:#?}");
    let id = number(&conflicts[0], "id");
    world.engine().resolve(id, Decide::Value("delete".into())).await.expect("it is open");
    world.pass().await;
    assert!(world.on("tallyfy").is_archived(&run), "the person saw the edit and decided");
    assert!(world.conflicts().await.is_empty());
}

#[tokio::test]
async fn a_person_may_keep_what_is_left() {
    let mut world = orders(Setup::default().side("tallyfy", "on_delete = \"ask\""), 2).await;
    let (erp, run) = (world.id("erp", "SO-1"), world.id("tallyfy", "SO-1"));
    world.on("erp").delete(&erp);
    prove(&world).await;
    let conflicts = world.conflicts().await;
    let id = number(&conflicts[0], "id");
    world.engine().resolve(id, Decide::Value("keep".into())).await.expect("it is open");
    world.pass().await;
    assert!(!world.on("tallyfy").is_archived(&run));
    world.assert_quiet(3).await;
    assert!(world.conflicts().await.is_empty());
}

#[tokio::test]
async fn a_question_about_a_delete_closes_when_the_record_comes_back() {
    let world = orders(Setup::default().side("tallyfy", "on_delete = \"ask\""), 4).await;
    let erp = world.id("erp", "SO-1");
    world.on("erp").hide(Some(vec![erp]));
    prove(&world).await;
    assert_eq!(world.conflicts().await.len(), 1);
    world.on("erp").unhide();
    world.sweep().await;
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.edit("erp", "SO-1", "memo", "never gone");
    world.pass().await;
    world.expect("SO-1", "memo", "never gone");
}

#[tokio::test]
async fn many_deletes_are_held_and_approve_releases_exactly_that_batch() {
    let mut world = orders(archiving(), 8).await;
    let gone: Vec<String> = (1..=3).map(|order| format!("SO-{order}")).collect();
    let runs: Vec<String> = gone.iter().map(|order| world.id("tallyfy", order)).collect();
    for order in &gone {
        world.on("erp").delete(&world.id("erp", order));
    }
    prove(&world).await;
    assert_eq!(world.writes(), [0, 0, 0], "three of eight are more than the guard lets pass");
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!(batches[0].1, "deletes");

    // The rest of the sync goes on, and the batch does not move.
    world.edit("erp", "SO-8", "memo", "going on");
    world.pass().await;
    world.expect("SO-8", "memo", "going on");
    assert_eq!(held(&world).await, batches);

    world.engine().approve(batches[0].0).await.expect("it is held");
    assert!(world.engine().approve(batches[0].0).await.is_err(), "a batch is released once");
    world.pass().await;
    for run in &runs {
        assert!(world.on("tallyfy").is_archived(run));
    }
    assert!(held(&world).await.is_empty());
    world.assert_quiet(3).await;
}

#[tokio::test]
async fn what_comes_back_leaves_the_held_batch() {
    let world = orders(archiving(), 12).await;
    let orders: Vec<String> = (1..=3).map(|order| format!("SO-{order}")).collect();
    let hidden: Vec<String> = orders.iter().map(|order| world.id("erp", order)).collect();
    let runs: Vec<String> = orders.iter().map(|order| world.id("tallyfy", order)).collect();
    world.on("erp").hide(Some(hidden.clone()));
    prove(&world).await;
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1, "{batches:?}");

    // One comes back: it is not in the batch any more when a person approves it.
    world.on("erp").hide(Some(hidden[1..].to_vec()));
    world.sweep().await;
    world.pass().await;
    world.engine().approve(batches[0].0).await.expect("it is still held");
    world.pass().await;
    let archived: Vec<bool> = runs.iter().map(|run| world.on("tallyfy").is_archived(run)).collect();
    assert_eq!(archived, [false, true, true]);
    world.edit("erp", "SO-1", "memo", "alive");
    world.pass().await;
    world.expect("SO-1", "memo", "alive");
}

#[tokio::test]
async fn a_batch_is_withdrawn_when_everything_came_back() {
    let mut world = orders(archiving(), 12).await;
    let hidden = (1..=3).map(|order| world.id("erp", &format!("SO-{order}"))).collect();
    world.on("erp").hide(Some(hidden));
    prove(&world).await;
    assert_eq!(held(&world).await.len(), 1);
    world.on("erp").unhide();
    world.sweep().await;
    world.pass().await;
    assert!(held(&world).await.is_empty());
    assert_eq!(world.writes(), [0, 0, 0]);
    world.assert_converged().await;
}

#[tokio::test]
async fn a_side_that_suddenly_lists_nothing_deletes_nothing() {
    let mut world = orders(archiving(), 6).await;
    world.on("erp").hide(None);
    prove(&world).await;
    prove(&world).await;
    assert_eq!(world.writes(), [0, 0, 0]);
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.contains("suddenly lists")), "{problems:?}");

    world.on("erp").unhide();
    world.sweep().await;
    assert!(world.problems().await.is_empty(), "{:?}", world.problems().await);
    world.edit("erp", "SO-1", "memo", "all there");
    world.pass().await;
    world.expect("SO-1", "memo", "all there");
    world.assert_converged().await;
}

#[tokio::test]
async fn an_emptied_side_is_believed_when_a_person_says_so_but_the_delete_guard_still_holds() {
    let world = orders(archiving(), 6).await;
    world.on("erp").hide(None);
    world.sweep().await;
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].1, "emptied");
    world.engine().approve(batches[0].0).await.expect("it is held");
    prove(&world).await;
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!(batches[0].1, "deletes");
    world.engine().approve(batches[0].0).await.expect("it is held");
    world.pass().await;
    for order in 1..=6 {
        let run = world.id("tallyfy", &format!("SO-{order}"));
        assert!(world.on("tallyfy").is_archived(&run), "SO-{order}");
    }
}

#[tokio::test]
async fn nothing_is_made_again_for_a_record_whose_counterpart_was_deleted() {
    let mut world = orders(Setup::default(), 4).await;
    let run = world.id("tallyfy", "SO-1");
    world.on("tallyfy").delete(&run);
    prove(&world).await;
    world.edit("erp", "SO-1", "memo", "no counterpart any more");
    world.pass().await;
    world.sweep().await;
    assert!(world.ids("tallyfy", "SO-1").is_empty(), "it was launched again");
    world.assert_quiet(2).await;
}

#[tokio::test]
async fn a_restored_record_is_not_deleted_by_what_the_feed_still_says() {
    let mut world = World::shipped_with_order(archiving()).await;
    let (deal, run) = (world.id("crm", "SO-1"), world.id("tallyfy", "SO-1"));
    world.on("crm").delete(&deal);
    let restore =
        Edit::Action { name: "undelete".into(), with: json!({ "entity": "Opportunity", "id": deal }) };
    world.on("crm").hub().person(restore).expect("a person restores it");
    world.count_anew();
    for _ in 0..3 {
        world.later(600);
        world.pass().await;
    }
    assert!(!world.on("tallyfy").is_archived(&run), "the deal is there");
    assert_eq!(world.links().await["SO-1"], "live");
    assert_eq!(world.writes(), [0, 0, 0]);

    // Deleted and not restored: the feed is evidence enough.
    world.on("crm").delete(&deal);
    world.later(600);
    world.pass().await;
    world.pass().await;
    assert!(world.on("tallyfy").is_archived(&run));
}

#[tokio::test]
async fn a_record_that_was_merged_into_another_is_asked_about() {
    let mut world = World::shipped_with_order(archiving()).await;
    let (loser, run) = (world.id("crm", "SO-1"), world.id("tallyfy", "SO-1"));
    world.count_anew();
    // As the feed tells it of the kinds of records that can be merged; opportunities cannot.
    let streams = world.rows(View::Streams).await;
    let stream = streams
        .iter()
        .find(|row| text(row, "system") == "crm")
        .map(|row| number(row, "id"))
        .expect("it was polled");
    let now = world.engine().clock().now();
    world
        .engine()
        .store()
        .transact(move |store| {
            let evidence = "listed as deleted, merged into 0065g0000000009AAA";
            store.observe_gone(stream, &loser, evidence, Cause::Tombstone, now)
        })
        .await
        .expect("the mirror can be written");
    world.pass_now(PassOptions { without_poll: true, ..PassOptions::default() }).await;
    assert!(!world.on("tallyfy").is_archived(&run), "nothing is put away before a person decided");
    assert_eq!(world.writes(), [0, 0, 0]);
    let conflicts = world.conflicts().await;
    assert_eq!(conflicts.len(), 1);
    assert!(text(&conflicts[0], "why").contains("merged into"), "{conflicts:?}");
}
