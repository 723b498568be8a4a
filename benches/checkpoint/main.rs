//! How long a commit holds a lane up, how large its checkpoint is, and how soon it is back.
//!
//! ```console
//! $ cargo bench --bench checkpoint -- --groups 10000,100000,1000000
//! ```
//!
//! One lane on a lake of its own in a temporary folder, windows of a day with five simple aggregates, one
//! open group per sensor. Between two commits readings of random sensors come in. *The stall* is the time
//! that the lane's thread spends in a commit; *recovery* is the time to open the lane again: taking it in
//! the ledger, reading its checkpoint, being ready for the next reading. *In memory* is what the lane counts as
//! its own for each open group, after a commit. It fails when a reopened lane
//! does not stand where it stood, never because of time.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge::lane::Lane;
use tidegauge::pipeline::Pipeline;
use tidegauge_aggregate::Closing;
use tidegauge_flow::{Partition, time};
use tidegauge_ingest::Message;

/// Messages that a worker takes in one call.
const BATCH: usize = 10_000;
/// 2026-01-01T00:00:00Z.
const START_NS: i64 = 1_767_225_600 * time::NANOS;
/// How often a lane is opened anew.
const RECOVERIES: usize = 5;

/// Measure commits and recovery of a lane with many open groups
#[derive(Debug, Parser)]
#[command(name = "checkpoint")]
struct Args {
    /// Open groups, one run for each number
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    groups: Vec<u32>,
    /// Commits measured per run
    #[arg(long, default_value_t = 100)]
    commits: usize,
    /// Readings between two commits
    #[arg(long, default_value_t = 20_000)]
    readings: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    println!(
        "   groups   stall median      p99      max   checkpoint   bytes/group   in memory   recovery median      max"
    );
    for &groups in &args.groups {
        let figures = measure(groups, &args).with_context(|| format!("{groups} groups"))?;
        println!("{figures}");
    }
    Ok(())
}

/// What one run gave.
struct Figures {
    groups: u32,
    stalls: Vec<Duration>,
    checkpoint_bytes: u64,
    /// What the lane holds, as it counts it: windows, sensors, what waits for its commit.
    memory_bytes: f64,
    recoveries: Vec<Duration>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |duration: &Duration| duration.as_secs_f64() * 1e3;
        let at = |sorted: &[Duration], share: f64| {
            ms(&sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1])
        };
        write!(
            f,
            "{:9}   {:9.1} ms {:5.1} ms {:5.1} ms   {:7.2} MB   {:11.0}   {:9.0}   {:12.0} ms {:5.0} ms",
            self.groups,
            at(&self.stalls, 0.5),
            at(&self.stalls, 0.99),
            at(&self.stalls, 1.0),
            self.checkpoint_bytes as f64 / 1e6,
            self.checkpoint_bytes as f64 / f64::from(self.groups),
            self.memory_bytes / f64::from(self.groups),
            at(&self.recoveries, 0.5),
            at(&self.recoveries, 1.0),
        )
    }
}

fn measure(groups: u32, args: &Args) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let pipeline = pipeline(folder.path())?;
    let mut input = Input { lane: open(&pipeline)?, next: 0, random: ChaCha8Rng::seed_from_u64(7) };
    let everyone: Vec<u32> = (0..groups).collect();
    input.feed(&everyone)?;
    input.lane.commit(now_us())?;
    let mut stalls = Vec::with_capacity(args.commits);
    for _ in 0..args.commits {
        let some: Vec<u32> =
            (0..args.readings).map(|_| input.random.random_range(0..groups)).collect();
        input.feed(&some)?;
        let begun = Instant::now();
        input.lane.commit(now_us())?;
        stalls.push(begun.elapsed());
    }
    stalls.sort_unstable();
    let stood = input.next;
    let memory_bytes = pipeline.metrics.sum("tidegauge_memory_used_bytes");
    drop(input);
    let checkpoint_bytes = checkpoint_bytes(folder.path())?;
    let mut recoveries = Vec::with_capacity(RECOVERIES);
    for _ in 0..RECOVERIES {
        let begun = Instant::now();
        let lane = open(&pipeline)?;
        recoveries.push(begun.elapsed());
        ensure!(lane.position_of(&partition()) == Some(stood), "the lane is back elsewhere");
    }
    recoveries.sort_unstable();
    Ok(Figures { groups, stalls, checkpoint_bytes, memory_bytes, recoveries })
}

fn pipeline(folder: &Path) -> Result<Arc<Pipeline>> {
    let text = r#"
        [source]
        brokers = "127.0.0.1:1"
        topic = "t"
        [event]
        time = "TS"
        key = [{ name = "Device", type = "int64" }, { name = "Sensor", type = "int64" }]
        values = ["Value"]
        [window]
        query = '''SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, stddev("Value") AS spread,
            min("Value") AS low, max("Value") AS high
            FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '1 day')'''
    "#;
    let url = format!("lake.url={}", folder.join("lake").display());
    let config = tidegauge::config::parse("benchmark", text, std::iter::empty(), &[url])?;
    Ok(Arc::new(Pipeline::open(config)?))
}

fn partition() -> Partition {
    Partition::new("t", 0)
}

fn open(pipeline: &Arc<Pipeline>) -> Result<Lane> {
    let mut lane = Lane::open(pipeline, "t-0", Closing::ByWatermark)?;
    lane.input(&partition(), 0);
    Ok(lane)
}

fn now_us() -> i64 {
    tidegauge::clock::now_us()
}

/// What the lane reads.
struct Input {
    lane: Lane,
    next: i64,
    random: ChaCha8Rng,
}

impl Input {
    /// One reading of each of these sensors, in batches as a worker has them.
    fn feed(&mut self, sensors: &[u32]) -> Result<()> {
        for batch in sensors.chunks(BATCH) {
            let payloads: Vec<String> = batch.iter().map(|&sensor| self.event(sensor)).collect();
            let from = self.next;
            self.next += batch.len() as i64;
            let messages = (from..).zip(&payloads).map(|(offset, payload)| {
                let payload = Some(payload.as_bytes());
                (Message { offset, timestamp_ms: None, payload }, offset + 1)
            });
            self.lane.feed(0, messages, now_us() * 1000)?;
        }
        Ok(())
    }

    fn event(&mut self, sensor: u32) -> String {
        let at = time::rfc3339(START_NS + self.random.random_range(1..60 * time::NANOS));
        let (device, sensor, value) = (sensor / 100, sensor % 100, self.random.random::<f64>());
        format!(r#"{{"TS":"{at}","Device":{device},"Sensor":{sensor},"Value":{value}}}"#)
    }
}

/// The size of the newest checkpoint.
fn checkpoint_bytes(folder: &Path) -> Result<u64> {
    let newest = std::fs::read_dir(folder.join("lake/_tidegauge/state/t-0"))?
        .map(|entry| Ok((entry.as_ref().map(|e| e.file_name()).ok(), entry?.metadata()?.len())))
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .max();
    Ok(newest.context("there is no checkpoint")?.1)
}
