//! Processes against the small Tallyfy: listing, reading, looking up, launching, changing, archiving.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::connector::api::{
    Applied, Entity, EntityRequest, FailureClass, Listing, Lookup, NewRecord, Page, Removal,
};
use crate::core::record::{Record, Values};
use crate::tallyfy::fake::{C_LIMIT, F_MARK, F_ORDER, F_PRIORITY, Fake, STEP_APPROVE, STEP_CREDIT};
use crate::tallyfy::tests::{request, system, values};

const ALL: &[&str] = &[
    "name",
    "owner",
    "status",
    "url",
    "custom.cost_center",
    "kickoff.order-number",
    "kickoff.Priority",
    "form.credit-check.credit-limit",
    "tasks.credit-check.completed",
    "tasks.credit-check.owners",
    "tasks.management-approval.approved",
    "tasks.management-approval.deadline",
    "tasks.management-approval.completer",
];

async fn open_with(fake: &Fake, paths: &[&str], more: impl FnOnce(&mut EntityRequest)) -> Arc<dyn Entity> {
    let mut wanted = request("runs", paths);
    more(&mut wanted);
    let opened = system(fake).open(wanted).await.unwrap();
    fake.calls();
    opened
}

async fn open(fake: &Fake, paths: &[&str]) -> Arc<dyn Entity> {
    open_with(fake, paths, |_| ()).await
}

async fn pages(runs: &dyn Entity, listing: &Listing) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let mut next = None;
    loop {
        let page = runs.list(listing, next.as_deref()).await.unwrap();
        next.clone_from(&page.next);
        pages.push(page);
        if next.is_none() {
            return pages;
        }
    }
}

async fn listed(runs: &dyn Entity, listing: &Listing) -> Vec<Record> {
    let pages = pages(runs, listing).await;
    pages.iter().flat_map(|page| &page.items).map(|item| runs.decode(&item.raw).unwrap()).collect()
}

async fn read(runs: &dyn Entity, id: &str) -> Record {
    match runs.get(id).await.unwrap() {
        Lookup::Found(record) => record,
        other => panic!("{other:?}"),
    }
}

fn new(pairs: Json) -> NewRecord {
    NewRecord { values: values(pairs), mark: "mark-77f3".into() }
}

#[tokio::test]
async fn a_list_and_a_read_by_id_give_the_same_record() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    fake.edit(&id, |run| run["prerun"][F_PRIORITY] = json!({"id": 2, "text": "High", "value": null}));
    fake.edit_task(&id, STEP_CREDIT, |task| task["taskdata"] = json!({C_LIMIT: "25000"}));
    let runs = open(&fake, ALL).await;
    let by_id = read(&*runs, &id).await;
    for listing in [Listing::Full, Listing::Since(None), Listing::Since(Some("complete".into()))] {
        assert_eq!(listed(&*runs, &listing).await, vec![by_id.clone()], "{listing:?}");
    }
    assert_eq!(
        by_id.values,
        values(json!({
            "name": "Order SO-1", "owner": "10013", "status": "active", "custom.cost_center": "CC-9",
            "url": format!("http://127.0.0.1:9/tracker/{id}"),
            "kickoff.order-number": "SO-1", "kickoff.Priority": "High", "form.credit-check.credit-limit": "25000",
            "tasks.credit-check.completed": false, "tasks.credit-check.owners": ["10013", "a@b.example"],
            "tasks.management-approval.approved": null, "tasks.management-approval.completer": null,
            "tasks.management-approval.deadline": "2026-05-05T17:00:00Z"
        }))
    );
    assert_eq!(by_id.updated_at, Some("2026-05-03T11:10:00Z".parse().unwrap()));
}

#[tokio::test]
async fn the_raw_text_notices_mapped_changes_and_only_those() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["kickoff.order-number", "form.credit-check.credit-limit"]).await;
    let raw = async || pages(&*runs, &Listing::Since(None)).await[0].items[0].raw.clone();
    let before = raw().await;
    fake.edit(&id, |run| run["summary"] = json!("unmapped"));
    fake.edit_task(&id, STEP_APPROVE, |task| task["status"] = json!("in-progress"));
    assert_eq!(raw().await, before);
    fake.edit_task(&id, STEP_CREDIT, |task| task["taskdata"] = json!({C_LIMIT: "1"}));
    let with_form = raw().await;
    assert_ne!(with_form, before);
    fake.edit(&id, |run| run["prerun"][F_ORDER] = json!("SO-2"));
    assert_ne!(raw().await, with_form);
}

#[tokio::test]
async fn tasks_are_listed_only_when_a_path_needs_them() {
    let fake = Fake::new();
    fake.launch("SO-1");
    fake.launch("SO-2");
    let plain = open(&fake, &["name", "kickoff.order-number"]).await;
    pages(&*plain, &Listing::Since(None)).await;
    assert_eq!(fake.calls(), vec!["GET runs"]);
    let with_tasks = open(&fake, &["tasks.credit-check.status"]).await;
    pages(&*with_tasks, &Listing::Since(None)).await;
    assert_eq!(fake.calls(), vec!["GET tasks", "GET runs"]);
    pages(&*with_tasks, &Listing::Full).await;
    assert_eq!(fake.calls().len(), 2 + 2 + 1, "a sweep reads every running process, and the archived list");
}

#[tokio::test]
async fn a_hidden_task_is_absent_and_costs_one_read() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    fake.edit_task(&id, STEP_CREDIT, |task| task["status"] = json!("auto-skipped"));
    let runs = open(&fake, &["form.credit-check.credit-limit", "tasks.management-approval.status"]).await;
    let first = listed(&*runs, &Listing::Since(None)).await;
    assert!(!first[0].values.contains_key("form.credit-check.credit-limit"));
    assert_eq!(first, vec![read(&*runs, &id).await]);
    fake.calls();
    assert_eq!(listed(&*runs, &Listing::Since(None)).await, first);
    assert_eq!(fake.calls(), vec!["GET tasks", "GET runs"], "the deep read is remembered");
    fake.edit_task(&id, STEP_CREDIT, |task| task["status"] = json!("not-started"));
    let back = listed(&*runs, &Listing::Since(None)).await;
    assert_eq!(back[0].values["form.credit-check.credit-limit"], Json::Null);
}

#[tokio::test]
async fn a_sweep_pages_through_archived_ones_too_and_counts() {
    let fake = Fake::new();
    let ids: Vec<String> = (1..=5).map(|number| fake.launch(&format!("SO-{number}"))).collect();
    fake.world.lock().unwrap().page_size = 2;
    fake.edit(&ids[0], |run| {
        run["archived_at"] = json!("2026-05-04T10:00:00Z");
        run["status"] = json!("archived");
    });
    let runs = open(&fake, &["kickoff.order-number", "status", "tasks.credit-check.completed"]).await;
    let pages = pages(&*runs, &Listing::Full).await;
    let last = pages.last().unwrap();
    assert_eq!((pages.len(), last.total, last.incomplete.clone()), (3, Some(5), None));
    let records: Vec<Record> =
        pages.iter().flat_map(|page| &page.items).map(|item| runs.decode(&item.raw).unwrap()).collect();
    let archived: Vec<&Record> = records.iter().filter(|record| record.archived).collect();
    assert_eq!((records.len(), archived.len(), archived[0].id.as_str()), (5, 1, ids[0].as_str()));
    assert_eq!(*archived[0], read(&*runs, &ids[0]).await);
}

#[tokio::test]
async fn shifted_pages_prove_nothing() {
    let fake = Fake::new();
    let ids: Vec<String> = (1..=4).map(|number| fake.launch(&format!("SO-{number}"))).collect();
    fake.world.lock().unwrap().page_size = 2;
    let runs = open(&fake, &["name"]).await;
    let first = runs.list(&Listing::Full, None).await.unwrap();
    assert_eq!(first.incomplete, None);
    fake.world.lock().unwrap().runs.retain(|run| run["id"] != ids[0].as_str());
    let second = runs.list(&Listing::Full, first.next.as_deref()).await.unwrap();
    assert!(second.incomplete.unwrap().contains("from 4 to 3"));
    // Another one in front: the same process comes again.
    let first = runs.list(&Listing::Full, None).await.unwrap();
    {
        let mut world = fake.world.lock().unwrap();
        world.runs.pop();
        let copy = world.runs[0].clone();
        world.runs.insert(0, copy);
    }
    let second = runs.list(&Listing::Full, first.next.as_deref()).await.unwrap();
    assert!(second.incomplete.unwrap().contains("came twice"));
    let resumed = runs.list(&Listing::Full, Some(r#"{"walk":1,"archived":false,"page":1}"#)).await.unwrap();
    assert!(resumed.incomplete.unwrap().contains("resumed"));
    let failure = runs.list(&Listing::Full, Some("nonsense")).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::CursorExpired);
}

#[tokio::test]
async fn processes_of_other_templates_never_take_part() {
    let fake = Fake::new();
    let ours = fake.launch("SO-1");
    let foreign = fake.launch("SO-2");
    fake.edit(&foreign, |run| run["checklist_id"] = json!("another"));
    fake.world.lock().unwrap().ignores_filter = true;
    let runs = open(&fake, &["name"]).await;
    let found = listed(&*runs, &Listing::Full).await;
    assert_eq!(found.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), vec![ours.as_str()]);
    assert!(
        matches!(runs.get(&foreign).await.unwrap(), Lookup::Missing(why) if why.contains("another template"))
    );
}

#[tokio::test]
async fn a_process_that_is_not_served_by_id_is_looked_for_among_the_archived() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let runs = open(&fake, &["name"]).await;
    fake.world.lock().unwrap().blind = true;
    assert!(matches!(runs.get(&id).await.unwrap(), Lookup::Missing(why) if why.contains("404")));
    fake.edit(&id, |run| run["archived_at"] = json!("2026-05-04T10:00:00Z"));
    assert!(read(&*runs, &id).await.archived);
}

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
