//! The shipped systemd units: shut as far as they can be, and the same for one instance as for many.
//!
//! Judged by systemd's own tools, offline; no unit is started.

use std::process::Command;

use crate::support::{read_repository_file, repository};

const UNITS: [&str; 2] = ["systemd/tallysync.service", "systemd/tallysync@.service"];
/// Ten times the exposure that `systemd-analyze security` may find: 2.0.
const MOST_EXPOSURE: &str = "20";

fn analyse(arguments: &[&str], unit: &str) -> std::process::Output {
    Command::new("systemd-analyze").args(arguments).arg(repository().join(unit)).output().unwrap_or_else(
        |error| {
            panic!(
                "cannot run systemd-analyze ({error}), which judges the shipped units; install it \
                 (Debian: apt-get install systemd)"
            )
        },
    )
}

/// The lines that say something, without comments.
fn settings(unit: &str) -> Vec<String> {
    let text = read_repository_file(unit);
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_units_expose_little() {
    for unit in UNITS {
        let judged =
            analyse(&["security", "--offline=true", "--no-pager", "--threshold", MOST_EXPOSURE], unit);
        let text = String::from_utf8_lossy(&judged.stdout);
        assert!(text.contains("Overall exposure level"), "systemd-analyze judged nothing: {judged:?}");
        assert!(judged.status.success(), "{unit} is exposed more than 2.0:\n{text}");
    }
}

#[test]
fn the_units_hold_only_what_systemd_knows() {
    for unit in UNITS {
        let checked = analyse(&["verify", "--man=no"], unit);
        let complaints = String::from_utf8_lossy(&checked.stderr).into_owned();
        let unknown: Vec<&str> = complaints
            .lines()
            .filter(|line| {
                line.contains("tallysync") && (line.contains("Unknown") || line.contains("Failed"))
            })
            .collect();
        assert!(unknown.is_empty(), "{unit}: {unknown:?}");
    }
}

#[test]
fn an_instance_differs_from_the_single_service_in_its_names_alone() {
    let single = settings(UNITS[0]);
    let instance: Vec<String> = settings(UNITS[1])
        .into_iter()
        .map(|line| line.replace("/etc/tallysync/%i.toml", "/etc/tallysync/sync.toml"))
        .map(|line| line.replace("tallysync/%i", "tallysync").replace("tallysync for %i", "tallysync"))
        .collect();
    assert_eq!(single, instance);
}

#[test]
fn the_service_tells_systemd_that_it_lives() {
    let service = settings(UNITS[0]);
    let wanted = [
        "Type=notify",
        "Restart=on-failure",
        "DynamicUser=yes",
        "StateDirectory=tallysync",
        "ConfigurationDirectory=tallysync",
        "ExecStart=/usr/bin/tallysync --config /etc/tallysync/sync.toml run",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ];
    for line in wanted {
        assert!(service.iter().any(|setting| setting == line), "tallysync.service has no `{line}`");
    }
    assert!(service.iter().any(|setting| setting.starts_with("WatchdogSec=")), "no watchdog");
}
