//! Rows of predictions into the index.

use anyhow::{Context, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type,
    UInt64Type,
};
use tidegauge_flow::{KeyPart, names};
use tidegauge_serve::console::{Anomaly, KeyValue, Reason};

use super::{Index, Newest, Verdict};

/// What stands between the features of a reason.
const BETWEEN: &str = "; ";

/// The columns that the verdict of a row is in, besides the key's.
const VERDICT: [&str; 7] = [
    names::WINDOW_END,
    names::REVISION,
    names::SCORE,
    names::THRESHOLD,
    names::SEVERITY,
    names::IS_ANOMALY,
    names::STATUS,
];

/// Columns of the verdict.
pub fn verdict_columns(key: &[String]) -> Vec<&str> {
    key.iter().map(String::as_str).chain(VERDICT).collect()
}

/// Columns of all that is said of an anomaly.
pub fn anomaly_columns<'a>(key: &'a [String], features: &'a [String]) -> Vec<&'a str> {
    let mut columns = verdict_columns(key);
    columns.extend([names::WINDOW_START, names::REASON, names::MODEL_SET, names::ALARM]);
    columns.extend(features.iter().map(String::as_str));
    columns
}

/// The columns of a batch of predictions.
pub struct Columns {
    keys: Vec<ArrayRef>,
    ends: PrimitiveArray<TimestampMicrosecondType>,
    revisions: PrimitiveArray<UInt32Type>,
    score: PrimitiveArray<Float64Type>,
    threshold: PrimitiveArray<Float64Type>,
    severity: PrimitiveArray<Float64Type>,
    is_anomaly: BooleanArray,
    status: StringArray,
}

impl Columns {
    /// # Errors
    /// When a column is missing or is of another type.
    pub fn of(batch: &RecordBatch, key: &[String]) -> Result<Self> {
        let plain = |name: &String| -> Result<ArrayRef> {
            let column = column(batch, name)?;
            let is_int = column.data_type() == &DataType::Int64;
            Ok(if is_int { column.clone() } else { cast(column, &DataType::Utf8)? })
        };
        Ok(Self {
            keys: key.iter().map(plain).collect::<Result<_>>()?,
            ends: numbers(batch, names::WINDOW_END)?,
            revisions: numbers(batch, names::REVISION)?,
            score: numbers(batch, names::SCORE)?,
            threshold: numbers(batch, names::THRESHOLD)?,
            severity: numbers(batch, names::SEVERITY)?,
            is_anomaly: column(batch, names::IS_ANOMALY)?
                .as_boolean_opt()
                .context("is_anomaly is no column of booleans")?
                .clone(),
            status: texts(batch, names::STATUS)?,
        })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn verdict(&self, row: usize) -> Verdict {
        Verdict {
            window_end_us: self.ends.value(row),
            revision: self.revisions.value(row),
            score: number(&self.score, row),
            threshold: number(&self.threshold, row),
            severity: number(&self.severity, row),
            is_anomaly: (!self.is_anomaly.is_null(row)).then(|| self.is_anomaly.value(row)),
        }
    }

    pub fn status(&self, row: usize) -> &str {
        self.status.value(row)
    }

    /// The parts of a row's key.
    pub fn key(&self, row: usize) -> Vec<KeyValue> {
        let own = |part| match part {
            KeyPart::Int(value) => KeyValue::Int(value),
            KeyPart::Str(text) => KeyValue::Text(text.to_owned()),
        };
        self.parts(row).map(own).collect()
    }

    fn parts(&self, row: usize) -> impl Iterator<Item = KeyPart<'_>> {
        self.keys.iter().map(move |column| match column.as_primitive_opt::<Int64Type>() {
            Some(ints) => KeyPart::Int(ints.value(row)),
            None => KeyPart::Str(column.as_string::<i32>().value(row)),
        })
    }
}

/// The anomalies of a batch that has [`anomaly_columns`], with the row of each; `columns` are its.
pub fn anomalies(
    batch: &RecordBatch,
    columns: &Columns,
    features: &[String],
) -> Result<Vec<(usize, Anomaly)>> {
    let starts = numbers::<TimestampMicrosecondType>(batch, names::WINDOW_START)?;
    let reasons = texts(batch, names::REASON)?;
    let sets = numbers::<UInt64Type>(batch, names::MODEL_SET)?;
    let alarms = batch.column_by_name(names::ALARM).and_then(|alarms| alarms.as_boolean_opt());
    let anomaly = |row: usize| {
        let Verdict { window_end_us, revision, score, threshold, severity, .. } =
            columns.verdict(row);
        let named = if reasons.is_null(row) { "" } else { reasons.value(row) };
        let named = named.split(BETWEEN).filter(|name| !name.is_empty());
        let reason = named.map(|name| Reason {
            feature: name.to_owned(),
            value: features.iter().any(|f| f == name).then(|| value(batch, name, row)).flatten(),
        });
        Anomaly {
            key: columns.key(row),
            window_start_us: starts.value(row),
            window_end_us,
            score: finite(score),
            threshold: finite(threshold),
            severity: finite(severity),
            reason: reason.collect(),
            status: columns.status(row).to_owned(),
            model_set: (!sets.is_null(row)).then(|| sets.value(row)),
            alarm: alarms.is_some_and(|alarms| !alarms.is_null(row) && alarms.value(row)),
            revision,
        }
    };
    let is_one = |row: &usize| columns.verdict(*row).is_anomaly == Some(true);
    Ok((0..columns.len()).filter(is_one).map(|row| (row, anomaly(row))).collect())
}

impl Index {
    /// Takes the verdicts of rows. Tells how many of them are anomalies of which more is wanted.
    pub fn add(&mut self, columns: &Columns) -> usize {
        let mut wanted = 0;
        let mut parts = Vec::new();
        for row in 0..columns.len() {
            let verdict = columns.verdict(row);
            if verdict.window_end_us <= self.floor_us {
                continue;
            }
            parts.clear();
            parts.extend(columns.parts(row));
            let Some(sensor) = self.sensors.intern(&parts) else {
                self.is_full = true;
                continue;
            };
            if sensor as usize == self.newest.len() {
                self.newest.push(UNSEEN);
            }
            let status = self.status(columns.status(row));
            self.take(sensor, status, &verdict);
            let is_new = verdict.window_end_us > self.details_after_us;
            wanted += usize::from(verdict.is_anomaly == Some(true) && is_new);
        }
        wanted
    }

    /// Takes anomalies of sensors whose verdicts were taken before. Those of rows that were committed just now
    /// are told to those who follow.
    ///
    /// # Errors
    /// When a column is missing or is of another type.
    pub fn add_anomalies(
        &mut self,
        batch: &RecordBatch,
        key: &[String],
        features: &[String],
        news: News,
    ) -> Result<()> {
        let columns = Columns::of(batch, key)?;
        for (row, anomaly) in anomalies(batch, &columns, features)? {
            let parts: Vec<_> = columns.parts(row).collect();
            let Some(sensor) = self.sensors.intern(&parts) else { continue };
            if sensor as usize == self.newest.len() {
                self.newest.push(UNSEEN);
            }
            if news == News::Fresh {
                self.announce(anomaly.clone());
            }
            if anomaly.window_end_us > self.floor_us {
                self.detail(sensor, anomaly);
            }
        }
        Ok(())
    }
}

/// Whether rows were committed since the last look, or were there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Fresh,
    Known,
}

/// A sensor of which no row was taken yet.
const UNSEEN: Newest = Newest {
    window_end_us: i64::MIN,
    score: f64::NAN,
    threshold: f64::NAN,
    severity: f64::NAN,
    revision: 0,
    anomalies: 0,
    status: 0,
    is_anomaly: None,
};

pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).with_context(|| format!("there is no column {name}"))
}

pub fn numbers<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
) -> Result<PrimitiveArray<T>> {
    let found = column(batch, name)?;
    let wanted = || format!("column {name} is {} and no {}", found.data_type(), T::DATA_TYPE);
    Ok(found.as_primitive_opt::<T>().with_context(wanted)?.clone())
}

pub fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(cast(column(batch, name)?, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// A number, NaN where there is none.
pub fn number(column: &PrimitiveArray<Float64Type>, row: usize) -> f64 {
    if column.is_null(row) { f64::NAN } else { column.value(row) }
}

/// What can be said in JSON.
pub fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// A feature's value in a row.
fn value(batch: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let one = batch.column_by_name(name)?.slice(row, 1);
    let one = cast(&one, &DataType::Float64).ok()?;
    finite(number(one.as_primitive::<Float64Type>(), 0))
}
