//! Anomaly events of a lane, judged by its predictions: read in order and at once, without a commit, a crash or
//! a rebalance in between, they must give the very rows of the table.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow::util::display::array_value_to_string;
use tidegauge_flow::{KeyPart, SensorId, Sensors};
use tidegauge_score::events::By;
use tidegauge_score::{EventSettings, Events, Quiet, Rules, Stamp};
use tidegauge_sink::Record;

use crate::scenario::Scenario;

/// How events are made in a seed that has them.
pub fn settings(seed: u64) -> Option<EventSettings> {
    let (open, of, close, silence_s) = match seed % 6 {
        0 => (1, 1, Quiet::Windows(1), 3_600),
        2 => (2, 3, Quiet::Windows(2), 60),
        4 => (2, 4, Quiet::For(11_000_000), 25),
        _ => return None,
    };
    let rules = Rules { open, of, close, silence_us: silence_s * 1_000_000 };
    Some(EventSettings { rules, by: By::State })
}

/// What is wrong with a lane's events; and how many rows there are.
pub fn judge(
    scenario: &Scenario,
    number: usize,
    records: &[Record],
    predictions: &[RecordBatch],
    found: &[RecordBatch],
) -> (Vec<String>, u64) {
    let name = format!("t-{number}");
    let found = sorted(of_lane(found, &name));
    let rows = found.len() as u64;
    let Some(settings) = scenario.config.events else {
        let what = format!("{number}: events that nobody asked for");
        return (found.iter().map(|row| format!("{what}: {row}")).collect(), rows);
    };
    let mut sensors = Sensors::new(scenario.config.event.key.clone(), 10_000);
    let mut events = Events::new(settings, &scenario.config.event.key, 1);
    if let Some((ids, batch)) = in_order(of_lane(predictions, &name), &mut sensors) {
        events.observe(&ids, &batch).expect("these are predictions");
    }
    events.pass(records.iter().rev().find_map(|record| record.watermark_ns));
    let stamp = Stamp { lane: &name, epoch: 0 };
    let expected = events.take(&sensors, &stamp).expect("rows").into_iter().collect();
    let expected = sorted(expected);
    let mut count: BTreeMap<&String, i64> = BTreeMap::new();
    found.iter().for_each(|row| *count.entry(row).or_default() += 1);
    expected.iter().for_each(|row| *count.entry(row).or_default() -= 1);
    let odd = count.into_iter().filter(|(_, n)| *n != 0);
    let tell = |(row, n): (&String, i64)| {
        let what = if n > 0 { "must not be" } else { "is missing" };
        format!("{number}: event {what}: {row}")
    };
    (odd.map(tell).collect(), rows)
}

fn of_lane(batches: &[RecordBatch], name: &str) -> Vec<RecordBatch> {
    let of = |batch: &RecordBatch| {
        let lanes = batch.column_by_name("lane").expect("rows tell their lane").as_string::<i32>();
        let rows = (0..batch.num_rows()).filter(|row| lanes.value(*row) == name);
        let rows: UInt32Array = rows.map(|row| row as u32).collect();
        take_record_batch(batch, &rows).expect("rows of the batch")
    };
    batches.iter().map(of).filter(|batch| batch.num_rows() > 0).collect()
}

/// First revisions by sensor and end.
fn in_order(
    batches: Vec<RecordBatch>,
    sensors: &mut Sensors,
) -> Option<(Vec<SensorId>, RecordBatch)> {
    let schema = batches.first()?.schema();
    let fit = |batch: &RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    let batches: Vec<RecordBatch> = batches.iter().filter_map(|batch| fit(batch).ok()).collect();
    let all = concat_batches(&schema, &batches).expect("of one schema");
    let column = |name: &str| all.column_by_name(name).expect("it is there");
    let ids = column("Id").as_primitive::<Int64Type>();
    let ends = column("window_end").as_primitive::<TimestampMicrosecondType>();
    let revisions = column("revision").as_primitive::<UInt32Type>();
    let first = (0..all.num_rows()).filter(|row| revisions.value(*row) == 0);
    let mut order: Vec<usize> = first.collect();
    order.sort_by_key(|row| (ids.value(*row), ends.value(*row)));
    let of = |row: &usize| sensors.intern(&[KeyPart::Int(ids.value(*row))]).expect("few sensors");
    let sensor = order.iter().map(of).collect();
    let rows: UInt32Array = order.iter().map(|row| *row as u32).collect();
    Some((sensor, take_record_batch(&all, &rows).expect("rows of the batch")))
}

/// Rows as text, without the epoch: that is how they were cut.
fn sorted(batches: Vec<RecordBatch>) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in &batches {
        let schema = batch.schema();
        let shown = |at: &usize| schema.field(*at).name() != "epoch";
        for row in 0..batch.num_rows() {
            let cell = |at| array_value_to_string(batch.column(at), row).expect("it has a text");
            let cells = (0..batch.num_columns()).filter(shown).map(cell);
            rows.push(cells.collect::<Vec<_>>().join(" | "));
        }
    }
    rows.sort();
    rows
}
