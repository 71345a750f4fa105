//! The three-way merge of one unit of one link, over two or more sides, with a base per side.
//!
//! A pure function of what is stored and what is seen; `docs/guarantees.md` section 7 gives the rules by
//! number and the tests name them. It knows no clock, no store and no system.

use jiff::Timestamp;

use super::spec::{FieldSpec, First, Rule, SideIx, Unit};
use super::value::{Seen, Value};

/// The agreed value of one unit: what all sides should say.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreed {
    /// One value per field of the unit, in the unit's order.
    pub values: Vec<Value>,
    /// Counts decisions, from 1.
    pub number: u64,
    /// The sides whose change made it.
    pub origin: Vec<SideIx>,
    /// The stamp of the origin's record when it was decided, for `newest` and `oldest`.
    pub stamp: Option<Timestamp>,
}

/// One member of the link, as far as this unit is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberUnit {
    /// Its side.
    pub side: SideIx,
    /// What it shows now, one entry per field of the unit.
    pub seen: Vec<Seen>,
    /// What it showed when it was last accounted for; `None` for a new member or one whose lens changed.
    pub base: Option<Vec<Value>>,
    /// The number of the agreed value that the base stands for; 0 before any.
    pub stands: u64,
    /// The record's own stamp, corrected by the system's measured clock offset.
    pub stamp: Option<Timestamp>,
    /// How far the corrected stamp may be wrong, in milliseconds.
    pub stamp_error_ms: i64,
}

/// Everything the merge of one unit needs.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The fields of the sync.
    pub fields: &'a [FieldSpec],
    /// The unit to decide.
    pub unit: &'a Unit,
    /// The sync's `first` rule.
    pub first: &'a First,
    /// The agreed value so far.
    pub agreed: Option<Agreed>,
    /// The members that exist, at most one per side.
    pub members: Vec<MemberUnit>,
    /// An open conflict freezes the unit (rule 5).
    pub frozen: bool,
}

/// What the merge decided about one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The agreed value after it.
    pub agreed: Option<Agreed>,
    /// For every member that takes part: its base and the number it stands for, after the decision.
    pub members: Vec<(SideIx, Vec<Value>, u64)>,
    /// Members that do not stand for the agreed value and are due a write.
    pub writes: Vec<UnitWrite>,
    /// A conflict to store (or the one that is open, refreshed).
    pub conflict: Option<Conflict>,
    /// Why this was decided, for the plan and the audit: one sentence.
    pub reason: String,
}

/// A write that a member is due.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitWrite {
    /// The side to write.
    pub side: SideIx,
    /// The value per field of the unit; `None` where the side lacks the field or already shows it.
    pub values: Vec<Option<Value>>,
    /// Why, for the person who reads the plan.
    pub reason: String,
}

/// Several sides changed one unit to different values and no rule decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// What all had agreed on before.
    pub agreed: Option<Vec<Value>>,
    /// Every candidate with the sides it stands for.
    pub candidates: Vec<Candidate>,
    /// Why the rule did not decide.
    pub reason: String,
}

/// One of the values that a conflict is between.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// One value per field of the unit.
    pub values: Vec<Value>,
    /// The sides it stands for.
    pub sides: Vec<SideIx>,
}

/// What a person decides about a conflict.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The value of the candidate that this side stands for.
    Take(SideIx),
    /// These values, one per field of the unit.
    Values(Vec<Value>),
}
/// Decides one unit.
pub fn merge(_input: &Input) -> Decision {
    todo!()
}
/// A person's decision on the open conflict; refused as stale when an observation moved since.
pub fn resolve(_input: &Input, _conflict: &Conflict, _choice: &Choice) -> Result<Decision, String> {
    todo!()
}
