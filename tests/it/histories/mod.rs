//! Random histories over the whole program in one thread: engine, store, merge, connectors, and the twins in
//! process.
//!
//! A history follows from its seed. `TALLYSYNC_HISTORIES` says how many are tried per world,
//! `TALLYSYNC_TEST_SEED` with which they begin. One that goes wrong is told in full.

mod oracles;
mod people;
mod story;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};

use story::Story;

use crate::support::cast::Actor;

/// Histories per world in a usual run.
const USUAL: u64 = 75;

/// The world of the shipped config: NetSuite, Tallyfy, Salesforce.
fn shipped() -> Vec<Actor> {
    vec![Actor::netsuite(), Actor::tallyfy(22), Actor::salesforce()]
}

/// Three Tallyfy organisations: no delete feed, no condition on writes, creates found by their mark.
fn three_tallyfys() -> Vec<Actor> {
    vec![Actor::tallyfy(11), Actor::tallyfy(22), Actor::tallyfy(33)]
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Tells one history; `Err` is why it went wrong, with the whole story.
fn tell(seed: u64, cast: fn() -> Vec<Actor>) -> Result<(), String> {
    let mut story = Story::new(seed, cast());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            story.run().await?;
            story.judge().await
        })
    }));
    let problem = match verdict {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(problem)) => problem,
        Err(_) => "it panicked; the reason stands above".to_owned(),
    };
    Err(format!("{}\n\nseed {seed}: {problem}\n{}", story.told.join("\n"), story.what_is_known()))
}

fn tell_many(cast: fn() -> Vec<Actor>) {
    let first = setting("TALLYSYNC_TEST_SEED").unwrap_or(1);
    let count = setting("TALLYSYNC_HISTORIES").unwrap_or(USUAL);
    let mut failed: Vec<(u64, String)> = Vec::new();
    for seed in first..first + count {
        if let Err(story) = tell(seed, cast) {
            eprintln!("FAILED {}", story.lines().find(|line| line.starts_with("seed ")).unwrap_or_default());
            failed.push((seed, story));
        }
    }
    let Some((_, story)) = failed.first() else { return };
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    panic!("{} of {count} histories went wrong, seeds {seeds:?}; the first:\n{story}", failed.len());
}

#[test]
fn histories_between_netsuite_tallyfy_and_salesforce() {
    tell_many(shipped);
}

#[test]
fn histories_between_three_tallyfy_organisations() {
    tell_many(three_tallyfys);
}
