//! Metrics of alerts: what was told of anomaly events, and what waits. The label is the alert's name, of which
//! the configuration has few.

use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::{counters, gauges};

const ALERT: [&str; 1] = ["alert"];

/// The families of all alerts.
#[derive(Debug)]
pub(super) struct AlertFamilies {
    sent: IntCounterVec,
    retried: IntCounterVec,
    dead: IntCounterVec,
    waiting: IntGaugeVec,
    oldest: GaugeVec,
}

/// What one alert counts.
#[derive(Debug)]
pub struct AlertMetrics {
    /// Messages that the receiver has acknowledged.
    pub sent: IntCounter,
    /// Attempts that failed and are made again.
    pub retried: IntCounter,
    /// Messages that were given up.
    pub dead: IntCounter,
    /// Messages that wait, as far as they are known.
    pub waiting: IntGauge,
    /// How long the oldest of them has waited, seconds.
    pub oldest: Gauge,
}

impl AlertFamilies {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let oldest = GaugeVec::new(
            Opts::new(
                "tidegauge_alerts_oldest_waiting_seconds",
                "How long the oldest message has waited, by alert.",
            ),
            &ALERT,
        )?;
        registry.register(Box::new(oldest.clone()))?;
        let total = |name: &str, help: &str| {
            counters(registry, &format!("tidegauge_alerts_{name}_total"), help, &ALERT)
        };
        Ok(Self {
            sent: total("sent", "Messages that the receiver has acknowledged, by alert.")?,
            retried: total("retried", "Attempts that failed and are made again, by alert.")?,
            dead: total("dead", "Messages that were given up, by alert.")?,
            waiting: gauges(
                registry,
                "tidegauge_alerts_waiting",
                "Messages that wait, by alert.",
                &ALERT,
            )?,
            oldest,
        })
    }

    pub(super) fn of(&self, alert: &str) -> AlertMetrics {
        let one = [alert];
        AlertMetrics {
            sent: self.sent.with_label_values(&one),
            retried: self.retried.with_label_values(&one),
            dead: self.dead.with_label_values(&one),
            waiting: self.waiting.with_label_values(&one),
            oldest: self.oldest.with_label_values(&one),
        }
    }
}
