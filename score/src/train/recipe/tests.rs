//! Rules: which sensors they are for, and what comes of them.

use super::*;
use crate::limits::Limit;
use crate::train::Kind;

fn key(device: &str, sensor: i64) -> SensorKey {
    SensorKey([KeyValue::Str(device.into()), KeyValue::Int(sensor)].into())
}

fn selector(columns: &[(usize, &[&str])]) -> Selector {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Selector::new(columns.iter().map(|(place, patterns)| (*place, texts(patterns))).collect())
}

#[test]
fn a_star_stands_for_any_characters_and_nothing_else_does() {
    let cases = [
        ("p1", "p1", true),
        ("p1", "p11", false),
        ("p*", "p11", true),
        ("p*", "p", true),
        ("*", "", true),
        ("*1", "p11", true),
        ("p*1*2", "p1x12", true),
        ("p*1*2", "p2x1", false),
        ("a*a", "a", false),
        ("", "p", false),
        ("p.1", "px1", false),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn all_columns_of_a_selector_must_fit_and_one_value_of_each() {
    let both = selector(&[(0, &["p*", "q1"]), (1, &["3", "4"])]);
    assert!(both.holds(&key("p7", 3)) && both.holds(&key("q1", 4)));
    assert!(!both.holds(&key("q2", 3)) && !both.holds(&key("p7", 34)));
    assert!(Selector::default().holds(&key("any", 1)));
    assert!(!selector(&[(2, &["*"])]).holds(&key("p", 1)), "there is no third column");
}

fn rows(key: SensorKey) -> SensorRows {
    let values = (0..100).map(|i| f64::from(i % 10)).collect();
    SensorRows { key, window_end_us: (1..=100).collect(), rows: values }
}

#[test]
fn the_first_rule_that_holds_says_how_a_model_comes_about() {
    let limits = LimitsParams::new(vec![Limit { low: None, high: Some(9.0) }]).expect("limits");
    let gaussian = TrainOptions { kind: Kind::Gaussian, ..TrainOptions::default() };
    let rules = vec![
        (selector(&[(0, &["p1"])]), Recipe::Limits(limits)),
        (selector(&[(0, &["p*"])]), Recipe::Fit(gaussian)),
    ];
    let recipes = Recipes::new(rules, TrainOptions::default());
    let samples = [rows(key("p1", 1)), rows(key("p2", 1)), rows(key("q", 1))];
    let report = train_by(&["mean".into()], &samples, &recipes, &|_| {}).expect("good options");
    let kinds: Vec<_> = report.entries.iter().map(|entry| entry.model.kind()).collect();
    assert_eq!(kinds, ["static_limits", "gaussian", "one_class_svm"]);
    let limits = &report.entries[0];
    let training = limits.training.as_ref().expect("rows were looked at");
    assert_eq!(training.false_alarm_rate, Some(0.1), "each tenth value is at the limit");
    assert_eq!((training.from_us, training.to_us, training.rows_used), (1, 100, 100));
    assert_eq!(limits.threshold, 0.0);
}

#[test]
fn limits_of_other_features_and_options_out_of_range_are_refused() {
    let two = LimitsParams::new(vec![Limit { low: Some(0.0), high: None }; 2]).expect("limits");
    let recipes =
        |recipe| Recipes::new(vec![(Selector::default(), recipe)], TrainOptions::default());
    let error = recipes(Recipe::Limits(two)).check(1).expect_err("one feature");
    assert!(error.to_string().contains("limits is of 2 features"), "{error}");
    let bad = TrainOptions { flagged_max: 0.0, ..TrainOptions::default() };
    let error = recipes(Recipe::Fit(bad)).check(1).expect_err("0 is no share");
    assert!(error.to_string().contains("flagged_max is 0"), "{error}");
}
