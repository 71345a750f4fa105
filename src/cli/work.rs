//! `sync` and `run`: one pass now, or the daemon. The passes themselves are the engine's.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::args::Global;
use super::output::{Look, Progress, Row, counted, print, print_json};
use super::place::{config_with_syncs, read_config};
use super::{FAILED, FINE, Failed, Outcome};
use crate::core::spec::SyncSpec;
use crate::engine::pass::{PassOptions, PassReport};
use crate::engine::{Engine, boot, daemon};
use crate::store::read::View;

/// Rounds over all syncs in one command: a write of one sync may be a change for another.
const ROUNDS: usize = 10;

/// `run`.
pub async fn daemon(global: &Global) -> Outcome {
    let config = config_with_syncs(global)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let engine = boot::engine(config).await?;
    let again = global.clone();
    daemon::run(engine, move || read_config(&again).map_err(|problems| problems.to_string()), boot::rebuilt)
        .await?;
    Ok(FINE)
}

/// `sync [NAME] [--sweep]`.
pub async fn sync(global: &Global, look: Look, name: Option<&str>, sweep: bool) -> Outcome {
    let engine = boot::engine(config_with_syncs(global)?).await?;
    let syncs = engine.syncs_meant(name)?;
    let progress = Progress::new(global.json);
    let mut reports = Vec::new();
    for sync in &syncs {
        progress.say(&format!("{}: looking for changes", sync.name));
        reports.push(engine.pass(sync, PassOptions { sweep, settle: false, without_poll: false }).await?);
    }
    for _ in 0..ROUNDS {
        if !follow_up(&engine, &syncs, &mut reports, &progress).await? {
            break;
        }
    }
    progress.clear();
    if global.json {
        print_json(&Json::Array(reports.iter().map(report_json).collect()));
    } else {
        for report in &reports {
            let name = report.sync.clone();
            let row =
                engine.store().transact(move |store| store.view(View::Status, Some(&name), 1)).await?.pop();
            print(&report_text(look, report));
            print(&standing_text(look, &row.unwrap_or_default()));
        }
    }
    Ok(if reports.iter().any(|report| !report.failures.is_empty()) { FAILED } else { FINE })
}

/// What the last round wrote may be a change for another sync that shares a stream. `false`: nothing moved.
async fn follow_up(
    engine: &Engine,
    syncs: &[Arc<SyncSpec>],
    reports: &mut [PassReport],
    progress: &Progress,
) -> Result<bool, Failed> {
    if syncs.len() < 2 {
        return Ok(false);
    }
    let mut moved = false;
    for (sync, report) in syncs.iter().zip(reports) {
        if report.idle.is_some() {
            continue;
        }
        progress.say(&format!("{}: following up", sync.name));
        let options = PassOptions { sweep: false, settle: false, without_poll: true };
        let more = engine.pass(sync, options).await?;
        moved |= more.applied.progressed();
        report.decided += more.decided;
        report.applied.add(more.applied);
        report.held.extend(more.held);
    }
    Ok(moved)
}

fn report_json(report: &PassReport) -> Json {
    json!({
        "sync": report.sync,
        "changed": report.changed,
        "decided": report.decided,
        "written": report.applied.done,
        "superseded": report.applied.superseded,
        "waiting": report.applied.waiting,
        "parked": report.applied.parked,
        "idle": report.idle,
        "failures": report.failures,
        "held": report.held,
    })
}

fn report_text(look: Look, report: &PassReport) -> String {
    let mut parts = vec![format!("{} seen", counted(report.changed, "change"))];
    for (count, what) in [
        (report.applied.done, "written"),
        (report.applied.superseded, "decided again"),
        (report.applied.waiting, "to be tried again"),
        (report.applied.parked, "parked"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if report.applied.done == 0 {
        parts.push("nothing written".to_owned());
    }
    let mut text = format!("{}: {}\n", look.heading(&report.sync), parts.join(", "));
    for (word, lines) in [("failed", &report.failures), ("held", &report.held)] {
        for line in lines {
            text.push_str(&format!("  {}: {line}\n", look.bad(word)));
        }
    }
    if let Some(idle) = &report.idle {
        text.push_str(&format!("  {}\n", look.warn(idle)));
    }
    text
}

/// What a sync leaves open, in one line with the command that shows it; nothing when all is done.
pub fn standing_text(look: Look, status: &Row) -> String {
    let parts: Vec<String> = [
        ("conflicts", "conflict to decide", "conflicts to decide"),
        ("waiting", "write waiting", "writes waiting"),
        ("held", "write held", "writes held"),
        ("parked", "write parked", "writes parked"),
        ("uncertain", "write uncertain", "writes uncertain"),
    ]
    .iter()
    .filter_map(|(column, one, many)| {
        let count = status.get(*column)?.as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {}", if count == 1 { one } else { many }))
    })
    .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!("  {}: {}; see tallysync status\n", look.warn("open"), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::apply::Applications;

    fn report() -> PassReport {
        PassReport {
            sync: "orders".to_owned(),
            changed: 1,
            decided: 2,
            applied: Applications { done: 3, superseded: 0, waiting: 1, parked: 0 },
            idle: None,
            failures: vec!["crm: list Opportunity: 503".to_owned()],
            held: Vec::new(),
        }
    }

    #[test]
    fn a_pass_is_one_line_and_what_went_wrong() {
        assert_eq!(
            report_text(Look::PLAIN, &report()),
            "orders: 1 change seen, 3 written, 1 to be tried again\n  failed: crm: list Opportunity: 503\n"
        );
        let idle =
            PassReport { sync: "orders".into(), idle: Some("not accepted".into()), ..Default::default() };
        assert_eq!(
            report_text(Look::PLAIN, &idle),
            "orders: 0 changes seen, nothing written\n  not accepted\n"
        );
    }

    #[test]
    fn what_stays_open_is_said() {
        let row = |text: &str| serde_json::from_str::<Row>(text).unwrap();
        let open = row(r#"{"conflicts":1,"waiting":0,"held":4,"parked":0,"uncertain":0}"#);
        assert_eq!(
            standing_text(Look::PLAIN, &open),
            "  open: 1 conflict to decide, 4 writes held; see tallysync status\n"
        );
        assert_eq!(standing_text(Look::PLAIN, &row(r#"{"conflicts":0,"held":0}"#)), "");
    }

    #[test]
    fn the_json_of_a_pass() {
        let expected: Json = serde_json::from_str(
            r#"{"sync":"orders","changed":1,"decided":2,"written":3,"superseded":0,"waiting":1,"parked":0,
                "idle":null,"failures":["crm: list Opportunity: 503"],"held":[]}"#,
        )
        .unwrap();
        assert_eq!(report_json(&report()), expected);
    }
}
