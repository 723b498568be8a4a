//! Messages that could not be read, and readings that came too late: from the newest files.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegauge_serve::console::{Answer, LateRows, Reject, Rejects};
use tidegauge_sink::{FileRef, Reader, Table};

use super::index::numbers;
use super::look::DataFile;
use super::unavailable;

/// Bytes of a payload that are shown.
const SHOWN_MAX: usize = 4 << 10;
/// Files that are read for one answer.
const FILES_MAX: usize = 100;

pub fn none() -> Rejects {
    Rejects { rows: Vec::new(), reasons: BTreeMap::new() }
}

pub fn rejects(
    reader: &Reader,
    files: &[DataFile],
    before_us: Option<i64>,
    limit: usize,
) -> Answer<Rejects> {
    let mut found = none();
    for file in newest(files, Table::Rejects, before_us) {
        if found.rows.len() >= limit {
            break;
        }
        for batch in rows(reader, &file).map_err(|error| unavailable(&error))?.iter().rev() {
            let added = add(batch, limit, &mut found).with_context(|| file.path.clone());
            added.map_err(|error| unavailable(&error))?;
        }
    }
    Ok(found)
}

/// Counts the rejects of a batch, and shows the last of them first.
fn add(batch: &RecordBatch, limit: usize, found: &mut Rejects) -> Result<()> {
    let text = |name: &str| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.with_context(|| format!("{name} is no column of texts"))
    };
    let (inputs, reasons) = (text("input")?, text("reason")?);
    let partitions = numbers::<Int32Type>(batch, "partition")?;
    let offsets = numbers::<Int64Type>(batch, "offset")?;
    let times = numbers::<TimestampMillisecondType>(batch, "timestamp")?;
    let payloads = batch.column_by_name("payload").and_then(|column| column.as_binary_opt::<i32>());
    let payloads = payloads.context("payload is no column of bytes")?;
    for row in (0..batch.num_rows()).rev() {
        *found.reasons.entry(reasons.value(row).to_owned()).or_default() += 1;
        if found.rows.len() >= limit {
            continue;
        }
        let payload = (!payloads.is_null(row)).then(|| payloads.value(row));
        let shown = payload.map(|bytes| STANDARD.encode(&bytes[..bytes.len().min(SHOWN_MAX)]));
        let time = (!times.is_null(row)).then(|| times.value(row).saturating_mul(1000));
        found.rows.push(Reject {
            input: inputs.value(row).to_owned(),
            partition: partitions.value(row),
            offset: offsets.value(row),
            timestamp_us: time,
            reason: reasons.value(row).to_owned(),
            payload_base64: shown,
            payload_bytes: payload.map_or(0, |bytes| bytes.len() as u64),
        });
    }
    Ok(())
}

pub fn late(reader: &Reader, files: &[DataFile], limit: usize) -> Answer<LateRows> {
    let mut found = LateRows { columns: Vec::new(), rows: Vec::new() };
    for file in newest(files, Table::Late, None) {
        if found.rows.len() >= limit {
            break;
        }
        for batch in rows(reader, &file).map_err(|error| unavailable(&error))?.iter().rev() {
            let added = add_late(batch, limit, &mut found).with_context(|| file.path.clone());
            added.map_err(|error| unavailable(&error))?;
        }
    }
    Ok(found)
}

fn add_late(batch: &RecordBatch, limit: usize, found: &mut LateRows) -> Result<()> {
    if found.columns.is_empty() {
        let fields = batch.schema();
        found.columns = fields.fields().iter().map(|field| field.name().clone()).collect();
    }
    let options = FormatOptions::default();
    let column = |name: &String| -> Result<_> {
        let column = batch.column_by_name(name);
        let shown = column.map(|column| ArrayFormatter::try_new(column, &options)).transpose()?;
        Ok((column, shown))
    };
    let columns = found.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let left = limit.saturating_sub(found.rows.len());
    let text = |row: usize| {
        let cell = columns.iter().map(|(column, shown)| {
            let is_there = column.is_some_and(|column| !column.is_null(row));
            shown.as_ref().filter(|_| is_there).map(|shown| shown.value(row).to_string())
        });
        cell.collect()
    };
    let rows: Vec<Vec<Option<String>>> = (0..batch.num_rows()).rev().take(left).map(text).collect();
    found.rows.extend(rows);
    Ok(())
}

/// The files of a table, newest commit first.
fn newest(files: &[DataFile], table: Table, before_us: Option<i64>) -> Vec<FileRef> {
    let is_wanted = |file: &&DataFile| {
        file.file.table == table && before_us.is_none_or(|before| file.at_us < before)
    };
    let mut files: Vec<&DataFile> = files.iter().filter(is_wanted).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.at_us));
    files.into_iter().take(FILES_MAX).map(|file| file.file.clone()).collect()
}

fn rows(reader: &Reader, file: &FileRef) -> Result<Vec<RecordBatch>> {
    let file = reader.open(file)?;
    let columns = file.columns()?;
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(file.batches(&columns)?.collect::<Result<_, _>>()?)
}
