//! Closed windows: one row of features per sensor and window.

use arrow::array::RecordBatch;

use crate::sensors::SensorId;

/// What windows held when they closed.
///
/// `batch` has the key columns, `window_start`, `window_end` (`Timestamp` in microseconds, UTC), then
/// the query's features in its order. `sensor`, `n_readings` and `revision` are parallel to its rows.
#[derive(Debug, Clone)]
pub struct WindowRows {
    pub sensor: Vec<SensorId>,
    pub n_readings: Vec<u64>,
    /// 0 for the window's first row of the sensor, and one more for each that replaces it.
    pub revision: Vec<u32>,
    /// The sum of `n_readings` of the rows that these replace.
    pub superseded: u64,
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
