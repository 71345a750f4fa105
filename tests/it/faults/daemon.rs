//! The daemon as an operator meets it: one at a time, a clean stop, a new config, and a status that a monitor
//! can ask.

use std::time::Duration;

use twins::kit::{Effect, Fault, When};

use super::site::Site;
use crate::support::eventually;
use crate::support::process::Running;
use crate::support::world::SIDES;

const SOON: Duration = Duration::from_secs(60);

fn daemon(site: &Site) -> Running {
    let mut daemon = site.tallysync(["run"]).start();
    daemon.await_output("running");
    daemon
}

/// Every side shows this soon.
fn travels(site: &Site, number: &str, value: &str) {
    eventually(&format!("{value:?} on all sides"), SOON, || {
        let shown = SIDES.map(|side| match &site.ids(side, number)[..] {
            [id] => site.on(side).shows(id, "memo"),
            other => format!("{} records", other.len()),
        });
        if shown.iter().all(|shown| shown == value) { Ok(()) } else { Err(format!("{shown:?}")) }
    });
}

fn stop(daemon: Running) {
    daemon.signal("TERM");
    daemon.wait_within(SOON).expect_code(0);
}

#[test]
fn a_second_writer_is_refused_and_looking_and_deciding_go_on() {
    let site = Site::with_order();
    let daemon = daemon(&site);
    for words in [["run"], ["sync"]] {
        let refused = site.tallysync(words).run().expect_code(1);
        for part in ["another tallysync", "state.db", "systemctl stop"] {
            assert!(refused.stderr.contains(part), "{words:?} does not say `{part}`: {}", refused.stderr);
        }
    }
    for words in [["plan"], ["status"], ["links"], ["changes"], ["writes"], ["log"], ["conflicts"], ["check"]]
    {
        site.tallysync(words).succeed();
    }
    let why = site.tallysync(["why", "orders", "SO-1", "memo"]).succeed();
    assert!(why.contains("hello"), "{why}");
    site.tallysync(["pause", "crm"]).succeed();
    let paused = site.tallysync(["status", "--check"]).run();
    assert!(paused.stdout.contains("paused"), "{}", paused.stdout);
    site.tallysync(["resume", "crm"]).succeed();
    stop(daemon);
    // The lock goes with its holder.
    site.tallysync(["sync"]).succeed();
}

#[test]
fn what_was_missed_while_it_was_down_is_caught_up_at_the_start() {
    let site = Site::with_order();
    site.edit("crm", "SO-1", "memo", "edited while nobody listened");
    site.add("erp", "SO-2", "made while nobody listened");
    let daemon = daemon(&site);
    travels(&site, "SO-1", "edited while nobody listened");
    travels(&site, "SO-2", "made while nobody listened");
    stop(daemon);
}

#[test]
fn a_stop_in_the_middle_of_a_write_finishes_it() {
    for (signal, when) in [("TERM", When::Before), ("INT", When::After), ("TERM", When::After)] {
        let site = Site::with_order();
        let hub = site.on("crm").hub();
        hub.fault(Fault::of_kind("runs.update", Effect::Hold { gate: "write".into(), when }));
        site.edit("erp", "SO-1", "memo", "under way");
        let mut daemon = daemon(&site);
        eventually("the write at its gate", SOON, || match hub.gates.waiting().get("write") {
            Some(1..) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        daemon.signal(signal);
        daemon.await_output("finishing what is under way");
        hub.gates.release("write");
        daemon.wait_within(SOON).expect_code(0);
        assert_eq!(site.ask("SELECT state FROM write WHERE closed_at IS NULL"), Vec::<String>::new());
        assert_eq!(site.shows("crm", "SO-1", "memo"), "under way");
        let before = site.writes();
        site.tallysync(["sync"]).succeed();
        assert_eq!(site.writes(), before, "nothing was left to do");
        site.assert_sound();
    }
}

#[test]
fn a_new_config_is_taken_or_refused_with_every_reason() {
    let site = Site::with_order();
    let mut daemon = daemon(&site);

    site.write_config("schedule = \"* * * * *\"\nsettel = \"0s\"\nsweep = \"never\"");
    daemon.signal("HUP");
    daemon.await_output("the old one stays");
    for part in ["settel", "did you mean", "settle", "sweep"] {
        daemon.await_output(part);
    }

    // Another state file needs a restart: refused, and the old config goes on, with a pass at once.
    site.write_config("");
    let path = site.path().join("sync.toml");
    let text = std::fs::read_to_string(&path).expect("the config");
    std::fs::write(&path, text.replace("state/state.db", "state/other.db")).expect("the config is written");
    site.edit("erp", "SO-1", "memo", "under the old config");
    daemon.signal("HUP");
    daemon.await_output("that needs a restart");
    travels(&site, "SO-1", "under the old config");

    site.write_config("schedule = \"*/5 * * * *\"\nsettle = \"0s\"");
    site.edit("crm", "SO-1", "memo", "under the new config");
    daemon.signal("HUP");
    travels(&site, "SO-1", "under the new config");
    assert!(!daemon.has_ended());
    stop(daemon);
    assert!(!site.path().join("state/other.db").exists());
}

#[test]
fn a_config_that_means_something_else_writes_nothing_until_accepted() {
    let site = Site::with_order();
    let mut daemon = daemon(&site);
    site.write_config(
        "schedule = \"* * * * *\"\nsettle = \"0s\"\nconflict = \"oldest\"\nwhere = \"memo != 'secret'\"",
    );
    daemon.signal("HUP");
    daemon.await_output("means something else than was accepted");
    stop(daemon);
    site.edit("erp", "SO-1", "memo", "after the change");
    let idle = site.tallysync(["sync"]).succeed();
    assert!(idle.contains("tallysync accept orders"), "{idle}");
    assert_eq!(site.shows("crm", "SO-1", "memo"), "hello");
    let status = site.tallysync(["status", "--check"]).run().expect_code(4);
    assert!(status.stdout.contains("tallysync accept orders"), "{}", status.stdout);
}

#[test]
fn a_monitor_learns_from_the_exit_code_that_a_person_is_needed() {
    let site = Site::with_order();
    site.tallysync(["status", "--check"]).run().expect_code(0);
    let body =
        "{\"message\":\"The given data was invalid.\",\"errors\":{\"prerun\":[\"is locked by finance\"]}}";
    let refusal = Effect::Status { status: 422, when: When::Before, body: Some(body.into()) };
    site.on("crm").hub().fault(Fault::of_kind("runs.update", refusal).times(0));
    site.edit("erp", "SO-1", "memo", "refused there");
    site.tallysync(["sync"]).succeed();
    let status = site.tallysync(["status", "--check"]).run().expect_code(4);
    for part in ["parked write", "is locked by finance", "SO-1", "tallysync retry"] {
        assert!(status.stdout.contains(part), "{part} is not in: {}", status.stdout);
    }
    let json = site.tallysync(["status"]).json();
    assert_eq!(json["needs_person"], true);
    let write = json["problems"][0]["id"].to_string();
    site.on("crm").hub().world().faults.clear();
    site.tallysync(["retry", &write]).succeed();
    site.tallysync(["sync"]).succeed();
    site.tallysync(["status", "--check"]).run().expect_code(0);
    assert_eq!(site.shows("crm", "SO-1", "memo"), "refused there");
    let again = site.tallysync(["retry", &write]).run().expect_code(1);
    assert!(again.stderr.contains(&write), "{}", again.stderr);
}
