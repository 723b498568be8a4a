//! One record in its place in the chain.

use tidegauge_flow::{Partition, Span, Store};

use super::repair::Repair;
use super::report::Report;
use crate::digest::Digest;
use crate::format;
use crate::generation::Generation;
use crate::lane::identity_problem;
use crate::record::{Counters, Jump, JumpReason, Kind, Record};

/// What the next record is compared with.
#[derive(Default)]
pub(super) struct Before {
    pub epoch: u64,
    /// `None` when that record could not be read.
    pub digest: Option<Digest>,
    pub record: Option<Record>,
    /// The epoch of the last opening record.
    pub opened: Option<u64>,
}

/// One record in its place.
pub(super) struct Link<'a> {
    pub store: &'a dyn Store,
    pub generation: Option<&'a Generation>,
    pub path: &'a str,
    pub lane: &'a str,
    pub epoch: u64,
}

impl Link<'_> {
    /// Reads the record, compares it with the one before it, and puts it in its place.
    pub fn read(&self, before: &mut Before, report: &mut Report) -> Option<(Record, Digest)> {
        before.epoch = self.epoch;
        let bytes = match self.store.get(self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.failure(self.path, error.into(), Repair::RestoreLedger);
                *before = Before { epoch: self.epoch, ..Before::default() };
                return None;
            }
        };
        let digest = Digest::of(&bytes);
        let previous = before.digest.replace(digest);
        match format::record::decode(self.path, &bytes) {
            Err(error) => {
                report.failure(self.path, error, Repair::RestoreLedger);
                (before.record, before.opened) = (None, None);
                None
            }
            Ok(opened) => {
                if !opened.intact {
                    let what = "its digest does not fit its body: it was edited";
                    report.problem(self.path, what, Repair::RestoreLedger);
                }
                let record = opened.value;
                if (self.epoch == 1 || previous.is_some()) && record.previous != previous {
                    let what = "the record before it is not the one it followed";
                    report.problem(self.path, what, Repair::RestoreLedger);
                }
                self.check(&record, before, report);
                before.record = Some(record.clone());
                Some((record, digest))
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
        if record.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.epoch > self.epoch) {
            found.push("its checkpoint is of a later epoch".to_owned());
        }
        found.into_iter().for_each(|what| report.problem(self.path, what, Repair::Report));
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
pub(super) fn tell_jump(path: &str, jump: &Jump, report: &mut Report) {
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
    report.note(path, what, Repair::Nothing);
}
