//! Random histories of the bare rules: sides that people edit at any time, some of which spell values in their
//! own way; writes that are refused, or whose answer is lost; edits inside the write window. At the end no edit
//! may be lost without a conflict or a successor that had seen it, and all must be quiet and equal.
//!
//! Single rules can be switched off here, in the test, to show that each is needed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::account::{Account, WriteBack, after_write, resolve_open};
use super::super::fixtures::field;
use super::super::spec::{FieldSpec, First, Rule, SideIx, SideSpec, Unit};
use super::super::value::{FieldType, Seen, Value};
use super::*;

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Rule 2: the agreed value is no candidate for those who had not seen it.
    Unseen,
    /// Rule 4: only winners are accounted for.
    LoserToo,
    /// Rule 6: writes go over whatever is there.
    Premise,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, faces: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % faces
    }

    fn one_in(&mut self, faces: u64) -> bool {
        self.roll(faces) == 0
    }
}

struct Side {
    /// The edit that it shows; its text is `v7`, or `V7` on a side that spells in capitals.
    text: String,
    capitals: bool,
    observed: String,
    base: String,
    stands: u64,
    /// A write whose answer was lost: what was sent, for which number.
    open: Option<(Value, u64)>,
}

struct World {
    dice: Dice,
    without: Without,
    specs: Vec<SideSpec>,
    fields: Vec<FieldSpec>,
    unit: Unit,
    sides: Vec<Side>,
    agreed: Agreed,
    conflict: Option<Conflict>,
    writes: Vec<UnitWrite>,
    /// Per edit: the edits that its author had seen.
    seen: Vec<BTreeSet<usize>>,
    /// Edits that a conflict showed to a person.
    shown: BTreeSet<usize>,
    sent: usize,
}

fn edit_of(text: &str) -> usize {
    text.get(1..).and_then(|number| number.parse().ok()).expect("every value is an edit")
}

fn edit_of_value(value: &Value) -> usize {
    edit_of(&value.to_string())
}

impl World {
    fn new(seed: u64, count: usize, rule: Rule, without: Without) -> World {
        let mut dice = Dice(seed);
        let mut fields = vec![field("x", FieldType::Text, count)];
        if count > 2 && dice.one_in(4) {
            let lacking = dice.roll(count as u64) as usize;
            fields[0].lenses[lacking] = None;
        }
        let sides: Vec<Side> = (0..count)
            .map(|_| {
                let capitals = dice.one_in(3);
                let text = if capitals { "V0" } else { "v0" }.to_owned();
                Side { observed: text.clone(), base: text.clone(), text, capitals, stands: 1, open: None }
            })
            .collect();
        World {
            dice,
            without,
            specs: super::super::fixtures::sides(count),
            unit: Unit { name: "x".into(), fields: vec![0], rule },
            fields,
            sides,
            agreed: Agreed { values: vec![Value::text("v0")], number: 1, origin: vec![0], stamp: None },
            conflict: None,
            writes: Vec::new(),
            seen: vec![BTreeSet::new()],
            shown: BTreeSet::new(),
            sent: 0,
        }
    }

    fn has(&self, side: SideIx) -> bool {
        self.fields[0].lenses[side].is_some()
    }

    fn spell(&self, side: SideIx, text: &str) -> String {
        if self.sides[side].capitals { text.to_uppercase() } else { text.to_owned() }
    }

    fn edit(&mut self, side: SideIx) {
        if !self.has(side) {
            return;
        }
        let before = edit_of(&self.sides[side].text);
        let mut ancestors = self.seen[before].clone();
        ancestors.insert(before);
        self.seen.push(ancestors);
        self.sides[side].text = self.spell(side, &format!("v{}", self.seen.len() - 1));
    }

    fn observe(&mut self, side: SideIx) {
        self.sides[side].observed = self.sides[side].text.clone();
        if let Some((sent, number)) = self.sides[side].open.take() {
            let account = self.account(side, &sent, number, false, true);
            if let Some(account) = account {
                self.accept(side, account);
            }
        }
    }

    fn account(&self, side: SideIx, sent: &Value, number: u64, proven: bool, open: bool) -> Option<Account> {
        let state = &self.sides[side];
        let back = WriteBack {
            fields: &self.fields,
            unit: &self.unit,
            side,
            base: &[Value::text(state.base.clone())],
            stood: state.stands,
            sent: &[Some(sent.clone())],
            number,
            shown: &[Seen::Value(Value::text(state.observed.clone()))],
            proven,
        };
        if open { resolve_open(&back) } else { Some(after_write(&back)) }
    }

    fn accept(&mut self, side: SideIx, account: Account) {
        self.sides[side].base = account.base[0].to_string();
        self.sides[side].stands = account.stands;
    }

    fn with_input<T>(&self, decide: impl FnOnce(&Input) -> T) -> T {
        let members = self
            .sides
            .iter()
            .enumerate()
            .map(|(side, state)| {
                let changed = state.observed != state.base;
                let blind = self.without == Without::Unseen && changed;
                MemberUnit {
                    side,
                    seen: vec![Seen::Value(Value::text(state.observed.clone()))],
                    base: Some(vec![Value::text(state.base.clone())]),
                    stands: if blind { self.agreed.number } else { state.stands },
                    stamp: None,
                    stamp_error_ms: 0,
                }
            })
            .collect();
        decide(&Input {
            sides: &self.specs,
            fields: &self.fields,
            unit: &self.unit,
            first: &First::Ask,
            agreed: Some(self.agreed.clone()),
            members,
            frozen: self.conflict.is_some(),
        })
    }

    fn commit(&mut self, decision: Decision) {
        let before = self.agreed.number;
        self.agreed = decision.agreed.expect("it was agreed before");
        for (side, base, stands) in decision.members {
            let base = base[0].to_string();
            let lost =
                self.agreed.number > before && stands < self.agreed.number && base != self.sides[side].base;
            if self.without == Without::LoserToo && lost {
                continue;
            }
            self.sides[side].base = base;
            self.sides[side].stands = stands;
        }
        for candidate in decision.conflict.iter().flat_map(|conflict| &conflict.candidates) {
            let edit = edit_of_value(&candidate.values[0]);
            self.shown.insert(edit);
            let seen = self.seen[edit].clone();
            self.shown.extend(seen);
        }
        self.conflict = decision.conflict;
        self.writes = decision.writes;
    }

    /// Open writes are resolved before anything is decided.
    fn decide(&mut self) {
        for side in 0..self.sides.len() {
            if self.sides[side].open.is_some() {
                self.observe(side);
            }
        }
        let decision = self.with_input(merge);
        self.commit(decision);
    }

    fn person(&mut self) {
        let Some(conflict) = self.conflict.clone() else { return };
        let pick = self.dice.roll(conflict.candidates.len() as u64) as usize;
        let choice = Choice::Values(conflict.candidates[pick].values.clone());
        if let Ok(decision) = self.with_input(|input| resolve(input, &conflict, &choice)) {
            self.commit(decision);
        }
    }

    fn write(&mut self, troubled: bool) {
        for write in std::mem::take(&mut self.writes) {
            let side = write.side;
            let Some(value) = write.values[0].clone() else { continue };
            if troubled && self.dice.one_in(3) {
                continue;
            }
            if self.without != Without::Premise && self.sides[side].text != self.sides[side].base {
                self.observe(side);
                continue;
            }
            self.sent += 1;
            let number = self.agreed.number;
            self.sides[side].text = self.spell(side, &value.to_string());
            let proven = self.dice.one_in(2);
            if troubled && self.dice.one_in(4) {
                self.sides[side].open = Some((value, number));
                if self.dice.one_in(2) {
                    self.edit(side);
                }
                continue;
            }
            if troubled && !proven && self.dice.one_in(4) {
                self.edit(side);
            }
            self.sides[side].observed = self.sides[side].text.clone();
            let account = self.account(side, &value, number, proven, false);
            self.accept(side, account.expect("an accepted write is accounted for"));
        }
    }

    fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            let side = self.dice.roll(self.sides.len() as u64) as usize;
            match self.dice.roll(6) {
                0 | 1 => self.edit(side),
                2 => self.observe(side),
                3 => self.decide(),
                4 => self.write(true),
                _ if self.dice.one_in(3) => self.person(),
                _ => {}
            }
        }
    }

    /// Everything works and nobody edits: how it ends, or why it does not.
    fn come_to_rest(&mut self) -> Result<(), String> {
        for _ in 0..12 {
            for side in 0..self.sides.len() {
                self.observe(side);
            }
            self.decide();
            self.person();
            let sent = self.sent;
            self.write(false);
            if self.conflict.is_none() && sent == self.sent && self.writes.is_empty() {
                return self.verdict();
            }
        }
        Err("it never comes to rest".to_owned())
    }

    fn verdict(&self) -> Result<(), String> {
        let last = edit_of_value(&self.agreed.values[0]);
        for (side, state) in self.sides.iter().enumerate() {
            if self.has(side) && edit_of(&state.text) != last {
                return Err(format!("side {side} shows {} and {last} is agreed", state.text));
            }
        }
        let known = &self.seen[last];
        match (0..self.seen.len())
            .find(|edit| *edit != last && !known.contains(edit) && !self.shown.contains(edit))
        {
            Some(edit) => Err(format!("edit {edit} is lost; {last} is agreed and had seen {known:?}")),
            None => Ok(()),
        }
    }
}

fn history(seed: u64, count: usize, rule: Rule, without: Without) -> Result<(), String> {
    let mut world = World::new(seed, count, rule, without);
    world.live(60);
    world.come_to_rest()
}

fn failures(without: Without) -> usize {
    (0..600).filter(|seed| history(*seed, 2 + (*seed as usize % 3), Rule::Ask, without).is_err()).count()
}

#[test]
fn histories_of_the_rules_as_they_are() {
    for seed in 0..20_000 {
        let result = history(seed, 2 + (seed as usize % 3), Rule::Ask, Without::Nothing);
        assert_eq!(result, Ok(()), "seed {seed}");
    }
}

#[test]
fn without_rule_2_edits_are_lost() {
    assert!(failures(Without::Unseen) > 60);
}

#[test]
fn without_accounting_for_losers_it_does_not_end_well() {
    assert!(failures(Without::LoserToo) > 60);
}

#[test]
fn without_the_premise_of_a_write_edits_are_lost() {
    assert!(failures(Without::Premise) > 60);
}

proptest! {
    #[test]
    fn any_history_comes_to_rest_under_a_rule_that_decides(seed: u64, count in 2_usize..5) {
        let order: Vec<SideIx> = (0..count).collect();
        for rule in [Rule::Prefer(order), Rule::Largest] {
            let mut world = World::new(seed, count, rule, Without::Nothing);
            world.live(60);
            let result = world.come_to_rest();
            // Under a deciding rule losers are displaced without a conflict; resting and equality remain.
            prop_assert!(!matches!(&result, Err(why) if !why.contains("is lost")), "{result:?}");
        }
    }

    #[test]
    fn no_edit_is_lost_when_a_person_decides(seed: u64, count in 2_usize..5) {
        prop_assert_eq!(history(seed, count, Rule::Ask, Without::Nothing), Ok(()));
    }
}
