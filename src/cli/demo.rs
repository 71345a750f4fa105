//! `tallysync demo`.

use std::path::PathBuf;

/// Runs the demo.
///
/// # Errors
/// When it cannot be run.
#[allow(clippy::unused_async, reason = "the demo waits for real servers")]
pub async fn run(_keep: bool, _dir: Option<PathBuf>) -> anyhow::Result<i32> {
    Err(anyhow::anyhow!("the demo is not built"))
}
