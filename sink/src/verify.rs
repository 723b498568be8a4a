//! The proof: re-reads a lake and says whether each reading counts once in it.
//!
//! *What it proves*: the ledger is whole and unedited; positions join without gap or overlap; the
//! files are exactly those that records name, byte for byte; no sensor has a window twice; the
//! counts add up.
//! *How it stays right beside a running pipeline*: data files are listed before the ledger is read,
//! so that whatever was published then has its record now; a file not published yet is a note. A
//! thing that cannot be read is a problem in the report, and the rest is still looked at.

mod chain;
mod counts;
mod files;
mod rows;

use std::fmt;

use tidegauge_flow::{Store, StoreError};

use crate::error::LakeError;
use crate::lake::newest_generation;
use crate::paths::{GENERATIONS, LEDGER};

/// Problems told in full; a lake with more is lost anyway, and a report has to end.
const PROBLEMS_MAX: usize = 1000;

/// What [`verify`] found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Lanes with a ledger.
    pub lanes: u64,
    /// Records read.
    pub records: u64,
    /// Files that records name.
    pub files: u64,
    /// Rows of predictions.
    pub rows: u64,
    /// Readings that were read: aggregated, late or filtered.
    pub readings: u64,
    /// Offsets that the broker had deleted before they were read, as the ledger's jumps say.
    pub skipped: u64,
    /// What is wrong; empty for a lake that is proven.
    pub problems: Vec<Problem>,
    /// Problems beyond those told.
    pub more_problems: u64,
    /// What is not wrong but worth knowing, such as a file that is not published yet.
    pub notes: Vec<Problem>,
}

/// One finding: which object, and what about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record, file or checkpoint, as a path in the lake.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
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

    fn problem(&mut self, path: impl Into<String>, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.into(), what: what.into() });
        } else {
            self.more_problems += 1;
        }
    }

    fn note(&mut self, path: impl Into<String>, what: impl Into<String>) {
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(Problem { path: path.into(), what: what.into() });
        }
    }

    /// Puts what is wrong with an object itself into the report.
    fn failure(&mut self, path: &str, error: LakeError) {
        match error {
            LakeError::Damaged { path, what } => self.problem(path, what),
            LakeError::Store(StoreError::NotFound { path }) => self.problem(path, "it is missing"),
            other => self.problem(path, other.to_string()),
        }
    }
}

/// Re-reads the lake. `progress` is told how many of how many files are done.
///
/// # Errors
/// When there is no lake, or it cannot even be listed. Everything else is in the report.
pub fn verify(store: &dyn Store, progress: &dyn Fn(u64, u64)) -> Result<Report, LakeError> {
    let mut report = Report::default();
    let generation = match newest_generation(store) {
        Ok(Some(generation)) => Some(generation),
        Ok(None) if store.list(LEDGER)?.is_empty() => {
            return Err(LakeError::NotALake { url: store.url() });
        }
        Ok(None) => {
            report.problem(GENERATIONS, "there is no generation, but there is a ledger");
            None
        }
        Err(error) => {
            report.failure(GENERATIONS, error);
            None
        }
    };
    let listed = files::list(store)?;
    let lanes = chain::read(store, generation.as_ref(), &mut report)?;
    let tallies = files::check(store, generation.as_ref(), &lanes, progress, &mut report);
    files::unnamed(&listed, &lanes, &mut report);
    let counted_once = generation.is_some_and(|generation| generation.counted_once);
    counts::check(counted_once, &lanes, &tallies, &mut report);
    Ok(report)
}

#[cfg(test)]
mod tests;
