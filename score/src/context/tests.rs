//! Features against a naive computation over all rows, with gaps, revisions and restarts.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn parsed(names: &[&str]) -> Vec<Expression> {
    let columns = ["a", "b"];
    let is_column = |name: &str| columns.contains(&name);
    let column = |name: &str| {
        columns.iter().position(|c| *c == name).ok_or_else(|| "is not in the query".to_string())
    };
    names.iter().map(|name| parse(name, is_column, column).expect(name)).collect()
}

fn histories(features: &[Expression]) -> Histories {
    let mut needs = Needs::default();
    needs.add(features, 2);
    Histories::new(needs)
}

const NAMES: [&str; 11] = [
    "a",
    "diff(b)",
    "rolling_mean(a, 3)",
    "rolling_std(a, 4)",
    "rolling_min(b, 2)",
    "rolling_max(a, 5)",
    "rolling_slope(a, 4)",
    "hour_sin",
    "hour_cos",
    "same_time_gap(a, 2)",
    "rolling_mean(b, 5)",
];

/// The features of the row at `at`, from all rows up to it; rows are (end, a, b).
fn naive(rows: &[(i64, f64, f64)], at: usize) -> Vec<f64> {
    let last = |n: usize, column: fn(&(i64, f64, f64)) -> f64| -> Vec<f64> {
        rows[(at + 1).saturating_sub(n)..=at].iter().map(column).collect()
    };
    let (a, b) = (|row: &(i64, f64, f64)| row.1, |row: &(i64, f64, f64)| row.2);
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let std = |v: &[f64]| {
        let m = mean(v);
        (v.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / v.len() as f64).sqrt()
    };
    let slope = |v: &[f64]| {
        let x: Vec<f64> = (0..v.len()).map(|i| i as f64).collect();
        let (mx, my) = (mean(&x), mean(v));
        let top: f64 = x.iter().zip(v).map(|(x, y)| (x - mx) * (y - my)).sum();
        let under: f64 = x.iter().map(|x| (x - mx) * (x - mx)).sum();
        if under > 0.0 { top / under } else { 0.0 }
    };
    let (end, value, other) = rows[at];
    let angle = (end.rem_euclid(DAY)) as f64 / DAY as f64 * std::f64::consts::TAU;
    // Of each slot of five minutes the first row is known.
    let slot = |end: i64| (end - 1).div_euclid(300 * SECOND);
    let mut known: Vec<(i64, f64)> = Vec::new();
    for row in &rows[..at] {
        if known.last().is_none_or(|(end, _)| slot(*end) != slot(row.0)) {
            known.push((row.0, row.1));
        }
    }
    let gap = |day: i64| {
        let then = end - day * DAY;
        let near = known.iter().min_by_key(|(end, _)| ((end - then).abs(), *end))?;
        ((near.0 - then).abs() <= 3_600 * SECOND).then(|| (value - near.1).abs())
    };
    let gap = [gap(1), gap(2)].into_iter().flatten().min_by(f64::total_cmp).unwrap_or(0.0);
    vec![
        value,
        if at > 0 { other - rows[at - 1].2 } else { 0.0 },
        mean(&last(3, a)),
        std(&last(4, a)),
        last(2, b).into_iter().fold(f64::INFINITY, f64::min),
        last(5, a).into_iter().fold(f64::NEG_INFINITY, f64::max),
        slope(&last(4, a)),
        angle.sin(),
        angle.cos(),
        gap,
        mean(&last(5, b)),
    ]
}

fn close(found: &[f64], expected: &[f64]) -> bool {
    found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= 1e-9 * (1.0 + e.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn fm_56_features_equal_a_naive_computation_also_across_restarts(
        steps in prop::collection::vec(
            (prop_oneof![Just(300i64), Just(60), 1..200_000i64], -50..50i32, -50..50i32),
            1..120,
        ),
        saved_at in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let features = parsed(&NAMES);
        let names = ["a".to_string(), "b".to_string()];
        let saves: Vec<usize> = saved_at.iter().map(|i| i.index(steps.len())).collect();
        let mut all = Vec::new();
        let mut histories = histories(&features);
        let mut end = 1_700_000_000 * SECOND;
        for (i, (step, a, b)) in steps.iter().enumerate() {
            end += step * SECOND;
            let row = [f64::from(*a) / 7.0, f64::from(*b)];
            all.push((end, row[0], row[1]));
            let at = histories.push(3, end, &row);
            let mut found = vec![0.0; features.len()];
            let fit = histories.features(3, at, end, &row, &features, &mut found);
            prop_assert_eq!(fit, if i + 1 < 5 { Fit::WarmingUp } else { Fit::Complete });
            let expected = naive(&all, i);
            prop_assert!(close(&found, &expected), "row {i}: {found:?} is not {expected:?}");
            if saves.contains(&i) {
                let bytes = Remembered::new(&histories, &names).expect("saves").encode().expect("writes");
                let needs = histories.needs.clone();
                histories = Histories::new(needs);
                histories.restore(&bytes, &names, 4).expect("restores");
            }
        }
        prop_assert_eq!(histories.seen(3), steps.len() as u64);
    }
}

#[test]
fn a_revision_is_seen_beside_the_rows_up_to_it_and_rows_after_it_keep_what_they_had() {
    let features = parsed(&["rolling_mean(a, 3)"]);
    let mut histories = histories(&features);
    let mut feature = |end: i64, value: f64| {
        let row = [value, 0.0];
        let at = histories.push(0, end * SECOND, &row);
        let mut out = [0.0];
        let fit = histories.features(0, at, end * SECOND, &row, &features, &mut out);
        (fit, out[0], histories.seen(0))
    };
    for end in 1..=5 {
        feature(end, end as f64);
    }
    assert_eq!(feature(4, 10.0), (Fit::Complete, 5.0, 5), "2, 3, and 10 for 4");
    assert_eq!(feature(6, 6.0), (Fit::Complete, 7.0, 6), "10, 5, 6");
    for end in 7..30 {
        feature(end, 0.0);
    }
    let (fit, _, seen) = feature(2, 1.0);
    assert_eq!((fit, seen), (Fit::Invalid, 29), "what it looked at is not known any more");
}

#[test]
fn a_history_that_was_saved_for_less_begins_again_with_warming_up() {
    let short = parsed(&["rolling_mean(a, 3)"]);
    let names = ["a".to_string(), "b".to_string()];
    let mut before = histories(&short);
    (1..=40).for_each(|i| {
        before.push(0, i * SECOND, &[1.0, 2.0]);
    });
    let bytes = Remembered::new(&before, &names).expect("saves").encode().expect("writes");
    let long = parsed(&["rolling_mean(a, 30)"]);
    let mut after = histories(&long);
    after.restore(&bytes, &names, 1).expect("restores");
    let mut fits = Vec::new();
    for i in 41..=70 {
        let at = after.push(0, i * SECOND, &[1.0, 2.0]);
        fits.push(after.features(0, at, i * SECOND, &[1.0, 2.0], &long, &mut [0.0]));
    }
    let complete = fits.iter().position(|fit| *fit == Fit::Complete).expect("in the end");
    assert!(fits[..complete].iter().all(|fit| *fit == Fit::WarmingUp), "{fits:?}");
    assert_eq!(complete, 30 - 11 - 1, "eleven rows were held");
    let other = ["x".to_string(), "b".to_string()];
    let mut renamed = histories(&short);
    renamed.restore(&bytes, &other, 1).expect("restores");
    assert_eq!((renamed.seen(0), renamed.sensors[0].as_ref().map(|h| h.ends.len())), (40, Some(0)));
}

#[test]
fn bytes_that_are_no_history_are_refused_by_name() {
    let features = parsed(&["diff(a)"]);
    let names = ["a".to_string(), "b".to_string()];
    let mut some = histories(&features);
    some.push(1, SECOND, &[1.0, 2.0]);
    let bytes = Remembered::new(&some, &names).expect("saves").encode().expect("writes");
    let refuse = |bytes: &[u8], sensors: usize, says: &str| {
        let error = histories(&features).restore(bytes, &names, sensors).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    };
    refuse(b"TGCP", 2, "it is none");
    refuse(&bytes[..6], 2, "cut off");
    refuse(&bytes[..bytes.len() - 9], 2, "cut off");
    refuse(&bytes, 1, "a sensor that the lane lacks");
    let mut newer = bytes.clone();
    newer[4] = 2;
    refuse(&newer, 2, "version 2");
}

#[test]
fn words_that_are_no_feature_are_refused_with_what_is_known() {
    let parse = |name: &str| {
        let column = |name: &str| match name {
            "a" | "f(a)" => Ok(0),
            _ => Err("is not in the query".to_string()),
        };
        super::parse(name, |name| ["a", "f(a)"].contains(&name), column)
    };
    assert_eq!(parse("f(a)"), Ok(Expression::Column(0)), "a column may be called so");
    let refused = |name: &str, says: &str| {
        let error = parse(name).expect_err(name);
        assert!(error.contains(says), "{name}: {error}");
    };
    refused("b", "not in the query");
    refused("median(a)", "rolling_mean(column, rows)");
    refused("rolling_mean(b, 3)", "not in the query");
    refused("rolling_mean(a)", "neither a column nor");
    refused("rolling_mean(a, 1)", "at least 2");
    refused("rolling_mean(a, 0)", "\"0\"");
    refused("rolling_mean(a, -3)", "\"-3\"");
    refused("rolling_mean(a, 1001)", "1 to 1000");
    refused("same_time_gap(a, 29)", "1 to 28");
    refused("diff(a, 2)", "neither a column nor");
    refused("(", "not in the query");
    let lists = ["state(a)".to_string(), "b".to_string()];
    let expanded = expand(&lists);
    assert_eq!((expanded.len(), expanded[1].as_str()), (12, "rolling_mean(a, 15)"));
    assert_eq!(expand(&["onset(a)".to_string()])[8], "same_time_gap(a, 7)");
}
