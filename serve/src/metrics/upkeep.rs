//! Metrics of the lake's maintenance.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// How a run of maintenance may end.
const RESULTS: [&str; 4] = ["done", "nothing", "lost", "failed"];

/// What maintenance has done since the process started.
#[derive(Debug)]
pub struct UpkeepMetrics {
    /// Large files made.
    pub compactions: IntCounter,
    /// Files that they replaced.
    pub compacted_files: IntCounter,
    /// Data files deleted, replaced ones or those too old.
    pub deleted_files: IntCounter,
    /// Ledger records deleted.
    pub deleted_records: IntCounter,
    /// Rows too old to be kept.
    pub expired_rows: IntCounter,
    /// Files that the last run has left alone because they are damaged.
    pub damaged_files: IntGauge,
    runs: IntCounterVec,
}

impl UpkeepMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let total = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(format!("tidegauge_sink_{name}_total"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let runs = Opts::new("tidegauge_sink_maintenance_total", "Runs of maintenance, by result.");
        let runs = IntCounterVec::new(runs, &["result"])?;
        registry.register(Box::new(runs.clone()))?;
        for result in RESULTS {
            runs.with_label_values(&[result]);
        }
        Ok(Self {
            compactions: total("compactions", "Large files made of small ones.")?,
            compacted_files: total("compacted_files", "Files replaced by large ones.")?,
            deleted_files: total("deleted_files", "Data files deleted.")?,
            deleted_records: total("deleted_records", "Ledger records deleted.")?,
            expired_rows: total("expired_rows", "Rows deleted because of their age.")?,
            damaged_files: super::gauge(
                registry,
                "tidegauge_sink_damaged_files",
                "Files that the last maintenance left alone because they are damaged.",
            )?,
            runs,
        })
    }

    /// Counts a run; `result` is one of done, nothing, lost, failed.
    pub fn run(&self, result: &str) {
        self.runs.with_label_values(&[result]).inc();
    }
}
