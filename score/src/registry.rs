//! Where model sets and aliases live: versions that never change, and names that move.
//!
//! ```text
//! <prefix>sets/<20 digits>.parquet           one set per version, put if absent
//! <prefix>aliases/<name>/<20 digits>.json    one record per move, put if absent; the newest holds
//! ```
//! # Guarantees
//! A version is published whole or not at all and never overwritten. An alias moves in one write,
//! only to a set that has just been read, and its earlier moves stay on record. A set that cannot
//! be read never takes the place of one that can.

mod advance;
mod alias;
mod models;
mod trainings;

pub use alias::AliasRecord;
pub use models::Models;
pub use trainings::About;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tidegauge_flow::{KeySchema, Store, StoreError};

use crate::entry::ModelEntry;
use crate::error::ScoreError;
use crate::set::{ModelSet, SetHeader, describe};

/// Most sets that lookup goes through: each may widen an older one.
pub const MAX_CHAIN: usize = 64;

/// How often a publication tries the next number when others take it first.
const ATTEMPTS: u32 = 100;

/// Model sets and aliases under one prefix of a store.
pub struct Registry {
    store: Arc<dyn Store>,
    prefix: String,
    /// Sets that someone still holds, so that the lanes of a process share them.
    loaded: Mutex<BTreeMap<u64, Weak<ModelSet>>>,
    /// What the last moves of aliases say of schedules.
    scheduled: Mutex<trainings::Scheduled>,
}

/// One version in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSummary {
    /// The version.
    pub version: u64,
    /// Its header and how many models it has, or why it cannot be read.
    pub content: Result<(SetHeader, usize), String>,
}

impl Registry {
    /// The registry under `prefix`, which is empty or ends in `/`.
    pub fn new(store: Arc<dyn Store>, prefix: &str) -> Self {
        Self {
            store,
            prefix: prefix.to_string(),
            loaded: Mutex::default(),
            scheduled: Mutex::default(),
        }
    }

    /// Publishes entries as the next version and gives that version. With a base, the new set
    /// widens it: sensors that the new one lacks keep the base's models.
    ///
    /// # Errors
    /// When an entry is no usable model, the base cannot be read or names sensors by other key
    /// columns, or the store fails. Nothing is published then.
    pub fn publish(
        &self,
        key: &KeySchema,
        entries: Vec<ModelEntry>,
        base: Option<u64>,
        about: impl Into<About>,
        now_us: i64,
    ) -> Result<u64, ScoreError> {
        if let Some(base) = base {
            self.check_base(base, key)?;
        }
        let first = self.versions()?.last().map_or(1, |newest| newest + 1);
        let (key, About { note, training }) = (key.clone(), about.into());
        let header = SetHeader { version: first, base, key, note, created_us: now_us };
        let mut set = ModelSet::new(header, entries)?.with_training(training);
        for version in first..first + u64::from(ATTEMPTS) {
            set.header.version = version;
            let bytes = set.to_bytes()?;
            let path = self.set_path(version);
            if ModelSet::from_bytes(&path, bytes.clone())? != set {
                let what = "it reads back as something else".to_string();
                return Err(ScoreError::Set { set: path, what });
            }
            if self.claim(&path, &bytes)? {
                return Ok(version);
            }
        }
        Err(ScoreError::Contention { what: "publishing a model set".into(), attempts: ATTEMPTS })
    }

    /// One version, from memory when someone holds it.
    ///
    /// # Errors
    /// [`ScoreError::UnknownSet`] when there is none, [`ScoreError::Set`] when it cannot be used.
    pub fn load(&self, version: u64) -> Result<Arc<ModelSet>, ScoreError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = loaded.get(&version).and_then(Weak::upgrade) {
            return Ok(set);
        }
        let path = self.set_path(version);
        let set = ModelSet::from_bytes(&path, self.get_set(version)?)?;
        if set.header.version != version {
            let what = format!("it says that it is version {}", set.header.version);
            return Err(ScoreError::Set { set: path, what });
        }
        let set = Arc::new(set);
        loaded.retain(|_, held| held.strong_count() > 0);
        loaded.insert(version, Arc::downgrade(&set));
        Ok(set)
    }

    /// Every version, oldest first; one that cannot be read says why.
    ///
    /// # Errors
    /// When the store cannot be listed or read.
    pub fn sets(&self) -> Result<Vec<SetSummary>, ScoreError> {
        self.versions()?.into_iter().map(|version| self.summary(version)).collect()
    }

    /// One version in a listing; one that cannot be read says why.
    ///
    /// # Errors
    /// [`ScoreError::UnknownSet`] when there is none, or the store cannot be read.
    pub fn summary(&self, version: u64) -> Result<SetSummary, ScoreError> {
        let bytes = self.get_set(version)?;
        let content = SetHeader::from_bytes(&version.to_string(), bytes);
        Ok(SetSummary { version, content: content.map_err(|e| e.to_string()) })
    }

    /// The models of an alias, with every set that it widens; `None` when there is no such alias.
    ///
    /// # Errors
    /// When a set of the chain cannot be used: whatever the caller has in force stays so.
    pub fn resolve(&self, alias: &str) -> Result<Option<Models>, ScoreError> {
        self.alias(alias)?.map(|record| self.models(record.version)).transpose()
    }

    /// The models of one version, with every set that it widens: what a replay uses.
    ///
    /// # Errors
    /// When a set of the chain cannot be used.
    pub fn models(&self, version: u64) -> Result<Models, ScoreError> {
        let mut sets = vec![self.load(version)?];
        while let Some(base) = sets.last().and_then(|set| set.header.base) {
            if sets.len() == MAX_CHAIN {
                let what = format!("it widens more than {MAX_CHAIN} others: publish a full set");
                return Err(ScoreError::Set { set: version.to_string(), what });
            }
            sets.push(self.load(base)?);
        }
        Ok(Models::new(sets))
    }

    /// Versions whose file is there, rising.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn versions(&self) -> Result<Vec<u64>, ScoreError> {
        self.numbers("sets/", ".parquet")
    }

    fn check_base(&self, base: u64, key: &KeySchema) -> Result<(), ScoreError> {
        let models = self.models(base)?;
        check_key(base, &models.newest().header.key, key)?;
        if models.versions().len() == MAX_CHAIN {
            let what = format!("it ends a chain of {MAX_CHAIN} sets: publish a full set");
            return Err(ScoreError::Set { set: base.to_string(), what });
        }
        Ok(())
    }

    /// A version's header, which is read anew.
    fn header(&self, version: u64) -> Result<SetHeader, ScoreError> {
        let header = SetHeader::from_bytes(&self.set_path(version), self.get_set(version)?);
        header.map(|(header, _)| header)
    }

    fn get_set(&self, version: u64) -> Result<Vec<u8>, ScoreError> {
        self.store.get(&self.set_path(version)).map_err(|error| match error {
            StoreError::NotFound { .. } => {
                let place = format!("{}/{}", self.store.url(), self.prefix);
                ScoreError::UnknownSet { version, place }
            }
            error => error.into(),
        })
    }

    fn remove_set(&self, version: u64) -> Result<(), ScoreError> {
        Ok(self.store.delete(&self.set_path(version))?)
    }

    fn set_path(&self, version: u64) -> String {
        format!("{}sets/{version:020}.parquet", self.prefix)
    }

    /// The 20-digit numbers of the files of a folder, rising; other names are not ours.
    fn numbers(&self, folder: &str, ending: &str) -> Result<Vec<u64>, ScoreError> {
        let folder = format!("{}{folder}", self.prefix);
        let number = |path: &str| {
            let digits = path.strip_prefix(&folder)?.strip_suffix(ending)?;
            (digits.len() == 20).then(|| digits.parse().ok()).flatten()
        };
        let listing = self.store.list(&folder)?;
        let mut numbers: Vec<u64> = listing.iter().filter_map(|e| number(&e.path)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes a new object; false when another one has taken the path. When the answer was lost,
    /// the object itself says whose it is.
    fn claim(&self, path: &str, bytes: &[u8]) -> Result<bool, ScoreError> {
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

/// # Errors
/// [`ScoreError::KeyMismatch`] when a set names sensors by other columns.
fn check_key(set: u64, expected: &KeySchema, found: &KeySchema) -> Result<(), ScoreError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (describe(expected), describe(found));
    Err(ScoreError::KeyMismatch { set, expected, found })
}

#[cfg(test)]
mod tests;
