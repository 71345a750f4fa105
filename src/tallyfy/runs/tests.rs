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

#[path = "write_tests.rs"]
mod writes;
