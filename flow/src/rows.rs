//! Closed windows: one row of features per sensor and window.

use arrow::array::RecordBatch;

use crate::sensors::SensorId;

/// What windows held when they closed.
///
/// `batch` has the key columns, `window_start`, `window_end` (`Timestamp` in microseconds, UTC), then
/// the query's features in its order. `sensor` and `n_readings` are parallel to its rows.
#[derive(Debug, Clone)]
pub struct WindowRows {
    pub sensor: Vec<SensorId>,
    pub n_readings: Vec<u64>,
    pub batch: RecordBatch,
}

impl WindowRows {
    pub fn len(&self) -> usize {
        self.sensor.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sensor.is_empty()
    }
}
