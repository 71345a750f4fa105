//! The architecture as a test: who may know whom, where SQL, time and chance may stand, how long a file is.
//!
//! Every finding is a sentence that names file and line. There is no list of exceptions; a rule that
//! turns out wrong is changed here, with its reason.

use crate::support::read_repository_file;
use crate::support::rust_source::{SourceFile, rust_files};

/// A file longer than this has a second file inside.
const MOST_LINES: usize = 500;

/// Who must not know whom: `(module, what it must not name, why)`.
const FORBIDDEN: [(&str, &[&str], &str); 5] = [
    ("store", &["connector", "tallyfy", "engine", "server", "cli"], "the state file knows no system"),
    ("connector", &["store", "tallyfy", "engine", "server", "cli"], "a connector is data and HTTP, no state"),
    ("tallyfy", &["store", "engine", "server", "cli"], "the Tallyfy adapter is a connector like any other"),
    (
        "config",
        &["store", "engine", "server", "cli"],
        "reading the config touches no state and starts nothing",
    ),
    ("engine", &["cli", "server"], "the engine is driven, it drives nobody"),
];

/// What the decision core must not touch: clock, network, file, database, log.
const IMPURE: &str =
    r"\bstd::(?:fs|net|io|process|env|thread)\b|\b(?:tokio|reqwest|rusqlite|tracing|axum|futures_util)::";

/// Asking the operating system for the time or for chance.
const CLOCK_OR_CHANCE: &str = r"\b(?:SystemTime|Instant|Timestamp|Zoned|Utc|Local)::now\b|\brand(?:om)?::\w+|\bgetrandom::|\baws_lc_rs::rand\b|\bRandomState\b|\btokio::time::|\bthread::sleep\b";

/// Statements that only ever mean our own database.
const CHANGING_SQL: &str =
    r"(?i)\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET|CREATE\s+TABLE|PRAGMA\s+\w+)\b";

/// Queries; SOQL and SuiteQL read the same, so connectors are not asked.
const READING_SQL: &str = r"\bSELECT\s[^;]*\sFROM\s";

type Rule = fn(&SourceFile) -> Vec<String>;

/// A finding about code that is not test code.
fn sentence(file: &SourceFile, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", file.path)
}

/// The top-level modules that a file names, with lines: `crate::x`, `crate::{x, y}`, `super::super::x`.
fn named_modules(file: &SourceFile) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (line, text) in file.code_matches(r"\b(?:crate|tallysync)::\w+") {
        named.push((line, text.rsplit("::").next().unwrap_or_default().to_owned()));
    }
    for (line, text) in file.code_matches(r"\b(?:crate|tallysync)::\{(?:[^{}]|\{[^{}]*\})*\}") {
        let inner = text.split_once('{').map_or("", |(_, inner)| inner);
        let mut depth = 0_usize;
        let outermost: String = inner
            .chars()
            .filter(|character| {
                match character {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0
            })
            .collect();
        named.extend(outermost.split(',').map(|item| {
            let first = item.trim().trim_end_matches('}').split("::").next().unwrap_or_default();
            (line, first.split_whitespace().next().unwrap_or_default().to_owned())
        }));
    }
    for (line, text) in file.code_matches(r"\b(?:super::)+\w+") {
        if text.matches("super::").count() >= file.depth() {
            named.push((line, text.rsplit("::").next().unwrap_or_default().to_owned()));
        }
    }
    named
}

fn dependencies_point_inwards(file: &SourceFile) -> Vec<String> {
    let own = file.top_module();
    let named = named_modules(file);
    let mut findings = Vec::new();
    for (line, module) in &named {
        let why = match own {
            "core" if module != "core" && is_module(module) => Some("core imports only itself"),
            "ports" if module != "ports" && is_module(module) => {
                Some("the ports import nothing of the program")
            }
            _ => FORBIDDEN
                .iter()
                .find(|(from, to, _)| *from == own && to.contains(&module.as_str()))
                .map(|(_, _, why)| *why),
        };
        if let Some(why) = why {
            findings.push(sentence(file, *line, &format!("{own} names {module}, but {why}")));
        }
    }
    let store = named.iter().find(|(line, module)| module == "store" && !file.is_test(*line));
    let system = named
        .iter()
        .find(|(line, module)| ["connector", "tallyfy"].contains(&module.as_str()) && !file.is_test(*line));
    if let (Some(_), Some((line, module))) = (store, system)
        && !["engine", "lib"].contains(&own)
    {
        let what = format!("this file names store and {module}, but only the engine knows both");
        findings.push(sentence(file, *line, &what));
    }
    findings
}

fn is_module(name: &str) -> bool {
    let known = [
        "cli",
        "config",
        "connector",
        "core",
        "engine",
        "ports",
        "server",
        "store",
        "tallyfy",
        "sim",
        "demo",
    ];
    known.contains(&name)
}

fn the_core_is_pure(file: &SourceFile) -> Vec<String> {
    if file.top_module() != "core" {
        return Vec::new();
    }
    let found = file.code_matches(IMPURE).into_iter().filter(|(line, _)| !file.is_test(*line));
    found
        .map(|(line, text)| {
            let what =
                format!("the core names `{text}`, but it knows no clock, network, file, database or log");
            sentence(file, line, &what)
        })
        .collect()
}

fn sql_stands_in_the_store(file: &SourceFile) -> Vec<String> {
    let own = file.top_module();
    if own == "store" {
        return Vec::new();
    }
    let mut found = file.code_matches(r"\brusqlite\b");
    found.extend(file.string_matches(CHANGING_SQL));
    if !["connector", "tallyfy"].contains(&own) {
        found.extend(file.string_matches(READING_SQL));
    }
    found.retain(|(line, _)| !file.is_test(*line));
    found
        .into_iter()
        .map(|(line, text)| {
            sentence(file, line, &format!("`{text}` stands outside src/store; name what it means there"))
        })
        .collect()
}

fn time_and_chance_come_through_ports(file: &SourceFile) -> Vec<String> {
    let own = file.top_module();
    if own == "ports" {
        return Vec::new();
    }
    // Signing: the salt of PSS and the nonce of ECDSA belong to the crypto library. A private key would leak
    // through a nonce that anybody else could choose or repeat, so there is no port for them.
    let signs = file.path == "src/connector/jwt.rs";
    let found = file
        .code_matches(CLOCK_OR_CHANCE)
        .into_iter()
        .filter(|(line, text)| !(file.is_test(*line) || signs && text == "aws_lc_rs::rand"));
    found
        .map(|(line, text)| {
            let what = format!("`{text}` asks the operating system; time and chance come through src/ports");
            sentence(file, line, &what)
        })
        .collect()
}

fn twins_know_nothing_of_tallysync(file: &SourceFile) -> Vec<String> {
    let found = file.code_matches(r"\btallysync\b").into_iter();
    found
        .map(|(line, _)| {
            sentence(
                file,
                line,
                "a twin names tallysync, but it is written from the vendor's documents alone",
            )
        })
        .collect()
}

fn the_file_says_what_it_is(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    let opening = file.text.lines().next().unwrap_or_default();
    if opening.strip_prefix("//!").is_none_or(|rest| rest.trim().is_empty()) {
        findings.push(sentence(file, 1, "the file does not open with a `//!` that says what it is"));
    }
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        let what =
            format!("the file has {lines} lines, more than {MOST_LINES}: there is a second file in it");
        findings.push(sentence(file, lines, &what));
    }
    findings
}

fn expect_none(folders: &[&str], rules: &[Rule]) {
    let files: Vec<SourceFile> = folders.iter().flat_map(|folder| rust_files(folder)).collect();
    assert!(!files.is_empty(), "no Rust file under {folders:?}");
    let findings: Vec<String> =
        files.iter().flat_map(|file| rules.iter().flat_map(|rule| rule(file))).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn the_sources_keep_the_architecture() {
    let rules: [Rule; 4] = [
        dependencies_point_inwards,
        the_core_is_pure,
        sql_stands_in_the_store,
        time_and_chance_come_through_ports,
    ];
    expect_none(&["src"], &rules);
}

#[test]
fn twins_stay_apart() {
    expect_none(&["twins"], &[twins_know_nothing_of_tallysync]);
    let manifest = read_repository_file("twins/Cargo.toml");
    let depends = manifest.lines().position(|line| line.trim_start().starts_with("tallysync"));
    assert_eq!(depends, None, "twins/Cargo.toml depends on tallysync; the dependency goes the other way");
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    expect_none(&["src", "twins", "tests"], &[the_file_says_what_it_is]);
}

/// Each rule finds what it is there for, and says where; and leaves the innocent alone.
#[test]
fn the_rules_find_what_they_should() {
    let guilty: [(Rule, &str, &str); 19] = [
        (dependencies_point_inwards, "src/core/merge.rs", "use crate::store::Link;"),
        (dependencies_point_inwards, "src/core/merge.rs", "use super::super::ports::Clock;"),
        (dependencies_point_inwards, "src/core/merge.rs", "use crate::{core::value::Value, engine};"),
        (dependencies_point_inwards, "src/store/mod.rs", "use crate::connector::api::Page;"),
        (dependencies_point_inwards, "src/connector/list.rs", "fn f() { crate::store::open() }"),
        (dependencies_point_inwards, "src/tallyfy/read.rs", "use crate::{core, store::{Link, Mirror}};"),
        (dependencies_point_inwards, "src/cli/status.rs", "use crate::store::S; use crate::connector::C;"),
        (dependencies_point_inwards, "src/ports.rs", "use crate::core::value::Value;"),
        (the_core_is_pure, "src/core/plan.rs", "use std::fs::File;"),
        (the_core_is_pure, "src/core/plan.rs", "fn f() { tracing::info!(\"x\") }"),
        (sql_stands_in_the_store, "src/engine/poll.rs", "let q = \"DELETE FROM mirror\";"),
        (sql_stands_in_the_store, "src/cli/links.rs", "let q = \"SELECT id\n FROM link \";"),
        (sql_stands_in_the_store, "src/engine/poll.rs", "use rusqlite::Connection;"),
        (time_and_chance_come_through_ports, "src/engine/poll.rs", "let t = jiff::Timestamp::now();"),
        (time_and_chance_come_through_ports, "src/store/mod.rs", "let t = std::time::Instant::now();"),
        (time_and_chance_come_through_ports, "src/connector/oauth1.rs", "use aws_lc_rs::rand::fill;"),
        (time_and_chance_come_through_ports, "src/connector/jwt.rs", "let t = jiff::Timestamp::now();"),
        (twins_know_nothing_of_tallysync, "twins/src/lib.rs", "use tallysync::core;"),
        (the_file_says_what_it_is, "src/core/plan.rs", "use std::fmt;"),
    ];
    for (rule, path, text) in guilty {
        let findings = rule(&SourceFile::new(path, text));
        let first = findings.first().unwrap_or_else(|| panic!("nothing found in {path}: {text}"));
        assert!(first.starts_with(&format!("{path}:1: ")), "{first}");
    }
    let long = format!("//! Long.\n{}", "// x\n".repeat(MOST_LINES));
    assert_eq!(the_file_says_what_it_is(&SourceFile::new("src/core/plan.rs", &long)).len(), 1);
}

#[test]
fn the_rules_leave_the_innocent_alone() {
    let innocent: [(Rule, &str, &str); 9] = [
        (dependencies_point_inwards, "src/core/merge.rs", "use crate::core::value::Value; // crate::store"),
        (
            dependencies_point_inwards,
            "src/core/merge.rs",
            "use super::spec::Rule; use crate::core::{lens, store_key};",
        ),
        (dependencies_point_inwards, "src/engine/apply.rs", "use crate::{connector::api, store};"),
        (dependencies_point_inwards, "src/cli/status.rs", "use crate::store::Status;"),
        (sql_stands_in_the_store, "src/connector/soql.rs", "let q = \"SELECT Id FROM Account \";"),
        (
            sql_stands_in_the_store,
            "src/engine/poll.rs",
            "//! SELECT a FROM b\nlet m = \"select a record from the list\";",
        ),
        (time_and_chance_come_through_ports, "src/engine/poll.rs", "let t = clock.now();"),
        (time_and_chance_come_through_ports, "src/connector/jwt.rs", "use aws_lc_rs::rand::SystemRandom;"),
        (the_core_is_pure, "src/core/x.rs", "#[cfg(test)]\nmod tests {\n use std::fs;\n}"),
    ];
    for (rule, path, text) in innocent {
        assert_eq!(rule(&SourceFile::new(path, text)), Vec::<String>::new(), "{text}");
    }
}
