//! Window rows in, predictions out: each row by its sensor's own model.
//!
//! # Guarantees
//! Every row comes out once, in its place. A row without a usable verdict has null in `score`,
//! `threshold`,
//! `is_anomaly` and `severity`, and its `status` says why, the first of: no model, too few
//! readings, invalid features. A sensor's model is looked up once and kept until the models are
//! replaced.

mod features;
mod output;

pub use output::{Stamp, Status, Tally, prediction_schema};

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, SensorId, Sensors, WindowRows};

use self::features::Features;
use self::output::Output;
use crate::calibration::Lookup;
use crate::error::ScoreError;
use crate::model::Model;
use crate::registry::Models;
use crate::set::describe;
use crate::svm::prefetch;

/// Most features that a reason names.
const MAX_REASONS: usize = 3;

/// A feature is named in a reason when it is at least this much to blame as the first one.
const REASON_SHARE: f64 = 0.1;

/// Rows between two steps of a prefetch: about what a line takes from memory.
const AHEAD: usize = 2;

/// Scores the window rows of one lane.
#[derive(Debug)]
pub struct Scorer {
    features: Features,
    promised: SchemaRef,
    predictions: SchemaRef,
    key: Option<KeySchema>,
    models: Option<Models>,
    loaded: usize,
    min_readings: u64,
    /// By [`SensorId`]; grows as sensors are seen.
    slots: Vec<Slot>,
    missing: usize,
    tally: Tally,
}

/// What is known of one sensor's model.
#[derive(Debug, Clone, Default)]
enum Slot {
    #[default]
    Unseen,
    Missing,
    Ready(Box<Ready>),
}

/// A model that is ready to score.
#[derive(Debug, Clone)]
struct Ready {
    model: Arc<dyn Model>,
    threshold: f64,
    /// `None`: the model has no calibration.
    severities: Option<Lookup>,
    version: u64,
}

impl Scorer {
    /// A scorer of rows with `schema` (that of [`WindowRows::batch`]: `key_columns` key columns,
    /// `window_start`, `window_end`, features). `features` names the columns that models see, in
    /// their order; empty means all numeric ones in the query's order.
    ///
    /// # Errors
    /// [`ScoreError::Feature`] for a feature that the query lacks or that is no number;
    /// [`ScoreError::FeatureMismatch`] or [`ScoreError::KeyMismatch`] when a model doesn't fit.
    pub fn new(
        schema: &Schema,
        key_columns: usize,
        features: &[String],
        models: Option<Models>,
        min_readings: u64,
    ) -> Result<Self, ScoreError> {
        let features = Features::choose(schema, key_columns, features)?;
        let mut scorer = Self {
            features,
            promised: Arc::new(schema.clone()),
            predictions: prediction_schema(schema),
            key: key_schema(schema, key_columns),
            models: None,
            loaded: 0,
            min_readings,
            slots: Vec::new(),
            missing: 0,
            tally: Tally::default(),
        };
        scorer.replace_models(models)?;
        Ok(scorer)
    }

    /// Puts other models in force, from the next row on. Sensors are looked up anew.
    ///
    /// # Errors
    /// When a model doesn't fit the query; the models in force stay so.
    pub fn replace_models(&mut self, models: Option<Models>) -> Result<(), ScoreError> {
        if let Some(models) = &models {
            self.check(models)?;
        }
        self.loaded = models.as_ref().map_or(0, |models| models.effective().count());
        self.models = models;
        self.slots.clear();
        self.missing = 0;
        Ok(())
    }

    /// The predictions of closed windows: the columns of [`Scorer::prediction_schema`].
    ///
    /// # Errors
    /// [`ScoreError::Rows`] when the rows have other columns than promised; never because of a
    /// value.
    pub fn score(
        &mut self,
        rows: &WindowRows,
        sensors: &Sensors,
        stamp: &Stamp<'_>,
    ) -> Result<RecordBatch, ScoreError> {
        self.check_rows(rows)?;
        let gathered = self.features.gather(&rows.batch)?;
        let mut output = Output::with_capacity(rows.len());
        let mut row = 0;
        while row < rows.len() {
            let sensor = rows.sensor[row];
            let same = rows.sensor[row..].iter().take_while(|s| **s == sensor).count();
            self.look_up(sensor, sensors);
            self.prefetch(&rows.sensor[row + same..]);
            let run = gathered.run(row, same);
            score_run(
                &self.slots[sensor as usize],
                &self.features,
                &run,
                &rows.n_readings[row..row + same],
                self.min_readings,
                &mut output,
            );
            row += same;
        }
        self.tally.add(&output);
        output.finish(rows, stamp, Arc::clone(&self.predictions))
    }

    /// The schema of predictions.
    pub fn prediction_schema(&self) -> &SchemaRef {
        &self.predictions
    }

    /// The features that models see, in their order.
    pub fn features(&self) -> &[String] {
        self.features.names()
    }

    /// Versions of the sets in force, newest first; empty without models.
    pub fn model_sets(&self) -> &[u64] {
        self.models.as_ref().map_or(&[], Models::versions)
    }

    /// Sensors without a model that were seen since the models were put in force.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Models in force.
    pub fn loaded(&self) -> usize {
        self.loaded
    }

    /// Rows since the scorer was made.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn look_up(&mut self, sensor: SensorId, sensors: &Sensors) {
        let index = sensor as usize;
        if index >= self.slots.len() {
            // Room for every sensor of the lane, not beyond: the directory is bounded.
            self.slots.resize_with(sensors.len().max(index + 1), Slot::default);
        }
        if !matches!(self.slots[index], Slot::Unseen) {
            return;
        }
        let found = self.models.as_ref().and_then(|models| models.find(&sensors.key(sensor)));
        self.slots[index] = match found {
            Some((entry, version)) => {
                let (model, threshold) = (entry.model.build(), entry.threshold);
                let severities = entry.calibration.as_ref().map(Lookup::new);
                Slot::Ready(Box::new(Ready { model, threshold, severities, version }))
            }
            None => {
                self.missing += 1;
                Slot::Missing
            }
        };
    }

    /// Brings the models of the rows to come nearer, step by step: each step reads what the one before asked
    /// for.
    fn prefetch(&self, coming: &[SensorId]) {
        let ready = |ahead: usize| match self.slots.get(*coming.get(ahead)? as usize)? {
            Slot::Ready(ready) => Some(ready),
            Slot::Unseen | Slot::Missing => None,
        };
        if let Some(ready) = ready(2 * AHEAD) {
            prefetch::value(&**ready);
        }
        if let Some(ready) = ready(AHEAD) {
            prefetch::value(&*ready.model);
        }
        if let Some(ready) = ready(0) {
            ready.model.prefetch();
        }
    }

    fn check(&self, models: &Models) -> Result<(), ScoreError> {
        for set in models.sets() {
            let key = &set.header.key;
            if self.key.as_ref() != Some(key) {
                let found = self.key.as_ref().map_or("other columns".into(), describe);
                let (set, expected) = (set.header.version, describe(key));
                return Err(ScoreError::KeyMismatch { set, expected, found });
            }
        }
        let wrong = models.effective().find(|(entry, _)| entry.features != self.features.names());
        wrong.map_or(Ok(()), |(entry, set)| {
            Err(ScoreError::FeatureMismatch {
                sensor: entry.key.to_string(),
                set,
                expected: entry.features.clone(),
                found: self.features.names().to_vec(),
            })
        })
    }

    fn check_rows(&self, rows: &WindowRows) -> Result<(), ScoreError> {
        let n = rows.batch.num_rows();
        if rows.sensor.len() != n || rows.n_readings.len() != n {
            let (sensors, readings) = (rows.sensor.len(), rows.n_readings.len());
            let what = format!("{n} rows, {sensors} sensors and {readings} counts of readings");
            return Err(ScoreError::Rows(what));
        }
        if rows.batch.schema().fields() != self.promised.fields() {
            let (promised, found) = (self.promised.fields(), rows.batch.schema());
            return Err(ScoreError::Rows(format!("promised {promised:?}, found {found:?}")));
        }
        Ok(())
    }
}

/// Scores consecutive rows of one sensor.
fn score_run(
    slot: &Slot,
    features: &Features,
    run: &features::Run<'_>,
    n_readings: &[u64],
    min_readings: u64,
    output: &mut Output,
) {
    let Slot::Ready(ready) = slot else {
        n_readings.iter().for_each(|_| output.refuse(Status::NoModel, None));
        return;
    };
    let mut scores = output.take_scratch(n_readings.len());
    if run.all_valid() {
        ready.model.scores(run.values(), &mut scores);
    } else {
        for (i, score) in scores.iter_mut().enumerate().filter(|(i, _)| run.is_valid(*i)) {
            ready.model.scores(run.row(i), std::slice::from_mut(score));
        }
    }
    let version = Some(ready.version);
    for (i, score) in scores.iter().copied().enumerate() {
        if n_readings[i] < min_readings {
            output.refuse(Status::TooFewReadings, version);
        } else if !run.is_valid(i) || !score.is_finite() {
            output.refuse(Status::InvalidFeatures, version);
        } else {
            verdict(ready, features, run.row(i), score, output);
        }
    }
    output.give_back(scores);
}

fn verdict(ready: &Ready, features: &Features, row: &[f64], score: f64, output: &mut Output) {
    let is_anomaly = score >= ready.threshold;
    let severity = ready.severities.as_ref().map(|lookup| lookup.severity(score));
    let reason = is_anomaly.then(|| reason(ready.model.as_ref(), features.names(), row));
    output.verdict(score, ready.threshold, is_anomaly, severity, reason, ready.version);
}

/// The features most to blame for an anomaly, most first, as `stddev,mean`.
fn reason(model: &dyn Model, names: &[String], row: &[f64]) -> String {
    let mut blame = vec![0.0; names.len()];
    model.blame(row, &mut blame);
    let mut order: Vec<usize> = (0..names.len()).collect();
    // Stable, so that features that are equally to blame stand in the query's order.
    order.sort_by(|a, b| blame[*b].total_cmp(&blame[*a]));
    let least = (blame[order[0]] * REASON_SHARE).max(0.0);
    let named = order.iter().enumerate().filter(|(i, f)| *i == 0 || blame[**f] > least);
    let named: Vec<&str> = named.take(MAX_REASONS).map(|(_, f)| names[*f].as_str()).collect();
    named.join(",")
}

/// The key columns of window rows; `None` when a column has a type that keys can't have.
fn key_schema(schema: &Schema, key_columns: usize) -> Option<KeySchema> {
    let kinds = [KeyType::Int64, KeyType::String];
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let kind = *kinds.iter().find(|kind| kind.data_type() == *field.data_type())?;
        Some(KeyColumn { name: field.name().clone(), kind })
    };
    let columns: Option<Vec<_>> = schema.fields().iter().take(key_columns).map(column).collect();
    columns.filter(|columns| !columns.is_empty()).map(KeySchema::new)
}

#[cfg(test)]
mod tests;
