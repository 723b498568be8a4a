//! The metrics that every lane has, and the handles through which a lane counts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{Opts, Registry};

use super::{counters, gauge, gauges};

/// The closed sets of a lane's second labels. The binary has them from the stages.
#[derive(Debug, Clone, Copy)]
pub struct LaneLabels {
    /// Why messages are rejected.
    pub reasons: &'static [&'static str],
    /// What scoring says of a row.
    pub statuses: &'static [&'static str],
    /// The lake's tables.
    pub tables: &'static [&'static str],
    /// Why readings are late.
    pub late: &'static [&'static str],
}

/// One lane's handles. Adding to them is an atomic operation, without a look-up or a lock.
///
/// They may outlive the lane's series: after [`LaneMetrics::remove`] nothing shows what they count.
#[derive(Debug)]
pub struct LaneMetrics {
    /// Messages taken from the input, readable or not.
    pub messages: IntCounter,
    /// Their payload bytes.
    pub bytes: IntCounter,
    /// Messages that became readings.
    pub readings: IntCounter,
    /// Messages that did not, by reason.
    pub rejects: Labelled,
    /// Readings that came too late, by reason.
    pub late: Labelled,
    /// Readings that came after one of a later time.
    pub out_of_order: IntCounter,
    /// Readings that the time policy gave another time.
    pub adjusted: IntCounter,
    /// Readings that the query's WHERE left out.
    pub filtered: IntCounter,
    pub duplicates: IntCounter,
    /// Window rows that closed.
    pub rows: IntCounter,
    /// Of these, rows of which a feature could not be computed.
    pub incomplete: IntCounter,
    /// Memory that windows gave up for files.
    pub spilled_bytes: IntCounter,
    /// Window rows that went through scoring, by status.
    pub scored: Labelled,
    /// Rows called anomalous.
    pub anomalies: IntCounter,
    /// Rows that raised an alarm of the onset view.
    pub alarms: IntCounter,
    /// Anomaly events that opened.
    pub events_opened: IntCounter,
    /// Anomaly events that closed.
    pub events_closed: IntCounter,
    /// Rows that both a sensor's own champion and the challenger have a verdict on.
    pub challenged: IntCounter,
    /// Of these, rows that they agree on.
    pub agreed: IntCounter,
    /// Epochs committed.
    pub commits: IntCounter,
    /// Files committed, by table.
    pub files: Labelled,
    /// Rows in these files, by table.
    pub file_rows: Labelled,
    /// Messages between the lane's position and the end of its input.
    pub lag: IntGauge,
    /// Sensors that the lane knows.
    pub sensors: IntGauge,
    /// How far the watermark is behind the wall clock, seconds.
    pub watermark_delay: Gauge,
    /// Open pairs of sensor and window.
    pub open_groups: IntGauge,
    /// Open windows.
    pub open_windows: IntGauge,
    /// Closed windows that are held for late readings.
    pub held_windows: IntGauge,
    /// Anomaly events that are open.
    pub events_open: IntGauge,
    /// Known sensors without a model.
    pub models_missing: IntGauge,
    /// Known sensors that a fallback judges.
    pub models_fallback: IntGauge,
    /// Models in force.
    pub models_loaded: IntGauge,
    lane: String,
    families: Arc<LaneFamilies>,
}

impl LaneMetrics {
    /// Drops the lane's series: it has ended, or another process has it now. Counting through
    /// handles that are left does no harm; a lane that comes back starts at 0, which `rate()` knows
    /// as a reset.
    pub fn remove(&self) {
        self.families.close(self);
    }
}

/// Counters of one lane that differ in one more label, in the order of the list they were made
/// from.
#[derive(Debug)]
pub struct Labelled {
    labels: &'static [&'static str],
    counters: Vec<IntCounter>,
}

impl Labelled {
    /// The counter of the label at `index` of the list.
    ///
    /// # Panics
    /// When the list is shorter: the caller has another list than it registered.
    pub fn at(&self, index: usize) -> &IntCounter {
        &self.counters[index]
    }

    /// The counter of a label, found by looking through the list; `None` when it is not in it.
    pub fn get(&self, label: &str) -> Option<&IntCounter> {
        let index = self.labels.iter().position(|&l| l == label)?;
        self.counters.get(index)
    }
}

#[derive(Debug)]
pub(super) struct LaneFamilies {
    messages: IntCounterVec,
    bytes: IntCounterVec,
    readings: IntCounterVec,
    rejects: IntCounterVec,
    late: IntCounterVec,
    out_of_order: IntCounterVec,
    adjusted: IntCounterVec,
    incomplete: IntCounterVec,
    spilled_bytes: IntCounterVec,
    held_windows: IntGaugeVec,
    filtered: IntCounterVec,
    duplicates: IntCounterVec,
    rows: IntCounterVec,
    scored: IntCounterVec,
    anomalies: IntCounterVec,
    events_opened: IntCounterVec,
    events_closed: IntCounterVec,
    alarms: IntCounterVec,
    challenged: IntCounterVec,
    agreed: IntCounterVec,
    commits: IntCounterVec,
    files: IntCounterVec,
    file_rows: IntCounterVec,
    lag: IntGaugeVec,
    sensors: IntGaugeVec,
    watermark_delay: GaugeVec,
    open_groups: IntGaugeVec,
    open_windows: IntGaugeVec,
    models_missing: IntGaugeVec,
    events_open: IntGaugeVec,
    models_fallback: IntGaugeVec,
    models_loaded: IntGaugeVec,
    /// The names of the lanes that are there; their number is bounded by the partitions.
    open: Mutex<BTreeSet<String>>,
    lanes: IntGauge,
}

impl LaneFamilies {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let total = |noun: &str, help: &str, labels: &[&str]| {
            counters(registry, &format!("tidegauge_{noun}_total"), help, labels)
        };
        let state = |noun: &str, help: &str| {
            gauges(registry, &format!("tidegauge_{noun}"), help, &["lane"])
        };
        let watermark_delay = GaugeVec::new(
            Opts::new(
                "tidegauge_aggregate_watermark_delay_seconds",
                "How far the watermark is behind the wall clock, seconds.",
            ),
            &["lane"],
        )?;
        registry.register(Box::new(watermark_delay.clone()))?;
        let (one, table) = (["lane"], ["lane", "table"]);
        Ok(Self {
            messages: total("ingest_messages", "Messages taken from the input.", &one)?,
            bytes: total("ingest_bytes", "Payload bytes of these messages.", &one)?,
            readings: total("ingest_readings", "Messages that became readings.", &one)?,
            rejects: total(
                "ingest_rejects",
                "Messages that could not be read, by reason.",
                &["lane", "reason"],
            )?,
            late: total(
                "aggregate_late",
                "Readings that came too late, by reason.",
                &["lane", "reason"],
            )?,
            out_of_order: total(
                "aggregate_out_of_order",
                "Readings that came after one of a later time.",
                &one,
            )?,
            adjusted: total(
                "aggregate_adjusted",
                "Readings that the time policy gave another time.",
                &one,
            )?,
            incomplete: total(
                "aggregate_incomplete_rows",
                "Window rows of which a feature could not be computed.",
                &one,
            )?,
            spilled_bytes: total(
                "aggregate_spilled_bytes",
                "Memory that windows gave up for files.",
                &one,
            )?,
            held_windows: state(
                "aggregate_held_windows",
                "Closed windows held for late readings.",
            )?,
            filtered: total("aggregate_filtered", "Readings that WHERE left out.", &one)?,
            duplicates: total(
                "aggregate_duplicates",
                "Readings whose event id their window held already.",
                &one,
            )?,
            rows: total("aggregate_rows", "Window rows that closed.", &one)?,
            scored: total(
                "score_rows",
                "Window rows that went through scoring, by status.",
                &["lane", "status"],
            )?,
            anomalies: total("score_anomalies", "Rows called anomalous.", &one)?,
            events_opened: total("events_opened", "Anomaly events that opened.", &one)?,
            events_closed: total("events_closed", "Anomaly events that closed.", &one)?,
            alarms: total("score_alarms", "Rows that raised an alarm of the onset view.", &one)?,
            challenged: total(
                "score_challenger_rows",
                "Rows that both champion and challenger have a verdict on.",
                &one,
            )?,
            agreed: total(
                "score_challenger_agreed",
                "Rows that champion and challenger agree on.",
                &one,
            )?,
            commits: total("sink_commits", "Epochs committed.", &one)?,
            files: total("sink_files", "Files committed, by table.", &table)?,
            file_rows: total("sink_rows", "Rows in committed files, by table.", &table)?,
            lag: state("ingest_lag_messages", "Messages not yet read.")?,
            sensors: state("ingest_sensors", "Sensors that the lane knows.")?,
            watermark_delay,
            open_groups: state("aggregate_open_groups", "Open pairs of sensor and window.")?,
            open_windows: state("aggregate_open_windows", "Open windows.")?,
            models_missing: state("score_models_missing", "Known sensors without a model.")?,
            events_open: state("events_open", "Anomaly events that are open.")?,
            models_fallback: state(
                "score_models_fallback",
                "Known sensors that a fallback judges.",
            )?,
            models_loaded: state("score_models_loaded", "Models in force.")?,
            open: Mutex::default(),
            lanes: gauge(registry, "tidegauge_lanes", "Lanes that this process holds.")?,
        })
    }

    pub(super) fn open(self: &Arc<Self>, lane: &str, labels: &LaneLabels) -> LaneMetrics {
        // Held to the end, so that a lane that goes meanwhile takes either all series or none.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(lane.to_owned());
        self.lanes.set(open.len() as i64);
        let one = [lane];
        LaneMetrics {
            messages: self.messages.with_label_values(&one),
            bytes: self.bytes.with_label_values(&one),
            readings: self.readings.with_label_values(&one),
            rejects: labelled(&self.rejects, lane, labels.reasons),
            late: labelled(&self.late, lane, labels.late),
            out_of_order: self.out_of_order.with_label_values(&one),
            adjusted: self.adjusted.with_label_values(&one),
            incomplete: self.incomplete.with_label_values(&one),
            spilled_bytes: self.spilled_bytes.with_label_values(&one),
            held_windows: self.held_windows.with_label_values(&one),
            filtered: self.filtered.with_label_values(&one),
            duplicates: self.duplicates.with_label_values(&one),
            rows: self.rows.with_label_values(&one),
            scored: labelled(&self.scored, lane, labels.statuses),
            anomalies: self.anomalies.with_label_values(&one),
            events_opened: self.events_opened.with_label_values(&one),
            events_closed: self.events_closed.with_label_values(&one),
            alarms: self.alarms.with_label_values(&one),
            challenged: self.challenged.with_label_values(&one),
            agreed: self.agreed.with_label_values(&one),
            commits: self.commits.with_label_values(&one),
            files: labelled(&self.files, lane, labels.tables),
            file_rows: labelled(&self.file_rows, lane, labels.tables),
            lag: self.lag.with_label_values(&one),
            sensors: self.sensors.with_label_values(&one),
            watermark_delay: self.watermark_delay.with_label_values(&one),
            open_groups: self.open_groups.with_label_values(&one),
            open_windows: self.open_windows.with_label_values(&one),
            models_missing: self.models_missing.with_label_values(&one),
            events_open: self.events_open.with_label_values(&one),
            models_fallback: self.models_fallback.with_label_values(&one),
            models_loaded: self.models_loaded.with_label_values(&one),
            lane: lane.to_owned(),
            families: Arc::clone(self),
        }
    }

    fn close(&self, lane: &LaneMetrics) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = lane.lane.as_str();
        // An error here says that the series is gone already.
        for family in [
            &self.messages,
            &self.bytes,
            &self.readings,
            &self.out_of_order,
            &self.adjusted,
            &self.incomplete,
            &self.spilled_bytes,
            &self.filtered,
            &self.duplicates,
            &self.rows,
            &self.anomalies,
            &self.events_opened,
            &self.events_closed,
            &self.alarms,
            &self.challenged,
            &self.agreed,
            &self.commits,
        ] {
            let _ = family.remove_label_values(&[name]);
        }
        for family in [
            &self.lag,
            &self.sensors,
            &self.open_groups,
            &self.open_windows,
            &self.held_windows,
            &self.models_missing,
            &self.events_open,
            &self.models_fallback,
            &self.models_loaded,
        ] {
            let _ = family.remove_label_values(&[name]);
        }
        let _ = self.watermark_delay.remove_label_values(&[name]);
        for (family, labelled) in [
            (&self.rejects, &lane.rejects),
            (&self.late, &lane.late),
            (&self.scored, &lane.scored),
            (&self.files, &lane.files),
            (&self.file_rows, &lane.file_rows),
        ] {
            for label in labelled.labels {
                let _ = family.remove_label_values(&[name, label]);
            }
        }
        open.remove(name);
        self.lanes.set(open.len() as i64);
    }
}

fn labelled(family: &IntCounterVec, lane: &str, labels: &'static [&'static str]) -> Labelled {
    let counters = labels.iter().map(|label| family.with_label_values(&[lane, label])).collect();
    Labelled { labels, counters }
}
