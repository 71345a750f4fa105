//! `status`: how systems, syncs and listings stand, and what needs a person. Read from the state file alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::args::Global;
use super::output::{Look, Row, ago, cell, counted, print, print_json, time_cell};
use super::place::looking;
use super::{FINE, Outcome, PERSON};
use crate::config::model::Config;
use crate::ports::Clock;
use crate::ports::real::SystemClock;
use crate::store::Result as StoreResult;
use crate::store::Store;
use crate::store::read::View;

/// Everything that `status` shows.
struct Standing {
    systems: Vec<Row>,
    syncs: Vec<Row>,
    streams: Vec<Row>,
    problems: Vec<Row>,
}

/// `status [--check]`.
pub fn status(global: &Global, look: Look, check: bool) -> Outcome {
    let (store, config) = looking(global)?;
    let standing = read(&store, config.as_ref())?;
    if global.json {
        let path = config.map(|config| config.state.path).or_else(|| global.state.clone());
        print_json(&json!({
            "state_file": path.map(|path| path.display().to_string()),
            "systems": standing.systems,
            "syncs": standing.syncs,
            "streams": standing.streams,
            "problems": standing.problems,
            "needs_person": !standing.problems.is_empty(),
        }));
    } else {
        print(&text(look, &standing, SystemClock.now()));
    }
    Ok(if check && !standing.problems.is_empty() { PERSON } else { FINE })
}

fn read(store: &Store, config: Option<&Config>) -> StoreResult<Standing> {
    let all = |view| store.view(view, None, u32::MAX);
    let mut standing = Standing {
        systems: all(View::Systems)?,
        syncs: all(View::Status)?,
        streams: all(View::Streams)?,
        problems: all(View::Problems)?,
    };
    for row in &mut standing.systems {
        let paused = row.get("paused").and_then(Json::as_i64) == Some(1);
        row.insert("paused".into(), json!(paused));
    }
    if let Some(config) = config {
        only_configured(&mut standing, config);
    }
    Ok(standing)
}

/// What was taken out of the config is history and no problem; what is new in it has not been looked at.
fn only_configured(standing: &mut Standing, config: &Config) {
    let is_sync = |name: &str| config.syncs.iter().any(|sync| sync.name == name);
    let is_system = |name: &str| config.systems.contains_key(name);
    standing.syncs.retain(|row| is_sync(&cell(row, "sync")));
    standing.systems.retain(|row| is_system(&cell(row, "name")));
    standing.streams.retain(|row| is_system(&cell(row, "system")));
    standing.problems.retain(|row| {
        let subject = cell(row, "subject");
        match cell(row, "problem").as_str() {
            "system" | "listing" => is_system(&subject),
            _ => is_sync(&subject),
        }
    });
    for sync in &config.syncs {
        if standing.syncs.iter().any(|row| cell(row, "sync") == sync.name) {
            continue;
        }
        let mut row = Row::new();
        row.insert("sync".into(), json!(sync.name));
        row.insert("state".into(), json!("not accepted"));
        row.insert("last_pass".into(), Json::Null);
        for count in COUNTS {
            row.insert(count.into(), json!(0));
        }
        standing.syncs.push(row);
        let mut problem = Row::new();
        problem.insert("problem".into(), json!("not accepted"));
        problem.insert("subject".into(), json!(sync.name));
        for unknown in ["id", "record", "since"] {
            problem.insert(unknown.into(), Json::Null);
        }
        problem.insert("detail".into(), json!("nothing is written until its plan is accepted"));
        let remedy = format!("tallysync plan {0}, then tallysync accept {0}", sync.name);
        problem.insert("remedy".into(), json!(remedy));
        standing.problems.push(problem);
    }
}

/// Problems of a kind that are printed one by one: a broken rule may park thousands of writes, and must not
/// push the one system that does not answer out of sight.
const SHOWN: usize = 10;

const COUNTS: [&str; 7] = ["linked", "unlinked", "conflicts", "waiting", "held", "parked", "uncertain"];

/// The last complete listing, with the number of records it had then: not how many there are now.
fn swept(row: &Row, now: Timestamp) -> String {
    let when = ago(&cell(row, "swept_at"), now);
    match row.get("swept_count").and_then(Json::as_u64) {
        Some(count) => format!("{when} ({})", counted(count, "record")),
        None => when,
    }
}

fn text(look: Look, standing: &Standing, now: Timestamp) -> String {
    let mut text = String::new();
    let systems = standing.systems.iter().map(|row| {
        let state = if row.get("paused") == Some(&Json::Bool(true)) {
            "paused".to_owned()
        } else {
            match (cell(row, "blocked_until").parse::<Timestamp>(), cell(row, "blocked_why")) {
                (Ok(until), why) if until > now => format!("left alone until {until:.0}: {why}"),
                _ if cell(row, "probed_at").is_empty() => "not asked yet".to_owned(),
                _ => "works".to_owned(),
            }
        };
        vec![
            cell(row, "name"),
            cell(row, "connector"),
            cell(row, "title"),
            ago(&cell(row, "probed_at"), now),
            state,
        ]
    });
    text.push_str(&look.table(&["system", "connector", "as", "asked", "state"], systems));
    let syncs = standing.syncs.iter().map(|row| {
        let mut line = vec![cell(row, "sync"), cell(row, "state"), ago(&cell(row, "last_pass"), now)];
        line.extend(COUNTS.iter().map(|count| cell(row, count)));
        line
    });
    let head: Vec<&str> = ["sync", "state", "last pass"].into_iter().chain(COUNTS).collect();
    text.push_str(&format!("\n{}", look.table(&head, syncs)));
    let streams = standing.streams.iter().map(|row| {
        let what = [cell(row, "system"), cell(row, "entity"), cell(row, "template")];
        vec![
            what.join(" ").trim_end().to_owned(),
            ago(&cell(row, "polled_at"), now),
            swept(row, now),
            super::output::one_line(&cell(row, "failure")),
        ]
    });
    text.push_str(&format!("\n{}", look.table(&["listing", "polled", "swept", "failure"], streams)));
    if standing.problems.is_empty() {
        text.push_str(&format!("\n{}\n", look.good("nothing needs a person")));
        return text;
    }
    let count = u64::try_from(standing.problems.len()).unwrap_or(u64::MAX);
    text.push_str(&format!("\n{}\n", look.bad(&format!("{} open:", counted(count, "problem")))));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &standing.problems {
        let count = counts.entry(cell(row, "problem")).or_default();
        *count += 1;
        if *count <= SHOWN {
            text.push_str(&problem_text(row));
        }
    }
    for (problem, count) in counts.into_iter().filter(|(_, count)| *count > SHOWN) {
        let more = count - SHOWN;
        text.push_str(&format!(
            "  ... and {more} more of kind {problem}: tallysync status --json, or the view `problems`\n"
        ));
    }
    text
}

fn problem_text(row: &Row) -> String {
    let since = time_cell(row, "since");
    let since = if since.is_empty() { since } else { format!("  (since {since})") };
    let record = cell(row, "record");
    let record = if record.is_empty() { record } else { format!(" {record}") };
    format!(
        "  {} in {}{record}: {}{since}\n    -> {}\n",
        cell(row, "problem"),
        cell(row, "subject"),
        super::output::one_line(&cell(row, "detail")),
        cell(row, "remedy")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        serde_json::from_str(text).unwrap()
    }

    fn standing(problems: Vec<Row>) -> Standing {
        Standing {
            systems: vec![row(
                r#"{"name":"erp","connector":"netsuite","title":"Corp","paused":false,"blocked_until":null,
                    "blocked_why":null,"probed_at":"2026-11-21T11:58:00.000000Z"}"#,
            )],
            syncs: vec![row(
                r#"{"sync":"orders","state":"live","last_pass":"2026-11-21T11:59:20.000000Z","linked":12,
                    "unlinked":1,"conflicts":1,"waiting":0,"held":0,"parked":0,"uncertain":0}"#,
            )],
            streams: vec![row(
                r#"{"system":"erp","entity":"salesOrder","template":"","polled_at":"2026-11-21T11:59:20.000000Z",
                    "swept_at":null,"swept_count":null,"failure":null}"#,
            )],
            problems,
        }
    }

    #[test]
    fn a_flood_of_problems_is_counted() {
        let problem: Row = serde_json::from_str(
            r#"{"problem":"parked write","subject":"orders","id":1,"record":"SO-1","detail":"locked","since":null,"remedy":"retry"}"#,
        )
        .unwrap();
        let mut problems = vec![problem; SHOWN + 3];
        problems.push(Row::from_iter([
            ("problem".to_owned(), json!("listing")),
            ("detail".to_owned(), json!("503")),
        ]));
        let flood = Standing { systems: Vec::new(), syncs: Vec::new(), streams: Vec::new(), problems };
        let text = text(Look::PLAIN, &flood, "2026-11-21T12:00:00Z".parse().unwrap());
        assert!(text.contains("\n14 problems open:\n"), "{text}");
        assert_eq!(text.matches("locked").count(), SHOWN);
        assert!(text.contains("  listing in : 503\n"), "no kind hides another: {text}");
        assert!(text.contains("... and 3 more of kind parked write: tallysync status --json"), "{text}");
    }

    #[test]
    fn what_a_sweep_counted_is_told_as_of_then() {
        let row: Row =
            serde_json::from_str(r#"{"swept_at":"2026-11-21T11:50:00.000000Z","swept_count":75}"#).unwrap();
        assert_eq!(swept(&row, "2026-11-21T12:00:00Z".parse().unwrap()), "10 min ago (75 records)");
    }

    #[test]
    fn a_quiet_status() {
        let text = text(Look::PLAIN, &standing(Vec::new()), "2026-11-21T12:00:00Z".parse().unwrap());
        let expected = "\
SYSTEM  CONNECTOR  AS    ASKED      STATE
erp     netsuite   Corp  2 min ago  works

SYNC    STATE  LAST PASS  LINKED  UNLINKED  CONFLICTS  WAITING  HELD  PARKED  UNCERTAIN
orders  live   40 s ago   12      1         1          0        0     0       0

LISTING         POLLED    SWEPT  FAILURE
erp salesOrder  40 s ago  never

nothing needs a person
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_problem_comes_with_its_remedy() {
        let problem = row(
            r#"{"problem":"conflict","subject":"orders","id":3,"record":"SO-1","detail":"amount: both changed",
                "since":"2026-11-21T11:00:00.000000Z","remedy":"tallysync resolve 3 --take SIDE"}"#,
        );
        let text = text(Look::PLAIN, &standing(vec![problem]), "2026-11-21T12:00:00Z".parse().unwrap());
        let expected = "\n1 problem open:\n  conflict in orders SO-1: amount: both changed  \
                        (since 2026-11-21 11:00:00Z)\n    -> tallysync resolve 3 --take SIDE\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
