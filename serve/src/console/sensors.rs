//! Sensors, their windows, their anomalies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

/// A column of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// `int64` or `string`.
    pub kind: &'static str,
}

/// One part of a sensor's key: a number or a text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyValue {
    /// Of an `int64` column. In a URL a number may stand for a text column too: the console knows the types.
    #[serde(serialize_with = "exact")]
    Int(i64),
    /// Of a `string` column.
    Text(String),
}

/// A number that a browser would round is a text; in questions both are taken.
fn exact<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    match value.unsigned_abs() <= 1 << 53 {
        true => serializer.serialize_i64(*value),
        false => serializer.collect_str(value),
    }
}

/// Which sensors, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorsQuery {
    /// Keys that hold this text, case not regarded; parts of a key are joined by `/`. Empty: all.
    pub search: String,
    /// Only those whose newest window is an anomaly.
    pub only_anomalous: bool,
    /// What they are sorted by; those without it come last.
    pub sort: SensorSort,
    /// Which way.
    pub order: Order,
    /// How many are passed over.
    pub offset: usize,
    /// How many are wanted.
    pub limit: usize,
}

/// What sensors are sorted by. Ties are sorted by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorSort {
    /// Of the newest window: how unlikely it is; without one, by `score - threshold`.
    Severity,
    /// Of the newest window.
    Score,
    /// The newest window's end.
    WindowEnd,
    /// Anomalous windows in the last hour of the lake's time.
    Anomalies,
    /// The key.
    Key,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

/// A page of sensors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensors {
    /// All that there are.
    pub total: usize,
    /// Those that the search holds for.
    pub matching: usize,
    /// The newest window's end that is known.
    pub as_of_us: Option<i64>,
    /// The page.
    pub rows: Vec<SensorRow>,
}

/// A sensor and its newest window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SensorRow {
    /// The parts of its key.
    pub key: Vec<KeyValue>,
    /// The window's end.
    pub window_end_us: i64,
    /// How anomalous.
    pub score: Option<f64>,
    /// From which score on it is an anomaly.
    pub threshold: Option<f64>,
    /// -log10 of the chance of so high a score.
    pub severity: Option<f64>,
    /// `null` when it was not scored.
    pub is_anomaly: Option<bool>,
    /// `ok`, `fallback`, `no_model`, …
    pub status: String,
    /// Anomalous windows in the last hour of the lake's time.
    pub anomalies: u32,
}

/// One sensor's page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensor {
    /// The parts of its key.
    pub key: Vec<KeyValue>,
    /// The range that is shown, ends included.
    pub from_us: i64,
    /// The range's end.
    pub to_us: i64,
    /// When several windows are taken together: how much time each point stands for.
    pub step_us: Option<i64>,
    /// Windows in the range, before any were taken together.
    pub windows: u64,
    /// The points.
    pub history: SensorHistory,
    /// The anomalies in the range with their reasons, newest first, at most 200.
    pub anomalies: Vec<Anomaly>,
    /// Events that touch the range.
    pub events: Vec<EventRow>,
    /// The model in force, if there is one.
    pub model: Option<ModelSummary>,
}

/// Points as columns of equal length, by rising time: what a chart takes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SensorHistory {
    /// The windows' ends.
    pub window_end_us: Vec<i64>,
    /// The query's columns; a mean where windows are taken together.
    pub features: BTreeMap<String, Vec<Option<f64>>>,
    /// The highest where windows are taken together.
    pub score: Vec<Option<f64>>,
    /// The last one's.
    pub threshold: Vec<Option<f64>>,
    /// The highest.
    pub severity: Vec<Option<f64>>,
    /// Whether any is.
    pub is_anomaly: Vec<Option<bool>>,
    /// The highest; empty in a lake without the onset view.
    pub novelty: Vec<Option<f64>>,
    /// Whether any is; empty in a lake without the onset view.
    pub alarm: Vec<Option<bool>>,
}

/// An anomalous window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// The parts of its sensor's key.
    pub key: Vec<KeyValue>,
    /// Its start.
    pub window_start_us: i64,
    /// Its end.
    pub window_end_us: i64,
    /// How anomalous.
    pub score: Option<f64>,
    /// From which score on.
    pub threshold: Option<f64>,
    /// -log10 of the chance of so high a score.
    pub severity: Option<f64>,
    /// The features that moved the score most, largest first.
    pub reason: Vec<Reason>,
    /// `ok` or `fallback`.
    pub status: String,
    /// The set of its model.
    pub model_set: Option<u64>,
    /// Whether the onset view raised an alarm.
    pub alarm: bool,
    /// Which revision of its window it is.
    pub revision: u32,
}

/// A feature and its value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// The feature's name.
    pub feature: String,
    /// Its value in that window, when it is a column of the query.
    pub value: Option<f64>,
}

/// Anomalous windows, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomalies {
    /// The rows.
    pub rows: Vec<Anomaly>,
    /// What to ask for next, when there is more.
    pub next_before_us: Option<i64>,
}

/// Whether an event goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// It goes on.
    Open,
    /// Its sensor was quiet for long enough.
    Closed,
}

/// A debounced anomaly event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    /// Its id, which never changes.
    pub id: String,
    /// The parts of its sensor's key.
    pub key: Vec<KeyValue>,
    /// Whether it goes on.
    pub state: EventState,
    /// The start of its first anomalous window.
    pub start_us: i64,
    /// The end of its last anomalous window.
    pub end_us: i64,
    /// The highest severity.
    pub peak_severity: Option<f64>,
    /// The highest score.
    pub peak_score: Option<f64>,
    /// When that was.
    pub peak_us: i64,
    /// The names of the features of the worst window, largest share first.
    pub reason: Vec<String>,
    /// Anomalous windows in it.
    pub windows: u64,
}

/// Events, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Events {
    /// The rows.
    pub rows: Vec<EventRow>,
    /// What to ask for next, when there is more.
    pub next_before_us: Option<i64>,
}

/// What a sensor is judged by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSummary {
    /// The set that holds it.
    pub set: u64,
    /// `one_class_svm`, `gaussian`, …
    pub kind: String,
    /// What it looks at.
    pub features: Vec<String>,
    /// From which score on a window is an anomaly.
    pub threshold: f64,
    /// The windows that it was trained on: from.
    pub trained_from_us: Option<i64>,
    /// To.
    pub trained_to_us: Option<i64>,
    /// How many.
    pub trained_rows: Option<u64>,
    /// Share of held-out normal windows that it flags.
    pub false_alarm_rate: Option<f64>,
    /// Whether it is a group's model.
    pub fallback: bool,
}
