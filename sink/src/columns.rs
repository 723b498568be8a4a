//! The columns of predictions and events that the lake itself reads, when it writes them and when it proves
//! them.

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType, UInt64Type};
use tidegauge_flow::names;

/// The ends of the windows, without nulls.
pub(crate) fn window_ends(batch: &RecordBatch) -> Result<&TimestampMicrosecondArray, String> {
    let column = batch.column_by_name(names::WINDOW_END);
    let ends = column.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    ends.filter(|ends| ends.null_count() == 0)
        .ok_or_else(|| "predictions have no window_end in microseconds without nulls".to_owned())
}

/// The revisions, without nulls.
pub(crate) fn revisions(batch: &RecordBatch) -> Result<Int64Array, String> {
    let revisions = whole(batch, names::REVISION, &DataType::Int64)?;
    Ok(revisions.as_primitive::<Int64Type>().clone())
}

/// The sum of `n_readings`, which has no nulls.
pub(crate) fn n_readings(batch: &RecordBatch) -> Result<u128, String> {
    let counts = whole(batch, names::N_READINGS, &DataType::UInt64)?;
    let counts = counts.as_primitive::<UInt64Type>();
    Ok(counts.values().iter().map(|&count| u128::from(count)).sum())
}

/// Whose event each row tells of, and whether it says that it closed.
///
/// # Errors
/// When a row has no id, or a state that is none.
pub(crate) fn event_states(batch: &RecordBatch) -> Result<(StringArray, Vec<bool>), String> {
    let ids = whole(batch, names::EVENT_ID, &DataType::Utf8)?.as_string::<i32>().clone();
    let states = whole(batch, names::EVENT_STATE, &DataType::Utf8)?;
    let closed = |state: Option<&str>| match state.unwrap_or_default() {
        names::EVENT_OPEN => Ok(false),
        names::EVENT_CLOSED => Ok(true),
        other => Err(format!("an event's state is {other:?}")),
    };
    Ok((ids, states.as_string::<i32>().iter().map(closed).collect::<Result<_, _>>()?))
}

/// A column as `kind`, refused when it has nulls, before or after (a number that does not fit).
pub(crate) fn whole(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("column {name} is missing"))?;
    let column = cast(column, kind).map_err(|e| format!("column {name}: {e}"))?;
    if column.null_count() > 0 {
        return Err(format!("column {name} has a null or a value that is no {kind}"));
    }
    Ok(column)
}
