//! Open windows of one lane: readings are pushed in, closed windows come out as rows.
//!
//! # Guarantees
//! - A window (start, end] closes when the watermark is past its end, strictly; it gives one row per
//!   sensor that had a reading in it, once. With an allowed lateness, readings that come later give
//!   further rows of the whole window, each with the next revision.
//! - A reading is late when every window it belongs to is closed, and with an allowed lateness when all
//!   of them have been closed for so long. That, and what a revision holds, is decided reading by
//!   reading, so the result does not depend on how readings were cut into batches.

mod closing;
mod groups;
pub(crate) mod ids;
mod merge;
pub(crate) mod pane;
pub(crate) mod part;
mod push;
mod revise;
pub(crate) mod run;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use self::closing::Emission;
use self::pane::Pane;
pub use self::push::{Pushed, Refusal};
pub(crate) use self::revise::Held;
use crate::error::AggregateError;
use crate::policy::{EventTime, TimePolicy};
use crate::query::Query;
use crate::spill::Spill;
use crate::watermark::IdleMove;

/// A pane with less is not worth a file.
const SPILL_MIN: usize = 64 << 10;

/// What a group takes with a handful of aggregates, about.
const GROUP_BYTES: usize = 256;

/// What the configuration says about windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSettings {
    /// How far readings of one partition may be out of order, nanoseconds.
    pub out_of_order_ns: i64,
    /// Windows (panes, for overlapping ones) that may be open or held at once in a stream.
    pub open_max: usize,
    /// When windows close.
    pub closing: Closing,
    /// Which time a reading counts for.
    pub policy: TimePolicy,
    /// How long a closed window is held for late readings, nanoseconds; `None`: not at all.
    pub allowed_lateness_ns: Option<i64>,
}

impl Default for WindowSettings {
    /// Any number of windows of readings in order.
    fn default() -> Self {
        Self {
            out_of_order_ns: 0,
            open_max: usize::MAX,
            closing: Closing::ByWatermark,
            policy: TimePolicy::default(),
            allowed_lateness_ns: None,
        }
    }
}

/// When windows close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// As the watermark passes: for streams.
    ByWatermark,
    /// All at [`Windows::drain`]: for input that is known to end, in any order; nothing is ever late.
    AtEnd,
}

/// The windows of one lane. See the module's documentation.
pub struct Windows {
    pub(crate) query: Arc<Query>,
    pub(crate) settings: WindowSettings,
    pub(crate) time: EventTime,
    /// By the pane's end, nanoseconds.
    pub(crate) panes: BTreeMap<i64, Pane>,
    /// All windows that end before this instant have been closed.
    pub(crate) closed_before: Option<i64>,
    /// Windows that end before this instant are held no more.
    pub(crate) given_up_before: Option<i64>,
    /// Closed windows that have had late readings, by their end.
    pub(crate) held: BTreeMap<i64, Held>,
    /// Rows that were evaluated and not fetched yet.
    ready: VecDeque<Emission>,
    /// Revisions are due although no window's end was passed.
    revisions_due: bool,
    spill: Option<Arc<dyn Spill>>,
    incomplete: Option<(u64, String)>,
}

impl Windows {
    /// No window open, for a lane of `partitions` ordered inputs with the numbers from 0.
    pub fn new(query: Arc<Query>, settings: WindowSettings, partitions: usize) -> Self {
        let time = EventTime::new(settings.policy, settings.out_of_order_ns, partitions);
        Self::at(query, settings, time)
    }

    pub(crate) fn at(query: Arc<Query>, settings: WindowSettings, time: EventTime) -> Self {
        Self {
            query,
            settings,
            time,
            panes: BTreeMap::new(),
            closed_before: None,
            given_up_before: None,
            held: BTreeMap::new(),
            ready: VecDeque::new(),
            revisions_due: false,
            spill: None,
            incomplete: None,
        }
    }

    /// Where [`Windows::spill`] puts panes.
    pub fn set_spill(&mut self, spill: &Arc<dyn Spill>) {
        self.spill = Some(spill.clone());
    }

    /// The lane's watermark, nanoseconds since the epoch.
    pub fn watermark_ns(&self) -> Option<i64> {
        self.time.get()
    }

    /// The index for [`Windows::push`] of the partition with this number. One that is new to the lane
    /// holds its watermark where it is until it has a reading or is proven silent.
    pub fn partition(&mut self, number: i32) -> usize {
        self.time.partition(number)
    }

    /// Notes on fresh evidence that a partition is silent, or that it no longer is. A silent one does
    /// not hold the watermark back until it speaks again; what it then says of windows that have
    /// closed is late. Returns the move of the watermark that comes of it.
    ///
    /// A checkpoint does not keep the mark: after a restart, silence has to be proven again.
    pub fn idle_partition(&mut self, partition: usize, idle: bool) -> Option<IdleMove> {
        self.time.set_idle(partition, idle)
    }

    /// Windows (panes) that hold readings and are not closed.
    pub fn open_windows(&self) -> usize {
        self.open().count()
    }

    /// Pairs of sensor and open window (pane). One that was spilled and goes on counts twice.
    pub fn open_groups(&self) -> usize {
        self.open().map(|(_, pane)| pane.len()).sum()
    }

    /// Closed windows (panes) that are held for late readings.
    pub fn held_windows(&self) -> usize {
        self.panes.len() - self.open_windows()
    }

    /// Readings that no row holds yet: in windows that have not closed, or in closed ones since their
    /// last row. For overlapping windows: in panes that an open window needs.
    pub fn open_readings(&self) -> u64 {
        let open: u64 = self.open().map(|(_, pane)| pane.readings()).sum();
        open + self.held.values().map(Held::pending).sum::<u64>()
    }

    /// Bytes that windows hold in memory, closed ones and rows to be fetched included.
    pub fn memory_bytes(&self) -> usize {
        let panes = self.panes.values().map(|pane| pane.memory_bytes() + pane.ids.memory_bytes());
        let held = self.held.values().map(Held::memory_bytes);
        let ready = self.ready.iter().map(Emission::memory_bytes);
        8 * self.time.sensors().len() + panes.chain(held).chain(ready).sum::<usize>()
    }

    /// Bytes that windows may hold more after so many readings, about: one new group for each, and the
    /// largest pane twice as large where its vectors are full.
    pub fn growth_bytes(&self, readings: usize) -> usize {
        let panes = self.panes.values().map(|pane| pane.growth_bytes(readings));
        readings * GROUP_BYTES + panes.max().unwrap_or(0)
    }

    /// Bytes that open windows hold in files.
    pub fn spilled_bytes(&self) -> usize {
        self.panes.values().map(Pane::spilled_bytes).sum()
    }

    /// Closed rows of which a feature could not be computed and is null, since the last call: how many,
    /// and what DataFusion said of one.
    pub fn take_incomplete(&mut self) -> Option<(u64, String)> {
        self.incomplete.take()
    }

    /// Closes every open window. Readings for them are late from now on. Returns how far the
    /// watermark was moved for that.
    pub fn drain(&mut self) -> Option<IdleMove> {
        self.settings.closing = Closing::ByWatermark;
        self.revisions_due = true;
        let end = self.newest_end()?;
        self.time.raise(end + 1)
    }

    /// All input has been idle for `passed_ns` more: moves the watermark on from its last value, but
    /// not beyond just past the newest open window's end.
    pub fn idle(&mut self, passed_ns: i64) -> Option<IdleMove> {
        // Nothing comes that a revision could wait for.
        self.revisions_due = true;
        let end = self.newest_end()?;
        let from = self.time.get()?;
        self.time.raise(from.saturating_add(passed_ns).min(end + 1))
    }

    /// Puts panes into files until so many bytes are free, the largest first; returns how many are.
    /// The windows go on unchanged.
    ///
    /// # Errors
    /// When a file can't be written. The windows are then in an undefined state.
    pub fn spill(&mut self, bytes: usize) -> Result<usize, AggregateError> {
        let Some(spill) = &self.spill else { return Ok(0) };
        let mut sizes: Vec<(usize, i64)> =
            self.panes.iter().map(|(&end, pane)| (pane.memory_bytes(), end)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut freed = 0;
        for (size, end) in sizes {
            if freed >= bytes || size < SPILL_MIN {
                break;
            }
            if let Some(pane) = self.panes.get_mut(&end) {
                pane.spill(&**spill)?;
                freed += size.saturating_sub(pane.memory_bytes());
            }
        }
        Ok(freed)
    }

    /// Puts every pane into a file, however small.
    #[cfg(test)]
    pub(crate) fn spill_all(&mut self) -> Result<(), AggregateError> {
        let Some(spill) = &self.spill else { return Ok(()) };
        self.panes.values_mut().try_for_each(|pane| pane.spill(&**spill))
    }

    /// Panes that a window needs which has not closed.
    fn open(&self) -> impl Iterator<Item = (&i64, &Pane)> {
        let closed_before = self.closed_before.unwrap_or(i64::MIN);
        let spec = self.query.window();
        self.panes.iter().filter(move |(pane, _)| spec.last_end(**pane) >= closed_before)
    }

    /// The end of the newest open window.
    fn newest_end(&self) -> Option<i64> {
        let end = self.query.window().last_end(*self.panes.last_key_value()?.0);
        (end >= self.closed_before.unwrap_or(i64::MIN)).then_some(end)
    }
}

#[cfg(test)]
pub(crate) mod tests;
