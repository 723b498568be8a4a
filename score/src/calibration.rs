//! From scores to how rare they are among normal windows.

mod lookup;

pub(crate) use lookup::Lookup;

/// Most knots that are kept of one sensor's held-out scores.
pub const MAX_KNOTS: usize = 64;

/// How rare scores are: knots (score, severity) of scores on windows that the model had not seen.
///
/// Severity is -log10 of the estimated chance that a normal window scores this high: 3 is one in a
/// thousand.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    scores: Vec<f64>,
    severities: Vec<f64>,
    samples: u64,
}

impl Calibration {
    /// From held-out scores in any order; `None` when none is finite.
    ///
    /// The i-th smallest of n scores has the chance (n - i) / (n + 1), counted from 0.
    pub fn from_scores(mut scores: Vec<f64>) -> Option<Self> {
        scores.retain(|s| s.is_finite());
        scores.sort_by(f64::total_cmp);
        let n = scores.len();
        let severity = |i: usize| ((n + 1) as f64 / (n - i) as f64).log10();
        let mut calibration =
            Self { scores: Vec::new(), severities: Vec::new(), samples: n as u64 };
        for i in knots(n) {
            // Of equal scores the lowest rank counts: all of them are at least this high.
            let first = scores.partition_point(|s| *s < scores[i]);
            if calibration.scores.last().is_none_or(|last| *last < scores[i]) {
                calibration.scores.push(scores[i]);
                calibration.severities.push(severity(first));
            }
        }
        (n > 0).then_some(calibration)
    }

    /// From what a model set holds.
    ///
    /// # Errors
    /// When the knots don't rise, are not finite, or are too many.
    pub fn from_knots(
        scores: Vec<f64>,
        severities: Vec<f64>,
        samples: u64,
    ) -> Result<Self, &'static str> {
        let rises =
            |v: &[f64]| v.windows(2).all(|w| w[0] < w[1]) && v.iter().all(|x| x.is_finite());
        if scores.is_empty() || scores.len() > MAX_KNOTS || scores.len() != severities.len() {
            return Err("a calibration has no knots, too many, or scores without severities");
        }
        if !rises(&scores) || !rises(&severities) || severities[0] < 0.0 {
            return Err("the knots of a calibration must be finite and rise");
        }
        if samples < scores.len() as u64 {
            return Err("a calibration has more knots than samples");
        }
        Ok(Self { scores, severities, samples })
    }

    /// The severity of a score: interpolated between knots, 0 below them, and [`Calibration::most`]
    /// above.
    pub fn severity(&self, score: f64) -> f64 {
        let above = self.scores.partition_point(|s| *s <= score);
        if above == 0 {
            return 0.0;
        }
        let (s0, v0) = (self.scores[above - 1], self.severities[above - 1]);
        match self.scores.get(above) {
            None if score > s0 => self.most(),
            None => v0,
            Some(s1) => v0 + (self.severities[above] - v0) * ((score - s0) / (s1 - s0)),
        }
    }

    /// The most that so many samples can tell: log10(n + 1).
    pub fn most(&self) -> f64 {
        (self.samples as f64 + 1.0).log10()
    }

    /// The knots' scores, rising.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The knots' severities, rising.
    pub fn severities(&self) -> &[f64] {
        &self.severities
    }

    /// How many held-out scores there were.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

/// Ranks of n that become knots: all of few; of many, closer together towards the top, where it
/// matters.
fn knots(n: usize) -> Vec<usize> {
    if n <= MAX_KNOTS {
        return (0..n).collect();
    }
    let last = (MAX_KNOTS - 1) as f64;
    let from_top = |k: usize| (n as f64).powf(1.0 - k as f64 / last) - 1.0;
    let mut ranks: Vec<usize> =
        (0..MAX_KNOTS).map(|k| n - 1 - (from_top(k).round() as usize).min(n - 1)).collect();
    ranks.dedup();
    ranks
}

#[cfg(test)]
mod tests;
