//! Checkpoints: what they keep and what they refuse.

use std::sync::Arc;

use arrow::datatypes::Float64Type;
use tidegauge_flow::{KeyColumn, KeySchema, KeyType, ReadingSchema};

use super::*;
use crate::policy::LateReason;
use crate::query::tests::readings;
use crate::windows::tests::{Rows, batch, collect, query, sensors, settings};

const S: i64 = 1_000_000_000;

/// Aggregates whose `state()` or `evaluate()` resets them in DataFusion, beside ordinary ones.
const EVERYTHING: &str = r#"sum("Value") AS s, median("Value") AS m, percentile_cont("Value", 0.9) AS p,
    count(DISTINCT "Value") AS d, stddev("Value") AS sd, first_value("Value" ORDER BY "TS") AS f,
    approx_distinct("Device") AS ad, approx_percentile_cont("Value", 0.5) AS ap, min("Value") AS lo"#;

fn all() -> Arc<Query> {
    query(EVERYTHING, "", r#"tumble("TS", INTERVAL '5 seconds')"#)
}

#[test]
fn fm_13_group_keys_survive_a_restore_and_new_sensors_join() {
    let query = query(r#"sum("Value") AS s"#, "", r#"tumble("TS", INTERVAL '5 seconds')"#);
    let mut sensors = sensors();
    let mut windows = Windows::new(query.clone(), settings(0), 1);
    let readings = batch(&[(30, S, 1.0), (10, S, 2.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    let bytes = windows.checkpoint(&sensors).expect("saves");
    let (mut windows, mut sensors) =
        Windows::restore(&bytes, query, settings(0), 1000, None).expect("restores");
    let readings = batch(&[(20, S, 4.0), (10, 2 * S, 8.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    windows.drain();
    let mut rows = Rows::new();
    collect(windows.close(&sensors).expect("closes"), &mut rows);
    let expected =
        [((10, 5 * S), (2, 10.0)), ((20, 5 * S), (1, 4.0)), ((30, 5 * S), (1, 1.0))].into();
    assert_eq!(rows, expected);
}

#[test]
fn fm_14_a_checkpoint_does_not_consume_state() {
    let rows = |checkpoints: usize| {
        let (query, mut sensors) = (all(), sensors());
        let mut windows = Windows::new(query.clone(), settings(0), 1);
        for step in 0..40i64 {
            let events = [(step % 3, S + step, (step * 7 % 11) as f64)];
            let readings = batch(&events, &mut sensors);
            windows.push(0, &readings, &sensors).expect("pushes");
            if checkpoints > 0 && (step as usize).is_multiple_of(checkpoints) {
                let bytes = windows.checkpoint(&sensors).expect("saves");
                (windows, sensors) = Windows::restore(&bytes, query.clone(), settings(0), 9, None)
                    .expect("restores");
            }
        }
        windows.drain();
        windows.close(&sensors).expect("closes").expect("rows").batch
    };
    let undisturbed = rows(0);
    for every in [1, 3, 7] {
        let restarted = rows(every);
        for (column, field) in restarted.columns().iter().zip(undisturbed.schema().fields()) {
            let other = undisturbed.column_by_name(field.name()).expect("same columns");
            if field.name() == "sd" {
                let (a, b) = (column.as_primitive::<Float64Type>(), other.as_primitive());
                let b: &arrow::array::Float64Array = b;
                for (a, b) in a.iter().zip(b).filter_map(|(a, b)| a.zip(b)) {
                    assert!((a - b).abs() < 1e-12, "{a} after a restart, {b} without");
                }
            } else {
                assert_eq!(column, other, "{} after a restart every {every}", field.name());
            }
        }
    }
}

#[test]
fn fm_03_11_the_watermark_is_restored_and_calls_nothing_late_that_was_in_time() {
    let (query, mut sensors) = (all(), sensors());
    let mut windows = Windows::new(query.clone(), settings(2 * S), 1);
    let readings = batch(&[(1, 10 * S, 1.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    let bytes = windows.checkpoint(&sensors).expect("saves");
    let (mut windows, mut sensors) =
        Windows::restore(&bytes, query, settings(2 * S), 9, None).expect("restores");
    assert_eq!(windows.watermark_ns(), Some(8 * S));
    let readings = batch(&[(1, 9 * S, 1.0), (1, 4 * S, 1.0)], &mut sensors);
    assert_eq!(
        windows.push(0, &readings, &sensors).expect("pushes").late,
        vec![(1, LateReason::WindowClosed)]
    );
}

#[test]
fn fm_18_a_checkpoint_that_does_not_fit_is_refused_by_name() {
    let (query, mut sensors) = (all(), sensors());
    let mut windows = Windows::new(query.clone(), settings(0), 1);
    let readings = batch(&[(1, S, 1.0)], &mut sensors);
    windows.push(0, &readings, &sensors).expect("pushes");
    let good = windows.checkpoint(&sensors).expect("saves");
    let check = |bytes: &[u8], query: &Arc<Query>, expected: &str| {
        let error = Windows::restore(bytes, query.clone(), settings(0), 9, None)
            .err()
            .unwrap_or_else(|| panic!("accepted, expected {expected}"));
        assert!(error.to_string().contains(expected), "{error} does not say {expected}");
    };
    check(b"", &query, "cut off");
    check(b"nonsense", &query, "does not begin as a checkpoint");
    let mut newer = good.clone();
    newer[4] = 9;
    check(&newer, &query, "version 9");
    for cut in 1..good.len() {
        let error = Windows::restore(&good[..cut], query.clone(), settings(0), 9, None);
        assert!(error.is_err(), "a checkpoint cut at {cut} was accepted");
    }
    let other = crate::windows::tests::query(
        r#"max("Value") AS s"#,
        "",
        r#"tumble("TS", INTERVAL '5 seconds')"#,
    );
    check(&good, &other, "another query");
}

/// A checkpoint of the golden lake: written by the version that wrote format 1.
const V1: &[u8] = include_bytes!(
    "../../../tests/data/lakes/v1/lake/_tidegauge/state/golden-0/00000000000000000005-a570f4269b72fdfc"
);

#[test]
fn fm_18_a_checkpoint_of_version_1_is_continued() {
    let column = |name: &str, kind| KeyColumn { name: name.into(), kind };
    let key = vec![column("Id", KeyType::Int64), column("Kind", KeyType::String)];
    let schema = ReadingSchema { key: Arc::new(KeySchema::new(key)), ..readings() };
    let schema = ReadingSchema { values: vec!["Value".into()], ..schema };
    let query = r#"SELECT "Id", "Kind", avg("Value") AS mean, stddev("Value") AS spread,
        min("Value") AS low, count(*) AS n FROM readings WHERE "Value" > -1000
        GROUP BY "Id", "Kind", tumble("TS", INTERVAL '5 seconds')"#;
    let query = Arc::new(Query::plan(query, &schema).expect("valid"));
    let bytes = of_this_datafusion(V1);
    let (mut windows, sensors) =
        Windows::restore(&bytes, query.clone(), settings(2 * S), 99, None).expect("restores");
    assert_eq!(windows.watermark_ns(), Some(1_769_904_007_778_000_000));
    let open = windows.open_readings();
    assert!(open > 0 && windows.open_groups() > 0);
    assert_eq!(windows.partition(0), 0, "its one partition is number 0");
    let newer = windows.checkpoint(&sensors).expect("saves");
    assert_eq!(newer[4], 2, "and goes on as version 2");
    let rows = |mut windows: Windows| {
        windows.drain();
        windows.close(&sensors).expect("closes").expect("rows")
    };
    let (of_new, _) = Windows::restore(&newer, query, settings(2 * S), 99, None).expect("restores");
    let (old, new) = (rows(windows), rows(of_new));
    assert_eq!(old.n_readings.iter().sum::<u64>(), open);
    assert_eq!(old.batch, new.batch);
}

/// The same bytes as if this build's DataFusion had made them: what is under test is our format.
fn of_this_datafusion(bytes: &[u8]) -> Vec<u8> {
    let length = read::u32_of(&bytes[8..12]) as usize;
    let header = String::from_utf8(bytes[12..12 + length].to_vec()).expect("JSON");
    let rest = 12 + length;
    let header = header.replace("55.2.0", datafusion::DATAFUSION_VERSION);
    let length = (header.len() as u32).to_le_bytes();
    [&bytes[..8], &length, header.as_bytes(), &bytes[rest..]].concat()
}
