//! Reads `[state]`, `[daemon]`, `[connectors]` and `[systems.NAME]`.
//!
//! Whether a connector exists and which vars it wants is the catalog's business, not this file's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::model::{AuthSpec, BudgetSpec, DaemonSpec, StateSpec, SystemSpec, VarValue};
use super::problem::{Origin, Report};
use super::reader::Section;
use super::secret::{ALWAYS_SECRET_IN_AUTH, has_user_information, read_value};
use super::text::{absolute, is_name};
use super::tree::{Entry, Node};

/// The id of the connector that is written in code.
pub const TALLYFY: &str = "tallyfy";
const SYSTEM_KEYS: [&str; 7] = ["connector", "base_url", "organization", "api", "auth", "vars", "budget"];

fn section<'n>(root: &'n Node, name: &str, report: &mut Report<'_>) -> Option<Section<'n>> {
    let entry = root.get(name)?;
    if entry.node.entries().is_none() {
        let message = format!("[{name}] must be a table, not {}", entry.node.kind_name());
        report.problem(&entry.node.origin, name, message);
        return None;
    }
    Some(Section::top(&entry.node, format!("[{name}]")))
}

/// `[state]`.
pub fn state(root: &Node, folder: &Path, report: &mut Report<'_>) -> StateSpec {
    let mut state = StateSpec { path: absolute(folder, "state.db"), epoch: None };
    if let Some(section) = section(root, "state", report) {
        section.only(report, ["path", "epoch"]);
        if let Some(path) = section.filled(report, "path") {
            state.path = absolute(folder, &path);
        }
        state.epoch = section.filled(report, "epoch").map(|path| absolute(folder, &path));
        if state.epoch.as_ref() == Some(&state.path) {
            let message = "epoch must be another file than path: it recognises an old state file";
            section.problem(report, &section.origin("epoch"), "epoch", message);
        }
    }
    state
}

/// `[daemon]`.
pub fn daemon(root: &Node, report: &mut Report<'_>) -> DaemonSpec {
    let mut daemon =
        DaemonSpec { listen: "127.0.0.1:8710".to_owned(), public_url: None, timezone: "UTC".to_owned() };
    let Some(section) = section(root, "daemon", report) else {
        return daemon;
    };
    section.only(report, ["listen", "public_url", "timezone"]);
    if let Some(listen) = section.text(report, "listen") {
        let port = listen.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if !listen.is_empty() && !matches!(port, Some((host, Ok(_))) if !host.is_empty()) {
            let message =
                format!("listen must be an address and a port such as \"127.0.0.1:8710\", not \"{listen}\"");
            section.problem(report, &section.origin("listen"), "listen", message);
        }
        if !listen.is_empty() && matches!(section.origin("listen"), Origin::File(_)) {
            report.warn(
                &section.origin("listen"),
                "this version does not listen on any address; [daemon] listen has no effect",
            );
        }
        daemon.listen = listen;
    }
    daemon.public_url = address(&section, "public_url", report);
    if let Some(zone) = section.filled(report, "timezone") {
        if jiff::tz::TimeZone::get(&zone).is_err() {
            let message =
                format!("timezone \"{zone}\" is not known; write an IANA name such as \"Europe/Berlin\"");
            section.problem(report, &section.origin("timezone"), "timezone", message);
        }
        daemon.timezone = zone;
    }
    daemon
}

/// `[connectors] dir`.
pub fn connectors(root: &Node, folder: &Path, report: &mut Report<'_>) -> Option<PathBuf> {
    let section = section(root, "connectors", report)?;
    section.only(report, ["dir"]);
    section.filled(report, "dir").map(|dir| absolute(folder, &dir))
}

/// `[systems.NAME]`.
pub fn systems(root: &Node, folder: &Path, report: &mut Report<'_>) -> BTreeMap<String, SystemSpec> {
    let mut systems = BTreeMap::new();
    let Some(all) = section(root, "systems", report) else {
        if root.get("systems").is_none() {
            report.problem(
                &Origin::Default,
                "systems",
                "no system is configured: write [systems.NAME] sections",
            );
        }
        return systems;
    };
    for entry in all.node.entries().unwrap_or_default() {
        if let Some(system) = system(entry, folder, report) {
            systems.insert(entry.key.clone(), system);
        }
    }
    systems
}

fn system(entry: &Entry, folder: &Path, report: &mut Report<'_>) -> Option<SystemSpec> {
    let name = &entry.key;
    let section = Section::top(&entry.node, format!("system \"{name}\""));
    if entry.node.entries().is_none() {
        let message = format!("must be a table, not {}", entry.node.kind_name());
        section.problem(report, &entry.node.origin, name, message);
        return None;
    }
    if !is_name(name) {
        let message = "its name may hold letters, digits, - and _ only";
        section.problem(report, &entry.origin, name, message);
    }
    section.only(report, SYSTEM_KEYS);
    let connector = section.filled(report, "connector");
    if connector.is_none() && entry.node.get("connector").is_none() {
        section.missing(report, "connector", "\"tallyfy\", or the id of a connector definition");
    }
    let system = SystemSpec {
        name: name.clone(),
        connector: connector.unwrap_or_default(),
        base_url: address(&section, "base_url", report),
        organization: section.filled(report, "organization"),
        api: section
            .word(report, "api", &[("organizations", "organizations"), ("v1", "v1")])
            .map(str::to_owned),
        auth: auth(&section, folder, report),
        vars: vars(&section, folder, report),
        budget: budget(&section, report),
    };
    tallyfy_keys(&section, &system, report);
    Some(system)
}

/// Keys that only Tallyfy has, and those it cannot do without.
fn tallyfy_keys(section: &Section<'_>, system: &SystemSpec, report: &mut Report<'_>) {
    if system.connector == TALLYFY {
        if section.node.get("organization").is_none() {
            section.missing(report, "organization", "the id of the Tallyfy organisation");
        }
        if section.node.get("auth").is_none() {
            let what = "for example { kind = \"token\", token = { credential = \"tallyfy-token\" } }";
            section.missing(report, "auth", what);
        }
        return;
    }
    for key in ["organization", "api"] {
        if let Some(entry) = section.node.get(key) {
            let message = format!("{key} belongs to systems with connector = \"tallyfy\"");
            section.problem(report, &entry.origin, key, message);
        }
    }
}

/// An address: `https://`, or `http://` for loopback hosts.
fn address(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = section.filled(report, key)?;
    let at = section.origin(key);
    if has_user_information(&text) {
        let message = format!("{key} holds a user or password; credentials belong in auth");
        section.problem(report, &at, key, message);
        return None;
    }
    let wrong = match reqwest::Url::parse(&text) {
        Ok(url) => match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => None,
            ("http", Some(host)) if is_loopback(host) => None,
            ("http", Some(host)) => Some(format!(
                "{key} must be https:// (plain http:// only for this machine, which {host} is not)"
            )),
            _ => Some(format!("{key} must begin with https://")),
        },
        Err(error) => Some(format!("{key} is no address: {error}")),
    };
    if let Some(message) = wrong {
        section.problem(report, &at, key, message);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn auth(section: &Section<'_>, folder: &Path, report: &mut Report<'_>) -> Option<AuthSpec> {
    let table = section.table(report, "auth")?;
    if table.node.get("kind").is_none() {
        table.missing(report, "kind", "\"token\", \"password\", \"refresh\", \"client_credentials\" ...");
    }
    let kind = table.filled(report, "kind").unwrap_or_default();
    let mut values = BTreeMap::new();
    for entry in table.node.entries().unwrap_or_default().iter().filter(|entry| entry.key != "kind") {
        if let Some(value) = read_value(&table, entry, &ALWAYS_SECRET_IN_AUTH, folder, report) {
            values.insert(entry.key.clone(), value);
        }
    }
    Some(AuthSpec { kind, values })
}

fn vars(section: &Section<'_>, folder: &Path, report: &mut Report<'_>) -> BTreeMap<String, VarValue> {
    let mut vars = BTreeMap::new();
    let Some(table) = section.table(report, "vars") else {
        return vars;
    };
    for entry in table.node.entries().unwrap_or_default() {
        if let Some(value) = read_value(&table, entry, &[], folder, report) {
            vars.insert(entry.key.clone(), value);
        }
    }
    vars
}

fn budget(section: &Section<'_>, report: &mut Report<'_>) -> BudgetSpec {
    let Some(table) = section.table(report, "budget") else {
        return BudgetSpec::default();
    };
    table.only(report, ["per_minute", "per_day", "max_in_flight"]);
    BudgetSpec {
        per_minute: table.whole(report, "per_minute", 1),
        per_day: table.whole(report, "per_day", 1),
        max_in_flight: table.whole(report, "max_in_flight", 1),
    }
}
