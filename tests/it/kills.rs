//! P3 and P4 under the hardest treatment: the real program is killed with SIGKILL two hundred times, at points
//! that a seed picks, while people edit; in the end nothing is lost, doubled, damaged or restless.
//!
//! A kill point is "when this request arrives" or "when this request has taken effect and its answer is not
//! sent", at any of the three systems, or a few hundred microseconds later: between requests, in the middle of
//! the state file's work.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use twins::kit::{Effect, Fault, When};

use crate::faults::site::Site;
use crate::support::process::{Running, Tallysync};
use crate::support::world::SIDES;

/// How often the program is killed in all.
const KILLS: u32 = 200;
/// Of these, while it plans and accepts.
const EARLY_KILLS: u32 = 15;
/// A daemon that has nothing more to do is killed after this long.
const IDLE: Duration = Duration::from_millis(1500);
const GATE: &str = "kill";

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let seed = std::env::var("TALLYSYNC_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(20_261_121);
        println!("TALLYSYNC_TEST_SEED={seed}");
        Dice(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn side(&mut self) -> &'static str {
        SIDES[usize::try_from(self.below(3)).expect("three sides")]
    }
}

/// What people did, and what the test did to the program.
struct Trial {
    site: Site,
    dice: Dice,
    orders: Vec<String>,
    edits: u64,
    /// The last value that a person gave a field on a side: (order, field, side) -> value.
    last: BTreeMap<(String, &'static str, &'static str), String>,
    kills: u32,
    runs: u32,
    killed_for: Duration,
}

impl Trial {
    fn new() -> Trial {
        let fields = [
            ("order_no", "key = true"),
            // Edited everywhere: a rule decides.
            ("memo", "conflict = { prefer = [\"crm\", \"erp\", \"tallyfy\"] }"),
            // Edited in the ERP only: never in conflict.
            ("amount", "type = \"decimal(2)\""),
            // Edited everywhere, and nobody decides: asked about.
            ("labels", ""),
        ];
        let site = Site::new(&fields);
        Trial {
            site,
            dice: Dice::new(),
            orders: Vec::new(),
            edits: 0,
            last: BTreeMap::new(),
            kills: 0,
            runs: 0,
            killed_for: Duration::ZERO,
        }
    }

    /// A person enters an order in the ERP.
    fn add_order(&mut self) {
        let number = format!("SO-{:03}", self.orders.len() + 1);
        let memo = format!("first words about {number}");
        self.site.add("erp", &number, &memo);
        self.last.insert((number.clone(), "memo", "erp"), memo);
        self.orders.push(number);
    }

    /// A person edits some field of some order on some side, where the order is already.
    fn edit(&mut self) {
        let place = usize::try_from(self.dice.below(self.orders.len() as u64)).expect("few orders");
        let number = self.orders[place].clone();
        let (field, side) = match self.dice.below(8) {
            0..=2 => ("amount", "erp"),
            7 => ("labels", self.dice.side()),
            _ => ("memo", self.dice.side()),
        };
        let [id] = &self.site.ids(side, &number)[..] else { return };
        self.edits += 1;
        let value = match field {
            "amount" => format!("{}", 1000 + self.edits),
            _ => format!("edit {} in {side}", self.edits),
        };
        self.site.on(side).edit(id, field, value.clone().into());
        self.last.insert((number, field, side), value);
    }

    fn people_act(&mut self) {
        for _ in 0..=self.dice.below(2) {
            self.edit();
        }
        if self.orders.len() < 60 && self.dice.one_in(4) {
            self.add_order();
        }
    }

    /// A write may lose its answer even when nobody is killed.
    fn maybe_lose_an_answer(&mut self) {
        if self.dice.one_in(6) {
            let kind = if self.dice.one_in(2) { "runs.launch" } else { "runs.update" };
            let side = self.dice.side();
            self.site.on(side).hub().fault(Fault::of_kind(kind, Effect::DropAfter));
        }
    }

    /// Starts the program and kills it at some request; `false` when it came to its end before.
    fn kill_one(&mut self, command: Tallysync) -> bool {
        self.runs += 1;
        let side = self.dice.side();
        let when = if self.dice.one_in(2) { When::Before } else { When::After };
        let skip = u32::try_from(self.dice.below(11)).expect("small");
        let later = self.dice.one_in(3).then(|| Duration::from_micros(self.dice.below(6000)));
        let hub = std::sync::Arc::clone(self.site.on(side).hub());
        let rule = hub.fault(Fault::next(Effect::Hold { gate: GATE.into(), when }).after(skip));
        let mut running = command.start();
        let started = Instant::now();
        let mut edited = false;
        let held = loop {
            if hub.gates.waiting().get(GATE).is_some_and(|waiting| *waiting > 0) {
                break true;
            }
            if running.has_ended() || started.elapsed() > IDLE {
                break false;
            }
            // Somebody works while the program does.
            if !edited && started.elapsed() > Duration::from_millis(40) {
                edited = true;
                self.edit();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if held && self.dice.one_in(2) {
            // In the middle of a request.
            self.edit();
        }
        if let (true, Some(later)) = (held, later) {
            hub.gates.release(GATE);
            std::thread::sleep(later);
        }
        let killed = self.end(running);
        hub.world().faults.remove(rule);
        hub.gates.release(GATE);
        self.killed_for += started.elapsed();
        killed
    }

    fn end(&mut self, running: Running) -> bool {
        let ended = running.kill();
        let killed = ended.status.signal() == Some(9);
        let told = ended.stderr.contains("panicked") || ended.stderr.contains("damaged");
        assert!(!told, "the program is confused: {}", ended.stderr);
        // A plan that found changes ends with 3.
        assert!(killed || matches!(ended.status.code(), Some(0 | 1 | 3)), "{ended:?}");
        self.kills += u32::from(killed);
        killed
    }

    fn kill_many(&mut self) {
        while self.kills < KILLS {
            self.people_act();
            self.maybe_lose_an_answer();
            let word = if self.dice.one_in(4) { "run" } else { "sync" };
            let command = self.site.tallysync([word]);
            self.kill_one(command);
            if self.kills.is_multiple_of(50) {
                self.site.assert_sound();
            }
        }
    }

    /// No more faults: it runs until nothing is under way.
    fn settle(&self) {
        for side in SIDES {
            self.site.on(side).hub().world().faults.clear();
        }
        let quiet = || {
            let reports = self.site.tallysync(["sync", "--sweep"]).json();
            let wrote = reports[0]["written"] != 0 || reports[0]["waiting"] != 0;
            let open = self.site.ask("SELECT op || ' ' || state || ' ' || coalesce(failure, '') FROM write WHERE closed_at IS NULL");
            if wrote || !open.is_empty() { Err(format!("{reports} {open:#?}")) } else { Ok(()) }
        };
        crate::support::eventually("quiet after the last kill", Duration::from_secs(90), quiet);
    }

    /// The kills were no pinpricks: requests were under way, and their outcome was found out by looking.
    fn assert_it_was_hit(&self) {
        let count = |condition: &str| -> u32 {
            let counted =
                self.site.ask(&format!("SELECT count(DISTINCT write) FROM audit WHERE {condition}"));
            counted[0].parse().expect("a number")
        };
        for (what, condition) in [
            ("creates of unknown outcome", "event = 'unknown' AND op = 'create'"),
            ("updates of unknown outcome", "event = 'unknown' AND op = 'update'"),
            ("found to have taken effect", "event = 'found'"),
            ("found not to have taken effect", "event = 'not-applied'"),
        ] {
            println!("{what}: {}", count(condition));
            assert!(count(condition) >= 3, "too few writes were hit: {what}: {}", count(condition));
        }
    }

    fn assert_one_record_each(&self) {
        for number in &self.orders {
            for side in SIDES {
                let ids = self.site.ids(side, number);
                assert_eq!(ids.len(), 1, "{number} in {side}: {ids:?}");
            }
        }
        for (side, actor) in SIDES.iter().zip(&self.site.cast) {
            assert_eq!(actor.ids().len(), self.orders.len(), "records in {side}");
            let launches = actor
                .hub()
                .world()
                .history()
                .iter()
                .filter(|e| e.kind == "launch" && e.entity == "runs")
                .count();
            let most = if *side == "erp" { 0 } else { self.orders.len() };
            assert!(launches <= most.max(self.orders.len()), "{launches} launches in {side}");
        }
        let links = self.site.ask("SELECT count(*) FROM link WHERE state = 'live'");
        assert_eq!(links, [self.orders.len().to_string()]);
    }

    /// Tallyfy has no conditional writes: an edit between our last read and the effect of our write cannot be seen
    /// by any client (docs/guarantees.md). Proven here from the twin's own account: the read that the overwriting
    /// request was based on came before the edit.
    fn fell_into_the_window(&self, number: &str, field: &str, side: &str, value: &str) -> bool {
        let actor = self.site.on(side);
        let ((entity, pointer), id) = (actor.place(field), self.site.id(side, number));
        let world = actor.hub().world();
        let events: Vec<_> = world.history_of(entity, &id).collect();
        let shows = |event: &twins::kit::Event| {
            event.after.pointer(&pointer).and_then(|it| it.as_str()) == Some(value)
        };
        let Some(edit) = events.iter().position(|event| shows(event)) else { return false };
        let Some(overwrite) = events[edit..].iter().find(|event| !shows(event)) else { return false };
        let read = world
            .requests()
            .iter()
            .filter(|request| {
                request.kind == "runs.get" && request.target.contains(&id) && request.at <= overwrite.at
            })
            .map(|request| request.at)
            .max();
        !overwrite.actor.starts_with("person") && read.is_some_and(|read| read <= events[edit].at)
    }

    /// Everything that is known about a field, for the person who must explain a failure.
    fn story(&self, number: &str, field: &str) -> String {
        let mut lines = Vec::new();
        for side in SIDES {
            let actor = self.site.on(side);
            let ((entity, pointer), id) = (actor.place(field), self.site.id(side, number));
            let world = actor.hub().world();
            let mut shown = None;
            for event in world.history_of(entity, &id) {
                let value = event.after.pointer(&pointer).cloned();
                if value != shown {
                    lines
                        .push(format!("{} {side}: {} by {} -> {value:?}", event.at, event.kind, event.actor));
                    shown = value;
                }
            }
        }
        lines.extend(self.site.ask(&format!(
            "SELECT a.at || ' audit ' || a.system || ' ' || a.write || ' ' || a.event || ' ' || coalesce(a.before, '') || ' -> ' \
             || coalesce(a.after, '') || ': ' || a.reason FROM audit a JOIN link l ON l.id = a.link \
             WHERE a.field = '{field}' AND l.title = '{number}'"
        )));
        lines.extend(self.site.ask(&format!(
            "SELECT c.at || ' change ' || c.cause || ' ' || m.side || ' ' || coalesce(c.fields, c.kind) FROM change c \
             JOIN member m ON m.rid = c.rid AND m.stream = c.stream JOIN link l ON l.id = m.link WHERE l.title = '{number}'"
        )));
        lines.extend(self.site.ask(&format!(
            "SELECT c.opened_at || ' conflict ' || c.state || ' ' || c.candidates || ' ' || c.why || ' ' || coalesce(c.closed_at || c.resolution, '') \
             FROM conflict c JOIN link l ON l.id = c.link WHERE l.title = '{number}' AND c.unit = '{field}'"
        )));
        lines.sort();
        lines.join("\n")
    }

    /// Whoever edited last on a side sees that value everywhere, or it was displaced by a write that kept it, or
    /// a question about it is open.
    fn assert_no_edit_lost(&self) {
        let (mut frozen, mut in_window) = (0, 0);
        for number in &self.orders {
            for field in ["memo", "amount", "labels"] {
                let shown = SIDES.map(|side| self.site.shows(side, number, field));
                let asked = self.site.ask(&format!(
                    "SELECT c.id FROM conflict c JOIN link l ON l.id = c.link WHERE c.state = 'open' AND c.unit = '{field}' \
                     AND l.title = '{number}'"
                ));
                let equal = shown.iter().all(|value| *value == shown[0]);
                assert!(
                    equal || (!asked.is_empty() && field == "labels"),
                    "{field} of {number}: {shown:?}\n{}",
                    self.story(number, field)
                );
                frozen += usize::from(!asked.is_empty());
                for (place, side) in SIDES.iter().enumerate() {
                    let Some(value) = self.last.get(&(number.clone(), field, *side)) else { continue };
                    if shown[place] == *value {
                        continue;
                    }
                    assert!(
                        field != "amount",
                        "the only editor of {field} of {number} wrote {value}: {shown:?}"
                    );
                    let displaced = self.site.ask(&format!(
                        "SELECT a.id FROM audit a JOIN link l ON l.id = a.link WHERE a.system = '{side}' AND a.event = 'sent' \
                         AND a.field = '{field}' AND l.title = '{number}' AND a.before = json_quote('{value}')"
                    ));
                    if displaced.is_empty() && self.fell_into_the_window(number, field, side, value) {
                        in_window += 1;
                        continue;
                    }
                    assert!(
                        !displaced.is_empty(),
                        "{value:?} in {field} of {number} is gone from {side} without a trace: {shown:?}\n{}",
                        self.story(number, field)
                    );
                }
            }
        }
        println!(
            "{} edits, {} orders, {frozen} questions open, {in_window} edits in a write's window",
            self.edits,
            self.orders.len()
        );
        assert!(
            in_window <= 5,
            "the window between read and write is too wide: {in_window} edits fell into it"
        );
    }
}

#[test]
fn killed_two_hundred_times_nothing_is_lost_doubled_or_damaged() {
    let mut trial = Trial::new();
    for _ in 0..5 {
        trial.add_order();
    }
    // Also while it makes its first plan and has it accepted.
    while trial.kills < EARLY_KILLS {
        let words: &[&str] = if trial.dice.one_in(3) { &["plan"] } else { &["accept", "--all", "--yes"] };
        let command = Tallysync::inside(trial.site.path()).args(words.iter().copied());
        if !trial.kill_one(command)
            && !trial.site.ask("SELECT name FROM sync WHERE accepted_at IS NOT NULL").is_empty()
        {
            break;
        }
    }
    trial.site.tallysync(["accept", "--all", "--yes"]).succeed();
    trial.kill_many();
    println!(
        "{} kills in {} starts, {:.1} kills per second",
        trial.kills,
        trial.runs,
        f64::from(trial.kills) / trial.killed_for.as_secs_f64()
    );
    trial.settle();
    trial.site.assert_sound();
    trial.assert_it_was_hit();
    trial.assert_one_record_each();
    trial.assert_no_edit_lost();
    let before = trial.site.writes();
    for _ in 0..3 {
        trial.site.tallysync(["sync", "--sweep"]).succeed();
    }
    assert_eq!(trial.site.writes(), before, "nobody edits, so nothing is written");
}
