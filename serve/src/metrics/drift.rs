//! Metrics of drift: how many sensors still are what their models were trained on.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use super::{counter, gauge};

/// What checks for drift find.
#[derive(Debug)]
pub struct DriftMetrics {
    /// Checks that failed.
    pub failures: IntCounter,
    checked: IntGauge,
    sensors: IntGaugeVec,
}

/// Sensors by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriftCounts {
    /// As they were trained on.
    pub stable: u64,
    /// Not quite.
    pub watch: u64,
    /// Something else.
    pub drift: u64,
    /// Nothing can be said.
    pub unknown: u64,
}

impl DriftMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new(
            "tidegauge_score_drift_sensors",
            "Sensors of the lake by the verdict of the last check for drift.",
        );
        let sensors = IntGaugeVec::new(options, &["verdict"])?;
        registry.register(Box::new(sensors.clone()))?;
        let metrics = Self {
            failures: counter(
                registry,
                "tidegauge_score_drift_failures_total",
                "Checks for drift that failed.",
            )?,
            checked: gauge(
                registry,
                "tidegauge_score_drift_check_time_seconds",
                "When the last check for drift ended, seconds since 1970-01-01 UTC; 0 before the first.",
            )?,
            sensors,
        };
        metrics.set(&DriftCounts::default());
        Ok(metrics)
    }

    /// What a check found, and when it ended, microseconds since 1970 in UTC.
    pub fn checked(&self, counts: &DriftCounts, now_us: i64) {
        self.set(counts);
        self.checked.set(now_us.div_euclid(1_000_000));
    }

    fn set(&self, counts: &DriftCounts) {
        let DriftCounts { stable, watch, drift, unknown } = *counts;
        let all = [("stable", stable), ("watch", watch), ("drift", drift), ("unknown", unknown)];
        for (verdict, count) in all {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.sensors.with_label_values(&[verdict]).set(count);
        }
    }
}
