//! Severities of known samples.

use super::*;

#[test]
fn severity_is_the_rank_among_held_out_scores_and_never_more_than_they_can_tell() {
    let scores: Vec<f64> = (0..999).map(f64::from).collect();
    let calibration = Calibration::from_scores(scores).expect("there are scores");
    assert_eq!(calibration.severity(-1.0), 0.0);
    assert_eq!(calibration.severity(1e9), 3.0);
    assert!((calibration.severity(900.0) - 1.0).abs() < 0.02, "one in ten is at least 900");
    assert!((calibration.severity(990.0) - 2.0).abs() < 0.1, "one in a hundred is at least 990");
    let all: Vec<f64> = (-5..1005).map(|s| calibration.severity(f64::from(s))).collect();
    assert!(all.windows(2).all(|w| w[0] <= w[1]), "severity never falls");
}

#[test]
fn equal_scores_are_not_rare() {
    let calibration = Calibration::from_scores(vec![1.0; 50]).expect("there are scores");
    assert!(calibration.severity(1.0) < 0.01);
    assert_eq!(calibration.severity(1.1), 51f64.log10());
    assert!(Calibration::from_scores(vec![f64::NAN]).is_none());
}

#[test]
fn knots_survive_being_stored() {
    for n in [1usize, 2, 63, 64, 65, 5000] {
        let scores = (0..n).map(|i| (i as f64).sqrt()).collect();
        let made = Calibration::from_scores(scores).expect("there are scores");
        let (scores, severities) = (made.scores().to_vec(), made.severities().to_vec());
        assert_eq!(Calibration::from_knots(scores, severities, made.samples()), Ok(made));
    }
    assert!(Calibration::from_knots(vec![2.0, 1.0], vec![0.0, 1.0], 2).is_err());
    assert!(Calibration::from_knots(vec![1.0], vec![0.0, 1.0], 2).is_err());
    assert!(Calibration::from_knots(vec![f64::NAN], vec![0.0], 2).is_err());
}

/// Scores between, on and beside all knots give the same bits.
#[test]
fn the_look_up_gives_what_the_calibration_gives() {
    for n in [1usize, 2, 7, 8, 9, 16, 17, 63, 64, 65, 1000] {
        let scores = (0..n).map(|i| (i as f64).sqrt()).collect();
        let calibration = Calibration::from_scores(scores).expect("there are scores");
        let lookup = Lookup::new(&calibration);
        let knots = calibration.scores();
        let beside = knots.iter().flat_map(|knot| [knot.next_down(), *knot, knot.next_up()]);
        let between = knots.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
        let far = [f64::NEG_INFINITY, -1.0, 1e9, f64::MAX, f64::INFINITY, f64::NAN];
        for score in beside.chain(between).chain(far) {
            let (expected, found) = (calibration.severity(score), lookup.severity(score));
            assert_eq!(found.to_bits(), expected.to_bits(), "{score} of {n}");
        }
    }
}
