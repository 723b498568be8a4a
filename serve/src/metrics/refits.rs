//! Metrics of the trainer: models that are fitted anew beside the stream.

use prometheus::{IntCounter, IntGauge, Registry};

use super::{counter, gauge};

/// What the trainer counts.
#[derive(Debug)]
pub struct RefitMetrics {
    /// Models that were fitted anew.
    pub fitted: IntCounter,
    /// Models that could not be fitted anew, or not be published.
    pub failures: IntCounter,
    /// Sensors whose model waits to be fitted anew.
    pub waiting: IntGauge,
    /// What is held of sensors' pasts, bytes.
    pub memory_bytes: IntGauge,
}

impl RefitMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            fitted: counter(
                registry,
                "tidegauge_score_refits_total",
                "Models of the onset view that were fitted anew.",
            )?,
            failures: counter(
                registry,
                "tidegauge_score_refit_failures_total",
                "Models that could not be fitted anew, or not be published.",
            )?,
            waiting: gauge(
                registry,
                "tidegauge_score_refits_waiting",
                "Sensors whose model waits to be fitted anew.",
            )?,
            memory_bytes: gauge(
                registry,
                "tidegauge_score_refit_memory_bytes",
                "What the trainer holds of sensors' pasts.",
            )?,
        })
    }
}
