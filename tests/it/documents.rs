//! The documents keep pace with the repository: links lead somewhere, and the README says what CI does.
//!
//! It judges no prose.

use std::path::{Path, PathBuf};
use std::process::Command;

use regex_lite::Regex;

use crate::support::{read_repository_file, repository};

/// Every Markdown file that git knows or would take.
fn documents() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"])
        .current_dir(repository())
        .output();
    // A source archive has no git: the documents that matter are still where they always are.
    let from_git = listed.ok().filter(|output| output.status.success());
    let text =
        from_git.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let found: Vec<String> = text.lines().map(str::to_owned).collect();
    if found.is_empty() { ["README.md", "docs/operations.md"].map(str::to_owned).to_vec() } else { found }
}

/// Relative link targets of a document with their lines, code blocks left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("the pattern is valid");
    let mut in_code = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let targets = link.captures_iter(line).filter_map(|capture| capture.get(1));
            found.extend(targets.map(|target| (index + 1, target.as_str().to_owned())));
        }
    }
    found.retain(|(_, target)| !target.contains("://") && !target.starts_with('#'));
    found
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for document in documents() {
        let folder: PathBuf = Path::new(&document).parent().map(Path::to_owned).unwrap_or_default();
        for (line, target) in links(&read_repository_file(&document)) {
            followed += 1;
            let path = target.split('#').next().unwrap_or(&target);
            if !repository().join(&folder).join(path).exists() {
                broken.push(format!("{document}:{line}: the link to {target} leads nowhere"));
            }
        }
    }
    assert!(followed > 0, "the README links to nothing");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn broken_links_would_be_seen() {
    let text = "[a](docs/a.md) [b](https://b.example) [c](#c)\n```\n[d](d.md)\n```\n[e](e.md#part)";
    assert_eq!(links(text), [(1, "docs/a.md".to_owned()), (5, "e.md#part".to_owned())]);
}

#[test]
fn ci_runs_the_test_command_of_the_readme_with_the_packages_of_the_readme() {
    let readme = read_repository_file("README.md");
    let script = read_repository_file(".ci/run");
    assert!(
        readme.lines().any(|line| line.starts_with("cargo test --workspace ")),
        "the README has no test command"
    );
    assert!(script.lines().any(|line| line == "cargo test --workspace"), ".ci/run does not run it");
    let packages = Regex::new(r"(?m)^apt-get install ([^#\n]+)").expect("the pattern is valid");
    let promised: Vec<String> = packages
        .captures_iter(&readme)
        .flat_map(|capture| capture[1].split_whitespace().map(str::to_owned).collect::<Vec<String>>())
        .collect();
    assert!(!promised.is_empty(), "the README names no packages");
    for package in promised {
        assert!(script.contains(&package), ".ci/run does not install {package}, which the README asks for");
    }
}

/// The `sqlite3` commands of a document, as an operator would type them, on a state file of this schema.
fn sqlite_commands_run(document: &str) -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let state = folder.path().join("state.db");
    let mut made = Command::new("sqlite3");
    made.arg(&state).arg(format!(".read {}", repository().join("schema.sql").display()));
    run_sqlite(&mut made, "the schema");
    let commands =
        Regex::new(r#"(?m)^sqlite3 (?:-box )?[\w./-]+\.db "([^"]+)""#).expect("the pattern is valid");
    let text = read_repository_file(document);
    let mut count = 0;
    for command in commands.captures_iter(&text) {
        let statement = command[1].replace("/var/backups/", &format!("{}/{count}-", folder.path().display()));
        run_sqlite(Command::new("sqlite3").arg("-box").arg(&state).arg(&statement), &statement);
        count += 1;
    }
    count
}

fn run_sqlite(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "cannot run sqlite3 ({error}), with which people look into the state file; install it \
                (Debian: apt-get install sqlite3)"
        )
    });
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && problem.is_empty(), "sqlite3 refuses {what}: {problem}");
}

#[test]
fn what_the_documents_type_into_sqlite3_works() {
    assert!(sqlite_commands_run("README.md") >= 7, "the README asks every view");
    assert!(sqlite_commands_run("docs/operations.md") >= 3, "backup by hand is shown");
}

#[test]
fn every_view_of_the_schema_is_in_the_readme() {
    let schema = read_repository_file("schema.sql");
    let readme = read_repository_file("README.md");
    let views = Regex::new(r"(?m)^CREATE VIEW (\w+)").expect("the pattern is valid");
    let named: Vec<String> = views.captures_iter(&schema).map(|capture| capture[1].to_owned()).collect();
    assert!(!named.is_empty(), "the schema has no views");
    for view in named {
        assert!(readme.contains(&format!("| `{view}` |")), "the README does not say what a row of {view} is");
    }
}

#[test]
fn the_readme_states_the_version_of_rust_that_the_manifest_asks_for() {
    let manifest = read_repository_file("Cargo.toml");
    let version = Regex::new(r#"(?m)^rust-version = "([^"]+)""#)
        .expect("the pattern is valid")
        .captures(&manifest)
        .map(|capture| capture[1].to_owned())
        .expect("the manifest states a Rust version");
    assert!(read_repository_file("README.md").contains(&format!("Rust {version} or newer")), "not {version}");
}
