//! A look at the lake: its ledger as far as it has come, and the rows that are new in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegauge_flow::StoreError;
use tidegauge_sink::{
    Counters, FileRef, Generation, LakeError, LaneSummary, OpenFile, Reader, Record, Table, View,
};

use super::events::Book;
use super::follower::State;
use super::index::{Columns, HORIZON_US, Index, News, anomaly_columns, verdict_columns};
use super::origin::Origin;
use crate::background::End;

/// Listing takes at most one part in so many of the time.
const LIST_SHARE: u32 = 20;
/// Rates are of so long.
pub const RATE_US: i64 = 60_000_000;
/// Commits of one lane that rates look back at.
const RECENT_MAX: usize = 600;
/// Rows that a first look reads: beyond them it ends before the horizon.
const ROWS_MAX: u64 = 50_000_000;

/// The lake by its ledger.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// `None` before there is a lake.
    pub reader: Option<Reader>,
    /// Files that count.
    pub files: Arc<Vec<DataFile>>,
    pub lanes: Arc<BTreeMap<String, Standing>>,
}

/// A file that counts.
#[derive(Debug, Clone)]
pub struct DataFile {
    pub file: FileRef,
    /// When its newest rows were committed.
    pub at_us: i64,
    /// Whether a record names it that no summary holds.
    is_of_record: bool,
}

/// A lane at its newest record.
#[derive(Debug, Clone)]
pub struct Standing {
    pub newest: Arc<Record>,
    /// Of the lane's whole life.
    pub totals: Totals,
    /// Commits of the last minute: when, messages, rows.
    pub recent: VecDeque<(i64, u64, u64)>,
}

/// Sums over a lane's records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub messages: u64,
    pub rejected: u64,
    pub late: u64,
    pub rows: u64,
    pub open: u64,
}

/// Has the state changed while nobody reads it.
type Change<'a> = dyn FnMut(&mut dyn FnMut(&mut State)) + 'a;

/// Why the index is not up to date.
#[derive(Debug)]
pub enum Trouble {
    /// It is told elsewhere, or is over at the next look.
    Passing,
    Named(String),
}

/// Looks, and remembers what it has seen.
pub struct Looker {
    origin: Arc<Origin>,
    end: End,
    /// Lanes and summaries that are new are looked for so often, at most.
    list_every: Duration,
    reader: Option<Reader>,
    view: View,
    listed: Option<(Instant, Duration)>,
    recent: BTreeMap<String, Recent>,
    files: Arc<Vec<DataFile>>,
    /// Files whose rows are in the index.
    read: BTreeSet<String>,
    /// Files whose events are in the book.
    read_events: BTreeSet<String>,
    /// Windows that end here or before were not read.
    reached_us: i64,
    has_built: bool,
}

#[derive(Default)]
struct Recent {
    epoch: u64,
    commits: VecDeque<(i64, u64, u64)>,
}

impl Looker {
    pub fn new(origin: Arc<Origin>, end: End, list_every: Duration) -> Self {
        Self {
            origin,
            end,
            list_every,
            reader: None,
            view: View::default(),
            listed: None,
            recent: BTreeMap::new(),
            files: Arc::default(),
            read: BTreeSet::new(),
            read_events: BTreeSet::new(),
            reached_us: i64::MIN,
            has_built: false,
        }
    }

    /// The ledger as it is now; `None` when nothing has changed.
    pub fn look(&mut self) -> Result<Option<Look>> {
        if self.reader.is_none() {
            self.reader = self.origin.reader()?;
        }
        let Some(reader) = self.reader.clone() else { return Ok(None) };
        let looked = self.look_at(reader);
        if looked.is_err() {
            // A view that nobody was told of is no view: all is read anew the next time.
            (self.view, self.listed, self.reader) = (View::default(), None, None);
        }
        looked
    }

    fn look_at(&mut self, reader: Reader) -> Result<Option<Look>> {
        if !self.update(&reader)? {
            return Ok(None);
        }
        let lanes = self.standings(&reader)?;
        self.files = Arc::new(data_files(&self.view));
        Ok(Some(Look { reader: Some(reader), files: self.files.clone(), lanes: Arc::new(lanes) }))
    }

    /// Whether the view is another one now.
    fn update(&mut self, reader: &Reader) -> Result<bool> {
        let is_due = self.listed.is_none_or(|(at, took)| {
            let every = match self.list_every.is_zero() {
                true => Duration::ZERO,
                false => self.list_every.max(took * LIST_SHARE),
            };
            at.elapsed() >= every || self.view.lanes.is_empty()
        });
        if !is_due {
            return Ok(reader.advance(&mut self.view)? > 0);
        }
        let started = Instant::now();
        let before = state_of(&self.view);
        let is_first = self.listed.is_none();
        self.view = reader.renew(std::mem::take(&mut self.view))?;
        self.listed = Some((Instant::now(), started.elapsed()));
        Ok(is_first || before != state_of(&self.view))
    }

    fn standings(&mut self, reader: &Reader) -> Result<BTreeMap<String, Standing>> {
        let oldest = self.origin.clock.now_us().saturating_sub(RATE_US);
        let mut lanes = BTreeMap::new();
        for (lane, records) in &self.view.lanes {
            let summarised = self.view.summary.as_ref().and_then(|s| s.lanes.get(lane));
            let newest = match (records.last(), summarised) {
                (Some((newest, _)), _) => newest.clone(),
                (None, Some(summarised)) => {
                    let newest = reader.record(lane, summarised.to)?;
                    newest.with_context(|| format!("lane {lane}: its newest record is gone"))?
                }
                (None, None) => continue,
            };
            let recent = self.recent.entry(lane.clone()).or_default();
            recent.go_on(reader, records, &newest, oldest)?;
            let standing = Standing {
                totals: totals(records, summarised),
                newest: Arc::new(newest),
                recent: recent.commits.clone(),
            };
            lanes.insert(lane.clone(), standing);
        }
        Ok(lanes)
    }

    /// Reads what is new of the predictions into the index.
    pub fn read(
        &mut self,
        change: &mut Change<'_>,
        progress: &mut dyn FnMut((usize, usize)),
    ) -> Result<(), Trouble> {
        let Some(reader) = self.reader.clone() else { return Ok(()) };
        let files = self.files.clone();
        let files: Vec<&DataFile> =
            files.iter().filter(|f| f.file.table == Table::Predictions).collect();
        let ends = files.iter().filter_map(|f| f.file.window_end_us);
        let (oldest, newest) = ends.fold((i64::MAX, None), |(oldest, newest), (least, most)| {
            (oldest.min(least), newest.max(Some(most)))
        });
        let key = Arc::new(reader.generation().key_schema());
        let is_gone = files.is_empty() && !self.read.is_empty();
        if is_gone {
            self.read.clear();
            (self.reached_us, self.has_built) = (i64::MIN, false);
        }
        let reached = self.reached_us;
        change(&mut |state| {
            if is_gone {
                state.index = None;
            }
            let index = state.index.get_or_insert_with(|| Index::new(key.clone()));
            index.move_on(newest, oldest, reached);
        });
        let floor =
            newest.map_or(i64::MIN, |newest| newest.saturating_sub(HORIZON_US)).max(reached);
        self.forget(&files);
        let mut unread: Vec<&DataFile> = files
            .into_iter()
            .filter(|f| f.file.window_end_us.is_some_and(|(_, end)| end > floor))
            .filter(|f| !self.read.contains(&f.file.path))
            .collect();
        unread.sort_by_key(|f| std::cmp::Reverse(f.file.window_end_us));
        self.read_all(&reader, &unread, change, progress)?;
        self.read_events(&reader, change)?;
        let (reached, oldest) = (self.reached_us, oldest);
        change(&mut |state| {
            if let Some(index) = &mut state.index {
                index.move_on(newest, oldest, reached);
                index.settle();
            }
        });
        self.has_built = true;
        Ok(())
    }

    fn read_all(
        &mut self,
        reader: &Reader,
        unread: &[&DataFile],
        change: &mut Change<'_>,
        progress: &mut dyn FnMut((usize, usize)),
    ) -> Result<(), Trouble> {
        let key: Vec<String> = reader.generation().key.iter().map(|c| c.name.clone()).collect();
        let features = features(reader.generation());
        let mut rows = 0u64;
        for (n, file) in unread.iter().enumerate() {
            progress((n, unread.len()));
            if self.end.has_come() {
                return Err(Trouble::Passing);
            }
            if !self.has_built && rows > ROWS_MAX {
                // Those that are left are older than the last one.
                self.reached_us = file.file.window_end_us.map_or(i64::MIN, |(_, end)| end);
                break;
            }
            rows += file.file.rows;
            match read_file(reader, &file.file, &key, &features, self.news(file), change) {
                Ok(()) => {
                    self.read.insert(file.file.path.clone());
                }
                // A larger file has replaced it, and it is deleted: the next look knows.
                Err(error) if is_not_found(&error) => self.listed = None,
                Err(error) => return Err(Trouble::Named(told(&error))),
            }
        }
        Ok(())
    }

    /// Reads what is new of the events. Of an old lake the newest files are enough to fill the book.
    fn read_events(&mut self, reader: &Reader, change: &mut Change<'_>) -> Result<(), Trouble> {
        let files = self.files.clone();
        let files = files.iter().filter(|f| f.file.table == Table::Events);
        let mut unread: Vec<_> =
            files.clone().filter(|f| !self.read_events.contains(&f.file.path)).collect();
        let live: BTreeSet<&str> = files.map(|f| f.file.path.as_str()).collect();
        self.read_events.retain(|path| live.contains(path.as_str()));
        // At first the newest are enough. Later an event must be seen to open before it closes.
        match self.has_built {
            false => unread.sort_by_key(|f| std::cmp::Reverse(f.at_us)),
            true => unread.sort_by_key(|f| f.at_us),
        }
        for file in unread {
            if self.end.has_come() {
                return Err(Trouble::Passing);
            }
            let news = self.news(file);
            let mut is_full = false;
            change(&mut |state| is_full = state.events.is_full());
            let read = if is_full && !self.has_built {
                Ok(Vec::new())
            } else {
                super::events::rows(reader, &file.file)
            };
            match read {
                Ok(rows) => {
                    let mut rows = Some(rows);
                    change(&mut |state: &mut State| {
                        let book: &mut Book = &mut state.events;
                        rows.take().into_iter().flatten().for_each(|row| book.add(row, news));
                    });
                    self.read_events.insert(file.file.path.clone());
                }
                Err(error) if is_not_found(&error) => self.listed = None,
                Err(error) => return Err(Trouble::Named(told(&error))),
            }
        }
        Ok(())
    }

    /// Whether what a file holds happened while somebody looked; a compacted one has what others had.
    fn news(&self, file: &DataFile) -> News {
        if self.has_built && file.is_of_record { News::Fresh } else { News::Known }
    }

    /// Forgets files that do not count any more.
    fn forget(&mut self, files: &[&DataFile]) {
        let live: BTreeSet<&str> = files.iter().map(|f| f.file.path.as_str()).collect();
        self.read.retain(|path| live.contains(path.as_str()));
    }
}

impl Recent {
    /// Adds the commits up to the newest one, as far as they are not older.
    fn go_on(
        &mut self,
        reader: &Reader,
        records: &[(Record, tidegauge_sink::Digest)],
        newest: &Record,
        oldest_us: i64,
    ) -> Result<()> {
        let mut found = Vec::new();
        let mut epoch = newest.epoch;
        while epoch > self.epoch && found.len() < RECENT_MAX {
            let place = records.binary_search_by_key(&epoch, |(record, _)| record.epoch);
            let record = match place {
                Ok(place) => Some(records[place].0.clone()),
                Err(_) => reader.record(&newest.lane, epoch)?,
            };
            let Some(record) = record.filter(|record| record.committed_at_us > oldest_us) else {
                break;
            };
            let Counters { messages, rows, .. } = record.counters;
            found.push((record.committed_at_us, messages, rows));
            epoch -= 1;
        }
        self.epoch = newest.epoch;
        self.commits.extend(found.into_iter().rev());
        while self.commits.len() > RECENT_MAX
            || self.commits.front().is_some_and(|(at, ..)| *at <= oldest_us)
        {
            self.commits.pop_front();
        }
        Ok(())
    }
}

/// Reads one file: the verdicts of all rows, and all of those that are anomalies.
fn read_file(
    reader: &Reader,
    file: &FileRef,
    key: &[String],
    features: &[String],
    news: News,
    change: &mut Change<'_>,
) -> Result<()> {
    let file: OpenFile = reader.open(file)?;
    let damaged = || format!("{} is damaged", file.path());
    let mut wanted = 0;
    for batch in file.batches(&verdict_columns(key))? {
        let columns = Columns::of(&batch?, key).with_context(damaged)?;
        change(&mut |state| wanted += state.index.as_mut().map_or(0, |index| index.add(&columns)));
    }
    if wanted == 0 && news == News::Known {
        return Ok(());
    }
    let columns = anomaly_columns(key, features);
    for batch in file.batches_where(tidegauge_flow::names::IS_ANOMALY, &columns)? {
        let batch = batch?;
        let mut added = Ok(());
        change(&mut |state| {
            if let Some(index) = &mut state.index {
                added = index.add_anomalies(&batch, key, features, news);
            }
        });
        added.with_context(damaged)?;
    }
    Ok(())
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LakeError::Store(StoreError::NotFound { .. })))
}

fn told(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(LakeError::Damaged { .. }) => format!("{error:#}; run tidegauge verify"),
        _ => format!("{error:#}"),
    }
}

/// What tells two views of a lake apart.
fn state_of(view: &View) -> (Option<u64>, Vec<(String, u64)>) {
    let newest = |records: &Vec<(Record, _)>| records.last().map_or(0, |(r, _)| r.epoch);
    let lanes = view.lanes.iter().map(|(lane, records)| (lane.clone(), newest(records)));
    (view.summary.as_ref().map(|summary| summary.number), lanes.collect())
}

fn data_files(view: &View) -> Vec<DataFile> {
    let live = view.summary.iter().flat_map(|summary| &summary.files);
    let live = live.map(|live| DataFile {
        file: live.file.clone(),
        at_us: live.at_us,
        is_of_record: false,
    });
    let later = view.lanes.values().flatten().flat_map(|(record, _)| {
        record.files.iter().map(|file| DataFile {
            file: file.clone(),
            at_us: record.committed_at_us,
            is_of_record: true,
        })
    });
    live.chain(later).collect()
}

fn totals(
    records: &[(Record, tidegauge_sink::Digest)],
    summarised: Option<&LaneSummary>,
) -> Totals {
    let before = summarised.map(|lane| lane.counters).unwrap_or_default();
    let all = std::iter::once(&before).chain(records.iter().map(|(record, _)| &record.counters));
    all.fold(Totals::default(), |sum, counters| Totals {
        messages: sum.messages + counters.messages,
        rejected: sum.rejected + counters.rejected,
        late: sum.late + counters.late,
        rows: sum.rows + counters.rows,
        open: counters.open,
    })
}

/// The query's columns.
pub fn features(generation: &Generation) -> Vec<String> {
    let is_ours = |name: &str| tidegauge_flow::names::RESERVED.contains(&name);
    let is_key = |name: &str| generation.key.iter().any(|column| column.name == name);
    let names = generation.columns.iter().map(|column| column.name.clone());
    names.filter(|name| !is_ours(name) && !is_key(name)).collect()
}
