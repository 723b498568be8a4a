//! A mean and a standard deviation for each feature: a control chart with as many lines as features.
//!
//! Source: Shewhart, "Economic Control of Quality of Manufactured Product" (1931). Features are looked at
//! one by one: a row whose features are usual each but not together is no anomaly.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Model;
use crate::svm::MAX_WIDTH;

/// Why numbers are no means and standard deviations.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidGaussian(pub String);

/// The parameters of one model, checked: see [`GaussianParams::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct GaussianParams {
    mean: Vec<f64>,
    std: Vec<f64>,
}

/// The parameters as a model set holds them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(with = "crate::exact::list")]
    mean: Vec<f64>,
    #[serde(with = "crate::exact::list")]
    std: Vec<f64>,
}

/// The score is how many standard deviations the worst feature is from its mean: 0 and above.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianModel(GaussianParams);

impl GaussianParams {
    /// The mean and the standard deviation of each feature, in the model's order and in the units of
    /// the features.
    ///
    /// # Errors
    /// When there is no feature, or more than [`MAX_WIDTH`], the lengths differ, a mean is not finite,
    /// or a standard deviation is not finite and above 0.
    pub fn new(mean: Vec<f64>, std: Vec<f64>) -> Result<Self, InvalidGaussian> {
        let refuse = |what: String| Err(InvalidGaussian(what));
        let (means, stds) = (mean.len(), std.len());
        if means == 0 || means > MAX_WIDTH || stds != means {
            return refuse(format!(
                "{means} means and {stds} standard deviations, expected 1..={MAX_WIDTH} of both"
            ));
        }
        if let Some(mean) = mean.iter().find(|mean| !mean.is_finite()) {
            return refuse(format!("a mean is {mean}, it must be a finite number"));
        }
        if let Some(std) = std.iter().find(|std| !(**std > 0.0 && std.is_finite())) {
            let expected = "it must be a finite number above 0 (1 for a feature that never varied)";
            return refuse(format!("a standard deviation is {std}, {expected}"));
        }
        Ok(Self { mean, std })
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The mean of each feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The standard deviation of each feature.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// |x - mean| / std of each feature of a row; a number for every finite row.
    fn distances(&self, row: &[f64]) -> impl Iterator<Item = f64> {
        let lines = self.mean.iter().zip(&self.std);
        row.iter().zip(lines).map(|(x, (mean, std))| ((x - mean).abs() / std).min(f64::MAX))
    }
}

impl TryFrom<Wire> for GaussianParams {
    type Error = InvalidGaussian;

    fn try_from(wire: Wire) -> Result<Self, InvalidGaussian> {
        Self::new(wire.mean, wire.std)
    }
}

impl From<GaussianParams> for Wire {
    fn from(params: GaussianParams) -> Self {
        Self { mean: params.mean, std: params.std }
    }
}

impl GaussianModel {
    /// The word for this kind in model sets.
    pub const KIND: &'static str = "gaussian";

    /// Parameters that score.
    pub fn new(params: &GaussianParams) -> Self {
        Self(params.clone())
    }
}

impl Model for GaussianModel {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn scores(&self, rows: &[f64], out: &mut [f64]) {
        for (row, score) in rows.chunks_exact(self.width()).zip(out) {
            *score = self.0.distances(row).fold(0.0, f64::max);
        }
    }

    /// A feature is to blame as far as it is from its mean, in standard deviations.
    fn blame(&self, row: &[f64], blame: &mut [f64]) {
        blame.iter_mut().zip(self.0.distances(row)).for_each(|(blame, z)| *blame = z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> GaussianParams {
        GaussianParams::new(vec![10.0, -2.0], vec![2.0, 0.5]).expect("numbers")
    }

    #[test]
    fn the_score_is_the_worst_feature_s_distance_in_standard_deviations() {
        let model = GaussianModel::new(&params());
        let rows = [10.0, -2.0, 16.0, -2.0, 4.0, -1.0, 11.0, -4.0, f64::MAX, 0.0];
        let mut scores = [f64::NAN; 5];
        model.scores(&rows, &mut scores);
        assert_eq!(scores[..4], [0.0, 3.0, 3.0, 4.0]);
        assert!(scores[4].is_finite() && scores[4] > 1e300);
        let mut blame = [0.0; 2];
        model.blame(&rows[6..8], &mut blame);
        assert_eq!(blame, [0.5, 4.0]);
        let tiny = GaussianParams::new(vec![f64::MIN], vec![f64::MIN_POSITIVE]).expect("numbers");
        GaussianModel::new(&tiny).scores(&[f64::MAX], &mut scores[..1]);
        assert_eq!(scores[0], f64::MAX);
    }

    #[test]
    fn numbers_that_nothing_can_be_measured_by_are_refused() {
        let check = |mean: &[f64], std: &[f64], says: &str| {
            let error = GaussianParams::new(mean.to_vec(), std.to_vec()).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
        };
        check(&[], &[], "0 means and 0 standard deviations");
        check(&[1.0, 2.0], &[1.0], "2 means and 1 standard deviations");
        check(&[f64::NAN], &[1.0], "a mean is NaN");
        check(&[1.0], &[0.0], "a standard deviation is 0, it must be a finite number above 0");
        check(&[1.0], &[-1.0], "a standard deviation is -1");
        check(&[1.0], &[f64::INFINITY], "a standard deviation is inf");
    }

    #[test]
    fn stored_parameters_come_back_to_the_bit_and_others_are_refused() {
        let mean = vec![0.1 + 0.2, -0.0, 1e-310, f64::MAX];
        let params = GaussianParams::new(mean, vec![1.0 / 3.0; 4]).expect("numbers");
        let text = serde_json::to_string(&params).expect("plain data");
        let read: GaussianParams = serde_json::from_str(&text).expect("as it was written");
        let bits = |v: &[f64]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(read.mean()), bits(params.mean()));
        assert_eq!(bits(read.std()), bits(params.std()));
        for (text, says) in [
            (r#"{"mean": ["1"], "std": ["0"]}"#, "a standard deviation is 0"),
            (r#"{"mean": ["x"], "std": ["1"]}"#, "invalid float"),
            (r#"{"mean": ["1"], "std": ["1"], "more": 1}"#, "unknown field"),
            (r#"{"mean": ["1"]}"#, "missing field"),
        ] {
            let error = serde_json::from_str::<GaussianParams>(text).expect_err(text);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
