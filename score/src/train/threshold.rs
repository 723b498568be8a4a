//! How far normal windows go, seen by a model that does not know them.
//!
//! A model of the first half of the rows looks at the second half, as the model in force will look at
//! the future. Scores of a support vector machine can't be extrapolated: far out they all come to rho.
//! Depths can, ln(rho / kernel mass) / gamma: the squared distance beyond the boundary in standard
//! deviations, negative inside and without an end. A Gaussian model's depth is its score squared. The excess of held-out depths over their 90 % quantile is taken as exponential
//! (peaks over threshold with shape 0), which is what the squared distance of normally distributed
//! features has.

use super::fit::Fitter;
use super::samples::{Samples, scaler};

/// The share of held-out windows that count as the tail.
const TAIL: f64 = 0.1;

/// The quantile of held-out distances that the unit of scores is.
const UNIT: f64 = 0.95;

/// The least threshold, in standard deviations: windows that never varied must not alarm at once.
const LEAST: f64 = 0.1;

/// The most that a threshold takes of gamma times the depth: a wild row among those that were held out
/// must not make a model that nothing is an anomaly for.
const MOST_EXPONENT: f64 = 20.7;

/// The most that a threshold is of a Gaussian model, in standard deviations, for the same reason. Beyond it
/// lies at most one in 900 of whatever has a variance (Chebyshev's inequality).
const MOST_DEVIATIONS: f64 = 30.0;

/// Depths of the second half of the rows, in their order.
#[derive(Debug)]
pub(super) struct HeldOut {
    depths: Vec<f64>,
    /// The depth that no threshold lies beyond.
    most: f64,
}

impl HeldOut {
    /// By a support vector machine.
    ///
    /// # Errors
    /// When the first half can't be fitted.
    pub fn of_svm(fitter: &Fitter, samples: &Samples) -> Result<Self, String> {
        let (known, held) = halves(samples);
        let fitted = fitter.fit(&known)?;
        let packed = fitter.pack(&fitted)?;
        let depth = |row: &[f64]| (fitted.rho.ln() - packed.log_mass(row)) / fitter.gamma;
        let depths = held.chunks_exact(samples.width()).map(depth).collect();
        Self::new(depths, MOST_EXPONENT / fitter.gamma)
    }

    /// By means and standard deviations: the depth is the square of the score, its boundary the mean.
    ///
    /// # Errors
    /// When the second half lies farther away than numbers go.
    pub fn of_gaussian(samples: &Samples) -> Result<Self, String> {
        let (_, held) = halves(samples);
        let depth = |row: &[f64]| row.iter().fold(0.0, |most: f64, z| most.max(z * z));
        // A row that is not finite must not pass: `max` leaves NaN out.
        let finite = |row: &[f64]| row.iter().all(|z| z.is_finite());
        let rows = held.chunks_exact(samples.width());
        let depths = rows.map(|row| if finite(row) { depth(row) } else { f64::NAN }).collect();
        Self::new(depths, MOST_DEVIATIONS * MOST_DEVIATIONS)
    }

    fn new(depths: Vec<f64>, most: f64) -> Result<Self, String> {
        match depths.iter().all(|depth| depth.is_finite()) {
            true => Ok(Self { depths, most }),
            false => Err("its rows lie farther apart than numbers go".into()),
        }
    }

    /// Distances beyond the boundary, 0 inside, in standard deviations.
    pub fn distances(&self) -> impl Iterator<Item = f64> {
        self.depths.iter().map(|depth| depth.max(0.0).sqrt())
    }

    /// The distance that normal windows rarely pass, and not below `least`.
    pub fn unit(&self, least: f64) -> f64 {
        let mut distances: Vec<f64> = self.distances().collect();
        distances.sort_by(f64::total_cmp);
        quantile(&distances, UNIT).max(least)
    }

    /// The distance from which on a window is an anomaly, for a share of normal windows that may be.
    pub fn threshold(&self, false_alarm_rate: f64) -> f64 {
        let mut depths = self.depths.clone();
        depths.sort_by(f64::total_cmp);
        let tail_at = quantile(&depths, 1.0 - TAIL);
        let excess: Vec<f64> =
            depths.iter().map(|d| d - tail_at).filter(|excess| *excess > 0.0).collect();
        let mean_excess = excess.iter().sum::<f64>() / excess.len().max(1) as f64;
        let continued = tail_at + mean_excess * (TAIL / false_alarm_rate).ln();
        let seen = quantile(&depths, 1.0 - false_alarm_rate);
        continued.max(seen).max(LEAST * LEAST).min(self.most).sqrt()
    }

    /// The share of held-out windows at least so far away.
    pub fn share_from(&self, distance: f64) -> f64 {
        let far = self.distances().filter(|d| *d >= distance).count();
        far as f64 / self.depths.len() as f64
    }
}

/// Both halves, standardised by what the first one knows: its own scale is a part of its model.
fn halves(samples: &Samples) -> (Vec<f64>, Vec<f64>) {
    let width = samples.width();
    let (known, held) = samples.standardised.split_at(samples.half * width);
    let (mean, scale) = scaler(known.chunks_exact(width), width);
    let step = |(i, value): (usize, &f64)| (value - mean[i % width]) / scale[i % width];
    let standardise = |rows: &[f64]| rows.iter().enumerate().map(step).collect();
    (standardise(known), standardise(held))
}

/// Linear between the two nearest ranks; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}
