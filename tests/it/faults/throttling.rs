//! 429 in every style: obeyed, survived, nothing doubled.

use jiff::Timestamp;
use twins::kit::{Effect, Fault, RetryAfter};

use super::{attempt, fault};
use crate::support::cast::is_write;
use crate::support::world::{Setup, World};

const STYLES: [RetryAfter; 3] = [RetryAfter::Seconds(20), RetryAfter::HttpDate(20), RetryAfter::Absent];

/// Between a 429 and the next request at least as long as it asked for went by.
fn assert_obeyed(world: &World, side: &str, style: RetryAfter, since: usize) {
    let asked = match style {
        RetryAfter::Seconds(seconds) | RetryAfter::HttpDate(seconds) => seconds,
        RetryAfter::Absent => 0,
    };
    let hub = world.on(side).hub();
    let requests: Vec<(Timestamp, bool)> = hub.world().requests()[since..]
        .iter()
        .map(|request| (request.at, !request.faults.is_empty()))
        .collect();
    let refused = requests.iter().filter(|(_, struck)| *struck).count();
    assert!(refused > 0, "{style:?}: nothing was refused");
    for pair in requests.windows(2) {
        let [(at, struck), (next, _)] = pair else { continue };
        let waited = next.duration_since(*at).as_millis();
        // An HTTP date has whole seconds: up to one less.
        let least = i128::from(asked.saturating_sub(1)) * 1000;
        assert!(!struck || waited >= least, "{style:?}: asked again after {waited} ms");
    }
}

#[tokio::test]
async fn a_storm_while_writing_is_obeyed_and_nothing_is_doubled() {
    for style in STYLES {
        let mut world = World::with_order(Setup::default()).await;
        let since = world.on("crm").hub().world().requests().len();
        fault(&world, "crm", Fault::of_kind("runs.launch", Effect::Throttle { retry_after: style }).times(3));
        fault(&world, "crm", Fault::of_kind("runs.update", Effect::Throttle { retry_after: style }).times(3));
        world.edit("erp", "SO-1", "memo", "new");
        world.add("erp", "SO-2", "2", "another");
        for _ in 0..6 {
            attempt(&world, false).await;
        }
        assert_obeyed(&world, "crm", style, since);
        world.expect("SO-1", "memo", "new");
        world.expect("SO-2", "memo", "another");
        let done = world.on("crm").hub().world().requests()[since..]
            .iter()
            .filter(|request| is_write(request) && request.faults.is_empty())
            .count();
        assert_eq!(done, 2, "{style:?}: one launch and one update");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn a_storm_while_listing_is_obeyed_and_the_others_go_on() {
    for style in STYLES {
        let mut world = World::with_order(Setup::default()).await;
        let since = world.on("tallyfy").hub().world().requests().len();
        let throttle = Effect::Throttle { retry_after: style };
        world
            .on("tallyfy")
            .hub()
            .fault(Fault { method: Some("GET".into()), ..Fault::next(throttle) }.times(12));
        world.edit("erp", "SO-1", "memo", "new");
        attempt(&world, false).await;
        assert_eq!(world.shows("crm", "SO-1", "memo"), "new", "{style:?}");
        for _ in 0..10 {
            attempt(&world, false).await;
        }
        assert_obeyed(&world, "tallyfy", style, since);
        world.expect("SO-1", "memo", "new");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn a_long_pause_blocks_only_that_system_and_ends_by_itself() {
    let mut world = World::with_order(Setup::default()).await;
    let since = world.on("crm").hub().world().requests().len();
    fault(&world, "crm", Fault::next(Effect::Throttle { retry_after: RetryAfter::Seconds(1800) }));
    world.edit("erp", "SO-1", "memo", "new");
    for _ in 0..5 {
        attempt(&world, false).await;
    }
    assert_eq!(
        world.on("crm").hub().world().requests().len(),
        since + 1,
        "half an hour of silence was asked for"
    );
    assert_eq!(world.shows("tallyfy", "SO-1", "memo"), "new");
    let problems = world.problems().await;
    assert!(problems.iter().any(|problem| problem.contains("429")), "{problems:?}");
    world.later(1800);
    world.pass().await;
    world.pass().await;
    world.expect("SO-1", "memo", "new");
    world.assert_converged().await;
}
