//! What one epoch commits, and its check against the ledger and itself before anything is written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidegauge_flow::{Partition, Span};

use super::Lane;
use super::split::{FILES_MAX, Part, split};
use crate::columns::n_readings;
use crate::error::LakeError;
use crate::record::{ClosedBy, Counters, IdleMove, Jump, JumpReason, Record, Table};

/// All that one epoch commits. It owns copies, so the lane's loop may go on while it is written.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// What each input is, where it can tell; what is left out stays as it was. An input that is
    /// another than before needs a jump ([`JumpReason::Recreated`]) of each of its partitions.
    ///
    /// [`JumpReason::Recreated`]: crate::JumpReason::Recreated
    pub inputs: BTreeMap<Arc<str>, String>,
    /// Positions that moved without reading: the partition's span, if it has one, begins at `to`.
    pub jumps: Vec<Jump>,
    /// What was consumed. A partition that did not move may be left out; one that the lane has
    /// never read may start anywhere; any other starts where the last epoch ended, or where it jumped.
    pub spans: Vec<(Partition, Span)>,
    /// The watermark at the cut, nanoseconds since 1970; `None` leaves it where it was.
    pub watermark_ns: Option<i64>,
    /// How the watermark moved without readings.
    pub idle_moves: Vec<IdleMove>,
    /// Why windows were closed before their time, if they were.
    pub closed_by: Option<ClosedBy>,
    /// The rows. Predictions have the columns of the lake's generation, its key columns,
    /// `window_end` (`Timestamp` in microseconds), `revision` and `n_readings` (integers), these
    /// without nulls; events have `event_id` and `state`, without nulls.
    pub tables: Vec<(Table, Vec<RecordBatch>)>,
    /// The lane's state at the cut; `None` says that it has none.
    pub checkpoint: Option<Vec<u8>>,
    /// The versions of the model sets that scored the rows.
    pub model_sets: Vec<u64>,
    /// What was counted. `rows`, `rejected`, `events` and `n_readings` must be what `tables` hold,
    /// `late` at least.
    pub counters: Counters,
}

/// What one commit wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The epoch that it is.
    pub epoch: u64,
    /// Data files, over all tables.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Lane {
    /// The spans of all partitions of the lane, those that did not move included.
    pub(super) fn join_spans(&self, cut: &Cut) -> Result<BTreeMap<Partition, Span>, LakeError> {
        let refuse = |what: String| Err(LakeError::refused(self.name(), what));
        let mut starts = self.positions.clone();
        for (n, jump) in cut.jumps.iter().enumerate() {
            if cut.jumps[..n].iter().any(|other| other.partition == jump.partition) {
                return refuse(format!("{} has two jumps", jump.partition));
            }
            if let Some(what) = jump.problem(self.positions.get(&jump.partition).copied()) {
                return refuse(what);
            }
            starts.insert(jump.partition.clone(), jump.to);
        }
        let mut moved = BTreeMap::new();
        for (partition, span) in &cut.spans {
            let next = starts.get(partition).copied().unwrap_or(span.from);
            if span.from != next {
                return refuse(format!("{partition} starts at {} and not at {next}", span.from));
            }
            if span.to < span.from {
                return refuse(format!("{partition} goes back from {} to {}", span.from, span.to));
            }
            match moved.entry(partition.clone()) {
                Entry::Vacant(entry) => entry.insert(*span),
                Entry::Occupied(_) => return refuse(format!("{partition} has two spans")),
            };
        }
        for (partition, &next) in &starts {
            moved.entry(partition.clone()).or_insert(Span { from: next, to: next });
        }
        Ok(moved)
    }

    /// The identities of all inputs of the lane.
    pub(super) fn join_inputs(&self, cut: &Cut) -> Result<BTreeMap<Arc<str>, String>, LakeError> {
        let mut inputs = self.newest.inputs.clone();
        inputs.extend(cut.inputs.iter().map(|(input, id)| (Arc::clone(input), id.clone())));
        match identity_problem(&self.newest, &inputs, &cut.jumps) {
            Some(what) => Err(LakeError::refused(self.name(), what)),
            None => Ok(inputs),
        }
    }

    /// The cut's rows as files, after checking that watermark and counters fit.
    pub(super) fn parts(&self, cut: &Cut, now_us: i64) -> Result<Vec<Part>, LakeError> {
        let refuse = |what: String| Err(LakeError::refused(self.name(), what));
        if let (Some(old), Some(new)) = (self.newest.watermark_ns, cut.watermark_ns)
            && new < old
        {
            return refuse(format!("the watermark goes back from {old} to {new}"));
        }
        if let Some(what) = cut.counters.contradictions().into_iter().next() {
            return refuse(what);
        }
        let parts = split(&cut.tables, &self.generation, now_us);
        let parts = parts.map_err(|what| LakeError::refused(self.name(), what))?;
        if parts.len() > FILES_MAX {
            return refuse(format!("{} files are more than {FILES_MAX}", parts.len()));
        }
        match check_rows(&cut.counters, &parts) {
            Ok(()) => Ok(parts),
            Err(what) => refuse(what),
        }
    }
}

/// Whether an input became another one although not all of its partitions began again.
pub(crate) fn identity_problem(
    last: &Record,
    inputs: &BTreeMap<Arc<str>, String>,
    jumps: &[Jump],
) -> Option<String> {
    let began_again = |partition: &Partition| {
        let made_anew = |j: &Jump| j.partition == *partition && j.why == JumpReason::Recreated;
        jumps.iter().any(made_anew)
    };
    for (input, old) in &last.inputs {
        let Some(new) = inputs.get(input) else {
            return Some(format!("input {input} was {old} and has no identity now"));
        };
        let mut partitions = last.positions.keys().filter(|p| p.input == *input);
        if new != old && !partitions.all(began_again) {
            return Some(format!("input {input} was {old} and is {new} without a jump"));
        }
    }
    None
}

/// The counters must say what the rows say: a lake in which they differ could not be proven.
fn check_rows(counters: &Counters, parts: &[Part]) -> Result<(), String> {
    for table in Table::ALL {
        let rows: u64 = parts.iter().filter(|p| p.table == table).map(Part::rows).sum();
        let (fits, counted) = match table {
            Table::Predictions => (rows == counters.rows, counters.rows),
            Table::Rejects => (rows == counters.rejected, counters.rejected),
            Table::Events => (rows == counters.events, counters.events),
            // Kept or only counted, as the configuration says.
            Table::Late => (rows <= counters.late, counters.late),
        };
        if !fits {
            return Err(format!("{} has {rows} rows and the counter is {counted}", table.as_str()));
        }
    }
    let predictions = parts.iter().filter(|part| part.table == Table::Predictions);
    let sums = predictions.flat_map(|part| &part.batches).map(n_readings);
    let sum = sums.sum::<Result<u128, String>>()?;
    if sum != u128::from(counters.n_readings) {
        return Err(format!("n_readings sums to {sum} and the counter is {}", counters.n_readings));
    }
    Ok(())
}
