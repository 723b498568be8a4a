//! Sensors and numbers out of batches of window rows, whoever wrote them.

use anyhow::Result;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use tidegauge_flow::{KeyValue, SensorKey};

/// Columns of a key, as integers or texts.
pub struct Keys(Vec<ArrayRef>);

/// A column as numbers.
pub struct Numbers(ArrayRef);

impl Keys {
    /// # Errors
    /// When a column is neither an integer nor has a form as text.
    pub fn of<'a>(columns: impl Iterator<Item = &'a ArrayRef>) -> Result<Self> {
        let plain = |column: &ArrayRef| match column.data_type() {
            DataType::Int64 => Ok(column.clone()),
            _ => Ok(cast(column, &DataType::Utf8)?),
        };
        Ok(Self(columns.map(plain).collect::<Result<_>>()?))
    }

    /// The sensor of a row.
    pub fn sensor(&self, row: usize) -> SensorKey {
        let value = |column: &ArrayRef| match column.as_primitive_opt::<Int64Type>() {
            Some(ints) => KeyValue::Int(ints.value(row)),
            None => KeyValue::Str(column.as_string::<i32>().value(row).into()),
        };
        SensorKey(self.0.iter().map(value).collect())
    }
}

impl Numbers {
    /// # Errors
    /// When the column has no form as numbers.
    pub fn of(column: &ArrayRef) -> Result<Self> {
        Ok(Self(cast(column, &DataType::Float64)?))
    }

    /// The number in a row; a null is none.
    pub fn value(&self, row: usize) -> f64 {
        let column = self.0.as_primitive::<Float64Type>();
        if column.is_null(row) { f64::NAN } else { column.value(row) }
    }
}
