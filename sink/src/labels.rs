//! Labels: what people know of windows, as numbered records beside the ledger.
//!
//! # Guarantees
//! A label is there whole or not at all and is never written over: of two people who label at once, both are
//! kept. A newer label of the same sensors and the same range takes the place of the older one; taking a label
//! back is such a newer one. Nothing else of a lake depends on them, and maintenance leaves them alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_flow::{KeyValue, Store, StoreError};

use crate::error::LakeError;
use crate::format;
use crate::paths::LABELS;

/// Most labels of a lake, those that were replaced included: reading them is a request each.
pub const LABELS_MAX: usize = 100_000;

/// Most bytes of a note.
pub const NOTE_MAX: usize = 1_000;

/// How often the next number is tried when others take it first.
const ATTEMPTS: u64 = 100;

/// What is known of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Something was wrong then: an event that is to be found.
    True,
    /// Nothing was wrong: an alarm then is a false one.
    False,
    /// An earlier label was a mistake.
    Removed,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Labels are numbered from 1 in the order in which they were made.
    pub number: u64,
    /// A value of each key column; `None` is any.
    pub key: Vec<Option<KeyValue>>,
    /// The range, microseconds since 1970 in UTC.
    pub from_us: i64,
    /// Not before `from_us`.
    pub to_us: i64,
    /// What is known.
    pub meaning: Meaning,
    /// A line for people.
    pub note: String,
    /// When it was made, microseconds since 1970 in UTC.
    pub made_at_us: i64,
}

/// The labels of a lake.
#[derive(Clone)]
pub struct Labels {
    store: Arc<dyn Store>,
}

impl Meaning {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Removed => "removed",
        }
    }
}

impl Labels {
    /// Those of the lake in a store.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Those that hold, in the order in which they were made.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when one is not as it was written.
    pub fn in_force(&self) -> Result<Vec<Label>, LakeError> {
        let mut newest = BTreeMap::new();
        for number in self.numbers()? {
            let label = self.read(number)?;
            newest.insert((label.key.clone(), label.from_us, label.to_us), label);
        }
        let mut labels: Vec<Label> =
            newest.into_values().filter(|label| label.meaning != Meaning::Removed).collect();
        labels.sort_by_key(|label| label.number);
        Ok(labels)
    }

    /// Adds a label under the next number, which it gets. The number that it comes with does not matter.
    ///
    /// # Errors
    /// [`LakeError::Label`] for one that cannot be; or when the store fails, and there may be a label or none.
    pub fn add(&self, mut label: Label) -> Result<Label, LakeError> {
        check(&label)?;
        let numbers = self.numbers()?;
        let refuse = |what: String| Err(LakeError::Label { what });
        if numbers.len() >= LABELS_MAX {
            return refuse(format!("the lake has {LABELS_MAX} labels, and no more are possible"));
        }
        let first = numbers.last().map_or(1, |newest| newest + 1);
        for number in first..first + ATTEMPTS {
            label.number = number;
            if self.claim(&path(number), &format::label::encode(&label))? {
                return Ok(label);
            }
        }
        refuse(format!("others took the next number {ATTEMPTS} times in a row; try again"))
    }

    /// The numbers of all, rising; other names are not ours.
    fn numbers(&self) -> Result<Vec<u64>, LakeError> {
        let number = |path: &str| {
            let digits = path.strip_prefix(LABELS)?.strip_suffix(".json")?;
            (digits.len() == 20).then(|| digits.parse().ok()).flatten()
        };
        let listing = self.store.list(LABELS)?;
        let mut numbers: Vec<u64> = listing.iter().filter_map(|e| number(&e.path)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn read(&self, number: u64) -> Result<Label, LakeError> {
        let path = path(number);
        let label = format::label::decode(&path, &self.store.get(&path)?)?.intact(&path)?;
        match label.number == number && label.from_us <= label.to_us {
            true => Ok(label),
            false => Err(LakeError::damaged(&path, "its number or range is not a label's")),
        }
    }

    /// Writes a label; false when another one has taken the number. When the answer was lost, the object
    /// itself says whose it is.
    fn claim(&self, path: &str, bytes: &[u8]) -> Result<bool, LakeError> {
        match self.store.put_if_absent(path, bytes) {
            Ok(()) => Ok(true),
            Err(StoreError::Exists { .. }) => Ok(false),
            Err(error @ StoreError::Ambiguous { .. }) => match self.store.get(path) {
                Ok(there) => Ok(there == bytes),
                Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

fn check(label: &Label) -> Result<(), LakeError> {
    let refuse = |what: String| Err(LakeError::Label { what });
    if label.to_us < label.from_us {
        return refuse("its range ends before it begins".into());
    }
    if label.note.len() > NOTE_MAX {
        let bytes = label.note.len();
        return refuse(format!("its note has {bytes} bytes, {NOTE_MAX} are possible"));
    }
    Ok(())
}

fn path(number: u64) -> String {
    format!("{LABELS}{number:020}.json")
}

#[cfg(test)]
mod tests;
