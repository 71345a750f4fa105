//! The budget under a clock of its own.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn budget(per_minute: Option<u32>, in_flight: u32) -> Budget {
    Budget::new(&BudgetSpec { per_minute, per_day: None, max_in_flight: Some(in_flight) }, Limits::default())
}

/// Drives a queue of purposes to its end; gives the order and the times in milliseconds.
fn drain(budget: &mut Budget, purposes: &[Purpose]) -> Vec<(Purpose, i64)> {
    let mut waiting: Vec<(u64, Purpose)> =
        purposes.iter().map(|purpose| (budget.enqueue(*purpose), *purpose)).collect();
    let mut now = at(0);
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let mut shortest = None;
        let mut granted = None;
        for (ticket, purpose) in &waiting {
            match budget.ask(*ticket, now) {
                Permit::Granted => {
                    granted = Some((*ticket, *purpose));
                    break;
                }
                Permit::Wait(duration) => {
                    shortest = Some(shortest.map_or(duration, |s: Duration| s.min(duration)))
                }
                Permit::WaitForTurn => {}
                Permit::Refused { why, .. } => panic!("{why}"),
            }
        }
        if let Some((ticket, purpose)) = granted {
            order.push((purpose, now.as_millisecond() - at(0).as_millisecond()));
            budget.finished();
            waiting.retain(|(t, _)| *t != ticket);
        } else {
            now = later(now, shortest.expect("somebody must be able to go or wait"));
        }
    }
    order
}

#[test]
fn no_sixty_seconds_see_more_calls_than_the_budget() {
    let mut budget = budget(Some(30), 4);
    let order = drain(&mut budget, &[Purpose::Poll; 200]);
    for (index, (_, start)) in order.iter().enumerate() {
        let inside = order[index..].iter().take_while(|(_, t)| t - start < 60_000).count();
        assert!(inside <= 30, "{inside} calls in the minute from {start} ms");
    }
    // And the budget is used: 200 calls at 30 a minute take less than 7 minutes.
    assert!(order.last().unwrap().1 < 7 * 60_000, "{order:?}");
}

#[test]
fn writes_go_first_but_sweeps_keep_a_share() {
    let mut budget = budget(Some(600), 1);
    let mut purposes = vec![Purpose::Sweep; 5];
    purposes.extend([Purpose::Poll; 5]);
    purposes.extend([Purpose::Write; 30]);
    let order: Vec<Purpose> = drain(&mut budget, &purposes).into_iter().map(|(p, _)| p).collect();
    assert_eq!(order[..4], [Purpose::Write; 4]);
    let last_write = order.iter().rposition(|p| *p == Purpose::Write).unwrap();
    let sweeps_before = order[..last_write].iter().filter(|p| **p == Purpose::Sweep).count();
    assert!(sweeps_before >= 4, "sweeps starve: {order:?}");
    let last_sweep = order.iter().rposition(|p| *p == Purpose::Sweep).unwrap();
    assert!(order[..last_sweep].iter().filter(|p| **p == Purpose::Write).count() >= 16, "{order:?}");
}

#[test]
fn in_flight_is_capped() {
    let mut budget = budget(None, 2);
    let tickets: Vec<u64> = (0..3).map(|_| budget.enqueue(Purpose::Write)).collect();
    assert_eq!(budget.ask(tickets[0], at(0)), Permit::Granted);
    assert_eq!(budget.ask(tickets[1], at(0)), Permit::Granted);
    assert_eq!(budget.ask(tickets[2], at(0)), Permit::WaitForTurn);
    budget.finished();
    assert_eq!(budget.ask(tickets[2], at(0)), Permit::Granted);
}

#[test]
fn a_pause_holds_everybody_and_is_never_shortened() {
    let mut budget = budget(None, 2);
    budget.throttled(Duration::from_secs(30), "429", at(0));
    budget.pause(Duration::from_secs(5), "shorter", at(0));
    let ticket = budget.enqueue(Purpose::Write);
    assert_eq!(budget.ask(ticket, at(10)), Permit::Wait(Duration::from_secs(20)));
    assert_eq!(budget.ask(ticket, at(30)), Permit::Granted);
    budget.pause(Duration::from_secs(600), "long", at(31));
    let late = budget.enqueue(Purpose::Write);
    let refused = budget.ask(late, at(31));
    assert!(
        matches!(&refused, Permit::Refused { after, why, quota: false } if after.as_secs() == 600 && why == "long"),
        "{refused:?}"
    );
    assert_eq!(budget.status(at(31)).paused_because.as_deref(), Some("long"));
}

#[test]
fn refusals_halve_the_rate_once_per_burst_and_it_recovers() {
    let mut budget = budget(Some(60), 2);
    budget.throttled(Duration::from_secs(1), "429", at(0));
    budget.throttled(Duration::from_secs(1), "429", at(1));
    assert_eq!(budget.status(at(1)).speed, 0.5);
    budget.throttled(Duration::from_secs(1), "429", at(10));
    assert_eq!(budget.status(at(10)).speed, 0.25);
    for step in 1..10 {
        let ticket = budget.enqueue(Purpose::Poll);
        assert_eq!(budget.ask(ticket, at(10 + 61 * step)), Permit::Granted);
        budget.finished();
    }
    assert_eq!(budget.status(at(700)).speed, 1.0);
}

#[test]
fn the_days_budget_leaves_the_last_part_to_writes_and_ends_at_midnight() {
    let spec = BudgetSpec { per_minute: None, per_day: Some(20), max_in_flight: None };
    let mut budget = Budget::new(&spec, Limits::default());
    for _ in 0..17 {
        let ticket = budget.enqueue(Purpose::Sweep);
        assert_eq!(budget.ask(ticket, at(0)), Permit::Granted);
        budget.finished();
    }
    let sweep = budget.enqueue(Purpose::Sweep);
    let Permit::Refused { after, quota: true, .. } = budget.ask(sweep, at(0)) else { panic!("not refused") };
    budget.leave(sweep);
    let write = budget.enqueue(Purpose::Write);
    assert_eq!(budget.ask(write, at(0)), Permit::Granted);
    let next_day = later(at(0), after);
    let again = budget.enqueue(Purpose::Sweep);
    budget.finished();
    assert_eq!(budget.ask(again, next_day), Permit::Granted);
}

#[test]
fn a_quota_header_stops_before_the_reserve_and_asks_again_later() {
    let limits = Limits {
        quota: Some(QuotaHeader {
            name: "sforce-limit-info".to_owned(),
            regex: regex_lite::Regex::new("(?<used>\\d+)/(?<limit>\\d+)").unwrap(),
            reserve: 0.2,
        }),
        ..Limits::default()
    };
    let mut budget = Budget::new(&BudgetSpec::default(), limits);
    budget.quota(801, 1000, at(0));
    let write = budget.enqueue(Purpose::Write);
    assert!(matches!(budget.ask(write, at(0)), Permit::Refused { quota: true, .. }));
    assert_eq!(budget.ask(write, at(15 * 60)), Permit::Granted);
}
