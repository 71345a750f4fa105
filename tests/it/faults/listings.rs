//! Listings that fail, lie, shift or end too early: nothing is concluded, nothing deleted, and the next one
//! completes.

use twins::kit::{Edit, Effect, Fault, RetryAfter, When};

use super::{always, attempt, fault, heal};
use crate::support::world::{SIDES, Setup, World};
use tallysync::store::read::View;

/// More than one page on every side.
const MANY: usize = 130;

fn number(order: usize) -> String {
    format!("SO-{order:04}")
}

/// A world with many linked orders. Deletes would be carried out at once: whatever is concluded shows.
async fn many() -> World {
    let mut setup =
        Setup::default().guard("deletes = { sweeps = 2, over = \"0s\", max = 10000, percent = 100 }");
    for side in SIDES {
        setup = setup.side(side, "on_delete = \"archive\"");
    }
    let mut world = World::new(setup).await;
    for order in 0..MANY {
        for side in SIDES {
            world.add(side, &number(order), "1", "same");
        }
    }
    world.plan_and_accept().await;
    assert_eq!(world.links().await.len(), MANY);
    world
}

fn assert_nothing_archived(world: &World, why: &str) {
    for side in SIDES {
        let actor = world.on(side);
        let archived = actor.ids().into_iter().filter(|id| actor.is_archived(id)).count();
        assert_eq!(archived, 0, "{why}: records of {side} were archived");
        assert_eq!(actor.ids().len(), MANY, "{why}: records of {side}");
    }
}

#[tokio::test]
async fn a_page_that_fails_concludes_nothing_and_the_next_poll_completes() {
    let mut world = many().await;
    let failures = [
        Effect::DropBefore,
        Effect::BreakBody,
        Effect::TruncateBody,
        Effect::LoginPage,
        Effect::Status { status: 500, when: When::Before, body: None },
        Effect::Status { status: 503, when: When::Before, body: Some("<html>maintenance</html>".into()) },
        Effect::Status { status: 403, when: When::Before, body: None },
        Effect::Status { status: 404, when: When::Before, body: None },
        Effect::Status { status: 200, when: When::Before, body: Some("{}".into()) },
        Effect::Status { status: 200, when: When::Before, body: Some("{\"data\":null}".into()) },
        Effect::Throttle { retry_after: RetryAfter::Seconds(3600) },
    ];
    for (place, effect) in failures.into_iter().enumerate() {
        let what = format!("{effect:?}");
        fault(&world, "crm", Fault { and_target: "page=2".into(), ..always("GET", "/runs?", effect) });
        world.edit("crm", &number(MANY - 1), "memo", format!("edit {place}").as_str());
        for sweep in [false, true, true, true] {
            let report = attempt(&world, sweep).await;
            assert_eq!(report.failures.len(), 1, "{what}: {:?}", report.failures);
            assert_nothing_archived(&world, &what);
        }
        let problems = world.problems().await;
        assert!(problems.iter().any(|problem| problem.contains("crm")), "{what}: {problems:?}");
        heal(&world, "crm");
        world.later(2 * 3600);
        world.pass().await;
        world.expect(&number(MANY - 1), "memo", &format!("edit {place}"));
        let problems = world.problems().await;
        assert!(problems.is_empty(), "{what} is over: {problems:?}");
    }
    world.assert_quiet(2).await;
}

#[tokio::test]
async fn an_edit_on_a_page_that_came_is_kept_although_a_later_page_failed() {
    let world = many().await;
    fault(
        &world,
        "crm",
        Fault { and_target: "page=2".into(), ..always("GET", "/runs?", Effect::DropBefore) },
    );
    world.edit("erp", &number(3), "memo", "from a healthy side");
    attempt(&world, false).await;
    assert_eq!(world.shows("tallyfy", &number(3), "memo"), "from a healthy side");
}

#[tokio::test]
async fn a_login_page_is_named_as_what_it_is() {
    let world = many().await;
    fault(&world, "crm", Fault::next(Effect::LoginPage).times(0));
    let report = attempt(&world, true).await;
    assert!(report.failures[0].contains("login page"), "{:?}", report.failures);
    assert!(report.failures[0].contains("crm"), "{:?}", report.failures);
    assert_nothing_archived(&world, "login page");
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.contains("login page")), "{problems:?}");
}

#[tokio::test]
async fn lost_permission_is_not_deletion() {
    let mut world = many().await;
    world.on("crm").hide(None);
    for _ in 0..3 {
        attempt(&world, true).await;
        world.later(4 * 3600);
        assert_nothing_archived(&world, "everything hidden");
    }
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.starts_with("held batch")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("suddenly lists")), "{problems:?}");
    world.on("crm").unhide();
    world.sweep().await;
    world.pass().await;
    assert_nothing_archived(&world, "seen again");
    world.edit("crm", &number(0), "memo", "seen again");
    world.pass().await;
    world.expect(&number(0), "memo", "seen again");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_listing_that_is_blind_once_changes_nothing() {
    let mut world = many().await;
    for sweep in [false, true, true, true] {
        fault(&world, "tallyfy", Fault::of_kind("runs.list", Effect::Blind { entity: "runs".into() }));
        attempt(&world, sweep).await;
        heal(&world, "tallyfy");
        assert_nothing_archived(&world, "one blind listing");
    }
    world.sweep().await;
    world.assert_converged().await;
}

#[tokio::test]
async fn a_page_that_shifts_during_a_sweep_proves_no_absence() {
    let mut world = many().await;
    // While page one is handed out, somebody purges a record of it: everything behind moves up by one, and a
    // record slips from page two to page one unseen.
    let crm = world.on("crm");
    let first = world.id("crm", &number(0));
    let edits = ["archive-run", "purge-run"]
        .map(|name| Edit::Action { name: name.into(), with: serde_json::json!({ "run_id": first }) });
    let shift = Effect::Person { when: When::After, edits: edits.into() };
    crm.hub().fault(Fault::on_page("/runs?", "page=1", shift));
    attempt(&world, true).await;
    let archived = |side: &str| {
        let actor = world.on(side);
        actor
            .ids()
            .into_iter()
            .filter(|id| actor.is_archived(id))
            .map(|id| actor.shows(&id, "order_no"))
            .collect::<Vec<_>>()
    };
    for side in ["erp", "tallyfy"] {
        let gone = archived(side);
        assert!(gone.is_empty() || gone == [number(0)], "{side}: {gone:?}");
    }
    // The next complete sweep knows what is really gone, and only that.
    for _ in 0..3 {
        world.sweep().await;
    }
    for side in ["erp", "tallyfy"] {
        assert_eq!(archived(side), [number(0)], "{side}");
    }
    world.assert_quiet(2).await;
}

#[tokio::test]
async fn a_replica_that_lags_after_our_write_does_not_revert_it() {
    let mut world = World::with_order(Setup::default()).await;
    world.edit("erp", "SO-1", "memo", "new");
    world.pass().await;
    world.count_anew();
    // Lists and single reads come from a replica that has not seen our write.
    fault(
        &world,
        "crm",
        Fault { method: Some("GET".into()), ..Fault::next(Effect::Stale { lag: 10_000 }) }.times(0),
    );
    world.later(10);
    world.pass_now(Default::default()).await;
    world.expect("SO-1", "memo", "new");
    heal(&world, "crm");
    world.later(600);
    world.pass().await;
    world.expect("SO-1", "memo", "new");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_token_that_expires_between_pages_is_renewed_and_nothing_is_missed() {
    use crate::support::cast::{Actor, TEMPLATE};
    use twins::tallyfy::{TallyfyTwin, TemplateSeed};
    let twin = TallyfyTwin::builder_with_seed(33)
        .user(10013, "kim@corp.example", "Kim Doe", "admin")
        .client(7, "s3cret")
        .template(&TemplateSeed::order_approval())
        .build();
    assert_eq!(TEMPLATE, "Order approval");
    let secret = tempfile::NamedTempFile::new().expect("a file for the secret");
    std::fs::write(secret.path(), "s3cret").expect("the secret is stored");
    let mut setup = Setup::default();
    let auth = format!(
        "{{ kind = \"client_credentials\", client_id = \"7\", client_secret = {{ file = \"{}\" }}, user = \"kim@corp.example\" }}",
        secret.path().display()
    );
    setup.auth.insert("crm".into(), auth);
    let mut world =
        World::with(vec![Actor::tallyfy(11), Actor::tallyfy(22), Actor::Tallyfy(twin)], setup).await;
    for order in 0..MANY {
        for side in SIDES {
            world.add(side, &number(order), "1", "same");
        }
    }
    world.plan_and_accept().await;
    world.edit("crm", &number(MANY - 1), "memo", "on the second page");
    fault(
        &world,
        "crm",
        Fault { and_target: "page=2".into(), ..Fault::on("GET", "/runs?", Effect::ExpireToken) },
    );
    world.pass().await;
    world.expect(&number(MANY - 1), "memo", "on the second page");
    // In the middle of a write as well.
    fault(&world, "crm", Fault::of_kind("runs.update", Effect::ExpireToken));
    world.edit("erp", &number(0), "memo", "through a new token");
    world.pass().await;
    world.expect(&number(0), "memo", "through a new token");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_dead_token_is_a_problem_with_a_remedy_and_heals_by_itself() {
    let mut world = World::with_order(Setup::default()).await;
    fault(
        &world,
        "crm",
        Fault::next(Effect::Status { status: 401, when: When::Before, body: None }).times(0),
    );
    world.edit("erp", "SO-1", "memo", "new");
    attempt(&world, false).await;
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "new", "the others go on");
    let problems = world.rows(View::Problems).await;
    assert!(!problems.is_empty());
    let asked = world.on("crm").hub().world().requests().len();
    world.later(-60);
    attempt(&world, false).await;
    assert_eq!(world.on("crm").hub().world().requests().len(), asked, "a refused token is not hammered with");
    heal(&world, "crm");
    world.later(600);
    world.pass().await;
    world.expect("SO-1", "memo", "new");
    world.assert_converged().await;
}
