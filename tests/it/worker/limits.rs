//! Bounds: memory of a process, series of its metrics, sensors in their lanes.

use std::time::Duration;

use super::{Bench, Process, reading};

const MS: Duration = Duration::from_millis(1);

/// Windows of five seconds, each with 4,000 sensors of 40,000: ten times more than it has groups.
fn many_sensors(lane: i64) -> impl Iterator<Item = String> {
    (0..150i64).flat_map(move |second| {
        (0..800).map(move |n| reading(second, lane * 1_000_000 + second % 50 * 800 + n))
    })
}

#[test]
fn fm_19_memory_stays_within_its_budget_and_nothing_is_lost() {
    const BUDGET: f64 = (14 << 20) as f64;
    let bench = Bench::new(3, &["window.out_of_order=60s", "limits.memory=14MiB"]);
    for lane in 0..3 {
        bench.topic.publish(lane, many_sensors(lane as i64));
    }
    let mut process = bench.process(1);
    process.group.assign(&[0, 1, 2]);
    let mut most = 0.0f64;
    for _ in 0..300 {
        process.turns(1, 50 * MS);
        most = most.max(process.metric("tidegauge_memory_used_bytes"));
    }
    process.turns(10, 500 * MS);
    let read: u64 = (0..3).map(|lane| bench.messages(lane)).sum();
    assert_eq!(read, 3 * 120_000, "all is read and committed");
    let spilled = process.metric("tidegauge_aggregate_spilled_bytes_total");
    println!("at most {most} of {BUDGET} bytes, {spilled} spilled");
    assert!(spilled > 0.0, "the budget was never felt: {most} bytes at most");
    assert!(most <= BUDGET, "{most} bytes of {BUDGET}");
    assert_eq!(process.metric("tidegauge_lanes_paused"), 0.0);
    bench.prove();
}

#[test]
fn fm_19_lanes_pause_while_finished_rows_wait_for_a_slow_lake() {
    const BUDGET: f64 = (12 << 20) as f64;
    let bench = Bench::new(3, &["window.out_of_order=0s", "limits.memory=12MiB"]);
    for lane in 0..3 {
        bench.topic.publish(lane, many_sensors(lane as i64));
    }
    let mut process = bench.process(1);
    process.group.assign(&[0, 1, 2]);
    process.turns(1, 50 * MS);
    // Nothing is written any more, so what is finished stays.
    bench.gate.shut();
    let (mut most, mut paused) = (0.0f64, 0.0f64);
    for _ in 0..200 {
        process.turns(1, 50 * MS);
        most = most.max(process.metric("tidegauge_memory_used_bytes"));
        paused = paused.max(process.metric("tidegauge_lanes_paused"));
    }
    println!("at most {most} bytes, {paused} lanes paused");
    assert_eq!(paused, 3.0, "nothing is read that nobody takes over: {most} bytes at most");
    assert!(most <= BUDGET, "{most} bytes of {BUDGET}");
    bench.gate.open();
    process.turns(100, 100 * MS);
    process.turns(10, 500 * MS);
    let read: u64 = (0..3).map(|lane| bench.messages(lane)).sum();
    assert_eq!(read, 3 * 120_000, "all is read and committed");
    assert_eq!(process.metric("tidegauge_lanes_paused"), 0.0);
    bench.prove();
}

#[test]
fn fm_19_sensors_that_cannot_fit_stop_the_process_with_the_lane_and_the_numbers() {
    let bench = Bench::new(1, &["limits.memory=1MiB"]);
    // Windows go to files; the sensors themselves have to be known.
    bench.topic.publish(0, (0..120_000).map(|id| reading(1, id)));
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    let said = process.fails(Duration::from_secs(600));
    assert!(said.contains("lane t-0") && said.contains("1048576 bytes"), "{said}");
}

fn series(process: &Process) -> usize {
    process.pipeline.metrics.text().lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn fm_57_a_hundred_thousand_sensors_add_no_series_and_counters_never_fall() {
    let bench = Bench::new(1, &[]);
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    bench.topic.publish(0, (0..10).map(|id| reading(1, id)));
    process.turns(3, Duration::from_secs(1));
    let few = series(&process);
    bench.topic.publish(0, (0..100_000).map(|id| reading(2 + id / 10_000, id)));
    process.turns(120, 100 * MS);
    process.turns(4, Duration::from_secs(1));
    assert_eq!(bench.messages(0), 100_010);
    assert_eq!(series(&process), few);
    let before = process.metric("tidegauge_ingest_messages_total");
    // The lane fails and is opened again: the same series go on.
    bench.store.break_writes("t-0", std::io::ErrorKind::TimedOut);
    bench.topic.publish(0, (0..10).map(|id| reading(13, id)));
    process.turns(4, Duration::from_secs(1));
    bench.store.heal();
    process.turns(30, Duration::from_secs(1));
    assert_eq!(bench.messages(0), 100_020);
    assert!(process.metric("tidegauge_ingest_messages_total") >= before + 10.0);
    assert_eq!(series(&process), few);
}

#[test]
fn fm_57_the_delay_of_an_idle_lane_with_nothing_open_is_zero() {
    let bench = Bench::new(1, &["window.idle_after=2s"]);
    let mut process = bench.process(1);
    process.group.assign(&[0]);
    bench.topic.publish(0, (0..10).map(|second| reading(second, 1)));
    process.turns(1, 250 * MS);
    process.turns(1, 250 * MS);
    assert!(process.metric("tidegauge_aggregate_open_windows") > 0.0);
    process.turns(40, 500 * MS);
    assert_eq!(process.metric("tidegauge_aggregate_open_windows"), 0.0, "silence closes windows");
    assert_eq!(process.metric("tidegauge_aggregate_watermark_delay_seconds"), 0.0);
    bench.prove();
}

#[test]
fn fm_37_a_sensor_in_two_lanes_is_counted_or_ends_the_process() {
    let publish = |bench: &Bench| {
        bench.topic.publish(0, (0..5).map(|second| reading(second, 7)));
        bench.topic.publish(1, (0..5).flat_map(|second| [reading(second, 7), reading(second, 8)]));
    };
    let bench = Bench::new(2, &[]);
    publish(&bench);
    let mut process = bench.process(1);
    process.group.assign(&[0, 1]);
    process.turns(3, Duration::from_secs(1));
    assert_eq!(process.metric("tidegauge_ingest_sensors_in_two_lanes_total"), 1.0);
    drop(process);
    // It is known from the checkpoints as well.
    let mut again = bench.process(2);
    again.group.assign(&[0, 1]);
    again.turns(1, Duration::from_secs(1));
    assert_eq!(again.metric("tidegauge_ingest_sensors_in_two_lanes_total"), 1.0);

    let strict = Bench::new(2, &["source.on_split_sensor=fail"]);
    publish(&strict);
    let mut process = strict.process(1);
    process.group.assign(&[0, 1]);
    let said = process.fails(Duration::from_secs(5));
    for part in ["sensor 7", "t-0", "t-1", "on_split_sensor"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}
