//! A world for stories: three twins on loopback, a real state file, a real config, and the engine over them.
//!
//! Each side is named as in the shipped `sync.toml`: `erp`, `tallyfy`, `crm`. A story edits as a person, lets
//! the program pass, and looks at what every side shows. Time moves only through [`World::later`] and
//! [`World::pass`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;
use tallysync::core::spec::SyncSpec;
use tallysync::engine::accept::{Accepted, Printed};
use tallysync::engine::pass::{PassOptions, PassReport};
use tallysync::engine::{Engine, boot};
use tallysync::ports::real::HttpTransport;
use tallysync::store::Store;
use tallysync::store::handle::Handle;
use tallysync::store::read::{Row, View};
use twins::kit::{Running, Tls, start};

use super::cast::{Actor, is_write};
use super::clock::{TestClock, TestRandom};

/// The sides, in the order of the config.
pub const SIDES: [&str; 3] = ["erp", "tallyfy", "crm"];
/// The sync of the stories.
pub const SYNC: &str = "orders";

/// What a story changes about the usual config.
#[derive(Clone)]
pub struct Setup {
    /// Lines of `[[sync]]`.
    pub sync: Vec<String>,
    /// Lines of a side, by its name.
    pub sides: BTreeMap<String, Vec<String>>,
    /// Name and options of every field.
    pub fields: Vec<(String, String)>,
    /// Lines of `[sync.guard]`.
    pub guard: Vec<String>,
    /// Sides that lack a field, by its name.
    pub lacking: BTreeMap<String, Vec<String>>,
    /// Whole tables before the sync: syncs that it refers to.
    pub before: String,
    /// `auth` of a side's system, where it is not the personal token of its actor.
    pub auth: BTreeMap<String, String>,
}

impl Default for Setup {
    fn default() -> Setup {
        let fields = [
            ("order_no", "key = true"),
            ("amount", "type = \"decimal(2)\""),
            ("ship_date", "type = \"date\""),
            ("memo", ""),
        ];
        Setup {
            sync: Vec::new(),
            sides: BTreeMap::new(),
            fields: fields.map(|(name, options)| (name.to_owned(), options.to_owned())).into(),
            guard: Vec::new(),
            lacking: BTreeMap::new(),
            before: String::new(),
            auth: BTreeMap::new(),
        }
        .side("tallyfy", "create = [\"erp\"]")
        .side("crm", "create = [\"erp\"]")
    }
}

impl Setup {
    /// One more line of `[[sync]]`.
    pub fn sync(mut self, line: &str) -> Setup {
        self.sync.push(line.to_owned());
        self
    }

    /// One more line of a side.
    pub fn side(mut self, side: &str, line: &str) -> Setup {
        self.sides.entry(side.to_owned()).or_default().push(line.to_owned());
        self
    }

    /// The options of a field, which is added when it is not there.
    pub fn field(mut self, name: &str, options: &str) -> Setup {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => options.clone_into(known),
            None => self.fields.push((name.to_owned(), options.to_owned())),
        }
        self
    }

    /// A side that has no such field.
    pub fn lacks(mut self, side: &str, field: &str) -> Setup {
        self.lacking.entry(field.to_owned()).or_default().push(side.to_owned());
        self
    }

    /// Another sync, which this one refers to.
    pub fn before(mut self, tables: &str) -> Setup {
        self.before += tables;
        self
    }

    /// One more line of `[sync.guard]`.
    pub fn guard(mut self, line: &str) -> Setup {
        self.guard.push(line.to_owned());
        self
    }

    /// No counterpart is ever made.
    pub fn without_creates(mut self) -> Setup {
        for lines in self.sides.values_mut() {
            lines.retain(|line| !line.starts_with("create"));
        }
        self
    }

    /// The config of this setup for a cast that is reached at these addresses. Tokens and the state file stand
    /// in the folder.
    pub fn config_text(
        &self,
        cast: &[Actor],
        addresses: &[&str],
        folder: &Path,
        epoch: Option<&Path>,
    ) -> String {
        let mut text = format!("[state]\npath = \"{}/state.db\"\n", folder.display());
        if let Some(epoch) = epoch {
            text += &format!("epoch = \"{}\"\n", epoch.display());
        }
        for ((name, actor), address) in SIDES.iter().zip(cast).zip(addresses) {
            let token = folder.join(format!("{name}.token"));
            std::fs::write(&token, actor.token()).expect("the token is stored");
            text += &format!(
                "[systems.{name}]\n{}base_url = \"{address}\"\nbudget = {{ per_minute = 100000 }}\n\
                 auth = {}\n",
                actor.system(),
                self.auth.get(*name).cloned().unwrap_or_else(|| format!(
                    "{{ kind = \"token\", token = {{ file = \"{}\" }} }}",
                    token.display()
                ))
            );
        }
        text += &self.before;
        text += &format!("[[sync]]\nname = \"{SYNC}\"\n{}\n", self.sync.join("\n"));
        for (name, actor) in SIDES.iter().zip(cast) {
            let lines = self.sides.get(*name).map(|lines| lines.join("\n")).unwrap_or_default();
            text += &format!("[sync.sides.{name}]\n{}{lines}\n", actor.side());
        }
        for (field, options) in &self.fields {
            text += &format!("[sync.fields.{field}]\n{options}\n");
            for (name, actor) in SIDES.iter().zip(cast) {
                let has_own = options.lines().any(|line| line.trim_start().starts_with(&format!("{name} =")));
                let lacks =
                    self.lacking.get(field).is_some_and(|sides| sides.iter().any(|side| side == name));
                if !has_own && !lacks {
                    text += &format!("{name} = \"{}\"\n", actor.path(field));
                }
            }
        }
        if !self.guard.is_empty() {
            text += &format!("[sync.guard]\n{}\n", self.guard.join("\n"));
        }
        text
    }
}

/// Three twins, a state file, and the engine.
pub struct World {
    /// Who plays each side, in the order of [`SIDES`].
    pub cast: Vec<Actor>,
    /// The config now.
    pub setup: Setup,
    /// The time.
    pub clock: Arc<TestClock>,
    /// The epoch file outside the state file, where one is configured.
    pub epoch: Option<PathBuf>,
    served: Vec<Running>,
    folder: tempfile::TempDir,
    engine: Option<Engine>,
    counted: Vec<usize>,
}

impl World {
    /// A world whose three sides are Tallyfy organisations: every field can be written on every side.
    pub async fn new(setup: Setup) -> World {
        World::with(vec![Actor::tallyfy(11), Actor::tallyfy(22), Actor::tallyfy(33)], setup).await
    }

    /// The world of the shipped `sync.toml`: NetSuite, Tallyfy, Salesforce.
    pub async fn shipped(setup: Setup) -> World {
        World::with(vec![Actor::netsuite(), Actor::tallyfy(22), Actor::salesforce()], setup).await
    }

    /// The same with one order in the ERP, linked on all sides.
    pub async fn shipped_with_order(setup: Setup) -> World {
        let mut world = World::shipped(setup).await;
        world.add("erp", "SO-1", "12500", "hello");
        world.plan_and_accept().await;
        world.expect("SO-1", "amount", "12500");
        world
    }

    /// A world with this cast.
    pub async fn with(cast: Vec<Actor>, setup: Setup) -> World {
        let mut served = Vec::new();
        for actor in &cast {
            let address = ([127, 0, 0, 1], 0).into();
            served.push(start(Arc::clone(actor.hub()), address, Tls::Off).await.expect("a twin listens"));
        }
        let clock = Arc::new(TestClock::new(cast.iter().map(|actor| Arc::clone(actor.hub())).collect()));
        let folder = tempfile::tempdir().expect("a folder for the story");
        let counted = vec![0; cast.len()];
        let mut world =
            World { cast, setup: setup.clone(), clock, epoch: None, served, folder, engine: None, counted };
        world.reconfigure(setup).await;
        world
    }

    /// Stops the program and starts it again with another config over the same state file.
    pub async fn reconfigure(&mut self, setup: Setup) {
        if let Err(problem) = self.try_reconfigure(setup).await {
            panic!("the program does not start: {problem}");
        }
    }

    /// The same, for a config that may be refused.
    pub async fn try_reconfigure(&mut self, setup: Setup) -> Result<(), String> {
        self.try_start(setup)?;
        self.engine().check_epoch().await.map_err(|error| error.to_string())?;
        self.engine().recover_start().await.map_err(|error| error.to_string())?;
        Ok(())
    }

    fn try_start(&mut self, setup: Setup) -> Result<(), String> {
        self.engine = None;
        self.setup = setup;
        let path = self.folder.path().join("sync.toml");
        std::fs::write(&path, self.config_text()).map_err(|error| error.to_string())?;
        let config = tallysync::config::load(&path, std::iter::empty(), &[])
            .map_err(|problems| format!("{problems}"))?;
        let store = open_when_free(&config.state.path)?;
        let transport = HttpTransport::with_authorities(None)?;
        let clock = Arc::clone(&self.clock);
        let engine = boot::over(
            config,
            Handle::inline(store),
            Arc::new(transport),
            clock,
            Arc::new(TestRandom::default()),
        )
        .map_err(|error| error.to_string())?;
        self.engine = Some(engine);
        Ok(())
    }

    fn config_text(&self) -> String {
        let addresses: Vec<&str> = self.served.iter().map(|served| served.base_url.as_str()).collect();
        self.setup.config_text(&self.cast, &addresses, self.folder.path(), self.epoch.as_deref())
    }

    /// Stops the program and copies its state file.
    pub fn copy_state(&mut self, to: &Path) {
        self.engine = None;
        let state = rusqlite::Connection::open(self.folder.path().join("state.db")).expect("the state file");
        state.execute("VACUUM INTO ?1", [to.display().to_string()]).expect("a copy");
        drop(state);
        let setup = self.setup.clone();
        self.try_start(setup).expect("the program starts again");
    }

    /// Stops the program and puts an old copy in the place of its state file.
    pub fn restore_state(&mut self, from: &Path) {
        self.engine = None;
        for name in ["state.db-wal", "state.db-shm"] {
            // They are gone when the file was closed cleanly.
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
        std::fs::copy(from, self.folder.path().join("state.db")).expect("the copy is put back");
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the program runs")
    }

    /// The sync of the stories.
    pub fn sync(&self) -> Arc<SyncSpec> {
        self.engine().sync_named(SYNC).expect("the config has the sync")
    }

    /// Who plays a side.
    pub fn on(&self, side: &str) -> &Actor {
        let place = SIDES.iter().position(|name| *name == side);
        &self.cast[place.unwrap_or_else(|| panic!("there is no side {side}"))]
    }

    // ---- what people do ------------------------------------------------------------------------------

    /// Somebody enters an order on a side: number, amount, memo. Gives its id there.
    pub fn add(&self, side: &str, number: &str, amount: &str, memo: &str) -> String {
        let text = |text: &str| Value::from(text);
        self.on(side).add(&[
            ("order_no", text(number)),
            ("amount", text(amount)),
            ("memo", text(memo)),
            ("ship_date", text("2031-01-31T00:00:00.000Z")),
        ])
    }

    /// Somebody edits a field of an order on a side, ten seconds after whatever happened last.
    pub fn edit(&self, side: &str, number: &str, field: &str, value: impl Into<Value>) {
        self.later(10);
        let id = self.id(side, number);
        self.on(side).edit(&id, field, value.into());
    }

    /// Time goes by.
    pub fn later(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    // ---- what the program does -----------------------------------------------------------------------

    /// Two minutes later, the schedule's next pass; without waiting for changes to settle.
    pub async fn pass(&self) -> PassReport {
        self.later(120);
        self.pass_now(PassOptions::default()).await
    }

    /// The same with a complete listing.
    pub async fn sweep(&self) -> PassReport {
        self.later(120);
        self.pass_now(PassOptions { sweep: true, ..PassOptions::default() }).await
    }

    /// One pass, now. Fails the test when a system or the state file does.
    pub async fn pass_now(&self, options: PassOptions) -> PassReport {
        let report = self.engine().pass(&self.sync(), options).await;
        let report = report.unwrap_or_else(|error| panic!("the pass failed: {error}"));
        assert!(report.failures.is_empty(), "listings failed: {:?}", report.failures);
        report
    }

    /// Looks at every side without deciding anything.
    pub async fn observe(&self) {
        self.later(30);
        self.plan().await;
    }

    /// Prints a plan.
    pub async fn plan(&self) -> Printed {
        let printed = self.engine().plan(&self.sync(), true).await;
        printed.unwrap_or_else(|error| panic!("there is no plan: {error}"))
    }

    /// Accepts what was printed last.
    pub async fn accept(&self) -> Accepted {
        let accepted = self.engine().accept(&self.sync(), None).await;
        accepted.unwrap_or_else(|error| panic!("the plan cannot be accepted: {error}"))
    }

    /// Prints a plan, accepts it, and passes until nothing is left to do; then the story begins.
    pub async fn plan_and_accept(&mut self) {
        self.plan().await;
        self.accept().await;
        self.pass().await;
        self.pass().await;
        self.count_anew();
    }

    /// A world with one order in the ERP, linked on all sides.
    pub async fn with_order(setup: Setup) -> World {
        let mut world = World::new(setup).await;
        world.add("erp", "SO-1", "12500", "hello");
        world.plan_and_accept().await;
        world.expect("SO-1", "amount", "12500");
        world
    }

    // ---- what is seen --------------------------------------------------------------------------------

    /// Id of an order on a side, archived or not; fails when there is none or several.
    pub fn id(&self, side: &str, number: &str) -> String {
        let mut ids = self.ids(side, number);
        assert_eq!(ids.len(), 1, "records of {number} in {side}: {ids:?}");
        ids.remove(0)
    }

    /// Ids of all records with that order number on a side.
    pub fn ids(&self, side: &str, number: &str) -> Vec<String> {
        let actor = self.on(side);
        actor.ids().into_iter().filter(|id| actor.shows(id, "order_no") == number).collect()
    }

    /// What a side shows for a field of an order.
    pub fn shows(&self, side: &str, number: &str, field: &str) -> String {
        self.on(side).shows(&self.id(side, number), field)
    }

    /// Every side shows this.
    #[track_caller]
    pub fn expect(&self, number: &str, field: &str, value: &str) {
        self.expect_each(number, field, [value; 3]);
    }

    /// Each side shows its own, in the order of [`SIDES`].
    #[track_caller]
    pub fn expect_each(&self, number: &str, field: &str, values: [&str; 3]) {
        let shown = SIDES.map(|side| format!("{side}: {}", self.shows(side, number, field)));
        let wanted: Vec<String> =
            SIDES.iter().zip(values).map(|(side, value)| format!("{side}: {value}")).collect();
        assert_eq!(shown.to_vec(), wanted, "{field} of {number}");
    }

    /// Write requests per side since the last call (or [`World::count_anew`]), in the order of [`SIDES`].
    pub fn writes(&mut self) -> Vec<usize> {
        let before = self.counted.clone();
        self.count_anew();
        self.counted.iter().zip(before).map(|(now, before)| now - before).collect()
    }

    /// Forgets the write requests so far.
    pub fn count_anew(&mut self) {
        let count = |actor: &Actor| actor.hub().world().requests().iter().filter(|r| is_write(r)).count();
        self.counted = self.cast.iter().map(count).collect();
    }

    /// So many passes without a single write request.
    pub async fn assert_quiet(&mut self, passes: usize) {
        self.count_anew();
        for number in 1..=passes {
            self.pass().await;
            let writes = self.writes();
            assert!(writes.iter().all(|count| *count == 0), "pass {number} of {passes} wrote: {writes:?}");
        }
    }

    /// All orders say the same on every side, no question is open, and the next passes write nothing.
    pub async fn assert_converged(&mut self) {
        self.assert_quiet(2).await;
        for id in self.cast[0].ids() {
            let number = self.cast[0].shows(&id, "order_no");
            for (field, _) in self.setup.fields.clone() {
                let value = self.shows("erp", &number, &field);
                self.expect(&number, &field, &value);
            }
        }
        let problems = self.rows(View::Problems).await;
        assert!(problems.is_empty(), "problems are left: {problems:#?}");
    }

    /// Rows of a documented view.
    pub async fn rows(&self, view: View) -> Vec<Row> {
        let rows = self.engine().store().transact(move |store| store.view(view, None, 10_000)).await;
        rows.expect("the view can be read")
    }

    /// The open conflicts.
    pub async fn conflicts(&self) -> Vec<Row> {
        self.rows(View::Conflicts).await
    }

    /// The number of the only open conflict, which is about this field.
    pub async fn conflict(&self, field: &str) -> i64 {
        let rows = self.conflicts().await;
        let fields: Vec<String> = rows.iter().map(|row| text(row, "field")).collect();
        assert_eq!(fields, [field], "open conflicts: {rows:#?}");
        number(&rows[0], "id")
    }

    /// The problems that need a person, as `problem: detail`.
    pub async fn problems(&self) -> Vec<String> {
        let rows = self.rows(View::Problems).await;
        rows.iter().map(|row| format!("{}: {}", text(row, "problem"), text(row, "detail"))).collect()
    }

    /// States of the links of the sync, by title.
    pub async fn links(&self) -> BTreeMap<String, String> {
        let rows = self.rows(View::Links).await;
        rows.iter().map(|row| (text(row, "title"), text(row, "state"))).collect()
    }
}

/// A text of a row.
pub fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number of a row.
pub fn number(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Value::as_i64).unwrap_or_else(|| panic!("no number {column} in {row:?}"))
}

/// A test that starts a process forks this one: for a moment the child holds every lock that we have, also one
/// that we let go of meanwhile.
fn open_when_free(path: &std::path::Path) -> Result<Store, String> {
    let started = std::time::Instant::now();
    loop {
        match Store::open(path).map_err(|error| error.to_string()) {
            Err(why) if why.contains("another tallysync") && started.elapsed().as_secs() < 5 => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            other => return other,
        }
    }
}
