//! Definitions: the built-in ones are clean, and bad ones are refused with the nearest name.

use super::*;

const SALESFORCE: &str = include_str!("catalog/salesforce.toml");
const NETSUITE: &str = include_str!("catalog/netsuite.toml");
const TRYTON: &str = include_str!("catalog/tryton.toml");

fn problems(source: &str) -> String {
    parse("x.toml", source).unwrap_err().join("\n")
}

/// The built-in definition with one text in place of another.
fn changed(source: &str, from: &str, to: &str) -> String {
    assert!(source.contains(from), "{from}");
    source.replacen(from, to, 1)
}

#[test]
fn what_is_built_in_is_clean() {
    let catalog = Catalog::built_in().unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    let ids: Vec<&str> = catalog.all().map(|definition| definition.connector.id.as_str()).collect();
    assert_eq!(ids, ["netsuite", "salesforce", "tryton"]);
}

#[test]
fn unknown_keys_name_the_nearest() {
    let text = problems(&changed(SALESFORCE, "max_in_flight", "max_inflight"));
    assert!(text.contains("max_inflight") && text.contains("did you mean \"max_in_flight\"?"), "{text}");
    assert!(text.contains("x.toml: line "), "{text}");
    let text = problems(&changed(SALESFORCE, "class = \"conflict\"", "class = \"conflct\""));
    assert!(text.contains("did you mean \"conflict\"?"), "{text}");
    let text =
        problems(&changed(SALESFORCE, "{sobject|ident} WHERE {keyset}", "{sobjct|ident} WHERE {keyset}"));
    assert!(text.contains("did you mean \"sobject\"?"), "{text}");
}

#[test]
fn a_hole_without_its_encoder_is_refused() {
    for (source, from, to) in [
        (SALESFORCE, "/{id|path}\"\nquery", "/{id}\"\nquery"),
        (SALESFORCE, "WHERE Id = {id|soql_str}", "WHERE Id = {id}"),
        (SALESFORCE, "= {value|soql_literal}", "= '{value|lower}'"),
        (NETSUITE, "{only}t.id = {id|sql_int}", "{only}t.id = {id}"),
        (NETSUITE, "FROM {table|ident} t WHERE {only}t.id", "FROM {table} t WHERE {only}t.id"),
    ] {
        let text = problems(&changed(source, from, to));
        assert!(text.contains("has no encoder"), "{to}: {text}");
    }
}

#[test]
fn secrets_hosts_and_origins_are_pinned() {
    let text = problems(&changed(
        SALESFORCE,
        "/services/oauth2/userinfo\"",
        "/services/oauth2/userinfo?k={password|path}\"",
    ));
    assert!(text.contains("must not stand in a URL"), "{text}");
    let text = problems(&changed(
        SALESFORCE,
        "https://{login_host}/services/oauth2/token\"\njwt",
        "https://{username}/services\"\njwt",
    ));
    assert!(text.contains("must be a var of type host"), "{text}");
    let text = problems(&changed(
        SALESFORCE,
        "base_url_must_match = '^https://",
        "base_url_must_match = 'https?://",
    ));
    assert!(text.contains("base_url_must_match"), "{text}");
    let text = problems(&changed(SALESFORCE, "same_origin = true, ", ""));
    assert!(text.contains("same_origin"), "{text}");
    let text = problems(&changed(NETSUITE, "base_url = \"https://{host}\"", "base_url = \"http://{host}\""));
    assert!(text.contains("https://"), "{text}");
}

#[test]
fn every_capability_needs_its_operation() {
    let text = problems(&changed(NETSUITE, "[templates.record.deletes]", "[templates.record.audit]"));
    assert!(text.contains("deletes = feed needs"), "{text}");
    let text =
        problems(&changed(SALESFORCE, "headers = { If-Unmodified-Since = \"{version|http_date}\" }\n", ""));
    assert!(text.contains("does not send If-Unmodified-Since"), "{text}");
    let text = problems(&changed(
        TRYTON,
        "create_idempotent_by = \"search_before_create\"",
        "create_idempotent_by = \"upsert\"",
    ));
    assert!(text.contains("needs the operation upsert"), "{text}");
    let text = problems(&changed(TRYTON, "mode = \"token\"", "mode = \"tokn\""));
    assert!(text.contains("did you mean \"token\"?"), "{text}");
}

#[test]
fn a_users_own_file_wins_and_every_bad_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = changed(SALESFORCE, "title = \"Salesforce\"", "title = \"Ours\"");
    std::fs::write(folder.path().join("own.toml"), own).unwrap();
    std::fs::write(folder.path().join("README.md"), "not a definition").unwrap();
    let catalog = load_definitions(Some(folder.path())).unwrap();
    assert_eq!(catalog.get("salesforce").unwrap().connector.title, "Ours");
    assert!(catalog.get("netsuite").is_some());
    std::fs::write(folder.path().join("bad1.toml"), "schema = ").unwrap();
    std::fs::write(folder.path().join("bad2.toml"), "schema = 1").unwrap();
    let text = load_definitions(Some(folder.path())).unwrap_err().join("\n");
    assert!(text.contains("bad1.toml") && text.contains("bad2.toml"), "{text}");
    assert!(load_definitions(Some(Path::new("/nonexistent"))).unwrap_err().join("").contains("/nonexistent"));
}

#[test]
fn the_digest_follows_the_content_and_not_its_layout() {
    let digest = |source: &str| parse("x.toml", source).unwrap().digest();
    assert_eq!(digest(TRYTON), digest(&format!("# a remark\n{TRYTON}")));
    assert_ne!(digest(TRYTON), digest(&changed(TRYTON, "overlap = \"10m\"", "overlap = \"11m\"")));
}
