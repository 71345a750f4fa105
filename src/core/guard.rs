//! The brakes on a whole plan: pure checks of counts against `[sync.guard]`.
//!
//! What counts, and what a tripped guard holds, is the engine's business.

use super::spec::GuardSpec;

/// What a plan would do, and what was done in the windows before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Linked records of the sync.
    pub linked: u64,
    /// Links of which this plan deletes or archives records.
    pub deletes: u64,
    /// Links of which records were deleted or archived in the window before.
    pub deletes_done: u64,
    /// Creates that this plan asks for.
    pub creates: u64,
    /// Creates done in the window before.
    pub creates_done: u64,
    /// Links of which this plan updates records.
    pub updates: u64,
    /// Per field name: of how many links this plan blanks it.
    pub blanks: Vec<(String, u64)>,
}

/// What a guard brakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brake {
    /// Deletes and archives.
    Deletes,
    /// Creates.
    Creates,
    /// Updates.
    Updates,
    /// Blanked values of one field.
    Blanks,
}

/// A guard that holds a batch until it is approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// Which.
    pub brake: Brake,
    /// The field, for blanks.
    pub field: Option<String>,
    /// What was counted, the window included.
    pub count: u64,
    /// The most that passes.
    pub limit: u64,
    /// For people: what was counted against what, and what they can do.
    pub reason: String,
}

impl Brake {
    /// `deletes`, `creates`, `updates`, `blanks`: as in the config.
    pub fn name(self) -> &'static str {
        match self {
            Brake::Deletes => "deletes",
            Brake::Creates => "creates",
            Brake::Updates => "updates",
            Brake::Blanks => "blanks",
        }
    }
}

/// The guards that hold this plan; empty when it may go on.
pub fn check(spec: &GuardSpec, counts: &Counts) -> Vec<Tripped> {
    let mut tripped = Vec::new();
    let deletes = counts.deletes.saturating_add(counts.deletes_done);
    let limit = u64::from(spec.delete_max).min(percent_of(spec.delete_percent, counts.linked));
    if counts.deletes > 0 && deletes > limit {
        let reason = format!(
            "{deletes} deletes within {} ({} of them in this plan); at most {limit} pass: the smaller of {} and \
             {} % of {} linked records",
            hours(spec.delete_window),
            counts.deletes,
            spec.delete_max,
            spec.delete_percent,
            counts.linked
        );
        tripped.push(trip(Brake::Deletes, None, deletes, limit, reason));
    }
    let creates = counts.creates.saturating_add(counts.creates_done);
    let limit = u64::from(spec.create_max);
    if counts.creates > 0 && creates > limit {
        let reason = format!(
            "{creates} creates within {} ({} of them in this plan); at most {limit} pass",
            hours(spec.create_window),
            counts.creates
        );
        tripped.push(trip(Brake::Creates, None, creates, limit, reason));
    }
    let limit = percent_of(spec.update_percent, counts.linked);
    if counts.updates > u64::from(spec.update_min) && counts.updates > limit {
        let reason = format!(
            "{} records updated in one plan; at most {limit} pass: {} % of {} linked records (counted above {})",
            counts.updates, spec.update_percent, counts.linked, spec.update_min
        );
        tripped.push(trip(Brake::Updates, None, counts.updates, limit, reason));
    }
    let limit = percent_of(spec.blank_percent, counts.linked);
    for (field, blanks) in counts.blanks.iter().filter(|(_, blanks)| *blanks > limit) {
        let reason = format!(
            "{blanks} values of {field} blanked in one plan; at most {limit} pass: {} % of {} linked records",
            spec.blank_percent, counts.linked
        );
        tripped.push(trip(Brake::Blanks, Some(field.clone()), *blanks, limit, reason));
    }
    tripped
}

fn trip(brake: Brake, field: Option<String>, count: u64, limit: u64, reason: String) -> Tripped {
    let reason = format!("{reason}. Held until approved; the rest of the sync goes on");
    Tripped { brake, field, count, limit, reason }
}

/// That share, rounded down, but at least one: a guard that lets nothing pass would be a switch.
fn percent_of(percent: f64, linked: u64) -> u64 {
    // Counts of records, not business numbers: a float is exact enough up to 2^53 of them.
    let share = (percent.max(0.0) * linked as f64 / 100.0).floor();
    (share as u64).max(1)
}

fn hours(window: std::time::Duration) -> String {
    let seconds = window.as_secs();
    match seconds {
        _ if seconds > 0 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds > 0 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brakes(counts: &Counts) -> Vec<(Brake, u64)> {
        check(&GuardSpec::default(), counts)
            .into_iter()
            .map(|tripped| (tripped.brake, tripped.limit))
            .collect()
    }

    #[test]
    fn deletes_are_limited_by_the_smaller_of_count_and_percentage() {
        let counts =
            |linked, deletes, deletes_done| Counts { linked, deletes, deletes_done, ..Counts::default() };
        assert_eq!(brakes(&counts(100_000, 10, 0)), []);
        assert_eq!(brakes(&counts(100_000, 11, 0)), [(Brake::Deletes, 10)]);
        assert_eq!(brakes(&counts(100_000, 1, 10)), [(Brake::Deletes, 10)]);
        assert_eq!(brakes(&counts(200, 4, 0)), []);
        assert_eq!(brakes(&counts(200, 5, 0)), [(Brake::Deletes, 4)]);
        assert_eq!(brakes(&counts(10, 1, 0)), [], "at least one passes");
        assert_eq!(brakes(&counts(0, 2, 0)), [(Brake::Deletes, 1)]);
        assert_eq!(brakes(&counts(10, 0, 50)), [], "what was done before holds nothing by itself");
    }

    #[test]
    fn creates_updates_and_blanks() {
        let base = Counts { linked: 1000, ..Counts::default() };
        assert_eq!(brakes(&Counts { creates: 201, ..base.clone() }), [(Brake::Creates, 200)]);
        assert_eq!(brakes(&Counts { creates: 100, creates_done: 100, ..base.clone() }), []);
        assert_eq!(brakes(&Counts { updates: 301, ..base.clone() }), [(Brake::Updates, 300)]);
        assert_eq!(brakes(&Counts { updates: 300, ..base.clone() }), []);
        assert_eq!(brakes(&Counts { linked: 20, updates: 20, ..base.clone() }), [], "small syncs are exempt");
        let blanks = vec![("amount".to_owned(), 101), ("note".to_owned(), 100)];
        let tripped = check(&GuardSpec::default(), &Counts { blanks, ..base });
        assert_eq!(tripped.len(), 1);
        assert_eq!(tripped[0].field.as_deref(), Some("amount"));
        for part in ["101 values of amount", "at most 100", "10 % of 1000"] {
            assert!(tripped[0].reason.contains(part), "{}", tripped[0].reason);
        }
    }
}
