//! The vendors' published client libraries, unchanged, against the twins.
//!
//! A twin that a client library does not understand is wrong, whatever our own connector thinks of it.
//! What a client must see stands in the scripts beside the twins, not here.

use std::sync::Arc;

use twins::kit::Hub;
use twins::netsuite::NetsuiteTwin;
use twins::salesforce::SalesforceTwin;
use twins::tallyfy::TallyfyTwin;

use crate::support::python::Environment;
use crate::support::twins::{serve, serve_https, write_authority};

/// The last line of a script whose client saw everything it should.
const AGREES: &str = "the client agrees with the twin";

/// Runs a client script to its end; every mismatch that it lists fails the test.
fn run_client(script: &str, arguments: &[&str], environment: &[(&str, &str)], hub: &Arc<Hub>) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let before = hub.world().requests().len();
    let said = Environment::of("clients").run_script(
        &format!("twins/tests/clients/{script}"),
        arguments,
        environment,
        folder.path(),
    );
    assert_eq!(said.lines().last(), Some(AGREES), "{script} said:\n{said}");
    let asked = hub.world().requests().len() - before;
    assert!(
        asked > 5,
        "{script} asked the {} twin only {asked} times: did it talk to it at all?",
        hub.name()
    );
}

#[test]
fn the_tallyfy_client_agrees_with_the_twin() {
    let twin = TallyfyTwin::with_order_approval();
    let running = serve(&twin.hub);
    run_client("tallyfy_client.py", &[&running.base_url, &twin.token, &twin.organization], &[], &twin.hub);
}

#[test]
fn the_netsuite_client_agrees_with_the_twin() {
    let twin = NetsuiteTwin::with_sales_orders();
    let running = serve_https(&twin.hub);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let authority = write_authority(folder.path());
    let host = running.address.to_string();
    let signed = &twin.signed;
    let arguments = [
        &host,
        &signed.account,
        &signed.consumer_key,
        &signed.consumer_secret,
        &signed.token_id,
        &signed.token_secret,
    ]
    .map(String::as_str);
    let trusted = [("SSL_CERT_FILE", authority.to_str().expect("a temporary path is UTF-8"))];
    run_client("netsuite_client.py", &arguments, &trusted, &twin.hub);
}

#[test]
fn the_salesforce_client_agrees_with_the_twin() {
    let twin = SalesforceTwin::with_opportunities();
    twin.set("page_size", serde_json::json!(3));
    let running = serve_https(&twin.hub);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let authority = write_authority(folder.path());
    let authority = authority.to_str().expect("the temporary folder has a plain name");
    let trust = [("REQUESTS_CA_BUNDLE", authority)];
    run_client("salesforce_client.py", &[&running.base_url, &twin.token], &trust, &twin.hub);
}
