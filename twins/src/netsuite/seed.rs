//! Seeds a NetSuite twin: record types, credentials, records; and gives tests the ids.
//!
//! Seeded records have the actor `seed` in the history. Settings, in the record `settings`/`settings`: `zone`
//! (the account's time zone, `UTC`), `date_format` (`MM/DD/YYYY`), `deleted_records` (whether the role may see
//! what was deleted, `true`), `period_closed` (every save is refused, `false`). Knobs, for faults of the effect
//! `knob`: `held` (the save is refused as in a closed period; a text is the reason), `record_changed`,
//! `insufficient_permission`, `concurrency`, `no_deleted_permission`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::schema::{RecordSeed, Schema};
use super::{Machine, answers, records, values};
use crate::kit::{Edit, Hub, Request, SEED, Save, Twin, World};

/// What a client needs to sign its requests.
#[derive(Debug, Clone)]
pub struct SignedToken {
    /// The account, which is also the realm (`123456_SB1`).
    pub account: String,
    /// Key of the integration.
    pub consumer_key: String,
    /// Secret of the integration.
    pub consumer_secret: String,
    /// Id of the token.
    pub token_id: String,
    /// Secret of the token.
    pub token_secret: String,
}

/// A NetSuite twin and what a test needs to talk to it.
pub struct NetsuiteTwin {
    /// The hub, to serve or to call in process.
    pub hub: Arc<Hub>,
    /// A bearer token that does not expire.
    pub token: String,
    /// Client id of the integration with the certificate `certificate`.
    pub client_id: String,
    /// Id of the certificate (`kid`).
    pub certificate: String,
    /// What a client needs to sign its requests instead.
    pub signed: SignedToken,
    schema: Schema,
}

/// Puts an account together.
pub struct Builder {
    world: World,
    schema: Schema,
    settings: Map<String, Value>,
    public_key: String,
}

impl Builder {
    /// The same with one more record type; one of the same name is replaced.
    pub fn record(mut self, record: RecordSeed) -> Builder {
        self.schema.types.retain(|known| known.name != record.name);
        self.schema.types.push(record);
        self
    }

    /// The same with a setting.
    pub fn setting(mut self, name: &str, value: Value) -> Builder {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// The same with another time zone of the account (`America/New_York`).
    pub fn zone(self, name: &str) -> Builder {
        self.setting("zone", json!(name))
    }

    /// The same with the public key of the certificate (`BEGIN PUBLIC KEY` in PEM), with which assertions are
    /// verified from then on.
    pub fn public_key(mut self, pem: &str) -> Builder {
        pem.clone_into(&mut self.public_key);
        self
    }

    /// The twin.
    pub fn build(self) -> NetsuiteTwin {
        let Builder { mut world, schema, settings, public_key } = self;
        for record in &schema.types {
            for field in record.fields.iter().filter(|field| field.unique) {
                world.index(&record.name, &field.name);
            }
        }
        let mut seed = |entity: &str, id: &str, record: Value| {
            world.save(Save { actor: SEED, kind: "create", entity, id, record });
        };
        seed("settings", "settings", Value::Object(settings));
        let token = "netsuite-twin-bearer-token".to_owned();
        seed("tokens", &token, json!({"actor": "integration:seeded"}));
        let (client_id, certificate) = ("twin-client-id".to_owned(), "twin-certificate-id".to_owned());
        seed(
            "credentials",
            &client_id,
            json!({"kind": "client", "certificate": certificate, "public_key": public_key}),
        );
        let signed = SignedToken {
            account: "123456_SB1".to_owned(),
            consumer_key: "twin-consumer-key".to_owned(),
            consumer_secret: "twin-consumer-secret".to_owned(),
            token_id: "twin-token-id".to_owned(),
            token_secret: "twin-token-secret".to_owned(),
        };
        seed(
            "credentials",
            &signed.token_id,
            json!({
                "kind": "signed", "actor": "integration:signed", "account": signed.account,
                "consumer_key": signed.consumer_key, "consumer_secret": signed.consumer_secret,
                "token_secret": signed.token_secret,
            }),
        );
        let hub = Hub::new(Machine { schema: schema.clone() }, world);
        NetsuiteTwin { hub, token, client_id, certificate, signed, schema }
    }
}

impl NetsuiteTwin {
    /// A builder without record types, with seed 1.
    pub fn builder() -> Builder {
        NetsuiteTwin::builder_with_seed(1)
    }

    /// The same with ids from another seed.
    pub fn builder_with_seed(seed: u64) -> Builder {
        Builder {
            world: World::new(seed),
            schema: Schema::default(),
            settings: Map::new(),
            public_key: String::new(),
        }
    }

    /// A builder with customers, stock items and sales orders.
    pub fn sales_orders() -> Builder {
        NetsuiteTwin::builder()
            .record(RecordSeed::customer())
            .record(RecordSeed::inventory_item())
            .record(RecordSeed::sales_order())
    }

    /// A twin with customers, stock items and sales orders.
    pub fn with_sales_orders() -> NetsuiteTwin {
        NetsuiteTwin::sales_orders().build()
    }

    /// Adds a record that was there before the story began, and gives its id.
    ///
    /// `id`, `createdDate` and `lastModifiedDate` may be given; else they are made.
    pub fn add_record(&self, type_name: &str, record: &Value) -> Result<String, String> {
        let machine = Machine { schema: self.schema.clone() };
        let of_type =
            self.schema.record(type_name).ok_or_else(|| format!("there is no record type {type_name}"))?;
        let mut world = self.hub.world();
        let id = match record.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => records::new_id(&mut world, &self.schema),
        };
        if world.get_any(&of_type.name, &id).is_some() {
            return Err(format!("{type_name} {id} exists already"));
        }
        let record = machine.person_saves(&mut world, &of_type.name, &id, None, record.clone())?;
        world.save(Save { actor: SEED, kind: "create", entity: &of_type.name, id: &id, record });
        Ok(id)
    }

    /// A person edits a record; `null` takes a value away.
    pub fn person_patches(&self, type_name: &str, id: &str, patch: Value) -> Result<Value, String> {
        self.hub.person(Edit::Patch { entity: type_name.to_owned(), id: id.to_owned(), patch })
    }

    /// A record as it is stored, whoever may see it.
    pub fn stored(&self, type_name: &str, id: &str) -> Option<Arc<Value>> {
        self.hub.world().get_any(type_name, id)
    }

    /// Id of the record with that external id.
    pub fn id_of(&self, type_name: &str, external_id: &str) -> Option<String> {
        values::by_external_id(&self.hub.world(), self.schema.record(type_name)?, external_id)
    }

    /// A request with the bearer token, below `/services/rest`: `request("GET", "/record/v1/customer/5")`.
    pub fn request(&self, method: &str, below: &str) -> Request {
        Request::new(method, &format!("/services/rest{below}"))
            .with_header("authorization", &format!("Bearer {}", self.token))
            .with_header("accept", "application/json")
    }

    /// A query with the bearer token.
    pub fn query(&self, suiteql: &str) -> Request {
        self.request("POST", "/query/v1/suiteql")
            .with_header("prefer", "transient")
            .with_json(&json!({"q": suiteql}))
    }

    /// The rows that a query answers, without their links; the whole answer as the error when it is refused.
    pub fn rows(&self, suiteql: &str) -> Result<Vec<Value>, Value> {
        let answer = self.hub.exchange(self.query(suiteql)).answer();
        let body = answer.as_ref().map(crate::kit::Answer::body_json).unwrap_or_default();
        if !answer.is_some_and(|answer| answer.is_success()) {
            return Err(body);
        }
        let mut items = body.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        for item in &mut items {
            if let Value::Object(map) = item {
                map.remove("links");
            }
        }
        Ok(items)
    }

    /// The error code of a refused answer; empty when there is none.
    pub fn error_code(body: &Value) -> &str {
        body.pointer("/o:errorDetails/0")
            .map(|detail| answers::text(detail, "o:errorCode"))
            .unwrap_or_default()
    }
}
