//! Windows out: which close next, and their rows in bounded slices.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use tidegauge_flow::{Sensors, WindowRows};

use super::merge::{Evaluated, Merge, SLICE};
use super::pane::Pane;
use super::{Closing, Windows};
use crate::error::AggregateError;
use crate::query::Finished;

/// Rows of one call of [`Windows::close`], and not many more: bounds what is scored at once.
const ROWS: usize = 65_536;

/// The rows of one closed window, as far as they have not been fetched.
pub(crate) enum Emission {
    /// Evaluated as a whole: its end, its groups, and how many of them have been fetched.
    Whole(i64, Evaluated, usize),
    /// Evaluated as it is fetched: its end, and the bytes of what nothing else holds.
    Merged(i64, Merge, usize),
    /// Revisions.
    Rows(WindowRows),
}

impl Emission {
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Whole(_, evaluated, _) => {
                let values = evaluated.values.iter().map(|v| v.get_array_memory_size());
                values.sum::<usize>() + 12 * evaluated.sensors.len()
            }
            Self::Merged(_, _, bytes) => *bytes,
            Self::Rows(rows) => rows.batch.get_array_memory_size() + 24 * rows.len(),
        }
    }
}

impl Windows {
    /// Rows of windows that have closed since the last call, but not many more than 65,536: the caller
    /// goes on until there are none.
    ///
    /// # Errors
    /// When an aggregate fails on the data, or a spilled pane can't be read.
    pub fn close(&mut self, sensors: &Sensors) -> Result<Option<WindowRows>, AggregateError> {
        let mut closed: Vec<WindowRows> = Vec::new();
        let mut rows = 0;
        while rows < ROWS {
            match self.fetch(sensors)? {
                Some(slice) => {
                    rows += slice.len();
                    closed.push(slice);
                }
                None if self.closes_next(sensors)? => {}
                None => break,
            }
        }
        self.together(closed)
    }

    /// True when closed rows have not been fetched: a checkpoint would lose them.
    pub(crate) fn has_unfetched_rows(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Closes every window whose end lies before `watermark`, oldest first.
    pub(super) fn close_before(
        &mut self,
        watermark: i64,
        sensors: &Sensors,
    ) -> Result<(), AggregateError> {
        while self.close_one(watermark, sensors)? {}
        Ok(())
    }

    fn closes_next(&mut self, sensors: &Sensors) -> Result<bool, AggregateError> {
        match (self.settings.closing, self.time.get()) {
            (Closing::ByWatermark, Some(watermark)) => self.close_one(watermark, sensors),
            _ => Ok(false),
        }
    }

    /// Does the next thing that is due at this watermark: revisions, then windows one by one. False
    /// when nothing is due any more.
    fn close_one(&mut self, watermark: i64, sensors: &Sensors) -> Result<bool, AggregateError> {
        if self.revisions_are_due(watermark) {
            self.emit_revisions(sensors)?;
            return Ok(true);
        }
        match self.next_end().filter(|&end| end < watermark) {
            Some(end) => {
                self.close_window(end)?;
                self.closed_before = Some(end + 1);
                Ok(true)
            }
            None => {
                self.revisions_due = false;
                self.closed_before = self.closed_before.max(Some(watermark));
                self.expire();
                Ok(false)
            }
        }
    }

    /// The end of the oldest open window that has readings.
    fn next_end(&self) -> Option<i64> {
        let spec = self.query.window();
        let Some(closed_before) = self.closed_before else {
            return self.panes.first_key_value().map(|(&pane, _)| spec.first_end(pane));
        };
        let next = spec.first_end(closed_before);
        let (&pane, _) = self.panes.range(spec.first_pane(next)..).next()?;
        Some(spec.first_end(pane).max(next))
    }

    /// Takes what the window that ends at `end` holds; panes that nothing needs any more are given up.
    fn close_window(&mut self, end: i64) -> Result<(), AggregateError> {
        let spec = *self.query.window();
        if self.settings.allowed_lateness_ns.is_some() {
            for (_, pane) in self.panes.range_mut(spec.first_pane(end)..=end) {
                // What comes later is added beside it, so that a late reading costs a reading.
                if pane.is_whole() {
                    pane.seal()?;
                }
            }
            let merge = self.merge(end)?;
            self.ready.push_back(Emission::Merged(end, merge, 0));
            return Ok(());
        }
        let emission = if self.panes.range(spec.first_pane(end)..=end).all(|(_, p)| p.is_whole()) {
            Emission::Whole(end, self.window(end)?.evaluate(&self.query)?, 0)
        } else {
            let bytes = self.panes.range(spec.first_pane(end)..=end).map(|(_, p)| p.memory_bytes());
            let bytes = bytes.sum();
            Emission::Merged(end, self.merge(end)?, bytes)
        };
        self.ready.push_back(emission);
        while let Some(entry) = self.panes.first_entry() {
            if spec.last_end(*entry.key()) > end {
                break;
            }
            entry.remove();
        }
        Ok(())
    }

    /// The window's panes as one.
    fn window(&mut self, end: i64) -> Result<Pane, AggregateError> {
        let spec = *self.query.window();
        if spec.is_tumble() {
            return Ok(self.panes.remove(&end).unwrap_or_default());
        }
        let mut window = Pane::default();
        for (_, pane) in self.panes.range_mut(spec.first_pane(end)..=end) {
            window.absorb(&self.query, pane)?;
        }
        Ok(window)
    }

    /// The parts of the window's panes, to be put together slice by slice.
    fn merge(&mut self, end: i64) -> Result<Merge, AggregateError> {
        let first = self.query.window().first_pane(end);
        let mut parts = Vec::new();
        for (_, pane) in self.panes.range_mut(first..=end) {
            parts.extend(pane.parts()?);
        }
        Ok(Merge::new(self.query.clone(), parts))
    }

    /// The next rows of what has been evaluated.
    fn fetch(&mut self, sensors: &Sensors) -> Result<Option<WindowRows>, AggregateError> {
        loop {
            let Some(emission) = self.ready.front_mut() else { return Ok(None) };
            let (end, slice) = match emission {
                Emission::Whole(end, evaluated, at) => {
                    let slice = evaluated.slice(*at);
                    *at += slice.as_ref().map_or(0, |s| s.sensors.len());
                    (*end, slice)
                }
                Emission::Merged(end, merge, _) => (*end, merge.next()?),
                Emission::Rows(_) => {
                    let Some(Emission::Rows(rows)) = self.ready.pop_front() else { continue };
                    return Ok(Some(rows));
                }
            };
            match slice {
                Some(slice) => return self.rows(slice, end, sensors).map(Some),
                None => self.ready.pop_front(),
            };
        }
    }

    /// Evaluated groups as rows, revision 0.
    pub(super) fn rows(
        &mut self,
        evaluated: Evaluated,
        end: i64,
        sensors: &Sensors,
    ) -> Result<WindowRows, AggregateError> {
        let Evaluated { sensors: ids, counts, values } = evaluated;
        let output = self.query.output();
        let time = |ns: i64| -> ArrayRef {
            let times = TimestampMicrosecondArray::from_value(ns.div_euclid(1000), ids.len());
            // The promised type holds the time zone's name: none is made for each window.
            let promised = output.field(sensors.schema().columns().len()).data_type().clone();
            Arc::new(times.with_data_type(promised))
        };
        let window_end = time(end);
        let mut columns = sensors.columns(&ids);
        let Finished { features, incomplete } = self.query.finish(&columns, &window_end, values)?;
        if let Some((rows, why)) = incomplete {
            self.incomplete.get_or_insert((0, why)).0 += rows;
        }
        columns.push(time(end - self.query.window().size_ns));
        columns.push(window_end);
        columns.extend(features);
        let batch = RecordBatch::try_new(self.query.output().clone(), columns)?;
        let revision = vec![0; ids.len()];
        Ok(WindowRows { sensor: ids, n_readings: counts, revision, superseded: 0, batch })
    }

    fn together(&self, closed: Vec<WindowRows>) -> Result<Option<WindowRows>, AggregateError> {
        if closed.len() <= 1 {
            return Ok(closed.into_iter().next());
        }
        let batch = concat_batches(self.query.output(), closed.iter().map(|c| &c.batch))?;
        Ok(Some(WindowRows {
            sensor: closed.iter().flat_map(|c| c.sensor.iter().copied()).collect(),
            n_readings: closed.iter().flat_map(|c| c.n_readings.iter().copied()).collect(),
            revision: closed.iter().flat_map(|c| c.revision.iter().copied()).collect(),
            superseded: closed.iter().map(|c| c.superseded).sum(),
            batch,
        }))
    }
}

impl Evaluated {
    /// The groups from `at` on, no more than a slice of them.
    fn slice(&mut self, at: usize) -> Option<Self> {
        let rows = SLICE.min(self.sensors.len().saturating_sub(at));
        if rows == 0 {
            return None;
        }
        if rows == self.sensors.len() {
            let all = std::mem::take(self);
            return Some(all);
        }
        Some(Self {
            sensors: self.sensors[at..at + rows].to_vec(),
            counts: self.counts[at..at + rows].to_vec(),
            values: self.values.iter().map(|v| v.slice(at, rows)).collect(),
        })
    }
}
