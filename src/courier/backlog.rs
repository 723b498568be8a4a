//! What a lane has committed and an alert has not told yet, in the order in which it is told.

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use tidegauge_flow::{KeySchema, KeyType, KeyValue, SensorKey, names};
use tidegauge_sink::{Progress, Reader, Table};

use super::outbox::{EventFile, Outbox};

/// Rows that are held between two reads, besides those of one epoch that are done; while reading twice as many.
pub const ROWS_MAX: usize = 10_000;

/// A row of the table `events`.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub id: String,
    pub closed: bool,
    pub sensor: SensorKey,
    pub start_us: i64,
    pub end_us: i64,
    pub peak_at_us: i64,
    pub peak_severity: Option<f64>,
    pub peak_score: f64,
    pub reason: Option<String>,
    pub windows: u64,
    pub model_set: Option<u64>,
    pub epoch: u64,
    pub committed_at_us: i64,
}

impl EventRow {
    /// Rows of a sensor's events follow each other as they happened, whatever file they come from.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let of = |row: &Self| (row.epoch, row.start_us);
        let rest = |row: &Self| row.closed;
        of(self).cmp(&of(other)).then(self.id.cmp(&other.id)).then(rest(self).cmp(&rest(other)))
    }
}

/// The next rows of a lane, as many as are held; none when all are told.
///
/// # Errors
/// When the lake can't be read.
pub fn next(
    reader: &Reader,
    outbox: &Outbox,
    key: &KeySchema,
    lane: &str,
    at: Progress,
) -> Result<Vec<EventRow>> {
    let recent = outbox.files(lane, at.epoch);
    let read = recent.map(|files| rows(reader, key, lane, at, &files));
    match read {
        Some(Ok(found)) => Ok(found),
        // Not known, or a file was compacted and is gone: the lake knows what holds its rows now.
        None | Some(Err(_)) => rows(reader, key, lane, at, &files(reader, lane, at.epoch)?),
    }
}

/// The files that may have rows of these epochs.
fn files(reader: &Reader, lane: &str, from: u64) -> Result<Vec<EventFile>> {
    let view = reader.view()?;
    let mut files = Vec::new();
    if let Some(summary) = &view.summary
        && summary.lanes.get(lane).is_some_and(|lane| lane.to >= from)
    {
        let events = summary.files.iter().filter(|live| live.file.table == Table::Events);
        files.extend(events.map(|live| EventFile {
            file: live.file.clone(),
            epoch: 0,
            committed_at_us: live.at_us,
        }));
    }
    for (record, _) in view.lanes.get(lane).into_iter().flatten() {
        let of_events = record.files.iter().filter(|file| file.table == Table::Events);
        files.extend(of_events.filter(|_| record.epoch >= from).map(|file| EventFile {
            file: file.clone(),
            epoch: record.epoch,
            committed_at_us: record.committed_at_us,
        }));
    }
    Ok(files)
}

fn rows(
    reader: &Reader,
    key: &KeySchema,
    lane: &str,
    at: Progress,
    files: &[EventFile],
) -> Result<Vec<EventRow>> {
    let done = usize::try_from(at.row).unwrap_or(usize::MAX);
    let most = ROWS_MAX.saturating_add(done);
    let mut rows = Vec::new();
    for file in files {
        let bytes = reader.fetch(&file.file)?;
        let batches = tidegauge_sink::parquet::read(bytes);
        for batch in batches.with_context(|| format!("cannot read {}", file.file.path))? {
            take(&batch, key, lane, at.epoch, file.committed_at_us, &mut rows)?;
            // Not after each batch: sorting costs more than holding twice as many for a while.
            if rows.len() > most.saturating_mul(2) {
                cut(&mut rows, most);
            }
        }
    }
    cut(&mut rows, most);
    let of_epoch = rows.iter().take_while(|row| row.epoch == at.epoch).count();
    rows.drain(..of_epoch.min(done));
    Ok(rows)
}

/// Leaves the first rows, in order.
fn cut(rows: &mut Vec<EventRow>, most: usize) {
    rows.sort_by(EventRow::order);
    rows.truncate(most);
}

/// The rows of a lane from an epoch on.
fn take(
    batch: &RecordBatch,
    key: &KeySchema,
    lane: &str,
    from: u64,
    committed_at_us: i64,
    rows: &mut Vec<EventRow>,
) -> Result<()> {
    let column = |name: &str| {
        let column =
            batch.column_by_name(name).with_context(|| format!("it has no column {name}"))?;
        // Files of ours have plain types; what another program made of them may not.
        let plain = match column.data_type() {
            DataType::Dictionary(..) | DataType::Utf8View | DataType::LargeUtf8 => {
                arrow::compute::cast(column, &DataType::Utf8)?
            }
            _ => column.clone(),
        };
        anyhow::Ok(plain)
    };
    let text = column;
    let (ids, states, lanes) =
        (text(names::EVENT_ID)?, text(names::EVENT_STATE)?, text(names::LANE)?);
    let reasons = text(names::REASON)?;
    let [starts, ends, peaks] = [names::EVENT_START, names::EVENT_END, names::EVENT_PEAK_AT];
    let (starts, ends, peaks) = (column(starts)?, column(ends)?, column(peaks)?);
    let (severities, scores) =
        (column(names::EVENT_PEAK_SEVERITY)?, column(names::EVENT_PEAK_SCORE)?);
    let (windows, sets) = (column(names::EVENT_WINDOWS)?, column(names::MODEL_SET)?);
    let epochs = column(names::EPOCH)?;
    let keys = key.columns().iter().map(|c| Ok((c.kind, column(&c.name)?)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let time = |column: &arrow::array::ArrayRef, row: usize| {
        column.as_primitive::<TimestampMicrosecondType>().value(row)
    };
    for row in 0..batch.num_rows() {
        let epoch = epochs.as_primitive::<UInt64Type>().value(row);
        if epoch < from || lanes.as_string::<i32>().value(row) != lane {
            continue;
        }
        let value = |(kind, column): &(KeyType, arrow::array::ArrayRef)| match kind {
            KeyType::Int64 => KeyValue::Int(column.as_primitive::<Int64Type>().value(row)),
            KeyType::String => KeyValue::Str(column.as_string::<i32>().value(row).into()),
        };
        rows.push(EventRow {
            id: ids.as_string::<i32>().value(row).to_owned(),
            closed: states.as_string::<i32>().value(row) == names::EVENT_CLOSED,
            sensor: SensorKey(keys.iter().map(value).collect()),
            start_us: time(&starts, row),
            end_us: time(&ends, row),
            peak_at_us: time(&peaks, row),
            peak_severity: severities
                .is_valid(row)
                .then(|| severities.as_primitive::<Float64Type>().value(row)),
            peak_score: scores.as_primitive::<Float64Type>().value(row),
            reason: reasons.is_valid(row).then(|| reasons.as_string::<i32>().value(row).to_owned()),
            windows: windows.as_primitive::<UInt64Type>().value(row),
            model_set: sets.is_valid(row).then(|| sets.as_primitive::<UInt64Type>().value(row)),
            epoch,
            committed_at_us,
        });
    }
    Ok(())
}

/// Where the cursor is after a row has been dealt with.
pub fn after(at: Progress, row: &EventRow, told: bool) -> Progress {
    let done = if row.epoch == at.epoch { at.row } else { 0 };
    Progress { epoch: row.epoch, row: done + 1, sequence: at.sequence + u64::from(told) }
}
