//! What happens in a history: people enter, edit, delete and decide, and the network fails.

use std::collections::BTreeSet;

use serde_json::Value;
use tallysync::engine::pass::PassOptions;
use tallysync::engine::people::Decide;
use tallysync::store::read::View;
use twins::kit::{Effect, Fault, Normalise, Normaliser, RetryAfter, When};

use super::story::{Dice, Entry, FIELDS, Story, Verdict};
use super::wire::Interruption;
use crate::support::world::{SIDES, Setup, number, text};

/// A config: rules, deletes and brakes as the dice fall.
pub fn setup(dice: &mut Dice, owner: &mut Option<usize>) -> Setup {
    let mut setup = Setup::default();
    if dice.chance(50) {
        let first = *dice.pick(&["erp", "tallyfy", "crm"]);
        setup = setup.sync(&format!("first = {{ prefer = [\"{first}\"] }}"));
    }
    let amount = match dice.below(5) {
        0 => "conflict = \"largest\"".to_owned(),
        1 => "conflict = { prefer = [\"crm\", \"erp\"] }".to_owned(),
        2 => {
            *owner = Some(dice.below(3));
            format!("owner = \"{}\"", SIDES[owner.unwrap_or_default()])
        }
        _ => String::new(),
    };
    setup = setup.field("amount", &format!("type = \"decimal(2)\"\n{amount}"));
    setup = setup.field(
        "ship_date",
        match dice.below(3) {
            0 => "type = \"date\"",
            1 => "type = \"date\"\nconflict = \"largest\"",
            _ => "type = \"date\"\nconflict = { prefer = [\"erp\", \"crm\"] }",
        },
    );
    setup = setup.field(
        "memo",
        match dice.below(3) {
            0 => "",
            1 => "conflict = { prefer = [\"tallyfy\", \"crm\", \"erp\"] }",
            _ => "conflict = \"newest\"",
        },
    );
    setup = setup.side(
        "tallyfy",
        match dice.below(4) {
            0 => "on_delete = \"archive\"",
            1 => "on_delete = \"ask\"",
            2 => "on_delete = \"archive\"\narchived = \"deleted\"",
            _ => "on_delete = \"unlink\"",
        },
    );
    if dice.chance(30) {
        setup = setup.side("crm", "on_delete = \"delete\"");
    }
    if dice.chance(30) {
        setup = setup.side("erp", "create = [\"crm\"]");
    }
    if dice.chance(50) {
        setup = setup.guard("deletes = { percent = 100 }").guard("blanks = { percent = 100 }");
    }
    setup
}

impl Story {
    /// Somebody enters an order: a new one on one or more sides, or a known one on a side that lacks it.
    pub(super) fn enter_order(&mut self) {
        let known: Vec<String> = self.order_numbers().into_iter().collect();
        if !known.is_empty() && self.dice.chance(30) {
            let order = self.dice.pick(&known).clone();
            let side = self.dice.below(3);
            if self.live(side, &order).is_empty() && !self.deleted.contains(&order) {
                self.enter(side, &order);
            }
            return;
        }
        self.orders += 1;
        let order = format!("H-{}", self.orders);
        let sides = self.dice.below(8);
        let mut entered = false;
        for side in 0..3 {
            if sides & (1 << side) != 0 && self.dice.chance(60) {
                self.enter(side, &order);
                entered = true;
            }
        }
        if !entered {
            self.enter(0, &order);
        }
    }

    fn enter(&mut self, side: usize, order: &str) {
        let mut values = vec![("order_no", Value::from(order))];
        for field in FIELDS {
            values.push((field, Value::from(self.value(order, field))));
        }
        let id = self.cast[side].add(&values);
        self.tell(format!("a person enters {order} in {}: {values:?} ({id})", SIDES[side]));
        for field in FIELDS {
            self.note(side, &id, order, field, None);
        }
    }

    /// A value: mostly new, sometimes what another side shows or what everybody might enter.
    fn value(&mut self, order: &str, field: &str) -> String {
        if self.dice.chance(25) {
            let side = self.dice.below(3);
            if let Some(id) = self.live(side, order).first() {
                let shown = self.cast[side].shows(id, field);
                if !shown.is_empty() {
                    return if field == "ship_date" { format!("{shown}T00:00:00.000Z") } else { shown };
                }
            }
        }
        self.values += 1;
        let n = self.values;
        match field {
            "amount" => format!("{}.25", 1000 + (n * 7919) % 9000),
            "ship_date" => {
                format!("{}-{:02}-{:02}T00:00:00.000Z", 2031 + n / 336, 1 + n / 28 % 12, 1 + n % 28)
            }
            _ if self.dice.chance(12) => String::new(),
            _ => format!("Memo {n:04} x"),
        }
    }

    fn note(&mut self, side: usize, id: &str, order: &str, field: &'static str, saw: Option<String>) {
        let value = self.cast[side].shows(id, field);
        let unsettled = self.unsettled.entry((order.to_owned(), field)).or_default();
        unsettled.entries.push(Entry { side, value, saw });
    }

    fn someones_record(&mut self) -> Option<(usize, String, String)> {
        let known: Vec<String> = self.order_numbers().into_iter().collect();
        if known.is_empty() {
            return None;
        }
        // Trouble comes from several people at the same thing, not from everybody at their own.
        if !self.dice.chance(60) || !known.contains(&self.hot.0) {
            self.hot = (self.dice.pick(&known).clone(), *self.dice.pick(&FIELDS));
        }
        let order = self.hot.0.clone();
        let side = self.dice.below(3);
        let ids = self.live(side, &order);
        let id = ids.get(self.dice.below(ids.len()))?.clone();
        Some((side, order, id))
    }

    fn field(&mut self) -> &'static str {
        if self.dice.chance(60) { self.hot.1 } else { FIELDS[self.dice.below(FIELDS.len())] }
    }

    pub(super) fn edit(&mut self) {
        let Some((side, order, id)) = self.someones_record() else { return };
        let field = self.field();
        let value = self.value(&order, field);
        let saw = self.cast[side].shows(&id, field);
        self.cast[side].edit(&id, field, Value::from(value.as_str()));
        self.tell(format!("a person sets {field} of {order} in {} to {value:?}", SIDES[side]));
        self.note(side, &id, &order, field, Some(saw));
    }

    /// A pass during which a person edits.
    pub(super) async fn edit_meanwhile(&mut self) -> Verdict {
        let Some((side, order, id)) = self.someones_record() else { return Ok(()) };
        let field = self.field();
        let value = self.value(&order, field);
        let edit = self.cast[side].change(&id, field, Value::from(value.as_str()));
        let after = self.dice.below(3);
        self.wire.interrupt(Some(Interruption { side, record: id, after, edit }));
        // A pass that settles only part of what happened during it settles nothing.
        self.meanwhile = true;
        let passed = self.pass(PassOptions::default(), None).await;
        self.meanwhile = false;
        let happened = self.wire.interrupt(None).is_none();
        if happened {
            self.tell(format!(
                "during that pass a person set {field} of {order} in {} to {value:?}",
                SIDES[side]
            ));
            let shown = Self::plain_words(field, &value);
            let unsettled = self.unsettled.entry((order, field)).or_default();
            unsettled.entries.push(Entry { side, value: shown, saw: None });
        }
        passed.map(|_| ())
    }

    /// A value as every side shows it.
    fn plain_words(field: &str, value: &str) -> String {
        match field {
            "ship_date" => value.chars().take(10).collect(),
            _ => value.to_owned(),
        }
    }

    pub(super) fn take_away(&mut self) {
        let Some((side, order, id)) = self.someones_record() else { return };
        let archives = SIDES[side] == "tallyfy" && self.dice.chance(50);
        if archives {
            self.cast[side].archive(&id, true);
        } else {
            self.cast[side].delete(&id);
        }
        let what = if archives { "archives" } else { "deletes" };
        self.tell(format!("a person {what} {order} in {} ({id})", SIDES[side]));
        self.deleted.insert(order);
    }

    /// A bulk edit that changes nothing but the stamps of all records of a side.
    pub(super) fn touch_all(&mut self) {
        let side = self.dice.below(3);
        for order in self.order_numbers() {
            for id in self.live(side, &order) {
                let memo = self.cast[side].shows(&id, "memo");
                self.cast[side].edit(&id, "memo", Value::from(memo));
            }
        }
        self.tell(format!("a person saves every record of {} again", SIDES[side]));
    }

    pub(super) fn normalise(&mut self) {
        let side = self.dice.below(3);
        let (field, how) = match self.dice.below(3) {
            0 => ("memo", Normalise::Upper),
            1 => ("memo", Normalise::Lower),
            _ if matches!(self.cast[side], crate::support::cast::Actor::Tallyfy(_)) => return,
            _ => ("amount", Normalise::Round(1)),
        };
        if self.normalised.iter().any(|(known, _)| *known == field) {
            return;
        }
        let (entity, pointer) = self.cast[side].place(field);
        let rule = Normaliser { entity: entity.to_owned(), pointer, how: how.clone() };
        self.cast[side].hub().world().behaviour.normalisers.push(rule);
        self.tell(format!("from now on {} saves {field} as {how:?}", SIDES[side]));
        self.normalised.push((field, how));
    }

    pub(super) fn fault(&mut self) {
        let side = self.dice.below(3);
        let entity = self.cast[side].entity().to_owned();
        let status = |status, when| Effect::Status { status, when, body: None };
        let effect = match self.dice.below(12) {
            0 => Effect::DropBefore,
            1 | 2 => Effect::DropAfter,
            3 => status(500, When::Before),
            4 | 5 => status(502, When::After),
            6 => Effect::Throttle { retry_after: RetryAfter::Seconds(30) },
            7 => Effect::Stale { lag: 1 + self.dice.below(4) },
            8 => Effect::TruncateBody,
            9 => Effect::BreakBody,
            10 => Effect::LoginPage,
            _ => Effect::Blind { entity },
        };
        let mut fault = Fault::next(effect);
        fault.method = match self.dice.below(4) {
            0 => Some("GET".to_owned()),
            1 => Some("POST".to_owned()),
            2 => Some(if SIDES[side] == "tallyfy" { "PUT" } else { "PATCH" }.to_owned()),
            _ => None,
        };
        let reads = fault.method.as_deref().is_none_or(|method| method == "GET");
        let skip = u32::try_from(self.dice.below(if reads { 6 } else { 2 })).expect("a small number");
        let times = 1 + u32::try_from(self.dice.below(if reads { 3 } else { 6 })).expect("a small number");
        let fault = fault.after(skip).times(times);
        self.tell(format!("trouble ahead in {}: {fault:?}", SIDES[side]));
        self.cast[side].hub().fault(fault);
    }

    pub(super) fn clear_faults(&mut self) {
        for actor in &self.cast {
            actor.hub().world().faults.clear();
        }
        self.tell("the network works again");
    }

    /// A person answers an open question, if there is one.
    pub(super) async fn resolve(&mut self) -> Verdict {
        let rows = self.rows(View::Conflicts).await;
        if rows.is_empty() {
            return Ok(());
        }
        let row = rows[self.dice.below(rows.len())].clone();
        let (id, field) = (number(&row, "id"), text(&row, "field"));
        let decide = if text(&row, "kind") == "delete" {
            Decide::Value((*self.dice.pick(&["delete", "keep"])).to_owned())
        } else {
            Decide::Take((*self.dice.pick(&SIDES)).to_owned())
        };
        // It may be refused: stale, or the side is no candidate.
        let said = self.engine().resolve(id, decide.clone()).await;
        self.tell(format!("a person decides {field} of {}: {decide:?}: {said:?}", text(&row, "title")));
        let members: BTreeSet<(usize, String)> =
            self.links().await.remove(&number(&row, "link")).unwrap_or_default().into_iter().collect();
        for (side, record) in members {
            let order = self.cast[side].shows(&record, "order_no");
            for known in FIELDS.iter().filter(|known| **known == field) {
                self.unsettled.entry((order.clone(), known)).or_default().decided |= said.is_ok();
            }
        }
        Ok(())
    }

    /// A person releases a held batch, if there is one.
    pub(super) async fn approve(&mut self) -> Verdict {
        let rows = self.rows(View::Batches).await;
        let Some(row) = rows.first() else { return Ok(()) };
        let said = self.engine().approve(number(row, "id")).await;
        self.tell(format!("a person approves batch {}: {said:?}", number(row, "id")));
        said.map(|_| ()).map_err(|error| format!("a held batch cannot be approved: {error}"))
    }
}
