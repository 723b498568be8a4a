//! The hot loops one by one: from a message's bytes to a Parquet file's.
//!
//! ```console
//! $ cargo bench --bench loops                    # all, about two minutes
//! $ cargo bench --bench loops -- decode          # one of them
//! $ cargo bench --bench loops -- --save-baseline before    # then: --baseline before
//! ```
//!
//! 2,000 sensors, one reading of each per second, sent up to 2 s late; windows of 5 s with five aggregates.
//! `thrpt` is in messages for `decode`, `intern` and `push`, in rows for the others; `time` is that of a batch of
//! 10,000 messages, of a window of 2,000 rows, or of a file of 50 windows (`encode`).

mod stage;

use std::time::Duration;

use arrow::array::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput};
use tidegauge_score::Stamp;
use tidegauge_sink::parquet;

use crate::stage::{BATCH, SENSORS, Stage};

fn main() {
    let mut criterion =
        Criterion::default().measurement_time(Duration::from_secs(5)).configure_from_args();
    messages(&mut criterion);
    rows(&mut criterion);
    criterion.final_summary();
}

/// What is done for each message.
fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(BATCH as u64));
    let stage = Stage::new();
    let mut sensors = stage.known_sensors();
    let mut readings = stage.readings(&mut sensors);
    let mut decoder = stage.decoder();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            readings.clear();
            stage.decode(&mut decoder, &mut sensors, &mut readings);
            assert_eq!(readings.len(), BATCH);
        });
    });
    let keys = stage.keys();
    group.bench_function("intern", |bencher| {
        let mut intern = |key| u64::from(sensors.intern(key).expect("there is room"));
        bencher.iter(|| keys.iter().map(|key| intern(key)).sum::<u64>());
    });
    group.bench_function("push", |bencher| {
        bencher.iter_batched_ref(
            || stage.windows(),
            |windows| {
                let pushed = windows.push(0, &readings, &sensors).expect("pushed");
                assert_eq!(pushed.aggregated, BATCH as u64);
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// What is done for each row of a closed window.
fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("row");
    group.throughput(Throughput::Elements(u64::from(SENSORS)));
    let stage = Stage::new();
    let sensors = stage.known_sensors();
    group.bench_function("close", |bencher| {
        bencher.iter_batched_ref(
            || stage.full_window(&sensors, 0),
            |windows| {
                windows.drain();
                let rows = windows.close(&sensors).expect("closed").expect("rows");
                assert_eq!(rows.len(), stage::SENSORS as usize);
                rows
            },
            BatchSize::LargeInput,
        );
    });
    let rows = stage.closed(&sensors, 0);
    let stamp = Stamp { lane: "bench-0", epoch: 1 };
    let mut scorer = stage.scorer();
    group.bench_function("score", |bencher| {
        bencher.iter(|| scorer.score(&rows, &sensors, &stamp).expect("scored"));
    });
    let predictions: Vec<RecordBatch> = (0..stage::WINDOWS)
        .map(|number| scorer.score(&stage.closed(&sensors, number), &sensors, &stamp))
        .collect::<Result<_, _>>()
        .expect("scored");
    group.throughput(Throughput::Elements(u64::from(SENSORS * stage::WINDOWS)));
    group.sample_size(20);
    group.bench_function("encode", |bencher| {
        let schema = scorer.prediction_schema();
        bencher.iter(|| parquet::encode(schema.clone(), &predictions, &[]).expect("encoded"));
    });
    group.finish();
}
