//! Histories as a part of a lane's checkpoint.
//!
//! Layout, version 1: `TGSH`, u32 version, u32 header length, header (JSON: the columns' names), then
//! three Arrow IPC streams, each preceded by its u64 length; integers little-endian. The streams: a row
//! for each sensor, the rows that are held, the rows of the days. Nothing here looks for damage: a
//! checkpoint's digest is in the ledger.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

use super::history::{Histories, History};
use crate::error::ScoreError;

const MAGIC: &[u8; 4] = b"TGSH";
const VERSION: u32 = 1;

/// What a scorer remembers of a lane's sensors, as it was at a cut.
pub struct Remembered {
    columns: Vec<String>,
    /// Sensors, rows, days.
    sections: [RecordBatch; 3],
}

#[derive(Serialize, Deserialize)]
struct Header {
    columns: Vec<String>,
}

impl Remembered {
    /// # Errors
    /// When Arrow refuses to build a column.
    pub(crate) fn new(histories: &Histories, names: &[String]) -> Result<Self, ScoreError> {
        let columns = names.to_vec();
        let sections =
            [sensors(histories)?, rows(histories, names.len())?, days(histories, names.len())?];
        Ok(Self { columns, sections })
    }

    /// Roughly how many bytes it will be.
    pub fn bytes_about(&self) -> usize {
        self.sections.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// The bytes for the checkpoint.
    ///
    /// # Errors
    /// When Arrow refuses to write.
    pub fn encode(&self) -> Result<Vec<u8>, ScoreError> {
        let header = Header { columns: self.columns.clone() };
        let header = serde_json::to_vec(&header).expect("a header of texts is JSON");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        for batch in &self.sections {
            let mut section = Vec::new();
            let mut writer = StreamWriter::try_new(&mut section, &batch.schema())?;
            writer.write(batch)?;
            writer.finish()?;
            drop(writer);
            bytes.extend_from_slice(&(section.len() as u64).to_le_bytes());
            bytes.append(&mut section);
        }
        Ok(bytes)
    }
}

impl Histories {
    /// Takes over what was saved, as far as it has the same columns. `names` are the columns of now,
    /// and sensors are numbered below `sensors`.
    ///
    /// # Errors
    /// [`ScoreError::History`] names what does not fit; nothing is taken over then.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        names: &[String],
        sensors: usize,
    ) -> Result<(), ScoreError> {
        let refuse = |what: &str| ScoreError::History(what.to_string());
        let (columns, sections) = read(bytes)?;
        let of_now: Vec<Option<usize>> =
            names.iter().map(|name| columns.iter().position(|column| column == name)).collect();
        let [counted, held, of_days] = sections;
        let mut all: Vec<Option<Box<History>>> = Vec::new();
        all.resize_with(sensors, || None);
        let (ids, seen, resting, forgot) = (|| {
            let [ids, seen, resting, forgot] = counted.columns() else { return None };
            let ids = ids.as_primitive_opt::<UInt32Type>()?;
            let seen = seen.as_primitive_opt::<UInt64Type>()?;
            let resting = resting.as_primitive_opt::<UInt32Type>()?;
            Some((ids, seen, resting, forgot.as_boolean_opt()?))
        })()
        .ok_or_else(|| refuse("its counts are not of this form"))?;
        for row in 0..counted.num_rows() {
            let slot = all.get_mut(ids.value(row) as usize);
            let slot = slot.ok_or_else(|| refuse("it has a sensor that the lane lacks"))?;
            *slot = Some(Box::new(History {
                seen: seen.value(row),
                resting: resting.value(row),
                forgot: forgot.value(row),
                ..History::default()
            }));
        }
        // Columns of now that were not remembered then: their rows begin anew.
        if of_now.iter().all(Option::is_some) {
            self.take_rows(&mut all, &held, &of_now)
                .ok_or_else(|| refuse("its rows are damaged"))?;
        }
        self.take_days(&mut all, &of_days, &of_now)
            .ok_or_else(|| refuse("its days are damaged"))?;
        for history in all.iter_mut().flatten() {
            // What was held then may be less than what is looked at now.
            history.forgot &= !history.ends.is_empty() && history.ends.len() >= self.needs.rows;
        }
        self.sensors = all;
        Ok(())
    }

    fn take_rows(
        &self,
        all: &mut [Option<Box<History>>],
        held: &RecordBatch,
        of_now: &[Option<usize>],
    ) -> Option<()> {
        let ids = held.columns().first()?.as_primitive_opt::<UInt32Type>()?;
        let ends = held.columns().get(1)?.as_primitive_opt::<Int64Type>()?;
        let columns: Option<Vec<&Float64Array>> = of_now
            .iter()
            .map(|column| held.columns().get((*column)? + 2)?.as_primitive_opt::<Float64Type>())
            .collect();
        let columns = columns?;
        for row in 0..held.num_rows() {
            let history = all.get_mut(ids.value(row) as usize)?.as_mut()?;
            if history.ends.last().is_some_and(|last| *last >= ends.value(row)) {
                return None;
            }
            history.ends.push(ends.value(row));
            history.values.extend(columns.iter().map(|column| column.value(row)));
        }
        Some(())
    }

    fn take_days(
        &self,
        all: &mut [Option<Box<History>>],
        of_days: &RecordBatch,
        of_now: &[Option<usize>],
    ) -> Option<()> {
        let [ids, columns, ends, values] = of_days.columns() else { return None };
        let ids = ids.as_primitive_opt::<UInt32Type>()?;
        let columns = columns.as_primitive_opt::<UInt32Type>()?;
        let ends = ends.as_primitive_opt::<Int64Type>()?;
        let values = values.as_primitive_opt::<Float64Type>()?;
        for row in 0..of_days.num_rows() {
            let history = all.get_mut(ids.value(row) as usize)?.as_mut()?;
            history.days.resize_with(self.needs.columns, Default::default);
            let then = columns.value(row) as usize;
            let now = of_now.iter().position(|column| *column == Some(then));
            let Some(kept) = now.and_then(|now| history.days.get_mut(now)) else { continue };
            if kept.back().is_some_and(|(last, _)| *last >= ends.value(row)) {
                return None;
            }
            kept.push_back((ends.value(row), values.value(row)));
        }
        Some(())
    }
}

/// The columns' names and the sections.
fn read(bytes: &[u8]) -> Result<(Vec<String>, [RecordBatch; 3]), ScoreError> {
    let refuse = |what: &str| ScoreError::History(what.to_string());
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| refuse("it is none"))?;
    let mut take = |count: usize| -> Result<&[u8], ScoreError> {
        let (taken, after) = rest.split_at_checked(count).ok_or_else(|| refuse("it is cut off"))?;
        rest = after;
        Ok(taken)
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)) as usize;
    let version = number(take(4)?);
    if version != VERSION as usize {
        let what = format!("it has version {version}, this program reads {VERSION}");
        return Err(ScoreError::History(what));
    }
    let length = number(take(4)?);
    let header: Header =
        serde_json::from_slice(take(length)?).map_err(|e| ScoreError::History(e.to_string()))?;
    let mut section = || -> Result<RecordBatch, ScoreError> {
        let length = number(take(8)?);
        let mut batches = StreamReader::try_new(take(length)?, None)?;
        batches.next().ok_or_else(|| refuse("a section is empty"))?.map_err(Into::into)
    };
    let sections = [section()?, section()?, section()?];
    Ok((header.columns, sections))
}

fn each(histories: &Histories) -> impl Iterator<Item = (u32, &History)> {
    let sensors = histories.sensors.iter().enumerate();
    sensors.filter_map(|(id, history)| Some((id as u32, history.as_deref()?)))
}

fn sensors(histories: &Histories) -> Result<RecordBatch, ScoreError> {
    let ids: UInt32Array = each(histories).map(|(id, _)| Some(id)).collect();
    let seen: UInt64Array = each(histories).map(|(_, h)| Some(h.seen)).collect();
    let resting: UInt32Array = each(histories).map(|(_, h)| Some(h.resting)).collect();
    let forgot: BooleanArray = each(histories).map(|(_, h)| Some(h.forgot)).collect();
    Ok(RecordBatch::try_from_iter([
        ("sensor", Arc::new(ids) as ArrayRef),
        ("seen", Arc::new(seen)),
        ("resting", Arc::new(resting)),
        ("forgot", Arc::new(forgot)),
    ])?)
}

fn rows(histories: &Histories, columns: usize) -> Result<RecordBatch, ScoreError> {
    let held = |h: &History| h.ends.len() - h.first;
    let total: usize = each(histories).map(|(_, h)| held(h)).sum();
    let mut ids = Vec::with_capacity(total);
    let mut ends = Vec::with_capacity(total);
    let mut values = vec![Vec::with_capacity(total); columns];
    for (id, history) in each(histories) {
        ids.extend(std::iter::repeat_n(id, held(history)));
        ends.extend_from_slice(&history.ends[history.first..]);
        let rows = history.values[history.first * columns..].chunks_exact(columns.max(1));
        for row in rows {
            values.iter_mut().zip(row).for_each(|(column, value)| column.push(*value));
        }
    }
    let mut all: Vec<(String, ArrayRef)> = vec![
        ("sensor".into(), Arc::new(UInt32Array::from(ids))),
        ("end_us".into(), Arc::new(Int64Array::from(ends))),
    ];
    for (i, column) in values.into_iter().enumerate() {
        all.push((format!("column_{i}"), Arc::new(Float64Array::from(column))));
    }
    Ok(RecordBatch::try_from_iter(all)?)
}

fn days(histories: &Histories, columns: usize) -> Result<RecordBatch, ScoreError> {
    let (mut ids, mut of, mut ends, mut values) = (vec![], vec![], vec![], vec![]);
    for (id, history) in each(histories) {
        for (column, kept) in history.days.iter().take(columns).enumerate() {
            ids.extend(std::iter::repeat_n(id, kept.len()));
            of.extend(std::iter::repeat_n(column as u32, kept.len()));
            ends.extend(kept.iter().map(|(end, _)| *end));
            values.extend(kept.iter().map(|(_, value)| *value));
        }
    }
    Ok(RecordBatch::try_from_iter([
        ("sensor", Arc::new(UInt32Array::from(ids)) as ArrayRef),
        ("column", Arc::new(UInt32Array::from(of))),
        ("end_us", Arc::new(Int64Array::from(ends))),
        ("value", Arc::new(Float64Array::from(values))),
    ])?)
}
