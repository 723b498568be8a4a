//! One data file read: its bytes, its rows, and what they say of themselves.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use bytes::Bytes;
use tidegauge_flow::{Store, StoreError, names};

use super::events::{self, Told};
use super::named::Source;
use crate::columns::{n_readings, revisions, whole, window_ends};
use crate::error::LakeError;
use crate::generation::{Generation, key_type};
use crate::lake::{Found, content_problem, locate};
use crate::parquet;
use crate::paths::{date_of, date_of_day, day_of};
use crate::record::{FileRef, Table};

/// What late readings and rejects are told apart by.
pub(super) const ORIGIN: [(&str, DataType); 3] =
    [("input", DataType::Utf8), ("partition", DataType::Int64), ("offset", DataType::Int64)];

/// The columns that tell the model sets which judged a row; a lake may lack some.
const SETS: [&str; 3] = [names::MODEL_SET, names::NOVELTY_SET, names::CHALLENGER_SET];

/// Which rows of a table are the same, and who is a sensor.
pub(super) struct Identity {
    /// The key columns; empty when they are not known.
    pub key: Vec<(String, DataType)>,
}

impl Identity {
    pub fn new(generation: Option<&Generation>) -> Self {
        let key = generation.iter().flat_map(|g| &g.key);
        Self { key: key.map(|column| (column.name.clone(), key_type(column))).collect() }
    }

    /// The columns of which no two rows of a table agree in all; empty when nothing can be said.
    pub fn columns(&self, table: Table, batch: &RecordBatch) -> Result<Vec<ArrayRef>, String> {
        match table {
            Table::Predictions if self.key.is_empty() => Ok(Vec::new()),
            Table::Predictions => {
                let keys = self.key.iter().map(|(name, kind)| whole(batch, name, kind));
                let mut columns = keys.collect::<Result<Vec<_>, _>>()?;
                let ends = window_ends(batch)?.reinterpret_cast::<Int64Type>();
                columns.push(std::sync::Arc::new(ends));
                columns.push(std::sync::Arc::new(revisions(batch)?));
                Ok(columns)
            }
            Table::Events => {
                let event = [names::EVENT_ID, names::EVENT_STATE];
                event.iter().map(|name| whole(batch, name, &DataType::Utf8)).collect()
            }
            Table::Late | Table::Rejects => {
                if ORIGIN.iter().any(|(name, _)| batch.column_by_name(name).is_none()) {
                    return Ok(Vec::new());
                }
                ORIGIN.iter().map(|(name, kind)| whole(batch, name, kind)).collect()
            }
        }
    }

    /// The names of the columns that a proof of a table reads.
    pub fn names(&self, table: Table) -> Vec<&str> {
        match table {
            Table::Predictions => {
                let keys = self.key.iter().map(|(name, _)| name.as_str());
                let ours = [
                    names::WINDOW_END,
                    names::REVISION,
                    names::N_READINGS,
                    names::LANE,
                    names::EPOCH,
                ];
                keys.chain(ours).chain(SETS).collect()
            }
            Table::Events => {
                vec![names::EVENT_ID, names::EVENT_STATE, names::LANE, names::EPOCH]
            }
            Table::Late | Table::Rejects => ORIGIN.iter().map(|(name, _)| *name).collect(),
        }
    }
}

/// What one file holds.
#[derive(Default)]
pub(super) struct Scan {
    pub n_readings: u128,
    /// Rows and readings by lane, where rows tell their lane.
    pub lanes: BTreeMap<String, (u128, u128)>,
    /// A number for each row that equal rows have in common.
    pub hashes: Vec<u64>,
    /// The first `window_end` of each sensor in each lane, by the sensor's number.
    pub sensors: HashMap<(u64, u32), i64>,
    /// The lanes that `sensors` means.
    pub lane_names: Vec<String>,
    /// Where events opened and closed.
    pub events: Vec<Told>,
    pub problems: Vec<String>,
    /// Whether it is still in staging.
    pub staged: bool,
}

/// How a file is read.
pub(super) struct Scanner<'a> {
    pub store: &'a dyn Store,
    pub identity: &'a Identity,
    /// Rows whose number leaves this rest are collected: (rest, divisor).
    pub pass: (u64, u64),
}

impl Scanner<'_> {
    /// Reads a file whole and proves it against what names it.
    pub fn prove(&self, file: &FileRef, source: &Source<'_>) -> Result<Scan, LakeError> {
        let (bytes, found) = locate(self.store, &file.path)?;
        if let Some(what) = content_problem(&bytes, file.bytes, &file.sha256) {
            return Err(LakeError::damaged(&file.path, what));
        }
        let bytes = Bytes::from(bytes);
        let parquet = |source| LakeError::Parquet { path: file.path.clone(), source };
        let rows = parquet::rows(bytes.clone()).map_err(parquet)?;
        if rows != file.rows {
            let what = format!("it has {rows} rows and its record says {}", file.rows);
            return Err(LakeError::damaged(&file.path, what));
        }
        let mut scan = Scan { staged: found == Found::Staged, ..Scan::default() };
        let mut rows = Rows { file, source, ends: None, misplaced: 0, strangers: 0, day: None };
        let columns = self.identity.names(file.table);
        for batch in parquet::read_columns(bytes, &columns).map_err(parquet)? {
            let read = rows.read(&batch, self, &mut scan);
            read.map_err(|what| LakeError::damaged(&file.path, what))?;
        }
        rows.tell(&mut scan);
        Ok(scan)
    }

    /// Reads the rows' numbers of a file that is proven already.
    pub fn again(&self, file: &FileRef) -> Result<Vec<u64>, LakeError> {
        let mut scan = Scan::default();
        for batch in self.batches(file)? {
            let columns = self.identity.columns(file.table, &batch);
            let columns = columns.map_err(|what| LakeError::damaged(&file.path, what))?;
            self.collect(&columns, &mut scan.hashes);
        }
        Ok(scan.hashes)
    }

    /// The columns of a file that tell its rows apart.
    pub fn batches(&self, file: &FileRef) -> Result<Vec<RecordBatch>, LakeError> {
        let (bytes, _) = locate(self.store, &file.path)?;
        parquet::read_columns(bytes, &self.identity.names(file.table))
            .map_err(|source| LakeError::Parquet { path: file.path.clone(), source })
    }

    fn collect(&self, columns: &[ArrayRef], hashes: &mut Vec<u64>) {
        let (rest, divisor) = self.pass;
        let numbers = numbers(columns).into_iter();
        hashes.extend(numbers.filter(|number| number % divisor == rest));
    }
}

/// What the rows of one file have shown so far.
struct Rows<'a> {
    file: &'a FileRef,
    source: &'a Source<'a>,
    ends: Option<(i64, i64)>,
    misplaced: u64,
    /// Rows that say that another commit wrote them.
    strangers: u64,
    /// The day of the last row, and whether it is the folder's.
    day: Option<(i64, bool)>,
}

impl Rows<'_> {
    fn read(
        &mut self,
        batch: &RecordBatch,
        scanner: &Scanner<'_>,
        scan: &mut Scan,
    ) -> Result<(), String> {
        let columns = scanner.identity.columns(self.file.table, batch)?;
        scanner.collect(&columns, &mut scan.hashes);
        match self.file.table {
            Table::Predictions => {}
            Table::Events => {
                scan.events.extend(events::told(batch)?);
                // The set is that of the worst window, which another epoch may have scored.
                return self.foreign(batch, &[]).map(drop);
            }
            Table::Late | Table::Rejects => return Ok(()),
        }
        scan.n_readings += n_readings(batch)?;
        let ends = window_ends(batch)?;
        ends.values().iter().for_each(|&end| self.end(end));
        let lanes = self.foreign(batch, &SETS)?;
        self.count(batch, lanes.as_ref(), scan)?;
        let key = &columns[..columns.len().saturating_sub(2)];
        self.sensors(&numbers(key), ends.values(), lanes.as_ref(), scan);
        Ok(())
    }

    fn end(&mut self, end: i64) {
        let (least, most) = self.ends.unwrap_or((end, end));
        self.ends = Some((least.min(end), most.max(end)));
        let day = day_of(end);
        let fits = match self.day {
            Some((known, fits)) if known == day => fits,
            _ => Some(date_of_day(day).as_str()) == date_of(&self.file.path),
        };
        self.day = Some((day, fits));
        self.misplaced += u64::from(!fits);
    }

    /// The rows' own word for their lane, after it was compared with what names the file.
    fn foreign(
        &mut self,
        batch: &RecordBatch,
        sets: &[&str],
    ) -> Result<Option<StringArray>, String> {
        if batch.column_by_name(names::LANE).is_none() {
            return Ok(None);
        }
        let lanes = whole(batch, names::LANE, &DataType::Utf8)?;
        let lanes = lanes.as_string::<i32>().clone();
        let epochs = optional(batch, names::EPOCH)?;
        let sets = sets.iter().map(|name| optional(batch, name));
        let sets = sets.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let at = |column: &Option<UInt64Array>| {
                column.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row))
            };
            let epoch = epochs.is_some().then(|| at(&epochs).unwrap_or(0));
            let sets = sets.iter().filter_map(at);
            let fits = self.source.fits(lanes.value(row), epoch, sets);
            self.strangers += u64::from(!fits);
        }
        Ok(Some(lanes))
    }

    fn count(
        &self,
        batch: &RecordBatch,
        lanes: Option<&StringArray>,
        scan: &mut Scan,
    ) -> Result<(), String> {
        let readings = whole(batch, names::N_READINGS, &DataType::UInt64)?;
        let readings = readings.as_primitive::<UInt64Type>();
        let Some(lanes) = lanes else {
            return Ok(());
        };
        let mut last: Option<(&str, (u128, u128))> = None;
        for (row, n) in readings.values().iter().enumerate() {
            let lane = lanes.value(row);
            match &mut last {
                Some((known, sums)) if *known == lane => {
                    *sums = (sums.0 + 1, sums.1 + u128::from(*n));
                }
                _ => {
                    add(scan, last);
                    last = Some((lane, (1, u128::from(*n))));
                }
            }
        }
        add(scan, last);
        Ok(())
    }

    fn sensors(&self, sensors: &[u64], ends: &[i64], lanes: Option<&StringArray>, scan: &mut Scan) {
        let mut last: Option<(u64, u32)> = None;
        for (row, (&sensor, &end)) in sensors.iter().zip(ends).enumerate() {
            let lane = lanes.map_or_else(|| self.source.lane(), |lanes| Some(lanes.value(row)));
            let Some(lane) = lane else {
                return;
            };
            let lane = match last {
                Some((_, n)) if scan.lane_names[n as usize] == lane => n,
                _ => number_of(&mut scan.lane_names, lane),
            };
            // Sorted files have a sensor's first window first.
            if last != Some((sensor, lane)) {
                let first = scan.sensors.entry((sensor, lane)).or_insert(end);
                *first = end.min(*first);
            }
            last = Some((sensor, lane));
        }
    }

    fn tell(&self, scan: &mut Scan) {
        if self.misplaced > 0 {
            scan.problems.push(format!("{} of its rows are of another date", self.misplaced));
        }
        if self.strangers > 0 {
            let what = "say another lane, epoch or model set than what names it";
            scan.problems.push(format!("{} of its rows {what}", self.strangers));
        }
        if self.file.table == Table::Predictions && self.ends != self.file.window_end_us {
            scan.problems.push(format!(
                "its window_end is {:?} and its record says {:?}",
                self.ends, self.file.window_end_us
            ));
        }
    }
}

fn add(scan: &mut Scan, sums: Option<(&str, (u128, u128))>) {
    let Some((lane, (rows, readings))) = sums else {
        return;
    };
    let known = match scan.lanes.get_mut(lane) {
        Some(known) => known,
        None => scan.lanes.entry(lane.to_owned()).or_default(),
    };
    *known = (known.0 + rows, known.1 + readings);
}

fn number_of(names: &mut Vec<String>, name: &str) -> u32 {
    let found = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u32::try_from(found).unwrap_or(u32::MAX)
}

fn optional(batch: &RecordBatch, name: &str) -> Result<Option<UInt64Array>, String> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(None);
    };
    let column = cast(column, &DataType::UInt64).map_err(|e| format!("column {name}: {e}"))?;
    Ok(Some(column.as_primitive::<UInt64Type>().clone()))
}

/// A number for each row, the same for equal rows. Different rows may meet: whoever finds two equal
/// numbers compares the rows.
pub(super) fn numbers(columns: &[ArrayRef]) -> Vec<u64> {
    let rows = columns.first().map_or(0, |column| column.len());
    let mut numbers = vec![0x9e37_79b9_7f4a_7c15_u64; rows];
    for column in columns {
        match column.as_primitive_opt::<Int64Type>() {
            Some(values) => mix_ints(&mut numbers, values),
            None => mix_texts(&mut numbers, column.as_string::<i32>()),
        }
    }
    numbers
}

fn mix_ints(numbers: &mut [u64], values: &Int64Array) {
    for (number, value) in numbers.iter_mut().zip(values.values()) {
        *number = mix(*number ^ value.cast_unsigned());
    }
}

fn mix_texts(numbers: &mut [u64], values: &StringArray) {
    for (number, text) in numbers.iter_mut().zip(values.iter()) {
        let bytes = text.unwrap_or_default().as_bytes();
        *number = mix(*number ^ bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            *number = mix(*number ^ u64::from_le_bytes(word));
        }
    }
}

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014): each bit depends on each.
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A file that is gone although what we read of the ledger names it.
pub(super) fn is_missing(error: &LakeError) -> bool {
    matches!(error, LakeError::Store(StoreError::NotFound { .. }))
}
