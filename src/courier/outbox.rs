//! What lanes of this process have committed of late, for those who tell it: which lanes are held, and their
//! newest files of events.
//!
//! *Bounded*: of a lane only the last files are kept. Who is further behind reads the lake.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegauge_sink::{FileRef, Record, Table};

/// Files that are kept of a lane.
const FILES_MAX: usize = 256;

/// The lanes of this process.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<BTreeMap<Arc<str>, Committed>>);

/// A file of events, and the record that names it.
#[derive(Debug, Clone)]
pub struct EventFile {
    pub file: FileRef,
    pub epoch: u64,
    pub committed_at_us: i64,
}

/// What is known of a lane.
#[derive(Debug, Default)]
struct Committed {
    /// How often it is held: who opens it anew may do so before the old one is gone.
    holds: usize,
    /// All files of later epochs are in `files`.
    complete_after: u64,
    files: VecDeque<EventFile>,
    /// How often something came that may be told.
    changes: u64,
}

/// A lane of this process, for as long as it is one.
#[derive(Debug)]
pub struct Holding {
    outbox: Arc<Outbox>,
    lane: Arc<str>,
}

impl Outbox {
    /// Notes that a lane is held, whose newest record is that of `epoch`.
    pub fn hold(self: &Arc<Self>, lane: &Arc<str>, epoch: u64) -> Holding {
        let mut lanes = self.lock();
        let committed = lanes.entry(lane.clone()).or_default();
        // Another process may have committed in between.
        committed.files.clear();
        committed.complete_after = epoch;
        committed.holds += 1;
        committed.changes += 1;
        Holding { outbox: self.clone(), lane: lane.clone() }
    }

    /// The lanes that are held.
    pub fn held(&self) -> Vec<Arc<str>> {
        let lanes = self.lock();
        lanes.iter().filter(|(_, c)| c.holds > 0).map(|(lane, _)| lane.clone()).collect()
    }

    /// All lanes that were ever held.
    pub fn all(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    /// How often something came that may be told: who has seen all of a lane need not look again before this
    /// is another number.
    pub fn changes(&self, lane: &str) -> u64 {
        self.lock().get(lane).map_or(0, |committed| committed.changes)
    }

    /// The files of a lane from an epoch on; `None` when it is not known which these are.
    pub fn files(&self, lane: &str, from: u64) -> Option<Vec<EventFile>> {
        let lanes = self.lock();
        let committed = lanes.get(lane)?;
        let files = committed.files.iter().filter(|file| file.epoch >= from).cloned();
        (committed.complete_after < from).then(|| files.collect())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Committed>> {
        // Plain data stays whole when a holder panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// Notes a record that is in the lake.
    pub fn committed(&self, record: &Record) {
        let mut files = record.files.iter().filter(|file| file.table == Table::Events).peekable();
        if files.peek().is_none() {
            return;
        }
        let mut lanes = self.outbox.lock();
        let Some(committed) = lanes.get_mut(&self.lane) else { return };
        committed.changes += 1;
        committed.files.extend(files.map(|file| EventFile {
            file: file.clone(),
            epoch: record.epoch,
            committed_at_us: record.committed_at_us,
        }));
        while committed.files.len() > FILES_MAX
            && let Some(gone) = committed.files.pop_front()
        {
            committed.complete_after = gone.epoch;
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut lanes = self.outbox.lock();
        if let Some(committed) = lanes.get_mut(&self.lane) {
            committed.holds = committed.holds.saturating_sub(1);
        }
    }
}
