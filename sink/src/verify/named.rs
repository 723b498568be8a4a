//! The files that count, and what names each of them.

use super::chain::Ledger;
use super::mark::Mark;
use crate::generation::Generation;
use crate::paths::{CompactFile, DataFile};
use crate::record::{FileRef, Record};
use crate::summary::Summary;

/// What names a file.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// The record of its epoch.
    Record(&'a Record),
    /// The summary that holds its epochs.
    Summary(&'a Summary),
}

impl Source<'_> {
    /// The lane of all rows, if it is one.
    pub fn lane(&self) -> Option<&str> {
        match self {
            Self::Record(record) => Some(&record.lane),
            Self::Summary(_) => None,
        }
    }

    /// Whether a row may say this of itself. A summary knows no model sets.
    pub fn fits(
        &self,
        lane: &str,
        epoch: Option<u64>,
        mut sets: impl Iterator<Item = u64>,
    ) -> bool {
        match self {
            Self::Record(record) => {
                record.lane == lane
                    && epoch.is_none_or(|epoch| epoch == record.epoch)
                    && sets.all(|set| record.model_sets.contains(&set))
            }
            Self::Summary(summary) => {
                let known = summary.lanes.get(lane);
                known.is_some_and(|known| epoch.is_none_or(|e| (1..=known.to).contains(&e)))
            }
        }
    }
}

/// A file, and what names it.
pub(super) struct Named<'a> {
    pub file: &'a FileRef,
    pub source: Source<'a>,
    /// Its record's place among the lanes and records.
    pub place: Option<(usize, usize)>,
    /// Whether its bytes are to be proven; otherwise an earlier proof has done that.
    pub fresh: bool,
}

/// All of them, by table and path.
pub(super) fn in_order<'a>(ledger: &'a Ledger, since: Option<&Mark>) -> Vec<Named<'a>> {
    let fresh = |file: &FileRef| since.is_none_or(|mark| !mark.covers(&file.path));
    let mut named = Vec::new();
    if let Some(summary) = &ledger.summary {
        let one = |file: &'a FileRef| Named {
            file,
            source: Source::Summary(summary),
            place: None,
            fresh: fresh(file),
        };
        named.extend(summary.files.iter().map(|live| one(&live.file)));
    }
    for (lane, records) in ledger.lanes.iter().enumerate() {
        for (place, record) in records.records.iter().enumerate() {
            let source = Source::Record(record);
            let one = |file: &'a FileRef| Named {
                file,
                source,
                place: Some((lane, place)),
                fresh: fresh(file),
            };
            named.extend(record.files.iter().map(one));
        }
    }
    named.sort_by(|a, b| (a.file.table, &a.file.path).cmp(&(b.file.table, &b.file.path)));
    named
}

/// Why a file's name is not that of its writer.
pub(super) fn name_problem(one: &Named<'_>, generation: Option<&Generation>) -> Option<String> {
    let path = &one.file.path;
    match one.source {
        Source::Record(record) => {
            let fits = |name: &DataFile| {
                name.lane == record.lane
                    && name.epoch == record.epoch
                    && name.writer == record.writer
                    && name.generation == record.generation
            };
            let fits = DataFile::parse(path).as_ref().is_some_and(fits);
            let (lane, epoch) = (&record.lane, record.epoch);
            (!fits).then(|| format!("its name is not of lane {lane} epoch {epoch}"))
        }
        Source::Summary(summary) => {
            let ours = |number: u64| generation.is_none_or(|g| g.number == number);
            let compacted = CompactFile::parse(path)
                .is_some_and(|name| name.summary <= summary.number && ours(name.generation));
            let committed = DataFile::parse(path).is_some_and(|name| {
                let lane = summary.lanes.get(&name.lane);
                lane.is_some_and(|lane| name.epoch <= lane.to) && ours(name.generation)
            });
            (!compacted && !committed).then(|| "its name is of no epoch in the summary".to_owned())
        }
    }
}
