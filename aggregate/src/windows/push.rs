//! Readings in: judged one by one, added to their panes by runs.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use tidegauge_flow::{Readings, Sensors};

use super::{Closing, Windows};
use crate::error::AggregateError;
use crate::policy::{LateReason, TimeBy, Verdict};
use crate::query::Arguments;

/// What became of a batch of readings: each is aggregated, filtered, a duplicate, late or refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Late readings, as rows of the batch, in their order.
    pub late: Vec<(u32, LateReason)>,
    /// Readings that cannot be counted, as rows of the batch. They have left no trace.
    pub refused: Vec<(u32, Refusal)>,
    /// Readings that WHERE left out.
    pub filtered: u64,
    /// Readings whose event id their window held already, of the same sensor.
    pub duplicate: u64,
    pub aggregated: u64,
    /// Of all these, those that the time policy gave another time.
    pub adjusted: u64,
    /// Of all these, those that came after one of a later time, of the same partition or, with a watermark per
    /// sensor, of the same sensor.
    pub out_of_order: u64,
}

/// Why a reading cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its time is too long after its arrival.
    Early,
    /// The query cannot be computed on it; what DataFusion says.
    Query(String),
}

/// Readings in time that have not been added yet: index into the arguments, and the pane's end.
type Run = Vec<(u32, i64)>;

/// What a row of the batch is to the query.
#[derive(Clone, Copy)]
enum Row {
    /// Its index in the arguments.
    Kept(u32),
    Filtered,
    Refused,
}

impl Windows {
    /// Adds readings of one partition, in the order of their offsets.
    ///
    /// # Errors
    /// When an aggregate fails on the data or too many windows are open. The windows are then in an
    /// undefined state: the caller goes back to its last checkpoint.
    ///
    /// # Panics
    /// When the time policy needs arrivals and the readings have none.
    pub fn push(
        &mut self,
        partition: usize,
        readings: &Readings,
        sensors: &Sensors,
    ) -> Result<Pushed, AggregateError> {
        let arrivals = readings.arrival_ns.len() == readings.len();
        assert!(arrivals || !self.settings.policy.needs_arrivals(), "readings without arrivals");
        let mut pushed = Pushed::default();
        let (arguments, rows) = self.compute(readings, sensors, &mut pushed)?;
        let mut run: Run = Vec::with_capacity(arguments.rows.len());
        for (row, kept) in rows.into_iter().enumerate() {
            if matches!(kept, Row::Refused) {
                continue;
            }
            let Some(time) = self.judge(partition, readings, row, &mut pushed) else { continue };
            let pane = self.query.window().pane_end(time);
            let watermark = self.deciding();
            if watermark.is_some_and(|watermark| self.is_over(pane, watermark)) {
                pushed.late.push((row as u32, LateReason::WindowClosed));
                continue;
            }
            if let Some(watermark) = watermark.filter(|w| self.must_close_before(pane, *w)) {
                self.flush(&mut run, &arguments, readings, &mut pushed)?;
                self.close_before(watermark, sensors)?;
            }
            match kept {
                Row::Kept(index) => run.push((index, pane)),
                Row::Filtered | Row::Refused => pushed.filtered += 1,
            }
        }
        self.flush(&mut run, &arguments, readings, &mut pushed)?;
        self.check_limit()?;
        Ok(pushed)
    }

    /// WHERE and the aggregates' arguments of all readings. Those that can't be computed are set
    /// aside, before anything has taken note of them.
    fn compute(
        &self,
        readings: &Readings,
        sensors: &Sensors,
        pushed: &mut Pushed,
    ) -> Result<(Arguments, Vec<Row>), AggregateError> {
        let all: Vec<u32> = (0..readings.len() as u32).collect();
        let mut rows = vec![Row::Filtered; all.len()];
        let computed = self.query.arguments(readings, &all, sensors);
        let arguments = match computed {
            Ok(arguments) => arguments,
            Err(_) => {
                let mut good = Vec::new();
                self.set_aside(readings, &all, sensors, &mut good, &mut pushed.refused);
                let refused = pushed.refused.iter().map(|(row, _)| *row as usize);
                refused.for_each(|row| rows[row] = Row::Refused);
                match good.is_empty() {
                    true => self.query.arguments(readings, &[], sensors)?,
                    // Computed together they might fail again: AND looks at its right side by batches.
                    false => Arguments::concat(&good)?,
                }
            }
        };
        for (index, &row) in arguments.rows.iter().enumerate() {
            rows[row as usize] = Row::Kept(index as u32);
        }
        Ok((arguments, rows))
    }

    /// Halves the rows until those are found that cannot be computed; the others are `good`, in order.
    fn set_aside(
        &self,
        readings: &Readings,
        rows: &[u32],
        sensors: &Sensors,
        good: &mut Vec<Arguments>,
        refused: &mut Vec<(u32, Refusal)>,
    ) {
        match (self.query.arguments(readings, rows, sensors), rows) {
            (Ok(arguments), _) => good.push(arguments),
            (Err(error), [row]) => refused.push((*row, Refusal::Query(error.to_string()))),
            (Err(_), _) => {
                let (first, second) = rows.split_at(rows.len() / 2);
                self.set_aside(readings, first, sensors, good, refused);
                self.set_aside(readings, second, sensors, good, refused);
            }
        }
    }

    /// The time that a reading counts for; `None` when it does not count.
    #[inline]
    fn judge(
        &mut self,
        partition: usize,
        readings: &Readings,
        row: usize,
        pushed: &mut Pushed,
    ) -> Option<i64> {
        let event = readings.time_ns[row];
        let arrival = readings.arrival_ns.get(row).copied().unwrap_or_default();
        let is_behind = self.time.is_behind(partition, readings.sensor[row], event);
        pushed.out_of_order += u64::from(is_behind);
        match self.time.observe(partition, readings.sensor[row], event, arrival) {
            Verdict::Counts(time) => {
                let adjusted = time != event && self.settings.policy.time == TimeBy::Event;
                pushed.adjusted += u64::from(adjusted);
                Some(time)
            }
            Verdict::Early => {
                pushed.refused.push((row as u32, Refusal::Early));
                None
            }
            Verdict::Late(reason) => {
                pushed.late.push((row as u32, reason));
                None
            }
        }
    }

    /// The instant that decides what is late.
    #[inline]
    fn deciding(&self) -> Option<i64> {
        match self.settings.closing {
            Closing::ByWatermark => self.time.get(),
            // What an earlier run has closed stays closed.
            Closing::AtEnd => self.closed_before,
        }
    }

    /// True when no window of the pane takes readings any more.
    #[inline]
    fn is_over(&self, pane: i64, watermark: i64) -> bool {
        let held = self.settings.allowed_lateness_ns.unwrap_or(0);
        let end = self.query.window().last_end(pane);
        end.saturating_add(held) < watermark || self.given_up_before.is_some_and(|at| end < at)
    }

    /// True when windows have to be evaluated before a reading enters the pane, because they closed
    /// before it came and share what it enters.
    #[inline]
    fn must_close_before(&self, pane: i64, watermark: i64) -> bool {
        let spec = self.query.window();
        if self.settings.allowed_lateness_ns.is_some() {
            return self.closed_before.is_none_or(|closed| spec.first_end(closed) < watermark);
        }
        !spec.is_tumble()
            && self.closed_before < Some(watermark)
            && spec.first_end(pane) < watermark
    }

    /// Adds a run of readings to their panes; empties the run.
    fn flush(
        &mut self,
        run: &mut Run,
        arguments: &Arguments,
        readings: &Readings,
        pushed: &mut Pushed,
    ) -> Result<(), AggregateError> {
        for (end, mut picked) in by_pane(run) {
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
            let values = pick(arguments, &picked)?;
            pane.update(&self.query, picked.iter().map(sensor), &values)?;
            self.note_revisions(end, picked.iter().map(sensor));
        }
        run.clear();
        Ok(())
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

/// Indices into the arguments, by pane, panes in order of first sight.
fn by_pane(run: &[(u32, i64)]) -> Vec<(i64, Vec<u32>)> {
    let mut panes: Vec<(i64, Vec<u32>)> = Vec::new();
    let mut last = 0;
    for &(index, pane) in run {
        if panes.get(last).is_none_or(|(p, _)| *p != pane) {
            last = panes.iter().position(|(p, _)| *p == pane).unwrap_or_else(|| {
                // Mostly one pane has them all; a k-th gets room for a k-th part.
                panes.push((pane, Vec::with_capacity(run.len() / (panes.len() + 1))));
                panes.len() - 1
            });
        }
        panes[last].1.push(index);
    }
    panes
}

fn pick(arguments: &Arguments, picked: &[u32]) -> Result<Vec<Vec<ArrayRef>>, AggregateError> {
    if picked.len() == arguments.rows.len() {
        return Ok(arguments.values.clone());
    }
    let indices = UInt32Array::from(picked.to_vec());
    let one = |columns: &Vec<ArrayRef>| -> Result<Vec<ArrayRef>, AggregateError> {
        columns.iter().map(|c| Ok(take(c, &indices, None)?)).collect()
    };
    arguments.values.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
