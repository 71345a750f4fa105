//! Tokens, quotas, versions and describes, as the documents describe them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::SalesforceTwin;
use crate::kit::{Answer, Effect, Fault, Request};

const JWT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn twin() -> SalesforceTwin {
    let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    SalesforceTwin::builder().at(start).with_opportunities().build()
}

fn ask(twin: &SalesforceTwin, request: Request) -> Answer {
    twin.hub.exchange(request).answer().unwrap()
}

fn token_request(form: &str) -> Request {
    Request::new("POST", "/services/oauth2/token").with_body("application/x-www-form-urlencoded", form)
}

fn assertion(header: Value, claims: Value, signature: &[u8]) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn every_grant_gives_a_token_that_works_until_it_expires() {
    let twin = twin();
    let now = twin.hub.world().now().as_second();
    let claims = json!({"iss": "consumer-key", "sub": "sync@corp.example", "exp": now + 170,
                        "aud": "https://login.salesforce.com"});
    let signed = assertion(json!({"alg": "RS256"}), claims, &[7; 256]);
    let key = "client_id=consumer-key&client_secret=consumer-secret";
    let basic = format!("Basic {}", STANDARD.encode("consumer-key:consumer-secret"));
    let requests = [
        token_request(&format!("grant_type={JWT}&assertion={signed}")),
        token_request(&format!("grant_type=client_credentials&{key}")),
        token_request("grant_type=client_credentials").with_header("authorization", &basic),
        token_request(&format!(
            "grant_type=password&{key}&username=sync@corp.example&password=correct+horseTOKEN"
        )),
    ];
    for request in requests {
        let answer = ask(&twin, request);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let body = answer.body_json();
        assert_eq!((&body["instance_url"], body.get("expires_in")), (&json!("http://twin.invalid"), None));
        let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
        let with = |path: &str| ask(&twin, Request::new("GET", path).with_header("authorization", &bearer));
        assert_eq!(with("/services/oauth2/userinfo").body_json()["preferred_username"], "sync@corp.example");
        assert_eq!(with("/services/data/v60.0/sobjects").status, 200);
        twin.hub.fault(Fault::next(Effect::ExpireToken));
        let refused = with("/services/data/v60.0/sobjects");
        let wanted = json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]);
        assert_eq!((refused.status, refused.body_json()), (401, wanted));
        assert_eq!(with("/services/oauth2/userinfo").status, 403);
    }
    twin.set("session_seconds", json!(60));
    let short = ask(&twin, token_request(&format!("grant_type=client_credentials&{key}"))).body_json();
    twin.hub.world().advance(jiff::SignedDuration::from_secs(61));
    let bearer = format!("Bearer {}", short["access_token"].as_str().unwrap());
    let late = Request::new("GET", "/services/data/v60.0/limits").with_header("authorization", &bearer);
    assert_eq!(ask(&twin, late).status, 401);
}

#[test]
fn wrong_grants_are_told_apart() {
    let twin = twin();
    let now = twin.hub.world().now().as_second();
    let good = json!({"iss": "consumer-key", "sub": "sync@corp.example", "exp": now + 170,
                      "aud": "https://login.salesforce.com"});
    let claims = |key: &str, value: Value| {
        let mut claims = good.clone();
        super::answers::put(&mut claims, key, value);
        format!("grant_type={JWT}&assertion={}", assertion(json!({"alg": "RS256"}), claims, &[7; 256]))
    };
    let error = |form: &str| {
        let answer = ask(&twin, token_request(form));
        assert_eq!(answer.status, 400, "{form}");
        answer.body_json()["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(error(&claims("iss", json!("other"))), "invalid_client_id");
    assert_eq!(error(&claims("sub", json!("other"))), "invalid_grant");
    assert_eq!(error(&claims("aud", json!("https://elsewhere.example"))), "invalid_grant");
    assert_eq!(error(&claims("exp", json!(now))), "invalid_grant");
    assert_eq!(error(&claims("exp", json!(now + 3600))), "invalid_grant");
    let unsigned = assertion(json!({"alg": "RS256"}), good.clone(), b"");
    assert_eq!(error(&format!("grant_type={JWT}&assertion={unsigned}")), "invalid_grant");
    let none = assertion(json!({"alg": "none"}), good, &[7; 256]);
    assert_eq!(error(&format!("grant_type={JWT}&assertion={none}")), "invalid_grant");
    assert_eq!(
        error("grant_type=client_credentials&client_id=consumer-key&client_secret=x"),
        "invalid_client"
    );
    assert_eq!(error("grant_type=magic"), "unsupported_grant_type");
}

#[test]
fn requests_are_counted_and_the_quota_ends() {
    let twin = twin();
    twin.set("api_limit", json!(2));
    let ask_one = || ask(&twin, twin.request("GET", "/limits/"));
    let first = ask_one();
    assert_eq!(first.header("sforce-limit-info"), Some("api-usage=1/2"));
    assert_eq!(first.body_json(), json!({"DailyApiRequests": {"Max": 2, "Remaining": 1}}));
    assert_eq!(ask_one().status, 200);
    let refused = ask_one();
    assert_eq!(
        (refused.status, &refused.body_json()[0]["errorCode"]),
        (403, &json!("REQUEST_LIMIT_EXCEEDED"))
    );
    assert_eq!(refused.header("sforce-limit-info"), Some("api-usage=2/2"));
}

#[test]
fn versions_are_public_and_unknown_ones_are_not_found() {
    let twin = twin();
    let versions = ask(&twin, Request::new("GET", "/services/data/")).body_json();
    assert!(versions.as_array().unwrap().iter().any(|version| version["url"] == "/services/data/v60.0"));
    let asked = |path: &str| {
        let request =
            Request::new("GET", path).with_header("authorization", &format!("Bearer {}", twin.token));
        ask(&twin, request).status
    };
    assert_eq!(asked("/services/data/v60.0/"), 200);
    assert_eq!([asked("/services/data/v99.0/limits"), asked("/services/data/v60/limits")], [404, 404]);
    assert_eq!(ask(&twin, Request::new("GET", "/services/data/v60.0/")).status, 401);
}

#[test]
fn objects_describe_themselves() {
    let twin = twin();
    let all = ask(&twin, twin.request("GET", "/sobjects/")).body_json();
    let names: Vec<&str> =
        all["sobjects"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["User", "Account", "Opportunity", "Case"]);
    let described = ask(&twin, twin.request("GET", "/sobjects/Opportunity/describe/")).body_json();
    assert_eq!(described["keyPrefix"], "006");
    let field = |name: &str| {
        let fields = described["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).cloned().unwrap()
    };
    let amount = field("Amount");
    assert_eq!(
        (&amount["type"], &amount["precision"], &amount["scale"]),
        (&json!("currency"), &json!(18), &json!(2))
    );
    assert_eq!((&field("Name")["nillable"], &field("Name")["length"]), (&json!(false), &json!(120)));
    let approvals: Vec<Value> = field("Approval__c")["picklistValues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value["value"].clone())
        .collect();
    assert_eq!(approvals, ["approved", "rejected", "pending"]);
    assert_eq!(field("SystemModstamp")["updateable"], false);
    assert_eq!(
        (&field("Tallyfy_Id__c")["externalId"], &field("Tallyfy_Id__c")["unique"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(field("AccountId")["relationshipName"], "Account");
    twin.set("hidden_fields", json!(["Opportunity.Amount"]));
    let hidden = ask(&twin, twin.request("GET", "/sobjects/Opportunity/describe")).body_json();
    assert!(hidden["fields"].as_array().unwrap().iter().all(|field| field["name"] != "Amount"));
}
