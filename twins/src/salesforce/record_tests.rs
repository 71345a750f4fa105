//! Rows, upserts, collections and their refusals, as the documents describe them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::SalesforceTwin;
use crate::kit::{Answer, Edit, Effect, Fault, Request};

fn twin() -> SalesforceTwin {
    let start: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
    SalesforceTwin::builder().at(start).with_opportunities().build()
}

fn ask(twin: &SalesforceTwin, request: Request) -> Answer {
    twin.hub.exchange(request).answer().unwrap()
}

fn send(twin: &SalesforceTwin, method: &str, below: &str, body: Value) -> Answer {
    ask(twin, twin.request(method, below).with_json(&body))
}

fn get(twin: &SalesforceTwin, below: &str) -> Answer {
    ask(twin, twin.request("GET", below))
}

fn deal(name: &str) -> Value {
    json!({"Name": name, "CloseDate": "2026-02-01", "StageName": "Prospecting"})
}

fn with(mut record: Value, field: &str, value: Value) -> Value {
    super::answers::put(&mut record, field, value);
    record
}

fn code(answer: &Answer) -> (u16, String) {
    let body = answer.body_json();
    (answer.status, body.pointer("/0/errorCode").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn pass(twin: &SalesforceTwin, seconds: i64) {
    twin.hub.world().advance(SignedDuration::from_secs(seconds));
}

#[test]
fn a_row_lives_from_create_to_delete() {
    let twin = twin();
    let made = send(&twin, "POST", "/sobjects/Opportunity/", deal("Deal"));
    assert_eq!(made.status, 201);
    let id = made.body_json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.body_json(), json!({"id": id, "success": true, "errors": []}));
    assert!(id.starts_with("006") && id.len() == 18);
    let row = get(&twin, &format!("/sobjects/Opportunity/{}?fields=Name,SystemModstamp,Amount", &id[..15]))
        .body_json();
    assert_eq!(
        row,
        json!({"attributes": {"type": "Opportunity", "url": format!("/services/data/v60.0/sobjects/Opportunity/{id}")},
               "Id": id, "Name": "Deal", "SystemModstamp": "2026-01-02T03:04:05.000+0000", "Amount": null})
    );
    pass(&twin, 5);
    let patched = send(&twin, "PATCH", &format!("/sobjects/Opportunity/{id}"), json!({"amount": "1200.505"}));
    assert_eq!((patched.status, patched.body.len()), (204, 0));
    let row = get(&twin, &format!("/sobjects/opportunity/{id}")).body_json();
    assert_eq!(row["Amount"].to_string(), "1200.51");
    assert_eq!(row["LastModifiedDate"], "2026-01-02T03:04:10.000+0000");
    assert_eq!(row["CreatedDate"], "2026-01-02T03:04:05.000+0000");
    assert_eq!(ask(&twin, twin.request("DELETE", &format!("/sobjects/Opportunity/{id}"))).status, 204);
    for method in ["GET", "PATCH", "DELETE"] {
        let answer = send(&twin, method, &format!("/sobjects/Opportunity/{id}"), json!({}));
        assert_eq!(code(&answer), (404, "ENTITY_IS_DELETED".to_owned()), "{method}");
    }
    let never = super::ids::make("006", 999_999);
    assert_eq!(code(&get(&twin, &format!("/sobjects/Opportunity/{never}"))), (404, "NOT_FOUND".to_owned()));
    assert_eq!(code(&get(&twin, "/sobjects/Opportunity/nonsense")), (404, "NOT_FOUND".to_owned()));
    assert_eq!(code(&get(&twin, "/sobjects/Nothing/describe")), (404, "NOT_FOUND".to_owned()));
}

#[test]
fn values_are_stored_the_way_the_server_stores_them() {
    let twin = twin();
    let stored = |field: &str, value: Value| {
        let made = send(&twin, "POST", "/sobjects/Opportunity", with(deal("Deal"), field, value));
        assert_eq!(made.status, 201, "{:?}", String::from_utf8_lossy(&made.body));
        let id = made.body_json()["id"].as_str().unwrap().to_owned();
        get(&twin, &format!("/sobjects/Opportunity/{id}")).body_json()[field].to_string()
    };
    assert_eq!(stored("Description", json!("")), "null");
    assert_eq!(stored("Amount", json!(7)), "7.0");
    assert_eq!(
        stored("Amount", serde_json::from_str("9007199254740993.125").unwrap()),
        "9007199254740993.13"
    );
    assert_eq!(stored("Amount", json!(-1.005)), "-1.01");
    assert_eq!(stored("StageName", json!("closed won")), "\"Closed Won\"");
}

#[test]
fn what_the_schema_forbids_is_refused_by_its_own_code() {
    let twin = twin();
    send(&twin, "POST", "/sobjects/Opportunity", with(deal("First"), "Tallyfy_Id__c", json!("Run-1")));
    let refused = |body: Value| {
        let answer = send(&twin, "POST", "/sobjects/Opportunity", body);
        let fields = answer.body_json().pointer("/0/fields").cloned().unwrap_or_default();
        (code(&answer).1, answer.status, fields)
    };
    let expect = |field: &str, value: Value, wanted: &str, fields: Value| {
        let (code, status, named) = refused(with(deal("Deal"), field, value));
        assert_eq!((code.as_str(), status, named), (wanted, 400, fields), "{field}");
    };
    let picklist = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST";
    expect("Approval__c", json!("maybe"), picklist, json!(["Approval__c"]));
    expect("Name", json!("x".repeat(121)), "STRING_TOO_LONG", json!(["Name"]));
    expect("Nothing__c", json!(1), "INVALID_FIELD", Value::Null);
    expect("Id", json!("006"), "INVALID_FIELD", Value::Null);
    expect("CreatedDate", json!("2026-01-01"), "INVALID_FIELD_FOR_INSERT_UPDATE", json!(["CreatedDate"]));
    expect("Tallyfy_Id__c", json!("run-1"), "DUPLICATE_VALUE", json!([]));
    expect("Name", Value::Null, "REQUIRED_FIELD_MISSING", json!(["Name"]));
    expect("Amount", json!("much"), "JSON_PARSER_ERROR", Value::Null);
    expect("Amount", json!("99999999999999999"), "NUMBER_OUTSIDE_VALID_RANGE", json!(["Amount"]));
    expect("CloseDate", json!("soon"), "JSON_PARSER_ERROR", Value::Null);
    expect("AccountId", json!("bad"), "MALFORMED_ID", json!(["AccountId"]));
    let nobody = json!(super::ids::make("001", 77));
    expect("AccountId", nobody, "INVALID_CROSS_REFERENCE_KEY", json!(["AccountId"]));
    let (code, _, fields) = refused(json!({}));
    assert_eq!(
        (code.as_str(), fields),
        ("REQUIRED_FIELD_MISSING", json!(["Name", "CloseDate", "StageName"]))
    );
    let id = twin.add_record("Opportunity", deal("Other")).unwrap();
    let emptied = send(&twin, "PATCH", &format!("/sobjects/Opportunity/{id}"), json!({"StageName": ""}));
    assert_eq!(emptied.body_json()[0]["errorCode"], "REQUIRED_FIELD_MISSING");
    let broken = twin.request("POST", "/sobjects/Opportunity").with_body("application/json", "{");
    assert_eq!(ask(&twin, broken).body_json()[0]["errorCode"], "JSON_PARSER_ERROR");
}

#[test]
fn an_upsert_creates_then_updates_and_refuses_to_choose() {
    let twin = twin();
    let place = "/sobjects/Opportunity/Tallyfy_Id__c/run%2F1";
    let made = send(&twin, "PATCH", place, deal("Deal"));
    assert_eq!((made.status, &made.body_json()["created"]), (201, &json!(true)));
    let again = send(&twin, "PATCH", place, json!({"Description": "more"}));
    assert_eq!((again.status, &again.body_json()["created"]), (200, &json!(false)));
    assert_eq!(again.body_json()["id"], made.body_json()["id"]);
    twin.set("upsert_update_status", json!(204));
    assert_eq!(send(&twin, "PATCH", place, json!({})).status, 204);
    let row = get(&twin, place).body_json();
    assert_eq!((&row["Tallyfy_Id__c"], &row["Description"]), (&json!("run/1"), &json!("more")));
    let repeated = send(&twin, "PATCH", place, json!({"Tallyfy_Id__c": "run/1"}));
    assert_eq!(code(&repeated), (400, "INVALID_FIELD".to_owned()));
    assert_eq!(code(&send(&twin, "PATCH", "/sobjects/Opportunity/Name/Deal", json!({}))).0, 404);
    for _ in 0..2 {
        twin.add_record("Account", json!({"Name": "Corp", "ERP_Customer__c": "C-1"})).unwrap();
    }
    let ambiguous = send(&twin, "PATCH", "/sobjects/Account/ERP_Customer__c/C-1", json!({"Name": "X"}));
    assert_eq!((ambiguous.status, ambiguous.body_json().as_array().map(Vec::len)), (300, Some(2)));
    assert!(twin.hub.world().list("Account").iter().all(|(_, account)| account["Name"] == "Corp"));
}

#[test]
fn a_reference_can_be_written_by_the_other_records_external_id() {
    let twin = twin();
    let account = twin.add_record("Account", json!({"Name": "Corp", "ERP_Customer__c": "C-1"})).unwrap();
    let by = |key: &str| with(deal("Deal"), "Account", json!({"ERP_Customer__c": key}));
    let made = send(&twin, "POST", "/sobjects/Opportunity", by("C-1")).body_json();
    let stored = twin.record("Opportunity", made["id"].as_str().unwrap()).unwrap();
    assert_eq!(stored["AccountId"], json!(account));
    assert_eq!(
        code(&send(&twin, "POST", "/sobjects/Opportunity", by("C-2"))),
        (400, "INVALID_FIELD".to_owned())
    );
}

#[test]
fn if_unmodified_since_guards_every_object_to_the_second() {
    let twin = twin();
    let id = twin.add_record("Opportunity", deal("Deal")).unwrap();
    let patch = |since: &str| {
        let request =
            twin.request("PATCH", &format!("/sobjects/Opportunity/{id}")).with_json(&json!({"Name": "New"}));
        ask(&twin, request.with_header("If-Unmodified-Since", since)).status
    };
    assert_eq!(patch("Fri, 02 Jan 2026 03:04:04 GMT"), 412);
    assert_eq!(patch("Fri, 02 Jan 2026 03:04:05 GMT"), 204);
    // Another edit in the same second passes unnoticed.
    assert_eq!(patch("Fri, 02 Jan 2026 03:04:05 GMT"), 204);
    pass(&twin, 1);
    let edit = json!({"Description": "by hand"});
    twin.hub.person(Edit::Patch { entity: "Opportunity".into(), id: id.clone(), patch: edit }).unwrap();
    assert_eq!(patch("Fri, 02 Jan 2026 03:04:05 GMT"), 412);
    assert_eq!(patch("yesterday"), 400);
    let read = twin.request("GET", &format!("/sobjects/Opportunity/{id}"));
    let read = ask(&twin, read.with_header("If-Modified-Since", "Fri, 02 Jan 2026 03:04:06 GMT"));
    assert_eq!((read.status, read.body.len()), (304, 0));
}

#[test]
fn tags_count_on_accounts_only() {
    let twin = twin();
    let account = twin.add_record("Account", json!({"Name": "Corp"})).unwrap();
    let deal_id = twin.add_record("Opportunity", deal("Deal")).unwrap();
    let tag = get(&twin, &format!("/sobjects/Account/{account}")).header("etag").unwrap().to_owned();
    assert_eq!(get(&twin, &format!("/sobjects/Opportunity/{deal_id}")).header("etag"), None);
    let patch = |object: &str, id: &str, tag: &str| {
        let request =
            twin.request("PATCH", &format!("/sobjects/{object}/{id}")).with_json(&json!({"Name": "New"}));
        ask(&twin, request.with_header("If-Match", tag)).status
    };
    assert_eq!(patch("Account", &account, "\"other\""), 412);
    assert_eq!(patch("Account", &account, &tag), 204);
    assert_eq!(patch("Opportunity", &deal_id, "\"other\""), 204);
}

#[test]
fn collections_answer_in_order_and_fail_one_by_one() {
    let twin = twin();
    let row = |record: Value| with(record, "attributes", json!({"type": "Opportunity"}));
    let rows = json!({"records": [row(deal("A")), row(json!({"Name": "B"})), row(deal("C"))]});
    let made = send(&twin, "POST", "/composite/sobjects", rows.clone());
    assert_eq!(made.status, 200);
    let made = made.body_json();
    assert_eq!([&made[0]["success"], &made[1]["success"], &made[2]["success"]], [true, false, true]);
    assert_eq!(made[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    let (first, third) = (made[0]["id"].clone(), made[2]["id"].clone());
    let together =
        send(&twin, "POST", "/composite/sobjects", with(rows, "allOrNone", json!(true))).body_json();
    assert_eq!(together[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(twin.hub.world().list("Opportunity").len(), 2);
    let changes = json!({"records": [
        row(json!({"id": third, "Description": "3"})),
        row(json!({"id": "006000000000000", "Description": "?"})),
        row(json!({"id": first, "Description": "1"})),
    ]});
    let changed = send(&twin, "PATCH", "/composite/sobjects", changes).body_json();
    assert_eq!([&changed[0]["id"], &changed[2]["id"]], [&third, &first]);
    assert_eq!(changed[1]["success"], false);
    let upserts = json!({"records": [row(with(deal("D"), "Tallyfy_Id__c", json!("run-9"))),
                                     row(json!({"Tallyfy_Id__c": "run-9", "Name": "E"}))]});
    let upserted = send(&twin, "PATCH", "/composite/sobjects/Opportunity/Tallyfy_Id__c", upserts).body_json();
    assert_eq!([&upserted[0]["created"], &upserted[1]["created"]], [true, false]);
    let ids = format!("{},{}", first.as_str().unwrap(), "006000000000000");
    let read =
        get(&twin, &format!("/composite/sobjects/Opportunity?ids={ids}&fields=Description")).body_json();
    assert_eq!([&read[0]["Description"], &read[1]], [&json!("1"), &Value::Null]);
    let gone = ask(&twin, twin.request("DELETE", &format!("/composite/sobjects?ids={ids}"))).body_json();
    assert_eq!([&gone[0]["success"], &gone[1]["success"]], [true, false]);
    let many: Vec<Value> = (0..201).map(|_| row(deal("A"))).collect();
    let answer = send(&twin, "POST", "/composite/sobjects", json!({"records": many}));
    assert_eq!(code(&answer), (400, "EXCEEDED_ID_LIMIT".to_owned()));
    assert_eq!(
        code(&send(&twin, "POST", "/composite/sobjects", json!({}))),
        (400, "JSON_PARSER_ERROR".to_owned())
    );
}

#[test]
fn people_leave_the_same_stamps_as_the_api() {
    let twin = twin();
    let id = twin.add_record("Opportunity", deal("Deal")).unwrap();
    pass(&twin, 60);
    let patch =
        |patch: Value| twin.hub.person(Edit::Patch { entity: "Opportunity".into(), id: id.clone(), patch });
    patch(json!({"Amount": "10"})).unwrap();
    let stored = twin.record("Opportunity", &id).unwrap();
    assert_eq!(
        (stored["Amount"].to_string().as_str(), &stored["SystemModstamp"]),
        ("10.0", &json!("2026-01-02T03:05:05.000+0000"))
    );
    assert_ne!(stored["LastModifiedById"], stored["CreatedById"]);
    assert!(patch(json!({"Approval__c": "maybe"})).unwrap_err().contains("restricted picklist"));
    assert!(patch(json!({"Nothing": 1})).unwrap_err().contains("has no field"));
    let made =
        twin.hub.person(Edit::Create { entity: "Case".into(), record: json!({"Subject": "Late"}) }).unwrap();
    assert_eq!(made["CaseNumber"], "00000001");
    assert!(made["Id"].as_str().unwrap().starts_with("500"));
}

#[test]
fn a_formula_changes_without_a_stamp_and_a_bulk_job_stamps_without_a_change() {
    let twin = twin();
    let id = twin.add_record("Case", json!({"Subject": "Late"})).unwrap();
    let before = twin.record("Case", &id).unwrap();
    pass(&twin, 60);
    let patch = json!({"CaseNumber": "42"});
    twin.hub.person(Edit::Patch { entity: "Case".into(), id: id.clone(), patch }).unwrap();
    let after = twin.record("Case", &id).unwrap();
    assert_eq!((&after["CaseNumber"], &after["SystemModstamp"]), (&json!("42"), &before["SystemModstamp"]));
    let with = json!({"entity": "Case", "ids": [id]});
    twin.hub.person(Edit::Action { name: "touch".into(), with }).unwrap();
    let after = twin.record("Case", &id).unwrap();
    assert_ne!(after["SystemModstamp"], before["SystemModstamp"]);
    assert_eq!(after["LastModifiedDate"], before["LastModifiedDate"]);
}

#[test]
fn a_knob_refuses_a_write_with_a_code_of_choice() {
    let twin = twin();
    let knob =
        |value: Value| Fault::of_kind("Opportunity.create", Effect::Knob { name: "refuse".into(), value });
    twin.hub.fault(knob(json!({})));
    twin.hub.fault(knob(json!({"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["Amount"]})).after(1));
    let first = send(&twin, "POST", "/sobjects/Opportunity", deal("Deal"));
    assert_eq!(code(&first), (400, "UNABLE_TO_LOCK_ROW".to_owned()));
    let second = send(&twin, "POST", "/sobjects/Opportunity", deal("Deal"));
    assert_eq!(code(&second), (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION".to_owned()));
    assert_eq!(second.body_json()[0]["fields"], json!(["Amount"]));
    assert_eq!(twin.hub.world().list("Opportunity").len(), 0);
    assert_eq!(send(&twin, "POST", "/sobjects/Opportunity", deal("Deal")).status, 201);
}
