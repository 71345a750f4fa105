//! The hub: takes each request, lets the faults strike, asks the twin, and keeps the log.
//!
//! This file must not open a socket (`server.rs`) and must not know any vendor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::behaviour::merge;
use super::control;
use super::faults::{Edit, Effect, Fault, RetryAfter, When};
use super::gates::Gates;
use super::http::{Answer, Request};
use super::world::{Hidden, Logged, Save, World};

/// A vendor's API as a state machine.
pub trait Twin: Send + Sync + 'static {
    /// Short name: `tallyfy`, `netsuite`.
    fn name(&self) -> &'static str;

    /// What is asked, in the twin's own words (`runs.list`), for counting and for fault rules.
    fn kind(&self, request: &Request) -> String;

    /// Answers one request. All records are read from and saved to the world.
    fn handle(&self, world: &mut World, request: &Request) -> Answer;

    /// Whether a lagging replica may answer it.
    fn is_read(&self, request: &Request) -> bool {
        request.method == "GET"
    }

    /// The entities that even a lagging replica knows as they are now: who may come in.
    fn never_stale(&self) -> &'static [&'static str] {
        &["tokens"]
    }

    /// The id of a record that a person makes.
    fn new_id(&self, world: &mut World, _entity: &str) -> String {
        world.next_hex32()
    }

    /// Gives what a person saves the stamps and defaults that the product's own screens would give it.
    fn person_saves(
        &self,
        _world: &mut World,
        _entity: &str,
        _id: &str,
        _before: Option<&Value>,
        record: Value,
    ) -> Result<Value, String> {
        Ok(record)
    }

    /// Does something that the twin has a word for, as a person.
    fn action(&self, _world: &mut World, _actor: &str, name: &str, _with: &Value) -> Result<Value, String> {
        Err(format!("the {} twin has no action {name:?}", self.name()))
    }

    /// Makes a token stop working.
    fn expire_token(&self, world: &mut World, token: &str);

    /// The vendor's body for a status that a fault asks for (429, 500, 503, ...).
    fn failure(&self, status: u16) -> Answer {
        Answer::json(status, &json!({"message": format!("Error {status}")}))
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Answer(Answer),
    /// The connection is closed without an answer.
    Closed,
    /// The connection breaks in the middle of this answer.
    Broken(Answer),
}

impl Outcome {
    /// The answer, when it came whole.
    pub fn answer(self) -> Option<Answer> {
        match self {
            Outcome::Answer(answer) => Some(answer),
            Outcome::Closed | Outcome::Broken(_) => None,
        }
    }
}

struct Late {
    after: u32,
    request: Request,
}

/// A request that has been logged and struck, and not handled yet.
pub(crate) struct InHand {
    request: Request,
    effects: Vec<Effect>,
    logged: u64,
}

impl InHand {
    pub(crate) fn gate(&self, at: When) -> Option<String> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Hold { gate, when } if *when == at => Some(gate.clone()),
            _ => None,
        })
    }
}

/// A twin, its world, and the faults between them and the wire.
pub struct Hub {
    twin: Box<dyn Twin>,
    world: Mutex<World>,
    late: Mutex<Vec<Late>>,
    /// Where held requests wait.
    pub gates: Gates,
}

impl Hub {
    /// A hub for a twin and its world.
    pub fn new(twin: impl Twin, world: World) -> Arc<Hub> {
        Arc::new(Hub {
            twin: Box::new(twin),
            world: Mutex::new(world),
            late: Mutex::default(),
            gates: Gates::default(),
        })
    }

    /// The twin's name.
    pub fn name(&self) -> &'static str {
        self.twin.name()
    }

    /// The world. Requests wait while the guard lives: never hold it over an `await`.
    pub fn world(&self) -> MutexGuard<'_, World> {
        // A panic in a test's own hook must not hide the world from the test's other assertions.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault rule and gives its number.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.world().faults.add(fault)
    }

    /// A person does something, past the API. Gives the record (with its id under `id`) or what the action gives.
    pub fn person(&self, edit: Edit) -> Result<Value, String> {
        self.person_as("person", edit)
    }

    /// A named person does something; the actor in the history is `person:NAME`.
    pub fn person_as(&self, actor: &str, edit: Edit) -> Result<Value, String> {
        let actor = if actor.starts_with("person") { actor.to_owned() } else { format!("person:{actor}") };
        self.edit(&mut self.world(), &actor, edit)
    }

    /// Handles a request in process; gates are not waited at.
    pub fn exchange(&self, request: Request) -> Outcome {
        if let Some(answer) = control::answer(self, &request) {
            return Outcome::Answer(answer);
        }
        let in_hand = self.begin(request);
        self.finish(&in_hand)
    }

    /// Handles a request, waiting at gates.
    pub async fn exchange_held(&self, request: Request) -> Outcome {
        if let Some(answer) = control::answer(self, &request) {
            return Outcome::Answer(answer);
        }
        let in_hand = self.begin(request);
        if let Some(gate) = in_hand.gate(When::Before) {
            self.gates.wait(&gate).await;
        }
        let outcome = self.finish(&in_hand);
        if let Some(gate) = in_hand.gate(When::After) {
            self.gates.wait(&gate).await;
        }
        outcome
    }

    /// Lets the requests take effect now that were to be applied late; says how many.
    pub fn release_late(&self) -> usize {
        let late = std::mem::take(&mut *self.late());
        let mut world = self.world();
        for waiting in &late {
            self.twin.handle(&mut world, &waiting.request);
        }
        late.len()
    }

    fn late(&self) -> MutexGuard<'_, Vec<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, request: Request) -> InHand {
        let mut due = Vec::new();
        self.late().retain_mut(|waiting| {
            if waiting.after == 0 {
                due.push(waiting.request.clone());
                return false;
            }
            waiting.after -= 1;
            true
        });
        let mut world = self.world();
        for late in &due {
            self.twin.handle(&mut world, late);
        }
        let lags = world.faults.a_replica_lags();
        world.remember(lags);
        let kind = self.twin.kind(&request);
        let effects = world.faults.strike(&request, &kind);
        let logged = Logged {
            seq: 0,
            at: world.now(),
            method: request.method.clone(),
            target: request.target(),
            kind,
            headers: request.headers.clone(),
            body: request.text(),
            status: None,
            faults: effects.iter().map(|effect| effect.name().to_owned()).collect(),
        };
        let logged = world.log(logged);
        InHand { request, effects, logged }
    }

    fn finish(&self, in_hand: &InHand) -> Outcome {
        let mut world = self.world();
        self.edits(&mut world, &in_hand.effects, When::Before);
        if in_hand.effects.contains(&Effect::ExpireToken)
            && let Some(token) = in_hand.request.bearer()
        {
            self.twin.expire_token(&mut world, token);
        }
        let outcome = match self.instead(&world, in_hand) {
            Some(outcome) => outcome,
            None => {
                let answer = self.ask(&mut world, in_hand);
                self.spoil(answer, &in_hand.effects)
            }
        };
        self.edits(&mut world, &in_hand.effects, When::After);
        let date = world.header_date();
        let dated = |answer: Answer| answer.with_header("date", &http_date(date));
        let outcome = match outcome {
            Outcome::Answer(answer) => Outcome::Answer(dated(answer)),
            Outcome::Broken(answer) => Outcome::Broken(dated(answer)),
            Outcome::Closed => Outcome::Closed,
        };
        let status = match &outcome {
            Outcome::Answer(answer) => Some(answer.status),
            Outcome::Closed | Outcome::Broken(_) => None,
        };
        world.set_status(in_hand.logged, status);
        outcome
    }

    /// What is answered instead of asking the twin.
    fn instead(&self, world: &World, in_hand: &InHand) -> Option<Outcome> {
        in_hand.effects.iter().find_map(|effect| match effect {
            Effect::DropBefore => Some(Outcome::Closed),
            Effect::ApplyLate { after_requests } => {
                self.late().push(Late { after: *after_requests, request: in_hand.request.clone() });
                Some(Outcome::Closed)
            }
            Effect::Status { status, when: When::Before, body } => {
                Some(Outcome::Answer(self.failure(*status, body.as_deref())))
            }
            Effect::Throttle { retry_after } => {
                let answer = self.twin.failure(429);
                Some(Outcome::Answer(match retry_after {
                    RetryAfter::Absent => answer,
                    RetryAfter::Seconds(seconds) => answer.with_header("retry-after", &seconds.to_string()),
                    RetryAfter::HttpDate(seconds) => {
                        let wait = SignedDuration::from_secs(i64::try_from(*seconds).unwrap_or(i64::MAX));
                        let at = world.header_date();
                        answer.with_header("retry-after", &http_date(at.checked_add(wait).unwrap_or(at)))
                    }
                }))
            }
            Effect::LoginPage => Some(Outcome::Answer(Answer::text(
                200,
                "text/html; charset=utf-8",
                "<!DOCTYPE html><html><head><title>Log in</title></head><body><form method=\"post\" \
                 action=\"/login\"><input name=\"username\"><input name=\"password\" type=\"password\"></form></body></html>",
            ))),
            _ => None,
        })
    }

    fn failure(&self, status: u16, body: Option<&str>) -> Answer {
        match body {
            None => self.twin.failure(status),
            Some(body) if body.starts_with('<') => Answer::text(status, "text/html; charset=utf-8", body),
            Some(body) => Answer::text(status, "application/json", body),
        }
    }

    /// Asks the twin, in the world as the effects show it.
    fn ask(&self, world: &mut World, in_hand: &InHand) -> Answer {
        let mut knobs = Vec::new();
        let mut seen: Vec<(String, Hidden)> = Vec::new();
        let mut present = None;
        for effect in &in_hand.effects {
            match effect {
                Effect::Knob { name, value } => knobs.push((name.clone(), value.clone())),
                Effect::Blind { entity } => {
                    seen.push((entity.clone(), world.exchange_hidden(entity, Some(None))));
                }
                Effect::Stale { lag } if present.is_none() && self.twin.is_read(&in_hand.request) => {
                    present = Some(world.fall_behind(*lag, self.twin.never_stale()));
                }
                _ => {}
            }
        }
        world.set_knobs(knobs);
        let answer = self.twin.handle(world, &in_hand.request);
        world.set_knobs(Vec::new());
        for (entity, before) in seen.into_iter().rev() {
            world.exchange_hidden(&entity, before);
        }
        if let Some(present) = present {
            world.catch_up(present);
        }
        answer
    }

    /// What becomes of an answer on its way.
    fn spoil(&self, mut answer: Answer, effects: &[Effect]) -> Outcome {
        for effect in effects {
            match effect {
                Effect::DropAfter => return Outcome::Closed,
                Effect::BreakBody => return Outcome::Broken(answer),
                Effect::Status { status, when: When::After, body } => {
                    return Outcome::Answer(self.failure(*status, body.as_deref()));
                }
                Effect::TruncateBody => answer.body.truncate(answer.body.len() / 2),
                _ => {}
            }
        }
        Outcome::Answer(answer)
    }

    fn edits(&self, world: &mut World, effects: &[Effect], at: When) {
        for effect in effects {
            let Effect::Person { when, edits } = effect else { continue };
            if *when != at {
                continue;
            }
            for edit in edits {
                if let Err(problem) = self.edit(world, "person", edit.clone()) {
                    world.note("person", "failed-edit", "", "", Value::Null, Value::String(problem));
                }
            }
        }
    }

    fn edit(&self, world: &mut World, actor: &str, edit: Edit) -> Result<Value, String> {
        match edit {
            Edit::Create { entity, record } => {
                let id = match record.get("id") {
                    Some(Value::String(id)) => id.clone(),
                    Some(Value::Number(id)) => id.to_string(),
                    _ => self.twin.new_id(world, &entity),
                };
                if world.get_any(&entity, &id).is_some() {
                    return Err(format!("{entity} {id} exists already"));
                }
                self.person_puts(world, actor, "create", &entity, &id, record)
            }
            Edit::Patch { entity, id, patch } => {
                let before = world.get_any(&entity, &id).ok_or_else(|| format!("no {entity} {id}"))?;
                let mut record = (*before).clone();
                merge(&mut record, &patch);
                self.person_puts(world, actor, "update", &entity, &id, record)
            }
            Edit::Replace { entity, id, record } => {
                world.get_any(&entity, &id).ok_or_else(|| format!("no {entity} {id}"))?;
                self.person_puts(world, actor, "update", &entity, &id, record)
            }
            Edit::Delete { entity, id } => {
                let gone = world.remove(actor, "delete", &entity, &id);
                gone.map(|record| (*record).clone()).ok_or_else(|| format!("no {entity} {id}"))
            }
            Edit::Action { name, with } => self.twin.action(world, actor, &name, &with),
        }
    }

    fn person_puts(
        &self,
        world: &mut World,
        actor: &str,
        kind: &str,
        entity: &str,
        id: &str,
        record: Value,
    ) -> Result<Value, String> {
        let before = world.get_any(entity, id);
        let record = self.twin.person_saves(world, entity, id, before.as_deref(), record)?;
        let stored = world.save(Save { actor, kind, entity, id, record });
        let mut shown = (*stored).clone();
        if let Value::Object(map) = &mut shown {
            map.entry("id").or_insert_with(|| Value::String(id.to_owned()));
        }
        Ok(shown)
    }
}

/// A time as HTTP headers write it.
pub(crate) fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
