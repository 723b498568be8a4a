//! The header of a checkpoint as it is written, and those of older versions as they were.

use serde::{Deserialize, Serialize};

use crate::watermark::PartitionClock;
use crate::windows::run::{Place, Run};

/// Version 2.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub plan: String,
    pub datafusion: String,
    pub partitions: Vec<PartitionHeader>,
    /// The lane's watermark, nanoseconds.
    pub watermark: Option<i64>,
    pub closed_before: Option<i64>,
    /// Windows that ended before are not held any more.
    pub given_up_before: Option<i64>,
    /// The newest time of each sensor is saved.
    pub sensor_clocks: bool,
    pub panes: Vec<PaneHeader>,
    /// Ends of the panes whose events' ids are saved.
    pub ids: Vec<i64>,
    /// Ends of the closed windows that had late readings.
    pub held: Vec<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionHeader {
    pub number: i32,
    /// Largest event time seen, nanoseconds.
    pub newest: Option<i64>,
}

impl PartitionHeader {
    pub(super) fn of(clock: &PartitionClock) -> Self {
        Self { number: clock.number, newest: clock.newest }
    }
}

/// One pane.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaneHeader {
    pub end: i64,
    /// Per aggregate, how many state columns it has.
    pub state_columns: Vec<usize>,
    /// It has groups beside its runs.
    #[serde(default = "always")]
    pub groups: bool,
    #[serde(default)]
    pub runs: Vec<RunHeader>,
}

/// Version 1 knew no panes without groups.
fn always() -> bool {
    true
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunHeader {
    pub groups: usize,
    pub readings: u64,
    /// It was in a file.
    pub spilled: bool,
}

impl RunHeader {
    pub(super) fn of(run: &Run) -> Self {
        let spilled = matches!(run.place(), Place::Spilled(_));
        Self { groups: run.groups(), readings: run.readings(), spilled }
    }
}

/// Version 1: partitions had no numbers, and a lane had one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderV1 {
    plan: String,
    datafusion: String,
    watermark: WatermarkV1,
    closed_before: Option<i64>,
    panes: Vec<PaneHeader>,
    #[serde(default)]
    ids: Vec<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatermarkV1 {
    #[serde(rename = "out_of_order_ns")]
    _out_of_order_ns: i64,
    newest: Vec<Option<i64>>,
    lane: Option<i64>,
}

impl From<HeaderV1> for Header {
    fn from(old: HeaderV1) -> Self {
        let numbered = (0..).zip(old.watermark.newest);
        Self {
            plan: old.plan,
            datafusion: old.datafusion,
            partitions: numbered
                .map(|(number, newest)| PartitionHeader { number, newest })
                .collect(),
            watermark: old.watermark.lane,
            closed_before: old.closed_before,
            given_up_before: old.closed_before,
            sensor_clocks: false,
            panes: old.panes,
            ids: old.ids,
            held: Vec::new(),
        }
    }
}
