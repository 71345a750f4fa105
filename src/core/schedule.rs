//! Five-field Unix cron in a time zone, correct over daylight-saving changes.
//!
//! The `cron` crate only sees civil times dressed as UTC; which instant a civil time is, is decided here. A job
//! at fixed hours runs once on every day: right after the gap when the clock skips its time, at the first of
//! two when the clock repeats it. A job of every hour goes by elapsed time: nothing extra after a gap, and on
//! through the repeated hour. This file knows no clock.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};

/// Clocks are moved by less than this; only once was it a whole day, and that gap needs no look back.
const LARGEST_MOVE_HOURS: i64 = 3;

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A five-field Unix cron line (minute, hour, day of month, month, day of week) in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Two when both days are restricted: Unix cron runs when either matches.
    lines: Vec<cron::Schedule>,
    zone: TimeZone,
    every_hour: bool,
}

impl Schedule {
    /// Reads a line such as `*/2 * * * *` or `0 3 * * mon-fri`.
    ///
    /// # Errors
    /// When a field cannot be read or the zone is unknown; the text names it.
    pub fn parse(text: &str, zone: &str) -> Result<Schedule, String> {
        let zone = TimeZone::get(zone)
            .map_err(|_| format!("{zone:?} is not a time zone (expected a name such as Europe/Berlin)"))?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "{text:?} has {} fields; a schedule has five: minute hour day month weekday",
                fields.len()
            ));
        };
        let weekdays = weekdays(weekday).map_err(|why| format!("{text:?}: {why}"))?;
        let line = |day: &str, weekday: &str| {
            let line = format!("0 {minute} {hour} {day} {month} {weekday}");
            cron::Schedule::from_str(&line).map_err(|_| {
                format!(
                    "{text:?} is not a schedule: minute 0-59, hour 0-23, day 1-31, month 1-12 or jan-dec, weekday \
                     0-7 or sun-sat; each may be *, a list (1,15), a range (1-5) or a step (*/10)"
                )
            })
        };
        let lines = if day.starts_with('*') || weekday.starts_with('*') {
            vec![line(day, &weekdays)?]
        } else {
            vec![line(day, "*")?, line("*", &weekdays)?]
        };
        Ok(Schedule { lines, zone, every_hour: *hour == "*" })
    }

    /// The first moment after this one; `None` when there is none (the thirtieth of February).
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let local = self.zone.to_datetime(after);
        let start = local.checked_sub(Span::new().hours(LARGEST_MOVE_HOURS)).ok()?;
        self.lines.iter().filter_map(|line| self.next_of(line, start, after)).min()
    }

    fn next_of(&self, line: &cron::Schedule, start: civil::DateTime, after: Timestamp) -> Option<Timestamp> {
        let mut best: Option<(Timestamp, civil::DateTime)> = None;
        for dressed in line.after(&dress(start)?) {
            let civil = undress(dressed)?;
            if let Some((_, limit)) = best
                && civil > limit
            {
                break;
            }
            let found = self.instants(civil).into_iter().flatten().filter(|instant| *instant > after).min();
            if let Some(found) = found
                && best.is_none_or(|(best, _)| found < best)
            {
                // A later civil time can still be an earlier instant while the clock is being moved.
                let limit = civil.checked_add(Span::new().hours(LARGEST_MOVE_HOURS)).ok()?;
                best = Some((found, limit));
            }
        }
        best.map(|(instant, _)| instant)
    }

    /// The moments at which a job of this civil time runs.
    fn instants(&self, civil: civil::DateTime) -> [Option<Timestamp>; 2] {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(civil).ok(), None],
            AmbiguousOffset::Gap { .. } if self.every_hour => [None, None],
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset, the skipped time lies just before the clock is moved.
                let end = after
                    .to_timestamp(civil)
                    .ok()
                    .and_then(|before| self.zone.following(before).next())
                    .map(|transition| transition.timestamp());
                [end, None]
            }
            AmbiguousOffset::Fold { before, after } => {
                let second = if self.every_hour { after.to_timestamp(civil).ok() } else { None };
                [before.to_timestamp(civil).ok(), second]
            }
        }
    }
}

fn dress(civil: civil::DateTime) -> Option<DateTime<Utc>> {
    let seconds = civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    DateTime::from_timestamp(seconds, 0)
}

fn undress(dressed: DateTime<Utc>) -> Option<civil::DateTime> {
    let instant = Timestamp::from_second(dressed.timestamp()).ok()?;
    Some(TimeZone::UTC.to_datetime(instant))
}

/// The weekdays as the `cron` crate counts them (1 is Sunday), from Unix spelling (0 and 7 are Sunday).
fn weekdays(field: &str) -> Result<String, String> {
    let mut days = [false; 7];
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse::<usize>().ok().filter(|step| *step > 0);
                (range, step.ok_or_else(|| format!("{part:?} has no valid step"))?)
            }
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None => (weekday(range)?, weekday(range)?),
        };
        // `fri-mon` and `5-7` go over the end of the week.
        let last = if last < first { last + 7 } else { last };
        for day in (first..=last).step_by(step) {
            if let Some(slot) = days.get_mut(day % 7) {
                *slot = true;
            }
        }
    }
    let numbers: Vec<String> =
        days.iter().enumerate().filter(|(_, set)| **set).map(|(day, _)| (day + 1).to_string()).collect();
    Ok(if numbers.len() == 7 { "*".to_owned() } else { numbers.join(",") })
}

fn weekday(name: &str) -> Result<usize, String> {
    let lower = name.to_lowercase();
    match lower.parse::<usize>() {
        Ok(day) if day <= 7 => Ok(day),
        Ok(_) => Err(format!("{name:?} is no weekday: 0 (Sunday) to 7 (Sunday again)")),
        Err(_) => lower
            .get(..3)
            .and_then(|start| DAYS.iter().position(|day| *day == start))
            .ok_or_else(|| format!("{name:?} is no weekday: sun, mon, tue, wed, thu, fri, sat or 0 to 7")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn runs(line: &str, zone: &str, after: &str, expected: &[&str]) {
        let schedule = Schedule::parse(line, zone).unwrap();
        let mut now: Timestamp = after.parse().unwrap();
        for expected in expected {
            now = schedule.next_after(now).unwrap();
            assert_eq!(now, expected.parse::<Timestamp>().unwrap(), "{line} in {zone}");
        }
    }

    #[test]
    fn plain_lines_in_utc() {
        runs("*/2 * * * *", "UTC", "2026-01-01T00:00:00Z", &["2026-01-01T00:02:00Z", "2026-01-01T00:04:00Z"]);
        runs("0 3 * * *", "UTC", "2026-01-01T03:00:00Z", &["2026-01-02T03:00:00Z"]);
        runs("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        runs("59 23 31 12 *", "UTC", "2026-01-01T00:00:00.5Z", &["2026-12-31T23:59:00Z"]);
        assert_eq!(Schedule::parse("0 0 30 2 *", "UTC").unwrap().next_after(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn weekdays_count_as_in_unix() {
        // 2026-01-01 is a Thursday.
        for (line, day) in [
            ("0 0 * * 0", "04"),
            ("0 0 * * 7", "04"),
            ("0 0 * * sun", "04"),
            ("0 0 * * 1", "05"),
            ("0 0 * * mon-wed", "05"),
            ("0 0 * * 5-7", "02"),
            ("0 0 * * sat-mon", "03"),
            ("0 0 * * */2", "03"),
            ("0 0 * * 1-5/2", "02"),
        ] {
            runs(line, "UTC", "2026-01-01T00:00:00Z", &[&format!("2026-01-{day}T00:00:00Z")]);
        }
    }

    #[test]
    fn either_day_matches_when_both_are_given() {
        runs(
            "0 0 10 * mon",
            "UTC",
            "2026-01-01T00:00:00Z",
            &["2026-01-05T00:00:00Z", "2026-01-10T00:00:00Z", "2026-01-12T00:00:00Z"],
        );
    }

    #[test]
    fn a_job_in_the_spring_gap_runs_once_right_after_it() {
        // In New York 02:00 becomes 03:00 on 2026-03-08 (07:00Z).
        runs(
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
        );
        runs(
            "*/15 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            &["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"],
        );
        runs(
            "30 * * * *",
            "America/New_York",
            "2026-03-08T06:00:00Z",
            &["2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"],
        );
    }

    #[test]
    fn a_daily_job_in_the_autumn_fold_runs_once() {
        // In New York 02:00 becomes 01:00 on 2026-11-01 (06:00Z).
        runs(
            "30 1 * * *",
            "America/New_York",
            "2026-11-01T00:00:00Z",
            &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        );
    }

    #[test]
    fn frequent_jobs_run_through_the_fold() {
        runs(
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T04:45:00Z",
            &[
                "2026-11-01T05:00:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:00:00Z",
                "2026-11-01T06:30:00Z",
                "2026-11-01T07:00:00Z",
            ],
        );
        runs(
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:30:00Z",
            &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
        );
        // Half an hour back.
        runs(
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:40:00Z",
            &["2026-04-04T14:45:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z"],
        );
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |line: &str, zone: &str| Schedule::parse(line, zone).unwrap_err();
        assert!(wrong("* * * *", "UTC").contains("five"));
        assert!(wrong("0 * * * * *", "UTC").contains("five"));
        assert!(wrong("61 * * * *", "UTC").contains("61"));
        assert!(wrong("0 0 * * 8", "UTC").contains("weekday"));
        assert!(wrong("0 0 * * funday", "UTC").contains("funday"));
        assert!(wrong("0 0 * * */0", "UTC").contains("step"));
        assert!(wrong("* * * * *", "Europe/Bärlin").contains("Europe/Bärlin"));
    }
}
