//! The lake's own state: lanes, commits, what was rejected and what came late.

use std::collections::BTreeMap;

use serde::Serialize;

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// The clock.
    pub now_us: i64,
    /// The end of the newest window in the lake.
    pub newest_window_us: Option<i64>,
    /// When anything was last committed.
    pub last_commit_us: Option<i64>,
    /// How far the slowest lane's watermark is behind the clock, seconds; `null` before the first watermark.
    pub watermark_delay_s: Option<f64>,
    /// Messages per second over the commits of the last minute, by the ledger.
    pub events_per_s: f64,
    /// Window rows per second over the same commits.
    pub rows_per_s: f64,
    /// Messages that were read, of the lake's whole life.
    pub messages: u64,
    /// Of these, those that could not be read.
    pub rejected: u64,
    /// Readings that came too late.
    pub late: u64,
    /// Window rows.
    pub rows: u64,
    /// Commits.
    pub commits: u64,
    /// Lanes.
    pub lanes: usize,
    /// Sensors that have a window.
    pub sensors: usize,
    /// Of these, those whose newest window is an anomaly.
    pub anomalous: usize,
    /// Of these, those whose newest window has no model.
    pub no_model: usize,
    /// Anomalous windows in the last hour of the lake's time.
    pub anomalies_last_hour: u64,
    /// Events that go on; 0 where none are written.
    pub open_events: usize,
    /// What this process measures; `null` where no pipeline runs.
    pub process: Option<ProcessRates>,
}

/// What the pipeline of this process says of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessRates {
    /// Lanes that it holds.
    pub lanes: u64,
    /// Messages that it has not read yet, by the newest end offsets.
    pub lag: u64,
    /// Messages that it has read since it began.
    pub messages: u64,
    /// Sensors without a model and without a fallback.
    pub models_missing: u64,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// `ok`, or why it is not ready.
    pub ready: String,
}

/// All lanes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lanes {
    /// By name.
    pub lanes: Vec<LaneRow>,
}

/// A lane at its newest record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaneRow {
    /// Its name.
    pub lane: String,
    /// The record's epoch.
    pub epoch: u64,
    /// Who wrote it.
    pub writer: String,
    /// When.
    pub committed_at_us: i64,
    /// The lane's watermark.
    pub watermark_us: Option<i64>,
    /// The next offset by partition, such as `sensors[0]`.
    pub positions: BTreeMap<String, i64>,
    /// Readings in open windows.
    pub open: u64,
    /// Of the lane's whole life.
    pub messages: u64,
    /// Of the lane's whole life.
    pub rejected: u64,
    /// Of the lane's whole life.
    pub late: u64,
    /// Of the lane's whole life.
    pub rows: u64,
    /// The model sets of the record.
    pub model_sets: Vec<u64>,
}

/// Commits of one lane, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Commits {
    /// The rows.
    pub rows: Vec<Commit>,
    /// What to ask for next, when there is more.
    pub next_before_epoch: Option<u64>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Commit {
    /// Its epoch.
    pub epoch: u64,
    /// `open` or `epoch`.
    pub kind: &'static str,
    /// Who wrote it.
    pub writer: String,
    /// When.
    pub committed_at_us: i64,
    /// The watermark after it.
    pub watermark_us: Option<i64>,
    /// What it consumed, such as `sensors[0] 100..250`.
    pub consumed: String,
    /// Messages of this epoch.
    pub messages: u64,
    /// Of these, rejects.
    pub rejected: u64,
    /// Late readings of this epoch.
    pub late: u64,
    /// Window rows of this epoch.
    pub rows: u64,
    /// Its data files: path and rows.
    pub files: Vec<(String, u64)>,
}

/// Messages that could not be read, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejects {
    /// The rows.
    pub rows: Vec<Reject>,
    /// How many there are by reason, in the part of the table that was looked at.
    pub reasons: BTreeMap<String, u64>,
}

/// A message that could not be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reject {
    /// Topic or file.
    pub input: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its arrival, when it was told.
    pub timestamp_us: Option<i64>,
    /// Why.
    pub reason: String,
    /// The bytes as base64, at most 4 KiB of them; `null` for a message without a payload.
    pub payload_base64: Option<String>,
    /// How many bytes there are in all.
    pub payload_bytes: u64,
}

/// Late readings as rows of texts: their columns are the pipeline's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LateRows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, newest commit first; `null` is a null.
    pub rows: Vec<Vec<Option<String>>>,
}
