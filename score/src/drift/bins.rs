//! What the training rows of a feature were like: their deciles, and how many rows lie between them.

/// Quantiles that are kept of a feature: the least, nine deciles, the greatest.
pub const LEVELS: usize = 11;

/// Numbers that differ by less, relative to their size, are the same.
const SAME: f64 = 1e-9;

/// One feature's training rows, in bins of about a tenth of them each. A number that is a tenth of all rows
/// or more has a bin of its own, so that a sensor that stood still, or a switch, can be seen to change.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    quantiles: [f64; LEVELS],
    counts: Vec<u64>,
}

impl Bins {
    /// From values in any order; `None` when there is none or one is not finite.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() || !values.iter().all(|v| v.is_finite()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        // Numbers that were seen, not points between them: the bounds of whole numbers stay whole.
        let quantiles = std::array::from_fn(|level| values[level * last / (LEVELS - 1)]);
        let bounds = bounds(&quantiles);
        Some(Self { quantiles, counts: count(&bounds, values.into_iter()) })
    }

    /// From what a model set holds.
    ///
    /// # Errors
    /// When the quantiles fall or are not finite, or the counts are not those of their bins.
    pub fn from_stored(quantiles: &[f64], counts: &[u64]) -> Result<Self, &'static str> {
        let quantiles: [f64; LEVELS] =
            quantiles.try_into().map_err(|_| "a distribution has not 11 quantiles")?;
        let rise = quantiles.windows(2).all(|w| w[0] <= w[1]);
        if !rise || !quantiles.iter().all(|q| q.is_finite()) {
            return Err("the quantiles of a distribution must be finite and not fall");
        }
        let total = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        if counts.len() != width(&quantiles) || total.is_none_or(|total| total == 0) {
            return Err("the counts of a distribution are not those of its quantiles");
        }
        Ok(Self { quantiles, counts: counts.to_vec() })
    }

    /// The quantiles at 0, 0.1, … 1.
    pub fn quantiles(&self) -> &[f64; LEVELS] {
        &self.quantiles
    }

    /// Training rows in each bin.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many of other values lie in each bin.
    pub fn count(&self, values: impl Iterator<Item = f64>) -> Vec<u64> {
        count(&bounds(&self.quantiles), values)
    }
}

/// How many bins quantiles make.
pub(crate) fn width(quantiles: &[f64]) -> usize {
    bounds(quantiles).len() + 1
}

/// The greatest number of each bin but the last.
fn bounds(quantiles: &[f64]) -> Vec<f64> {
    let mut bounds = Vec::new();
    let same = |a: &f64, b: &f64| b - a <= SAME * a.abs().max(b.abs());
    for run in quantiles.chunk_by(same) {
        let (first, last) = (run[0], run[run.len() - 1]);
        if run.len() > 1 {
            bounds.push((first - SAME * first.abs()).next_down());
            bounds.push(last + SAME * last.abs());
        } else if first > quantiles[0] && first < quantiles[quantiles.len() - 1] {
            bounds.push(first);
        }
    }
    bounds
}

/// How many values lie in each bin; those that are not finite in none.
pub(super) fn count(bounds: &[f64], values: impl Iterator<Item = f64>) -> Vec<u64> {
    let mut counts = vec![0; bounds.len() + 1];
    for value in values.filter(|value| value.is_finite()) {
        counts[bounds.partition_point(|bound| *bound < value)] += 1;
    }
    counts
}
