//! Which records are the same thing: key texts, and what unlinked records become.
//!
//! Sees keys and ids only. A guess is worse than a question here: whatever is not one candidate per side is
//! listed and linked by nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::spec::{FieldSpec, SideIx, SideSpec};
use super::value::Seen;

/// A record in scope that has no link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unlinked {
    /// Its side.
    pub side: SideIx,
    /// Its id.
    pub record: String,
    /// Its key text; `None` when a part is blank, absent or unreadable.
    pub key: Option<String>,
    /// It may cause creates: false when it was linked before and its link or its counterpart ended.
    pub may_create: bool,
}

/// A link that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Its number.
    pub link: i64,
    /// The key text of its agreed values.
    pub key: Option<String>,
    /// The sides that have a member, or had one that was deleted or unlinked.
    pub taken: BTreeSet<SideIx>,
}

/// What to do about identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Make a link of these records, and counterparts on the sides of `create`.
    Link {
        /// Side and record id, in the order of the sides.
        members: Vec<(SideIx, String)>,
        /// Sides where a counterpart is created.
        create: Vec<SideIx>,
        /// The key.
        key: Option<String>,
    },
    /// Put a record into an existing link.
    Join {
        /// The link.
        link: i64,
        /// The side.
        side: SideIx,
        /// The record.
        record: String,
    },
    /// Listed for a person; nothing is linked or created.
    Ambiguous {
        /// The key.
        key: String,
        /// All candidates.
        members: Vec<(SideIx, String)>,
        /// The existing links that are involved.
        links: Vec<i64>,
        /// Why.
        reason: String,
    },
}

/// The key text of a record: `seen` has one entry per field of the sync. `None` when the sync has no key
/// fields, or one of them is blank, absent or unreadable: a blank never matches.
pub fn key_text(fields: &[FieldSpec], seen: &[Seen]) -> Option<String> {
    let mut parts = Vec::new();
    for (field, seen) in fields.iter().zip(seen).filter(|(field, _)| field.key) {
        let Seen::Value(value) = seen else { return None };
        let key = value.key(&field.normalise);
        if key.is_blank() || matches!(&key, super::value::Value::Text(text) if text.trim().is_empty()) {
            return None;
        }
        parts.push(key.stored());
    }
    match parts.as_slice() {
        [] => None,
        [serde_json::Value::String(only)] => Some(only.clone()),
        // As a JSON array: no separator that could stand in a value makes two keys look alike.
        several => serde_json::to_string(several).ok(),
    }
}

/// Decides over all unlinked records of a sync. The result depends on neither the order of the records nor of
/// the links.
pub fn decide(sides: &[SideSpec], records: &[Unlinked], links: &[Linked]) -> Vec<Identity> {
    let mut by_key: BTreeMap<&str, Vec<&Unlinked>> = BTreeMap::new();
    for record in records {
        // A record without a key is nobody's counterpart, and none is created for it.
        if let Some(key) = &record.key {
            by_key.entry(key).or_default().push(record);
        }
    }
    let mut linked: BTreeMap<&str, Vec<&Linked>> = BTreeMap::new();
    for link in links {
        if let Some(key) = &link.key {
            linked.entry(key).or_default().push(link);
        }
    }
    let mut result = Vec::new();
    for (key, mut records) in by_key {
        records.sort();
        match linked.get(key) {
            Some(links) => result.extend(join(sides, key, &records, links)),
            None => result.extend(link(sides, key, &records)),
        }
    }
    result
}

fn members(records: &[&Unlinked]) -> Vec<(SideIx, String)> {
    records.iter().map(|record| (record.side, record.record.clone())).collect()
}

fn name(sides: &[SideSpec], side: SideIx) -> String {
    sides.get(side).map_or_else(|| format!("side {}", side + 1), |side| side.name.clone())
}

/// A side with more than one record of this key.
fn crowded(records: &[&Unlinked]) -> Option<(SideIx, usize)> {
    let mut count: BTreeMap<SideIx, usize> = BTreeMap::new();
    for record in records {
        *count.entry(record.side).or_default() += 1;
    }
    count.into_iter().find(|(_, count)| *count > 1)
}

fn link(sides: &[SideSpec], key: &str, records: &[&Unlinked]) -> Option<Identity> {
    if let Some((side, count)) = crowded(records) {
        return Some(Identity::Ambiguous {
            key: key.to_owned(),
            members: members(records),
            links: Vec::new(),
            reason: format!("{} has {count} records with this key", name(sides, side)),
        });
    }
    let create: Vec<SideIx> = sides
        .iter()
        .enumerate()
        .filter(|(place, side)| {
            records.iter().all(|record| record.side != *place)
                && records.iter().all(|record| record.may_create)
                && records.iter().any(|record| side.create_for.contains(&record.side))
        })
        .map(|(place, _)| place)
        .collect();
    let linkable = records.len() > 1 || !create.is_empty();
    linkable.then(|| Identity::Link { members: members(records), create, key: Some(key.to_owned()) })
}

fn join(sides: &[SideSpec], key: &str, records: &[&Unlinked], links: &[&Linked]) -> Vec<Identity> {
    let mut numbers: Vec<i64> = links.iter().map(|link| link.link).collect();
    numbers.sort_unstable();
    let ambiguous = |reason: String| {
        vec![Identity::Ambiguous {
            key: key.to_owned(),
            members: members(records),
            links: numbers.clone(),
            reason,
        }]
    };
    let [link] = links else {
        return ambiguous(format!("{} links have this key", links.len()));
    };
    if let Some((side, count)) = crowded(records) {
        return ambiguous(format!("{} has {count} records with this key", name(sides, side)));
    }
    records
        .iter()
        .flat_map(|record| {
            if link.taken.contains(&record.side) {
                vec![Identity::Ambiguous {
                    key: key.to_owned(),
                    members: members(std::slice::from_ref(record)),
                    links: numbers.clone(),
                    reason: format!(
                        "link {} has this key and already has, or had, a record in {}",
                        link.link,
                        name(sides, record.side)
                    ),
                }]
            } else {
                vec![Identity::Join { link: link.link, side: record.side, record: record.record.clone() }]
            }
        })
        .collect()
}
