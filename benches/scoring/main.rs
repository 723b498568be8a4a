//! What scoring costs: one row per sensor and window, each by its sensor's own model.
//!
//! ```console
//! $ cargo bench --bench scoring
//! $ cargo bench --bench scoring -- --python python3      # scikit-learn's calls in the same table
//! ```
//!
//! *The models alone*: `PackedSvm::decide` of one row after the other, in the order of the sensors, for
//! each path that this processor has. *The scorer*: `Scorer::score` on a closed window of all sensors, with
//! the look-up of the model, status, severity and the columns of the result. Few models stay in the
//! processor's cache, many come from memory. It fails when a path decides otherwise than the portable
//! one, never because of time.
#![allow(clippy::print_stdout)]

mod plant;
mod python;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tidegauge_score::{PackedSvm, Path, Stamp, SvmParams};

use crate::plant::Plant;

/// Decisions of two paths may differ by this much.
const TOLERANCE: f64 = 1e-9;

/// Measure what a scored row costs
#[derive(Debug, Parser)]
#[command(name = "scoring")]
struct Args {
    /// Sensors with a model of their own, one table for each number
    #[arg(long, value_delimiter = ',', default_value = "2000,100000")]
    sensors: Vec<u32>,
    /// Support vectors of a model
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    vectors: u64,
    /// Features of a row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=32))]
    features: u64,
    /// Windows that are scored; the median counts
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u64).range(1..))]
    windows: u64,
    /// A Python with scikit-learn, to measure its calls beside
    #[arg(long)]
    python: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    println!("models of {} support vectors, rows of {} features", args.vectors, args.features);
    println!("{:>10}  {:<38}{:>12}{:>12}", "sensors", "what", "ns/row", "ns/vector");
    for &sensors in &args.sensors {
        let plant = Plant::new(sensors, args.vectors as usize, args.features as usize);
        models_alone(&args, &plant)?;
        scorer(&args, &plant)?;
    }
    args.python.as_ref().map_or(Ok(()), |python| scikit_learn(&args, python))
}

/// Each path by itself.
fn models_alone(args: &Args, plant: &Plant) -> Result<()> {
    let mut expected: Option<Vec<f64>> = None;
    for path in Path::ALL.into_iter().filter(|path| path.is_here()) {
        let pack = |params: &SvmParams| PackedSvm::with_path(params, path);
        let models: Vec<PackedSvm> = plant.models.iter().map(pack).collect();
        let mut decisions = vec![0.0; models.len()];
        let spent = median(args.windows, |window| {
            let rows = plant.rows(window);
            let begun = Instant::now();
            let one = models.iter().zip(rows.chunks_exact(plant.features)).zip(&mut decisions);
            for ((model, row), decision) in one {
                model.decide(row, std::slice::from_mut(decision));
            }
            let spent = begun.elapsed();
            black_box(&decisions);
            spent
        });
        tell(args, plant.models.len(), &format!("{path:?}, the models alone"), spent);
        let expected = expected.get_or_insert_with(|| decisions.clone());
        let apart = |(a, b): (&f64, &f64)| (a - b).abs() / a.abs().max(1.0);
        let worst = expected.iter().zip(&decisions).map(apart).fold(0.0, f64::max);
        ensure!(worst <= TOLERANCE, "{path:?} differs from the portable path by {worst:e}");
    }
    Ok(())
}

/// A window of all sensors as a lane scores it.
fn scorer(args: &Args, plant: &Plant) -> Result<()> {
    let mut scorer = plant.scorer()?;
    let stamp = Stamp { lane: "bench-0", epoch: 1 };
    let windows: Vec<_> =
        (0..args.windows).map(|window| plant.window(window)).collect::<Result<_>>()?;
    // Sensors are looked up once.
    let first = scorer.score(&windows[0], &plant.sensors, &stamp)?;
    ensure!(first.num_rows() == plant.models.len(), "{} rows were scored", first.num_rows());
    let mut failed = None;
    let spent = median(args.windows, |window| {
        let begun = Instant::now();
        match scorer.score(&windows[window as usize], &plant.sensors, &stamp) {
            Ok(batch) => drop(black_box(batch)),
            Err(error) => failed = Some(error),
        }
        begun.elapsed()
    });
    failed.map_or(Ok(()), |error| Err(error).context("a window was not scored"))?;
    tell(args, plant.models.len(), "the scorer, all columns", spent);
    Ok(())
}

/// One call of `predict` per row, as services do that keep a scikit-learn model per sensor.
fn scikit_learn(args: &Args, python: &std::path::Path) -> Result<()> {
    let args = [args.vectors.to_string(), args.features.to_string()];
    python::print(python, "scoring/scikit_learn.py", &args)
}

fn tell(args: &Args, sensors: usize, what: &str, spent: Duration) {
    let row = spent.as_nanos() as f64 / sensors as f64;
    println!("{sensors:>10}  {what:<38}{row:>12.1}{:>12.2}", row / args.vectors as f64);
}

/// The median of what one pass takes.
fn median(passes: u64, pass: impl FnMut(u64) -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..passes).map(pass).collect();
    all.sort();
    all[all.len() / 2]
}
