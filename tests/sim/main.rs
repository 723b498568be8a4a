//! A deterministic simulation of the whole pipeline from a seed, without Kafka or disk: see docs/testing.md.
//!
//! ```text
//! cargo test --test sim                                            the seeds of CI
//! cargo test --test sim -- --seed 123 --trace                      one seed, with all that happens
//! cargo test --release --test sim -- --seeds 1000000 --minutes 60  a long campaign
//! ```
#![allow(clippy::print_stdout)]

mod events;
mod executor;
mod group;
mod judge;
mod models;
mod oracle;
mod process;
mod runner;
mod scenario;
mod source;
mod store;
mod topic;
mod upkeep;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::judge::Totals;
use crate::scenario::Scenario;
use crate::world::World;

/// Seeds of a run of CI.
const SEEDS: u64 = 2_000;
/// Failing seeds that are told.
const TOLD_MAX: usize = 5;
/// Each of so many seeds is run twice: its digest must be the same.
const TWICE_EVERY: u64 = 50;

/// What one seed gave.
struct Outcome {
    problems: Vec<String>,
    digest: u64,
    totals: Totals,
    trace: Vec<String>,
}

/// Runs a seed from its beginning to the judgement.
fn run(seed: u64, tracing: bool) -> Outcome {
    let scenario = Scenario::new(seed);
    let world = World::new(&scenario, seed, tracing);
    if tracing {
        scenario.describe().iter().for_each(|line| println!("{line}"));
    }
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let runner = runner::run(world.clone(), scenario);
        judge::judge(&world, runner.scenario())
    }));
    let mut state = world.state();
    let totals = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        state.problem(format!("a panic: {}", text.unwrap_or_default()));
        Totals::default()
    });
    Outcome {
        problems: std::mem::take(&mut state.problems),
        digest: state.trace.digest(),
        totals,
        trace: state.trace.lines.take().unwrap_or_default(),
    }
}

/// What the command line asks for.
struct Options {
    first: u64,
    count: u64,
    minutes: Option<u64>,
    trace: bool,
    threads: usize,
}

/// `None` when the filter of a test run leaves the simulation out.
fn options() -> Option<Options> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options =
        Options { first: 0, count: SEEDS, minutes: None, trace: false, threads: cores };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse().unwrap_or_else(|_| panic!("{argument} takes a number, not {text:?}"))
        };
        match argument.as_str() {
            "--seed" => (options.first, options.count) = (number(), 1),
            "--seeds" => options.count = number(),
            "--from" => options.first = number(),
            "--minutes" => options.minutes = Some(number()),
            "--threads" => options.threads = number() as usize,
            "--trace" => options.trace = true,
            // What the usual harness takes means nothing here.
            flag if flag.starts_with("--") => {}
            filter if "sim".contains(filter) => {}
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else { return ExitCode::SUCCESS };
    let started = Instant::now();
    let deadline = options.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let (next, done) = (AtomicU64::new(options.first), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let totals = Mutex::new(Totals::default());
    // Panics are told with their seeds.
    if options.count > 1 {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = deadline.is_some_and(|deadline| started.elapsed() > deadline);
            let enough = failed.lock().expect("no panic in here").len() >= TOLD_MAX;
            if seed >= options.first.saturating_add(options.count) || over || enough {
                return;
            }
            let mut outcome = run(seed, options.trace);
            if seed % TWICE_EVERY == 0 || options.count == 1 {
                let again = run(seed, false);
                if again.digest != outcome.digest {
                    let (one, two) = (outcome.digest, again.digest);
                    outcome.problems.push(format!("two runs differ: {one:016x} and {two:016x}"));
                }
            }
            done.fetch_add(1, Ordering::Relaxed);
            outcome.trace.iter().for_each(|line| println!("{line}"));
            totals.lock().expect("no panic in here").add(outcome.totals);
            if !outcome.problems.is_empty() {
                failed.lock().expect("no panic in here").push((seed, outcome.problems));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, options.count.max(1) as usize) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no panic in here");
    for (seed, problems) in &failed {
        println!("seed {seed}: {}", problems[0]);
        problems.iter().skip(1).take(9).for_each(|problem| println!("    {problem}"));
        println!("    again: cargo test --test sim -- --seed {seed} --trace");
    }
    let (done, seconds) = (done.into_inner(), started.elapsed().as_secs_f64());
    println!("{done} seeds in {seconds:.1} s: {:?}", totals.into_inner().expect("no panic"));
    println!("test simulation ... {}", if failed.is_empty() { "ok" } else { "FAILED" });
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
