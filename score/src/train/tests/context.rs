//! False alarms where features look back, so that consecutive windows resemble each other.
//!
//! One strange window is in the features of 29 more, which then are flagged in a run: people are called once,
//! and it is runs that are as rare as asked.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::*;
use crate::scorer::Scorer;

/// What was flagged, as shares of what was asked.
struct Flagged {
    rows: f64,
    /// Runs of flagged rows: what someone is woken up by.
    runs: f64,
}

fn scorer() -> Scorer {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("Id", DataType::Int64, false),
        Field::new("window_start", time(), false),
        Field::new("window_end", time(), false),
        Field::new("mean", DataType::Float64, true),
    ]);
    Scorer::new(&schema, 1, &["state(mean)".to_string()], None, 1).expect("features")
}

/// `state(mean)` of a stationary sensor's windows.
fn states(seed: u64, windows: usize) -> SensorRows {
    let mut simulated = Simulated::new(Kind::Gaussian, 90_000 + seed);
    let mean = |w| features(simulated.window(w).into_iter().map(|(value, _)| value))[0];
    scorer().features_of(&sensor(seed as i64, 1, (0..windows).map(mean).collect()), true)
}

fn false_alarms(rate: f64, sensors: u64, training: usize, fresh: usize) -> Flagged {
    let threshold = Threshold::FalseAlarmRate(rate);
    let options = TrainOptions { threshold, ..TrainOptions::default() };
    let scorer = Arc::new(scorer());
    let names = scorer.features();
    let judge = |seed: u64| {
        let all = states(seed, training + fresh);
        let (known, new) = all.rows.split_at(training * names.len());
        let known = sensor(seed as i64, names.len(), known.to_vec());
        let report = train(names, &[known], &options, &|_| {}).expect("good options");
        let flags = is_anomaly(&report.entries[0], new);
        let begins = |i: &usize| flags[*i] && (*i == 0 || !flags[i - 1]);
        let runs = (0..flags.len()).filter(begins).count();
        (flags.iter().filter(|flag| **flag).count(), runs)
    };
    let found: Vec<(usize, usize)> = (0..sensors).into_par_iter().map(judge).collect();
    let share = |n: usize| n as f64 / (sensors as usize * fresh) as f64 / rate;
    let sum = |of: fn(&(usize, usize)) -> usize| found.iter().map(of).sum::<usize>();
    Flagged { rows: share(sum(|f| f.0)), runs: share(sum(|f| f.1)) }
}

#[test]
fn fm_51_false_alarms_of_features_that_look_back_come_in_runs_as_rare_as_asked() {
    // One a day to one in thirty days, of windows of a minute, after eight hours of them.
    for (days, fresh) in [(1.0, 1_000), (7.0, 3_000), (30.0, 12_000)] {
        let Flagged { rows, runs } = false_alarms(1.0 / (days * 1440.0), 200, 500, fresh);
        assert!((0.5..=2.0).contains(&runs), "one in {days} days: {runs:.2} of what was asked");
        assert!(rows > 2.0 * runs, "rows are flagged one by one: {rows:.2}, runs {runs:.2}");
    }
}
