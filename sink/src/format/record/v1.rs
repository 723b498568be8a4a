//! Records of format 1: read, never written any more.
//!
//! Format 1 knew one reason for being late (the window had closed), no jumps, no identities of
//! inputs and no revisions.

use serde::Deserialize;

use super::{ClosedByV1, IdleMoveV1, KindV1, RecordV2};
use crate::format::parts::{CheckpointV1, CountersV2, FileV1, SpanV1};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordV1 {
    format: u32,
    kind: KindV1,
    generation: u64,
    lane: String,
    epoch: u64,
    writer: String,
    previous: Option<String>,
    recovered: u64,
    positions: Vec<SpanV1>,
    watermark_ns: Option<i64>,
    idle_moves: Vec<IdleMoveV1>,
    closed_by: Option<ClosedByV1>,
    files: Vec<FileV1>,
    checkpoint: Option<CheckpointV1>,
    model_sets: Vec<u64>,
    counters: CountersV1,
    committed_at_us: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountersV1 {
    messages: u64,
    readable: u64,
    rejected: u64,
    aggregated: u64,
    late: u64,
    filtered: u64,
    rows: u64,
    n_readings: u64,
    open: u64,
}

impl From<RecordV1> for RecordV2 {
    fn from(v1: RecordV1) -> Self {
        let c = v1.counters;
        Self {
            format: v1.format,
            kind: v1.kind,
            generation: v1.generation,
            lane: v1.lane,
            epoch: v1.epoch,
            writer: v1.writer,
            previous: v1.previous,
            recovered: v1.recovered,
            inputs: Vec::new(),
            jumps: Vec::new(),
            positions: v1.positions,
            watermark_ns: v1.watermark_ns,
            idle_moves: v1.idle_moves,
            closed_by: v1.closed_by,
            files: v1.files,
            checkpoint: v1.checkpoint,
            model_sets: v1.model_sets,
            counters: CountersV2 {
                messages: c.messages,
                readable: c.readable,
                rejected: c.rejected,
                aggregated: c.aggregated,
                late: c.late,
                late_closed: c.late,
                late_arrival: 0,
                late_out_of_order: 0,
                filtered: c.filtered,
                duplicate: 0,
                rows: c.rows,
                n_readings: c.n_readings,
                superseded: 0,
                open: c.open,
            },
            committed_at_us: v1.committed_at_us,
        }
    }
}
