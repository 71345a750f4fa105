//! `plan`: what would be written, and why. Printing is all it does; the plan is the engine's.

use serde_json::{Value as Json, json};

use super::args::Global;
use super::output::{Look, Progress, print, print_json};
use super::place::config_with_syncs;
use super::work::standing_text;
use super::{CHANGES, FAILED, FINE, Outcome};
use crate::core::plan::Brief;
use crate::engine::accept::Printed;
use crate::engine::boot;
use crate::store::read::View;

/// `plan [NAME]`.
pub async fn plan(global: &Global, look: Look, name: Option<&str>, full: bool) -> Outcome {
    let engine = boot::planning(config_with_syncs(global)?).await?;
    let progress = Progress::new(global.json);
    let mut plans = Vec::new();
    for sync in engine.syncs_meant(name)? {
        progress.say(&format!("{}: looking for changes", sync.name));
        let printed = engine.plan(&sync, true).await?;
        progress.clear();
        if !global.json {
            let name = sync.name.clone();
            let row =
                engine.store().transact(move |store| store.view(View::Status, Some(&name), 1)).await?.pop();
            print(&plan_text(look, &printed, full));
            print(&standing_text(look, &row.unwrap_or_default()));
            print("\n");
        }
        plans.push(printed);
    }
    if global.json {
        print_json(&Json::Array(plans.iter().map(plan_json).collect()));
    }
    Ok(if plans.iter().any(|printed| !printed.failures.is_empty()) {
        FAILED
    } else if plans.iter().any(|printed| !printed.plan.is_empty()) {
        CHANGES
    } else {
        FINE
    })
}

/// A printed plan for programs.
pub fn plan_json(printed: &Printed) -> Json {
    json!({
        "id": printed.id,
        "sync": printed.plan.sync,
        "needs_acceptance": printed.needs_acceptance,
        "failures": printed.failures,
        "plan": printed.plan.to_json(),
    })
}

/// A printed plan for people, with what to do next; long lists of the same are counted unless `full`.
pub fn plan_text(look: Look, printed: &Printed, full: bool) -> String {
    let plan = if full { printed.plan.to_string() } else { Brief(&printed.plan).to_string() };
    let (head, body) = plan.split_once('\n').unwrap_or((&plan, ""));
    let mut text = format!("{}\n{body}", look.heading(head));
    if !printed.failures.is_empty() {
        let word = look.bad("The plan is not complete");
        text.push_str(&format!("\n{word}: a listing failed, and what it would have shown is missing.\n"));
    }
    let sync = &printed.plan.sync;
    let next = if printed.needs_acceptance {
        format!(
            "Plan {}. Nothing of {sync} is written until it is accepted.\naccept with: tallysync accept {sync}",
            printed.id
        )
    } else if printed.plan.is_empty() {
        format!("Plan {}. {sync} is accepted, and there is nothing to write.", printed.id)
    } else {
        format!(
            "Plan {}. {sync} is accepted already: the next pass does this (tallysync sync {sync}, or the daemon).",
            printed.id
        )
    };
    text.push_str(&format!("\n{next}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::{Action, ActionKind, Plan};

    fn printed() -> Printed {
        let action = Action {
            kind: ActionKind::Create,
            link: Some(7),
            side: "tallyfy".into(),
            system: "tallyfy".into(),
            entity: "runs".into(),
            record: None,
            title: "SO-1".into(),
            fields: Vec::new(),
            reason: "it has no counterpart".into(),
        };
        let plan = Plan { sync: "orders".into(), actions: vec![action], ..Plan::default() };
        Printed { id: 12, plan, needs_acceptance: true, failures: Vec::new() }
    }

    #[test]
    fn a_plan_says_what_to_do_next() {
        assert_eq!(
            plan_text(Look::PLAIN, &printed(), false),
            "orders: 1 thing to do\n\nSO-1  (link 7)\n  create tallyfy runs: it has no counterpart\n\n\
             tallyfy: 1 create\n\nPlan 12. Nothing of orders is written until it is accepted.\n\
             accept with: tallysync accept orders\n"
        );
        let accepted = Printed { needs_acceptance: false, ..printed() };
        assert!(plan_text(Look::PLAIN, &accepted, false).contains("the next pass does this"));
        let broken = Printed { failures: vec!["crm: 503".into()], ..printed() };
        assert!(plan_text(Look::PLAIN, &broken, false).contains("not complete"));
    }

    #[test]
    fn the_json_of_a_plan() {
        let mut shown = plan_json(&printed());
        let fingerprint = shown["plan"]["actions"][0]["fingerprint"].take();
        assert_eq!(fingerprint.as_str().map(str::len), Some(32));
        let expected: Json = serde_json::from_str(
            r#"{"id":12,"sync":"orders","needs_acceptance":true,"failures":[],"plan":{"sync":"orders",
                "actions":[{"kind":"create","link":7,"side":"tallyfy","system":"tallyfy","entity":"runs",
                "record":null,"title":"SO-1","fields":[],"reason":"it has no counterpart","fingerprint":null}],
                "calls":{"tallyfy":{"create":1}},"ambiguous":[],"conflicts":[],"blocked":[]}}"#,
        )
        .unwrap();
        assert_eq!(shown, expected);
    }
}
