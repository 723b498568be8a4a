//! What a proof has found.

use std::fmt;

use tidegauge_flow::StoreError;

use super::repair::Repair;
use crate::error::LakeError;

/// Problems told in full; a lake with more is lost anyway, and a report has to end.
const PROBLEMS_MAX: usize = 1000;

/// What [`crate::verify`] found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Lanes with a ledger.
    pub lanes: u64,
    /// Records, those included that only a summary holds any more.
    pub records: u64,
    /// Records that were read.
    pub records_read: u64,
    /// Files that count.
    pub files: u64,
    /// Of these, those that were read.
    pub files_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Rows of predictions.
    pub rows: u64,
    /// Readings that were read: aggregated, late or filtered.
    pub readings: u64,
    /// Offsets that the broker had deleted before they were read, as the ledger's jumps say.
    pub skipped: u64,
    /// Rows that were deleted because of their age, over all tables.
    pub expired: u64,
    /// Sensors that have windows in two lanes of one topic.
    pub split_sensors: u64,
    /// What is wrong; empty for a lake that is proven.
    pub problems: Vec<Problem>,
    /// Problems beyond those told.
    pub more_problems: u64,
    /// What is not wrong but worth knowing, such as a file that is not published yet.
    pub notes: Vec<Problem>,
}

/// One finding: which object, what about it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record, file or checkpoint, as a path in the lake.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub repair: Repair,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl Report {
    /// Whether the lake is proven.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.more_problems == 0
    }

    pub(super) fn problem(
        &mut self,
        path: impl Into<String>,
        what: impl Into<String>,
        repair: Repair,
    ) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.into(), what: what.into(), repair });
        } else {
            self.more_problems += 1;
        }
    }

    pub(super) fn note(
        &mut self,
        path: impl Into<String>,
        what: impl Into<String>,
        repair: Repair,
    ) {
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(Problem { path: path.into(), what: what.into(), repair });
        }
    }

    /// Puts what is wrong with an object itself into the report.
    pub(super) fn failure(&mut self, path: &str, error: LakeError, repair: Repair) {
        match error {
            LakeError::Damaged { path, what } => self.problem(path, what, repair),
            LakeError::Store(StoreError::NotFound { path }) => {
                self.problem(path, "it is missing", repair);
            }
            LakeError::UnknownFormat { .. } => {
                self.problem(path, error.to_string(), Repair::Upgrade);
            }
            LakeError::Parquet { .. } => self.problem(path, error.to_string(), repair),
            other => self.problem(path, other.to_string(), Repair::TryAgain),
        }
    }
}
