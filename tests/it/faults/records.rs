//! One record or one system that fails delays only itself (P7); what is parked says why and comes back.

use twins::kit::{Effect, Fault, When};

use super::{always, attempt, fault, heal};
use crate::support::world::{Setup, World, number, text};
use tallysync::store::read::{Row, View};

fn refuses(status: u16) -> Effect {
    let body = (status == 422).then(|| {
        "{\"message\":\"The given data was invalid.\",\"errors\":{\"prerun\":[\"is locked by finance\"]}}"
            .to_owned()
    });
    Effect::Status { status, when: When::Before, body }
}

/// The address of an order on a side refuses every change.
fn poison(world: &World, side: &str, order: &str, effect: Effect) {
    let id = world.id(side, order);
    fault(world, side, always("PUT", &format!("/runs/{id}"), effect));
}

async fn open_write(world: &World) -> Row {
    let mut rows = world.rows(View::OpenWrites).await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    rows.remove(0)
}

async fn with_three_orders() -> World {
    let mut world = World::new(Setup::default()).await;
    for order in ["SO-1", "SO-2", "SO-3"] {
        world.add("erp", order, "1", "hello");
    }
    world.plan_and_accept().await;
    world
}

#[tokio::test]
async fn a_system_that_is_down_does_not_delay_the_others() {
    let mut world = with_three_orders().await;
    for effect in [Effect::DropBefore, refuses(500), refuses(503), Effect::LoginPage] {
        let memo = format!("{effect:?}");
        fault(&world, "erp", Fault::next(effect).times(0));
        world.edit("crm", "SO-1", "memo", memo.as_str());
        let report = attempt(&world, false).await;
        assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
        assert_eq!(world.shows("tallyfy", "SO-1", "memo"), memo, "at once, whatever the ERP does");
        heal(&world, "erp");
        world.later(3600);
        world.pass().await;
        world.pass().await;
        world.expect("SO-1", "memo", &memo);
    }
    world.assert_converged().await;
}

#[tokio::test]
async fn a_record_that_is_refused_is_parked_and_delays_only_itself() {
    let mut world = with_three_orders().await;
    poison(&world, "crm", "SO-2", refuses(422));
    for order in ["SO-1", "SO-2", "SO-3"] {
        world.edit("erp", order, "memo", "new");
    }
    world.pass().await;
    for order in ["SO-1", "SO-3"] {
        world.expect(order, "memo", "new");
    }
    world.expect_each("SO-2", "memo", ["new", "new", "hello"]);
    let parked = open_write(&world).await;
    assert_eq!(text(&parked, "state"), "parked");
    let problems = world.problems().await;
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    for part in ["parked write", "crm", "is locked by finance", "tallysync retry"] {
        assert!(problem.contains(part), "{part} is not in: {problem}");
    }
    world.assert_quiet(3).await;

    // It is tried again when the record changes, on either side.
    world.edit("erp", "SO-2", "memo", "newer");
    world.count_anew();
    world.pass().await;
    assert_eq!(world.writes(), [0, 1, 1], "tried again, and refused again");
    world.expect_each("SO-2", "memo", ["newer", "newer", "hello"]);
    assert_eq!(text(&open_write(&world).await, "state"), "parked");

    // The cause goes away; a person asks again.
    heal(&world, "crm");
    world.assert_quiet(1).await;
    let parked = number(&open_write(&world).await, "id");
    world.engine().retry(parked).await.expect("it is parked");
    world.pass().await;
    world.expect("SO-2", "memo", "newer");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_dropped_write_stays_away_until_its_record_changes() {
    let mut world = with_three_orders().await;
    poison(&world, "crm", "SO-2", refuses(422));
    world.edit("erp", "SO-2", "memo", "unwanted there");
    world.pass().await;
    let parked = number(&open_write(&world).await, "id");
    world.engine().drop_write(parked).await.expect("it is parked");
    heal(&world, "crm");
    world.assert_quiet(3).await;
    assert!(world.problems().await.is_empty());
    world.expect_each("SO-2", "memo", ["unwanted there", "unwanted there", "hello"]);
    world.edit("erp", "SO-2", "memo", "wanted again");
    world.pass().await;
    world.expect("SO-2", "memo", "wanted again");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_record_that_always_answers_500_delays_only_itself() {
    let mut world = with_three_orders().await;
    poison(&world, "crm", "SO-2", refuses(500));
    for round in 0..6 {
        let memo = format!("round {round}");
        for order in ["SO-1", "SO-2", "SO-3"] {
            world.edit("erp", order, "memo", memo.as_str());
        }
        attempt(&world, false).await;
        attempt(&world, false).await;
        for order in ["SO-1", "SO-3"] {
            world.expect(order, "memo", &memo);
        }
        world.expect_each("SO-2", "memo", [&memo, &memo, "hello"]);
    }
    let rows = world.rows(View::OpenWrites).await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert!(text(&rows[0], "failure").contains("an error inside Tallyfy"), "{rows:#?}");
    // A write that is only retried is not sent with every pass for ever.
    let before = world.on("crm").hub().world().requests().len();
    for _ in 0..30 {
        attempt(&world, false).await;
    }
    let puts =
        world.on("crm").hub().world().requests()[before..].iter().filter(|r| r.method == "PUT").count();
    assert!(puts <= 12, "one hour of a broken record cost {puts} writes");
    heal(&world, "crm");
    world.later(2 * 3600);
    world.pass().await;
    world.pass().await;
    world.expect("SO-2", "memo", "round 5");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_create_that_is_refused_is_parked_and_the_others_are_made() {
    let mut world = World::new(Setup::default()).await;
    world.plan_and_accept().await;
    fault(
        &world,
        "crm",
        Fault { body: "SO-2".into(), ..Fault::of_kind("runs.launch", refuses(422)) }.times(0),
    );
    for order in ["SO-1", "SO-2", "SO-3"] {
        world.add("erp", order, "1", "hello");
    }
    world.pass().await;
    for order in ["SO-1", "SO-3"] {
        world.expect(order, "memo", "hello");
    }
    assert_eq!(text(&open_write(&world).await, "state"), "parked");
    world.assert_quiet(3).await;
    // Other fields of the same order still travel between the sides that have it.
    world.edit("erp", "SO-2", "memo", "still alive");
    heal(&world, "crm");
    world.pass().await;
    world.expect("SO-2", "memo", "still alive");
    assert_eq!(world.ids("crm", "SO-2").len(), 1);
    world.assert_converged().await;
}
