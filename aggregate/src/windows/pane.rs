//! One pane of time: the groups that have readings in it, and their accumulators.
//!
//! *Why a frozen form*: taking an accumulator's state resets it, so a pane whose state was taken (for a
//! checkpoint, or for one of several windows that overlap it) keeps the state's arrays and merges them
//! into fresh accumulators when the next reading comes.
//!
//! *Why runs*: what was set aside (sealed because a window closed and may be revised, or spilled because
//! memory is short) takes no more readings. Readings that still come make groups beside it, and both
//! are merged when a window is evaluated.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use tidegauge_flow::SensorId;

use super::groups::{Groups, TABLE_MIN};
use super::merge::{Batches, Evaluated};
use super::part;
use super::run::Run;
use crate::error::AggregateError;
use crate::query::Query;
use crate::spill::Spill;
use crate::windows::ids::Ids;

#[derive(Default)]
pub(crate) struct Pane {
    runs: Vec<Run>,
    groups: Groups,
    /// Readings per group.
    counts: Vec<u64>,
    state: State,
    /// Which events are in it, where events have ids.
    pub(crate) ids: Ids,
}

enum State {
    Live(Vec<Box<dyn GroupsAccumulator>>),
    /// Per aggregate its state columns, one row per group; and the bytes that they hold.
    Frozen(Arc<Vec<Vec<ArrayRef>>>, usize),
}

impl Default for State {
    fn default() -> Self {
        Self::Frozen(Arc::default(), 0)
    }
}

impl State {
    fn frozen(state: Vec<Vec<ArrayRef>>) -> Self {
        let bytes = state.iter().flatten().map(part::column_bytes).sum();
        Self::Frozen(Arc::new(state), bytes)
    }
}

impl Pane {
    /// Groups as a checkpoint saved them.
    pub(crate) fn restore(part: &RecordBatch, state_columns: &[usize]) -> Self {
        let state = part::state(part, state_columns).map(<[ArrayRef]>::to_vec).collect();
        Self {
            groups: Groups::of(part::sensors(part).to_vec()),
            counts: part::readings(part).to_vec(),
            state: State::frozen(state),
            ..Self::default()
        }
    }

    pub(crate) fn add_run(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.runs.is_empty()
    }

    /// Groups; a sensor counts once for each part that it is in.
    pub(crate) fn len(&self) -> usize {
        self.groups.len() + self.runs.iter().map(Run::groups).sum::<usize>()
    }

    pub(crate) fn readings(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.runs.iter().map(Run::readings).sum::<u64>()
    }

    /// Bytes held, but for the ids of events and what is in files.
    pub(crate) fn memory_bytes(&self) -> usize {
        let state = match &self.state {
            State::Live(accumulators) => accumulators.iter().map(|a| a.size()).sum(),
            State::Frozen(_, bytes) => *bytes,
        };
        let runs: usize = self.runs.iter().map(Run::memory_bytes).sum();
        state + runs + self.groups.memory_bytes() + 8 * self.counts.capacity()
    }

    /// Bytes that vectors which double may take at once when so many groups come.
    pub(crate) fn growth_bytes(&self, groups: usize) -> usize {
        let len = self.groups.len();
        let doubles = (len + groups).next_power_of_two() > len.next_power_of_two();
        let runs: usize = self.runs.iter().map(Run::memory_bytes).sum();
        if len > 0 && doubles { self.memory_bytes() - runs } else { 0 }
    }

    /// Bytes in files.
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.runs.iter().map(Run::spilled_bytes).sum()
    }

    /// Adds readings: `sensors` and the columns of `values` (per aggregate) have the same length.
    pub(crate) fn update(
        &mut self,
        query: &Query,
        sensors: impl ExactSizeIterator<Item = SensorId>,
        values: &[Vec<ArrayRef>],
    ) -> Result<(), AggregateError> {
        let groups = self.groups_of(sensors.map(|sensor| (sensor, 1)));
        let total = self.groups.len();
        for (accumulator, values) in self.live(query)?.iter_mut().zip(values) {
            accumulator.update_batch(values, &groups, None, total)?;
        }
        Ok(())
    }

    /// Adds another whole pane's groups and readings: how overlapping windows are put together.
    pub(crate) fn absorb(&mut self, query: &Query, other: &mut Self) -> Result<(), AggregateError> {
        let theirs = other.groups.sensors().iter().copied().zip(other.counts.iter().copied());
        let groups = self.groups_of(theirs);
        let total = self.groups.len();
        let state = other.freeze()?;
        for (accumulator, values) in self.live(query)?.iter_mut().zip(state.iter()) {
            accumulator.merge_batch(values, &groups, total)?;
        }
        Ok(())
    }

    /// The aggregates' values, one row per group. Ends the pane.
    pub(crate) fn evaluate(mut self, query: &Query) -> Result<Evaluated, AggregateError> {
        assert!(self.is_whole(), "runs are merged, not evaluated");
        let mut values = Vec::new();
        for accumulator in self.live(query)? {
            values.push(accumulator.evaluate(EmitTo::All)?);
        }
        for column in &values {
            assert_eq!(column.len(), self.groups.len(), "an aggregate has one row per group");
        }
        Ok(Evaluated { sensors: self.groups.into_sensors(), counts: self.counts, values })
    }

    /// The groups beside the runs; `None` when there are none. The pane stays usable.
    pub(crate) fn part(&mut self) -> Result<Option<RecordBatch>, AggregateError> {
        if self.groups.len() == 0 {
            return Ok(None);
        }
        let state = self.freeze()?;
        part::batch(self.groups.sensors(), &self.counts, &state).map(Some)
    }

    /// All parts, each ordered by sensor. What comes later is not in them.
    pub(crate) fn parts(&mut self) -> Result<Vec<Batches>, AggregateError> {
        let mut parts = self.runs.iter().map(Run::batches).collect::<Result<Vec<_>, _>>()?;
        if let Some(part) = self.part()? {
            let part = part::sorted(part)?;
            parts.push(Box::new(std::iter::once(Ok(part))));
        }
        Ok(parts)
    }

    /// What it holds of these sensors, which are ordered.
    pub(crate) fn select(&mut self, wanted: &[SensorId]) -> Result<Vec<Batches>, AggregateError> {
        let mut parts: Vec<Batches> = Vec::new();
        for run in &self.runs {
            let rows = run.select(wanted)?;
            parts.push(Box::new(rows.into_iter().map(Ok)));
        }
        if let Some(part) = self.part()? {
            let rows = part::select(&part::sorted(part)?, wanted)?;
            parts.push(Box::new(rows.into_iter().map(Ok)));
        }
        Ok(parts)
    }

    /// Sets all groups aside as a run.
    pub(crate) fn seal(&mut self) -> Result<(), AggregateError> {
        if let Some(part) = self.part()? {
            self.runs.push(Run::new(part::sorted(part)?));
            (self.groups, self.counts, self.state) = Default::default();
        }
        Ok(())
    }

    /// Sets all groups aside in files.
    pub(crate) fn spill(&mut self, spill: &dyn Spill) -> Result<(), AggregateError> {
        self.seal()?;
        for run in &mut self.runs {
            *run = run.spill(spill)?;
        }
        Ok(())
    }

    /// The state of the groups beside the runs, per aggregate. The pane stays usable.
    fn freeze(&mut self) -> Result<Arc<Vec<Vec<ArrayRef>>>, AggregateError> {
        if let State::Live(accumulators) = &mut self.state {
            let state = accumulators.iter_mut().map(|a| Ok(a.state(EmitTo::All)?));
            let state = state.collect::<Result<Vec<_>, AggregateError>>()?;
            for column in state.iter().flatten() {
                assert_eq!(column.len(), self.groups.len(), "a state has one row per group");
            }
            self.state = State::frozen(state);
        }
        match &self.state {
            State::Frozen(state, _) => Ok(state.clone()),
            State::Live(_) => unreachable!("it was frozen above"),
        }
    }

    fn live(
        &mut self,
        query: &Query,
    ) -> Result<&mut Vec<Box<dyn GroupsAccumulator>>, AggregateError> {
        if let State::Frozen(state, _) = &self.state {
            let mut accumulators = query.accumulators()?;
            let rows = state.first().and_then(|s| s.first()).map_or(0, |column| column.len());
            let groups: Vec<usize> = (0..rows).collect();
            for (accumulator, values) in accumulators.iter_mut().zip(state.iter()) {
                accumulator.merge_batch(values, &groups, rows)?;
            }
            self.state = State::Live(accumulators);
        }
        match &mut self.state {
            State::Live(accumulators) => Ok(accumulators),
            State::Frozen(..) => unreachable!("it was made live above"),
        }
    }

    /// The groups of these sensors, with so many readings more each.
    fn groups_of(
        &mut self,
        readings: impl ExactSizeIterator<Item = (SensorId, u64)>,
    ) -> Vec<usize> {
        let mut groups = Vec::with_capacity(readings.len());
        if self.groups.len() == 0 {
            // Most panes get about what they begin with; a large one grows as it goes.
            let room = readings.len().min(TABLE_MIN);
            self.groups.reserve(room);
            self.counts.reserve(room);
        }
        for (sensor, count) in readings {
            let (group, new) = self.groups.get_or_add(sensor);
            if new {
                self.counts.push(0);
            }
            self.counts[group] += count;
            groups.push(group);
        }
        groups
    }
}
