//! The plan: what would be done, to what, and why. Printing it is the dry run.
//!
//! Plain data with two spellings, one for people and one for `--json`. It decides nothing and never shows more
//! of a record than the fields that are written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Value as Json, json};
use xxhash_rust::xxh3::xxh3_128;

use super::value::Value;

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Records become one link; nothing is sent.
    Link,
    /// A record is created.
    Create,
    /// Fields are written.
    Update,
    /// A record is archived.
    Archive,
    /// A record is deleted.
    Delete,
    /// A link ends; nothing is sent.
    Unlink,
}

impl ActionKind {
    /// `create`, `update`, ...
    pub fn name(self) -> &'static str {
        match self {
            ActionKind::Link => "link",
            ActionKind::Create => "create",
            ActionKind::Update => "update",
            ActionKind::Archive => "archive",
            ActionKind::Delete => "delete",
            ActionKind::Unlink => "unlink",
        }
    }

    /// It changes a system.
    pub fn is_call(self) -> bool {
        !matches!(self, ActionKind::Link | ActionKind::Unlink)
    }
}

/// One field of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// The sync's field.
    pub field: String,
    /// What the side shows now; `None` where it shows nothing (a create).
    pub before: Option<Value>,
    /// What it will show.
    pub after: Value,
    /// Why.
    pub reason: String,
}

/// One action.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What is done.
    pub kind: ActionKind,
    /// The link; `None` before there is one.
    pub link: Option<i64>,
    /// The side's name.
    pub side: String,
    /// The system's name.
    pub system: String,
    /// The entity there.
    pub entity: String,
    /// The record id; `None` for a create.
    pub record: Option<String>,
    /// What a person calls it: the key, or the first text.
    pub title: String,
    /// The fields that are written.
    pub fields: Vec<FieldChange>,
    /// Why.
    pub reason: String,
}

/// Something a person should know that no action covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The link it is about.
    pub link: Option<i64>,
    /// What a person calls the record.
    pub title: String,
    /// What is the matter, and what can be done.
    pub text: String,
}

/// What one sync would do now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The sync.
    pub sync: String,
    /// The actions.
    pub actions: Vec<Action>,
    /// Records that cannot be told apart.
    pub ambiguous: Vec<Remark>,
    /// Open conflicts.
    pub conflicts: Vec<Remark>,
    /// What waits, and for what: guards, unreadable values, parents, parked writes.
    pub blocked: Vec<Remark>,
}

impl Action {
    /// Identifies what is done to what, over which values, to which values. An accepted plan covers exactly the
    /// actions whose fingerprints it showed; reasons and titles are not part of it.
    pub fn fingerprint(&self) -> String {
        let mut fields: Vec<(&str, Json)> = self
            .fields
            .iter()
            .map(|change| {
                (
                    change.field.as_str(),
                    json!([change.before.as_ref().map(Value::stored), change.after.stored()]),
                )
            })
            .collect();
        fields.sort_by(|one, other| one.0.cmp(other.0));
        // A record that does not exist yet has nothing but its title to be known by.
        let title = self.record.is_none().then_some(&self.title);
        let whole =
            json!([self.kind.name(), self.side, self.system, self.entity, self.record, title, fields]);
        format!("{:032x}", xxh3_128(whole.to_string().as_bytes()))
    }

    fn to_json(&self) -> Json {
        let fields: Vec<Json> = self
            .fields
            .iter()
            .map(|change| {
                json!({
                    "field": change.field,
                    "before": change.before.as_ref().map(Value::stored),
                    "after": change.after.stored(),
                    "reason": change.reason,
                })
            })
            .collect();
        json!({
            "kind": self.kind.name(),
            "link": self.link,
            "side": self.side,
            "system": self.system,
            "entity": self.entity,
            "record": self.record,
            "title": self.title,
            "fields": fields,
            "reason": self.reason,
            "fingerprint": self.fingerprint(),
        })
    }
}

impl Plan {
    /// No action is due.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// How many calls go to each system, by what they do.
    pub fn calls(&self) -> BTreeMap<String, BTreeMap<&'static str, usize>> {
        let mut calls: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for action in self.actions.iter().filter(|action| action.kind.is_call()) {
            *calls.entry(action.system.clone()).or_default().entry(action.kind.name()).or_default() += 1;
        }
        calls
    }

    /// The documented JSON form. Values are spelled as in the state file, with every digit.
    pub fn to_json(&self) -> Json {
        json!({
            "sync": self.sync,
            "actions": self.actions.iter().map(Action::to_json).collect::<Vec<_>>(),
            "calls": self.calls(),
            "ambiguous": remarks(&self.ambiguous),
            "conflicts": remarks(&self.conflicts),
            "blocked": remarks(&self.blocked),
        })
    }
}

fn remarks(remarks: &[Remark]) -> Vec<Json> {
    remarks
        .iter()
        .map(|remark| json!({ "link": remark.link, "title": remark.title, "text": remark.text }))
        .collect()
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Things that do the same, and remarks of one kind, that are printed before the rest is only counted.
const SHOWN: usize = 10;

/// A plan for people in which long lists of the same are cut and counted: nothing is left out unsaid.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a>(pub &'a Plan);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, SHOWN)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, usize::MAX)
    }
}

/// What a thing does, for counting those that do the same: `create tallyfy runs`.
fn doing(actions: &[&Action]) -> String {
    let parts: Vec<String> = actions
        .iter()
        .map(|action| format!("{} {} {}", action.kind.name(), action.side, action.entity))
        .collect();
    parts.join(" and ")
}

impl Plan {
    fn write(&self, f: &mut fmt::Formatter<'_>, shown: usize) -> fmt::Result {
        if self.is_empty() {
            writeln!(f, "{}: nothing to do", self.sync)?;
        } else {
            writeln!(f, "{}: {} to do", self.sync, counted(self.actions.len(), "thing"))?;
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (link, title, actions) in self.things() {
            let count = counts.entry(doing(&actions)).or_default();
            *count += 1;
            if *count > shown {
                continue;
            }
            writeln!(f)?;
            match link {
                Some(link) => writeln!(f, "{title}  (link {link})")?,
                None => writeln!(f, "{title}")?,
            }
            for action in actions {
                write_action(f, action)?;
            }
        }
        for (doing, count) in counts.into_iter().filter(|(_, count)| *count > shown) {
            writeln!(f, "\n... and {} more: {doing}  (all of them with --full)", count - shown)?;
        }
        write_remarks(f, "Conflicts, for a person to decide (tallysync resolve):", &self.conflicts, shown)?;
        write_remarks(f, "Cannot be told apart, so not linked:", &self.ambiguous, shown)?;
        write_remarks(f, "Waiting:", &self.blocked, shown)?;
        let calls = self.calls();
        if !calls.is_empty() {
            writeln!(f)?;
        }
        for (system, kinds) in calls {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| counted(*count, kind)).collect();
            writeln!(f, "{system}: {}", kinds.join(", "))?;
        }
        Ok(())
    }
}

impl Plan {
    /// One block per thing, in the order in which the things first appear.
    fn things(&self) -> Vec<(Option<i64>, &str, Vec<&Action>)> {
        let mut places: BTreeMap<(Option<i64>, &str), usize> = BTreeMap::new();
        let mut things: Vec<(Option<i64>, &str, Vec<&Action>)> = Vec::new();
        for action in &self.actions {
            // A link has one title for all its actions; before there is a link the title is all there is.
            let title = if action.link.is_some() { "" } else { action.title.as_str() };
            let place = *places.entry((action.link, title)).or_insert(things.len());
            match things.get_mut(place) {
                Some((_, _, actions)) => actions.push(action),
                None => things.push((action.link, &action.title, vec![action])),
            }
        }
        things
    }
}

fn write_action(f: &mut fmt::Formatter<'_>, action: &Action) -> fmt::Result {
    let record = action.record.as_ref().map_or(String::new(), |record| format!(" {record}"));
    writeln!(f, "  {} {} {}{record}: {}", action.kind.name(), action.side, action.entity, action.reason)?;
    let width = action.fields.iter().map(|change| change.field.chars().count()).max().unwrap_or(0);
    for change in &action.fields {
        let name = &change.field;
        match &change.before {
            Some(before) => write!(f, "    {name:width$}  {before} -> {}", change.after)?,
            None => write!(f, "    {name:width$}  {}", change.after)?,
        }
        if change.reason.is_empty() || change.reason == action.reason {
            writeln!(f)?;
        } else {
            writeln!(f, "  ({})", change.reason)?;
        }
    }
    Ok(())
}

fn write_remarks(f: &mut fmt::Formatter<'_>, heading: &str, remarks: &[Remark], shown: usize) -> fmt::Result {
    if remarks.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{heading}")?;
    for remark in remarks.iter().take(shown) {
        // What concerns a whole listing has no title.
        let title = if remark.title.is_empty() { String::new() } else { format!("{}: ", remark.title) };
        writeln!(f, "  {title}{}", remark.text)?;
    }
    match remarks.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(f, "  ... and {more} more  (all of them with --full)"),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let action = |kind, record: Option<&str>, side: &str, fields| Action {
            kind,
            link: Some(7),
            side: side.to_owned(),
            system: side.to_owned(),
            entity: "salesOrder".to_owned(),
            record: record.map(str::to_owned),
            title: "SO-1".to_owned(),
            fields,
            reason: "changed on crm".to_owned(),
        };
        let change = FieldChange {
            field: "amount".to_owned(),
            before: Some(Value::number("10.1".parse().unwrap())),
            after: Value::number("12345678901234567890.12".parse().unwrap()),
            reason: "the rule prefers crm".to_owned(),
        };
        Plan {
            sync: "orders".to_owned(),
            actions: vec![
                action(ActionKind::Update, Some("42"), "erp", vec![change]),
                action(ActionKind::Create, None, "tallyfy", Vec::new()),
            ],
            conflicts: vec![Remark {
                link: Some(9),
                title: "SO-2".to_owned(),
                text: "erp says 1".to_owned(),
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn the_dry_run_reads_as_text() {
        let expected = "\
orders: 2 things to do

SO-1  (link 7)
  update erp salesOrder 42: changed on crm
    amount  10.1 -> 12345678901234567890.12  (the rule prefers crm)
  create tallyfy salesOrder: changed on crm

Conflicts, for a person to decide (tallysync resolve):
  SO-2: erp says 1

erp: 1 update
tallyfy: 1 create
";
        assert_eq!(plan().to_string(), expected);
        let empty = Plan { sync: "orders".to_owned(), ..Plan::default() };
        assert_eq!(empty.to_string(), "orders: nothing to do\n");
        assert!(empty.is_empty());
    }

    #[test]
    fn long_lists_of_the_same_are_cut_and_counted_and_nothing_else_is() {
        let thing = |number: i64, kind| Action {
            kind,
            link: Some(number),
            title: format!("SO-{number}"),
            fields: Vec::new(),
            ..plan().actions[0].clone()
        };
        let mut long = Plan { sync: "orders".to_owned(), ..Plan::default() };
        long.actions = (1..=14).map(|number| thing(number, ActionKind::Create)).collect();
        long.actions.push(thing(99, ActionKind::Delete));
        let remark = Remark { link: None, title: String::new(), text: "erp: 503".to_owned() };
        long.blocked = vec![remark; 12];
        let text = Brief(&long).to_string();
        assert!(text.starts_with("orders: 15 things to do\n"), "{text}");
        assert!(text.contains("SO-10 ") && !text.contains("SO-11 "), "{text}");
        assert!(
            text.contains("\n... and 4 more: create erp salesOrder  (all of them with --full)\n"),
            "{text}"
        );
        assert!(text.contains("SO-99  (link 99)\n  delete erp"), "the only one of its kind is shown: {text}");
        assert!(text.contains("\n  erp: 503\n"), "{text}");
        assert!(text.contains("  ... and 2 more  (all"), "{text}");
        assert!(text.ends_with("erp: 14 creates, 1 delete\n"), "{text}");
        assert!(long.to_string().contains("SO-14 "), "the whole plan is whole");
    }

    #[test]
    fn json_keeps_every_digit() {
        let text = serde_json::to_string(&plan()).unwrap();
        assert!(text.contains(r#""after":12345678901234567890.12"#), "{text}");
        assert!(text.contains(r#""calls":{"erp":{"update":1},"tallyfy":{"create":1}}"#), "{text}");
    }

    #[test]
    fn a_fingerprint_covers_what_is_done_and_not_why() {
        let original = plan().actions[0].clone();
        let mut other = original.clone();
        other.reason = "another".to_owned();
        other.fields[0].reason = "another".to_owned();
        other.title = "renamed".to_owned();
        other.link = None;
        assert_eq!(original.fingerprint(), other.fingerprint());
        let mut changes: Vec<Action> = vec![original.clone(); 4];
        changes[0].fields[0].before = None;
        changes[1].fields[0].after = Value::Null;
        changes[2].record = Some("43".to_owned());
        changes[3].kind = ActionKind::Archive;
        for change in changes {
            assert_ne!(original.fingerprint(), change.fingerprint());
        }
    }
}
