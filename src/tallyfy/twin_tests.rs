//! The adapter against the stateful Tallyfy twin, which was written from the same documents by other hands.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use twins::kit::{Edit, Effect, Fault, Hub, Outcome, Request, RetryAfter};
use twins::tallyfy::{Builder, FieldSeed, RunSeed, StepSeed, TallyfyTwin, TemplateSeed};

use super::build;
use super::tests::{plain, request, spec, values};
use crate::config::model::SystemSpec;
use crate::connector::api::{
    Applied, Entity, EntityRequest, FailureClass, Listing, Lookup, NewRecord, Removal, System,
};
use crate::connector::client::Ports;
use crate::connector::fakes::fakes;
use crate::core::record::Record;
use crate::ports::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};

struct ToTwin(Arc<Hub>);

impl Transport for ToTwin {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let target = request.url.strip_prefix("http://127.0.0.1:9").unwrap();
            let mut sent = Request::new(&request.method, target);
            for (name, value) in &request.headers {
                sent = sent.with_header(name, value);
            }
            sent.body = request.body.unwrap_or_default();
            match self.0.exchange(sent) {
                Outcome::Answer(answer) => {
                    let headers =
                        answer.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
                    Ok(HttpResponse { status: answer.status, headers: headers.collect(), body: answer.body })
                }
                Outcome::Closed | Outcome::Broken(_) => Err(TransportError::AnswerLost("closed".into())),
            }
        })
    }
}

fn template() -> TemplateSeed {
    TemplateSeed::new("Order approval")
        .kickoff(FieldSeed::new("Order number", "text").required())
        .kickoff(FieldSeed::new("Priority", "dropdown").options(&["Low", "High"]))
        .kickoff(FieldSeed::new("Channels", "multiselect").options(&["Mail", "Web", "Phone"]))
        .kickoff(FieldSeed::new("Ship date", "date"))
        .kickoff(FieldSeed::new("Sync id", "text"))
        .step(StepSeed::task("Finance review").capture(FieldSeed::new("Finance note", "textarea")))
        .step(StepSeed::approval("Management approval"))
        .step(StepSeed::task("Escalate").visible_when("Management approval", Some(false)))
}

fn twin(more: impl FnOnce(Builder) -> Builder) -> TallyfyTwin {
    let builder = TallyfyTwin::builder().user(10013, "kim@corp.example", "Kim Doe", "admin");
    more(builder).template(&template()).custom_field("cost_center").build()
}

fn ports(twin: &TallyfyTwin) -> Ports {
    let unused = fakes(|_| Err(TransportError::NotSent("unused".into())));
    Ports { transport: Arc::new(ToTwin(Arc::clone(&twin.hub))), ..unused.ports }
}

fn system_of(twin: &TallyfyTwin, change: impl FnOnce(&mut SystemSpec)) -> Arc<dyn System> {
    let mut spec = spec(&[("token", &twin.token)]);
    change(&mut spec);
    build(&spec, &plain, ports(twin)).unwrap()
}

async fn open(twin: &TallyfyTwin, paths: &[&str]) -> Arc<dyn Entity> {
    open_with(twin, paths, |_| ()).await
}

async fn open_with(
    twin: &TallyfyTwin,
    paths: &[&str],
    more: impl FnOnce(&mut EntityRequest),
) -> Arc<dyn Entity> {
    let mut wanted = request("runs", paths);
    more(&mut wanted);
    system_of(twin, |_| ()).open(wanted).await.unwrap()
}

fn launch(twin: &TallyfyTwin, order: &str) -> String {
    let kickoff = vec![("Order number".to_owned(), json!(order))];
    twin.add_run(&RunSeed { template: "Order approval".into(), name: format!("Order {order}"), kickoff })
        .unwrap()
}

fn stored(twin: &TallyfyTwin, entity: &str, id: &str) -> Json {
    (*twin.hub.world().get_any(entity, id).unwrap()).clone()
}

async fn read(runs: &dyn Entity, id: &str) -> Record {
    match runs.get(id).await.unwrap() {
        Lookup::Found(record) => record,
        other => panic!("{other:?}"),
    }
}

async fn listed(runs: &dyn Entity, listing: &Listing) -> Vec<Record> {
    let (mut records, mut next) = (Vec::new(), None);
    loop {
        let page = runs.list(listing, next.as_deref()).await.unwrap();
        assert_eq!(page.incomplete, None);
        records.extend(page.items.iter().map(|item| runs.decode(&item.raw).unwrap()));
        next = page.next;
        if next.is_none() {
            return records;
        }
    }
}

const PATHS: &[&str] = &[
    "name",
    "status",
    "owner",
    "due_date",
    "custom.cost_center",
    "kickoff.order-number",
    "kickoff.Priority",
    "kickoff.Channels",
    "kickoff.\"Ship date\"",
    "form.finance-review.finance-note",
    "tasks.finance-review.completed",
    "tasks.finance-review.owners",
    "tasks.management-approval.approved",
    "tasks.management-approval.deadline",
    "tasks.management-approval.completer",
    "tasks.escalate.status",
];

#[tokio::test]
async fn the_twin_says_who_we_are_in_both_styles() {
    let twin = twin(|builder| builder);
    let probe = system_of(&twin, |_| ()).probe().await.unwrap();
    assert_eq!(probe.title, "Corp, as kim@corp.example");
    let v1 = |spec: &mut SystemSpec| {
        spec.api = Some("v1".into());
        spec.base_url = Some("http://127.0.0.1:9".into());
    };
    let guides = system_of(&twin, v1);
    assert!(guides.probe().await.unwrap().fingerprint.contains("unknown user"));
    let paths = [
        "name",
        "kickoff.order-number",
        "form.finance-review.finance-note",
        "tasks.finance-review.completed",
    ];
    let runs = guides.open(request("runs", &paths)).await.unwrap();
    let wanted =
        json!({"name": "N", "kickoff.order-number": "SO-1", "form.finance-review.finance-note": "ok"});
    let id = runs.create(&NewRecord { values: values(wanted), mark: "m".into() }).await.unwrap().id.unwrap();
    let expected = read(&*runs, &id).await;
    assert_eq!(expected.values["form.finance-review.finance-note"], json!("ok"));
    let changes = values(json!({"name": "M", "tasks.finance-review.completed": true}));
    let record = runs.update(&expected, &changes).await.unwrap().record.unwrap();
    assert_eq!(record.values["tasks.finance-review.completed"], json!(true));
    assert_eq!(listed(&*runs, &Listing::Full).await, vec![record]);
}

#[tokio::test]
async fn every_grant_gets_a_working_token() {
    let twin = twin(|builder| builder.client(4711, "secret"));
    let base = [("client_id", "4711"), ("client_secret", "secret")];
    for more in [
        vec![("kind", "password"), ("username", "kim@corp.example"), ("password", "correct horse")],
        vec![("kind", "client_credentials"), ("user", "kim@corp.example")],
    ] {
        let auth: Vec<(&str, &str)> = base.iter().copied().chain(more).collect();
        let system = build(&spec(&auth), &plain, ports(&twin)).unwrap();
        assert!(system.probe().await.unwrap().fingerprint.ends_with("user 10013"), "{auth:?}");
        twin.hub.fault(Fault::on("GET", "/me", Effect::ExpireToken));
        assert!(system.probe().await.is_ok(), "renewed: {auth:?}");
    }
    let wrong = [("kind", "client_credentials"), ("client_id", "4711"), ("client_secret", "wrong")];
    let failure = build(&spec(&wrong), &plain, ports(&twin)).unwrap().probe().await.unwrap_err();
    assert!(failure.class == FailureClass::Auth && !failure.to_string().contains("wrong)"), "{failure}");
}

#[tokio::test]
async fn lists_and_reads_agree_through_the_whole_life_of_a_process() {
    let twin = twin(|b| b.setting("owners_as_objects", json!(true)).setting("bare_progress", json!(true)));
    let id = launch(&twin, "SO-1");
    launch(&twin, "SO-2");
    let runs = open_with(&twin, PATHS, |request| request.reopen = true).await;
    let steps = [
        json!({"kickoff.Priority": "High", "kickoff.Channels": ["Mail", "Phone"], "kickoff.\"Ship date\"": "2026-06-01"}),
        json!({"form.finance-review.finance-note": "fine", "custom.cost_center": "CC-1"}),
        json!({"tasks.finance-review.owners": ["10013", "guest@b.example"]}),
        json!({"tasks.finance-review.completed": true, "tasks.management-approval.approved": false}),
        json!({"tasks.management-approval.approved": true}),
        json!({"kickoff.Priority": null, "kickoff.Channels": null, "kickoff.\"Ship date\"": null}),
        json!({"tasks.finance-review.completed": false}),
    ];
    for changes in steps {
        let expected = read(&*runs, &id).await;
        let written = runs.update(&expected, &values(changes.clone())).await.unwrap();
        let record = read(&*runs, &id).await;
        let shown = written.record.unwrap();
        assert_eq!(shown.values, record.values, "after {changes}");
        for listing in [Listing::Since(None), Listing::Full] {
            let all = listed(&*runs, &listing).await;
            assert_eq!(all.iter().find(|one| one.id == id), Some(&record), "{listing:?} after {changes}");
        }
        for (path, value) in values(changes) {
            let seen = &record.values[&path];
            let day = value
                .as_str()
                .is_some_and(|text| text.len() == 10 && seen.as_str().unwrap().starts_with(text));
            assert!(*seen == value || day, "{path}: {seen} after {value}");
        }
    }
    let record = read(&*runs, &id).await;
    assert!(!record.values.contains_key("tasks.escalate.status"), "hidden again by the rule");
    let archived = runs.remove(&record, Removal::Archive).await.unwrap().record.unwrap();
    assert_eq!(archived, read(&*runs, &id).await);
    let swept = listed(&*runs, &Listing::Full).await;
    assert_eq!(swept.iter().find(|one| one.id == id), Some(&archived));
    assert_eq!(listed(&*runs, &Listing::Since(None)).await.len(), 1);
    runs.remove(&archived, Removal::Delete).await.unwrap();
    assert!(matches!(runs.get(&id).await.unwrap(), Lookup::Missing(_)));
}

#[tokio::test]
async fn members_and_groups_survive_an_update() {
    let twin = twin(|builder| builder);
    let id = launch(&twin, "SO-1");
    let patch = json!({"users": [10013, 42], "groups": ["53a453a453a453a453a453a453a453a4"]});
    twin.hub.person(Edit::Patch { entity: "runs".into(), id: id.clone(), patch }).unwrap();
    let runs = open(&twin, &["name", "kickoff.Priority"]).await;
    let expected = read(&*runs, &id).await;
    runs.update(&expected, &values(json!({"name": "Renamed", "kickoff.Priority": "Low"}))).await.unwrap();
    let now = stored(&twin, "runs", &id);
    assert_eq!(now["users"], json!([10013, 42]));
    assert_eq!(now["groups"], json!(["53a453a453a453a453a453a453a453a4"]));
    let order = twin.field_id("Order approval", "Order number").unwrap();
    assert_eq!(now["prerun"][order], json!("SO-1"));
}

#[tokio::test]
async fn more_processes_than_a_page_are_all_listed_once() {
    let twin = twin(|builder| builder);
    let mut ids: Vec<String> = (0..130).map(|number| launch(&twin, &format!("SO-{number}"))).collect();
    let runs = open(&twin, &["kickoff.order-number", "tasks.finance-review.status"]).await;
    let mut found: Vec<String> =
        listed(&*runs, &Listing::Since(None)).await.into_iter().map(|one| one.id).collect();
    ids.sort();
    found.sort();
    assert_eq!(found, ids);
    let calls = twin.hub.world().requests().len();
    listed(&*runs, &Listing::Since(None)).await;
    assert_eq!(twin.hub.world().requests().len() - calls, 2 + 4, "two pages of processes, four of tasks");
    assert_eq!(runs.find("kickoff.order-number", &json!("SO-7")).await.unwrap().len(), 1);
    assert_eq!(
        runs.find("name", &json!("Order SO-7")).await,
        Ok(runs.find("kickoff.order-number", &json!("SO-7")).await.unwrap())
    );
}

#[tokio::test]
async fn a_launch_with_a_lost_answer_is_found_by_its_mark() {
    let twin = twin(|builder| builder);
    let runs = open(&twin, PATHS).await;
    let values =
        values(json!({"name": "Order SO-9", "kickoff.order-number": "SO-9", "kickoff.Priority": "High"}));
    let new = NewRecord { values, mark: "7f3a9c".into() };
    twin.hub.fault(Fault::of_kind("runs.launch", Effect::DropAfter));
    let failure = runs.create(&new).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Transient, Applied::Unknown));
    assert_eq!(twin.hub.world().list("runs").len(), 1, "not sent twice");
    let found = runs.find_marked("7f3a9c").await.unwrap();
    assert_eq!((found.len(), &found[0].values["kickoff.Priority"]), (1, &json!("High")));
    assert!(runs.find_marked("000000").await.unwrap().is_empty());
    twin.hub.fault(Fault::of_kind("runs.launch", Effect::TruncateBody));
    assert_eq!(runs.create(&new).await.unwrap_err().applied, Applied::Unknown);
    twin.hub.fault(Fault::of_kind("runs.launch", Effect::Throttle { retry_after: RetryAfter::Seconds(3) }));
    let written = runs.create(&new).await.unwrap();
    assert_eq!(
        twin.hub.world().list("runs").len(),
        3,
        "a throttled launch was not applied and is sent again"
    );
    assert_eq!(written.record.unwrap(), read(&*runs, &written.id.unwrap()).await);
}

#[tokio::test]
async fn a_lagging_replica_does_not_contradict_the_answer_of_a_write() {
    let twin = twin(|builder| builder);
    let id = launch(&twin, "SO-1");
    let runs = open(&twin, &["kickoff.Priority", "form.finance-review.finance-note"]).await;
    let expected = read(&*runs, &id).await;
    twin.hub.fault(Fault::of_kind("runs.get", Effect::Stale { lag: 3 }).after(1).times(0));
    let changes = values(json!({"kickoff.Priority": "Low", "form.finance-review.finance-note": "x"}));
    let written = runs.update(&expected, &changes).await.unwrap();
    assert_eq!(written.record.unwrap().values, changes);
}

#[tokio::test]
async fn a_login_page_and_inner_errors_conclude_nothing() {
    let twin = twin(|builder| builder);
    let id = launch(&twin, "SO-1");
    let runs = open(&twin, &["name"]).await;
    twin.hub.fault(Fault::of_kind("runs.get", Effect::LoginPage));
    assert_eq!(runs.get(&id).await.unwrap_err().class, FailureClass::Bug);
    let inner = Effect::Status { status: 500, when: twins::kit::When::Before, body: None };
    twin.hub.fault(Fault::of_kind("runs.get", inner.clone()).times(4));
    let failure = runs.get(&id).await.unwrap_err();
    assert!(failure.class == FailureClass::Transient && !failure.answered.contains("SQLSTATE"), "{failure}");
    let expected = read(&*runs, &id).await;
    twin.hub.fault(Fault::of_kind("runs.update", inner));
    let failure = runs.update(&expected, &values(json!({"name": "x"}))).await.unwrap_err();
    assert_eq!(failure.applied, Applied::Unknown);
}

#[tokio::test]
async fn tags_are_tied_and_untied_by_title() {
    let twin = twin(|builder| builder);
    for title in ["Urgent", "Export"] {
        let record = json!({"title": title, "color": "#ff0000"});
        twin.hub.person(Edit::Create { entity: "tags".into(), record }).unwrap();
    }
    let runs = open(&twin, &["name", "tags"]).await;
    let new = json!({"kickoff.order-number": "SO-1", "tags": ["Urgent"]});
    let written = runs.create(&NewRecord { values: values(new), mark: "m".into() }).await.unwrap();
    let expected = read(&*runs, &written.id.unwrap()).await;
    assert_eq!(expected.values["tags"], json!(["Urgent"]));
    assert_eq!(listed(&*runs, &Listing::Since(None)).await, vec![expected.clone()]);
    let record = runs.update(&expected, &values(json!({"tags": ["Export"]}))).await.unwrap().record.unwrap();
    assert_eq!(record.values["tags"], json!(["Export"]));
    let failure = runs.update(&record, &values(json!({"tags": ["Unheard"], "name": "x"}))).await.unwrap_err();
    assert!(failure.applied == Applied::No && failure.answered.contains("`Unheard`"), "{failure}");
}

#[tokio::test]
async fn a_shifted_deadline_is_shown_as_it_was_stored() {
    let twin = twin(|builder| builder.setting("shift_deadlines", json!(true)));
    let id = launch(&twin, "SO-1");
    let runs = open(&twin, &["tasks.finance-review.deadline"]).await;
    let expected = read(&*runs, &id).await;
    // A Saturday.
    let changes = values(json!({"tasks.finance-review.deadline": "2026-06-06T12:00:00Z"}));
    let record = runs.update(&expected, &changes).await.unwrap().record.unwrap();
    assert_eq!(record.values["tasks.finance-review.deadline"], json!("2026-06-08T12:00:00Z"));
    assert_eq!(record, read(&*runs, &id).await);
}

#[tokio::test]
async fn an_open_issue_and_a_wrong_guest_are_reported() {
    let twin = twin(|builder| builder);
    let id = launch(&twin, "SO-1");
    let runs = open(&twin, &["tasks.finance-review.completed", "tasks.finance-review.owners"]).await;
    let expected = read(&*runs, &id).await;
    let report = json!({"run_id": id, "content": "wrong customer"});
    twin.hub.person(Edit::Action { name: "report-issue".into(), with: report }).unwrap();
    let failure =
        runs.update(&expected, &values(json!({"tasks.finance-review.completed": true}))).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Held, Applied::No));
    let wrong = values(json!({"tasks.finance-review.owners": ["Kim Doe"]}));
    let failure = runs.update(&expected, &wrong).await.unwrap_err();
    assert_eq!(failure.fields, vec!["tasks.finance-review.owners"]);
}

#[tokio::test]
async fn one_off_tasks_users_and_templates_are_there_too() {
    let twin = twin(|builder| builder);
    launch(&twin, "SO-1");
    let system = system_of(&twin, |_| ());
    let mut wanted = request("tasks", &["title", "summary", "deadline", "owners", "status"]);
    wanted.written = vec!["title".into(), "deadline".into()];
    let tasks = system.open(wanted).await.unwrap();
    let new = json!({"title": "Call ACME", "deadline": "2026-06-01T12:00:00Z", "owners": ["10013"], "summary": "s"});
    let id = tasks.create(&NewRecord { values: values(new), mark: "m".into() }).await.unwrap().id.unwrap();
    let expected = read(&*tasks, &id).await;
    assert_eq!(expected.values["owners"], json!(["10013"]));
    let written = tasks.update(&expected, &values(json!({"title": "Call ACME Ltd"}))).await.unwrap();
    let record = read(&*tasks, &id).await;
    assert_eq!(written.record.as_ref(), Some(&record));
    let all = listed(&*tasks, &Listing::Full).await;
    assert_eq!((all.len(), all.iter().find(|one| one.id == id)), (4, Some(&record)));
    tasks.remove(&record, Removal::Archive).await.unwrap();
    assert!(read(&*tasks, &id).await.archived);
    let users = system.open(request("users", &["email", "role"])).await.unwrap();
    assert_eq!(
        read(&*users, "10013").await.values,
        values(json!({"email": "kim@corp.example", "role": "admin"}))
    );
    let templates = system.open(request("templates", &["title"])).await.unwrap();
    assert_eq!(templates.find("title", &json!("Order approval")).await.unwrap().len(), 1);
}
