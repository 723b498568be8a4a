//! Closed windows of many sensors, sorted out by sensor.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use tidegauge_flow::{SensorId, WindowRows};

use crate::error::ScoreError;

/// The rows of each sensor, in the order in which they came.
pub(super) fn by_sensor(closed: &[WindowRows]) -> Result<Vec<(SensorId, WindowRows)>, ScoreError> {
    let Some(first) = closed.first() else { return Ok(Vec::new()) };
    let batches: Vec<&RecordBatch> = closed.iter().map(|rows| &rows.batch).collect();
    let all = concat_batches(&first.batch.schema(), batches)?;
    let every = || closed.iter().flat_map(|rows| rows.sensor.iter().copied());
    let mut order: Vec<(SensorId, u32)> = every().zip(0..).collect();
    // Stable by the second number.
    order.sort_unstable();
    let n_readings: Vec<u64> = closed.iter().flat_map(|r| r.n_readings.iter().copied()).collect();
    let revision: Vec<u32> = closed.iter().flat_map(|r| r.revision.iter().copied()).collect();
    let of_one = |run: &[(SensorId, u32)]| -> Result<(SensorId, WindowRows), ScoreError> {
        let places: Vec<u32> = run.iter().map(|(_, place)| *place).collect();
        let pick = |place: &u32| *place as usize;
        let rows = WindowRows {
            sensor: run.iter().map(|(sensor, _)| *sensor).collect(),
            n_readings: places.iter().map(|p| n_readings[pick(p)]).collect(),
            revision: places.iter().map(|p| revision[pick(p)]).collect(),
            superseded: 0,
            batch: take_record_batch(&all, &UInt32Array::from(places))?,
        };
        Ok((run[0].0, rows))
    };
    order.chunk_by(|a, b| a.0 == b.0).map(of_one).collect()
}
