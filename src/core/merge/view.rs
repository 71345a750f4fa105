//! What the sides show, put against their bases and the agreed value: which members changed, which are
//! behind, and what the candidates are (rules 1, 2 and 8). Decides nothing.

use jiff::Timestamp;

use super::super::lens::Lens;
use super::super::spec::{FieldSpec, SideIx};
use super::super::value::{Seen, Value};
use super::{Agreed, BEHIND, Candidate, Input, rules};

/// One member that takes part.
pub(super) struct Part {
    pub(super) side: SideIx,
    /// What it shows per field of the unit; `None` where it lacks the field.
    pub(super) shown: Vec<Option<Value>>,
    pub(super) base: Option<Vec<Value>>,
    pub(super) stands: u64,
    pub(super) stamp: Option<Timestamp>,
    pub(super) stamp_error_ms: i64,
    /// It has no base although something is agreed: it joined, or its lens changed.
    pub(super) unbased: bool,
    /// Differs from its base in a field where its change counts, and does not merely show what is agreed.
    pub(super) changed: bool,
    /// Differs from its base in a field that another side owns.
    pub(super) put_back: bool,
    /// Per field: differs from its base at all.
    pub(super) moved: Vec<bool>,
    /// Every field that it has looks as the agreed value looks on this side.
    pub(super) shows_agreed: bool,
}

/// All members that take part in one unit, and those that cannot.
pub(super) struct View<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) parts: Vec<Part>,
    unknown: Vec<(SideIx, String)>,
}

impl<'a> View<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        let mut view = View { input, parts: Vec::new(), unknown: Vec::new() };
        // By side, so that the order in which members were stored decides nothing.
        let mut members: Vec<&super::MemberUnit> = input.members.iter().collect();
        members.sort_by_key(|member| member.side);
        for member in members {
            let mut shown = Vec::with_capacity(view.width());
            let mut unknown = None;
            for place in 0..view.width() {
                let lens = view.lens(member.side, place);
                shown.push(match (lens, member.seen.get(place)) {
                    (Some(_), Some(Seen::Value(value))) => Some(value.clone()),
                    (Some(_), Some(Seen::Unknown(why))) => {
                        unknown = unknown.or_else(|| Some(why.clone()));
                        None
                    }
                    _ => None,
                });
            }
            if let Some(why) = unknown {
                // Half a group could be read; half a group is never decided or written.
                view.unknown.push((member.side, why));
            } else if shown.iter().any(Option::is_some) {
                let part = view.part(member, shown);
                view.parts.push(part);
            }
        }
        view
    }

    fn part(&self, member: &super::MemberUnit, shown: Vec<Option<Value>>) -> Part {
        let agreed = self.input.agreed.as_ref();
        let base = member.base.clone().filter(|base| base.len() == self.width() && agreed.is_some());
        let mut part = Part {
            side: member.side,
            unbased: base.is_none() && agreed.is_some(),
            base,
            stands: member.stands,
            stamp: member.stamp,
            stamp_error_ms: member.stamp_error_ms,
            changed: false,
            put_back: false,
            moved: vec![false; shown.len()],
            shows_agreed: false,
            shown,
        };
        part.shows_agreed = agreed
            .is_some_and(|agreed| (0..self.width()).all(|place| self.shows(&part, place, &agreed.values)));
        let mut counted = false;
        for place in 0..self.width() {
            let (Some(base), Some(Some(shown)), Some(field)) = (
                part.base.as_ref().and_then(|base| base.get(place)),
                part.shown.get(place),
                self.field(place),
            ) else {
                continue;
            };
            if self.key(place, base) == self.key(place, shown) {
                continue;
            }
            if let Some(moved) = part.moved.get_mut(place) {
                *moved = true;
            }
            if field.owner.is_some_and(|owner| owner != member.side) {
                part.put_back = true;
            } else if !(field.keep_on_blank && self.key(place, shown).is_blank()) {
                counted = true;
            }
        }
        // A side that changed to exactly what is agreed has caught up (somebody typed it, or our write landed
        // and the answer did not): that is no edit which another one could be concurrent with.
        part.changed = counted && !part.shows_agreed;
        part
    }

    pub(super) fn width(&self) -> usize {
        self.input.unit.fields.len()
    }

    pub(super) fn field(&self, place: usize) -> Option<&'a FieldSpec> {
        self.input.fields.get(*self.input.unit.fields.get(place)?)
    }

    pub(super) fn lens(&self, side: SideIx, place: usize) -> Option<&'a Lens> {
        self.field(place)?.lenses.get(side)?.as_ref()
    }

    pub(super) fn key(&self, place: usize, value: &Value) -> Value {
        value.key(self.field(place).map_or(&[], |field| &field.normalise))
    }

    pub(super) fn side_name(&self, side: SideIx) -> String {
        self.input.sides.get(side).map_or_else(|| format!("side {}", side + 1), |side| side.name.clone())
    }

    pub(super) fn side_names(&self, sides: &[SideIx]) -> String {
        let names: Vec<String> = sides.iter().map(|side| self.side_name(*side)).collect();
        if names.is_empty() { "a person".to_owned() } else { names.join(" and ") }
    }

    /// The part shows, in this field, what the value looks like on its side; a field it lacks is no obstacle.
    pub(super) fn shows(&self, part: &Part, place: usize, values: &[Value]) -> bool {
        let (Some(Some(shown)), Some(value)) = (part.shown.get(place), values.get(place)) else {
            return true;
        };
        let shown = self.key(place, shown);
        if shown == self.key(place, value) {
            return true;
        }
        let image = self.lens(part.side, place).and_then(|lens| lens.image(value));
        image.is_some_and(|image| self.key(place, &image) == shown)
    }

    /// As [`View::shows`]; also true for a field which stood for the value before and was touched by nobody: a
    /// side that spells it in its own way is not written twice.
    pub(super) fn stands_at(&self, part: &Part, place: usize, agreed: &Agreed) -> bool {
        if self.shows(part, place, &agreed.values) {
            return true;
        }
        let Some(before) = &self.input.agreed else { return false };
        let untouched = part.base.is_some()
            && part.stands == before.number
            && part.moved.get(place) == Some(&false)
            && before.number != agreed.number;
        let value = |agreed: &Agreed| agreed.values.get(place).map(|value| self.key(place, value));
        let kept_blank = self.field(place).is_some_and(|field| field.keep_on_blank)
            && part.shown.get(place).and_then(Option::as_ref).is_some_and(Value::is_blank);
        (untouched && !kept_blank && value(before) == value(agreed))
            || (before.number == agreed.number && part.stands == agreed.number && !part.put_back)
    }

    /// What the base is once the part is accounted for: what it shows, and the old base where it shows nothing.
    pub(super) fn base_after(&self, part: &Part) -> Vec<Value> {
        (0..self.width())
            .map(|place| match part.shown.get(place) {
                Some(Some(shown)) => shown.clone(),
                _ => part.base.as_ref().and_then(|base| base.get(place)).cloned().unwrap_or(Value::Null),
            })
            .collect()
    }

    /// The candidates of rule 2 among the changed members: what they show, and what is agreed where somebody
    /// edited without having seen it.
    pub(super) fn candidates(&self, agreed: &Agreed) -> Vec<Candidate> {
        let changed: Vec<&Part> = self.parts.iter().filter(|part| part.changed).collect();
        let mut candidates = Vec::new();
        for part in &changed {
            self.add(&mut candidates, self.tuple(part, agreed), vec![part.side]);
        }
        let unseen = changed.iter().any(|part| part.stands < agreed.number);
        // An origin that went on editing had seen its own value: its new value stands in for it.
        let superseded =
            |side: &SideIx| changed.iter().any(|part| part.side == *side && part.stands == agreed.number);
        let behalf: Vec<SideIx> = agreed.origin.iter().copied().filter(|side| !superseded(side)).collect();
        if unseen && (agreed.origin.is_empty() || !behalf.is_empty()) {
            self.add(&mut candidates, agreed.values.clone(), behalf);
        }
        self.absorb(&mut candidates);
        rules::sort(&mut candidates);
        candidates
    }

    /// What a changed member asks for: what it shows; the agreed component where it lacks the field, does not
    /// own it, left it blank under `on_blank = "keep"`, or shows it as it looks there.
    fn tuple(&self, part: &Part, agreed: &Agreed) -> Vec<Value> {
        agreed
            .values
            .iter()
            .enumerate()
            .map(|(place, component)| {
                let (Some(Some(shown)), Some(field)) = (part.shown.get(place), self.field(place)) else {
                    return component.clone();
                };
                let foreign = field.owner.is_some_and(|owner| owner != part.side);
                let kept = field.keep_on_blank && self.key(place, shown).is_blank();
                let untouched = part.moved.get(place) == Some(&false) && part.stands == agreed.number;
                if foreign || kept || untouched || self.shows(part, place, &agreed.values) {
                    component.clone()
                } else {
                    shown.clone()
                }
            })
            .collect()
    }

    fn add(&self, candidates: &mut Vec<Candidate>, values: Vec<Value>, sides: Vec<SideIx>) {
        match candidates.iter_mut().find(|candidate| rules::same(self, &candidate.values, &values)) {
            Some(candidate) => {
                candidate.sides.extend(sides);
                candidate.sides.sort_unstable();
                candidate.sides.dedup();
                // Spellings that count as equal: the smallest, so that the order of sides does not matter.
                if values < candidate.values {
                    candidate.values = values;
                }
            }
            None => candidates.push(Candidate { values, sides }),
        }
    }

    /// A candidate that is only how another one looks on its sides (rounded, mapped) is that other one.
    fn absorb(&self, candidates: &mut Vec<Candidate>) {
        rules::sort(candidates);
        let mut place = 0;
        while let Some(candidate) = candidates.get(place) {
            let wider = candidates.iter().position(|other| {
                other != candidate
                    && !candidate.sides.is_empty()
                    && candidate.sides.iter().all(|side| self.looks_like(*side, &other.values))
            });
            match wider {
                Some(wider) => {
                    let narrow = candidates.remove(place);
                    let wider = if wider > place { wider - 1 } else { wider };
                    if let Some(other) = candidates.get_mut(wider) {
                        other.sides.extend(narrow.sides);
                        other.sides.sort_unstable();
                        other.sides.dedup();
                    }
                    place = 0;
                }
                None => place += 1,
            }
        }
    }

    fn looks_like(&self, side: SideIx, values: &[Value]) -> bool {
        self.parts
            .iter()
            .find(|part| part.side == side)
            .is_some_and(|part| (0..self.width()).all(|place| self.shows(part, place, values)))
    }

    /// The value that every member says, where each says it in its own way; `None` when they differ.
    pub(super) fn all_say(&self) -> Option<Vec<Value>> {
        let mut said: Vec<Vec<Value>> = self
            .parts
            .iter()
            .filter(|part| part.shown.iter().all(Option::is_some))
            .map(|part| part.shown.iter().flatten().cloned().collect())
            .collect();
        said.sort();
        said.into_iter().find(|values| self.parts.iter().all(|part| self.looks_like(part.side, values)))
    }

    /// What was agreed before. A unit of which no member has a base starts anew: nothing says whether anybody
    /// has ever seen what was agreed (a state file that was restored, a field read otherwise everywhere).
    pub(super) fn agreed(&self) -> Option<&'a Agreed> {
        let agreed = self.input.agreed.as_ref();
        agreed.filter(|_| self.parts.iter().any(|part| !part.unbased))
    }

    /// The candidates when nothing was agreed before: one per distinct tuple, gaps filled from the others.
    ///
    /// # Errors
    /// When a field belongs to a side that shows nothing yet: the text says so.
    pub(super) fn first_candidates(&self) -> Result<Vec<Candidate>, String> {
        let mut tuples = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            tuples.push((part.side, self.first_tuple(part)?));
        }
        let mut candidates = Vec::new();
        for (side, tuple) in &tuples {
            if tuple.iter().all(Option::is_some) {
                self.add(&mut candidates, tuple.iter().flatten().cloned().collect(), vec![*side]);
            }
        }
        self.absorb(&mut candidates);
        let whole = candidates.clone();
        // Members with gaps support every whole candidate that they do not contradict; only when they do
        // contradict all are they candidates themselves.
        for (side, tuple) in tuples.iter().filter(|(_, tuple)| tuple.iter().any(Option::is_none)) {
            let fits = |values: &[Value]| {
                tuple.iter().zip(values).enumerate().all(|(place, (mine, theirs))| {
                    mine.as_ref().is_none_or(|mine| self.key(place, mine) == self.key(place, theirs))
                })
            };
            if tuple.iter().all(Option::is_none) || whole.iter().any(|candidate| fits(&candidate.values)) {
                continue;
            }
            let filled = tuple
                .iter()
                .enumerate()
                .map(|(place, mine)| mine.clone().unwrap_or_else(|| self.filling(&tuples, place)))
                .collect();
            self.add(&mut candidates, filled, vec![*side]);
        }
        if candidates.is_empty() && !tuples.is_empty() {
            let sides = tuples.iter().map(|(side, _)| *side).collect();
            candidates.push(Candidate { values: vec![Value::Null; self.width()], sides });
        }
        for candidate in &mut candidates {
            // Under an owner all sides ask for the owner's value; only those that show it stand for it.
            let values = candidate.values.clone();
            let showing: Vec<SideIx> =
                candidate.sides.iter().copied().filter(|side| self.looks_like(*side, &values)).collect();
            if !showing.is_empty() {
                candidate.sides = showing;
            }
        }
        rules::sort(&mut candidates);
        Ok(candidates)
    }

    fn first_tuple(&self, part: &Part) -> Result<Vec<Option<Value>>, String> {
        let mut tuple = Vec::with_capacity(self.width());
        for place in 0..self.width() {
            let shown = part.shown.get(place).cloned().flatten();
            let Some(field) = self.field(place) else { continue };
            let keep = |value: &Value| !(field.keep_on_blank && self.key(place, value).is_blank());
            tuple.push(match field.owner {
                None => shown.filter(keep),
                Some(owner) => {
                    let theirs = self.parts.iter().find(|part| part.side == owner);
                    let theirs = theirs.and_then(|part| part.shown.get(place).cloned().flatten());
                    Some(theirs.ok_or_else(|| {
                        format!("{} owns {} and shows nothing for it yet", self.side_name(owner), field.name)
                    })?)
                }
            });
        }
        Ok(tuple)
    }

    /// The one value that the others have for a gap; blank when they have none or several.
    fn filling(&self, tuples: &[(SideIx, Vec<Option<Value>>)], place: usize) -> Value {
        let mut values: Vec<&Value> =
            tuples.iter().filter_map(|(_, tuple)| tuple.get(place).and_then(Option::as_ref)).collect();
        values.sort();
        match (values.first(), values.last()) {
            (Some(first), Some(last)) if self.key(place, first) == self.key(place, last) => (*first).clone(),
            _ => Value::Null,
        }
    }

    /// The agreed value and what members without a base show instead of it. Fewer than two: nothing to decide.
    pub(super) fn joining_candidates(&self, agreed: &Agreed) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for part in self.parts.iter().filter(|part| part.unbased) {
            let counts = (0..self.width()).any(|place| {
                let (Some(Some(shown)), Some(field)) = (part.shown.get(place), self.field(place)) else {
                    return false;
                };
                let foreign = field.owner.is_some_and(|owner| owner != part.side);
                let kept = field.keep_on_blank && self.key(place, shown).is_blank();
                !foreign && !kept && !self.shows(part, place, &agreed.values)
            });
            if counts {
                self.add(&mut candidates, self.tuple(part, agreed), vec![part.side]);
            }
        }
        if candidates.is_empty() {
            return candidates;
        }
        let sides: Vec<SideIx> = self
            .parts
            .iter()
            .filter(|part| !candidates.iter().any(|candidate| candidate.sides.contains(&part.side)))
            .map(|part| part.side)
            .collect();
        self.add(&mut candidates, agreed.values.clone(), sides);
        rules::sort(&mut candidates);
        candidates
    }

    pub(super) fn newest_stamp(&self, sides: &[SideIx]) -> Option<Timestamp> {
        self.parts.iter().filter(|part| sides.contains(&part.side)).filter_map(|part| part.stamp).max()
    }

    pub(super) fn first_reason(&self, candidate: &Candidate) -> String {
        let owners: Vec<SideIx> =
            (0..self.width()).filter_map(|place| self.field(place).and_then(|field| field.owner)).collect();
        let names = self.side_names(&candidate.sides);
        if !owners.is_empty() {
            format!("first linked; {} owns it", self.side_names(&owners))
        } else if candidate.sides.len() > 1 {
            format!("first linked; {names} say the same")
        } else {
            format!("first linked; only {names} has it")
        }
    }

    pub(super) fn quiet_reason(&self) -> String {
        let put_back: Vec<SideIx> =
            self.parts.iter().filter(|part| part.put_back).map(|part| part.side).collect();
        if put_back.is_empty() && self.input.frozen {
            "all sides are back at what was agreed".to_owned()
        } else if put_back.is_empty() {
            "no side changed it".to_owned()
        } else {
            format!("changed on {}, which does not own it", self.side_names(&put_back))
        }
    }

    pub(super) fn write_reason(&self, part: &Part, agreed: &Agreed, reason: &str) -> String {
        if part.put_back {
            let owner = (0..self.width()).find_map(|place| {
                self.field(place)
                    .filter(|_| part.moved.get(place) == Some(&true))
                    .and_then(|field| field.owner)
            });
            let owner = owner.map_or_else(|| "another side".to_owned(), |owner| self.side_name(owner));
            return format!("{} changed it, but {owner} owns it: put back", self.side_name(part.side));
        }
        match &self.input.agreed {
            Some(before) if before.number == agreed.number && !part.unbased => {
                format!("{} {BEHIND}", self.side_name(part.side))
            }
            _ => reason.to_owned(),
        }
    }

    pub(super) fn with_unknown(&self, reason: String) -> String {
        self.unknown.iter().fold(reason, |text, (side, why)| {
            format!("{text}; {} takes no part: {why}", self.side_name(*side))
        })
    }
}
