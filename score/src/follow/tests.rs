//! Many sensors that fall due together.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use tidegauge_flow::{KeyValue, names};

use super::*;

fn follower(rows: u64) -> Follower {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("Id", DataType::Int64, false),
        Field::new(names::WINDOW_START, time(), false),
        Field::new(names::WINDOW_END, time(), false),
        Field::new("mean", DataType::Float64, true),
    ]));
    let features = vec!["mean".to_string(), "diff(mean)".to_string()];
    let settings = OnsetSettings { features, rows, ..OnsetSettings::default() };
    let scorer = Scorer::new(&schema, 1, &[], None, 1).expect("good").with_onset(&settings, None);
    Follower::new(&scorer.expect("good"), &RefitOptions::default(), 2, None).expect("good")
}

fn key(id: i64) -> SensorKey {
    SensorKey([KeyValue::Int(id)].into())
}

#[test]
fn fm_48_models_that_fall_due_together_are_fitted_so_many_at_a_time_and_none_is_forgotten() {
    let mut follower = follower(50);
    for row in 0..20i64 {
        for id in 0..100 {
            let value = ((row * 7 + id) % 13) as f64;
            follower.push(&key(id), row * 1_000_000, &[value], false).expect("a row");
        }
    }
    assert_eq!((follower.sensors(), follower.due()), (100, 100), "0.4 x 50 rows of each");
    let mut fitted = Vec::new();
    for _ in 0..4 {
        let round = follower.fit(30);
        assert!(round.len() <= 30, "{}", round.len());
        fitted.extend(round.into_iter().map(|(key, fit)| (key, fit.expect("fits").hash())));
    }
    let sensors: std::collections::BTreeSet<_> = fitted.iter().map(|(key, _)| key).collect();
    assert_eq!((fitted.len(), sensors.len(), follower.due()), (100, 100, 0));
    // A row of another width is a mistake of the caller, one that is no number is left out.
    assert!(follower.push(&key(1), 21_000_000, &[1.0, 2.0], false).is_err());
    follower.push(&key(1), 21_000_000, &[f64::NAN], false).expect("left out");
    assert!(follower.memory_bytes() > 100 * 8 * 20);
}

#[test]
fn a_trainer_that_starts_again_goes_on_though_old_rows_are_gone() {
    let row = |row: i64| (row * 1_000_000, [((row * 7) % 13) as f64]);
    let mut first = follower(50);
    let mut fits = Vec::new();
    for i in 0..70 {
        let (end_us, values) = row(i);
        first.push(&key(1), end_us, &values, false).expect("a row");
        fits.extend(first.fit(1).into_iter().map(|(_, fit)| (i, fit.expect("fits"))));
    }
    assert_eq!(fits.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [19, 44, 69]);
    let set = |entry: &ModelEntry| {
        let column =
            tidegauge_flow::KeyColumn { name: "Id".into(), kind: tidegauge_flow::KeyType::Int64 };
        let header = crate::set::SetHeader {
            version: 1,
            base: None,
            key: tidegauge_flow::KeySchema::new(vec![column]),
            note: String::new(),
            created_us: 0,
        };
        let set = crate::set::ModelSet::new(header, vec![entry.clone()]).expect("good");
        Some(Models::new(vec![Arc::new(set)]))
    };
    // All rows are there: the same model comes at the same row. From row 30 on: still at that row.
    for from in [0, 30] {
        let mut second = follower(50);
        second.last = set(&fits[1].1).map_or_else(BTreeMap::new, |models| by_sensor(&models));
        let mut again = Vec::new();
        for i in from..70 {
            let (end_us, values) = row(i);
            second.push(&key(1), end_us, &values, false).expect("a row");
            again.extend(second.fit(1).into_iter().map(|(_, fit)| (i, fit.expect("fits"))));
        }
        assert_eq!(again.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [69], "from {from}");
        assert_eq!(again[0].1.hash() == fits[2].1.hash(), from == 0);
    }
}
