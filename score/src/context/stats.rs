//! Statistics of a few values, each computed anew: a running sum would drift apart from one that
//! started elsewhere.

/// A statistic of the last rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rolling {
    Mean,
    Std,
    Min,
    Max,
    Slope,
    /// Exponentially weighted mean of this span, which may see fewer rows or more.
    Ewma(usize),
}

impl Rolling {
    /// The statistic of values, oldest first; there is at least one.
    pub fn of(self, values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
        let n = values.len() as f64;
        match self {
            Self::Mean => mean(values),
            Self::Std => {
                let mean = mean(values.clone());
                (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
            }
            Self::Min => values.fold(f64::INFINITY, f64::min),
            Self::Max => values.fold(f64::NEG_INFINITY, f64::max),
            Self::Slope => slope(values),
            Self::Ewma(span) => ewma(values, 1.0 - 2.0 / (span as f64 + 1.0)),
        }
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Least squares over 0, 1, 2, ...; 0 for a single value.
fn slope(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let sum: f64 = values.enumerate().map(|(i, v)| (i as f64 - middle) * v).sum();
    let spread = n * (n * n - 1.0) / 12.0;
    if spread > 0.0 { sum / spread } else { 0.0 }
}

/// Each value counts `keep` times as much as the one after it, with weights that sum to 1 however many
/// values there are: `ewm(span=..., adjust=True)` of pandas, keep = 1 - 2 / (span + 1).
fn ewma(values: impl Iterator<Item = f64>, keep: f64) -> f64 {
    let step = |(sum, weights): (f64, f64), v: f64| (sum * keep + v, weights * keep + 1.0);
    let (sum, weights) = values.fold((0.0, 0.0), step);
    sum / weights
}

#[cfg(test)]
mod tests;
