//! The models in force: a set and what it widens.

use std::sync::Arc;

use tidegauge_flow::SensorKey;

use crate::entry::ModelEntry;
use crate::set::ModelSet;

/// A chain of sets, newest first. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Models {
    sets: Arc<[Arc<ModelSet>]>,
    versions: Arc<[u64]>,
}

impl Models {
    /// # Panics
    /// When there is no set.
    pub fn new(sets: Vec<Arc<ModelSet>>) -> Self {
        assert!(!sets.is_empty(), "models need at least one set");
        let versions = sets.iter().map(|set| set.header.version).collect();
        Self { sets: sets.into(), versions }
    }

    /// The model of a sensor in the newest set that has one, and that set's version.
    pub fn find(&self, key: &SensorKey) -> Option<(&Arc<ModelEntry>, u64)> {
        self.sets.iter().find_map(|set| Some((set.get(key)?, set.header.version)))
    }

    /// The version of the newest set, by which the chain is known.
    pub fn version(&self) -> u64 {
        self.versions[0]
    }

    /// The versions of the chain, newest first.
    pub fn versions(&self) -> &[u64] {
        &self.versions
    }

    /// The set that the alias means.
    pub fn newest(&self) -> &Arc<ModelSet> {
        &self.sets[0]
    }

    /// The sets of the chain, newest first.
    pub fn sets(&self) -> &[Arc<ModelSet>] {
        &self.sets
    }

    /// Every model that lookup can find, with the version of its set: newest set first, then by
    /// key.
    pub fn effective(&self) -> impl Iterator<Item = (&Arc<ModelEntry>, u64)> {
        self.sets.iter().enumerate().flat_map(|(i, set)| {
            let newer = &self.sets[..i];
            let visible = move |e: &&Arc<ModelEntry>| newer.iter().all(|s| s.get(&e.key).is_none());
            set.entries().filter(visible).map(|entry| (entry, set.header.version))
        })
    }
}
