//! The hub with a small twin of its own: what each fault does to state, answer, log and history.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;

/// Notes: `GET /notes`, `GET /notes/{id}`, `POST /notes`, with a token that can expire.
pub(super) struct Notes;

impl Twin for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn kind(&self, request: &Request) -> String {
        let what = if request.method == "POST" { "make" } else { "read" };
        format!("notes.{what}")
    }

    fn handle(&self, world: &mut World, request: &Request) -> Answer {
        if request.bearer().is_some_and(|token| world.get_any("expired", token).is_some()) {
            return Answer::json(401, &json!({"message": "expired"}));
        }
        if let Some(value) = world.knob("colour") {
            return Answer::json(200, value);
        }
        let segments = request.segments();
        match (request.method.as_str(), segments.get(1)) {
            ("POST", _) => {
                let id = world.next_number().to_string();
                let record = request.json().unwrap();
                let stored =
                    world.save(Save { actor: "api", kind: "create", entity: "notes", id: &id, record });
                Answer::json(201, &stored)
            }
            (_, Some(id)) => match world.get("notes", id) {
                Some(note) => Answer::json(200, &note),
                None => Answer::json(404, &json!({})),
            },
            _ => Answer::json(
                200,
                &Value::Array(world.list("notes").iter().map(|(_, note)| (**note).clone()).collect()),
            ),
        }
    }

    fn expire_token(&self, world: &mut World, token: &str) {
        world.save(Save {
            actor: "server",
            kind: "expire",
            entity: "expired",
            id: token,
            record: json!(true),
        });
    }

    fn action(&self, _world: &mut World, actor: &str, name: &str, with: &Value) -> Result<Value, String> {
        if name == "shout" { Ok(json!([actor, with])) } else { Err(format!("no action {name}")) }
    }
}

pub(super) fn hub() -> Arc<Hub> {
    Hub::new(Notes, World::new(7))
}

fn make(hub: &Hub, text: &str) -> Outcome {
    hub.exchange(Request::new("POST", "/notes").with_json(&json!({"text": text})))
}

fn read(hub: &Hub) -> Value {
    hub.exchange(Request::new("GET", "/notes")).answer().unwrap().body_json()
}

fn stored(hub: &Hub) -> usize {
    hub.world().list_any("notes").len()
}

fn status(outcome: Outcome) -> u16 {
    outcome.answer().unwrap().status
}

#[test]
fn a_lost_answer_comes_after_or_before_the_effect() {
    let hub = hub();
    hub.fault(Fault::on("POST", "/notes", Effect::DropAfter));
    hub.fault(Fault::on("POST", "/notes", Effect::DropBefore));
    assert_eq!(make(&hub, "a"), Outcome::Closed);
    assert_eq!(stored(&hub), 1);
    assert_eq!(make(&hub, "b"), Outcome::Closed);
    assert_eq!(stored(&hub), 1);
    assert_eq!(status(make(&hub, "c")), 201);
    let world = hub.world();
    assert_eq!(
        world.requests().iter().map(|logged| logged.status).collect::<Vec<_>>(),
        [None, None, Some(201)]
    );
    assert_eq!(world.requests()[0].faults, ["drop_after"]);
    assert_eq!(world.counts()["notes.make"], 3);
    assert_eq!(world.history().len(), 2);
    assert_eq!(world.history()[0].before, Value::Null);
    assert_eq!(world.history()[0].after, json!({"text": "a"}));
}

#[test]
fn a_late_request_takes_effect_after_so_many_others() {
    let hub = hub();
    hub.fault(Fault::next(Effect::ApplyLate { after_requests: 2 }));
    assert_eq!(make(&hub, "late"), Outcome::Closed);
    assert_eq!([read(&hub), read(&hub)], [json!([]), json!([])]);
    assert_eq!(read(&hub), json!([{"text": "late"}]));
    hub.fault(Fault::next(Effect::ApplyLate { after_requests: 99 }));
    make(&hub, "later");
    assert_eq!(hub.release_late(), 1);
    assert_eq!(stored(&hub), 2);
}

#[test]
fn errors_strike_before_or_after_the_effect_with_the_body_asked_for() {
    let hub = hub();
    hub.fault(Fault::next(Effect::Status { status: 503, when: When::Before, body: None }));
    hub.fault(Fault::next(Effect::Status { status: 500, when: When::After, body: Some("<html>".into()) }));
    assert_eq!(status(make(&hub, "a")), 503);
    assert_eq!(stored(&hub), 0);
    let broken = make(&hub, "a").answer().unwrap();
    assert_eq!((broken.status, broken.header("content-type")), (500, Some("text/html; charset=utf-8")));
    assert_eq!(stored(&hub), 1);
}

#[test]
fn throttling_tells_the_wait_in_every_style_and_the_date_header_is_skewed() {
    let hub = hub();
    hub.world().set_now("2026-11-01T10:00:00Z".parse::<Timestamp>().unwrap());
    hub.world().set_skew(SignedDuration::from_secs(-60));
    for retry_after in [RetryAfter::Seconds(7), RetryAfter::HttpDate(90), RetryAfter::Absent] {
        hub.fault(Fault::next(Effect::Throttle { retry_after }));
    }
    let answers: Vec<Answer> = (0..3).filter_map(|_| make(&hub, "a").answer()).collect();
    let waits: Vec<Option<&str>> = answers.iter().map(|answer| answer.header("retry-after")).collect();
    assert_eq!(waits, [Some("7"), Some("Sun, 01 Nov 2026 10:00:30 GMT"), None]);
    assert!(answers.iter().all(|answer| answer.status == 429));
    assert_eq!(answers[0].header("date"), Some("Sun, 01 Nov 2026 09:59:00 GMT"));
    assert_eq!(stored(&hub), 0);
}

#[test]
fn bodies_can_be_a_login_page_cut_short_or_broken_off() {
    let hub = hub();
    make(&hub, "a long enough text");
    hub.fault(Fault::on("GET", "/notes", Effect::LoginPage));
    hub.fault(Fault::on("GET", "/notes", Effect::TruncateBody));
    hub.fault(Fault::on("GET", "/notes", Effect::BreakBody));
    let get = || hub.exchange(Request::new("GET", "/notes"));
    let login = get().answer().unwrap();
    assert_eq!((login.status, login.body_json()), (200, Value::Null));
    assert!(login.body.starts_with(b"<!DOCTYPE html>"));
    let short = get().answer().unwrap();
    assert!(short.body.starts_with(b"[{\"text\"") && serde_json::from_slice::<Value>(&short.body).is_err());
    assert!(matches!(get(), Outcome::Broken(answer) if answer.status == 200));
}

#[test]
fn a_token_expires_in_the_middle_of_a_listing() {
    let hub = hub();
    hub.fault(Fault::on_page("/notes", "page=2", Effect::ExpireToken));
    let page = |number: u32, token: &str| {
        let request = Request::new("GET", &format!("/notes?page={number}"));
        status(hub.exchange(request.with_header("authorization", &format!("Bearer {token}"))))
    };
    assert_eq!([page(1, "old"), page(2, "old"), page(3, "old"), page(2, "new")], [200, 401, 401, 200]);
}

#[test]
fn a_lagging_replica_answers_reads_from_the_past_and_writes_go_through() {
    let hub = hub();
    let rule = hub.fault(Fault::on("GET", "/notes", Effect::Stale { lag: 1 }).times(0));
    make(&hub, "a");
    assert_eq!(read(&hub), json!([]));
    assert_eq!(read(&hub), json!([{"text": "a"}]));
    make(&hub, "b");
    assert_eq!(read(&hub).as_array().unwrap().len(), 1);
    assert_eq!(stored(&hub), 2);
    hub.world().faults.remove(rule);
    assert_eq!(read(&hub).as_array().unwrap().len(), 2);
}

#[test]
fn people_edit_between_pages_and_just_before_a_write() {
    let hub = hub();
    let create = |text: &str| Edit::Create { entity: "notes".into(), record: json!({"text": text}) };
    hub.fault(Fault::on(
        "GET",
        "page=1",
        Effect::Person { when: When::After, edits: vec![create("between")] },
    ));
    assert_eq!(hub.exchange(Request::new("GET", "/notes?page=1")).answer().unwrap().body_json(), json!([]));
    assert_eq!(read(&hub), json!([{"text": "between"}]));
    let delete = Edit::Delete { entity: "notes".into(), id: "nowhere".into() };
    hub.fault(Fault::on(
        "POST",
        "/notes",
        Effect::Person { when: When::Before, edits: vec![create("first"), delete] },
    ));
    make(&hub, "second");
    let world = hub.world();
    let story: Vec<(&str, &str)> =
        world.history().iter().map(|event| (event.actor.as_str(), event.kind.as_str())).collect();
    assert_eq!(
        story,
        [("person", "create"), ("person", "create"), ("person", "failed-edit"), ("api", "create")]
    );
}

#[test]
fn lost_permission_hides_some_records_or_all_for_one_request_or_until_it_is_given_back() {
    let hub = hub();
    make(&hub, "a");
    make(&hub, "b");
    hub.fault(Fault::next(Effect::Blind { entity: "notes".into() }));
    assert_eq!(read(&hub), json!([]));
    assert_eq!(read(&hub).as_array().unwrap().len(), 2);
    hub.world().hide("notes", Some(vec!["1".into()]));
    assert_eq!(read(&hub), json!([{"text": "b"}]));
    hub.fault(Fault::next(Effect::Blind { entity: "notes".into() }));
    assert_eq!(read(&hub), json!([]));
    assert_eq!(read(&hub), json!([{"text": "b"}]));
    assert_eq!(status(hub.exchange(Request::new("GET", "/notes/1"))), 404);
    hub.world().unhide("notes");
    assert_eq!(read(&hub).as_array().unwrap().len(), 2);
}

#[test]
fn a_twin_has_knobs_of_its_own() {
    let hub = hub();
    hub.fault(Fault::of_kind("notes.read", Effect::Knob { name: "colour".into(), value: json!("red") }));
    make(&hub, "a");
    assert_eq!(read(&hub), json!("red"));
    assert_eq!(read(&hub), json!([{"text": "a"}]));
}

#[test]
fn the_same_seed_gives_the_same_ids() {
    let ids = |seed: u64| {
        let mut world = World::new(seed);
        [world.next_hex32(), world.next_hex32()]
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    assert_ne!(ids(1)[0], ids(1)[1]);
    assert_eq!(ids(1)[0].len(), 32);
}

fn control(hub: &Hub, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::new(method, &format!("/__twin{path}")).with_json(body);
    let answer = hub.exchange(request).answer().unwrap();
    (answer.status, answer.body_json())
}

#[test]
fn a_person_edits_records_over_the_control_surface() {
    let hub = hub();
    let empty = json!({});
    let (_, made) =
        control(&hub, "POST", "/records/notes?actor=kim", &json!({"id": "n1", "text": "a", "x": 1}));
    assert_eq!(made, json!({"id": "n1", "text": "a", "x": 1}));
    assert_eq!(control(&hub, "POST", "/records/notes", &json!({"id": "n1"})).0, 422);
    let (_, patched) = control(&hub, "PATCH", "/records/notes/n1", &json!({"text": "b", "x": null}));
    assert_eq!(patched, json!({"id": "n1", "text": "b"}));
    assert_eq!(control(&hub, "PUT", "/records/notes/n1", &json!({"z": 1})).1, json!({"id": "n1", "z": 1}));
    let listed = control(&hub, "GET", "/records/notes", &empty).1;
    assert_eq!(listed, json!([{"id": "n1", "record": {"z": 1}}]));
    assert_eq!(control(&hub, "GET", "/records/notes/n1", &empty).1["record"], json!({"z": 1}));
    assert_eq!(control(&hub, "DELETE", "/records/notes/n1", &empty).0, 200);
    assert_eq!(control(&hub, "DELETE", "/records/notes/n1", &empty).0, 404);
    assert_eq!(control(&hub, "POST", "/action/shout?actor=kim", &json!(1)).1, json!(["person:kim", 1]));
    assert_eq!(control(&hub, "POST", "/action/whisper", &json!(1)).0, 404);
    let history = control(&hub, "GET", "/history?since=1&entity=notes&id=n1", &empty).1;
    let kinds: Vec<&str> =
        history.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["update", "update", "delete"]);
    assert_eq!(hub.world().history()[0].actor, "person:kim");
    assert_eq!(control(&hub, "GET", "", &empty).1["entities"], json!({"notes": 0}));
    assert_eq!(control(&hub, "GET", "/nothing", &empty).0, 404);
}

#[test]
fn faults_clock_sight_and_behaviour_are_set_over_the_control_surface() {
    let hub = hub();
    let empty = json!({});
    let fault = json!({"method": "POST", "effect": {"status": {"status": 500, "when": "before"}}});
    assert_eq!(control(&hub, "POST", "/faults", &fault).1, json!({"number": 1}));
    assert_eq!(control(&hub, "POST", "/faults", &json!({"effect": "explode"})).0, 400);
    assert_eq!(control(&hub, "GET", "/faults", &empty).1[0]["fault"]["times"], json!(1));
    assert_eq!(status(make(&hub, "a")), 500);
    control(&hub, "POST", "/faults", &fault);
    assert_eq!(control(&hub, "DELETE", "/faults/2", &empty).0, 200);
    assert_eq!(control(&hub, "DELETE", "/faults/2", &empty).0, 404);
    let clock = json!({"now": "2026-11-01T10:00:00Z", "advance_seconds": 60, "skew_seconds": 5});
    assert_eq!(
        control(&hub, "POST", "/clock", &clock).1,
        json!({"now": "2026-11-01T10:01:00Z", "date_header": "Sun, 01 Nov 2026 10:01:05 GMT"})
    );
    let rules = json!({"normalisers": [{"entity": "notes", "pointer": "/text", "how": "upper"}],
        "automations": [{"entity": "notes", "pointer": "/seen", "value": true}],
        "dropped": [{"entity": "notes", "pointer": "/secret"}]});
    assert_eq!(control(&hub, "POST", "/behaviour", &rules).0, 200);
    hub.exchange(Request::new("POST", "/notes").with_json(&json!({"text": "a", "secret": 1})));
    assert_eq!(read(&hub), json!([{"text": "A", "seen": true}]));
    control(&hub, "DELETE", "/behaviour", &empty);
    control(&hub, "POST", "/hidden", &json!({"entity": "notes"}));
    assert_eq!(read(&hub), json!([]));
    control(&hub, "POST", "/hidden", &json!({"entity": "notes", "hidden": false}));
    assert_eq!(read(&hub).as_array().unwrap().len(), 1);
    assert_eq!(control(&hub, "GET", "/counts", &empty).1, json!({"notes.make": 2, "notes.read": 3}));
    let logged = control(&hub, "GET", "/requests?since=1&kind=notes.make", &empty).1;
    assert_eq!(logged[0]["body"], json!(r#"{"secret":1,"text":"a"}"#));
    assert_eq!(logged[0]["at"], json!("2026-11-01T10:01:00Z"));
}
