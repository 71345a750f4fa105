//! A changed config cannot act by itself; and an accepted plan does no more than it showed.

use crate::support::world::{Setup, World};

#[tokio::test]
async fn a_changed_scope_writes_nothing_until_it_is_accepted() {
    let mut world = World::shipped(Setup::default().sync("where = \"amount >= 10000\"")).await;
    world.add("erp", "SO-1", "12500", "large");
    world.add("erp", "SO-2", "500", "small");
    world.plan_and_accept().await;

    world.reconfigure(Setup::default().sync("where = \"amount >= 100\"")).await;
    world.edit("erp", "SO-1", "memo", "edited meanwhile");
    let report = world.pass().await;
    let idle = report.idle.expect("the sync is not accepted");
    assert!(idle.contains("means something else"), "{idle}");
    assert_eq!(world.writes(), [0, 0, 0]);

    let printed = world.plan().await;
    assert!(printed.needs_acceptance);
    let text = printed.plan.to_string();
    assert!(text.contains("SO-2") && text.contains("edited meanwhile"), "{text}");
    world.accept().await;
    world.pass().await;
    world.expect("SO-1", "memo", "edited meanwhile");
    world.expect("SO-2", "memo", "small");
    world.assert_converged().await;
}

#[tokio::test]
async fn putting_the_old_config_back_needs_no_plan_if_nothing_was_accepted() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    world.reconfigure(Setup::default().field("memo", "normalise = [\"lower\"]")).await;
    world.pass().await;
    world.reconfigure(Setup::default()).await;
    world.plan().await;
    world.accept().await;
    world.edit("erp", "SO-1", "memo", "goes on");
    world.pass().await;
    world.expect("SO-1", "memo", "goes on");
}

#[tokio::test]
async fn schedules_and_tighter_guards_need_no_acceptance() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    let setup = Setup::default().sync("schedule = \"*/5 * * * *\"").guard("creates = { max = 5 }");
    world.reconfigure(setup).await;
    world.edit("erp", "SO-1", "memo", "goes on");
    let report = world.pass().await;
    assert_eq!(report.idle, None);
    world.expect("SO-1", "memo", "goes on");
}

#[tokio::test]
async fn a_looser_guard_does() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    world.reconfigure(Setup::default().guard("creates = { max = 5000 }")).await;
    assert!(world.pass().await.idle.is_some());
}

#[tokio::test]
async fn a_changed_lens_unbases_its_field_only_and_lists_the_differences() {
    let mut world = World::with_order(Setup::default()).await;
    let id = world.id("crm", "SO-1");
    world.on("crm").edit(&id, "labels", "elsewhere".into());
    world.pass().await;
    // The memo of the CRM is read from another field now, which says something else.
    let other = Setup::default().field("memo", "crm = \"kickoff.labels\"");
    world.reconfigure(other).await;
    world.edit("tallyfy", "SO-1", "amount", "77");
    world.pass().await;
    assert_eq!(world.writes(), [0, 0, 0]);
    let printed = world.plan().await;
    assert_eq!(printed.plan.conflicts.len(), 1, "{}", printed.plan);
    assert!(printed.plan.conflicts[0].text.contains("elsewhere"), "{}", printed.plan);
    world.accept().await;
    world.pass().await;
    // The other field kept its base: the edit is an edit, not a difference at first sight.
    world.expect("SO-1", "amount", "77");
    assert_eq!(world.on("crm").shows(&id, "labels"), "elsewhere");
    assert_eq!(world.shows("erp", "SO-1", "memo"), "hello");
    world.conflict("memo").await;
}

#[tokio::test]
async fn a_changed_lens_that_reads_the_same_is_silent() {
    let mut world = World::with_order(Setup::default()).await;
    let id = world.id("crm", "SO-1");
    world.on("crm").edit(&id, "labels", "hello".into());
    world.pass().await;
    world.reconfigure(Setup::default().field("memo", "crm = \"kickoff.labels\"")).await;
    let printed = world.plan().await;
    assert!(printed.plan.conflicts.is_empty() && printed.plan.actions.is_empty(), "{}", printed.plan);
    world.accept().await;
    world.assert_quiet(2).await;
    world.edit("erp", "SO-1", "memo", "through the new path");
    world.pass().await;
    assert_eq!(world.on("crm").shows(&id, "labels"), "through the new path");
    assert_eq!(world.on("crm").shows(&id, "memo"), "hello", "the old field is left alone");
}

#[tokio::test]
async fn a_changed_key_path_matches_anew() {
    let setup = || Setup::default().without_creates();
    let mut world = World::new(setup().field("order_no", "key = true\ncrm = \"kickoff.labels\"")).await;
    world.add("erp", "SO-1", "1", "hello");
    world.add("crm", "SO-1", "1", "hello");
    world.plan_and_accept().await;
    assert!(world.links().await.is_empty(), "the key of the CRM is looked for in another field");
    world.reconfigure(setup()).await;
    world.plan_and_accept().await;
    world.edit("erp", "SO-1", "memo", "linked");
    world.pass().await;
    assert_eq!(world.shows("crm", "SO-1", "memo"), "linked");
}

#[tokio::test]
async fn a_new_field_is_asked_about_where_it_differs_and_filled_where_blanks_give_way() {
    let mut world = World::with_order(Setup::default()).await;
    world.add("erp", "SO-2", "1", "hello");
    world.pass().await;
    let label = |side: &str, number: &str, value: &str| {
        let id = world.id(side, number);
        world.on(side).edit(&id, "labels", value.into());
    };
    label("erp", "SO-1", "only here");
    label("erp", "SO-2", "one");
    label("crm", "SO-2", "two");
    world.pass().await;
    world.reconfigure(Setup::default().field("labels", "on_blank = \"keep\"")).await;
    let printed = world.plan().await;
    assert_eq!(printed.plan.conflicts.len(), 1, "{}", printed.plan);
    world.accept().await;
    world.pass().await;
    world.expect("SO-1", "labels", "only here");
    world.expect_each("SO-2", "labels", ["one", "", "two"]);
    world.conflict("labels").await;
}

#[tokio::test]
async fn an_accepted_plan_leaves_out_what_moved_since_it_was_printed() {
    let mut world = World::shipped(Setup::default()).await;
    world.add("erp", "SO-1", "1", "as printed");
    world.add("erp", "SO-2", "1", "as printed");
    world.plan().await;
    world.edit("erp", "SO-2", "memo", "changed after the plan was read");
    // Somebody else's command looks at the ERP meanwhile.
    let report = world.pass().await;
    assert!(report.idle.is_some());
    let accepted = world.accept().await;
    assert_eq!(accepted.opened, 2, "{accepted:?}");
    assert_eq!(accepted.moved.len(), 2, "{accepted:?}");
    // What moved is decided again by the next pass: the sync is accepted.
    world.pass().await;
    world.expect("SO-1", "memo", "as printed");
    world.expect("SO-2", "memo", "changed after the plan was read");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_plan_is_used_once_and_only_for_the_config_it_was_printed_for() {
    let mut world = World::shipped(Setup::default()).await;
    world.add("erp", "SO-1", "1", "hello");
    world.plan().await;
    world.reconfigure(Setup::default().sync("where = \"amount >= 0\"")).await;
    let refused = world.engine().accept(&world.sync(), None).await;
    assert!(refused.is_err_and(|why| why.to_string().contains("config changed")));
    world.plan().await;
    world.accept().await;
    assert!(world.engine().accept(&world.sync(), None).await.is_err(), "it was used");
}

#[tokio::test]
async fn another_principal_needs_a_new_acceptance() {
    use twins::kit::Edit;
    let mut world = World::with_order(Setup::default()).await;
    let hub = world.on("crm").hub();
    let user = serde_json::json!({"id": 20000, "email": "new@corp.example", "full_name": "New User", "role": "admin",
        "status": "active", "is_active": true});
    hub.person(Edit::Create { entity: "users".into(), record: user }).expect("a user is made");
    let token = world.on("crm").token().to_owned();
    let patch = serde_json::json!({"user": "20000"});
    hub.person(Edit::Patch { entity: "tokens".into(), id: token, patch }).expect("the token changes hands");
    world.edit("erp", "SO-1", "memo", "who are we?");
    world.reconfigure(Setup::default()).await;
    let report = world.pass().await;
    assert!(report.idle.is_some_and(|why| why.contains("principal")), "we are somebody else in the CRM now");
    assert_eq!(world.writes(), [0, 0, 0]);
}

#[tokio::test]
async fn a_renamed_kickoff_field_is_found_before_anything_is_launched() {
    use twins::kit::Edit;
    let mut world = World::shipped_with_order(Setup::default()).await;
    let hub = world.on("tallyfy").hub();
    let (id, template) = hub.world().list_any("checklists").remove(0);
    let mut renamed = (*template).clone();
    for field in renamed["prerun"].as_array_mut().expect("a list") {
        if field["alias"] == "memo" {
            field["alias"] = "remarks".into();
            field["label"] = "Remarks".into();
        }
    }
    hub.person(Edit::Replace { entity: "checklists".into(), id, record: renamed }).expect("a person renames");

    world.add("erp", "SO-2", "1", "a new order");
    world.later(120);
    let report = world.engine().pass(&world.sync(), Default::default()).await.expect("the pass ends");
    assert!(report.failures.iter().any(|why| why.contains("memo")), "{report:?}");
    assert_eq!(world.writes()[1], 0, "nothing is launched or written there");
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.contains("memo")), "{problems:?}");
    let printed = world.plan().await;
    assert!(!printed.failures.is_empty());
}

#[tokio::test]
async fn an_old_copy_of_the_state_file_is_recognised() {
    let folder = tempfile::tempdir().expect("a folder");
    let epoch = folder.path().join("epoch");
    let mut world = World::with_order(Setup::default()).await;
    let setup = Setup::default();
    world.epoch = Some(epoch);
    world.reconfigure(setup.clone()).await;
    let copy = folder.path().join("copy.db");
    world.copy_state(&copy);
    world.edit("erp", "SO-1", "memo", "newer than the copy");
    world.pass().await;
    world.expect("SO-1", "memo", "newer than the copy");
    world.reconfigure(setup.clone()).await;
    world.edit("crm", "SO-1", "amount", "5");
    world.restore_state(&copy);
    world.reconfigure(setup).await;
    world.sweep().await;
    world.pass().await;
    // The copy's base says "hello"; every side agrees on something newer, which is taken over silently. The
    // amount differs between sides, and no base can say who is right.
    world.expect("SO-1", "memo", "newer than the copy");
    world.conflict("amount").await;
    world.expect_each("SO-1", "amount", ["12500", "12500", "5"]);
}
