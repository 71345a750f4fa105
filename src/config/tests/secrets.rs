//! A secret written in clear is refused, and its value appears nowhere: not in messages, lines or Debug.

use super::*;
use crate::config::secret::{looks_like_secret_value, names_a_secret};

const SECRET: &str = "hunter2-do-not-print";

fn never_shown(text: &str) -> Vec<String> {
    let problems = load(text).unwrap_err();
    assert!(!problems.to_string().contains(SECRET), "{problems}");
    assert!(!format!("{problems:?}").contains(SECRET), "{problems:?}");
    told(text)
}

#[test]
fn secrets_in_clear_are_errors_that_do_not_echo() {
    for key in [
        "token",
        "client_secret",
        "password",
        "private_key",
        "refresh_token",
        "consumer_secret",
        "token_secret",
        "key",
    ] {
        let text = changed("token = { env = \"TALLYFY_TOKEN\" }", &format!("{key} = \"{SECRET}\""));
        let variable = key.to_uppercase();
        assert_eq!(
            never_shown(&text),
            [format!(
                "sync.toml:4: system \"tallyfy\": auth.{key} is a secret written in clear; write {key} = {{ env = \"{variable}\" }}, {{ file = \"{key}\" }} or {{ credential = \"{key}\" }}"
            )]
        );
    }
    let text = changed("private_key = { file = \"ns.pem\" }", &format!("api-key = \"{SECRET}\""));
    assert_eq!(never_shown(&text).len(), 1);
    let text =
        changed("account = \"1234567\"", &format!("account = \"-----BEGIN PRIVATE KEY-----{SECRET}\""));
    assert_eq!(never_shown(&text).len(), 1);
    let text = changed(
        "connector = \"netsuite\"",
        &format!("connector = \"netsuite\"\nbase_url = \"https://u:{SECRET}@erp.example\""),
    );
    assert_eq!(
        never_shown(&text),
        ["sync.toml:8: system \"erp\": base_url holds a user or password; credentials belong in auth"]
    );
}

#[test]
fn another_problem_on_the_line_of_a_secret_does_not_show_it() {
    let text =
        changed("connector = \"netsuite\"", &format!("connector = \"netsuite\"\ntoken = \"{SECRET}\""));
    assert_eq!(never_shown(&text).len(), 1);
    let text = changed(
        "vars = { account = \"1234567\",",
        &format!("budget = {{ per_day = \"x\", password = \"{SECRET}\" }}\nvars = {{ account = \"1\","),
    );
    let problems = load(&text).unwrap_err().to_string();
    assert!(problems.contains("password = ***"), "{problems}");
    assert_eq!(never_shown(&text).len(), 2);
}

#[test]
fn a_secret_in_a_text_that_is_no_toml_is_not_shown() {
    for broken in [
        format!("[a]\ntoken = \"{SECRET}\n"),
        format!("[a]\nauth = {{ kind = \"token\" token = \"{SECRET}\" }}\n"),
        format!("[a]\nprivate_key = \"-----BEGIN\n{SECRET}\nabc{SECRET}==\n"),
        format!("[a]\ntoken = {SECRET}\n"),
        format!("[a]\npassword {SECRET}\n"),
    ] {
        assert!(!never_shown(&broken).is_empty(), "{broken}");
    }
}

#[test]
fn places_of_secrets_are_checked() {
    let told_for = |form: &str| told(&changed("{ env = \"TALLYFY_TOKEN\" }", form));
    assert_eq!(
        told_for("{ evn = \"T\" }"),
        ["sync.toml:4: system \"tallyfy\": unknown key \"evn\" under auth.token; did you mean \"env\"?"]
    );
    assert_eq!(
        told_for("{ env = \"T\", file = \"t\" }"),
        ["sync.toml:4: system \"tallyfy\": auth.token must name exactly one of env, file and credential"]
    );
    let pasted = changed("{ env = \"TALLYFY_TOKEN\" }", &format!("{{ env = \"{SECRET}\" }}"));
    assert_eq!(
        never_shown(&pasted),
        ["sync.toml:4: system \"tallyfy\": auth.token.env must be the name of an environment variable"]
    );
    let wrapped = changed("{ env = \"TALLYFY_TOKEN\" }", &format!("{{ text = \"{SECRET}\" }}"));
    assert_eq!(
        never_shown(&wrapped),
        ["sync.toml:4: system \"tallyfy\": unknown key \"text\" under auth.token"]
    );
    assert_eq!(
        told_for("{}"),
        ["sync.toml:4: system \"tallyfy\": auth.token must name exactly one of env, file and credential"]
    );
    assert_eq!(
        told_for("{ credential = \"../x\" }"),
        ["sync.toml:4: system \"tallyfy\": auth.token.credential must be a name, not a path"]
    );
}

#[test]
fn names_and_values_of_secrets() {
    for name in ["token", "Client-Secret", "db_password", "apiKey", "PRIVATE_KEY", "oauth_refresh_token"] {
        assert!(names_a_secret(name), "{name}");
    }
    for name in ["token_id", "token_url", "consumer_key", "key_field", "account", "username", "client_id"] {
        assert!(!names_a_secret(name), "{name}");
    }
    assert!(looks_like_secret_value("Bearer abcdefghijklmnop"));
    assert!(!looks_like_secret_value("Basic onboarding of guests"));
}
