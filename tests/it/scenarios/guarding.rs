//! The brakes on creates, updates and blanks; what they hold, and what goes on.

use tallysync::store::read::View;

use crate::support::world::{Setup, World, number, text};

async fn held(world: &World) -> Vec<(i64, String)> {
    let rows = world.rows(View::Batches).await;
    rows.iter().map(|row| (number(row, "id"), text(row, "guard"))).collect()
}

#[tokio::test]
async fn too_many_creates_are_held_until_approved() {
    let mut world = World::shipped_with_order(Setup::default().guard("creates = { max = 4 }")).await;
    for order in 2..=6 {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0], "ten creates are more than four");
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!(batches[0].1, "creates");
    world.edit("erp", "SO-1", "memo", "going on");
    world.pass().await;
    world.expect("SO-1", "memo", "going on");

    world.engine().approve(batches[0].0).await.expect("it is held");
    world.pass().await;
    for order in 2..=6 {
        world.expect(&format!("SO-{order}"), "memo", "hello");
    }
    world.assert_converged().await;
}

#[tokio::test]
async fn an_accepted_first_plan_is_no_reason_to_hold_the_next_order() {
    let mut world = World::shipped(Setup::default().guard("creates = { max = 4 }")).await;
    for order in 1..=5 {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.plan_and_accept().await;
    world.expect("SO-5", "memo", "hello");
    world.add("erp", "SO-6", "1", "hello");
    world.pass().await;
    world.expect("SO-6", "memo", "hello");
}

#[tokio::test]
async fn mass_blanking_is_held_and_a_single_blank_is_not() {
    let mut world = World::new(Setup::default()).await;
    for order in 1..=10 {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.plan_and_accept().await;
    for order in 1..=4 {
        world.edit("erp", &format!("SO-{order}"), "memo", "");
    }
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!(batches[0].1, "blanks");

    // One of them gets its memo back: it leaves the batch, the others stay held.
    world.edit("erp", "SO-1", "memo", "hello");
    world.pass().await;
    world.engine().approve(batches[0].0).await.expect("it is held");
    world.pass().await;
    world.expect("SO-1", "memo", "hello");
    world.expect("SO-2", "memo", "");
    world.edit("crm", "SO-9", "memo", "");
    world.pass().await;
    world.expect("SO-9", "memo", "");
    world.assert_converged().await;
}

#[tokio::test]
async fn mass_updates_are_held() {
    let guard = "updates = { percent = 30, min = 5 }";
    let mut world = World::new(Setup::default().guard(guard)).await;
    for order in 1..=12 {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.plan_and_accept().await;
    for order in 1..=12 {
        world.edit("crm", &format!("SO-{order}"), "memo", "touched by an import");
    }
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    let batches = held(&world).await;
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!(batches[0].1, "updates");

    // The import is taken back: the batch is withdrawn by itself.
    for order in 1..=12 {
        world.edit("crm", &format!("SO-{order}"), "memo", "hello");
    }
    world.pass().await;
    assert!(held(&world).await.is_empty(), "{:?}", held(&world).await);
    assert_eq!(world.writes(), [0, 0, 0]);
    world.assert_converged().await;
}

#[tokio::test]
async fn a_held_edit_that_is_edited_again_stays_held() {
    let guard = "updates = { percent = 30, min = 5 }";
    let mut world = World::new(Setup::default().guard(guard)).await;
    for order in 1..=12 {
        world.add("erp", &format!("SO-{order}"), "1", "hello");
    }
    world.plan_and_accept().await;
    for order in 1..=12 {
        world.edit("crm", &format!("SO-{order}"), "memo", "touched by an import");
    }
    world.pass().await;
    let before = held(&world).await;
    world.assert_quiet(3).await;
    assert_eq!(held(&world).await, before, "the batch does not move by itself");
}
