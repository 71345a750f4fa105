//! Where the config and the state file are, and the ways to open them. No command stands here.

use std::path::{Path, PathBuf};

use super::Failed;
use super::args::Global;
use crate::config::model::Config;
use crate::config::{Problems, load};
use crate::store::Store;

const HERE: &str = "sync.toml";
const INSTALLED: &str = "/etc/tallysync/sync.toml";

/// The config file that is meant: the named one, else the one here, else the installed one.
pub fn config_path(global: &Global) -> PathBuf {
    match &global.config {
        Some(path) => path.clone(),
        None if Path::new(HERE).exists() || !Path::new(INSTALLED).exists() => PathBuf::from(HERE),
        None => PathBuf::from(INSTALLED),
    }
}

/// The config, or everything that is wrong with it.
///
/// # Errors
/// Every problem, each with its place.
pub fn read_config(global: &Global) -> Result<Config, Problems> {
    // A variable that is not Unicode is none of ours: it is passed over, not a reason to stop.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load(&config_path(global), environment, &overrides(global))
}

fn overrides(global: &Global) -> Vec<(String, String)> {
    // Flags count from where the command is given, not from the config file.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let state =
        global.state.as_ref().map(|path| ("state.path".to_owned(), absolute(path).display().to_string()));
    state.into_iter().collect()
}

/// The config for a command that needs one.
///
/// # Errors
/// Exit code 2 with every problem.
pub fn config(global: &Global) -> Result<Config, Failed> {
    read_config(global).map_err(|problems| Failed::config(problems.to_string()))
}

/// The config for a command that works through the syncs.
///
/// # Errors
/// Exit code 2 with every problem, or when there is no sync to work through.
pub fn config_with_syncs(global: &Global) -> Result<Config, Failed> {
    let config = config(global)?;
    if config.syncs.is_empty() {
        let text = format!("{} has no [[sync]]: there is nothing to do", config.path.display());
        return Err(Failed::config(text));
    }
    Ok(config)
}

/// The state file for looking into it, and the config where it can be read. With `--state` the file can be
/// looked into without any config.
///
/// # Errors
/// When there is no state file, or neither `--state` nor a sound config says where it is.
pub fn looking(global: &Global) -> Result<(Store, Option<Config>), Failed> {
    match (read_config(global), &global.state) {
        (Ok(config), _) => Ok((Store::open_readonly(&config.state.path)?, Some(config))),
        (Err(_), Some(path)) => Ok((Store::open_readonly(path)?, None)),
        (Err(problems), None) => Err(Failed::config(format!(
            "{problems}\n(to look into a state file without its config, name it with --state FILE)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(config: Option<&Path>, state: Option<&Path>) -> Global {
        Global {
            config: config.map(Path::to_owned),
            state: state.map(Path::to_owned),
            json: false,
            verbose: 0,
        }
    }

    #[test]
    fn a_state_file_can_be_looked_into_without_a_config() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.db");
        drop(Store::open(&state).unwrap());
        let missing = folder.path().join("none.toml");
        assert!(looking(&global(Some(&missing), Some(&state))).unwrap().1.is_none());
        let Err(failed) = looking(&global(Some(&missing), None)) else { panic!("no config, no state") };
        assert_eq!(failed.code, 2);
        assert!(failed.text.contains("--state FILE"), "{}", failed.text);
    }

    #[test]
    fn a_config_without_a_sync_has_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.toml");
        std::fs::write(&path, "[systems.erp]\nconnector = \"netsuite\"\n").unwrap();
        let refused = config_with_syncs(&global(Some(&path), None)).unwrap_err();
        assert_eq!(refused.code, 2);
        assert!(refused.text.contains("no [[sync]]"), "{}", refused.text);
    }

    #[test]
    fn what_is_no_state_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (empty, text) = (folder.path().join("empty.db"), folder.path().join("text.db"));
        std::fs::write(&empty, "").unwrap();
        std::fs::write(&text, "not a database, but long enough to have the header of one in it ".repeat(20))
            .unwrap();
        let none = folder.path().join("none.toml");
        for (path, why) in [
            (folder.path(), "it is a folder"),
            (empty.as_path(), "nothing of tallysync in it"),
            (text.as_path(), "not a database"),
        ] {
            let Err(failed) = looking(&global(Some(&none), Some(path))) else { panic!("{why}") };
            assert!(failed.text.contains(&path.display().to_string()), "{}", failed.text);
            assert!(failed.text.contains(why), "{}", failed.text);
        }
    }

    #[test]
    fn the_flag_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.toml");
        std::fs::write(&path, "[state]\npath = \"one.db\"\n[systems.erp]\nconnector = \"netsuite\"\n")
            .unwrap();
        let read = |state| config(&global(Some(&path), state)).unwrap().state.path;
        assert_eq!(read(None), folder.path().join("one.db"));
        let two = folder.path().join("two.db");
        assert_eq!(read(Some(&two)), two);
    }
}
