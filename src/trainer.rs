//! The onset view's models, fitted anew beside the stream: a thread that reads what lanes have committed,
//! refits sensors whose time has come and publishes. Lanes take the models up at an epoch's end.
//!
//! *Why from the lake*: what a model has seen is then what readers see, and any process may do it. A round
//! that fails or a process that dies loses nothing but work: the next one reads the same rows, takes up
//! each sensor at the model that was published last, and goes on as if nothing had happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType, UInt32Type, UInt64Type};
use tidegauge_flow::{SensorKey, names};
use tidegauge_score::{Follower, ModelEntry};
use tidegauge_sink::{FileRef, Reader, Table, View};

use crate::background::{Background, End, Work};
use crate::config::Onset;
use crate::pipeline::Pipeline;
use crate::retrain::Retrainer;
use crate::sensor_rows::{Keys, Numbers};

/// Most models that one round fits: it publishes what it has, and the rest is the next round's, which
/// then comes at once.
const FITS_MAX: usize = 50;

/// Publications after which old sets are looked for.
const PRUNE_EVERY: u64 = 10;

/// Moves of the alias that are kept, with the sets that they lead to.
const MOVES_KEPT: usize = 100;

/// Who starts the work beside the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `run`, which leaves out what is done elsewhere.
    Run,
    /// `train --follow`.
    Follow,
}

/// Starts what the configuration wants trained by itself: the onset view's models, and all models on a
/// schedule.
///
/// # Errors
/// When features or rules are not the query's, or a thread cannot be started.
pub fn start(pipeline: &Arc<Pipeline>, place: Place) -> Result<Vec<Background>> {
    let ours = |fit: bool| fit || place == Place::Follow;
    let models = &pipeline.config.models;
    let mut threads = Vec::new();
    if let Some(onset) = models.onset.as_ref().filter(|onset| ours(onset.fit)) {
        threads.push(Background::start(Trainer::new(pipeline, onset)?)?);
    }
    if let Some(retrain) = models.retrain.as_ref().filter(|retrain| ours(retrain.fit)) {
        threads.push(Background::start(Retrainer::new(pipeline, retrain)?)?);
    }
    Ok(threads)
}

/// What a round has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub rows: usize,
    pub fitted: usize,
    pub failed: usize,
    /// The version that was published.
    pub set: Option<u64>,
    /// Sensors that wait for the next round.
    pub waiting: usize,
}

/// What has been read of the lake, and each sensor's past.
pub struct Trainer {
    pipeline: Arc<Pipeline>,
    onset: Onset,
    follower: Follower,
    /// The newest epoch of each lane whose rows are read.
    read: BTreeMap<String, u64>,
    /// Models that are fitted and not published: the store may have failed.
    unpublished: BTreeMap<SensorKey, ModelEntry>,
    publications: u64,
}

impl Work for Trainer {
    fn name(&self) -> &'static str {
        "trainer"
    }

    fn first(&self) -> Duration {
        self.pipeline.jitter(self.onset.fit_every)
    }

    fn round(&mut self, end: &End) -> Duration {
        let waiting = self.round_and_tell(end);
        if waiting > 0 { Duration::ZERO } else { self.pipeline.jitter(self.onset.fit_every) }
    }
}

/// What follows every sensor from the beginning, or from where its model was published last.
fn follower(pipeline: &Pipeline, onset: &Onset) -> Result<Follower> {
    let scorer = pipeline.scorer()?;
    Ok(Follower::new(&scorer, &onset.refit, onset.fit_threads, pipeline.onset_models())?)
}

/// A window row as the lake has it.
struct Row {
    key: SensorKey,
    end_us: i64,
    revision: u32,
    values: Vec<f64>,
}

impl Trainer {
    /// # Errors
    /// When the features are not the query's.
    pub fn new(pipeline: &Arc<Pipeline>, onset: &Onset) -> Result<Self> {
        Ok(Self {
            pipeline: pipeline.clone(),
            onset: onset.clone(),
            follower: follower(pipeline, onset)?,
            read: BTreeMap::new(),
            unpublished: BTreeMap::new(),
            publications: 0,
        })
    }

    /// How many sensors wait for the next round.
    fn round_and_tell(&mut self, end: &End) -> usize {
        let metrics = self.pipeline.metrics.clone();
        match self.round_until(end) {
            Ok(round) => {
                metrics.refits.fitted.inc_by(round.fitted as u64);
                metrics.refits.failures.inc_by(round.failed as u64);
                metrics.refits.waiting.set(i64::try_from(round.waiting).unwrap_or(i64::MAX));
                let held = i64::try_from(self.follower.memory_bytes()).unwrap_or(i64::MAX);
                metrics.refits.memory_bytes.set(held);
                if let Some(set) = round.set {
                    let Round { rows, fitted, failed, waiting, .. } = round;
                    tracing::info!(set, rows, fitted, failed, waiting, "models fitted anew");
                }
                round.waiting
            }
            Err(error) => {
                metrics.refits.failures.inc();
                let error = format!("{error:#}");
                tracing::warn!(error, "models are not fitted anew; it is tried again");
                0
            }
        }
    }

    /// Reads what is new in the lake, fits what is due and publishes it.
    ///
    /// # Errors
    /// When the lake or the registry can't be read or written. Rows that were read stay read, and models
    /// that were not published are published by the next round.
    pub fn round(&mut self) -> Result<Round> {
        self.round_until(&End::default())
    }

    /// A round that fits nothing more once the end has come: those sensors are due in the next life.
    fn round_until(&mut self, end: &End) -> Result<Round> {
        let mut round = Round { rows: self.read_new(end)?, ..Round::default() };
        while round.fitted + round.failed < FITS_MAX && self.follower.due() > 0 && !end.has_come() {
            self.fit_some(&mut round);
        }
        round.waiting = self.follower.due();
        if !self.unpublished.is_empty() {
            round.set = Some(self.publish()?);
        }
        Ok(round)
    }

    /// Fits as many as there are threads.
    fn fit_some(&mut self, round: &mut Round) {
        for (sensor, fit) in self.follower.fit(self.onset.fit_threads) {
            match fit {
                Ok(entry) => {
                    round.fitted += 1;
                    self.unpublished.insert(sensor, entry);
                }
                Err(reason) => {
                    round.failed += 1;
                    tracing::warn!(%sensor, %reason, "the model is not fitted anew");
                }
            }
        }
    }

    fn publish(&mut self) -> Result<u64> {
        let Pipeline { registry, config, clock, .. } = &*self.pipeline;
        let entries: Vec<ModelEntry> = self.unpublished.values().cloned().collect();
        let (key, now) = (&config.event.key, clock.now_us());
        let alias = &self.onset.alias;
        let set = registry.advance(alias, key, &entries, "fitted anew", now);
        let set = set.with_context(|| {
            format!("cannot publish; tidegauge models rollback {alias} leaves a set that is torn")
        })?;
        self.unpublished.clear();
        self.publications += 1;
        if self.publications.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = registry.prune(MOVES_KEPT)
        {
            tracing::warn!(%error, "old model sets stay; it is tried again");
        }
        Ok(set)
    }

    /// Tells the follower the rows that were committed since the last look, in the order of time. How many.
    ///
    /// *Bounded*: files are read in the order of their first windows, and rows are told as soon as no file
    /// that comes can have earlier ones. So memory has the rows of files that overlap in time: of a
    /// compacted lake a day of each lane. Once the end has come it is left as it is: there is no next round.
    fn read_new(&mut self, end: &End) -> Result<usize> {
        let pipeline = self.pipeline.clone();
        let reader = pipeline.lake().reader();
        let view = reader.view()?;
        let first = |file: &FileRef| file.window_end_us.map_or(i64::MIN, |(first, _)| first);
        let mut files = self.unread(&view);
        files.sort_by_key(|file| first(file));
        let (mut rows, mut told) = (Vec::new(), 0);
        for (at, file) in files.iter().enumerate() {
            if end.has_come() {
                return Ok(told);
            }
            let read = self.read_file(reader, file, &mut rows);
            if let Err(error) = read {
                if told > 0 {
                    self.begin_again()?;
                }
                return Err(error.context(format!("cannot read {}", file.path)));
            }
            told += self.tell(&mut rows, files.get(at + 1).map(|next| first(next)))?;
        }
        let summarised = view.summary.iter().flat_map(|summary| &summary.lanes);
        let summarised = summarised.map(|(lane, summary)| (lane, summary.to));
        let newest = view.lanes.iter().filter_map(|(lane, r)| Some((lane, r.last()?.0.epoch)));
        for (lane, epoch) in summarised.chain(newest) {
            let known = self.read.entry(lane.clone()).or_default();
            *known = (*known).max(epoch);
        }
        Ok(told)
    }

    fn read_file(&self, reader: &Reader, file: &FileRef, rows: &mut Vec<Row>) -> Result<()> {
        let keys = self.pipeline.config.event.key.columns().iter().map(|key| key.name.as_str());
        let ours = [names::WINDOW_END, names::REVISION, names::EPOCH, names::LANE];
        let values = self.follower.columns().iter().map(String::as_str);
        let columns: Vec<&str> = keys.chain(ours).chain(values).collect();
        for batch in reader.rows_of(file, &columns)? {
            self.take_rows(&batch, rows)?;
        }
        Ok(())
    }

    /// Tells the rows whose window ended before this time, or all. How many.
    fn tell(&mut self, rows: &mut Vec<Row>, before: Option<i64>) -> Result<usize> {
        rows.sort_by_key(|row| (row.end_us, row.revision));
        let ready = before.map_or(rows.len(), |us| rows.partition_point(|row| row.end_us < us));
        for row in rows.drain(..ready) {
            self.follower.push(&row.key, row.end_us, &row.values, row.revision > 0)?;
        }
        Ok(ready)
    }

    /// Forgets what was told: the next round reads the lake from its beginning, and goes on where models
    /// were published.
    fn begin_again(&mut self) -> Result<()> {
        self.follower = follower(&self.pipeline, &self.onset)?;
        self.read.clear();
        Ok(())
    }

    /// The files that may have rows of epochs that are not read: those of new records, and when the
    /// summary is ahead of what is read, all of its files.
    fn unread<'a>(&self, view: &'a View) -> Vec<&'a FileRef> {
        let summary = view.summary.as_ref();
        let behind =
            summary.is_some_and(|s| s.lanes.iter().any(|(lane, l)| l.to > self.known(lane)));
        let summarised = summary.filter(|_| behind).into_iter().flat_map(|s| &s.files);
        let records = view.lanes.iter().flat_map(|(lane, records)| {
            let known = self.known(lane);
            records.iter().filter(move |(record, _)| record.epoch > known)
        });
        let files = summarised.map(|live| &live.file);
        let files = files.chain(records.flat_map(|(record, _)| &record.files));
        files.filter(|file| file.table == Table::Predictions).collect()
    }

    fn take_rows(&self, batch: &RecordBatch, rows: &mut Vec<Row>) -> Result<()> {
        let column = |name: &str| {
            batch.column_by_name(name).with_context(|| format!("it has no column {name}"))
        };
        let ends = column(names::WINDOW_END)?.as_primitive::<TimestampMicrosecondType>();
        let revisions = column(names::REVISION)?.as_primitive::<UInt32Type>();
        let epochs = column(names::EPOCH)?.as_primitive::<UInt64Type>();
        let lanes = cast(column(names::LANE)?, &DataType::Utf8)?;
        let lanes = lanes.as_string::<i32>();
        let keys = self.pipeline.config.event.key.columns().iter().map(|key| column(&key.name));
        let keys = Keys::of(keys.collect::<Result<Vec<_>>>()?.into_iter())?;
        let values = self.follower.columns().iter().map(|name| Numbers::of(column(name)?));
        let values: Vec<Numbers> = values.collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            // A file of the summary may hold rows of epochs that are read.
            if epochs.value(row) <= self.known(lanes.value(row)) {
                continue;
            }
            rows.push(Row {
                key: keys.sensor(row),
                end_us: ends.value(row),
                revision: revisions.value(row),
                values: values.iter().map(|column| column.value(row)).collect(),
            });
        }
        Ok(())
    }

    fn known(&self, lane: &str) -> u64 {
        self.read.get(lane).copied().unwrap_or_default()
    }
}
