//! One sensor's model with everything that is known about it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegauge_flow::{KeyValue, SensorKey};

use crate::calibration::Calibration;
use crate::drift::Distribution;
use crate::error::ScoreError;
use crate::model::{Model, ModelParams};
use crate::svm::SvmScore;

/// A row of a model set. Plain data; [`ModelEntry::build`] makes it ready to score.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEntry {
    /// The sensor.
    pub key: SensorKey,
    /// The features that the model wants, in its order.
    pub features: Vec<String>,
    /// The model itself.
    pub model: ModelParams,
    /// A row is an anomaly when its score is at least this.
    pub threshold: f64,
    /// How rare scores are; imported models have none.
    pub calibration: Option<Calibration>,
    /// What it was trained on; not known of imported models.
    pub training: Option<TrainingSummary>,
    /// Where it comes from, for people: `trained here`, `scikit-learn 0.19.2, model_1_4`.
    pub source: String,
}

/// What a model was trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSummary {
    /// First `window_end` of the rows, microseconds since 1970 in UTC.
    pub from_us: i64,
    /// Last `window_end` of the rows.
    pub to_us: i64,
    /// Rows that there were.
    pub rows: u64,
    /// Rows that were finite and within the cap.
    pub rows_used: u64,
    /// Share of held-out normal windows that score at least the threshold; not known of models that
    /// are fitted on all there is.
    pub false_alarm_rate: Option<f64>,
    /// What the rows that were used were like, feature by feature; not known of models that are fitted anew
    /// and of those that earlier versions trained.
    pub distribution: Option<Distribution>,
}

impl ModelEntry {
    /// Checks what the types can't say.
    ///
    /// # Errors
    /// [`ScoreError::Model`] when features don't fit the model, or a number is not finite.
    pub fn check(&self) -> Result<(), ScoreError> {
        let refuse = |what: String| Err(ScoreError::Model { sensor: self.key.to_string(), what });
        let (named, width) = (self.features.len(), self.model.width());
        if named != width {
            return refuse(format!("it has {width} features and {named} names for them"));
        }
        if (1..named).any(|i| self.features[..i].contains(&self.features[i])) {
            return refuse(format!("a feature is named twice in {:?}", self.features));
        }
        if !self.threshold.is_finite() {
            return refuse(format!("its threshold is {}", self.threshold));
        }
        let Some(training) = &self.training else { return Ok(()) };
        if let Some(rate) = training.false_alarm_rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
            return refuse(format!("its false-alarm rate is {rate}"));
        }
        match training.distribution.as_ref().map(|bins| bins.len()) {
            Some(known) if known != width + 1 => {
                refuse(format!("it has {width} features and {known} distributions"))
            }
            _ => Ok(()),
        }
    }

    /// The model in the form that scores.
    ///
    /// # Errors
    /// [`ScoreError::Model`] when it needs something that is not there, with what to do.
    pub fn build(&self) -> Result<Arc<dyn Model>, ScoreError> {
        let refuse = |what| ScoreError::Model { sensor: self.key.to_string(), what };
        self.model.build().map_err(refuse)
    }

    /// SHA-256 over all of it, as lower-case hexadecimal digits: equal when every bit is equal.
    pub fn hash(&self) -> String {
        let mut hasher = Hasher(Sha256::new());
        for value in &self.key.0 {
            match value {
                KeyValue::Int(value) => hasher.word(*value as u64),
                KeyValue::Str(value) => hasher.text(value),
            }
        }
        hasher.word(self.features.len() as u64);
        self.features.iter().for_each(|name| hasher.text(name));
        hasher.text(self.model.kind());
        match &self.model {
            ModelParams::OneClassSvm(svm) => {
                let columns = [svm.mean(), svm.scale(), svm.vectors(), svm.alpha()];
                columns.into_iter().for_each(|column| hasher.numbers(column));
                hasher.numbers(&[svm.gamma(), svm.rho()]);
                match svm.score() {
                    // As it was before there were others.
                    SvmScore::Decision => {}
                    SvmScore::Relative => hasher.text("relative"),
                    SvmScore::Distance { unit } => hasher.numbers(&[unit]),
                }
            }
            other => {
                if let Some(stored) = other.to_stored() {
                    hasher.text(&stored.parameters);
                    hasher.bytes(&stored.blob);
                }
            }
        }
        hasher.numbers(&[self.threshold]);
        if let Some(calibration) = &self.calibration {
            hasher.numbers(calibration.scores());
            hasher.numbers(calibration.severities());
            hasher.word(calibration.samples());
        }
        if let Some(t) = &self.training {
            let words = [t.from_us as u64, t.to_us as u64, t.rows, t.rows_used];
            words.into_iter().for_each(|word| hasher.word(word));
            t.false_alarm_rate.iter().for_each(|rate| hasher.numbers(&[*rate]));
            for bins in t.distribution.iter().flat_map(|all| all.iter()) {
                hasher.numbers(bins.quantiles());
                hasher.word(bins.counts().len() as u64);
                bins.counts().iter().for_each(|count| hasher.word(*count));
            }
        }
        hasher.text(&self.source);
        hex(&hasher.0.finalize())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lengths go before contents, so that no two entries give the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn word(&mut self, word: u64) {
        self.0.update(word.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn numbers(&mut self, numbers: &[f64]) {
        self.word(numbers.len() as u64);
        numbers.iter().for_each(|number| self.word(number.to_bits()));
    }
}
