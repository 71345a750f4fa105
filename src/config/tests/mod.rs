//! Tests of the loader: what a good config becomes, what each bad one is told, layers, secrets, meaning.

mod bad;
mod bad_rules;
mod good;
mod layering;
mod meanings;
mod secrets;

use std::path::Path;

use super::load_text;
use super::model::Config;
use super::problem::Problems;

/// A small config without a problem; tests change it by `replace`.
const GOOD: &str = r#"[systems.tallyfy]
connector = "tallyfy"
organization = "0123456789abcdef0123456789abcdef"
auth = { kind = "token", token = { env = "TALLYFY_TOKEN" } }

[systems.erp]
connector = "netsuite"
vars = { account = "1234567", private_key = { file = "ns.pem" } }

[[sync]]
name = "orders"
[sync.sides.erp]
entity = "salesOrder"
[sync.sides.tallyfy]
entity = "runs"
template = "Order approval"
create = ["erp"]
marker = "kickoff.sync-id"
[sync.fields.order_no]
key = true
erp = "tranId"
tallyfy = "kickoff.order-number"
[sync.fields.amount]
type = "decimal(2)"
erp = "total"
tallyfy = "kickoff.amount"
"#;

fn load(text: &str) -> Result<Config, Problems> {
    load_text(Path::new("sync.toml"), text, std::iter::empty(), &[])
}

fn load_with(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Problems> {
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let flags: Vec<(String, String)> =
        flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    load_text(Path::new("sync.toml"), text, env.into_iter(), &flags)
}

/// The good config with one stretch replaced; the stretch must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the test replaces {from:?}, which is not in the good config");
    GOOD.replacen(from, to, 1)
}

/// The first line of each problem.
fn told(text: &str) -> Vec<String> {
    match load(text) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems
            .iter()
            .map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned())
            .collect(),
    }
}
