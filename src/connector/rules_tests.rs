//! Error rules.

use serde_json::json;

use super::*;
use crate::connector::definition::When;

fn rule(class: &str, when: When) -> Rule {
    let rule =
        ErrorRule { class: class.to_owned(), when, wait: None, detail: None, redact: Vec::new(), then: None };
    Rule::compile(&rule).unwrap()
}

fn answer(status: u16) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("x-reason".to_owned(), "cap reached".to_owned())],
        body: Vec::new(),
    }
}

#[test]
fn the_first_rule_whose_parts_all_hold_wins() {
    let rules = vec![
        rule(
            "quota",
            When {
                status: Some(toml::Value::Integer(403)),
                path: Some("/*/errorCode".to_owned()),
                values: vec!["REQUEST_LIMIT_EXCEEDED".to_owned()],
                ..When::default()
            },
        ),
        rule("forbidden", When { status: Some(toml::Value::String("4xx".to_owned())), ..When::default() }),
    ];
    let limit = json!([{"errorCode": "OTHER"}, {"errorCode": "REQUEST_LIMIT_EXCEEDED"}]);
    let class = |status, view: &Json| classify(&rules, &answer(status), view, false, CallKind::One).class;
    assert_eq!(class(403, &limit), ErrorClass::Quota);
    assert_eq!(class(400, &limit), ErrorClass::Forbidden);
    assert_eq!(class(403, &json!([])), ErrorClass::Forbidden);
    assert_eq!(class(500, &limit), ErrorClass::Transient);
}

#[test]
fn defaults_by_status_follow_the_kind_of_call() {
    let class = |status, kind| classify(&[], &answer(status), &Json::Null, false, kind).class;
    assert_eq!(class(404, CallKind::List), ErrorClass::Bug);
    assert_eq!(class(404, CallKind::One), ErrorClass::Gone);
    assert_eq!(class(302, CallKind::One), ErrorClass::Bug);
    assert_eq!(class(428, CallKind::One), ErrorClass::Bug);
    assert_eq!(class(409, CallKind::One), ErrorClass::Conflict);
    assert_eq!(class(422, CallKind::One), ErrorClass::Invalid);
}

#[test]
fn headers_details_and_redaction() {
    let by_header = rule("quota", When { header: Some("X-Reason: ^cap".to_owned()), ..When::default() });
    assert_eq!(
        classify(&[by_header], &answer(403), &Json::Null, false, CallKind::One).class,
        ErrorClass::Quota
    );
    let rule = Rule::compile(&ErrorRule {
        class: "invalid".to_owned(),
        when: When { rpc_error: Some(true), ..When::default() },
        wait: None,
        detail: None,
        redact: vec!["/debug".to_owned()],
        then: None,
    })
    .unwrap();
    let view = json!({"name": "X", "debug": "Traceback password=hunter2"});
    let found = classify(&[rule], &answer(200), &view, true, CallKind::One);
    assert!(!found.text.contains("hunter2"), "{}", found.text);
    let detailed = Rule::compile(&ErrorRule {
        class: "invalid".to_owned(),
        when: When { status: Some(toml::Value::Integer(400)), ..When::default() },
        wait: None,
        detail: Some(Detail {
            code: Some("/0/errorCode".to_owned()),
            message: Some("/0/message".to_owned()),
            fields: Some("/0/fields".to_owned()),
        }),
        redact: Vec::new(),
        then: None,
    })
    .unwrap();
    let view = json!([{"errorCode": "STRING_TOO_LONG", "message": "too\nlong", "fields": ["Name"]}]);
    let found = classify(&[detailed], &answer(400), &view, false, CallKind::One);
    assert_eq!(found.text, "status 400: STRING_TOO_LONG: too long");
    assert_eq!(found.fields, vec!["Name"]);
}

#[test]
fn durations_and_bad_rules() {
    assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
    assert_eq!(duration("2s..5m"), Ok(Duration::from_secs(2)));
    assert!(duration("15").is_err() && duration("m").is_err() && duration("1y").is_err());
    assert!(ErrorClass::parse("thortled").unwrap_err().contains("throttled"));
    let always = ErrorRule {
        class: "bug".to_owned(),
        when: When::default(),
        wait: None,
        detail: None,
        redact: Vec::new(),
        then: None,
    };
    assert!(Rule::compile(&always).unwrap_err().contains("no condition"));
}
