//! A table of bad configs with the exact words that each is told.

use super::*;

/// (what is replaced, by what, what is told).
pub(super) type Case = (&'static str, &'static str, &'static [&'static str]);

pub(super) fn check(cases: &[Case]) {
    let mut wrong = String::new();
    for (from, to, expected) in cases {
        let found = told(&changed(from, to));
        if found != *expected {
            wrong.push_str(&format!(
                "\n{from:?} -> {to:?}\n  told:     {found:#?}\n  expected: {expected:#?}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_good_config_is_good() {
    assert_eq!(told(GOOD), Vec::<String>::new());
}

#[test]
fn a_problem_shows_its_line_with_a_caret() {
    let error = load(&changed("type = \"decimal(2)\"", "typ  = \"decimal(2)\"")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sync.toml:24: sync \"orders\": unknown key \"typ\" under fields.amount; did you mean \"type\"?\n \
         24 | typ  = \"decimal(2)\"\n    | ^^^\n\
         1 problem in the config; nothing was started"
    );
    assert_eq!((error.0[0].line, error.0[0].column), (24, 1));
    assert_eq!(error.0[0].key, "fields.amount.typ");
}

const NAMES_AND_TYPES: &[Case] = &[
    (
        "[[sync]]",
        "[daemn]\nlisten = \"\"\n[[sync]]",
        &["sync.toml:10: unknown section \"daemn\"; did you mean \"daemon\"?"],
    ),
    (
        "[[sync]]",
        "[state]\npth = \"x\"\n[[sync]]",
        &["sync.toml:11: [state]: unknown key \"pth\"; did you mean \"path\"?"],
    ),
    (
        "[[sync]]",
        "[daemon]\nlisten = 8710\n[[sync]]",
        &["sync.toml:11: [daemon]: listen must be a text, not an integer"],
    ),
    (
        "name = \"orders\"",
        "name = \"orders\"\nscedule = \"* * * * *\"",
        &["sync.toml:12: sync \"orders\": unknown key \"scedule\"; did you mean \"schedule\"?"],
    ),
    (
        "key = true",
        "key = \"yes\"",
        &["sync.toml:20: sync \"orders\": fields.order_no.key must be true or false, not a text"],
    ),
    (
        "connector = \"netsuite\"",
        "conector = \"netsuite\"",
        &[
            "sync.toml:6: system \"erp\": connector is missing: \"tallyfy\", or the id of a connector definition",
            "sync.toml:7: system \"erp\": unknown key \"conector\"; did you mean \"connector\"?",
        ],
    ),
    (
        "erp = \"total\"",
        "erp = 5",
        &[
            "sync.toml:25: sync \"orders\": fields.amount.erp must be a path or a table with path, not an integer",
        ],
    ),
    (
        "name = \"orders\"",
        "name = \"orders\"\nsettle = \"10 min\"",
        &[
            "sync.toml:12: sync \"orders\": settle must be a duration such as \"10s\", \"5m\", \"1h\" or \"2d\", not \"10 min\"",
        ],
    ),
    (
        "name = \"orders\"",
        "name = \"orders\"\non_leave = \"freez\"",
        &[
            "sync.toml:12: sync \"orders\": on_leave is \"freez\", which is none of \"freeze\", \"unlink\", \"delete\"; did you mean \"freeze\"?",
        ],
    ),
    ("[[sync]]\n", "[sync]\n", &["sync.toml:10: sync must be written with two brackets: [[sync]]"]),
];

#[test]
fn unknown_names_and_wrong_types() {
    check(NAMES_AND_TYPES);
}

#[test]
fn later_sections_are_refused_by_name() {
    let flow = format!(
        "{GOOD}\n[[flow]]\nname = \"escalate\"\n[[export]]\nname = \"times\"\nfrom = \"tallyfy.runs\"\n"
    );
    assert_eq!(
        told(&flow),
        [
            "sync.toml:28: flow \"escalate\": this version does not run flows; take [[flow]] \"escalate\" out of the file",
            "sync.toml:30: export \"times\": this version does not run exports; take [[export]] \"times\" out of the file",
        ]
    );
}

const SYSTEMS: &[Case] = &[
    (
        "connector = \"netsuite\"",
        "connector = \"netsuite\"\nbase_url = \"http://erp.corp.example\"",
        &[
            "sync.toml:8: system \"erp\": base_url must be https:// (plain http:// only for this machine, which erp.corp.example is not)",
        ],
    ),
    (
        "connector = \"netsuite\"",
        "connector = \"netsuite\"\nbase_url = \"erp\"",
        &["sync.toml:8: system \"erp\": base_url is no address: relative URL without a base"],
    ),
    (
        "connector = \"netsuite\"",
        "connector = \"netsuite\"\nbase_url = \"ftp://erp\"",
        &["sync.toml:8: system \"erp\": base_url must begin with https://"],
    ),
    (
        "connector = \"netsuite\"",
        "connector = \"netsuite\"\nbudget = { per_minute = 0 }",
        &[
            "sync.toml:8: system \"erp\": budget.per_minute must be a whole number from 1 to 4294967295, not 0",
        ],
    ),
    (
        "connector = \"netsuite\"",
        "connector = \"netsuite\"\napi = \"v1\"",
        &["sync.toml:8: system \"erp\": api belongs to systems with connector = \"tallyfy\""],
    ),
    (
        "organization = \"0123456789abcdef0123456789abcdef\"\n",
        "",
        &["sync.toml:1: system \"tallyfy\": organization is missing: the id of the Tallyfy organisation"],
    ),
    (
        "[[sync]]",
        "[daemon]\ntimezone = \"Europe/Berln\"\n[[sync]]",
        &[
            "sync.toml:11: [daemon]: timezone \"Europe/Berln\" is not known; write an IANA name such as \"Europe/Berlin\"",
        ],
    ),
    (
        "[[sync]]",
        "[daemon]\nlisten = \"8710\"\n[[sync]]",
        &[
            "sync.toml:11: [daemon]: listen must be an address and a port such as \"127.0.0.1:8710\", not \"8710\"",
        ],
    ),
];

#[test]
fn systems_and_daemon() {
    check(SYSTEMS);
    for host in ["http://localhost:80/api", "http://127.0.0.2", "http://[::1]:9"] {
        let text =
            changed("connector = \"netsuite\"", &format!("connector = \"netsuite\"\nbase_url = \"{host}\""));
        assert_eq!(told(&text), Vec::<String>::new(), "{host}");
    }
}

const SIDES: &[Case] = &[
    (
        "[sync.sides.erp]\nentity",
        "[sync.sides.erp]\nsystem = \"er\"\nentity",
        &["sync.toml:13: sync \"orders\": side erp: there is no system \"er\"; did you mean \"erp\"?"],
    ),
    (
        "entity = \"salesOrder\"\n",
        "",
        &[
            "sync.toml:12: sync \"orders\": sides.erp.entity is missing: the kind of record, by the vendor's name",
        ],
    ),
    (
        "template = \"Order approval\"\n",
        "",
        &[
            "sync.toml:14: sync \"orders\": sides.tallyfy.template is missing: the title, alias or id of the template whose runs take part",
        ],
    ),
    (
        "create = [\"erp\"]",
        "create = [\"epr\"]",
        &[
            "sync.toml:17: sync \"orders\": sides.tallyfy.create: there is no side \"epr\"; did you mean \"erp\"?",
        ],
    ),
    (
        "create = [\"erp\"]",
        "create = [\"tallyfy\"]",
        &["sync.toml:17: sync \"orders\": sides.tallyfy.create names the side itself"],
    ),
    (
        "create = [\"erp\"]",
        "create = \"erp\"",
        &[
            "sync.toml:17: sync \"orders\": sides.tallyfy.create must be true, false or a list of sides, not a text",
        ],
    ),
    (
        "marker = \"kickoff.sync-id\"",
        "marker = \"kickoff.amount\"",
        &[
            "sync.toml:18: sync \"orders\": sides.tallyfy.marker: \"kickoff.amount\" is also the path of fields.amount: the sync would write over the mark",
        ],
    ),
    (
        "key = true\n",
        "",
        &[
            "sync.toml:17: sync \"orders\": side tallyfy creates records, but no field has key = true: what exists already could not be recognised",
        ],
    ),
    (
        "template = \"Order approval\"",
        "template = \"Order approval\"\nblueprint = \"x\"",
        &["sync.toml:17: sync \"orders\": template and blueprint are two words for the same thing: keep one"],
    ),
    (
        "create = [\"erp\"]",
        "create = [\"erp\"]\ndefaults = { name = \"Order {{ ordr_no }}\" }",
        &[
            "sync.toml:18: sync \"orders\": sides.tallyfy.defaults.name uses \"ordr_no\", which is no field of this sync; did you mean \"order_no\"?",
        ],
    ),
];

#[test]
fn sides() {
    check(SIDES);
    let option = GOOD
        .replace("sides.erp]", "sides.owner]\nsystem = \"erp\"")
        .replace("erp = \"t", "owner = \"t")
        .replace("[\"erp\"]", "true");
    let first = told(&option).into_iter().next().unwrap();
    assert_eq!(
        first,
        "sync.toml:12: sync \"orders\": a side cannot be called \"owner\": the word means something in a field; call it otherwise and write system = \"owner\""
    );
    let one = "[systems.erp]\nconnector = \"odoo\"\n[[sync]]\nname = \"a\"\n[sync.sides.erp]\nentity = \"x\"\n[sync.fields.f]\nerp = \"f\"\n";
    assert_eq!(told(one), ["sync.toml:5: sync \"a\": a sync needs at least two sides, this one has 1"]);
}

const FIELDS: &[Case] = &[
    (
        "erp = \"total\"",
        "erp = \"total\"\nsalesforce = \"Amount\"",
        &[
            "sync.toml:26: sync \"orders\": unknown key \"salesforce\" under fields.amount; the sides are \"erp\" and \"tallyfy\"",
        ],
    ),
    (
        "type = \"decimal(2)\"",
        "owner = \"crm\"",
        &[
            "sync.toml:24: sync \"orders\": fields.amount.owner: there is no side \"crm\"; the sides are \"erp\" and \"tallyfy\"",
        ],
    ),
    (
        "erp = \"total\"",
        "owner = \"erp\"",
        &[
            "sync.toml:25: sync \"orders\": fields.amount.owner: side \"erp\" owns the field but has no path for it",
        ],
    ),
    (
        "erp = \"tranId\"\n",
        "",
        &[
            "sync.toml:19: sync \"orders\": fields.order_no is a key but stands on fewer than two sides: nothing could match by it",
        ],
    ),
    (
        "tallyfy = \"kickoff.amount\"",
        "tallyfy = \"status\"",
        &[
            "sync.toml:26: sync \"orders\": fields.amount.tallyfy: \"status\" is read-only in Tallyfy; say owner = \"tallyfy\", so that no other side's change has to go there",
        ],
    ),
    (
        "tallyfy = \"kickoff.amount\"",
        "owner = \"erp\"\ntallyfy = \"tasks.review.completed_at\"",
        &[
            "sync.toml:27: sync \"orders\": fields.amount.tallyfy: \"tasks.review.completed_at\" is read-only in Tallyfy; say owner = \"tallyfy\", so that no other side's change has to go there",
        ],
    ),
    (
        "erp = \"total\"",
        "erp = { values = { A = \"1\" } }",
        &[
            "sync.toml:25: sync \"orders\": fields.amount.erp needs a path: only a side that is read by an expression can do without",
        ],
    ),
    (
        "erp = \"total\"",
        "erp = \"total\"\nnormalise = [\"trim\"]",
        &[
            "sync.toml:26: sync \"orders\": fields.amount.normalise works on text, set and list, and this field is decimal(2)",
        ],
    ),
    (
        "key = true",
        "key = true\nnormalise = [\"trm\"]",
        &[
            "sync.toml:21: sync \"orders\": fields.order_no.normalise: there is no step \"trm\"; did you mean \"trim\"?",
        ],
    ),
    (
        "erp = \"total\"",
        "erp = \"total\"\ntoo_long = \"truncate\"",
        &[
            "sync.toml:26: sync \"orders\": fields.amount.too_long: only a text can be truncated, and this field is decimal(2)",
        ],
    ),
    (
        "[sync.fields.amount]",
        "[sync.fields.amount-net]",
        &[
            "sync.toml:23: sync \"orders\": the field name \"amount-net\" cannot be used in expressions; letters, digits and _ only, not beginning with a digit, and not \"record\"",
        ],
    ),
    (
        "erp = \"total\"\ntallyfy = \"kickoff.amount\"\n",
        "",
        &[
            "sync.toml:23: sync \"orders\": fields.amount stands on no side; give it a path on \"erp\" and \"tallyfy\"",
        ],
    ),
    (
        "name = \"orders\"",
        "name = \"orders\"\nwhere = \"amout > 5\"",
        &[
            "sync.toml:12: sync \"orders\": where uses \"amout\", which is no field of this sync; did you mean \"amount\"?",
        ],
    ),
];

#[test]
fn fields() {
    check(FIELDS);
    let mut typed = told(&changed("decimal(2)", "decimel(2)"));
    assert!(typed.pop().unwrap().starts_with("sync.toml:24: sync \"orders\": fields.amount.type: "));
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("connector = \"netsuite\"", "connector = \"netsuite\"\nbase_url = \"http://x.example\"")
        .replace("create = [\"erp\"]", "create = [\"epr\"]\non_delet = \"archive\"")
        .replace("key = true", "key = 1")
        .replace("type = \"decimal(2)\"", "typ = \"decimal(2)\"");
    assert_eq!(
        told(&text),
        [
            "sync.toml:8: system \"erp\": base_url must be https:// (plain http:// only for this machine, which x.example is not)",
            "sync.toml:18: sync \"orders\": sides.tallyfy.create: there is no side \"epr\"; did you mean \"erp\"?",
            "sync.toml:19: sync \"orders\": unknown key \"on_delet\" under sides.tallyfy; did you mean \"on_delete\"?",
            "sync.toml:22: sync \"orders\": fields.order_no.key must be true or false, not an integer",
            "sync.toml:26: sync \"orders\": unknown key \"typ\" under fields.amount; did you mean \"type\"?",
        ]
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    let told = told("[state]\npath = \"state.db\npath2 = 3\n");
    assert!(told[0].starts_with("sync.toml:2: this is not TOML: "), "{told:?}");
}

#[test]
fn a_missing_file_says_what_to_do() {
    let error =
        crate::config::load(Path::new("/nonexistent/sync.toml"), std::iter::empty(), &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("/nonexistent/sync.toml: cannot be read: "), "{text}");
    assert!(text.contains("tallysync init"), "{text}");
}
