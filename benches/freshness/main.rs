//! How soon a window's row can be read: from the moment that the watermark passes the window's end to the
//! moment that its file lies in the lake, at a paced load.
//!
//! ```console
//! $ cargo bench --bench freshness -- --rate 100000 --seconds 120 --commit-every 10s
//! ```
//!
//! One process sends `rate` sensors' readings, one per second each, with the time of the clock; another is
//! `tidegauge run`. Windows of 5 s, models of 50 support vectors, watermark 5 s behind. A window's end is passed
//! when an event 5 s younger exists, so that much after the end itself. A file lies in the lake since its inode
//! was changed last, by the rename that publishes it. It fails when the lake is wrong, never because of time.
//! Linux only.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../pipeline/binary.rs"]
mod binary;
#[path = "../pipeline/models.rs"]
mod models;
mod plant;
#[path = "../pipeline/stat.rs"]
#[allow(dead_code, reason = "the pipeline's benchmark reads all of it, this one the CPU time")]
mod stat;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::plant::{OUT_OF_ORDER_US, Plant, Window};

/// Measure how soon rows can be read
#[derive(Debug, Parser)]
#[command(name = "freshness")]
struct Args {
    /// Events per second, each of a sensor of its own
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(5..))]
    rate: u32,
    /// How long events are sent
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(15..))]
    seconds: u32,
    /// The pipeline's commit interval, such as 1s
    #[arg(long, default_value = "10s")]
    commit_every: String,
    /// Kafka's bootstrap addresses
    #[arg(long, env = "TIDEGAUGE_TEST_KAFKA")]
    brokers: String,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::Builder::new().prefix("tidegauge-freshness-").tempdir()?;
    let plant = Plant::new(&args, folder.path())?;
    let cpu_seconds = plant.run()?;
    let sent = u64::from(args.rate / 5 * 5) * u64::from(args.seconds);
    let windows = plant.windows(sent)?;
    let visible = visible(&folder.path().join("lake/predictions"))?;
    let mut delays: Vec<(i64, u64)> =
        windows.iter().map(|w| delay(w, &visible)).collect::<Result<_>>()?;
    delays.sort_unstable();
    let rows: u64 = delays.iter().map(|(_, rows)| rows).sum();
    ensure!(rows > 0, "no window closed");
    let at = |share: f64| {
        Duration::from_micros(u64::try_from(quantile(&delays, rows, share)).unwrap_or(0))
    };
    println!(
        "{} events/s for {} s, windows of 5 s, commits every {}: {rows} rows, {cpu_seconds:.1} CPU seconds",
        args.rate, args.seconds, args.commit_every
    );
    println!(
        "from the watermark's passing to the file: p50 {:.2?}, p99 {:.2?}, longest {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// How long after its end was passed a window's rows could be read, microseconds, and how many they are.
fn delay(window: &Window, visible: &BTreeMap<(String, u64), i64>) -> Result<(i64, u64)> {
    let at = visible.get(&(window.lane.clone(), window.epoch));
    let at =
        at.with_context(|| format!("{} has no file of epoch {}", window.lane, window.epoch))?;
    Ok((at - window.end_us - OUT_OF_ORDER_US, window.rows))
}

/// The delay that this share of all rows does not exceed.
fn quantile(sorted: &[(i64, u64)], rows: u64, share: f64) -> i64 {
    let wanted = (rows as f64 * share).ceil() as u64;
    let mut seen = 0;
    let reaches = |(_, rows): &&(i64, u64)| {
        seen += rows;
        seen >= wanted
    };
    sorted.iter().find(reaches).or(sorted.last()).map_or(0, |(delay, _)| *delay)
}

/// Since when the files of each lane and epoch lie where readers see them, microseconds since 1970.
fn visible(predictions: &Path) -> Result<BTreeMap<(String, u64), i64>> {
    let mut visible = BTreeMap::new();
    for date in std::fs::read_dir(predictions)? {
        for file in std::fs::read_dir(date?.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let (lane, epoch) =
                lane_and_epoch(&name).with_context(|| format!("the file {name}"))?;
            let meta = file.metadata()?;
            let at = meta.ctime() * 1_000_000 + meta.ctime_nsec() / 1_000;
            let newest = visible.entry((lane, epoch)).or_insert(at);
            *newest = at.max(*newest);
        }
    }
    Ok(visible)
}

/// Of `g<generation>-<lane>-<epoch>-<writer>-<n>.parquet`.
fn lane_and_epoch(name: &str) -> Option<(String, u64)> {
    let mut parts = name.rsplitn(4, '-').skip(2);
    let epoch = parts.next()?.parse().ok()?;
    let (_, lane) = parts.next()?.split_once('-')?;
    Some((lane.to_string(), epoch))
}
