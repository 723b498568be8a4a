//! Open windows of one lane: readings are pushed in, closed windows come out as rows.
//!
//! # Guarantees
//! - A window (start, end] closes when the watermark is past its end, strictly; it gives one row per
//!   sensor that had a reading in it, once.
//! - A reading is late when every window it belongs to is closed. That is decided reading by reading,
//!   so the result does not depend on how readings were cut into batches.

pub(crate) mod ids;
pub(crate) mod pane;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, take};
use tidegauge_flow::{Readings, SensorId, Sensors, WindowRows};

use self::pane::Pane;
use crate::error::AggregateError;
use crate::query::{Arguments, Query};
use crate::watermark::{IdleMove, Watermark};

/// What the configuration says about windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSettings {
    /// How far readings of one partition may be out of order, nanoseconds.
    pub out_of_order_ns: i64,
    /// Windows (panes, for overlapping ones) that may be open at once in a stream.
    pub open_max: usize,
    /// When windows close.
    pub closing: Closing,
}

/// When windows close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// As the watermark passes: for streams.
    ByWatermark,
    /// All at [`Windows::drain`]: for input that is known to end, in any order; nothing is ever late.
    AtEnd,
}

/// What became of a batch of readings: each is aggregated, filtered, a duplicate or late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Late readings, as rows of the batch.
    pub late: Vec<u32>,
    /// Readings that WHERE left out.
    pub filtered: u64,
    /// Readings whose event id their window held already, of the same sensor.
    pub duplicate: u64,
    pub aggregated: u64,
}

/// The windows of one lane. See the module's documentation.
pub struct Windows {
    pub(crate) query: Arc<Query>,
    pub(crate) settings: WindowSettings,
    pub(crate) watermark: Watermark,
    /// By the pane's end, nanoseconds.
    panes: BTreeMap<i64, Pane>,
    closed: Vec<WindowRows>,
    /// All windows that end before this instant have been closed.
    closed_before: Option<i64>,
}

impl Windows {
    /// No window open, for a lane of `partitions` ordered inputs with the numbers from 0.
    pub fn new(query: Arc<Query>, settings: WindowSettings, partitions: usize) -> Self {
        let watermark = Watermark::new(0..partitions as i32, settings.out_of_order_ns);
        Self {
            query,
            settings,
            watermark,
            panes: BTreeMap::new(),
            closed: Vec::new(),
            closed_before: None,
        }
    }

    /// The lane's watermark, nanoseconds since the epoch.
    pub fn watermark_ns(&self) -> Option<i64> {
        self.watermark.get()
    }

    /// The index for [`Windows::push`] of the partition with this number. One that is new to the lane
    /// holds its watermark where it is until it has a reading or is proven silent.
    pub fn partition(&mut self, number: i32) -> usize {
        self.watermark.partition(number)
    }

    /// Notes on fresh evidence that a partition is silent, or that it no longer is. A silent one does
    /// not hold the watermark back until it speaks again; what it then says of windows that have
    /// closed is late. Returns the move of the watermark that comes of it.
    ///
    /// A checkpoint does not keep the mark: after a restart, silence has to be proven again.
    pub fn idle_partition(&mut self, partition: usize, idle: bool) -> Option<IdleMove> {
        self.watermark.set_idle(partition, idle)
    }

    /// Windows (panes) that hold readings.
    pub fn open_windows(&self) -> usize {
        self.panes.len()
    }

    /// Pairs of sensor and open window (pane).
    pub fn open_groups(&self) -> usize {
        self.panes.values().map(Pane::len).sum()
    }

    /// Readings in windows that have not closed yet. For overlapping windows: in panes still needed.
    pub fn open_readings(&self) -> u64 {
        self.panes.values().map(Pane::readings).sum()
    }

    /// Adds readings of one partition, in the order of their offsets.
    ///
    /// # Errors
    /// When an expression fails on the data or too many windows are open. The windows are then in
    /// an undefined state: the caller goes back to its last checkpoint.
    pub fn push(
        &mut self,
        partition: usize,
        readings: &Readings,
        sensors: &Sensors,
    ) -> Result<Pushed, AggregateError> {
        let spec = *self.query.window();
        let mut pushed = Pushed::default();
        let mut run: Vec<(u32, i64)> = Vec::with_capacity(readings.len());
        for (row, &time) in readings.time_ns.iter().enumerate() {
            let watermark = self.observe(partition, time);
            let pane = spec.pane_end(time);
            if spec.last_end(pane) < watermark {
                pushed.late.push(row as u32);
                continue;
            }
            // A pane that several windows share must not get a reading that came after one of them
            // closed before that window is evaluated.
            let passed = self.closed_before < Some(watermark) && spec.first_end(pane) < watermark;
            if !spec.is_tumble() && passed {
                self.flush(&mut run, readings, sensors, &mut pushed)?;
                self.close_before(watermark, sensors)?;
            }
            run.push((row as u32, pane));
        }
        self.flush(&mut run, readings, sensors, &mut pushed)?;
        self.check_limit()?;
        Ok(pushed)
    }

    /// Rows of all windows that have closed since the last call.
    ///
    /// # Errors
    /// When an aggregate or an expression over aggregates fails on the data.
    pub fn close(&mut self, sensors: &Sensors) -> Result<Option<WindowRows>, AggregateError> {
        if let (Closing::ByWatermark, Some(watermark)) =
            (self.settings.closing, self.watermark.get())
        {
            self.close_before(watermark, sensors)?;
        }
        self.take_closed()
    }

    /// Closes every open window. Readings for them are late from now on. Returns how far the
    /// watermark was moved for that.
    pub fn drain(&mut self) -> Option<IdleMove> {
        self.settings.closing = Closing::ByWatermark;
        let end = self.newest_end()?;
        self.watermark.raise(end + 1)
    }

    /// All input has been idle for `passed_ns` more: moves the watermark on from its last value, but
    /// not beyond just past the newest open window's end.
    pub fn idle(&mut self, passed_ns: i64) -> Option<IdleMove> {
        let end = self.newest_end()?;
        let from = self.watermark.get()?;
        self.watermark.raise(from.saturating_add(passed_ns).min(end + 1))
    }

    pub(crate) fn panes_mut(&mut self) -> &mut BTreeMap<i64, Pane> {
        &mut self.panes
    }

    pub(crate) fn closed_before_ns(&self) -> Option<i64> {
        self.closed_before
    }

    pub(crate) fn set_closed_before(&mut self, closed_before: Option<i64>) {
        self.closed_before = closed_before;
    }

    /// True when closed rows have not been fetched: a checkpoint would lose them.
    pub(crate) fn has_unfetched_rows(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Counts a reading in and returns the watermark that decides about it.
    #[inline]
    fn observe(&mut self, partition: usize, time: i64) -> i64 {
        let watermark = self.watermark.observe(partition, time);
        let decides = match self.settings.closing {
            Closing::ByWatermark => watermark,
            // What an earlier run has closed stays closed.
            Closing::AtEnd => self.closed_before,
        };
        decides.unwrap_or(i64::MIN)
    }

    fn newest_end(&self) -> Option<i64> {
        self.panes.last_key_value().map(|(&pane, _)| self.query.window().last_end(pane))
    }

    /// Evaluates a run of readings and adds them to their panes; empties the run.
    fn flush(
        &mut self,
        run: &mut Vec<(u32, i64)>,
        readings: &Readings,
        sensors: &Sensors,
        pushed: &mut Pushed,
    ) -> Result<(), AggregateError> {
        if run.is_empty() {
            return Ok(());
        }
        let rows: Vec<u32> = run.iter().map(|(row, _)| *row).collect();
        let arguments = self.query.arguments(readings, &rows, sensors)?;
        pushed.filtered += (rows.len() - arguments.rows.len()) as u64;
        let spec = *self.query.window();
        for (end, mut picked) in by_pane(&arguments, |row| spec.pane_end(readings.time_ns[row])) {
            let row = |i: u32| arguments.rows[i as usize] as usize;
            let sensor = |&i: &u32| readings.sensor[row(i)];
            let pane = self.panes.entry(end).or_default();
            if !readings.id.is_empty() {
                let before = picked.len();
                picked.retain(|i| pane.ids.insert(sensor(i), readings.id[row(*i)]));
                pushed.duplicate += (before - picked.len()) as u64;
            }
            pushed.aggregated += picked.len() as u64;
            if picked.is_empty() {
                continue;
            }
            let values = pick(&arguments, &picked)?;
            pane.update(&self.query, picked.iter().map(sensor), &values)?;
        }
        run.clear();
        Ok(())
    }

    /// Closes every window whose end lies before `watermark`, oldest first.
    fn close_before(&mut self, watermark: i64, sensors: &Sensors) -> Result<(), AggregateError> {
        let spec = *self.query.window();
        while let Some((&oldest, _)) = self.panes.first_key_value() {
            let next = self.closed_before.map_or(i64::MIN, |closed| spec.first_end(closed));
            let end = spec.first_end(oldest).max(next);
            if end >= watermark {
                break;
            }
            let window = self.window(end)?;
            let evaluated = window.evaluate(&self.query)?;
            if !evaluated.sensors.is_empty() {
                let rows = self.rows(evaluated, end, sensors)?;
                self.closed.push(rows);
            }
            self.closed_before = Some(end + 1);
        }
        self.closed_before = self.closed_before.max(Some(watermark));
        Ok(())
    }

    /// What the window that ends at `end` holds; panes that no later window needs are given up.
    fn window(&mut self, end: i64) -> Result<Pane, AggregateError> {
        let spec = *self.query.window();
        if spec.is_tumble() {
            return Ok(self.panes.remove(&end).unwrap_or_default());
        }
        let mut window = Pane::default();
        for (_, pane) in self.panes.range_mut(spec.first_pane(end)..=end) {
            window.absorb(&self.query, pane)?;
        }
        while let Some(entry) = self.panes.first_entry() {
            if spec.last_end(*entry.key()) > end {
                break;
            }
            entry.remove();
        }
        Ok(window)
    }

    fn rows(
        &self,
        evaluated: pane::Evaluated,
        end: i64,
        sensors: &Sensors,
    ) -> Result<WindowRows, AggregateError> {
        let pane::Evaluated { sensors: ids, counts, values } = evaluated;
        let time = |ns: i64| -> ArrayRef {
            let times = TimestampMicrosecondArray::from_value(ns.div_euclid(1000), ids.len());
            Arc::new(times.with_timezone("UTC"))
        };
        let window_end = time(end);
        let mut columns = sensors.columns(&ids);
        let features = self.query.finish(&columns, &window_end, values)?;
        columns.push(time(end - self.query.window().size_ns));
        columns.push(window_end);
        columns.extend(features);
        let batch = RecordBatch::try_new(self.query.output().clone(), columns)?;
        Ok(WindowRows { sensor: ids, n_readings: counts, batch })
    }

    fn take_closed(&mut self) -> Result<Option<WindowRows>, AggregateError> {
        let closed = std::mem::take(&mut self.closed);
        if closed.is_empty() {
            return Ok(None);
        }
        let batch = concat_batches(self.query.output(), closed.iter().map(|c| &c.batch))?;
        let sensor: Vec<SensorId> = closed.iter().flat_map(|c| c.sensor.iter().copied()).collect();
        let n_readings = closed.iter().flat_map(|c| c.n_readings.iter().copied()).collect();
        Ok(Some(WindowRows { sensor, n_readings, batch }))
    }

    fn check_limit(&self) -> Result<(), AggregateError> {
        let (open, limit) = (self.panes.len(), self.settings.open_max);
        // Input that ends keeps all its windows open until then: that is no disorder.
        if open > limit && self.settings.closing == Closing::ByWatermark {
            return Err(AggregateError::TooManyWindows { open, limit });
        }
        Ok(())
    }
}

/// Indices into `arguments.rows`, by pane, panes in order of first sight.
fn by_pane(arguments: &Arguments, pane_of: impl Fn(usize) -> i64) -> Vec<(i64, Vec<u32>)> {
    let mut panes: Vec<(i64, Vec<u32>)> = Vec::new();
    let mut last = 0;
    for (index, &row) in arguments.rows.iter().enumerate() {
        let pane = pane_of(row as usize);
        if panes.get(last).is_none_or(|(p, _)| *p != pane) {
            last = panes.iter().position(|(p, _)| *p == pane).unwrap_or_else(|| {
                panes.push((pane, Vec::new()));
                panes.len() - 1
            });
        }
        panes[last].1.push(index as u32);
    }
    panes
}

fn pick(arguments: &Arguments, picked: &[u32]) -> Result<Vec<Vec<ArrayRef>>, AggregateError> {
    if picked.len() == arguments.rows.len() {
        return Ok(arguments.values.clone());
    }
    let indices = arrow::array::UInt32Array::from(picked.to_vec());
    let one = |columns: &Vec<ArrayRef>| -> Result<Vec<ArrayRef>, AggregateError> {
        columns.iter().map(|c| Ok(take(c, &indices, None)?)).collect()
    };
    arguments.values.iter().map(one).collect()
}

#[cfg(test)]
pub(crate) mod tests;
