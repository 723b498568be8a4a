//! The data files: those that the ledger names, all of them, byte for byte, and no others.

use std::collections::{BTreeMap, HashSet};

use tidegauge_flow::Store;

use super::chain::Ledger;
use super::events::Events;
use super::mark::Mark;
use super::named::{Named, Source, in_order, name_problem};
use super::parallel::in_parallel;
use super::repair::Repair;
use super::report::Report;
use super::scan::{Identity, Scan, Scanner, is_missing};
use super::{Options, split::Sensors, twice};
use crate::error::LakeError;
use crate::generation::Generation;
use crate::paths::{self, CompactFile, DataFile};
use crate::record::Table;
use crate::view;

/// What the files of one record hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub n_readings: u128,
    /// Whether one of them was not read, so that the sum says nothing.
    pub unread: bool,
}

/// What all files hold.
#[derive(Default)]
pub(super) struct Tallies {
    /// By lane and record after the summary.
    pub records: Vec<Vec<Tally>>,
    /// Rows and readings of the summary's predictions by lane, where rows tell their lane.
    pub lanes: BTreeMap<String, (u128, u128)>,
    /// All of the summary's predictions.
    pub summary: Tally,
}

/// Paths and sizes of all data files that lie published. To be called before the ledger is read.
pub(super) fn list(store: &dyn Store) -> Result<BTreeMap<String, u64>, LakeError> {
    let mut paths = BTreeMap::new();
    for table in Table::ALL {
        paths.extend(store.list(table.folder())?.into_iter().map(|entry| (entry.path, entry.size)));
    }
    Ok(paths)
}

/// Reads every named file; returns what each record's files hold. `since`: the last proof, whose files are
/// not read again, and the files that lie published.
pub(super) fn check(
    store: &dyn Store,
    generation: Option<&Generation>,
    ledger: &Ledger,
    since: Option<(&Mark, &BTreeMap<String, u64>)>,
    options: Options,
    progress: &dyn Fn(u64, u64),
    report: &mut Report,
) -> Tallies {
    let named = in_order(ledger, since.map(|(mark, _)| mark));
    let lanes = ledger.lanes.iter();
    let records = lanes.map(|lane| vec![Tally::default(); lane.records.len()]).collect();
    let (total, done) = (named.len() as u64, 0);
    report.files = total;
    let mut proof = Proof {
        store,
        identity: Identity::new(generation),
        generation,
        ledger,
        named: &named,
        options,
        sensors: Sensors::new(generation, ledger),
        events: Events::default(),
        tallies: Tallies { records, ..Tallies::default() },
        progress,
        done,
        report,
    };
    proof.names();
    if let Some((_, listed)) = since {
        proof.still_there(listed);
    }
    for part in parts(&named, since.is_some()).values() {
        proof.part(part);
    }
    proof.events.tell(ledger, since.is_some(), proof.report);
    proof.sensors.tell(proof.report, store, &proof.identity, &named);
    proof.tallies
}

/// Files whose rows are compared with each other. Equal windows have equal dates; a reject may come
/// again at any time.
fn parts<'a>(named: &[Named<'a>], by_date: bool) -> BTreeMap<(Table, &'a str), Vec<usize>> {
    let mut parts: BTreeMap<(Table, &str), Vec<usize>> = BTreeMap::new();
    for (n, one) in named.iter().enumerate() {
        let date = paths::date_of(&one.file.path).unwrap_or_default();
        let whole = one.file.table != Table::Predictions && !by_date;
        parts.entry((one.file.table, if whole { "" } else { date })).or_default().push(n);
    }
    parts
}

/// The proof of all files, under way.
struct Proof<'a, 'r> {
    store: &'a dyn Store,
    identity: Identity,
    generation: Option<&'a Generation>,
    ledger: &'a Ledger,
    named: &'a [Named<'a>],
    options: Options,
    sensors: Sensors,
    events: Events,
    tallies: Tallies,
    progress: &'a dyn Fn(u64, u64),
    done: u64,
    report: &'r mut Report,
}

impl Proof<'_, '_> {
    /// A file's name says who wrote it; what names it must be theirs.
    fn names(&mut self) {
        let mut last: Option<&str> = None;
        for one in self.named {
            let path = &one.file.path;
            if last == Some(path) {
                let what = "two entries of the ledger name it";
                self.report.problem(path, what, Repair::Report);
            }
            last = Some(path);
            if !path.starts_with(one.file.table.folder()) || paths::date_of(path).is_none() {
                let what = format!("it is not in the folder of {}", one.file.table.as_str());
                self.report.problem(path, what, Repair::Report);
            }
            if let Some(what) = name_problem(one, self.generation) {
                self.report.problem(path, what, Repair::Report);
            }
        }
    }

    /// Files of an earlier proof are where they were, as long as they were.
    fn still_there(&mut self, listed: &BTreeMap<String, u64>) {
        for one in self.named.iter().filter(|one| !one.fresh) {
            let (path, bytes) = (&one.file.path, one.file.bytes);
            let staged = || paths::staged(path).and_then(|staged| self.store.size(&staged).ok()?);
            let what = match listed.get(path).copied().or_else(staged) {
                Some(found) if found == bytes => continue,
                Some(found) => format!("it has {found} bytes and its record says {bytes}"),
                None if self.is_replaced(path) => continue,
                None => "it is missing".to_owned(),
            };
            self.report.problem(path, what, Repair::RestoreFile);
        }
    }

    /// Files that are compared with each other, as often as their rows need.
    fn part(&mut self, part: &[usize]) {
        let fresh: Vec<&Named<'_>> =
            part.iter().map(|&n| &self.named[n]).filter(|one| one.fresh).collect();
        let ends = fresh.iter().filter_map(|one| one.file.window_end_us);
        let range = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let meets = |one: &Named<'_>| match (range, one.file.window_end_us) {
            (Some(new), Some(old)) => old.0 <= new.1 && new.0 <= old.1,
            _ => true,
        };
        let needed = |n: &usize| {
            let one = &self.named[*n];
            !fresh.is_empty() && (one.fresh || meets(one))
        };
        let (read, skipped): (Vec<usize>, Vec<usize>) = part.iter().copied().partition(needed);
        for &n in &skipped {
            self.sum_of(&self.named[n]).unread = true;
        }
        let rows: u64 = read.iter().map(|&n| self.named[n].file.rows).sum();
        let most = self.options.rows_max.max(1) as u64;
        let passes = rows.div_ceil(most).max(1);
        for pass in 0..passes {
            let numbers = self.pass(&read, (pass, passes));
            let twice = twice::numbers(numbers);
            if !twice.is_empty() {
                let known = twice::Known::new(self.store, &self.identity, self.ledger);
                known.tell(&twice, read.iter().map(|&n| &self.named[n]), self.report);
            }
        }
        if !skipped.is_empty() {
            self.done += skipped.len() as u64;
            (self.progress)(self.done, self.named.len() as u64);
        }
    }

    /// Reads files in parallel; returns the numbers of their rows.
    fn pass(&mut self, read: &[usize], pass: (u64, u64)) -> Vec<u64> {
        let (store, named) = (self.store, self.named);
        let identity = std::mem::replace(&mut self.identity, Identity { key: Vec::new() });
        let scanner = Scanner { store, identity: &identity, pass };
        let first = pass.0 == 0;
        let scan = |at: usize| {
            let one = &named[read[at]];
            if one.fresh && first {
                scanner.prove(one.file, &one.source)
            } else {
                scanner.again(one.file).map(|hashes| Scan { hashes, ..Scan::default() })
            }
        };
        let mut numbers = Vec::new();
        let mut found: BTreeMap<usize, Result<Scan, LakeError>> = BTreeMap::new();
        in_parallel(self.options.threads, read.len(), &scan, &mut |at, mut result| {
            if let Ok(scan) = &mut result {
                numbers.append(&mut scan.hashes);
                self.sensors.add(std::mem::take(&mut scan.sensors), &scan.lane_names, read[at]);
            }
            found.insert(at, result);
            if first {
                self.done += 1;
                (self.progress)(self.done, named.len() as u64);
            }
        });
        self.identity = identity;
        if first {
            for (at, result) in found {
                self.take(&named[read[at]], result);
            }
        }
        numbers
    }

    fn take(&mut self, one: &Named<'_>, result: Result<Scan, LakeError>) {
        let path = &one.file.path;
        let mut tally = Tally::default();
        match result {
            Ok(scan) if one.fresh => {
                tally.n_readings = scan.n_readings;
                self.report.files_read += 1;
                self.report.bytes_read += one.file.bytes;
                if one.file.table == Table::Predictions {
                    self.report.rows += one.file.rows;
                }
                if matches!(one.source, Source::Summary(_)) {
                    for (lane, sums) in scan.lanes {
                        let known = self.tallies.lanes.entry(lane).or_default();
                        *known = (known.0 + sums.0, known.1 + sums.1);
                    }
                }
                self.events.add(path, scan.events);
                for what in scan.problems {
                    self.report.problem(path, what, Repair::Report);
                }
                if scan.staged {
                    let what = if CompactFile::parse(path).is_some() {
                        "it counts and is not published yet: a maintenance run is under way, or died"
                    } else {
                        "it is committed and not published yet; taking its lane publishes it"
                    };
                    self.report.note(path, what, Repair::Finish);
                }
            }
            Ok(_) => tally.unread = true,
            Err(error) => {
                tally.unread = true;
                if is_missing(&error) && self.is_replaced(path) {
                    let what = "it was compacted while the lake was read: the next proof reads it";
                    self.report.note(path, what, Repair::Nothing);
                } else {
                    self.report.failure(path, error, Repair::RestoreFile);
                }
            }
        }
        let sum = self.sum_of(one);
        sum.n_readings += tally.n_readings;
        sum.unread |= tally.unread;
    }

    /// What the files of the same record, or of the summary, hold.
    fn sum_of(&mut self, one: &Named<'_>) -> &mut Tally {
        match one.place {
            Some((lane, place)) => &mut self.tallies.records[lane][place],
            None => &mut self.tallies.summary,
        }
    }

    /// Whether a file counts no more since we read the ledger.
    fn is_replaced(&self, path: &str) -> bool {
        let ours = self.ledger.summary.as_ref().map_or(0, |summary| summary.number);
        match view::newest_summary(self.store) {
            Ok(Some((newest, _))) => {
                newest.number > ours && !newest.files.iter().any(|live| live.file.path == path)
            }
            _ => false,
        }
    }
}

/// Published files that nothing names.
pub(super) fn unnamed(
    store: &dyn Store,
    listed: &BTreeMap<String, u64>,
    ledger: &Ledger,
    report: &mut Report,
) {
    let records = || ledger.lanes.iter().flat_map(|lane| &lane.records);
    let summary = ledger.summary.iter();
    let live = summary.clone().flat_map(|s| s.files.iter().map(|live| &live.file));
    let replaced = summary.flat_map(|s| s.replaced.iter().map(|replaced| &replaced.file));
    let named: HashSet<&str> = records()
        .flat_map(|record| &record.files)
        .chain(live)
        .chain(replaced)
        .map(|file| file.path.as_str())
        .collect();
    let newest = ledger.summary.as_ref().map_or(0, |summary| summary.number);
    for path in listed.keys().filter(|path| !named.contains(path.as_str())) {
        let later = CompactFile::parse(path).is_some_and(|file| file.summary > newest);
        if !store.renames() && (is_pending(path, ledger) || is_gone(store, path)) {
            let what = "no record names it yet: its commit is under way, or its writer died";
            report.note(path, what, Repair::Finish);
        } else if later && !store.renames() {
            let what = "no summary names it yet: a maintenance run is under way, or died";
            report.note(path, what, Repair::Finish);
        } else {
            report.problem(path, "no record names it", Repair::DeleteOrphan);
        }
    }
}

/// Whether a file is of an epoch that its lane has not come to: where files have their final names before
/// their record, whoever writes that record decides about it.
fn is_pending(path: &str, ledger: &Ledger) -> bool {
    let Some(file) = DataFile::parse(path) else {
        return false;
    };
    let lane = ledger.lanes.iter().find(|lane| lane.lane == file.lane);
    let newest = lane.and_then(|lane| lane.newest.as_ref()).map_or(0, |(record, _)| record.epoch);
    file.epoch > newest
}

/// Whether a file was removed since it was listed: by a writer who lost its lane, or by the next one.
fn is_gone(store: &dyn Store, path: &str) -> bool {
    matches!(store.size(path), Ok(None))
}
