//! The demo: what a new user runs first. Its state file must tell the same story as its words.

use std::process::Command;

use crate::support::process::Tallysync;

/// What `sqlite3`, and nothing else, says about the demo's state file.
fn ask(folder: &std::path::Path, question: &str) -> String {
    let output = Command::new("sqlite3")
        .arg(folder.join("tallysync-demo/state.db"))
        .arg(question)
        .output()
        .expect("sqlite3 is installed (Debian package sqlite3)");
    assert!(output.status.success(), "{question}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_demo_tells_a_true_story_and_leaves_its_evidence() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let said = Tallysync::inside(folder.path()).args(["demo"]).succeed();
    for moment in [
        "accept with: tallysync accept orders",
        "conflict 1 is resolved",
        "kill -9",
        "counted no write at all",
    ] {
        assert!(said.contains(moment), "the demo did not say {moment:?}:\n{said}");
    }
    let ask = |question: &str| ask(folder.path(), question);
    assert_eq!(
        ask("SELECT state, linked, conflicts, waiting, parked, uncertain FROM status"),
        "live|4|0|0|0|0"
    );
    assert_eq!(ask("SELECT count(*) FROM open_writes"), "0");
    assert_eq!(ask("SELECT count(*) FROM open_conflicts"), "0");
    assert_eq!(ask("SELECT count(*) FROM problems"), "0");
    assert_eq!(
        ask(
            "SELECT group_concat(side) FROM (SELECT side FROM linked_records WHERE title = 'SO-1001' ORDER BY side)"
        ),
        "crm,erp,tallyfy"
    );
    // The killed launch: sent, of unknown outcome, found by its mark; never sent twice.
    let launch = "SELECT group_concat(event) FROM (SELECT DISTINCT event, min(id) FROM audit WHERE op = 'create' AND link = \
                  (SELECT id FROM link WHERE title = 'SO-1005') GROUP BY event ORDER BY min(id))";
    assert_eq!(ask(launch), "sent,unknown,found");
    // The conflict's loser is kept.
    let displaced = "SELECT count(*) FROM why WHERE title = 'SO-1002' AND field = 'memo' AND before LIKE '%Partial delivery%'";
    assert_ne!(ask(displaced), "0");
    assert!(ask("SELECT count(*) FROM recent_changes").parse::<u32>().is_ok_and(|count| count > 10));
}

#[test]
fn a_demo_can_be_run_again_in_the_same_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    Tallysync::inside(folder.path()).args(["demo"]).succeed();
    Tallysync::inside(folder.path()).args(["demo"]).succeed();
}
