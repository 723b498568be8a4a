//! A sensor's windows as points of a chart: each of them, or some at a time taken together.

use std::collections::BTreeMap;

use tidegauge_serve::console::SensorHistory;

use super::index::finite;

/// A window of one sensor. Numbers that are not there are NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub end_us: i64,
    /// In the order of the features' names.
    pub features: Vec<f64>,
    pub score: f64,
    pub threshold: f64,
    pub severity: f64,
    pub is_anomaly: Option<bool>,
    pub novelty: f64,
    pub alarm: Option<bool>,
}

/// How long each of at most `points` points must be for the time (from, to]; `None` when the windows are no more
/// than that.
pub fn step(from_us: i64, to_us: i64, windows: usize, points: usize) -> Option<i64> {
    let (points, is_more) = (points.max(1), windows > points.max(1));
    let span = to_us.saturating_sub(from_us).max(1);
    let points = i64::try_from(points).unwrap_or(i64::MAX);
    is_more.then(|| span / points + i64::from(span % points != 0))
}

/// The points of windows, which are sorted by their ends, in (from, …].
pub fn history(
    windows: &[Window],
    features: &[String],
    from_us: i64,
    step_us: Option<i64>,
    has_onset: bool,
) -> SensorHistory {
    let same = |a: &Window, b: &Window| {
        let place = |window: &Window| {
            step_us.map(|step| {
                window.end_us.saturating_sub(from_us).saturating_sub(1).div_euclid(step)
            })
        };
        step_us.is_some() && place(a) == place(b)
    };
    let groups: Vec<&[Window]> = windows.chunk_by(same).collect();
    let floats = |get: &dyn Fn(&Window) -> f64, of: fn(&mut dyn Iterator<Item = f64>) -> f64| {
        let value = |group: &&[Window]| {
            finite(of(&mut group.iter().map(get).filter(|number| number.is_finite())))
        };
        groups.iter().map(value).collect::<Vec<_>>()
    };
    let any = |get: fn(&Window) -> Option<bool>| {
        let value = |group: &&[Window]| group.iter().filter_map(get).reduce(|a, b| a || b);
        groups.iter().map(value).collect::<Vec<_>>()
    };
    let last = |group: &&[Window]| group.last().expect("no group is empty").clone();
    let means = features
        .iter()
        .enumerate()
        .map(|(n, name)| (name.clone(), floats(&|window: &Window| window.features[n], mean)));
    SensorHistory {
        window_end_us: groups.iter().map(|group| last(group).end_us).collect(),
        features: means.collect::<BTreeMap<_, _>>(),
        score: floats(&|window| window.score, most),
        threshold: groups.iter().map(|group| finite(last(group).threshold)).collect(),
        severity: floats(&|window| window.severity, most),
        is_anomaly: any(|window| window.is_anomaly),
        novelty: if has_onset { floats(&|window| window.novelty, most) } else { Vec::new() },
        alarm: if has_onset { any(|window| window.alarm) } else { Vec::new() },
    }
}

/// The mean of finite numbers; NaN of none.
fn mean(numbers: &mut dyn Iterator<Item = f64>) -> f64 {
    let (mut n, mut mean) = (0.0, f64::NAN);
    for number in numbers {
        n += 1.0;
        // Sums of large numbers may leave the range.
        mean = if n == 1.0 { number } else { mean + (number - mean) / n };
    }
    mean
}

fn most(numbers: &mut dyn Iterator<Item = f64>) -> f64 {
    numbers.fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests;
