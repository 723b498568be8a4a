//! How many models are trained in a second: one per sensor, with its held-out scores and threshold.
//!
//! ```console
//! $ cargo bench --bench training                        # 10,000 sensors of 1,000 windows
//! $ cargo bench --bench training -- --python python3    # scikit-learn's fits beside, on as many cores
//! ```
//!
//! Rows of five features as windows give them: a count, mean, standard deviation, minimum and maximum. A model of
//! ours is six fits: one on all rows, and one for each of five folds, whose held-out scores give the threshold
//! and the severities; scikit-learn's is one fit. It fails when a sensor gets no model, never because of time.
#![allow(clippy::print_stdout)]

#[path = "../scoring/python.rs"]
mod python;

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge_flow::{KeyValue, SensorKey};
use tidegauge_score::{ModelParams, SensorRows, TrainOptions, train};

const FEATURES: [&str; 5] = ["n", "mean", "deviation", "lowest", "highest"];
/// Readings of a window.
const READINGS: usize = 10;
/// Width of the windows, microseconds.
const WINDOW_US: i64 = 10_000_000;

/// Measure training
#[derive(Debug, Parser)]
#[command(name = "training")]
struct Args {
    /// Sensors, each of which gets a model
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    sensors: u32,
    /// Windows of each; of more than `rows_max` (2,000) as many are used, evenly spaced
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(30..))]
    windows: u32,
    /// A Python with scikit-learn, to measure its fits beside
    #[arg(long)]
    python: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cores = available_parallelism()?.get();
    let samples: Vec<SensorRows> = (0..args.sensors).map(|n| sensor(n, args.windows)).collect();
    let features = FEATURES.map(String::from);
    let bar = ProgressBar::new(u64::from(args.sensors));
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} models, {per_sec}, {eta} left",
    )?);
    let begun = Instant::now();
    let report = train(&features, &samples, &TrainOptions::default(), &|done| {
        bar.set_position(done as u64)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    ensure!(report.skipped.is_empty(), "without a model: {:?}", report.skipped.first());
    let vectors = |params: &ModelParams| match params {
        ModelParams::OneClassSvm(svm) => svm.alpha().len(),
        _ => 0,
    };
    let vectors: usize = report.entries.iter().map(|entry| vectors(&entry.model)).sum();
    println!(
        "{} sensors of {} windows, {cores} cores: {:.1} s, {:.0} models/s, {} support vectors on average",
        args.sensors,
        args.windows,
        seconds,
        f64::from(args.sensors) / seconds,
        vectors / report.entries.len(),
    );
    args.python.as_deref().map_or(Ok(()), |python| scikit_learn(&args, python, cores))
}

/// The rows of a sensor: aggregates of normal readings around a level of its own.
fn sensor(number: u32, windows: u32) -> SensorRows {
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(number));
    let level = random.random_range(10.0..100.0);
    let mut rows = Vec::with_capacity(windows as usize * FEATURES.len());
    for _ in 0..windows {
        // The sum of twelve even numbers is near enough to a normal one.
        let reading = |random: &mut ChaCha8Rng| {
            level + (0..12).map(|_| random.random_range(-0.5..0.5)).sum::<f64>()
        };
        let readings: Vec<f64> = (0..READINGS).map(|_| reading(&mut random)).collect();
        let mean = readings.iter().sum::<f64>() / READINGS as f64;
        let squares: f64 = readings.iter().map(|value| (value - mean).powi(2)).sum();
        let lowest = readings.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = readings.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let deviation = (squares / (READINGS - 1) as f64).sqrt();
        rows.extend([READINGS as f64, mean, deviation, lowest, highest]);
    }
    SensorRows {
        key: SensorKey([KeyValue::Int(i64::from(number))].into()),
        window_end_us: (1..=i64::from(windows)).map(|n| n * WINDOW_US).collect(),
        rows,
    }
}

/// One fit per sensor on rows of the same kind.
fn scikit_learn(args: &Args, python: &Path, cores: usize) -> Result<()> {
    let args = [args.sensors.to_string(), args.windows.to_string(), cores.to_string()];
    python::print(python, "training/scikit_learn.py", &args)
}
