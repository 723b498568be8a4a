//! From Arrow columns of any numeric type to rows of f64.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema, SchemaRef, TimestampMicrosecondType};

use super::features::{Fits, Rows};
use crate::error::ScoreError;

/// The query's columns that features look at, each once.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    /// The first column behind the key and the window.
    first: usize,
    names: Vec<String>,
    columns: Vec<usize>,
}

/// The columns of a batch, row-major.
pub(super) struct Gathered {
    values: Vec<f64>,
    valid: Vec<bool>,
    ends_us: Vec<i64>,
    width: usize,
}

impl Columns {
    pub fn of(schema: &SchemaRef, key_columns: usize) -> Self {
        let schema = SchemaRef::clone(schema);
        Self { schema, first: key_columns + 2, names: Vec::new(), columns: Vec::new() }
    }

    /// The names of the columns that are looked at, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The query's features by name.
    pub fn found(&self) -> impl Iterator<Item = &str> {
        self.schema.fields()[self.first..].iter().map(|field| field.name().as_str())
    }

    /// The query's features that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        let fields = self.schema.fields()[self.first..].iter();
        fields.filter(|field| field.data_type().is_numeric()).map(|field| field.name().as_str())
    }

    /// The number of a column; it is one that is looked at from now on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn look_at(&mut self, name: &str) -> Result<usize, String> {
        if let Some(known) = self.names.iter().position(|known| known == name) {
            return Ok(known);
        }
        let schema: &Schema = &self.schema;
        let found = (self.first..schema.fields().len()).find(|c| schema.field(*c).name() == name);
        let column = found.ok_or_else(|| not_there(name))?;
        if !schema.field(column).data_type().is_numeric() {
            return Err("is no number".into());
        }
        self.names.push(name.to_string());
        self.columns.push(column);
        Ok(self.names.len() - 1)
    }

    /// The values; what is null or not finite is NaN.
    pub fn gather(&self, batch: &RecordBatch, ends: bool) -> Result<Gathered, ScoreError> {
        let (rows, width) = (batch.num_rows(), self.columns.len());
        let mut values = vec![0.0; rows * width];
        let mut valid = vec![true; rows];
        for (feature, column) in self.columns.iter().enumerate() {
            let column = batch.column(*column);
            let converted;
            let column = match column.as_primitive_opt::<Float64Type>() {
                Some(column) => column,
                None => {
                    converted = cast(column, &DataType::Float64)?;
                    converted.as_primitive::<Float64Type>()
                }
            };
            for (row, value) in column.values().iter().enumerate() {
                if column.is_valid(row) && value.is_finite() {
                    values[row * width + feature] = *value;
                } else {
                    values[row * width + feature] = f64::NAN;
                    valid[row] = false;
                }
            }
        }
        let mut ends_us = Vec::new();
        if ends {
            let column = batch.column(self.first - 1);
            let column = column
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(|| ScoreError::Rows(format!("window_end is {}", column.data_type())))?;
            ends_us.extend_from_slice(column.values());
        }
        Ok(Gathered { values, valid, ends_us, width })
    }
}

fn not_there(name: &str) -> String {
    if name.is_empty() { "is missing" } else { "is not in the query" }.to_string()
}

impl Gathered {
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub fn rows(&self, row: usize, rows: usize) -> Rows<'_> {
        let values = &self.values[row * self.width..(row + rows) * self.width];
        Rows { values, fits: Fits::Plain(&self.valid[row..row + rows]), width: self.width }
    }

    /// Whether every column of the row is a finite number.
    pub fn is_valid(&self, row: usize) -> bool {
        self.valid[row]
    }

    pub fn ends_us(&self) -> &[i64] {
        &self.ends_us
    }

    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    pub fn end_us(&self, row: usize) -> i64 {
        self.ends_us[row]
    }
}
