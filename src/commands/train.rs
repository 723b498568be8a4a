//! `train`: one model per sensor, from files of readings or from the lake's window rows.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidegauge_score::train::{Recipe, Recipes, Report, Selector, SensorRows, train_by};
use tidegauge_score::{About, Group, Limit, LimitsParams, Scorer, TrainingRun, train_groups};

use super::history::{self, Range};
use super::{Usage, load, models};
use crate::background::Background;
use crate::cli::Train;
use crate::clock;
use crate::config::{Config, FeatureLimit, RuleKind, TrainRule};
use crate::pipeline::{self, Newest, Pipeline};
use crate::progress;
use crate::say::say;
use crate::signals::Signals;
use crate::trainer::{self, Place};

/// How often a follower looks for a signal.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(args: &Train) -> Result<ExitCode> {
    let config = load(&args.configured)?;
    if args.follow {
        return follow(config);
    }
    let range = range(args, &config)?;
    let group = args.group.then(|| group(&config)).transpose()?;
    let default = group.as_ref().map_or(&config.models.alias, |(_, alias)| alias);
    let alias = args.alias.as_ref().unwrap_or(default).clone();
    let of = if args.group { models::Of::Groups } else { models::Of::Sensors };
    models::check_alias(&config, of, &alias)?;
    if args.unless_trained
        && let Some(version) = trained(&config, &alias)?
    {
        say!("{alias} is set {version} already: nothing is trained");
        return Ok(ExitCode::SUCCESS);
    }
    let scorer = scorer(&config)?;
    let rows = match args.inputs.is_empty() {
        true => history::from_lake(&config, scorer.columns(), range)?,
        false => history::from_files(&config, &args.inputs, scorer.columns(), range)?,
    };
    if rows.is_empty() {
        anyhow::bail!("there are no windows to train on{}", range.text());
    }
    let report = match &group {
        Some((group, _)) => fit_groups(&config, &scorer, &rows, group)?,
        None => fit(&config, &scorer, &rows)?,
    };
    let run = TrainingRun::of(&report, range.from, range.to);
    models::report::tell(&report, &run)?;
    if report.entries.is_empty() {
        anyhow::bail!("no sensor could be trained: nothing is published");
    }
    let about = About { note: "trained".into(), training: Some(run) };
    let key = group.as_ref().map_or(&*config.event.key, |(group, _)| group.schema());
    models::publish(&config, key, report.entries, about, &alias)
}

/// The set that an alias means.
fn trained(config: &Config, alias: &str) -> Result<Option<u64>> {
    if !pipeline::is_there(config.models.url.as_ref().unwrap_or(&config.lake.url)) {
        return Ok(None);
    }
    Ok(pipeline::registry(config)?.alias(alias)?.map(|record| record.version))
}

/// The groups whose models stand in, and these models' alias.
fn group(config: &Config) -> Result<(Group, String)> {
    let settings = config.models.fallback.as_ref().filter(|f| !f.settings.group.is_empty());
    let Some(settings) = settings else {
        return Err(Usage("--group needs [models.fallback] group".into()).into());
    };
    Ok((Group::new(&config.event.key, &settings.settings.group)?, settings.alias.clone()))
}

/// The window ends that train, (from, to]: as asked for, or of the lake's the last ones as configured.
fn range(args: &Train, config: &Config) -> Result<Range> {
    let Range { from, to } = history::range(args.from.as_deref(), args.to.as_deref())?;
    let configured = config.models.last.filter(|_| args.inputs.is_empty() && from.is_none());
    let Some(last) = args.last.or(configured) else { return Ok(Range { from, to }) };
    let to = to.unwrap_or_else(clock::now_us);
    let last = i64::try_from(last.as_micros()).unwrap_or(i64::MAX);
    Ok(Range { from: Some(to.saturating_sub(last)), to: Some(to) })
}

/// Fits the onset view's models anew until a signal comes.
fn follow(config: Config) -> Result<ExitCode> {
    if config.models.onset.is_none() && config.models.retrain.is_none() {
        let what = "--follow needs [models.onset] features or [models.train] every";
        return Err(Usage(what.into()).into());
    }
    let signals = Signals::install()?;
    let pipeline = Arc::new(Pipeline::open(config)?);
    let threads = trainer::start(&pipeline, Place::Follow)?;
    while !signals.wait(LOOK) {
        let ended = threads.iter().any(Background::has_ended);
        anyhow::ensure!(!ended, "a thread that trains has ended: this is a bug");
    }
    Background::end_all(threads);
    Ok(ExitCode::SUCCESS)
}

/// How the configuration wants the models of each sensor that see such features.
///
/// # Errors
/// When a rule limits a feature that models don't see.
pub fn recipes(config: &Config, scorer: &Scorer) -> Result<Recipes> {
    let settings = &config.models;
    let in_context = scorer.looks_back();
    let recipe = |rule: &TrainRule| match &rule.how {
        RuleKind::Train(settings) => Ok(Recipe::Fit(settings.options(in_context))),
        RuleKind::Limits(limits) => limits_of(limits, scorer.features()).map(Recipe::Limits),
    };
    let rules = settings.rules.iter().enumerate().map(|(number, rule)| {
        let recipe = recipe(rule).with_context(|| format!("models.train.rules[{number}]"))?;
        Ok((Selector::new(rule.sensors.clone()), recipe))
    });
    let rules = rules.collect::<Result<Vec<_>>>()?;
    let recipes = Recipes::new(rules, settings.train.options(in_context));
    recipes.check(scorer.features().len()).context("models.train")?;
    Ok(recipes)
}

/// Limits by name in the order of the features.
fn limits_of(limits: &[FeatureLimit], features: &[String]) -> Result<LimitsParams> {
    let mut all = vec![Limit::default(); features.len()];
    for limit in limits {
        let place = features.iter().position(|feature| *feature == limit.feature);
        let place = place.with_context(|| {
            format!("limits name {:?}, models see {}", limit.feature, features.join(", "))
        })?;
        anyhow::ensure!(all[place] == Limit::default(), "limits name {:?} twice", limit.feature);
        all[place] = Limit { low: limit.min, high: limit.max };
    }
    Ok(LimitsParams::new(all)?)
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
    let report = train_by(scorer.features(), &rows, &recipes(config, scorer)?, &progress)?;
    bar.finish_and_clear();
    Ok(report)
}

/// Trains one model for each group, of rows whose features are those of single sensors.
fn fit_groups(
    config: &Config,
    scorer: &Scorer,
    rows: &[SensorRows],
    group: &Group,
) -> Result<Report> {
    let rows: Vec<_> = rows.iter().map(|rows| scorer.features_of(rows, true)).collect();
    let options = config.models.train.options(scorer.looks_back());
    Ok(train_groups(scorer.features(), &rows, group, &options, &|_| {})?)
}
