//! The ERP definitions end to end over scripted answers, and what the built-in definitions declare.

use super::*;

fn netsuite(request: &HttpRequest) -> Answer {
    let query = body(request)["q"].as_str().unwrap_or_default().to_owned();
    let row = |id: u32| {
        format!(
            r#"{{"links":[],"id":"{id}","tranid":"SO{id}","total":"10.50","shipdate":"2026-12-01","lastmodifieddate":"2026-11-21T04:00:0{id}"}}"#
        )
    };
    if query.contains("deletedrecord") {
        answer(
            403,
            r#"{"title":"x","status":403,"o:errorDetails":[{"detail":"no permission","o:errorCode":"INSUFFICIENT_PERMISSION"}]}"#,
        )
    } else if query.contains("t.id > 2") {
        answer(200, &format!(r#"{{"items":[{}],"hasMore":false,"totalResults":1}}"#, row(3)))
    } else if query.contains("t.id = 77") {
        answer(200, r#"{"items":[],"hasMore":false}"#)
    } else if query.contains("t.id = ") {
        answer(200, &format!(r#"{{"items":[{}],"hasMore":false}}"#, row(1)))
    } else if query.starts_with("SELECT") {
        answer(200, &format!(r#"{{"items":[{},{}],"hasMore":true,"totalResults":3}}"#, row(1), row(2)))
    } else if request.method == "PUT" {
        with_headers(204, "", &[("location", "http://127.0.0.1:9999/services/rest/record/v1/salesOrder/1")])
    } else if request.method == "GET" && request.url.contains("eid%3A") {
        answer(500, "the colon must stay")
    } else if request.method == "GET" && request.url.ends_with("eid:tly-known") {
        answer(200, r#"{"id":"1","externalId":"tly-known"}"#)
    } else if request.method == "GET" {
        answer(
            404,
            r#"{"title":"x","status":404,"o:errorDetails":[{"detail":"The record instance does not exist.","o:errorCode":"NONEXISTENT_ID"}]}"#,
        )
    } else {
        answer(
            400,
            r#"{"title":"x","status":400,"o:errorDetails":[{"detail":"The period is closed.","o:errorCode":"USER_ERROR","o:errorPath":"total"}]}"#,
        )
    }
}

#[tokio::test]
async fn netsuite_reads_by_suiteql_and_writes_records() {
    let fakes = fakes(netsuite);
    let erp = system(&spec("netsuite", &[], true), &fakes);
    let entity =
        erp.open(request("salesOrder", &["shipDate", "total", "tranId"], &["shipDate"])).await.unwrap();
    let first = entity.list(&Listing::Full, None).await.unwrap();
    let second = entity.list(&Listing::Full, first.next.as_deref()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
    // The cursor is the newest stamp seen, in the system's own zone.
    assert_eq!(second.cursor.as_deref(), Some(r#"{"at":"2026-11-21T04:00:03"}"#));
    assert_eq!((first.total, second.total), (Some(3), None));
    let sent = seen(&fakes);
    assert_eq!(
        body(&sent[0])["q"],
        json!(
            "SELECT t.id, TO_CHAR(t.shipdate,'YYYY-MM-DD') AS shipdate, t.total, t.tranid, TO_CHAR(t.lastmodifieddate,'YYYY-MM-DD\"T\"HH24:MI:SS') AS lastmodifieddate FROM transaction t WHERE t.type = 'SalesOrd' AND t.lastmodifieddate >= TO_TIMESTAMP('1970-01-01T00:00:00','YYYY-MM-DD\"T\"HH24:MI:SS') ORDER BY t.lastmodifieddate, t.id"
        )
    );
    assert!(sent[0].url.ends_with("/services/rest/query/v1/suiteql?limit=1000&offset=0"));
    assert_eq!(header(&sent[0], "Prefer"), Some("transient"));
    let listed = entity.decode(&first.items[0].raw).unwrap();
    let Lookup::Found(got) = entity.get("1").await.unwrap() else { panic!("not found") };
    assert_eq!(listed, got);
    assert_eq!(
        serde_json::to_value(&got.values).unwrap(),
        json!({"shipDate": "2026-12-01", "total": "10.50", "tranId": "SO1"})
    );
    assert!(matches!(entity.get("77").await.unwrap(), Lookup::Missing(_)));
    assert!(entity.get("1 OR 1=1").await.is_err());

    let new = NewRecord { values: values(json!({"tranId": "x", "entity": "5"})), mark: "m1".to_owned() };
    assert_eq!(entity.create(&new).await.unwrap().id.as_deref(), Some("1"));
    let put = seen(&fakes).pop().unwrap();
    assert!(put.url.ends_with("/services/rest/record/v1/salesOrder/eid:tly-m1"), "{}", put.url);
    assert_eq!(body(&put), json!({"tranId": "x", "entity": {"id": "5"}}));
    assert_eq!(entity.find_marked("known").await.unwrap()[0].id, "1");
    assert!(entity.find_marked("other").await.unwrap().is_empty());
    let held = entity.update(&record("1", None), &values(json!({"total": 1}))).await.unwrap_err();
    assert_eq!((held.class, held.fields), (FailureClass::Held, vec!["total".to_owned()]));
    // Without the permission the sweep is told that it alone counts.
    assert!(entity.tombstones(None).await.unwrap().gap);
}

#[tokio::test]
async fn netsuite_signs_every_attempt_anew() {
    let fakes = crate::connector::fakes::scripted(vec![
        with_headers(429, "", &[("retry-after", "1")]),
        answer(200, r#"{"items":[],"hasMore":false}"#),
    ]);
    let vars = [
        ("account", "123_SB1"),
        ("auth_mode", "tba"),
        ("consumer_key", "ck"),
        ("consumer_secret", "$CS"),
        ("token_id", "ti"),
        ("token_secret", "$TS"),
    ];
    let erp = system(&spec("netsuite", &vars, false), &fakes);
    erp.probe().await.unwrap();
    let sent = seen(&fakes);
    assert!(sent[0].url.starts_with("https://123-sb1.suitetalk.api.netsuite.com/"), "{}", sent[0].url);
    let first = header(&sent[0], "Authorization").unwrap();
    assert!(first.starts_with("OAuth realm=\"123_SB1\""), "{first}");
    assert_ne!(Some(first), header(&sent[1], "Authorization"));
}

fn tryton(request: &HttpRequest) -> Answer {
    let sent = body(request);
    let method = sent["method"].as_str().unwrap().to_owned();
    let row = r#"{"id":7,"name":"ACME","active":1,"_timestamp":"1795277532.13286","write_date":null,"create_date":{"__class__":"datetime","year":2026,"month":1,"day":2,"hour":3,"minute":4,"second":5,"microsecond":0},"credit":{"__class__":"Decimal","decimal":"12.50"}}"#;
    if method == "common.db.login" {
        assert_eq!(sent["params"], json!(["admin", {"password": "secret-PW"}, "en"]));
        return answer(200, r#"{"id":1,"result":[2,"sessionkey",null]}"#);
    }
    // "admin:2:sessionkey"
    assert_eq!(header(request, "Authorization"), Some("Session YWRtaW46MjpzZXNzaW9ua2V5"));
    match method.rsplit('.').next().unwrap() {
        "fields_get" => answer(
            200,
            r#"{"id":1,"result":{"name":{"type":"char"},"active":{"type":"boolean"},"credit":{"type":"numeric"},"code":{"type":"char"}}}"#,
        ),
        "search_read" => answer(200, &format!(r#"{{"id":1,"result":[{row}]}}"#)),
        "create" => answer(200, r#"{"id":1,"result":[9]}"#),
        "write" => answer(
            200,
            r#"{"id":1,"error":["ConcurrencyException","Records were modified in the meanwhile"]}"#,
        ),
        _ => answer(200, r#"{"id":1,"error":["UserError",["no","secret-PW",null]]}"#),
    }
}

#[tokio::test]
async fn tryton_checks_its_stamp_and_tags_its_values() {
    let fakes = fakes(tryton);
    let vars = [
        ("base_url", "https://erp.example.com"),
        ("database", "erp"),
        ("username", "admin"),
        ("password", "$PW"),
        ("company", "1"),
    ];
    let erp = system(&spec("tryton", &vars, false), &fakes);
    let mut wanted = request("party.party", &["credit", "name"], &["credit"]);
    wanted.marker = Some("code".to_owned());
    let entity = erp.open(wanted).await.unwrap();
    let page = entity.list(&Listing::Since(None), None).await.unwrap();
    let found = entity.decode(&page.items[0].raw).unwrap();
    assert_eq!((found.id.as_str(), found.archived), ("7", false));
    assert_eq!(found.version.as_deref(), Some("1795277532.13286"));
    assert_eq!(found.values["credit"].to_string(), "12.50");
    let sent = seen(&fakes).pop().unwrap();
    assert!(sent.url.ends_with("/erp/rpc/"));
    let params = body(&sent)["params"].clone();
    assert_eq!(params[0][0][0], json!("OR"));
    assert_eq!(params[0][0][2][0], json!(["write_date", "=", null]));
    assert_eq!(
        params[4],
        json!(["id", "write_date", "create_date", "_timestamp", "active", "credit", "name"])
    );
    assert_eq!(params[5], json!({"company": 1, "companies": [1], "active_test": false}));

    let failure = entity.update(&found, &values(json!({"credit": "13.5"}))).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Conflict, Applied::No));
    let params = body(&seen(&fakes).pop().unwrap())["params"].clone();
    assert_eq!(params[0], json!([7]));
    assert_eq!(params[1], json!({"credit": {"__class__": "Decimal", "decimal": "13.5"}}));
    assert_eq!(params[2]["_timestamp"], json!({"party.party,7": "1795277532.13286"}));

    let new = NewRecord { values: values(json!({"name": "x"})), mark: "m1".to_owned() };
    assert_eq!(entity.create(&new).await.unwrap().id.as_deref(), Some("9"));
    assert_eq!(body(&seen(&fakes).pop().unwrap())["params"][0], json!([{"name": "x", "code": "m1"}]));
    let failure = entity.remove(&found, Removal::Delete).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Invalid);
    assert!(!failure.answered.contains("secret-PW"), "{failure}");
}

#[tokio::test]
async fn a_wrong_tryton_password_says_what_was_refused() {
    let fakes = fakes(|_| answer(200, r#"{"id":1,"result":null}"#));
    let vars = [
        ("base_url", "https://erp.example.com"),
        ("database", "erp"),
        ("username", "admin"),
        ("password", "$PW"),
    ];
    let erp = system(&spec("tryton", &vars, false), &fakes);
    let (failure, other) = tokio::join!(erp.probe(), erp.probe());
    let failure = failure.unwrap_err();
    assert_eq!(failure.class, FailureClass::Auth);
    assert!(failure.attempted.contains("log in to sys"), "{failure}");
    // Nobody else tries the same password again at once: that would lock the account.
    assert_eq!(other.unwrap_err().class, FailureClass::Auth);
    assert_eq!(seen(&fakes).len(), 1);
}

#[test]
fn only_what_is_in_use_must_be_given() {
    let fakes = fakes(opportunity);
    let catalog = Catalog::built_in().unwrap();
    let problems = |spec: &SystemSpec| {
        let definition = catalog.get(&spec.connector).unwrap();
        match DeclarativeSystem::new(spec, definition, &secret, fakes.ports.clone()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        }
    };
    assert!(problems(&spec("salesforce", &[], true)).is_empty());
    assert!(problems(&spec("netsuite", &[], true)).is_empty());
    let missing = problems(&spec("salesforce", &[], false)).join("\n");
    for name in ["client_id", "username", "private_key"] {
        assert!(missing.contains(&format!("systems.sys.vars.{name} is missing")), "{missing}");
    }
    assert!(!missing.contains("client_secret") && !missing.contains("vars.password"), "{missing}");
    let clear =
        problems(&spec("salesforce", &[("private_key", "in clear"), ("client_idd", "x")], false)).join("\n");
    assert!(
        clear.contains("private_key is a secret") && clear.contains("did you mean \"client_id\"?"),
        "{clear}"
    );
    let wrong = problems(&spec("netsuite", &[("account", "a b"), ("auth_mode", "oauth")], true)).join("\n");
    assert!(wrong.contains("does not match") && wrong.contains("not one of m2m, tba"), "{wrong}");
    let mut clear_http = spec("salesforce", &[], true);
    clear_http.base_url = Some("http://crm.example.com".to_owned());
    assert!(problems(&clear_http).join("").contains("loopback"));
}

#[test]
fn the_axes_of_the_built_in_definitions() {
    let catalog = Catalog::built_in().unwrap();
    let axes = |id: &str, entity: &str| {
        plan(catalog.get(id).unwrap(), entity, &BTreeMap::new()).unwrap().capabilities
    };
    let crm = axes("salesforce", "Thing__c");
    assert_eq!(
        (crm.condition, crm.create, crm.deletes),
        (WriteCondition::Inexact, CreateIdentity::External, DeleteVisibility::Feed)
    );
    let erp = axes("netsuite", "salesOrder");
    assert_eq!((erp.condition, erp.create), (WriteCondition::Compare, CreateIdentity::External));
    let tryton = axes("tryton", "party.party");
    assert_eq!(
        (tryton.condition, tryton.create, tryton.deletes),
        (WriteCondition::Inexact, CreateIdentity::Marker, DeleteVisibility::Absence)
    );
    assert!(tryton.archive && !crm.archive);
    let shown = describe(catalog.get("salesforce").unwrap());
    assert!(shown.any_entity && shown.auth.contains(&"jwt".to_owned()));
    assert!(shown.capabilities.iter().any(|(name, _)| name == "any"));
}
