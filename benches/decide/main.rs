//! What deciding and writing cost as the state file grows: passes over linked records of which a hundredth
//! changed, the first plan and its acceptance, and the commands and the start of the real binary. Each number of
//! records is measured in a process of its own. Names the bars that are missed and ends with status 1 then.
//!
//! `cargo bench --bench decide [-- --passes 10000,100000 --plans 10000,100000 --binary 500000]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod memory;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use world::World;

/// Ten times the records with ten times the changes may cost so many times as much.
const GROWTH: f64 = 12.0;
/// Peak memory of a first plan or acceptance, in MiB per 100,000 actions, above that of a tenth of them.
const PLAN_MEMORY: f64 = 256.0;
/// Seconds until the daemon is ready, and until a command has answered.
const READY: f64 = 0.5;
const ANSWER: f64 = 0.1;
/// Rounds of changes of which the median counts.
const ROUNDS: usize = 3;

/// Pairs that the engine links for the binary; the rest are copies of them.
const LINKED: usize = 10_000;

/// Figures by name, as a child prints them.
type Figures = BTreeMap<String, f64>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let counts = |name: &str, usual: &str| -> Vec<usize> {
        let text = after(name).unwrap_or_else(|| usual.to_owned());
        text.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().expect("a number")).collect()
    };
    if let Some(job) = after("--child") {
        let records = counts("--of", "")[0];
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return match job.as_str() {
            "passes" => runtime.block_on(passes(World::new(folder.path(), records, false))),
            "plan" => runtime.block_on(plan(World::new(folder.path(), records, true))),
            _ => binary(&runtime, folder.path(), records),
        };
    }
    let mut missed = measure_passes(&counts("--passes", "10000,100000"));
    missed.extend(measure_plans(&counts("--plans", "10000,100000")));
    missed.extend(measure_binary(&counts("--binary", "500000")));
    if missed.is_empty() {
        println!("\nevery bar is met");
    } else {
        println!("\nmissed:\n{}", missed.join("\n"));
        std::process::exit(1);
    }
}

/// Runs one measurement in a process of its own.
fn child(job: &str, records: usize) -> Figures {
    let output = Command::new(std::env::current_exe().expect("own path"))
        .args(["--child", job, "--of", &records.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("run");
    assert!(output.status.success(), "{job} of {records} records failed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = text.lines().filter_map(|line| line.split_once(' '));
    figures.map(|(name, figure)| (name.to_owned(), figure.parse().expect("a figure"))).collect()
}

fn say(name: &str, figure: f64) {
    println!("{name} {figure}");
}

fn measure_passes(counts: &[usize]) -> Vec<String> {
    println!("links     1 % changed  of which idle  per change    growth  peak memory");
    let mut missed = Vec::new();
    let mut before: Option<(usize, f64)> = None;
    for records in counts.iter().copied() {
        let of = child("passes", records);
        let (cpu, changes) = (of["cpu"], (records / 100) as f64);
        // Where the numbers are not ten times each other, in proportion.
        let growth = before.map(|(fewer, less)| cpu / less / (records as f64 / fewer as f64) * 10.0);
        let shown = growth.map_or_else(String::new, |growth| format!("{growth:.1}"));
        println!(
            "{records:<8}  {cpu:7.3} s    {:7.4} s      {:8.0} us  {shown:>6}  {:.1} MiB",
            of["idle"],
            cpu / changes * 1e6,
            of["peak"]
        );
        if let Some(growth) = growth.filter(|growth| *growth > GROWTH) {
            missed.push(format!(
                "passes: ten times the records and changes cost {growth:.1} times as much at {records}, the bar is {GROWTH}"
            ));
        }
        before = Some((records, cpu));
    }
    missed
}

/// The child: links everything, then rounds in which a hundredth of the records changes on one side.
async fn passes(world: World) {
    world.accept_unread().await;
    assert_eq!(world.pass().await, 0, "equal records need no write");
    let changes = world.records / 100;
    let (mut changed, mut idle) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        world.erp.edit((0..changes).map(|place| place * 100 + round), &format!("round {round}"));
        let (spent, written) = measured(world.pass()).await;
        assert_eq!(usize::try_from(written).ok(), Some(changes), "every change is written");
        changed.push(spent.cpu);
        // Our own writes are seen again once.
        assert_eq!(world.pass().await, 0, "an echo is no change");
        idle.push(measured(world.pass()).await.0.cpu);
    }
    say("cpu", median(changed));
    say("idle", median(idle));
    say("peak", peak());
}

fn measure_plans(counts: &[usize]) -> Vec<String> {
    println!("\npairs     step    cpu         wall        peak memory  log         state file");
    let mut missed = Vec::new();
    let mut first: Option<(usize, Figures)> = None;
    for records in counts.iter().copied() {
        let of = child("plan", records);
        for step in ["plan", "show", "accept"] {
            let figure = |name: &str| of[&format!("{step}.{name}")];
            println!(
                "{records:<8}  {step:6}  {:7.3} s   {:7.3} s   {:6.1} MiB   {:6.1} MiB  {:6.1} MiB",
                figure("cpu"),
                figure("wall"),
                figure("peak"),
                figure("log"),
                figure("file")
            );
        }
        let Some((fewer, less)) = &first else {
            first = Some((records, of));
            continue;
        };
        let times = records as f64 / *fewer as f64;
        for step in ["plan", "show", "accept"] {
            let growth = of[&format!("{step}.cpu")] / less[&format!("{step}.cpu")] / times * 10.0;
            // Hundredths of a second grow with the caches that they fall out of.
            if growth > GROWTH && of[&format!("{step}.cpu")] > 0.1 {
                missed.push(format!(
                    "{step}: ten times the pairs cost {growth:.1} times as much, the bar is {GROWTH}"
                ));
            }
        }
        let more = (of["accept.peak"] - less["accept.peak"]) * 1e5 / (records - fewer) as f64;
        if more > PLAN_MEMORY {
            missed.push(format!(
                "plan: {more:.0} MiB more for every 100,000 actions, the bar is {PLAN_MEMORY}"
            ));
        }
    }
    missed
}

/// The child: the first plan of a sync in which every pair differs, its text, and its acceptance.
async fn plan(world: World) {
    // The poll has a benchmark of its own: here it is over before the clock runs.
    world.engine.plan(&world.sync, true).await.expect("a plan");
    let report = |step: &str, spent: Cost| {
        let (file, log) = world.sizes();
        for (name, figure) in
            [("cpu", spent.cpu), ("wall", spent.wall), ("peak", peak()), ("file", file), ("log", log)]
        {
            say(&format!("{step}.{name}"), figure);
        }
    };
    let (spent, printed) = measured(world.engine.plan(&world.sync, false)).await;
    let printed = printed.expect("a plan");
    assert_eq!(printed.plan.actions.len(), world.records, "every pair has one action");
    report("plan", spent);
    let (spent, text) = measured(async { printed.plan.to_string() }).await;
    assert!(text.contains("SO-0000001"), "the plan names records");
    report("show", spent);
    drop((printed, text));
    let (spent, accepted) = measured(world.engine.accept(&world.sync, None)).await;
    let accepted = accepted.expect("accepted");
    assert_eq!((usize::try_from(accepted.opened).ok(), accepted.moved.len()), (Some(world.records), 0));
    report("accept", spent);
}

fn measure_binary(counts: &[usize]) -> Vec<String> {
    let mut missed = Vec::new();
    for records in counts.iter().copied() {
        println!("\nthe binary over {records} links, {} mirrored records", 2 * records);
        let of = child("binary", records);
        for (name, bar) in [("start", READY), ("status", ANSWER), ("why", ANSWER), ("links", ANSWER)] {
            println!("{name:8}  {:6.1} ms", of[name] * 1e3);
            if of[name] > bar {
                missed.push(format!("{name}: {:.3} s over {records} links, the bar is {bar} s", of[name]));
            }
        }
        println!("the state file has {:.0} MiB", of["file"]);
    }
    missed
}

/// The child: links some pairs, copies them within the state file, and runs the real binary over it.
fn binary(runtime: &tokio::runtime::Runtime, folder: &Path, records: usize) {
    let linked = records.min(LINKED);
    let world = World::new(folder, linked, false);
    runtime.block_on(async {
        world.accept_unread().await;
        world.pass().await;
    });
    let folder = world.close();
    world::multiply(&folder, linked, records / linked);
    say("file", std::fs::metadata(folder.join("state.db")).expect("the state file").len() as f64 / 1048576.0);
    for (name, arguments) in [
        ("status", &["status"][..]),
        ("why", &["why", "orders", "SO-0000777", "memo"][..]),
        ("links", &["links", "orders"][..]),
    ] {
        say(name, median((0..5).map(|_| world::command(&folder, arguments)).collect()));
    }
    say("start", median((0..5).map(|_| world::start(&folder)).collect()));
}

/// Cpu and wall seconds.
#[derive(Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
}

/// Cpu seconds of this process so far, all its threads together.
fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

async fn measured<T>(work: impl Future<Output = T>) -> (Cost, T) {
    let (cpu_before, started) = (cpu(), Instant::now());
    let outcome = work.await;
    (Cost { cpu: cpu() - cpu_before, wall: started.elapsed().as_secs_f64() }, outcome)
}

/// Peak resident memory of this process so far, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
