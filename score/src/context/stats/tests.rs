//! The exponentially weighted mean by numbers that were worked out by hand, and as a feature of rows.

use super::Rolling;
use crate::context::{Fit, Histories, Needs, parse};

fn ewma(values: &[f64], span: usize) -> f64 {
    Rolling::Ewma(span).of(values.iter().copied())
}

#[test]
fn an_exponentially_weighted_mean_is_that_of_pandas() {
    // alpha = 2/3: (1/3 x 1 + 4) / (1/3 + 1), then (1/9 + 4/3 + 10) / (1/9 + 1/3 + 1).
    assert_eq!(ewma(&[7.25], 2), 7.25);
    for (values, span, expected) in [
        (&[1.0, 4.0][..], 2, 3.25),
        (&[1.0, 4.0, 10.0], 2, 103.0 / 13.0),
        // The weights are 3^0 .. 3^7: the sum of i 3^(i - 1) is 24604, that of the weights 3280.
        (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, 24604.0 / 3280.0),
        // alpha = 1/2: (1 + 2 x 3 + 4 x 2) / 7.
        (&[1.0, 3.0, 2.0], 3, 15.0 / 7.0),
        // alpha = 1: the last value.
        (&[9.0, 3.0, 2.0], 1, 2.0),
    ] {
        let found = ewma(values, span);
        assert!((found - expected).abs() < 1e-14, "{values:?}: {found} is not {expected}");
    }
    assert_eq!(ewma(&[5.0; 1000], 250), 5.0);
}

#[test]
fn as_a_feature_it_looks_at_four_spans_and_warms_up_for_as_long() {
    let is_column = |name: &str| name == "mean";
    let parse = |name: &str| parse(name, is_column, |_| Ok(0));
    let feature = parse("ewma(mean, 2)").expect("a feature");
    assert!(feature.looks_back());
    assert_eq!(feature.rows(), 8);
    assert_eq!(parse("ewma(mean,250)").expect("the most").rows(), 1_000);
    for (name, says) in [
        ("ewma(mean, 251)", "\"251\" where 1 to 250 are allowed"),
        ("ewma(mean, 0)", "\"0\" where 1 to 250 are allowed"),
        ("ewma(mean)", "is neither a column nor one of diff(column)"),
        ("ewma(mean)", "ewma(column, rows)"),
    ] {
        let error = parse(name).expect_err(name);
        assert!(error.contains(says), "{error}");
    }
    let mut needs = Needs::default();
    needs.add(&[feature], 1);
    let mut histories = Histories::new(needs);
    let mut out = [0.0];
    for row in 1..=20 {
        let (end_us, value) = (i64::from(row) * 1_000_000, f64::from(row));
        let at = histories.push(0, end_us, &[value]);
        let fit = histories.features(0, at, end_us, &[value], &[feature], &mut out);
        assert_eq!(fit, if row < 8 { Fit::WarmingUp } else { Fit::Complete }, "row {row}");
    }
    // The last eight rows are 13 .. 20, twelve more than those above.
    assert!((out[0] - 12.0 - 24604.0 / 3280.0).abs() < 1e-12, "{out:?}");
}
