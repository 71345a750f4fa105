//! The system as a whole: building, credentials, path styles, names, the simple entities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::build;
use super::fake::{Fake, ORG};
use crate::config::model::{AuthSpec, BudgetSpec, SystemSpec, VarValue};
use crate::connector::api::{
    Entity, EntityRequest, Failure, FailureClass, Listing, Lookup, NewRecord, System,
};
use crate::core::record::Values;

pub(super) fn spec(auth: &[(&str, &str)]) -> SystemSpec {
    let plain = |text: &str| VarValue::Plain(text.to_owned());
    let mut values: BTreeMap<String, VarValue> =
        auth.iter().map(|(key, value)| ((*key).to_owned(), plain(value))).collect();
    let kind = match values.remove("kind") {
        Some(VarValue::Plain(kind)) => kind,
        _ => "token".to_owned(),
    };
    SystemSpec {
        name: "tallyfy".into(),
        connector: "tallyfy".into(),
        base_url: Some("http://127.0.0.1:9/api".into()),
        organization: Some(ORG.into()),
        api: None,
        auth: Some(AuthSpec { kind, values }),
        vars: BTreeMap::new(),
        budget: BudgetSpec { per_minute: Some(100_000), ..BudgetSpec::default() },
    }
}

pub(super) fn plain(value: &VarValue) -> Result<String, String> {
    match value {
        VarValue::Plain(text) => Ok(text.clone()),
        VarValue::Secret(_) => Err("no secrets in tests".into()),
    }
}

pub(super) fn system(fake: &Fake) -> Arc<dyn System> {
    build(&spec(&[("token", "pat")]), &plain, fake.fakes.ports.clone()).unwrap()
}

pub(super) fn request(entity: &str, paths: &[&str]) -> EntityRequest {
    EntityRequest {
        entity: entity.into(),
        template: Some("Order approval".into()),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        written: Vec::new(),
        marker: Some("kickoff.sync-id".into()),
        search_lag: Duration::from_secs(60),
        reopen: false,
    }
}

pub(super) fn values(pairs: serde_json::Value) -> Values {
    pairs.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

async fn open_failure(fake: &Fake, request: EntityRequest) -> Failure {
    match system(fake).open(request).await {
        Ok(_) => panic!("it was opened"),
        Err(failure) => failure,
    }
}

#[test]
fn every_problem_of_the_config_is_reported_at_once() {
    let fake = Fake::new();
    let mut wrong = spec(&[("kind", "password"), ("client_id", "1"), ("tokn", "x")]);
    wrong.api = Some("v2".into());
    wrong.organization = None;
    let problems = build(&wrong, &plain, fake.fakes.ports.clone()).err().unwrap().join("\n");
    for part in ["api `v2`", "organization is missing", "client_secret is missing", "auth.tokn is not a key"]
    {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    let mut elsewhere = spec(&[("token", "x")]);
    elsewhere.base_url = Some("http://tallyfy.example/api".into());
    assert!(build(&elsewhere, &plain, fake.fakes.ports.clone()).is_err());
}

#[tokio::test]
async fn the_probe_says_who_and_where() {
    let fake = Fake::new();
    let probe = system(&fake).probe().await.unwrap();
    assert_eq!(probe.title, "Corp GmbH, as sync@corp.example");
    assert!(probe.fingerprint.contains(ORG) && probe.fingerprint.ends_with("user 10013"));
}

#[tokio::test]
async fn names_that_mean_nothing_stop_the_opening() {
    let fake = Fake::new();
    let failure =
        open_failure(&fake, request("runs", &["kickoff.order", "tasks.Nowhere.status", "nam"])).await;
    assert_eq!(failure.class, FailureClass::Invalid);
    assert_eq!(failure.fields, vec!["kickoff.order", "tasks.Nowhere.status", "nam"]);
    assert!(failure.answered.contains("`Order number`") && failure.answered.contains("`Order approval`"));
    let mut unknown = request("runs", &["name"]);
    unknown.template = Some("Order aproval".into());
    assert!(open_failure(&fake, unknown).await.answered.contains("`Order approval`"));
    let mut archived = request("runs", &["name"]);
    archived.template = Some("Old order".into());
    assert!(open_failure(&fake, archived).await.answered.contains("archived"));
    let unknown = open_failure(&fake, request("deals", &[])).await;
    assert!(unknown.answered.contains("runs, tasks, users, guests"), "{}", unknown.answered);
    let mut written = request("runs", &["status", "tasks.credit-check.approved"]);
    written.written = written.paths.clone();
    let failure = open_failure(&fake, written).await;
    assert!(
        failure.answered.contains("`status` is read-only") && failure.answered.contains("not an approval")
    );
}

#[tokio::test]
async fn a_template_is_found_by_title_alias_or_id() {
    let fake = Fake::new();
    for name in
        ["Order approval", "order-approval-7", "order-approval", super::fake::TEMPLATE, "ORDER APPROVAL"]
    {
        let mut by_name = request("runs", &["kickoff.\"Order number\""]);
        by_name.template = Some(name.into());
        assert!(system(&fake).open(by_name).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn the_guides_path_style_works_too() {
    let fake = Fake::new();
    let id = fake.launch("SO-1");
    let mut spec = spec(&[("token", "pat")]);
    spec.api = Some("v1".into());
    spec.base_url = Some("http://127.0.0.1:9".into());
    let system = build(&spec, &plain, fake.fakes.ports.clone()).unwrap();
    let runs = system.open(request("runs", &["kickoff.order-number"])).await.unwrap();
    let Lookup::Found(record) = runs.get(&id).await.unwrap() else { panic!("not found") };
    assert_eq!(record.values["kickoff.order-number"], json!("SO-1"));
    let new =
        NewRecord { values: values(json!({"name": "x", "kickoff.order-number": "SO-2"})), mark: "m1".into() };
    runs.create(&new).await.unwrap();
    let seen = fake.fakes.transport.seen.lock().unwrap();
    let urls: Vec<&str> = seen.iter().map(|request| request.url.as_str()).collect();
    assert!(urls[0].starts_with("http://127.0.0.1:9/api/v1/blueprints?"), "{}", urls[0]);
    assert!(urls.iter().any(|url| url.contains(&format!("/api/v1/runs/{id}?org={ORG}"))), "{urls:?}");
    assert!(urls.iter().any(|url| url.contains("/api/v1/processes?org=")));
    assert!(seen.iter().all(|request| {
        request.headers.iter().any(|(name, value)| name == "X-Organization-ID" && value == ORG)
    }));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_rotated_one_is_kept_first() {
    let fake = Fake::new();
    fake.world.lock().unwrap().refused.push("token-1".into());
    let auth = [("kind", "refresh"), ("client_id", "3"), ("client_secret", "s"), ("refresh_token", "first")];
    let system = build(&spec(&auth), &plain, fake.fakes.ports.clone()).unwrap();
    let open = request("runs", &["name"]);
    let (one, two) = tokio::join!(system.open(open.clone()), system.open(open));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(fake.world.lock().unwrap().tokens, 2, "one renewal for both");
    let kept = fake.fakes.secrets.0.lock().unwrap().get("tallyfy/refresh_token").cloned().unwrap();
    assert!(kept.contains("rotated-2"), "{kept}");
    {
        let seen = fake.fakes.transport.seen.lock().unwrap();
        let second = seen.iter().filter(|request| request.url.ends_with("/api/oauth/token")).nth(1).unwrap();
        assert!(String::from_utf8_lossy(second.body.as_ref().unwrap()).contains("refresh_token=rotated%2D1"));
    }
    // After a restart the kept token is used, not the configured one.
    let again = build(&spec(&auth), &plain, fake.fakes.ports.clone()).unwrap();
    fake.calls();
    again.probe().await.unwrap();
    let seen = fake.fakes.transport.seen.lock().unwrap();
    assert!(String::from_utf8_lossy(seen[0].body.as_ref().unwrap()).contains("rotated%2D2"));
}

#[tokio::test]
async fn a_dead_personal_token_is_an_auth_failure_that_says_why() {
    let fake = Fake::new();
    fake.world.lock().unwrap().refused.push("pat".into());
    let failure = system(&fake).probe().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Auth);
    assert!(failure.answered.contains("logs out"), "{}", failure.answered);
    assert!(!failure.to_string().contains("pat,"));
    assert_eq!(fake.calls().len(), 1, "nothing is tried again");
}

#[tokio::test]
async fn an_application_token_is_exchanged_for_the_users() {
    let fake = Fake::new();
    let auth = [
        ("kind", "client_credentials"),
        ("client_id", "3"),
        ("client_secret", "s"),
        ("user", "sync@corp.example"),
    ];
    let system = build(&spec(&auth), &plain, fake.fakes.ports.clone()).unwrap();
    system.probe().await.unwrap();
    let seen = fake.fakes.transport.seen.lock().unwrap();
    assert!(seen[1].url.ends_with(&format!("/api/applications/{ORG}/users/sync%40corp.example/token")));
    assert!(seen[1].headers.contains(&("Authorization".into(), "Bearer token-1".into())));
    assert!(seen[2].headers.contains(&("Authorization".into(), "Bearer token-2".into())));
}

#[test]
fn tokens_come_from_tallyfys_own_address_or_from_beside_the_api() {
    let app = |id: &str| super::auth::Application { id: id.into(), secret: "s".into() };
    let application = super::Grant::ClientCredentials { application: app("1"), user: None };
    let refresh = super::Grant::Refresh { application: app("1"), refresh_token: "r".into() };
    let address =
        |base: &str, grant| super::token_address(base, base.strip_suffix("/api").unwrap_or(base), grant);
    assert_eq!(address("https://go.tallyfy.com/api", &application), "https://go.tallyfy.com/oauth/token");
    assert_eq!(address("https://api.tallyfy.com", &refresh), "https://go.tallyfy.com/api/oauth/token");
    assert_eq!(address("https://gateway.corp.example", &refresh), "https://gateway.corp.example/oauth/token");
}

#[tokio::test]
async fn guests_are_read_adopted_and_written_with_a_comparison() {
    let fake = Fake::new();
    fake.world
        .lock()
        .unwrap()
        .guests
        .push(json!({"email": "a@b.example", "company_name": "ACME", "phone_1": ""}));
    let mut wanted = request("guests", &["company_name", "phone_1"]);
    wanted.written = vec!["company_name".into()];
    let guests: Arc<dyn Entity> = system(&fake).open(wanted).await.unwrap();
    let page = guests.list(&Listing::Full, None).await.unwrap();
    let listed = guests.decode(&page.items[0].raw).unwrap();
    assert_eq!(guests.get("a@b.example").await.unwrap(), Lookup::Found(listed.clone()));
    assert_eq!(listed.values, values(json!({"company_name": "ACME", "phone_1": null})));
    let existing = NewRecord { values: values(json!({"email": "a@b.example"})), mark: "m".into() };
    assert!(guests.create(&existing).await.unwrap().existed);
    let changes = values(json!({"company_name": "ACME Ltd"}));
    let written = guests.update(&listed, &changes).await.unwrap();
    assert_eq!(written.record.unwrap().values["company_name"], json!("ACME Ltd"));
    let failure = guests.update(&listed, &changes).await.unwrap_err();
    assert_eq!((failure.class, failure.fields), (FailureClass::Conflict, vec!["company_name".to_owned()]));
    assert!(matches!(guests.get("x@y.example").await.unwrap(), Lookup::Missing(_)));
}
