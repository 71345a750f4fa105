//! `check`: is everything in the config right, reachable and permitted, and what can be guaranteed. It asks every
//! system and writes to none; it may run beside the daemon.

use serde_json::{Value as Json, json};

use super::args::Global;
use super::connectors::PROMISES;
use super::output::{Look, Progress, counted, print, print_json};
use super::place::read_config;
use super::{FAILED, FINE, Failed, Outcome, USAGE};
use crate::config::Problems;
use crate::connector::card::card;
use crate::engine::inspect::{Inspection, SideReport, SystemReport, inspect};

/// `check`.
pub async fn check(global: &Global, look: Look) -> Outcome {
    let config = match read_config(global) {
        Ok(config) => config,
        Err(problems) if global.json => {
            print_json(&json!({
                "ok": false, "config": problems_json(&problems), "warnings": [], "systems": [], "sides": [],
            }));
            return Ok(USAGE);
        }
        Err(problems) => return Err(Failed::config(problems.to_string())),
    };
    let warnings = config.warnings.clone();
    let progress = Progress::new(global.json);
    let found = inspect(config, &|text| progress.say(text)).await?;
    drop(progress);
    if global.json {
        print_json(&json!({
            "ok": found.is_fine(),
            "config": [],
            "warnings": warnings,
            "systems": found.systems.iter().map(system_json).collect::<Vec<_>>(),
            "sides": found.sides.iter().map(side_json).collect::<Vec<_>>(),
        }));
    } else {
        print(&text(look, &found, &warnings));
    }
    Ok(if found.is_fine() { FINE } else { FAILED })
}

fn problems_json(problems: &Problems) -> Vec<Json> {
    let one = |problem: &crate::config::Problem| {
        json!({
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "key": problem.key,
            "message": problem.message,
            "suggestion": problem.suggestion,
        })
    };
    problems.0.iter().map(one).collect()
}

fn system_json(system: &SystemReport) -> Json {
    json!({
        "system": system.name,
        "connector": system.connector,
        "ok": system.problems.is_empty(),
        "as": system.title,
        "clock_offset_ms": system.clock_offset_ms,
        "problems": system.problems,
    })
}

fn side_json(side: &SideReport) -> Json {
    let lines = side.capabilities.as_ref().map(|capabilities| card(capabilities, &side.system, &side.entity));
    let guarantees: Vec<Json> = lines
        .into_iter()
        .flatten()
        .map(|line| json!({ "promise": line.promise, "level": line.level.word(), "text": line.text }))
        .collect();
    let broken: Vec<Json> = side
        .broken
        .iter()
        .map(
            |law| json!({ "field": law.field, "record": law.record, "text": law.text, "records": law.count }),
        )
        .collect();
    json!({
        "sync": side.sync,
        "side": side.side,
        "system": side.system,
        "entity": side.entity,
        "ok": side.problem.is_none() && !side.skipped && side.broken.is_empty(),
        "skipped": side.skipped,
        "problem": side.problem,
        "records_tried": side.records,
        "broken_lenses": broken,
        "guarantees": guarantees,
    })
}

fn text(look: Look, found: &Inspection, warnings: &[String]) -> String {
    let (ok, failed) = (look.good("ok"), look.bad("failed"));
    let mut text = String::new();
    for warning in warnings {
        text.push_str(&format!("{}: {warning}\n", look.warn("warning")));
    }
    text.push_str(&format!("{}\n", look.heading("Systems")));
    for system in &found.systems {
        let name = format!("{} ({})", system.name, system.connector);
        if system.problems.is_empty() {
            let who = system
                .title
                .as_deref()
                .filter(|who| !who.is_empty())
                .unwrap_or("the account it does not tell");
            let clock = match system.clock_offset_ms {
                Some(offset) if offset.abs() >= 2_000 => format!(", its clock is off by {offset} ms"),
                _ => String::new(),
            };
            text.push_str(&format!("  {ok} {name}: as {who}{clock}\n"));
        }
        for problem in &system.problems {
            text.push_str(&format!("  {failed} {name}: {problem}\n"));
        }
    }
    let mut sync = "";
    for side in &found.sides {
        if side.sync != sync {
            sync = &side.sync;
            text.push_str(&format!("\n{}\n", look.heading(&format!("Sync {sync}"))));
        }
        side_text(look, side, &mut text);
    }
    if found.sides.iter().any(|side| side.capabilities.is_some()) {
        text.push_str(&format!("\n{PROMISES}\n"));
    }
    text.push_str(&if found.is_fine() {
        format!("\n{}\n", look.good("everything is right"))
    } else {
        format!("\n{}; nothing was changed anywhere\n", look.bad("something is not right"))
    });
    text
}

fn side_text(look: Look, side: &SideReport, text: &mut String) {
    let name = format!("{}: {} in {}", side.side, side.entity, side.system);
    let laws = match side.records {
        0 => "no record is known yet to try the mapping on".to_owned(),
        count => format!("mapping tried on {}", counted(u64::try_from(count).unwrap_or(u64::MAX), "record")),
    };
    match &side.problem {
        Some(problem) => text.push_str(&format!("  {} {name}: {problem}\n", look.bad("failed"))),
        None if side.skipped => {
            text.push_str(&format!("  {} {name}: its system does not work\n", look.warn("not tried")));
        }
        None => text.push_str(&format!("  {} {name}: every name is known there; {laws}\n", look.good("ok"))),
    }
    for law in &side.broken {
        text.push_str(&format!(
            "    {} field {}, record {}: {} ({} like it)\n",
            look.bad("mapping"),
            law.field,
            law.record,
            law.text,
            counted(u64::try_from(law.count).unwrap_or(u64::MAX), "record")
        ));
    }
    let Some(capabilities) = &side.capabilities else { return };
    for line in card(capabilities, &side.system, &side.entity) {
        text.push_str(&format!("    {:3} {:12} {}\n", line.promise, line.level.word(), line.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::inspect::BrokenLaw;

    fn found() -> Inspection {
        let system = |name: &str, problems: Vec<String>| SystemReport {
            name: name.into(),
            connector: "tallyfy".into(),
            title: Some("Corp".into()),
            clock_offset_ms: Some(5_000),
            problems,
        };
        let side = |name: &str, skipped, broken| SideReport {
            sync: "orders".into(),
            side: name.into(),
            system: name.into(),
            entity: "runs".into(),
            problem: None,
            skipped,
            capabilities: None,
            records: 3,
            broken,
        };
        let law = BrokenLaw {
            field: "memo".into(),
            record: "7".into(),
            text: "reads a, writes b".into(),
            count: 2,
        };
        Inspection {
            systems: vec![system("one", Vec::new()), system("two", vec!["login refused".into()])],
            sides: vec![side("one", false, vec![law]), side("two", true, Vec::new())],
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_where_it_is() {
        let expected = "\
warning: w
Systems
  ok one (tallyfy): as Corp, its clock is off by 5000 ms
  failed two (tallyfy): login refused

Sync orders
  ok one: runs in one: every name is known there; mapping tried on 3 records
    mapping field memo, record 7: reads a, writes b (2 records like it)
  not tried two: runs in two: its system does not work

something is not right; nothing was changed anywhere
";
        assert_eq!(text(Look::PLAIN, &found(), &["w".to_owned()]), expected);
    }

    #[test]
    fn the_json_of_a_side() {
        let expected: Json = serde_json::from_str(
            r#"{"sync":"orders","side":"one","system":"one","entity":"runs","ok":false,"skipped":false,"problem":null,
                "records_tried":3,"broken_lenses":[{"field":"memo","record":"7","text":"reads a, writes b","records":2}],
                "guarantees":[]}"#,
        )
        .unwrap();
        assert_eq!(side_json(&found().sides[0]), expected);
        assert_eq!(system_json(&found().systems[1])["ok"], json!(false));
    }
}
