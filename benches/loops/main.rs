//! The hot loops one by one: from a message's bytes to a Parquet file's.
//!
//! ```console
//! $ cargo bench --bench loops                    # all, about two minutes
//! $ cargo bench --bench loops -- decode          # one of them
//! $ cargo bench --bench loops -- --save-baseline before    # then: --baseline before
//! ```
//!
//! 2,000 sensors, one reading of each per second, sent up to 2 s late; windows of 5 s with five aggregates.
//! The figures are per element: messages for `decode`, `intern` and `push`, rows for the others.

mod stage;

use std::time::Duration;

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
            readings.len()
        });
    });
    let keys = stage.keys();
    group.bench_function("intern", |bencher| {
        bencher
            .iter(|| keys.iter().map(|key| sensors.intern(key).map_or(0, u64::from)).sum::<u64>());
    });
    group.bench_function("push", |bencher| {
        bencher.iter_batched_ref(
            || stage.windows(),
            |windows| windows.push(0, &readings, &sensors).map(|pushed| pushed.aggregated),
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
            || stage.full_window(&sensors),
            |windows| {
                windows.drain();
                windows.close(&sensors)
            },
            BatchSize::LargeInput,
        );
    });
    let rows = stage.closed(&sensors);
    let stamp = Stamp { lane: "bench-0", epoch: 1 };
    let mut scorer = stage.scorer();
    group.bench_function("score", |bencher| {
        bencher.iter(|| scorer.score(&rows, &sensors, &stamp));
    });
    let predictions = vec![scorer.score(&rows, &sensors, &stamp).expect("scored"); stage::WINDOWS];
    group.throughput(Throughput::Elements((rows.len() * stage::WINDOWS) as u64));
    group.sample_size(20);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| parquet::encode(scorer.prediction_schema().clone(), &predictions, &[]));
    });
    group.finish();
}
