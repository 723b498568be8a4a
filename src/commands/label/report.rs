//! What the lake's own verdicts found of what is labelled, sensor by sensor and view by view.
//!
//! *Memory*: verdicts of labelled sensors between the first and the last label, 32 bytes each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{TimestampMicrosecondType, UInt32Type};
use tidegauge_flow::{SensorKey, names};
use tidegauge_score::Event;
use tidegauge_sink::{Lake, Reader, Table};

use crate::config::Config;
use crate::labels::Known;
use crate::pipeline;
use crate::say::say;
use crate::sensor_rows::Keys;

/// A window with its verdicts.
#[derive(Debug, Clone, Copy)]
struct Seen {
    start_us: i64,
    end_us: i64,
    revision: u32,
    /// Of the state view and of the onset view.
    flagged: [bool; 2],
}

/// What came of the labels of a sensor, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Figures {
    /// Events where windows are.
    events: BTreeSet<usize>,
    found: BTreeSet<usize>,
    /// Runs of flagged windows that touch an event, and those that touch a label `false` and none.
    true_alarms: u64,
    false_alarms: u64,
}

const VIEWS: [&str; 2] = ["state", "onset"];

pub fn run(config: &Config) -> Result<()> {
    let labels = super::in_force(config)?;
    if labels.is_empty() {
        say!("no labels");
        return Ok(());
    }
    let known = Known::of(&labels);
    let store = pipeline::existing_store(&config.lake.url, &config.lake.storage)?;
    let reader = Lake::read(store)?;
    let has_onset = reader.generation().columns.iter().any(|column| column.name == names::ALARM);
    let sensors = read(config, &reader, &known, has_onset)?;
    say!(
        "{:<24} {:<6} {:>8} {:>8} {:>8} {:>12} {:>13} {:>10}",
        "sensor",
        "view",
        "events",
        "found",
        "missed",
        "true alarms",
        "false alarms",
        "precision"
    );
    let views = if has_onset { 2 } else { 1 };
    let mut all = vec![Figures::default(); views];
    for (sensor, rows) in &sensors {
        for (view, all) in all.iter_mut().enumerate() {
            let figures = figures(sensor, rows, view, &known);
            say!("{}", line(&sensor.to_string(), view, &figures));
            *all += figures;
        }
    }
    for (view, all) in all.iter().enumerate() {
        say!("{}", line("all", view, all));
    }
    let unseen = known.events.len() - all[0].events.len();
    if unseen > 0 {
        say!("{unseen} labelled events lie where there are no windows");
    }
    Ok(())
}

/// The newest rows of each window of labelled sensors, in the order of time.
fn read(
    config: &Config,
    reader: &Reader,
    known: &Known,
    has_onset: bool,
) -> Result<BTreeMap<SensorKey, Vec<Seen>>> {
    let labelled: Vec<&Event> = known.events.iter().chain(&known.false_alarms).collect();
    let from = labelled.iter().map(|event| event.from_us).min().unwrap_or(i64::MAX);
    let to = labelled.iter().map(|event| event.to_us).max().unwrap_or(i64::MIN);
    let keys = config.event.key.columns().iter().map(|key| key.name.as_str());
    let mut wanted: Vec<&str> = keys.collect();
    wanted.extend([names::WINDOW_START, names::WINDOW_END, names::REVISION, names::IS_ANOMALY]);
    wanted.extend(has_onset.then_some(names::ALARM));
    let mut sensors = BTreeMap::new();
    for file in reader.files(Table::Predictions)? {
        // Windows that begin at a label's end or before it may end later.
        if file.window_end_us.is_some_and(|(_, greatest)| greatest < from) {
            continue;
        }
        let place = || format!("cannot read {}", file.path);
        for batch in reader.rows_of(&file, &wanted).with_context(place)? {
            hold(&batch, &wanted, &labelled, (from, to), &mut sensors).with_context(place)?;
        }
    }
    for rows in sensors.values_mut() {
        let rows: &mut Vec<Seen> = rows;
        rows.sort_by_key(|row| (row.end_us, std::cmp::Reverse(row.revision)));
        rows.dedup_by_key(|row| row.end_us);
    }
    Ok(sensors)
}

fn hold(
    batch: &RecordBatch,
    wanted: &[&str],
    labelled: &[&Event],
    (from, to): (i64, i64),
    sensors: &mut BTreeMap<SensorKey, Vec<Seen>>,
) -> Result<()> {
    let column =
        |name: &str| batch.column_by_name(name).with_context(|| format!("it has no column {name}"));
    let keys = wanted.iter().take_while(|name| **name != names::WINDOW_START);
    let keys = Keys::of(keys.map(|name| column(name)).collect::<Result<Vec<_>>>()?.into_iter())?;
    let starts = column(names::WINDOW_START)?.as_primitive::<TimestampMicrosecondType>();
    let ends = column(names::WINDOW_END)?.as_primitive::<TimestampMicrosecondType>();
    let revisions = column(names::REVISION)?.as_primitive::<UInt32Type>();
    let state = column(names::IS_ANOMALY)?.as_boolean();
    let onset = batch.column_by_name(names::ALARM).map(|column| column.as_boolean());
    let says = |column: &BooleanArray, row: usize| column.is_valid(row) && column.value(row);
    for row in 0..batch.num_rows() {
        let (start_us, end_us) = (starts.value(row), ends.value(row));
        if end_us < from || start_us > to {
            continue;
        }
        let key = keys.sensor(row);
        if !labelled.iter().any(|event| event.is_of(&key)) {
            continue;
        }
        let flagged = [says(state, row), onset.is_some_and(|onset| says(onset, row))];
        let seen = Seen { start_us, end_us, revision: revisions.value(row), flagged };
        sensors.entry(key).or_default().push(seen);
    }
    Ok(())
}

fn figures(sensor: &SensorKey, rows: &[Seen], view: usize, known: &Known) -> Figures {
    let mut figures = Figures::default();
    let events: Vec<(usize, &Event)> =
        known.events.iter().enumerate().filter(|(_, event)| event.is_of(sensor)).collect();
    let false_alarms: Vec<&Event> =
        known.false_alarms.iter().filter(|event| event.is_of(sensor)).collect();
    for run in rows.chunk_by(|a, b| a.flagged[view] == b.flagged[view]) {
        let held = |event: &Event| run.iter().any(|row| event.holds(row.start_us, row.end_us));
        let touched: Vec<usize> =
            events.iter().filter(|(_, event)| held(event)).map(|(number, _)| *number).collect();
        figures.events.extend(&touched);
        if !run[0].flagged[view] {
            continue;
        }
        figures.true_alarms += u64::from(!touched.is_empty());
        let is_false = touched.is_empty() && false_alarms.iter().any(|event| held(event));
        figures.false_alarms += u64::from(is_false);
        figures.found.extend(touched);
    }
    figures
}

impl AddAssign for Figures {
    /// An event of several sensors is one, and found when one of them found it.
    fn add_assign(&mut self, other: Self) {
        self.events.extend(other.events);
        self.found.extend(other.found);
        self.true_alarms += other.true_alarms;
        self.false_alarms += other.false_alarms;
    }
}

fn line(sensor: &str, view: usize, figures: &Figures) -> String {
    let (events, found) = (figures.events.len(), figures.found.len());
    let (right, wrong) = (figures.true_alarms, figures.false_alarms);
    let precision = match right + wrong {
        0 => "-".into(),
        all => format!("{:.1} %", right as f64 / all as f64 * 100.0),
    };
    let (view, missed) = (VIEWS[view], events - found);
    format!(
        "{sensor:<24} {view:<6} {events:>8} {found:>8} {missed:>8} {right:>12} {wrong:>13} {precision:>10}"
    )
}

#[cfg(test)]
mod tests {
    use tidegauge_flow::KeyValue;

    use super::*;

    /// Windows of ten seconds; those that are named are flagged.
    fn windows(flagged: &[i64]) -> Vec<Seen> {
        let row = |number: i64| Seen {
            start_us: number * 10,
            end_us: number * 10 + 10,
            revision: 0,
            flagged: [flagged.contains(&number), false],
        };
        (0..20).map(row).collect()
    }

    fn label(device: Option<i64>, from_us: i64, to_us: i64) -> Event {
        Event { key: vec![device.map(KeyValue::Int)], from_us, to_us }
    }

    #[test]
    fn alarms_are_true_false_or_unknown_and_events_found_missed_or_unseen() {
        let known = Known {
            events: vec![
                label(Some(1), 21, 39),
                label(None, 100, 119),
                label(Some(2), 21, 39),
                label(Some(1), 900, 950),
            ],
            false_alarms: vec![label(Some(1), 61, 75), label(Some(1), 25, 35)],
        };
        let sensor = |number| SensorKey(Box::new([KeyValue::Int(number)]));
        // 2: in an event and in a label false; 6 and 7: one false alarm; 15: nobody knows.
        let one = figures(&sensor(1), &windows(&[2, 6, 7, 15]), 0, &known);
        let expected =
            Figures { events: [0, 1].into(), found: [0].into(), true_alarms: 1, false_alarms: 1 };
        assert_eq!(one, expected);
        let two = figures(&sensor(2), &windows(&[11]), 0, &known);
        let mut all = one.clone();
        all += two;
        assert_eq!((all.events.len(), all.found.len(), all.true_alarms), (3, 2, 2));
        assert!(line("all", 0, &all).contains("66.7 %"), "{}", line("all", 0, &all));
        assert_eq!(figures(&sensor(1), &windows(&[2]), 1, &known).found.len(), 0);
    }
}
