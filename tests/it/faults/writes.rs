//! Answers to writes that are lost, late or lies: one record, one effect, nothing of a person overwritten.

use twins::kit::{Edit, Effect, Fault, When};

use super::{fault, struck};
use crate::support::world::{Setup, World, text};
use tallysync::store::read::View;

/// Everything that can happen to a request that changes something, with and without effect.
fn mishaps() -> Vec<Effect> {
    let status =
        |status, when, body: Option<&str>| Effect::Status { status, when, body: body.map(str::to_owned) };
    vec![
        Effect::DropBefore,
        Effect::DropAfter,
        Effect::BreakBody,
        Effect::TruncateBody,
        Effect::LoginPage,
        Effect::ApplyLate { after_requests: 0 },
        Effect::ApplyLate { after_requests: 1 },
        status(500, When::Before, None),
        status(500, When::After, None),
        status(502, When::After, Some("<html>bad gateway</html>")),
        status(504, When::Before, Some("<html>gateway timeout</html>")),
        // A gateway that answers for a server which did the work.
        status(408, When::After, None),
    ]
}

/// Passes until nothing is open any more; fails after a few.
async fn until_settled(world: &World) {
    for _ in 0..8 {
        super::attempt(world, false).await;
        if world.rows(View::OpenWrites).await.is_empty() {
            return;
        }
        world.later(3600);
    }
    panic!("writes stay open: {:#?}", world.rows(View::OpenWrites).await);
}

#[tokio::test]
async fn a_create_with_any_mishap_makes_one_record() {
    for effect in mishaps() {
        let mut world = World::new(Setup::default()).await;
        world.plan_and_accept().await;
        fault(&world, "tallyfy", Fault::of_kind("runs.launch", effect.clone()));
        world.add("erp", "SO-1", "12500", "hello");
        until_settled(&world).await;
        assert_eq!(struck(&world, "tallyfy"), 1, "{effect:?}");
        for side in ["tallyfy", "crm"] {
            assert_eq!(world.ids(side, "SO-1").len(), 1, "{effect:?} in {side}");
        }
        world.expect("SO-1", "memo", "hello");
        world.assert_converged().await;
        // Later edits travel to the record that was found again.
        world.edit("tallyfy", "SO-1", "memo", "still linked");
        world.pass().await;
        world.expect("SO-1", "memo", "still linked");
    }
}

#[tokio::test]
async fn several_creates_with_mishaps_in_a_row_make_one_record() {
    for effect in mishaps() {
        let mut world = World::new(Setup::default()).await;
        world.plan_and_accept().await;
        fault(&world, "tallyfy", Fault::of_kind("runs.launch", effect.clone()).times(3));
        // The look for the mark fails too, once.
        fault(&world, "tallyfy", Fault::of_kind("runs.list", Effect::DropBefore).after(3));
        world.add("erp", "SO-1", "12500", "hello");
        until_settled(&world).await;
        assert_eq!(world.ids("tallyfy", "SO-1").len(), 1, "{effect:?}");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn an_update_with_any_mishap_takes_effect_once() {
    for effect in mishaps() {
        let mut world = World::with_order(Setup::default()).await;
        fault(&world, "crm", Fault::of_kind("runs.update", effect.clone()));
        world.edit("erp", "SO-1", "memo", "new");
        until_settled(&world).await;
        assert_eq!(struck(&world, "crm"), 1, "{effect:?}");
        world.expect("SO-1", "memo", "new");
        world.assert_converged().await;
        let log = world.rows(View::Log).await;
        let told = log.iter().any(|row| text(row, "event") == "unknown" && text(row, "system") == "crm");
        assert!(told, "{effect:?}: the log does not say that the outcome was unknown: {log:#?}");
    }
}

#[tokio::test]
async fn an_edit_during_the_doubt_is_not_overwritten() {
    for effect in mishaps() {
        let world = World::with_order(Setup::default()).await;
        let id = world.id("crm", "SO-1");
        let (entity, pointer) = world.on("crm").place("memo");
        let field = pointer.rsplit('/').next().expect("a pointer").to_owned();
        let edit = Edit::Patch {
            entity: entity.to_owned(),
            id,
            patch: serde_json::json!({ "prerun": { field: "a person was faster" } }),
        };
        fault(&world, "crm", Fault::of_kind("runs.update", effect.clone()));
        // The person edits before the outcome is looked up.
        let person = Effect::Person { when: When::After, edits: vec![edit] };
        fault(&world, "crm", Fault::of_kind("runs.update", person));
        world.edit("erp", "SO-1", "memo", "from the ERP");
        for _ in 0..4 {
            world.pass().await;
            world.later(3600);
        }
        let late = matches!(effect, Effect::ApplyLate { .. });
        if late {
            // The server itself put the older value over the person's, after we had let go of it: no client
            // can keep that from happening. What we saw of it is in the log.
            continue;
        }
        // Both people are heard: the values differ until somebody decides, or the later edit, made over a value
        // that had arrived there, has won everywhere.
        let shown = world.shows("crm", "SO-1", "memo");
        assert_eq!(shown, "a person was faster", "{effect:?}");
        let erp = world.shows("erp", "SO-1", "memo");
        let asked = world.conflicts().await;
        match erp.as_str() {
            "a person was faster" => assert!(asked.is_empty(), "{effect:?}: {asked:#?}"),
            "from the ERP" => assert_eq!(asked.len(), 1, "{effect:?}: nobody is asked"),
            other => panic!("{effect:?}: the ERP shows {other}"),
        }
    }
}

#[tokio::test]
async fn a_create_that_takes_effect_within_the_search_lag_is_found() {
    let mut world = World::new(Setup::default().side("tallyfy", "search_lag = \"60s\"")).await;
    world.plan_and_accept().await;
    fault(&world, "tallyfy", Fault::of_kind("runs.launch", Effect::ApplyLate { after_requests: 10_000 }));
    world.add("erp", "SO-1", "12500", "hello");
    world.pass().await;
    world.later(20);
    world.pass_now(Default::default()).await;
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 0, "it waits for the record instead of sending again");
    assert_eq!(world.on("tallyfy").hub().release_late(), 1);
    until_settled(&world).await;
    assert_eq!(world.ids("tallyfy", "SO-1").len(), 1);
    world.assert_converged().await;
}

#[tokio::test]
async fn a_record_that_a_person_makes_during_the_doubt_is_not_doubled() {
    let mut world = World::new(Setup::default()).await;
    world.plan_and_accept().await;
    fault(&world, "crm", Fault::of_kind("runs.launch", Effect::DropBefore));
    world.add("erp", "SO-1", "12500", "hello");
    world.pass_now(Default::default()).await;
    world.add("crm", "SO-1", "12500", "hello");
    until_settled(&world).await;
    assert_eq!(world.ids("crm", "SO-1").len(), 1, "the person's record is the counterpart");
    world.assert_converged().await;
}

#[tokio::test]
async fn an_edit_on_a_record_whose_create_is_in_doubt_travels() {
    for after in [Effect::DropAfter, Effect::Status { status: 500, when: When::After, body: None }] {
        let mut world = World::new(Setup::default()).await;
        world.plan_and_accept().await;
        fault(&world, "crm", Fault::of_kind("runs.launch", after));
        world.add("erp", "SO-1", "12500", "hello");
        world.pass_now(Default::default()).await;
        world.edit("crm", "SO-1", "memo", "edited before we knew that it is ours");
        // Also where we had sent nothing.
        world.edit("crm", "SO-1", "ship_date", "2031-02-28T00:00:00.000Z");
        until_settled(&world).await;
        world.pass().await;
        world.expect("SO-1", "memo", "edited before we knew that it is ours");
        world.expect("SO-1", "ship_date", "2031-02-28");
        world.assert_converged().await;
    }
}
