//! A sync that refers to another: parents first, and waiting for them with a named reason.

use tallysync::engine::pass::PassOptions;

use crate::support::cast::TEMPLATE;
use crate::support::world::{SIDES, Setup, World};

/// Customers are runs of the template "Customer"; an order names its customer's run in the field "Labels".
fn setup() -> Setup {
    let mut before = "[[sync]]\nname = \"customers\"\n".to_owned();
    for side in SIDES {
        let create = if side == "erp" { "" } else { "create = [\"erp\"]\n" };
        before += &format!(
            "[sync.sides.{side}]\nentity = \"runs\"\ntemplate = \"Customer\"\nmarker = \"kickoff.sync-id\"\n\
             defaults = {{ name = \"Customer {{{{ name }}}}\" }}\n{create}"
        );
    }
    before += "[sync.fields.name]\nkey = true\n";
    for side in SIDES {
        before += &format!("{side} = \"kickoff.customer-name\"\n");
    }
    Setup::default().before(&before).field("labels", "type = \"ref(customers)\"")
}

async fn pass_all(world: &World) {
    world.later(120);
    for sync in world.engine().syncs_meant(None).expect("there are syncs") {
        world.engine().pass(&sync, PassOptions::default()).await.expect("the pass ends");
    }
}

async fn accept_all(world: &World) {
    for sync in world.engine().syncs_meant(None).expect("there are syncs") {
        world.engine().plan(&sync, true).await.expect("a plan");
        world.engine().accept(&sync, None).await.expect("it is accepted");
        world.engine().pass(&sync, PassOptions::default()).await.expect("the pass ends");
    }
}

fn add_customer(world: &World, side: &str, name: &str) -> String {
    world.on(side).launch("Customer", &[("customer-name", name.into())])
}

fn customer(world: &World, side: &str, name: &str) -> String {
    world
        .on(side)
        .run_of("Customer", "customer-name", name)
        .unwrap_or_else(|| panic!("no customer {name} in {side}"))
}

fn order_points_to(world: &World, number: &str, name: &str) {
    for side in SIDES {
        let points = world.shows(side, number, "labels");
        assert_eq!(points, customer(world, side, name), "{side}: {number} points to {name} by its id there");
    }
    let _ = TEMPLATE;
}

#[tokio::test]
async fn a_reference_is_told_by_the_ids_of_each_side() {
    let world = World::new(setup()).await;
    let acme = add_customer(&world, "erp", "ACME");
    let order = world.add("erp", "SO-1", "1", "hello");
    world.on("erp").edit(&order, "labels", acme.into());
    accept_all(&world).await;
    pass_all(&world).await;
    order_points_to(&world, "SO-1", "ACME");

    // Another customer, made by a person on another side, becomes the order's.
    let byte = add_customer(&world, "erp", "Byte");
    pass_all(&world).await;
    world.edit("erp", "SO-1", "labels", byte);
    pass_all(&world).await;
    order_points_to(&world, "SO-1", "Byte");
}

#[tokio::test]
async fn an_order_waits_for_its_customer_and_goes_on_by_itself() {
    let mut world = World::new(setup()).await;
    accept_all(&world).await;
    let acme = add_customer(&world, "erp", "ACME");
    let order = world.add("erp", "SO-1", "1", "hello");
    world.on("erp").edit(&order, "labels", acme.into());
    world.count_anew();
    // The orders' pass comes first: the customer is not linked yet.
    world.pass().await;
    world.pass().await;
    for side in ["tallyfy", "crm"] {
        assert!(world.ids(side, "SO-1").is_empty(), "{side} has an order without its customer");
    }
    pass_all(&world).await;
    pass_all(&world).await;
    order_points_to(&world, "SO-1", "ACME");
}
