//! Reading a set back, and believing nothing of it until it has been checked.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, KeyValue, SensorKey};

use super::encode::{HEADER, schema};
use super::run::TRAINING;
use super::{FORMAT, MAX_ENTRIES, ModelSet, TrainingRun, seal};
use crate::calibration::Calibration;
use crate::drift::{self, Bins, Distribution, LEVELS};
use crate::entry::{ModelEntry, TrainingSummary};
use crate::error::ScoreError;
use crate::model::{ModelParams, Stored};
use crate::svm::{SvmModel, SvmParams, SvmParts, SvmScore};

/// What a set's file says of the set as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHeader {
    /// The version under which it was published, from 1.
    pub version: u64,
    /// The version that this set widens: sensors that it lacks are looked up there.
    pub base: Option<u64>,
    /// The key columns that name its sensors.
    pub key: KeySchema,
    /// A line for people.
    pub note: String,
    /// When it was published, microseconds since 1970 in UTC.
    pub created_us: i64,
}

/// The header as it stands in the file. Version 1.
#[derive(Serialize, Deserialize)]
struct Wire {
    format: u32,
    version: u64,
    base: Option<u64>,
    /// (name, type) of each key column.
    key: Vec<(String, String)>,
    note: String,
    created_us: i64,
    models: usize,
}

/// Only this field: a file of another format may have other fields.
#[derive(Deserialize)]
struct WireFormat {
    format: u32,
}

impl SetHeader {
    pub(super) fn to_json(&self, models: usize) -> String {
        let columns = self.key.columns().iter();
        let wire = Wire {
            format: FORMAT,
            version: self.version,
            base: self.base,
            key: columns.map(|c| (c.name.clone(), c.kind.as_str().to_string())).collect(),
            note: self.note.clone(),
            created_us: self.created_us,
            models,
        };
        serde_json::to_string(&wire).expect("a header of texts and numbers is JSON")
    }

    /// The header, the number of models and the format's version.
    fn from_json(text: &str) -> Result<(Self, usize, u32), String> {
        let format: WireFormat = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let format = format.format;
        if !(1..=FORMAT).contains(&format) {
            return Err(format!("it has format {format}, this program reads 1 to {FORMAT}"));
        }
        let wire: Wire = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let column = |(name, kind): (String, String)| match kind.as_str() {
            "int64" => Ok(KeyColumn { name, kind: KeyType::Int64 }),
            "string" => Ok(KeyColumn { name, kind: KeyType::String }),
            _ => Err(format!("its key column {name} has the type {kind}")),
        };
        let columns = wire.key.into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        if columns.is_empty() || wire.base.is_some_and(|base| base >= wire.version) {
            return Err("it has no key columns, or widens a set that is not older".into());
        }
        let Wire { version, base, note, created_us, models, .. } = wire;
        let key = KeySchema::new(columns);
        Ok((Self { version, base, key, note, created_us }, models, format))
    }

    /// Reads only the header of a set's file, and how many models it promises.
    ///
    /// # Errors
    /// [`ScoreError::Set`] as [`ModelSet::from_bytes`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<(Self, usize), ScoreError> {
        let refuse = |what| ScoreError::Set { set: name.to_string(), what };
        let (header, models, _) =
            header(&open(&Bytes::from(bytes)).map_err(refuse)?).map_err(refuse)?;
        Ok((header, models))
    }
}

pub(super) fn from_parquet(name: &str, bytes: Vec<u8>) -> Result<ModelSet, ScoreError> {
    let refuse = |what: String| ScoreError::Set { set: name.to_string(), what };
    let bytes = Bytes::from(bytes);
    let metadata = open(&bytes).map_err(refuse)?;
    let (header, models, format) = header(&metadata).map_err(refuse)?;
    let expected = schema(&header.key, format);
    if metadata.schema().fields() != expected.fields() {
        return Err(refuse("its columns are not those of a model set".into()));
    }
    let rows = metadata.metadata().file_metadata().num_rows();
    if models > MAX_ENTRIES || rows != models as i64 {
        return Err(refuse(format!("it promises {models} models and has {rows}")));
    }
    let training = text(&metadata, TRAINING).and_then(|text| TrainingRun::from_json(text).ok());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
        .build()
        .map_err(|e| refuse(unreadable(&e)))?;
    let mut entries = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| refuse(unreadable(&e)))?;
        for row in 0..batch.num_rows() {
            entries.push(entry(&header.key, &batch, row).map_err(refuse)?);
        }
    }
    if entries.len() != models {
        return Err(refuse(format!("it promises {models} models and has {}", entries.len())));
    }
    let set = ModelSet::new(header, entries).map_err(|e| refuse(e.to_string()))?;
    // Scoring has no use for it: what a newer version tells is nothing here.
    Ok(set.with_training(training))
}

/// The file's footer, once its seal is found whole.
pub(super) fn open(bytes: &Bytes) -> Result<ArrowReaderMetadata, String> {
    seal::check(bytes)?;
    ArrowReaderMetadata::load(bytes, Default::default()).map_err(|e| unreadable(&e))
}

fn unreadable(error: &dyn std::fmt::Display) -> String {
    format!("it is no whole Parquet file: {error}")
}

/// The header, the number of models and the format's version.
fn header(metadata: &ArrowReaderMetadata) -> Result<(SetHeader, usize, u32), String> {
    let text = text(metadata, HEADER);
    SetHeader::from_json(text.ok_or("it is a Parquet file but no model set")?)
}

/// A text of the file's metadata.
pub(super) fn text<'a>(metadata: &'a ArrowReaderMetadata, key: &str) -> Option<&'a str> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

/// One row as an entry, its hash compared with what was written.
fn entry(key: &KeySchema, batch: &RecordBatch, row: usize) -> Result<ModelEntry, String> {
    let width = key.columns().len();
    let values = (0..width).map(|i| match key.columns()[i].kind {
        KeyType::Int64 => KeyValue::Int(batch.column(i).as_primitive::<Int64Type>().value(row)),
        KeyType::String => KeyValue::Str(batch.column(i).as_string::<i32>().value(row).into()),
    });
    let key = SensorKey(values.collect());
    let of_sensor = |what: &dyn std::fmt::Display| format!("the model of sensor {key}: {what}");
    let row = Row { columns: &batch.columns()[width..], row };
    let model = match row.text(0).as_str() {
        SvmModel::KIND => row.svm().map(ModelParams::OneClassSvm),
        kind => ModelParams::from_stored(kind, &row.stored()),
    };
    let entry = ModelEntry {
        features: row.texts(1),
        model: model.map_err(|e| of_sensor(&e))?,
        threshold: row.float(2),
        calibration: row.calibration().map_err(|e| of_sensor(&e))?,
        training: row.training().map_err(|e| of_sensor(&e))?,
        source: row.text(17),
        key: key.clone(),
    };
    if entry.hash() != row.text(18) {
        return Err(of_sensor(&"its content is not what was written (hash)"));
    }
    Ok(entry)
}

/// One row of the columns after the key, by their place in [`schema`].
struct Row<'a> {
    columns: &'a [ArrayRef],
    row: usize,
}

impl Row<'_> {
    fn text(&self, column: usize) -> String {
        self.columns[column].as_string::<i32>().value(self.row).to_string()
    }

    fn float(&self, column: usize) -> f64 {
        self.columns[column].as_primitive::<Float64Type>().value(self.row)
    }

    fn list(&self, column: usize) -> Vec<f64> {
        let list = self.columns[column].as_list::<i32>().value(self.row);
        list.as_primitive::<Float64Type>().values().to_vec()
    }

    fn texts(&self, column: usize) -> Vec<String> {
        let list = self.columns[column].as_list::<i32>().value(self.row);
        let list = list.as_string::<i32>();
        (0..list.len()).map(|i| list.value(i).to_string()).collect()
    }

    fn count(&self, column: usize) -> Option<u64> {
        let column = self.columns[column].as_primitive::<UInt64Type>();
        column.is_valid(self.row).then(|| column.value(self.row))
    }

    fn time(&self, column: usize) -> Option<i64> {
        let column = self.columns[column].as_primitive::<TimestampMicrosecondType>();
        column.is_valid(self.row).then(|| column.value(self.row))
    }

    fn svm(&self) -> Result<SvmParams, String> {
        let score = match self.columns.get(19).map(|_| self.text(19)).as_deref() {
            None | Some("decision") => SvmScore::Decision,
            Some("relative") => SvmScore::Relative,
            Some("distance") => SvmScore::Distance { unit: self.float(20) },
            Some(other) => return Err(format!("its score is {other:?}")),
        };
        let parts = SvmParts {
            mean: self.list(3),
            scale: self.list(4),
            vectors: self.list(5),
            alpha: self.list(6),
            gamma: self.float(7),
            rho: self.float(8),
            score,
        };
        SvmParams::new(parts).map_err(|e| e.to_string())
    }

    fn stored(&self) -> Stored {
        let blob = self.columns.get(22).and_then(|c| c.as_binary_opt::<i32>());
        let blob = blob.filter(|blob| blob.is_valid(self.row));
        Stored {
            parameters: self.columns.get(21).map_or_else(String::new, |_| self.text(21)),
            blob: blob.map_or_else(Bytes::new, |blob| Bytes::copy_from_slice(blob.value(self.row))),
        }
    }

    fn calibration(&self) -> Result<Option<Calibration>, &'static str> {
        let Some(samples) = self.count(11) else { return Ok(None) };
        Calibration::from_knots(self.list(9), self.list(10), samples).map(Some)
    }

    fn training(&self) -> Result<Option<TrainingSummary>, &'static str> {
        let distribution = self.distribution()?;
        let summary = || {
            Some(TrainingSummary {
                from_us: self.time(12)?,
                to_us: self.time(13)?,
                rows: self.count(14)?,
                rows_used: self.count(15)?,
                false_alarm_rate: self.columns[16].is_valid(self.row).then(|| self.float(16)),
                distribution,
            })
        };
        Ok(summary())
    }

    /// What training rows were like; sets of earlier formats don't know.
    fn distribution(&self) -> Result<Option<Distribution>, &'static str> {
        if !self.columns.get(23).is_some_and(|column| column.is_valid(self.row)) {
            return Ok(None);
        }
        let counts = self.columns[24].as_list::<i32>().value(self.row);
        let mut counts = counts.as_primitive::<UInt64Type>().values().as_ref();
        let mut all = Vec::new();
        for quantiles in self.list(23).chunks(LEVELS) {
            let width = drift::width(quantiles).min(counts.len());
            let (own, others) = counts.split_at(width);
            all.push(Bins::from_stored(quantiles, own)?);
            counts = others;
        }
        match counts.is_empty() {
            true => Ok(Some(all.into())),
            false => Err("its training rows have more bins than quantiles"),
        }
    }
}
