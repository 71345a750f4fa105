//! Letting in and finding the way: headers, tokens and grants, path styles, error bodies, people and tags.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::kit::{Edit, Effect, Fault, Request};

const ORG: &str = "0123456789abcdef0123456789abcdef";

fn twin() -> TallyfyTwin {
    TallyfyTwin::builder()
        .at("2026-05-01T09:00:00Z".parse().unwrap())
        .user(10013, "kim@corp.example", "Kim Doe", "admin")
        .user(10014, "lee@corp.example", "Lee Poe", "standard")
        .token("kim-token", 10013)
        .token("lee-token", 10014)
        .client(4711, "secret")
        .template(&TemplateSeed::order_approval())
        .build()
}

fn send(twin: &TallyfyTwin, request: Request) -> (u16, Value) {
    let answer = twin.hub.exchange(request).answer().unwrap();
    (answer.status, answer.body_json())
}

fn call(twin: &TallyfyTwin, method: &str, below: &str, body: &Value) -> (u16, Value) {
    send(twin, twin.request(method, below).with_json(body))
}

fn get(twin: &TallyfyTwin, below: &str) -> (u16, Value) {
    send(twin, twin.request("GET", below))
}

fn form(twin: &TallyfyTwin, path: &str, body: &str) -> (u16, Value) {
    send(twin, Request::new("POST", path).with_body("application/x-www-form-urlencoded", body))
}

fn as_token(path: &str, token: &str) -> Request {
    Request::new("GET", path)
        .with_header("authorization", &format!("Bearer {token}"))
        .with_header("accept", "application/json")
        .with_header("x-tallyfy-client", "APIClient")
}

#[test]
fn every_header_is_needed() {
    let twin = twin();
    for absent in ["authorization", "accept", "x-tallyfy-client"] {
        let mut request = twin.request("GET", "/runs");
        request.headers.retain(|(name, _)| name != absent);
        assert_eq!(send(&twin, request).0, 401, "without {absent}");
    }
    let answer = twin.hub.exchange(twin.request("GET", "/runs")).answer().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-request-id").is_some());
}

#[test]
fn the_path_styles_lead_to_the_same_operations() {
    let twin = twin();
    let template = twin.template_id("Order approval").unwrap();
    let order = twin.field_id("Order approval", "order-number").unwrap();
    let (status, run) = send(
        &twin,
        as_token(&format!("/api/organizations/{ORG}/runs"), "kim-token")
            .with_json(&json!({"checklist_id": template, "name": "A", "prerun": {&order: "SO-1"}})),
    );
    assert_eq!((status, run["data"].is_array()), (200, true), "a GET lists");
    let launch = json!({"checklist_id": template, "name": "A", "prerun": {&order: "SO-1"}});
    let mut request = as_token("/api/v1/processes", "kim-token").with_json(&launch);
    request.method = "POST".to_owned();
    let (status, run) = send(&twin, request);
    assert_eq!(status, 201);
    let id = run["data"]["id"].as_str().unwrap().to_owned();
    for path in [
        format!("/organizations/{ORG}/runs"),
        format!("/api/organizations/{ORG}/runs"),
        "/api/v1/processes".to_owned(),
        "/api/v1/runs".to_owned(),
    ] {
        assert_eq!(send(&twin, as_token(&path, "kim-token")).1["data"][0]["id"], json!(id), "{path}");
    }
    let blueprints = send(&twin, as_token("/api/v1/blueprints", "kim-token")).1;
    assert_eq!(blueprints["data"][0]["id"], json!(template));
    let review = twin.task_id(&id, "Finance review").unwrap();
    let mut done =
        as_token(&format!("/api/v1/tasks/{review}"), "kim-token").with_json(&json!({"status": "completed"}));
    done.method = "PUT".to_owned();
    assert_eq!(send(&twin, done).1["data"]["status"], json!("completed"));
    assert_eq!(send(&twin, as_token("/api/v1/webhooks", "kim-token")).1["code"], json!("ENDPOINT_NOT_FOUND"));
    let counts = twin.hub.world().counts();
    assert_eq!((counts["runs.list"], counts["runs.launch"], counts["tasks.update-any"]), (5, 1, 1));
}

#[test]
fn a_wrong_path_and_a_wrong_id_answer_different_404s() {
    let twin = twin();
    let code = |below: &str| {
        let (status, body) = get(&twin, below);
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code("/processes"), (404, "ENDPOINT_NOT_FOUND".to_owned()));
    assert_eq!(code("/runs/0000"), (404, "RESOURCE_NOT_FOUND".to_owned()));
    let other = send(&twin, as_token("/organizations/ffffffffffffffffffffffffffffffff/runs", "kim-token"));
    assert_eq!((other.0, other.1["code"].as_str()), (404, Some("RESOURCE_NOT_FOUND")));
    assert_eq!(send(&twin, twin.request("PUT", "/runs/0000").with_body("application/json", "{")).0, 400);
}

#[test]
fn the_password_grant_gives_a_pair_and_refreshing_rotates_it() {
    let twin = twin();
    let (status, first) = form(
        &twin,
        "/api/oauth/token",
        "grant_type=password&client_id=4711&client_secret=secret&username=kim%40corp.example&password=correct+horse",
    );
    assert_eq!(
        (status, first["expires_in"].clone(), first["token_type"].clone()),
        (200, json!(3600), json!("Bearer"))
    );
    let me = |token: &Value| send(&twin, as_token("/me", token.as_str().unwrap()));
    assert_eq!(me(&first["access_token"]).1["data"]["email"], json!("kim@corp.example"));
    assert_eq!(me(&first["access_token"]).1["data"].get("password"), None);
    assert_eq!(me(&first["refresh_token"]).0, 401);
    let refresh = |token: &Value| {
        let token = token.as_str().unwrap();
        form(
            &twin,
            "/oauth/token",
            &format!("grant_type=refresh_token&refresh_token={token}&client_id=4711&client_secret=secret"),
        )
    };
    let (status, second) = refresh(&first["refresh_token"]);
    assert_eq!(status, 200);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(refresh(&first["refresh_token"]).0, 401);
    twin.hub.world().advance(SignedDuration::from_secs(3600));
    assert_eq!(me(&second["access_token"]).0, 401);
    assert_eq!(refresh(&second["refresh_token"]).0, 200);
}

#[test]
fn an_app_token_gives_user_tokens_and_reads_no_data() {
    let twin = twin();
    let (_, app) = form(
        &twin,
        "/oauth/token",
        "grant_type=client_credentials&client_id=4711&client_secret=secret&scope=*",
    );
    assert_eq!(app["expires_in"], json!(604_800));
    let app = app["access_token"].as_str().unwrap().to_owned();
    assert_eq!(send(&twin, as_token(&format!("/organizations/{ORG}/runs"), &app)).0, 401);
    assert_eq!(send(&twin, as_token("/organizations/other/runs", &app)).0, 403);
    let user_token = |organization: &str, email: &str, token: &str| {
        let mut request = as_token(&format!("/applications/{organization}/users/{email}/token"), token);
        request.method = "POST".to_owned();
        send(&twin, request)
    };
    let (status, user) = user_token(ORG, "lee%40corp.example", &app);
    assert_eq!((status, user["expires_in"].clone()), (200, json!(7_776_000)));
    let lee = user["access_token"].as_str().unwrap();
    assert_eq!(send(&twin, as_token(&format!("/organizations/{ORG}/me"), lee)).1["data"]["id"], json!(10014));
    assert_eq!(user_token(ORG, "nobody%40corp.example", &app).0, 404);
    assert_eq!(user_token("other", "lee%40corp.example", &app).0, 403);
    assert_eq!(user_token(ORG, "lee%40corp.example", lee).0, 401);
}

#[test]
fn the_token_endpoint_refuses_json_and_wrong_clients() {
    let twin = twin();
    let json_body =
        Request::new("POST", "/oauth/token").with_json(&json!({"grant_type": "client_credentials"}));
    assert_eq!(send(&twin, json_body).0, 400);
    for client in ["client_id=abc&client_secret=secret", "client_id=4711&client_secret=wrong"] {
        let refusal = form(&twin, "/oauth/token", &format!("grant_type=client_credentials&{client}"));
        assert_eq!(refusal, (401, json!({"error": "invalid_client"})));
    }
}

#[test]
fn personal_tokens_die_when_their_owner_logs_out_and_expire_by_a_fault() {
    let twin = twin();
    twin.hub.fault(Fault::on("GET", "/tags", Effect::ExpireToken));
    assert_eq!([get(&twin, "/tags").0, get(&twin, "/tags").0], [401, 401]);
    assert_eq!(send(&twin, as_token("/me", "lee-token")).0, 200);
    twin.hub.person(Edit::Action { name: "log-out".into(), with: json!({"user": 10014}) }).unwrap();
    assert_eq!(send(&twin, as_token("/me", "lee-token")).0, 401);
}

#[test]
fn only_administrators_read_single_users_and_all_of_the_feed() {
    let twin = twin();
    let as_lee = |below: &str| send(&twin, as_token(&format!("/organizations/{ORG}{below}"), "lee-token"));
    assert_eq!(get(&twin, "/users/10014").1["data"]["full_name"], json!("Lee Poe"));
    assert_eq!(as_lee("/users/10014").0, 403);
    let users = as_lee("/users").1;
    assert_eq!(users["data"].as_array().unwrap().len(), 2);
    assert_eq!(users["meta"]["pagination"]["per_page"], json!(9999));
    call(&twin, "POST", "/tags", &json!({"title": "not in the feed"}));
    let template = twin.template_id("Order approval").unwrap();
    call(&twin, "PUT", &format!("/checklists/{template}"), &json!({"title": "Order approval"}));
    let feed = get(&twin, "/activity-feeds?entity_type=checklist&verb=updated").1;
    assert_eq!(feed["data"][0]["auditable_id"], json!([template]));
    assert_eq!(feed["meta"]["pagination"]["per_page"], json!(20));
    assert_eq!(as_lee("/activity-feeds").1["data"], json!([]));
    assert_eq!(get(&twin, "/activity-feeds?created_after=2026-05-02").1["data"], json!([]));
}

#[test]
fn templates_show_definitions_and_vanish_when_archived() {
    let twin = twin();
    let id = twin.template_id("Order approval").unwrap();
    let path = format!("/checklists/{id}");
    let (_, shown) = get(&twin, &format!("{path}?with=steps"));
    let fields: Vec<(&str, &str, bool)> = shown["data"]["prerun"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| {
            let text = |key: &str| field[key].as_str().unwrap();
            (text("alias"), text("field_type"), field["required"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        fields,
        [
            ("order-number", "text", true),
            ("amount", "text", false),
            ("ship-date", "date", false),
            ("memo", "textarea", false),
            ("sync-id", "text", false)
        ]
    );
    assert_eq!(shown["data"]["steps"]["data"][1]["step_type"], json!("approval"));
    let steps = get(&twin, &format!("{path}/steps")).1;
    assert_eq!(steps["data"][0]["captures"][0]["alias"], json!("finance-note"));
    let step = steps["data"][0]["id"].as_str().unwrap();
    let changed = call(&twin, "PUT", &format!("{path}/steps/{step}"), &json!({"title": "Review"})).1;
    assert_eq!(
        (changed["data"]["title"].clone(), changed["data"]["assignees"].clone()),
        (json!("Review"), json!([]))
    );
    assert_eq!(call(&twin, "PUT", &path, &json!({"summary": "x"})).0, 422);
    let changed = call(&twin, "PUT", &path, &json!({"title": "Order approval"})).1;
    assert_eq!(changed["data"]["users"], json!([]), "members that are not sent are detached");
    assert_eq!(call(&twin, "DELETE", &path, &json!({})).0, 200);
    assert_eq!(get(&twin, &path).0, 404);
    assert_eq!(get(&twin, "/checklists").1["data"], json!([]));
    assert_eq!(get(&twin, "/checklists?archived=only").1["data"][0]["id"], json!(id));
    assert_eq!(call(&twin, "POST", "/runs", &json!({"checklist_id": id})).0, 404);
    assert_eq!(call(&twin, "PUT", &format!("{path}/restore"), &json!({})).0, 200);
}

#[test]
fn guests_groups_and_tags_have_their_manners() {
    let twin = twin();
    let guest =
        call(&twin, "POST", "/guests", &json!({"email": "Pat@Buyer.example", "company_name": "ACME"}));
    assert_eq!((guest.0, guest.1["data"]["created_at"].clone()), (201, json!("2026-05-01 09:00:00")));
    assert_eq!(get(&twin, "/guests/pat%40buyer.example").1["data"]["company_name"], json!("ACME"));
    let changed = call(&twin, "PUT", "/guests/pat%40buyer.example", &json!({"company_name": "EMCA"}));
    assert_eq!((changed.0, changed.1["data"]["company_name"].clone()), (200, json!("EMCA")));
    assert_eq!(call(&twin, "PUT", "/guests/no%40buyer.example", &json!({})).0, 404);
    assert_eq!(call(&twin, "DELETE", "/guests/pat%40buyer.example", &json!({})).0, 204);
    assert_eq!(call(&twin, "POST", "/groups", &json!({"name": "Buyers"})).0, 422);
    let group =
        call(&twin, "POST", "/groups", &json!({"name": "B", "description": "d", "members": [10013]})).1;
    let path = format!("/groups/{}", group["data"]["id"].as_str().unwrap());
    let replaced = call(&twin, "PUT", &path, &json!({"name": "B", "description": "d"}));
    assert_eq!((replaced.0, replaced.1["data"]["members"].clone()), (201, json!([])));
    assert_eq!(call(&twin, "POST", "/tags", &json!({"title": "x".repeat(31)})).0, 422);
    let tag = call(&twin, "POST", "/tags", &json!({"title": "imported"})).1["data"]["id"].clone();
    assert_eq!(call(&twin, "POST", "/tags", &json!({"title": "imported"})).0, 422);
    assert_eq!(call(&twin, "DELETE", "/tags/absent", &json!({})).0, 204);
    let template = twin.template_id("Order approval").unwrap();
    let link =
        json!({"subject_id": template, "subject_type": "Checklist", "tag_id": tag, "tag_type": "private"});
    let (first, second) =
        (call(&twin, "POST", "/checklists/tags", &link), call(&twin, "POST", "/checklists/tags", &link));
    assert_eq!((first.0, &first.1), (201, &second.1));
    let association = first.1["data"]["id"].as_u64().unwrap();
    let tagged = get(&twin, &format!("/checklists/{template}?with=tags")).1;
    assert_eq!(tagged["data"]["tags"]["data"][0]["tag_id"], tag);
    assert_eq!(call(&twin, "DELETE", &format!("/checklists/tags/{association}"), &json!({})).0, 204);
    let unknown = json!({"subject_id": "nope", "subject_type": "Run", "tag_id": tag});
    assert_eq!(call(&twin, "POST", "/checklists/tags", &unknown).1["message"], json!("Subject not found"));
}
