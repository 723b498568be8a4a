//! One pane of time: the groups that have readings in it, and their accumulators.
//!
//! *Why a frozen form*: taking an accumulator's state resets it, so a pane whose state was taken (for a
//! checkpoint, or for one of several windows that overlap it) keeps the state's arrays and merges them
//! into fresh accumulators when the next reading comes.

use arrow::array::{Array, ArrayRef};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use tidegauge_flow::SensorId;

use crate::error::AggregateError;
use crate::query::Query;
use crate::windows::ids::Ids;

/// No group yet.
const NONE: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Pane {
    /// Group to sensor, in order of first sight.
    sensors: Vec<SensorId>,
    /// Sensor to group, or [`NONE`].
    groups: Vec<u32>,
    /// Readings per group.
    counts: Vec<u64>,
    state: State,
    /// Which events are in it, where events have ids.
    pub(crate) ids: Ids,
}

enum State {
    Live(Vec<Box<dyn GroupsAccumulator>>),
    /// Per aggregate its state columns, one row per group.
    Frozen(Vec<Vec<ArrayRef>>),
}

impl Default for State {
    fn default() -> Self {
        Self::Frozen(Vec::new())
    }
}

impl Pane {
    /// A pane as a checkpoint saved it.
    pub(crate) fn restore(
        sensors: Vec<SensorId>,
        counts: Vec<u64>,
        state: Vec<Vec<ArrayRef>>,
    ) -> Self {
        let mut pane = Self { counts, state: State::Frozen(state), ..Self::default() };
        for sensor in sensors {
            pane.add_group(sensor);
        }
        pane
    }

    pub(crate) fn sensors(&self) -> &[SensorId] {
        &self.sensors
    }

    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub(crate) fn len(&self) -> usize {
        self.sensors.len()
    }

    pub(crate) fn readings(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds readings: `sensors` and the columns of `values` (per aggregate) have the same length.
    pub(crate) fn update(
        &mut self,
        query: &Query,
        sensors: impl ExactSizeIterator<Item = SensorId>,
        values: &[Vec<ArrayRef>],
    ) -> Result<(), AggregateError> {
        let mut groups = Vec::with_capacity(sensors.len());
        for sensor in sensors {
            let group = self.group(sensor);
            self.counts[group] += 1;
            groups.push(group);
        }
        let total = self.len();
        for (accumulator, values) in self.live(query)?.iter_mut().zip(values) {
            accumulator.update_batch(values, &groups, None, total)?;
        }
        Ok(())
    }

    /// Adds another pane's groups and readings: how overlapping windows are put together.
    pub(crate) fn absorb(&mut self, query: &Query, other: &mut Self) -> Result<(), AggregateError> {
        let mut groups = Vec::with_capacity(other.len());
        for (sensor, count) in other.sensors.iter().zip(&other.counts) {
            let group = self.group(*sensor);
            self.counts[group] += count;
            groups.push(group);
        }
        let total = self.len();
        let state = other.freeze()?;
        for (accumulator, values) in self.live(query)?.iter_mut().zip(state) {
            accumulator.merge_batch(values, &groups, total)?;
        }
        Ok(())
    }

    /// The state of all groups, per aggregate. The pane stays usable.
    pub(crate) fn freeze(&mut self) -> Result<&Vec<Vec<ArrayRef>>, AggregateError> {
        if let State::Live(accumulators) = &mut self.state {
            let state = accumulators.iter_mut().map(|a| Ok(a.state(EmitTo::All)?));
            let state = state.collect::<Result<Vec<_>, AggregateError>>()?;
            for column in state.iter().flatten() {
                assert_eq!(column.len(), self.sensors.len(), "a state has one row per group");
            }
            self.state = State::Frozen(state);
        }
        match &self.state {
            State::Frozen(state) => Ok(state),
            State::Live(_) => unreachable!("it was frozen above"),
        }
    }

    /// The aggregates' values, one row per group. Ends the pane.
    pub(crate) fn evaluate(mut self, query: &Query) -> Result<Evaluated, AggregateError> {
        let mut values = Vec::new();
        for accumulator in self.live(query)? {
            values.push(accumulator.evaluate(EmitTo::All)?);
        }
        for column in &values {
            assert_eq!(column.len(), self.sensors.len(), "an aggregate has one row per group");
        }
        Ok(Evaluated { sensors: self.sensors, counts: self.counts, values })
    }

    fn live(
        &mut self,
        query: &Query,
    ) -> Result<&mut Vec<Box<dyn GroupsAccumulator>>, AggregateError> {
        if let State::Frozen(state) = &self.state {
            let mut accumulators = query.accumulators()?;
            let rows = state.first().and_then(|s| s.first()).map_or(0, |column| column.len());
            let groups: Vec<usize> = (0..rows).collect();
            for (accumulator, values) in accumulators.iter_mut().zip(state) {
                accumulator.merge_batch(values, &groups, rows)?;
            }
            self.state = State::Live(accumulators);
        }
        match &mut self.state {
            State::Live(accumulators) => Ok(accumulators),
            State::Frozen(_) => unreachable!("it was made live above"),
        }
    }

    fn group(&mut self, sensor: SensorId) -> usize {
        match self.groups.get(sensor as usize) {
            Some(&group) if group != NONE => group as usize,
            _ => {
                self.counts.push(0);
                self.add_group(sensor)
            }
        }
    }

    fn add_group(&mut self, sensor: SensorId) -> usize {
        let group = self.sensors.len();
        if self.groups.len() <= sensor as usize {
            self.groups.resize(sensor as usize + 1, NONE);
        }
        self.groups[sensor as usize] = group as u32;
        self.sensors.push(sensor);
        group
    }
}

/// What a pane held when it ended.
pub(crate) struct Evaluated {
    pub sensors: Vec<SensorId>,
    pub counts: Vec<u64>,
    pub values: Vec<ArrayRef>,
}
