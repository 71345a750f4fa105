//! One field, several edits at once: every rule and its winner, and the questions that a person answers.

use serde_json::Value;
use tallysync::engine::people::Decide;
use tallysync::store::read::View;

use crate::support::world::{Setup, World};

/// A world in which `memo` has these options.
async fn with_rule(options: &str) -> World {
    World::with_order(Setup::default().field("memo", options)).await
}

/// A world in which `amount` has this rule.
async fn with_amount(rule: &str) -> World {
    let options = format!("type = \"decimal(2)\"\nconflict = {rule}");
    World::with_order(Setup::default().field("amount", &options)).await
}

/// Edits at once on two sides, then a pass.
async fn clash(world: &World, field: &str, first: (&str, &str), second: (&str, &str)) {
    world.edit(first.0, "SO-1", field, first.1);
    world.edit(second.0, "SO-1", field, second.1);
    world.pass().await;
}

#[tokio::test]
async fn ask_stores_the_conflict_and_touches_nothing() {
    let mut world = with_rule("").await;
    clash(&world, "memo", ("erp", "from the ERP"), ("crm", "from the CRM")).await;
    world.expect_each("SO-1", "memo", ["from the ERP", "hello", "from the CRM"]);
    let id = world.conflict("memo").await;
    world.assert_quiet(3).await;

    // Other fields of the record go on.
    world.edit("tallyfy", "SO-1", "amount", "5");
    world.pass().await;
    world.expect("SO-1", "amount", "5");
    world.expect_each("SO-1", "memo", ["from the ERP", "hello", "from the CRM"]);

    world.engine().resolve(id, Decide::Take("crm".into())).await.expect("it is open");
    world.pass().await;
    world.expect("SO-1", "memo", "from the CRM");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_person_may_decide_for_a_value_of_their_own() {
    let mut world = with_rule("").await;
    clash(&world, "memo", ("erp", "one"), ("tallyfy", "two")).await;
    let id = world.conflict("memo").await;
    world.engine().resolve(id, Decide::Value("neither".into())).await.expect("it is open");
    world.pass().await;
    world.expect("SO-1", "memo", "neither");
    let log = world.rows(View::Log).await;
    let memo: Vec<&str> = log
        .iter()
        .filter(|row| row["event"] == "confirmed" && row["field"] == "memo" && row["after"] == "\"neither\"")
        .filter_map(|row| row["reason"].as_str())
        .collect();
    assert_eq!(memo.len(), 3, "{log:?}");
    assert!(
        memo.iter().all(|reason| reason.starts_with("a person decided")),
        "the account says why: {memo:?}"
    );
    world.assert_converged().await;
}

#[tokio::test]
async fn a_decision_about_something_else_than_is_shown_is_refused() {
    let mut world = with_rule("").await;
    clash(&world, "memo", ("erp", "one"), ("crm", "two")).await;
    let id = world.conflict("memo").await;
    world.edit("crm", "SO-1", "memo", "three");
    world.observe().await;
    let refused = world.engine().resolve(id, Decide::Take("crm".into())).await;
    let why = refused.expect_err("the person saw 'two', not 'three'").to_string();
    assert!(why.contains("stale"), "{why}");

    world.pass().await;
    let id = world.conflict("memo").await;
    world.engine().resolve(id, Decide::Take("crm".into())).await.expect("it was looked at again");
    world.pass().await;
    world.expect("SO-1", "memo", "three");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_resolved_conflict_cannot_be_resolved_again() {
    let world = with_rule("").await;
    clash(&world, "memo", ("erp", "one"), ("crm", "two")).await;
    let id = world.conflict("memo").await;
    let refused = world.engine().resolve(id, Decide::Take("tallyfy".into())).await;
    assert!(refused.is_err(), "tallyfy is not among the sides that differ");
    world.engine().resolve(id, Decide::Take("erp".into())).await.expect("it is open");
    assert!(world.engine().resolve(id, Decide::Take("crm".into())).await.is_err());
}

#[tokio::test]
async fn a_conflict_closes_by_itself_when_the_sides_agree() {
    let mut world = with_rule("").await;
    clash(&world, "memo", ("erp", "one"), ("crm", "two")).await;
    world.conflict("memo").await;
    world.edit("erp", "SO-1", "memo", "two");
    world.pass().await;
    world.edit("tallyfy", "SO-1", "memo", "two");
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.expect("SO-1", "memo", "two");
    assert_eq!(world.writes(), [0, 0, 0]);
    world.assert_converged().await;
}

#[tokio::test]
async fn an_edit_made_while_a_question_is_open_joins_the_question() {
    let world = with_rule("").await;
    clash(&world, "memo", ("erp", "one"), ("crm", "two")).await;
    world.conflict("memo").await;
    world.edit("tallyfy", "SO-1", "memo", "three");
    world.pass().await;
    world.expect_each("SO-1", "memo", ["one", "three", "two"]);
    let id = world.conflict("memo").await;
    world.engine().resolve(id, Decide::Take("tallyfy".into())).await.expect("it is among them now");
    world.pass().await;
    world.expect("SO-1", "memo", "three");
}

#[tokio::test]
async fn prefer_takes_the_first_side_that_changed() {
    let mut world = with_rule("conflict = { prefer = [\"tallyfy\", \"crm\"] }").await;
    clash(&world, "memo", ("erp", "one"), ("crm", "two")).await;
    world.expect("SO-1", "memo", "two");
    clash(&world, "memo", ("crm", "three"), ("tallyfy", "four")).await;
    world.expect("SO-1", "memo", "four");
    world.assert_converged().await;
}

#[tokio::test]
async fn prefer_asks_when_no_preferred_side_changed() {
    let world = with_rule("conflict = { prefer = [\"tallyfy\"] }").await;
    clash(&world, "memo", ("erp", "one"), ("crm", "two")).await;
    world.conflict("memo").await;
}

#[tokio::test]
async fn furthest_takes_the_value_that_is_further_along() {
    let mut world =
        with_rule("conflict = { furthest = [\"hello\", \"picked\", \"packed\", \"shipped\"] }").await;
    clash(&world, "memo", ("erp", "shipped"), ("crm", "packed")).await;
    world.expect("SO-1", "memo", "shipped");
    world.assert_converged().await;
    // Alone, a step back is an edit like any other; an unknown word against a known one is a question.
    world.edit("crm", "SO-1", "memo", "picked");
    world.pass().await;
    world.expect("SO-1", "memo", "picked");
    clash(&world, "memo", ("erp", "lost"), ("crm", "packed")).await;
    world.conflict("memo").await;
}

#[tokio::test]
async fn largest_and_smallest() {
    let mut world = with_amount("\"largest\"").await;
    clash(&world, "amount", ("erp", "9"), ("crm", "10")).await;
    world.expect("SO-1", "amount", "10");
    world.assert_converged().await;

    let mut world = with_amount("\"smallest\"").await;
    clash(&world, "amount", ("erp", "9"), ("crm", "10")).await;
    world.expect("SO-1", "amount", "9");
    world.assert_converged().await;
}

#[tokio::test]
async fn sum_adds_what_every_side_added() {
    let mut world = with_amount("\"sum\"").await;
    // 12500 + 100 - 40 + 0.5
    world.edit("erp", "SO-1", "amount", "12600");
    world.edit("tallyfy", "SO-1", "amount", "12460");
    world.edit("crm", "SO-1", "amount", "12500.5");
    world.pass().await;
    world.expect("SO-1", "amount", "12560.5");
    world.assert_converged().await;
    world.edit("crm", "SO-1", "amount", "12561.5");
    world.pass().await;
    world.expect("SO-1", "amount", "12561.5");
    world.assert_converged().await;
}

#[tokio::test]
async fn union_keeps_what_every_side_added_and_drops_what_one_removed() {
    let tags = |names: &[(u32, &str)]| -> Value {
        names.iter().map(|(id, text)| serde_json::json!({ "id": id, "text": text })).collect()
    };
    let setup = Setup::default().field("tags", "type = \"set\"\nconflict = \"union\"");
    let mut world = World::new(setup).await;
    let id = world.add("erp", "SO-1", "1", "hello");
    world.on("erp").edit(&id, "tags", tags(&[(1, "old"), (2, "rush")]));
    world.plan_and_accept().await;
    world.edit("erp", "SO-1", "tags", tags(&[(1, "old"), (2, "rush"), (3, "fragile")]));
    world.edit("crm", "SO-1", "tags", tags(&[(2, "rush"), (4, "export")]));
    world.pass().await;
    for side in ["erp", "tallyfy", "crm"] {
        let shown = world.shows(side, "SO-1", "tags");
        let has = |name: &str| shown.contains(name);
        assert!(has("export") && has("fragile") && has("rush") && !has("old"), "{side} shows {shown}");
    }
    world.assert_quiet(2).await;
}

#[tokio::test]
async fn newest_and_oldest_go_by_the_systems_stamps() {
    let mut world = with_rule("conflict = \"newest\"").await;
    world.edit("crm", "SO-1", "memo", "first");
    world.later(60);
    world.edit("erp", "SO-1", "memo", "later");
    world.pass().await;
    world.expect("SO-1", "memo", "later");
    world.assert_converged().await;

    let mut world = with_rule("conflict = \"oldest\"").await;
    world.edit("crm", "SO-1", "memo", "first");
    world.later(60);
    world.edit("erp", "SO-1", "memo", "later");
    world.pass().await;
    world.expect("SO-1", "memo", "first");
    world.assert_converged().await;
}

#[tokio::test]
async fn newest_asks_when_the_stamps_are_too_close() {
    let world = with_rule("conflict = \"newest\"").await;
    let (erp, crm) = (world.id("erp", "SO-1"), world.id("crm", "SO-1"));
    world.on("erp").edit(&erp, "memo", Value::from("one"));
    world.on("crm").edit(&crm, "memo", Value::from("two"));
    world.pass().await;
    world.conflict("memo").await;
}

#[tokio::test]
async fn an_edit_that_had_not_seen_the_newest_value_is_concurrent_with_it() {
    use twins::kit::{Effect, Fault, When};
    let mut world = with_rule("").await;
    // The CRM refuses to be written, while the others agree on something new.
    let refuse = Effect::Status { status: 500, when: When::Before, body: None };
    let fault = Fault { method: Some("PUT".into()), times: 0, ..Fault::next(refuse) };
    let rule = world.on("crm").hub().fault(fault);
    world.edit("erp", "SO-1", "memo", "agreed elsewhere");
    world.pass().await;
    world.expect_each("SO-1", "memo", ["agreed elsewhere", "agreed elsewhere", "hello"]);
    world.on("crm").hub().world().faults.remove(rule);
    world.edit("crm", "SO-1", "memo", "written without knowing");
    world.later(600);
    world.pass().await;
    world.expect_each("SO-1", "memo", ["agreed elsewhere", "agreed elsewhere", "written without knowing"]);
    let id = world.conflict("memo").await;
    world.engine().resolve(id, Decide::Take("erp".into())).await.expect("both are candidates");
    world.pass().await;
    world.expect("SO-1", "memo", "agreed elsewhere");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_group_is_decided_together_and_never_mixed() {
    let setup = Setup::default()
        .field(
            "amount",
            "type = \"decimal(2)\"\ngroup = \"money\"\nconflict = { prefer = [\"crm\", \"erp\"] }",
        )
        .field("labels", "group = \"money\"\nconflict = { prefer = [\"crm\", \"erp\"] }");
    let mut world = World::new(setup).await;
    let id = world.add("erp", "SO-1", "10", "hello");
    world.on("erp").edit(&id, "labels", Value::from("EUR"));
    world.plan_and_accept().await;
    world.expect("SO-1", "labels", "EUR");

    // The ERP changes the number, the CRM number and currency: one side's pair wins as a whole.
    world.edit("erp", "SO-1", "amount", "11");
    world.edit("crm", "SO-1", "labels", "USD");
    world.pass().await;
    world.expect("SO-1", "labels", "USD");
    world.expect("SO-1", "amount", "10");
    world.assert_converged().await;
}

#[tokio::test]
async fn a_cleared_field_travels_unless_blanks_are_kept() {
    let mut world = World::with_order(Setup::default()).await;
    world.edit("crm", "SO-1", "memo", "");
    world.pass().await;
    world.expect("SO-1", "memo", "");
    world.assert_converged().await;

    let mut world = with_rule("on_blank = \"keep\"").await;
    world.edit("crm", "SO-1", "memo", "");
    world.pass().await;
    assert_eq!(world.shows("erp", "SO-1", "memo"), "hello");
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "hello");
    world.assert_quiet(3).await;
}

#[tokio::test]
async fn an_edit_on_a_side_that_does_not_own_the_field_is_put_back_and_audited() {
    use crate::support::world::text;
    use tallysync::store::read::View;
    let mut world =
        World::with_order(Setup::default().field("amount", "type = \"decimal(2)\"\nowner = \"erp\"")).await;
    world.edit("crm", "SO-1", "amount", "1");
    world.pass().await;
    world.expect("SO-1", "amount", "12500");
    assert_eq!(world.writes(), [0, 0, 1]);
    let log = world.rows(View::Log).await;
    let kept = log.iter().any(|row| text(row, "field") == "amount" && text(row, "before").contains('1'));
    assert!(kept, "the displaced value is in the audit: {log:#?}");
    world.edit("erp", "SO-1", "amount", "13000");
    world.pass().await;
    world.expect("SO-1", "amount", "13000");
    world.assert_converged().await;
}
