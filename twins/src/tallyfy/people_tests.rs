//! One-off tasks, comments, custom fields, people past the API, and webhooks.

use super::*;

#[test]
fn one_off_tasks_have_their_own_paths_and_lists_filter() {
    let story = Story::plain();
    let run = story.run("SO-1");
    let body = json!({"title": "Call", "task_type": "task", "owners": {"users": [10014]}, "deadline": "2026-05-20 17:00:00"});
    assert_eq!(story.call("POST", "/tasks", &json!({"title": "Call"})).0, 422);
    let (status, task) = story.call("POST", "/tasks", &body);
    assert_eq!((status, &task["data"]["run_id"]), (201, &json!(null)));
    let id = task["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/tasks/{id}");
    assert_eq!(story.get(&format!("/runs/{run}/tasks/{id}"))["code"], json!("RESOURCE_NOT_FOUND"));
    assert_eq!(story.call("PUT", &path, &json!({"title": "Call again"})).0, 422);
    let whole = json!({"title": "Call again", "deadline": "2026-05-21", "owners": {"users": [10013]}});
    assert_eq!(story.call("PUT", &path, &whole).1["data"]["deadline"], json!("2026-05-21T00:00:00.000Z"));
    let count = |below: &str| story.get(below)["data"].as_array().unwrap().len();
    assert_eq!((count("/tasks"), count("/tasks?is_oneoff=true"), count("/tasks?q=call")), (3, 1, 1));
    assert_eq!((count("/tasks?deadline_after=2026-05-20"), count("/tasks?deadline_on=2026-05-06")), (1, 2));
    assert_eq!((count("/tasks?created=2026-05-01:2026-05-02"), count("/tasks?created=2026-04-01")), (3, 0));
    assert_eq!((count("/me/tasks"), count("/users/10014/tasks"), count("/tasks?owners=10013")), (3, 0, 3));
    assert_eq!(story.call("POST", "/completed-tasks", &json!({"task_id": id})).0, 200);
    assert_eq!(
        (count("/me/tasks"), count("/me/tasks?status=all"), count("/tasks?status=complete")),
        (2, 3, 1)
    );
    assert_eq!(story.call("DELETE", &format!("/completed-tasks/{id}"), &json!({})).0, 200);
    assert_eq!(story.call("DELETE", &path, &json!({})).0, 204);
    assert_eq!((count("/tasks"), count("/tasks?archived=only")), (2, 1));
    assert_eq!(story.call("PUT", &format!("{path}/restore"), &json!({})).0, 200);
    assert_eq!(story.call("DELETE", &format!("{path}/delete"), &json!({})).0, 204);
    assert_eq!(story.get(&path)["code"], json!("RESOURCE_NOT_FOUND"));
}

#[test]
fn comments_are_quiet_to_guests_unless_opened_and_limited_by_the_hour() {
    let story = Story::new(|builder| builder.setting("comments_per_hour", json!(2)));
    let run = story.run("SO-1");
    let path = format!("/tasks/{}", story.task(&run, "Finance review"));
    let comment =
        story.call("POST", &format!("{path}/comment"), &json!({"content": "hello"})).1["data"].clone();
    assert_eq!((&comment["state"], &comment["label"]), (&json!("hide-for-guests"), &json!("comment")));
    let id = comment["id"].as_str().unwrap();
    assert_eq!(
        story.call("PUT", &format!("{path}/comment/{id}"), &json!({"content": "hi", "state": "open"})).0,
        200
    );
    assert_eq!(
        story.get(&format!("{path}?with=threads"))["data"]["threads"]["data"][0]["content"],
        json!("hi")
    );
    assert_eq!(story.call("POST", &format!("/runs/{run}/comment"), &json!({"content": "on the run"})).0, 201);
    let limited = story.call("POST", &format!("{path}/comment"), &json!({"content": "more"}));
    assert_eq!((limited.0, &limited.1["code"]), (429, &json!("RATE_LIMIT_EXCEEDED")));
    story.twin.hub.world().advance(SignedDuration::from_hours(2));
    assert_eq!(story.call("POST", &format!("{path}/comment"), &json!({"content": "more"})).0, 201);
    assert_eq!(story.call("DELETE", &format!("{path}/comment/{id}"), &json!({})).0, 204);
    assert_eq!(story.get(&format!("{path}?with=threads_count"))["data"]["threads_count"], json!(1));
}

#[test]
fn custom_fields_are_replaced_as_a_whole_and_only_known_keys_pass() {
    let story = Story::new(|builder| builder.custom_field("external_id").custom_field("cost_center"));
    let path = format!("/runs/{}/custom-fields", story.run("SO-1"));
    assert_eq!(story.call("PUT", &path, &json!({"external_id": "7", "cost_center": "CC"})).0, 200);
    assert_eq!(story.call("PUT", &path, &json!({"external_id": "8"})).1["data"], json!({"external_id": "8"}));
    let one = story.call("PATCH", &format!("{path}/cost_center"), &json!({"value": "C2"})).1;
    assert_eq!(one["data"], json!({"external_id": "8", "cost_center": "C2"}));
    assert_eq!(story.call("PUT", &path, &json!({"colour": "red"})).0, 422);
    assert_eq!(story.call("PATCH", &format!("{path}/colour"), &json!({"value": 1})).0, 422);
    assert_eq!(
        story.call("DELETE", &format!("{path}/external_id"), &json!({})).1["data"],
        json!({"cost_center": "C2"})
    );
    assert_eq!(story.get(&path)["data"], json!({"cost_center": "C2"}));
}

#[test]
fn people_work_past_the_api_and_the_product_stamps_what_they_do() {
    let story = Story::plain();
    let run = story.run("SO-1");
    let review = story.task(&run, "Finance review");
    story.tick();
    let patch = json!({"prerun": {story.field("amount"): "99.00"}});
    story.twin.hub.person_as("lee", Edit::Patch { entity: "runs".into(), id: run.clone(), patch }).unwrap();
    let shown = story.get(&format!("/runs/{run}"))["data"].clone();
    assert_eq!(shown["prerun"][story.field("amount")], json!("99.00"));
    assert_eq!(shown["last_updated"], json!("2026-05-01T09:01:00.000Z"));
    assert_eq!(story.twin.hub.world().history().last().unwrap().actor, "person:lee");
    let action = |name: &str, with: Value| story.twin.hub.person(Edit::Action { name: name.into(), with });
    action("complete-task", json!({"task_id": review})).unwrap();
    action("comment", json!({"task_id": review, "content": "done"})).unwrap();
    action("reopen-task", json!({"task_id": review})).unwrap();
    action("archive-run", json!({"run_id": run})).unwrap();
    action("purge-run", json!({"run_id": run})).unwrap();
    assert!(action("purge-run", json!({"run_id": run})).unwrap_err().starts_with("no such record"));
    assert!(action("launch", json!({})).unwrap_err().contains("was refused"));
    assert!(action("dance", json!({})).is_err());
}

#[test]
fn webhooks_go_to_the_nearest_address_and_watchers_hear_of_everything() {
    let template = TemplateSeed::new("Hooked")
        .kickoff(FieldSeed::new("Number", "text"))
        .step(StepSeed::task("First").webhook("http://hook.example/step"))
        .step(StepSeed::task("Second"));
    let story = Story::new(|builder| builder.template(&template));
    let id = story.twin.template_id("Hooked").unwrap();
    let path = format!("/checklists/{id}");
    story.call("PUT", &path, &json!({"title": "Hooked", "webhook": "http://hook.example/template"}));
    let kickoff = vec![("number".to_owned(), json!("7"))];
    let run = story.twin.add_run(&RunSeed { template: "Hooked".into(), name: "H".into(), kickoff }).unwrap();
    story.complete(&run, &story.task(&run, "First"), json!({}));
    story.complete(&run, &story.task(&run, "Second"), json!({}));
    let sent = story.twin.hub.world().outgoing().to_vec();
    let addresses: Vec<&str> = sent.iter().map(|one| one.url.rsplit('/').next().unwrap()).collect();
    assert_eq!(addresses, ["template", "step", "template", "template"]);
    assert_eq!(sent[0].headers, [("X-Tallyfy-orgID".to_owned(), story.twin.organization.clone())]);
    assert_eq!(
        (&sent[0].body["id"], &sent[0].body["ko-form-fields"]),
        (&json!(run), &json!({"number": "7"}))
    );
    assert_eq!(sent[1].body["this_task"]["completed_by"]["id"], json!("10013"));
    assert_eq!(
        sent[1].body["process"]["prerun"],
        json!({story.twin.field_id("Hooked", "number").unwrap(): "7"})
    );
    assert_eq!(
        (&sent[1].body["process"]["progress"], &sent[1].body["next_task"]["title"]),
        (&json!(50), &json!("Second"))
    );
    assert_eq!((&sent[2].body["next_task"], &sent[3].body["status"]), (&json!([]), &json!("complete")));

    let watcher = json!({"object_type": "organization", "object_id": story.twin.organization,
        "notification_type": "webhook", "frequency": "electric", "webhook": "http://hook.example/watcher"});
    let made = story.call("POST", "/users/10013/add-watcher", &watcher);
    assert_eq!(made.0, 201);
    let task = story.task(&run, "First");
    story.call("POST", &format!("/tasks/{task}/problem"), &json!({"content": "hm"}));
    let last = story.twin.hub.world().outgoing().last().cloned().unwrap();
    assert_eq!(last.body, json!({"event": "task.issue_raised", "task": {"id": task}}));
    assert_eq!(story.get("/watchers?notification=webhook")["data"][0]["id"], made.1["data"]["id"]);
    let path = format!("/remove-watcher/{}", made.1["data"]["id"].as_str().unwrap());
    assert_eq!(
        (story.call("DELETE", &path, &json!({})).0, story.call("DELETE", &path, &json!({})).0),
        (204, 404)
    );
}
