//! A ledger record: all that one epoch of a lane committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegauge_flow::{Partition, Span};

use crate::digest::Digest;
use crate::writer::Writer;

/// One commit of one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The generation of the lake.
    pub generation: u64,
    /// The lane.
    pub lane: String,
    /// Grows by one with each record of the lane; the first is 1.
    pub epoch: u64,
    /// Whether the lane was taken, or readings were committed.
    pub kind: Kind,
    /// Who wrote it.
    pub writer: Writer,
    /// The digest of the record before it; `None` for the first.
    pub previous: Option<Digest>,
    /// The lane holds no leftovers of epochs below this one: the opening epoch of the newest writer
    /// whose recovery is known to be complete.
    pub recovered: u64,
    /// What each input is, where it can tell: a topic's name and its id as Kafka prints it. A topic
    /// that was made anew has another id.
    pub inputs: BTreeMap<Arc<str>, String>,
    /// Where positions moved without reading, at most once per partition and before anything of it
    /// was read.
    pub jumps: Vec<Jump>,
    /// What was consumed, of every partition that the lane has ever read; empty spans included, so
    /// that the newest record alone says where to start.
    pub positions: BTreeMap<Partition, Span>,
    /// The lane's watermark, nanoseconds since 1970.
    pub watermark_ns: Option<i64>,
    /// How the watermark moved without readings.
    pub idle_moves: Vec<IdleMove>,
    /// Why windows were closed before their time, if they were.
    pub closed_by: Option<ClosedBy>,
    /// The data files of this epoch.
    pub files: Vec<FileRef>,
    /// The state to continue from.
    pub checkpoint: Option<CheckpointRef>,
    /// The versions of the model sets that scored this epoch's rows.
    pub model_sets: Vec<u64>,
    /// What was counted in this epoch.
    pub counters: Counters,
    /// When it was committed, microseconds since 1970.
    pub committed_at_us: i64,
}

impl Record {
    /// The next offset to read of each partition.
    pub fn next_positions(&self) -> BTreeMap<Partition, i64> {
        self.positions.iter().map(|(partition, span)| (partition.clone(), span.to)).collect()
    }

    /// Rows of this epoch's files of one table.
    pub fn rows_of(&self, table: Table) -> u64 {
        let rows = self.files.iter().filter(|f| f.table == table).map(|f| f.rows);
        rows.fold(0, u64::saturating_add)
    }
}

/// What a record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A writer took the lane; nothing was consumed.
    Open,
    /// Readings were consumed.
    Epoch,
}

/// Why windows were closed although the watermark had not passed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// `run --until-idle` ended and closed what was open.
    Drain,
}

/// A move of the watermark because all input was idle, nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleMove {
    /// The watermark before.
    pub from_ns: i64,
    /// The watermark after.
    pub to_ns: i64,
}

/// A position that moved without reading, because the messages there are not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// Which partition.
    pub partition: Partition,
    /// The position before.
    pub from: i64,
    /// The position after; the record's span begins here.
    pub to: i64,
    /// Why.
    pub why: JumpReason,
}

/// Why a position moved without reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpReason {
    /// The broker had deleted what came next: the offsets between are lost to this lake.
    Retention,
    /// The input was deleted and made anew; its offsets began again, so `to` may be below `from`.
    Recreated,
}

impl Jump {
    /// Why this is no jump from `next`, if it is none.
    pub(crate) fn problem(&self, next: Option<i64>) -> Option<String> {
        let Self { partition, from, to, why } = self;
        match next {
            None => Some(format!("{partition} jumps and was never read")),
            Some(next) if next != *from => {
                Some(format!("{partition} jumps from {from} and stood at {next}"))
            }
            _ if *to < 0 => Some(format!("{partition} jumps to {to}, which is no offset")),
            _ if *why == JumpReason::Retention && to <= from => {
                Some(format!("{partition} jumps back from {from} to {to} without being made anew"))
            }
            _ => None,
        }
    }
}

/// A table of the lake: a folder of Parquet files by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Scored window rows, by the date of their window's end.
    Predictions,
    /// Readings that came too late, by the date of the commit.
    Late,
    /// Messages that could not be read, by the date of the commit.
    Rejects,
    /// Anomaly events that opened or closed, by the date of the commit.
    Events,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Predictions, Self::Late, Self::Rejects, Self::Events];

    /// The table's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Late => "late",
            Self::Rejects => "rejects",
            Self::Events => "events",
        }
    }

    /// The table's folder in the lake, with its `/`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Predictions => "predictions/",
            Self::Late => "late/",
            Self::Rejects => "rejects/",
            Self::Events => "events/",
        }
    }
}

/// A data file as its record names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// The table that it belongs to.
    pub table: Table,
    /// Its path in the lake, once published.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// Least and greatest `window_end`, microseconds since 1970; predictions only.
    pub window_end_us: Option<(i64, i64)>,
}

/// A checkpoint as a record names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRef {
    /// The epoch whose state it is.
    pub epoch: u64,
    /// Its path in the lake.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The next offsets at that state.
    pub positions: BTreeMap<Partition, i64>,
}

/// What one epoch counted; `open` is a level, the rest are counts of this epoch alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages consumed.
    pub messages: u64,
    /// Of these, those that were read.
    pub readable: u64,
    /// Of these, those that are rejects.
    pub rejected: u64,
    /// Of the readable, those that went into windows.
    pub aggregated: u64,
    /// Of the readable, those that came too late, whatever the reason.
    pub late: u64,
    /// Of the late, those whose windows had all closed.
    pub late_closed: u64,
    /// Of the late, those that arrived too long after their time.
    pub late_arrival: u64,
    /// Of the late, those that were too far behind the newest.
    pub late_out_of_order: u64,
    /// Of the readable, those that the query's WHERE left out.
    pub filtered: u64,
    /// Of the readable, those whose event id their window held already.
    pub duplicate: u64,
    /// Window rows emitted.
    pub rows: u64,
    /// The sum of `n_readings` over these rows.
    pub n_readings: u64,
    /// The sum of `n_readings` over the rows that a later revision in this epoch has replaced.
    pub superseded: u64,
    /// Rows of anomaly events: those that opened and those that closed.
    pub events: u64,
    /// Readings that no row holds yet: in open windows at the cut, or waiting for a revision.
    pub open: u64,
}

impl Counters {
    /// The sums that do not add up, as sentences.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let sum = |parts: &[u64]| parts.iter().map(|&part| u128::from(part)).sum::<u128>();
        let (messages, readable) = (u128::from(self.messages), u128::from(self.readable));
        let mut found = Vec::new();
        if messages != sum(&[self.readable, self.rejected]) {
            found.push(format!(
                "{messages} messages are not {readable} readable and {} rejected ones",
                self.rejected
            ));
        }
        if readable != sum(&[self.aggregated, self.late, self.filtered, self.duplicate]) {
            found.push(format!(
                "{readable} readable messages are not {} aggregated, {} late, {} filtered and {} \
                 duplicate ones",
                self.aggregated, self.late, self.filtered, self.duplicate
            ));
        }
        if u128::from(self.late)
            != sum(&[self.late_closed, self.late_arrival, self.late_out_of_order])
        {
            found.push(format!(
                "{} late readings are not {} with closed windows, {} by arrival and {} out of order",
                self.late, self.late_closed, self.late_arrival, self.late_out_of_order
            ));
        }
        found
    }

    /// The sums of both; `open`, which is a level, is that of `later`. `None` when one does not fit.
    pub(crate) fn plus(&self, later: &Self) -> Option<Self> {
        Some(Self {
            messages: self.messages.checked_add(later.messages)?,
            readable: self.readable.checked_add(later.readable)?,
            rejected: self.rejected.checked_add(later.rejected)?,
            aggregated: self.aggregated.checked_add(later.aggregated)?,
            late: self.late.checked_add(later.late)?,
            late_closed: self.late_closed.checked_add(later.late_closed)?,
            late_arrival: self.late_arrival.checked_add(later.late_arrival)?,
            late_out_of_order: self.late_out_of_order.checked_add(later.late_out_of_order)?,
            filtered: self.filtered.checked_add(later.filtered)?,
            duplicate: self.duplicate.checked_add(later.duplicate)?,
            rows: self.rows.checked_add(later.rows)?,
            n_readings: self.n_readings.checked_add(later.n_readings)?,
            superseded: self.superseded.checked_add(later.superseded)?,
            events: self.events.checked_add(later.events)?,
            open: later.open,
        })
    }

    /// What of these counts is not in `part`.
    pub(crate) fn minus(&self, part: &Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(part.messages),
            readable: self.readable.saturating_sub(part.readable),
            rejected: self.rejected.saturating_sub(part.rejected),
            aggregated: self.aggregated.saturating_sub(part.aggregated),
            late: self.late.saturating_sub(part.late),
            late_closed: self.late_closed.saturating_sub(part.late_closed),
            late_arrival: self.late_arrival.saturating_sub(part.late_arrival),
            late_out_of_order: self.late_out_of_order.saturating_sub(part.late_out_of_order),
            filtered: self.filtered.saturating_sub(part.filtered),
            duplicate: self.duplicate.saturating_sub(part.duplicate),
            rows: self.rows.saturating_sub(part.rows),
            n_readings: self.n_readings.saturating_sub(part.n_readings),
            superseded: self.superseded.saturating_sub(part.superseded),
            events: self.events.saturating_sub(part.events),
            open: self.open,
        }
    }

    /// Counter of the rows that a table's files must hold; `None` when it is not told.
    pub(crate) fn rows_of(&self, table: Table) -> Option<u64> {
        match table {
            Table::Predictions => Some(self.rows),
            Table::Rejects => Some(self.rejected),
            Table::Events => Some(self.events),
            // Kept or only counted, as the configuration says.
            Table::Late => None,
        }
    }
}
