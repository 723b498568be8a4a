//! Windows against a naive computation over all readings, and the rules of bounds and lateness.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use tidegauge_flow::{KeyPart, Readings, Sensors};

use super::*;
use crate::policy::LateReason;
use crate::query::tests::readings;
use tidegauge_flow::WindowRows;

const S: i64 = 1_000_000_000;

pub(crate) fn query(select: &str, tail: &str, window: &str) -> Arc<Query> {
    let sql =
        format!(r#"SELECT {select} FROM readings {tail} GROUP BY "Device", "Sensor", {window}"#);
    Arc::new(Query::plan(&sql, &readings()).expect("a valid query"))
}

pub(crate) fn settings(out_of_order_ns: i64) -> WindowSettings {
    WindowSettings { out_of_order_ns, open_max: 10_000, ..WindowSettings::default() }
}

pub(crate) fn sensors() -> Sensors {
    Sensors::new(readings().key, 1000)
}

/// (device, time ns, value)
pub(crate) type Event = (i64, i64, f64);

pub(crate) fn batch(events: &[Event], sensors: &mut Sensors) -> Readings {
    let mut out = Readings::new(2);
    for (device, time, value) in events {
        let id = sensors.intern(&[KeyPart::Int(*device), KeyPart::Int(7)]).expect("room");
        out.sensor.push(id);
        out.time_ns.push(*time);
        out.offset.push(0);
        out.values[0].push(Some(*value));
        out.values[1].push(None);
    }
    out
}

/// (device, window end ns) -> (readings, sum)
pub(crate) type Rows = BTreeMap<(i64, i64), (u64, f64)>;

pub(crate) fn collect(rows: Option<WindowRows>, into: &mut Rows) {
    let Some(rows) = rows else { return };
    for ((device, end, _), content) in each(&rows) {
        let old = into.insert((device, end), content);
        assert_eq!(old, None, "{device} at {end} came out twice");
    }
}

/// (device, window end ns, revision) and (readings, sum) of each row.
pub(crate) fn each(rows: &WindowRows) -> impl Iterator<Item = ((i64, i64, u32), (u64, f64))> {
    let device = rows.batch.column(0).as_primitive::<Int64Type>().clone();
    let end = rows.batch.column_by_name("window_end").expect("always there").clone();
    let end = end.as_primitive::<TimestampMicrosecondType>().clone();
    let sum = rows.batch.column_by_name("s").expect("the query has it").clone();
    let sum = sum.as_primitive::<Float64Type>().clone();
    (0..rows.len()).map(move |row| {
        let key = (device.value(row), end.value(row) * 1000, rows.revision[row]);
        (key, (rows.n_readings[row], sum.value(row)))
    })
}

/// The rule, read by read: which rows come out and how many readings are late.
fn naive(events: &[Event], size: i64, slide: i64, offset: i64, ooo: i64) -> (Rows, usize) {
    let (mut rows, mut late) = (Rows::new(), 0);
    let mut newest = i64::MIN;
    for (device, time, value) in events {
        newest = newest.max(*time);
        let watermark = newest - ooo;
        let mut used = false;
        let first = (time - offset).div_euclid(slide) * slide + offset;
        for k in 0..=(size / slide + 1) {
            let end = first + k * slide;
            if end - size < *time && *time <= end && end >= watermark {
                let row = rows.entry((*device, end)).or_insert((0, 0.0));
                row.0 += 1;
                row.1 += value;
                used = true;
            }
        }
        late += usize::from(!used);
    }
    (rows, late)
}

fn run(
    query: &Arc<Query>,
    events: &[Event],
    ooo: i64,
    cuts: &[usize],
    restart: bool,
) -> (Rows, usize) {
    let mut sensors = sensors();
    let mut windows = Windows::new(query.clone(), settings(ooo), 1);
    let (mut rows, mut late, mut from) = (Rows::new(), 0, 0);
    for &to in cuts.iter().chain([&events.len()]) {
        let to = to.clamp(from, events.len());
        let readings = batch(&events[from..to], &mut sensors);
        late += windows.push(0, &readings, &sensors).expect("pushes").late.len();
        collect(windows.close(&sensors).expect("closes"), &mut rows);
        if restart {
            let bytes = windows.checkpoint(&sensors).expect("saves");
            let other = windows.checkpoint(&sensors).expect("saves again");
            assert_eq!(bytes, other, "a checkpoint must not change the windows");
            (windows, sensors) = Windows::restore(&bytes, query.clone(), settings(ooo), 1000, None)
                .expect("restores");
        }
        from = to;
    }
    windows.drain();
    collect(windows.close(&sensors).expect("closes"), &mut rows);
    assert_eq!(windows.open_groups(), 0);
    (rows, late)
}

fn near(a: &Rows, b: &Rows) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((ka, va), (kb, vb))| {
            ka == kb && va.0 == vb.0 && (va.1 - vb.1).abs() <= 1e-9 * va.1.abs().max(1.0)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fm_01_06_14_windows_equal_a_naive_computation_however_cut_or_restarted(
        steps in prop::collection::vec((0i64..4, -8i64..10, 0u32..100), 1..120),
        cuts in prop::collection::vec(0usize..120, 0..6),
        shape in prop::sample::select(vec![(5, 5, 0), (5, 5, 2), (10, 5, 0), (12, 4, 1), (7, 3, 0), (10, 4, 3)]),
        ooo in 0i64..6,
        restart in any::<bool>(),
    ) {
        let (size, slide, offset) = shape;
        let mut now = 1_000;
        let events: Vec<Event> = steps.iter().map(|(device, step, value)| {
            now += step;
            (*device, now * S, f64::from(*value))
        }).collect();
        let window = if size == slide {
            format!(r#"tumble("TS", INTERVAL '{size} seconds', INTERVAL '{offset} seconds')"#)
        } else {
            format!(r#"hop("TS", INTERVAL '{slide} seconds', INTERVAL '{size} seconds', INTERVAL '{offset} seconds')"#)
        };
        let query = query(r#"sum("Value") AS s"#, "", &window);
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (rows, late) = run(&query, &events, ooo * S, &cuts, restart);
        let (expected, expected_late) = naive(&events, size * S, slide * S, offset * S, ooo * S);
        prop_assert_eq!(late, expected_late);
        prop_assert!(near(&rows, &expected), "got {:?}\nexpected {:?}", rows, expected);
    }
}

/// One step of a lane of several partitions: a reading, or news of a silence.
#[derive(Debug, Clone)]
enum Step {
    Reading { partition: usize, device: i64, ahead: i64 },
    Idle(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3, 0i64..4, -8i64..10)
            .prop_map(|(partition, device, ahead)| Step::Reading { partition, device, ahead }),
        1 => (0usize..3, any::<bool>()).prop_map(|(p, idle)| Step::Idle(p, idle)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fm_04_06_37_partitions_that_come_fall_silent_and_speak_again_equal_a_naive_lane(
        steps in prop::collection::vec(step(), 1..150),
        ooo in 0i64..6,
        hop in any::<bool>(),
        restarts in prop::collection::vec(any::<bool>(), 150),
    ) {
        let window = match hop {
            false => r#"tumble("TS", INTERVAL '5 seconds')"#,
            true => r#"hop("TS", INTERVAL '5 seconds', INTERVAL '10 seconds')"#,
        };
        let (size, slide) = (if hop { 10 * S } else { 5 * S }, 5 * S);
        let query = query(r#"sum("Value") AS s"#, "", window);
        let (mut sensors, settings) = (sensors(), settings(ooo * S));
        // Partitions are days apart; a partition joins with its first step.
        let mut windows = Windows::new(query.clone(), settings, 0);
        let mut clocks: BTreeMap<usize, (i64, Option<i64>, bool)> = BTreeMap::new();
        let (mut lane, mut late, mut expected_late) = (i64::MIN, 0, 0);
        let (mut rows, mut expected) = (Rows::new(), Rows::new());
        for (index, step) in steps.iter().enumerate() {
            let partition = match step { Step::Reading { partition: p, .. } | Step::Idle(p, _) => *p };
            let input = windows.partition(partition as i32);
            let clock = clocks
                .entry(partition)
                .or_insert(((1_000 + 20 * partition as i64) * S, None, false));
            match step {
                Step::Reading { device, ahead, .. } => {
                    clock.0 += ahead * S;
                    let time = clock.0;
                    *clock = (time, clock.1.max(Some(time)), false);
                    let readings = batch(&[(*device, time, 1.0)], &mut sensors);
                    late += windows.push(input, &readings, &sensors).expect("pushes").late.len();
                    lane = lane.max(held_back(&clocks, ooo));
                    let first = time.div_euclid(slide) * slide;
                    let ends = (0..=2).map(|k| first + k * slide);
                    let open = ends.filter(|end| end - size < time && time <= *end && *end >= lane);
                    let mut used = false;
                    for end in open {
                        let row = expected.entry((*device, end)).or_insert((0, 0.0));
                        *row = (row.0 + 1, row.1 + 1.0);
                        used = true;
                    }
                    expected_late += usize::from(!used);
                }
                Step::Idle(_, idle) => {
                    clock.2 = *idle;
                    windows.idle_partition(input, *idle);
                    lane = lane.max(held_back(&clocks, ooo));
                }
            }
            collect(windows.close(&sensors).expect("closes"), &mut rows);
            prop_assert_eq!(windows.watermark_ns(), (lane > i64::MIN).then_some(lane));
            if restarts[index] {
                let bytes = windows.checkpoint(&sensors).expect("saves");
                (windows, sensors) =
                    Windows::restore(&bytes, query.clone(), settings, 1000, None).expect("restores");
                clocks.values_mut().for_each(|clock| clock.2 = false);
            }
        }
        windows.drain();
        collect(windows.close(&sensors).expect("closes"), &mut rows);
        prop_assert_eq!(late, expected_late);
        prop_assert_eq!(rows, expected);
    }
}

/// The naive lane's watermark: (now, newest, silent) of each partition.
fn held_back(clocks: &BTreeMap<usize, (i64, Option<i64>, bool)>, ooo: i64) -> i64 {
    let awake = clocks.values().filter(|c| !c.2).map(|c| c.1);
    let newest = match awake.min() {
        Some(newest) => newest,
        None => clocks.values().filter_map(|c| c.1).max(),
    };
    newest.map_or(i64::MIN, |newest| newest - ooo * S)
}

#[test]
fn fm_09_a_window_holds_its_end_and_not_its_start() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let events = [(1, 5 * S, 1.0), (1, 5 * S + 1, 2.0), (1, 10 * S - 1, 4.0), (1, 10 * S, 8.0)];
    let (rows, _) = run(&query, &events, 0, &[], false);
    let expected: Rows = [((1, 5 * S), (1, 1.0)), ((1, 10 * S), (3, 14.0))].into();
    assert_eq!(rows, expected);
}

#[test]
fn fm_09_a_window_closes_when_the_watermark_is_past_its_end_strictly() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let mut sensors = sensors();
    let mut windows = Windows::new(query, settings(S), 1);
    let mut feed = |windows: &mut Windows, time: i64| {
        let readings = batch(&[(1, time, 1.0)], &mut sensors);
        let late = windows.push(0, &readings, &sensors).expect("pushes").late.len();
        (windows.close(&sensors).expect("closes").map_or(0, |r| r.len()), late)
    };
    assert_eq!(feed(&mut windows, 4 * S), (0, 0));
    assert_eq!(feed(&mut windows, 6 * S), (0, 0), "the watermark equals the end");
    assert_eq!(feed(&mut windows, 5 * S), (0, 0), "still in time");
    assert_eq!(feed(&mut windows, 6 * S + 1), (1, 0), "one nanosecond past it");
    assert_eq!(feed(&mut windows, 5 * S), (0, 1), "late now");
}

#[test]
fn where_filters_readings_and_counts_them() {
    let query = query(
        r#"sum("Value") AS s"#,
        r#"WHERE "Value" > 1 AND "Device" = 1"#,
        r#"tumble("TS", INTERVAL '5 seconds')"#,
    );
    let mut sensors = sensors();
    let mut windows = Windows::new(query, settings(0), 1);
    let events = [(1, S, 1.0), (1, 2 * S, 2.0), (2, 3 * S, 9.0), (1, 7 * S, 5.0), (1, S, 7.0)];
    let readings = batch(&events, &mut sensors);
    let pushed = windows.push(0, &readings, &sensors).expect("pushes");
    assert_eq!(
        pushed,
        Pushed {
            late: vec![(4, LateReason::WindowClosed)],
            filtered: 2,
            aggregated: 2,
            out_of_order: 1,
            ..Pushed::default()
        }
    );
    windows.drain();
    let mut rows = Rows::new();
    collect(windows.close(&sensors).expect("closes"), &mut rows);
    assert_eq!(rows, [((1, 5 * S), (1, 2.0)), ((1, 10 * S), (1, 5.0))].into());
}

#[test]
fn fm_10_silence_closes_the_last_window_and_no_more() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let mut sensors = sensors();
    let mut windows = Windows::new(query, settings(2 * S), 1);
    assert_eq!(windows.idle(100 * S), None, "nothing was seen, nothing can be idle");
    let readings = batch(&[(1, 4 * S, 1.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    assert_eq!(windows.idle(S), Some(IdleMove { from_ns: 2 * S, to_ns: 3 * S }));
    assert!(windows.close(&sensors).expect("closes").is_none());
    assert_eq!(windows.idle(60 * S), Some(IdleMove { from_ns: 3 * S, to_ns: 5 * S + 1 }));
    assert_eq!(windows.close(&sensors).expect("closes").map(|r| r.len()), Some(1));
    assert_eq!(windows.idle(60 * S), None, "no window is open");
    let readings = batch(&[(1, 6 * S, 1.0)], &mut sensors);
    assert!(windows.push(0, &readings, &sensors).expect("pushes").late.is_empty());
}

#[test]
fn input_that_ends_is_never_late() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let mut sensors = sensors();
    let at_end = WindowSettings { closing: Closing::AtEnd, ..settings(0) };
    let mut windows = Windows::new(query, at_end, 1);
    let events = [(1, 500 * S, 1.0), (1, S, 2.0), (2, 250 * S, 3.0)];
    let readings = batch(&events, &mut sensors);
    assert!(windows.push(0, &readings, &sensors).expect("pushes").late.is_empty());
    assert!(windows.close(&sensors).expect("closes").is_none());
    windows.drain();
    let mut rows = Rows::new();
    collect(windows.close(&sensors).expect("closes"), &mut rows);
    assert_eq!(rows.len(), 3);
    let bytes = windows.checkpoint(&sensors).expect("saves");
    let query = windows.query.clone();
    let (mut windows, mut sensors) =
        Windows::restore(&bytes, query, at_end, 9, None).expect("restores");
    let readings = batch(&[(1, 499 * S, 1.0), (1, 600 * S, 1.0)], &mut sensors);
    let late = windows.push(0, &readings, &sensors).expect("pushes").late;
    assert_eq!(
        late,
        vec![(0, LateReason::WindowClosed)],
        "what an earlier run has closed stays closed"
    );
}

#[test]
fn fm_19_too_many_open_windows_is_an_error_that_names_the_limit() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let mut sensors = sensors();
    let few = WindowSettings { open_max: 2, ..settings(1000 * S) };
    let mut windows = Windows::new(query, few, 1);
    let events = [(1, S, 1.0), (1, 6 * S, 1.0), (1, 11 * S, 1.0)];
    let readings = batch(&events, &mut sensors);
    let error = windows.push(0, &readings, &sensors).expect_err("three windows");
    assert!(error.to_string().contains("3 windows are open, the limit is 2"), "{error}");
}
