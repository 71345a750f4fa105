//! Proves the harness itself: the real ERP answers as the connector's author was told it does.

use serde_json::{Value, json};

use crate::support::tryton::{Tryton, date, decimal};
use crate::support::{http, process::Tallysync};

const STAMPED: [&str; 5] = ["id", "name", "active", "write_date", "_timestamp"];

fn stamp(row: &Value) -> &str {
    row["_timestamp"].as_str().expect("every record has a _timestamp")
}

#[test]
fn tryton_answers() {
    let server = Tryton::start();
    let person = server.login();
    let party = person.create_party("Umbrella");
    let before = person.read("party.party", party, &STAMPED);
    assert_eq!(before["name"], "Umbrella");

    person.try_write_at("party.party", party, stamp(&before), json!({"name": "Umbrella Ltd"})).unwrap();
    let after = person.read("party.party", party, &STAMPED);
    assert_eq!(after["name"], "Umbrella Ltd");
    assert_ne!(stamp(&after), stamp(&before));

    let stale = person.try_write_at("party.party", party, stamp(&before), json!({"name": "Overwritten"}));
    assert_eq!(stale.expect_err("the stamp is stale").kind, "ConcurrencyException");
    assert_eq!(person.read("party.party", party, &STAMPED), after, "a refused write leaves no trace");

    person.delete("party.party", party);
    let gone = person.try_call("model.party.party.read", &[json!([party]), json!(["id"])]);
    let refusal = gone.expect_err("the party was deleted");
    assert_eq!(refusal.kind, "UserError");
    assert!(refusal.detail.contains("don't exist"), "{refusal:?}");
}

#[test]
fn tryton_pages_by_key_and_hides_inactive_records() {
    let server = Tryton::start();
    let person = server.login();
    let expected: Vec<i64> = (0..7).map(|number| person.create_party(&format!("Party {number}"))).collect();
    let first = expected.first().expect("seven were made") - 1;

    let mut last = first;
    let mut seen = Vec::new();
    loop {
        let page = person.search("party.party", json!([["id", ">", last]]), 3, &["id"]);
        let Some(end) = page.last() else { break };
        last = end["id"].as_i64().expect("ids are integers");
        seen.extend(page.iter().filter_map(|row| row["id"].as_i64()));
    }
    assert_eq!(seen, expected);

    person.write("party.party", expected[2], json!({"active": false}));
    let visible = person.search("party.party", json!([["id", ">", first]]), 100, &["id"]);
    assert_eq!(visible.len(), 6, "an inactive party leaves the listing");
    let hidden = person.read("party.party", expected[2], &["active"]);
    assert!(hidden["active"] == json!(0) || hidden["active"] == json!(false), "{hidden}");
}

#[test]
fn tryton_shows_a_sale_as_the_connector_expects_it() {
    let server = Tryton::start();
    let person = server.login();
    let customer = server.seed().customers[0];
    let sale = person.create_sale(customer, "PO-77", "First order", "2026-11-21");
    let fields = [
        "state",
        "party",
        "party.code",
        "reference",
        "number",
        "sale_date",
        "description",
        "total_amount",
        "write_date",
        "_timestamp",
    ];
    let mut rows = person.search("sale.sale", json!([["reference", "=", "PO-77"]]), 10, &fields);
    let empty = rows.pop().expect("the sale is found by its reference");
    assert!(rows.is_empty());
    assert_eq!(empty["id"], sale);
    assert_eq!(empty["state"], "draft");
    assert_eq!(empty["party"], customer);
    assert_eq!(empty["party."]["code"], "C-1");
    assert_eq!(empty["number"], Value::Null);
    assert_eq!(empty["sale_date"], date("2026-11-21"));
    assert_eq!(empty["description"], "First order");
    assert_eq!(empty["total_amount"], decimal("0"));
    assert_eq!(empty["write_date"], Value::Null, "null after create, so it cannot be the only cursor");

    person.add_sale_line(sale, server.seed().product, 3, "12.5000");
    let filled = person.read("sale.sale", sale, &fields);
    assert_eq!(filled["total_amount"], decimal("37.50"));
    assert_ne!(stamp(&filled), stamp(&empty));
    let locked = person.try_call("model.sale.sale.write", &[json!([sale]), json!({"state": "quotation"})]);
    assert_eq!(locked.expect_err("a state is changed by its own call").kind, "UserError");

    person.quote_sale(sale);
    let quoted = person.read("sale.sale", sale, &["state", "number"]);
    assert_eq!(quoted["state"], "quotation");
    assert!(quoted["number"].is_string(), "{quoted}");
}

#[test]
fn tryton_lists_fresh_sales_only_when_the_create_date_is_asked_too() {
    let server = Tryton::start();
    let person = server.login();
    let customer = server.seed().customers[0];
    let old = person.create_sale(customer, "PO-1", "Before", "2026-11-20");
    let fresh = person.create_sale(customer, "PO-2", "After", "2026-11-21");
    let since = person.read("sale.sale", fresh, &["create_date"])["create_date"].take();
    let ids = |domain: Value| -> Vec<i64> {
        let rows = person.search("sale.sale", domain, 100, &["id"]);
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    };
    assert_eq!(ids(json!([["write_date", ">=", since]])), Vec::<i64>::new(), "the trap");
    let written = json!(["write_date", ">=", since]);
    let created = json!([["write_date", "=", null], ["create_date", ">=", since]]);
    assert_eq!(ids(json!(["OR", written, created])), [fresh]);

    person.write("sale.sale", old, json!({"description": "Edited"}));
    assert_eq!(ids(json!(["OR", written, created])), [old, fresh]);
}

#[test]
fn tryton_goes_down_and_comes_back_with_its_data() {
    let mut server = Tryton::start();
    let party = server.login().create_party("Survivor");
    server.stop();
    assert!(http::get(&server.host()).is_err(), "a stopped server does not answer");
    server.resume();
    assert_eq!(server.login().read("party.party", party, &["name"])["name"], "Survivor");
}

#[test]
fn the_binary_runs_in_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    Tallysync::inside(folder.path()).args(["--version"]).succeed();
}
