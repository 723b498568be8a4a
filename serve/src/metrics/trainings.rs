//! Metrics of trainings on a schedule.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::{counter, counters, gauge, histogram};

/// Upper bounds of a training's duration, seconds.
const SECONDS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

/// How a training can end.
const RESULTS: [&str; 4] = ["published", "nothing", "known", "failed"];

/// What trainings on a schedule count.
#[derive(Debug)]
pub struct TrainingMetrics {
    /// Models that were trained.
    pub models: IntCounter,
    /// Sensors that got no new model.
    pub skipped: IntCounter,
    /// When the last one ended, seconds since 1970.
    pub last_seconds: IntGauge,
    /// How long they took, seconds.
    pub seconds: Histogram,
    runs: IntCounterVec,
}

impl TrainingMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let runs = counters(
            registry,
            "tidegauge_score_trainings_total",
            "Trainings on schedule that were due, by result.",
            &["result"],
        )?;
        for result in RESULTS {
            runs.with_label_values(&[result]);
        }
        Ok(Self {
            models: counter(
                registry,
                "tidegauge_score_trained_models_total",
                "Models that were trained on schedule.",
            )?,
            skipped: counter(
                registry,
                "tidegauge_score_trainings_skipped_sensors_total",
                "Sensors that a training on schedule gave no new model.",
            )?,
            last_seconds: gauge(
                registry,
                "tidegauge_score_training_timestamp_seconds",
                "When the last training on schedule ended, seconds since 1970.",
            )?,
            seconds: histogram(
                registry,
                "tidegauge_score_training_seconds",
                "Time that a training on schedule took, seconds.",
                SECONDS.to_vec(),
            )?,
            runs,
        })
    }

    /// Counts a training by its result.
    pub fn run(&self, result: &'static str) {
        self.runs.with_label_values(&[result]).inc();
    }
}
