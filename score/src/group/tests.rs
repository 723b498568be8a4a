//! Who is in a group, and what its model is trained on.

use tidegauge_flow::KeyValue;

use super::*;
use crate::set::tests::{key, key_schema};
use crate::train::SkipReason;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn device(number: i64) -> SensorKey {
    SensorKey(Box::new([KeyValue::Int(number)]))
}

/// Rows of one feature, one a second from `from` on; every tenth is no number.
fn sensor(key: SensorKey, from: i64, rows: usize, level: f64) -> SensorRows {
    let value = |i: usize| if i % 10 == 9 { f64::NAN } else { level + (i as f64 * 0.7).sin() };
    let window_end_us = (0..rows as i64).map(|i| (from + i) * 1_000_000).collect();
    SensorRows { key, window_end_us, rows: (0..rows).map(value).collect() }
}

#[test]
fn a_group_is_some_of_the_key_in_the_keys_order() {
    let by_device = Group::new(&key_schema(), &names(&["Device"])).expect("a key column");
    assert_eq!(by_device.of(&key(7, "a")), device(7));
    assert_eq!(by_device.schema().columns(), &key_schema().columns()[..1]);
    for wrong in [&[][..], &["Nobody"], &["Device", "Device"], &["Device", "Tag"], &["Device", "x"]]
    {
        let error = Group::new(&key_schema(), &names(wrong)).expect_err("no group").to_string();
        assert!(
            error.contains("some of the key columns, not all, each once"),
            "{wrong:?}: {error}"
        );
    }
}

#[test]
fn fm_50_no_sensor_gives_more_than_its_even_share_and_all_that_is_left_over_is_used() {
    for (counts, total, share) in [
        (vec![10, 20, 30], 100, 100),
        (vec![10, 20, 30], 60, 60),
        (vec![10, 1000, 1000], 100, 45),
        (vec![1000, 1000, 1000, 1000], 100, 25),
        (vec![5; 200], 100, 1),
        (vec![0, 0, 80], 50, 50),
        (vec![], 50, 50),
    ] {
        assert_eq!(even_share(counts.clone(), total), share, "{counts:?} of {total}");
    }
    let (few, many) = (sensor(key(1, "a"), 0, 20, 0.0), sensor(key(1, "b"), 0, 4_000, 50.0));
    let pooled = pool(device(1), &[&few, &many], 1, 100);
    assert_eq!(pooled.rows.len(), 100);
    assert!(pooled.rows.iter().all(|value| value.is_finite()));
    let of_many: Vec<i64> = pooled.window_end_us[18..].to_vec();
    assert_eq!(of_many.len(), 82);
    let gaps: Vec<i64> = of_many.windows(2).map(|w| (w[1] - w[0]) / 1_000_000).collect();
    assert!(gaps.iter().all(|gap| (47..=51).contains(gap)), "evenly spaced: {gaps:?}");
}

#[test]
fn a_group_has_one_model_of_all_its_sensors_and_says_how_many_rows_there_were() {
    let by_device = Group::new(&key_schema(), &names(&["Device"])).expect("a key column");
    let samples = [
        sensor(key(1, "a"), 0, 400, 0.0),
        sensor(key(1, "b"), 100, 400, 50.0),
        sensor(key(2, "a"), 0, 20, 0.0),
    ];
    let options = TrainOptions { rows_max: 300, ..TrainOptions::default() };
    let report = train_groups(&names(&["mean"]), &samples, &by_device, &options, &|_| {});
    let report = report.expect("good options");
    let [entry] = &report.entries[..] else { panic!("one model: {report:?}") };
    assert_eq!((&entry.key, entry.source.as_str()), (&device(1), "trained here on 2 sensors"));
    let training = entry.training.as_ref().expect("trained");
    assert_eq!((training.rows, training.rows_used), (800, 300));
    assert_eq!((training.from_us, training.to_us), (0, 496_000_000));
    // Both sensors are normal, what lies between them is not.
    let model = entry.build().expect("builds");
    let mut scores = [0.0; 3];
    model.scores(&[0.3, 50.3, 25.0], &mut scores);
    assert!(scores[0] < entry.threshold && scores[1] < entry.threshold, "{scores:?}");
    assert!(scores[2] >= entry.threshold, "{scores:?} from {}", entry.threshold);
    let skipped = SkipReason::TooFewRows { rows: 18, usable: 18, min: 30 };
    assert_eq!(report.skipped, [(device(2), skipped)]);
}
