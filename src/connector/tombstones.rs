//! The delete feed: what the system itself says was deleted, and whether it reaches back far enough.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::api::{Failure, FailureClass, Tombstones};
use super::definition::{Operation, Stamp, Window};
use super::entity::DeclarativeEntity;
use super::items;
use super::placeholder::{parse_time, plain, shifted};
use super::rules::{CallKind, duration};
use super::system::operation;

/// More pages than this in one go are left for the next.
const MOST_PAGES: usize = 100;
/// After so many ids nobody looks for merge winners: that was a mass delete.
const MOST_FOLLOWED: usize = 200;

impl DeclarativeEntity {
    pub(super) async fn tombstones_now(&self, since: Option<&str>) -> Result<Tombstones, Failure> {
        let attempted = self.words("list deletions of", "");
        let operation = self.operation("deletes", &attempted)?;
        match self.feed(operation, since, &attempted).await {
            Ok(found) => Ok(found),
            Err(failure)
                if self.plan.section.deletes_fallback.is_some()
                    && matches!(failure.class, FailureClass::Forbidden | FailureClass::Invalid) =>
            {
                // Without the permission the sweep alone proves deletions; the engine must know that.
                tracing::warn!(%failure, "the delete feed is not open to us; only sweeps find deletions");
                Ok(Tombstones { gap: true, ..Tombstones::default() })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn feed(
        &self,
        operation: &Operation,
        since: Option<&str>,
        attempted: &str,
    ) -> Result<Tombstones, Failure> {
        let bug = |why: String| Failure::new(FailureClass::Bug, attempted, why);
        let now = self
            .connection
            .data_client()
            .map_or_else(|| self.connection.ports().clock.now(), |c| c.server_now());
        let bounds = Bounds::new(&operation.window, since, now).map_err(bug)?;
        let mut found = Tombstones { gap: bounds.gap, ..Tombstones::default() };
        let mut newest: Option<String> = None;
        let mut offset = 0_usize;
        let mut next_since = None;
        for _ in 0..MOST_PAGES {
            let holes = self.holes(&[
                ("since", Json::String(bounds.since.to_string())),
                ("until", Json::String(bounds.until.to_string())),
                ("offset", Json::Number(offset.into())),
            ]);
            let answer = self.read(operation, &holes, attempted.to_owned(), CallKind::List).await?;
            if answer.empty {
                break;
            }
            let pointer = answer.pointer(operation.records.as_deref().unwrap_or_default());
            let rows = items::split(&answer.text, &pointer).map_err(bug)?;
            offset += rows.len();
            for row in &rows {
                let id = items::value_at(row.get(), operation.id.as_deref().unwrap_or(&self.decoder.id));
                let id = id.and_then(|id| self.decoder.normal_id(&id));
                let id = id.ok_or_else(|| bug("a deletion without an id".to_owned()))?;
                let text = stamp(operation.deleted_at.as_ref(), row.get());
                let zone = operation.deleted_at.as_ref().and_then(|stamp| self.zone(stamp));
                let at = match (text.as_deref().and_then(parse_time), zone) {
                    (Some(at), Some(zone)) => Some(shifted(at, -zone)),
                    _ => None,
                };
                newest = newest.max(text);
                if !found.ids.iter().any(|(known, _, _)| *known == id) {
                    found.ids.push((id, at, None));
                }
            }
            if let Some(rule) = &operation.gap_if {
                let earliest = answer.value(&rule.path).and_then(|value| parse_time(&plain(&value)));
                found.gap |= since.is_some() && earliest.is_some_and(|earliest| earliest > bounds.since);
            }
            next_since =
                operation.next_since.as_deref().and_then(|pointer| answer.value(pointer)).map(|v| plain(&v));
            let more = operation.page.as_ref().and_then(|page| page.more.as_deref());
            let more = more.and_then(|pointer| answer.value(pointer)) == Some(Json::Bool(true));
            if !more || rows.is_empty() {
                break;
            }
        }
        self.follow_merges(operation, &mut found).await?;
        let by_rows = operation.window.by.as_deref() == Some("rows");
        found.next_since = if by_rows {
            // In the system's own zone: the newest seen, or where we were.
            newest.max(since.map(str::to_owned)).or_else(|| Some(bounds.since.to_string()))
        } else {
            next_since.or_else(|| Some(bounds.until.to_string()))
        };
        Ok(found)
    }

    async fn follow_merges(&self, feed: &Operation, found: &mut Tombstones) -> Result<(), Failure> {
        let Some(rule) = &feed.merged_into else { return Ok(()) };
        let Some(follow) = operation(&self.plan.template, &rule.follow) else { return Ok(()) };
        // Only where the question asks for the winner at all: most entities cannot be merged.
        let name = rule.path.rsplit('/').next().unwrap_or_default();
        let asks = |value: &String| value.contains(name);
        let asked =
            follow.query.values().any(asks) || self.plan.holes.values().any(|value| asks(&plain(value)));
        if !asked || found.ids.len() > MOST_FOLLOWED {
            return Ok(());
        }
        for (id, _, winner) in &mut found.ids {
            let attempted = self.words("look up the merge of", id);
            let holes = self.holes(&[("id", Json::String(id.clone()))]);
            match self.read(follow, &holes, attempted, CallKind::List).await {
                Ok(answer) => {
                    let row = answer.value(follow.record.as_deref().unwrap_or_default());
                    *winner = row
                        .as_ref()
                        .and_then(|row| row.pointer(&rule.path))
                        .and_then(|id| self.decoder.normal_id(id));
                }
                // The feed already proves the deletion; the winner is a help, not a need.
                Err(failure) if matches!(failure.class, FailureClass::Invalid | FailureClass::Gone) => {
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

fn stamp(rule: Option<&Stamp>, row: &str) -> Option<String> {
    let value = items::value_at(row, &rule?.path)?;
    (!value.is_null()).then(|| plain(&value))
}

/// The stretch that one request asks for.
struct Bounds {
    since: Timestamp,
    until: Timestamp,
    gap: bool,
}

impl Bounds {
    fn new(window: &Window, since: Option<&str>, now: Timestamp) -> Result<Self, String> {
        let span = |text: &Option<String>| -> Result<Option<SignedDuration>, String> {
            let Some(text) = text else { return Ok(None) };
            SignedDuration::try_from(duration(text)?).map(Some).map_err(|error| error.to_string())
        };
        let overlap = span(&window.overlap)?.unwrap_or(SignedDuration::ZERO);
        let from = match since {
            Some(text) => parse_time(text).ok_or_else(|| format!("{text:?} is not a time"))?,
            None => now,
        };
        let mut from = shifted(from, -overlap);
        let mut until = now;
        let mut gap = false;
        if let Some(longest) = span(&window.max_span)?
            && until.duration_since(from) > longest
        {
            from = shifted(until, -longest);
            gap = since.is_some();
        }
        if let Some(step) = span(&window.round)? {
            let seconds = step.as_secs().max(1);
            let down = |at: Timestamp| {
                Timestamp::from_second(at.as_second().div_euclid(seconds) * seconds).unwrap_or(at)
            };
            // Up, so that the current stretch is inside; the feed's own answer says how far it reached.
            (from, until) = (down(from), shifted(down(until), step));
        }
        Ok(Self { since: from, until, gap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window {
            round: Some("1m".to_owned()),
            max_span: Some("14d".to_owned()),
            overlap: Some("2h".to_owned()),
            ..Window::default()
        }
    }

    #[test]
    fn bounds_are_rounded_and_overlap() {
        let now: Timestamp = "2026-11-21T12:00:30Z".parse().unwrap();
        let bounds = Bounds::new(&window(), Some("2026-11-21T11:30:45Z"), now).unwrap();
        assert_eq!(bounds.since.to_string(), "2026-11-21T09:30:00Z");
        assert_eq!(bounds.until.to_string(), "2026-11-21T12:01:00Z");
        assert!(!bounds.gap);
    }

    #[test]
    fn a_feed_that_cannot_reach_back_has_a_gap() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let bounds = Bounds::new(&window(), Some("2026-10-01T00:00:00Z"), now).unwrap();
        assert!(bounds.gap);
        assert_eq!(bounds.since.to_string(), "2026-11-07T12:00:00Z");
        assert!(!Bounds::new(&window(), None, now).unwrap().gap);
    }
}
