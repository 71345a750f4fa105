//! Makes a Salesforce twin with what should be there before the story begins.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answers::{put, stamp, text};
use super::schema::{FieldSeed, FieldType, ObjectSeed};
use super::write::{self, Writer};
use super::{Machine, ids, pages};
use crate::kit::{Edit, Hub, Request, SEED, Save, World};

/// The version in the paths that `SalesforceTwin::request` makes.
const VERSION: &str = "v60.0";

/// Makes a twin.
pub struct Builder {
    world: World,
    objects: Vec<ObjectSeed>,
}

impl Builder {
    /// Stops the clock at a moment; the real clock runs otherwise. Call it first: it stamps what is seeded.
    pub fn at(mut self, now: Timestamp) -> Builder {
        self.world.set_now(now);
        self
    }

    /// One more object; `Id`, `IsDeleted` and the stamps come by themselves.
    pub fn object(mut self, object: ObjectSeed) -> Builder {
        let number = self.objects.len();
        self.objects.push(object.completed(number));
        self
    }

    /// A user who can log in with the password grant; the security token is `TOKEN`.
    pub fn user(mut self, name: &str, full_name: &str, password: &str) -> Builder {
        let id = ids::make("005", self.world.next_of("User"));
        let now = json!(stamp(self.world.now()));
        let user = json!({"Id": id, "IsDeleted": false, "Username": name, "Name": full_name, "Email": name,
            "IsActive": true, "CreatedDate": now, "CreatedById": id, "LastModifiedDate": now,
            "LastModifiedById": id, "SystemModstamp": now});
        self.put("User", &id, user);
        self.put("passwords", name, json!({"user": id, "password": password, "security_token": "TOKEN"}));
        self
    }

    /// A connected app whose client credentials act as that user.
    pub fn client(mut self, key: &str, secret: &str, run_as: &str) -> Builder {
        let user = self.user_id(run_as);
        self.put("clients", key, json!({"secret": secret, "run_as": user}));
        self
    }

    /// A token of a user.
    pub fn token(mut self, token: &str, user: &str) -> Builder {
        let user = self.user_id(user);
        self.put("tokens", token, json!({"user": user}));
        self
    }

    /// A setting; see the head of the module.
    pub fn setting(mut self, name: &str, value: Value) -> Builder {
        let settings = self.world.get_any("settings", "settings");
        let mut settings = settings.map(|settings| (*settings).clone()).unwrap_or_else(|| json!({}));
        put(&mut settings, name, value);
        self.put("settings", "settings", settings);
        self
    }

    /// The twin, with users `sync@corp.example` and `pat@corp.example`, client `consumer-key` with secret
    /// `consumer-secret`, and token `salesforce-token` where none was given.
    pub fn build(self) -> SalesforceTwin {
        let mut builder = self;
        if builder.world.list_any("User").is_empty() {
            builder = builder.user("sync@corp.example", "Sync User", "correct horse").user(
                "pat@corp.example",
                "Pat Roe",
                "battery staple",
            );
        }
        let users = builder.world.list_any("User");
        let name = |at: Option<&(String, Arc<Value>)>| at.map(|(_, user)| text(user, "Username").to_owned());
        let first = name(users.first()).unwrap_or_default();
        let person = name(users.get(1)).unwrap_or_else(|| first.clone());
        if super::setting(&builder.world, "person").is_none() {
            builder = builder.setting("person", json!(person));
        }
        if builder.world.list_any("clients").is_empty() {
            builder = builder.client("consumer-key", "consumer-secret", &first);
        }
        if builder.world.list_any("tokens").is_empty() {
            builder = builder.token("salesforce-token", &first);
        }
        let token =
            builder.world.list_any("tokens").into_iter().next().map(|(token, _)| token).unwrap_or_default();
        let machine = Machine { all: builder.objects.clone(), locators: pages::Locators::default() };
        SalesforceTwin { hub: Hub::new(machine, builder.world), token, objects: Arc::new(builder.objects) }
    }

    fn user_id(&self, name: &str) -> String {
        let login = self.world.get_any("passwords", name);
        login.map(|login| text(&login, "user").to_owned()).unwrap_or_default()
    }

    fn put(&mut self, entity: &str, id: &str, record: Value) {
        self.world.save(Save { actor: SEED, kind: "create", entity, id, record });
    }
}

/// A Salesforce twin and what a test needs to talk to it.
#[derive(Clone)]
pub struct SalesforceTwin {
    /// The twin with its world, faults and gates; serve it with `kit::start`.
    pub hub: Arc<Hub>,
    /// A token of the first user.
    pub token: String,
    objects: Arc<Vec<ObjectSeed>>,
}

impl SalesforceTwin {
    /// A builder with seed 1 and the object `User`.
    pub fn builder() -> Builder {
        SalesforceTwin::builder_with_seed(1)
    }

    /// The same with tokens from another seed.
    pub fn builder_with_seed(seed: u64) -> Builder {
        let user = ObjectSeed::new(
            "User",
            vec![
                FieldSeed::text("Username", 80).required(),
                FieldSeed::text("Name", 121).read_only(),
                FieldSeed::new("Email", FieldType::Email),
                FieldSeed::new("IsActive", FieldType::Boolean),
            ],
        );
        Builder { world: World::new(seed), objects: Vec::new() }.object(user)
    }

    /// A twin with `Account`, `Opportunity` and `Case`.
    pub fn with_opportunities() -> SalesforceTwin {
        SalesforceTwin::builder().with_opportunities().build()
    }

    /// Puts a record there before the story begins, and gives its id. Stamps that are given are kept.
    pub fn add_record(&self, object: &str, record: Value) -> Result<String, String> {
        let seed = self.objects.iter().find(|seed| seed.name == object);
        let seed = seed.ok_or_else(|| format!("no object {object}"))?;
        let Value::Object(given) = record else { return Err("a record is an object".to_owned()) };
        let (mut open, mut closed) = (Map::new(), Map::new());
        for (name, value) in given {
            let field = seed.field(&name).ok_or_else(|| format!("{object} has no field {name}"))?;
            let target = if field.read_only { &mut closed } else { &mut open };
            target.insert(field.name.clone(), value);
        }
        let mut world = self.hub.world();
        let id = match closed.get("Id").and_then(Value::as_str) {
            Some(id) => ids::full(id).ok_or_else(|| format!("{id} is no id"))?,
            None => write::new_id(&mut world, seed),
        };
        let open = write::converted(seed, &open).map_err(|refusal| refusal.message)?;
        let merged = write::merged(&world, seed, &id, None, &open).map_err(|refusal| refusal.message)?;
        let user = world.list_any("User").into_iter().next().map(|(id, _)| id).unwrap_or_default();
        let mut record = write::stamped(&mut world, &Writer { actor: SEED, user: &user }, seed, &id, merged);
        for (name, value) in closed {
            put(&mut record, &name, value);
        }
        put(&mut record, "Id", json!(id));
        world.save(Save { actor: SEED, kind: "create", entity: object, id: &id, record });
        Ok(id)
    }

    /// A record as it is stored.
    pub fn record(&self, object: &str, id: &str) -> Option<Value> {
        self.hub.world().get_any(object, id).map(|record| (*record).clone())
    }

    /// Makes two records one, as a person does: the losers are deleted and name the winner.
    pub fn merge(&self, object: &str, winner: &str, losers: &[&str]) -> Result<Value, String> {
        let with = json!({"entity": object, "winner": winner, "losers": losers});
        self.hub.person(Edit::Action { name: "merge".to_owned(), with })
    }

    /// Changes a setting; see the head of the module.
    pub fn set(&self, name: &str, value: Value) {
        let mut world = self.hub.world();
        let settings = world.get_any("settings", "settings");
        let mut record = settings.map(|settings| (*settings).clone()).unwrap_or_else(|| json!({}));
        put(&mut record, name, value);
        world.save(Save { actor: SEED, kind: "update", entity: "settings", id: "settings", record });
    }

    /// A request with the token, below the version: `request("GET", "/sobjects")`.
    pub fn request(&self, method: &str, below: &str) -> Request {
        Request::new(method, &format!("/services/data/{VERSION}{below}"))
            .with_header("authorization", &format!("Bearer {}", self.token))
            .with_header("accept", "application/json")
    }
}

impl Builder {
    /// The objects `Account`, `Opportunity` and `Case`.
    pub fn with_opportunities(self) -> Builder {
        self.object(ObjectSeed::account()).object(ObjectSeed::opportunity()).object(ObjectSeed::case())
    }
}
