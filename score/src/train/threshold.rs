//! How far normal windows go.
//!
//! Scores can't be extrapolated: far out they all come to rho. So the tail is looked at as a
//! distance, in standard deviations: D = sqrt(ln(sum of weights / kernel mass) / gamma), 0 on top
//! of every support vector, and growing without end. The excess of held-out distances over their 90
//! % quantile is taken as exponential (the peaks-over-threshold method with shape 0; tails of noise
//! are lighter, so it errs towards fewer alarms), which gives the distance that the asked share of
//! normal windows passes.

use super::fit::Fitter;

const FOLDS: usize = 5;

/// Time blocks that rows are cut into; every fifth belongs to the same fold.
const BLOCKS: usize = 20;

/// The share of held-out windows that count as the tail.
const TAIL: f64 = 0.1;

/// Distances are estimated from few windows: go this much further.
const MARGIN: f64 = 1.05;

/// The least threshold, in standard deviations: windows that never varied must not alarm at once.
const LEAST: f64 = 0.1;

/// The most that a threshold takes of gamma D^2: there the kernel mass is a billionth, and
/// everything farther away must still score above it in f64.
const MOST_EXPONENT: f64 = 20.7;

/// Distances of windows to the model of the other folds.
#[derive(Debug)]
pub(super) struct HeldOut {
    /// (fold, distance) in the order of time.
    distances: Vec<(usize, f64)>,
}

impl HeldOut {
    /// # Errors
    /// When a fold can't be fitted.
    pub(super) fn new(fitter: &Fitter, rows: &[f64]) -> Result<Self, String> {
        let n = rows.len() / fitter.width;
        let block = (n / BLOCKS).max(1);
        let fold = |i: usize| i / block % FOLDS;
        let row = |i: usize| &rows[i * fitter.width..(i + 1) * fitter.width];
        let mut distances = vec![(0, 0.0); n];
        for held in 0..FOLDS {
            let others: Vec<f64> =
                (0..n).filter(|i| fold(*i) != held).flat_map(row).copied().collect();
            let fitted = fitter.fit(&others)?;
            let (packed, top) = (fitter.pack(&fitted)?, fitted.mass().ln());
            for i in (0..n).filter(|i| fold(*i) == held) {
                let exponent = (top - packed.log_mass(row(i))).max(0.0);
                distances[i] = (held, (exponent / fitter.gamma).sqrt());
            }
        }
        Ok(Self { distances })
    }

    pub(super) fn distances(&self) -> impl Iterator<Item = f64> {
        self.distances.iter().map(|(_, distance)| *distance)
    }

    /// The distance from which on a window is an anomaly.
    pub(super) fn threshold(&self, gamma: f64, false_alarm_rate: f64) -> f64 {
        bound(self.distances().collect(), gamma, false_alarm_rate)
    }

    /// The share of windows that are flagged by the threshold which the other folds give.
    pub(super) fn false_alarm_rate(&self, gamma: f64, asked: f64) -> f64 {
        let flagged = |held: usize| {
            let others = self.distances.iter().filter(|(fold, _)| *fold != held);
            let bound = bound(others.map(|(_, d)| *d).collect(), gamma, asked);
            self.distances.iter().filter(|(fold, d)| *fold == held && *d >= bound).count()
        };
        (0..FOLDS).map(flagged).sum::<usize>() as f64 / self.distances.len() as f64
    }
}

fn bound(mut distances: Vec<f64>, gamma: f64, false_alarm_rate: f64) -> f64 {
    distances.sort_by(f64::total_cmp);
    let tail_at = quantile(&distances, 1.0 - TAIL);
    let excess: Vec<f64> =
        distances.iter().map(|d| d - tail_at).filter(|excess| *excess > 0.0).collect();
    let mean_excess = excess.iter().sum::<f64>() / excess.len().max(1) as f64;
    let continued = tail_at + mean_excess * (TAIL / false_alarm_rate).ln();
    let seen = quantile(&distances, 1.0 - false_alarm_rate);
    let most = (MOST_EXPONENT / gamma).sqrt();
    (continued.max(seen) * MARGIN).max(LEAST).min(most)
}

/// Linear between the two nearest ranks; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}
