//! The words of the command line. Nothing here does anything.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Keeps Tallyfy, the ERP and the CRM telling one story.
#[derive(Debug, Parser)]
#[command(name = "tallysync", version, about, max_term_width = 110, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 fine, 1 failed, 2 usage or config, 3 plan found changes, \
                        4 something needs a person.")]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The config file [default: sync.toml, then /etc/tallysync/sync.toml]
    #[arg(long, global = true, value_name = "FILE", env = "TALLYSYNC_CONFIG")]
    pub config: Option<PathBuf>,
    /// Another state file than the config names
    #[arg(long, global = true, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Print data as JSON, as docs/cli-json.md describes
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How many rows.
#[derive(Debug, Clone, Args)]
pub struct Limit {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the shipped example against stand-ins for the vendors, on this machine, and tell the story
    Demo {
        /// Keep the folder with its state file
        #[arg(long)]
        keep: bool,
        /// The folder to work in
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Ask a few questions and write a sync.toml
    Init {
        /// Connectors to begin with, instead of asking
        #[arg(long, value_name = "CONNECTOR")]
        from: Vec<String>,
        /// Where to write it
        #[arg(long, value_name = "FILE", default_value = "sync.toml")]
        output: PathBuf,
    },
    /// Check config, reachability, credentials, names and lenses; print what each connection guarantees
    Check,
    /// Show what would be written, and why; write nothing
    Plan {
        /// One sync only
        name: Option<String>,
        /// Every single thing, where many are the same
        #[arg(long)]
        full: bool,
    },
    /// Accept the last printed plan of a new or changed sync
    Accept {
        /// The sync
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Only if the plan that waits has this number
        #[arg(long, value_name = "ID", conflicts_with = "all")]
        plan: Option<i64>,
        /// Every sync that waits to be accepted
        #[arg(long, conflicts_with = "name")]
        all: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// One pass now, whatever the schedules say
    Sync {
        /// One sync only
        name: Option<String>,
        /// List everything completely, due or not
        #[arg(long)]
        sweep: bool,
    },
    /// The daemon
    Run,
    /// Systems, syncs, freshness, open problems and what helps
    Status {
        /// Exit with 4 when something needs a person
        #[arg(long)]
        check: bool,
    },
    /// Which records are the same thing
    Links {
        /// One sync only
        sync: Option<String>,
        /// Records that are not linked, and why
        #[arg(long)]
        unlinked: bool,
        /// How many
        #[command(flatten)]
        limit: Limit,
    },
    /// What was observed, newest first
    Changes {
        /// One system only
        system: Option<String>,
        /// How many
        #[command(flatten)]
        limit: Limit,
    },
    /// What was or will be written, newest first
    Writes {
        /// One sync only
        sync: Option<String>,
        /// Only what is not closed
        #[arg(long)]
        open: bool,
        /// How many
        #[command(flatten)]
        limit: Limit,
    },
    /// The account of every write, newest first
    Log {
        /// One sync only
        sync: Option<String>,
        /// How many
        #[command(flatten)]
        limit: Limit,
    },
    /// Where a value came from, and what it displaced
    Why {
        /// The sync
        sync: String,
        /// SIDE:ID, a key value, or a link number
        record: String,
        /// One field only
        field: Option<String>,
    },
    /// What a person must decide
    Conflicts {
        /// One sync only
        sync: Option<String>,
        /// How many
        #[command(flatten)]
        limit: Limit,
    },
    /// Decide a conflict
    Resolve {
        /// Its number
        id: i64,
        /// What this side shows
        #[arg(long, value_name = "SIDE", required_unless_present = "value", conflicts_with = "value")]
        take: Option<String>,
        /// This value
        #[arg(long, value_name = "V", allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Try a parked or uncertain write again
    Retry {
        /// The write
        write: i64,
    },
    /// Drop a write
    Drop {
        /// The write
        write: i64,
    },
    /// Say which record an uncertain create made
    Adopt {
        /// The write
        write: i64,
        /// The record's id in its system
        record: String,
    },
    /// Release exactly one batch that a guard holds
    Approve {
        /// The batch
        id: i64,
    },
    /// Stop writing for a sync, or calling a system
    Pause {
        /// A sync or a system
        name: String,
    },
    /// Go on with a sync or a system
    Resume {
        /// A sync or a system
        name: String,
    },
    /// What is built in, and what each can guarantee
    Connectors {
        /// One connector, in full
        name: Option<String>,
    },
    /// A completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// The webhook addresses to register
    #[command(hide = true, disable_help_flag = true)]
    Hooks(Later),
    /// A plan that puts displaced values back
    #[command(hide = true, disable_help_flag = true)]
    Undo(Later),
    /// The deterministic simulation
    #[command(hide = true, disable_help_flag = true)]
    Sim(Later),
}

/// Whatever follows a command that this version does not have.
#[derive(Debug, Args)]
pub struct Later {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_words_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_decision_needs_exactly_one_choice() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["tallysync"], words].concat());
        assert!(parse(&["resolve", "3"]).is_err());
        assert!(parse(&["resolve", "3", "--take", "erp", "--value", "1"]).is_err());
        assert!(parse(&["resolve", "3", "--value", "-1.50"]).is_ok(), "a negative number is a value");
        assert!(parse(&["accept"]).is_err());
        assert!(parse(&["accept", "--all"]).is_ok());
        assert!(parse(&["accept", "orders", "--all"]).is_err());
    }
}
