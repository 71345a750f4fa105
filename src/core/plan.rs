//! The plan.
use super::value::Value;

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// A record is created.
    Create,
    /// Fields are written.
    Update,
    /// A record is archived.
    Archive,
    /// A record is deleted.
    Delete,
    /// Records become one link.
    Link,
    /// A link ends.
    Unlink,
}
/// One field of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// The sync's field.
    pub field: String,
    /// What the side shows now.
    pub before: Option<Value>,
    /// What it will show.
    pub after: Value,
    /// Why.
    pub reason: String,
}
/// One action.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What.
    pub kind: ActionKind,
    /// The link; `None` before there is one.
    pub link: Option<i64>,
    /// The side's name.
    pub side: String,
    /// The system's name.
    pub system: String,
    /// The entity.
    pub entity: String,
    /// The record id; `None` for a create.
    pub record: Option<String>,
    /// What a person calls it.
    pub title: String,
    /// The fields.
    pub fields: Vec<FieldChange>,
    /// Why.
    pub reason: String,
}
/// Something a person should know, and that no action covers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Remark {
    /// The link it is about.
    pub link: Option<i64>,
    /// What a person calls the record.
    pub title: String,
    /// What is the matter.
    pub text: String,
}
/// A plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The sync.
    pub sync: String,
    /// The actions.
    pub actions: Vec<Action>,
    /// Records that cannot be told apart.
    pub ambiguous: Vec<Remark>,
    /// Conflicts.
    pub conflicts: Vec<Remark>,
    /// What is held and why: guards, unreadable values, parents.
    pub blocked: Vec<Remark>,
}
impl Action {
    /// Identifies what is done to what, over what, to what: equal fingerprints are the same action.
    pub fn fingerprint(&self) -> String {
        todo!()
    }
}
impl Plan {
    /// Nothing would be written.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// The JSON form.
    pub fn to_json(&self) -> serde_json::Value {
        todo!()
    }
}
impl std::fmt::Display for Plan {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
