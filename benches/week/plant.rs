//! What the lanes of the simulated week commit.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, Partition, Span, names};
use tidegauge_sink::{Counters, Cut, Identity, Lane, LaneMode, Table};

/// 2026-01-05T00:00:00Z, a Monday.
pub const START_US: i64 = 1_767_571_200_000_000;
/// Between two commits.
pub const EVERY_US: i64 = 10_000_000;
const WINDOW_US: i64 = 5_000_000;
/// Readings of one sensor in one window.
const READINGS: u64 = 5;

pub fn identity() -> Identity {
    let key = |name: &str| KeyColumn { name: name.to_owned(), kind: KeyType::Int64 };
    Identity {
        query: "SELECT \"Device\", \"Sensor\", avg(\"Value\") AS mean".to_owned(),
        schema: schema(),
        key: KeySchema::new(vec![key("Device"), key("Sensor")]),
        lanes: LaneMode::PerPartition,
        time: "TS".to_owned(),
        values: vec!["Value".to_owned()],
        counted_once: true,
    }
}

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = |name: &str, kind: DataType| Field::new(name, kind, true);
    Arc::new(Schema::new(vec![
        column("Device", DataType::Int64),
        column("Sensor", DataType::Int64),
        column(names::WINDOW_START, time()),
        column(names::WINDOW_END, time()),
        column("mean", DataType::Float64),
        column(names::SCORE, DataType::Float64),
        column(names::IS_ANOMALY, DataType::Boolean),
        column(names::STATUS, DataType::Utf8),
        column(names::MODEL_SET, DataType::UInt64),
        column(names::REVISION, DataType::Int64),
        column(names::N_READINGS, DataType::UInt64),
        column(names::LANE, DataType::Utf8),
        column(names::EPOCH, DataType::UInt64),
    ]))
}

/// Two windows of each sensor; every minute a late reading, every five minutes a reject.
pub fn step_of(lane: &Lane, number: i32, step: i64, sensors: i64) -> Result<Cut> {
    let end = START_US + (step + 1) * EVERY_US;
    let late = u64::from(step % 6 == 0);
    let rejected = u64::from(step % 30 == 0);
    let rows = sensors as u64 * 2;
    let readings = rows * READINGS;
    let messages = readings + late + rejected;
    // As many as there can be in one step, so that offsets follow from the step alone.
    let most = (readings + 2) as i64;
    let from = step * most;
    let batches = vec![
        windows(lane, number, sensors, end - WINDOW_US)?,
        windows(lane, number, sensors, end)?,
    ];
    let some = |n: u64, offset: i64| -> Result<Vec<RecordBatch>> {
        (0..n).map(|_| origin(number, offset)).collect()
    };
    Ok(Cut {
        spans: vec![(Partition::new("week", number), Span { from, to: from + most })],
        watermark_ns: Some(end * 1000 + 1),
        tables: vec![
            (Table::Predictions, batches),
            (Table::Late, some(late, from)?),
            (Table::Rejects, some(rejected, from + 1)?),
        ],
        checkpoint: Some(vec![0; 512 + 40 * sensors as usize]),
        model_sets: vec![1],
        counters: Counters {
            messages,
            readable: messages - rejected,
            rejected,
            aggregated: readings,
            late,
            late_closed: late,
            rows,
            n_readings: readings,
            ..Counters::default()
        },
        ..Cut::default()
    })
}

fn windows(lane: &Lane, number: i32, sensors: i64, end: i64) -> Result<RecordBatch> {
    let rows = sensors as usize;
    let time = |us: i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![us; rows]).with_timezone("UTC"))
    };
    // Some digits that do not compress to nothing.
    let value = |n: i64| 20.0 + ((n * 7_919 + end / WINDOW_US * 104_729) % 1_000_003) as f64 / 1e6;
    let values: Vec<f64> = (0..sensors).map(value).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::from(number); rows])),
        Arc::new((0..sensors).collect::<Int64Array>()),
        time(end - WINDOW_US),
        time(end),
        Arc::new(Float64Array::from(values.clone())),
        Arc::new(values.iter().map(|v| Some(v - 21.0)).collect::<Float64Array>()),
        Arc::new(values.iter().map(|v| Some(*v > 20.999)).collect::<BooleanArray>()),
        Arc::new(StringArray::from(vec!["ok"; rows])),
        Arc::new(UInt64Array::from(vec![1; rows])),
        Arc::new(Int64Array::from(vec![0; rows])),
        Arc::new(UInt64Array::from(vec![READINGS; rows])),
        Arc::new(StringArray::from(vec![lane.name(); rows])),
        Arc::new(UInt64Array::from(vec![lane.next_epoch(); rows])),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn origin(partition: i32, offset: i64) -> Result<RecordBatch> {
    let columns: [(&str, ArrayRef); 3] = [
        ("input", Arc::new(StringArray::from(vec!["week"]))),
        ("partition", Arc::new(Int32Array::from(vec![partition]))),
        ("offset", Arc::new(Int64Array::from(vec![offset]))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}
