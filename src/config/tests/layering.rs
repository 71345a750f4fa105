//! Defaults, file, environment, flags: who wins, and what is told about a value from outside the file.

use super::*;
use crate::config::model::{SecretRef, VarValue};

#[test]
fn later_layers_win() {
    let text = format!("{GOOD}[state]\npath = \"file.db\"\n[daemon]\ntimezone = \"Europe/Berlin\"\n");
    let env = [("TALLYSYNC_STATE__PATH", "/env.db"), ("TALLYSYNC_DAEMON__LISTEN", ""), ("PATH", "/bin")];
    let config = load_with(&text, &env, &[]).unwrap();
    assert_eq!(config.state.path, Path::new("/env.db"));
    assert_eq!(config.daemon.listen, "");
    assert_eq!(config.daemon.timezone, "Europe/Berlin");
    let config = load_with(&text, &env, &[("state.path", "/flag.db")]).unwrap();
    assert_eq!(config.state.path, Path::new("/flag.db"));
}

#[test]
fn the_environment_reaches_into_systems_whatever_their_spelling() {
    let text = GOOD
        .replace("systems.erp]", "systems.My-ERP]")
        .replace("sides.erp]", "sides.erp]\nsystem = \"My-ERP\"");
    let env = [
        ("TALLYSYNC_SYSTEMS__MY_ERP__BASE_URL", "https://sandbox.example/"),
        ("TALLYSYNC_SYSTEMS__MY_ERP__BUDGET__PER_MINUTE", "7"),
        ("TALLYSYNC_SYSTEMS__MY_ERP__VARS__ACCOUNT", "42_SB1"),
        ("TALLYSYNC_SYSTEMS__MY_ERP__VARS__PRIVATE_KEY__CREDENTIAL", "ns-key"),
    ];
    let config = load_with(&text, &env, &[]).unwrap();
    let system = &config.systems["My-ERP"];
    assert_eq!(system.base_url.as_deref(), Some("https://sandbox.example"));
    assert_eq!(system.budget.per_minute, Some(7));
    assert_eq!(system.vars["account"], VarValue::Plain("42_SB1".to_owned()));
    assert_eq!(system.vars["private_key"], VarValue::Secret(SecretRef::Credential("ns-key".to_owned())));
    assert_eq!(system.connector, "netsuite");
}

#[test]
fn a_problem_from_the_environment_says_so() {
    let env = [
        ("TALLYSYNC_DAEMON__TIMEZONE", "Mars/Base"),
        ("TALLYSYNC_STATE__PTH", "x"),
        ("TALLYSYNC_SYSTEMS__ERP__BUDGET__PER_DAY", "many"),
    ];
    let error = load_with(GOOD, &env, &[]).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "environment variable TALLYSYNC_STATE__PTH: [state]: unknown key \"pth\"; did you mean \"path\"?",
            "environment variable TALLYSYNC_DAEMON__TIMEZONE: [daemon]: timezone \"Mars/Base\" is not known; write an IANA name such as \"Europe/Berlin\"",
            "environment variable TALLYSYNC_SYSTEMS__ERP__BUDGET__PER_DAY: system \"erp\": budget.per_day must be a whole number from 1 to 4294967295, not many",
            "3 problems in the config; nothing was started",
        ]
    );
}

#[test]
fn syncs_are_not_for_the_environment_or_flags() {
    let config = load_with(GOOD, &[("TALLYSYNC_SYNC__NAME", "x"), ("TALLYSYNC_CONFIG", "y")], &[]).unwrap();
    assert_eq!(
        config.warnings,
        [
            "environment variable TALLYSYNC_SYNC__NAME: ignored: only [state], [daemon] and [systems] can be set from the environment, not \"sync\"",
        ]
    );
    let error = load_with(GOOD, &[], &[("sync.name", "x")]).unwrap_err().to_string();
    assert!(
        error.starts_with("command line, sync.name: sync.name cannot be set from the command line"),
        "{error}"
    );
}

#[test]
fn a_secret_in_the_environment_stays_there() {
    let text = GOOD.replace("token = { env = \"TALLYFY_TOKEN\" }", "token = { credential = \"t\" }");
    let config =
        load_with(&text, &[("TALLYSYNC_SYSTEMS__TALLYFY__AUTH__TOKEN", "s3cr3t-value")], &[]).unwrap();
    let auth = config.systems["tallyfy"].auth.as_ref().unwrap();
    let variable = "TALLYSYNC_SYSTEMS__TALLYFY__AUTH__TOKEN".to_owned();
    assert_eq!(auth.values["token"], VarValue::Secret(SecretRef::Env(variable)));
    assert!(!format!("{config:?}").contains("s3cr3t"));
}
