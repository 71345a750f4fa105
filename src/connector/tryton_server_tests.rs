//! The Tryton definition against a genuine server, over the real transport.
//!
//! Needs a database with the module `party`; run with
//! `TRYTON_URL=http://127.0.0.1:PORT TRYTON_DATABASE=erp TRYTON_PASSWORD=... cargo test -- --ignored tryton_server`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::api::{Applied, Entity, EntityRequest, FailureClass, Listing, Lookup, NewRecord, Removal, System};
use super::client::Ports;
use super::definition::Catalog;
use super::fakes::FakeSecrets;
use super::secret::resolve_secret;
use super::system::build;
use crate::config::model::{BudgetSpec, SecretRef, SystemSpec, VarValue};
use crate::core::record::Values;
use crate::ports::Random as _;
use crate::ports::real::{HttpTransport, SystemClock, SystemRandom};

fn system() -> Arc<dyn System> {
    let plain = |text: String| VarValue::Plain(text);
    let database = std::env::var("TRYTON_DATABASE").unwrap_or_else(|_| "erp".to_owned());
    let spec = SystemSpec {
        name: "erp".to_owned(),
        connector: "tryton".to_owned(),
        base_url: Some(std::env::var("TRYTON_URL").expect("TRYTON_URL names the server")),
        organization: None,
        api: None,
        auth: None,
        vars: BTreeMap::from([
            ("database".to_owned(), plain(database)),
            ("username".to_owned(), plain("admin".to_owned())),
            ("password".to_owned(), VarValue::Secret(SecretRef::Env("TRYTON_PASSWORD".to_owned()))),
        ]),
        budget: BudgetSpec::default(),
    };
    let ports = Ports {
        transport: Arc::new(HttpTransport::with_authorities(None).unwrap()),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        secrets: Arc::new(FakeSecrets(Mutex::default())),
    };
    let catalog = Catalog::built_in().unwrap();
    build(&spec, catalog.get("tryton").unwrap(), &resolve_secret, ports).unwrap()
}

fn request(entity: &str, paths: &[&str]) -> EntityRequest {
    EntityRequest {
        entity: entity.to_owned(),
        template: None,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        written: Vec::new(),
        marker: Some("name".to_owned()),
        search_lag: Duration::ZERO,
        reopen: false,
    }
}

fn values(name: &str) -> Values {
    Values::from([("full_name".to_owned(), json!(name))])
}

/// Every id of a listing, all pages.
async fn all(entity: &Arc<dyn Entity>, listing: &Listing) -> (Vec<String>, Option<String>) {
    let mut ids = Vec::new();
    let mut next = None;
    loop {
        let page = entity.list(listing, next.as_deref()).await.unwrap();
        ids.extend(page.items.into_iter().map(|item| item.id));
        match page.next {
            Some(more) => next = Some(more),
            None => return (ids, page.cursor),
        }
    }
}

#[tokio::test]
#[ignore = "needs a Tryton server; see the head of the file"]
async fn tryton_server_keeps_every_promise_of_its_card() {
    let erp = system();
    let probe = erp.probe().await.unwrap();
    assert!(probe.clock_offset_ms.is_some_and(|offset| offset.abs() < 5000), "{probe:?}");

    let unknown = erp.open(request("party.party", &["nane"])).await.map(|_| ()).unwrap_err();
    assert!(unknown.answered.contains("did you mean \"name\"?"), "{unknown}");

    let entity = erp.open(request("party.party", &["active", "code", "lang.name", "name"])).await.unwrap();
    let (_, cursor) = all(&entity, &Listing::Full).await;
    let mark = format!("tly-{:016x}", SystemRandom.next());
    let made = entity.create(&NewRecord { values: Values::new(), mark: mark.clone() }).await.unwrap();
    let id = made.id.unwrap();

    // A fresh record is found by the next incremental listing, and by its mark.
    let (changed, _) = all(&entity, &Listing::Since(cursor)).await;
    assert!(changed.contains(&id), "{changed:?}");
    let found = entity.find_marked(&mark).await.unwrap();
    assert_eq!(found.len(), 1);
    let Lookup::Found(record) = entity.get(&id).await.unwrap() else { panic!("not found") };
    assert_eq!(found[0], record);
    assert_eq!(record.values["active"], json!(true));

    // A write under the stamp that was read goes through; the same stamp again is a lost race.
    let change = Values::from([("name".to_owned(), json!(format!("{mark} b")))]);
    entity.update(&record, &change).await.unwrap();
    let lost = entity.update(&record, &values("c")).await.unwrap_err();
    assert!(matches!(lost.class, FailureClass::Conflict | FailureClass::Invalid), "{lost:?}");
    let lost = entity.update(&record, &change).await.unwrap_err();
    assert_eq!((lost.class, lost.applied), (FailureClass::Conflict, Applied::No), "{lost}");

    // Archived is not deleted: it stays in complete listings.
    let Lookup::Found(record) = entity.get(&id).await.unwrap() else { panic!("not found") };
    assert_eq!(record.values["name"], json!(format!("{mark} b")));
    entity.remove(&record, Removal::Archive).await.unwrap();
    let Lookup::Found(record) = entity.get(&id).await.unwrap() else { panic!("archived is not gone") };
    assert!(record.archived);
    assert!(all(&entity, &Listing::Full).await.0.contains(&id));

    entity.remove(&record, Removal::Delete).await.unwrap();
    assert!(matches!(entity.get(&id).await.unwrap(), Lookup::Missing(_)));
    assert!(!all(&entity, &Listing::Full).await.0.contains(&id));

    let nothing = erp.open(request("no.such_model", &["name"])).await;
    if let Ok(entity) = nothing {
        let failure = entity.list(&Listing::Full, None).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Invalid, "{failure}");
    }
}
