//! The columns that scoring adds. Names, types and order are a promise to readers of the lake.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Float64Array, NullBufferBuilder, RecordBatch,
    StringArray, StringBuilder, UInt32Array, UInt64Array,
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
    /// A feature is null, NaN or infinite, or looks at rows that are not known any more.
    InvalidFeatures,
    /// A feature looks at more rows than the sensor has had yet.
    WarmingUp,
}

impl Status {
    /// All of them, in the order of [`Tally::rows`].
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Fallback,
        Self::NoModel,
        Self::TooFewReadings,
        Self::InvalidFeatures,
        Self::WarmingUp,
    ];

    /// The word in the column `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fallback => "fallback",
            Self::NoModel => "no_model",
            Self::TooFewReadings => "too_few_readings",
            Self::InvalidFeatures => "invalid_features",
            Self::WarmingUp => "warming_up",
        }
    }
}

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows of each status, in the order of [`Status::ALL`].
    pub rows: [u64; Status::ALL.len()],
    /// Rows that are anomalies.
    pub anomalies: u64,
    /// Rows that raise an alarm of the onset view.
    pub alarms: u64,
    /// Rows that both the sensor's own champion and the challenger have a verdict on.
    pub challenged: u64,
    /// Of these, rows that both call anomalous, or neither does.
    pub agreed: u64,
}

/// What judges rows beside the champion, with columns of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Views {
    /// The onset view.
    pub onset: bool,
    /// A challenger of the champion.
    pub challenger: bool,
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
        self.alarms += output.tally.alarms;
        self.challenged += output.tally.challenged;
        self.agreed += output.tally.agreed;
    }
}

/// The columns of window rows, followed by those of scoring, of the onset view and of the challenger.
pub fn prediction_schema(rows: &Schema, views: Views) -> SchemaRef {
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
    let of_onset = [
        Field::new(names::NOVELTY, DataType::Float64, true),
        Field::new(names::ALARM, DataType::Boolean, true),
        Field::new(names::NOVELTY_SET, DataType::UInt64, true),
    ];
    let of_challenger = [
        Field::new(names::CHALLENGER_SCORE, DataType::Float64, true),
        Field::new(names::CHALLENGER_IS_ANOMALY, DataType::Boolean, true),
        Field::new(names::CHALLENGER_SET, DataType::UInt64, true),
    ];
    let ours = ours
        .into_iter()
        .chain(of_onset.into_iter().filter(|_| views.onset))
        .chain(of_challenger.into_iter().filter(|_| views.challenger));
    let fields = rows.fields().iter().cloned().chain(ours.map(Arc::new));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), rows.metadata().clone()))
}

/// The columns while they grow, row by row.
pub(super) struct Output {
    score: Vec<f64>,
    threshold: Vec<f64>,
    is_anomaly: BooleanBufferBuilder,
    severity: Vec<f64>,
    status: Vec<Status>,
    /// The reasons that there are, by rising row: few rows have one.
    reasons: Vec<(usize, String)>,
    model_set: Vec<u64>,
    /// Rows with a verdict, with a severity, with a model.
    scored: NullBufferBuilder,
    severe: NullBufferBuilder,
    modelled: NullBufferBuilder,
    tally: Tally,
    views: Views,
    /// Empty without the onset view.
    onset: Onset,
    /// Empty without a challenger.
    challenger: Challenger,
    /// Room for scores, so that a run of rows doesn't cost an allocation.
    scratch: Vec<f64>,
}

/// The onset view's columns.
#[derive(Default)]
struct Onset {
    novelty: Vec<Option<f64>>,
    alarm: Vec<Option<bool>>,
    set: Vec<Option<u64>>,
}

/// The challenger's columns.
#[derive(Default)]
struct Challenger {
    score: Vec<Option<f64>>,
    is_anomaly: Vec<Option<bool>>,
    set: Vec<Option<u64>>,
}

/// What the champion, or a model that stands in for it, says of a row.
pub(super) struct Verdict {
    pub score: f64,
    pub threshold: f64,
    pub severity: Option<f64>,
    /// Of an anomaly, if it is known.
    pub reason: Option<String>,
    /// Whose verdict it is.
    pub status: Status,
    /// `None`: the model is in no set.
    pub model_set: Option<u64>,
}

impl Verdict {
    pub(super) fn is_anomaly(&self) -> bool {
        self.score >= self.threshold
    }
}

impl Output {
    pub(super) fn new(rows: usize, views: Views) -> Self {
        Self {
            score: Vec::with_capacity(rows),
            threshold: Vec::with_capacity(rows),
            is_anomaly: BooleanBufferBuilder::new(rows),
            severity: Vec::with_capacity(rows),
            status: Vec::with_capacity(rows),
            reasons: Vec::new(),
            model_set: Vec::with_capacity(rows),
            scored: NullBufferBuilder::new(rows),
            severe: NullBufferBuilder::new(rows),
            modelled: NullBufferBuilder::new(rows),
            tally: Tally::default(),
            views,
            onset: Onset::default(),
            challenger: Challenger::default(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn take_scratch(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.scratch)
    }

    pub(super) fn give_back(&mut self, scratch: Vec<f64>) {
        self.scratch = scratch;
    }

    /// A row that has no verdict.
    pub(super) fn refuse(&mut self, status: Status, model_set: Option<u64>) {
        self.score.push(0.0);
        self.threshold.push(0.0);
        self.is_anomaly.append(false);
        self.severity.push(0.0);
        self.model_set.push(model_set.unwrap_or_default());
        self.scored.append_null();
        self.severe.append_null();
        self.modelled.append(model_set.is_some());
        self.push(status);
    }

    /// A row that was scored.
    #[inline]
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        let is_anomaly = verdict.is_anomaly();
        self.score.push(verdict.score);
        self.threshold.push(verdict.threshold);
        self.is_anomaly.append(is_anomaly);
        self.severity.push(verdict.severity.unwrap_or_default());
        self.reasons.extend(verdict.reason.map(|reason| (self.status.len(), reason)));
        self.model_set.push(verdict.model_set.unwrap_or_default());
        self.scored.append_non_null();
        self.severe.append(verdict.severity.is_some());
        self.modelled.append(verdict.model_set.is_some());
        self.tally.anomalies += u64::from(is_anomaly);
        self.push(verdict.status);
    }

    /// What the onset view says of the next row that it has not spoken of. Its reason is given where
    /// the champion has none.
    pub(super) fn novelty(
        &mut self,
        novelty: Option<f64>,
        alarm: Option<bool>,
        set: Option<u64>,
        reason: impl FnOnce() -> Option<String>,
    ) {
        let row = self.onset.novelty.len();
        if let Err(place) = self.reasons.binary_search_by_key(&row, |(row, _)| *row)
            && let Some(reason) = reason()
        {
            self.reasons.insert(place, (row, reason));
        }
        self.onset.novelty.push(novelty);
        self.onset.alarm.push(alarm);
        self.onset.set.push(set);
        self.tally.alarms += u64::from(alarm == Some(true));
    }

    /// What the challenger says of the next row that it has not spoken of: score, anomaly, set.
    pub(super) fn challenge(&mut self, verdict: Option<(f64, bool, u64)>) {
        let row = self.challenger.score.len();
        if let Some((_, is_anomaly, _)) = verdict
            && self.status[row] == Status::Ok
        {
            self.tally.challenged += 1;
            self.tally.agreed += u64::from(self.is_anomaly.get_bit(row) == is_anomaly);
        }
        self.challenger.score.push(verdict.map(|(score, _, _)| score));
        self.challenger.is_anomaly.push(verdict.map(|(_, is_anomaly, _)| is_anomaly));
        self.challenger.set.push(verdict.map(|(_, _, set)| set));
    }

    pub(super) fn finish(
        mut self,
        rows: &WindowRows,
        stamp: &Stamp<'_>,
        schema: SchemaRef,
    ) -> Result<RecordBatch, ScoreError> {
        let n = rows.len();
        let scored = self.scored.finish();
        let floats = |values: Vec<f64>, nulls| Float64Array::new(values.into(), nulls);
        let status = self.status.iter().map(|status| status.as_str());
        let ours: [ArrayRef; 11] = [
            Arc::new(floats(self.score, scored.clone())),
            Arc::new(floats(self.threshold, scored.clone())),
            Arc::new(BooleanArray::new(self.is_anomaly.finish(), scored)),
            Arc::new(floats(self.severity, self.severe.finish())),
            Arc::new(strings(status)),
            Arc::new(sparse(&self.reasons, n)),
            Arc::new(UInt64Array::new(self.model_set.into(), self.modelled.finish())),
            Arc::new(UInt32Array::from(rows.revision.clone())),
            Arc::new(UInt64Array::from(rows.n_readings.clone())),
            Arc::new(strings(std::iter::repeat_n(stamp.lane, n))),
            Arc::new(UInt64Array::from_value(stamp.epoch, n)),
        ];
        let mut columns: Vec<ArrayRef> = rows.batch.columns().iter().cloned().chain(ours).collect();
        if self.views.onset {
            let Onset { novelty, alarm, set } = self.onset;
            columns.push(Arc::new(Float64Array::from(novelty)));
            columns.push(Arc::new(BooleanArray::from(alarm)));
            columns.push(Arc::new(UInt64Array::from(set)));
        }
        if self.views.challenger {
            let Challenger { score, is_anomaly, set } = self.challenger;
            columns.push(Arc::new(Float64Array::from(score)));
            columns.push(Arc::new(BooleanArray::from(is_anomaly)));
            columns.push(Arc::new(UInt64Array::from(set)));
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn push(&mut self, status: Status) {
        self.tally.rows[status as usize] += 1;
        self.status.push(status);
    }
}

/// A column of `rows` texts of which there are only some, by rising row.
fn sparse(texts: &[(usize, String)], rows: usize) -> StringArray {
    let bytes = texts.iter().map(|(_, text)| text.len()).sum();
    let mut builder = StringBuilder::with_capacity(rows, bytes);
    let mut done = 0;
    for (row, text) in texts {
        builder.append_nulls(row - done);
        builder.append_value(text);
        done = row + 1;
    }
    builder.append_nulls(rows - done);
    builder.finish()
}

/// A column of texts, with room for all of them from the start.
fn strings<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> StringArray {
    let (rows, bytes) = texts.clone().fold((0, 0), |(n, sum), text| (n + 1, sum + text.len()));
    let mut builder = StringBuilder::with_capacity(rows, bytes);
    texts.for_each(|text| builder.append_value(text));
    builder.finish()
}
