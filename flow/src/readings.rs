//! A batch of decoded readings of one partition, as columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampNanosecondArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::key::KeySchema;
use crate::sensors::{SensorId, Sensors};

/// The names of a reading's columns: key columns, then the time, then the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingSchema {
    pub key: Arc<KeySchema>,
    pub time: String,
    pub values: Vec<String>,
}

impl ReadingSchema {
    /// The Arrow schema of the table `readings`: key columns, time (`Timestamp` in nanoseconds, UTC),
    /// values (`Float64`, null where the event says null).
    pub fn arrow(&self) -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let mut fields = self.key.fields();
        fields.push(Field::new(&self.time, time, false));
        fields.extend(self.values.iter().map(|v| Field::new(v, DataType::Float64, true)));
        Arc::new(Schema::new(fields))
    }
}

/// One value column. A null has the value 0 and `false` in `valid`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    pub data: Vec<f64>,
    pub valid: Vec<bool>,
    pub nulls: usize,
}

impl Column {
    pub fn push(&mut self, value: Option<f64>) {
        self.data.push(value.unwrap_or_default());
        self.valid.push(value.is_some());
        self.nulls += usize::from(value.is_none());
    }

    fn clear(&mut self) {
        self.data.clear();
        self.valid.clear();
        self.nulls = 0;
    }

    fn array(&self, rows: Option<&[u32]>) -> ArrayRef {
        let valid = |i: usize| self.valid[i];
        let array = match rows {
            None => {
                let nulls = (self.nulls > 0).then(|| NullBuffer::from(self.valid.clone()));
                Float64Array::new(self.data.clone().into(), nulls)
            }
            Some(rows) => {
                let data: Vec<f64> = rows.iter().map(|&i| self.data[i as usize]).collect();
                let bits = || BooleanBuffer::collect_bool(rows.len(), |r| valid(rows[r] as usize));
                Float64Array::new(data.into(), (self.nulls > 0).then(|| NullBuffer::new(bits())))
            }
        };
        Arc::new(array)
    }
}

/// Readings of one partition in the order of their offsets. All columns have the same length, but for
/// empty `arrival_ns` and `id`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    pub sensor: Vec<SensorId>,
    /// Event time, nanoseconds since the epoch, UTC.
    pub time_ns: Vec<i64>,
    /// When the messages arrived, nanoseconds since the epoch; may be empty where nobody asks.
    pub arrival_ns: Vec<i64>,
    pub offset: Vec<i64>,
    pub values: Vec<Column>,
    /// Digests of the events' ids; empty when events have none.
    pub id: Vec<u128>,
}

impl Readings {
    pub fn new(values: usize) -> Self {
        Self { values: vec![Column::default(); values], ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.sensor.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sensor.is_empty()
    }

    pub fn clear(&mut self) {
        self.sensor.clear();
        self.time_ns.clear();
        self.arrival_ns.clear();
        self.offset.clear();
        self.id.clear();
        self.values.iter_mut().for_each(Column::clear);
    }

    /// The columns of [`ReadingSchema::arrow`], for all rows or for the given ones.
    pub fn columns(&self, sensors: &Sensors, rows: Option<&[u32]>) -> Vec<ArrayRef> {
        let ids: Vec<SensorId>;
        let ids = match rows {
            None => self.sensor.as_slice(),
            Some(rows) => {
                ids = rows.iter().map(|&r| self.sensor[r as usize]).collect();
                &ids
            }
        };
        let mut columns = sensors.columns(ids);
        columns.push(self.times(rows));
        columns.extend((0..self.values.len()).map(|v| self.value(v, rows)));
        columns
    }

    /// The event times as a `Timestamp` array in nanoseconds, UTC.
    pub fn times(&self, rows: Option<&[u32]>) -> ArrayRef {
        let times = pick(&self.time_ns, rows);
        Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
    }

    /// The offsets as an `Int64` array.
    pub fn offsets(&self, rows: Option<&[u32]>) -> ArrayRef {
        Arc::new(Int64Array::from(pick(&self.offset, rows)))
    }

    /// One value column as a `Float64` array.
    pub fn value(&self, column: usize, rows: Option<&[u32]>) -> ArrayRef {
        self.values[column].array(rows)
    }
}

fn pick(values: &[i64], rows: Option<&[u32]>) -> Vec<i64> {
    match rows {
        None => values.to_vec(),
        Some(rows) => rows.iter().map(|&r| values[r as usize]).collect(),
    }
}
