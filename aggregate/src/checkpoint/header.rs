//! The header of a checkpoint as it is written, and those of older versions as they were.

use serde::{Deserialize, Serialize};

use crate::watermark::PartitionClock;

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
    pub panes: Vec<PaneHeader>,
    /// Ends of the open panes whose events' ids are saved too, in sections after those of the panes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<i64>,
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

/// One open pane.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaneHeader {
    pub end: i64,
    /// Per aggregate, how many state columns it has.
    pub state_columns: Vec<usize>,
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
            panes: old.panes,
            ids: old.ids,
        }
    }
}
