//! One history: a random world, what people and the network do to it, and what the program makes of it.
//!
//! It acts and writes down; `oracles.rs` judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use tallysync::engine::pass::{PassOptions, PassReport};
use tallysync::engine::{Engine, boot};
use tallysync::store::Store;
use tallysync::store::handle::Handle;
use tallysync::store::read::{Row, View};
use twins::kit::Normalise;

use super::wire::{Death, Wire};
use crate::support::cast::{Actor, is_write};
use crate::support::clock::{TestClock, TestRandom};
use crate::support::world::{SIDES, SYNC, number, text};

/// The fields that people edit.
pub const FIELDS: [&str; 3] = ["amount", "ship_date", "memo"];

/// Random numbers that follow from the seed of a history.
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 11).expect("a 64-bit machine") % limit.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What a person entered.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The side, a place in [`SIDES`].
    pub side: usize,
    /// What the side showed afterwards.
    pub value: String,
    /// What the person saw there before, where that is known.
    pub saw: Option<String>,
}

/// Entries about one field of one order since all sides last agreed on it.
#[derive(Debug, Clone, Default)]
pub struct Unsettled {
    /// In order.
    pub entries: Vec<Entry>,
    /// A person also decided a question meanwhile.
    pub decided: bool,
    /// What everybody showed before.
    pub before: String,
}

/// One history while it happens.
pub struct Story {
    /// Who plays each side.
    pub cast: Vec<Actor>,
    /// Everything that happened, in words.
    pub told: Vec<String>,
    /// What is not settled yet, by order and field.
    pub unsettled: BTreeMap<(String, &'static str), Unsettled>,
    /// Orders of which a person took a record away.
    pub deleted: BTreeSet<String>,
    /// Fields that some server normalises, and how.
    pub normalised: Vec<(&'static str, Normalise)>,
    /// Fields without a rule: whoever differs there is asked about.
    pub asks: Vec<&'static str>,
    /// The side that owns the amount.
    pub owner: Option<usize>,
    /// Where the state file is.
    pub folder: tempfile::TempDir,
    pub(super) clock: Arc<TestClock>,
    pub(super) wire: Arc<Wire>,
    /// A person edits during the pass that runs.
    pub(super) meanwhile: bool,
    /// The order and field that people are busy with.
    pub(super) hot: (String, &'static str),
    store: Handle,
    random: Arc<TestRandom>,
    engine: Option<Engine>,
    pub(super) dice: Dice,
    pub(super) orders: usize,
    pub(super) values: usize,
}

/// What went against a promise, in one sentence.
pub type Verdict = Result<(), String>;

impl Story {
    /// A world that follows from the seed: its config, its orders, the program over it.
    pub fn new(seed: u64, cast: Vec<Actor>) -> Story {
        let mut dice = Dice::new(seed);
        let mut owner = None;
        let setup = super::people::setup(&mut dice, &mut owner);
        let ruled = |field: &str| {
            let options = setup.fields.iter().find(|(name, _)| name == field).map(|(_, options)| options);
            options.is_some_and(|options| options.contains("conflict") || options.contains("owner"))
        };
        let asks = FIELDS.into_iter().filter(|field| !ruled(field)).collect();
        let hubs: Vec<_> = cast.iter().map(|actor| Arc::clone(actor.hub())).collect();
        let clock = Arc::new(TestClock::new(hubs.clone()));
        let wire = Arc::new(Wire::new(hubs));
        // Memory, where the machine offers a folder in it: thousands of histories commit often.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let addresses = wire.addresses();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let config = setup.config_text(&cast, &addresses, folder.path(), None);
        std::fs::write(folder.path().join("sync.toml"), &config).expect("the config is stored");
        let store = Store::open(&folder.path().join("state.db")).expect("a new state file opens");
        let rules = config.split("[[sync]]").nth(1).unwrap_or_default();
        let rules = rules.lines().filter(|line| {
            ["first", "conflict", "owner", "create", "on_delete", "deletes"]
                .iter()
                .any(|w| line.starts_with(w))
        });
        let told = vec![format!("the config: {}", rules.collect::<Vec<_>>().join("; "))];
        let mut story = Story {
            cast,
            told,
            unsettled: BTreeMap::new(),
            deleted: BTreeSet::new(),
            normalised: Vec::new(),
            asks,
            owner,
            folder,
            clock,
            wire,
            meanwhile: false,
            hot: (String::new(), "memo"),
            store: Handle::inline(store),
            random: Arc::new(TestRandom::default()),
            engine: None,
            dice,
            orders: 0,
            values: 0,
        };
        story.start();
        story
    }

    fn start(&mut self) {
        self.engine = None;
        let path = self.folder.path().join("sync.toml");
        let config = tallysync::config::load(&path, std::iter::empty(), &[])
            .unwrap_or_else(|problems| panic!("the config of a history: {problems}"));
        let engine = boot::over(
            config,
            self.store.clone(),
            Arc::clone(&self.wire) as _,
            Arc::clone(&self.clock) as _,
            Arc::clone(&self.random) as _,
        );
        self.engine = Some(engine.expect("the program starts"));
    }

    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the program runs")
    }

    /// Rows of a view.
    pub async fn rows(&self, view: View) -> Vec<Row> {
        let rows = self.store.transact(move |store| store.view(view, None, 10_000)).await;
        rows.expect("the view can be read")
    }

    /// Write requests so far, on all sides.
    pub fn writes(&self) -> usize {
        let count = |actor: &Actor| actor.hub().world().requests().iter().filter(|r| is_write(r)).count();
        self.cast.iter().map(count).sum()
    }

    /// Ids of the records of an order on a side that are not archived.
    pub fn live(&self, side: usize, order: &str) -> Vec<String> {
        let actor = &self.cast[side];
        let is_it = |id: &String| actor.shows(id, "order_no") == order && !actor.is_archived(id);
        actor.ids().into_iter().filter(is_it).collect()
    }

    /// All order numbers that stand on some side.
    pub fn order_numbers(&self) -> BTreeSet<String> {
        let of = |actor: &Actor| {
            actor.ids().into_iter().map(|id| actor.shows(&id, "order_no")).collect::<Vec<_>>()
        };
        self.cast.iter().flat_map(of).filter(|order| order.starts_with("H-")).collect()
    }

    pub(super) fn tell(&mut self, what: impl Into<String>) {
        use tallysync::ports::Clock;
        let line = format!("{:.0}  {}", self.clock.now(), what.into());
        self.told.push(line);
    }

    // ---- the course of a history ---------------------------------------------------------------------

    /// Everything, from the first orders to the quiet end.
    pub async fn run(&mut self) -> Verdict {
        for _ in 0..3 + self.dice.below(6) {
            self.enter_order();
        }
        for _ in 0..self.dice.below(3) {
            self.fault();
            self.pass(PassOptions::default(), None).await?;
        }
        self.clear_faults();
        self.accept().await?;
        for _ in 0..10 + self.dice.below(31) {
            self.step().await?;
        }
        self.calm_down().await
    }

    async fn accept(&mut self) -> Verdict {
        for _ in 0..10 {
            self.clock.advance(SignedDuration::from_mins(30));
            let sync = self.engine().sync_named(SYNC).expect("the config has it");
            let printed =
                self.engine().plan(&sync, true).await.map_err(|error| format!("no plan: {error}"))?;
            if !printed.failures.is_empty() {
                self.tell(format!("a plan, in spite of {:?}", printed.failures));
                continue;
            }
            if self.writes() > 0 {
                return Err("something was written before the plan was accepted".to_owned());
            }
            self.engine().accept(&sync, None).await.map_err(|error| format!("no acceptance: {error}"))?;
            self.tell("the plan is accepted");
            return Ok(());
        }
        Err("no plan could be printed although nothing fails any more".to_owned())
    }

    async fn step(&mut self) -> Verdict {
        let seconds = 1 + self.dice.below(90);
        self.clock.advance(SignedDuration::from_secs(i64::try_from(seconds).expect("a small number")));
        match self.dice.below(100) {
            0..=38 => self.edit(),
            39..=43 => self.enter_order(),
            44..=46 => self.take_away(),
            47..=49 => self.touch_all(),
            50..=51 => self.normalise(),
            52..=61 => self.fault(),
            62..=66 => {
                let death = Death { after: self.dice.below(25), arrives: self.dice.chance(60) };
                self.pass(PassOptions::default(), Some(death)).await?;
            }
            67..=69 => {
                let minutes = *self.dice.pick(&[5, 65, 1500]);
                self.clock.advance(SignedDuration::from_mins(minutes));
                self.tell(format!("{minutes} minutes go by"));
            }
            70..=74 => {
                self.pass(PassOptions { sweep: true, ..PassOptions::default() }, None).await?;
            }
            75..=79 => self.resolve().await?,
            80..=81 => self.approve().await?,
            82..=84 => self.clear_faults(),
            85..=89 => self.edit_meanwhile().await?,
            _ => {
                let options = PassOptions { settle: self.dice.chance(20), ..PassOptions::default() };
                self.pass(options, None).await?;
            }
        }
        Ok(())
    }

    /// Nothing fails any more, nobody does anything: the program must come to rest, and stay there.
    async fn calm_down(&mut self) -> Verdict {
        self.clear_faults();
        self.tell("from here on nobody does anything and nothing fails");
        let mut quiet = 0;
        let mut last = String::new();
        for round in 0..40 {
            let minutes = if round < 8 { 70 } else { 10 };
            self.clock.advance(SignedDuration::from_mins(minutes));
            let before = self.writes();
            let options = PassOptions { sweep: round % 4 == 1, ..PassOptions::default() };
            let report = self.pass(options, None).await?;
            let moving = self.rows(View::OpenWrites).await;
            let moving =
                moving.iter().filter(|row| ["new", "open", "sent"].contains(&text(row, "state").as_str()));
            let moving: Vec<String> = moving.map(|row| format!("{row:?}")).collect();
            let report = report.unwrap_or_default();
            if let Some(idle) = report.idle {
                return Err(format!("it does nothing any more: {idle}"));
            }
            let failures = report.failures;
            let rests = self.writes() == before && failures.is_empty() && moving.is_empty();
            last = format!("{} writes, failures {failures:?}, under way {moving:?}", self.writes() - before);
            quiet = if rests { quiet + 1 } else { 0 };
            // Three quiet passes beyond the first, one of them a sweep.
            if quiet > 5 && round > 8 {
                return Ok(());
            }
        }
        Err(format!("it does not come to rest: {last}"))
    }

    // ---- what the program does -----------------------------------------------------------------------

    pub(super) async fn pass(
        &mut self,
        options: PassOptions,
        death: Option<Death>,
    ) -> Result<Option<PassReport>, String> {
        let kind = if options.sweep { "sweep" } else { "pass" };
        self.clock.advance(SignedDuration::from_secs(15));
        let before: Vec<usize> = self.cast.iter().map(|actor| actor.hub().world().requests().len()).collect();
        self.wire.arm(death);
        let sync = self.engine().sync_named(SYNC).expect("the config has it");
        let outcome = tokio::select! {
            biased;
            () = self.wire.dead() => None,
            outcome = self.engine().pass(&sync, options) => Some(outcome),
        };
        self.wire.arm(None);
        self.tell_requests(&before);
        match outcome {
            None => {
                self.tell(format!("the program was killed in this {kind}: {death:?}; it starts again"));
                self.start();
                let recovered = self.engine().recover_start().await;
                recovered.map_err(|error| format!("it does not start again: {error}"))?;
                Ok(None)
            }
            Some(Err(error)) => Err(format!("the {kind} stopped: {error}")),
            Some(Ok(report)) => {
                self.tell(format!(
                    "{kind}: {} changed, {} links, {:?}, failures {:?}, held {:?}, idle {:?}",
                    report.changed, report.decided, report.applied, report.failures, report.held, report.idle
                ));
                if report.failures.is_empty() && report.idle.is_none() && !options.settle && !self.meanwhile {
                    self.settle().await;
                }
                Ok(Some(report))
            }
        }
    }

    fn tell_requests(&mut self, before: &[usize]) {
        let mut lines = Vec::new();
        for ((name, actor), before) in SIDES.iter().zip(&self.cast).zip(before) {
            let world = actor.hub().world();
            for request in world.requests().iter().skip(*before) {
                if is_write(request) || !request.faults.is_empty() {
                    let body: String = request.body.chars().take(300).collect();
                    let (method, target) = (&request.method, &request.target);
                    let struck = if request.faults.is_empty() {
                        String::new()
                    } else {
                        format!(" STRUCK BY {:?}", request.faults)
                    };
                    lines.push(format!(
                        "    {name}: {method} {target} {body} -> {:?}{struck}",
                        request.status
                    ));
                }
            }
        }
        self.told.extend(lines);
    }

    /// Forgets what all sides agree on by now.
    async fn settle(&mut self) {
        if self.cast.iter().any(|actor| !actor.hub().world().faults.pending().is_empty()) {
            return;
        }
        let mut busy: BTreeSet<i64> = BTreeSet::new();
        for view in [View::OpenWrites, View::Conflicts] {
            busy.extend(self.rows(view).await.iter().map(|row| number(row, "link")));
        }
        let links = self.links().await;
        let mut settled = Vec::new();
        for (order, field) in self.unsettled.keys() {
            let Some((link, members)) = links.iter().find(|(_, members)| {
                members.len() == 3
                    && members.iter().all(|(side, id)| self.cast[*side].shows(id, "order_no") == *order)
            }) else {
                continue;
            };
            let shown: Vec<String> =
                members.iter().map(|(side, id)| self.cast[*side].shows(id, field)).collect();
            if !busy.contains(link) && shown.iter().all(|value| *value == shown[0]) {
                settled.push(((order.clone(), *field), shown[0].clone()));
            }
        }
        for (key, value) in settled {
            self.unsettled.insert(key, Unsettled { before: value, ..Unsettled::default() });
        }
    }

    /// The live links with their members: side and id.
    pub async fn links(&self) -> BTreeMap<i64, Vec<(usize, String)>> {
        let mut links: BTreeMap<i64, Vec<(usize, String)>> = BTreeMap::new();
        for row in self.rows(View::Links).await {
            let side = SIDES.iter().position(|name| *name == text(&row, "side"));
            if text(&row, "state") == "live"
                && let Some(side) = side
            {
                links.entry(number(&row, "id")).or_default().push((side, text(&row, "record")));
            }
        }
        links
    }
}
