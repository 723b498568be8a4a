//! For tests of maintenance: a lake whose lanes commit every ten minutes of simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use tidegauge_flow::{Failpoint, NoFailpoint, Partition, Span, Store, names};

use super::{identity, writer};
use crate::{
    Counters, Cut, Identity, Lake, LakeError, Lane, Mode, Outcome, Report, Table, Upkeep, parquet,
};

/// 2026-01-31T22:00:00Z: the twelfth step ends at midnight.
pub(crate) const START_US: i64 = 1_769_896_800_000_000;
pub(crate) const STEP_US: i64 = 600_000_000;
pub(crate) const HOUR_US: i64 = 3_600_000_000;
const MESSAGES: i64 = 8;

pub(crate) fn plant_identity() -> Identity {
    let end = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("Device", DataType::Int64, false),
        Field::new(names::WINDOW_END, end, false),
        Field::new(names::MODEL_SET, DataType::UInt64, true),
        Field::new(names::REVISION, DataType::Int64, false),
        Field::new(names::N_READINGS, DataType::UInt64, false),
        Field::new(names::LANE, DataType::Utf8, false),
        Field::new(names::EPOCH, DataType::UInt64, false),
    ]);
    Identity { schema: Arc::new(schema), ..identity() }
}

pub(crate) fn plant(store: Arc<dyn Store>) -> Lake {
    plant_with(store, Arc::new(NoFailpoint))
}

pub(crate) fn plant_with(store: Arc<dyn Store>, failpoint: Arc<dyn Failpoint>) -> Lake {
    Lake::open(store, failpoint, &plant_identity(), START_US).expect("the lake opens")
}

/// The time at which a step is committed.
pub(crate) fn committed_us(step: i64) -> i64 {
    START_US + (step + 1) * STEP_US + 5_000_000
}

/// What a lane commits for one step: three sensors of its own, a late reading, a reject.
pub(crate) fn step_of(lane: &Lane, number: i32, step: i64) -> Cut {
    let end = START_US + (step + 1) * STEP_US;
    let sensors: Vec<i64> =
        (0..3).map(|n| i64::from(number) * 100 + (2 - n) * 7 + step % 2).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(sensors)),
        Arc::new(TimestampMicrosecondArray::from(vec![end; 3]).with_timezone("UTC")),
        Arc::new(UInt64Array::from(vec![Some(1), None, Some(1)])),
        Arc::new(Int64Array::from(vec![0; 3])),
        Arc::new(UInt64Array::from(vec![2; 3])),
        Arc::new(StringArray::from(vec![lane.name(); 3])),
        Arc::new(UInt64Array::from(vec![lane.next_epoch(); 3])),
    ];
    let rows = RecordBatch::try_new(plant_identity().schema, columns).expect("the columns fit");
    let from = step * MESSAGES;
    Cut {
        spans: vec![(Partition::new("t", number), Span { from, to: from + MESSAGES })],
        watermark_ns: Some(end * 1000 + 1),
        tables: vec![
            (Table::Predictions, vec![rows]),
            (Table::Late, vec![origin(number, from + 6)]),
            (Table::Rejects, vec![origin(number, from + 7)]),
        ],
        checkpoint: Some(format!("state at {}", from + MESSAGES).into_bytes()),
        model_sets: vec![1],
        counters: Counters {
            messages: 8,
            readable: 7,
            rejected: 1,
            aggregated: 6,
            late: 1,
            late_closed: 1,
            rows: 3,
            n_readings: 6,
            ..Counters::default()
        },
        ..Cut::default()
    }
}

pub(crate) fn origin(partition: i32, offset: i64) -> RecordBatch {
    let columns: [(&str, ArrayRef); 3] = [
        ("input", Arc::new(StringArray::from(vec!["t"]))),
        ("partition", Arc::new(Int32Array::from(vec![partition]))),
        ("offset", Arc::new(Int64Array::from(vec![offset]))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns")
}

/// Two lanes commit steps 0 to `steps`.
pub(crate) fn produce(lake: &Lake, steps: i64) {
    let mut lanes: Vec<Lane> = (0..2)
        .map(|n| lake.take(&format!("t-{n}"), writer(900 + n), START_US).expect("free"))
        .collect();
    go_on(&mut lanes, 0, steps);
}

pub(crate) fn go_on(lanes: &mut [Lane], from: i64, to: i64) {
    for step in from..to {
        for (number, lane) in (0..).zip(lanes.iter_mut()) {
            let cut = step_of(lane, number, step);
            lane.commit(cut, committed_us(step)).expect("in order");
        }
    }
}

/// How the plant's lake is kept, unless a test says otherwise.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep {
        compact: true,
        allowed_lateness_us: 0,
        compact_after_us: HOUR_US,
        file_max_bytes: 1 << 20,
        keep_replaced_us: HOUR_US,
        keep_ledger_us: HOUR_US,
        keep_us: BTreeMap::new(),
    }
}

pub(crate) fn maintain(
    lake: &Lake,
    upkeep: &Upkeep,
    seed: u64,
    now_us: i64,
) -> Result<Outcome, LakeError> {
    lake.maintain(upkeep, Mode::Act, writer(seed), now_us, &|_, _| ())
}

/// All rows that count, of all tables, as text.
pub(crate) fn counted(lake: &Lake) -> Vec<String> {
    let mut rows = Vec::new();
    for table in Table::ALL {
        for file in lake.reader().files(table).expect("the ledger is whole") {
            let bytes = lake.reader().fetch(&file).expect("the file is whole");
            for batch in parquet::read(bytes).expect("it is parquet") {
                for row in 0..batch.num_rows() {
                    let values = batch.columns().iter().map(|c| format!("{:?}", c.slice(row, 1)));
                    let values: Vec<_> = values.collect();
                    rows.push(format!("{} {}", table.as_str(), values.join(" ")));
                }
            }
        }
    }
    rows.sort();
    rows
}

pub(crate) fn proof(store: &dyn Store) -> Report {
    crate::verify(store, &|_, _| ()).expect("a lake")
}
