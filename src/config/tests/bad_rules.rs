//! The exact words for bad rules, groups, guards, and for syncs that do not go together.

use super::bad::{Case, check};
use super::*;

const RULES: &[Case] = &[
    (
        "erp = \"total\"",
        "conflict = \"union\"\nerp = \"total\"",
        &[
            "sync.toml:25: sync \"orders\": fields.amount.conflict: \"union\" needs a set, and amount is decimal(2)",
        ],
    ),
    (
        "key = true",
        "conflict = \"largest\"\nkey = true",
        &[
            "sync.toml:20: sync \"orders\": fields.order_no.conflict: \"largest\" needs an integer, a decimal, a date or a datetime, and order_no is text",
        ],
    ),
    (
        "key = true",
        "conflict = \"sum\"\nkey = true",
        &[
            "sync.toml:20: sync \"orders\": fields.order_no.conflict: \"sum\" needs an integer or a decimal, and order_no is text",
        ],
    ),
    (
        "key = true",
        "conflict = \"newst\"\nkey = true",
        &[
            "sync.toml:20: sync \"orders\": fields.order_no.conflict: there is no rule \"newst\"; did you mean \"newest\"?",
        ],
    ),
    (
        "key = true",
        "conflict = \"prefer\"\nkey = true",
        &[
            "sync.toml:20: sync \"orders\": fields.order_no.conflict: prefer needs its list: { prefer = [...] }",
        ],
    ),
    (
        "key = true",
        "conflict = { prefer = [\"crm\"] }\nkey = true",
        &[
            "sync.toml:20: sync \"orders\": fields.order_no.conflict.prefer: there is no side \"crm\"; the sides are \"erp\" and \"tallyfy\"",
        ],
    ),
    (
        "key = true",
        "conflict = { furthest = [\"new\"] }\nkey = true",
        &[
            "sync.toml:20: sync \"orders\": fields.order_no.conflict.furthest needs at least two values, in the order of progress",
        ],
    ),
    (
        "key = true",
        "conflict = { furthest = [\"new\", \"new\"] }\nkey = true",
        &["sync.toml:20: sync \"orders\": fields.order_no.conflict.furthest names \"new\" twice"],
    ),
    (
        "name = \"orders\"",
        "name = \"orders\"\nfirst = \"erp\"",
        &[
            "sync.toml:12: sync \"orders\": first must be \"ask\" or { prefer = [sides] }; the sides are \"erp\" and \"tallyfy\"",
        ],
    ),
    (
        "erp = \"total\"",
        "group = \"money\"\nconflict = \"newest\"\nerp = \"total\"\n[sync.fields.tax]\ngroup = \"money\"\nconflict = \"oldest\"\nerp = \"tax\"\ntallyfy = \"kickoff.tax\"\n[sync.fields.rest]\nerp = \"rest\"",
        &[
            "sync.toml:30: sync \"orders\": fields.tax.conflict is \"oldest\", but group \"money\" has \"newest\" already: a group has one rule",
        ],
    ),
    (
        "erp = \"total\"",
        "group = \"money\"\nowner = \"erp\"\nerp = \"total\"\n[sync.fields.tax]\ngroup = \"money\"\nerp = \"tax\"\ntallyfy = \"kickoff.tax\"\n[sync.fields.rest]\nerp = \"rest\"",
        &[
            "sync.toml:28: sync \"orders\": fields.tax is in group \"money\" with fields.amount, which has another owner: a group is decided as one",
        ],
    ),
];

#[test]
fn rules() {
    check(RULES);
}

#[test]
fn groups_that_no_rule_could_decide_as_one() {
    let group = |rule: &str| {
        let text =
            changed("erp = \"total\"", &format!("group = \"money\"\nconflict = {rule}\nerp = \"total\""));
        told(&format!(
            "{text}[sync.fields.tax]\ntype = \"decimal(2)\"\ngroup = \"money\"\nerp = \"tax\"\ntallyfy = \"kickoff.tax\"\n"
        ))
    };
    assert_eq!(group("\"newest\""), Vec::<String>::new());
    assert_eq!(group("{ prefer = [\"erp\"] }"), Vec::<String>::new());
    assert_eq!(
        group("\"largest\""),
        [
            "sync.toml:26: sync \"orders\": group \"money\" cannot be decided by \"largest\": that rule looks at one value, and would mix the sides",
        ]
    );
}

#[test]
fn schedules_are_read_when_the_config_is() {
    let schedule = |key: &str, text: &str| {
        told(&changed("name = \"orders\"", &format!("name = \"orders\"\n{key} = \"{text}\"")))
    };
    assert_eq!(
        schedule("sweep", "0 3 * *"),
        [
            "sync.toml:12: sync \"orders\": sweep: \"0 3 * *\" has 4 fields; a schedule has five: minute hour day month weekday",
        ]
    );
    assert_eq!(
        schedule("sweep", "0 3 30 2 *"),
        ["sync.toml:12: sync \"orders\": sweep: \"0 3 30 2 *\" names a day that never comes",]
    );
    let wrong = schedule("schedule", "61 * * * *");
    assert_eq!(wrong.len(), 1);
    assert!(
        wrong[0].starts_with("sync.toml:12: sync \"orders\": schedule: \"61 * * * *\" is not a schedule: "),
        "{wrong:?}"
    );
}

#[test]
fn expressions_are_compiled_when_the_config_is_read() {
    for (from, to, start) in [
        (
            "name = \"orders\"",
            "name = \"orders\"\nwhere = \"amount >\"",
            "sync.toml:12: sync \"orders\": where: ",
        ),
        (
            "erp = \"total\"",
            "erp = { read = \"record.a +\" }",
            "sync.toml:25: sync \"orders\": fields.amount.erp: ",
        ),
        (
            "erp = \"total\"",
            "erp = { path = \"total\", write = \"record.a\", read = \"value\" }",
            "sync.toml:25: sync \"orders\": fields.amount.erp: ",
        ),
        (
            "erp = \"total\"",
            "erp = { path = \"total\", values = { A = \"x\" } }",
            "sync.toml:25: sync \"orders\": fields.amount.erp: values: ",
        ),
        (
            "create = [\"erp\"]",
            "create = [\"erp\"]\ndefaults = { name = \"{{ order_no\" }",
            "sync.toml:18: sync \"orders\": sides.tallyfy.defaults.name: ",
        ),
    ] {
        let told = told(&changed(from, to));
        assert_eq!(told.len(), 1, "{to}: {told:?}");
        assert!(told[0].starts_with(start), "{told:?}");
    }
}

#[test]
fn a_file_without_systems_says_what_to_write() {
    assert_eq!(told(""), ["sync.toml: no system is configured: write [systems.NAME] sections"]);
}

#[test]
fn guards() {
    let guard = |text: &str| told(&format!("{GOOD}[sync.guard]\n{text}\n"));
    assert_eq!(
        guard("deletes = { sweep = 2 }"),
        [
            "sync.toml:28: sync \"orders\": unknown key \"sweep\" under guard.deletes; did you mean \"sweeps\"?"
        ]
    );
    assert_eq!(
        guard("deletes = { sweeps = 1 }"),
        [
            "sync.toml:28: sync \"orders\": guard.deletes.sweeps must be a whole number from 2 to 4294967295, not 1"
        ]
    );
    assert_eq!(
        guard("blanks = { percent = 101 }"),
        ["sync.toml:28: sync \"orders\": guard.blanks.percent must be from 0 to 100 percent, not 101"]
    );
    assert_eq!(
        guard("deletes = 5"),
        ["sync.toml:28: sync \"orders\": guard.deletes must be a table, not an integer"]
    );
    assert_eq!(guard("creates = { max = 5000, window = \"2h\" }"), Vec::<String>::new());
}

const TWO: &str = r#"
[[sync]]
name = "lines"
[sync.sides.erp]
entity = "line"
[sync.sides.tallyfy]
entity = "guests"
[sync.fields.number]
key = true
erp = "n"
tallyfy = "n"
[sync.fields.order]
type = "ref(orders)"
erp = "order"
tallyfy = "o"
"#;

#[test]
fn several_syncs() {
    let text = format!("{GOOD}{TWO}");
    let config = load(&text).unwrap();
    assert_eq!(crate::config::parents_first(&config.syncs), [0, 1]);
    let swapped: Vec<_> = config.syncs.iter().rev().cloned().collect();
    assert_eq!(crate::config::parents_first(&swapped), [1, 0]);

    assert_eq!(
        told(&text.replace("ref(orders)", "ref(order)")),
        [
            "sync.toml:38: sync \"lines\": fields.order.type is ref(order), and there is no sync \"order\"; did you mean \"orders\"?",
        ]
    );
    assert_eq!(
        told(&text.replace("ref(orders)", "ref(lines)")),
        [
            "sync.toml:29: sync \"lines\": its references run in a circle (lines -> lines): no record could be first",
        ]
    );
    let circle = text.replacen("type = \"decimal(2)\"", "type = \"ref(lines)\"", 1);
    assert_eq!(
        told(&circle),
        [
            "sync.toml:11: sync \"orders\": its references run in a circle (orders -> lines -> orders): no record could be first",
        ]
    );
    assert_eq!(
        told(&text.replace("name = \"lines\"", "name = \"orders\"").replace("ref(orders)", "text")),
        ["sync.toml:29: sync \"orders\": there is another sync of that name",]
    );
    let rival = text.replace(
        "entity = \"guests\"",
        "entity = \"runs\"\ntemplate = \"Order approval\"\ncreate = true\nmarker = \"kickoff.m\"",
    );
    assert_eq!(
        told(&rival),
        [
            "sync.toml:35: sync \"lines\": side tallyfy creates runs of template \"Order approval\" in tallyfy, and so does side tallyfy of sync \"orders\": each would make its own",
        ]
    );
}
