//! What good configs become: the shipped example, the starters, defaults, order, exact values.

use std::time::Duration;

use rust_decimal::Decimal;

use super::*;
use crate::config::starter;
use crate::core::spec::{First, GuardSpec, OnDelete, OnLeave, OnUncertain, Rule};
use crate::core::value::{FieldType, Value};

const SHIPPED: &str = include_str!("../../../sync.toml");

#[test]
fn the_shipped_example_loads_without_a_remark() {
    let config = load(SHIPPED).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let sync = &config.syncs[0];
    let sides: Vec<&str> = sync.sides.iter().map(|side| side.name.as_str()).collect();
    assert_eq!(sides, ["erp", "tallyfy", "crm"]);
    let fields: Vec<&str> = sync.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(fields, ["order_no", "amount", "ship_date", "memo", "approval"]);
    assert_eq!(sync.sides[1].create_for, [0]);
    assert_eq!(sync.sides[1].on_delete, OnDelete::Archive);
    assert_eq!(sync.fields[1].kind, FieldType::Decimal(2));
    assert_eq!(sync.fields[1].owner, Some(0));
    assert_eq!(sync.units[2].rule, Rule::Prefer(vec![0, 2]));
    assert_eq!(sync.units[3].rule, Rule::Ask);
    assert_eq!(sync.scope.as_deref(), Some("amount >= 10000"));
    assert_eq!(sync.guard, GuardSpec::default());
    let approval = sync.fields[4].lenses[1].as_ref().unwrap();
    assert_eq!(
        approval.values,
        [
            (serde_json::json!(true), Value::text("approved")),
            (serde_json::json!(false), Value::text("rejected")),
        ]
    );
}

#[test]
fn every_starter_loads() {
    let all = ["netsuite", "odoo", "business_central", "erpnext"];
    for erp in all {
        for crm in ["salesforce", "hubspot", "dynamics", "homemade"] {
            let text = starter(&[erp, crm]);
            let config =
                load(&text).unwrap_or_else(|problems| panic!("{erp} and {crm}:\n{problems}\n{text}"));
            assert_eq!(config.syncs[0].sides.len(), 3);
            assert_eq!(config.syncs[0].sides[2].create_for, [0]);
            assert_eq!(config.warnings, Vec::<String>::new(), "{erp} and {crm}");
        }
    }
    assert_eq!(load(&starter(&["netsuite", "odoo"])).unwrap().systems.len(), 3);
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = load(GOOD).unwrap();
    assert_eq!(config.daemon.listen, "127.0.0.1:8710");
    assert_eq!(config.daemon.timezone, "UTC");
    assert!(config.state.path.is_absolute() && config.state.path.ends_with("state.db"));
    let sync = &config.syncs[0];
    assert_eq!(sync.settle, Duration::from_secs(10));
    assert_eq!(sync.on_leave, OnLeave::Freeze);
    assert_eq!(sync.first, First::Ask);
    let side = &sync.sides[0];
    assert_eq!((side.on_delete, side.on_uncertain), (OnDelete::Unlink, OnUncertain::Hold));
    assert_eq!(side.search_lag, Duration::from_secs(60));
    assert!(!side.archived_is_deleted && !side.reopen && side.create_for.is_empty());
}

#[test]
fn relative_paths_count_from_the_folder_of_the_file() {
    let text =
        format!("{GOOD}[state]\npath = \"data/s.db\"\nepoch = \"/var/epoch\"\n[connectors]\ndir = \"own\"\n");
    let config = load_text(Path::new("/etc/tallysync/sync.toml"), &text, std::iter::empty(), &[]).unwrap();
    assert_eq!(config.state.path, Path::new("/etc/tallysync/data/s.db"));
    assert_eq!(config.state.epoch.as_deref(), Some(Path::new("/var/epoch")));
    assert_eq!(config.connectors_dir.as_deref(), Some(Path::new("/etc/tallysync/own")));
}

#[test]
fn groups_become_units_and_the_syncs_rule_fills_in() {
    let text = GOOD
        .replace("name = \"orders\"", "name = \"orders\"\nconflict = { prefer = [\"erp\"] }\nfirst = { prefer = [\"tallyfy\", \"erp\"] }")
        .replace("type = \"decimal(2)\"", "type = \"decimal(2)\"\ngroup = \"money\"\nconflict = \"newest\"");
    let text = format!(
        "{text}[sync.fields.currency]\ngroup = \"money\"\nerp = \"currency\"\ntallyfy = \"kickoff.currency\"\n"
    );
    let sync = &load(&text).unwrap().syncs[0];
    assert_eq!(sync.first, First::Prefer(vec![1, 0]));
    let units: Vec<(&str, &[usize], &Rule)> =
        sync.units.iter().map(|unit| (unit.name.as_str(), unit.fields.as_slice(), &unit.rule)).collect();
    assert_eq!(
        units,
        [("order_no", [0].as_slice(), &Rule::Prefer(vec![0])), ("money", [1, 2].as_slice(), &Rule::Newest),]
    );
}

#[test]
fn values_of_an_order_have_the_fields_type_and_every_digit() {
    let text =
        changed("erp = \"total\"", "conflict = { furthest = [0.10, 12345678901234567.89] }\nerp = \"total\"");
    let sync = &load(&text).unwrap().syncs[0];
    let number = |text: &str| Value::number(text.parse::<Decimal>().unwrap());
    assert_eq!(sync.units[1].rule, Rule::Furthest(vec![number("0.1"), number("12345678901234567.89")]));
}

#[test]
fn a_quoted_key_of_a_value_map_is_a_text_and_a_bare_one_what_it_says() {
    let text = changed(
        "erp = \"tranId\"",
        "erp = { path = \"s\", values = { 1 = \"one\", \"2\" = \"two\", false = \"no\", B = \"open\" } }",
    );
    let sync = &load(&text).unwrap().syncs[0];
    let raw: Vec<String> =
        sync.fields[0].lenses[0].as_ref().unwrap().values.iter().map(|(raw, _)| raw.to_string()).collect();
    assert_eq!(raw, ["1", "\"2\"", "false", "\"B\""]);
}

#[test]
fn defaults_may_nest_and_keep_their_type() {
    let text = changed(
        "create = [\"erp\"]",
        "create = [\"erp\"]\ndefaults = { name = \"x\", kickoff.size = 5, \"kickoff.on\" = true }",
    );
    let sync = &load(&text).unwrap().syncs[0];
    let expected = [("name", "x"), ("kickoff.size", "{{ 5 }}"), ("kickoff.on", "{{ true }}")];
    assert_eq!(sync.sides[1].defaults, expected.map(|(path, source)| (path.to_owned(), source.to_owned())));
}

#[test]
fn remarks_name_the_consequence() {
    let remarks = |text: &str| load(text).unwrap().warnings;
    assert_eq!(
        remarks(&changed("marker = \"kickoff.sync-id\"\n", "")),
        [
            "sync.toml:17: sync \"orders\": side tallyfy launches processes but has no marker: without one no process is launched, because a launch whose answer is lost could not be found again",
        ]
    );
    assert_eq!(
        remarks(&changed(
            "create = [\"erp\"]\nmarker = \"kickoff.sync-id\"\n[sync.fields.order_no]\nkey = true\n",
            "[sync.fields.order_no]\n"
        )),
        ["sync.toml:11: sync \"orders\": no field has key = true: records are never matched with each other",]
    );
    assert_eq!(
        remarks(&changed("erp = \"total\"\n", "")),
        [
            "sync.toml:23: sync \"orders\": fields.amount stands on one side only and no where or defaults uses it: it does nothing",
        ]
    );
    assert_eq!(
        remarks(
            &changed("erp = \"total\"\n", "")
                .replace("name = \"orders\"", "name = \"orders\"\nwhere = \"amount > 5\"")
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        remarks(&changed(
            "tallyfy = \"kickoff.amount\"",
            "owner = \"tallyfy\"\ntallyfy = { path = \"status\", read = \"value\" }"
        )),
        Vec::<String>::new()
    );
}

#[test]
fn durations_read_and_write() {
    use crate::config::{duration, duration_text};
    for (text, seconds) in [("10s", 10), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("0s", 0), ("90s", 90)] {
        assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        assert_eq!(duration_text(Duration::from_secs(seconds)), text);
    }
    for text in ["", "10", "s", "1w", "-1s", "1.5h", "99999999999999999999d", "10 s"] {
        assert_eq!(duration(text), None, "{text}");
    }
}
