//! The process's metrics, in a registry of their own, named `tidegauge_<stage>_<noun>_<unit>`.
//!
//! *Guarantees*: no label takes unbounded values. A lane's series all exist, at 0, from the moment
//! the lane is there, and are gone when it goes, so that dashboards neither miss a first event nor
//! show a lane that another process has. Counting costs one atomic addition: names are resolved
//! once.

mod alerts;
mod drift;
mod http;
mod lane;
pub mod machine;
mod models;
mod process;
mod refits;
mod trainings;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};

use crate::ServeError;
use alerts::AlertFamilies;
pub use alerts::AlertMetrics;
pub use drift::{DriftCounts, DriftMetrics};
pub use http::{HttpMetrics, Reloaded};
use lane::LaneFamilies;
pub use lane::{Labelled, LaneLabels, LaneMetrics};
use machine::MachineMetrics;
pub use models::{ModelMetrics, ModelsSeen, View};
use process::Process;
pub use refits::RefitMetrics;
pub use trainings::TrainingMetrics;
pub use upkeep::UpkeepMetrics;

/// Distinct Kafka error codes that are counted by name; further ones are counted as `other`.
const KAFKA_CODES_MAX: usize = 64;

/// Upper bounds of the commit time's buckets, seconds.
const COMMIT_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All metrics of the process. See the module's documentation.
#[derive(Debug)]
pub struct Metrics {
    /// Messages per batch that a consumer handed over.
    pub batch_messages: Histogram,
    /// Time from the cut of an epoch to its published files, seconds.
    pub commit_seconds: Histogram,
    /// Time that a lane's loop stood still for a commit, seconds.
    pub commit_stall_seconds: Histogram,
    /// Models that an alias means and that could not be put in force.
    pub model_reload_failures: IntCounter,
    /// What checks for drift find.
    pub drift: DriftMetrics,
    /// What the models of the aliases are like.
    pub models: ModelMetrics,
    /// The lake's disk, and what was logged.
    pub machine: MachineMetrics,
    /// The HTTP server's.
    pub http: HttpMetrics,
    /// The trainer's.
    pub refits: RefitMetrics,
    /// Those of trainings on a schedule.
    pub trainings: TrainingMetrics,
    /// Offsets that lanes went past without reading, because the broker has not got them.
    pub skipped_offsets: IntCounter,
    /// Lanes that are ours and can't be read at the moment.
    pub lanes_waiting: IntGauge,
    /// Lanes that are not read for a while, so that memory stays within its budget.
    pub lanes_paused: IntGauge,
    /// What lanes may hold in memory, bytes.
    pub memory_budget: IntGauge,
    /// What they hold, bytes.
    pub memory_used: IntGauge,
    /// Sensors whose events came in two lanes of this process.
    pub sensors_in_two_lanes: IntCounter,
    /// What was not committed when a lane went, by the reason.
    lanes_dropped: IntCounterVec,
    /// What maintenance of the lake does.
    pub upkeep: UpkeepMetrics,
    registry: Registry,
    alerts: AlertFamilies,
    lanes: Arc<LaneFamilies>,
    kafka_errors: IntCounterVec,
    kafka_codes: Mutex<BTreeSet<String>>,
    /// Absent where the system has no `/proc`: no number is better than a wrong one.
    process: Option<Process>,
}

/// Why a lane was given up without a commit; what was in hand is read again by whoever has it next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The group had given us up: someone else may have it already.
    Lost,
    /// The last commit was not done in time.
    Deadline,
    /// Another writer had taken it.
    Fenced,
    /// Something failed that may work again.
    Failed,
}

impl Dropped {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Deadline, Self::Fenced, Self::Failed];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Deadline => "deadline",
            Self::Fenced => "fenced",
            Self::Failed => "failed",
        }
    }
}

/// The label of codes beyond the limit.
const OTHER: &str = "other";

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// [`ServeError::Metrics`] when two have the same name.
    pub fn new() -> Result<Self, ServeError> {
        let registry = Registry::new();
        let batch_messages = histogram(
            &registry,
            "tidegauge_ingest_batch_messages",
            "Messages per batch that a consumer handed over.",
            exponential_buckets(1.0, 2.0, 17)?,
        )?;
        let commit_seconds = histogram(
            &registry,
            "tidegauge_sink_commit_seconds",
            "Time from the cut of an epoch to its published files, seconds.",
            COMMIT_SECONDS.to_vec(),
        )?;
        let commit_stall_seconds = histogram(
            &registry,
            "tidegauge_sink_commit_stall_seconds",
            "Time that a lane's loop stood still for a commit, seconds.",
            COMMIT_SECONDS.to_vec(),
        )?;
        let model_reload_failures = counter(
            &registry,
            "tidegauge_score_reload_failures_total",
            "Models that an alias means and that could not be put in force.",
        )?;
        let skipped_offsets = counter(
            &registry,
            "tidegauge_ingest_skipped_offsets_total",
            "Offsets that lanes went past without reading, because the broker has not got them.",
        )?;
        let lanes_dropped = counters(
            &registry,
            "tidegauge_lanes_dropped_total",
            "Lanes that were given up without a commit, by reason.",
            &["reason"],
        )?;
        for drop in Dropped::ALL {
            lanes_dropped.with_label_values(&[drop.as_str()]);
        }
        let kafka_errors = counters(
            &registry,
            "tidegauge_ingest_kafka_errors_total",
            "Errors that the Kafka client reported, by its code.",
            &["code"],
        )?;
        // Dashboards find a series from the start, not from the first error on.
        kafka_errors.with_label_values(&[OTHER]);
        let build = gauges(&registry, "tidegauge_build_info", "Always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            batch_messages,
            commit_seconds,
            commit_stall_seconds,
            model_reload_failures,
            drift: DriftMetrics::register(&registry)?,
            models: ModelMetrics::register(&registry)?,
            machine: MachineMetrics::register(&registry)?,
            http: HttpMetrics::register(&registry)?,
            refits: RefitMetrics::register(&registry)?,
            trainings: TrainingMetrics::register(&registry)?,
            skipped_offsets,
            lanes_waiting: gauge(
                &registry,
                "tidegauge_lanes_waiting",
                "Lanes that are ours and can't be read at the moment.",
            )?,
            lanes_paused: gauge(
                &registry,
                "tidegauge_lanes_paused",
                "Lanes that are not read for a while, to bound memory.",
            )?,
            memory_budget: gauge(
                &registry,
                "tidegauge_memory_budget_bytes",
                "What lanes may hold in memory.",
            )?,
            memory_used: gauge(
                &registry,
                "tidegauge_memory_used_bytes",
                "What lanes hold in memory: windows, sensors, rows not committed yet.",
            )?,
            sensors_in_two_lanes: counter(
                &registry,
                "tidegauge_ingest_sensors_in_two_lanes_total",
                "Sensors whose events came in two lanes of this process.",
            )?,
            lanes_dropped,
            upkeep: UpkeepMetrics::register(&registry)?,
            alerts: AlertFamilies::register(&registry)?,
            lanes: Arc::new(LaneFamilies::register(&registry)?),
            kafka_errors,
            kafka_codes: Mutex::default(),
            process: Process::register(&registry)?,
            registry,
        })
    }

    /// The handles of one lane. Asked again for a lane that is there, it gives the same series.
    pub fn lane(&self, name: &str, labels: &LaneLabels) -> LaneMetrics {
        self.lanes.open(name, labels)
    }

    /// The handles of one alert; its series are there from now on.
    pub fn alert(&self, name: &str) -> AlertMetrics {
        self.alerts.of(name)
    }

    /// Counts a lane that was given up without a commit.
    pub fn lane_dropped(&self, why: Dropped) {
        self.lanes_dropped.with_label_values(&[why.as_str()]).inc();
    }

    /// Counts errors of the Kafka client. For errors, not for events: it looks the code up.
    pub fn kafka_errors(&self, code: &str, count: u64) {
        let mut codes = self.kafka_codes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = codes.contains(code);
        if !known && codes.len() < KAFKA_CODES_MAX {
            codes.insert(code.to_owned());
        }
        let label = if codes.contains(code) { code } else { OTHER };
        self.kafka_errors.with_label_values(&[label]).inc_by(count);
    }

    /// The sum of a counter's or gauge's series, for a process that shows its own numbers; 0 when there
    /// is none.
    pub fn sum(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let series = families.iter().filter(|f| f.name() == name).flat_map(|f| f.get_metric());
        // From 0, because the sum of nothing is -0 for floats.
        series.fold(0.0, |sum, m| sum + m.get_counter().get_value() + m.get_gauge().get_value())
    }

    /// Resident memory of the process, bytes; 0 where the system does not tell it.
    pub fn memory_bytes(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::memory_bytes)
    }

    /// All series in Prometheus' text format, version 0.0.4.
    ///
    /// # Panics
    /// When a family has no series, which the registry does not gather.
    pub fn text(&self) -> String {
        if let Some(process) = &self.process {
            process.refresh();
        }
        self.machine.refresh();
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).expect("gathered families have series")
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let family = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntGaugeVec> {
    let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    bounds: Vec<f64>,
) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

#[cfg(test)]
mod tests;
