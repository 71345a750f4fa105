//! Tests of keys and of what unlinked records become.

use super::super::fixtures::{field, number, sides};
use super::super::spec::Normalise;
use super::super::value::{FieldType, Value};
use super::*;

fn record(side: SideIx, id: &str, key: &str) -> Unlinked {
    Unlinked { side, record: id.to_owned(), key: Some(key.to_owned()), may_create: true }
}

fn linked(link: i64, key: &str, taken: &[SideIx]) -> Linked {
    Linked { link, key: Some(key.to_owned()), taken: taken.iter().copied().collect() }
}

fn creating() -> Vec<SideSpec> {
    let mut sides = sides(3);
    sides[1].create_for = vec![0];
    sides
}

#[test]
fn a_key_needs_all_its_parts() {
    let mut fields = [
        field("no", FieldType::Text, 2),
        field("amount", FieldType::Integer, 2),
        field("year", FieldType::Integer, 2),
    ];
    assert_eq!(key_text(&fields, &vec![Seen::Value(Value::text("x")); 3]), None, "no key fields");
    fields[0].key = true;
    fields[0].normalise = vec![Normalise::Lower];
    let seen = |no: &str| vec![Seen::Value(Value::text(no)), Seen::Absent, Seen::Value(number("2026"))];
    assert_eq!(key_text(&fields, &seen("SO-1")), Some("so-1".to_owned()));
    for blank in ["", "  "] {
        assert_eq!(key_text(&fields, &seen(blank)), None);
    }
    fields[2].key = true;
    assert_eq!(key_text(&fields, &seen("SO-1")), Some(r#"["so-1",2026]"#.to_owned()));
    let mut unreadable = seen("SO-1");
    unreadable[2] = Seen::Unknown("what".into());
    assert_eq!(key_text(&fields, &unreadable), None);
    fields[2].kind = FieldType::Text;
    let pair = |a: &str, b: &str| {
        key_text(&fields, &[Seen::Value(Value::text(a)), Seen::Absent, Seen::Value(Value::text(b))])
    };
    assert_ne!(pair("a\",\"b", "c"), pair("a", "b\",\"c"));
}

#[test]
fn one_candidate_per_side_is_linked() {
    let found =
        decide(&sides(3), &[record(2, "c1", "k"), record(0, "a1", "k"), record(1, "b1", "other")], &[]);
    let members = vec![(0, "a1".to_owned()), (2, "c1".to_owned())];
    assert_eq!(found, [Identity::Link { members, create: Vec::new(), key: Some("k".to_owned()) }]);
}

#[test]
fn two_candidates_on_a_side_link_none() {
    let found = decide(&creating(), &[record(0, "a1", "k"), record(0, "a2", "k"), record(1, "b1", "k")], &[]);
    let [Identity::Ambiguous { members, reason, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(members.len(), 3);
    assert!(reason.contains("a has 2 records"), "{reason}");
}

#[test]
fn a_counterpart_is_created_only_where_allowed() {
    let sides = creating();
    let found = decide(&sides, &[record(0, "a1", "k")], &[]);
    let [Identity::Link { create, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(create, &[1]);
    assert_eq!(decide(&sides, &[record(1, "b1", "k")], &[]), [], "nothing is created for records of b");
    let never_again = Unlinked { may_create: false, ..record(0, "a1", "k") };
    assert_eq!(decide(&sides, &[never_again], &[]), []);
    let blank = Unlinked { key: None, ..record(0, "a1", "k") };
    assert_eq!(decide(&sides, &[blank], &[]), []);
    let found = decide(&sides, &[record(0, "a1", "k"), record(2, "c1", "k")], &[]);
    let [Identity::Link { members, create, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((members.len(), create.as_slice()), (2, [1].as_slice()));
}

#[test]
fn an_empty_side_of_a_link_is_joined_and_a_taken_one_is_not() {
    let links = [linked(5, "k", &[0, 1])];
    let found = decide(&creating(), &[record(2, "c1", "k")], &links);
    assert_eq!(found, [Identity::Join { link: 5, side: 2, record: "c1".to_owned() }]);
    let found = decide(&creating(), &[record(0, "a9", "k")], &links);
    let [Identity::Ambiguous { reason, links: named, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert!(reason.contains("link 5") && named == &[5], "{reason}");
    let two = [linked(5, "k", &[0]), linked(6, "k", &[0])];
    let found = decide(&sides(3), &[record(2, "c1", "k")], &two);
    assert!(matches!(found.as_slice(), [Identity::Ambiguous { links, .. }] if links == &[5, 6]));
}
