//! What goes wrong with requests, listings, records, processes and disks, and what must hold all the same.
//!
//! In one process where time matters (the test's clock), with the real binary where signals, locks and the
//! state file matter. A fault is a rule in a twin; nothing here reaches into the engine.

mod daemon;
mod listings;
mod records;
pub mod site;
mod state_file;
mod throttling;
mod vendors;
mod writes;

use tallysync::engine::pass::{PassOptions, PassReport};
use twins::kit::{Effect, Fault};

use crate::support::world::World;

/// A pass that may fail to list; two minutes after the last.
async fn attempt(world: &World, sweep: bool) -> PassReport {
    world.later(120);
    let options = PassOptions { sweep, ..PassOptions::default() };
    let report = world.engine().pass(&world.sync(), options).await;
    report.unwrap_or_else(|error| panic!("the pass could not be run at all: {error}"))
}

/// A rule on a side's twin.
fn fault(world: &World, side: &str, fault: Fault) {
    world.on(side).hub().fault(fault);
}

/// A rule that strikes whatever a side's twin is asked with that method and part of the address, for ever.
fn always(method: &str, target: &str, effect: Effect) -> Fault {
    Fault::on(method, target, effect).times(0)
}

/// Takes all rules of a side away.
fn heal(world: &World, side: &str) {
    world.on(side).hub().world().faults.clear();
}

/// How many requests were struck on a side.
fn struck(world: &World, side: &str) -> usize {
    world.on(side).hub().world().requests().iter().filter(|request| !request.faults.is_empty()).count()
}
