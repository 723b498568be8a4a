//! All models trained again on a schedule, from what lanes have committed.
//!
//! *Whose rows*: a training has the windows that end in (from, to]; `to` is the time at which it was due, and
//! `from` is so long before it, or where the one before ended. So two of them that follow each other have
//! no row in common and no window lies between them.
//!
//! *When its rows are there*: `delay` after `to`, and once all lanes have committed what ended up to there. One
//! that is behind, as after a stop, is waited for as long as it goes on; see `Retrainer::holds_up`.
//!
//! *What is known after a restart*: the range stands in the set that was published. A training whose range is
//! there already is not done again, whichever process did it; of those that were missed only the last one is
//! made up for. Ranges that end in the future are not believed: a clock went wrong when they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidegauge_score::train::{Report, SensorRows, train_by};
use tidegauge_score::{About, Recipes, Scorer, TrainingRun};
use tidegauge_sink::{LaneSummary, Record};

use crate::background::{End, Work};
use crate::commands::history::{self, Range};
use crate::commands::train;
use crate::config::Retrain;
use crate::pipeline::Pipeline;

/// A lane that has open windows and has committed nothing for so long, beyond the delay, is not waited for.
const SILENT_US: i64 = 3_600_000_000;
/// The clock is looked at as often, for it may jump.
const LOOK: Duration = Duration::from_secs(5);
/// A training that failed is tried again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// Sensors that are trained before it is looked whether the process ends.
const SENSORS_AT_ONCE: usize = 32;
/// Moves of the alias that are looked at for ranges that are trained.
const MOVES: usize = 20;
/// Moves of each alias that are kept, with the sets that they lead to.
const MOVES_KEPT: usize = 100;
/// Publications after which old sets are looked for.
const PRUNE_EVERY: u64 = 10;
/// Ends of ranges that are remembered.
const DONE_MAX: usize = 64;

/// What a look has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing is due, or its rows are not all committed yet.
    Waits,
    /// It has been done, by another process or in an earlier life.
    Known,
    /// The range had no row, or no sensor could be trained: the models stay.
    Nothing,
    /// A set was published and the alias moved to it.
    Published { set: u64, trained: usize, skipped: usize },
    /// The process ends, and nothing was published.
    Ended,
}

/// Trains when it is time.
pub struct Retrainer {
    pipeline: Arc<Pipeline>,
    settings: Retrain,
    scorer: Scorer,
    recipes: Recipes,
    delay_us: i64,
    pool: rayon::ThreadPool,
    /// Ends of ranges that need nothing more.
    done: BTreeSet<i64>,
    publications: u64,
    /// When this began, microseconds since 1970: lanes of the same process come after it.
    began_us: i64,
    /// The end of the range that the log says is waited for.
    told: Option<i64>,
}

impl Retrainer {
    /// # Errors
    /// When the features or the rules are not the query's, or there are no threads to be had.
    pub fn new(pipeline: &Arc<Pipeline>, settings: &Retrain) -> Result<Self> {
        let config = &pipeline.config;
        let scorer = train::scorer(config)?;
        let recipes = train::recipes(config, &scorer)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(settings.threads);
        let pool = pool.thread_name(|n| format!("train-{n}")).build();
        let delay =
            settings.delay.unwrap_or(config.window.out_of_order + 2 * config.lake.commit_every);
        Ok(Self {
            pipeline: pipeline.clone(),
            settings: settings.clone(),
            scorer,
            recipes,
            delay_us: micros(delay),
            pool: pool.context("cannot start the threads that train")?,
            done: BTreeSet::new(),
            publications: 0,
            began_us: pipeline.clock.now_us(),
            told: None,
        })
    }

    /// Trains if a training is due that nobody has done.
    ///
    /// # Errors
    /// When the lake or the registry can't be read or written. The same training is then still due.
    pub fn look(&mut self, end: &End) -> Result<Looked> {
        let now = self.pipeline.clock.now_us();
        let Some(to) = self.settings.schedule.last(now.saturating_sub(self.delay_us)) else {
            return Ok(Looked::Waits);
        };
        if is_done(&self.done, to, now) {
            return Ok(Looked::Waits);
        }
        let published = self.published(to, now)?;
        if is_done(&published, to, now) {
            self.finish(to);
            tracing::info!(to_us = to, "trained on schedule already");
            return Ok(Looked::Known);
        }
        if let Some(lane) = self.behind(to, now)? {
            if self.told.replace(to) != Some(to) {
                tracing::info!(lane, to_us = to, "a training waits until the lane has committed");
            }
            return Ok(Looked::Waits);
        }
        let range = Range { from: self.from(to, now, &published), to: Some(to) };
        let looked = self.train(range, now, end)?;
        if looked != Looked::Ended {
            self.finish(to);
        }
        if let Looked::Published { .. } = looked {
            self.prune();
        }
        Ok(looked)
    }

    /// How long until it may be worth a look.
    fn wait(&self) -> Duration {
        let now = self.pipeline.clock.now_us();
        let next = self.settings.schedule.next(now.saturating_sub(self.delay_us));
        let wait = next.map(|at| at.saturating_add(self.delay_us).saturating_sub(now));
        let wait = wait.and_then(|us| u64::try_from(us).ok()).map_or(LOOK, Duration::from_micros);
        wait.min(LOOK)
    }

    fn from(&self, to: i64, now: i64, published: &BTreeSet<i64>) -> Option<i64> {
        let Some(last) = self.pipeline.config.models.last else {
            let before = published.iter().rev().find(|end| **end < to && **end <= now).copied();
            return before.or_else(|| self.settings.schedule.last(to - 1));
        };
        Some(to.saturating_sub(micros(last)))
    }

    /// A lane whose committed rows don't reach this time, and that is waited for.
    fn behind(&self, to: i64, now: i64) -> Result<Option<String>> {
        let view = self.pipeline.lake().reader().view()?;
        let summarised = view.summary.iter().flat_map(|summary| &summary.lanes);
        let summarised = summarised.map(|(lane, all)| (lane, Newest::of_summary(all)));
        let mut lanes: BTreeMap<_, _> = summarised.collect();
        for (lane, records) in &view.lanes {
            let newest = records.last().map(|(record, _)| (lane, Newest::of_record(record)));
            lanes.extend(newest);
        }
        let behind = lanes.into_iter().find(|(_, newest)| self.holds_up(newest, to, now));
        Ok(behind.map(|(lane, _)| lane.clone()))
    }

    /// Whether rows up to this time may still come of a lane. One that holds no reading has committed all
    /// that it has read, so it counts as silent after `delay`: by then it would have read something. Others
    /// commit as long as they live, and count as silent an hour later. Both since the lane's last commit,
    /// or since this began: the lane may have stood still until then.
    fn holds_up(&self, newest: &Newest, to: i64, now: i64) -> bool {
        if newest.watermark_us.is_some_and(|mark| mark >= to) {
            return false;
        }
        let patience = match newest.open {
            0 => self.delay_us,
            _ => self.delay_us.saturating_add(SILENT_US),
        };
        let since = |at: i64| now.saturating_sub(at);
        [newest.committed_us, self.began_us].map(since).iter().any(|us| (0..patience).contains(us))
    }

    fn train(&self, range: Range, now: i64, end: &End) -> Result<Looked> {
        let config = &self.pipeline.config;
        let rows = history::from_lake(config, self.scorer.columns(), range)?;
        let Some(report) = self.fit(&rows, end)? else { return Ok(Looked::Ended) };
        drop(rows);
        let run = TrainingRun {
            schedule: Some(self.settings.schedule.text().to_string()),
            ..TrainingRun::of(&report, range.from, range.to)
        };
        let (trained, skipped) = (report.entries.len(), report.skipped.len());
        self.pipeline.metrics.trainings.models.inc_by(trained as u64);
        self.pipeline.metrics.trainings.skipped.inc_by(skipped as u64);
        let shown = range.text();
        let shown = shown.trim_start();
        if report.entries.is_empty() {
            match run.named.first() {
                None => tracing::info!(range = shown, "no windows to train on"),
                Some(first) => {
                    let (sensor, reason) = (&first.sensor, &first.what);
                    tracing::warn!(range = shown, skipped, sensor, reason, "no sensor is trained");
                }
            }
            return Ok(Looked::Nothing);
        }
        // Another process may have been quicker: the same models need not be there twice.
        let to = range.to.unwrap_or(now);
        if is_done(&self.published(to, now)?, to, now) {
            return Ok(Looked::Known);
        }
        let (registry, alias) = (&self.pipeline.registry, &self.settings.alias);
        let about = About { note: "trained on schedule".into(), training: Some(run) };
        let set = registry.advance(alias, &config.event.key, &report.entries, about, now)?;
        tracing::info!(set, alias, trained, skipped, range = shown, "trained on schedule");
        Ok(Looked::Published { set, trained, skipped })
    }

    /// The models; `None` when the process is to end.
    fn fit(&self, rows: &[SensorRows], end: &End) -> Result<Option<Report>> {
        let mut all = Report::default();
        for rows in rows.chunks(SENSORS_AT_ONCE) {
            if end.has_come() {
                return Ok(None);
            }
            let rows: Vec<_> =
                rows.iter().map(|rows| self.scorer.features_of(rows, true)).collect();
            let (features, recipes) = (self.scorer.features(), &self.recipes);
            let report = self.pool.install(|| train_by(features, &rows, recipes, &|_| {}))?;
            all.entries.extend(report.entries);
            all.skipped.extend(report.skipped);
        }
        Ok(Some(all).filter(|_| !end.has_come()))
    }

    /// Ends of ranges that are published, or one of them that says that this one is.
    fn published(&self, to: i64, now: i64) -> Result<BTreeSet<i64>> {
        let is_it = |end| (to..=now).contains(&end);
        Ok(self.pipeline.registry.scheduled_ends(&self.settings.alias, MOVES, is_it)?)
    }

    fn finish(&mut self, to: i64) {
        self.done.insert(to);
        if self.done.len() > DONE_MAX {
            self.done.pop_first();
        }
    }

    fn prune(&mut self) {
        self.publications += 1;
        if self.publications.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = self.pipeline.registry.prune(MOVES_KEPT)
        {
            tracing::warn!(%error, "old model sets stay; it is tried again");
        }
    }

    /// A look, with metrics and log.
    fn look_and_tell(&mut self, end: &End) -> Duration {
        let pipeline = self.pipeline.clone();
        let (metrics, began) = (&pipeline.metrics.trainings, pipeline.clock.instant());
        let result = match self.look(end) {
            Ok(Looked::Waits | Looked::Ended) => return self.wait(),
            Ok(Looked::Known) => "known",
            Ok(Looked::Nothing) => "nothing",
            Ok(Looked::Published { .. }) => "published",
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the training on schedule failed; it is tried again");
                metrics.run("failed");
                return AGAIN;
            }
        };
        metrics.run(result);
        if result != "known" {
            metrics.last_seconds.set(pipeline.clock.now_us() / 1_000_000);
            let took = pipeline.clock.instant().saturating_duration_since(began);
            metrics.seconds.observe(took.as_secs_f64());
        }
        self.wait()
    }
}

impl Work for Retrainer {
    fn name(&self) -> &'static str {
        "retrainer"
    }

    fn first(&self) -> Duration {
        Duration::ZERO
    }

    fn round(&mut self, end: &End) -> Duration {
        self.look_and_tell(end)
    }
}

/// What the ledger says of a lane last.
struct Newest {
    watermark_us: Option<i64>,
    committed_us: i64,
    /// Readings that no row holds yet.
    open: u64,
}

impl Newest {
    fn of_record(record: &Record) -> Self {
        Self::new(record.watermark_ns, record.committed_at_us, record.counters.open)
    }

    fn of_summary(lane: &LaneSummary) -> Self {
        Self::new(lane.watermark_ns, lane.committed_at_us, lane.counters.open)
    }

    fn new(watermark_ns: Option<i64>, committed_us: i64, open: u64) -> Self {
        let watermark_us = watermark_ns.map(|ns| ns.div_euclid(1000));
        Self { watermark_us, committed_us, open }
    }
}

/// Whether a range that ends here or later is among these, but for those that end in the future.
fn is_done(ends: &BTreeSet<i64>, to: i64, now: i64) -> bool {
    to <= now && ends.range(to..=now).next().is_some()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
