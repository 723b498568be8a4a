//! What a query that fails on the data does to the readings around it, and lateness by reason.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::policy::{Action, Rule, TimePolicy};
use crate::windows::WindowSettings;
use crate::windows::tests::{Event, Rows, batch, collect, query, sensors, settings};

const S: i64 = 1_000_000_000;
const TUMBLE: &str = r#"tumble("TS", INTERVAL '5 seconds')"#;

/// Beyond 64 bits: the cast fails.
const BAD: f64 = 1e300;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fm_17_only_the_readings_that_cannot_be_computed_are_set_aside(
        bad in prop::collection::vec(prop::bool::weighted(0.2), 1..80),
        hop in any::<bool>(),
    ) {
        let window = if hop { r#"hop("TS", INTERVAL '5 seconds', INTERVAL '10 seconds')"# } else { TUMBLE };
        let select = r#"CAST(sum(CAST("Value" AS BIGINT)) AS DOUBLE) AS s"#;
        let query = query(select, r#"WHERE "Value" > 0"#, window);
        let run = |events: &[Event]| {
            let mut sensors = sensors();
            let mut windows = Windows::new(query.clone(), settings(0), 1);
            let readings = batch(events, &mut sensors);
            let pushed = windows.push(0, &readings, &sensors).expect("goes on");
            let watermark = windows.watermark_ns();
            windows.drain();
            let mut rows = Rows::new();
            collect(windows.close(&sensors).expect("closes"), &mut rows);
            (pushed, watermark, rows)
        };
        let value = |(i, bad): (usize, &bool)| (1, (10 + i as i64 % 7) * S, if *bad { BAD } else { i as f64 });
        let events: Vec<Event> = bad.iter().enumerate().map(value).collect();
        let good: Vec<Event> = events.iter().copied().filter(|e| e.2 < BAD).collect();
        let (with, watermark, rows) = run(&events);
        let (without, watermark_without, rows_without) = run(&good);
        let refused: Vec<u32> = with.refused.iter().map(|(row, _)| *row).collect();
        let expected: Vec<u32> = (0..).zip(&bad).filter(|(_, bad)| **bad).map(|(i, _)| i).collect();
        prop_assert_eq!(refused, expected);
        for (_, why) in &with.refused {
            let Refusal::Query(why) = why else { panic!("{why:?}") };
            prop_assert!(why.contains("Int64"), "{}", why);
        }
        prop_assert_eq!((with.filtered, with.aggregated), (without.filtered, without.aggregated));
        prop_assert_eq!(watermark, watermark_without, "they leave no trace");
        prop_assert_eq!(rows, rows_without);
    }
}

#[test]
fn fm_17_a_feature_that_cannot_be_computed_is_null_and_counted_and_the_others_stand() {
    // Division of whole numbers by zero fails where the largest value is 5.
    let select = r#"10 / (CAST(max("Value") AS BIGINT) - 5) AS q, count(*) AS n"#;
    let query = query(select, "", TUMBLE);
    let mut sensors = sensors();
    let mut windows = Windows::new(query, settings(0), 1);
    let readings = batch(&[(1, S, 3.0), (2, S, 5.0), (3, S, 7.0), (4, S, 5.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    windows.drain();
    let rows = windows.close(&sensors).expect("goes on").expect("rows");
    let q = rows.batch.column_by_name("q").expect("there").as_primitive::<Int64Type>().clone();
    let n = rows.batch.column_by_name("n").expect("there").as_primitive::<Int64Type>().clone();
    assert_eq!(q.iter().collect::<Vec<_>>(), [Some(-5), None, Some(5), None]);
    assert_eq!((n.null_count(), n.values().to_vec()), (0, vec![1; 4]));
    let (rows, why) = windows.take_incomplete().expect("it is told");
    assert_eq!(rows, 2);
    assert!(why.to_lowercase().contains("divide by zero"), "{why}");
    assert_eq!(windows.take_incomplete(), None);
}

#[test]
fn fm_12_late_readings_come_out_with_their_reason() {
    let policy = TimePolicy {
        early: Some(Rule { tolerance_ns: 2 * S, action: Action::Drop }),
        late: Some(Rule { tolerance_ns: 60 * S, action: Action::Drop }),
        out_of_order: None,
        ..TimePolicy::default()
    };
    let query = query(r#"sum("Value") AS s"#, "", TUMBLE);
    let mut sensors = sensors();
    let mut windows = Windows::new(query.clone(), WindowSettings { policy, ..settings(0) }, 1);
    let times = [(100, 100), (104, 101), (103, 101), (30, 102), (95, 102), (101, 103)];
    let events: Vec<Event> = times.iter().map(|(event, _)| (1, event * S, 1.0)).collect();
    let mut readings = batch(&events, &mut sensors);
    readings.arrival_ns = times.iter().map(|(_, arrival)| arrival * S).collect();
    let pushed = windows.push(0, &readings, &sensors).expect("pushes");
    assert_eq!(pushed.refused, [(1, Refusal::Early)]);
    assert_eq!(pushed.late, [(3, LateReason::Arrival), (4, LateReason::WindowClosed)]);
    let policy = TimePolicy { out_of_order: Some(Action::Drop), ..policy };
    let mut windows = Windows::new(query, WindowSettings { policy, ..settings(0) }, 1);
    let pushed = windows.push(0, &readings, &sensors).expect("pushes");
    assert_eq!(
        pushed.late,
        [(3, LateReason::Arrival), (4, LateReason::OutOfOrder), (5, LateReason::OutOfOrder)]
    );
}

#[test]
fn w_09_adjusting_moves_a_reading_to_a_later_window_and_leaves_its_own_time() {
    let policy = TimePolicy { out_of_order: Some(Action::Adjust), ..TimePolicy::default() };
    let query = query(r#"CAST(count(*) AS DOUBLE) AS s, min("TS") AS oldest"#, "", TUMBLE);
    let mut sensors = sensors();
    let mut windows = Windows::new(query, WindowSettings { policy, ..settings(0) }, 1);
    let readings = batch(&[(1, 12 * S, 1.0), (1, 3 * S, 1.0)], &mut sensors);
    let pushed = windows.push(0, &readings, &sensors).expect("pushes");
    assert_eq!((pushed.aggregated, pushed.adjusted, pushed.late.len()), (2, 1, 0));
    windows.drain();
    let rows = windows.close(&sensors).expect("closes").expect("rows");
    let oldest = rows.batch.column_by_name("oldest").expect("there").clone();
    let oldest = arrow::compute::cast(&oldest, &arrow::datatypes::DataType::Int64).expect("a time");
    assert_eq!(oldest.as_primitive::<Int64Type>().value(0), 3 * S, "the column keeps what it was");
    let mut out = Rows::new();
    collect(Some(rows), &mut out);
    assert_eq!(out, [((1, 15 * S), (2, 2.0))].into());
}

#[test]
fn fm_17_a_guarded_condition_stops_nothing_though_it_fails_in_batches() {
    // AND looks at its right side for all rows of a batch when many of them pass the left one.
    let condition = r#"WHERE "Value" <> 0 AND 100 / CAST("Value" AS BIGINT) > 3"#;
    let query = query(r#"sum("Value") AS s"#, condition, TUMBLE);
    let mut sensors = sensors();
    let mut windows = Windows::new(query, settings(0), 1);
    let events: Vec<Event> = (0..40).map(|n| (1, S, if n % 4 == 0 { 0.0 } else { 2.0 })).collect();
    let readings = batch(&events, &mut sensors);
    let pushed = windows.push(0, &readings, &sensors).expect("goes on");
    assert_eq!(pushed.aggregated + pushed.filtered + pushed.refused.len() as u64, 40);
    assert_eq!(pushed.aggregated, 30);
}
