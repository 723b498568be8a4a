//! A part of a pane as columns: `sensor`, `readings`, then the aggregates' states.
//!
//! It is what a checkpoint and a spilled file hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::datatypes::{Field, Schema, UInt32Type, UInt64Type};
use tidegauge_flow::SensorId;

use crate::error::AggregateError;

/// Bytes of a column. One that was read from a checkpoint shares its buffer with its neighbours: only its
/// own part counts.
pub(crate) fn column_bytes(column: &ArrayRef) -> usize {
    let data = column.to_data();
    data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

/// Columns before the states.
const BEFORE: usize = 2;

/// A part of these groups. `state` has, per aggregate, its columns with one row per group.
pub(crate) fn batch(
    sensors: &[SensorId],
    readings: &[u64],
    state: &[Vec<ArrayRef>],
) -> Result<RecordBatch, AggregateError> {
    let sensors: ArrayRef = Arc::new(UInt32Array::from(sensors.to_vec()));
    let readings: ArrayRef = Arc::new(UInt64Array::from(readings.to_vec()));
    let mut columns = vec![("sensor".to_string(), sensors), ("readings".to_string(), readings)];
    for (index, column) in state.iter().flatten().enumerate() {
        columns.push((format!("state_{index}"), column.clone()));
    }
    let fields = columns.iter().map(|(name, c)| Field::new(name, c.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.into_iter().map(|(_, c)| c).collect())?)
}

/// What is wrong with a batch that should be a part; `None` when nothing is.
pub(crate) fn problem(batch: &RecordBatch, state_columns: usize, sensors: usize) -> Option<String> {
    if batch.num_columns() != BEFORE + state_columns {
        return Some("a window has another number of columns than its header says".into());
    }
    let ids = batch.column(0).as_primitive_opt::<UInt32Type>();
    let (Some(ids), Some(_)) = (ids, batch.column(1).as_primitive_opt::<UInt64Type>()) else {
        return Some("a window's sensors or counts have another type".into());
    };
    if ids.null_count() > 0 || batch.column(1).null_count() > 0 {
        return Some("a window's sensors or counts have nulls".into());
    }
    if ids.values().iter().any(|&id| id as usize >= sensors) {
        return Some("a window names a sensor that it does not hold".into());
    }
    None
}

/// The sensors of a part.
pub(crate) fn sensors(part: &RecordBatch) -> &[SensorId] {
    part.column(0).as_primitive::<UInt32Type>().values()
}

/// The readings per group of a part.
pub(crate) fn readings(part: &RecordBatch) -> &[u64] {
    part.column(1).as_primitive::<UInt64Type>().values()
}

/// The states of a part, per aggregate; `columns` says how many each has.
pub(crate) fn state<'a>(
    part: &'a RecordBatch,
    columns: &'a [usize],
) -> impl Iterator<Item = &'a [ArrayRef]> {
    let mut rest = &part.columns()[BEFORE..];
    columns.iter().map(move |&n| {
        let (state, after) = rest.split_at(n);
        rest = after;
        state
    })
}

/// The part ordered by sensor.
pub(crate) fn sorted(part: RecordBatch) -> Result<RecordBatch, AggregateError> {
    if sensors(&part).is_sorted() {
        return Ok(part);
    }
    let order = sort_to_indices(part.column(0), None, None)?;
    Ok(take_record_batch(&part, &order)?)
}

/// The rows of these sensors; both are ordered. `None` when it has none of them.
pub(crate) fn select(
    part: &RecordBatch,
    wanted: &[SensorId],
) -> Result<Option<RecordBatch>, AggregateError> {
    let has = sensors(part);
    let found = wanted.iter().filter_map(|sensor| has.binary_search(sensor).ok());
    let rows: UInt32Array = found.map(|row| row as u32).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(take_record_batch(part, &rows)?))
}
