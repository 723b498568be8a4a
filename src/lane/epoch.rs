//! The running epoch of a lane: all that the next commit will hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegauge_aggregate::{Closing, IdleMove, LateReason, Pushed};
use tidegauge_flow::{Partition, ReadingSchema, Span, WindowRows};
use tidegauge_ingest::Rejects;
use tidegauge_sink::{ClosedBy, Counters, Cut, Jump, Table};

/// Predictions that make a lane of few sensors commit before its interval is over.
const ROWS_MAX: u64 = 50_000;
/// Windows of all sensors that do the same: a checkpoint is as large as one, and is written each time.
const WINDOWS_MAX: u64 = 2;
/// The same of input that ends, whose readers want few and large files.
const ROWS_MAX_OF_A_BATCH: u64 = 2_000_000;
/// Late readings that do the same.
pub(super) const LATE_MAX: u64 = 1_000_000;
/// Bytes of rejected payloads that do the same.
pub(super) const REJECT_BYTES_MAX: usize = 64 << 20;

/// A reject without its payload, about.
const REJECT_BYTES: usize = 128;

/// Predictions that make a lane of so many sensors commit before its interval is over: bounds the memory of
/// an epoch.
pub(super) fn rows_max(closing: Closing, sensors: usize) -> u64 {
    match closing {
        Closing::ByWatermark => ROWS_MAX.max(WINDOWS_MAX * sensors as u64),
        Closing::AtEnd => ROWS_MAX_OF_A_BATCH,
    }
}

#[derive(Default)]
pub(super) struct Epoch {
    counters: Counters,
    predictions: Vec<RecordBatch>,
    late: Vec<RecordBatch>,
    events: Vec<RecordBatch>,
    pub rejects: Rejects,
    idle_moves: Vec<IdleMove>,
    jumps: Vec<Jump>,
    pub closed_by: Option<ClosedBy>,
    pub anomalies: u64,
    /// The model sets of a trial.
    pub tried_sets: Vec<u64>,
    /// What rows and late readings hold.
    bytes: usize,
}

/// What the lane adds to the epoch at the cut.
pub(super) struct State {
    pub spans: Vec<(Partition, Span)>,
    pub inputs: BTreeMap<Arc<str>, String>,
    pub watermark_ns: Option<i64>,
    pub model_sets: Vec<u64>,
    /// Readings in open windows.
    pub open: u64,
}

impl Epoch {
    pub fn is_empty(&self) -> bool {
        self.counters == Counters::default()
            && self.idle_moves.is_empty()
            && self.jumps.is_empty()
            && self.closed_by.is_none()
    }

    pub fn rows(&self) -> u64 {
        self.counters.rows
    }

    pub fn late_rows(&self) -> u64 {
        self.counters.late
    }

    /// What it holds in memory, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.rejects.bytes() + self.rejects.len() * REJECT_BYTES
    }

    /// Late readings that are kept.
    pub fn keep_late(&mut self, batch: RecordBatch) {
        self.bytes += batch.get_array_memory_size();
        self.late.push(batch);
    }

    /// Notes a move of the watermark by silence; one that goes on from the last is the same move.
    pub fn moved(&mut self, moved: IdleMove) {
        match self.idle_moves.last_mut() {
            Some(last) if last.to_ns == moved.from_ns => last.to_ns = moved.to_ns,
            _ => self.idle_moves.push(moved),
        }
    }

    /// Notes that a position moved without reading.
    pub fn jumped(&mut self, jump: Jump) {
        self.jumps.push(jump);
    }

    pub fn read(&mut self, messages: u64, readable: u64) {
        self.counters.messages += messages;
        self.counters.readable += readable;
        self.counters.rejected += messages - readable;
    }

    pub fn pushed(&mut self, pushed: &Pushed) {
        self.counters.late += pushed.late.len() as u64;
        for (_, reason) in &pushed.late {
            *match reason {
                LateReason::WindowClosed => &mut self.counters.late_closed,
                LateReason::Arrival => &mut self.counters.late_arrival,
                LateReason::OutOfOrder => &mut self.counters.late_out_of_order,
            } += 1;
        }
        self.counters.filtered += pushed.filtered;
        self.counters.duplicate += pushed.duplicate;
        self.counters.aggregated += pushed.aggregated;
    }

    pub fn scored(&mut self, batch: RecordBatch, rows: &WindowRows, anomalies: u64) {
        self.anomalies += anomalies;
        self.closed(rows);
        self.keep_predictions(batch);
    }

    /// Counts closed windows.
    pub fn closed(&mut self, rows: &WindowRows) {
        self.counters.rows += rows.len() as u64;
        self.counters.n_readings += rows.n_readings.iter().sum::<u64>();
        self.counters.superseded += rows.superseded;
    }

    /// Predictions of windows that are counted.
    pub fn keep_predictions(&mut self, batch: RecordBatch) {
        self.bytes += batch.get_array_memory_size();
        self.predictions.push(batch);
    }

    /// Anomaly events that opened or closed.
    pub fn keep_events(&mut self, batch: RecordBatch) {
        self.counters.events += batch.num_rows() as u64;
        self.bytes += batch.get_array_memory_size();
        self.events.push(batch);
    }

    /// The cut that the ledger commits, but for the checkpoint.
    pub fn cut(mut self, state: State) -> Result<Cut> {
        self.counters.open = state.open;
        let rejects: Vec<RecordBatch> = self.rejects.take()?.into_iter().collect();
        let moves = self
            .idle_moves
            .iter()
            .map(|m| tidegauge_sink::IdleMove { from_ns: m.from_ns, to_ns: m.to_ns });
        Ok(Cut {
            inputs: state.inputs,
            jumps: self.jumps,
            spans: state.spans,
            watermark_ns: state.watermark_ns,
            idle_moves: moves.collect(),
            closed_by: self.closed_by,
            tables: vec![
                (Table::Predictions, self.predictions),
                (Table::Late, self.late),
                (Table::Rejects, rejects),
                (Table::Events, self.events),
            ],
            checkpoint: None,
            model_sets: state.model_sets,
            counters: self.counters,
        })
    }
}

/// The columns of the table `late`: the reading's own, then where it came from and why it is late.
pub fn late_schema(readings: &ReadingSchema) -> SchemaRef {
    let mut fields: Vec<Field> =
        readings.arrow().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("input", DataType::Utf8, false));
    fields.push(Field::new("partition", DataType::Int32, false));
    fields.push(Field::new("offset", DataType::Int64, false));
    // Files of lakes before format 2 have none.
    fields.push(Field::new("reason", DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

/// Late readings of one partition as a batch of [`late_schema`]; `columns` are the readings' own.
pub(super) fn late_batch(
    schema: &SchemaRef,
    mut columns: Vec<ArrayRef>,
    offsets: ArrayRef,
    partition: &Partition,
    late: &[(u32, LateReason)],
) -> Result<RecordBatch> {
    let rows = offsets.len();
    let inputs = StringArray::from_iter_values(std::iter::repeat_n(partition.input.as_ref(), rows));
    columns.push(Arc::new(inputs));
    columns.push(Arc::new(Int32Array::from_value(partition.number, rows)));
    columns.push(offsets);
    let reasons = late.iter().map(|(_, reason)| reason.as_str());
    columns.push(Arc::new(StringArray::from_iter_values(reasons)));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
