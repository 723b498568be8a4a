//! How the models of a set were trained together, as the set's own file tells it later.
//!
//! *Beside the header*: whoever only scores has no use for it, and a form of it that this program does not
//! know makes no set unusable.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::decode;
use crate::entry::ModelEntry;
use crate::error::ScoreError;
use crate::train::Report;

/// The metadata key of the JSON text.
pub(super) const TRAINING: &str = "tidegauge.training";

/// The version of that text's format.
const FORMAT: u32 = 1;

/// Most sensors that are named; the others are only counted.
const NAMED_MAX: usize = 1_000;

/// A training and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrainingRun {
    /// The schedule that asked for it, as it is configured; none when a person did.
    pub schedule: Option<String>,
    /// Rows whose window ended after this trained, microseconds since 1970 in UTC; all before `to` if none.
    pub from_us: Option<i64>,
    /// Rows whose window ended at this time or before it trained.
    pub to_us: Option<i64>,
    /// Models that were trained.
    pub trained: u64,
    /// Sensors that got none, by the word for the reason.
    pub skipped: BTreeMap<String, u64>,
    /// The first of these sensors.
    pub named: Vec<SkippedSensor>,
    /// Which models of the set it made, a bit for each in the order of their keys, the lowest first; the others
    /// were taken in from older sets. Empty when the set does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<u64>,
}

/// A sensor that got no model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedSensor {
    /// Its key's parts.
    pub sensor: String,
    /// The word for the reason.
    pub reason: String,
    /// The reason, and what to do.
    pub what: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    format: u32,
    #[serde(flatten)]
    run: TrainingRun,
}

impl TrainingRun {
    /// What a report says of the rows of a range of window ends, (from, to].
    pub fn of(report: &Report, from_us: Option<i64>, to_us: Option<i64>) -> Self {
        let mut skipped = BTreeMap::new();
        for (_, reason) in &report.skipped {
            *skipped.entry(reason.word().to_string()).or_default() += 1;
        }
        let named = report.skipped.iter().take(NAMED_MAX).map(|(sensor, reason)| SkippedSensor {
            sensor: sensor.to_string(),
            reason: reason.word().to_string(),
            what: reason.to_string(),
        });
        Self {
            schedule: None,
            from_us,
            to_us,
            trained: report.entries.len() as u64,
            skipped,
            named: named.collect(),
            made: Vec::new(),
        }
    }

    /// Whether it made the model at a place of the set, in the order of keys; `None` when the set does not
    /// tell.
    pub fn has_made(&self, place: usize) -> Option<bool> {
        let word = self.made.get(place / 64)?;
        Some(word >> (place % 64) & 1 == 1)
    }

    /// Notes that of a set's entries the first `made` are its own.
    pub(crate) fn note_made(&mut self, entries: &[ModelEntry], made: usize) {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_unstable_by_key(|&n| &entries[n].key);
        let is_made: Vec<bool> = order.into_iter().map(|n| n < made).collect();
        let word =
            |bits: &[bool]| bits.iter().rev().fold(0, |word, bit| word << 1 | u64::from(*bit));
        self.made = is_made.chunks(64).map(word).collect();
    }

    /// Sensors that got no model.
    pub fn skipped_total(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// What the bytes of a set's file say of its training; `None` when it was not trained as a whole.
    ///
    /// # Errors
    /// [`ScoreError::Set`] when the bytes are no whole set, or it is told in a form of a newer version.
    pub fn from_set(name: &str, bytes: Vec<u8>) -> Result<Option<Self>, ScoreError> {
        let refuse = |what| ScoreError::Set { set: name.to_string(), what };
        let metadata = decode::open(&Bytes::from(bytes)).map_err(refuse)?;
        decode::text(&metadata, TRAINING).map(Self::from_json).transpose().map_err(refuse)
    }

    pub(super) fn to_json(&self) -> String {
        let wire = Wire { format: FORMAT, run: self.clone() };
        serde_json::to_string(&wire).expect("a training of texts and numbers is JSON")
    }

    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        let wire: Wire = serde_json::from_str(text).map_err(|e| format!("its training: {e}"))?;
        match wire.format {
            FORMAT => Ok(wire.run),
            other => Err(format!("its training has format {other}, this program reads {FORMAT}")),
        }
    }
}
