//! Debounced anomaly events: the newest of them, held in memory.
//!
//! An event has a row when it opens and one when it closes; the latter is what is true of it, whichever was read
//! first.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType, UInt64Type};
use tidegauge_flow::names;
use tidegauge_serve::console::{EventRow, EventState, Events, KeyValue};
use tidegauge_sink::{FileRef, Reader};

use super::index::{News, finite, number, numbers, texts};
use super::{keys, pages};
use crate::sensor_rows::Keys;

/// Events of each state that are held; of more the oldest go.
const HELD_MAX: usize = 50_000;
/// Events of a sensor's page.
const TOUCHING_MAX: usize = 200;

type Place = (i64, String);

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Book {
    open: BTreeMap<Place, EventRow>,
    closed: BTreeMap<Place, EventRow>,
    /// The newest closed one that has gone.
    forgotten: Option<Place>,
}

impl Book {
    pub fn add(&mut self, row: EventRow, news: News) {
        let place = (row.start_us, row.id.clone());
        // Its closing may have been forgotten.
        let is_older = news == News::Known
            && self.forgotten.as_ref().is_some_and(|forgotten| place <= *forgotten);
        match row.state {
            EventState::Open if self.closed.contains_key(&place) || is_older => {}
            EventState::Open => drop(self.open.insert(place, row)),
            EventState::Closed => {
                self.open.remove(&place);
                self.closed.insert(place, row);
            }
        }
        if self.open.len() > HELD_MAX {
            self.open.pop_first();
        }
        if self.closed.len() > HELD_MAX {
            let gone = self.closed.pop_first().map(|(place, _)| place);
            self.forgotten = self.forgotten.take().max(gone);
        }
    }

    /// Whether older events would only go again.
    pub fn is_full(&self) -> bool {
        self.closed.len() >= HELD_MAX
    }

    /// How many go on.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Events that start before a time, newest first.
    pub fn page(
        &self,
        key: Option<&[KeyValue]>,
        state: Option<EventState>,
        before_us: i64,
        limit: usize,
    ) -> Events {
        let mut rows = Vec::new();
        for (held, of) in [(&self.open, EventState::Open), (&self.closed, EventState::Closed)] {
            if state.is_some_and(|state| state != of) {
                continue;
            }
            let before = held.range(..(before_us, String::new())).rev().map(|(_, row)| row);
            let wanted = before.filter(|row| key.is_none_or(|key| row.key == key));
            let mut taken: Vec<&EventRow> = Vec::new();
            for row in wanted {
                // What starts at the same time as the last one belongs to it.
                if taken.len() > limit && taken.last().is_some_and(|l| l.start_us != row.start_us) {
                    break;
                }
                taken.push(row);
            }
            rows.extend(taken.into_iter().cloned());
        }
        rows.sort_by(|a, b| b.start_us.cmp(&a.start_us).then_with(|| a.id.cmp(&b.id)));
        let next_before_us = pages::cut(&mut rows, limit, |row| row.start_us);
        Events { rows, next_before_us }
    }

    /// A sensor's events that are in a range, newest first.
    pub fn touching(&self, key: &[KeyValue], (from_us, to_us): (i64, i64)) -> Vec<EventRow> {
        let all = self.open.values().chain(self.closed.values());
        let is_in = |row: &&EventRow| {
            let goes_on = row.state == EventState::Open;
            row.key == key && row.start_us <= to_us && (goes_on || row.end_us > from_us)
        };
        let mut rows: Vec<EventRow> = all.filter(is_in).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.start_us));
        rows.truncate(TOUCHING_MAX);
        rows
    }
}

/// The events of a file.
///
/// # Errors
/// When it cannot be read, or does not hold events.
pub fn rows(reader: &Reader, file: &FileRef) -> Result<Vec<EventRow>> {
    let keys: Vec<String> = reader.generation().key.iter().map(|c| c.name.clone()).collect();
    let mut wanted: Vec<&str> = keys.iter().map(String::as_str).collect();
    wanted.extend(names::OF_EVENTS);
    wanted.push(names::REASON);
    let mut rows = Vec::new();
    for batch in reader.open(file)?.batches(&wanted)? {
        let found = of_batch(&batch?, &keys);
        rows.extend(found.with_context(|| format!("{} is damaged", file.path))?);
    }
    Ok(rows)
}

fn of_batch(batch: &RecordBatch, key: &[String]) -> Result<Vec<EventRow>> {
    let column = |name: &String| batch.column_by_name(name).context("a key column is missing");
    let columns = key.iter().map(column).collect::<Result<Vec<_>>>()?;
    let sensors = Keys::of(columns.into_iter())?;
    let time = |name| numbers::<TimestampMicrosecondType>(batch, name);
    let (starts, ends) = (time(names::EVENT_START)?, time(names::EVENT_END)?);
    let peaks = time(names::EVENT_PEAK_AT)?;
    let severities = numbers::<Float64Type>(batch, names::EVENT_PEAK_SEVERITY)?;
    let scores = numbers::<Float64Type>(batch, names::EVENT_PEAK_SCORE)?;
    let windows = numbers::<UInt64Type>(batch, names::EVENT_WINDOWS)?;
    let (ids, states) = (texts(batch, names::EVENT_ID)?, texts(batch, names::EVENT_STATE)?);
    let reasons = texts(batch, names::REASON)?;
    let reason = |row: usize| {
        let text = if reasons.is_null(row) { "" } else { reasons.value(row) };
        text.split("; ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let state = |row: usize| match states.value(row) {
        names::EVENT_OPEN => EventState::Open,
        _ => EventState::Closed,
    };
    let event = |row: usize| EventRow {
        id: ids.value(row).to_owned(),
        key: keys::shown(&sensors.sensor(row)),
        state: state(row),
        start_us: starts.value(row),
        end_us: ends.value(row),
        peak_severity: finite(number(&severities, row)),
        peak_score: finite(number(&scores, row)),
        peak_us: peaks.value(row),
        reason: reason(row),
        windows: windows.value(row),
    };
    Ok((0..batch.num_rows()).map(event).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start_us: i64, state: EventState) -> EventRow {
        EventRow {
            id: format!("event {start_us}"),
            key: Vec::new(),
            state,
            start_us,
            end_us: start_us + 1,
            peak_severity: None,
            peak_score: None,
            peak_us: start_us,
            reason: Vec::new(),
            windows: 1,
        }
    }

    #[test]
    fn a_closed_event_that_was_forgotten_does_not_open_again() {
        let (mut book, held) = (Book::default(), HELD_MAX as i64);
        // One that goes on since long, and two more than are held.
        book.add(row(-1, EventState::Open), News::Fresh);
        for start_us in 0..held + 2 {
            book.add(row(start_us, EventState::Open), News::Fresh);
            book.add(row(start_us, EventState::Closed), News::Fresh);
        }
        assert_eq!(
            (book.open(), book.closed.len()),
            (1, HELD_MAX),
            "of all but one the end is known"
        );
        // Their file was compacted, and is read again.
        for start_us in -2..held + 2 {
            book.add(row(start_us, EventState::Open), News::Known);
        }
        let going_on: Vec<i64> = book.open.keys().map(|(start_us, _)| *start_us).collect();
        assert_eq!(going_on, [-1]);
        book.add(row(held + 2, EventState::Open), News::Known);
        book.add(row(-3, EventState::Open), News::Fresh);
        assert_eq!(book.open(), 3, "new ones are seen, also of a lane that is behind");
    }
}
