//! The ledger of each lane: whole, in order, unedited, its positions joined.

use tidegauge_flow::{Partition, Span, Store, StoreError};

use super::Report;
use crate::digest::Digest;
use crate::error::LakeError;
use crate::format;
use crate::generation::Generation;
use crate::lake::content_problem;
use crate::lane::identity_problem;
use crate::paths::{self, LEDGER};
use crate::record::{Counters, Jump, JumpReason, Kind, Record};

/// The records of one lane that could be read, oldest first.
pub(super) struct LaneRecords {
    pub lane: String,
    pub records: Vec<Record>,
    /// Whether a record is missing or could not be read, so that sums over them say nothing.
    pub incomplete: bool,
}

/// What the next record is compared with.
#[derive(Default)]
struct Before {
    epoch: u64,
    digest: Option<Digest>,
    record: Option<Record>,
    /// The epoch of the last opening record.
    opened: Option<u64>,
}

/// Reads all ledgers.
pub(super) fn read(
    store: &dyn Store,
    generation: Option<&Generation>,
    report: &mut Report,
) -> Result<Vec<LaneRecords>, LakeError> {
    let mut lanes: Vec<LaneRecords> = Vec::new();
    let mut before = Before::default();
    for entry in store.list(LEDGER)? {
        let below = entry.path.strip_prefix(LEDGER).and_then(|path| path.split_once('/'));
        let (Some((lane, _)), Some(epoch)) = (below, paths::number_of(&entry.path)) else {
            report.problem(entry.path, "it is in the ledger and its name is not a record's");
            continue;
        };
        if lanes.last().is_none_or(|last| last.lane != lane) {
            let lane = lane.to_owned();
            lanes.push(LaneRecords { lane, records: Vec::new(), incomplete: false });
            before = Before::default();
        }
        // The branch above has made sure that there is one.
        let Some(current) = lanes.last_mut() else {
            continue;
        };
        report.records += 1;
        let link = Link { store, generation, path: &entry.path, lane, epoch };
        match link.read(&mut before, report) {
            Some(record) => current.records.push(record),
            None => current.incomplete = true,
        }
        current.incomplete |= current.records.len() as u64 != epoch;
    }
    report.lanes = lanes.len() as u64;
    for lane in &lanes {
        newest_checkpoint(store, lane, report);
    }
    Ok(lanes)
}

/// One record in its place.
struct Link<'a> {
    store: &'a dyn Store,
    generation: Option<&'a Generation>,
    path: &'a str,
    lane: &'a str,
    epoch: u64,
}

impl Link<'_> {
    fn read(&self, before: &mut Before, report: &mut Report) -> Option<Record> {
        let joined = before.epoch.checked_add(1) == Some(self.epoch);
        if !joined {
            let what =
                format!("the record before it is of epoch {}: some are missing", before.epoch);
            report.problem(self.path, what);
            *before = Before::default();
        }
        before.epoch = self.epoch;
        let bytes = match self.store.get(self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.failure(self.path, error.into());
                *before = Before { epoch: self.epoch, ..Before::default() };
                return None;
            }
        };
        let previous = before.digest.replace(Digest::of(&bytes));
        match format::record::decode(self.path, &bytes) {
            Err(error) => {
                report.failure(self.path, error);
                (before.record, before.opened) = (None, None);
                None
            }
            Ok(opened) => {
                if !opened.intact {
                    report.problem(self.path, "its digest does not fit its body: it was edited");
                }
                let record = opened.value;
                let first = joined && self.epoch == 1;
                if (first || previous.is_some()) && record.previous != previous {
                    report.problem(self.path, "the record before it is not the one it followed");
                }
                self.check(&record, before, report);
                before.record = Some(record.clone());
                Some(record)
            }
        }
    }

    fn check(&self, record: &Record, before: &mut Before, report: &mut Report) {
        let mut found = Vec::new();
        if record.lane != self.lane || record.epoch != self.epoch {
            found.push(format!("it says it is of lane {} epoch {}", record.lane, record.epoch));
        }
        if let Some(generation) = self.generation.filter(|g| g.number != record.generation) {
            found.push(format!(
                "it has generation {} and the lake {}",
                record.generation, generation.number
            ));
        }
        match record.kind {
            Kind::Open => {
                found.extend(opening_problems(record));
                before.opened = Some(self.epoch);
            }
            Kind::Epoch => found.extend(epoch_problems(record, self.epoch, before)),
        }
        if let Some(last) = &before.record {
            found.extend(join_problems(last, record));
        }
        record.jumps.iter().for_each(|jump| tell_jump(self.path, jump, report));
        if record.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.epoch > self.epoch) {
            found.push("its checkpoint is of a later epoch".to_owned());
        }
        found.into_iter().for_each(|what| report.problem(self.path, what));
    }
}

fn opening_problems(record: &Record) -> Vec<String> {
    let counted = record.counters != Counters { open: record.counters.open, ..Counters::default() };
    let moved = record.positions.values().any(|span| span.from != span.to);
    let acts = counted || moved || !record.files.is_empty() || !record.jumps.is_empty();
    if acts {
        vec!["it takes the lane and commits readings as well".to_owned()]
    } else {
        Vec::new()
    }
}

fn epoch_problems(record: &Record, epoch: u64, before: &Before) -> Vec<String> {
    let mut found = Vec::new();
    match &before.record {
        Some(last) if last.writer != record.writer => found.push(format!(
            "writer {} commits and the lane was taken by {}",
            record.writer, last.writer
        )),
        None if epoch == 1 => found.push("nobody has taken the lane before it".to_owned()),
        _ => {}
    }
    if before.opened.is_some_and(|opened| opened != record.recovered) {
        found.push(format!("it says that its writer took the lane at {}", record.recovered));
    }
    found
}

fn join_problems(last: &Record, record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for (n, jump) in record.jumps.iter().enumerate() {
        if record.jumps[..n].iter().any(|other| other.partition == jump.partition) {
            found.push(format!("{} has two jumps", jump.partition));
        }
        let next = last.positions.get(&jump.partition).map(|span| span.to);
        found.extend(jump.problem(next));
    }
    for (partition, Span { to, .. }) in &last.positions {
        let expected = jumped_to(record, partition).unwrap_or(*to);
        found.extend(span_problem(partition, expected, record.positions.get(partition)));
    }
    found.extend(identity_problem(last, &record.inputs, &record.jumps));
    if record.watermark_ns < last.watermark_ns {
        found.push(format!(
            "the watermark goes back from {:?} to {:?}",
            last.watermark_ns, record.watermark_ns
        ));
    }
    if record.kind == Kind::Open && record.checkpoint != last.checkpoint {
        found.push("it takes the lane and changes its checkpoint".to_owned());
    }
    found
}

fn jumped_to(record: &Record, partition: &Partition) -> Option<i64> {
    record.jumps.iter().find(|jump| jump.partition == *partition).map(|jump| jump.to)
}

/// Why a span does not begin at `next`, where the record before it or a jump has left it.
fn span_problem(partition: &Partition, next: i64, span: Option<&Span>) -> Option<String> {
    match span {
        None => Some(format!("{partition} is missing, the record before it ends at {next}")),
        Some(span) if span.from > next => {
            Some(format!("{partition}: offsets {next} to {} are in no record: a gap", span.from))
        }
        Some(span) if span.from < next => Some(format!(
            "{partition}: offsets {} to {next} are in the record before it too: an overlap",
            span.from
        )),
        Some(_) => None,
    }
}

/// A jump is no fault of the lake, and the reader of a proof must know of it.
fn tell_jump(path: &str, jump: &Jump, report: &mut Report) {
    let Jump { partition, from, to, why } = jump;
    let what = match why {
        JumpReason::Retention => {
            let lost = to.abs_diff(*from);
            report.skipped = report.skipped.saturating_add(lost);
            format!(
                "{partition}: {lost} offsets, {from} to {to}, were deleted before they were read"
            )
        }
        JumpReason::Recreated => {
            format!("{partition} was made anew: reading went on at {to} instead of {from}")
        }
    };
    report.note(path, what);
}

/// The checkpoint that the next writer would start from.
fn newest_checkpoint(store: &dyn Store, lane: &LaneRecords, report: &mut Report) {
    let Some(newest) = lane.records.last() else {
        return;
    };
    let Some(checkpoint) = &newest.checkpoint else {
        return;
    };
    let path = &checkpoint.path;
    if checkpoint.positions != newest.next_positions() {
        report.problem(path, format!("it stands at other positions than lane {}", lane.lane));
    }
    match store.get(path) {
        Ok(bytes) => {
            if let Some(what) = content_problem(&bytes, checkpoint.bytes, &checkpoint.sha256) {
                report.problem(path, what);
            }
        }
        // A running pipeline drops old checkpoints; then it has a newer record.
        Err(StoreError::NotFound { .. }) if has_gone_on(store, newest) => {
            report.note(path, "a newer checkpoint has replaced it meanwhile");
        }
        Err(error) => report.failure(path, error.into()),
    }
}

fn has_gone_on(store: &dyn Store, newest: &Record) -> bool {
    let next = newest.epoch.checked_add(1).map(|epoch| paths::record_path(&newest.lane, epoch));
    next.is_some_and(|path| matches!(store.size(&path), Ok(Some(_))))
}
