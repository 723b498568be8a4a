//! Events as rows of a table, and the columns of predictions that they are made of.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    UInt32Type, UInt64Type,
};
use sha2::{Digest, Sha256};
use tidegauge_flow::{KeySchema, KeyValue, SensorId, SensorKey, Sensors, names};

use super::By;
use super::track::{Anomaly, Change, Event};
use crate::error::ScoreError;
use crate::scorer::Stamp;

/// Bytes of an id; twice as many digits.
const ID_BYTES: usize = 16;

/// The columns of the table `events`, after the key columns.
pub fn event_schema(key: &KeySchema) -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![Field::new(names::EVENT_ID, DataType::Utf8, false)];
    fields.extend(key.fields());
    fields.extend([
        Field::new(names::EVENT_STATE, DataType::Utf8, false),
        Field::new(names::EVENT_START, time(), false),
        Field::new(names::EVENT_END, time(), false),
        Field::new(names::EVENT_PEAK_AT, time(), false),
        Field::new(names::EVENT_PEAK_SEVERITY, DataType::Float64, true),
        Field::new(names::EVENT_PEAK_SCORE, DataType::Float64, false),
        Field::new(names::REASON, DataType::Utf8, true),
        Field::new(names::EVENT_WINDOWS, DataType::UInt64, false),
        Field::new(names::MODEL_SET, DataType::UInt64, true),
        Field::new(names::LANE, DataType::Utf8, false),
        Field::new(names::EPOCH, DataType::UInt64, false),
    ]);
    Arc::new(Schema::new(fields))
}

/// The id of a sensor's event: the same whenever and wherever its first window is scored again.
pub fn event_id(generation: u64, sensor: &SensorKey, start_us: i64) -> String {
    let mut digest = Sha256::new();
    digest.update(generation.to_le_bytes());
    for value in &sensor.0 {
        match value {
            KeyValue::Int(value) => {
                digest.update([0]);
                digest.update(value.to_le_bytes());
            }
            KeyValue::Str(value) => {
                digest.update([1]);
                digest.update((value.len() as u64).to_le_bytes());
                digest.update(value.as_bytes());
            }
        }
    }
    digest.update(start_us.to_le_bytes());
    digest.finalize().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// Rows of the table.
pub(super) fn batch(
    schema: &SchemaRef,
    generation: u64,
    rows: &[(SensorId, Change)],
    sensors: &Sensors,
    stamp: &Stamp<'_>,
) -> Result<RecordBatch, ScoreError> {
    let ids: Vec<SensorId> = rows.iter().map(|(sensor, _)| *sensor).collect();
    let told: Vec<(&str, &Event)> = rows.iter().map(|(_, change)| told(change)).collect();
    let events = || told.iter().map(|(_, event)| *event);
    let digest = |(sensor, event): (&SensorId, &Event)| {
        event_id(generation, &sensors.key(*sensor), event.start_us)
    };
    let time = |of: fn(&Event) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(events().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let reasons: StringArray = events().map(|event| event.peak.reason.as_deref()).collect();
    let severities: Float64Array = events().map(|event| event.peak.severity).collect();
    let sets: UInt64Array = events().map(|event| event.peak.model_set).collect();
    let first = StringArray::from_iter_values(ids.iter().zip(events()).map(digest));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(first)];
    columns.extend(sensors.columns(&ids));
    let states = StringArray::from_iter_values(told.iter().map(|(state, _)| *state));
    let lanes = StringArray::from_iter_values(std::iter::repeat_n(stamp.lane, rows.len()));
    columns.extend::<[ArrayRef; 11]>([
        Arc::new(states),
        time(|event| event.start_us),
        time(|event| event.end_us),
        time(|event| event.peak.end_us),
        Arc::new(severities),
        Arc::new(Float64Array::from_iter_values(events().map(|event| event.peak.score))),
        Arc::new(reasons),
        Arc::new(UInt64Array::from_iter_values(events().map(|event| event.windows))),
        Arc::new(sets),
        Arc::new(lanes),
        Arc::new(UInt64Array::from_value(stamp.epoch, rows.len())),
    ]);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn told(change: &Change) -> (&'static str, &Event) {
    match change {
        Change::Opened(event) => (names::EVENT_OPEN, event),
        Change::Closed(event) => (names::EVENT_CLOSED, event),
    }
}

/// What predictions say of anomalies.
pub(super) struct Verdicts<'a> {
    pub anomalous: &'a BooleanArray,
    pub revision: &'a UInt32Array,
    start: &'a TimestampMicrosecondArray,
    end: &'a TimestampMicrosecondArray,
    score: &'a Float64Array,
    severity: Option<&'a Float64Array>,
    reason: &'a StringArray,
    model_set: &'a UInt64Array,
}

impl<'a> Verdicts<'a> {
    /// # Errors
    /// [`ScoreError::Rows`] when these are no predictions of such a view.
    pub fn of(predictions: &'a RecordBatch, by: By) -> Result<Self, ScoreError> {
        let [anomalous, score, model_set] = match by {
            By::State => [names::IS_ANOMALY, names::SCORE, names::MODEL_SET],
            By::Onset => [names::ALARM, names::NOVELTY, names::NOVELTY_SET],
        };
        let column = |name: &str| {
            let missing = || ScoreError::Rows(format!("predictions have no column {name}"));
            predictions.column_by_name(name).ok_or_else(missing)
        };
        let times =
            |name| Ok::<_, ScoreError>(column(name)?.as_primitive::<TimestampMicrosecondType>());
        let severity = column(names::SEVERITY)?.as_primitive::<Float64Type>();
        Ok(Self {
            anomalous: column(anomalous)?.as_boolean(),
            revision: column(names::REVISION)?.as_primitive::<UInt32Type>(),
            start: times(names::WINDOW_START)?,
            end: times(names::WINDOW_END)?,
            score: column(score)?.as_primitive::<Float64Type>(),
            // That of the champion says nothing of an alarm.
            severity: (by == By::State).then_some(severity),
            reason: column(names::REASON)?.as_string::<i32>(),
            model_set: column(model_set)?.as_primitive::<UInt64Type>(),
        })
    }

    pub fn end_us(&self, row: usize) -> i64 {
        self.end.value(row)
    }

    /// What there is to know of an anomalous row.
    pub fn anomaly(&self, row: usize) -> Anomaly {
        let severity = self.severity.filter(|severity| severity.is_valid(row));
        Anomaly {
            start_us: self.start.value(row),
            end_us: self.end.value(row),
            score: self.score.value(row),
            severity: severity.map(|severity| severity.value(row)),
            reason: self.reason.is_valid(row).then(|| self.reason.value(row).into()),
            model_set: self.model_set.is_valid(row).then(|| self.model_set.value(row)),
        }
    }
}
