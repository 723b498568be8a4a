//! The rows of a cut as files: one per table and date.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

use crate::columns::{event_states, revisions, whole, window_ends};
use crate::generation::{Generation, key_type, type_text};
use crate::paths::{date_of_day, day_of};
use crate::record::Table;

/// Files of one epoch at most: a replay that spans more dates than this needs shorter epochs.
pub(super) const FILES_MAX: usize = 10_000;

/// The rows of one file.
#[derive(Debug)]
pub(super) struct Part {
    pub table: Table,
    pub date: String,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub window_end_us: Option<(i64, i64)>,
}

impl Part {
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

/// Splits rows into one part per table and date; a table without rows has no part.
pub(super) fn split(
    tables: &[(Table, Vec<RecordBatch>)],
    generation: &Generation,
    now_us: i64,
) -> Result<Vec<Part>, String> {
    let mut parts: BTreeMap<(Table, i64), Part> = BTreeMap::new();
    for (table, batches) in tables {
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let pieces = match table {
                Table::Predictions => {
                    check_columns(batch, generation)?;
                    by_window_end(batch)?
                }
                Table::Late | Table::Rejects => {
                    vec![(day_of(now_us), batch.clone(), None)]
                }
                Table::Events => {
                    event_states(batch)?;
                    vec![(day_of(now_us), batch.clone(), None)]
                }
            };
            for (day, piece, ends) in pieces {
                let part = parts.entry((*table, day)).or_insert_with(|| Part {
                    table: *table,
                    date: date_of_day(day),
                    schema: piece.schema(),
                    batches: Vec::new(),
                    window_end_us: ends,
                });
                if part.schema != piece.schema() {
                    return Err(format!("two batches of {} differ in schema", table.as_str()));
                }
                if let (Some((least, most)), Some((first, last))) = (&mut part.window_end_us, ends)
                {
                    (*least, *most) = ((*least).min(first), (*most).max(last));
                }
                part.batches.push(piece);
            }
        }
    }
    Ok(parts.into_values().collect())
}

type Piece = (i64, RecordBatch, Option<(i64, i64)>);

/// The rows of each day, with the least and greatest `window_end` among them.
fn by_window_end(batch: &RecordBatch) -> Result<Vec<Piece>, String> {
    let ends = window_ends(batch)?;
    let mut days: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for &end in ends.values() {
        let range = days.entry(day_of(end)).or_insert((end, end));
        *range = (range.0.min(end), range.1.max(end));
    }
    if days.len() > FILES_MAX {
        return Err(format!("predictions span {} dates, more than {FILES_MAX}", days.len()));
    }
    if days.len() == 1 {
        return Ok(days.into_iter().map(|(day, r)| (day, batch.clone(), Some(r))).collect());
    }
    let piece = |(day, range): (i64, (i64, i64))| {
        let of_day = |end: &i64| Some(day_of(*end) == day);
        let mask: BooleanArray = ends.values().iter().map(of_day).collect();
        let rows = filter_record_batch(batch, &mask).map_err(|e| e.to_string())?;
        Ok((day, rows, Some(range)))
    };
    days.into_iter().map(piece).collect()
}

/// Readers rely on the generation's columns being in every file, `verify` on its own.
fn check_columns(batch: &RecordBatch, generation: &Generation) -> Result<(), String> {
    for column in &generation.columns {
        let found = batch.schema_ref().field_with_name(&column.name);
        let kind = found.map(|f| type_text(f.data_type())).unwrap_or_else(|_| "missing".to_owned());
        if kind != column.kind {
            return Err(format!(
                "column {} of predictions is {kind}, the lake's is {}",
                column.name, column.kind
            ));
        }
    }
    revisions(batch)?;
    for column in &generation.key {
        whole(batch, &column.name, &key_type(column))?;
    }
    Ok(())
}
