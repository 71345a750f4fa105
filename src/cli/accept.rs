//! `accept`: lets exactly a printed plan through. With none printed it prints one and asks.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::args::Global;
use super::output::{Look, Progress, counted, print, print_json};
use super::place::config_with_syncs;
use super::plan::{plan_json, plan_text};
use super::{FINE, Failed, Outcome, ask};
use crate::core::spec::SyncSpec;
use crate::engine::accept::{Accepted, Printed};
use crate::engine::{Engine, boot};

/// What was asked for.
pub struct Wish {
    /// The sync.
    pub name: Option<String>,
    /// Its plan.
    pub plan: Option<i64>,
    /// Without asking.
    pub yes: bool,
}

/// What became of one sync.
enum Done {
    Accepted(Accepted),
    /// Printed, and a person said no.
    Declined(String),
    /// It is accepted, as it is configured now.
    NothingWaits(String),
}

/// `accept NAME`.
pub async fn accept(global: &Global, look: Look, wish: &Wish) -> Outcome {
    let engine = boot::planning(config_with_syncs(global)?).await?;
    let mut accepted = Vec::new();
    let mut told = false;
    for sync in engine.syncs_meant(wish.name.as_deref())? {
        match one(global, look, &engine, &sync, wish).await? {
            Done::Accepted(done) => {
                if !global.json {
                    print(&accepted_text(look, &done));
                }
                accepted.push(done);
            }
            Done::Declined(name) => {
                told = true;
                print(&format!("{name} is not accepted; nothing is written\n"));
            }
            Done::NothingWaits(name) if wish.name.is_some() && !global.json => {
                told = true;
                print(&format!(
                    "{name} is accepted already; there is nothing to accept. Its next pass: tallysync sync {name}, \
                     or the daemon\n"
                ));
            }
            Done::NothingWaits(_) => {}
        }
    }
    if global.json {
        print_json(&Json::Array(accepted.iter().map(accepted_json).collect()));
    } else if accepted.is_empty() && !told {
        print("no sync waits to be accepted\n");
    }
    Ok(FINE)
}

async fn one(
    global: &Global,
    look: Look,
    engine: &Engine,
    sync: &Arc<SyncSpec>,
    wish: &Wish,
) -> Result<Done, Failed> {
    let name = sync.name.clone();
    let waiting = engine.store().transact(move |store| store.printed_plan(&name)).await?;
    // Accepting once more would take back what was decided since, such as dropped writes.
    if is_accepted(engine, sync).await? {
        return Ok(Done::NothingWaits(sync.name.clone()));
    }
    if waiting.is_none() && wish.plan.is_none() {
        let progress = Progress::new(global.json);
        progress.say(&format!("{}: no plan was printed yet; making one", sync.name));
        let printed = engine.plan(sync, true).await?;
        drop(progress);
        if !agreed(global, look, &printed, wish.yes)? {
            return Ok(Done::Declined(sync.name.clone()));
        }
    }
    Ok(Done::Accepted(engine.accept(sync, wish.plan).await?))
}

/// Shows a plan that nobody has read yet, and has it confirmed.
fn agreed(global: &Global, look: Look, printed: &Printed, yes: bool) -> Result<bool, Failed> {
    let sync = &printed.plan.sync;
    if !global.json {
        print(&plan_text(look, printed, false));
    }
    if !printed.failures.is_empty() {
        return Err(Failed::new(format!(
            "{sync} is not accepted: a listing failed, so its plan is not complete.\n{}",
            printed.failures.join("\n")
        )));
    }
    if yes {
        return Ok(true);
    }
    ask(global, &format!("Accept plan {} of {sync}?", printed.id)).ok_or_else(|| {
        let plan = if global.json { format!("\n{}", plan_json(printed)) } else { String::new() };
        Failed::config(format!(
            "plan {} of {sync} was made just now and nobody has read it. Accept it with \
             `tallysync accept {sync}`, or say --yes{plan}",
            printed.id
        ))
    })
}

async fn is_accepted(engine: &Engine, sync: &Arc<SyncSpec>) -> Result<bool, Failed> {
    let meaning = engine.meaning(sync).await?;
    let name = sync.name.clone();
    let row = engine.store().transact(move |store| store.sync_row(&name)).await?;
    Ok(row.accepted_at.is_some() && row.meaning.as_ref() == Some(&meaning))
}

fn accepted_text(look: Look, done: &Accepted) -> String {
    let sync = &done.sync;
    let mut text = format!("{} {sync}: {} released\n", look.good("accepted"), counted(done.opened, "write"));
    if !done.moved.is_empty() {
        let head = look.warn("Left out, because something moved since the plan was printed:");
        text.push_str(&format!("{head}\n"));
        for line in &done.moved {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&if done.opened == 0 {
        format!("It is live from now on: tallysync sync {sync}, or the daemon.\n")
    } else {
        format!("They go out at the next pass: tallysync sync {sync}, or the daemon.\n")
    });
    text
}

fn accepted_json(done: &Accepted) -> Json {
    json!({ "sync": done.sync, "released": done.opened, "moved": done.moved })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::Plan;

    fn global() -> Global {
        Global { config: None, state: None, json: true, verbose: 0 }
    }

    fn printed(failures: Vec<String>) -> Printed {
        let plan = Plan { sync: "orders".into(), ..Plan::default() };
        Printed { id: 4, plan, needs_acceptance: true, failures }
    }

    #[test]
    fn a_plan_that_nobody_has_read_is_accepted_only_when_somebody_says_so() {
        assert_eq!(agreed(&global(), Look::PLAIN, &printed(Vec::new()), true), Ok(true));
        let refused = agreed(&global(), Look::PLAIN, &printed(Vec::new()), false).unwrap_err();
        assert_eq!(refused.code, 2);
        assert!(refused.text.contains("tallysync accept orders"), "{}", refused.text);
    }

    #[test]
    fn an_incomplete_plan_is_not_accepted_unread() {
        let refused = agreed(&global(), Look::PLAIN, &printed(vec!["crm: 503".into()]), true).unwrap_err();
        assert_eq!(refused.code, 1);
        assert!(refused.text.contains("crm: 503"), "{}", refused.text);
    }

    #[test]
    fn nothing_released_is_not_said_to_go_out() {
        let text =
            accepted_text(Look::PLAIN, &Accepted { sync: "orders".into(), opened: 0, moved: Vec::new() });
        assert!(text.contains("live from now on") && !text.contains("They go out"), "{text}");
    }

    #[test]
    fn what_moved_is_listed() {
        let done = Accepted { sync: "orders".into(), opened: 2, moved: vec!["update SO-1 in erp".into()] };
        let text = accepted_text(Look::PLAIN, &done);
        assert!(text.starts_with("accepted orders: 2 writes released\nLeft out"), "{text}");
        assert!(text.contains("  update SO-1 in erp\n"), "{text}");
        assert_eq!(
            accepted_json(&done),
            json!({"sync":"orders","released":2,"moved":["update SO-1 in erp"]})
        );
    }
}
