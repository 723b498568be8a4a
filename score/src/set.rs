//! A model set: one publication of models for many sensors, whole or not at all.

mod decode;
mod encode;
mod run;
mod seal;

pub use decode::SetHeader;
pub use run::{SkippedSensor, TrainingRun};

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_flow::{KeySchema, SensorKey};

use crate::entry::ModelEntry;
use crate::error::ScoreError;

/// The version of the file format that this code writes. It reads version 1 too, which knew one kind
/// of model and one kind of score, and version 2, which did not hold what training rows were like.
pub const FORMAT: u32 = 3;

/// Most models that one set may hold.
pub const MAX_ENTRIES: usize = 10_000_000;

/// Most bytes that the files of all models in a set may have: a column of Arrow ends at 2 GiB.
pub const MAX_BLOB_BYTES: usize = 1 << 30;

/// A set in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSet {
    /// What its file says of it as a whole.
    pub header: SetHeader,
    /// How its models were trained together, where that is known.
    pub training: Option<TrainingRun>,
    entries: BTreeMap<SensorKey, Arc<ModelEntry>>,
    /// The features of all its models, where these are the same.
    features: Option<Vec<String>>,
    needs_more: bool,
}

impl ModelSet {
    /// # Errors
    /// [`ScoreError::Model`] for an entry that is no usable model, has another key than the header
    /// says, or is there twice; [`ScoreError::Set`] when there is none, too many, or
    /// their files are too large together.
    pub fn new(header: SetHeader, entries: Vec<ModelEntry>) -> Result<Self, ScoreError> {
        let count = entries.len();
        if count == 0 || count > MAX_ENTRIES {
            let what = format!("it has {count} models; 1 to {MAX_ENTRIES} are possible");
            return Err(ScoreError::Set { set: header.version.to_string(), what });
        }
        let blobs = entries.iter().map(|entry| entry.model.blob_bytes());
        let blobs = blobs.fold(0, usize::saturating_add);
        if blobs > MAX_BLOB_BYTES {
            let what = format!(
                "the files of its models have {blobs} bytes, {MAX_BLOB_BYTES} are possible: publish \
                 them as several sets"
            );
            return Err(ScoreError::Set { set: header.version.to_string(), what });
        }
        let features = entries.first().map(|first| first.features.clone());
        let features = features.filter(|all| entries.iter().all(|entry| entry.features == *all));
        let needs_more = entries.iter().any(|entry| entry.model.needs_more());
        let mut all = BTreeMap::new();
        for entry in entries {
            entry.check()?;
            let refuse = |what| Err(ScoreError::Model { sensor: entry.key.to_string(), what });
            if !fits(&entry.key, &header.key) {
                return refuse(format!("its key is not {}", describe(&header.key)));
            }
            if all.contains_key(&entry.key) {
                return refuse("the set has it twice".to_string());
            }
            all.insert(entry.key.clone(), Arc::new(entry));
        }
        Ok(Self { header, training: None, entries: all, features, needs_more })
    }

    /// The same set, which tells how it was trained.
    pub fn with_training(mut self, training: Option<TrainingRun>) -> Self {
        self.training = training;
        self
    }

    /// Whether all its models see these features and can be built without anything else: what can be
    /// said of the set without a look at each model.
    pub(crate) fn is_plain(&self, features: &[String]) -> bool {
        self.sees(features) && !self.needs_more
    }

    /// Whether all its models see just these features.
    pub(crate) fn sees(&self, features: &[String]) -> bool {
        self.features.as_deref() == Some(features)
    }

    /// The model of one sensor.
    pub fn get(&self, key: &SensorKey) -> Option<&Arc<ModelEntry>> {
        self.entries.get(key)
    }

    /// All models, in the order of their keys.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Arc<ModelEntry>> {
        self.entries.values()
    }

    /// The set as the bytes of a Parquet file.
    ///
    /// # Errors
    /// When Parquet refuses to write.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ScoreError> {
        encode::to_parquet(self)
    }

    /// Reads a set's file; `name` is for messages.
    ///
    /// # Errors
    /// [`ScoreError::Set`] when the bytes are not a whole set of this format version, or a model's
    /// content is not what was written.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, ScoreError> {
        decode::from_parquet(name, bytes)
    }
}

/// The key columns with their types, as messages show them.
pub(crate) fn describe(key: &KeySchema) -> String {
    let columns = key.columns().iter().map(|c| format!("{} {}", c.name, c.kind.as_str()));
    format!("({})", columns.collect::<Vec<_>>().join(", "))
}

fn fits(key: &SensorKey, schema: &KeySchema) -> bool {
    key.0.len() == schema.columns().len()
        && key.0.iter().zip(schema.columns()).all(|(value, column)| value.kind() == column.kind)
}

#[cfg(test)]
pub(crate) mod tests;
