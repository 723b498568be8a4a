//! Static limits: a range for each feature, as people write them down.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Model;

/// Why numbers are no limits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidLimits(pub String);

/// The limits of one feature; at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Values at or below it are anomalies.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::exact::optional")]
    pub low: Option<f64>,
    /// Values at or above it are anomalies.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::exact::optional")]
    pub high: Option<f64>,
}

/// The limits of a model's features, checked: see [`LimitsParams::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Limit>", into = "Vec<Limit>")]
pub struct LimitsParams(Vec<Limit>);

/// The score is how far the worst feature is beyond its limit, as a share of half the width of its
/// range (of 1 with a single limit): 0 at a limit, negative within, -1 in the middle. Threshold: 0.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsModel(Vec<Limit>);

impl LimitsParams {
    /// Limits of each feature in the model's order; a feature without any is not looked at.
    ///
    /// # Errors
    /// When there is no limit at all, a limit is not finite, or a range is empty.
    pub fn new(limits: Vec<Limit>) -> Result<Self, InvalidLimits> {
        let refuse = |what: String| Err(InvalidLimits(what));
        if limits.iter().all(|limit| limit.low.is_none() && limit.high.is_none()) {
            return refuse("it has no limit".into());
        }
        for limit in &limits {
            if [limit.low, limit.high].into_iter().flatten().any(|v| !v.is_finite()) {
                return refuse(format!("{limit:?} is not finite"));
            }
            if let (Some(low), Some(high)) = (limit.low, limit.high)
                && low >= high
            {
                return refuse(format!("its range from {low} to {high} is empty"));
            }
        }
        Ok(Self(limits))
    }

    /// The limits of each feature.
    pub fn limits(&self) -> &[Limit] {
        &self.0
    }
}

impl TryFrom<Vec<Limit>> for LimitsParams {
    type Error = InvalidLimits;

    fn try_from(limits: Vec<Limit>) -> Result<Self, InvalidLimits> {
        Self::new(limits)
    }
}

impl From<LimitsParams> for Vec<Limit> {
    fn from(params: LimitsParams) -> Self {
        params.0
    }
}

impl LimitsModel {
    /// The word for this kind in model sets.
    pub const KIND: &'static str = "static_limits";

    /// Limits that score.
    pub fn new(params: &LimitsParams) -> Self {
        Self(params.0.clone())
    }
}

impl Limit {
    /// How far a value is beyond; `None` without a limit.
    fn beyond(&self, value: f64) -> Option<f64> {
        let half = match (self.low, self.high) {
            (Some(low), Some(high)) => (high / 2.0 - low / 2.0).max(f64::MIN_POSITIVE),
            _ => 1.0,
        };
        let over = self.high.map(|high| (value - high) / half);
        let under = self.low.map(|low| (low - value) / half);
        let worst = over.into_iter().chain(under).max_by(f64::total_cmp)?;
        Some(worst.clamp(f64::MIN, f64::MAX))
    }
}

impl Model for LimitsModel {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn width(&self) -> usize {
        self.0.len()
    }

    fn scores(&self, rows: &[f64], out: &mut [f64]) {
        for (row, score) in rows.chunks_exact(self.width()).zip(out) {
            let beyond = self.0.iter().zip(row).filter_map(|(limit, value)| limit.beyond(*value));
            *score = beyond.max_by(f64::total_cmp).unwrap_or(f64::MIN);
        }
    }

    /// A feature is to blame as far as it is beyond its limit; at its limit a little too.
    fn blame(&self, row: &[f64], blame: &mut [f64]) {
        for ((limit, value), blame) in self.0.iter().zip(row).zip(blame) {
            let beyond = limit.beyond(*value).unwrap_or(f64::MIN);
            *blame = if beyond == 0.0 { f64::MIN_POSITIVE } else { beyond };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(low: Option<f64>, high: Option<f64>) -> Limit {
        Limit { low, high }
    }

    #[test]
    fn a_value_at_its_limit_is_an_anomaly_and_the_worst_feature_counts() {
        let params =
            LimitsParams::new(vec![limits(Some(0.0), Some(10.0)), limits(None, Some(1.0))]);
        let model = LimitsModel::new(&params.expect("limits"));
        let rows = [5.0, 0.0, 10.0, 0.5, 12.5, 0.0, 5.0, 3.0, -5.0, 0.0, 9.9, 0.9];
        let mut scores = [0.0; 6];
        model.scores(&rows, &mut scores);
        let expected = [-1.0, 0.0, 0.5, 2.0, 1.0, -0.02];
        for (score, expected) in scores.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-12, "{scores:?}");
        }
        let mut blame = [0.0; 2];
        model.blame(&rows[6..8], &mut blame);
        assert!(blame[1] > blame[0]);
    }

    #[test]
    fn limits_that_allow_nothing_or_say_nothing_are_refused() {
        let bad = [
            vec![],
            vec![Limit::default()],
            vec![limits(Some(2.0), Some(2.0))],
            vec![limits(Some(f64::NAN), None)],
            vec![limits(None, Some(f64::INFINITY))],
        ];
        for limits in bad {
            assert!(LimitsParams::new(limits.clone()).is_err(), "{limits:?}");
        }
        let huge = LimitsParams::new(vec![limits(Some(f64::MIN), Some(f64::MAX))]);
        let mut score = [0.0];
        LimitsModel::new(&huge.expect("limits")).scores(&[f64::MAX], &mut score);
        assert!(score[0].is_finite() && score[0] >= 0.0);
    }
}
