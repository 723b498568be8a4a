//! What several objects of the lake are made of. A part that changes gets a new name beside the old one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegauge_flow::{Partition, Span};

use super::events::Parts;
use crate::digest::Digest;
use crate::record::{CheckpointRef, Counters, FileRef, Jump, JumpReason};
use crate::writer::Writer;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TableV1 {
    Predictions,
    Late,
    Rejects,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanV1 {
    pub input: String,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PositionV1 {
    pub input: String,
    pub partition: i32,
    pub next: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOf<T> {
    pub table: T,
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end_us: Option<(i64, i64)>,
}

pub(super) type FileV1 = FileOf<TableV1>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointV1 {
    pub epoch: u64,
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    pub positions: Vec<PositionV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputV2 {
    pub input: String,
    pub id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JumpV2 {
    pub input: String,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
    pub why: WhyV2,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WhyV2 {
    Retention,
    Recreated,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountersV2 {
    pub messages: u64,
    pub readable: u64,
    pub rejected: u64,
    pub aggregated: u64,
    pub late: u64,
    pub late_closed: u64,
    pub late_arrival: u64,
    pub late_out_of_order: u64,
    pub filtered: u64,
    pub duplicate: u64,
    pub rows: u64,
    pub n_readings: u64,
    pub superseded: u64,
    pub open: u64,
}

pub(super) fn span_out((partition, span): (&Partition, &Span)) -> SpanV1 {
    SpanV1 {
        input: partition.input.to_string(),
        partition: partition.number,
        from: span.from,
        to: span.to,
    }
}

pub(super) fn spans_in(spans: Vec<SpanV1>) -> Result<BTreeMap<Partition, Span>, String> {
    let mut positions = BTreeMap::new();
    for SpanV1 { input, partition, from, to } in spans {
        let partition = Partition::new(input, partition);
        if to < from {
            return Err(format!("{partition} goes back from {from} to {to}"));
        }
        if positions.insert(partition.clone(), Span { from, to }).is_some() {
            return Err(format!("{partition} has two positions"));
        }
    }
    Ok(positions)
}

pub(super) fn file_out<P: Parts>(file: &FileRef) -> FileOf<P::Table> {
    FileOf {
        table: P::table_out(file.table),
        path: file.path.clone(),
        rows: file.rows,
        bytes: file.bytes,
        sha256: file.sha256.to_string(),
        window_end_us: file.window_end_us,
    }
}

pub(super) fn file_in<P: Parts>(file: FileOf<P::Table>) -> Result<FileRef, String> {
    Ok(FileRef {
        table: P::table_in(&file.table),
        sha256: digest_in(&file.sha256)?,
        path: file.path,
        rows: file.rows,
        bytes: file.bytes,
        window_end_us: file.window_end_us,
    })
}

pub(super) fn positions_out(positions: &BTreeMap<Partition, i64>) -> Vec<PositionV1> {
    let wire = |(partition, next): (&Partition, &i64)| PositionV1 {
        input: partition.input.to_string(),
        partition: partition.number,
        next: *next,
    };
    positions.iter().map(wire).collect()
}

/// # Errors
/// A partition that is there twice.
pub(super) fn positions_in(wire: Vec<PositionV1>) -> Result<BTreeMap<Partition, i64>, Partition> {
    let mut positions = BTreeMap::new();
    for PositionV1 { input, partition, next } in wire {
        let partition = Partition::new(input, partition);
        if positions.insert(partition.clone(), next).is_some() {
            return Err(partition);
        }
    }
    Ok(positions)
}

pub(super) fn checkpoint_out(checkpoint: &CheckpointRef) -> CheckpointV1 {
    CheckpointV1 {
        epoch: checkpoint.epoch,
        path: checkpoint.path.clone(),
        bytes: checkpoint.bytes,
        sha256: checkpoint.sha256.to_string(),
        positions: positions_out(&checkpoint.positions),
    }
}

pub(super) fn checkpoint_in(checkpoint: CheckpointV1) -> Result<CheckpointRef, String> {
    let positions = positions_in(checkpoint.positions)
        .map_err(|partition| format!("{partition} has two positions in the checkpoint"))?;
    Ok(CheckpointRef {
        sha256: digest_in(&checkpoint.sha256)?,
        epoch: checkpoint.epoch,
        path: checkpoint.path,
        bytes: checkpoint.bytes,
        positions,
    })
}

pub(super) fn writer_in(text: &str) -> Result<Writer, String> {
    Writer::parse(text).ok_or_else(|| format!("{text:?} is no writer"))
}

pub(super) fn digest_in(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| format!("{text:?} is no sha256"))
}

pub(super) fn inputs_out(inputs: &BTreeMap<Arc<str>, String>) -> Vec<InputV2> {
    let wire =
        |(input, id): (&Arc<str>, &String)| InputV2 { input: input.to_string(), id: id.clone() };
    inputs.iter().map(wire).collect()
}

pub(super) fn inputs_in(wire: Vec<InputV2>) -> Result<BTreeMap<Arc<str>, String>, String> {
    let mut inputs = BTreeMap::new();
    for InputV2 { input, id } in wire {
        if inputs.insert(Arc::from(input.as_str()), id).is_some() {
            return Err(format!("input {input} has two identities"));
        }
    }
    Ok(inputs)
}

pub(super) fn jump_out(jump: &Jump) -> JumpV2 {
    JumpV2 {
        input: jump.partition.input.to_string(),
        partition: jump.partition.number,
        from: jump.from,
        to: jump.to,
        why: match jump.why {
            JumpReason::Retention => WhyV2::Retention,
            JumpReason::Recreated => WhyV2::Recreated,
        },
    }
}

pub(super) fn jump_in(wire: JumpV2) -> Jump {
    Jump {
        partition: Partition::new(wire.input, wire.partition),
        from: wire.from,
        to: wire.to,
        why: match wire.why {
            WhyV2::Retention => JumpReason::Retention,
            WhyV2::Recreated => JumpReason::Recreated,
        },
    }
}

pub(super) fn counters_out(c: &Counters) -> CountersV2 {
    CountersV2 {
        messages: c.messages,
        readable: c.readable,
        rejected: c.rejected,
        aggregated: c.aggregated,
        late: c.late,
        late_closed: c.late_closed,
        late_arrival: c.late_arrival,
        late_out_of_order: c.late_out_of_order,
        filtered: c.filtered,
        duplicate: c.duplicate,
        rows: c.rows,
        n_readings: c.n_readings,
        superseded: c.superseded,
        open: c.open,
    }
}

pub(super) fn counters_in(c: &CountersV2) -> Counters {
    Counters {
        messages: c.messages,
        readable: c.readable,
        rejected: c.rejected,
        aggregated: c.aggregated,
        late: c.late,
        late_closed: c.late_closed,
        late_arrival: c.late_arrival,
        late_out_of_order: c.late_out_of_order,
        filtered: c.filtered,
        duplicate: c.duplicate,
        rows: c.rows,
        n_readings: c.n_readings,
        superseded: c.superseded,
        events: 0,
        open: c.open,
    }
}
