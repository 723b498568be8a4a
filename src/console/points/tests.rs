//! Points against a naive count over all windows.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn window(end_us: i64, random: &mut ChaCha8Rng) -> Window {
    let mut number = |some: f64| match random.random_bool(some) {
        true => f64::from(random.random_range(-50..50)),
        false => f64::NAN,
    };
    let (features, score) = (vec![number(0.8), number(1.0)], number(0.8));
    let (threshold, severity, novelty) = (number(0.9), number(0.5), number(0.5));
    let mut bit = || [None, Some(false), Some(true)][random.random_range(0..3)];
    let (is_anomaly, alarm) = (bit(), bit());
    Window { end_us, features, score, threshold, severity, is_anomaly, novelty, alarm }
}

/// Finite numbers of the windows in (from, to].
fn of(windows: &[&Window], get: impl Fn(&Window) -> f64) -> Vec<f64> {
    windows.iter().map(|window| get(window)).filter(|number| !number.is_nan()).collect()
}

fn highest(numbers: &[f64]) -> Option<f64> {
    numbers.iter().copied().reduce(f64::max)
}

#[test]
fn points_are_what_a_naive_walk_over_each_stretch_gives() {
    let names = ["a".to_owned(), "b".to_owned()];
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let n = random.random_range(1..400);
        let from = random.random_range(-1_000_000..1_000_000);
        let mut end = from;
        let mut next = || {
            end += random.random_range(1..20_000);
            window(end, &mut random)
        };
        let windows: Vec<Window> = (0..n).map(|_| next()).collect();
        let to = windows[n - 1].end_us;
        let points = [1, 7, 50, 1000][seed as usize % 4];
        let step = step(from, to, n, points);
        assert_eq!(step.is_none(), n <= points, "seed {seed}");
        let found = history(&windows, &names, from, step, true);
        assert!(found.window_end_us.len() <= points, "seed {seed}");
        let mut at = 0;
        let (mut start, step) = (from, step.unwrap_or(1));
        while start < to {
            let inside = |w: &&Window| w.end_us > start && w.end_us <= start + step;
            let group: Vec<&Window> = windows.iter().filter(inside).collect();
            start += step;
            let Some(last) = group.last() else { continue };
            assert_eq!(found.window_end_us[at], last.end_us, "seed {seed}");
            assert_eq!(found.score[at], highest(&of(&group, |w| w.score)), "seed {seed}");
            assert_eq!(found.severity[at], highest(&of(&group, |w| w.severity)));
            assert_eq!(found.novelty[at], highest(&of(&group, |w| w.novelty)));
            assert_eq!(found.threshold[at], finite(last.threshold));
            let known: Vec<bool> = group.iter().filter_map(|w| w.is_anomaly).collect();
            let any = (!known.is_empty()).then(|| known.contains(&true));
            assert_eq!(found.is_anomaly[at], any, "seed {seed}");
            for (n, name) in names.iter().enumerate() {
                let numbers = of(&group, |w| w.features[n]);
                let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
                match found.features[name][at] {
                    None => assert!(numbers.is_empty()),
                    Some(found) => assert!((found - mean).abs() < 1e-9, "{found} {mean}"),
                }
            }
            at += 1;
        }
        assert_eq!(at, found.window_end_us.len(), "seed {seed}");
        assert!(
            [found.score.len(), found.alarm.len(), found.features["a"].len()]
                .iter()
                .all(|n| *n == at)
        );
    }
}

#[test]
fn a_lake_without_the_onset_view_has_no_columns_of_it() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let found = history(&[window(5, &mut random)], &["a".into(), "b".into()], 0, None, false);
    assert_eq!((found.window_end_us.len(), found.novelty.len(), found.alarm.len()), (1, 0, 0));
}
