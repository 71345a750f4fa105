//! `tallysync demo`: the shipped `sync.toml` against stand-ins, over real HTTP and a real state file.
//!
//! The engine runs as a child process, exactly as a user would run it; this file only plays the people in the
//! three systems and tells what happened. Every step is checked: a story that does not come true ends with
//! exit code 1.

mod people;
mod stage;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use people::People;
use stage::Stage;

use crate::store::read::QUESTIONS;

/// Runs the demo in `dir` (made if needed; default `tallysync-demo`). With `keep`, the stand-ins and a daemon
/// go on running to play with, until Ctrl-C.
///
/// # Errors
/// When something cannot be started, or the story does not come true.
pub async fn run(keep: bool, dir: Option<PathBuf>) -> Result<i32> {
    let dir = dir.unwrap_or_else(|| PathBuf::from("tallysync-demo"));
    let stage = Stage::set(&dir).await?;
    let people = People::new(&stage);
    first_plan(&stage, &people)?;
    edits(&stage, &people)?;
    conflict(&stage, &people)?;
    approval(&stage, &people)?;
    kill(&stage, &people).await?;
    quiet(&stage)?;
    ending(&stage);
    if keep {
        stage.play().await?;
    }
    Ok(0)
}

fn first_plan(stage: &Stage, people: &People<'_>) -> Result<()> {
    stage.title("1. Nothing is written before its plan was read and accepted");
    stage.say(
        "The ERP has four orders, the CRM has opportunities for two of them, Tallyfy has no process yet.",
    );
    let plan = stage.tallysync(&["plan", "orders"], &[3])?;
    ensure!(plan.contains("create"), "the plan should launch processes:\n{plan}");
    ensure!(people.processes().is_empty(), "a plan must not write");
    stage.tallysync(&["accept", "orders"], &[0])?;
    stage.tallysync(&["sync", "orders"], &[0])?;
    let processes = people.processes();
    ensure!(
        processes.len() == 3,
        "three orders are over 10 000, {} processes were launched",
        processes.len()
    );
    stage.say("SO-1003 is under 10 000: the condition `where` keeps it out. The others are linked:");
    stage.tallysync(&["links", "orders"], &[0])?;
    Ok(())
}

fn edits(stage: &Stage, people: &People<'_>) -> Result<()> {
    stage.title("2. An edit on one side reaches the others; edits of different fields both survive");
    stage.say("Somebody in the CRM moves the close date of SO-1001 to 2027-03-15.");
    people.crm("SO-1001", json!({ "CloseDate": "2027-03-15" }))?;
    stage.tallysync(&["sync", "orders"], &[0])?;
    people.expect("SO-1001", "ship date", ["2027-03-15", "2027-03-15", "2027-03-15"], People::ship_dates)?;
    stage.say("Now at the same time: the ERP edits the memo, Tallyfy moves the ship date.");
    people.erp("SO-1001", json!({ "memo": "Deliver to gate 4" }))?;
    people.tallyfy("SO-1001", "ship-date", json!("2027-03-20"))?;
    stage.tallysync(&["sync", "orders"], &[0])?;
    people.expect("SO-1001", "memo", ["Deliver to gate 4"; 3], People::memos)?;
    people.expect("SO-1001", "ship date", ["2027-03-20"; 3], People::ship_dates)?;
    stage.say("Both arrived everywhere.");
    Ok(())
}

fn conflict(stage: &Stage, people: &People<'_>) -> Result<()> {
    stage.title("3. The same field, edited differently: nobody is overwritten");
    people.erp("SO-1002", json!({ "memo": "Partial delivery" }))?;
    people.crm("SO-1002", json!({ "Description": "Deliver everything at once" }))?;
    stage.tallysync(&["sync", "orders"], &[0])?;
    stage.tallysync(&["conflicts"], &[0])?;
    let conflict = stage
        .rows(&["conflicts"])?
        .into_iter()
        .find_map(|row| row.get("id")?.as_i64())
        .context("the two memos should be a conflict")?;
    stage.say("The field is frozen on all sides until a person decides. Here: the CRM is right.");
    stage.tallysync(&["resolve", &conflict.to_string(), "--take", "crm"], &[0])?;
    stage.tallysync(&["sync", "orders"], &[0])?;
    people.expect("SO-1002", "memo", ["Deliver everything at once"; 3], People::memos)
}

fn approval(stage: &Stage, people: &People<'_>) -> Result<()> {
    stage.title("4. A decision made in the process is told to the others");
    stage.say("In Tallyfy, the management approves SO-1001.");
    people.approve("SO-1001")?;
    stage.tallysync(&["sync", "orders"], &[0])?;
    people.expect_two("SO-1001", "approval", ["approved", "approved"], People::approvals)?;
    stage.tallysync(&["why", "orders", "SO-1001", "approval"], &[0])?;
    Ok(())
}

async fn kill(stage: &Stage, people: &People<'_>) -> Result<()> {
    stage.title("5. Killed in the middle of a launch");
    people.new_order("SO-1005", "99000.00")?;
    stage.say(
        "A new order arrives. tallysync sends the launch; Tallyfy makes the process, and at this very moment",
    );
    stage.say("tallysync is killed (kill -9): the answer is lost.");
    stage.kill_during_launch().await?;
    let launched = people.processes_of("SO-1005");
    ensure!(launched == 1, "Tallyfy should have made the process, it has {launched}");
    stage.tallysync(&["writes", "--open"], &[0])?;
    stage.say("The outbox knows that a launch was under way. The next start looks for its mark instead of sending again:");
    stage.tallysync(&["sync", "orders"], &[0])?;
    let launched = people.processes_of("SO-1005");
    ensure!(launched == 1, "there must be one process for SO-1005, there are {launched}");
    ensure!(stage.rows(&["writes", "--open"])?.is_empty(), "nothing should be waiting any more");
    stage.say("One order, one process, nothing waiting.");
    Ok(())
}

fn quiet(stage: &Stage) -> Result<()> {
    stage.title("6. And when nobody edits");
    let before = stage.writes_seen();
    for _ in 0..3 {
        stage.tallysync_quietly(&["sync", "orders"], &[0])?;
    }
    let after = stage.writes_seen();
    ensure!(before == after, "three passes without an edit wrote {} times", after - before);
    stage.say("Three more passes, and the stand-ins counted no write at all.");
    Ok(())
}

fn ending(stage: &Stage) {
    let state = stage.state().display().to_string();
    stage.title("The state file");
    stage.say(&format!("Everything is in {state}. Ask it:"));
    for question in QUESTIONS {
        println!("  sqlite3 -box {state} \"{question}\"");
    }
}
