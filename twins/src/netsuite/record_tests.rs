//! The record service, as the documents say it answers.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::NetsuiteTwin;
use crate::kit::{Answer, Dropped, Edit, Effect, Fault, RetryAfter};

fn send(twin: &NetsuiteTwin, method: &str, below: &str, body: Option<Value>) -> Answer {
    let request = twin.request(method, &format!("/record/v1{below}"));
    let request = match body {
        Some(body) => request.with_json(&body),
        None => request,
    };
    twin.hub.exchange(request).answer().unwrap()
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, NetsuiteTwin::error_code(&answer.body_json()).to_owned())
}

fn twin() -> NetsuiteTwin {
    let twin = NetsuiteTwin::with_sales_orders();
    twin.hub.world().set_now("2026-11-21T15:04:05.9Z".parse().unwrap());
    twin
}

#[test]
fn a_record_is_made_read_changed_and_deleted() {
    let twin = twin();
    let customer =
        twin.add_record("customer", &json!({"entityId": "C1", "companyName": "Acme Ltd"})).unwrap();
    let body = r#"{"tranId": "SO1", "total": 12345678901234.565, "shipDate": "2026-12-24", "memo": "",
                   "externalId": "tly-1", "entity": {"id": "ID"}}"#
        .replace("ID", &customer);
    let made = send(&twin, "POST", "/salesOrder", Some(serde_json::from_str(&body).unwrap()));
    assert_eq!((made.status, made.body.len()), (204, 0));
    let place = made.header("location").unwrap().to_owned();
    let id = place.rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(place, format!("http://twin.invalid/services/rest/record/v1/salesOrder/{id}"));

    let read = send(&twin, "GET", &format!("/salesOrder/{id}"), None);
    assert!(read.header("content-type").unwrap().starts_with("application/vnd.oracle.resource+json"));
    let total: Value = serde_json::from_str("12345678901234.57").unwrap();
    let expected = json!({
        "links": [{"rel": "self", "href": place}], "id": id, "externalId": "tly-1", "tranId": "SO1", "total": total,
        "shipDate": "2026-12-24", "entity": {"id": customer, "refName": "Acme Ltd"},
        "createdDate": "2026-11-21T15:04:05Z", "lastModifiedDate": "2026-11-21T15:04:05Z",
    });
    assert_eq!(read.body_json(), expected);

    twin.hub.world().advance(SignedDuration::from_secs(60));
    let changed = send(&twin, "PATCH", "/salesOrder/eid:tly-1", Some(json!({"memo": "x", "shipDate": null})));
    assert_eq!(changed.status, 204);
    let read =
        send(&twin, "GET", "/salesorder/eid:tly-1?fields=memo,shipDate,lastModifiedDate", None).body_json();
    assert_eq!((&read["memo"], &read["lastModifiedDate"]), (&json!("x"), &json!("2026-11-21T15:05:05Z")));
    assert!(read.get("shipDate").is_none() && read.get("total").is_none());

    assert_eq!(send(&twin, "DELETE", &format!("/salesOrder/{id}"), None).status, 204);
    for method in ["GET", "PATCH", "DELETE"] {
        let gone = send(&twin, method, &format!("/salesOrder/{id}"), Some(json!({})));
        assert_eq!(code(&gone), (404, "NONEXISTENT_ID".to_owned()), "{method}");
    }
}

#[test]
fn put_makes_or_changes_the_record_with_that_external_id() {
    let twin = twin();
    let put = |below: &str, body: Value| send(&twin, "PUT", below, Some(body));
    let first = put("/customer/eid:tly%2F1", json!({"entityId": "C1", "phone": "1"}));
    let second = put("/customer/eid:tly%2F1", json!({"companyName": "Acme"}));
    assert_eq!((first.status, second.status), (204, 204));
    assert_eq!(first.header("location"), second.header("location"));
    let id = twin.id_of("customer", "tly/1").unwrap();
    let stored = twin.stored("customer", &id).unwrap();
    assert_eq!((&stored["phone"], &stored["companyName"]), (&json!("1"), &json!("Acme")));
    let other = put("/customer/eid:tly%2F1", json!({"externalId": "other"}));
    assert_eq!(code(&other), (400, "INVALID_CONTENT".to_owned()));
    assert_eq!(put(&format!("/customer/{id}"), json!({})).status, 405);
}

#[test]
fn what_does_not_fit_is_refused_with_the_field_that_is_wrong() {
    let twin = twin();
    twin.add_record("customer", &json!({"entityId": "C1", "externalId": "tly-1"})).unwrap();
    let id = twin.add_record("salesOrder", &json!({"tranId": "SO1"})).unwrap();
    let order = format!("/salesOrder/{id}");
    for (method, below, body, expected, path) in [
        ("PATCH", order.as_str(), json!({"colour": "red"}), "INVALID_CONTENT", "colour"),
        (
            "PATCH",
            order.as_str(),
            json!({"createdDate": "2026-01-01T00:00:00Z"}),
            "USER_ERROR",
            "createdDate",
        ),
        ("PATCH", order.as_str(), json!({"memo": "x".repeat(1000)}), "USER_ERROR", "memo"),
        ("PATCH", order.as_str(), json!({"total": "12.50"}), "INVALID_CONTENT", "total"),
        ("PATCH", order.as_str(), json!({"shipDate": "12/24/2026"}), "INVALID_CONTENT", "shipDate"),
        ("PATCH", order.as_str(), json!({"shipDate": "2026-02-30"}), "INVALID_CONTENT", "shipDate"),
        ("PATCH", order.as_str(), json!({"entity": {"id": "77"}}), "INVALID_KEY_OR_REF", "entity"),
        ("PATCH", order.as_str(), json!({"entity": "77"}), "INVALID_CONTENT", "entity"),
        ("POST", "/customer", json!({"entityId": "C1"}), "DUP_ENTITY", "entityId"),
        ("POST", "/customer", json!({"entityId": "C2", "externalId": "tly-1"}), "DUP_ENTITY", "externalId"),
        ("POST", "/customer", json!({"companyName": "Nameless"}), "USER_ERROR", "entityId"),
        ("POST", "/customer", json!({"entityId": "C3", "isInactive": "T"}), "INVALID_CONTENT", "isInactive"),
    ] {
        let answer = send(&twin, method, below, Some(body.clone()));
        assert_eq!(code(&answer), (400, expected.to_owned()), "{method} {below} {body}");
        assert_eq!(answer.body_json()["o:errorDetails"][0]["o:errorPath"], json!(path), "{body}");
    }
    assert_eq!(code(&send(&twin, "GET", "/nothing/1", None)), (404, "NONEXISTENT_TYPE".to_owned()));
    let broken = twin.request("POST", "/record/v1/customer").with_body("application/json", "{");
    assert_eq!(code(&twin.hub.exchange(broken).answer().unwrap()), (400, "INVALID_CONTENT".to_owned()));
    assert_eq!(send(&twin, "PATCH", &order, Some(json!({"entity": {"externalId": "tly-1"}}))).status, 204);
    assert_eq!(twin.hub.world().history_of("salesOrder", &id).count(), 2, "a refused save leaves no trace");
}

#[test]
fn lists_hold_ids_and_links_alone_and_can_be_filtered() {
    let twin = twin();
    for (number, name) in [(1, "Acme Ltd"), (2, "acme inc"), (3, "Other")] {
        let customer =
            json!({"entityId": format!("C{number}"), "companyName": name, "isInactive": number == 2});
        twin.add_record("customer", &customer).unwrap();
    }
    let all = send(&twin, "GET", "/customer?limit=2", None).body_json();
    assert_eq!((&all["count"], &all["hasMore"], &all["totalResults"]), (&json!(2), &json!(true), &json!(3)));
    assert_eq!(
        all["items"][0],
        json!({"id": "1001", "links": [{"rel": "self",
               "href": "http://twin.invalid/services/rest/record/v1/customer/1001"}]})
    );
    for (filter, expected) in [
        ("companyName START_WITH \"ACME\"", vec!["1001", "1002"]),
        ("companyName START_WITH Acme AND isInactive IS false", vec!["1001"]),
        ("companyName IS Other OR id LESS 1002", vec!["1001", "1003"]),
        ("email EMPTY AND createdDate ON_OR_AFTER 2026-11-22", vec![]),
    ] {
        let found = send(&twin, "GET", &format!("/customer?q={}", crate::kit::http::encode(filter)), None)
            .body_json();
        let ids: Vec<&str> =
            found["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    for wrong in ["colour%20IS%20red", "companyName", "companyName%20GREATER%20x", "phone%20IS%20%22open"] {
        let answer = send(&twin, "GET", &format!("/customer?q={wrong}"), None);
        assert_eq!(code(&answer), (400, "INVALID_PARAMETER".to_owned()), "{wrong}");
    }
}

#[test]
fn people_bump_the_stamp_as_the_api_does_unless_an_import_brings_its_own() {
    let twin = twin();
    let id = twin.add_record("salesOrder", &json!({"tranId": "SO1"})).unwrap();
    let stamp = |id: &str| twin.stored("salesOrder", id).unwrap()["lastModifiedDate"].clone();
    twin.hub.world().advance(SignedDuration::from_secs(5));
    twin.person_patches("salesOrder", &id, json!({"memo": "by hand"})).unwrap();
    assert_eq!(stamp(&id), json!("2026-11-21T15:04:10Z"));
    assert_eq!(twin.stored("salesOrder", &id).unwrap()["createdDate"], json!("2026-11-21T15:04:05Z"));
    twin.person_patches("salesOrder", &id, json!({"lastModifiedDate": "2026-11-21T14:00:00Z"})).unwrap();
    assert_eq!(stamp(&id), json!("2026-11-21T14:00:00Z"));
    let made = Edit::Create { entity: "salesOrder".into(), record: json!({"tranId": "SO2", "total": 5}) };
    let made = twin.hub.person(made).unwrap();
    assert_eq!(stamp(made["id"].as_str().unwrap()), json!("2026-11-21T15:04:10Z"));
    assert!(twin.person_patches("salesOrder", &id, json!({"colour": "red"})).is_err());
    assert!(twin.hub.person(Edit::Create { entity: "nothing".into(), record: json!({}) }).is_err());
}

#[test]
fn faults_and_knobs_answer_in_the_words_of_the_vendor() {
    let twin = twin();
    let id = twin.add_record("salesOrder", &json!({"tranId": "SO1"})).unwrap();
    let order = format!("/salesOrder/{id}");
    let knob = |name: &str| Effect::Knob { name: name.to_owned(), value: Value::Null };
    for (effect, status, expected) in [
        (knob("held"), 400, "USER_ERROR"),
        (knob("record_changed"), 400, "RCRD_HAS_BEEN_CHANGED"),
        (knob("insufficient_permission"), 403, "INSUFFICIENT_PERMISSION"),
        (knob("concurrency"), 429, "CONCURRENCY_LIMIT_EXCEEDED"),
        (Effect::Throttle { retry_after: RetryAfter::Absent }, 429, "CONCURRENCY_LIMIT_EXCEEDED"),
        (Effect::Status { status: 500, when: crate::kit::When::Before, body: None }, 500, "UNEXPECTED_ERROR"),
        (Effect::ExpireToken, 401, "INVALID_LOGIN"),
    ] {
        twin.hub.fault(Fault::of_kind("salesOrder.update", effect));
        let refused = send(&twin, "PATCH", &order, Some(json!({"memo": "x"})));
        assert_eq!(code(&refused), (status, expected.to_owned()));
        assert_eq!(twin.stored("salesOrder", &id).unwrap().get("memo"), None, "{expected}");
    }
    assert_eq!(send(&twin, "GET", &order, None).status, 401, "an expired token stays expired");
}

#[test]
fn a_period_closed_in_the_settings_holds_saves_and_dropped_fields_are_not_stored() {
    let twin = twin();
    let id = twin.add_record("salesOrder", &json!({"tranId": "SO1"})).unwrap();
    let order = format!("/salesOrder/{id}");
    let set = |on: bool| {
        let edit = Edit::Patch {
            entity: "settings".into(),
            id: "settings".into(),
            patch: json!({"period_closed": on}),
        };
        twin.hub.person(edit).unwrap();
    };
    set(true);
    let held = send(&twin, "DELETE", &order, None);
    assert_eq!(code(&held), (400, "USER_ERROR".to_owned()));
    assert!(held.body_json().to_string().contains("period is closed"));
    set(false);
    let rule = Dropped { entity: "salesOrder".into(), pointer: "/memo".into() };
    twin.hub.world().behaviour.dropped.push(rule);
    assert_eq!(send(&twin, "PATCH", &order, Some(json!({"memo": "x", "status": "A"}))).status, 204);
    let stored = twin.stored("salesOrder", &id).unwrap();
    assert_eq!((stored.get("memo"), &stored["status"]), (None, &json!("A")));
}
