//! Reads `[sync.guard]`: the brakes of a sync, with the defaults of [`GuardSpec`].
//!
//! Only reads and checks the numbers; applying them is `core::guard`'s business.

use crate::core::spec::GuardSpec;

use super::problem::Report;
use super::reader::Section;

/// `[sync.guard]` of a sync.
pub fn read(sync: &Section<'_>, report: &mut Report<'_>) -> GuardSpec {
    let mut guard = GuardSpec::default();
    let Some(section) = sync.table(report, "guard") else {
        return guard;
    };
    section.only(report, ["deletes", "creates", "updates", "blanks"]);
    if let Some(deletes) = section.table(report, "deletes") {
        deletes.only(report, ["sweeps", "over", "max", "percent", "window"]);
        // One listing proves nothing (P5): two is the least that absence can be concluded from.
        set(&mut guard.delete_sweeps, deletes.whole(report, "sweeps", 2));
        set(&mut guard.delete_over, deletes.duration(report, "over"));
        set(&mut guard.delete_max, deletes.whole(report, "max", 0));
        set(&mut guard.delete_percent, deletes.percent(report, "percent"));
        set(&mut guard.delete_window, deletes.duration(report, "window"));
    }
    if let Some(creates) = section.table(report, "creates") {
        creates.only(report, ["max", "window"]);
        set(&mut guard.create_max, creates.whole(report, "max", 0));
        set(&mut guard.create_window, creates.duration(report, "window"));
    }
    if let Some(updates) = section.table(report, "updates") {
        updates.only(report, ["percent", "min"]);
        set(&mut guard.update_percent, updates.percent(report, "percent"));
        set(&mut guard.update_min, updates.whole(report, "min", 0));
    }
    if let Some(blanks) = section.table(report, "blanks") {
        blanks.only(report, ["percent"]);
        set(&mut guard.blank_percent, blanks.percent(report, "percent"));
    }
    guard
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
