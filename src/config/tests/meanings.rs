//! What counts as a change of meaning (P9) and what does not.

use super::*;
use crate::config::needs_acceptance;

fn changes(from: &str, to: &str) -> Vec<String> {
    let guarded = format!(
        "{GOOD}[sync.guard]\ndeletes = {{ sweeps = 3, max = 10, window = \"24h\" }}\nupdates = {{ percent = 30 }}\n"
    );
    assert!(guarded.contains(from), "{from}");
    let old = load(&guarded).unwrap().meanings.remove(0);
    let new = load(&guarded.replacen(from, to, 1)).unwrap().meanings.remove(0);
    needs_acceptance(&old, &new)
}

#[test]
fn mapping_policy_host_and_tenant_count() {
    assert_eq!(changes("erp = \"total\"", "erp = \"net\""), ["fields.amount.erp: total -> net"]);
    assert_eq!(changes("decimal(2)", "decimal(3)"), ["fields.amount.type: decimal(2) -> decimal(3)"]);
    assert_eq!(changes("salesOrder", "invoice"), ["sides.erp.entity: salesOrder -> invoice"]);
    assert_eq!(
        changes("account = \"1234567\"", "account = \"7\""),
        ["systems.erp.vars.account: 1234567 -> 7"]
    );
    assert_eq!(changes("create = [\"erp\"]\n", ""), ["sides.tallyfy.create: for erp -> never"]);
    assert_eq!(
        changes("key = true", "key = true\nconflict = { prefer = [\"erp\"] }"),
        ["fields.order_no.conflict: ask -> prefer erp"]
    );
    assert_eq!(
        changes("name = \"orders\"", "name = \"orders\"\nwhere = \"amount > 5\""),
        ["where: every record -> amount > 5"]
    );
    assert_eq!(
        changes("[[sync]]", "[daemon]\ntimezone = \"Europe/Berlin\"\n[[sync]]"),
        ["daemon.timezone: UTC -> Europe/Berlin"]
    );
    assert_eq!(
        changes("connector = \"netsuite\"", "connector = \"netsuite\"\nbase_url = \"https://sb.example\""),
        ["systems.erp.base_url: (not there) -> https://sb.example"]
    );
    assert_eq!(
        changes("create = [\"erp\"]", "create = [\"erp\"]\non_delete = \"delete\""),
        ["sides.tallyfy.on_delete: unlink -> delete"]
    );
}

#[test]
fn secrets_schedules_settle_budgets_and_listen_do_not() {
    for (from, to) in [
        ("env = \"TALLYFY_TOKEN\"", "env = \"OTHER\""),
        ("{ file = \"ns.pem\" }", "{ credential = \"ns\" }"),
        (
            "name = \"orders\"",
            "name = \"orders\"\nschedule = \"0 * * * *\"\nsweep = \"0 4 * * *\"\nsettle = \"1m\"",
        ),
        ("connector = \"netsuite\"", "connector = \"netsuite\"\nbudget = { per_minute = 5 }"),
        ("[[sync]]", "[daemon]\nlisten = \"\"\n[[sync]]"),
    ] {
        assert_eq!(changes(from, to), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn a_looser_guard_counts_and_a_tighter_one_does_not() {
    for (from, tighter, looser, part) in [
        ("sweeps = 3", "sweeps = 4", "sweeps = 2", "guard.deletes.sweeps: 3 -> 2"),
        ("max = 10", "max = 5", "max = 11", "guard.deletes.max: 10 -> 11"),
        ("window = \"24h\"", "window = \"2d\"", "window = \"12h\"", "guard.deletes.window: 86400 -> 43200"),
        ("percent = 30", "percent = 29.5", "percent = 100", "guard.updates.percent: 30 -> 100"),
    ] {
        assert_eq!(changes(from, tighter), Vec::<String>::new(), "{tighter}");
        assert_eq!(changes(from, looser), [part], "{looser}");
    }
}

#[test]
fn no_secret_reaches_the_meaning() {
    let config = load(GOOD).unwrap();
    let text = format!("{:?}", config.meanings);
    for word in ["TALLYFY_TOKEN", "ns.pem", "token:"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}
