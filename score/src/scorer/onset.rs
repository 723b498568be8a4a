//! The onset view: is something new? A score that fades in as the sensor becomes known, and an alarm
//! that rests after it was raised.

use crate::error::ScoreError;

/// How the onset view judges. Rows are window rows of one sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct OnsetSettings {
    /// What its models see, as in `[models] features`.
    pub features: Vec<String>,
    /// Rows after which a sensor counts as known: no alarm before. Also the measure of `rest`,
    /// `discount` and of how often its models are fitted anew.
    pub rows: u64,
    /// An alarm needs at least this novelty; 1 is as far away as can be.
    pub threshold: f64,
    /// After an alarm the sensor raises none for this many times `rows`.
    pub rest: f64,
    /// Novelty is divided by 1 + this x `rows` / rows seen so far.
    pub discount: f64,
}

impl Default for OnsetSettings {
    fn default() -> Self {
        let features = Vec::new();
        Self { features, rows: 750, threshold: 0.45, rest: 1.0 / 3.0, discount: 0.5 }
    }
}

impl OnsetSettings {
    pub(super) fn check(&self) -> Result<(), ScoreError> {
        let refuse =
            |name, value: String, expected| Err(ScoreError::Option { name, value, expected });
        if !(1..=1_000_000).contains(&self.rows) {
            return refuse("onset.rows", self.rows.to_string(), "it must be 1 to 1000000");
        }
        let numbers = [
            ("onset.threshold", self.threshold, 1.0),
            ("onset.rest", self.rest, 1_000.0),
            ("onset.discount", self.discount, 1_000.0),
        ];
        for (name, value, most) in numbers {
            if !(0.0..=most).contains(&value) {
                return refuse(name, value.to_string(), "it must be at least 0 and not so large");
            }
        }
        Ok(())
    }

    /// Novelty of a score that came `seen`-th, counted from 1.
    pub(super) fn novelty(&self, score: f64, seen: u64) -> f64 {
        score / (1.0 + self.discount * self.rows as f64 / seen.max(1) as f64)
    }

    /// Whether this novelty raises an alarm; counts the sensor's rest.
    pub(super) fn alarm(&self, novelty: Option<f64>, seen: u64, resting: &mut u32) -> bool {
        if *resting > 0 {
            *resting -= 1;
            return false;
        }
        let raised = seen > self.rows && novelty.is_some_and(|n| n >= self.threshold);
        if raised {
            *resting = (self.rest * self.rows as f64).min(f64::from(u32::MAX)) as u32;
        }
        raised
    }
}
