//! From Arrow columns of any numeric type to rows of f64.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};

use crate::error::ScoreError;

/// The columns that models see, in their order.
#[derive(Debug)]
pub(super) struct Features {
    names: Vec<String>,
    columns: Vec<usize>,
}

/// The features of a batch, row-major.
pub(super) struct Gathered {
    values: Vec<f64>,
    valid: Vec<bool>,
    width: usize,
}

/// Some consecutive rows of a batch.
pub(super) struct Run<'a> {
    values: &'a [f64],
    valid: &'a [bool],
    width: usize,
}

impl Features {
    pub(super) fn choose(
        schema: &Schema,
        key_columns: usize,
        wanted: &[String],
    ) -> Result<Self, ScoreError> {
        let first = key_columns + 2;
        let is_number = |column: usize| schema.field(column).data_type().is_numeric();
        let all = first..schema.fields().len();
        let found = || all.clone().map(|c| schema.field(c).name().clone()).collect::<Vec<_>>();
        let refuse = |name: &str, what| {
            Err(ScoreError::Feature { name: name.to_string(), what, found: found() })
        };
        if wanted.is_empty() {
            let columns: Vec<usize> = all.clone().filter(|c| is_number(*c)).collect();
            if columns.is_empty() {
                return refuse("", "is missing: models need at least one number");
            }
            let names = columns.iter().map(|c| schema.field(*c).name().clone()).collect();
            return Ok(Self { names, columns });
        }
        let mut columns = Vec::with_capacity(wanted.len());
        for (i, name) in wanted.iter().enumerate() {
            match all.clone().find(|c| schema.field(*c).name() == name) {
                None => return refuse(name, "is not in the query"),
                Some(column) if !is_number(column) => return refuse(name, "is no number"),
                Some(_) if wanted[..i].contains(name) => return refuse(name, "is named twice"),
                Some(column) => columns.push(column),
            }
        }
        Ok(Self { names: wanted.to_vec(), columns })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// A row is valid when all its features are finite numbers.
    pub(super) fn gather(&self, batch: &RecordBatch) -> Result<Gathered, ScoreError> {
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
                    valid[row] = false;
                }
            }
        }
        Ok(Gathered { values, valid, width })
    }
}

impl Gathered {
    pub(super) fn run(&self, row: usize, rows: usize) -> Run<'_> {
        let width = self.width;
        let values = &self.values[row * width..(row + rows) * width];
        Run { values, valid: &self.valid[row..row + rows], width }
    }
}

impl<'a> Run<'a> {
    pub(super) fn values(&self) -> &'a [f64] {
        self.values
    }

    pub(super) fn row(&self, row: usize) -> &'a [f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.valid[row]
    }

    pub(super) fn all_valid(&self) -> bool {
        self.valid.iter().all(|valid| *valid)
    }
}
