//! A lineage that grows by many small publications, and what is removed of it.
//!
//! *Merging*: a new set takes in the sets below it that are not much larger than itself, so a lineage
//! that gains a few models at a time stays a chain of few sets, each model is copied a logarithmic number
//! of times, and nothing has to be rewritten as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegauge_flow::KeySchema;

use super::alias::AliasRecord;
use super::{ATTEMPTS, About, Models, Registry, check_key};
use crate::context::canonical;
use crate::entry::ModelEntry;
use crate::error::ScoreError;
use crate::set::ModelSet;

/// A set below is taken in when it has at most so many times the models of what is published.
const TAKEN_IN: usize = 2;

/// The newest versions that are never removed: someone may be about to move an alias there.
const NEWEST: usize = 100;

impl Registry {
    /// Publishes models over those that an alias means and moves the alias there, whoever else moves it
    /// at the same time: nobody's models are lost. The new version.
    ///
    /// # Errors
    /// [`ScoreError::Mixed`] when models that the alias keeps see other features; else as
    /// [`Registry::publish`] and [`Registry::move_alias`].
    pub fn advance(
        &self,
        alias: &str,
        key: &KeySchema,
        entries: &[ModelEntry],
        about: impl Into<About>,
        now_us: i64,
    ) -> Result<u64, ScoreError> {
        let mut about = about.into();
        for _ in 0..ATTEMPTS {
            let before = self.alias(alias)?;
            let chain = match &before {
                Some(record) => self.models(record.version)?.sets().to_vec(),
                None => Vec::new(),
            };
            if let Some(set) = chain.first() {
                check_key(set.header.version, &set.header.key, key)?;
            }
            check_features(alias, entries, &chain)?;
            let (all, base) = take_in(entries, &chain);
            if let Some(run) = &mut about.training {
                run.note_made(&all, entries.len());
            }
            let version = self.publish(key, all, base, about.clone(), now_us)?;
            let number = before.map_or(1, |record| record.number + 1);
            let name = alias.to_string();
            let moved = AliasRecord { name, version, moved_us: now_us, number };
            if self.claim_move(&moved)? {
                return Ok(version);
            }
        }
        let what = format!("moving the alias {alias}");
        Err(ScoreError::Contention { what, attempts: ATTEMPTS })
    }

    /// Removes sets that none of the last `keep` moves of an alias leads to, but for the newest ones, and
    /// older moves. How many sets are gone.
    ///
    /// # Errors
    /// When a record or a set can't be read, for what it widens is not known, or the store fails. Another
    /// process that does the same may be the reason.
    pub fn prune(&self, keep: usize) -> Result<usize, ScoreError> {
        let mut needed = BTreeSet::new();
        for alias in self.aliases()? {
            let moves = self.history(&alias.name)?;
            let kept = moves.len().saturating_sub(keep.max(1));
            for record in &moves[kept..] {
                self.need(record.version, &mut needed)?;
            }
            for record in &moves[..kept] {
                self.remove_move(record)?;
            }
        }
        let versions = self.versions()?;
        let old = &versions[..versions.len().saturating_sub(NEWEST)];
        let gone: Vec<u64> = old.iter().copied().filter(|v| !needed.contains(v)).collect();
        for version in &gone {
            self.remove_set(*version)?;
        }
        Ok(gone.len())
    }
}

impl Registry {
    /// Adds a version and all that it widens. Each set is looked at once, and only its header.
    fn need(&self, version: u64, needed: &mut BTreeSet<u64>) -> Result<(), ScoreError> {
        let mut next = Some(version);
        while let Some(version) = next.filter(|version| !needed.contains(version)) {
            next = match self.header(version) {
                Ok(header) => header.base,
                Err(ScoreError::UnknownSet { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            needed.insert(version);
        }
        Ok(())
    }
}

/// # Errors
/// [`ScoreError::Mixed`] when models of the chain that stay see other features than the entries.
fn check_features(
    alias: &str,
    entries: &[ModelEntry],
    chain: &[Arc<ModelSet>],
) -> Result<(), ScoreError> {
    let (Some(first), false) = (entries.first(), chain.is_empty()) else { return Ok(()) };
    if chain.iter().all(|set| set.sees(&first.features)) {
        return Ok(());
    }
    // Older models may have been written with other blanks.
    let spelled =
        |entry: &ModelEntry| entry.features.iter().map(|f| canonical(f)).collect::<Vec<_>>();
    let found = spelled(first);
    let new: BTreeSet<_> = entries.iter().map(|entry| &entry.key).collect();
    let models = Models::new(chain.to_vec());
    let mut stays = models.effective().filter(|(entry, _)| !new.contains(&entry.key));
    let Some((entry, set)) = stays.find(|(entry, _)| spelled(entry) != found) else {
        return Ok(());
    };
    Err(ScoreError::Mixed {
        alias: alias.to_string(),
        sensor: entry.key.to_string(),
        set,
        expected: entry.features.clone(),
        found: first.features.clone(),
    })
}

/// The entries with those of the sets that they take in, and the set that they then widen.
fn take_in(entries: &[ModelEntry], chain: &[Arc<ModelSet>]) -> (Vec<ModelEntry>, Option<u64>) {
    let mut all: Vec<ModelEntry> = entries.to_vec();
    let mut seen: BTreeSet<_> = entries.iter().map(|entry| entry.key.clone()).collect();
    let mut below = chain.iter();
    for set in below.by_ref() {
        if set.entries().len() > TAKEN_IN * all.len() {
            return (all, Some(set.header.version));
        }
        for entry in set.entries().filter(|entry| seen.insert(entry.key.clone())) {
            all.push(ModelEntry::clone(entry));
        }
    }
    (all, None)
}
