//! The plan: what would be done, to what, and why. Printing it is the dry run.
//!
//! Plain data with two spellings, one for people and one for `--json`. It decides nothing and never shows more
//! of a record than the fields that are written.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;
use serde_json::{Value as Json, json};
use xxhash_rust::xxh3::xxh3_128;

use super::value::Value;

/// The text for people shows so many records and remarks of a kind; the JSON form has all.
const SHOWN: usize = 200;

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

    /// One block per thing, in the order in which the things first appear.
    fn groups(&self) -> Vec<Vec<&Action>> {
        let mut groups: Vec<Vec<&Action>> = Vec::new();
        let mut places: HashMap<(Option<i64>, &str), usize> = HashMap::new();
        for action in &self.actions {
            // Before there is a link, the title is all that a thing is known by.
            let title = if action.link.is_none() { action.title.as_str() } else { "" };
            let place = *places.entry((action.link, title)).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(action),
                None => groups.push(vec![action]),
            }
        }
        groups
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            writeln!(f, "{}: nothing to do", self.sync)?;
        } else {
            writeln!(f, "{}: {} to do", self.sync, counted(self.actions.len(), "thing"))?;
        }
        let groups = self.groups();
        for actions in groups.iter().take(SHOWN) {
            let Some(first) = actions.first() else { continue };
            writeln!(f)?;
            match first.link {
                Some(link) => writeln!(f, "{}  (link {link})", first.title)?,
                None => writeln!(f, "{}", first.title)?,
            }
            for action in actions {
                write_action(f, action)?;
            }
        }
        if let Some(more) = groups.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let records = counted(more, "more record");
            writeln!(f, "\n... and {records}; tallysync plan {} --json lists all", self.sync)?;
        }
        write_remarks(f, "Conflicts, for a person to decide (tallysync resolve):", &self.conflicts)?;
        write_remarks(f, "Cannot be told apart, so not linked:", &self.ambiguous)?;
        write_remarks(f, "Waiting:", &self.blocked)?;
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

fn write_remarks(f: &mut fmt::Formatter<'_>, heading: &str, remarks: &[Remark]) -> fmt::Result {
    if remarks.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{heading}")?;
    for remark in remarks.iter().take(SHOWN) {
        writeln!(f, "  {}: {}", remark.title, remark.text)?;
    }
    match remarks.len().checked_sub(SHOWN) {
        Some(more @ 1..) => writeln!(f, "  ... and {more} more"),
        _ => Ok(()),
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
    fn a_long_plan_shows_its_beginning_and_counts_the_rest() {
        let mut long = plan();
        let update = long.actions[0].clone();
        let remark = long.conflicts[0].clone();
        // Two actions of one record stand together, however far apart they were decided.
        let about = |number: usize| Action { link: None, title: format!("SO-{number}"), ..update.clone() };
        long.actions = (0..SHOWN + 50).chain([0]).map(about).collect();
        long.conflicts = vec![remark; SHOWN + 1];
        let text = long.to_string();
        assert!(text.starts_with("orders: 251 things to do\n\nSO-0\n"), "{text}");
        assert_eq!(text.matches("  update erp").count(), SHOWN + 1);
        assert!(
            text.contains("\n... and 50 more records; tallysync plan orders --json lists all\n"),
            "{text}"
        );
        assert_eq!(text.matches("erp says 1").count(), SHOWN);
        assert!(text.contains("\n  ... and 1 more\n"), "{text}");
        assert!(text.ends_with("\nerp: 251 updates\n"), "{text}");
        assert_eq!(long.to_json()["actions"].as_array().unwrap().len(), SHOWN + 51);
        long.actions.truncate(SHOWN);
        assert!(!long.to_string().contains("more record"), "what is shown is not counted again");
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
