//! Which events a pane holds already: producers that repeat themselves shall not count twice.
//!
//! A duplicate has its original's time, so it falls into the same pane; once that is given up, the
//! duplicate is late. So each pane remembers its own, and nothing is remembered for longer.

use std::sync::Arc;

use arrow::array::{AsArray, FixedSizeBinaryBuilder, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use hashbrown::HashSet;
use tidegauge_flow::SensorId;

use crate::error::AggregateError;

/// Bytes of an id's digest.
const WIDTH: i32 = 16;

/// The events of one pane: sensor and digest of the id.
#[derive(Debug, Default)]
pub(crate) struct Ids(HashSet<(SensorId, u128)>);

impl Ids {
    /// False when the event is here already.
    #[inline]
    pub(crate) fn insert(&mut self, sensor: SensorId, id: u128) -> bool {
        self.0.insert((sensor, id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        // Entry, control byte, and the table is at most 7/8 full.
        self.0.capacity() * (size_of::<(SensorId, u128)>() + 1) * 8 / 7
    }

    /// As the columns `sensor` and `id`, in a fixed order.
    pub(crate) fn batch(&self) -> Result<RecordBatch, AggregateError> {
        let mut all: Vec<_> = self.0.iter().copied().collect();
        all.sort_unstable();
        let sensors: UInt32Array = all.iter().map(|(sensor, _)| *sensor).collect();
        let mut ids = FixedSizeBinaryBuilder::with_capacity(all.len(), WIDTH);
        for (_, id) in &all {
            ids.append_value(id.to_le_bytes())?;
        }
        let schema = Schema::new(vec![
            Field::new("sensor", DataType::UInt32, false),
            Field::new("id", DataType::FixedSizeBinary(WIDTH), false),
        ]);
        Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(sensors), Arc::new(ids.finish())])?)
    }

    /// What [`Ids::batch`] gave; `None` when it is something else.
    pub(crate) fn from_batch(batch: &RecordBatch) -> Option<Self> {
        let [sensors, ids] = batch.columns() else { return None };
        let sensors = sensors.as_primitive_opt::<UInt32Type>()?;
        let ids = ids.as_fixed_size_binary_opt()?;
        let id = |bytes: &[u8]| Some(u128::from_le_bytes(bytes.try_into().ok()?));
        let all = (0..batch.num_rows()).map(|row| Some((sensors.value(row), id(ids.value(row))?)));
        Some(Self(all.collect::<Option<_>>()?))
    }
}

#[cfg(test)]
mod tests;
