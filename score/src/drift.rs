//! Is what a model sees now still what it was trained on?
//!
//! *The test*: for each feature, and for the scores, the population stability index over the bins of the
//! training rows, `PSI = sum (q - p) ln(q / p)` with p and q the shares of training rows and of rows now in a
//! bin. Of B bins and n and m rows that are all alike, it is about (B - 1)(1/n + 1/m) by chance alone: that is
//! taken off first. What is left is judged at [`WATCH`] and [`DRIFT`], and only when chance would give as much
//! to one sensor in a thousand, all its features together: n m / (n + m) PSI is then about a chi square of
//! B - 1 degrees (B. Yurdakul, *Statistical properties of the population stability index*, 2018).
//!
//! *Rows that lie close together* are alike. A feature that looks at k rows has n / k rows to tell by. What
//! else makes a sensor's windows follow each other is not known here: see the guide to models for what
//! it does.
//!
//! *Scores* of rows that a model has never seen are higher than those of its training rows, and lower
//! than what training saw when it held rows out, of models that knew less. So they went somewhere only
//! when they are higher than both or lower than both, and as far as the nearer of the two says.

mod bins;
mod chance;

pub(crate) use bins::width;
pub use bins::{Bins, LEVELS};

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use self::bins::count;
use crate::calibration::Calibration;
use crate::entry::{ModelEntry, TrainingSummary};
use crate::error::ScoreError;
use crate::model::ModelParams;
use crate::train::SensorRows;

/// From this PSI on a sensor is worth a look.
pub const WATCH: f64 = 0.1;

/// From this PSI on it is another one than its model knows.
pub const DRIFT: f64 = 0.25;

/// Fewer windows with all features say nothing.
pub const WINDOWS_MIN: usize = 100;

/// A stationary sensor is called something else by chance so often, at most.
const BY_CHANCE: f64 = 0.001;

/// Rows that a bin has beside those that were counted, so that an empty one has a share.
const HALF: f64 = 0.5;

/// The least share of held-out scores in a bin, and in the last one.
const SCORES_SHARE: (f64, f64) = (0.1, 0.02);

/// The training rows of each feature, in the model's order, and then the scores that the model gives them.
pub type Distribution = Arc<[Bins]>;

/// What a sensor has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it was trained on.
    Stable,
    /// Not quite.
    Watch,
    /// Something else: train it anew, or find out why.
    Drift,
}

/// Why nothing can be said of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Unknown {
    /// It has no model.
    #[error("it has no model")]
    NoModel,
    /// Its model does not hold what it was trained on: it was imported, or trained by an earlier version.
    #[error("its model does not hold what it was trained on: train it here")]
    NoDistribution,
    /// It has too few windows.
    #[error("{windows} windows with all features, {WINDOWS_MIN} are needed")]
    TooFew {
        /// Those that it has.
        windows: usize,
    },
}

/// How far a feature, or the scores, went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The index, less what chance gives.
    pub psi: f64,
    /// What it says.
    pub verdict: Verdict,
}

/// How far a sensor went.
#[derive(Debug, Clone, PartialEq)]
pub struct Drifted {
    /// Rows with all features.
    pub windows: usize,
    /// `None` of a model without a calibration.
    pub scores: Option<Shift>,
    /// Each feature that says something, by its place in the model. The hour of day says nothing.
    pub features: Vec<(usize, Shift)>,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Watch => "watch",
            Self::Drift => "drift",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Drifted {
    /// What went farthest, scores or a feature: of those with the gravest verdict the one with the
    /// largest index.
    pub fn most(&self) -> Shift {
        let all = self.scores.iter().chain(self.features.iter().map(|(_, shift)| shift));
        let most = all.copied().max_by(order);
        most.unwrap_or(Shift { psi: 0.0, verdict: Verdict::Stable })
    }

    /// The same among features.
    pub fn worst(&self) -> Option<(usize, Shift)> {
        self.features.iter().copied().max_by(|(_, a), (_, b)| order(a, b))
    }
}

/// What training rows were like; `None` when the model has no score for one.
pub(crate) fn distribution(
    model: &ModelParams,
    rows: &[f64],
) -> Result<Option<Distribution>, String> {
    let width = model.width();
    let column = |f: usize| Bins::of(rows.iter().skip(f).step_by(width).copied().collect());
    let mut scores = vec![0.0; rows.len() / width];
    model.build()?.scores(rows, &mut scores);
    Ok((0..width).map(column).chain([Bins::of(scores)]).collect())
}

/// Compares a sensor's rows of now with what its model was trained on. `spans` says of each feature how many
/// rows it looks at, `None` of those that follow the clock only; rows with a NaN are left out.
///
/// # Errors
/// Why nothing can be said; as data, for most sensors may have a verdict.
///
/// # Panics
/// When rows or spans are not those of the model's features.
pub fn compare(
    entry: &ModelEntry,
    rows: &SensorRows,
    spans: &[Option<usize>],
) -> Result<Result<Drifted, Unknown>, ScoreError> {
    let width = entry.features.len();
    assert!(spans.len() == width && rows.rows.len() == rows.window_end_us.len() * width);
    let Some((training, bins, scored)) = trained(entry) else {
        return Ok(Err(Unknown::NoDistribution));
    };
    let complete = rows.rows.chunks_exact(width).filter(|row| row.iter().all(|v| v.is_finite()));
    let complete: Vec<f64> = complete.flatten().copied().collect();
    let windows = complete.len() / width;
    if windows < WINDOWS_MIN {
        return Ok(Err(Unknown::TooFew { windows }));
    }
    let told = spans.iter().flatten().count() + 1;
    let sizes = |span: usize| {
        let known = training.rows.div_ceil(span as u64).clamp(1, training.rows_used.max(1));
        Sizes { now: windows as f64 / span as f64, known: known as f64, told }
    };
    let feature = |f: usize| {
        let now = bins[f].count(complete.iter().skip(f).step_by(width).copied());
        Some((f, shift(bins[f].counts(), &now, sizes(spans[f]?))))
    };
    let features = (0..width).filter_map(feature).collect();
    let mut now = vec![0.0; windows];
    entry.build()?.scores(&complete, &mut now);
    let span = spans.iter().flatten().max().copied().unwrap_or(1);
    let scores = entry.calibration.as_ref().map(|held| scores(scored, held, &now, sizes(span)));
    Ok(Ok(Drifted { windows, scores, features }))
}

/// What a model knows of its training: how many rows, the bins of its features, those of its scores.
fn trained(entry: &ModelEntry) -> Option<(&TrainingSummary, &[Bins], &Bins)> {
    let training = entry.training.as_ref()?;
    let (scores, features) = training.distribution.as_deref()?.split_last()?;
    Some((training, features, scores))
}

/// How far scores went from both those of training rows and those of rows that were held out.
fn scores(known: &Bins, held: &Calibration, now: &[f64], sizes: Sizes) -> Shift {
    let (bounds, unseen) = held_out(held);
    let beside_unseen = count(&bounds, now.iter().copied());
    let beside_known = known.count(now.iter().copied());
    let is_higher = higher(known.counts(), &beside_known);
    if is_higher != higher(&unseen, &beside_unseen) {
        return Shift { psi: 0.0, verdict: Verdict::Stable };
    }
    let all = [shift(known.counts(), &beside_known, sizes), shift(&unseen, &beside_unseen, sizes)];
    let nearer = all.into_iter().min_by(order);
    nearer.expect("one of two is the least")
}

/// Whether values now are rather above the known ones than below.
fn higher(known: &[u64], now: &[u64]) -> bool {
    let (mut below, mut above) = (0.0, known.iter().sum::<u64>() as f64);
    let mut balance = 0.0;
    for (known, now) in known.iter().zip(now) {
        above -= *known as f64;
        balance += *now as f64 * (below - above);
        below += *known as f64;
    }
    balance > 0.0
}

/// How much there is to tell by.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Rows now and in training, fewer when they lie close together.
    now: f64,
    known: f64,
    /// How many questions are asked of the sensor.
    told: usize,
}

/// Bounds between bins of held-out scores, and how many scores lie in each.
fn held_out(calibration: &Calibration) -> (Vec<f64>, Vec<u64>) {
    let n = calibration.samples() as f64;
    let (share, last) = SCORES_SHARE;
    let (mut bounds, mut counts, mut above) = (Vec::new(), Vec::new(), n);
    for (score, severity) in calibration.scores().iter().zip(calibration.severities()) {
        // How many are at least as high: what severities are made of.
        let reached = ((n + 1.0) / 10f64.powf(*severity)).round();
        if above - reached >= share * n && reached >= last * n {
            bounds.push(score.next_down());
            counts.push((above - reached) as u64);
            above = reached;
        }
    }
    counts.push(above as u64);
    (bounds, counts)
}

fn shift(known: &[u64], now: &[u64], sizes: Sizes) -> Shift {
    let used = known.iter().zip(now).filter(|(known, now)| **known + **now > 0);
    let bins = used.clone().count();
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64 + HALF * bins as f64;
    let (known_total, now_total) = (total(known), total(now));
    let term = |(known, now): (&u64, &u64)| {
        let (p, q) = ((*known as f64 + HALF) / known_total, (*now as f64 + HALF) / now_total);
        (q - p) * (q / p).ln()
    };
    let raw: f64 = used.map(term).sum();
    let (degrees, noise) = (bins.saturating_sub(1), 1.0 / sizes.now + 1.0 / sizes.known);
    let psi = (raw - degrees as f64 * noise).max(0.0);
    let chance = BY_CHANCE / sizes.told as f64;
    let beyond_chance = degrees > 0 && raw >= noise * chance::chi_square(degrees, chance);
    let verdict = match psi {
        psi if psi >= DRIFT && beyond_chance => Verdict::Drift,
        psi if psi >= WATCH && beyond_chance => Verdict::Watch,
        _ => Verdict::Stable,
    };
    Shift { psi, verdict }
}

fn order(a: &Shift, b: &Shift) -> std::cmp::Ordering {
    a.verdict.cmp(&b.verdict).then(a.psi.total_cmp(&b.psi))
}

#[cfg(test)]
mod tests;
