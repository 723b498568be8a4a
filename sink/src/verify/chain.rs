//! The ledger of each lane: whole, in order, unedited, its positions joined. Where a summary holds the
//! beginning, what follows must fit the summary.

use std::collections::BTreeMap;

use tidegauge_flow::{Span, Store, StoreError};

use super::link::{Before, Link, tell_jump};
use super::mark::Mark;
use super::repair::Repair;
use super::report::Report;
use crate::digest::Digest;
use crate::error::LakeError;
use crate::generation::Generation;
use crate::lake::content_problem;
use crate::paths::{self, LEDGER, SUMMARIES};
use crate::record::{CheckpointRef, Counters, Kind, Record};
use crate::summary::{LaneSummary, Summary};
use crate::view;

/// The whole ledger.
#[derive(Default)]
pub(super) struct Ledger {
    pub summary: Option<Summary>,
    pub lanes: Vec<LaneRecords>,
}

/// What is known of one lane.
pub(super) struct LaneRecords {
    pub lane: String,
    /// The records up to some epoch, in one.
    pub base: Option<LaneSummary>,
    /// The records after it that could be read, oldest first.
    pub records: Vec<Record>,
    /// The newest record that could be read, and the digest of its file.
    pub newest: Option<(Record, Digest)>,
    /// Whether a record is missing or could not be read, so that sums over them say nothing.
    pub incomplete: bool,
}

impl LaneRecords {
    /// The newest epoch that is known.
    pub fn newest_epoch(&self) -> u64 {
        let base = self.base.as_ref().map_or(0, |base| base.to);
        self.newest.as_ref().map_or(base, |(record, _)| record.epoch.max(base))
    }
}

/// Reads all ledgers.
pub(super) fn read(
    store: &dyn Store,
    generation: Option<&Generation>,
    since: Option<&Mark>,
    report: &mut Report,
) -> Result<Ledger, LakeError> {
    let mut ledger =
        Ledger { summary: read_summary(store, generation, report)?, lanes: Vec::new() };
    let mut epochs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in store.list(LEDGER)? {
        let below = entry.path.strip_prefix(LEDGER).and_then(|path| path.split_once('/'));
        match (below, paths::number_of(&entry.path)) {
            (Some((lane, _)), Some(epoch)) => {
                epochs.entry(lane.to_owned()).or_default().push(epoch);
            }
            _ => {
                let what = "it is in the ledger and its name is not a record's";
                report.problem(entry.path, what, Repair::DeleteOrphan);
            }
        }
    }
    for (lane, base) in ledger.summary.iter().flat_map(|summary| &summary.lanes) {
        let path = paths::record_path(lane, base.to);
        base.jumps.iter().for_each(|jump| tell_jump(&path, jump, report));
        epochs.entry(lane.clone()).or_default();
        report.records = report.records.saturating_add(base.to);
        report.readings = report.readings.saturating_add(base.counters.readable);
    }
    for (lane, mut epochs) in epochs {
        epochs.sort_unstable();
        let base = ledger.summary.as_ref().and_then(|s| s.lanes.get(&lane)).cloned();
        let lane = Lane { store, generation, since, lane: &lane, base };
        let records = lane.read(&epochs, report);
        newest_checkpoint(store, &records, report);
        ledger.lanes.push(records);
    }
    report.lanes = ledger.lanes.len() as u64;
    Ok(ledger)
}

/// The newest summary. One that cannot be trusted is a problem, and the records are then all there is.
fn read_summary(
    store: &dyn Store,
    generation: Option<&Generation>,
    report: &mut Report,
) -> Result<Option<Summary>, LakeError> {
    let numbers = view::summary_numbers(store)?;
    let Some(&newest) = numbers.last() else {
        return Ok(None);
    };
    let path = paths::summary_path(newest);
    let summary = match view::read_summary(store, newest) {
        Ok((summary, _)) => summary,
        Err(error) => {
            report.failure(&path, error, Repair::RestoreLedger);
            return Ok(None);
        }
    };
    if let Some(generation) = generation.filter(|g| g.number != summary.generation) {
        let (its, lakes) = (summary.generation, generation.number);
        let what = format!("it has generation {its} and the lake {lakes}");
        report.problem(&path, what, Repair::Report);
    }
    if (newest == 1) != summary.previous.is_none() {
        report.problem(&path, "it does not say which one it followed", Repair::Report);
    }
    if newest > 1 && numbers.contains(&(newest - 1)) {
        match view::read_summary(store, newest - 1) {
            Ok((_, digest)) if summary.previous == Some(digest) => {}
            Ok(_) => report.problem(
                &path,
                "the summary before it is not the one it followed",
                Repair::RestoreLedger,
            ),
            Err(LakeError::Store(StoreError::NotFound { .. })) => {}
            Err(error) => {
                let path = paths::summary_path(newest - 1);
                report.failure(&path, error, Repair::RestoreLedger);
            }
        }
    }
    for expired in &summary.expired {
        report.expired = report.expired.saturating_add(expired.rows);
    }
    Ok(Some(summary))
}

/// One lane that is read.
struct Lane<'a> {
    store: &'a dyn Store,
    generation: Option<&'a Generation>,
    since: Option<&'a Mark>,
    lane: &'a str,
    base: Option<LaneSummary>,
}

impl Lane<'_> {
    fn read(self, epochs: &[u64], report: &mut Report) -> LaneRecords {
        let to = self.base.as_ref().map_or(0, |base| base.to);
        let mut found = LaneRecords {
            lane: self.lane.to_owned(),
            base: self.base.clone(),
            records: Vec::new(),
            newest: None,
            incomplete: false,
        };
        // The summary's own reading again, if all that it holds is still there.
        let mut again: Option<LaneSummary> = None;
        let known = self.since.and_then(|mark| mark.lanes.get(self.lane)).map_or(0, |m| m.epoch);
        let mut before = Before::default();
        for &epoch in epochs.iter().filter(|epoch| **epoch >= known.min(to)) {
            let path = paths::record_path(self.lane, epoch);
            if before.epoch.checked_add(1) != Some(epoch) {
                self.gap(&path, epoch, &mut before, report);
                found.incomplete |= epoch > to.saturating_add(1);
            }
            report.records_read += 1;
            report.records += u64::from(epoch > to);
            let link = Link {
                store: self.store,
                generation: self.generation,
                path: &path,
                lane: self.lane,
                epoch,
            };
            let Some((record, digest)) = link.read(&mut before, report) else {
                found.incomplete |= epoch > to;
                again = None;
                continue;
            };
            again = follow(again, &record, digest);
            if epoch == to {
                self.check_base(&path, digest, again.as_ref(), report);
            }
            self.check_mark(&path, epoch, digest, report);
            if epoch > to {
                record.jumps.iter().for_each(|jump| tell_jump(&path, jump, report));
                found.records.push(record.clone());
            }
            found.newest = Some((record, digest));
        }
        let newest = epochs.last().copied().unwrap_or(0);
        if newest < to {
            let path = paths::record_path(self.lane, to);
            let what = format!("a summary holds it and the newest record is {newest}");
            report.problem(path, what, Repair::RestoreLedger);
            found.incomplete = true;
        }
        self.check_marked(newest, report);
        found
    }

    /// The record before `epoch` is not there: because it was summarised, or it is lost.
    fn gap(&self, path: &str, epoch: u64, before: &mut Before, report: &mut Report) {
        let to = self.base.as_ref().map_or(0, |base| base.to);
        if epoch > to.saturating_add(1) {
            let what =
                format!("the record before it is of epoch {}: some are missing", before.epoch);
            report.problem(path, what, Repair::RestoreLedger);
        } else if before.record.is_some() && self.since.is_none() {
            let path = paths::record_path(self.lane, before.epoch);
            let what = "later records were summarised and deleted: a stopped writer has left it";
            report.note(path, what, Repair::Finish);
        }
        *before = match &self.base {
            Some(base) if base.to.checked_add(1) == Some(epoch) => Before {
                epoch: base.to,
                digest: Some(base.digest),
                record: Some(as_record(self.lane, base)),
                opened: Some(base.opened),
            },
            _ => Before::default(),
        };
    }

    fn check_base(
        &self,
        path: &str,
        digest: Digest,
        again: Option<&LaneSummary>,
        report: &mut Report,
    ) {
        let Some(base) = &self.base else {
            return;
        };
        if base.digest != digest {
            report.problem(path, "the summary holds another record", Repair::RestoreLedger);
        } else if again.is_some_and(|again| again != base) {
            let what = format!("it tells of lane {} what its records do not", self.lane);
            report.problem(SUMMARIES, what, Repair::Report);
        }
    }

    fn check_mark(&self, path: &str, epoch: u64, digest: Digest, report: &mut Report) {
        let marked = self.since.and_then(|mark| mark.lanes.get(self.lane));
        if marked.is_some_and(|marked| marked.epoch == epoch && marked.digest != digest) {
            let what = "it is not the record that was there at the last proof";
            report.problem(path, what, Repair::RestoreLedger);
        }
    }

    fn check_marked(&self, newest: u64, report: &mut Report) {
        let marked = self.since.and_then(|mark| mark.lanes.get(self.lane));
        if let Some(marked) = marked.filter(|marked| marked.epoch > newest) {
            let path = paths::record_path(self.lane, marked.epoch);
            let what = format!("it was there at the last proof and the newest record is {newest}");
            report.problem(path, what, Repair::RestoreLedger);
        }
    }
}

fn follow(so_far: Option<LaneSummary>, record: &Record, digest: Digest) -> Option<LaneSummary> {
    if record.epoch == 1 {
        return LaneSummary::begin(record, digest).ok();
    }
    let mut so_far = so_far?;
    so_far.follow(record, digest).ok().map(|()| so_far)
}

/// A summary in the place of its last record, for what the next record is compared with.
fn as_record(lane: &str, base: &LaneSummary) -> Record {
    let at = |next: &i64| Span { from: *next, to: *next };
    Record {
        generation: 0,
        lane: lane.to_owned(),
        epoch: base.to,
        kind: Kind::Epoch,
        writer: base.writer,
        previous: None,
        recovered: base.opened,
        inputs: base.inputs.clone(),
        jumps: Vec::new(),
        positions: base.positions.iter().map(|(p, next)| (p.clone(), at(next))).collect(),
        watermark_ns: base.watermark_ns,
        idle_moves: Vec::new(),
        closed_by: None,
        files: Vec::new(),
        checkpoint: base.checkpoint.clone(),
        model_sets: Vec::new(),
        counters: Counters { open: base.counters.open, ..Counters::default() },
        committed_at_us: base.committed_at_us,
    }
}

/// The checkpoint that the next writer would start from.
fn newest_checkpoint(store: &dyn Store, lane: &LaneRecords, report: &mut Report) {
    let Some((newest, _)) = &lane.newest else {
        return;
    };
    let Some(checkpoint) = &newest.checkpoint else {
        return;
    };
    let CheckpointRef { path, bytes, sha256, positions, .. } = checkpoint;
    if *positions != newest.next_positions() {
        let what = format!("it stands at other positions than lane {}", lane.lane);
        report.problem(path, what, Repair::RestoreCheckpoint);
    }
    match store.get(path) {
        Ok(found) => {
            if let Some(what) = content_problem(&found, *bytes, sha256) {
                report.problem(path, what, Repair::RestoreCheckpoint);
            }
        }
        // A running pipeline drops old checkpoints; then it has a newer record.
        Err(StoreError::NotFound { .. }) if has_gone_on(store, newest) => {
            report.note(path, "a newer checkpoint has replaced it meanwhile", Repair::Nothing);
        }
        Err(error) => report.failure(path, error.into(), Repair::RestoreCheckpoint),
    }
}

fn has_gone_on(store: &dyn Store, newest: &Record) -> bool {
    let next = newest.epoch.checked_add(1).map(|epoch| paths::record_path(&newest.lane, epoch));
    next.is_some_and(|path| matches!(store.size(&path), Ok(Some(_))))
}
