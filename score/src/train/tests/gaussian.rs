//! Gaussian models: their numbers, their false alarms, and rows that nothing can be learned from.

use super::*;

fn gaussian() -> TrainOptions {
    TrainOptions { kind: ModelKind::Gaussian, ..TrainOptions::default() }
}

/// Rows of so many features, normally distributed, each on a level and scale of its own.
fn normal(rng: &mut ChaCha8Rng, levels: &[(f64, f64)], rows: usize) -> Vec<f64> {
    let mut standard = || {
        let (a, b): (f64, f64) = (rng.random_range(1e-15..1.0), rng.random());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    };
    (0..rows).flat_map(|_| levels).map(|(level, std)| level + std * standard()).collect()
}

#[test]
fn the_mean_and_deviation_of_each_feature_are_learned() {
    let rows: Vec<f64> = (0..40).flat_map(|i| [f64::from(i % 2) * 2.0 + 9.0, 5.0]).collect();
    let options = TrainOptions { threshold: Threshold::Score(3.0), ..gaussian() };
    let entry = one(2, sensor(1, 2, rows), &options).expect("fits");
    let ModelParams::Gaussian(params) = &entry.model else { panic!("another kind") };
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(close(params.mean()[0], 10.0) && close(params.std()[0], 1.0), "{params:?}");
    // The second one never varied.
    assert!(close(params.mean()[1], 5.0) && params.std()[1] == 1.0, "{params:?}");
    assert_eq!(entry.threshold, 3.0);
    assert_eq!(is_anomaly(&entry, &[12.9, 5.0, 13.1, 5.0, 10.0, 1.9]), [false, true, true]);
    let training = entry.training.expect("trained here");
    assert_eq!((training.rows, training.false_alarm_rate), (40, Some(0.0)));
    let calibration = entry.calibration.expect("held-out scores");
    assert_eq!(calibration.samples(), 20);
    assert!(calibration.scores().iter().all(|score| close(*score, 1.0)), "{calibration:?}");
}

#[test]
fn two_hundred_normal_sensors_alarm_as_often_as_was_asked() {
    for (width, seed) in [(1, 1), (4, 2)] {
        for rate in [1e-2, 1e-3] {
            let share = alarms(width, rate, seed);
            let found = format!("{width} features from seed {seed}: {share} for {rate}");
            assert!((rate / 2.0..=rate * 2.0).contains(&share), "{found}");
        }
    }
}

/// The share of fresh rows that alarm, of 200 sensors with 1,000 rows each.
fn alarms(width: usize, rate: f64, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw_levels = || -> Vec<(f64, f64)> {
        (0..width).map(|_| (rng.random_range(-1e3..1e3), rng.random_range(1e-3..1e2))).collect()
    };
    let levels: Vec<_> = (0..200).map(|_| draw_levels()).collect();
    let samples: Vec<SensorRows> = (0..)
        .zip(&levels)
        .map(|(id, levels)| sensor(id, width, normal(&mut rng, levels, 1_000)))
        .collect();
    let threshold = Threshold::FalseAlarmRate(rate);
    let options = TrainOptions { threshold, ..gaussian() };
    let report = train(&names(width), &samples, &options, &|_| {}).expect("trains");
    assert_eq!(report.entries.len(), 200, "{:?}", report.skipped);
    let (mut flagged, mut all, mut held_out) = (0, 0, 0.0);
    for (entry, levels) in report.entries.iter().zip(&levels) {
        let verdicts = is_anomaly(entry, &normal(&mut rng, levels, 2_000));
        flagged += verdicts.iter().filter(|anomaly| **anomaly).count();
        all += verdicts.len();
        held_out +=
            entry.training.as_ref().and_then(|t| t.false_alarm_rate).expect("counted") / 200.0;
    }
    assert!(held_out <= 2.0 * rate, "held-out rows alarm as rarely: {held_out} for {rate}");
    flagged as f64 / f64::from(all as u32)
}

#[test]
fn rows_that_nothing_can_be_learned_from_are_skipped_and_wild_ones_change_little() {
    let reason = |rows| one(1, sensor(1, 1, rows), &gaussian()).expect_err("no model").to_string();
    assert!(reason(vec![f64::NAN; 500]).contains("0 of its 500 rows are usable"));
    assert!(reason([1e308, -1e308].repeat(50)).contains("too large to be standardised"));
    // What the second half does can't be measured by the first one.
    let still = [[1e-160, -1e-160].repeat(20), [1.0, -1.0].repeat(20)].concat();
    let options = TrainOptions { threshold: Threshold::Score(3.0), ..gaussian() };
    let reason = one(1, sensor(1, 1, still), &options).expect_err("no model").to_string();
    assert!(reason.contains("farther apart than numbers go"), "{reason}");
    for value in [0.0, 7.25, 1e9] {
        let entry = one(1, sensor(1, 1, vec![value; 200]), &gaussian()).expect("fits");
        assert_eq!(is_anomaly(&entry, &[value, value + 3.0]), [false, true], "{value}");
    }
    let mut wild = noise(7, 60, 1);
    wild[30] += 1e6;
    for rate in [1e-9, 0.002, 0.5] {
        let threshold = Threshold::FalseAlarmRate(rate);
        let options = TrainOptions { threshold, ..gaussian() };
        let entry = one(1, sensor(1, 1, wild.clone()), &options).expect("fits");
        assert_eq!(is_anomaly(&entry, &[1e9, -1e9]), [true, true], "{rate}");
        assert!(entry.threshold <= 30.0, "{}", entry.threshold);
    }
    let many = noise(5, 1000, 2);
    let options = TrainOptions { rows_max: 100, ..gaussian() };
    let training = one(2, sensor(1, 2, many), &options).expect("fits").training;
    assert_eq!(training.map(|t| (t.rows, t.rows_used)), Some((1000, 100)));
}

#[test]
fn the_words_for_kinds_are_those_of_model_sets() {
    for (kind, word) in [
        (ModelKind::OneClassSvm, crate::svm::SvmModel::KIND),
        (ModelKind::Gaussian, crate::gaussian::GaussianModel::KIND),
    ] {
        let text = serde_json::Value::from(word);
        assert_eq!(serde_json::to_value(kind).ok(), Some(text.clone()));
        assert_eq!(serde_json::from_value::<ModelKind>(text).ok(), Some(kind));
    }
}

#[test]
fn fm_51_a_model_that_flags_most_of_what_is_normal_is_refused_and_says_what_to_do() {
    let refused = |rows: Vec<f64>, options: &TrainOptions| {
        let reason = one(1, sensor(1, 1, rows), options).expect_err("no model");
        assert_eq!(reason.word(), "degenerate", "{reason}");
        reason.to_string()
    };
    // The second half is nothing like the first.
    let moved = [noise(3, 100, 1), noise(4, 100, 1).iter().map(|v| v + 5_000.0).collect()].concat();
    let options = TrainOptions { threshold: Threshold::Score(3.0), ..gaussian() };
    let reason = refused(moved.clone(), &options);
    assert!(reason.contains("100.0 % of its held-out windows, more than 50 %"), "{reason}");
    assert!(reason.contains("a longer or calmer stretch"), "{reason}");
    let all = TrainOptions { flagged_max: 1.0, ..options };
    one(1, sensor(1, 1, moved), &all).expect("whoever allows it gets it");
    // A threshold in the middle of what is normal.
    let low = TrainOptions { threshold: Threshold::Score(0.01), ..TrainOptions::default() };
    let still = [vec![0.0; 100], vec![1.0; 100]].concat();
    let swinging = TrainOptions { kind: ModelKind::Gaussian, ..low };
    assert!(refused(still, &swinging).contains("100.0 % of its"));
}

#[test]
fn a_switch_is_no_degenerate_model_though_both_of_its_values_are_equally_far_from_all_else() {
    let switch = (0..200).map(|i| f64::from(i / 5 % 2)).collect();
    let entry = one(1, sensor(1, 1, switch), &TrainOptions::default()).expect("a good model");
    assert_eq!(is_anomaly(&entry, &[0.0, 1.0, 9.0]), [false, false, true]);
}
