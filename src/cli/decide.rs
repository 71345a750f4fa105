//! What people decide: conflicts, writes, batches, pauses. Each is one step of the engine, taken beside a daemon
//! that may be running; it acts on it at its next pass.

use serde_json::json;

use super::args::Global;
use super::output::{print, print_json};
use super::place::config;
use super::{FINE, Failed, Outcome};
use crate::engine::people::Decide;
use crate::engine::{Engine, Result as EngineResult, boot};

fn engine(global: &Global) -> Result<Engine, Failed> {
    Ok(boot::deciding(config(global)?)?)
}

fn tell(global: &Global, done: EngineResult<String>) -> Outcome {
    let done = done?;
    if global.json {
        print_json(&json!({ "done": done }));
    } else {
        print(&format!("{done}\n"));
    }
    Ok(FINE)
}

/// `resolve ID --take SIDE` or `--value V`.
pub async fn resolve(global: &Global, id: i64, take: Option<String>, value: Option<String>) -> Outcome {
    let decide = match (take, value) {
        (Some(side), None) => Decide::Take(side),
        (None, Some(value)) => Decide::Value(value),
        _ => return Err(Failed::config("say either --take SIDE or --value V")),
    };
    tell(global, engine(global)?.resolve(id, decide).await)
}

/// `retry WRITE`.
pub async fn retry(global: &Global, write: i64) -> Outcome {
    tell(global, engine(global)?.retry(write).await)
}

/// `drop WRITE`.
pub async fn drop_write(global: &Global, write: i64) -> Outcome {
    tell(global, engine(global)?.drop_write(write).await)
}

/// `adopt WRITE RECORD`: the one decision that reads a record first.
pub async fn adopt(global: &Global, write: i64, record: &str) -> Outcome {
    tell(global, boot::adopting(config(global)?)?.adopt(write, record).await)
}

/// `approve ID`.
pub async fn approve(global: &Global, id: i64) -> Outcome {
    tell(global, engine(global)?.approve(id).await)
}

/// `pause NAME` and `resume NAME`.
pub async fn pause(global: &Global, name: &str, paused: bool) -> Outcome {
    tell(global, engine(global)?.pause(name, paused).await)
}
