//! What flows: parties, sales and prices, in both directions, and then nothing any more.

use serde_json::json;

use super::{CREATE_PARTY, CUSTOMERS, ORDERS, World, quiet};
use crate::support::tryton::{date, decimal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_flow_both_ways_and_then_all_is_quiet() {
    let world = World::start();
    let bridge = world.bridge(CUSTOMERS);
    let launched = world.launch("Customer", &[("customer-code", "T-1"), ("company-name", "Umbrella  ")]);
    bridge.accept("customers").await;
    bridge.pass("customers").await;

    // Created on either side: made once on the other, blanks and all.
    let umbrella = world.party("T-1");
    assert_eq!(world.person.read("party.party", umbrella, &["name"])["name"], "Umbrella  ");
    let acme = world.run("Customer", "customer-code", "C-1");
    assert_eq!(world.kickoff("Customer", &acme, "company-name"), "Acme");
    assert_eq!(bridge.wire.count(CREATE_PARTY), 1);

    // Edited on either side.
    world.person.write("party.party", umbrella, json!({"name": "Umbrella Ltd "}));
    world.fill("Customer", &acme, "company-name", json!("Acme & Søn  "));
    bridge.pass("customers").await;
    assert_eq!(world.kickoff("Customer", &launched, "company-name"), "Umbrella Ltd ");
    assert_eq!(world.person.read("party.party", world.customers[0], &["name"])["name"], "Acme & Søn  ");

    // A value taken away is taken away there too, and comes back.
    world.person.write("party.party", umbrella, json!({"name": null}));
    bridge.pass("customers").await;
    let blank = world.kickoff("Customer", &launched, "company-name");
    assert!(blank.is_null() || blank == "", "{blank}");
    world.fill("Customer", &launched, "company-name", json!("Umbrella again"));
    bridge.pass("customers").await;
    assert_eq!(world.person.read("party.party", umbrella, &["name"])["name"], "Umbrella again");

    quiet(&world, &bridge, "customers", "party.party").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_flow_to_tallyfy_and_written_fields_flow_back() {
    let world = World::start();
    let bridge = world.bridge(ORDERS);
    let sale = world.person.create_sale(world.customers[0], "PO-77", "First order", "2026-11-21");
    world.person.add_sale_line(sale, world.product, 3, "12.5000");
    bridge.accept("orders").await;
    bridge.pass("orders").await;
    let run = world.run("Order", "number", &sale.to_string());
    let shown = |field: &str| world.kickoff("Order", &run, field);
    assert_eq!(shown("reference"), "PO-77");
    assert_eq!(shown("description"), "First order");
    assert!(
        shown("sale-date").as_str().is_some_and(|day| day.starts_with("2026-11-21")),
        "{}",
        shown("sale-date")
    );
    assert_eq!(shown("total"), "37.50");
    assert_eq!(shown("customer"), "C-1");

    // Two people edit different fields of the same order: both edits survive on both sides.
    world.person.write("sale.sale", sale, json!({"description": "Changed in the ERP"}));
    world.fill("Order", &run, "reference", json!("PO-78"));
    bridge.pass("orders").await;
    let fields = ["reference", "description", "sale_date", "total_amount"];
    let row = world.person.read("sale.sale", sale, &fields);
    assert_eq!(row["reference"], "PO-78");
    assert_eq!(row["description"], "Changed in the ERP");
    assert_eq!(shown("description"), "Changed in the ERP");

    // A date in either direction, and a date and a text taken away.
    world.fill("Order", &run, "sale-date", json!("2026-12-24"));
    bridge.pass("orders").await;
    assert_eq!(world.person.read("sale.sale", sale, &fields)["sale_date"], date("2026-12-24"));
    world.person.write("sale.sale", sale, json!({"sale_date": null, "description": null}));
    bridge.pass("orders").await;
    for field in ["sale-date", "description"] {
        assert!(shown(field).is_null() || shown(field) == "", "{field}: {}", shown(field));
    }
    world.person.write("sale.sale", sale, json!({"sale_date": date("2027-01-02")}));
    bridge.pass("orders").await;
    assert!(
        shown("sale-date").as_str().is_some_and(|day| day.starts_with("2027-01-02")),
        "{}",
        shown("sale-date")
    );

    // Tryton takes blanks off the ends of this field: that is its answer to our write, not an edit.
    world.fill("Order", &run, "description", json!("Ends in blanks  "));
    bridge.pass("orders").await;
    assert_eq!(world.person.read("sale.sale", sale, &fields)["description"], "Ends in blanks");

    // The total belongs to the ERP: another line moves it, and what somebody types elsewhere is put back.
    world.person.add_sale_line(sale, world.product, 1, "0.1000");
    bridge.pass("orders").await;
    assert_eq!(shown("total"), "37.60");
    world.fill("Order", &run, "total", json!("1.00"));
    bridge.pass("orders").await;
    assert_eq!(shown("total"), "37.60");
    assert_eq!(world.person.read("sale.sale", sale, &fields)["total_amount"], decimal("37.60"));

    quiet(&world, &bridge, "orders", "sale.sale").await;
}

const PRICES: &str = r#"
[[sync]]
name = "prices"

[sync.sides.erp]
entity = "sale.line"

[sync.sides.tallyfy]
entity   = "runs"
template = "Price"
create   = ["erp"]
defaults = { name = "Line {{ line }}" }
marker   = "kickoff.sync-id"

[sync.fields.line]
key     = true
erp     = "id"
tallyfy = "kickoff.line"

[sync.fields.order]
owner   = "erp"
erp     = "sale.reference"
tallyfy = "kickoff.order"

[sync.fields.unit_price]
type    = "decimal(4)"
erp     = "unit_price"
tallyfy = "kickoff.unit-price"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exact_decimals_flow_both_ways_and_other_spellings_are_no_changes() {
    let world = World::start();
    let bridge = world.bridge(PRICES);
    let sale = world.person.create_sale(world.customers[0], "PO-1", "Prices", "2026-11-21");
    world.person.add_sale_line(sale, world.product, 2, "12.5000");
    let line =
        world.person.search("sale.line", json!([["sale", "=", sale]]), 1, &["id"])[0]["id"].as_i64().unwrap();
    bridge.accept("prices").await;
    bridge.pass("prices").await;
    let run = world.run("Price", "line", &line.to_string());
    assert_eq!(world.kickoff("Price", &run, "order"), "PO-1");
    let price = |world: &World| world.person.read("sale.line", line, &["unit_price"])["unit_price"].clone();

    world.fill("Price", &run, "unit-price", json!("0.1001"));
    bridge.pass("prices").await;
    assert_eq!(price(&world), decimal("0.1001"));
    world.person.write("sale.line", line, json!({"unit_price": decimal("1234567.8901")}));
    bridge.pass("prices").await;
    assert_eq!(world.kickoff("Price", &run, "unit-price"), "1234567.8901");

    // The same number in another spelling is no change.
    world.fill("Price", &run, "unit-price", json!("1234567.89010"));
    quiet(&world, &bridge, "prices", "sale.line").await;
}
