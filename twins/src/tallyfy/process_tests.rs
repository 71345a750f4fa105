//! Processes and tasks: launching, the traps of updating, completing, issues, archiving, lists.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::kit::Edit;

struct Story {
    twin: TallyfyTwin,
}

impl Story {
    fn new(change: impl FnOnce(Builder) -> Builder) -> Story {
        let builder = TallyfyTwin::builder()
            .at("2026-05-01T09:00:00Z".parse().unwrap())
            .user(10013, "kim@corp.example", "Kim Doe", "admin")
            .user(10014, "lee@corp.example", "Lee Poe", "standard")
            .token("kim-token", 10013)
            .template(&TemplateSeed::order_approval());
        Story { twin: change(builder).build() }
    }

    fn plain() -> Story {
        Story::new(|builder| builder)
    }

    fn call(&self, method: &str, below: &str, body: &Value) -> (u16, Value) {
        let answer =
            self.twin.hub.exchange(self.twin.request(method, below).with_json(body)).answer().unwrap();
        (answer.status, answer.body_json())
    }

    fn get(&self, below: &str) -> Value {
        let answer = self.twin.hub.exchange(self.twin.request("GET", below)).answer().unwrap();
        answer.body_json()
    }

    fn field(&self, name: &str) -> String {
        self.twin.field_id("Order approval", name).unwrap()
    }

    fn run(&self, name: &str) -> String {
        let kickoff = vec![("order-number".to_owned(), json!(name)), ("Amount".to_owned(), json!("10.00"))];
        self.twin.add_run(&RunSeed { template: "Order approval".into(), name: name.into(), kickoff }).unwrap()
    }

    fn task(&self, run: &str, title: &str) -> String {
        self.twin.task_id(run, title).unwrap()
    }

    fn complete(&self, run: &str, task: &str, more: Value) -> (u16, Value) {
        let mut body = more;
        body["task_id"] = json!(task);
        self.call("POST", &format!("/runs/{run}/completed-tasks"), &body)
    }

    fn names(&self, below: &str) -> Vec<String> {
        let rows = self.get(below)["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }

    fn tick(&self) {
        self.twin.hub.world().advance(SignedDuration::from_secs(60));
    }
}

#[test]
fn launching_checks_the_kick_off_form_and_drops_unknown_keys() {
    let story = Story::plain();
    let template = story.twin.template_id("Order approval").unwrap();
    let (order, ship) = (story.field("order-number"), story.field("Ship date"));
    let launch =
        |prerun: Value| story.call("POST", "/runs", &json!({"checklist_id": template, "prerun": prerun}));
    assert_eq!(story.call("POST", "/runs", &json!({})).0, 422);
    let by_alias = launch(json!({"order-number": "SO-1"}));
    assert_eq!(by_alias.0, 422);
    assert_eq!(by_alias.1["errors"], json!({&order: ["Order number is required"]}));
    assert_eq!(launch(json!([{"id": order, "value": "SO-1"}])).0, 422, "a list loses every value");
    assert_eq!(
        launch(json!({&order: "SO-1", &ship: "soon"})).1["errors"],
        json!({&ship: ["Ship date is not a valid date"]})
    );
    assert_eq!(story.get("/runs")["data"], json!([]));
    let (status, run) =
        launch(json!({&order: "SO-1", &ship: "2026-05-15T00:00:00.000Z", "f".repeat(32): "gone"}));
    let run = &run["data"];
    assert_eq!(status, 201);
    assert_eq!(run["prerun"], json!({&order: "SO-1", &ship: "2026-05-15T00:00:00.000Z"}));
    assert_eq!(run["name"], json!("Order approval - 2026-05-01"));
    assert_eq!(run["progress"], json!({"complete": 0, "total": 2, "percent": 0}));
    assert_eq!(
        (run["status"].clone(), run["created_at"].clone()),
        (json!("active"), json!("2026-05-01T09:00:00.000Z"))
    );
    assert_eq!((run["users"].clone(), run["prerun_length"].clone()), (json!([10013]), json!(5)));
    let id = run["id"].as_str().unwrap();
    assert_eq!((id.len(), run["checklist_id"].clone()), (32, json!(template)));
    let events: Vec<String> =
        story.twin.hub.world().history_of("runs", id).map(|event| event.kind.clone()).collect();
    assert_eq!(events, ["launch"]);
}

#[test]
fn a_launch_sets_deadlines_and_owners_of_single_steps() {
    let story = Story::plain();
    let template = story.twin.template_id("Order approval").unwrap();
    let steps = story.get(&format!("/checklists/{template}/steps"));
    let step = steps["data"][0]["id"].as_str().unwrap();
    let body = json!({"checklist_id": template, "prerun": {story.field("order-number"): "SO-1"},
        "tasks": {step: {"deadline": "2026-06-01T17:00:00Z", "owners": {"users": [10014]}}}});
    let run = story.call("POST", "/runs?with=tasks", &body).1;
    let tasks = &run["data"]["tasks"]["data"];
    assert_eq!(tasks[0]["deadline"], json!("2026-06-01T17:00:00.000Z"));
    assert_eq!(tasks[0]["owners"], json!({"users": [10014], "guests": [], "groups": [], "taskUrls": []}));
    assert_eq!(tasks[1]["deadline"], json!("2026-05-06T09:00:00.000Z"));
    assert_eq!(tasks[0]["taskdata"], json!([]), "an empty map is an empty list");
    assert_eq!(run["data"]["collaborators"], json!([10013, 10014]));
}

#[test]
fn updating_a_run_without_members_detaches_them_and_keeps_the_kick_off_values() {
    let story = Story::plain();
    let id = story.run("SO-1");
    let path = format!("/runs/{id}");
    let before = story.get(&path);
    let both = json!({"name": "B", "users": before["data"]["users"], "groups": ["g"]});
    story.tick();
    let (status, kept) = story.call("PUT", &path, &both);
    assert_eq!(
        (status, &kept["data"]["users"], &kept["data"]["groups"]),
        (200, &json!([10013]), &json!(["g"]))
    );
    assert_eq!(kept["data"]["last_updated"], json!("2026-05-01T09:01:00.000Z"));
    let lost = story.call("PUT", &path, &json!({"name": "C"})).1;
    assert_eq!((&lost["data"]["users"], &lost["data"]["groups"]), (&json!([]), &json!([])));
    let amount = story.field("amount");
    let changed = story.call("PUT", &path, &json!({"prerun": {&amount: "11.00", "unknown": 1}})).1;
    assert_eq!(changed["data"]["prerun"], json!({story.field("order-number"): "SO-1", &amount: "11.00"}));
    assert_eq!(story.call("PUT", &path, &json!({"prerun": {&amount: {"value": "1"}}})).0, 422);
    assert_eq!(story.call("PUT", &path, &json!({"name": "x".repeat(551)})).0, 422);

    let other = Story::new(|builder| {
        builder.setting("prerun_replaces", json!(true)).setting("bare_progress", json!(true))
    });
    let path = format!("/runs/{}", other.run("SO-1"));
    let changed = other.call("PUT", &path, &json!({"prerun": {other.field("amount"): "1"}})).1;
    assert_eq!(changed["data"]["prerun"], json!({other.field("amount"): "1"}));
    assert_eq!(changed["data"]["progress"], json!(0));
}

#[test]
fn owners_are_untouched_when_absent_and_emptied_bucket_by_bucket_when_sent() {
    let story = Story::plain();
    let run = story.run("SO-1");
    let task = story.task(&run, "Finance review");
    let path = format!("/runs/{run}/tasks/{task}");
    let all = json!({"owners": {"users": [10013], "guests": ["a@b.example"], "groups": ["g"]}});
    story.call("PUT", &path, &all);
    let note = story.field("finance-note");
    let (status, same) =
        story.call("PUT", &path, &json!({"title": "Review", "taskdata": {&note: "ok", "zzz": 1}}));
    assert_eq!((status, &same["data"]["owners"]["guests"]), (200, &json!(["a@b.example"])));
    assert_eq!(same["data"]["taskdata"], json!({&note: "ok"}));
    let emptied = story.call("PUT", &path, &json!({"owners": {"users": [10014]}})).1;
    assert_eq!(
        emptied["data"]["owners"],
        json!({"users": [10014], "guests": [], "groups": [], "taskUrls": []})
    );
    assert_eq!(story.call("PUT", &path, &json!({"taskdata": {&note: 5}})).0, 422);
    assert_eq!(story.call("PUT", &path, &json!({"deadline": "2026-31-12"})).0, 422);
    assert_eq!(story.call("PUT", &path, &json!({"title": "x".repeat(601)})).0, 422);
    assert_eq!(
        story.call("PUT", &format!("/tasks/{task}"), &json!({})).0,
        404,
        "a run task needs the run path"
    );
    let read = story.get(&format!("{path}?with=form_fields"));
    assert_eq!(read["data"]["form_fields"]["data"][0]["field_value"], json!("ok"));
    assert_eq!(read["data"]["form_fields"]["data"][0]["id"], json!(note));

    let shifting = Story::new(|builder| {
        builder.setting("shift_deadlines", json!(true)).setting("owners_as_objects", json!(true))
    });
    let run = shifting.run("SO-1");
    let path = format!("/runs/{run}/tasks/{}", shifting.task(&run, "Finance review"));
    let shifted = shifting.call("PUT", &path, &json!({"deadline": "2026-05-02 17:00:00"})).1;
    assert_eq!(shifted["data"]["deadline"], json!("2026-05-04T17:00:00.000Z"));
    assert_eq!(shifted["data"]["owners"]["users"][0]["email"], json!("kim@corp.example"));
}

#[test]
fn completing_needs_a_verdict_and_ends_the_run_and_again_fires_again() {
    let story = Story::plain();
    let run = story.run("SO-1");
    let (review, approval) = (story.task(&run, "Finance review"), story.task(&run, "Management approval"));
    let fired = |event: &str| {
        let world = story.twin.hub.world();
        world.history().iter().filter(|line| line.entity == "events" && line.kind == event).count()
    };
    story.tick();
    let (status, done) = story.complete(&run, &review, json!({"override_user": 10014}));
    assert_eq!(
        (status, &done["data"]["status"], &done["data"]["completer_id"]),
        (200, &json!("completed"), &json!(10014))
    );
    assert_eq!(done["data"]["tasks_changed_by_rules"], json!([]));
    assert_eq!(story.call("PUT", &format!("/runs/{run}/tasks/{review}"), &json!({"title": "late"})).0, 422);
    assert_eq!(story.complete(&run, &approval, json!({})).0, 422);
    assert_eq!(
        story.complete(&run, &approval, json!({"is_approved": false})).1["data"]["is_approved"],
        json!(false)
    );
    let finished = story.get(&format!("/runs/{run}"))["data"].clone();
    assert_eq!((&finished["status"], &finished["progress"]["percent"]), (&json!("complete"), &json!(100)));
    assert_eq!(finished["completed_at"], json!("2026-05-01T09:01:00.000Z"));
    assert_eq!((fired("task.completed"), fired("process.completed")), (2, 1));
    story.tick();
    let again = story.complete(&run, &approval, json!({"is_approved": true}));
    assert_eq!((again.0, &again.1["data"]["is_approved"]), (200, &json!(false)));
    assert_eq!((fired("task.completed"), fired("process.completed")), (3, 1));
    let path = format!("/runs/{run}/completed-tasks/{approval}");
    assert_eq!(story.call("DELETE", &path, &json!({})).1["data"]["is_approved"], json!(null));
    assert_eq!(story.call("DELETE", &path, &json!({})).0, 422);
    assert_eq!(story.get(&format!("/runs/{run}"))["data"]["status"], json!("active"));

    let strict = Story::new(|builder| builder.setting("recomplete_fails", json!(true)));
    let run = strict.run("SO-1");
    let review = strict.task(&run, "Finance review");
    assert_eq!(
        [strict.complete(&run, &review, json!({})).0, strict.complete(&run, &review, json!({})).0],
        [200, 422]
    );
}

#[test]
fn required_answers_and_open_issues_block_completion() {
    let template = TemplateSeed::new("Strict").step(
        StepSeed::task("Sign")
            .capture(FieldSeed::new("Signer", "text").required())
            .webhook("https://hook.example/x"),
    );
    let story = Story::new(|builder| builder.template(&template));
    let run = story
        .twin
        .add_run(&RunSeed { template: "Strict".into(), name: "S".into(), kickoff: vec![] })
        .unwrap();
    assert_eq!(story.get(&format!("/runs/{run}"))["data"]["prerun"], json!([]));
    let task = story.task(&run, "Sign");
    let signer = story.twin.field_id("Strict", "signer").unwrap();
    assert_eq!(story.complete(&run, &task, json!({})).1["errors"], json!({&signer: ["Signer is required"]}));
    story.call("PUT", &format!("/runs/{run}/tasks/{task}"), &json!({"taskdata": {&signer: "Kim"}}));
    let issue = story.call("POST", &format!("/tasks/{task}/problem"), &json!({"content": "wrong"})).1;
    assert_eq!(story.get(&format!("/runs/{run}"))["data"]["status"], json!("problem"));
    assert_eq!(story.complete(&run, &task, json!({})).0, 422);
    let resolve = format!("/tasks/{task}/resolved-threads");
    assert_eq!(story.call("POST", &resolve, &json!({"thread_id": issue["data"]["id"]})).0, 422);
    let body = json!({"thread_id": issue["data"]["id"], "content": "fixed"});
    assert_eq!(story.call("POST", &resolve, &body).0, 201);
    assert_eq!(story.complete(&run, &task, json!({})).0, 200);
    {
        let world = story.twin.hub.world();
        let fired = world.history().iter().find(|line| line.kind == "task.completed").unwrap();
        assert_eq!(fired.after["webhook"], json!("https://hook.example/x"));
    }
    story.call("POST", &format!("/tasks/{task}/problem"), &json!({"content": "again"}));
    assert_eq!(story.get(&format!("/tasks/{task}"))["data"]["completed_at"], json!(null), "an issue reopens");
}

#[test]
fn an_issue_of_the_process_freezes_its_tasks() {
    let story = Story::plain();
    let run = story.run("SO-1");
    let task = story.task(&run, "Finance review");
    let with = json!({"run_id": run, "content": "stop"});
    let issue = story.twin.hub.person(Edit::Action { name: "report-issue".into(), with }).unwrap();
    let shown = story.get(&format!("/runs/{run}"))["data"].clone();
    assert_eq!((&shown["status"], &shown["has_open_issue"]), (&json!("issue"), &json!(true)));
    assert_eq!(story.names("/runs?status=problem"), ["SO-1"]);
    assert_eq!(story.call("PUT", &format!("/runs/{run}/tasks/{task}"), &json!({"title": "x"})).0, 422);
    assert_eq!(story.complete(&run, &task, json!({})).0, 422);
    let with = json!({"run_id": run, "content": "go", "thread_id": issue["id"]});
    story.twin.hub.person(Edit::Action { name: "resolve-issue".into(), with }).unwrap();
    assert_eq!(story.complete(&run, &task, json!({})).0, 200);
}

#[test]
fn rules_hide_and_show_tasks() {
    let template = TemplateSeed::new("Branch")
        .step(StepSeed::approval("Decide"))
        .step(StepSeed::task("Explain").visible_when("Decide", Some(false)));
    let story = Story::new(|builder| builder.template(&template));
    let run = story
        .twin
        .add_run(&RunSeed { template: "Branch".into(), name: "B".into(), kickoff: vec![] })
        .unwrap();
    let (decide, explain) = (story.task(&run, "Decide"), story.task(&run, "Explain"));
    let status = |task: &str| story.get(&format!("/tasks/{task}"))["data"]["status"].clone();
    assert_eq!(status(&explain), json!("auto-skipped"));
    assert_eq!(story.complete(&run, &explain, json!({})).0, 404);
    let approved = story.complete(&run, &decide, json!({"is_approved": true})).1;
    assert_eq!(approved["data"]["tasks_changed_by_rules"], json!([]));
    assert_eq!(story.get(&format!("/runs/{run}"))["data"]["status"], json!("complete"));
    story.call("DELETE", &format!("/runs/{run}/completed-tasks/{decide}"), &json!({}));
    let refused = story.complete(&run, &decide, json!({"is_approved": false})).1;
    assert_eq!(refused["data"]["tasks_changed_by_rules"][0]["id"], json!(explain));
    assert_eq!(status(&explain), json!("not-started"));
    let reopened = story.call("DELETE", &format!("/runs/{run}/completed-tasks/{decide}"), &json!({})).1;
    assert_eq!(reopened["data"]["tasks_changed_by_rules"][0]["status"], json!("auto-skipped"));
}

#[test]
fn archiving_hides_restores_and_only_then_purges() {
    let story = Story::plain();
    let run = story.run("SO-1");
    let path = format!("/runs/{run}");
    assert_eq!(story.call("DELETE", &format!("{path}/delete"), &json!({})).0, 422);
    let (status, archived) = story.call("DELETE", &path, &json!({}));
    assert_eq!((status, &archived["data"]["status"]), (200, &json!("archived")));
    assert_eq!((story.names("/runs"), story.names("/runs?status=archived")), (vec![], vec![]));
    assert_eq!((story.names("/runs?archived=only").len(), story.names("/runs?archived=true").len()), (1, 1));
    assert_eq!(story.get(&path)["data"]["status"], json!("archived"));
    assert_eq!(story.get("/tasks")["data"], json!([]));
    assert_eq!(story.get(&format!("{path}/tasks"))["data"].as_array().unwrap().len(), 2);
    assert_eq!(story.call("PUT", &path, &json!({"name": "x"})).0, 404);
    assert_eq!(
        story.call("PUT", &format!("{path}/activate"), &json!({})).1["data"]["status"],
        json!("active")
    );
    story.call("DELETE", &path, &json!({}));
    assert_eq!(story.call("DELETE", &format!("{path}/delete"), &json!({})).0, 200);
    assert_eq!(story.get(&path)["code"], json!("RESOURCE_NOT_FOUND"));
    assert_eq!(story.names("/runs?archived=true"), Vec::<String>::new());
}

#[test]
fn lists_of_runs_filter_sort_and_include() {
    let story = Story::plain();
    let ids: Vec<String> = ["b one", "a two", "c one+"].iter().map(|name| story.run(name)).collect();
    let template = story.twin.template_id("Order approval").unwrap();
    assert_eq!(story.names("/runs"), ["c one+", "a two", "b one"]);
    assert_eq!(story.names("/runs?sort=created_at"), ["b one", "a two", "c one+"]);
    assert_eq!(story.names("/runs?sort=-name"), ["c one+", "b one", "a two"]);
    assert_eq!(
        story.names("/runs?sort=-updated_at"),
        ["c one+", "a two", "b one"],
        "not a sort key: ignored"
    );
    assert_eq!(story.names("/runs?q=ONE"), ["c one+", "b one"]);
    assert_eq!(story.names("/runs?q=one+"), ["c one+"], "a plus is a plus");
    assert_eq!(story.names("/runs?q=b%20one"), ["b one"]);
    assert_eq!(story.names(&format!("/runs?blueprint_id={template}")).len(), 3);
    assert!(story.names("/runs?checklist_id=other").is_empty() && story.names("/runs?type=form").is_empty());
    assert_eq!(story.names("/runs?owners=10013,1").len(), 3);
    assert!(story.names("/runs?owners=10014").is_empty() && story.names("/runs?starred=true").is_empty());
    let tag = story.call("POST", "/tags", &json!({"title": "t"})).1["data"]["id"].clone();
    let link = json!({"subject_id": ids[0], "subject_type": "Run", "tag_id": tag, "tag_type": "private"});
    story.call("POST", "/checklists/tags", &link);
    let tag = tag.as_str().unwrap();
    assert_eq!(
        (story.names(&format!("/runs?tag={tag}")), story.names("/runs?untagged=true").len()),
        (vec!["b one".to_owned()], 2)
    );
    story.complete(&ids[0], &story.task(&ids[0], "Finance review"), json!({}));
    story.complete(&ids[0], &story.task(&ids[0], "Management approval"), json!({"is_approved": true}));
    assert_eq!(
        (story.names("/runs?status=complete"), story.names("/runs?status=active").len()),
        (vec!["b one".to_owned()], 2)
    );
    assert_eq!(story.names("/runs?task_status=completed"), ["b one"]);
    story.twin.hub.world().advance(SignedDuration::from_hours(24 * 30));
    assert_eq!(story.names("/runs?status=delayed"), ["c one+", "a two"]);
    let deep = story
        .get(&format!("/runs/{}?with=tasks.form_fields,tasks.threads,tags,ko_form_fields,next_task", ids[1]));
    let deep = &deep["data"];
    assert_eq!(deep["tasks"]["data"][0]["form_fields"]["data"][0]["alias"], json!("finance-note"));
    assert_eq!(deep["tasks"]["data"][0]["threads"], json!({"data": []}));
    assert_eq!(deep["ko_form_fields"]["data"][0]["field_value"], json!("a two"));
    assert_eq!(
        (&deep["tags"], deep["next_task"]["data"].as_array().unwrap().len()),
        (&json!({"data": []}), 1)
    );
    let fields = story.get(&format!("/runs/{}/form-fields", ids[1]));
    assert_eq!(fields["data"]["form_fields"][0]["task_id"], json!(story.task(&ids[1], "Finance review")));
}

#[path = "people_tests.rs"]
mod people;
