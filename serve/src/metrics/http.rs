//! What is asked of the server, and what it refuses.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Registry};

use super::{counters, gauge};
use crate::http::Refused;

/// Upper bounds of the answer time's buckets, seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// A file that is read anew when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// Of keys.
    Keys,
    /// The certificate or its key.
    Tls,
}

impl Reloaded {
    const ALL: [Self; 2] = [Self::Keys, Self::Tls];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Tls => "tls",
        }
    }
}

/// The server's.
#[derive(Debug)]
pub struct HttpMetrics {
    /// Connections that are open.
    pub connections: IntGauge,
    requests: IntCounterVec,
    seconds: HistogramVec,
    refused: IntCounterVec,
    reload_failures: IntCounterVec,
}

impl HttpMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = HistogramOpts::new(
            "tidegauge_http_request_seconds",
            "Time from a request's header to the start of its answer, by route.",
        );
        let seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["route"])?;
        registry.register(Box::new(seconds.clone()))?;
        let metrics = Self {
            connections: gauge(registry, "tidegauge_http_connections", "Open connections.")?,
            requests: counters(
                registry,
                "tidegauge_http_requests_total",
                "Requests, by route, method and class of the answer's status.",
                &["route", "method", "status"],
            )?,
            seconds,
            refused: counters(
                registry,
                "tidegauge_http_refused_total",
                "Requests and connections that a limit or a guard refused, by reason.",
                &["reason"],
            )?,
            reload_failures: counters(
                registry,
                "tidegauge_http_reload_failures_total",
                "Changed files of keys or certificates that could not be used, by file.",
                &["file"],
            )?,
        };
        for file in Reloaded::ALL {
            metrics.reload_failures.with_label_values(&[file.as_str()]);
        }
        for reason in Refused::ALL {
            metrics.refused.with_label_values(&[reason.as_str()]);
        }
        metrics.requests.with_label_values(&["/metrics", "GET", "2xx"]);
        metrics.seconds.with_label_values(&["/metrics"]);
        Ok(metrics)
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, reason: Refused) {
        self.refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// Counts a changed file that can't be used.
    pub(crate) fn reload_failed(&self, file: Reloaded) {
        self.reload_failures.with_label_values(&[file.as_str()]).inc();
    }

    /// Counts an answer. Labels are of closed lists.
    pub(crate) fn answered(&self, route: &str, method: &str, status: u16, seconds: f64) {
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[route, method, class]).inc();
        self.seconds.with_label_values(&[route]).observe(seconds);
    }
}
