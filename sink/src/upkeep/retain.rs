//! What goes because of its age: replaced files, rows, records, summaries.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use bytes::Bytes;
use tidegauge_flow::{Place, names};

use super::Run;
use crate::columns::{n_readings, whole};
use crate::error::LakeError;
use crate::lake::read_record;
use crate::parquet;
use crate::paths;
use crate::record::{Record, Table};
use crate::summary::{LiveFile, Replaced};
use crate::view;

/// Summaries that stay: the newest, and those that a reader may just have found to be the newest.
const SUMMARIES_KEPT: usize = 3;
const DAY_US: i64 = 86_400_000_000;

impl Run<'_> {
    /// Replaced files that have been kept for long enough.
    pub(super) fn due(&self) -> impl Iterator<Item = &Replaced> {
        let (now, keep) = (self.now_us, self.upkeep.keep_replaced_us);
        self.next.replaced.iter().filter(move |r| r.at_us.saturating_add(keep) <= now)
    }

    /// Deletes them. No summary will ever name them again, so whoever else does the same does no harm.
    pub(super) fn delete_due(&mut self) -> Result<(), LakeError> {
        let due: Vec<String> = self.due().map(|replaced| replaced.file.path.clone()).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.failpoint.reach(Place::BeforeDelete)?;
        for path in &due {
            self.store.delete(path)?;
            self.outcome.deleted_files += 1;
            self.failpoint.reach(Place::MidDelete)?;
        }
        let due: std::collections::BTreeSet<String> = due.into_iter().collect();
        self.next.replaced.retain(|replaced| !due.contains(&replaced.file.path));
        Ok(())
    }

    /// Whether all rows of a file are older than its table keeps them.
    pub(super) fn is_expired(&self, live: &LiveFile) -> bool {
        let Some(keep) = self.upkeep.keep_us.get(&live.file.table) else {
            return false;
        };
        let newest = live.file.window_end_us.map_or(live.at_us, |(_, last)| last);
        let end = paths::day_of(newest).saturating_add(1).saturating_mul(DAY_US);
        end.saturating_add(*keep) <= self.now_us
    }

    /// Takes files that are too old out of the next summary, and keeps their counts.
    pub(super) fn expire(&mut self) -> Result<(), LakeError> {
        for live in std::mem::take(&mut self.next.files) {
            if !self.is_expired(&live) {
                self.next.files.push(live);
                continue;
            }
            // A file that is not what it was stays, for `verify` to tell.
            let counted = match self.source(&live.file).and_then(|bytes| count(&live, bytes)) {
                Ok(counted) => counted,
                Err(LakeError::Damaged { path, .. }) => {
                    self.outcome.damaged.push(path);
                    self.next.files.push(live);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (lane, (rows, readings)) in counted {
                self.next.expire(live.file.table, lane, rows, readings);
                self.outcome.expired_rows += rows;
            }
            self.next.replaced.push(Replaced { file: live.file, at_us: self.now_us });
        }
        Ok(())
    }

    /// Deletes records that a summary holds and that are old enough, oldest first; never the newest of a
    /// lane.
    pub(super) fn delete_records(&mut self) -> Result<(), LakeError> {
        let ledger = view::ledger(self.store)?;
        for (lane, summary) in &self.next.lanes {
            let epochs = ledger.get(lane).map_or(&[][..], Vec::as_slice);
            for &epoch in epochs.iter().take_while(|epoch| **epoch < summary.to) {
                let record = match read_record(self.store, lane, epoch) {
                    // Another run was quicker.
                    Err(LakeError::Damaged { path, .. }) if self.store.size(&path)?.is_none() => {
                        continue;
                    }
                    read => read?.0,
                };
                let age = self.now_us.saturating_sub(record.committed_at_us);
                if age < self.upkeep.keep_ledger_us || !self.is_settled(&record)? {
                    break;
                }
                if self.outcome.deleted_records == 0 {
                    self.failpoint.reach(Place::BeforeDelete)?;
                }
                self.store.delete(&paths::record_path(lane, epoch))?;
                self.outcome.deleted_records += 1;
                self.failpoint.reach(Place::MidDelete)?;
            }
        }
        Ok(())
    }

    /// Whether recovery needs the record no more: none of its files is staged.
    fn is_settled(&self, record: &Record) -> Result<bool, LakeError> {
        if !self.store.renames() {
            return Ok(true);
        }
        for file in &record.files {
            if self.store.size(&paths::staging_path(&record.lane, &file.path))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes all but the newest summaries.
    pub(super) fn delete_summaries(&self) -> Result<(), LakeError> {
        let numbers = view::summary_numbers(self.store)?;
        let old = numbers.len().saturating_sub(SUMMARIES_KEPT);
        for &number in &numbers[..old] {
            self.store.delete(&paths::summary_path(number))?;
            self.failpoint.reach(Place::MidDelete)?;
        }
        Ok(())
    }
}

type Counted = BTreeMap<Option<String>, (u64, u64)>;

/// Rows and readings of a file, by lane where its rows tell it.
fn count(live: &LiveFile, bytes: Bytes) -> Result<Counted, LakeError> {
    let mut counted = Counted::new();
    if live.file.table != Table::Predictions {
        counted.insert(None, (live.file.rows, 0));
        return Ok(counted);
    }
    let bad = |what: String| LakeError::damaged(&live.file.path, what);
    let batches = parquet::read_columns(bytes, &[names::LANE, names::N_READINGS]);
    for batch in batches.map_err(|e| bad(e.to_string()))? {
        let total = n_readings(&batch).map_err(bad)?;
        let total = u64::try_from(total).map_err(|e| bad(e.to_string()))?;
        if batch.column_by_name(names::LANE).is_none() {
            let sums = counted.entry(None).or_default();
            *sums = (sums.0 + batch.num_rows() as u64, sums.1.saturating_add(total));
            continue;
        }
        let lanes = whole(&batch, names::LANE, &DataType::Utf8).map_err(bad)?;
        let readings = whole(&batch, names::N_READINGS, &DataType::UInt64).map_err(bad)?;
        let readings = readings.as_primitive::<arrow::datatypes::UInt64Type>();
        for (lane, n) in lanes.as_string::<i32>().iter().zip(readings.values()) {
            let lane = lane.map(str::to_owned);
            let sums = counted.entry(lane).or_default();
            *sums = (sums.0 + 1, sums.1.saturating_add(*n));
        }
    }
    Ok(counted)
}
