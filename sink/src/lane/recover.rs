//! Recovery: finishing what records name, removing what none names. In this lane only.
//!
//! *Why it may delete*: our opening record has epoch N, so no other writer can write a record of N
//! or below any more. A file of an epoch up to N is committed if the record of that epoch names it,
//! and otherwise never will be. A file of a later epoch may belong to a writer who took the lane
//! from us; it is not ours to judge, nor is a name that we did not write.

use tidegauge_flow::{Failpoint, Place, Store};

use crate::error::LakeError;
use crate::lake::read_record;
use crate::paths::{self, DataFile};
use crate::record::{Kind, Record, Table};
use crate::summary::Summary;
use crate::view;

/// Finishes the lane's past. `before` is the record before ours. Returns the spare checkpoint.
pub(super) fn recover(
    store: &dyn Store,
    failpoint: &dyn Failpoint,
    before: Option<&Record>,
    opening: &Record,
) -> Result<Option<String>, LakeError> {
    let mut past = Past { store, failpoint, before, opening, seen: None, summary: None };
    past.staging()?;
    failpoint.reach(Place::MidRecovery)?;
    for table in Table::ALL {
        past.published(table)?;
    }
    past.checkpoints()
}

struct Past<'a> {
    store: &'a dyn Store,
    failpoint: &'a dyn Failpoint,
    before: Option<&'a Record>,
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

    /// Removes published files that no record names.
    fn published(&mut self, table: Table) -> Result<(), LakeError> {
        for entry in self.store.list(table.folder())? {
            let Some(file) = self.to_judge(&entry.path).filter(|f| !self.surely_named(f)) else {
                continue;
            };
            if self.named(&file)?.as_ref() != Some(&entry.path) {
                self.remove(&entry.path)?;
                self.failpoint.reach(Place::MidRecovery)?;
            }
        }
        Ok(())
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

    /// Whether it is known without reading its record that a published file is named: an earlier
    /// recovery has left it, or the last writer committed its epoch (a writer writes each epoch
    /// once). So taking a lane does not read the whole ledger.
    fn surely_named(&self, file: &DataFile) -> bool {
        let Some(before) = self.before else {
            return false;
        };
        let by_last_writer = before.kind == Kind::Epoch
            && file.writer == before.writer
            && file.epoch > before.recovered
            && file.epoch <= before.epoch;
        file.epoch < before.recovered || by_last_writer
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
            self.seen = Some(read_record(self.store, &self.opening.lane, file.epoch)?.0);
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
