//! The query: one SELECT over `readings`, planned once, run on every batch.
//!
//! *Why not DataFusion's own execution*: an aggregation there ends with its input; ours never ends and
//! must be saved and restored. So DataFusion parses, types and lowers the expressions, and the windows
//! drive its accumulators.

mod allow;
mod lower;
mod plan;
mod steps;
mod window;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::GroupsAccumulator;
use sha2::{Digest, Sha256};
use tidegauge_flow::{ReadingSchema, Readings, Sensors};

use self::lower::Aggregate;
use self::steps::Step;
pub use self::window::WindowSpec;
use crate::error::{AggregateError, PlanError};

/// A planned query. Made by [`Query::plan`]; immutable, shared by all lanes.
#[derive(Debug, Clone)]
pub struct Query {
    text: String,
    hash: String,
    readings: ReadingSchema,
    window: WindowSpec,
    scan: SchemaRef,
    /// Which reading columns the scan holds, as indices into [`ReadingSchema::arrow`].
    scan_columns: Vec<usize>,
    below: Vec<Step>,
    aggregates: Vec<Aggregate>,
    /// Group columns in the query's order, then the aggregates.
    grouped: SchemaRef,
    group_columns: Vec<GroupColumn>,
    above: Vec<Step>,
    /// Per aggregate, the columns of its state.
    state_columns: Vec<usize>,
    /// Which columns of the last step are features.
    features: Vec<usize>,
    output: SchemaRef,
}

/// What stands in one GROUP BY position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupColumn {
    /// The key column with this index.
    Key(usize),
    Window,
}

impl Query {
    /// Plans `text` for readings of the given shape.
    ///
    /// # Errors
    /// [`PlanError`] names what is not valid or not supported, and where it stands.
    pub fn plan(text: &str, readings: &ReadingSchema) -> Result<Self, PlanError> {
        plan::plan(text, readings)
    }

    /// The query in the parser's own spelling.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 over everything that gives the checkpoint its meaning: query, columns, key types.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub fn window(&self) -> &WindowSpec {
        &self.window
    }

    pub fn readings(&self) -> &ReadingSchema {
        &self.readings
    }

    /// The schema of window rows: key columns, `window_start`, `window_end`, features.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Fresh accumulators, one per aggregate.
    pub(crate) fn accumulators(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>, AggregateError> {
        self.aggregates.iter().map(|a| Ok(a.accumulator()?)).collect()
    }

    /// Evaluates WHERE and the aggregates' arguments on the given rows.
    pub(crate) fn arguments(
        &self,
        readings: &Readings,
        rows: &[u32],
        sensors: &Sensors,
    ) -> Result<Arguments, AggregateError> {
        let everything = rows.len() == readings.len();
        let picked = if everything { None } else { Some(rows) };
        let columns =
            self.scan_columns.iter().map(|&c| self.scan_column(c, readings, picked, sensors));
        let batch = steps::batch(&self.scan, columns.collect(), rows.len())?;
        let (batch, kept) = steps::run(&self.below, batch)?;
        let rows = match kept {
            None => rows.to_vec(),
            Some(kept) => kept.iter().map(|&k| rows[k as usize]).collect(),
        };
        let values =
            self.aggregates.iter().map(|a| a.arguments(&batch)).collect::<Result<_, _>>()?;
        Ok(Arguments { rows, values })
    }

    /// Per aggregate, the columns of its state.
    pub(crate) fn state_columns(&self) -> &[usize] {
        &self.state_columns
    }

    /// The features of finished groups. `keys` are the key columns and `aggregates` the evaluated
    /// aggregates, all with `rows` rows. A feature that can't be computed of a row is null there.
    pub(crate) fn finish(
        &self,
        keys: &[ArrayRef],
        window_end: &ArrayRef,
        aggregates: Vec<ArrayRef>,
    ) -> Result<Finished, AggregateError> {
        let rows = window_end.len();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.grouped.fields().len());
        columns.extend(self.group_columns.iter().map(|g| match g {
            GroupColumn::Key(i) => keys[*i].clone(),
            GroupColumn::Window => window_end.clone(),
        }));
        columns.extend(aggregates);
        let grouped = steps::batch(&self.grouped, columns, rows)?;
        let mut incomplete = None;
        let batch = match steps::run(&self.above, grouped.clone()) {
            Ok((batch, kept)) => {
                assert!(kept.is_none(), "a filter above the aggregate is refused at planning");
                batch
            }
            Err(_) => {
                let mut pieces = Vec::new();
                self.finish_piecewise(grouped, &mut pieces, &mut incomplete)?;
                concat_batches(&pieces[0].schema(), &pieces)?
            }
        };
        let features = self.features.iter().map(|&f| batch.column(f).clone()).collect();
        Ok(Finished { features, incomplete })
    }

    /// Halves the rows until those are found of which something can't be computed.
    fn finish_piecewise(
        &self,
        grouped: RecordBatch,
        pieces: &mut Vec<RecordBatch>,
        incomplete: &mut Option<(u64, String)>,
    ) -> Result<(), AggregateError> {
        let rows = grouped.num_rows();
        match steps::run(&self.above, grouped.clone()) {
            Ok((batch, _)) => pieces.push(batch),
            Err(error) if rows <= 1 => {
                pieces.push(steps::run_or_null(&self.above, grouped)?);
                incomplete.get_or_insert_with(|| (0, error.strip_backtrace())).0 += 1;
            }
            Err(_) => {
                let half = rows / 2;
                self.finish_piecewise(grouped.slice(0, half), pieces, incomplete)?;
                self.finish_piecewise(grouped.slice(half, rows - half), pieces, incomplete)?;
            }
        }
        Ok(())
    }

    fn scan_column(
        &self,
        column: usize,
        readings: &Readings,
        rows: Option<&[u32]>,
        sensors: &Sensors,
    ) -> ArrayRef {
        let keys = self.readings.key.columns().len();
        if column < keys {
            let ids: Vec<_> = match rows {
                None => readings.sensor.clone(),
                Some(rows) => rows.iter().map(|&r| readings.sensor[r as usize]).collect(),
            };
            sensors.column(column, &ids)
        } else if column == keys {
            readings.times(rows)
        } else {
            readings.value(column - keys - 1, rows)
        }
    }
}

/// The features of finished groups.
pub(crate) struct Finished {
    pub features: Vec<ArrayRef>,
    /// Rows of which a feature could not be computed, and why that of the first could not.
    pub incomplete: Option<(u64, String)>,
}

/// Aggregate arguments of the readings that passed WHERE.
pub(crate) struct Arguments {
    /// Which readings passed, as indices into the batch.
    pub rows: Vec<u32>,
    /// Per aggregate its argument columns, parallel to `rows`.
    pub values: Vec<Vec<ArrayRef>>,
}

impl Arguments {
    /// Parts that were computed one by one, as one. There is at least one.
    pub(crate) fn concat(parts: &[Self]) -> Result<Self, AggregateError> {
        let rows = parts.iter().flat_map(|part| part.rows.iter().copied()).collect();
        let Some(first) = parts.first() else { return Ok(Self { rows, values: Vec::new() }) };
        let column = |aggregate: usize, column: usize| -> Result<ArrayRef, AggregateError> {
            let arrays = parts.iter().map(|part| &*part.values[aggregate][column]);
            Ok(concat(&arrays.collect::<Vec<_>>())?)
        };
        let of = |(aggregate, columns): (usize, &Vec<ArrayRef>)| {
            (0..columns.len()).map(|n| column(aggregate, n)).collect::<Result<Vec<_>, _>>()
        };
        let values = first.values.iter().enumerate().map(of).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { rows, values })
    }
}

/// Ties a checkpoint to the plan: the canonical text and the input's columns.
fn plan_hash(text: &str, readings: &ReadingSchema) -> String {
    let key = readings.key.columns().iter().map(|c| format!("{}:{}", c.name, c.kind.as_str()));
    let parts = [text.to_string(), key.collect::<Vec<_>>().join(","), readings.time.clone()];
    let mut hasher = Sha256::new();
    for part in parts.iter().chain(&readings.values) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A batch as text, for a message about our own bug.
fn columns_of(batch: &RecordBatch) -> String {
    batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests;
