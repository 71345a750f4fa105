//! Queries, pages, the recycle bin and the feeds, as the documents describe them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::SalesforceTwin;
use crate::kit::http::encode;
use crate::kit::{Answer, Edit, Effect, Fault, Request};

fn twin() -> SalesforceTwin {
    let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    SalesforceTwin::builder().at(start).with_opportunities().build()
}

fn ask(twin: &SalesforceTwin, request: Request) -> Answer {
    twin.hub.exchange(request).answer().unwrap()
}

fn soql(twin: &SalesforceTwin, text: &str) -> Answer {
    ask(twin, twin.request("GET", &format!("/query?q={}", encode(text))))
}

fn names(twin: &SalesforceTwin, rest: &str) -> Vec<String> {
    let answer = soql(twin, &format!("SELECT Name FROM Opportunity {rest}"));
    assert_eq!(answer.status, 200, "{rest}: {}", String::from_utf8_lossy(&answer.body));
    let body = answer.body_json();
    body["records"].as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap().to_owned()).collect()
}

fn add(twin: &SalesforceTwin, name: &str, more: Value) -> String {
    let mut record = json!({"Name": name, "CloseDate": "2026-02-01", "StageName": "Prospecting"});
    crate::kit::merge(&mut record, &more);
    twin.add_record("Opportunity", record).unwrap()
}

fn pass(twin: &SalesforceTwin, seconds: i64) {
    twin.hub.world().advance(SignedDuration::from_secs(seconds));
}

#[test]
fn conditions_mean_what_soql_means() {
    let twin = twin();
    let first = add(&twin, "Alpha", json!({"Amount": 10, "ERP_Order__c": "SO-1"}));
    pass(&twin, 1);
    add(&twin, "beta 50%", json!({"Amount": 20.5, "Approval__c": "approved", "CloseDate": "2026-03-01"}));
    pass(&twin, 1);
    add(&twin, "O'Neil", json!({"Approval__c": "rejected"}));
    for (condition, wanted) in [
        ("Name = 'ALPHA'", vec!["Alpha"]),
        ("Name LIKE '%50\\%'", vec!["beta 50%"]),
        ("Name LIKE 'a_pha'", vec!["Alpha"]),
        ("Name = 'O\\'Neil'", vec!["O'Neil"]),
        ("Amount > 10 OR Amount = null", vec!["beta 50%", "O'Neil"]),
        ("Amount != 10", vec!["beta 50%", "O'Neil"]),
        ("Approval__c != 'approved'", vec!["Alpha", "O'Neil"]),
        ("Approval__c IN ('approved', 'rejected') AND NOT Amount = NULL", vec!["beta 50%"]),
        ("Approval__c NOT IN ('approved')", vec!["Alpha", "O'Neil"]),
        ("CloseDate >= 2026-02-02", vec!["beta 50%"]),
        ("SystemModstamp = 2026-01-02T03:04:06Z", vec!["beta 50%"]),
        ("SystemModstamp > 2026-01-02T05:04:05.000+0200 AND IsDeleted = false", vec!["beta 50%", "O'Neil"]),
        ("(Name = 'Alpha' AND Amount = 10.00) OR (NOT (Amount != null))", vec!["Alpha", "O'Neil"]),
        ("ERP_Order__c = ''", vec!["beta 50%", "O'Neil"]),
        ("IsDeleted = true", vec![]),
    ] {
        assert_eq!(names(&twin, &format!("WHERE {condition} ORDER BY Id")), wanted, "{condition}");
    }
    assert_eq!(names(&twin, &format!("WHERE Id = '{}'", &first[..15])), ["Alpha"]);
    assert_eq!(names(&twin, &format!("WHERE Id > '{first}' ORDER BY Id")), ["beta 50%", "O'Neil"]);
    assert_eq!(names(&twin, "ORDER BY Amount DESC NULLS LAST"), ["beta 50%", "Alpha", "O'Neil"]);
    assert_eq!(names(&twin, "ORDER BY Amount"), ["O'Neil", "Alpha", "beta 50%"]);
    assert_eq!(names(&twin, "ORDER BY CloseDate ASC, SystemModstamp DESC LIMIT 2"), ["O'Neil", "Alpha"]);
    assert_eq!(names(&twin, "ORDER BY Name LIMIT 1 OFFSET 1"), ["beta 50%"]);
    let counted = soql(&twin, "SELECT COUNT() FROM Opportunity WHERE Amount != null").body_json();
    assert_eq!(counted, json!({"totalSize": 2, "done": true, "records": []}));
}

#[test]
fn rows_follow_references() {
    let twin = twin();
    let account = twin.add_record("Account", json!({"Name": "Corp"})).unwrap();
    add(&twin, "With", json!({"AccountId": account}));
    add(&twin, "Without", json!({}));
    let body = soql(&twin, "SELECT account.name, Account.Id FROM Opportunity ORDER BY Name").body_json();
    let url = format!("/services/data/v60.0/sobjects/Account/{account}");
    let shown = json!({"attributes": {"type": "Account", "url": url}, "Name": "Corp", "Id": account});
    assert_eq!([&body["records"][0]["Account"], &body["records"][1]["Account"]], [&shown, &Value::Null]);
    assert_eq!(names(&twin, "WHERE Account.Name = 'corp'"), ["With"]);
}

#[test]
fn bad_queries_are_refused_by_their_own_codes() {
    let twin = twin();
    for (text, wanted) in [
        ("SELECT Nothing FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Nothing = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity ORDER BY Nothing", "INVALID_FIELD"),
        ("SELECT Owner.Name FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id Opportunity", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE Name = 'x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE Amount = '1'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Name = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE SystemModstamp > '2026-01-02T03:04:05Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE CloseDate > 2026-01-02T03:04:05Z", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Amount LIKE 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Opportunity WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Opportunity OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ] {
        let answer = soql(&twin, text);
        assert_eq!((answer.status, &answer.body_json()[0]["errorCode"]), (400, &json!(wanted)), "{text}");
    }
    twin.set("hidden_fields", json!(["Opportunity.Amount"]));
    assert_eq!(soql(&twin, "SELECT Amount FROM Opportunity").status, 400);
}

#[test]
fn pages_are_fixed_when_the_query_runs_and_can_be_read_again() {
    let twin = twin();
    for number in 0..5 {
        add(&twin, &format!("Deal {number}"), json!({}));
    }
    twin.set("page_size", json!(2));
    let first =
        ask(&twin, twin.request("GET", "/query/?q=SELECT+Name+FROM+Opportunity+ORDER+BY+Name")).body_json();
    assert_eq!((&first["totalSize"], &first["done"]), (&json!(5), &json!(false)));
    let id =
        first["records"][0]["attributes"]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    twin.hub.person(Edit::Delete { entity: "Opportunity".into(), id }).unwrap();
    let follow = |url: &Value| {
        let request = Request::new("GET", url.as_str().unwrap());
        ask(&twin, request.with_header("authorization", &format!("Bearer {}", twin.token)))
    };
    let second = follow(&first["nextRecordsUrl"]).body_json();
    assert_eq!(second["records"][0]["Name"], "Deal 2");
    assert_eq!(follow(&first["nextRecordsUrl"]).body_json(), second);
    let third = follow(&second["nextRecordsUrl"]).body_json();
    assert_eq!(
        (&third["done"], third.get("nextRecordsUrl"), &third["records"][0]["Name"]),
        (&json!(true), None, &json!("Deal 4"))
    );
    let expire = Effect::Knob { name: "expire_locator".into(), value: Value::Null };
    twin.hub.fault(Fault::of_kind("queryMore", expire));
    let gone = follow(&second["nextRecordsUrl"]);
    assert_eq!((gone.status, &gone.body_json()[0]["errorCode"]), (400, &json!("INVALID_QUERY_LOCATOR")));
    assert_eq!(follow(&second["nextRecordsUrl"]).status, 400);
    let other = soql(&twin, "SELECT Id FROM Opportunity").body_json();
    pass(&twin, 2 * 24 * 3600);
    assert_eq!(follow(&other["nextRecordsUrl"]).body_json()[0]["errorCode"], "INVALID_QUERY_LOCATOR");
}

#[test]
fn a_client_chooses_the_page_size_within_limits() {
    let twin = twin();
    for number in 0..201 {
        add(&twin, &format!("Deal {number}"), json!({}));
    }
    let rows = |options: &str| {
        let request = twin.request("GET", "/query?q=SELECT%20Id%20FROM%20Opportunity");
        let body = ask(&twin, request.with_header("Sforce-Query-Options", options)).body_json();
        body["records"].as_array().map(Vec::len)
    };
    assert_eq!([rows("batchSize=5"), rows("batchSize=200"), rows("x=1")], [Some(200), Some(200), Some(201)]);
}

#[test]
fn deletions_show_in_the_bin_and_in_the_feed_whoever_deletes() {
    let twin = twin();
    let (by_api, by_hand) = (add(&twin, "Api", json!({})), add(&twin, "Hand", json!({})));
    pass(&twin, 120);
    ask(&twin, twin.request("DELETE", &format!("/sobjects/Opportunity/{by_api}")));
    twin.hub.person(Edit::Delete { entity: "Opportunity".into(), id: by_hand.clone() }).unwrap();
    let all = |condition: &str| {
        let text = format!("SELECT Id, IsDeleted, SystemModstamp FROM Opportunity {condition}");
        ask(&twin, twin.request("GET", &format!("/queryAll?q={}", encode(&text)))).body_json()
    };
    let bin = all("WHERE IsDeleted = true AND SystemModstamp >= 2026-01-02T03:06:05Z ORDER BY Id");
    assert_eq!((&bin["totalSize"], &bin["records"][0]["Id"]), (&json!(2), &json!(by_api)));
    assert_eq!(bin["records"][1]["IsDeleted"], true);
    assert_eq!(names(&twin, ""), Vec::<String>::new());
    pass(&twin, 120);
    let feed =
        |window: &str| ask(&twin, twin.request("GET", &format!("/sobjects/Opportunity/deleted/?{window}")));
    let window = "start=2026-01-02T03%3A05%3A59%2B00%3A00&end=2026-01-02T03%3A10%3A00%2B00%3A00";
    let body = feed(window).body_json();
    let row = |id: &str| json!({"id": id, "deletedDate": "2026-01-02T03:06:05.000+0000"});
    assert_eq!(body["deletedRecords"], json!([row(&by_api), row(&by_hand)]));
    assert_eq!(body["latestDateCovered"], "2026-01-02T03:08:05.000+0000");
    assert_eq!(body["earliestDateAvailable"], "2025-12-18T03:08:05.000+0000");
    let undelete =
        Edit::Action { name: "undelete".into(), with: json!({"entity": "Opportunity", "id": by_hand}) };
    twin.hub.person(undelete).unwrap();
    assert_eq!(feed(window).body_json()["deletedRecords"], json!([row(&by_api)]));
    twin.set("delete_log_since", json!("2026-01-02T03:07:00Z"));
    let purged = feed(window).body_json();
    assert_eq!(
        (&purged["deletedRecords"], &purged["earliestDateAvailable"]),
        (&json!([]), &json!("2026-01-02T03:07:00.000+0000"))
    );
    for bad in [
        "start=2026-01-02T03:00:00Z&end=2026-01-02T03:00:59Z",
        "start=2025-12-01T00:00:00Z&end=2026-01-02T03:00:59Z",
        "start=2026-01-02T03:00:00+00:00&end=2026-01-02T03:10:00%2B00:00",
        "",
    ] {
        assert_eq!(feed(bad).status, 400, "{bad}");
    }
    pass(&twin, 16 * 24 * 3600);
    assert_eq!(all("WHERE IsDeleted = true")["totalSize"], 0);
}

#[test]
fn the_feed_of_changes_goes_by_the_system_stamp() {
    let twin = twin();
    let old = add(&twin, "Old", json!({}));
    pass(&twin, 600);
    let new = add(&twin, "New", json!({}));
    pass(&twin, 60);
    let feed = || {
        let window = "start=2026-01-02T03:10:00Z&end=2026-01-02T04:00:00Z";
        ask(&twin, twin.request("GET", &format!("/sobjects/Opportunity/updated?{window}"))).body_json()
    };
    assert_eq!(feed(), json!({"ids": [new], "latestDateCovered": "2026-01-02T03:15:05.000+0000"}));
    let with = json!({"entity": "Opportunity", "ids": [old]});
    twin.hub.person(Edit::Action { name: "touch".into(), with }).unwrap();
    assert_eq!(feed()["ids"], json!([old, new]));
    twin.set("feed_lag_seconds", json!(30));
    assert_eq!(feed(), json!({"ids": [new], "latestDateCovered": "2026-01-02T03:14:35.000+0000"}));
}

#[test]
fn the_losers_of_a_merge_name_the_winner() {
    let twin = twin();
    let winner = twin.add_record("Account", json!({"Name": "Corp"})).unwrap();
    let loser = twin.add_record("Account", json!({"Name": "Corp Ltd"})).unwrap();
    twin.merge("Account", &winner, &[&loser]).unwrap();
    let text = encode("SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = true");
    let body = ask(&twin, twin.request("GET", &format!("/queryAll/?q={text}"))).body_json();
    let row = &body["records"][0];
    assert_eq!((&row["Id"], &row["MasterRecordId"]), (&json!(loser), &json!(winner)));
    assert!(twin.merge("Opportunity", &winner, &[&loser]).is_err());
}
