//! Anomaly events: one that closes has opened before, in the same lane.
//!
//! That none opens or closes twice is proven as for other tables, by `twice`.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, UInt64Type};
use tidegauge_flow::names;

use super::chain::Ledger;
use super::repair::Repair;
use super::report::Report;
use crate::columns::{event_states, whole};
use crate::record::Table;

/// What one row says of an event.
pub(super) struct Told {
    id: String,
    closed: bool,
    epoch: u64,
    lane: String,
}

/// What the rows of a batch say.
///
/// # Errors
/// When a column is missing or holds what it may not.
pub(super) fn told(batch: &RecordBatch) -> Result<Vec<Told>, String> {
    let (ids, closed) = event_states(batch)?;
    let lanes = whole(batch, names::LANE, &DataType::Utf8)?;
    let epochs = whole(batch, names::EPOCH, &DataType::UInt64)?;
    let epochs = epochs.as_primitive::<UInt64Type>();
    let lanes = lanes.as_string::<i32>();
    let one = |(row, closed)| Told {
        id: ids.value(row).to_owned(),
        closed,
        epoch: epochs.value(row),
        lane: lanes.value(row).to_owned(),
    };
    Ok(closed.into_iter().enumerate().map(one).collect())
}

/// Where an event opened and closed: lane and epoch.
#[derive(Default)]
struct Life {
    opened: Option<(String, u64)>,
    closed: Option<(String, u64)>,
    /// A file that tells of it.
    path: String,
}

/// All events of the lake.
#[derive(Default)]
pub(super) struct Events(BTreeMap<String, Life>);

impl Events {
    pub fn add(&mut self, path: &str, told: Vec<Told>) {
        for Told { id, closed, epoch, lane } in told {
            let life = self.0.entry(id).or_default();
            path.clone_into(&mut life.path);
            let at = if closed { &mut life.closed } else { &mut life.opened };
            *at = Some((lane, epoch));
        }
    }

    /// Tells what cannot be. `in_part`: files of an earlier proof were not read.
    pub fn tell(&self, ledger: &Ledger, in_part: bool, report: &mut Report) {
        let summary = ledger.summary.as_ref();
        let expired = summary.is_some_and(|s| s.expired.iter().any(|e| e.table == Table::Events));
        for (id, life) in &self.0 {
            let Some((lane, epoch)) = &life.closed else { continue };
            let what = match &life.opened {
                // Its row may be in a file that was proven before, or was too old to be kept.
                None if in_part || expired => continue,
                None => format!("event {id} closes in epoch {epoch} and never opened"),
                Some((its, _)) if its != lane => {
                    format!("event {id} opens in lane {its} and closes in lane {lane}")
                }
                Some((_, opened)) if opened > epoch => {
                    format!("event {id} closes in epoch {epoch} and opens in epoch {opened}")
                }
                Some(_) => continue,
            };
            report.problem(&life.path, what, Repair::Report);
        }
    }
}
