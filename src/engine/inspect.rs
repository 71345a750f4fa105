//! What `check` asks: does every system answer, does every name resolve, does every lens keep its law over the
//! records that are known. It writes to no system, and nothing to the state file but rotated secrets.

use std::collections::BTreeMap;

use super::boot::{Unbuilt, epoch_has_a_place, looking};
use super::context::stream_key;
use super::{Engine, EngineError, Result};
use crate::config::model::Config;
use crate::connector::api::{Capabilities, Listing};
use crate::core::record::Values;
use crate::core::schedule::Schedule;
use crate::core::spec::{SideIx, SideSpec, SyncSpec};
use crate::core::value::FieldType;
use crate::store::Store;
use crate::store::read::View;

/// Records per side over which the lens laws are tried.
const RECORDS: u32 = 1000;

/// What was found about one system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemReport {
    /// Its name.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// Who we are there.
    pub title: Option<String>,
    /// Its clock minus ours.
    pub clock_offset_ms: Option<i64>,
    /// What is wrong; empty: it works.
    pub problems: Vec<String>,
}

/// What was found about one side of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideReport {
    /// The sync.
    pub sync: String,
    /// The side.
    pub side: String,
    /// Its system.
    pub system: String,
    /// Its entity.
    pub entity: String,
    /// Why it cannot be read and written; `None`: every name resolved.
    pub problem: Option<String>,
    /// Not tried, because its system does not work.
    pub skipped: bool,
    /// What its API can do; the guarantee card is computed from it.
    pub capabilities: Option<Capabilities>,
    /// Records over which the lens laws were tried.
    pub records: usize,
    /// Broken laws: per field the smallest record that breaks it.
    pub broken: Vec<BrokenLaw>,
}

/// A lens that does not give back what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLaw {
    /// The field.
    pub field: String,
    /// The smallest record that shows it.
    pub record: String,
    /// What happens to its value.
    pub text: String,
    /// How many of the records break it.
    pub count: usize,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Per system.
    pub systems: Vec<SystemReport>,
    /// Per side.
    pub sides: Vec<SideReport>,
}

impl Inspection {
    /// Nothing is wrong.
    pub fn is_fine(&self) -> bool {
        self.systems.iter().all(|system| system.problems.is_empty())
            && self.sides.iter().all(|side| side.problem.is_none() && !side.skipped && side.broken.is_empty())
    }
}

/// Asks every system and opens every side. `saying` is told what is being done.
///
/// # Errors
/// When the state file cannot be used. What is wrong with systems and sides is in the answer.
pub async fn inspect(config: Config, saying: &(dyn Fn(&str) + Sync)) -> Result<Inspection> {
    let path = config.state.path.clone();
    if let Some(epoch) = &config.state.epoch {
        epoch_has_a_place(epoch)?;
    }
    let (engine, unbuilt) = looking(config)?;
    let mirror = Store::open_readonly(&path)?;
    let mut found = Inspection::default();
    for name in engine.config().systems.keys() {
        saying(&format!("asking {name}"));
        found.systems.push(engine.inspect_system(name, &unbuilt).await?);
    }
    let works: BTreeMap<String, bool> =
        found.systems.iter().map(|system| (system.name.clone(), system.problems.is_empty())).collect();
    for sync in engine.syncs_meant(None)? {
        for (ix, side) in sync.sides.iter().enumerate() {
            saying(&format!("opening {} in {} for {}", side.entity, side.system, sync.name));
            let works = works.get(&side.system).copied().unwrap_or(false);
            let (mut report, shown) = engine.inspect_side(&sync, ix, works).await;
            let (system, entity, template) = stream_key(side);
            let mut documents = mirror.documents(&system, &entity, &template, RECORDS)?;
            if documents.is_empty() {
                documents = shown;
            }
            report.records = documents.len();
            report.broken = broken_laws(&sync, ix, &documents);
            if report.problem.is_none() {
                let pages = mirror.sweep_pages(&system, &entity, &template)?;
                report.problem = pages.and_then(|pages| engine.sweep_does_not_fit(&sync, side, pages));
            }
            found.sides.push(report);
        }
    }
    Ok(found)
}

impl Engine {
    async fn inspect_system(&self, name: &str, unbuilt: &Unbuilt) -> Result<SystemReport> {
        let mut report =
            SystemReport { name: name.to_owned(), connector: self.connector_of(name), ..Default::default() };
        if let Some(problems) = unbuilt.get(name) {
            report.problems.clone_from(problems);
            return Ok(report);
        }
        if let Err(error) = self.probe(name).await {
            report.problems.push(error.to_string());
            return Ok(report);
        }
        let (owned, connector) = (name.to_owned(), report.connector.clone());
        let row = self.store().transact(move |store| store.system_row(&owned, &connector)).await?;
        report.clock_offset_ms = row.clock_offset_ms;
        let owned = name.to_owned();
        let shown = self.store().transact(move |store| store.view(View::Systems, Some(&owned), 1)).await?;
        let title = shown.first().and_then(|row| row.get("title")).and_then(|title| title.as_str());
        report.title = title.map(str::to_owned);
        Ok(report)
    }

    /// Opens a side and reads one page of it: names that an API only knows when it is asked are found by that,
    /// and so are credentials that may log in but not look. Returns what the page showed.
    async fn inspect_side(
        &self,
        sync: &SyncSpec,
        ix: SideIx,
        works: bool,
    ) -> (SideReport, Vec<(String, String)>) {
        let spec = sync.sides.get(ix);
        let text =
            |get: fn(&crate::core::spec::SideSpec) -> &String| spec.map(get).cloned().unwrap_or_default();
        let mut report = SideReport {
            sync: sync.name.clone(),
            side: text(|side| &side.name),
            system: text(|side| &side.system),
            entity: text(|side| &side.entity),
            problem: None,
            skipped: !works,
            capabilities: None,
            records: 0,
            broken: Vec::new(),
        };
        if let Ok(system) = self.system(&report.system) {
            report.capabilities = system.capabilities(&report.entity).ok();
        }
        let mut shown = Vec::new();
        if works {
            match self.first_page(sync, ix).await {
                Ok(page) => shown = page,
                Err(error) => report.problem = Some(error.to_string()),
            }
        }
        (report, shown)
    }

    /// P8: sweeps that would take more than half of what the budget allows in their own period leave nothing for
    /// anything else, and never come round.
    fn sweep_does_not_fit(&self, sync: &SyncSpec, side: &SideSpec, pages: u64) -> Option<String> {
        let per_minute = self.config().systems.get(&side.system)?.budget.per_minute?;
        let schedule = Schedule::parse(&sync.sweep, &self.config().daemon.timezone).ok()?;
        let first = schedule.next_after(self.clock().now())?;
        let second = schedule.next_after(first)?;
        let minutes = u64::try_from(second.duration_since(first).as_mins()).ok()?;
        let allowed = room_for_sweeps(per_minute, minutes);
        (pages > allowed).then(|| {
            format!(
                "the last sweep of {} took {pages} calls; every {minutes} minutes (sweep = \"{}\") the budget of {per_minute} a \
                 minute leaves {allowed} for it. Sweep less often or allow more calls",
                side.entity, sync.sweep
            )
        })
    }

    async fn first_page(&self, sync: &SyncSpec, ix: SideIx) -> Result<Vec<(String, String)>> {
        let port = self.open(sync, ix).await?;
        let creates = sync.sides.get(ix).is_some_and(|side| !side.create_for.is_empty());
        if let Some(why) = port.entity.creates_refused().filter(|_| creates) {
            return Err(EngineError::Refused(format!("records cannot be created here: {why}")));
        }
        let page = port.entity.list(&Listing::Since(None), None).await?;
        let limit = usize::try_from(RECORDS).unwrap_or(usize::MAX);
        let mut shown = Vec::new();
        for item in page.items.iter().take(limit) {
            let record = port.entity.decode(&item.raw)?;
            if let Ok(document) = record.canonical() {
                shown.push((record.id, document));
            }
        }
        Ok(shown)
    }
}

/// How many calls of a sweep fit into its own period: half of the budget, the other half is for everything else.
fn room_for_sweeps(per_minute: u32, minutes: u64) -> u64 {
    u64::from(per_minute).saturating_mul(minutes.max(1)) / 2
}

/// The fields of a side whose lens breaks its law over these records; per field the smallest counter-example.
fn broken_laws(sync: &SyncSpec, side: SideIx, documents: &[(String, String)]) -> Vec<BrokenLaw> {
    let records: Vec<(&str, Values)> = documents
        .iter()
        .filter_map(|(rid, document)| Some((rid.as_str(), serde_json::from_str(document).ok()?)))
        .collect();
    let mut broken = Vec::new();
    for field in &sync.fields {
        let Some(Some(lens)) = field.lenses.get(side) else { continue };
        // What a reference writes is another record's id: it has no law of its own.
        if matches!(field.kind, FieldType::Ref(_)) {
            continue;
        }
        let failures: Vec<(&str, String)> = records
            .iter()
            .filter_map(|(rid, values)| lens.check_law(values).err().map(|text| (*rid, text)))
            .collect();
        let smallest = failures.iter().min_by_key(|(rid, text)| (text.chars().count(), *rid));
        if let Some((record, text)) = smallest {
            broken.push(BrokenLaw {
                field: field.name.clone(),
                record: (*record).to_owned(),
                text: text.clone(),
                count: failures.len(),
            });
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_may_take_half_of_the_budget_of_its_own_period() {
        assert_eq!(room_for_sweeps(100, 24 * 60), 72_000);
        assert_eq!(room_for_sweeps(100, 1), 50);
        assert_eq!(room_for_sweeps(1, 0), 0, "a period under a minute leaves nothing");
    }

    fn sync(read: &str) -> SyncSpec {
        let text = format!(
            r#"
[systems.a]
connector = "netsuite"
[systems.b]
connector = "salesforce"
[[sync]]
name = "orders"
schedule = "*/5 * * * *"
sweep = "0 3 * * *"
[sync.sides.a]
entity = "salesOrder"
[sync.sides.b]
entity = "Opportunity"
[sync.fields.number]
key = true
a = "tranId"
b = "Number"
[sync.fields.memo]
a = {{ path = "memo", {read} }}
b = "Memo"
"#
        );
        let config = crate::config::load_text(
            std::path::Path::new("/nowhere/sync.toml"),
            &text,
            std::iter::empty(),
            &[],
        );
        config.unwrap_or_else(|problems| panic!("{problems}")).syncs.remove(0)
    }

    fn document(rid: &str, memo: &str) -> (String, String) {
        (rid.to_owned(), format!(r#"{{"tranId":"{rid}","memo":"{memo}"}}"#))
    }

    #[test]
    fn the_smallest_counter_example_is_shown() {
        let lossy = sync(r#"read = "value | upper", write = "value ~ '!'""#);
        let documents = [document("1", "a long memo"), document("2", "b"), ("3".into(), "{}".into())];
        let broken = broken_laws(&lossy, 0, &documents);
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert_eq!((broken[0].field.as_str(), broken[0].record.as_str(), broken[0].count), ("memo", "2", 2));
        assert!(broken[0].text.contains("B!"), "{}", broken[0].text);
    }

    #[test]
    fn a_faithful_lens_breaks_nothing() {
        let faithful = sync(r#"values = { x = "one", y = "two" }"#);
        assert_eq!(broken_laws(&faithful, 0, &[document("1", "x"), document("2", "y")]), []);
        assert_eq!(broken_laws(&faithful, 1, &[]), []);
    }
}
