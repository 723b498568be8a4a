//! A summary: all that the ledger told up to some epoch of each lane, in one object.
//!
//! *Why*: a lane writes a record every few seconds for years. A reader needs the newest summary and the
//! records after it; older records may go, and small files may be replaced by large ones. Summaries are
//! one chain for the whole lake, put if absent and hash-chained like records, each complete in itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_flow::{Partition, Span};

use crate::digest::Digest;
use crate::record::{CheckpointRef, Counters, FileRef, Jump, Kind, Record, Table};
use crate::writer::Writer;

/// What a lake held at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The generation of the lake.
    pub generation: u64,
    /// Grows by one with each summary of the lake; the first is 1.
    pub number: u64,
    /// Who wrote it: a random id of one maintenance run.
    pub writer: Writer,
    /// The digest of the summary before it; `None` for the first.
    pub previous: Option<Digest>,
    /// When it was made, microseconds since 1970.
    pub made_at_us: i64,
    /// What each lane told.
    pub lanes: BTreeMap<String, LaneSummary>,
    /// The files that count.
    pub files: Vec<LiveFile>,
    /// Files that count no more and are kept for readers that still know them.
    pub replaced: Vec<Replaced>,
    /// What was deleted because of its age.
    pub expired: Vec<Expired>,
}

/// All records of one lane up to `to`, in one.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSummary {
    /// The newest record that is in it.
    pub to: u64,
    /// The digest of that record's file.
    pub digest: Digest,
    /// Its writer.
    pub writer: Writer,
    /// The newest opening record up to there.
    pub opened: u64,
    /// When that record was committed, microseconds since 1970.
    pub committed_at_us: i64,
    /// Where reading began, ever.
    pub first: BTreeMap<Partition, i64>,
    /// The next offsets.
    pub positions: BTreeMap<Partition, i64>,
    /// Positions that moved without reading.
    pub jumps: Vec<Jump>,
    /// What each input is, where it can tell.
    pub inputs: BTreeMap<Arc<str>, String>,
    /// The watermark, nanoseconds since 1970.
    pub watermark_ns: Option<i64>,
    /// The state to continue from.
    pub checkpoint: Option<CheckpointRef>,
    /// Sums of the counts; `open` is the level at `to`.
    pub counters: Counters,
    /// Rows of late readings that were kept.
    pub late_kept: u64,
}

/// A data file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// The file.
    pub file: FileRef,
    /// When its newest rows were committed, microseconds since 1970.
    pub at_us: i64,
    /// What it was made of.
    pub level: Level,
}

/// What a data file was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One commit.
    Commit,
    /// The commits of an hour.
    Hour,
    /// The files of a day.
    Day,
}

/// A data file that counts no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The file.
    pub file: FileRef,
    /// Since when, microseconds since 1970.
    pub at_us: i64,
}

/// Rows that were deleted because of their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Of which table.
    pub table: Table,
    /// Of which lane; `None` where rows do not tell it.
    pub lane: Option<String>,
    /// How many rows.
    pub rows: u64,
    /// The sum of their `n_readings`.
    pub n_readings: u64,
}

impl LaneSummary {
    /// The summary of a lane's first record.
    pub(crate) fn begin(record: &Record, digest: Digest) -> Result<Self, String> {
        if record.epoch != 1 || record.previous.is_some() {
            return Err(format!("epoch {} is the first record that is there", record.epoch));
        }
        let mut summary = Self {
            to: 0,
            digest,
            writer: record.writer,
            opened: 1,
            committed_at_us: record.committed_at_us,
            first: BTreeMap::new(),
            positions: BTreeMap::new(),
            jumps: Vec::new(),
            inputs: BTreeMap::new(),
            watermark_ns: None,
            checkpoint: None,
            counters: Counters::default(),
            late_kept: 0,
        };
        summary.add(record, digest)?;
        Ok(summary)
    }

    /// Takes in the record after `to`.
    ///
    /// # Errors
    /// Says what does not fit: such a record was not written after this one.
    pub(crate) fn follow(&mut self, record: &Record, digest: Digest) -> Result<(), String> {
        if record.previous != Some(self.digest) {
            return Err("the record before it is not the one it followed".to_owned());
        }
        self.add(record, digest)
    }

    /// The records before `kept`, which begins where records are still kept, as if they were one: an
    /// epoch that counts what they counted. Files, watermark and the level `open` are not told.
    pub fn before(&self, lane: &str, kept: &[Record]) -> Option<Record> {
        let first = kept.first().filter(|first| first.epoch > 1)?;
        let held = kept.iter().filter(|record| record.epoch <= self.to);
        let counters = held.fold(self.counters, |left, record| left.minus(&record.counters));
        let begin = |partition: &Partition| self.first.get(partition).copied();
        let spans = first.positions.iter().map(|(partition, span)| {
            let jumped = first.jumps.iter().find(|jump| jump.partition == *partition);
            let to = jumped.map_or(span.from, |jump| jump.from);
            let from = begin(partition).unwrap_or(to);
            (partition.clone(), Span { from: from.min(to), to })
        });
        Some(Record {
            generation: first.generation,
            lane: lane.to_owned(),
            epoch: first.epoch - 1,
            kind: Kind::Epoch,
            writer: first.writer,
            previous: None,
            recovered: first.recovered,
            inputs: BTreeMap::new(),
            jumps: Vec::new(),
            positions: spans.collect(),
            watermark_ns: None,
            idle_moves: Vec::new(),
            closed_by: None,
            files: Vec::new(),
            checkpoint: None,
            model_sets: Vec::new(),
            counters: Counters { open: 0, ..counters },
            committed_at_us: first.committed_at_us,
        })
    }

    fn add(&mut self, record: &Record, digest: Digest) -> Result<(), String> {
        if self.to.checked_add(1) != Some(record.epoch) {
            return Err(format!("epoch {} follows {}", record.epoch, self.to));
        }
        let sums = self.counters.plus(&record.counters);
        self.counters = sums.ok_or("its counts are more than can be")?;
        self.late_kept = self.late_kept.saturating_add(record.rows_of(Table::Late));
        for (partition, span) in &record.positions {
            self.first.entry(partition.clone()).or_insert(span.from);
            self.positions.insert(partition.clone(), span.to);
        }
        if record.kind == Kind::Open {
            self.opened = record.epoch;
        }
        self.jumps.extend(record.jumps.iter().cloned());
        self.inputs.clone_from(&record.inputs);
        self.checkpoint.clone_from(&record.checkpoint);
        (self.to, self.digest, self.writer) = (record.epoch, digest, record.writer);
        self.watermark_ns = record.watermark_ns;
        self.committed_at_us = record.committed_at_us;
        Ok(())
    }
}

impl Summary {
    /// What expired of a table: rows and readings, of one lane or of all.
    pub(crate) fn expired_of(&self, table: Table, lane: Option<&str>) -> (u128, u128) {
        let of = |e: &&Expired| e.table == table && (lane.is_none() || e.lane.as_deref() == lane);
        let found = self.expired.iter().filter(of);
        found.fold((0, 0), |(rows, readings), e| {
            (rows + u128::from(e.rows), readings + u128::from(e.n_readings))
        })
    }

    /// Adds rows that are deleted.
    pub(crate) fn expire(&mut self, table: Table, lane: Option<String>, rows: u64, n: u64) {
        let same = |e: &&mut Expired| e.table == table && e.lane == lane;
        match self.expired.iter_mut().find(same) {
            Some(found) => {
                found.rows = found.rows.saturating_add(rows);
                found.n_readings = found.n_readings.saturating_add(n);
            }
            None => self.expired.push(Expired { table, lane, rows, n_readings: n }),
        }
    }
}
