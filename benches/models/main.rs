//! What many models cost: loading them from a registry, holding them, finding a sensor's own, and putting
//! newer ones in force while rows are scored.
//!
//! ```console
//! $ cargo bench --bench models -- --models 100000 --vectors 30
//! ```
//!
//! It publishes a set in a folder, then starts itself anew, so that memory is that of a process that has
//! only read: the load, the first window of all sensors (each model is packed), the windows after it. Then a second
//! thread publishes sets that change one model in a hundred, as a trainer does, and reads them, as a
//! commit does; the thread that scores puts them in force. It fails when a row isn't scored, never because of time.
//! Linux only.
#![allow(clippy::print_stdout)]

#[path = "../scoring/plant.rs"]
mod plant;
mod swap;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tidegauge_flow::WindowRows;
use tidegauge_score::{Registry, Scorer, Stamp};
use tidegauge_sink::LocalStore;

use crate::plant::{Plant, key};

/// The name under which the models are found.
pub const ALIAS: &str = "champion";
/// 2026-01-01T00:00:00Z.
pub const NOW_US: i64 = 1_767_225_600_000_000;

/// Measure what many models cost
#[derive(Debug, Parser)]
#[command(name = "models")]
pub struct Args {
    /// Sensors with a model of their own
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    models: u32,
    /// Support vectors of a model
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    vectors: u32,
    /// Features of a row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=32))]
    features: u32,
    /// Windows that are scored between two swaps; the median counts
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u64).range(2..))]
    windows: u64,
    /// Sets that change one model in a hundred
    #[arg(long, default_value_t = 10)]
    swaps: u32,
    /// The registry of the process that measures, which this one starts
    #[arg(long, hide = true)]
    registry: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(folder) = &args.registry {
        return measure(&args, folder);
    }
    let folder = tempfile::Builder::new().prefix("tidegauge-models-").tempdir()?;
    publish(&args, folder.path())?;
    let again = Command::new(std::env::current_exe()?)
        .args(std::env::args().skip(1))
        .arg("--registry")
        .arg(folder.path())
        .status()?;
    ensure!(again.success(), "the measurement failed");
    Ok(())
}

fn publish(args: &Args, folder: &Path) -> Result<()> {
    let plant = made(args);
    let registry = registry(folder)?;
    let entries = plant.entries()?;
    let begun = Instant::now();
    let version = registry.publish(&key(), entries, None, "of the benchmark", NOW_US)?;
    let spent = begun.elapsed();
    registry.move_alias(ALIAS, version, NOW_US)?;
    let bytes = std::fs::metadata(folder.join(format!("sets/{version:020}.parquet")))?.len();
    let Args { models, vectors, features, .. } = args;
    println!("{models} models of {vectors} support vectors of {features} features");
    tell("published, read back and compared", spent.as_secs_f64(), "s");
    tell("the set's file", bytes as f64 / 1e6, "MB");
    Ok(())
}

/// What a process does that has never seen the models.
fn measure(args: &Args, folder: &Path) -> Result<()> {
    let plant = Plant::without_models(args.models, args.features as usize);
    let windows: Vec<WindowRows> =
        (0..args.windows).map(|window| plant.window(window)).collect::<Result<_>>()?;
    let before = resident_mb("VmRSS")?;
    let registry = registry(folder)?;
    let begun = Instant::now();
    let models = registry.resolve(ALIAS)?.context("the alias")?;
    tell("loaded", begun.elapsed().as_secs_f64(), "s");
    let each = |mb: f64| (mb - before) * 1e3 / f64::from(args.models);
    tell("resident for each model, loaded", each(resident_mb("VmRSS")?), "kB");
    tell("the same at its highest, while loading", each(resident_mb("VmHWM")?), "kB");
    let begun = Instant::now();
    let mut scorer = plant.scorer_of(models)?;
    tell("put in force in a scorer", begun.elapsed().as_secs_f64() * 1e3, "ms");
    let row = |spent: Duration| spent.as_nanos() as f64 / f64::from(args.models);
    tell("the first window, a row", row(window(&mut scorer, &plant, &windows[0])?), "ns");
    tell("resident for each model, packed", each(resident_mb("VmRSS")?), "kB");
    let usual = median(&mut scorer, &plant, &windows)?;
    tell("windows after it, a row", row(usual), "ns");
    swap::measure(args, &registry, &mut scorer, &plant, &windows)
}

fn made(args: &Args) -> Plant {
    Plant::new(args.models, args.vectors as usize, args.features as usize)
}

fn registry(folder: &Path) -> Result<Registry> {
    Ok(Registry::new(Arc::new(LocalStore::create(folder)?), ""))
}

/// How long a window of all sensors takes.
pub fn window(scorer: &mut Scorer, plant: &Plant, rows: &WindowRows) -> Result<Duration> {
    let begun = Instant::now();
    let batch = scorer.score(rows, &plant.sensors, &Stamp { lane: "bench-0", epoch: 1 })?;
    let spent = begun.elapsed();
    ensure!(scorer.missing() == 0, "{} sensors have no model", scorer.missing());
    drop(black_box(batch));
    Ok(spent)
}

fn median(scorer: &mut Scorer, plant: &Plant, windows: &[WindowRows]) -> Result<Duration> {
    let mut all: Vec<Duration> =
        windows.iter().map(|rows| window(scorer, plant, rows)).collect::<Result<_>>()?;
    all.sort();
    Ok(all[all.len() / 2])
}

/// A size of this process as Linux counts it: `VmRSS` is resident memory, `VmHWM` the most that it was.
fn resident_mb(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no such size")?;
    Ok(kib.parse::<f64>()? * 1024.0 / 1e6)
}

pub fn tell(what: &str, number: f64, unit: &str) {
    println!("  {what:<44}{number:>12.2} {unit}");
}
