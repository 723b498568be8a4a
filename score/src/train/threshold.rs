//! How far normal windows go, seen by a model that does not know them.
//!
//! Which windows it does not know depends on what is asked. A *distance* that is given is measured in
//! units of what a model of the first half of the rows makes of the second half: as the model in force
//! will look at the future, drift included. A *rate* is asked of windows like those that were trained on:
//! five folds of time blocks, so that each phase of a cycle is known and unknown to some model.
//!
//! Scores can't be extrapolated: far out they all come to rho. Depths can, ln(rho / kernel mass) / gamma:
//! the squared distance beyond the boundary in standard deviations, negative inside and without an end.
//! The excess of held-out distances over their 90 % quantile is taken as exponential in a power of the
//! distance (peaks over threshold). Normally distributed features lie between the powers 1 and 2, since
//! the boundary lies some way out already; 1.25 was measured on simulated sensors. That the tail's scale
//! is itself known from few windows is a part of the answer, so that the asked rate holds on average.

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

/// Distances to this power have a tail that falls off exponentially.
const POWER: f64 = 1.25;

const FOLDS: usize = 5;

/// Time blocks that rows are cut into; every fifth belongs to the same fold.
const BLOCKS: usize = 20;

/// Depths of rows that models did not know.
#[derive(Debug)]
pub(super) struct HeldOut {
    depths: Vec<f64>,
    gamma: f64,
}

impl HeldOut {
    /// The second half, by a model of the first half.
    ///
    /// # Errors
    /// When it can't be fitted.
    pub fn second_half(fitter: &Fitter, samples: &Samples) -> Result<Self, String> {
        let rows = samples.standardised.split_at(samples.half * fitter.width);
        Self::checked(depths(fitter, rows.0, rows.1)?, fitter.gamma)
    }

    /// Every row, by a model of the other folds.
    ///
    /// # Errors
    /// When a fold can't be fitted.
    pub fn folds(fitter: &Fitter, samples: &Samples) -> Result<Self, String> {
        let width = fitter.width;
        let n = samples.standardised.len() / width;
        let block = (n / BLOCKS).max(1);
        let mut all = Vec::with_capacity(n);
        for fold in 0..FOLDS {
            let rows = |held: bool| -> Vec<f64> {
                let rows = samples.standardised.chunks_exact(width).enumerate();
                let rows = rows.filter(|(i, _)| (i / block % FOLDS == fold) == held);
                rows.flat_map(|(_, row)| row).copied().collect()
            };
            all.extend(depths(fitter, &rows(false), &rows(true))?);
        }
        Self::checked(all, fitter.gamma)
    }

    fn checked(depths: Vec<f64>, gamma: f64) -> Result<Self, String> {
        match depths.iter().all(|depth| depth.is_finite()) {
            true => Ok(Self { depths, gamma }),
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
        let mut distances: Vec<f64> = self.distances().collect();
        distances.sort_by(f64::total_cmp);
        let tail_at = quantile(&distances, 1.0 - TAIL);
        let most = (MOST_EXPONENT / self.gamma).sqrt();
        let seen = quantile(&distances, 1.0 - false_alarm_rate);
        let tail = &distances[distances.partition_point(|d| *d <= tail_at)..];
        let (share, count) = (tail.len() as f64 / distances.len() as f64, tail.len() as f64);
        if share <= false_alarm_rate {
            return seen.clamp(LEAST, most);
        }
        let from = tail_at.powf(POWER);
        let mean = tail.iter().map(|d| d.powf(POWER) - from).sum::<f64>() / count;
        // What is known of the tail's scale is known from so many windows: the chance of a next one
        // beyond x is (1 + x / (count mean)) ^ -count.
        let excess = count * mean * ((share / false_alarm_rate).powf(1.0 / count) - 1.0);
        (from + excess).powf(1.0 / POWER).max(seen).clamp(LEAST, most)
    }

    /// The share of held-out windows at least so far away.
    pub fn share_from(&self, distance: f64) -> f64 {
        let far = self.distances().filter(|d| *d >= distance).count();
        far as f64 / self.depths.len() as f64
    }
}

/// How far a model of some rows sees others beyond its boundary.
fn depths(fitter: &Fitter, known: &[f64], held: &[f64]) -> Result<Vec<f64>, String> {
    let width = fitter.width;
    // The scale is a part of the model: it must not know the others either.
    let (mean, scale) = scaler(known.chunks_exact(width), width);
    let step = |(i, value): (usize, &f64)| (value - mean[i % width]) / scale[i % width];
    let known: Vec<f64> = known.iter().enumerate().map(step).collect();
    let held: Vec<f64> = held.iter().enumerate().map(step).collect();
    let fitted = fitter.fit(&known)?;
    let packed = fitter.pack(&fitted)?;
    let depth = |row: &[f64]| (fitted.rho.ln() - packed.log_mass(row)) / fitter.gamma;
    Ok(held.chunks_exact(width).map(depth).collect())
}

/// Linear between the two nearest ranks; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}
