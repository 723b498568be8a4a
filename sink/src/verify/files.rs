//! The data files: those that records name, all of them, byte for byte, and no others.

use std::collections::HashSet;

use bytes::Bytes;
use tidegauge_flow::Store;

use super::Report;
use super::chain::LaneRecords;
use super::rows::Rows;
use crate::error::LakeError;
use crate::generation::Generation;
use crate::lake::{Found, content_problem, locate};
use crate::parquet;
use crate::paths::{self, DataFile};
use crate::record::{FileRef, Record, Table};

/// What the files of one record hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub n_readings: u128,
    /// Whether one of them could not be read, so that the sum says nothing.
    pub unreadable: bool,
}

/// A file, and the record that names it by its place among the lanes and records.
struct Named<'a> {
    file: &'a FileRef,
    record: &'a Record,
    lane: usize,
    place: usize,
}

/// Paths of all data files that lie published. To be called before the ledger is read.
pub(super) fn list(store: &dyn Store) -> Result<Vec<String>, LakeError> {
    let mut paths = Vec::new();
    for table in Table::ALL {
        paths.extend(store.list(table.folder())?.into_iter().map(|entry| entry.path));
    }
    Ok(paths)
}

/// Reads every named file; returns what each record's files hold, by lane and record.
pub(super) fn check(
    store: &dyn Store,
    generation: Option<&Generation>,
    lanes: &[LaneRecords],
    progress: &dyn Fn(u64, u64),
    report: &mut Report,
) -> Vec<Vec<Tally>> {
    let mut tallies: Vec<_> =
        lanes.iter().map(|lane| vec![Tally::default(); lane.records.len()]).collect();
    let mut named = in_order(lanes);
    // One date's files lie together, and equal windows have equal dates: so the set of rows seen is
    // never larger than one date.
    named.sort_by(|a, b| (a.file.table, &a.file.path).cmp(&(b.file.table, &b.file.path)));
    let total = named.len() as u64;
    report.files = total;
    let mut rows = Rows::new(generation);
    let mut last: Option<&str> = None;
    for (done, one) in (1..).zip(&named) {
        let tally = &mut tallies[one.lane][one.place];
        if last == Some(&one.file.path) {
            report.problem(&one.file.path, "two entries of the ledger name it");
        }
        last = Some(&one.file.path);
        name_problems(one, report);
        check_one(store, one, &mut rows, tally, report);
        progress(done, total);
    }
    tallies
}

/// Published files that no record names. A file of a later epoch than the newest record cannot be
/// there: it was listed before the ledger was read.
pub(super) fn unnamed(listed: &[String], lanes: &[LaneRecords], report: &mut Report) {
    let records = || lanes.iter().flat_map(|lane| &lane.records);
    let named: HashSet<&str> =
        records().flat_map(|record| &record.files).map(|file| file.path.as_str()).collect();
    for path in listed.iter().filter(|path| !named.contains(path.as_str())) {
        report.problem(path, "no record names it");
    }
}

fn in_order(lanes: &[LaneRecords]) -> Vec<Named<'_>> {
    let mut named = Vec::new();
    for (lane, records) in lanes.iter().enumerate() {
        for (place, record) in records.records.iter().enumerate() {
            named.extend(record.files.iter().map(|file| Named { file, record, lane, place }));
        }
    }
    named
}

/// A file's name says who wrote it; its record must be theirs.
fn name_problems(one: &Named<'_>, report: &mut Report) {
    let Named { file, record, .. } = one;
    let fits = |name: &DataFile| {
        name.lane == record.lane
            && name.epoch == record.epoch
            && name.writer == record.writer
            && name.generation == record.generation
    };
    let in_table = file.path.starts_with(file.table.folder());
    if !in_table || paths::date_of(&file.path).is_none() {
        report.problem(&file.path, format!("it is not in the folder of {}", file.table.as_str()));
    }
    if !DataFile::parse(&file.path).as_ref().is_some_and(fits) {
        let (lane, epoch) = (&record.lane, record.epoch);
        report.problem(&file.path, format!("its name is not of lane {lane} epoch {epoch}"));
    }
}

fn check_one(
    store: &dyn Store,
    one: &Named<'_>,
    rows: &mut Rows,
    tally: &mut Tally,
    report: &mut Report,
) {
    let path = &one.file.path;
    let read = read_whole(store, one, report).and_then(|bytes| rows.check(one.file, bytes, report));
    match read {
        Ok(n_readings) => {
            tally.n_readings += n_readings;
            if one.file.table == Table::Predictions {
                report.rows += one.file.rows;
            }
        }
        Err(error) => {
            tally.unreadable = true;
            report.failure(path, error);
        }
    }
}

/// The file's bytes, if they are those of its record.
fn read_whole(store: &dyn Store, one: &Named<'_>, report: &mut Report) -> Result<Bytes, LakeError> {
    let path = &one.file.path;
    let (bytes, found) = locate(store, path)?;
    if let Some(what) = content_problem(&bytes, one.file.bytes, &one.file.sha256) {
        return Err(LakeError::damaged(path, what));
    }
    let bytes = Bytes::from(bytes);
    let rows = parquet::rows(bytes.clone())
        .map_err(|source| LakeError::Parquet { path: path.clone(), source })?;
    if rows != one.file.rows {
        let what = format!("it has {rows} rows and its record says {}", one.file.rows);
        return Err(LakeError::damaged(path, what));
    }
    if found == Found::Staged {
        report.note(path, "it is committed and not published yet; taking its lane publishes it");
    }
    Ok(bytes)
}
