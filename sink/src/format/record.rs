//! `_tidegauge/ledger/<lane>/<epoch>.json`, format 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegauge_flow::{Partition, Span};

use super::{FORMAT, Opened};
use crate::digest::Digest;
use crate::error::LakeError;
use crate::record::{CheckpointRef, ClosedBy, Counters, FileRef, IdleMove, Kind, Record, Table};
use crate::writer::Writer;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordV1 {
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindV1 {
    Open,
    Epoch,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClosedByV1 {
    Drain,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TableV1 {
    Predictions,
    Late,
    Rejects,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanV1 {
    input: String,
    partition: i32,
    from: i64,
    to: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionV1 {
    input: String,
    partition: i32,
    next: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdleMoveV1 {
    from_ns: i64,
    to_ns: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileV1 {
    table: TableV1,
    path: String,
    rows: u64,
    bytes: u64,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window_end_us: Option<(i64, i64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointV1 {
    epoch: u64,
    path: String,
    bytes: u64,
    sha256: String,
    positions: Vec<PositionV1>,
}

#[derive(Serialize, Deserialize)]
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

pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let moves = record.idle_moves.iter();
    super::seal(&RecordV1 {
        format: FORMAT,
        kind: match record.kind {
            Kind::Open => KindV1::Open,
            Kind::Epoch => KindV1::Epoch,
        },
        generation: record.generation,
        lane: record.lane.clone(),
        epoch: record.epoch,
        writer: record.writer.to_string(),
        previous: record.previous.map(|digest| digest.to_string()),
        recovered: record.recovered,
        positions: record.positions.iter().map(span_out).collect(),
        watermark_ns: record.watermark_ns,
        idle_moves: moves.map(|m| IdleMoveV1 { from_ns: m.from_ns, to_ns: m.to_ns }).collect(),
        closed_by: record.closed_by.map(|ClosedBy::Drain| ClosedByV1::Drain),
        files: record.files.iter().map(file_out).collect(),
        checkpoint: record.checkpoint.as_ref().map(checkpoint_out),
        model_sets: record.model_sets.clone(),
        counters: counters_out(&record.counters),
        committed_at_us: record.committed_at_us,
    })
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Record>, LakeError> {
    let Opened { value, intact } = super::open::<RecordV1>(path, bytes)?;
    let record = convert(value).map_err(|what| LakeError::damaged(path, what))?;
    Ok(Opened { value: record, intact })
}

fn convert(value: RecordV1) -> Result<Record, String> {
    let moves = value.idle_moves.iter();
    Ok(Record {
        generation: value.generation,
        lane: value.lane,
        epoch: value.epoch,
        kind: match value.kind {
            KindV1::Open => Kind::Open,
            KindV1::Epoch => Kind::Epoch,
        },
        writer: Writer::parse(&value.writer)
            .ok_or_else(|| format!("{:?} is no writer", value.writer))?,
        previous: value.previous.as_deref().map(digest_in).transpose()?,
        recovered: value.recovered,
        positions: spans_in(value.positions)?,
        watermark_ns: value.watermark_ns,
        idle_moves: moves.map(|m| IdleMove { from_ns: m.from_ns, to_ns: m.to_ns }).collect(),
        closed_by: value.closed_by.map(|ClosedByV1::Drain| ClosedBy::Drain),
        files: value.files.into_iter().map(file_in).collect::<Result<_, _>>()?,
        checkpoint: value.checkpoint.map(checkpoint_in).transpose()?,
        model_sets: value.model_sets,
        counters: counters_in(&value.counters),
        committed_at_us: value.committed_at_us,
    })
}

fn span_out((partition, span): (&Partition, &Span)) -> SpanV1 {
    SpanV1 {
        input: partition.input.to_string(),
        partition: partition.number,
        from: span.from,
        to: span.to,
    }
}

fn spans_in(spans: Vec<SpanV1>) -> Result<BTreeMap<Partition, Span>, String> {
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

fn file_out(file: &FileRef) -> FileV1 {
    FileV1 {
        table: match file.table {
            Table::Predictions => TableV1::Predictions,
            Table::Late => TableV1::Late,
            Table::Rejects => TableV1::Rejects,
        },
        path: file.path.clone(),
        rows: file.rows,
        bytes: file.bytes,
        sha256: file.sha256.to_string(),
        window_end_us: file.window_end_us,
    }
}

fn file_in(file: FileV1) -> Result<FileRef, String> {
    Ok(FileRef {
        table: match file.table {
            TableV1::Predictions => Table::Predictions,
            TableV1::Late => Table::Late,
            TableV1::Rejects => Table::Rejects,
        },
        sha256: digest_in(&file.sha256)?,
        path: file.path,
        rows: file.rows,
        bytes: file.bytes,
        window_end_us: file.window_end_us,
    })
}

fn checkpoint_out(checkpoint: &CheckpointRef) -> CheckpointV1 {
    let position = |(partition, next): (&Partition, &i64)| PositionV1 {
        input: partition.input.to_string(),
        partition: partition.number,
        next: *next,
    };
    CheckpointV1 {
        epoch: checkpoint.epoch,
        path: checkpoint.path.clone(),
        bytes: checkpoint.bytes,
        sha256: checkpoint.sha256.to_string(),
        positions: checkpoint.positions.iter().map(position).collect(),
    }
}

fn checkpoint_in(checkpoint: CheckpointV1) -> Result<CheckpointRef, String> {
    let mut positions = BTreeMap::new();
    for PositionV1 { input, partition, next } in checkpoint.positions {
        let partition = Partition::new(input, partition);
        if positions.insert(partition.clone(), next).is_some() {
            return Err(format!("{partition} has two positions in the checkpoint"));
        }
    }
    Ok(CheckpointRef {
        sha256: digest_in(&checkpoint.sha256)?,
        epoch: checkpoint.epoch,
        path: checkpoint.path,
        bytes: checkpoint.bytes,
        positions,
    })
}

fn digest_in(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| format!("{text:?} is no sha256"))
}

fn counters_out(c: &Counters) -> CountersV1 {
    let Counters { messages, readable, rejected, aggregated, late, filtered, .. } = *c;
    let Counters { rows, n_readings, open, .. } = *c;
    let (m, r) = (messages, readable);
    CountersV1 {
        messages: m,
        readable: r,
        rejected,
        aggregated,
        late,
        filtered,
        rows,
        n_readings,
        open,
    }
}

fn counters_in(c: &CountersV1) -> Counters {
    let CountersV1 { messages, readable, rejected, aggregated, late, filtered, .. } = *c;
    let CountersV1 { rows, n_readings, open, .. } = *c;
    Counters { messages, readable, rejected, aggregated, late, filtered, rows, n_readings, open }
}

#[cfg(test)]
mod tests;
