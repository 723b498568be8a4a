//! Rows made ready: in the order of time, finite, not too many, standardised.

use super::{SensorRows, SkipReason, TrainOptions};

/// Standardised training rows of one sensor, oldest first.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) standardised: Vec<f64>,
    /// The same rows as they came.
    pub(super) values: Vec<f64>,
    pub(super) mean: Vec<f64>,
    pub(super) scale: Vec<f64>,
    /// First and last window end of the rows that are used.
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    /// Rows that there were, unusable ones included.
    pub(super) rows: usize,
    /// How many of the standardised rows are of the first half of all that there were, between a
    /// quarter and three quarters of them.
    pub(super) half: usize,
    /// How many rows after a row have features that look at it.
    pub(super) reach: usize,
}

impl Samples {
    /// How many features a row has.
    pub(super) fn width(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn new(
        given: &SensorRows,
        width: usize,
        look_back: usize,
        options: &TrainOptions,
    ) -> Result<Self, SkipReason> {
        let (times, values) = (given.window_end_us.len(), given.rows.len());
        if times * width != values {
            return Err(SkipReason::Shape { times, values, width });
        }
        let row = |i: usize| &given.rows[i * width..(i + 1) * width];
        let mut order: Vec<usize> = (0..times).collect();
        order.sort_by_key(|i| given.window_end_us[*i]);
        let middle = order.get(times / 2).map_or(0, |i| given.window_end_us[*i]);
        order.retain(|i| row(*i).iter().all(|v| v.is_finite()));
        let usable = order.len();
        if usable < options.rows_min {
            return Err(SkipReason::TooFewRows { rows: times, usable, min: options.rows_min });
        }
        let used: Vec<usize> = match usable > options.rows_max {
            true => (0..options.rows_max).map(|i| order[i * usable / options.rows_max]).collect(),
            false => order,
        };
        let (mean, scale) = scaler(used.iter().map(|i| row(*i)), width);
        if !scale.iter().all(|s| s.is_finite()) {
            let what = format!("its values are too large to be standardised (mean {mean:?})");
            return Err(SkipReason::NotFitted(what));
        }
        let step = |(f, value): (usize, &f64)| (value - mean[f]) / scale[f];
        let standardised = used.iter().flat_map(|i| row(*i).iter().enumerate().map(step)).collect();
        let values = used.iter().flat_map(|i| row(*i)).copied().collect();
        let (from_us, to_us) =
            (given.window_end_us[used[0]], given.window_end_us[used[used.len() - 1]]);
        let half = used.partition_point(|i| given.window_end_us[*i] < middle);
        let half = half.clamp(used.len() / 4, used.len() - used.len() / 4).max(1);
        // Of rows that are evenly spaced among others, as many fewer.
        let reach = (look_back.saturating_sub(1) * used.len()).div_ceil(usable);
        Ok(Self { standardised, values, mean, scale, from_us, to_us, rows: times, half, reach })
    }
}

/// Mean and standard deviation (of the population) of each feature, as scikit-learn's
/// StandardScaler: a feature that is constant but for rounding has the scale 1.
pub(crate) fn scaler<'a>(
    rows: impl Iterator<Item = &'a [f64]> + Clone,
    width: usize,
) -> (Vec<f64>, Vec<f64>) {
    let n = rows.clone().count() as f64;
    let mut mean = vec![0.0; width];
    for row in rows.clone() {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / n);
    }
    let mut variance = vec![0.0; width];
    for row in rows {
        for (f, value) in row.iter().enumerate() {
            variance[f] += (value - mean[f]).powi(2) / n;
        }
    }
    let scale = |(variance, mean): (&f64, &f64)| {
        let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
        if variance.is_finite() && *variance <= rounding { 1.0 } else { variance.sqrt() }
    };
    let scale = variance.iter().zip(&mean).map(scale).collect();
    (mean, scale)
}
