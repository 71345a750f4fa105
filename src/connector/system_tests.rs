//! The built-in definitions end to end over scripted answers: what is sent, and what is made of answers.
//! The answers are written after the vendors' documents.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::config::model::{BudgetSpec, VarValue};
use crate::connector::api::{
    Applied, CreateIdentity, DeleteVisibility, Listing, Lookup, NewRecord, Removal, WriteCondition,
};
use crate::connector::definition::Catalog;
use crate::connector::fakes::{Answer, Fakes, fakes, json as answer, with_headers};
use crate::core::record::{Record, Values};
use crate::ports::HttpRequest;

fn spec(connector: &str, vars: &[(&str, &str)], token: bool) -> SystemSpec {
    SystemSpec {
        name: "sys".to_owned(),
        connector: connector.to_owned(),
        base_url: token.then(|| "http://127.0.0.1:9999".to_owned()),
        organization: None,
        api: None,
        auth: token.then(|| AuthSpec {
            kind: "token".to_owned(),
            values: BTreeMap::from([("token".to_owned(), VarValue::Secret(SecretRef::Env("T".to_owned())))]),
        }),
        vars: vars.iter().map(|(name, value)| ((*name).to_owned(), var(value))).collect(),
        budget: BudgetSpec { per_minute: Some(100_000), per_day: None, max_in_flight: None },
    }
}

/// `$NAME` is a secret by that name.
fn var(value: &str) -> VarValue {
    match value.strip_prefix('$') {
        Some(name) => VarValue::Secret(SecretRef::Env(name.to_owned())),
        None => VarValue::Plain(value.to_owned()),
    }
}

fn secret(reference: &SecretRef) -> Result<Secret, String> {
    match reference {
        SecretRef::Env(name) if name == "KEY" => Ok(Secret::new(rsa_pem())),
        SecretRef::Env(name) => Ok(Secret::new(format!("secret-{name}"))),
        _ => Err("not here".to_owned()),
    }
}

fn rsa_pem() -> String {
    use aws_lc_rs::encoding::AsDer as _;
    use base64::Engine as _;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

fn system(spec: &SystemSpec, fakes: &Fakes) -> DeclarativeSystem {
    let catalog = Catalog::built_in().unwrap();
    DeclarativeSystem::new(spec, catalog.get(&spec.connector).unwrap(), &secret, fakes.ports.clone())
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn request(entity: &str, paths: &[&str], written: &[&str]) -> EntityRequest {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    EntityRequest {
        entity: entity.to_owned(),
        template: None,
        paths: owned(paths),
        written: owned(written),
        marker: None,
        search_lag: Duration::ZERO,
        reopen: false,
    }
}

fn url(request: &HttpRequest) -> String {
    percent_encoding::percent_decode_str(&request.url).decode_utf8().unwrap().into_owned()
}

fn body(request: &HttpRequest) -> Json {
    serde_json::from_slice(request.body.as_deref().unwrap_or(b"null")).unwrap()
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

fn seen(fakes: &Fakes) -> Vec<HttpRequest> {
    fakes.transport.seen.lock().unwrap().clone()
}

fn values(value: Json) -> Values {
    value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn record(id: &str, version: Option<&str>) -> Record {
    Record {
        id: id.to_owned(),
        version: version.map(str::to_owned),
        updated_at: None,
        archived: false,
        values: Values::new(),
    }
}

const STAMP: &str = "2026-11-21T10:00:00.000+0000";
const ROW_ID: &str = "006D000000IqhSLIAZ";

fn opportunity(request: &HttpRequest) -> Answer {
    let url = url(request);
    let row = format!(
        r#"{{"attributes":{{"type":"Opportunity"}},"Id":"{ROW_ID}","SystemModstamp":"{STAMP}","Amount":12500.5,"Name":null}}"#
    );
    if url.ends_with("/describe") {
        answer(
            200,
            r#"{"fields":[{"name":"Id","type":"id","updateable":false},{"name":"Amount","type":"currency","updateable":true},{"name":"Name","type":"string","updateable":true},{"name":"IsWon","type":"boolean","updateable":false}]}"#,
        )
    } else if url.contains("/query/01g-2000") {
        answer(400, r#"[{"message":"gone","errorCode":"INVALID_QUERY_LOCATOR"}]"#)
    } else if url.contains("Id > '006") {
        answer(200, r#"{"totalSize":0,"done":true,"records":[]}"#)
    } else if url.contains("/queryAll") {
        answer(
            200,
            r#"{"totalSize":1,"done":true,"records":[{"attributes":{},"Id":"006D000000IqhSLIAZ","IsDeleted":true}]}"#,
        )
    } else if url.contains("/query?q=SELECT") {
        with_headers(
            200,
            &format!(
                r#"{{"totalSize":2,"done":false,"nextRecordsUrl":"/services/data/v64.0/query/01g-2000","records":[{row}]}}"#
            ),
            &[("date", "Sat, 21 Nov 2026 12:00:00 GMT")],
        )
    } else if url.contains("/deleted/") {
        answer(
            200,
            r#"{"deletedRecords":[{"id":"006D000000IqhSL","deletedDate":"2026-11-21T11:00:00.000+0000"}],"earliestDateAvailable":"2026-11-20T00:00:00.000+0000","latestDateCovered":"2026-11-21T11:59:00.000+0000"}"#,
        )
    } else if request.method == "GET" && url.contains(ROW_ID) {
        answer(200, &row)
    } else if request.method == "PATCH" && url.contains("Tallyfy_Id__c") {
        answer(201, r#"{"id":"006D000000IqhSL","success":true,"created":true,"errors":[]}"#)
    } else if request.method == "PATCH" && header(request, "If-Unmodified-Since").is_some() {
        answer(412, r#"[{"errorCode":"PRECONDITION_FAILED","message":"changed"}]"#)
    } else if request.method == "DELETE" {
        answer(404, r#"[{"errorCode":"ENTITY_IS_DELETED","message":"entity is deleted"}]"#)
    } else {
        answer(404, r#"[{"errorCode":"NOT_FOUND","message":"no"}]"#)
    }
}

#[tokio::test]
async fn salesforce_lists_restarts_and_decodes_alike() {
    let fakes = fakes(opportunity);
    let crm = system(&spec("salesforce", &[], true), &fakes);
    let entity = crm.open(request("Opportunity", &["Amount", "Name"], &["Amount"])).await.unwrap();
    let listing = Listing::Since(None);
    let page = entity.list(&listing, None).await.unwrap();
    assert_eq!(page.total, Some(2));
    assert_eq!(page.items[0].id, ROW_ID);
    let listed = entity.decode(&page.items[0].raw).unwrap();
    let Lookup::Found(got) = entity.get(ROW_ID).await.unwrap() else { panic!("not found") };
    assert_eq!(listed, got);
    assert_eq!(serde_json::to_value(&got.values).unwrap(), json!({"Amount": 12500.5, "Name": null}));
    assert_eq!(got.version.as_deref(), Some(STAMP));
    // The server forgot its locator: the listing goes on by keyset.
    let last = entity.list(&listing, page.next.as_deref()).await.unwrap();
    assert_eq!((last.items.len(), last.next), (0, None));
    let cursor = last.cursor.unwrap();
    // 12:00:00 by the server's clock, less the hold-back and the error of the measure.
    assert_eq!(cursor, r#"{"at":"2026-11-21T11:59:29.999Z"}"#);
    entity.list(&Listing::Since(Some(cursor)), None).await.unwrap();
    let queries: Vec<String> = seen(&fakes).iter().map(url).filter(|url| url.contains("/query?q=")).collect();
    assert!(queries[0].contains("SELECT Id,SystemModstamp,Amount,Name FROM Opportunity WHERE SystemModstamp >= 1970-01-01T00:00:00Z ORDER BY SystemModstamp ASC, Id ASC"), "{}", queries[0]);
    assert!(queries[1].contains("(SystemModstamp = 2026-11-21T10:00:00Z AND Id > '006D000000IqhSLIAZ') OR SystemModstamp > 2026-11-21T10:00:00Z"), "{}", queries[1]);
    assert!(queries[2].contains("SystemModstamp >= 2026-11-21T11:49:29Z"), "{}", queries[2]);
    assert!(seen(&fakes).iter().all(|request| header(request, "Authorization") == Some("Bearer secret-T")));
}

#[tokio::test]
async fn salesforce_writes_with_its_condition_and_creates_by_upsert() {
    let fakes = fakes(opportunity);
    let crm = system(&spec("salesforce", &[], true), &fakes);
    let entity = crm.open(request("Opportunity", &["Amount", "Name"], &["Amount"])).await.unwrap();
    let failure =
        entity.update(&record(ROW_ID, Some(STAMP)), &values(json!({"Amount": 1}))).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Conflict, Applied::No));
    assert!(failure.attempted.contains("update Opportunity 006D000000IqhSLIAZ in sys"), "{failure}");
    let sent = seen(&fakes).pop().unwrap();
    assert_eq!(header(&sent, "If-Unmodified-Since"), Some("Sat, 21 Nov 2026 10:00:00 GMT"));
    assert_eq!(body(&sent), json!({"Amount": 1}));
    let new = NewRecord { values: values(json!({"Name": "x"})), mark: "m1".to_owned() };
    let made = entity.create(&new).await.unwrap();
    assert_eq!((made.id.as_deref(), made.existed), (Some(ROW_ID), false));
    let sent = seen(&fakes).pop().unwrap();
    assert!(sent.url.ends_with("/sobjects/Opportunity/Tallyfy_Id__c/m1"), "{}", sent.url);
    // Already gone: nothing left to do.
    entity.remove(&record(ROW_ID, None), Removal::Delete).await.unwrap();
    let failure = entity.remove(&record(ROW_ID, None), Removal::Archive).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Invalid);
}

#[tokio::test]
async fn salesforce_deletions_need_evidence() {
    let fakes = fakes(opportunity);
    let crm = system(&spec("salesforce", &[], true), &fakes);
    let entity = crm.open(request("Opportunity", &["Amount"], &[])).await.unwrap();
    let gone = entity.get("006D000000XXXXXAAA").await.unwrap();
    assert!(matches!(gone, Lookup::Gone { merged_into: None, .. }), "{gone:?}");
    let found = entity.tombstones(Some("2026-11-21T09:00:00Z")).await.unwrap();
    assert_eq!(found.ids[0].0, ROW_ID);
    assert!(!found.gap);
    assert_eq!(found.next_since.as_deref(), Some("2026-11-21T11:59:00.000+0000"));
    let late = entity.tombstones(Some("2026-11-15T09:00:00Z")).await.unwrap();
    assert!(late.gap);
}

#[tokio::test]
async fn names_are_checked_before_the_first_poll() {
    let fakes = fakes(opportunity);
    let crm = system(&spec("salesforce", &[], true), &fakes);
    let failure = crm.open(request("Opportunity", &["Amout"], &[])).await.map(|_| ()).unwrap_err();
    assert!(failure.answered.contains("did you mean \"Amount\"?"), "{failure}");
    let failure = crm.open(request("Opportunity", &["IsWon"], &["IsWon"])).await.map(|_| ()).unwrap_err();
    assert!(failure.answered.contains("cannot be written"), "{failure}");
    for path in ["a b", "Id) FROM User", "", "1x"] {
        assert!(crm.open(request("Opportunity", &[path], &[])).await.is_err(), "{path}");
    }
    assert!(crm.capabilities("Opportunity; DROP").is_err());
}

#[tokio::test]
async fn expired_tokens_are_renewed_once_however_many_wait() {
    let fakes = fakes(|request| {
        if request.url.ends_with("/services/oauth2/token") {
            let form = String::from_utf8(request.body.clone().unwrap()).unwrap();
            assert!(
                form.contains(
                    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"
                ),
                "{form}"
            );
            return answer(
                200,
                r#"{"access_token":"new-token","instance_url":"https://corp.my.salesforce.com"}"#,
            );
        }
        assert!(request.url.starts_with("https://corp.my.salesforce.com/"), "{}", request.url);
        opportunity(request)
    });
    let vars = [("client_id", "id"), ("username", "u"), ("private_key", "$KEY")];
    let crm = system(&spec("salesforce", &vars, false), &fakes);
    let entity = crm.open(request("Opportunity", &["Amount"], &[])).await.unwrap();
    let (a, b) = tokio::join!(entity.get(ROW_ID), entity.get(ROW_ID));
    assert!(a.is_ok() && b.is_ok());
    let logins = seen(&fakes).iter().filter(|request| request.url.contains("login.salesforce.com")).count();
    assert_eq!(logins, 1);
}

#[tokio::test]
async fn a_refused_session_is_renewed_once_and_a_strange_base_url_never_used() {
    let fakes = fakes(|request| {
        if request.url.ends_with("/token") {
            return answer(
                200,
                r#"{"access_token":"tok-en","instance_url":"https://corp.my.salesforce.com"}"#,
            );
        }
        answer(401, r#"[{"message":"Session expired tok-en","errorCode":"INVALID_SESSION_ID"}]"#)
    });
    let vars = [("auth_mode", "client_credentials"), ("client_id", "id"), ("client_secret", "$S")];
    let crm = system(&spec("salesforce", &vars, false), &fakes);
    let failure = crm.probe().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Auth);
    assert!(failure.answered.contains("(secret)") && !failure.answered.contains("tok-en"), "{failure}");
    let urls: Vec<String> = seen(&fakes).iter().map(|request| request.url.clone()).collect();
    assert_eq!(urls.len(), 4, "{urls:?}");
    assert!(header(&seen(&fakes)[0], "Authorization").unwrap().starts_with("Basic "));

    let strange = super::super::fakes::fakes(|_| {
        answer(200, r#"{"access_token":"t","instance_url":"https://evil.example.com"}"#)
    });
    let crm = system(&spec("salesforce", &vars, false), &strange);
    let failure = crm.probe().await.unwrap_err();
    assert!(failure.answered.contains("nothing is sent there"), "{failure}");
    assert_eq!(seen(&strange).len(), 1);
}

#[tokio::test]
async fn half_an_answer_to_who_we_are_is_a_failure_and_nobody_else() {
    let fakes = fakes(|request| {
        if request.url.ends_with("/token") {
            return answer(200, r#"{"access_token":"a1","instance_url":"https://x.salesforce.com"}"#);
        }
        answer(200, r#"{"organization_id":"00D1","user_"#)
    });
    let vars = [("auth_mode", "client_credentials"), ("client_id", "id"), ("client_secret", "$S")];
    let failure = system(&spec("salesforce", &vars, false), &fakes).probe().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Bug);
    assert!(failure.answered.contains("not valid JSON"), "{failure}");
}

#[tokio::test]
async fn a_rotated_refresh_token_is_saved_before_it_is_needed() {
    let fakes = fakes(|request| {
        if request.url.ends_with("/token") {
            return answer(
                200,
                r#"{"access_token":"a1","refresh_token":"r2","instance_url":"https://x.salesforce.com"}"#,
            );
        }
        answer(200, r#"{"organization_id":"00D1","user_id":"005"}"#)
    });
    let vars = [("auth_mode", "refresh"), ("client_id", "id"), ("refresh_token", "$R")];
    let crm = system(&spec("salesforce", &vars, false), &fakes);
    let probe = crm.probe().await.unwrap();
    assert_eq!(probe.fingerprint, "https://x.salesforce.com 00D1 005");
    assert_eq!(fakes.secrets.0.lock().unwrap().get("sys.refresh_token").map(String::as_str), Some("r2"));
    // A new process starts from the stored one.
    let again = system(&spec("salesforce", &vars, false), &fakes);
    again.probe().await.unwrap();
    let last = seen(&fakes).into_iter().rfind(|request| request.url.ends_with("/token")).unwrap();
    assert!(String::from_utf8(last.body.unwrap()).unwrap().contains("refresh_token=r2"));
}

#[path = "system_erp_tests.rs"]
mod erp;
