//! `_tidegauge/ledger/<lane>/<epoch>.json`, format 3; a record without anomaly events is written in format 2,
//! which differs in nothing else.

use serde::{Deserialize, Serialize};

use super::events::{Parts, WithEvents, WithoutEvents};
use super::parts::{
    CheckpointV1, CountersV2, FileOf, InputV2, JumpV2, SpanV1, TableV1, checkpoint_in,
    checkpoint_out, digest_in, file_in, file_out, inputs_in, inputs_out, jump_in, jump_out,
    span_out, spans_in, writer_in,
};
use super::{FORMAT, Frame, Opened};
use crate::error::LakeError;
use crate::record::{ClosedBy, IdleMove, Kind, Record, Table};

mod v1;

/// The format of records without anomaly events.
const WITHOUT_EVENTS: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordOf<T, C> {
    format: u32,
    kind: KindV1,
    generation: u64,
    lane: String,
    epoch: u64,
    writer: String,
    previous: Option<String>,
    recovered: u64,
    inputs: Vec<InputV2>,
    jumps: Vec<JumpV2>,
    positions: Vec<SpanV1>,
    watermark_ns: Option<i64>,
    idle_moves: Vec<IdleMoveV1>,
    closed_by: Option<ClosedByV1>,
    files: Vec<FileOf<T>>,
    checkpoint: Option<CheckpointV1>,
    model_sets: Vec<u64>,
    counters: C,
    committed_at_us: i64,
}

type RecordV2 = RecordOf<TableV1, CountersV2>;

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
#[serde(deny_unknown_fields)]
struct IdleMoveV1 {
    from_ns: i64,
    to_ns: i64,
}

pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let of_events = record.files.iter().any(|file| file.table == Table::Events);
    match of_events || record.counters.events > 0 {
        true => super::seal(&wire::<WithEvents>(record, FORMAT)),
        false => super::seal(&wire::<WithoutEvents>(record, WITHOUT_EVENTS)),
    }
}

fn wire<P: Parts>(record: &Record, format: u32) -> RecordOf<P::Table, P::Counters> {
    let moves = record.idle_moves.iter();
    RecordOf {
        format,
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
        inputs: inputs_out(&record.inputs),
        jumps: record.jumps.iter().map(jump_out).collect(),
        positions: record.positions.iter().map(span_out).collect(),
        watermark_ns: record.watermark_ns,
        idle_moves: moves.map(|m| IdleMoveV1 { from_ns: m.from_ns, to_ns: m.to_ns }).collect(),
        closed_by: record.closed_by.map(|ClosedBy::Drain| ClosedByV1::Drain),
        files: record.files.iter().map(file_out::<P>).collect(),
        checkpoint: record.checkpoint.as_ref().map(checkpoint_out),
        model_sets: record.model_sets.clone(),
        counters: P::counters_out(&record.counters),
        committed_at_us: record.committed_at_us,
    }
}

pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Opened<Record>, LakeError> {
    let frame = Frame::read(path, bytes)?;
    let (record, intact) = match frame.format {
        1 => {
            let Opened { value, intact } = frame.open::<v1::RecordV1>()?;
            (convert::<WithoutEvents>(value.into()), intact)
        }
        2 => {
            let Opened { value, intact } = frame.open()?;
            (convert::<WithoutEvents>(value), intact)
        }
        3 => {
            let Opened { value, intact } = frame.open()?;
            (convert::<WithEvents>(value), intact)
        }
        _ => return Err(frame.unknown(FORMAT)),
    };
    let record = record.map_err(|what| LakeError::damaged(path, what))?;
    Ok(Opened { value: record, intact })
}

fn convert<P: Parts>(value: RecordOf<P::Table, P::Counters>) -> Result<Record, String> {
    let moves = value.idle_moves.iter();
    Ok(Record {
        generation: value.generation,
        lane: value.lane,
        epoch: value.epoch,
        kind: match value.kind {
            KindV1::Open => Kind::Open,
            KindV1::Epoch => Kind::Epoch,
        },
        writer: writer_in(&value.writer)?,
        previous: value.previous.as_deref().map(digest_in).transpose()?,
        recovered: value.recovered,
        inputs: inputs_in(value.inputs)?,
        jumps: value.jumps.into_iter().map(jump_in).collect(),
        positions: spans_in(value.positions)?,
        watermark_ns: value.watermark_ns,
        idle_moves: moves.map(|m| IdleMove { from_ns: m.from_ns, to_ns: m.to_ns }).collect(),
        closed_by: value.closed_by.map(|ClosedByV1::Drain| ClosedBy::Drain),
        files: value.files.into_iter().map(file_in::<P>).collect::<Result<_, _>>()?,
        checkpoint: value.checkpoint.map(checkpoint_in).transpose()?,
        model_sets: value.model_sets,
        counters: P::counters_in(&value.counters),
        committed_at_us: value.committed_at_us,
    })
}

#[cfg(test)]
mod tests;
