//! How far normal windows go, seen by a model that does not know them.
//!
//! Which windows it does not know depends on what is asked. A *distance* that is given is measured in
//! units of what a model of the first half of the rows makes of the second half: as the model in force
//! will look at the future, drift included. A *rate* is asked of windows like those that were trained on:
//! five folds of time blocks, so that each phase of a cycle is known and unknown to some model.
//!
//! Scores of a support vector machine can't be extrapolated: far out they all come to rho. Depths can,
//! ln(rho / kernel mass) / gamma: the squared distance beyond the boundary in standard deviations, negative
//! inside and without an end. The depth of a Gaussian model is its score squared.
//! The excess of held-out distances over their 90 % quantile is taken as exponential in a power of the
//! distance (peaks over threshold). That the tail's scale is itself known from few windows is a part of the
//! answer, so that the asked rate holds on average.
//!
//! *Features that look back* make neighbours alike. Rows whose features share readings with the other side of
//! a fold's edge are left out on both sides, or models would know what they are asked about. And one strange
//! window is in the features of many rows, which then are flagged in a run: people are called once for it,
//! so the rate is one of runs, and the tail is what the largest of each run makes.

use super::Threshold;
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

const FOLDS: usize = 5;

/// Time blocks that rows are cut into; every fifth belongs to the same fold.
const BLOCKS: usize = 20;

/// Blocks are at least so many times as long as features look back.
const REACHES: usize = 4;

/// Depths of rows that models did not know.
#[derive(Debug)]
pub(super) struct HeldOut {
    /// In the order of time; `None` of rows that no model was asked about.
    depths: Vec<Option<f64>>,
    /// Rows that share readings come in runs.
    runs: bool,
    /// The depth that no threshold lies beyond.
    most: f64,
    power: f64,
}

/// A kind of model as far as its tail is concerned.
pub(super) trait Judge {
    /// How deep rows lie beyond what others say that are known, both standardised by those: a squared
    /// distance in standard deviations.
    ///
    /// # Errors
    /// When the known ones can't be fitted.
    fn depths(&self, known: &[f64], held: &[f64], width: usize) -> Result<Vec<f64>, String>;

    /// The depth that no threshold lies beyond.
    fn most(&self) -> f64;

    /// To which power distances have a tail that falls off exponentially; of single rows, or of the largest
    /// of each run.
    fn power(&self, runs: bool) -> f64;
}

impl HeldOut {
    /// As far as the threshold asks for it: the second half, by a model of the first half, or every row,
    /// by a model of the other folds.
    ///
    /// # Errors
    /// When known rows can't be fitted, or others lie farther away than numbers go.
    pub fn new(
        judge: &impl Judge,
        samples: &Samples,
        threshold: Threshold,
    ) -> Result<Self, String> {
        let depths = match threshold {
            Threshold::Score(_) => second_half(judge, samples)?,
            Threshold::FalseAlarmRate(_) => folds(judge, samples)?,
        };
        let runs = samples.reach > 0;
        match depths.iter().flatten().all(|depth| depth.is_finite()) {
            true => Ok(Self { depths, runs, most: judge.most(), power: judge.power(runs) }),
            false => Err("its rows lie farther apart than numbers go".into()),
        }
    }

    /// Distances beyond the boundary, 0 inside, in standard deviations.
    pub fn distances(&self) -> impl Iterator<Item = f64> {
        self.depths.iter().flatten().map(|depth| depth.max(0.0).sqrt())
    }

    /// Distances beyond this one; of a run of rows only the largest, where rows share readings.
    fn peaks(&self, beyond: f64) -> Vec<f64> {
        let distances = self.depths.iter().map(|depth| Some(depth.as_ref()?.max(0.0).sqrt()));
        let (mut peaks, mut in_run) = (Vec::new(), false);
        for distance in distances {
            let far = distance.filter(|distance| *distance > beyond);
            match (far, peaks.last_mut()) {
                (Some(distance), Some(peak)) if in_run => *peak = distance.max(*peak),
                (Some(distance), _) => peaks.push(distance),
                (None, _) => {}
            }
            in_run = self.runs && far.is_some();
        }
        peaks
    }

    /// The distance that normal windows rarely pass, and not below `least`.
    pub fn unit(&self, least: f64) -> f64 {
        let mut distances: Vec<f64> = self.distances().collect();
        distances.sort_by(f64::total_cmp);
        quantile(&distances, UNIT).max(least)
    }

    /// The distance from which on a window is an anomaly, for a share of normal windows that may be, or of
    /// runs of them per window.
    pub fn threshold(&self, false_alarm_rate: f64) -> f64 {
        let mut distances: Vec<f64> = self.distances().collect();
        distances.sort_by(f64::total_cmp);
        let tail_at = quantile(&distances, 1.0 - TAIL);
        let (most, power) = (self.most.sqrt(), self.power);
        let mut tail = self.peaks(tail_at);
        tail.sort_by(f64::total_cmp);
        let (share, count) = (tail.len() as f64 / distances.len() as f64, tail.len() as f64);
        if share <= false_alarm_rate {
            return quantile(&distances, 1.0 - false_alarm_rate).clamp(LEAST, most);
        }
        let seen = match self.runs {
            true => quantile(&tail, 1.0 - false_alarm_rate / share),
            false => quantile(&distances, 1.0 - false_alarm_rate),
        };
        let from = tail_at.powf(power);
        let mean = tail.iter().map(|d| d.powf(power) - from).sum::<f64>() / count;
        // What is known of the tail's scale is known from so many windows: the chance of a next one
        // beyond x is (1 + x / (count mean)) ^ -count.
        let excess = count * mean * ((share / false_alarm_rate).powf(1.0 / count) - 1.0);
        (from + excess).powf(1.0 / power).max(seen).clamp(LEAST, most)
    }

    /// The share of held-out windows at least so far away.
    pub fn share_from(&self, distance: f64) -> f64 {
        let far = self.distances().filter(|d| *d >= distance).count();
        far as f64 / self.distances().count() as f64
    }
}

impl Judge for Fitter {
    fn depths(&self, known: &[f64], held: &[f64], width: usize) -> Result<Vec<f64>, String> {
        let fitted = self.fit(known)?;
        let packed = self.pack(&fitted)?;
        let depth = |row: &[f64]| (fitted.rho.ln() - packed.log_mass(row)) / self.gamma;
        Ok(held.chunks_exact(width).map(depth).collect())
    }

    fn most(&self) -> f64 {
        MOST_EXPONENT / self.gamma
    }

    /// Normally distributed features lie between 1 and 2, since the boundary lies some way out already. Runs
    /// of rows whose features look back fall off more slowly: a strange window is in several of them at
    /// once. Both are measured on simulated sensors.
    fn power(&self, runs: bool) -> f64 {
        if runs { 0.8 } else { 1.25 }
    }
}

/// Means and standard deviations: known rows have done all that they can once others are standardised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deviations;

impl Judge for Deviations {
    fn depths(&self, _known: &[f64], held: &[f64], width: usize) -> Result<Vec<f64>, String> {
        let depth = |row: &[f64]| row.iter().fold(0.0, |most: f64, z| most.max(z * z));
        Ok(held.chunks_exact(width).map(depth).collect())
    }

    fn most(&self) -> f64 {
        MOST_DEVIATIONS * MOST_DEVIATIONS
    }

    /// That of a normal distribution.
    fn power(&self, _runs: bool) -> f64 {
        2.0
    }
}

fn second_half(judge: &impl Judge, samples: &Samples) -> Result<Vec<Option<f64>>, String> {
    let (known, held) = samples.standardised.split_at(samples.half * samples.width());
    Ok(depths(judge, known, held, samples.width())?.into_iter().map(Some).collect())
}

fn folds(judge: &impl Judge, samples: &Samples) -> Result<Vec<Option<f64>>, String> {
    let width = samples.width();
    let n = samples.standardised.len() / width;
    let block = (n / BLOCKS).max(REACHES * samples.reach).min(n / FOLDS).max(1);
    let reach = samples.reach.min(block / 2);
    let is_held = |i: usize, fold: usize| i / block % FOLDS == fold;
    // Its features see rows of the block before, which is of another fold.
    let is_mixed = |i: usize| i >= block && i % block < reach;
    let mut all = vec![None; n];
    for fold in 0..FOLDS {
        let of = |rows: &[usize]| -> Vec<f64> {
            let row = |i: &usize| samples.standardised[i * width..(i + 1) * width].iter();
            rows.iter().flat_map(row).copied().collect()
        };
        let held: Vec<usize> = (0..n).filter(|i| is_held(*i, fold) && !is_mixed(*i)).collect();
        let sees_held = |i: usize| is_mixed(i) && is_held(i - block, fold);
        let known: Vec<usize> = (0..n).filter(|i| !is_held(*i, fold) && !sees_held(*i)).collect();
        for (i, depth) in held.iter().zip(depths(judge, &of(&known), &of(&held), width)?) {
            all[*i] = Some(depth);
        }
    }
    Ok(all)
}

/// The depths of some rows beside others that are known.
fn depths(
    judge: &impl Judge,
    known: &[f64],
    held: &[f64],
    width: usize,
) -> Result<Vec<f64>, String> {
    // The scale is a part of the model: it must not know the others either.
    let (mean, scale) = scaler(known.chunks_exact(width), width);
    let step = |(i, value): (usize, &f64)| (value - mean[i % width]) / scale[i % width];
    let standardise = |rows: &[f64]| rows.iter().enumerate().map(step).collect::<Vec<f64>>();
    judge.depths(&standardise(known), &standardise(held), width)
}

/// Linear between the two nearest ranks; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}
