//! The proof: re-reads a lake and says whether each reading counts once in it.
//!
//! *What it proves*: the ledger is whole and unedited; positions join without gap or overlap; the
//! files are exactly those that the ledger names, byte for byte; no sensor has a window twice; no event
//! opens or closes twice, or closes before it opened; the counts add up.
//! *How it stays right beside a running pipeline*: data files, checkpoints and staged files are listed
//! before the ledger is read, so that whatever was there then has its record now; a file not published
//! yet is a note. A thing that cannot be read is a problem in the report, and the rest is still looked
//! at.
//! *Memory*: the records since the newest summary, a file for each thread, 8 bytes for each of
//! [`Options::rows_max`] rows, and some 100 for each anomaly event.

mod chain;
mod counts;
mod events;
mod evidence;
mod files;
mod link;
mod mark;
mod named;
mod parallel;
mod repair;
mod report;
mod scan;
mod split;
mod twice;

use tidegauge_flow::Store;

pub(crate) use self::mark::{Mark, Marked};
pub use self::repair::Repair;
pub use self::report::{Problem, Report};
use crate::error::LakeError;
use crate::lake::newest_generation;
use crate::paths::{GENERATIONS, LEDGER};
use crate::view;

/// How often a proof begins anew because maintenance has overtaken it.
const TRIES: u32 = 4;

/// What is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of the lake. Nothing is written.
    Full,
    /// What is new since the last proof of this kind, which a mark in the lake remembers.
    New {
        /// Microseconds since 1970, for the mark.
        now_us: i64,
    },
}

/// How a lake is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What is read again.
    pub scope: Scope,
    /// Files that are read at once, at least 1.
    pub threads: usize,
    /// Rows that are compared at once, at least 1; a date with more is read several times.
    pub rows_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { scope: Scope::Full, threads, rows_max: 32 << 20 }
    }
}

/// Re-reads the whole lake. `progress` is told how many of how many files are done.
///
/// # Errors
/// When there is no lake, or it cannot even be listed. Everything else is in the report.
pub fn verify(store: &dyn Store, progress: &dyn Fn(u64, u64)) -> Result<Report, LakeError> {
    verify_with(store, Options::default(), progress)
}

/// Re-reads as much of the lake as `options` say.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    store: &dyn Store,
    options: Options,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, LakeError> {
    for _ in 1..TRIES {
        let newest = view::newest_number(store)?;
        let report = look(store, options, progress)?;
        // What maintenance deletes while we read looks like damage.
        if report.is_clean() || view::newest_number(store)? == newest {
            return Ok(report);
        }
    }
    look(store, options, progress)
}

fn look(
    store: &dyn Store,
    options: Options,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, LakeError> {
    let mut report = Report::default();
    let generation = match newest_generation(store) {
        Ok(Some(generation)) => Some(generation),
        Ok(None) if store.list(LEDGER)?.is_empty() => {
            return Err(LakeError::NotALake { url: store.url() });
        }
        Ok(None) => {
            let what = "there is no generation, but there is a ledger";
            report.problem(GENERATIONS, what, Repair::RestoreLedger);
            None
        }
        Err(error) => {
            report.failure(GENERATIONS, error, Repair::RestoreLedger);
            None
        }
    };
    let since = match options.scope {
        Scope::Full => None,
        Scope::New { .. } => mark::read(store, &mut report)?,
    };
    let listed = files::list(store)?;
    let left = evidence::list(store)?;
    let ledger = chain::read(store, generation.as_ref(), since.as_ref(), &mut report)?;
    evidence::check(&left, &ledger, &mut report);
    let since = since.as_ref().map(|mark| (mark, &listed));
    let tallies =
        files::check(store, generation.as_ref(), &ledger, since, options, progress, &mut report);
    files::unnamed(store, &listed, &ledger, &mut report);
    let counted_once = generation.is_some_and(|generation| generation.counted_once);
    counts::check(counted_once, &ledger, &tallies, &mut report);
    if let Scope::New { now_us } = options.scope
        && report.is_clean()
    {
        mark::write(store, &ledger, now_us, &mut report);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
