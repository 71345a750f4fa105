//! Which records are the same thing.
use super::spec::{FieldSpec, SideIx, SideSpec};
use super::value::Seen;
use std::collections::BTreeSet;

/// An unlinked record in scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unlinked {
    /// Its side.
    pub side: SideIx,
    /// Its id.
    pub record: String,
    /// Its key text; `None` when a part is blank, absent or unreadable.
    pub key: Option<String>,
    /// It may cause creates: false when it was linked before or its member was deleted or unlinked.
    pub may_create: bool,
}
/// A link that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Its number.
    pub link: i64,
    /// The key text of its agreed values.
    pub key: Option<String>,
    /// The sides that have, or had, a member.
    pub taken: BTreeSet<SideIx>,
}
/// What to do about identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Make a link of these records.
    Link {
        /// Side and record id.
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
    /// Listed for a person; nothing is linked.
    Ambiguous {
        /// The key.
        key: String,
        /// All candidates.
        members: Vec<(SideIx, String)>,
        /// The existing link that is involved.
        link: Option<i64>,
        /// Why.
        reason: String,
    },
}
/// The key text of a record: `seen` has one entry per field of the sync.
pub fn key_text(_fields: &[FieldSpec], _seen: &[Seen]) -> Option<String> {
    todo!()
}
/// Decides over all unlinked records.
pub fn decide(_sides: &[SideSpec], _records: &[Unlinked], _links: &[Linked]) -> Vec<Identity> {
    todo!()
}
