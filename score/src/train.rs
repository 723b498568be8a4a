//! One model per sensor from its own normal windows.
//!
//! *How scores and thresholds are set*, for every kind: models of some of the rows say how far others go,
//! which they don't know; see `threshold`. *Stated sampling*: of more rows than the cap, evenly spaced
//! ones in time are used. Training has no randomness: the same rows give the same model.

mod degenerate;
pub(crate) mod fit;
mod recipe;
pub(crate) mod samples;
mod threshold;

pub use recipe::{Recipe, Recipes, Selector, train_by};

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tidegauge_flow::SensorKey;

use self::samples::Samples;
use self::threshold::{Deviations, HeldOut};
use crate::calibration::Calibration;
use crate::drift;
use crate::entry::{ModelEntry, TrainingSummary};
use crate::error::ScoreError;
use crate::gaussian::GaussianParams;
use crate::model::ModelParams;
use crate::options::{check, check_gamma, check_nu, check_tolerance};
use crate::svm::{SvmParams, SvmParts, SvmScore};

/// Fewest rows that any training asks for: two in each fold.
pub const ROWS_LEAST: usize = 10;

/// Most rows that any training uses: linfa keeps a dense matrix of rows x rows, 200 MB here.
pub const ROWS_MOST: usize = 5_000;

/// The training rows of one sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorRows {
    /// The sensor.
    pub key: SensorKey,
    /// The end of each window, microseconds since 1970 in UTC; any order.
    pub window_end_us: Vec<i64>,
    /// The features, row-major.
    pub rows: Vec<f64>,
}

/// How to train. The defaults were measured on public labelled data; see the guide to models.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Which kind of model. A Gaussian one has no use for `nu`, `gamma`, `tolerance` and `unit_min`.
    pub kind: Kind,
    /// Share of training rows that may lie outside; above 0, below 1.
    pub nu: f64,
    /// The kernel's width on standardised features; 1 / number of features when not given.
    pub gamma: Option<f64>,
    /// Sensors with fewer usable rows get no model.
    pub rows_min: usize,
    /// Of more usable rows, so many are used, evenly spaced.
    pub rows_max: usize,
    /// When the solver may stop, relative to the size of its gradients (nu times rows).
    pub tolerance: f64,
    /// From which score on a row is an anomaly. Scores of a support vector machine are distances beyond
    /// its boundary, in units of what normal windows rarely pass; those of a Gaussian model are distances
    /// from the mean in standard deviations.
    pub threshold: Threshold,
    /// The least unit, in standard deviations.
    pub unit_min: f64,
    /// A model that flags a larger share of its held-out windows, or of those that it was trained on, is
    /// refused; above 0, at most 1.
    pub flagged_max: f64,
}

/// The kinds of models that are trained; in text by the words that model sets have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`ModelParams::OneClassSvm`].
    #[default]
    OneClassSvm,
    /// [`ModelParams::Gaussian`].
    Gaussian,
}

/// How a threshold is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// It is given.
    Score(f64),
    /// It is what so large a share of normal windows passes.
    FalseAlarmRate(f64),
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            nu: 0.1,
            gamma: None,
            rows_min: 30,
            rows_max: 2_000,
            tolerance: 1e-7,
            threshold: Threshold::FalseAlarmRate(0.002),
            unit_min: 2.25,
            flagged_max: 0.5,
        }
    }
}

/// What came of training.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The models, in the order of the samples.
    pub entries: Vec<ModelEntry>,
    /// Sensors that got none, with the reason.
    pub skipped: Vec<(SensorKey, SkipReason)>,
}

/// Why a sensor got no model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SkipReason {
    /// Not enough rows, after those with a null, NaN or infinity are left out.
    #[error("{usable} of its {rows} rows are usable, at least {min} are needed")]
    TooFewRows {
        /// Rows that there were.
        rows: usize,
        /// Rows with finite features only.
        usable: usize,
        /// Rows that are needed.
        min: usize,
    },
    /// The columns given for the sensor don't have the same number of rows.
    #[error("it has {times} window ends and {values} values for {width} features")]
    Shape {
        /// Window ends.
        times: usize,
        /// Values.
        values: usize,
        /// Features.
        width: usize,
    },
    /// The solver or the numbers failed.
    #[error("no model fits it: {0}")]
    NotFitted(String),
    /// A model came of it that tells nothing.
    #[error("its model is refused: {0}")]
    Degenerate(String),
}

impl SkipReason {
    /// The reason in a word, for counting.
    pub fn word(&self) -> &'static str {
        match self {
            Self::TooFewRows { .. } => "too_few_rows",
            Self::Shape { .. } => "shape",
            Self::NotFitted(_) => "not_fitted",
            Self::Degenerate(_) => "degenerate",
        }
    }
}

impl TrainOptions {
    /// The defaults for models that see context features. Their rows lie close together, so fewer of
    /// them may lie outside, and how far apart they lie tomorrow is not told by yesterday's: the
    /// threshold is a distance and not a rate.
    pub fn in_context() -> Self {
        Self { nu: 0.01, threshold: Threshold::Score(2.5), ..Self::default() }
    }

    fn check(&self) -> Result<(), ScoreError> {
        check_nu("nu", self.nu)?;
        check_gamma("gamma", self.gamma)?;
        check_tolerance("tolerance", self.tolerance)?;
        let (least, most) = (self.rows_min, self.rows_max);
        check(least >= ROWS_LEAST, "rows_min", least, "it must be at least 10")?;
        let expected = "it must be at least rows_min and at most 5000";
        check(least <= most && most <= ROWS_MOST, "rows_max", most, expected)?;
        match self.threshold {
            Threshold::Score(score) => {
                let good = score > 0.0 && score <= 1e6;
                check(good, "threshold", score, "it must be in (0, 1000000]")?;
            }
            Threshold::FalseAlarmRate(rate) => {
                let good = rate > 0.0 && rate <= 0.5;
                check(good, "false_alarm_rate", rate, "it must be in (0, 0.5]")?;
            }
        }
        let unit = self.unit_min;
        check(unit > 0.0 && unit <= 1e6, "unit_min", unit, "it must be in (0, 1000000]")?;
        let flagged = self.flagged_max;
        check(flagged > 0.0 && flagged <= 1.0, "flagged_max", flagged, "it must be in (0, 1]")
    }
}

/// Trains the sensors in parallel on rayon's current pool. `progress` is told, from any thread, how
/// many sensors are done.
///
/// # Errors
/// [`ScoreError::Option`] for an option outside its range. A sensor that can't be trained is in the
/// report.
pub fn train(
    features: &[String],
    samples: &[SensorRows],
    options: &TrainOptions,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report, ScoreError> {
    train_by(features, samples, &Recipes::from(options.clone()), progress)
}

/// Runs a way to a model for each sensor, in parallel.
fn run(
    features: &[String],
    samples: &[SensorRows],
    progress: &(dyn Fn(usize) + Sync),
    way: &(dyn Fn(&SensorRows) -> Result<ModelEntry, SkipReason> + Sync),
) -> Result<Report, ScoreError> {
    check(!features.is_empty(), "features", "empty", "models need at least one")?;
    let done = AtomicUsize::new(0);
    let train = |rows: &SensorRows| {
        let entry = way(rows);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        entry.map_err(|reason| (rows.key.clone(), reason))
    };
    let results: Vec<_> = samples.par_iter().map(train).collect();
    let mut report = Report::default();
    for result in results {
        match result {
            Ok(entry) => report.entries.push(entry),
            Err(skipped) => report.skipped.push(skipped),
        }
    }
    Ok(report)
}

fn train_sensor(
    features: &[String],
    rows: &SensorRows,
    options: &TrainOptions,
) -> Result<ModelEntry, SkipReason> {
    let look_back = crate::context::look_back(features);
    let samples = Samples::new(rows, features.len(), look_back, options)?;
    let learned = match options.kind {
        Kind::OneClassSvm => one_class_svm(&samples, options),
        Kind::Gaussian => gaussian(&samples, options),
    };
    let not_fitted = |e: String| SkipReason::NotFitted(e);
    let Learned { model, held_out, unit } = learned.map_err(not_fitted)?;
    let threshold = match options.threshold {
        Threshold::Score(score) => score,
        Threshold::FalseAlarmRate(rate) => held_out.threshold(rate) / unit,
    };
    let training = TrainingSummary {
        from_us: samples.from_us,
        to_us: samples.to_us,
        rows: samples.rows as u64,
        rows_used: (samples.standardised.len() / samples.width()) as u64,
        false_alarm_rate: Some(held_out.share_from(threshold * unit)),
        distribution: drift::distribution(&model, &samples.values).map_err(not_fitted)?,
    };
    let entry = ModelEntry {
        key: rows.key.clone(),
        features: features.to_vec(),
        model,
        threshold,
        calibration: Calibration::from_scores(held_out.distances().map(|d| d / unit).collect()),
        training: Some(training),
        source: "trained here".into(),
    };
    entry.check().map_err(|e| not_fitted(e.to_string()))?;
    degenerate::refuse(&entry, &samples, options.flagged_max)?;
    Ok(entry)
}

/// A model of all rows, and how far models that did not know them saw rows go.
struct Learned {
    model: ModelParams,
    held_out: HeldOut,
    /// Held-out distances divided by it are scores.
    unit: f64,
}

fn one_class_svm(samples: &Samples, options: &TrainOptions) -> Result<Learned, String> {
    let width = samples.width();
    let fitter = fit::Fitter {
        width,
        nu: options.nu,
        gamma: options.gamma.unwrap_or(1.0 / width as f64),
        tolerance: options.tolerance,
    };
    let fitted = fitter.fit(&samples.standardised)?;
    let held_out = HeldOut::new(&fitter, samples, options.threshold)?;
    let unit = held_out.unit(options.unit_min);
    let svm = SvmParams::new(SvmParts {
        mean: samples.mean.clone(),
        scale: samples.scale.clone(),
        vectors: fitted.vectors,
        alpha: fitted.alpha,
        gamma: fitter.gamma,
        rho: fitted.rho,
        score: SvmScore::Distance { unit },
    });
    let model = ModelParams::OneClassSvm(svm.map_err(|e| e.to_string())?);
    Ok(Learned { model, held_out, unit })
}

fn gaussian(samples: &Samples, options: &TrainOptions) -> Result<Learned, String> {
    let held_out = HeldOut::new(&Deviations, samples, options.threshold)?;
    let gaussian = GaussianParams::new(samples.mean.clone(), samples.scale.clone());
    let model = ModelParams::Gaussian(gaussian.map_err(|e| e.to_string())?);
    Ok(Learned { model, held_out, unit: 1.0 })
}

#[cfg(test)]
mod tests;
