//! Tests of what becomes of a base after a write.

use super::super::fixtures::{field, number};
use super::super::spec::Rule;
use super::*;

fn account(kind: FieldType, before: Value, sent: Value, shown: Seen, proven: bool) -> Account {
    let fields = [field("x", kind, 2)];
    let unit = Unit { name: "x".into(), fields: vec![0], rule: Rule::Ask };
    after_write(&WriteBack {
        fields: &fields,
        unit: &unit,
        side: 0,
        base: &[before],
        stood: 1,
        sent: &[Some(sent)],
        number: 2,
        shown: &[shown],
        proven,
    })
}

fn text(before: &str, sent: &str, shown: &str, proven: bool) -> Account {
    account(FieldType::Text, Value::text(before), Value::text(sent), Seen::Value(Value::text(shown)), proven)
}

#[test]
fn what_was_sent_is_the_base() {
    let account = text("old", "new", "new", false);
    assert_eq!(account, Account { base: vec![Value::text("new")], stands: 2, outcome: Outcome::AsSent });
}

#[test]
fn another_spelling_is_accepted_as_the_base() {
    let account = text("old", "New York ", "NEW YORK", false);
    assert_eq!((account.base, account.stands), (vec![Value::text("NEW YORK")], 2));
    assert!(matches!(account.outcome, Outcome::Normalised(_)));
    let account = text("old", "new", "whatever", true);
    assert_eq!(account.base, [Value::text("whatever")], "the version proves that the system made it");
}

#[test]
fn an_outside_edit_stays_a_difference() {
    let account = text("old", "new", "theirs", false);
    assert_eq!((account.base, account.stands), (vec![Value::text("new")], 2));
    let Outcome::OutsideEdit(why) = account.outcome else { panic!("{:?}", account.outcome) };
    assert!(why.contains("theirs") && why.contains("new"), "{why}");
}

#[test]
fn a_write_without_effect_is_told_apart_by_proof() {
    let unproven = text("old", "new", "old", false);
    assert_eq!((unproven.base.as_slice(), unproven.stands), ([Value::text("old")].as_slice(), 1));
    assert!(matches!(unproven.outcome, Outcome::Unchanged(_)));
    let proven = text("old", "new", "old", true);
    assert_eq!(proven.stands, 2, "it would be written again for ever");
    assert!(matches!(proven.outcome, Outcome::Ignored(_)));
}

#[test]
fn an_open_write_is_only_closed_by_what_it_meant() {
    let fields = [field("x", FieldType::Text, 1)];
    let unit = Unit { name: "x".into(), fields: vec![0], rule: Rule::Ask };
    let (base, sent) = ([Value::text("old")], [Some(Value::text("new"))]);
    for (shown, closed) in [("new", true), ("NEW", true), ("old", false), ("theirs", false)] {
        let shown = [Seen::Value(Value::text(shown))];
        let back = WriteBack {
            fields: &fields,
            unit: &unit,
            side: 0,
            base: &base,
            stood: 1,
            sent: &sent,
            number: 2,
            shown: &shown,
            proven: false,
        };
        assert_eq!(resolve_open(&back).is_some(), closed, "{shown:?}");
    }
}

#[test]
fn absent_and_unreadable_answers() {
    let sent = || Value::text("new");
    let absent = account(FieldType::Text, Value::Null, sent(), Seen::Absent, true);
    assert_eq!((absent.base, absent.outcome), (vec![sent()], Outcome::AsSent));
    let unknown = account(FieldType::Text, Value::Null, sent(), Seen::Unknown("a list".into()), false);
    assert!(matches!(unknown.outcome, Outcome::OutsideEdit(why) if why.contains("a list")));
}

#[test]
fn only_what_loses_detail_explains_a_difference() {
    let kind = FieldType::Decimal(3);
    for (sent, shown, explained) in [
        ("10.005", "10.01", true),
        ("10.005", "10", true),
        ("10.009", "10", true),
        ("10.01", "10.005", false),
        ("10.005", "10.02", false),
        ("10", "11", false),
    ] {
        assert_eq!(explains(&kind, &number(sent), &number(shown)).is_some(), explained, "{sent} {shown}");
    }
    let long = "a text that is longer than the system keeps";
    let text = |sent: &str, shown: &str| explains(&FieldType::Text, &Value::text(sent), &Value::text(shown));
    assert_eq!(text(long, &long[..25]), Some("cut to its length"));
    assert_eq!(text("Acme Corp", "Acme"), None, "a person may well have shortened it");
    assert_eq!(text("new", ""), None);
    let instant = |text: &str| Value::Instant(text.parse().unwrap());
    let at = instant("2026-03-04T05:06:07.5Z");
    assert!(explains(&FieldType::DateTime, &at, &instant("2026-03-04T05:06:07Z")).is_some());
    assert!(explains(&FieldType::DateTime, &at, &instant("2026-03-04T00:00:00Z")).is_some());
    assert!(explains(&FieldType::DateTime, &at, &instant("2026-03-04T05:06:08Z")).is_none());
}
