//! Simulated sensors: those that go on as they were are left alone, those that change are found.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegauge_flow::{KeyValue, SensorKey};

use super::*;
use crate::train::{Kind, TrainOptions, train};

/// Standard normal, uniform, exponential and whole numbers from 0 to 3: about 40, 30, 20 and 10 % of rows.
const WIDTH: usize = 4;

/// What happens to a row.
type Change = fn(&mut [f64]);

/// Windows of one sensor; each row is `change`d once it is drawn.
fn rows(rng: &mut ChaCha8Rng, count: usize, change: impl Fn(&mut [f64])) -> SensorRows {
    let mut rows = Vec::with_capacity(count * WIDTH);
    for _ in 0..count {
        let mut row = [
            normal(rng),
            rng.random_range(-1.0..1.0),
            -(1.0 - rng.random::<f64>()).ln(),
            [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0][rng.random_range(0..10)],
        ];
        change(&mut row);
        rows.extend(row);
    }
    let key = SensorKey(Box::new([KeyValue::Int(1)]));
    SensorRows { key, window_end_us: (0..count as i64).collect(), rows }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn trained(known: &SensorRows, options: &TrainOptions) -> ModelEntry {
    let names: Vec<String> = (0..WIDTH).map(|f| format!("x{f}")).collect();
    let report = train(&names, std::slice::from_ref(known), options, &|_| {}).expect("options");
    report.entries.into_iter().next().expect("a model")
}

fn compared(entry: &ModelEntry, rows: &SensorRows) -> Drifted {
    compare(entry, rows, &[Some(1); WIDTH]).expect("scores").expect("a verdict")
}

/// How many sensors are stable, to be watched, drifting; `(sensors, training rows, rows now)`, of
/// which the latter are changed.
fn verdicts(
    options: &TrainOptions,
    (sensors, known, now): (u64, usize, usize),
    change: Change,
) -> [usize; 3] {
    let mut counts = [0; 3];
    for seed in 0..sensors {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let entry = trained(&rows(&mut rng, known, |_| ()), options);
        let drifted = compared(&entry, &rows(&mut rng, now, change));
        counts[drifted.most().verdict as usize] += 1;
    }
    counts
}

fn gaussian() -> TrainOptions {
    TrainOptions { kind: Kind::Gaussian, ..TrainOptions::default() }
}

#[test]
fn of_a_thousand_sensors_that_go_on_as_they_were_one_or_two_are_called_something_else() {
    let mut others = 0;
    for (known, now) in [(100, 100), (300, 300), (2_000, 200), (300, 3_000), (2_000, 2_000)] {
        let [_, watch, drift] = verdicts(&gaussian(), (200, known, now), |_| ());
        others += watch + drift;
    }
    assert!(others <= 2, "{others} of 1000");
    // Models whose scores of rows that they know are lower than those of others.
    for options in [TrainOptions::default(), TrainOptions::in_context()] {
        assert_eq!(verdicts(&options, (20, 300, 1_000), |_| ()), [20, 0, 0]);
    }
}

#[test]
fn a_shift_and_a_spread_of_one_feature_are_found_and_named() {
    let changes: [(usize, Change); 6] = [
        (0, |row| row[0] += 1.0),
        (0, |row| row[0] *= 2.0),
        (1, |row| row[1] -= 0.577),
        (2, |row| row[2] += 1.0),
        // A switch that is never off any more, and numbers that were never there.
        (3, |row| row[3] = row[3].max(1.0)),
        (3, |row| row[3] += 0.5),
    ];
    for (number, (feature, change)) in changes.into_iter().enumerate() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let entry = trained(&rows(&mut rng, 500, |_| ()), &gaussian());
            let drifted = compared(&entry, &rows(&mut rng, 1_000, change));
            assert_eq!(drifted.most().verdict, Verdict::Drift, "{number}: {drifted:?}");
            assert_eq!(drifted.worst().map(|(f, _)| f), Some(feature), "{number}: {drifted:?}");
        }
    }
}

#[test]
fn a_sensor_that_stood_still_is_seen_to_move_and_rounding_is_no_move() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let still = |row: &mut [f64]| row[0] = 5.1;
    let entry = trained(&rows(&mut rng, 300, still), &gaussian());
    let nearly = rows(&mut rng, 300, |row| row[0] = 5.1 * (1.0 + 2.0 * f64::EPSILON));
    assert_eq!(compared(&entry, &nearly).most().verdict, Verdict::Stable);
    for to in [5.0, 5.2] {
        let moved = compared(&entry, &rows(&mut rng, 300, |row| row[0] = to));
        assert_eq!(moved.worst().map(|(f, shift)| (f, shift.verdict)), Some((0, Verdict::Drift)));
    }
}

#[test]
fn scores_tell_of_features_that_go_apart_while_each_stays_as_it_was() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let together = |row: &mut [f64]| row[1] = row[0] + 0.1 * row[1];
    let apart = |row: &mut [f64]| row[1] = 0.1 * row[1] - row[0];
    let options = TrainOptions { nu: 0.05, ..TrainOptions::default() };
    let entry = trained(&rows(&mut rng, 1_000, together), &options);
    let drifted = compared(&entry, &rows(&mut rng, 1_000, apart));
    assert_eq!(drifted.worst().map(|(_, shift)| shift.verdict), Some(Verdict::Stable));
    assert_eq!(drifted.scores.map(|shift| shift.verdict), Some(Verdict::Drift), "{drifted:?}");
}

#[test]
fn what_is_not_known_is_said() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut entry = trained(&rows(&mut rng, 300, |_| ()), &gaussian());
    let mut few = rows(&mut rng, WINDOWS_MIN, |_| ());
    few.rows[0] = f64::NAN;
    let windows = WINDOWS_MIN - 1;
    let spans = [Some(1); WIDTH];
    let came = compare(&entry, &few, &spans).expect("scores");
    assert_eq!(came, Err(Unknown::TooFew { windows }));
    few.rows[0] = 0.0;
    assert!(compare(&entry, &few, &spans).expect("scores").is_ok());
    entry.training.as_mut().expect("trained here").distribution = None;
    let came = compare(&entry, &few, &spans).expect("scores");
    assert_eq!(came, Err(Unknown::NoDistribution));
}

#[test]
fn features_of_many_rows_have_fewer_to_tell_by_and_the_clock_tells_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let entry = trained(&rows(&mut rng, 300, |_| ()), &gaussian());
    let shifted = rows(&mut rng, 300, |row| row[0] += 1.0);
    let worst = |spans: [Option<usize>; WIDTH]| {
        compare(&entry, &shifted, &spans).expect("scores").expect("a verdict").worst()
    };
    let verdict = |worst: Option<(usize, Shift)>| worst.map(|(f, shift)| (f, shift.verdict));
    assert_eq!(verdict(worst([Some(1); WIDTH])), Some((0, Verdict::Drift)));
    let of_many = worst([Some(30), Some(1), Some(1), Some(1)]);
    assert_eq!(of_many.map(|(_, shift)| shift.verdict), Some(Verdict::Stable));
    let clock = worst([None, Some(1), Some(1), Some(1)]);
    assert_ne!(clock.map(|(f, _)| f), Some(0));
    assert_eq!(worst([None; WIDTH]), None);
}

#[test]
fn bins_are_tenths_of_the_rows_and_those_that_are_stored_are_checked() {
    let bins = Bins::of((1..=1_000).map(f64::from).collect()).expect("bins");
    assert_eq!(bins.counts().len(), 10);
    assert!(bins.counts().iter().all(|count| (99..=101).contains(count)), "{bins:?}");
    let quantiles = bins.quantiles();
    assert_eq!(Bins::from_stored(quantiles, bins.counts()), Ok(bins.clone()));
    let falls = {
        let mut q = *quantiles;
        q.swap(3, 4);
        q
    };
    assert!(Bins::from_stored(&falls, bins.counts()).is_err());
    assert!(Bins::from_stored(&quantiles[1..], bins.counts()).is_err());
    assert!(Bins::from_stored(quantiles, &bins.counts()[1..]).is_err());
    assert!(Bins::from_stored(quantiles, &[0; 10]).is_err());
    assert!(Bins::from_stored(quantiles, &[u64::MAX; 10]).is_err());
    assert_eq!(Bins::of(vec![1.0, f64::NAN]), None);
    // Half of the rows are one number: it has a bin of its own, and so have the numbers around it.
    let switch: Vec<f64> = (0..100).map(|i| if i < 50 { 0.0 } else { f64::from(i) }).collect();
    let counts = Bins::of(switch).expect("bins").counts().to_vec();
    assert_eq!(counts[..2], [0, 50], "{counts:?}");
}
