//! How much a poll costs over the least it could cost: tallysync's whole path against a minimal floor, paired,
//! in one run, over real HTTP on loopback and real files. Prints the ratios, names the bars that are missed
//! and ends with status 1 then. Absolute times belong to the machine; real polls wait for the network.
//!
//! `cargo bench --bench poll [-- --records 10000,100000 --pages 100,500 --pairs 5 --memory 10000,100000]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod floor;
mod server;
mod subject;

use std::process::Command;
use std::time::Instant;

use floor::Floor;
use server::{Server, Shape};
use subject::Subject;

/// Bars: name, and the most that tallysync may cost in cpu against the floor.
const BARS: [(&str, f64); 3] = [("first poll", 2.5), ("unchanged poll", 2.0), ("1 % changed", 2.0)];
/// A hundred times the records may cost this much more memory at most, in MiB.
const MEMORY_BAR: f64 = 64.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    if arguments.iter().any(|argument| argument == "--serve") {
        return server::serve();
    }
    if let Some(spec) = after("--peak") {
        return peak(&spec);
    }
    if let Some(spec) = after("--only") {
        return only(&spec);
    }
    let numbers = |name: &str, usual: &str| -> Vec<usize> {
        let text = after(name).unwrap_or_else(|| usual.to_owned());
        text.split(',').map(|part| part.replace('_', "").parse().expect("a number")).collect()
    };
    let pairs = numbers("--pairs", "5")[0];
    let mut missed = Vec::new();
    println!("records  page  step             cpu floor   cpu tallysync  ratio  wall floor  wall tallysync");
    for records in numbers("--records", "10000,100000") {
        for size in numbers("--pages", "100,500") {
            missed.extend(compare(records, size, pairs));
        }
    }
    missed.extend(memory(&numbers("--memory", "10000,100000")));
    if missed.is_empty() {
        println!("\nevery bar is met");
    } else {
        println!("\nmissed:\n{}", missed.join("\n"));
        std::process::exit(1);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Cpu and wall seconds.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: f64,
    wall: f64,
}

/// Cpu seconds of this process so far, all its threads together.
fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

async fn measured(work: impl Future<Output = usize>) -> (Cost, usize) {
    let (cpu_before, started) = (cpu(), Instant::now());
    let changed = work.await;
    (Cost { cpu: cpu() - cpu_before, wall: started.elapsed().as_secs_f64() }, changed)
}

/// One pair after the other: fresh files, first poll, unchanged poll, one with a hundredth changed. Who goes
/// first alternates.
fn compare(records: usize, size: usize, pairs: usize) -> Vec<String> {
    let server = Server::start();
    let mut samples: [Vec<(Cost, Cost)>; 3] = Default::default();
    for pair in 0..pairs {
        let folder = tempfile::tempdir().expect("a folder");
        runtime().block_on(async {
            let floor = Floor::new(folder.path());
            let subject = Subject::new(folder.path(), &server.base, size).await;
            for (step, found) in [records, 0, records / 100].into_iter().enumerate() {
                server.prepare(Shape { records, size, round: usize::from(step == 2) });
                let before = subject.mirror();
                let mut cost = [Cost::default(); 2];
                for turn in 0..2 {
                    let who = (turn + pair) % 2;
                    let (spent, changed) = if who == 0 {
                        measured(floor.poll(&server.base, size)).await
                    } else {
                        measured(subject.poll(records)).await
                    };
                    assert_eq!(changed, found, "changed records found in step {step} by {who}");
                    cost[who] = spent;
                }
                if step == 1 {
                    assert_eq!(
                        before,
                        subject.mirror(),
                        "a poll that finds nothing writes no row of the mirror"
                    );
                }
                samples[step].push((cost[0], cost[1]));
            }
        });
    }
    let mut missed = Vec::new();
    for ((name, bar), samples) in BARS.into_iter().zip(samples) {
        let of = |part: fn(&(Cost, Cost)) -> f64| median(samples.iter().map(part).collect());
        let ratio = of(|(floor, subject)| subject.cpu / floor.cpu);
        println!(
            "{records:7}  {size:4}  {name:15}  {:7.3} s    {:7.3} s     {ratio:5.2}  {:7.3} s   {:7.3} s",
            of(|(floor, _)| floor.cpu),
            of(|(_, subject)| subject.cpu),
            of(|(floor, _)| floor.wall),
            of(|(_, subject)| subject.wall),
        );
        if ratio > bar {
            missed.push(format!(
                "{name}, {records} records, {size} a page: {ratio:.2} times the floor, the bar is {bar}"
            ));
        }
    }
    missed
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Peak memory, each number of records in a process of its own.
fn memory(counts: &[usize]) -> Vec<String> {
    println!("\nrecords  peak resident memory");
    let mut peaks = Vec::new();
    for records in counts {
        let output = Command::new(std::env::current_exe().expect("own path"))
            .args(["--peak", &records.to_string()])
            .output()
            .expect("run");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let peak: f64 = text.parse().unwrap_or_else(|_| {
            panic!("no peak: {text:?} {}", String::from_utf8_lossy(&output.stderr));
        });
        println!("{records:7}  {peak:.1} MiB");
        peaks.push(peak);
    }
    let growth = peaks.iter().copied().fold(0.0, f64::max) - peaks.first().copied().unwrap_or(0.0);
    if growth > MEMORY_BAR {
        vec![format!("memory: {growth:.1} MiB more at the largest number, the bar is {MEMORY_BAR}")]
    } else {
        Vec::new()
    }
}

/// The child that [`memory`] measures: a first poll, an unchanged one, one with changes.
fn peak(spec: &str) {
    polls(spec, 3);
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    println!("{:.1}", kib / 1024.0);
}

/// For a profiler: `--only 100000` runs tallysync alone, a first poll and ten unchanged ones.
fn only(spec: &str) {
    polls(spec, 11);
}

fn polls(spec: &str, steps: usize) {
    let records: usize = spec.parse().expect("a number");
    let size = 100;
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    runtime().block_on(async {
        let subject = Subject::new(folder.path(), &server.base, size).await;
        for step in 0..steps {
            server.prepare(Shape { records, size, round: usize::from(step >= 2) });
            let (cost, changed) = measured(subject.poll(records)).await;
            eprintln!("step {step}: cpu {:.3} s, wall {:.3} s, {changed} changed", cost.cpu, cost.wall);
        }
    });
}
