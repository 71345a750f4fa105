//! Tests of the merge, rule by rule (`docs/guarantees.md` section 7), and its laws as properties.

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::fixtures::{field, number, sides};
use super::super::lens::{Lens, LensParts};
use super::super::spec::{FieldSpec, First, Rule, SideIx, SideSpec, Unit};
use super::super::value::{FieldType, Seen, Value};
use super::*;

/// One unit over sides `a`, `b`, `c`, ...
#[derive(Debug)]
struct Case {
    sides: Vec<SideSpec>,
    fields: Vec<FieldSpec>,
    unit: Unit,
    first: First,
    agreed: Option<Agreed>,
    members: Vec<MemberUnit>,
    frozen: bool,
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn member(side: SideIx, seen: Vec<Seen>, base: Option<Vec<Value>>, stands: u64) -> MemberUnit {
    MemberUnit { side, seen, base, stands, stamp: None, stamp_error_ms: 0 }
}

impl Case {
    fn of(
        kind: FieldType,
        agreed: Option<(Value, u64, Vec<SideIx>)>,
        shown: Vec<(Value, Option<Value>, u64)>,
    ) -> Case {
        let members = shown
            .into_iter()
            .enumerate()
            .map(|(side, (seen, base, stands))| {
                member(side, vec![Seen::Value(seen)], base.map(|base| vec![base]), stands)
            })
            .collect::<Vec<_>>();
        Case {
            sides: sides(members.len()),
            fields: vec![field("x", kind, members.len())],
            unit: Unit { name: "x".into(), fields: vec![0], rule: Rule::Ask },
            first: First::Ask,
            agreed: agreed.map(|(value, number, origin)| Agreed {
                values: vec![value],
                number,
                origin,
                stamp: None,
            }),
            members,
            frozen: false,
        }
    }

    /// Texts: (shown, base, stands); agreed on `old` as number 2, made by side a.
    fn texts(shown: &[(&str, &str, u64)]) -> Case {
        let shown =
            shown.iter().map(|(seen, base, stands)| (text(seen), Some(text(base)), *stands)).collect();
        Case::of(FieldType::Text, Some((text("old"), 2, vec![0])), shown)
    }

    /// Texts that are linked for the first time.
    fn fresh(shown: &[&str]) -> Case {
        Case::of(FieldType::Text, None, shown.iter().map(|seen| (text(seen), None, 0)).collect())
    }

    fn rule(mut self, rule: Rule) -> Case {
        self.unit.rule = rule;
        self
    }

    fn input(&self) -> Input<'_> {
        Input {
            sides: &self.sides,
            fields: &self.fields,
            unit: &self.unit,
            first: &self.first,
            agreed: self.agreed.clone(),
            members: self.members.clone(),
            frozen: self.frozen,
        }
    }

    fn merge(&self) -> Decision {
        merge(&self.input())
    }

    /// Stores the decision, and lets the writes happen as they are.
    fn apply(&mut self, decision: &Decision) {
        self.agreed = decision.agreed.clone();
        for (side, base, stands) in &decision.members {
            if let Some(member) = self.members.iter_mut().find(|member| member.side == *side) {
                member.base = Some(base.clone());
                member.stands = *stands;
            }
        }
        for write in &decision.writes {
            let agreed = decision.agreed.as_ref().unwrap();
            let fields = &self.fields;
            let member = self.members.iter_mut().find(|member| member.side == write.side).unwrap();
            for (place, value) in write.values.iter().enumerate() {
                if let Some(value) = value {
                    let image = fields[place].lenses[write.side].as_ref().unwrap().image(value).unwrap();
                    member.seen[place] = Seen::Value(image.clone());
                    member.base.as_mut().unwrap()[place] = image;
                }
            }
            member.stands = agreed.number;
        }
    }
}

fn written(decision: &Decision) -> Vec<SideIx> {
    decision.writes.iter().map(|write| write.side).collect()
}

fn agreed(decision: &Decision) -> (Value, u64) {
    let agreed = decision.agreed.as_ref().unwrap();
    (agreed.values[0].clone(), agreed.number)
}

#[test]
fn rule_1_nothing_changed_decides_nothing() {
    let decision = Case::texts(&[("old", "old", 2), ("OLD", "OLD", 2)]).merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("old"), 2), vec![]));
    assert!(decision.conflict.is_none());
}

#[test]
fn rule_3_one_candidate_travels() {
    let decision = Case::texts(&[("old", "old", 2), ("new", "old", 2), ("old", "old", 2)]).merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("new"), 3), vec![0, 2]));
    assert_eq!(decision.agreed.unwrap().origin, [1]);
    assert_eq!(decision.members[1], (1, vec![text("new")], 3));
    assert_eq!(decision.members[0], (0, vec![text("old")], 2));
    assert_eq!(decision.reason, "changed on b");
    let same = Case::texts(&[("new", "old", 2), ("new", "old", 2)]).merge();
    assert_eq!((agreed(&same), written(&same)), ((text("new"), 3), vec![]), "a false conflict");
}

#[test]
fn rule_3_several_candidates_ask() {
    let decision = Case::texts(&[("one", "old", 2), ("two", "old", 2), ("old", "old", 2)]).merge();
    let conflict = decision.conflict.clone().unwrap();
    assert_eq!(conflict.agreed, Some(vec![text("old")]));
    assert_eq!(conflict.candidates.len(), 2);
    assert_eq!((agreed(&decision), written(&decision)), ((text("old"), 2), vec![]));
    assert_eq!(decision.members[0], (0, vec![text("old")], 2), "nobody is accounted for");
    assert!(
        decision.reason.contains("a says one") && decision.reason.contains("b says two"),
        "{}",
        decision.reason
    );
}

#[test]
fn rule_2_an_edit_over_a_value_never_seen_is_concurrent_with_it() {
    // a made "old" as number 2; the write to b failed, and b was edited over number 1.
    let case = Case::texts(&[("old", "old", 2), ("mine", "older", 1)]);
    let conflict = case.merge().conflict.unwrap();
    let candidates: Vec<_> =
        conflict.candidates.iter().map(|c| (c.values[0].clone(), c.sides.clone())).collect();
    assert_eq!(candidates, [(text("mine"), vec![1]), (text("old"), vec![0])]);
    let preferred =
        Case::texts(&[("old", "old", 2), ("mine", "older", 1)]).rule(Rule::Prefer(vec![0])).merge();
    assert_eq!((agreed(&preferred), written(&preferred)), ((text("old"), 3), vec![1]));
    let caught_up = Case::texts(&[("old", "old", 2), ("old", "older", 1)]).merge();
    assert_eq!((agreed(&caught_up), written(&caught_up)), ((text("old"), 2), vec![]));
    assert_eq!(caught_up.members[1], (1, vec![text("old")], 2));
}

#[test]
fn rule_4_losers_are_accounted_for_and_written() {
    let case = Case::texts(&[("one", "old", 2), ("two", "old", 2)]).rule(Rule::Prefer(vec![1, 0]));
    let decision = case.merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("two"), 3), vec![0]));
    assert_eq!(decision.members[0], (0, vec![text("one")], 2));
    assert!(decision.reason.contains("prefers b"), "{}", decision.reason);
}

#[test]
fn rule_5_a_conflict_freezes_until_all_say_the_same() {
    let mut case = Case::texts(&[("one", "old", 2), ("two", "old", 2), ("older", "older", 1)]);
    case.frozen = true;
    let frozen = case.merge();
    assert!(frozen.conflict.is_some());
    assert!(written(&frozen).is_empty(), "not even the member that is behind");
    for place in 0..3 {
        case.members[place].seen = vec![Seen::Value(text("both"))];
    }
    let closed = case.merge();
    assert_eq!((closed.conflict.clone(), agreed(&closed)), (None, (text("both"), 3)));
    assert!(closed.reason.contains("by themselves"), "{}", closed.reason);
}

#[test]
fn rule_5_a_person_decides_on_what_they_saw() {
    let mut case = Case::texts(&[("one", "old", 2), ("two", "old", 2), ("old", "old", 2)]);
    let conflict = case.merge().conflict.unwrap();
    case.frozen = true;
    let decision = resolve(&case.input(), &conflict, &Choice::Take(1)).unwrap();
    assert_eq!((agreed(&decision), written(&decision)), ((text("two"), 3), vec![0, 2]));
    let own = resolve(&case.input(), &conflict, &Choice::Values(vec![text("three")])).unwrap();
    assert_eq!((agreed(&own), written(&own)), ((text("three"), 3), vec![0, 1, 2]));
    assert!(resolve(&case.input(), &conflict, &Choice::Take(2)).unwrap_err().contains("c is not among"));
    assert!(resolve(&case.input(), &conflict, &Choice::Values(vec![])).is_err());
    case.members[0].seen = vec![Seen::Value(text("moved"))];
    let stale = resolve(&case.input(), &conflict, &Choice::Take(1)).unwrap_err();
    assert!(stale.contains("a says moved"), "{stale}");
}

#[test]
fn rule_6_a_member_behind_is_written_though_nothing_changed() {
    let decision = Case::texts(&[("old", "old", 2), ("older", "older", 1)]).merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("old"), 2), vec![1]));
    assert!(decision.writes[0].reason.contains("b does not show"), "{}", decision.writes[0].reason);
}

#[test]
fn rule_8_first_link() {
    let same = Case::fresh(&["x", "x"]).merge();
    assert_eq!((agreed(&same), written(&same)), ((text("x"), 1), vec![]));
    let mut case = Case::fresh(&["x", "y", ""]);
    assert_eq!(case.merge().conflict.unwrap().candidates.len(), 3);
    case.first = First::Prefer(vec![1]);
    let preferred = case.merge();
    assert_eq!((agreed(&preferred), written(&preferred)), ((text("y"), 1), vec![0, 2]));
    case.members[1].seen = vec![Seen::Absent];
    assert!(case.merge().conflict.is_some(), "b lacks it");
    case.first = First::Prefer(vec![1, 0]);
    assert_eq!(written(&case.merge()), [2], "prefer skips sides that lack it");
    case.fields[0].owner = Some(2);
    let owned = case.merge();
    assert_eq!((agreed(&owned), written(&owned)), ((Value::Null, 1), vec![0]));
    case.members.pop();
    let waiting = case.merge();
    assert_eq!((waiting.agreed, waiting.members), (None, vec![]));
    assert!(waiting.reason.contains("c owns x"), "{}", waiting.reason);
}

#[test]
fn rule_8_a_member_that_joins() {
    let mut case = Case::texts(&[("old", "old", 2), ("old", "", 0)]);
    case.members[1].base = None;
    let quiet = case.merge();
    assert_eq!((written(&quiet), quiet.members[1].clone()), (vec![], (1, vec![text("old")], 2)));
    case.members[1].seen = vec![Seen::Value(text("theirs"))];
    let conflict = case.merge().conflict.unwrap();
    assert_eq!(conflict.candidates.len(), 2);
    case.frozen = true;
    let taken = resolve(&case.input(), &conflict, &Choice::Take(1)).unwrap();
    assert_eq!((agreed(&taken), written(&taken)), ((text("theirs"), 3), vec![0]));
    case.frozen = false;
    case.first = First::Prefer(vec![0, 1]);
    let kept = case.merge();
    assert_eq!((agreed(&kept), written(&kept)), ((text("old"), 2), vec![1]));
    case.first = First::Prefer(vec![1]);
    assert_eq!(agreed(&case.merge()), (text("theirs"), 3));
    case.fields[0].owner = Some(0);
    assert_eq!(written(&case.merge()), [1], "an owner decides before first is asked");
}

#[test]
fn a_change_on_a_side_that_does_not_own_it_is_put_back() {
    let mut case = Case::texts(&[("old", "old", 2), ("mine", "old", 2)]);
    case.fields[0].owner = Some(0);
    let decision = case.merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("old"), 2), vec![1]));
    assert_eq!(decision.members[1], (1, vec![text("mine")], 0), "accounted for");
    assert_eq!(decision.writes[0].reason, "b changed it, but a owns it: put back");
    case.apply(&decision);
    assert!(written(&case.merge()).is_empty());
    case.members[0].seen = vec![Seen::Value(text("new"))];
    assert_eq!(agreed(&case.merge()), (text("new"), 3));
}

#[test]
fn a_kept_blank_does_not_travel() {
    let mut case = Case::texts(&[("old", "old", 2), ("", "old", 2)]);
    assert_eq!(agreed(&case.merge()).0, Value::Null, "propagates by default");
    case.fields[0].keep_on_blank = true;
    let decision = case.merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("old"), 2), vec![]));
    case.apply(&decision);
    assert!(written(&case.merge()).is_empty(), "left alone");
    case.members[0].seen = vec![Seen::Value(text("new"))];
    assert_eq!(written(&case.merge()), [1], "until the next decision");
    let mut fresh = Case::fresh(&["x", ""]);
    fresh.fields[0].keep_on_blank = true;
    let filled = fresh.merge();
    assert_eq!((agreed(&filled), written(&filled)), ((text("x"), 1), vec![1]));
}

#[test]
fn unreadable_and_read_only_sides_are_never_written() {
    let mut case = Case::texts(&[("new", "old", 2), ("old", "old", 2), ("old", "old", 2)]);
    case.members[1].seen = vec![Seen::Unknown("not in the value map".into())];
    let parts = LensParts { path: "x".into(), read: Some("value".into()), ..LensParts::default() };
    case.fields[0].lenses[2] = Some(Lens::new(parts).unwrap());
    let decision = case.merge();
    assert_eq!((agreed(&decision), written(&decision)), ((text("new"), 3), vec![]));
    assert!(decision.reason.contains("b takes no part: not in the value map"), "{}", decision.reason);
    assert!(decision.members.iter().all(|(side, _, _)| *side != 1));
}

#[test]
fn sums_and_unions_are_made_of_deltas() {
    let numbers = |shown: &[(&str, &str, u64)]| {
        let shown =
            shown.iter().map(|(seen, base, stands)| (number(seen), Some(number(base)), *stands)).collect();
        Case::of(FieldType::Integer, Some((number("5"), 2, vec![0])), shown).rule(Rule::Sum)
    };
    let both = numbers(&[("6", "5", 2), ("6", "5", 2), ("5", "5", 2)]).merge();
    assert_eq!(
        (agreed(&both), written(&both)),
        ((number("7"), 3), vec![0, 1, 2]),
        "before agreement is asked"
    );
    let behind = numbers(&[("5", "5", 2), ("4", "3", 1)]).merge();
    assert_eq!(agreed(&behind).0, number("6"));

    let set = |entries: &str| FieldType::Set.read(&serde_json::Value::from(entries)).unwrap();
    let shown = vec![(set("a;b;c"), Some(set("a;b")), 2), (set("b"), Some(set("a;b")), 2)];
    let united = Case::of(FieldType::Set, Some((set("a;b"), 2, vec![0])), shown).rule(Rule::Union).merge();
    assert_eq!((agreed(&united).0, written(&united)), (set("b;c"), vec![0, 1]));
}

#[test]
fn rules_that_compare_values() {
    let case = |one: &str, two: &str, rule: Rule| {
        Case::texts(&[(one, "old", 2), (two, "old", 2)]).rule(rule).merge()
    };
    let order = || Rule::Furthest(["open", "paid", "done"].map(text).to_vec());
    assert_eq!(agreed(&case("done", "paid", order())).0, text("done"));
    let outside = case("done", "lost", order());
    assert!(outside.conflict.unwrap().reason.contains("lost is not in the order"));
    assert_eq!(agreed(&case("b", "c", Rule::Largest)).0, text("c"));
    assert_eq!(agreed(&case("b", "c", Rule::Smallest)).0, text("b"));
    assert!(case("b", "", Rule::Smallest).conflict.unwrap().reason.contains("blank"));
    let none =
        Case::texts(&[("b", "old", 2), ("c", "old", 2), ("old", "old", 2)]).rule(Rule::Prefer(vec![2]));
    assert!(none.merge().conflict.unwrap().reason.contains("not among"));
}

#[test]
fn stamps_decide_only_when_the_clocks_can() {
    let mut case = Case::texts(&[("one", "old", 2), ("two", "old", 2)]).rule(Rule::Newest);
    assert!(case.merge().conflict.unwrap().reason.contains("does not say when"));
    for (place, stamp) in [(0, 10_000), (1, 12_000)] {
        case.members[place].stamp = Some(Timestamp::from_millisecond(stamp).unwrap());
        case.members[place].stamp_error_ms = 900;
    }
    let newest = case.merge();
    assert_eq!(agreed(&newest).0, text("two"));
    assert_eq!(newest.agreed.unwrap().stamp, case.members[1].stamp);
    case.members[0].stamp_error_ms = 1_100;
    assert!(case.merge().conflict.unwrap().reason.contains("2000 ms apart"));
    case.members[0].stamp_error_ms = 0;
    assert_eq!(agreed(&case.rule(Rule::Oldest).merge()).0, text("one"));
}

#[test]
fn a_group_is_never_a_mixed_pair() {
    let mut case = Case::texts(&[("10", "old", 2), ("old", "old", 2), ("old", "old", 2)]);
    case.fields.push(field("currency", FieldType::Text, 3));
    case.fields[1].lenses[2] = None;
    case.unit.fields = vec![0, 1];
    case.agreed.as_mut().unwrap().values.push(text("EUR"));
    for member in &mut case.members {
        member.seen.push(Seen::Value(text("EUR")));
        member.base.as_mut().unwrap().push(text("EUR"));
    }
    case.members[1].seen[1] = Seen::Value(text("USD"));
    let candidates: Vec<_> =
        case.merge().conflict.unwrap().candidates.into_iter().map(|c| c.values).collect();
    assert_eq!(candidates, [vec![text("10"), text("EUR")], vec![text("old"), text("USD")]]);
    case.members[1].seen[1] = Seen::Value(text("EUR"));
    case.members[2].seen[0] = Seen::Value(text("10"));
    let decision = case.merge();
    assert_eq!(decision.agreed.as_ref().unwrap().values, [text("10"), text("EUR")]);
    assert_eq!(written(&decision), [1]);
    assert_eq!(decision.writes[0].values, [Some(text("10")), None], "only what must change");
}

#[path = "merge_properties.rs"]
mod properties;
