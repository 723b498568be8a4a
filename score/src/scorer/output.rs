//! The columns that scoring adds. Names, types and order are a promise to readers of the lake.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, RecordBatch, StringArray, StringBuilder, UInt32Array,
    UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegauge_flow::{WindowRows, names};

use crate::error::ScoreError;

/// What is the same for all predictions of a call.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The lane's name.
    pub lane: &'a str,
    /// The epoch that will commit the rows.
    pub epoch: u64,
}

/// Whether a row was scored, and if not, why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Scored by the sensor's own model.
    Ok,
    /// Scored by a model that stands in for the sensor's own.
    Fallback,
    /// The sensor has no model.
    NoModel,
    /// The window held fewer readings than scoring asks for.
    TooFewReadings,
    /// A feature is null, NaN or infinite.
    InvalidFeatures,
}

impl Status {
    /// All of them, in the order of [`Tally::rows`].
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::Fallback, Self::NoModel, Self::TooFewReadings, Self::InvalidFeatures];

    /// The word in the column `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fallback => "fallback",
            Self::NoModel => "no_model",
            Self::TooFewReadings => "too_few_readings",
            Self::InvalidFeatures => "invalid_features",
        }
    }
}

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows of each status, in the order of [`Status::ALL`].
    pub rows: [u64; 5],
    /// Rows that are anomalies.
    pub anomalies: u64,
}

impl Tally {
    /// Rows of one status.
    pub fn of(&self, status: Status) -> u64 {
        self.rows[status as usize]
    }

    pub(super) fn add(&mut self, output: &Output) {
        for (sum, rows) in self.rows.iter_mut().zip(output.tally.rows) {
            *sum += rows;
        }
        self.anomalies += output.tally.anomalies;
    }
}

/// The columns of window rows, followed by those of scoring.
pub fn prediction_schema(rows: &Schema) -> SchemaRef {
    let ours = [
        Field::new(names::SCORE, DataType::Float64, true),
        Field::new(names::THRESHOLD, DataType::Float64, true),
        Field::new(names::IS_ANOMALY, DataType::Boolean, true),
        Field::new(names::SEVERITY, DataType::Float64, true),
        Field::new(names::STATUS, DataType::Utf8, false),
        Field::new(names::REASON, DataType::Utf8, true),
        Field::new(names::MODEL_SET, DataType::UInt64, true),
        Field::new(names::REVISION, DataType::UInt32, false),
        Field::new(names::N_READINGS, DataType::UInt64, false),
        Field::new(names::LANE, DataType::Utf8, false),
        Field::new(names::EPOCH, DataType::UInt64, false),
    ];
    let fields = rows.fields().iter().cloned().chain(ours.map(Arc::new));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), rows.metadata().clone()))
}

/// The columns while they grow, row by row.
pub(super) struct Output {
    score: Float64Builder,
    threshold: Float64Builder,
    is_anomaly: BooleanBuilder,
    severity: Float64Builder,
    status: Vec<Status>,
    reason: StringBuilder,
    model_set: UInt64Builder,
    tally: Tally,
    /// Room for scores, so that a run of rows doesn't cost an allocation.
    scratch: Vec<f64>,
}

impl Output {
    pub(super) fn with_capacity(rows: usize) -> Self {
        let floats = || Float64Builder::with_capacity(rows);
        Self {
            score: floats(),
            threshold: floats(),
            is_anomaly: BooleanBuilder::with_capacity(rows),
            severity: floats(),
            status: Vec::with_capacity(rows),
            reason: StringBuilder::with_capacity(rows, 0),
            model_set: UInt64Builder::with_capacity(rows),
            tally: Tally::default(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn take_scratch(&mut self, rows: usize) -> Vec<f64> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.resize(rows, 0.0);
        scratch
    }

    pub(super) fn give_back(&mut self, scratch: Vec<f64>) {
        self.scratch = scratch;
    }

    /// A row that has no verdict.
    pub(super) fn refuse(&mut self, status: Status, model_set: Option<u64>) {
        self.score.append_null();
        self.threshold.append_null();
        self.is_anomaly.append_null();
        self.severity.append_null();
        self.reason.append_null();
        self.model_set.append_option(model_set);
        self.push(status);
    }

    /// A row that was scored by its sensor's model.
    pub(super) fn verdict(
        &mut self,
        score: f64,
        threshold: f64,
        is_anomaly: bool,
        severity: Option<f64>,
        reason: Option<String>,
        model_set: u64,
    ) {
        self.score.append_value(score);
        self.threshold.append_value(threshold);
        self.is_anomaly.append_value(is_anomaly);
        self.severity.append_option(severity);
        self.reason.append_option(reason);
        self.model_set.append_value(model_set);
        self.tally.anomalies += u64::from(is_anomaly);
        self.push(Status::Ok);
    }

    pub(super) fn finish(
        mut self,
        rows: &WindowRows,
        stamp: &Stamp<'_>,
        schema: SchemaRef,
    ) -> Result<RecordBatch, ScoreError> {
        let n = rows.len();
        let lane = std::iter::repeat_n(stamp.lane, n);
        let status = self.status.iter().map(|status| status.as_str());
        let ours: [ArrayRef; 11] = [
            Arc::new(self.score.finish()),
            Arc::new(self.threshold.finish()),
            Arc::new(self.is_anomaly.finish()),
            Arc::new(self.severity.finish()),
            Arc::new(StringArray::from_iter_values(status)),
            Arc::new(self.reason.finish()),
            Arc::new(self.model_set.finish()),
            Arc::new(UInt32Array::from(rows.revision.clone())),
            Arc::new(UInt64Array::from(rows.n_readings.clone())),
            Arc::new(StringArray::from_iter_values(lane)),
            Arc::new(UInt64Array::from_value(stamp.epoch, n)),
        ];
        let columns = rows.batch.columns().iter().cloned().chain(ours).collect();
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn push(&mut self, status: Status) {
        self.tally.rows[status as usize] += 1;
        self.status.push(status);
    }
}
