//! A system that holds its records in memory, behind the same trait as every real one. It computes a record from
//! its number, so that it costs next to nothing itself; only what was changed is stored. It must not know who asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value as Json, json};
use tallysync::connector::api::{
    Capabilities, CreateIdentity, DeleteVisibility, Entity, EntityRequest, Failure, FailureClass, FindPaths,
    Listing, ListingKind, Lookup, NewRecord, Page, Probe, RawItem, Removal, System, Tombstones,
    WriteCondition, Written,
};
use tallysync::core::record::{Record, Values};
use tallysync::ports::BoxFuture;

/// The fields of a record, and their types in the config.
pub const FIELDS: [(&str, &str); 8] = [
    ("number", "text"),
    ("status", "text"),
    ("total", "decimal(2)"),
    ("tax", "decimal(2)"),
    ("ordered", "date"),
    ("approved", "boolean"),
    ("owner", "text"),
    ("memo", "text"),
];

/// Items of one page.
const PAGE: usize = 500;

/// The first id; all ids are numbers of one length.
const FIRST: usize = 10_000_000;

/// One side: so many records, all alike on every side but for the memo.
pub struct Memory {
    records: usize,
    memo: String,
    changed: Mutex<Changed>,
}

#[derive(Default)]
struct Changed {
    values: BTreeMap<usize, Values>,
    /// Numbers that the next incremental listing shows.
    fresh: Vec<usize>,
}

impl Memory {
    /// A system of so many records whose memo says this.
    pub fn new(records: usize, memo: &str) -> Arc<Self> {
        Arc::new(Self { records, memo: memo.to_owned(), changed: Mutex::default() })
    }

    /// A person changes the memo of these records.
    pub fn edit(&self, numbers: impl Iterator<Item = usize>, memo: &str) {
        for number in numbers {
            self.set(number, &Values::from([("memo".to_owned(), json!(memo))]));
        }
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, number: usize, changes: &Values) {
        let mut values = self.values(number);
        values.extend(changes.clone());
        let mut changed = self.changed();
        changed.values.insert(number, values);
        changed.fresh.push(number);
    }

    fn values(&self, number: usize) -> Values {
        if let Some(values) = self.changed().values.get(&number) {
            return values.clone();
        }
        let day = 1 + number % 28;
        [
            json!(format!("SO-{number:07}")),
            json!(if number.is_multiple_of(3) { "open" } else { "approved" }),
            json!(format!("{number}.50")),
            json!(format!("{}.19", number / 5)),
            json!(format!("2026-03-{day:02}")),
            json!(number.is_multiple_of(2)),
            json!(format!("person {}", number % 40)),
            json!(self.memo),
        ]
        .into_iter()
        .zip(FIELDS)
        .map(|(value, (field, _))| (field.to_owned(), value))
        .collect()
    }

    fn record(&self, number: usize) -> Record {
        Record {
            id: (FIRST + number).to_string(),
            version: None,
            updated_at: None,
            archived: false,
            values: self.values(number),
        }
    }

    fn item(&self, number: usize) -> RawItem {
        let raw = json!([(FIRST + number).to_string(), self.values(number)]).to_string();
        RawItem { id: (FIRST + number).to_string(), raw }
    }

    fn page(&self, listing: &Listing, page: Option<&str>) -> Page {
        let cursor = Some("later".to_owned());
        if matches!(listing, Listing::Since(_)) {
            let fresh = std::mem::take(&mut self.changed().fresh);
            let items = fresh.into_iter().map(|number| self.item(number)).collect();
            return Page { items, cursor, ..Page::default() };
        }
        let from: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let to = (from + PAGE).min(self.records);
        let items = (from..to).map(|number| self.item(number)).collect();
        let next = (to < self.records).then(|| to.to_string());
        Page { items, next, cursor, total: u64::try_from(self.records).ok(), incomplete: None }
    }
}

fn number_of(id: &str) -> usize {
    id.parse::<usize>().map_or(0, |id| id - FIRST)
}

fn unasked<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::new(FailureClass::Invalid, what, "the benchmark asks for no such thing"))
}

/// The system, and its one entity.
pub struct Orders(pub Arc<Memory>);

impl System for Orders {
    fn capabilities(&self, _entity: &str) -> Result<Capabilities, Failure> {
        Ok(Capabilities {
            condition: WriteCondition::Exact,
            create: CreateIdentity::External,
            deletes: DeleteVisibility::ById,
            not_found_is_gone: true,
            listing: ListingKind::Stable,
            incremental: true,
            partial_update: true,
            read_your_writes: true,
            ids_never_reused: true,
            find: FindPaths::Any,
            archive: false,
            delete: false,
            condition_note: None,
        })
    }

    fn definition(&self) -> String {
        "memory".to_owned()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Failure>> {
        Box::pin(async { Ok(Probe { fingerprint: "memory".to_owned(), ..Probe::default() }) })
    }

    fn open(&self, _request: EntityRequest) -> BoxFuture<'_, Result<Arc<dyn Entity>, Failure>> {
        let entity: Arc<dyn Entity> = Arc::new(Self(Arc::clone(&self.0)));
        Box::pin(async { Ok(entity) })
    }
}

impl Entity for Orders {
    fn form(&self) -> &str {
        "memory"
    }

    fn list<'a>(
        &'a self,
        listing: &'a Listing,
        page: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, Failure>> {
        Box::pin(async move { Ok(self.0.page(listing, page)) })
    }

    fn decode(&self, raw: &str) -> Result<Record, Failure> {
        let (id, values): (String, Values) = serde_json::from_str(raw)
            .map_err(|error| Failure::new(FailureClass::Bug, "decode", error.to_string()))?;
        Ok(Record { id, version: None, updated_at: None, archived: false, values })
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Lookup, Failure>> {
        Box::pin(async move { Ok(Lookup::Found(self.0.record(number_of(id)))) })
    }

    fn find<'a>(&'a self, _path: &'a str, _value: &'a Json) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(async { unasked("find") })
    }

    fn find_marked<'a>(&'a self, _mark: &'a str) -> BoxFuture<'a, Result<Vec<Record>, Failure>> {
        Box::pin(async { unasked("find by mark") })
    }

    fn create<'a>(&'a self, _new: &'a NewRecord) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(async { unasked("create") })
    }

    fn update<'a>(
        &'a self,
        expected: &'a Record,
        changes: &'a Values,
    ) -> BoxFuture<'a, Result<Written, Failure>> {
        let number = number_of(&expected.id);
        self.0.set(number, changes);
        let record = self.0.record(number);
        Box::pin(async { Ok(Written { record: Some(record), ..Written::default() }) })
    }

    fn remove<'a>(&'a self, _expected: &'a Record, _how: Removal) -> BoxFuture<'a, Result<Written, Failure>> {
        Box::pin(async { unasked("remove") })
    }

    fn tombstones<'a>(&'a self, _since: Option<&'a str>) -> BoxFuture<'a, Result<Tombstones, Failure>> {
        Box::pin(async { unasked("list what was deleted") })
    }
}
