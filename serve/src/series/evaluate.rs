//! What an expression comes to: its time, its series, and which of them are the largest.

use std::collections::BTreeMap;

use super::parse::{Expression, Rank};
use super::{Fold, Line, NAME, POINTS_MAX, SERIES_MAX, Series, Steps, Wanted};
use crate::console::{Answer, ConsoleError};

/// How far back a selector at one point of time looks, as in Prometheus.
const LOOKBACK_US: i64 = 300 * 1_000_000;
/// The longest time that is looked at for one answer: a bit more than a year.
const RANGE_MAX_US: i64 = 400 * 86_400 * 1_000_000;

/// The points of time of a question.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// One.
    At(i64),
    /// From, to, step.
    Between(i64, i64, i64),
}

/// The series of an expression, with their names, by labels.
pub(super) fn evaluate(
    series: &dyn Series,
    expression: &Expression,
    when: When,
) -> Answer<Vec<Line>> {
    let family = &expression.selector.family;
    known(series, family)?;
    let (steps, fold) = steps(expression, when)?;
    let wanted = Wanted {
        family: family.clone(),
        matchers: expression.selector.matchers.clone(),
        after_us: steps.start_us.saturating_sub(steps.width_us),
        to_us: steps.at(steps.count - 1),
    };
    if wanted.to_us.saturating_sub(wanted.after_us) > RANGE_MAX_US {
        return invalid("the range is longer than 400 days; ask for less at a time");
    }
    let mut lines = series.lines(&wanted, &steps, fold)?;
    if let Some((rank, count)) = expression.top {
        keep(&mut lines, rank, count);
    }
    if lines.len() > SERIES_MAX {
        return invalid(&format!(
            "{} series, more than {SERIES_MAX}; name fewer sensors, or use topk",
            lines.len()
        ));
    }
    // A function's result has no name, as in Prometheus.
    if expression.over.is_none_or(|(fold, _)| fold == Fold::Last) {
        for line in &mut lines {
            line.labels.insert(NAME.to_owned(), family.clone());
        }
    }
    match (expression.top, when) {
        (Some((rank, _)), When::At(_)) => sort(&mut lines, rank),
        _ => lines.sort_by(|a, b| a.labels.cmp(&b.labels)),
    }
    Ok(lines)
}

/// Refuses what is no family: an empty answer would look as if all were well.
pub(super) fn known(series: &dyn Series, family: &str) -> Answer<()> {
    let families = series.families()?;
    if families.iter().any(|known| known.name == family) {
        return Ok(());
    }
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    invalid(&format!("the lake has no {family:?}; there are {}", names.join(", ")))
}

fn steps(expression: &Expression, when: When) -> Answer<(Steps, Option<Fold>)> {
    let (fold, width_us) = match (expression.over, when) {
        (Some((fold, over_us)), _) => (Some(fold), over_us),
        (None, When::At(_)) => (None, LOOKBACK_US),
        (None, When::Between(_, _, step_us)) => (None, step_us),
    };
    let (start_us, end_us, step_us) = match when {
        When::At(at_us) => (at_us, at_us, width_us),
        When::Between(start_us, end_us, step_us) => (start_us, end_us, step_us),
    };
    if step_us <= 0 {
        return invalid("the step is zero or less; use a positive one");
    }
    let length = end_us.checked_sub(start_us).filter(|length| *length >= 0);
    let Some(length) = length else {
        return invalid("the end lies before the start");
    };
    let count = length / step_us + 1;
    if count > POINTS_MAX {
        return invalid(&format!("{count} points, more than {POINTS_MAX}; use a larger step"));
    }
    if count > 1 && width_us > step_us {
        return invalid(
            "windows would count for several points: over a range, …_over_time takes at most the step",
        );
    }
    // One point stands for all of its time.
    let step_us = if count == 1 { step_us.max(width_us) } else { step_us };
    Ok((Steps { start_us, step_us, count, width_us }, fold))
}

/// Leaves at each point only so many series.
fn keep(lines: &mut Vec<Line>, rank: Rank, count: usize) {
    let mut by_time: BTreeMap<i64, Vec<(f64, usize)>> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        for (time, value) in &line.points {
            by_time.entry(*time).or_default().push((*value, place));
        }
    }
    let mut kept = vec![Vec::new(); lines.len()];
    for (time, mut values) in by_time {
        values.sort_by(|(a, _), (b, _)| order(rank, *a, *b));
        for (value, place) in values.into_iter().take(count) {
            kept[place].push((time, value));
        }
    }
    for (line, points) in lines.iter_mut().zip(kept) {
        line.points = points;
    }
    lines.retain(|line| !line.points.is_empty());
}

fn sort(lines: &mut [Line], rank: Rank) {
    let value = |line: &Line| line.points.last().map_or(f64::NAN, |(_, value)| *value);
    lines.sort_by(|a, b| order(rank, value(a), value(b)).then_with(|| a.labels.cmp(&b.labels)));
}

fn order(rank: Rank, a: f64, b: f64) -> std::cmp::Ordering {
    match rank {
        Rank::Top => b.total_cmp(&a),
        Rank::Bottom => a.total_cmp(&b),
    }
}

pub(super) fn invalid<T>(what: &str) -> Answer<T> {
    Err(ConsoleError::Invalid(what.to_owned()))
}
