//! A set as Parquet: a row per sensor, so that `query` and other tools can read it too.
//!
//! Columns: the key columns as `key_<name>`, then ours, which no key column can be
//! named like. What holds for the whole set is one JSON text in the file's metadata.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Float64Builder, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue as Meta;
use parquet::file::properties::WriterProperties;
use tidegauge_flow::{KeySchema, KeyType, KeyValue};

use super::run::TRAINING;
use super::{FORMAT, ModelSet, TrainingRun, seal};
use crate::calibration::Calibration;
use crate::entry::{ModelEntry, TrainingSummary};
use crate::error::ScoreError;
use crate::model::{ModelParams, Stored};
use crate::svm::{SvmParams, SvmScore};

/// The metadata key of the JSON text.
pub(super) const HEADER: &str = "tidegauge.models";

/// The metadata key of the digest.
const SEAL: &str = "tidegauge.seal";

/// Rows that are turned into columns at a time.
const BATCH: usize = 4096;

/// The columns of a file of this format version.
pub(super) fn schema(key: &KeySchema, format: u32) -> SchemaRef {
    let keys = key.columns().iter();
    let mut fields: Vec<Field> =
        keys.map(|c| Field::new(format!("key_{}", c.name), c.kind.data_type(), false)).collect();
    let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, false)));
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let ours = [
        ("kind", DataType::Utf8, false),
        ("features", list(DataType::Utf8), false),
        ("threshold", DataType::Float64, false),
        ("mean", list(DataType::Float64), false),
        ("scale", list(DataType::Float64), false),
        ("vectors", list(DataType::Float64), false),
        ("alpha", list(DataType::Float64), false),
        ("gamma", DataType::Float64, false),
        ("rho", DataType::Float64, false),
        ("calibration_scores", list(DataType::Float64), false),
        ("calibration_severities", list(DataType::Float64), false),
        ("calibration_samples", DataType::UInt64, true),
        ("trained_from", time(), true),
        ("trained_to", time(), true),
        ("trained_rows", DataType::UInt64, true),
        ("trained_rows_used", DataType::UInt64, true),
        ("false_alarm_rate", DataType::Float64, true),
        ("source", DataType::Utf8, false),
        ("hash", DataType::Utf8, false),
    ];
    // Version 1 ends here. The columns from `mean` to `rho` are those of support vector machines.
    let since_2 = [
        ("score", DataType::Utf8, true),
        ("unit", DataType::Float64, true),
        ("parameters", DataType::Utf8, true),
        ("blob", DataType::Binary, true),
    ];
    let since_2 = since_2.into_iter().filter(|_| format >= 2);
    let since_3 = [
        ("training_quantiles", list(DataType::Float64), true),
        ("training_counts", list(DataType::UInt64), true),
    ];
    let since_3 = since_3.into_iter().filter(|_| format >= 3);
    let ours = ours.into_iter().chain(since_2).chain(since_3);
    fields.extend(ours.map(|(name, of, nullable)| Field::new(name, of, nullable)));
    Arc::new(Schema::new(fields))
}

pub(super) fn to_parquet(set: &ModelSet) -> Result<Vec<u8>, ScoreError> {
    let refuse = |e: &dyn std::fmt::Display| ScoreError::Set {
        set: set.header.version.to_string(),
        what: e.to_string(),
    };
    let header = set.header.to_json(set.entries().len());
    let level = ZstdLevel::try_new(3).map_err(|e| refuse(&e))?;
    let mut metadata = vec![
        Meta::new(HEADER.to_string(), header),
        Meta::new(SEAL.to_string(), seal::placeholder()),
    ];
    let training = set.training.as_ref().map(TrainingRun::to_json);
    metadata.extend(training.map(|text| Meta::new(TRAINING.to_string(), text)));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(Some(metadata))
        .build();
    let schema = schema(&set.header.key, FORMAT);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties))
        .map_err(|e| refuse(&e))?;
    let entries: Vec<&ModelEntry> = set.entries().map(Arc::as_ref).collect();
    for entries in entries.chunks(BATCH) {
        let columns = columns(&set.header.key, entries);
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        writer.write(&batch).map_err(|e| refuse(&e))?;
    }
    writer.close().map_err(|e| refuse(&e))?;
    seal::seal(&mut bytes);
    Ok(bytes)
}

fn columns(key: &KeySchema, entries: &[&ModelEntry]) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> =
        (0..key.columns().len()).map(|i| key_column(key.columns()[i].kind, i, entries)).collect();
    let svm = |e: &'_ ModelEntry| match &e.model {
        ModelParams::OneClassSvm(svm) => Some(svm.clone()),
        _ => None,
    };
    let svms: Vec<Option<SvmParams>> = entries.iter().map(|e| svm(e)).collect();
    let numbers = |get: fn(&SvmParams) -> &[f64]| {
        lists(svms.iter().map(|svm| svm.as_ref().map_or(&[][..], get)))
    };
    let number =
        |get: fn(&SvmParams) -> f64| floats(svms.iter().map(|svm| svm.as_ref().map_or(0.0, get)));
    let knots = |get: fn(&Calibration) -> &[f64]| {
        lists(entries.iter().map(|e| e.calibration.as_ref().map_or(&[][..], get)))
    };
    let samples = entries.iter().map(|e| e.calibration.as_ref().map(Calibration::samples));
    columns.extend([
        texts(entries.iter().map(|e| e.model.kind())),
        names(entries),
        floats(entries.iter().map(|e| e.threshold)),
        numbers(SvmParams::mean),
        numbers(SvmParams::scale),
        numbers(SvmParams::vectors),
        numbers(SvmParams::alpha),
        number(SvmParams::gamma),
        number(SvmParams::rho),
        knots(Calibration::scores),
        knots(Calibration::severities),
        Arc::new(samples.collect::<UInt64Array>()) as ArrayRef,
    ]);
    columns.extend(training(entries));
    columns.push(texts(entries.iter().map(|e| e.source.as_str())));
    columns.push(Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.hash()))));
    let score = |svm: &Option<SvmParams>| svm.as_ref().map(|svm| score_word(svm.score()));
    columns.push(Arc::new(svms.iter().map(score).collect::<StringArray>()));
    let unit = |svm: &Option<SvmParams>| match svm.as_ref()?.score() {
        SvmScore::Distance { unit } => Some(unit),
        SvmScore::Decision | SvmScore::Relative => None,
    };
    columns.push(Arc::new(svms.iter().map(unit).collect::<Float64Array>()));
    let stored: Vec<Option<Stored>> = entries.iter().map(|e| e.model.to_stored()).collect();
    let parameters = stored.iter().map(|s| s.as_ref().map(|s| s.parameters.as_str()));
    columns.push(Arc::new(parameters.collect::<StringArray>()));
    let blobs = stored.iter().map(|s| s.as_ref().map(|s| s.blob.as_ref()));
    columns.push(Arc::new(blobs.collect::<BinaryArray>()));
    columns.extend(distributions(entries));
    columns
}

/// The word for what a support vector machine gives as its score.
pub(super) fn score_word(score: SvmScore) -> &'static str {
    match score {
        SvmScore::Decision => "decision",
        SvmScore::Relative => "relative",
        SvmScore::Distance { .. } => "distance",
    }
}

fn key_column(kind: KeyType, column: usize, entries: &[&ModelEntry]) -> ArrayRef {
    let values = entries.iter().map(|e| &e.key.0[column]);
    match kind {
        KeyType::Int64 => {
            let int = |v: &KeyValue| match v {
                KeyValue::Int(v) => Some(*v),
                KeyValue::Str(_) => None,
            };
            Arc::new(values.map(int).collect::<Int64Array>())
        }
        KeyType::String => {
            let text = |v: &KeyValue| match v {
                KeyValue::Int(_) => None,
                KeyValue::Str(v) => Some(v.to_string()),
            };
            Arc::new(values.map(text).collect::<StringArray>())
        }
    }
}

fn training(entries: &[&ModelEntry]) -> [ArrayRef; 5] {
    let all = || entries.iter().map(|entry| entry.training.as_ref());
    let time = |get: fn(&TrainingSummary) -> i64| -> ArrayRef {
        let times: TimestampMicrosecondArray = all().map(|t| t.map(get)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let count = |get: fn(&TrainingSummary) -> u64| -> ArrayRef {
        Arc::new(all().map(|t| t.map(get)).collect::<UInt64Array>())
    };
    let rate = all().map(|t| t.and_then(|t| t.false_alarm_rate)).collect::<Float64Array>();
    [
        time(|t| t.from_us),
        time(|t| t.to_us),
        count(|t| t.rows),
        count(|t| t.rows_used),
        Arc::new(rate),
    ]
}

/// What training rows were like: the quantiles of all features, one after the other, and the rows in
/// their bins.
fn distributions(entries: &[&ModelEntry]) -> [ArrayRef; 2] {
    let field = |of| Field::new_list_field(of, false);
    let mut quantiles =
        ListBuilder::new(Float64Builder::new()).with_field(field(DataType::Float64));
    let mut counts = ListBuilder::new(UInt64Builder::new()).with_field(field(DataType::UInt64));
    for entry in entries {
        let known = entry.training.as_ref().and_then(|training| training.distribution.as_deref());
        for bins in known.unwrap_or_default() {
            quantiles.values().append_slice(bins.quantiles());
            counts.values().append_slice(bins.counts());
        }
        quantiles.append(known.is_some());
        counts.append(known.is_some());
    }
    [Arc::new(quantiles.finish()), Arc::new(counts.finish())]
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn floats(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn lists<'a>(rows: impl Iterator<Item = &'a [f64]>) -> ArrayRef {
    let field = Field::new_list_field(DataType::Float64, false);
    let mut builder = ListBuilder::new(Float64Builder::new()).with_field(field);
    for row in rows {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn names(entries: &[&ModelEntry]) -> ArrayRef {
    let field = Field::new_list_field(DataType::Utf8, false);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
    for entry in entries {
        entry.features.iter().for_each(|name| builder.values().append_value(name));
        builder.append(true);
    }
    Arc::new(builder.finish())
}
