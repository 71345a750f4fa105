//! Nothing is written without need: lossy systems, automations, and fields that something sets back.

use serde_json::json;
use twins::kit::{Automation, Dropped, Normalise, Normaliser};

use crate::support::world::{SIDES, Setup, World};

/// One side's server does this to a field of whatever is saved.
fn normalises(world: &World, side: &str, field: &str, how: Normalise) {
    let (entity, pointer) = world.on(side).place(field);
    let rule = Normaliser { entity: entity.into(), pointer, how };
    world.on(side).hub().world().behaviour.normalisers.push(rule);
}

#[tokio::test]
async fn what_a_side_normalises_is_written_once_and_never_again() {
    for (how, value, kept) in [
        (Normalise::Trim, "  two words  ", "two words"),
        (Normalise::Upper, "two words", "TWO WORDS"),
        (Normalise::Lower, "Two Words", "two words"),
        (Normalise::Cut(24), "a sentence that is longer than this", "a sentence that is longe"),
    ] {
        let mut world = World::with_order(Setup::default()).await;
        normalises(&world, "crm", "memo", how.clone());
        world.edit("erp", "SO-1", "memo", value);
        world.pass().await;
        assert_eq!(world.writes(), [0, 1, 1], "{how:?}");
        world.expect_each("SO-1", "memo", [value, value, kept]);
        world.assert_quiet(4).await;
        world.sweep().await;
        assert_eq!(world.writes(), [0, 0, 0], "{how:?}");
        assert!(world.problems().await.is_empty(), "{how:?}: {:?}", world.problems().await);
    }
}

#[tokio::test]
async fn what_a_side_rounds_is_written_once_and_never_again() {
    let mut world = World::with_order(Setup::default()).await;
    normalises(&world, "tallyfy", "amount", Normalise::Round(0));
    world.edit("erp", "SO-1", "amount", "99.49");
    world.pass().await;
    world.expect_each("SO-1", "amount", ["99.49", "99", "99.49"]);
    world.assert_quiet(4).await;
    // An edit on the lossy side is an edit.
    world.edit("tallyfy", "SO-1", "amount", "120");
    world.pass().await;
    world.expect("SO-1", "amount", "120");
    world.assert_quiet(2).await;
}

#[tokio::test]
async fn an_edit_of_another_field_does_not_carry_the_normalised_value_back() {
    let mut world = World::with_order(Setup::default()).await;
    normalises(&world, "crm", "memo", Normalise::Upper);
    world.edit("erp", "SO-1", "memo", "quietly");
    world.pass().await;
    world.edit("crm", "SO-1", "amount", "42");
    world.pass().await;
    world.expect("SO-1", "amount", "42");
    world.expect_each("SO-1", "memo", ["quietly", "quietly", "QUIETLY"]);
    world.assert_quiet(3).await;
}

#[tokio::test]
async fn a_field_that_a_side_drops_silently_is_parked_and_reported() {
    let mut world = World::with_order(Setup::default()).await;
    let (entity, pointer) = world.on("crm").place("memo");
    let rule = Dropped { entity: entity.into(), pointer };
    world.on("crm").hub().world().behaviour.dropped.push(rule);
    world.edit("erp", "SO-1", "memo", "never stored");
    world.pass().await;
    world.expect_each("SO-1", "memo", ["never stored", "never stored", "hello"]);
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.starts_with("parked write")), "{problems:?}");
    world.assert_quiet(5).await;

    // Another field of the same record still travels, and the parked one does not come back with it.
    world.edit("erp", "SO-1", "amount", "8");
    world.pass().await;
    assert_eq!(world.shows("crm", "SO-1", "amount"), "8");
    world.assert_quiet(3).await;

    // The cause goes away: a person asks again.
    world.on("crm").hub().world().behaviour.dropped.clear();
    let parked = world.rows(tallysync::store::read::View::OpenWrites).await;
    for row in &parked {
        world.engine().retry(crate::support::world::number(row, "id")).await.expect("it is parked");
    }
    world.pass().await;
    world.expect("SO-1", "memo", "never stored");
    world.assert_converged().await;
}

#[tokio::test]
async fn an_automation_that_edits_on_save_travels_once_and_settles() {
    let mut world = World::with_order(Setup::default()).await;
    let crm = world.on("crm");
    let ((entity, amount), (_, memo)) = (crm.place("amount"), crm.place("memo"));
    let rule = Automation {
        entity: entity.into(),
        when_pointer: Some(memo),
        when_value: json!("won"),
        pointer: amount,
        value: json!("1"),
        times: 1,
    };
    crm.hub().world().behaviour.automations.push(rule);
    world.edit("erp", "SO-1", "memo", "won");
    world.pass().await;
    world.pass().await;
    world.expect("SO-1", "amount", "1");
    world.expect("SO-1", "memo", "won");
    let writes = world.writes();
    assert!(writes.iter().all(|count| *count <= 2), "one edit and one corrective write: {writes:?}");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_side_that_always_sets_a_field_back_at_once_is_not_fought() {
    let mut world = World::with_order(Setup::default()).await;
    let (entity, pointer) = world.on("crm").place("memo");
    let rule = Automation {
        entity: entity.into(),
        when_pointer: None,
        when_value: json!(null),
        pointer,
        value: json!("the CRM's word"),
        times: 0,
    };
    world.on("crm").hub().world().behaviour.automations.push(rule);
    for edit in 0..5 {
        world.edit("erp", "SO-1", "memo", format!("edit {edit}").as_str());
        world.pass().await;
        world.pass().await;
    }
    let writes = world.writes();
    assert!(writes.iter().all(|count| *count <= 15), "five edits made {writes:?} writes");
    world.assert_quiet(5).await;
}

#[tokio::test]
async fn two_systems_that_set_a_field_back_and_forth_are_frozen_and_reported() {
    let mut world = World::with_order(Setup::default()).await;
    // Two nightly jobs that both know better, every two minutes.
    let mut busy = 0;
    for _ in 0..12 {
        for (side, value) in [("crm", "net 30"), ("erp", "net 60")] {
            if world.shows(side, "SO-1", "memo") != value {
                world.edit(side, "SO-1", "memo", value);
            }
            world.pass().await;
            busy += world.writes().iter().sum::<usize>();
        }
    }
    let problems = world.problems().await;
    assert!(
        problems.iter().any(|problem| problem.starts_with("conflict") && problem.contains("net 30")),
        "after {busy} writes the field is still fought over: {problems:?}"
    );
    assert!(busy <= 24, "{busy} writes before the field was frozen");
    world.assert_quiet(3).await;

    // A person decides once the jobs are repaired.
    let id = world.conflict("memo").await;
    let decide = tallysync::engine::people::Decide::Value("net 45".into());
    world.engine().resolve(id, decide).await.expect("it is open");
    world.pass().await;
    world.expect("SO-1", "memo", "net 45");
    world.assert_converged().await;
}

#[tokio::test]
async fn two_sides_alone_that_set_a_field_back_and_forth_are_frozen_too() {
    let mut world = World::with_order(Setup::default().lacks("tallyfy", "memo")).await;
    let mut busy = 0;
    for _ in 0..12 {
        for (side, value) in [("crm", "net 30"), ("erp", "net 60")] {
            if world.shows(side, "SO-1", "memo") != value {
                world.edit(side, "SO-1", "memo", value);
            }
            world.pass().await;
            busy += world.writes().iter().sum::<usize>();
        }
    }
    assert!(busy <= 16, "{busy} writes, and the field is still fought over");
    world.conflict("memo").await;
    // The rest of the record goes on, and does not thaw the field.
    world.edit("tallyfy", "SO-1", "amount", "3");
    world.pass().await;
    world.expect("SO-1", "amount", "3");
    world.conflict("memo").await;
    world.assert_quiet(3).await;
}

#[tokio::test]
async fn an_owner_and_a_stubborn_automation_do_not_write_for_ever() {
    let mut world =
        World::with_order(Setup::default().field("amount", "type = \"decimal(2)\"\nowner = \"erp\"")).await;
    let mut busy = 0;
    for _ in 0..20 {
        if world.shows("crm", "SO-1", "amount") != "1" {
            world.edit("crm", "SO-1", "amount", "1");
        }
        world.pass().await;
        busy += world.writes().iter().sum::<usize>();
    }
    assert!(busy <= 8, "{busy} times the amount was put back within the hour");
    world.conflict("amount").await;
    world.assert_quiet(3).await;
}

#[tokio::test]
async fn a_person_who_changes_their_mind_is_not_frozen() {
    let mut world = World::with_order(Setup::default()).await;
    for value in ["yes", "no", "yes", "no"] {
        world.edit("erp", "SO-1", "memo", value);
        world.pass().await;
        world.expect("SO-1", "memo", value);
    }
    assert!(world.conflicts().await.is_empty());
    world.assert_converged().await;
}

#[tokio::test]
async fn a_failing_record_delays_only_itself() {
    use twins::kit::{Effect, Fault, When};
    let mut world = World::new(Setup::default()).await;
    for number in ["SO-1", "SO-2", "SO-3"] {
        world.add("erp", number, "1", "hello");
    }
    world.plan_and_accept().await;
    let id = world.id("crm", "SO-2");
    let refuse = Effect::Status { status: 422, when: When::Before, body: None };
    let fault = Fault { method: Some("PUT".into()), target: id, times: 0, ..Fault::next(refuse) };
    let rule = world.on("crm").hub().fault(fault);
    for number in ["SO-1", "SO-2", "SO-3"] {
        world.edit("erp", number, "memo", "new");
    }
    world.pass().await;
    world.expect("SO-1", "memo", "new");
    world.expect("SO-3", "memo", "new");
    world.expect_each("SO-2", "memo", ["new", "new", "hello"]);
    world.on("crm").hub().world().faults.remove(rule);
    // The record changes: what was parked is tried again by itself.
    world.edit("erp", "SO-2", "amount", "2");
    world.pass().await;
    for side in SIDES {
        assert_eq!(world.shows(side, "SO-2", "memo"), "new", "{side}");
    }
    world.assert_converged().await;
}
