//! How often the hot path asks for memory: a lane that has seen all its sensors, fed batch by batch.
//!
//! ```console
//! $ cargo bench --profile dev --bench allocations
//! ```
//!
//! Counts every call of the allocator by Rust code from a message's bytes to scored rows, without the Kafka
//! client (which is C, and takes one block per message) and without commits. It fails when that is more than
//! one in a hundred messages; time plays no part.
#![allow(clippy::print_stdout, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use clap::Parser;
use tidegauge::lane::Lane;
use tidegauge::pipeline::Pipeline;
use tidegauge_aggregate::Closing;
use tidegauge_flow::{Partition, time};
use tidegauge_ingest::Message;

/// Allocations for each message that are allowed.
const MOST: f64 = 0.01;
/// Messages of one call.
const BATCH: usize = 10_000;
/// 2026-01-01T00:00:00Z.
const START_NS: i64 = 1_767_225_600 * time::NANOS;

/// Counts what it hands on to the system's allocator.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`; the block came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `realloc`; the block came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Count allocations of the hot path
#[derive(Debug, Parser)]
#[command(name = "allocations")]
struct Args {
    /// Messages that are counted, after a warm-up of as many
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Sensors that send in turns, one reading a second each
    #[arg(long, default_value_t = 2_000)]
    sensors: usize,
    /// The width of the tumbling windows, seconds
    #[arg(long, default_value_t = 60)]
    window: u32,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let mut lane = Lane::open(&pipeline(folder.path(), args.window)?, "t-0", Closing::ByWatermark)?;
    lane.input(&Partition::new("t", 0), 0);
    let warm = feed(&mut lane, &args, 0)?;
    lane.commit(0)?;
    let counted = feed(&mut lane, &args, args.events)?;
    let rows = lane.commit(0)?.map_or(0, |settled| settled.rows);
    let each = counted as f64 / args.events as f64;
    println!("{} messages of {} sensors, {rows} rows", args.events, args.sensors);
    println!("allocations: {counted}, for each message {each:.5} ({warm} in the warm-up)");
    ensure!(rows > 0, "no window closed: nothing was shown");
    ensure!(each <= MOST, "{each:.5} allocations for each message, {MOST} are allowed");
    Ok(())
}

/// Feeds messages from this offset on; returns how often the lane allocated.
fn feed(lane: &mut Lane, args: &Args, from: usize) -> Result<u64> {
    let mut counted = 0;
    for first in (from..from + args.events).step_by(BATCH) {
        let payloads: Vec<String> = (first..first + BATCH).map(|n| event(args, n)).collect();
        let before = COUNT.load(Ordering::Relaxed);
        let messages = (first as i64..).zip(&payloads).map(|(offset, payload)| {
            let payload = Some(payload.as_bytes());
            (Message { offset, timestamp_ms: None, payload }, offset + 1)
        });
        lane.feed(0, messages, START_NS)?;
        counted += COUNT.load(Ordering::Relaxed) - before;
    }
    Ok(counted)
}

/// Each second every sensor sends once.
fn event(args: &Args, n: usize) -> String {
    let at = time::rfc3339(START_NS + (n / args.sensors) as i64 * time::NANOS + 1_000_000);
    let (sensor, value) = (n % args.sensors, (n % 1_000) as f64 / 10.0);
    format!(r#"{{"TS":"{at}","Device":{},"Sensor":{},"Value":{value}}}"#, sensor / 5, sensor % 5)
}

fn pipeline(folder: &Path, window: u32) -> Result<Arc<Pipeline>> {
    let text = format!(
        r#"
        [source]
        brokers = "127.0.0.1:1"
        topic = "t"
        [event]
        time = "TS"
        key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
        values = ["Value"]
        [window]
        query = '''SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, stddev("Value") AS spread,
            min("Value") AS low, max("Value") AS high
            FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '{window} seconds')'''
    "#
    );
    let url = format!("lake.url={}", folder.join("lake").display());
    let config = tidegauge::config::parse("benchmark", &text, std::iter::empty(), &[url])?;
    Ok(Arc::new(Pipeline::open(config)?))
}
