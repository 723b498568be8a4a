//! Parts of one window put together, slice by slice: what is in memory at a time is bounded, however
//! many sensors the window has.
//!
//! All parts are ordered by sensor. A slice is everything up to the smallest of the sensors that the
//! parts show at a distance, so each sensor is in exactly one slice with all it has.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::logical_expr::EmitTo;
use tidegauge_flow::SensorId;

use super::part;
use crate::error::AggregateError;
use crate::query::Query;

/// Groups of each part that a slice may hold.
pub(crate) const SLICE: usize = 32_768;

/// The batches of one part, in the order of their sensors.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, AggregateError>> + Send>;

/// What groups held when their window was evaluated, one row per group.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    pub sensors: Vec<SensorId>,
    pub counts: Vec<u64>,
    /// Per aggregate.
    pub values: Vec<ArrayRef>,
}

pub(crate) struct Merge {
    query: Arc<Query>,
    parts: Vec<Part>,
    slice: usize,
}

struct Part {
    batches: Batches,
    now: RecordBatch,
    at: usize,
}

impl Merge {
    pub(crate) fn new(query: Arc<Query>, parts: Vec<Batches>) -> Self {
        let empty = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        let part = |batches| Part { batches, now: empty.clone(), at: 0 };
        Self { query, parts: parts.into_iter().map(part).collect(), slice: SLICE }
    }

    #[cfg(test)]
    pub(crate) fn with_slice(mut self, slice: usize) -> Self {
        self.slice = slice;
        self
    }

    /// The next groups, in the order of their sensors; `None` after the last.
    ///
    /// # Errors
    /// When a part can't be read or an aggregate fails.
    pub(crate) fn next(&mut self) -> Result<Option<Evaluated>, AggregateError> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for mut part in self.parts.drain(..) {
            if part.refill()? {
                parts.push(part);
            }
        }
        self.parts = parts;
        let Some(up_to) = self.parts.iter().map(|p| p.shows(self.slice)).min() else {
            return Ok(None);
        };
        let taken: Vec<RecordBatch> = self.parts.iter_mut().map(|p| p.take(up_to)).collect();
        evaluate(&self.query, &taken).map(Some)
    }
}

impl Part {
    /// Makes sure that there is a row to look at; false when there is none left.
    fn refill(&mut self) -> Result<bool, AggregateError> {
        while self.at == self.now.num_rows() {
            match self.batches.next() {
                None => return Ok(false),
                Some(batch) => (self.now, self.at) = (batch?, 0),
            }
        }
        Ok(true)
    }

    /// The farthest sensor within so many rows.
    fn shows(&self, rows: usize) -> SensorId {
        let sensors = part::sensors(&self.now);
        sensors[(self.at + rows).min(sensors.len()) - 1]
    }

    fn take(&mut self, up_to: SensorId) -> RecordBatch {
        let ahead = &part::sensors(&self.now)[self.at..];
        let rows = ahead.partition_point(|&sensor| sensor <= up_to);
        let taken = self.now.slice(self.at, rows);
        self.at += rows;
        taken
    }
}

/// Evaluates the groups of these parts of one window.
fn evaluate(query: &Query, parts: &[RecordBatch]) -> Result<Evaluated, AggregateError> {
    let mut sensors: Vec<SensorId> = parts.iter().flat_map(part::sensors).copied().collect();
    if parts.len() > 1 {
        sensors.sort_unstable();
        sensors.dedup();
    }
    let mut accumulators = query.accumulators()?;
    let mut counts = vec![0; sensors.len()];
    for part in parts.iter().filter(|part| part.num_rows() > 0) {
        let mut groups = Vec::with_capacity(part.num_rows());
        let mut group = 0;
        for (sensor, readings) in part::sensors(part).iter().zip(part::readings(part)) {
            while sensors[group] != *sensor {
                group += 1;
            }
            counts[group] += readings;
            groups.push(group);
        }
        let states = part::state(part, query.state_columns());
        for (accumulator, state) in accumulators.iter_mut().zip(states) {
            accumulator.merge_batch(state, &groups, sensors.len())?;
        }
    }
    let mut values = Vec::with_capacity(accumulators.len());
    for accumulator in &mut accumulators {
        values.push(accumulator.evaluate(EmitTo::All)?);
    }
    for column in &values {
        assert_eq!(column.len(), sensors.len(), "an aggregate has one row per group");
    }
    Ok(Evaluated { sensors, counts, values })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Float64Array};
    use arrow::datatypes::Float64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::windows::pane::Pane;
    use crate::windows::tests::query;

    proptest! {
        #[test]
        fn slices_hold_each_sensor_once_with_all_that_the_parts_have(
            parts in prop::collection::vec(prop::collection::vec((0u32..60, 0u32..100), 0..80), 0..5),
            slice in 1usize..20,
        ) {
            let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
            let mut naive: BTreeMap<SensorId, (u64, f64)> = BTreeMap::new();
            let mut batches = Vec::new();
            for part in &parts {
                let mut pane = Pane::default();
                let values: Float64Array = part.iter().map(|(_, v)| Some(f64::from(*v))).collect();
                let values: Vec<Vec<ArrayRef>> = vec![vec![Arc::new(values)]];
                pane.update(&query, part.iter().map(|(s, _)| *s), &values).expect("updates");
                batches.extend(pane.parts().expect("parts"));
                for (sensor, value) in part {
                    let row = naive.entry(*sensor).or_default();
                    *row = (row.0 + 1, row.1 + f64::from(*value));
                }
            }
            let mut merge = Merge::new(query, batches).with_slice(slice);
            let mut merged: Vec<(SensorId, (u64, f64))> = Vec::new();
            while let Some(evaluated) = merge.next().expect("merges") {
                prop_assert!(evaluated.sensors.len() <= slice * parts.len());
                let sums = evaluated.values[0].as_primitive::<Float64Type>().values().to_vec();
                let counts = evaluated.counts.into_iter().zip(sums);
                merged.extend(evaluated.sensors.into_iter().zip(counts));
            }
            prop_assert_eq!(merged, naive.into_iter().collect::<Vec<_>>());
        }
    }
}
