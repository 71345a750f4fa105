//! The working commands from outside, over real HTTP: check, plan, accept, sync, run, in the order in which a
//! new user meets them.
//!
//! Both sides are templates of one Tallyfy organisation: what the commands do does not depend on the vendors.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use twins::kit::{Effect, Fault, Running, When};
use twins::tallyfy::{FieldSeed, RunSeed, StepSeed, TallyfyTwin, TemplateSeed};

use crate::support::eventually;
use crate::support::process::Tallysync;
use crate::support::twins::serve;

/// An organisation with two templates and one process that has no counterpart, and a config for it.
struct Office {
    tallyfy: TallyfyTwin,
    _running: Running,
    folder: TempDir,
}

impl Office {
    fn open() -> Office {
        let template = |title: &str| {
            TemplateSeed::new(title)
                .kickoff(FieldSeed::new("Order number", "text"))
                .kickoff(FieldSeed::new("Memo", "text"))
                .kickoff(FieldSeed::new("Sync id", "text"))
                .step(StepSeed::task("Look at it"))
        };
        let tallyfy = TallyfyTwin::builder()
            .user(10013, "kim@corp.example", "Kim Doe", "admin")
            .template(&template("Order"))
            .template(&template("Copy"))
            .build();
        let running = serve(&tallyfy.hub);
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            r#"
            [systems.tallyfy]
            connector    = "tallyfy"
            base_url     = "{}"
            organization = "{}"
            auth         = {{ kind = "token", token = {{ file = "token" }} }}
            budget       = {{ per_minute = 60000 }}
            [[sync]]
            name     = "orders"
            schedule = "*/5 * * * *"
            sweep    = "0 3 * * *"
            [sync.sides.desk]
            system   = "tallyfy"
            entity   = "runs"
            template = "Order"
            [sync.sides.copy]
            system   = "tallyfy"
            entity   = "runs"
            template = "Copy"
            create   = ["desk"]
            defaults = {{ name = "Copy of {{{{ order_no }}}}" }}
            marker   = "kickoff.sync-id"
            [sync.fields.order_no]
            key  = true
            desk = "kickoff.order-number"
            copy = "kickoff.order-number"
            [sync.fields.memo]
            desk = "kickoff.memo"
            copy = "kickoff.memo"
            "#,
            running.base_url, tallyfy.organization
        );
        std::fs::write(folder.path().join("sync.toml"), config).unwrap();
        std::fs::write(folder.path().join("token"), &tallyfy.token).unwrap();
        let kickoff = vec![("Order number".to_owned(), json!("SO-1")), ("Memo".to_owned(), json!("urgent"))];
        let seed = RunSeed { template: "Order".to_owned(), name: "Order SO-1".to_owned(), kickoff };
        tallyfy.add_run(&seed).unwrap();
        Office { tallyfy, _running: running, folder }
    }

    fn command(&self, words: &[&str]) -> Tallysync {
        Tallysync::inside(self.folder.path()).args(words.iter().copied())
    }

    /// Runs a command that ends with this code and prints JSON.
    fn json(&self, words: &[&str], code: i32) -> Value {
        let finished = self.command(words).args(["--json"]).run().expect_code(code);
        serde_json::from_str(&finished.stdout).unwrap()
    }

    fn runs(&self) -> usize {
        self.tallyfy.hub.world().list("runs").len()
    }
}

#[test]
fn a_new_user_checks_plans_accepts_and_syncs() {
    let office = Office::open();
    let checked = office.json(&["check"], 0);
    assert_eq!(checked["ok"], json!(true), "{checked}");
    assert_eq!(checked["sides"][1]["guarantees"][0]["promise"], "P1", "{checked}");

    let plans = office.json(&["plan"], 3);
    assert_eq!(plans[0]["needs_acceptance"], json!(true));
    assert_eq!(plans[0]["plan"]["calls"], json!({"tallyfy": {"create": 1}}), "{plans}");
    let printed = office.command(&["plan", "orders"]).run().expect_code(3).stdout;
    assert!(printed.contains("accept with: tallysync accept orders"), "{printed}");
    let idle = office.json(&["sync"], 0);
    assert!(idle[0]["idle"].as_str().is_some_and(|why| why.contains("tallysync accept orders")), "{idle}");
    assert_eq!(office.runs(), 1, "nothing is written before the plan is accepted");

    let old = office.command(&["accept", "orders", "--plan", "1"]).run().expect_code(1);
    assert!(old.stderr.contains("the one that can be accepted is 2"), "{}", old.stderr);
    assert_eq!(
        office.json(&["accept", "orders"], 0),
        json!([{"sync": "orders", "released": 1, "moved": []}])
    );
    assert_eq!(office.json(&["sync"], 0)[0]["written"], json!(1));
    assert_eq!(office.runs(), 2);
    let settled = office.command(&["plan"]).succeed();
    assert!(settled.contains("nothing to do"), "{settled}");
    assert_eq!(office.json(&["accept", "--all"], 0), json!([]));

    let why = office.json(&["why", "orders", "SO-1", "memo"], 0);
    assert_eq!(why["fields"][0]["agreed"]["value"], "urgent", "{why}");
    assert_eq!(why["fields"][0]["sides"].as_array().map(Vec::len), Some(2), "{why}");
    let checked = office.json(&["check"], 0);
    assert_eq!(checked["sides"][0]["records_tried"], json!(1), "{checked}");
}

#[test]
fn a_plan_that_nobody_has_read_needs_yes() {
    let office = Office::open();
    let refused = office.command(&["accept", "orders"]).run().expect_code(2);
    assert!(refused.stderr.contains("nobody has read it"), "{}", refused.stderr);
    assert!(refused.stdout.contains("create copy runs"), "{}", refused.stdout);
    let office = Office::open();
    let accepted = office.command(&["accept", "orders", "--yes"]).succeed();
    assert!(accepted.contains("accepted orders: 1 write released"), "{accepted}");
}

#[test]
fn a_system_that_refuses_us_is_told_and_fails_the_command() {
    let office = Office::open();
    std::fs::write(office.folder.path().join("token"), "wrong").unwrap();
    let checked = office.json(&["check"], 1);
    assert_eq!(checked["systems"][0]["ok"], json!(false), "{checked}");
    let passed = office.json(&["sync"], 1);
    assert!(passed[0]["failures"][0].is_string(), "{passed}");
}

#[test]
fn a_sync_is_planned_and_accepted_beside_the_daemon() {
    let office = Office::open();
    let mut daemon = office.command(&["run"]).start();
    daemon.await_output("running");
    office.command(&["plan", "orders"]).run().expect_code(3);
    assert_eq!(office.runs(), 1);
    office.command(&["accept", "orders"]).succeed();
    eventually("the daemon sends what was accepted", Duration::from_secs(30), || match office.runs() {
        2 => Ok(()),
        runs => Err(format!("{runs} runs")),
    });
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
}

#[test]
fn people_work_beside_the_daemon() {
    let office = Office::open();
    office.command(&["accept", "orders", "--yes"]).succeed();
    let mut daemon = office.command(&["run"]).start();
    daemon.await_output("running");
    let refused = office.command(&["sync"]).run().expect_code(1);
    assert!(refused.stderr.contains("systemctl stop tallysync"), "{}", refused.stderr);
    office.command(&["status"]).succeed();
    office.command(&["check"]).succeed();
    office.command(&["pause", "orders"]).succeed();
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
    assert!(office.runs() <= 2, "the create is never doubled");
    office.command(&["resume", "orders"]).succeed();
    office.command(&["sync"]).succeed();
    assert_eq!(office.runs(), 2);
}

#[test]
fn a_system_that_is_down_when_the_command_starts_is_a_problem_in_status() {
    let office = Office::open();
    office.command(&["accept", "orders", "--yes"]).succeed();
    office.command(&["sync"]).succeed();
    office.command(&["status", "--check"]).succeed();
    let down = Effect::Status { status: 503, when: When::Before, body: None };
    office.tallyfy.hub.fault(Fault::next(down).times(0));
    office.json(&["sync"], 1);
    let status = office.json(&["status", "--check"], 4);
    assert_eq!(status["problems"][0]["problem"], "listing", "{status}");
    assert!(
        status["problems"][0]["detail"].as_str().is_some_and(|detail| detail.contains("503")),
        "{status}"
    );
    let told = office.command(&["plan"]).run().expect_code(1).stdout;
    assert!(!told.contains("  : "), "what concerns a listing has no title: {told}");
}

#[test]
fn a_launch_that_would_be_refused_is_found_by_check() {
    let office = Office::open();
    let path = office.folder.path().join("sync.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    for (wrong, expected) in [("", "no `marker`"), ("marker = \"kickoff.syncid2\"", "syncid2")] {
        std::fs::write(&path, config.replace("marker   = \"kickoff.sync-id\"", wrong)).unwrap();
        let checked = office.json(&["check"], 1);
        let problem = checked["sides"][1]["problem"].as_str().unwrap_or_default();
        assert!(problem.contains(expected), "{checked}");
    }
}

#[test]
fn accepting_once_more_brings_nothing_back() {
    let office = Office::open();
    office.command(&["accept", "orders", "--yes"]).succeed();
    office.command(&["drop", "1"]).succeed();
    // Every plan that is printed waits; this one has nothing new to accept.
    office.command(&["plan"]).run();
    let again = office.command(&["accept", "orders", "--yes"]).succeed();
    assert!(again.contains("orders is accepted already"), "{again}");
    office.command(&["sync"]).succeed();
    assert_eq!(office.runs(), 1, "what a person dropped stays dropped");
}

#[test]
fn an_epoch_file_without_a_folder_is_told_before_the_first_start() {
    let office = Office::open();
    let path = office.folder.path().join("sync.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("[state]\nepoch = \"disk/epoch\"\n{config}")).unwrap();
    for words in [["check"], ["plan"]] {
        let refused = office.command(&words).run().expect_code(1);
        assert!(refused.stderr.contains("there is no folder"), "{words:?}: {}", refused.stderr);
    }
    std::fs::create_dir(office.folder.path().join("disk")).unwrap();
    office.command(&["check"]).succeed();
}
