//! What must be true at the end of every history, judged by what the twins know and by what the program must
//! have kept.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;
use tallysync::store::read::{Row, View};
use twins::kit::{Normalise, SEED};

use super::story::{FIELDS, Story, Unsettled, Verdict};
use crate::support::world::{SIDES, number, text};

/// Everything that is looked at once and asked often.
struct Seen {
    links: BTreeMap<i64, Vec<(usize, String)>>,
    open_writes: Vec<Row>,
    open_conflicts: Vec<Row>,
    /// Everything the program wrote down about a link, as one text.
    accounts: BTreeMap<i64, String>,
}

impl Story {
    /// The verdict over the whole history.
    pub async fn judge(&self) -> Verdict {
        self.nobody_else_deleted()?;
        self.nothing_was_made_twice()?;
        self.state_file_is_sound()?;
        let seen = Seen {
            links: self.links().await,
            open_writes: self.rows(View::OpenWrites).await,
            open_conflicts: self.rows(View::Conflicts).await,
            accounts: self.accounts(),
        };
        let mut known = BTreeSet::new();
        for order in self.order_numbers() {
            if self.deleted.contains(&order) || (0..3).any(|side| self.live(side, &order).len() > 1) {
                continue;
            }
            known.insert(order.clone());
            self.is_linked(&order, &seen)?;
        }
        for (link, members) in &seen.links {
            let Some((side, id)) = members.first() else { continue };
            let order = self.cast[*side].shows(id, "order_no");
            if known.contains(&order) {
                for field in FIELDS {
                    self.field_is_told(*link, members, &order, field, &seen)?;
                }
            }
        }
        Ok(())
    }

    /// A record goes only when a person took one of the same order away.
    fn nobody_else_deleted(&self) -> Verdict {
        for (name, actor) in SIDES.iter().zip(&self.cast) {
            let pointer = actor.place("order_no").1;
            let archived = |record: &Value| record.get("archived_at").is_some_and(|at| !at.is_null());
            for event in actor.hub().world().history() {
                let gone = event.after.is_null() || (archived(&event.after) && !archived(&event.before));
                if event.entity != actor.entity() || event.actor.starts_with("person") || !gone {
                    continue;
                }
                let order = event.before.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
                if !self.deleted.contains(order) {
                    return Err(format!("{order} went in {name} although nobody deleted it: {event:?}"));
                }
            }
        }
        Ok(())
    }

    fn nothing_was_made_twice(&self) -> Verdict {
        for (side, (name, actor)) in SIDES.iter().zip(&self.cast).enumerate() {
            let made: BTreeSet<String> = actor
                .hub()
                .world()
                .history()
                .iter()
                .filter(|event| event.entity == actor.entity() && event.before.is_null())
                .filter(|event| event.actor != SEED && !event.actor.starts_with("person"))
                .map(|event| event.id.clone())
                .collect();
            for order in self.order_numbers() {
                let ours: Vec<String> =
                    self.live(side, &order).into_iter().filter(|id| made.contains(id)).collect();
                if ours.len() > 1 {
                    return Err(format!("{order} was made {} times in {name}: {ours:?}", ours.len()));
                }
            }
        }
        Ok(())
    }

    fn state_file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("state.db")).expect("the state file can be read")
    }

    fn state_file_is_sound(&self) -> Verdict {
        let state = self.state_file();
        let answer: String =
            state.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("SQLite answers");
        let orphans = state.prepare("PRAGMA foreign_key_check").expect("SQLite answers").exists([]);
        match (answer.as_str(), orphans) {
            ("ok", Ok(false)) => Ok(()),
            (answer, orphans) => Err(format!("the state file is damaged: {answer}, orphans {orphans:?}")),
        }
    }

    fn accounts(&self) -> BTreeMap<i64, String> {
        let state = self.state_file();
        let mut accounts: BTreeMap<i64, String> = BTreeMap::new();
        for query in [
            "SELECT link, coalesce(before, '') || ' ' || coalesce(after, '') FROM audit",
            "SELECT link, 'asked about ' || unit FROM conflict",
            "SELECT link, candidates || observed || coalesce(agreed, '') || coalesce(resolution, '') FROM conflict",
        ] {
            let mut statement = state.prepare(query).expect("the table is there");
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
            for (link, line) in rows.expect("it can be read").flatten() {
                let account = accounts.entry(link).or_default();
                *account += &line;
                account.push('\n');
            }
        }
        accounts
    }

    /// An order that stands on several sides, or that enters where others are made from, is one link.
    fn is_linked(&self, order: &str, seen: &Seen) -> Verdict {
        let ids: Vec<(usize, String)> =
            (0..3).filter_map(|side| Some((side, self.live(side, order).first()?.clone()))).collect();
        let of = |member: &(usize, String)| {
            seen.links.iter().find(|(_, members)| members.contains(member)).map(|(link, _)| *link)
        };
        let links: BTreeSet<Option<i64>> = ids.iter().map(of).collect();
        let asked = links.iter().flatten().any(|link| self.waits(*link, "", seen));
        if asked {
            return Ok(());
        }
        if ids.len() > 1 && links.len() > 1 {
            return Err(format!("{order} stands on {} sides and is not one link: {links:?}", ids.len()));
        }
        if ids.iter().any(|(side, _)| *side == 0) && ids.len() < 3 {
            return Err(format!("{order} is in the ERP and was not made elsewhere: {ids:?}"));
        }
        Ok(())
    }

    /// A person is asked about this field (or a write of the link waits for a person).
    fn waits(&self, link: i64, field: &str, seen: &Seen) -> bool {
        let of = |row: &&Row| number(row, "link") == link;
        seen.open_writes
            .iter()
            .filter(of)
            .any(|row| ["held", "parked", "uncertain"].contains(&text(row, "state").as_str()))
            || seen
                .open_conflicts
                .iter()
                .filter(of)
                .any(|row| field.is_empty() || text(row, "field") == field || text(row, "kind") == "delete")
    }

    /// What a value is as far as servers leave it alone.
    fn plain(&self, field: &str, value: &str) -> String {
        let mut value = value.to_owned();
        for (_, how) in self.normalised.iter().filter(|(known, _)| *known == field) {
            value = match how {
                Normalise::Round(places) => value.parse::<Decimal>().map_or(value, |number| {
                    let rounded =
                        number.round_dp_with_strategy(*places, RoundingStrategy::MidpointAwayFromZero);
                    rounded.normalize().to_string()
                }),
                _ => value.to_lowercase(),
            };
        }
        value
    }

    fn field_is_told(
        &self,
        link: i64,
        members: &[(usize, String)],
        order: &str,
        field: &'static str,
        seen: &Seen,
    ) -> Verdict {
        // A field whose owner is not among the members has nobody whose word counts.
        let owner = self.owner.filter(|_| field == "amount");
        let ownerless = owner.is_some_and(|owner| members.iter().all(|(side, _)| *side != owner));
        if ownerless || self.waits(link, field, seen) {
            return Ok(());
        }
        let shown: Vec<String> =
            members.iter().map(|(side, id)| self.plain(field, &self.cast[*side].shows(id, field))).collect();
        if shown.iter().any(|value| *value != shown[0]) {
            return Err(format!("{field} of {order} (link {link}) differs, and nobody is asked: {shown:?}"));
        }
        let Some(unsettled) = self.unsettled.get(&(order.to_owned(), field)) else { return Ok(()) };
        self.last_word(unsettled, &shown[0], field)
            .and_then(|()| self.somebody_was_asked(unsettled, &shown[0], field, &seen.accounts[&link]))
            .and_then(|()| self.no_word_is_lost(unsettled, &shown[0], field, &seen.accounts[&link]))
            .map_err(|problem| format!("{field} of {order} (link {link}): {problem}"))
    }

    /// What was entered on one side only, with nobody against it, is what all show.
    fn last_word(&self, unsettled: &Unsettled, shown: &str, field: &str) -> Verdict {
        let Some(last) = unsettled.entries.last() else { return Ok(()) };
        let alone = unsettled.entries.iter().all(|entry| entry.side == last.side);
        let owner = self.owner.filter(|_| field == "amount");
        let counts = owner.is_none_or(|owner| owner == last.side);
        let untouched = !self.normalised.iter().any(|(known, _)| *known == field);
        if alone && counts && untouched && !unsettled.decided && last.value != shown {
            let entries = &unsettled.entries;
            return Err(format!("{:?} was the last word, all show {shown:?}; {entries:?}", last.value));
        }
        Ok(())
    }

    /// Without a rule, what somebody entered gives way only to somebody who saw it, or to a decision.
    fn somebody_was_asked(
        &self,
        unsettled: &Unsettled,
        shown: &str,
        field: &'static str,
        account: &str,
    ) -> Verdict {
        let entries = &unsettled.entries;
        let judged = self.asks.contains(&field)
            && !unsettled.decided
            && !self.normalised.iter().any(|(known, _)| *known == field)
            && entries.iter().all(|entry| entry.saw.is_some())
            && !account.contains(&format!("asked about {field}"));
        if !judged {
            return Ok(());
        }
        for (place, entry) in entries.iter().enumerate() {
            let later = &entries[place + 1..];
            let given_up = later
                .iter()
                .any(|next| next.side == entry.side || next.saw.as_deref() == Some(entry.value.as_str()));
            if !given_up && entry.value != shown && entry.value != unsettled.before {
                return Err(format!("{entry:?} gave way to {shown:?} and nobody was asked; {entries:?}"));
            }
        }
        Ok(())
    }

    /// The last entry of every side is shown, or the program kept what it displaced.
    fn no_word_is_lost(&self, unsettled: &Unsettled, shown: &str, field: &str, account: &str) -> Verdict {
        let account = account.to_lowercase();
        for (side, name) in SIDES.iter().enumerate() {
            let Some(last) = unsettled.entries.iter().rev().find(|entry| entry.side == side) else {
                continue;
            };
            let value = self.plain(field, &last.value);
            if value.is_empty() || value == shown || value == self.plain(field, &unsettled.before) {
                continue;
            }
            // The server may have normalised it under the program's eyes.
            if ![&last.value, &value].iter().any(|value| account.contains(&value.to_lowercase())) {
                return Err(format!(
                    "{value:?}, entered in {name}, is gone without a trace; all show {shown:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Story {
    /// For the reader of a history that went wrong: what each side shows, and what the state file says of it.
    pub fn what_is_known(&self) -> String {
        let mut lines = Vec::new();
        for order in self.order_numbers() {
            for (name, actor) in SIDES.iter().zip(&self.cast) {
                for id in actor.ids().into_iter().filter(|id| actor.shows(id, "order_no") == order) {
                    let fields = FIELDS.map(|field| format!("{field}={:?}", actor.shows(&id, field)));
                    let archived = if actor.is_archived(&id) { " archived" } else { "" };
                    lines.push(format!("  {order} {name} {id}{archived}: {}", fields.join(" ")));
                }
            }
        }
        let state = self.state_file();
        for query in [
            "SELECT id, state, key, why FROM link",
            "SELECT sync, side, rid, key, state, why FROM candidate",
            "SELECT link, title, field, at, event, side, write, before, after, reason FROM why ORDER BY link, field, at",
            "SELECT id, link, side, rid, op, state, fields, attempts, failure, reason FROM write",
            "SELECT id, link, unit, kind, state, candidates, observed, why, resolution FROM conflict",
            "SELECT seq, at, stream, rid, kind, cause, fields FROM change",
        ] {
            lines.push(format!("{query}:"));
            let mut statement = state.prepare(query).expect("the table is there");
            let columns = statement.column_count();
            let mut rows = statement.query([]).expect("it can be read");
            while let Ok(Some(row)) = rows.next() {
                let cell = |ix| {
                    row.get::<_, rusqlite::types::Value>(ix).map_or(String::new(), |cell| match cell {
                        rusqlite::types::Value::Text(text) => text,
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        _ => "-".to_owned(),
                    })
                };
                lines.push(format!("  {}", (0..columns).map(cell).collect::<Vec<_>>().join(" | ")));
            }
        }
        lines.join("\n")
    }
}
