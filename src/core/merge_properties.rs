//! Properties of the merge, over generated links.

use super::*;

/// A lens that rounds to whole numbers.
fn rounding() -> Lens {
    Lens::new(LensParts {
        path: "x".into(),
        kind: Some(FieldType::Decimal(2)),
        read: Some("value".into()),
        write: Some("value|round".into()),
        ..LensParts::default()
    })
    .unwrap()
}

fn any_case() -> impl Strategy<Value = Case> {
    let side = (0_u32..40, 0_u32..40, 0_u64..3, any::<bool>(), 0_u32..8, any::<bool>());
    (prop::collection::vec(side, 2..5), 0_u32..40, 0_usize..6).prop_map(|(drawn, before, rule)| {
        let value = |quarters: u32| Value::number(rust_decimal::Decimal::new(i64::from(quarters) * 25, 2));
        let count = drawn.len();
        let rules = [
            Rule::Ask,
            Rule::Prefer((0..count).rev().collect()),
            Rule::Largest,
            Rule::Smallest,
            Rule::Sum,
            Rule::Ask,
        ];
        let shown = drawn
            .iter()
            .map(|(seen, base, stands, edited, _, _)| {
                (value(if *edited { *seen } else { *base }), Some(value(*base)), (*stands).min(2))
            })
            .collect();
        let mut case = Case::of(FieldType::Decimal(2), Some((value(before), 2, vec![0])), shown);
        case.unit.rule = rules[rule].clone();
        for (place, (_, _, _, _, special, lossy)) in drawn.iter().enumerate() {
            let member = &mut case.members[place];
            if *lossy {
                case.fields[0].lenses[place] = Some(rounding());
            }
            match special {
                0 => member.seen = vec![Seen::Absent],
                1 => case.fields[0].lenses[place] = None,
                2 => member.seen = vec![Seen::Unknown("unreadable".into())],
                3 => member.base = None,
                _ => {}
            }
            // What stands for the agreed value shows it as it looks there.
            if member.stands == 2 && member.base.is_some() {
                let image = case.fields[0].lenses[place].as_ref().and_then(|lens| lens.image(&value(before)));
                member.base = Some(vec![image.unwrap_or_else(|| value(before))]);
            }
        }
        case
    })
}

proptest! {
    #[test]
    fn the_order_of_the_members_does_not_matter(mut case in any_case()) {
        let one = case.merge();
        case.members.reverse();
        prop_assert_eq!(one, case.merge());
    }

    #[test]
    fn merging_again_after_accounting_does_nothing(mut case in any_case()) {
        let decision = case.merge();
        if decision.conflict.is_none() {
            case.apply(&decision);
            let again = case.merge();
            prop_assert_eq!(written(&again), Vec::<SideIx>::new(), "a lossy side is not written twice");
            prop_assert_eq!(again.agreed, decision.agreed);
            prop_assert!(again.conflict.is_none());
        } else {
            prop_assert_eq!(written(&decision), Vec::<SideIx>::new());
            case.frozen = true;
            let again = case.merge();
            match again.conflict {
                Some(conflict) => prop_assert_eq!(Some(conflict.candidates), decision.conflict.map(|c| c.candidates)),
                // Deltas and a joining member can be at odds while all show one value: that closes it.
                None => prop_assert!(again.reason.contains("by themselves") && written(&again).is_empty()),
            }
        }
    }

    #[test]
    fn a_refused_write_catches_up_without_an_edit(mut case in any_case()) {
        let decision = case.merge();
        if decision.conflict.is_none() {
            let refused = Decision { writes: Vec::new(), ..decision.clone() };
            case.apply(&refused);
            let again = case.merge();
            prop_assert_eq!(written(&again), written(&decision));
            prop_assert_eq!(again.agreed, decision.agreed);
        }
    }

    #[test]
    fn what_changed_on_one_side_alone_wins(count in 2_usize..5, place in 0_usize..5, edit in 1_u32..99) {
        let mut case = Case::texts(&vec![("old", "old", 2); count]);
        let side = place % count;
        case.members[side].seen = vec![Seen::Value(text(&edit.to_string()))];
        let decision = case.merge();
        prop_assert_eq!(agreed(&decision), (text(&edit.to_string()), 3));
        prop_assert_eq!(written(&decision), (0..count).filter(|other| *other != side).collect::<Vec<_>>());
    }

    #[test]
    fn a_conflict_can_always_be_resolved(mut case in any_case(), pick: prop::sample::Index) {
        let decision = case.merge();
        if let Some(conflict) = decision.conflict {
            case.frozen = true;
            let conflict = case.merge().conflict.unwrap_or(conflict);
            let values = pick.get(&conflict.candidates).values.clone();
            let resolved = resolve(&case.input(), &conflict, &Choice::Values(values.clone())).unwrap();
            prop_assert_eq!(resolved.agreed.as_ref().map(|agreed| agreed.values.clone()), Some(values));
            case.frozen = false;
            case.apply(&resolved);
            let again = case.merge();
            prop_assert!(again.conflict.is_none(), "{again:?}");
            prop_assert_eq!(written(&again), Vec::<SideIx>::new());
        }
    }
}
