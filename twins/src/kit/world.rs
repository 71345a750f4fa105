//! The world a twin lives in: its clock, its ids, its records, and the true history of all of it.
//!
//! Every change of a record goes through `save` and `remove` here, so that nothing can happen without a line
//! in the history. This file must not know HTTP or any vendor.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::behaviour::{Behaviour, Occasion};
use super::faults::Faults;
use super::outgoing::Outgoing;
use super::store::Store;

/// One thing that truly happened to a record.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Rising number, without gaps.
    pub seq: u64,
    /// When, by the twin's clock.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// Who: `seed`, `automation`, a person's name, or the principal of a request.
    pub actor: String,
    /// Entity of the record.
    pub entity: String,
    /// Id of the record.
    pub id: String,
    /// What kind of change: `create`, `update`, `delete`, or the twin's own word.
    pub kind: String,
    /// The record before; `null` for a new one.
    pub before: Value,
    /// The record after; `null` for a deleted one.
    pub after: Value,
}

/// One request that reached the twin, whether or not it was answered.
#[derive(Debug, Clone, Serialize)]
pub struct Logged {
    /// Rising number, without gaps.
    pub seq: u64,
    /// When, by the twin's clock.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The twin's name for what was asked: `runs.list`, `login`, ...
    pub kind: String,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
    /// The status that was answered; `null` when the connection was closed instead.
    pub status: Option<u16>,
    /// Names of the faults that struck this request.
    pub faults: Vec<String>,
}

fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// Where the time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    Real,
    Set(Timestamp),
}

/// What `save` is asked to do.
#[derive(Debug, Clone)]
pub struct Save<'a> {
    /// Who writes.
    pub actor: &'a str,
    /// What kind of change, for the history.
    pub kind: &'a str,
    /// Entity of the record.
    pub entity: &'a str,
    /// Id of the record.
    pub id: &'a str,
    /// The whole new record.
    pub record: Value,
}

/// Clock, ids, records, history, faults and behaviour of one twin.
pub struct World {
    time: Time,
    skew: SignedDuration,
    seed: u64,
    counter: u64,
    series: BTreeMap<String, u64>,
    store: Store,
    replicas: Vec<Store>,
    history: Vec<Event>,
    requests: Vec<Logged>,
    hidden: BTreeMap<String, Option<Vec<String>>>,
    /// What goes wrong with requests.
    pub faults: Faults,
    /// What the server does to records by itself.
    pub behaviour: Behaviour,
    knobs: Vec<(String, Value)>,
    outgoing: Vec<Outgoing>,
    delivered: usize,
    /// How often each outgoing request is sent: 1, 0 when all get lost, 2 for duplicates.
    pub outgoing_copies: usize,
}

/// What is hidden of an entity: nothing, everything, or some ids.
pub(crate) type Hidden = Option<Option<Vec<String>>>;

/// How many copies of the past are kept while a replica lags.
const REPLICA_DEPTH: usize = 256;

impl World {
    /// An empty world with the real clock; the seed decides all ids.
    pub fn new(seed: u64) -> World {
        World {
            time: Time::Real,
            skew: SignedDuration::ZERO,
            seed,
            counter: 0,
            series: BTreeMap::new(),
            store: Store::default(),
            replicas: Vec::new(),
            history: Vec::new(),
            requests: Vec::new(),
            hidden: BTreeMap::new(),
            faults: Faults::default(),
            behaviour: Behaviour::default(),
            knobs: Vec::new(),
            outgoing: Vec::new(),
            delivered: 0,
            outgoing_copies: 1,
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self.time {
            Time::Real => Timestamp::now(),
            Time::Set(now) => now,
        }
    }

    /// Stops the clock at a moment.
    pub fn set_now(&mut self, now: Timestamp) {
        self.time = Time::Set(now);
    }

    /// Moves a stopped clock on; a running clock is stopped first.
    pub fn advance(&mut self, by: SignedDuration) {
        let now = self.now();
        self.time = Time::Set(now.checked_add(by).unwrap_or(now));
    }

    /// Goes back to the real clock.
    pub fn use_real_time(&mut self) {
        self.time = Time::Real;
    }

    /// By how much the `Date` header of answers is wrong.
    pub fn set_skew(&mut self, skew: SignedDuration) {
        self.skew = skew;
    }

    /// What the `Date` header says.
    pub fn header_date(&self) -> Timestamp {
        let now = self.now();
        now.checked_add(self.skew).unwrap_or(now)
    }

    /// The next number: 1, 2, 3, ...
    pub fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The next number of a series of its own (`runs`): 1, 2, 3, ...
    pub fn next_of(&mut self, series: &str) -> u64 {
        let number = self.series.entry(series.to_owned()).or_insert(0);
        *number += 1;
        *number
    }

    /// 64 bits that follow from the seed and the count alone.
    pub fn next_bits(&mut self) -> u64 {
        let count = self.next_number();
        let mut bits = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// An id of 32 lower-case hex digits.
    pub fn next_hex32(&mut self) -> String {
        format!("{:016x}{:016x}", self.next_bits(), self.next_bits())
    }

    /// One record, if the API's principal may see it.
    pub fn get(&self, entity: &str, id: &str) -> Option<Arc<Value>> {
        if self.is_hidden(entity, id) { None } else { self.store.get(entity, id) }
    }

    /// All records of an entity that the API's principal may see, by id.
    pub fn list(&self, entity: &str) -> Vec<(String, Arc<Value>)> {
        let mut records = self.store.list(entity);
        records.retain(|(id, _)| !self.is_hidden(entity, id));
        records
    }

    /// The records that the API's principal may see with that text in a field, by id.
    pub fn list_where(&self, entity: &str, field: &str, value: &str) -> Vec<(String, Arc<Value>)> {
        let mut records = self.store.list_where(entity, field, value);
        records.retain(|(id, _)| !self.is_hidden(entity, id));
        records
    }

    /// The records with that text in a field, whoever may see them, by id.
    pub fn list_any_where(&self, entity: &str, field: &str, value: &str) -> Vec<(String, Arc<Value>)> {
        self.store.list_where(entity, field, value)
    }

    /// Makes `list_where` quick for a field.
    pub fn index(&mut self, entity: &str, field: &str) {
        self.store.index(entity, field);
    }

    /// One record, whoever may see it.
    pub fn get_any(&self, entity: &str, id: &str) -> Option<Arc<Value>> {
        self.store.get(entity, id)
    }

    /// All records of an entity, whoever may see them, by id.
    pub fn list_any(&self, entity: &str) -> Vec<(String, Arc<Value>)> {
        self.store.list(entity)
    }

    /// The entities and how many records each has.
    pub fn entities(&self) -> Vec<(String, usize)> {
        self.store.entities()
    }

    /// Takes records from the sight of the API's principal: some ids, or the whole entity.
    pub fn hide(&mut self, entity: &str, ids: Option<Vec<String>>) {
        self.hidden.insert(entity.to_owned(), ids);
    }

    /// Gives the sight back.
    pub fn unhide(&mut self, entity: &str) {
        self.hidden.remove(entity);
    }

    pub(crate) fn exchange_hidden(&mut self, entity: &str, hidden: Hidden) -> Hidden {
        match hidden {
            Some(ids) => self.hidden.insert(entity.to_owned(), ids),
            None => self.hidden.remove(entity),
        }
    }

    fn is_hidden(&self, entity: &str, id: &str) -> bool {
        match self.hidden.get(entity) {
            None => false,
            Some(None) => true,
            Some(Some(ids)) => ids.iter().any(|hidden| hidden == id),
        }
    }

    /// Puts a record, after the server's own behaviour had its say, and writes the history.
    ///
    /// Fields that are silently dropped keep the old value, normalisers change what came in, automations
    /// may edit afterwards as an actor of their own. The record as stored is given back.
    pub fn save(&mut self, save: Save<'_>) -> Arc<Value> {
        let before = self.store.get(save.entity, save.id);
        let occasion = Occasion {
            actor: save.actor,
            kind: save.kind,
            entity: save.entity,
            id: save.id,
            before: before.as_deref(),
        };
        let mut record = save.record;
        self.behaviour.shape(&occasion, &mut record);
        let stored = Arc::new(record);
        self.put(&occasion, before.as_deref().cloned(), Arc::clone(&stored));
        let mut automated = (*stored).clone();
        self.behaviour.automate(&occasion, &mut automated);
        if automated == *stored {
            return stored;
        }
        let automated = Arc::new(automated);
        let by_rule = Occasion { actor: "automation", kind: "update", before: None, ..occasion };
        self.put(&by_rule, Some((*stored).clone()), Arc::clone(&automated));
        automated
    }

    fn put(&mut self, occasion: &Occasion<'_>, before: Option<Value>, after: Arc<Value>) {
        self.store.put(occasion.entity, occasion.id, Arc::clone(&after));
        self.note(
            occasion.actor,
            occasion.kind,
            occasion.entity,
            occasion.id,
            before.unwrap_or(Value::Null),
            (*after).clone(),
        );
    }

    /// Takes a record out for good and writes the history.
    pub fn remove(&mut self, actor: &str, kind: &str, entity: &str, id: &str) -> Option<Arc<Value>> {
        let before = self.store.remove(entity, id)?;
        self.note(actor, kind, entity, id, (*before).clone(), Value::Null);
        Some(before)
    }

    /// Adds a line to the history for something that changed no record (a mail, a webhook).
    pub fn note(&mut self, actor: &str, kind: &str, entity: &str, id: &str, before: Value, after: Value) {
        self.history.push(Event {
            seq: self.history.len() as u64 + 1,
            at: self.now(),
            actor: actor.to_owned(),
            entity: entity.to_owned(),
            id: id.to_owned(),
            kind: kind.to_owned(),
            before,
            after,
        });
    }

    /// Everything that happened, oldest first.
    pub fn history(&self) -> &[Event] {
        &self.history
    }

    /// The history of one record.
    pub fn history_of<'w>(&'w self, entity: &'w str, id: &'w str) -> impl Iterator<Item = &'w Event> {
        self.history.iter().filter(move |event| event.entity == entity && event.id == id)
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> &[Logged] {
        &self.requests
    }

    /// How many requests of each kind there were.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for request in &self.requests {
            *counts.entry(request.kind.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// Sends a request to somebody else: kept here, and delivered when the twin is served.
    pub fn send(&mut self, url: &str, headers: Vec<(String, String)>, body: Value) {
        let seq = self.outgoing.len() as u64 + 1;
        self.outgoing.push(Outgoing { seq, url: url.to_owned(), headers, body });
    }

    /// Everything that was to be sent so far, oldest first.
    pub fn outgoing(&self) -> &[Outgoing] {
        &self.outgoing
    }

    /// What has not been handed out for delivery yet, in as many copies as are asked for.
    pub(crate) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        let fresh = self.outgoing.get(self.delivered..).unwrap_or_default();
        let copies = fresh.iter().flat_map(|one| std::iter::repeat_n(one, self.outgoing_copies));
        let copies = copies.cloned().collect();
        self.delivered = self.outgoing.len();
        copies
    }

    /// The value of a twin's own knob, while a fault of that name strikes the request in hand.
    pub fn knob(&self, name: &str) -> Option<&Value> {
        self.knobs.iter().find(|(knob, _)| knob == name).map(|(_, value)| value)
    }

    pub(crate) fn set_knobs(&mut self, knobs: Vec<(String, Value)>) {
        self.knobs = knobs;
    }

    pub(crate) fn log(&mut self, mut logged: Logged) -> u64 {
        logged.seq = self.requests.len() as u64 + 1;
        let seq = logged.seq;
        self.requests.push(logged);
        seq
    }

    pub(crate) fn set_status(&mut self, seq: u64, status: Option<u16>) {
        if let Some(logged) = self.requests.iter_mut().find(|logged| logged.seq == seq) {
            logged.status = status;
        }
    }

    /// Remembers the present for lagging replicas; forgets it all when none lags any more.
    pub(crate) fn remember(&mut self, a_replica_lags: bool) {
        if !a_replica_lags {
            self.replicas.clear();
            return;
        }
        if self.replicas.len() >= REPLICA_DEPTH {
            self.replicas.remove(0);
        }
        self.replicas.push(self.store.clone());
    }

    /// Exchanges the records for those of so many requests ago, until `catch_up` puts them back; some
    /// entities never lag.
    pub(crate) fn fall_behind(&mut self, requests: usize, current: &[&str]) -> Store {
        let index = self.replicas.len().saturating_sub(requests.saturating_add(1));
        let mut past = self.replicas.get(index).cloned().unwrap_or_else(|| self.store.clone());
        for entity in current {
            past.adopt(entity, &self.store);
        }
        std::mem::replace(&mut self.store, past)
    }

    pub(crate) fn catch_up(&mut self, present: Store) {
        self.store = present;
    }
}
