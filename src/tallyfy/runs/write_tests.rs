//! Launches, updates and removals of processes.

use super::*;

#[tokio::test]
async fn a_launch_carries_the_mark_and_is_found_by_it_after_a_lost_answer() {
    let fake = Fake::new();
    fake.launch("SO-0");
    let runs = open(&fake, &["name", "kickoff.order-number", "kickoff.Priority"]).await;
    assert!(runs.find_marked("mark-77f3").await.unwrap().is_empty());
    fake.world.lock().unwrap().lose_launch = true;
    let wanted =
        new(json!({"name": "Order SO-9", "kickoff.order-number": "SO-9", "kickoff.Priority": "High"}));
    let failure = runs.create(&wanted).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Transient, Applied::Unknown));
    assert_eq!(fake.world.lock().unwrap().made, 2, "one attempt");
    let found = runs.find_marked("mark-77f3").await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].values["kickoff.Priority"], json!("High"));
    // Also when it was archived meanwhile.
    fake.edit(&found[0].id, |run| run["archived_at"] = json!("2026-05-04T10:00:00Z"));
    assert!(runs.find_marked("mark-77f3").await.unwrap()[0].archived);
}

#[tokio::test]
async fn a_launch_that_would_be_refused_is_not_sent() {
    let fake = Fake::new();
    fake.world.lock().unwrap().required_order = true;
    let runs = open(&fake, &["name", "kickoff.order-number"]).await;
    let failure = runs.create(&new(json!({"name": "x"}))).await.unwrap_err();
    assert!(failure.answered.contains("requires `Order number`"), "{}", failure.answered);
    let unmarked =
        open_with(&fake, &["name"], |request| request.marker = Some("kickoff.nothing".into())).await;
    let failure = unmarked.create(&new(json!({"kickoff.order-number": "1"}))).await.unwrap_err();
    assert!(failure.answered.contains("not launched") && failure.answered.contains("`nothing`"));
    let wrong = json!({"kickoff.order-number": "1", "kickoff.Priority": "Urgent", "name": "x".repeat(551)});
    let failure = runs.create(&new(wrong)).await.unwrap_err();
    assert_eq!(failure.fields, vec!["kickoff.Priority", "name"]);
    assert!(failure.answered.contains("`Low`, `High`") && failure.answered.contains("550"));
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn a_launch_also_fills_forms_and_deadlines() {
    let fake = Fake::new();
    let runs = open(&fake, ALL).await;
    let wanted = new(json!({
        "name": "Order SO-5", "kickoff.order-number": "SO-5", "form.credit-check.credit-limit": "900",
        "tasks.credit-check.completed": true, "tasks.management-approval.completed": false
    }));
    let mut wanted = wanted;
    wanted.values.remove("tasks.management-approval.completed");
    let written = runs.create(&wanted).await.unwrap();
    let id = written.id.unwrap();
    let record = written.record.unwrap();
    assert_eq!(record.values["tasks.credit-check.completed"], json!(true));
    assert_eq!(record, read(&*runs, &id).await);
    assert_eq!(fake.task(&id, STEP_CREDIT)["taskdata"][C_LIMIT], json!("900"));
    assert_eq!(fake.run(&id)["prerun"][F_MARK], json!("mark-77f3"));
}

#[tokio::test]
async fn an_update_sends_what_changed_and_repeats_members_and_groups() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["name", "kickoff.order-number", "kickoff.Priority"]).await;
    let expected = read(&*runs, &id).await;
    let before = fake.run(&id);
    let written = runs.update(&expected, &values(json!({"kickoff.Priority": "Low"}))).await.unwrap();
    assert_eq!(
        fake.last_body("PUT"),
        json!({"prerun": {F_PRIORITY: {"id": 1, "text": "Low"}}, "users": before["users"], "groups": before["groups"]})
    );
    let record = written.record.unwrap();
    assert_eq!((&record.values["kickoff.Priority"], &record), (&json!("Low"), &read(&*runs, &id).await));
    assert_eq!(fake.run(&id)["users"], before["users"]);
    assert_eq!(fake.run(&id)["prerun"][F_ORDER], json!("SO-1"));
    fake.calls();
    let again = runs.update(&expected, &values(json!({"kickoff.Priority": "Low"}))).await.unwrap();
    assert_eq!((again.record.unwrap(), fake.writes()), (record, vec![]), "what is there already is not sent");
}

#[tokio::test]
async fn a_process_shown_without_members_is_not_updated() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["name"]).await;
    let expected = read(&*runs, &id).await;
    fake.edit(&id, |run| {
        run.as_object_mut().unwrap().remove("groups");
    });
    let failure = runs.update(&expected, &values(json!({"name": "New"}))).await.unwrap_err();
    assert!(failure.class == FailureClass::Bug && failure.answered.contains("`groups`"));
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn an_update_over_a_value_that_moved_is_a_conflict() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["name", "kickoff.order-number"]).await;
    let expected = read(&*runs, &id).await;
    fake.edit(&id, |run| run["prerun"][F_ORDER] = json!("SO-7"));
    let failure = runs.update(&expected, &values(json!({"kickoff.order-number": "SO-2"}))).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Conflict, Applied::No));
    assert_eq!(failure.fields, vec!["kickoff.order-number"]);
    assert!(fake.writes().is_empty());
    // A value that is not written may move.
    assert!(runs.update(&expected, &values(json!({"name": "New"}))).await.is_ok());
}

#[tokio::test]
async fn a_silently_dropped_value_is_seen_in_the_answer() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["kickoff.order-number"]).await;
    let expected = read(&*runs, &id).await;
    fake.world.lock().unwrap().drops_prerun = true;
    let written = runs.update(&expected, &values(json!({"kickoff.order-number": "SO-2"}))).await.unwrap();
    assert_eq!(written.record.unwrap().values["kickoff.order-number"], json!("SO-1"));
}

#[tokio::test]
async fn form_values_owners_and_deadlines_go_to_the_task() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(
        &fake,
        &["form.credit-check.credit-limit", "tasks.credit-check.owners", "tasks.credit-check.deadline"],
    )
    .await;
    let expected = read(&*runs, &id).await;
    let changes = values(json!({
        "form.credit-check.credit-limit": "500", "tasks.credit-check.owners": ["7"],
        "tasks.credit-check.deadline": "2026-06-01T12:00:00Z"
    }));
    let written = runs.update(&expected, &changes).await.unwrap();
    assert_eq!(
        fake.last_body("PUT"),
        json!({"taskdata": {C_LIMIT: "500"}, "deadline": "2026-06-01 12:00:00",
            "owners": {"users": [7], "guests": [], "groups": []}})
    );
    assert_eq!(written.record.unwrap().values, changes);
    assert_eq!(fake.writes().len(), 1);
}

#[tokio::test]
async fn a_completion_is_one_call_and_never_repeated() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let paths = [
        "tasks.management-approval.approved",
        "tasks.credit-check.completed",
        "tasks.management-approval.completed",
    ];
    let runs = open(&fake, &paths).await;
    let expected = read(&*runs, &id).await;
    let bare = values(json!({"tasks.management-approval.completed": true}));
    let failure = runs.update(&expected, &bare).await.unwrap_err();
    assert!(failure.answered.contains("needs `approved`"), "{}", failure.answered);
    let changes =
        values(json!({"tasks.management-approval.approved": false, "tasks.credit-check.completed": true}));
    fake.calls();
    let written = runs.update(&expected, &changes).await.unwrap();
    assert_eq!(fake.writes().len(), 2);
    assert_eq!(fake.task(&id, STEP_APPROVE)["is_approved"], json!(false));
    assert_eq!(fake.task(&id, STEP_CREDIT)["is_approved"], Json::Null);
    let record = written.record.unwrap();
    assert_eq!(record.values["tasks.management-approval.approved"], json!(false));
    assert_eq!(fake.world.lock().unwrap().fired, 2);
    let stale = runs.update(&expected, &changes).await.unwrap();
    assert_eq!((stale.record.unwrap(), fake.world.lock().unwrap().fired), (record, 2), "nothing fires twice");
}

#[tokio::test]
async fn a_completed_task_is_reopened_only_when_allowed() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    fake.edit_task(&id, STEP_APPROVE, |task| {
        task["status"] = json!("completed");
        task["completed_at"] = json!("2026-05-04T10:00:00Z");
        task["is_approved"] = json!(true);
    });
    let paths = ["tasks.management-approval.approved", "tasks.management-approval.owners"];
    let strict = open(&fake, &paths).await;
    let expected = read(&*strict, &id).await;
    let flip = values(json!({"tasks.management-approval.approved": false}));
    let failure = strict.update(&expected, &flip).await.unwrap_err();
    assert!(failure.class == FailureClass::Invalid && failure.answered.contains("reopen = true"));
    assert!(fake.writes().is_empty());
    let free = open_with(&fake, &paths, |request| request.reopen = true).await;
    let record = free.update(&expected, &flip).await.unwrap().record.unwrap();
    assert_eq!(record.values["tasks.management-approval.approved"], json!(false));
    // A value of a completed task: reopened, written, completed again as it was decided.
    let owners = values(json!({"tasks.management-approval.owners": ["7"]}));
    fake.calls();
    let record = free.update(&record, &owners).await.unwrap().record.unwrap();
    assert_eq!(fake.writes().len(), 3);
    assert_eq!(record.values["tasks.management-approval.approved"], json!(false));
    let undo = values(json!({"tasks.management-approval.approved": null}));
    let record = free.update(&record, &undo).await.unwrap().record.unwrap();
    assert_eq!(record.values["tasks.management-approval.approved"], Json::Null);
}

#[tokio::test]
async fn archived_processes_open_issues_and_hidden_tasks_refuse_writes() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["name", "form.credit-check.credit-limit"]).await;
    let expected = read(&*runs, &id).await;
    let form = values(json!({"form.credit-check.credit-limit": "1"}));
    fake.edit(&id, |run| run["has_open_issue"] = json!(true));
    assert_eq!(runs.update(&expected, &form).await.unwrap_err().class, FailureClass::Held);
    fake.edit(&id, |run| run["has_open_issue"] = json!(false));
    fake.edit_task(&id, STEP_CREDIT, |task| task["status"] = json!("auto-skipped"));
    let hidden = read(&*runs, &id).await;
    assert!(runs.update(&hidden, &form).await.unwrap_err().answered.contains("hidden by a rule"));
    fake.edit(&id, |run| run["archived_at"] = json!("2026-05-04T10:00:00Z"));
    let failure = runs.update(&expected, &values(json!({"name": "x"}))).await.unwrap_err();
    assert!(failure.class == FailureClass::Invalid && failure.answered.contains("archived"));
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn a_failure_after_a_first_call_says_what_was_done() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let paths = ["name", "custom.cost_center", "tasks.credit-check.completed"];
    let runs = open(&fake, &paths).await;
    let expected = read(&*runs, &id).await;
    fake.world.lock().unwrap().refuses_completion = true;
    let alone =
        runs.update(&expected, &values(json!({"tasks.credit-check.completed": true}))).await.unwrap_err();
    assert_eq!((alone.class, alone.applied), (FailureClass::Invalid, Applied::No));
    let changes = json!({"name": "New", "custom.cost_center": "CC-1", "tasks.credit-check.completed": true});
    let failure = runs.update(&expected, &values(changes)).await.unwrap_err();
    assert_eq!(failure.applied, Applied::Unknown);
    assert!(failure.answered.contains("the process itself, custom field `cost_center` had been written"));
    let now = read(&*runs, &id).await;
    assert_eq!((&now.values["name"], &now.values["custom.cost_center"]), (&json!("New"), &json!("CC-1")));
}

#[tokio::test]
async fn archive_and_purge_compare_first() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["name", "status"]).await;
    let expected = read(&*runs, &id).await;
    fake.edit(&id, |run| run["name"] = json!("Edited"));
    let failure = runs.remove(&expected, Removal::Archive).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Conflict);
    let expected = read(&*runs, &id).await;
    fake.calls();
    let written = runs.remove(&expected, Removal::Archive).await.unwrap();
    let record = written.record.unwrap();
    assert!(record.archived && record.values["status"] == json!("archived"));
    assert_eq!(fake.writes(), vec![format!("DELETE runs/{id}")]);
    assert_eq!(record, read(&*runs, &id).await);
    runs.remove(&record, Removal::Delete).await.unwrap();
    assert_eq!(fake.writes(), vec![format!("DELETE runs/{id}/delete")]);
    assert!(matches!(runs.get(&id).await.unwrap(), Lookup::Missing(_)));
    let failure = runs.remove(&record, Removal::Archive).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Gone);
}

#[tokio::test]
async fn records_are_found_by_name_kickoff_or_any_path() {
    let fake = Fake::new();
    let first = fake.launch("SO-1");
    let second = fake.launch("SO-10");
    fake.edit(&second, |run| run["archived_at"] = json!("2026-05-04T10:00:00Z"));
    let runs = open(&fake, &["name", "kickoff.order-number", "owner"]).await;
    let ids = |records: Vec<Record>| records.into_iter().map(|record| record.id).collect::<Vec<_>>();
    assert_eq!(ids(runs.find("name", &json!("Order SO-1")).await.unwrap()), vec![first.clone()]);
    assert_eq!(ids(runs.find("kickoff.order-number", &json!("SO-10")).await.unwrap()), vec![second.clone()]);
    assert_eq!(ids(runs.find("owner", &json!("10013")).await.unwrap()), vec![first, second]);
    assert!(runs.find("owner", &json!("1")).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_mark_can_stand_in_the_name() {
    let fake = Fake::new();
    let runs =
        open_with(&fake, &["kickoff.order-number"], |request| request.marker = Some("name".into())).await;
    let written = runs.create(&new(json!({"kickoff.order-number": "SO-3", "name": "Order"}))).await.unwrap();
    let id = written.id.unwrap();
    assert_eq!(fake.run(&id)["name"], json!("Order [mark-77f3]"));
    assert_eq!(runs.find_marked("mark-77f3").await.unwrap()[0].id, id);
}

#[test]
fn a_process_without_kickoff_values_is_not_read_as_empty() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fake = Fake::new();
        let id = fake.launch("SO-1");
        let runs = open(&fake, &["kickoff.order-number"]).await;
        fake.edit(&id, |run| {
            run.as_object_mut().unwrap().remove("prerun");
        });
        let failure = runs.get(&id).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Bug);
        assert!(failure.answered.contains("without its kick-off values"));
        assert!(Values::new().is_empty());
    });
}
