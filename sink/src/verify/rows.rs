//! The rows of predictions: no (sensor, window_end, revision) twice, dates as their folder says.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use tidegauge_flow::names;
use tidegauge_flow::time::rfc3339;

use super::Report;
use crate::columns::{n_readings, revisions, whole, window_ends};
use crate::digest::Digest;
use crate::error::LakeError;
use crate::generation::{Generation, key_type};
use crate::parquet;
use crate::paths::{self, date_of_day, day_of};
use crate::record::{FileRef, Table};

/// The rows seen so far of one date.
pub(super) struct Rows {
    /// Names and types of the key columns; empty when they are not known.
    key: Vec<(String, DataType)>,
    date: String,
    /// Each row's hash and the file that it is in. 128 bits of SHA-256 do not meet by accident.
    seen: HashMap<u128, u32>,
    files: Vec<String>,
}

impl Rows {
    pub fn new(generation: Option<&Generation>) -> Self {
        let key = generation.iter().flat_map(|g| &g.key);
        Self {
            key: key.map(|column| (column.name.clone(), key_type(column))).collect(),
            date: String::new(),
            seen: HashMap::new(),
            files: Vec::new(),
        }
    }

    /// Reads a file of which the bytes are already proven; returns the sum of its `n_readings`.
    /// Only predictions have rows to compare.
    pub fn check(
        &mut self,
        file: &FileRef,
        bytes: Bytes,
        report: &mut Report,
    ) -> Result<u128, LakeError> {
        if file.table != Table::Predictions {
            return Ok(0);
        }
        let date = paths::date_of(&file.path).unwrap_or_default();
        if self.date != date {
            date.clone_into(&mut self.date);
            self.seen.clear();
            self.files.clear();
        }
        self.files.push(file.path.clone());
        let keys = self.key.iter().map(|(name, _)| name.as_str());
        let ours = [names::WINDOW_END, names::REVISION, names::N_READINGS];
        let columns: Vec<&str> = keys.chain(ours).collect();
        let mut found = Found::default();
        let path = &file.path;
        let batches = parquet::read_columns(bytes, &columns)
            .map_err(|source| LakeError::Parquet { path: path.clone(), source })?;
        for batch in &batches {
            self.batch(batch, &mut found).map_err(|what| LakeError::damaged(path, what))?;
        }
        found.tell(file, &self.files, report);
        Ok(found.n_readings)
    }

    fn batch(&mut self, batch: &RecordBatch, found: &mut Found) -> Result<(), String> {
        found.n_readings += n_readings(batch)?;
        let (ends, revisions) = (window_ends(batch)?, revisions(batch)?);
        let keys = self.key.iter().map(|(name, kind)| whole(batch, name, kind));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let file = u32::try_from(self.files.len() - 1).map_err(|e| e.to_string())?;
        let mut row_bytes = Vec::new();
        for row in 0..batch.num_rows() {
            let end = ends.value(row);
            found.end(end, &self.date);
            if keys.is_empty() {
                continue;
            }
            row_bytes.clear();
            keys.iter().for_each(|key| push_key(&mut row_bytes, key, row));
            row_bytes.extend(end.to_le_bytes());
            row_bytes.extend(revisions.value(row).to_le_bytes());
            if let Some(other) = self.seen.insert(Digest::of(&row_bytes).short(), file) {
                found.twice(other, || {
                    let parts = keys.iter().map(|key| array_value_to_string(key, row));
                    let parts: Vec<_> =
                        parts.map(|p| p.unwrap_or_else(|e| e.to_string())).collect();
                    let end = rfc3339(end.saturating_mul(1000));
                    format!("{} at {end} revision {}", parts.join("/"), revisions.value(row))
                });
            }
        }
        Ok(())
    }
}

/// What one file's rows have shown.
#[derive(Default)]
struct Found {
    n_readings: u128,
    ends: Option<(i64, i64)>,
    misplaced: u64,
    duplicates: u64,
    /// The first duplicate: the other file, and the row in words.
    first: Option<(u32, String)>,
    day: Option<(i64, bool)>,
}

impl Found {
    fn end(&mut self, end: i64, date: &str) {
        let (least, most) = self.ends.unwrap_or((end, end));
        self.ends = Some((least.min(end), most.max(end)));
        let day = day_of(end);
        let fits = match self.day {
            Some((known, fits)) if known == day => fits,
            _ => date_of_day(day) == date,
        };
        self.day = Some((day, fits));
        self.misplaced += u64::from(!fits);
    }

    fn twice(&mut self, other: u32, row: impl FnOnce() -> String) {
        self.duplicates += 1;
        self.first.get_or_insert_with(|| (other, row()));
    }

    fn tell(&self, file: &FileRef, files: &[String], report: &mut Report) {
        if let Some((other, row)) = &self.first {
            let other = files.get(*other as usize).map_or("another file", String::as_str);
            let also = if other == file.path { "this file" } else { other };
            let what = format!(
                "{} of its rows are there twice, as sensor {row} in {also}",
                self.duplicates
            );
            report.problem(&file.path, what);
        }
        if self.misplaced > 0 {
            let what = format!("{} of its rows are of another date", self.misplaced);
            report.problem(&file.path, what);
        }
        if self.ends != file.window_end_us {
            let what = format!(
                "its window_end is {:?} and its record says {:?}",
                self.ends, file.window_end_us
            );
            report.problem(&file.path, what);
        }
    }
}

/// One key value so that no two different keys have the same bytes.
fn push_key(bytes: &mut Vec<u8>, key: &ArrayRef, row: usize) {
    match key.as_primitive_opt::<Int64Type>() {
        Some(ints) => {
            bytes.push(1);
            bytes.extend(ints.value(row).to_le_bytes());
        }
        None => {
            let text = key.as_string::<i32>().value(row);
            bytes.push(2);
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    }
}
