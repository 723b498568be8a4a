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
    count: usize,
}

impl Models {
    /// # Panics
    /// When there is no set.
    pub fn new(sets: Vec<Arc<ModelSet>>) -> Self {
        assert!(!sets.is_empty(), "models need at least one set");
        let versions = sets.iter().map(|set| set.header.version).collect();
        let count = (0..sets.len()).map(|i| sets[i].entries().len() - hidden(&sets, i)).sum();
        Self { sets: sets.into(), versions, count }
    }

    /// How many models lookup can find.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The sets that only one of two chains has, when both end in the same sets: a sensor that none of
    /// them names has the model that it had. `None` when they have nothing in common.
    pub(crate) fn apart_from(&self, other: &Self) -> Option<Vec<Arc<ModelSet>>> {
        let from_the_end = self.sets.iter().rev().zip(other.sets.iter().rev());
        let shared = from_the_end.take_while(|(ours, theirs)| Arc::ptr_eq(ours, theirs)).count();
        let own = |models: &Self| models.sets[..models.sets.len() - shared].to_vec();
        (shared > 0).then(|| [own(self), own(other)].concat())
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

/// How many models of a set newer ones hide: by a walk over the newer sets, which are small beside the set
/// that they widen.
fn hidden(sets: &[Arc<ModelSet>], set: usize) -> usize {
    let (newer, set) = (&sets[..set], &sets[set]);
    let named = newer.iter().enumerate().flat_map(|(i, newest)| {
        let is_first =
            move |e: &&Arc<ModelEntry>| newer[..i].iter().all(|s| s.get(&e.key).is_none());
        newest.entries().filter(is_first)
    });
    named.filter(|entry| set.get(&entry.key).is_some()).count()
}
