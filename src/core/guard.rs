//! The brakes.
use super::spec::GuardSpec;

/// What a plan would do, and what was done in the windows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Linked records of the sync.
    pub linked: u64,
    /// Deletes and archives of this plan.
    pub deletes: u64,
    /// Deletes done in the window.
    pub deletes_done: u64,
    /// Creates of this plan.
    pub creates: u64,
    /// Creates done in the window.
    pub creates_done: u64,
    /// Records updated by this plan.
    pub updates: u64,
    /// Per field name: values that this plan blanks.
    pub blanks: Vec<(String, u64)>,
}
/// What a guard brakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Brake {
    /// Deletes and archives.
    Deletes,
    /// Creates.
    Creates,
    /// Updates.
    Updates,
    /// Blanked values.
    Blanks,
}
/// A guard that holds a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// Which.
    pub brake: Brake,
    /// The field, for blanks.
    pub field: Option<String>,
    /// What was counted.
    pub count: u64,
    /// The limit.
    pub limit: u64,
    /// For people.
    pub reason: String,
}
impl Brake {
    /// `deletes`, `creates`, `updates`, `blanks`.
    pub fn name(self) -> &'static str {
        todo!()
    }
}
/// The guards that hold this plan.
pub fn check(_spec: &GuardSpec, _counts: &Counts) -> Vec<Tripped> {
    todo!()
}
