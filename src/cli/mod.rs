//! The command line: words in, text or JSON out, an exit code. It decides nothing that the engine decides, and
//! holds no state.

mod accept;
mod args;
mod check;
mod connectors;
mod decide;
#[cfg(feature = "demo")]
mod demo;
mod init;
mod look;
mod output;
mod place;
mod plan;
mod status;
mod why;
mod work;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Arguments, Command, Global};
use output::{Look, complain, print};

use crate::engine::EngineError;
use crate::store::StoreError;

/// Fine.
pub const FINE: i32 = 0;
/// Failed.
pub const FAILED: i32 = 1;
/// Usage or config.
pub const USAGE: i32 = 2;
/// `plan` found changes.
pub const CHANGES: i32 = 3;
/// Something needs a person.
pub const PERSON: i32 = 4;

/// Why a command ends without having done what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The exit code.
    pub code: i32,
    /// For the person.
    pub text: String,
}

impl Failed {
    fn new(text: impl Into<String>) -> Self {
        Self { code: FAILED, text: text.into() }
    }

    fn config(text: impl Into<String>) -> Self {
        Self { code: USAGE, text: text.into() }
    }
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unknown(text) => Self::config(text),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}

/// What commands return: an exit code, or why not.
type Outcome = Result<i32, Failed>;

/// Runs the command line and gives the exit code.
pub async fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; a reader that went away is no failure.
            let _ = error.print();
            return exit(error.exit_code());
        }
    };
    log_to_stderr(&arguments);
    match dispatch(arguments).await {
        Ok(code) => exit(code),
        Err(failed) => {
            complain(&failed.text);
            exit(failed.code)
        }
    }
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

async fn dispatch(arguments: Arguments) -> Outcome {
    let Arguments { global, command } = arguments;
    let look = Look::of_stdout();
    match command {
        #[cfg(feature = "demo")]
        Command::Demo { keep, dir } => {
            demo::run(keep, dir).await.map_err(|error| Failed::new(format!("{error:#}")))
        }
        #[cfg(not(feature = "demo"))]
        Command::Demo { .. } => Err(Failed::config("this tallysync was built without its demo")),
        Command::Init { from, output } => init::init(&global, from, &output),
        Command::Check => check::check(&global, look).await,
        Command::Plan { name, full } => plan::plan(&global, look, name.as_deref(), full).await,
        // The words make sure that there is either a name or `--all`.
        Command::Accept { name, plan, all: _, yes } => {
            accept::accept(&global, look, &accept::Wish { name, plan, yes }).await
        }
        Command::Sync { name, sweep } => work::sync(&global, look, name.as_deref(), sweep).await,
        Command::Run => work::daemon(&global).await,
        Command::Status { check } => status::status(&global, look, check),
        Command::Links { sync, unlinked: false, limit } => {
            look::links(&global, look, sync.as_deref(), limit.limit)
        }
        Command::Links { sync, unlinked: true, limit } => {
            look::unlinked(&global, look, sync.as_deref(), limit.limit)
        }
        Command::Changes { system, limit } => look::changes(&global, look, system.as_deref(), limit.limit),
        Command::Writes { sync, open, limit } => {
            look::writes(&global, look, sync.as_deref(), open, limit.limit)
        }
        Command::Log { sync, limit } => look::log(&global, look, sync.as_deref(), limit.limit),
        Command::Why { sync, record, field } => why::why(&global, look, &sync, &record, field.as_deref()),
        Command::Conflicts { sync, limit } => look::conflicts(&global, look, sync.as_deref(), limit.limit),
        Command::Resolve { id, take, value } => decide::resolve(&global, id, take, value).await,
        Command::Retry { write } => decide::retry(&global, write).await,
        Command::Drop { write } => decide::drop_write(&global, write).await,
        Command::Adopt { write, record } => decide::adopt(&global, write, &record).await,
        Command::Approve { id } => decide::approve(&global, id).await,
        Command::Pause { name } => decide::pause(&global, &name, true).await,
        Command::Resume { name } => decide::pause(&global, &name, false).await,
        Command::Connectors { name } => connectors::connectors(&global, look, name.as_deref()),
        Command::Completions { shell } => Ok(completions(shell)),
        Command::Hooks(_) => Err(later("hooks", "tallysync polls on its schedules instead")),
        Command::Undo(_) => Err(later(
            "undo",
            "`tallysync why SYNC RECORD` shows the displaced values; put them back in any of the systems",
        )),
        Command::Sim(_) => Err(later("sim", "the simulation runs with the tests: cargo test")),
    }
}

fn later(name: &str, instead: &str) -> Failed {
    Failed::config(format!("`tallysync {name}` is not in this version; {instead}"))
}

fn completions(shell: clap_complete::Shell) -> i32 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut completed(), "tallysync", &mut script);
    print(&String::from_utf8_lossy(&script));
    FINE
}

/// The command line without what this version does not have: nobody should complete to a refusal.
fn completed() -> clap::Command {
    let whole = Arguments::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("tallysync")
        .args(whole.get_arguments().cloned())
        .subcommands(shown.collect::<Vec<_>>())
}

/// Logs go to standard error, where systemd's journal takes them with its own times; `TALLYSYNC_LOG` is a
/// filter like `info,tallysync::engine=debug`.
fn log_to_stderr(arguments: &Arguments) {
    use tracing_subscriber::EnvFilter;
    let daemon = matches!(arguments.command, Command::Run);
    let level = match (arguments.global.verbose, daemon) {
        (0, false) => "warn",
        (0, true) | (1, false) => "info",
        (1, true) | (2, _) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("TALLYSYNC_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(arguments.global.verbose > 0)
        .compact();
    // A test that runs several commands in one process has set one already.
    let _ = if journal { builder.without_time().try_init() } else { builder.try_init() };
}

/// Words of a yes-or-no question on the terminal; `None` where nobody can be asked.
fn ask(global: &Global, question: &str) -> Option<bool> {
    if global.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    print(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
