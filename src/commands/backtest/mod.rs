//! `backtest`: how would this configuration have done on stored readings?

mod events;
mod report;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use tidegauge_score::backtest::CHAMPION_SET;
use tidegauge_score::{Backtest as Tries, Registry, TrainingRows, Tried};

use super::{Usage, load, train};
use crate::cli::Backtest;
use crate::clock;
use crate::config::{Config, SourceKind};
use crate::control::OpenWindows;
use crate::files::{self, Clock, Ended};
use crate::labels::Known;
use crate::pipeline::{self, Judged, Newest, Pipeline, is_same_place, is_there};
use crate::progress;
use crate::say::say;
use crate::signals::Signals;

/// The share of rows that trains when nothing is said.
const TRAIN_FRACTION: f64 = 0.3;

/// What `--labels` is for the labels of the configured lake; a file of this name is `./lake`.
const OF_LAKE: &str = "lake";

pub fn run(args: &Backtest) -> Result<ExitCode> {
    let mut config = load(&args.configured)?;
    if tidegauge_sink::is_object_url(&args.output) {
        return Err(
            Usage("--output must be a folder: a backtest makes a lake on a disk".into()).into()
        );
    }
    if is_same_place(&config.lake.url, &args.output)? || is_there(&args.output) {
        let what =
            format!("--output {} is there already: a backtest makes its own lake", args.output);
        return Err(Usage(what).into());
    }
    let known = args.labels.as_deref().map(|labels| known(&config, labels)).transpose()?;
    config.source.kind = SourceKind::Files;
    config.source.paths.clone_from(&args.inputs);
    config.lake.url.clone_from(&args.output);
    // What is stored is nobody's alarm any more.
    config.alerts.clear();
    // A backtest brings its own models: a champion, and those of the onset view.
    config.models.url = None;
    (config.models.challenger, config.models.fallback) = (None, None);
    let mut tries = tries(&config, training(args)?)?;
    if args.labels.as_deref() == Some(Path::new(OF_LAKE)) {
        tries.left_out = known.iter().flat_map(|known| known.events.iter().cloned()).collect();
    }
    let tried = Arc::new(Mutex::new(Vec::new()));
    let registry = pipeline::registry(&config)?;
    let pipeline = Pipeline::open(config)?;
    let pipeline = pipeline.tried(trial(tries, registry, Arc::clone(&tried)));
    let pipeline = Arc::new(pipeline);
    let ended = files::run(&pipeline, Clock::Batch, OpenWindows::Close, &Signals::install()?)?;
    if ended == Ended::Stopped {
        return Err(anyhow!("stopped before the input ended: {} is not complete", args.output));
    }
    let tried = std::mem::take(&mut *tried.lock().unwrap_or_else(PoisonError::into_inner));
    report::tell(&tried, known.as_ref())?;
    let rejected = pipeline.totals().rejected;
    if rejected > 0 {
        say!("{rejected} records cannot be read: see the table rejects");
    }
    say!(
        "tidegauge query --lake {} \"SELECT * FROM predictions WHERE is_anomaly LIMIT 10\"",
        args.output
    );
    Ok(ExitCode::SUCCESS)
}

/// What is known of the past: by the configured lake's labels, or by a file.
fn known(config: &Config, labels: &Path) -> Result<Known> {
    if labels == Path::new(OF_LAKE) {
        let labels = super::label::in_force(config)?;
        ensure!(!labels.is_empty(), "--labels lake: {} has no labels", config.lake.url);
        return Ok(Known::of(&labels));
    }
    let events = events::read(labels, &config.event.key)
        .with_context(|| format!("--labels {}", labels.display()))?;
    Ok(Known { events, false_alarms: Vec::new() })
}

fn training(args: &Backtest) -> Result<TrainingRows> {
    if let Some(rows) = args.train_rows {
        return Ok(TrainingRows::Rows(rows));
    }
    let share = args.train_fraction.unwrap_or(TRAIN_FRACTION);
    if !(share > 0.0 && share < 1.0) {
        let what = format!("--train-fraction is {share}, it must be above 0 and below 1");
        return Err(Usage(what).into());
    }
    Ok(TrainingRows::Share(share, args.train_rows_max.unwrap_or(u64::MAX)))
}

fn tries(config: &Config, training: TrainingRows) -> Result<Tries> {
    let query = pipeline::plan(config)?;
    // Mistakes are told before anything is read.
    let scorer = pipeline::scorer(config, &query, Newest::default())?;
    let onset = config.models.onset.as_ref();
    Ok(Tries {
        schema: Arc::clone(query.output()),
        key: Arc::clone(&config.event.key),
        features: config.models.features.clone(),
        train: train::recipes(config, &scorer)?,
        training,
        onset: onset.map(|onset| (onset.settings.clone(), onset.refit.clone())),
        min_readings: config.models.min_readings,
        left_out: Vec::new(),
    })
}

/// Judges the windows, publishes the champions, and leaves what came of each sensor in `tried`.
fn trial(tries: Tries, registry: Registry, tried: Arc<Mutex<Vec<Tried>>>) -> pipeline::Trial {
    Box::new(move |closed, sensors, stamp| {
        let bar = progress::bar(sensors.len() as u64, "try {bar:40} {pos}/{len} sensors");
        let progress = |done: usize| bar.set_position(done as u64);
        let results = tries.run(closed, sensors, stamp, &progress)?;
        bar.finish_and_clear();
        let of_one = |t: &Tried| -> Vec<_> {
            t.predictions.iter().map(|batch| (t.sensor, batch.clone())).collect()
        };
        let predictions = results.iter().flat_map(of_one).collect();
        let champions: Vec<_> = results.iter().filter_map(|t| t.champion.clone().ok()).collect();
        // Fits of the onset view, numbered by sensor, are no sets of the registry; rows name them all the same.
        let mut newest = results.iter().map(|tried| tried.refits.0).max().unwrap_or(0);
        if !champions.is_empty() {
            let now = clock::now_us();
            let version = registry.publish(&tries.key, champions, None, "backtest", now)?;
            ensure!(version == CHAMPION_SET, "the lake had models before the backtest");
            newest = newest.max(version);
        }
        tried.lock().unwrap_or_else(PoisonError::into_inner).extend(results);
        Ok(Judged { predictions, model_sets: (1..=newest).collect() })
    })
}
