//! How would models have done on a sensor's history: every row judged by models that had not seen it.
//!
//! *In one pass*: the first rows train the champion, which judges those after them. The onset view's
//! models are fitted anew as the rows go by, each in force from the row after its last one on. Features,
//! scores and verdicts come from the [`Scorer`] that a stream has.

mod event;
mod group;

pub use event::Event;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use rayon::prelude::*;
use tidegauge_flow::{KeySchema, KeyValue, SensorId, SensorKey, Sensors, WindowRows, names};

use crate::entry::ModelEntry;
use crate::error::ScoreError;
use crate::refit::{RefitOptions, Refitter};
use crate::registry::Models;
use crate::scorer::{OnsetSettings, Scorer, Stamp};
use crate::set::{ModelSet, SetHeader};
use crate::train::{Recipes, SensorRows, SkipReason, train_by};

/// The version that the champion's set has in predictions.
pub const CHAMPION_SET: u64 = 1;

/// The least that the onset view's rows are.
const ROWS_LEAST: u64 = 10;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Backtest {
    /// That of the window rows: key columns, `window_start`, `window_end`, features.
    pub schema: SchemaRef,
    /// The key columns.
    pub key: Arc<KeySchema>,
    /// What the champion sees.
    pub features: Vec<String>,
    /// How the champion is trained.
    pub train: Recipes,
    /// How many rows train it.
    pub training: TrainingRows,
    /// The onset view; of a sensor with fewer training rows, its `rows` are as many.
    pub onset: Option<(OnsetSettings, RefitOptions)>,
    /// Windows of fewer readings are not scored.
    pub min_readings: u64,
    /// Windows that train no champion: something was wrong then.
    pub left_out: Vec<Event>,
}

/// How many of a sensor's first rows train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainingRows {
    /// So many.
    Rows(u64),
    /// A share of them, but not more than so many.
    Share(f64, u64),
}

/// What came of one sensor.
#[derive(Debug)]
pub struct Tried {
    /// The sensor.
    pub key: SensorKey,
    /// Its number in the lane.
    pub sensor: SensorId,
    /// Its rows with their verdicts, in the order of time.
    pub predictions: Vec<RecordBatch>,
    /// Rows that trained.
    pub training_rows: u64,
    /// The champion, or why there is none.
    pub champion: Result<ModelEntry, SkipReason>,
    /// Fits of the onset view, and those of them that failed.
    pub refits: (u64, u64),
}

impl TrainingRows {
    /// How many of so many rows.
    pub fn of(self, rows: u64) -> u64 {
        match self {
            Self::Rows(wanted) => wanted.min(rows),
            Self::Share(share, most) => ((rows as f64 * share) as u64).min(most),
        }
    }
}

impl Backtest {
    /// Tries every sensor of the windows, in parallel on rayon's current pool. `progress` is told, from
    /// any thread, how many sensors are done.
    ///
    /// # Errors
    /// When a setting is outside its range or the rows are not as promised. A model that can't be
    /// trained is in the result.
    pub fn run(
        &self,
        closed: &[WindowRows],
        sensors: &Sensors,
        stamp: &Stamp<'_>,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Tried>, ScoreError> {
        let done = AtomicUsize::new(0);
        let groups = group::by_sensor(closed)?;
        let one = |(sensor, rows): &(SensorId, WindowRows)| {
            let tried = self.run_one(rows, *sensor, sensors, stamp);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            tried
        };
        groups.par_iter().map(one).collect()
    }

    /// The rows are those of one sensor only, rising in time.
    fn run_one(
        &self,
        rows: &WindowRows,
        sensor: SensorId,
        sensors: &Sensors,
        stamp: &Stamp<'_>,
    ) -> Result<Tried, ScoreError> {
        let key = sensors.key(sensor);
        let training_rows = self.training.of(rows.len() as u64);
        let mut scorer = self.scorer(training_rows.max(ROWS_LEAST))?;
        let base = scorer.base_rows(key, &rows.batch)?;
        let champion = self.champion(&scorer, &base, training_rows as usize, length_us(rows))?;
        let mut refits = self.refits(&scorer, &base, training_rows.max(ROWS_LEAST))?;
        let counted = (refits.len() as u64, refits.iter().filter(|r| r.1.is_err()).count() as u64);
        let sensors = self.only(&base.key);
        let mut predictions = Vec::new();
        let mut from = 0;
        refits.reverse();
        let mut fitted = 0;
        while from < rows.len() {
            if from == training_rows as usize
                && let Ok(entry) = &champion
            {
                scorer.replace_models(Some(self.models(entry.clone(), CHAMPION_SET)?))?;
            }
            if let Some((_, entry)) = refits.pop_if(|(at, _)| *at == from) {
                fitted += 1;
                if let Ok(entry) = entry {
                    scorer.replace_onset_models(Some(self.models(entry, fitted)?))?;
                }
            }
            let swap = [Some(training_rows as usize), refits.last().map(|(at, _)| *at)];
            let until = swap.into_iter().flatten().filter(|at| *at > from).min();
            let until = until.unwrap_or(rows.len()).min(rows.len());
            predictions.push(scorer.score(&part(rows, from, until), &sensors, stamp)?);
            from = until;
        }
        let key = base.key;
        Ok(Tried { key, sensor, predictions, training_rows, champion, refits: counted })
    }

    /// A scorer without models, for a sensor with so many training rows.
    fn scorer(&self, training_rows: u64) -> Result<Scorer, ScoreError> {
        let width = self.key.columns().len();
        let scorer = Scorer::new(&self.schema, width, &self.features, None, self.min_readings)?;
        match &self.onset {
            Some((settings, _)) => {
                let rows = settings.rows.min(training_rows);
                let settings = OnsetSettings { rows, ..settings.clone() };
                scorer.with_onset(&settings, None)
            }
            None => Ok(scorer),
        }
    }

    fn champion(
        &self,
        scorer: &Scorer,
        base: &SensorRows,
        rows: usize,
        length_us: i64,
    ) -> Result<Result<ModelEntry, SkipReason>, ScoreError> {
        let width = scorer.columns().len();
        let known = SensorRows {
            key: base.key.clone(),
            window_end_us: base.window_end_us[..rows].to_vec(),
            rows: base.rows[..rows * width].to_vec(),
        };
        let mut known = scorer.features_of(&known, true);
        self.leave_out(&mut known, length_us);
        let report = train_by(scorer.features(), &[known], &self.train, &|_| {})?;
        let skipped = report.skipped.into_iter().next();
        let why = || SkipReason::NotFitted("nothing came of it".into());
        let skipped = skipped.map_or_else(why, |(_, reason)| reason);
        Ok(report.entries.into_iter().next().ok_or(skipped))
    }

    /// Makes rows that something was wrong with such that training leaves them out.
    fn leave_out(&self, known: &mut SensorRows, length_us: i64) {
        let events: Vec<&Event> = self.left_out.iter().filter(|e| e.is_of(&known.key)).collect();
        let width = known.rows.len() / known.window_end_us.len().max(1);
        for (row, end_us) in known.window_end_us.iter().enumerate() {
            if events.iter().any(|event| event.holds(end_us - length_us, *end_us)) {
                known.rows[row * width..(row + 1) * width].fill(f64::NAN);
            }
        }
    }

    /// The onset view's models with the row from which on each is in force, rising.
    fn refits(&self, scorer: &Scorer, base: &SensorRows, rows: u64) -> Result<Refits, ScoreError> {
        let Some((settings, options)) = &self.onset else { return Ok(Vec::new()) };
        let settings = OnsetSettings { rows: settings.rows.min(rows), ..settings.clone() };
        let names = scorer.onset_features();
        let mut refitter = Refitter::new(base.key.clone(), names, &settings, options)?;
        let seen = scorer.onset_features_of(base, false);
        let each = seen.window_end_us.iter().zip(seen.rows.chunks_exact(names.len())).enumerate();
        let mut fits = Vec::new();
        for (row, (end_us, features)) in each {
            if refitter.push(*end_us, features) {
                fits.push((row + 1, refitter.fit()));
            }
        }
        Ok(fits)
    }

    fn models(&self, entry: ModelEntry, version: u64) -> Result<Models, ScoreError> {
        let header = SetHeader {
            version,
            base: None,
            key: self.key.as_ref().clone(),
            note: "backtest".into(),
            created_us: 0,
        };
        Ok(Models::new(vec![Arc::new(ModelSet::new(header, vec![entry])?)]))
    }

    /// A directory of one sensor, whose number is 0.
    fn only(&self, key: &SensorKey) -> Sensors {
        let mut sensors = Sensors::new(Arc::clone(&self.key), 1);
        let parts: Vec<_> = key.0.iter().map(KeyValue::as_part).collect();
        sensors.intern(&parts);
        sensors
    }
}

type Refits = Vec<(usize, Result<ModelEntry, SkipReason>)>;

/// How long windows are, microseconds: all those of a query are equally long.
fn length_us(rows: &WindowRows) -> i64 {
    let of = |name: &str| {
        let column = rows.batch.column_by_name(name)?;
        column.as_primitive_opt::<TimestampMicrosecondType>()?.iter().next()?
    };
    let (start, end) = (of(names::WINDOW_START), of(names::WINDOW_END));
    end.zip(start).map_or(0, |(end, start)| end - start)
}

/// Consecutive rows, of sensor 0.
fn part(rows: &WindowRows, from: usize, until: usize) -> WindowRows {
    WindowRows {
        sensor: vec![0; until - from],
        n_readings: rows.n_readings[from..until].to_vec(),
        revision: rows.revision[from..until].to_vec(),
        superseded: 0,
        batch: rows.batch.slice(from, until - from),
    }
}

#[cfg(test)]
mod tests;
