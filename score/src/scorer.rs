//! Window rows in, predictions out: each row by its sensor's own model.
//!
//! # Guarantees
//! Every row comes out once, in its place. A row without a usable verdict has null in `score`,
//! `threshold`,
//! `is_anomaly` and `severity`, and its `status` says why, the first of: no model, too few
//! readings, invalid features, warming up. A verdict of a model that stands in for the sensor's own has the
//! status `fallback`. A sensor's model is looked up once and kept until the models are replaced.

mod beside;
mod columns;
mod fallback;
mod features;
mod onset;
mod output;
mod verdict;
mod view;

pub use crate::context::Remembered;
pub use fallback::{FallbackLimit, FallbackSettings};
pub use onset::OnsetSettings;
pub use output::{Stamp, Status, Tally, Views, prediction_schema};

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, SensorId, SensorKey, Sensors, WindowRows};

use self::columns::{Columns, Gathered};
use self::fallback::Fallback;
use self::features::{Features, Run};
use self::output::Output;
use self::verdict::Count;
use self::view::View;
use crate::context::{Expression, Fit, Histories, Needs};
use crate::error::ScoreError;
use crate::registry::Models;
use crate::train::SensorRows;

/// Scores the window rows of one lane.
#[derive(Debug)]
pub struct Scorer {
    columns: Columns,
    promised: SchemaRef,
    predictions: SchemaRef,
    key: Option<KeySchema>,
    min_readings: u64,
    champion: View,
    onset: Option<Onset>,
    /// Its models see what the champion's see.
    challenger: Option<View>,
    fallback: Option<Fallback>,
    /// `None` when models see nothing but columns.
    histories: Option<Histories>,
    /// Scratch space: the features of a run of rows.
    run: Run,
    tally: Tally,
}

/// The view that adapts.
#[derive(Debug)]
struct Onset {
    view: View,
    settings: OnsetSettings,
    /// Scratch space, parallel to a run of rows.
    run: Run,
    counts: Vec<Count>,
}

impl Scorer {
    /// A scorer of rows with `schema` (that of [`WindowRows::batch`]: `key_columns` key columns,
    /// `window_start`, `window_end`, features). `features` names what models see, in their order:
    /// columns, or context features ([`crate::context`]); empty means all numeric columns in the
    /// query's order.
    ///
    /// # Errors
    /// [`ScoreError::Feature`] for a feature that the query lacks or that is no number;
    /// [`ScoreError::FeatureMismatch`] or [`ScoreError::KeyMismatch`] when a model doesn't fit,
    /// [`ScoreError::Model`] when one cannot be built.
    pub fn new(
        schema: &Schema,
        key_columns: usize,
        features: &[String],
        models: Option<Models>,
        min_readings: u64,
    ) -> Result<Self, ScoreError> {
        let promised = Arc::new(schema.clone());
        let mut columns = Columns::of(&promised, key_columns);
        let champion = View::new(&mut columns, features)?;
        let mut scorer = Self {
            columns,
            predictions: prediction_schema(schema, Views::default()),
            promised,
            key: key_schema(schema, key_columns),
            champion,
            onset: None,
            challenger: None,
            fallback: None,
            min_readings,
            histories: None,
            run: Run::default(),
            tally: Tally::default(),
        };
        scorer.remember_what_is_needed();
        scorer.replace_models(models)?;
        Ok(scorer)
    }

    /// The same with the onset view beside it.
    ///
    /// # Errors
    /// As [`Scorer::new`], and [`ScoreError::Option`] for a setting outside its range.
    pub fn with_onset(
        mut self,
        settings: &OnsetSettings,
        models: Option<Models>,
    ) -> Result<Self, ScoreError> {
        settings.check()?;
        let view = View::new(&mut self.columns, &settings.features)?;
        let (run, counts) = (Run::default(), Vec::new());
        self.onset = Some(Onset { view, settings: settings.clone(), run, counts });
        self.predictions = prediction_schema(&self.promised, self.views());
        self.remember_what_is_needed();
        self.replace_onset_models(models)?;
        Ok(self)
    }

    /// Puts other models in force, from the next row on. Sensors are looked up anew.
    ///
    /// # Errors
    /// When a model doesn't fit the query, or cannot be built; the models in force stay so.
    pub fn replace_models(&mut self, models: Option<Models>) -> Result<(), ScoreError> {
        self.champion.replace(models, self.key.as_ref())?;
        if let Some(fallback) = &mut self.fallback {
            fallback.forget_sensors();
        }
        Ok(())
    }

    /// The same for the onset view; nothing without one.
    ///
    /// # Errors
    /// As [`Scorer::replace_models`].
    pub fn replace_onset_models(&mut self, models: Option<Models>) -> Result<(), ScoreError> {
        let key = self.key.as_ref();
        self.onset.as_mut().map_or(Ok(()), |onset| onset.view.replace(models, key))
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
        let gathered = self.columns.gather(&rows.batch, self.histories.is_some())?;
        let mut output = Output::new(rows.len(), self.views());
        let mut row = 0;
        while row < rows.len() {
            let sensor = rows.sensor[row];
            let same = rows.sensor[row..].iter().take_while(|s| **s == sensor).count();
            self.champion.look_up(sensor, sensors);
            self.champion.prefetch(&rows.sensor[row + same..]);
            self.look_back(rows, &gathered, row, same);
            let run = match self.histories {
                Some(_) => self.run.view(),
                None => gathered.rows(row, same),
            };
            let names = self.champion.features.names();
            let n_readings = &rows.n_readings[row..row + same];
            let own = self.champion.ready(sensor).map(|ready| (ready, Status::Ok));
            let judge = own.or_else(|| {
                let found = self.fallback.as_mut()?.find(sensor, sensors)?;
                Some((found, Status::Fallback))
            });
            verdict::champion(judge, names, &run, n_readings, self.min_readings, &mut output);
            if let Some(view) = &mut self.challenger {
                view.look_up(sensor, sensors);
                view.prefetch(&rows.sensor[row + same..]);
                let ready = view.ready(sensor);
                verdict::challenger(ready, &run, n_readings, self.min_readings, &mut output);
            }
            self.judge_onset(sensor, sensors, &mut output);
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
        self.champion.features.names()
    }

    /// The features that the onset view's models see; empty without it.
    pub fn onset_features(&self) -> &[String] {
        self.onset.as_ref().map_or(&[], |onset| onset.view.features.names())
    }

    /// Whether models see more of a sensor than the row itself.
    pub fn looks_back(&self) -> bool {
        self.champion.features.expressions().iter().any(|feature| feature.looks_back())
    }

    /// Of each feature that models see, how many rows it is made of; `None` of those that follow the clock.
    pub fn spans(&self) -> Vec<Option<usize>> {
        self.champion.features.expressions().iter().map(|feature| feature.span()).collect()
    }

    /// How the onset view judges, and the features that it sees.
    pub(crate) fn onset_settings(&self) -> Option<(&OnsetSettings, &[Expression])> {
        let onset = self.onset.as_ref()?;
        Some((&onset.settings, onset.view.features.expressions()))
    }

    /// The columns of the query that features of any view look at.
    pub fn columns(&self) -> &[String] {
        self.columns.names()
    }

    /// Versions of the sets in force, newest first; empty without models.
    pub fn model_sets(&self) -> &[u64] {
        self.champion.versions()
    }

    /// The same of the onset view.
    pub fn onset_sets(&self) -> &[u64] {
        self.onset.as_ref().map_or(&[], |onset| onset.view.versions())
    }

    /// Models in force.
    pub fn loaded(&self) -> usize {
        self.champion.loaded()
    }

    /// Rows since the scorer was made.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes that are held for histories, about.
    pub fn memory_bytes(&self) -> usize {
        self.histories.as_ref().map_or(0, Histories::memory_bytes)
    }

    /// What is remembered of sensors, for the lane's checkpoint; `None` when nothing is.
    ///
    /// # Errors
    /// When Arrow refuses to build a column.
    pub fn remembered(&self) -> Result<Option<Remembered>, ScoreError> {
        let saved = self.histories.as_ref().map(|h| Remembered::new(h, self.columns.names()));
        saved.transpose()
    }

    /// Takes over what another scorer remembered of the same sensors, as far as it is asked for now.
    ///
    /// # Errors
    /// [`ScoreError::History`] when the bytes are damaged or not of these sensors.
    pub fn restore(&mut self, bytes: &[u8], sensors: &Sensors) -> Result<(), ScoreError> {
        let names = self.columns.names();
        let restored = self.histories.as_mut().map(|h| h.restore(bytes, names, sensors.len()));
        restored.unwrap_or(Ok(()))
    }

    /// The columns that [`Scorer::columns`] names of a sensor's window rows, NaN where there is no
    /// finite number.
    ///
    /// # Errors
    /// When the rows have other columns than promised.
    pub fn base_rows(&self, key: SensorKey, rows: &RecordBatch) -> Result<SensorRows, ScoreError> {
        let gathered = self.columns.gather(rows, true)?;
        let window_end_us = gathered.ends_us().to_vec();
        Ok(SensorRows { key, window_end_us, rows: gathered.into_values() })
    }

    /// The features that models see of a sensor's rows, from the columns that [`Scorer::columns`] names:
    /// the rows in the order of their ends, NaN where there is no feature. With `complete`, a row has
    /// none either before the sensor has had as many rows as its features look at.
    pub fn features_of(&self, base: &SensorRows, complete: bool) -> SensorRows {
        self.look_over(&self.champion.features, base, complete)
    }

    /// The same for the onset view; without one there are no features.
    pub fn onset_features_of(&self, base: &SensorRows, complete: bool) -> SensorRows {
        match &self.onset {
            Some(onset) => self.look_over(&onset.view.features, base, complete),
            None => SensorRows { key: base.key.clone(), window_end_us: vec![], rows: vec![] },
        }
    }

    fn look_over(&self, features: &Features, base: &SensorRows, complete: bool) -> SensorRows {
        let (columns, width) = (self.columns.names().len(), features.width());
        let mut needs = Needs::default();
        needs.add(features.expressions(), columns);
        let mut histories = Histories::new(needs);
        let mut order: Vec<usize> = (0..base.window_end_us.len()).collect();
        order.sort_by_key(|row| base.window_end_us[*row]);
        let mut rows = vec![f64::NAN; order.len() * width];
        for (at, out) in order.iter().zip(rows.chunks_exact_mut(width)) {
            let values = &base.rows[at * columns..(at + 1) * columns];
            let end_us = base.window_end_us[*at];
            let valid = values.iter().all(|value| value.is_finite());
            let place = valid.then(|| histories.push(0, end_us, values)).flatten();
            let fit = histories.features(0, place, end_us, values, features.expressions(), out);
            if fit == Fit::Invalid || (complete && fit == Fit::WarmingUp) {
                out.fill(f64::NAN);
            }
        }
        let window_end_us = order.iter().map(|at| base.window_end_us[*at]).collect();
        SensorRows { key: base.key.clone(), window_end_us, rows }
    }

    fn remember_what_is_needed(&mut self) {
        let columns = self.columns.names().len();
        let mut needs = Needs::default();
        needs.add(self.champion.features.expressions(), columns);
        if let Some(onset) = &self.onset {
            needs.add(onset.view.features.expressions(), columns);
        }
        let wanted = self.onset.is_some() || !self.champion.features.are_columns();
        self.histories = wanted.then(|| Histories::new(needs));
    }

    /// Adds consecutive rows of a sensor to its history, and computes their features for each view.
    fn look_back(&mut self, rows: &WindowRows, gathered: &Gathered, first: usize, count: usize) {
        let Some(histories) = &mut self.histories else { return };
        let sensor = rows.sensor[first];
        self.run.clear(self.champion.features.width());
        if let Some(onset) = &mut self.onset {
            onset.run.clear(onset.view.features.width());
            onset.counts.clear();
        }
        for row in first..first + count {
            let values = gathered.row(row);
            let end_us = gathered.end_us(row);
            let is_new = rows.revision[row] == 0;
            let valid = gathered.is_valid(row);
            let at = valid.then(|| histories.push(sensor, end_us, values)).flatten();
            let of = |view: &View, out: &mut [f64]| {
                let features = view.features.expressions();
                histories.features(sensor, at, end_us, values, features, out)
            };
            self.run.grow(|out| of(&self.champion, out));
            if let Some(onset) = &mut self.onset {
                onset.run.grow(|out| of(&onset.view, out));
                let seen = histories.seen(sensor);
                let is_full = rows.n_readings[row] >= self.min_readings;
                onset.counts.push(Count { seen, is_new: is_new && valid, is_full });
            }
        }
    }

    fn judge_onset(&mut self, sensor: SensorId, sensors: &Sensors, output: &mut Output) {
        let (Some(onset), Some(histories)) = (&mut self.onset, &mut self.histories) else { return };
        onset.view.look_up(sensor, sensors);
        let mut none = 0;
        let resting = histories.resting(sensor).unwrap_or(&mut none);
        let Onset { view, settings, run, counts } = onset;
        let names = view.features.names();
        verdict::onset(view.ready(sensor), settings, names, &run.view(), counts, resting, output);
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
