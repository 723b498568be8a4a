//! Recovery: finishing what records name, removing what none names. In this lane only.
//!
//! *Why it may delete*: our opening record has epoch N, so no other writer can write a record of N
//! or below any more. A file of an epoch up to N is committed if the record of that epoch names it,
//! and otherwise never will be. A file of a later epoch may belong to a writer who took the lane
//! from us; it is not ours to judge, nor is a name that we did not write.
//!
//! *Where it looks*: only where files lie before their record: staging, or on stores that cannot
//! rename, the places that intents name. So taking a lane costs the same in a lake of any size.

use tidegauge_flow::{Failpoint, Place, Store, StoreError};

use crate::error::LakeError;
use crate::intent::Intent;
use crate::lake::read_record;
use crate::paths::{self, DataFile};
use crate::record::{Kind, Record};
use crate::summary::Summary;
use crate::view;

/// Finishes the lane's past. `before` is the record before ours. Returns the spare checkpoint.
pub(super) fn recover(
    store: &dyn Store,
    failpoint: &dyn Failpoint,
    before: Option<&Record>,
    opening: &Record,
) -> Result<Option<String>, LakeError> {
    let mut past = Past { store, failpoint, opening, seen: None, summary: None };
    if store.renames() {
        past.staging()?;
        past.newest_epoch(before)?;
    } else {
        past.intended()?;
    }
    failpoint.reach(Place::MidRecovery)?;
    past.checkpoints()
}

struct Past<'a> {
    store: &'a dyn Store,
    failpoint: &'a dyn Failpoint,
    opening: &'a Record,
    /// The record read last: files come sorted, so the next one is likely to be of the same epoch.
    seen: Option<Record>,
    /// The newest summary, once it was needed; the lake may have none.
    summary: Option<Option<Summary>>,
}

impl Past<'_> {
    /// Publishes the staged files that a record names and removes the others.
    fn staging(&mut self) -> Result<(), LakeError> {
        for entry in self.store.list(&paths::staging_folder(&self.opening.lane))? {
            let Some(file) = self.to_judge(&entry.path) else {
                continue;
            };
            match self.named(&file)? {
                Some(path) => {
                    tracing::info!(file = path, "publishing a file that a crash left staged");
                    self.store.publish(&entry.path, &path)?;
                }
                None => self.remove(&entry.path)?,
            }
            self.failpoint.reach(Place::MidRecovery)?;
        }
        Ok(())
    }

    /// Publishes the files of the newest epoch once more. Its writer may have died between the move
    /// and the sync: then they have their names in this machine's memory, not on its disk.
    fn newest_epoch(&self, before: Option<&Record>) -> Result<(), LakeError> {
        let Some(mut record) = before.cloned() else {
            return Ok(());
        };
        // Those who took the lane after it may not have come so far.
        while record.kind == Kind::Open && record.epoch > record.recovered {
            record = match read_record(self.store, &record.lane, record.epoch - 1) {
                // Maintenance has deleted it, which it does only when its files have their names for good.
                Err(LakeError::Damaged { path, .. }) if self.store.size(&path)?.is_none() => {
                    return Ok(());
                }
                read => read?.0,
            };
        }
        for file in &record.files {
            let staged = paths::staging_path(&record.lane, &file.path);
            match self.store.publish(&staged, &file.path) {
                // `verify` tells what has become of it.
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Removes the files that writers meant to write and no record names, on a store where they
    /// lie under their final names at once. What is removed may appear again while its writer is
    /// alive, so the intent stays until that cannot be.
    fn intended(&mut self) -> Result<(), LakeError> {
        for entry in self.store.list(&paths::staging_folder(&self.opening.lane))? {
            let Some(intent) = self.intent(&entry.path)? else {
                continue;
            };
            for path in &intent.files {
                let Some(file) = self.to_judge(path).filter(|f| f.epoch == intent.epoch) else {
                    continue;
                };
                if self.named(&file)?.is_none() && self.store.size(path)?.is_some() {
                    self.remove(path)?;
                    self.failpoint.reach(Place::MidRecovery)?;
                }
            }
            if intent.is_old(self.opening.committed_at_us) {
                self.store.delete(&entry.path)?;
                self.failpoint.reach(Place::MidRecovery)?;
            }
        }
        Ok(())
    }

    /// An intent that is over: of an epoch up to our opening record's.
    fn intent(&self, path: &str) -> Result<Option<Intent>, LakeError> {
        if paths::intent_of(path).is_none() {
            return Ok(None);
        }
        let over = |intent: &Intent| intent.epoch <= self.opening.epoch;
        Ok(Intent::get(self.store, path)?.filter(over))
    }

    /// Removes old checkpoints: stays the one in force, and one before it as a spare.
    fn checkpoints(&mut self) -> Result<Option<String>, LakeError> {
        let in_force = self.opening.checkpoint.as_ref();
        let entries = self.store.list(&paths::state_folder(&self.opening.lane))?;
        let mut spare = None;
        for entry in entries.iter().rev() {
            let epoch = match paths::checkpoint_of(&entry.path) {
                Some((epoch, _)) if epoch <= self.opening.epoch => epoch,
                _ => continue,
            };
            if in_force.is_some_and(|c| c.path == entry.path) {
                continue;
            }
            if spare.is_none() && in_force.is_some_and(|c| epoch < c.epoch) {
                spare = Some(entry.path.clone());
                continue;
            }
            self.remove(&entry.path)?;
            self.failpoint.reach(Place::MidRecovery)?;
        }
        Ok(spare)
    }

    /// The file, if it is of this lane and of an epoch whose fate is settled.
    fn to_judge(&self, path: &str) -> Option<DataFile> {
        let ours = |f: &DataFile| {
            f.lane == self.opening.lane
                && f.generation == self.opening.generation
                && (1..=self.opening.epoch).contains(&f.epoch)
        };
        DataFile::parse(path).filter(ours)
    }

    /// The published path of a file that its epoch's record names.
    fn named(&mut self, file: &DataFile) -> Result<Option<String>, LakeError> {
        if file.epoch == self.opening.epoch {
            return Ok(None);
        }
        let name = file.to_string();
        if let Some(fate) = self.summarised(file.epoch, &name)? {
            return Ok(fate);
        }
        if self.seen.as_ref().map(|record| record.epoch) != Some(file.epoch) {
            let read = read_record(self.store, &self.opening.lane, file.epoch);
            if let Err(LakeError::Damaged { .. }) = &read {
                // Summarised and deleted since we looked at the summaries.
                self.summary = None;
                if let Some(fate) = self.summarised(file.epoch, &name)? {
                    return Ok(fate);
                }
            }
            self.seen = Some(read?.0);
        }
        let files = self.seen.iter().flat_map(|record| &record.files);
        Ok(files.map(|f| &f.path).find(|path| paths::base_name(path) == name).cloned())
    }

    /// The published path of a file, if a summary holds its epoch: then the record may be gone, and
    /// the file may be replaced.
    fn summarised(&mut self, epoch: u64, name: &str) -> Result<Option<Option<String>>, LakeError> {
        if self.summary.is_none() {
            self.summary = Some(view::newest_summary(self.store)?.map(|(summary, _)| summary));
        }
        let Some(summary) = self.summary.as_ref().and_then(Option::as_ref) else {
            return Ok(None);
        };
        if view::summarised_to(Some(summary), &self.opening.lane) < epoch {
            return Ok(None);
        }
        let kept = summary.files.iter().map(|live| &live.file);
        let mut known = kept.chain(summary.replaced.iter().map(|replaced| &replaced.file));
        Ok(Some(known.find(|f| paths::base_name(&f.path) == name).map(|f| f.path.clone())))
    }

    fn remove(&self, path: &str) -> Result<(), LakeError> {
        tracing::info!(file = path, "removing a file that no record names");
        Ok(self.store.delete(path)?)
    }
}
