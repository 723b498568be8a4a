//! `train`: one model per sensor, from files of readings or from the lake's window rows.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidegauge_score::Scorer;
use tidegauge_score::train::{Report, SensorRows, TrainOptions, train};

use super::history::{self, Range};
use super::{Usage, load, models, time};
use crate::cli::Train;
use crate::config::Config;
use crate::pipeline::{self, Newest, Pipeline};
use crate::progress;
use crate::say::say;
use crate::signals::Signals;
use crate::trainer::{Trainer, TrainerThread};

/// How often a follower looks for a signal.
const LOOK: Duration = Duration::from_millis(200);

/// Sensors named one by one in the report.
const NAMED_MAX: usize = 10;

pub fn run(args: &Train) -> Result<ExitCode> {
    let config = load(&args.configured)?;
    if args.follow {
        return follow(config);
    }
    let micros = |flag, text: &Option<String>| {
        text.as_deref().map(|t| time(flag, t).map(|ns| ns.div_euclid(1000))).transpose()
    };
    let range = Range { from: micros("--from", &args.from)?, to: micros("--to", &args.to)? };
    let scorer = scorer(&config)?;
    let rows = match args.inputs.is_empty() {
        true => history::from_lake(&config, scorer.columns(), range)?,
        false => history::from_files(&config, &args.inputs, scorer.columns(), range)?,
    };
    if rows.is_empty() {
        anyhow::bail!("there are no windows to train on{}", range.text());
    }
    let report = fit(&config, &scorer, &rows)?;
    tell(&report);
    if report.entries.is_empty() {
        anyhow::bail!("no sensor could be trained: nothing is published");
    }
    models::publish(&config, report.entries, "trained", args.alias.clone())
}

/// Fits the onset view's models anew until a signal comes.
fn follow(config: Config) -> Result<ExitCode> {
    let Some(onset) = config.models.onset.clone() else {
        return Err(Usage("--follow needs [models.onset] features".into()).into());
    };
    let signals = Signals::install()?;
    let pipeline = Arc::new(Pipeline::open(config)?);
    let trainer = Trainer::new(&pipeline, &onset)?;
    let thread = TrainerThread::follow(trainer, onset.fit_every)?;
    while !signals.wait(LOOK) {
        anyhow::ensure!(!thread.has_ended(), "the thread that trains has ended: this is a bug");
    }
    drop(thread);
    Ok(ExitCode::SUCCESS)
}

/// How the configuration wants models trained that see such features.
pub fn options(config: &Config, scorer: &Scorer) -> TrainOptions {
    config.models.train.options(scorer.looks_back())
}

/// What says which columns and features models are trained on.
pub fn scorer(config: &Config) -> Result<Scorer> {
    let scorer = pipeline::scorer(config, &*pipeline::plan(config)?, Newest::default());
    scorer.context("models.features")
}

/// Trains all sensors in parallel, with a bar on a terminal. The rows are those of the scorer's columns.
pub fn fit(config: &Config, scorer: &Scorer, rows: &[SensorRows]) -> Result<Report> {
    let bar = progress::bar(rows.len() as u64, "train {bar:40} {pos}/{len} sensors");
    let progress = |done: usize| bar.set_position(done as u64);
    let rows: Vec<_> = rows.iter().map(|rows| scorer.features_of(rows, true)).collect();
    let report = train(scorer.features(), &rows, &options(config, scorer), &progress)?;
    bar.finish_and_clear();
    Ok(report)
}

fn tell(report: &Report) {
    for (sensor, reason) in report.skipped.iter().take(NAMED_MAX) {
        say!("skipped {sensor}: {reason}");
    }
    if report.skipped.len() > NAMED_MAX {
        say!("and {} sensors more", report.skipped.len() - NAMED_MAX);
    }
    let rates = report
        .entries
        .iter()
        .filter_map(|e| Some((e.training.as_ref()?.false_alarm_rate?, &e.key)));
    if let Some((rate, sensor)) = rates.max_by(|a, b| a.0.total_cmp(&b.0)) {
        let rate = rate * 100.0;
        say!("highest false-alarm rate on held-out windows: {rate:.2} %, of sensor {sensor}");
    }
}
