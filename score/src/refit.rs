//! Models that follow their sensor: fitted anew every so many rows, on what is new and on a sample of
//! everything before.
//!
//! *What each fit sees*: a uniform sample of the sensor's whole past (a reservoir), the support vectors
//! of the fit before, and the newest rows. So nothing that was normal once is forgotten at once, and what
//! is normal now is learned soon. *No randomness of its own*: the sample is drawn by numbers that follow
//! from the sensor's key, so the same rows give the same models wherever they are fitted.

use std::collections::VecDeque;

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use tidegauge_flow::SensorKey;

use crate::entry::{ModelEntry, TrainingSummary};
use crate::error::ScoreError;
use crate::model::ModelParams;
use crate::options::{check, check_gamma, check_nu, check_tolerance};
use crate::scorer::OnsetSettings;
use crate::svm::{SvmParams, SvmParts, SvmScore};
use crate::train::{SkipReason, fit::Fitter, samples::scaler};

/// Fewest rows that a model is fitted to.
const ROWS_LEAST: u64 = 10;

/// Most rows that one fit may see: its solver keeps a dense matrix of rows x rows.
const ROWS_MOST: usize = 5_000;

/// How models are fitted anew. Shares are of [`OnsetSettings::rows`].
#[derive(Debug, Clone, PartialEq)]
pub struct RefitOptions {
    /// Share of the rows of a fit that may lie outside; at least 1.5 rows do.
    pub nu: f64,
    /// The kernel's width on standardised features; 1 / number of features when not given.
    pub gamma: Option<f64>,
    /// Rows before the first model.
    pub first: f64,
    /// Rows between two fits, which are also the newest rows that a fit sees as a whole.
    pub every: f64,
    /// Rows of the past that a fit sees, drawn uniformly.
    pub sample: usize,
    /// When the solver may stop, relative to the size of its gradients.
    pub tolerance: f64,
}

impl Default for RefitOptions {
    fn default() -> Self {
        Self { nu: 0.01, gamma: None, first: 0.4, every: 0.5, sample: 600, tolerance: 1e-4 }
    }
}

/// One sensor's past, as far as its next fit needs it.
#[derive(Debug)]
pub struct Refitter {
    key: SensorKey,
    features: Vec<String>,
    fitter: Fitter,
    options: RefitOptions,
    threshold: f64,
    every: usize,
    /// Rows after which the next fit is due.
    due: u64,
    /// The last row of the model that an earlier life has fitted: rows up to there are told again.
    known_to: Option<i64>,
    seen: u64,
    from_us: i64,
    to_us: i64,
    /// Rows of a uniform sample of the past, row-major.
    sample: Vec<f64>,
    /// The newest rows, oldest first.
    newest: VecDeque<Box<[f64]>>,
    /// The support vectors of the last fit as rows, row-major.
    vectors: Vec<f64>,
    chance: ChaCha8Rng,
}

impl RefitOptions {
    /// # Errors
    /// [`ScoreError::Option`] for an option outside its range.
    pub fn check(&self, rows: u64) -> Result<(), ScoreError> {
        check_nu("onset.nu", self.nu)?;
        check_gamma("onset.gamma", self.gamma)?;
        check_tolerance("onset.tolerance", self.tolerance)?;
        for (name, share) in [("onset.first", self.first), ("onset.every", self.every)] {
            let good = share > 0.0 && share <= 100.0;
            check(good, name, share, "it must be above 0 and at most 100")?;
        }
        let newest = self.every * rows as f64;
        let good = newest + self.sample as f64 <= ROWS_MOST as f64 / 2.0;
        let value = format!("{} rows with {newest} new ones", self.sample);
        check(good, "onset.sample", value, "a fit may see at most 2500 rows of both")
    }
}

impl Refitter {
    /// A sensor without a past. `features` are those of the rows that [`Refitter::push`] takes.
    ///
    /// # Errors
    /// [`ScoreError::Option`] for an option outside its range.
    pub fn new(
        key: SensorKey,
        features: &[String],
        settings: &OnsetSettings,
        options: &RefitOptions,
    ) -> Result<Self, ScoreError> {
        options.check(settings.rows)?;
        let width = features.len();
        let rows = settings.rows as f64;
        let digest = Sha256::digest(key.to_string().as_bytes());
        let seed = digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Ok(Self {
            fitter: Fitter {
                width,
                nu: options.nu,
                gamma: options.gamma.unwrap_or(1.0 / width.max(1) as f64),
                tolerance: options.tolerance,
            },
            features: features.to_vec(),
            threshold: settings.threshold,
            every: ((options.every * rows) as usize).max(1),
            due: ((options.first * rows) as u64).max(ROWS_LEAST),
            options: options.clone(),
            key,
            known_to: None,
            seen: 0,
            from_us: i64::MAX,
            to_us: i64::MIN,
            sample: Vec::new(),
            newest: VecDeque::new(),
            vectors: Vec::new(),
            chance: ChaCha8Rng::seed_from_u64(seed),
        })
    }

    /// Takes up where this model was fitted, in an earlier life: rows up to there are told again, and
    /// nothing is due before the fit that would have come next. Another kind of model is not looked at.
    pub fn resume(&mut self, last: &ModelEntry) {
        let (ModelParams::OneClassSvm(svm), Some(training)) = (&last.model, &last.training) else {
            return;
        };
        if svm.width() == self.fitter.width {
            self.vectors = rows_of(svm.vectors(), svm.mean(), svm.scale());
            // Rows may have been removed since: what counts are those that come after it.
            (self.known_to, self.due) = (Some(training.to_us), u64::MAX);
        }
    }

    /// The sensor.
    pub fn key(&self) -> &SensorKey {
        &self.key
    }

    /// Bytes held, about.
    pub fn memory_bytes(&self) -> usize {
        let width = self.fitter.width;
        let newest =
            self.newest.capacity() * size_of::<Box<[f64]>>() + 8 * width * self.newest.len();
        size_of::<Self>() + newest + 8 * (self.sample.capacity() + self.vectors.capacity())
    }

    /// Takes the sensor's next row; true when a fit is due. A row that is not finite is left out.
    ///
    /// # Panics
    /// When the row has another number of values than there are features.
    pub fn push(&mut self, end_us: i64, row: &[f64]) -> bool {
        assert_eq!(row.len(), self.fitter.width, "a row must have the model's features");
        if !row.iter().all(|value| value.is_finite()) {
            return false;
        }
        if self.known_to.is_some_and(|to| end_us > to) {
            (self.known_to, self.due) = (None, self.seen + self.every as u64);
        }
        self.seen += 1;
        self.from_us = self.from_us.min(end_us);
        self.to_us = self.to_us.max(end_us);
        self.draw(row);
        self.newest.push_back(row.into());
        if self.newest.len() > self.every {
            self.newest.pop_front();
        }
        self.seen >= self.due
    }

    /// A model of all rows so far, for the rows that follow. The next one is due so many rows later.
    ///
    /// # Errors
    /// What the solver or the numbers lack.
    pub fn fit(&mut self) -> Result<ModelEntry, SkipReason> {
        self.due = self.seen + self.every as u64;
        self.try_to_fit().map_err(SkipReason::NotFitted)
    }

    /// Keeps each row of the past with the same chance: algorithm R (Vitter, 1985).
    fn draw(&mut self, row: &[f64]) {
        let width = self.fitter.width;
        if self.sample.len() < self.options.sample * width {
            self.sample.extend_from_slice(row);
            return;
        }
        let place = self.chance.random_range(0..self.seen) as usize;
        if place < self.options.sample {
            self.sample[place * width..(place + 1) * width].copy_from_slice(row);
        }
    }

    fn try_to_fit(&mut self) -> Result<ModelEntry, String> {
        let width = self.fitter.width;
        let mut rows = self.sample.clone();
        // A fit with many support vectors must not make the next one larger without end.
        let room = (ROWS_MOST * width).saturating_sub(rows.len() + self.newest.len() * width);
        rows.extend(self.vectors.iter().take(room - room % width));
        rows.extend(self.newest.iter().flatten());
        let (mean, scale) = scaler(rows.chunks_exact(width), width);
        if !scale.iter().all(|s| s.is_finite()) {
            return Err(format!("its values are too large to be standardised (mean {mean:?})"));
        }
        let step = |(i, value): (usize, &f64)| (value - mean[i % width]) / scale[i % width];
        let standardised: Vec<f64> = rows.iter().enumerate().map(step).collect();
        let fitted = self.fitter.fit(&standardised)?;
        self.vectors = rows_of(&fitted.vectors, &mean, &scale);
        let svm = SvmParams::new(SvmParts {
            mean,
            scale,
            vectors: fitted.vectors,
            alpha: fitted.alpha,
            gamma: self.fitter.gamma,
            rho: fitted.rho,
            score: SvmScore::Relative,
        });
        let training = TrainingSummary {
            from_us: self.from_us,
            to_us: self.to_us,
            rows: self.seen,
            rows_used: (rows.len() / width) as u64,
            false_alarm_rate: None,
            distribution: None,
        };
        let entry = ModelEntry {
            key: self.key.clone(),
            features: self.features.clone(),
            model: ModelParams::OneClassSvm(svm.map_err(|e| e.to_string())?),
            threshold: self.threshold,
            calibration: None,
            training: Some(training),
            source: "fitted anew".into(),
        };
        entry.check().map_err(|e| e.to_string())?;
        Ok(entry)
    }
}

/// Standardised vectors as the rows that they were.
fn rows_of(vectors: &[f64], mean: &[f64], scale: &[f64]) -> Vec<f64> {
    let width = mean.len();
    let back = |(i, value): (usize, &f64)| value * scale[i % width] + mean[i % width];
    vectors.iter().enumerate().map(back).collect()
}
