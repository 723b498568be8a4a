//! The onset view's models, fitted anew beside the stream: a thread that reads what lanes have committed,
//! refits sensors whose time has come and publishes. Lanes take the models up at an epoch's end.
//!
//! *Why from the lake*: what a model has seen is then what readers see, and any process may do it. A round
//! that fails or a process that dies loses nothing but work: the next one reads the same rows, takes up
//! each sensor at the model that was published last, and goes on as if nothing had happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType, UInt32Type, UInt64Type};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tidegauge_flow::{SensorKey, names};
use tidegauge_score::{Follower, ModelEntry};
use tidegauge_sink::{FileRef, Table, View};

use crate::config::Onset;
use crate::pipeline::Pipeline;
use crate::sensor_rows::{Keys, Numbers};

/// Most models that one round fits: it publishes what it has, and the rest is the next round's, which
/// then comes at once.
const FITS_MAX: usize = 50;

/// Publications after which old sets are looked for.
const PRUNE_EVERY: u64 = 10;

/// Moves of the alias that are kept, with the sets that they lead to.
const MOVES_KEPT: usize = 100;

/// The thread that trains; told to end when this is dropped.
pub struct TrainerThread {
    ends: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TrainerThread {
    /// Trains once per interval from now on. `None` without an onset view, or when it is fitted elsewhere.
    ///
    /// # Errors
    /// When the features are not the query's, or the thread cannot be started.
    pub fn start(pipeline: &Arc<Pipeline>) -> Result<Option<Self>> {
        let Some(onset) = pipeline.config.models.onset.clone().filter(|onset| onset.fit) else {
            return Ok(None);
        };
        Self::follow(Trainer::new(pipeline, &onset)?, onset.fit_every).map(Some)
    }

    /// Lets a trainer do its rounds from now on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn follow(mut trainer: Trainer, every: Duration) -> Result<Self> {
        let (ends, ended) = bounded::<()>(0);
        let body = move || {
            let mut wait = trainer.pipeline.jitter(every);
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
                let waiting = trainer.round_and_tell();
                wait = if waiting > 0 { Duration::ZERO } else { trainer.pipeline.jitter(every) };
            }
        };
        let spawned = std::thread::Builder::new().name("trainer".into()).spawn(body);
        let thread = spawned.context("cannot start the thread that trains")?;
        Ok(Self { ends: Some(ends), thread: Some(thread) })
    }

    /// Whether it has ended by itself, which only a bug can do.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for TrainerThread {
    /// Waits for a round that is under way: half of a publication is none, but it would be work lost.
    fn drop(&mut self) {
        self.ends.take();
        if let Some(thread) = self.thread.take() {
            // What a panic has to say is in the log already.
            let _ = thread.join();
        }
    }
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
    alias: String,
    follower: Follower,
    /// The newest epoch of each lane whose rows are read.
    read: BTreeMap<String, u64>,
    /// Models that are fitted and not published: the store may have failed.
    unpublished: BTreeMap<SensorKey, ModelEntry>,
    publications: u64,
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
        let last = pipeline.registry.resolve(&onset.alias)?;
        let scorer = pipeline.scorer()?;
        let follower = Follower::new(&scorer, &onset.refit, onset.fit_threads, last)?;
        let (pipeline, alias) = (pipeline.clone(), onset.alias.clone());
        let (read, unpublished) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { pipeline, alias, follower, read, unpublished, publications: 0 })
    }

    /// How many sensors wait for the next round.
    fn round_and_tell(&mut self) -> usize {
        let metrics = self.pipeline.metrics.clone();
        match self.round() {
            Ok(round) => {
                metrics.refits.fitted.inc_by(round.fitted as u64);
                metrics.refits.failures.inc_by(round.failed as u64);
                metrics.refits.waiting.set(i64::try_from(round.waiting).unwrap_or(i64::MAX));
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
        let rows = self.read_new()?;
        let mut round = Round { rows: rows.len(), ..Round::default() };
        for row in rows {
            self.follower.push(&row.key, row.end_us, &row.values, row.revision > 0)?;
        }
        let fits = self.follower.fit(FITS_MAX);
        for (sensor, fit) in fits {
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
        round.waiting = self.follower.due();
        if !self.unpublished.is_empty() {
            round.set = Some(self.publish()?);
        }
        Ok(round)
    }

    fn publish(&mut self) -> Result<u64> {
        let Pipeline { registry, config, clock, .. } = &*self.pipeline;
        let entries: Vec<ModelEntry> = self.unpublished.values().cloned().collect();
        let (key, now) = (&config.event.key, clock.now_us());
        let set = registry.advance(&self.alias, key, &entries, "fitted anew", now)?;
        self.unpublished.clear();
        self.publications += 1;
        if self.publications.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = registry.prune(MOVES_KEPT)
        {
            tracing::warn!(%error, "old model sets stay; it is tried again");
        }
        Ok(set)
    }

    /// The rows that were committed since the last look, in the order of time.
    fn read_new(&mut self) -> Result<Vec<Row>> {
        let reader = self.pipeline.lake().reader();
        let view = reader.view()?;
        let keys = self.pipeline.config.event.key.columns().iter().map(|key| key.name.as_str());
        let ours = [names::WINDOW_END, names::REVISION, names::EPOCH, names::LANE];
        let values = self.follower.columns().iter().map(String::as_str);
        let columns: Vec<&str> = keys.chain(ours).chain(values).collect();
        let mut rows = Vec::new();
        for file in self.unread(&view) {
            let place = || format!("cannot read {}", file.path);
            for batch in reader.rows_of(file, &columns).with_context(place)? {
                self.take_rows(&batch, &mut rows).with_context(place)?;
            }
        }
        let summarised = view.summary.iter().flat_map(|summary| &summary.lanes);
        let summarised = summarised.map(|(lane, summary)| (lane, summary.to));
        let newest = view.lanes.iter().filter_map(|(lane, r)| Some((lane, r.last()?.0.epoch)));
        for (lane, epoch) in summarised.chain(newest) {
            let known = self.read.entry(lane.clone()).or_default();
            *known = (*known).max(epoch);
        }
        rows.sort_by_key(|row: &Row| (row.end_us, row.revision));
        Ok(rows)
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
