//! Maintenance: one run summarises the ledger, replaces small files by large sorted ones, and deletes what
//! is too old. Any process may run it at any time, beside running lanes, readers and other maintenance.
//!
//! ```text
//! finish what a dead run left -> delete what is due -> write large files -> summary, if absent
//!   -> publish them -> delete old records, old summaries
//! ```
//!
//! *Guarantees*
//! - The summary is the one step that counts: before it readers see the old files, after it the new ones.
//!   Of two runs at once one wins; the other's files go.
//! - A file is replaced only after its bytes were found to be those that its record names, and only by a
//!   file with as many rows. A replaced file stays for [`Upkeep::keep_replaced_us`].
//! - A record is deleted only when a summary holds it, its files have their final names, and it is not
//!   its lane's newest.
//! - Memory: about three times [`Upkeep::file_max_bytes`], and 64 MiB.

mod merge;
mod plan;
mod retain;
mod write;

use std::collections::BTreeMap;

use tidegauge_flow::{Failpoint, Place, Store, StoreError};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::generation::Generation;
use crate::lake::{Lake, put_settled};
use crate::paths;
use crate::record::Record;
use crate::summary::{LaneSummary, Level, LiveFile, Summary};
use crate::view::{self, View};
use crate::writer::Writer;

/// How a lake is kept; times in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkeep {
    /// Whether small files are replaced by large ones.
    pub compact: bool,
    /// How long after its end an hour may still get rows, in event time.
    pub allowed_lateness_us: i64,
    /// A lane that has not committed for so long holds up nothing; late readings and rejects of an hour
    /// are compacted so long after its end.
    pub compact_after_us: i64,
    /// Files are made of small ones up to this size; larger ones are left alone.
    pub file_max_bytes: u64,
    /// How long a replaced file stays for readers that still know it.
    pub keep_replaced_us: i64,
    /// How long records stay that a summary holds.
    pub keep_ledger_us: i64,
    /// How long rows of each table stay after the end of their date; `None` is for ever.
    pub keep_us: BTreeMap<crate::Table, i64>,
}

/// Whether maintenance acts or only looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It acts.
    Act,
    /// It says what it would do.
    Look,
}

/// What one run of maintenance did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The number of the summary that was written.
    pub summary: Option<u64>,
    /// Whether another run was quicker: nothing of this one counts.
    pub lost: bool,
    /// Files that were replaced.
    pub replaced: u64,
    /// Their bytes.
    pub replaced_bytes: u64,
    /// Files that took their place.
    pub made: u64,
    /// Their bytes.
    pub made_bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows that are too old to be kept.
    pub expired_rows: u64,
    /// Data files that were deleted.
    pub deleted_files: u64,
    /// Records that were deleted.
    pub deleted_records: u64,
    /// Files that are left alone because they are not what the ledger says: run `verify`.
    pub damaged: Vec<String>,
}

impl Lake {
    /// Maintains the lake once. `progress` is told how many of how many files are compacted.
    ///
    /// # Errors
    /// When the ledger cannot be trusted, or the store fails; the next run goes on where this one ended.
    pub fn maintain(
        &self,
        upkeep: &Upkeep,
        mode: Mode,
        writer: Writer,
        now_us: i64,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Outcome, LakeError> {
        let store = self.reader.store.as_ref();
        let view = view::read(store)?;
        let generation = self.reader.generation();
        let next = next_summary(&view, generation, writer, now_us)?;
        let failpoint = self.failpoint.as_ref();
        let mut run = Run {
            store,
            failpoint,
            generation,
            upkeep,
            now_us,
            next,
            made: 0,
            outcome: Outcome::default(),
        };
        if mode == Mode::Look {
            return Ok(run.look());
        }
        run.finish(view.summary.as_ref())?;
        run.delete_due()?;
        run.expire()?;
        run.compact(progress)?;
        if run.is_news(view.summary.as_ref()) {
            if !run.commit()? {
                return Ok(run.outcome);
            }
            run.publish()?;
        }
        run.delete_records()?;
        run.delete_summaries()?;
        Ok(run.outcome)
    }
}

/// One run of maintenance.
struct Run<'a> {
    store: &'a dyn Store,
    failpoint: &'a dyn Failpoint,
    generation: &'a Generation,
    upkeep: &'a Upkeep,
    now_us: i64,
    /// The summary that this run will write.
    next: Summary,
    /// Files that this run has made.
    made: u32,
    outcome: Outcome,
}

impl Run<'_> {
    /// The groups of files that are to be replaced.
    fn groups(&self) -> Vec<plan::Group> {
        if !self.upkeep.compact {
            return Vec::new();
        }
        plan::groups(&self.next.files, &self.next.lanes, self.upkeep, self.now_us)
    }

    /// What the run would do.
    fn look(mut self) -> Outcome {
        let groups = self.groups();
        let inputs = groups.iter().flat_map(|group| &group.inputs);
        let inputs: Vec<&LiveFile> = inputs.map(|&n| &self.next.files[n]).collect();
        self.outcome.replaced = inputs.len() as u64;
        self.outcome.replaced_bytes = inputs.iter().map(|live| live.file.bytes).sum();
        self.outcome.rows = inputs.iter().map(|live| live.file.rows).sum();
        self.outcome.made = groups.len() as u64;
        self.outcome.deleted_files = self.due().count() as u64;
        let old = self.next.files.iter().filter(|live| self.is_expired(live));
        self.outcome.expired_rows = old.map(|live| live.file.rows).sum();
        self.outcome
    }

    /// Publishes what the newest summary names, and removes compacted files that none will ever name:
    /// of a number that is taken.
    fn finish(&self, newest: Option<&Summary>) -> Result<(), LakeError> {
        let Some(newest) = newest else {
            return Ok(());
        };
        let mut found = self.store.list(paths::COMPACTED)?;
        if !self.store.renames() {
            for table in crate::Table::ALL {
                found.extend(self.store.list(table.folder())?);
            }
        }
        let known = newest.files.iter().map(|live| &live.file);
        let known = known.chain(newest.replaced.iter().map(|replaced| &replaced.file));
        let known: BTreeMap<&str, &str> =
            known.map(|file| (paths::base_name(&file.path), file.path.as_str())).collect();
        for entry in found {
            let Some(file) = paths::CompactFile::parse(&entry.path) else {
                continue;
            };
            match known.get(paths::base_name(&entry.path)) {
                Some(path) if *path != entry.path => {
                    self.store.publish(&entry.path, path)?;
                    self.failpoint.reach(Place::MidCompactPublish)?;
                }
                None if file.summary <= newest.number => {
                    tracing::info!(file = entry.path, "removing a file that no summary names");
                    self.store.delete(&entry.path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the next summary says anything that the newest does not.
    fn is_news(&self, newest: Option<&Summary>) -> bool {
        let Some(newest) = newest else {
            return !self.next.lanes.is_empty();
        };
        newest.lanes != self.next.lanes
            || newest.files != self.next.files
            || newest.replaced != self.next.replaced
    }

    /// Writes the summary. `false` when another run was quicker.
    fn commit(&mut self) -> Result<bool, LakeError> {
        self.failpoint.reach(Place::BeforeSummary)?;
        let path = paths::summary_path(self.next.number);
        let bytes = format::summary::encode(&self.next);
        let ours = match put_settled(self.store, &path, &bytes) {
            Ok(()) => true,
            Err(StoreError::Exists { .. }) => self.store.get(&path)? == bytes,
            Err(error) => return Err(error.into()),
        };
        if !ours {
            tracing::info!(number = self.next.number, "another process has maintained the lake");
            self.withdraw();
            self.outcome = Outcome { lost: true, ..Outcome::default() };
            return Ok(false);
        }
        self.failpoint.reach(Place::SummaryAmbiguous)?;
        self.failpoint.reach(Place::AfterSummary)?;
        self.outcome.summary = Some(self.next.number);
        Ok(true)
    }

    /// The files that this run has made; its summary names them.
    fn own(&self) -> impl Iterator<Item = &LiveFile> {
        let ours = |live: &&LiveFile| {
            let name = paths::CompactFile::parse(&live.file.path);
            name.is_some_and(|name| name.writer == self.next.writer)
        };
        self.next.files.iter().filter(ours)
    }

    /// Removes what this run has made and no summary will name.
    fn withdraw(&self) {
        for live in self.own() {
            let path = self.place_of(&live.file.path);
            if let Err(error) = self.store.delete(&path) {
                tracing::warn!(file = path, %error, "cannot remove a file; the next run will");
            }
        }
    }

    fn publish(&self) -> Result<(), LakeError> {
        for live in self.own() {
            if self.store.renames() {
                self.store.publish(&self.place_of(&live.file.path), &live.file.path)?;
            }
            self.failpoint.reach(Place::MidCompactPublish)?;
        }
        Ok(())
    }

    /// Where a file that this run makes lies until its summary is written.
    fn place_of(&self, path: &str) -> String {
        match paths::staged(path) {
            Some(staged) if self.store.renames() => staged,
            _ => path.to_owned(),
        }
    }
}

/// The newest summary with all later records taken in.
fn next_summary(
    view: &View,
    generation: &Generation,
    writer: Writer,
    now_us: i64,
) -> Result<Summary, LakeError> {
    let empty = || Summary {
        generation: generation.number,
        number: 0,
        writer,
        previous: None,
        made_at_us: now_us,
        lanes: BTreeMap::new(),
        files: Vec::new(),
        replaced: Vec::new(),
        expired: Vec::new(),
    };
    let mut next = view.summary.clone().unwrap_or_else(empty);
    if next.generation != generation.number {
        let what = format!("it is of generation {}", next.generation);
        return Err(LakeError::damaged(&paths::summary_path(next.number), what));
    }
    let Some(number) = next.number.checked_add(1) else {
        return Err(LakeError::damaged(&paths::summary_path(next.number), "none can follow it"));
    };
    (next.number, next.writer, next.made_at_us) = (number, writer, now_us);
    next.previous = view.digest;
    for (lane, records) in &view.lanes {
        for (record, digest) in records {
            take_in(&mut next, lane, record, *digest).map_err(|what| {
                let path = paths::record_path(lane, record.epoch);
                LakeError::damaged(&path, format!("it cannot be summarised: {what}"))
            })?;
        }
    }
    Ok(next)
}

fn take_in(next: &mut Summary, lane: &str, record: &Record, digest: Digest) -> Result<(), String> {
    match next.lanes.get_mut(lane) {
        Some(summary) => summary.follow(record, digest)?,
        None => {
            next.lanes.insert(lane.to_owned(), LaneSummary::begin(record, digest)?);
        }
    }
    let live = |file: &crate::FileRef| LiveFile {
        file: file.clone(),
        at_us: record.committed_at_us,
        level: Level::Commit,
    };
    next.files.extend(record.files.iter().map(live));
    Ok(())
}

#[cfg(test)]
mod tests;
