//! The recent rows of each sensor of a lane, in bounded memory.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use tidegauge_flow::SensorId;

use super::expression::Expression;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Of the rows of so long, the first is remembered for the days after.
const SLOT_US: i64 = 300 * SECOND_US;

/// How far from the same time of day a remembered row may lie.
const TOLERANCE_US: i64 = 3_600 * SECOND_US;

/// Revisions of so many rows back find all that they need.
const REVISED_MAX: usize = 8;

/// What the features of a row are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Every feature has seen all that it looks at.
    Complete,
    /// The sensor has not had enough rows yet.
    WarmingUp,
    /// A feature is not finite, or looks at rows that are not held any more.
    Invalid,
}

/// What features need to be remembered, all together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    /// Columns of a row.
    pub columns: usize,
    /// Rows, the newest included; 0 when no feature looks back.
    pub rows: usize,
    /// Days of each column.
    pub days: Vec<usize>,
}

impl Needs {
    /// Widens them by a list of features.
    pub fn add(&mut self, features: &[Expression], columns: usize) {
        self.columns = self.columns.max(columns);
        self.days.resize(self.columns, 0);
        for feature in features.iter().filter(|feature| feature.looks_back()) {
            self.rows = self.rows.max(feature.rows());
            if let Expression::SameTimeGap { column, days } = *feature {
                self.days[column] = self.days[column].max(days);
            }
        }
    }

    /// Rows that a sensor holds at most.
    fn held(&self) -> usize {
        self.rows + REVISED_MAX
    }
}

/// The histories of a lane's sensors.
#[derive(Debug)]
pub(crate) struct Histories {
    pub(super) needs: Needs,
    /// By [`SensorId`]; grows as sensors are seen.
    pub(super) sensors: Vec<Option<Box<History>>>,
}

/// The recent rows of one sensor.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct History {
    /// Window ends, rising; from `first` on they are in use.
    pub ends: Vec<i64>,
    /// Row-major, parallel to `ends`.
    pub values: Vec<f64>,
    pub first: usize,
    /// Older rows than these have been let go.
    pub forgot: bool,
    /// For each column one row of each slot, oldest first.
    pub days: Vec<VecDeque<(i64, f64)>>,
    /// Rows so far, revisions left out.
    pub seen: u64,
    /// Rows that the sensor's alarm still rests for.
    pub resting: u32,
}

impl Histories {
    pub fn new(needs: Needs) -> Self {
        Self { needs, sensors: Vec::new() }
    }

    /// Bytes held, about.
    pub fn memory_bytes(&self) -> usize {
        let row = 8 * (self.needs.columns + 1);
        let held = |history: &History| {
            let days: usize = history.days.iter().map(VecDeque::capacity).sum();
            size_of::<History>() + row * history.ends.capacity() + 16 * days
        };
        self.sensors.iter().flatten().map(|history| held(history)).sum::<usize>()
            + self.sensors.capacity() * size_of::<usize>()
    }

    /// Adds a row, or replaces the one with this window end. Where it stands, if it is not older than
    /// all that is held; nothing is added then.
    ///
    /// # Panics
    /// When there are fewer values than columns.
    pub fn push(&mut self, sensor: SensorId, end_us: i64, values: &[f64]) -> Option<usize> {
        let index = sensor as usize;
        if index >= self.sensors.len() {
            self.sensors.resize_with(index + 1, || None);
        }
        let history = self.sensors[index].get_or_insert_default();
        history.remember(&self.needs, end_us, values);
        history.push(&self.needs, end_us, values)
    }

    /// Rows of the sensor so far.
    pub fn seen(&self, sensor: SensorId) -> u64 {
        let history = self.sensors.get(sensor as usize).and_then(Option::as_ref);
        history.map_or(0, |history| history.seen)
    }

    /// The rows that the sensor's alarm still rests for.
    pub fn resting(&mut self, sensor: SensorId) -> Option<&mut u32> {
        Some(&mut self.sensors.get_mut(sensor as usize)?.as_mut()?.resting)
    }

    /// The features of the row that [`Histories::push`] has put at `at`; `row` are its columns.
    pub fn features(
        &self,
        sensor: SensorId,
        at: Option<usize>,
        end_us: i64,
        row: &[f64],
        features: &[Expression],
        out: &mut [f64],
    ) -> Fit {
        let history = self.sensors.get(sensor as usize).and_then(Option::as_deref);
        let mut fit = Fit::Complete;
        for (feature, out) in features.iter().zip(out) {
            *out = match (feature, history.zip(at)) {
                (Expression::Column(column), _) => row[*column],
                (Expression::HourSin, _) => hour(end_us).sin(),
                (Expression::HourCos, _) => hour(end_us).cos(),
                (_, None) => f64::NAN,
                (feature, Some((history, at))) => {
                    let held = at + 1 - history.first;
                    if held < feature.rows() && history.forgot {
                        f64::NAN
                    } else {
                        if held < feature.rows() {
                            fit = Fit::WarmingUp;
                        }
                        history.feature(*feature, at, self.needs.columns)
                    }
                }
            };
            if !out.is_finite() {
                return Fit::Invalid;
            }
        }
        fit
    }
}

impl History {
    fn push(&mut self, needs: &Needs, end_us: i64, values: &[f64]) -> Option<usize> {
        let columns = needs.columns;
        let at = self.first + self.ends[self.first..].partition_point(|end| *end < end_us);
        if self.ends.get(at) == Some(&end_us) {
            self.values[at * columns..(at + 1) * columns].copy_from_slice(values);
            return Some(at);
        }
        if at == self.first && self.forgot {
            return None;
        }
        self.seen += 1;
        self.ends.insert(at, end_us);
        let here = at * columns;
        self.values.splice(here..here, values.iter().copied());
        let surplus = (self.ends.len() - self.first).saturating_sub(needs.held());
        self.first += surplus;
        self.forgot |= surplus > 0;
        // Moved together now and then, not at each row.
        let moved = if self.first > needs.held() { std::mem::take(&mut self.first) } else { 0 };
        self.ends.drain(..moved);
        self.values.drain(..moved * columns);
        // A row that is older than all others may have been let go at once.
        at.checked_sub(moved).filter(|at| *at >= self.first)
    }

    /// Keeps the row for the days after, if it is the first of its slot or takes that one's place.
    fn remember(&mut self, needs: &Needs, end_us: i64, values: &[f64]) {
        let slot = |end: i64| (end - 1).div_euclid(SLOT_US);
        self.days.resize_with(needs.columns, VecDeque::new);
        let wanted = self.days.iter_mut().zip(&needs.days).zip(values);
        for ((kept, days), value) in wanted.filter(|((_, days), _)| **days > 0) {
            let at = kept.partition_point(|(end, _)| *end < end_us);
            if let Some(same) = kept.get_mut(at).filter(|(end, _)| *end == end_us) {
                same.1 = *value;
            } else if at == kept.len() && kept.back().is_none_or(|b| slot(b.0) != slot(end_us)) {
                kept.push_back((end_us, *value));
            }
            let newest = kept.back().map_or(end_us, |(end, _)| *end);
            let oldest = newest.saturating_sub(*days as i64 * DAY_US + TOLERANCE_US);
            while kept.front().is_some_and(|(end, _)| *end < oldest) {
                kept.pop_front();
            }
        }
    }

    /// A feature that looks back, of the row at `at`.
    fn feature(&self, feature: Expression, at: usize, columns: usize) -> f64 {
        let value = |row: usize, column: usize| self.values[row * columns + column];
        match feature {
            Expression::Difference(column) if at > self.first => {
                value(at, column) - value(at - 1, column)
            }
            Expression::Difference(_) => 0.0,
            Expression::Rolling { column, rows, what } => {
                let from = (at + 1).saturating_sub(rows).max(self.first);
                what.of((from..at + 1).map(|row| value(row, column)))
            }
            Expression::SameTimeGap { column, days } => {
                self.same_time_gap(column, days, self.ends[at], value(at, column))
            }
            Expression::Column(_) | Expression::HourSin | Expression::HourCos => f64::NAN,
        }
    }

    /// 0 when nothing is remembered of any of the days.
    fn same_time_gap(&self, column: usize, days: usize, end_us: i64, value: f64) -> f64 {
        let kept = &self.days[column];
        let on = |day: usize| {
            let then = end_us.saturating_sub(day as i64 * DAY_US);
            let at = kept.partition_point(|(end, _)| *end < then);
            let near = [at.checked_sub(1), Some(at)].into_iter().flatten();
            let near = near.filter_map(|i| kept.get(i));
            let nearest = near.min_by_key(|(end, _)| (end - then).unsigned_abs())?;
            let is_near = (nearest.0 - then).unsigned_abs() <= TOLERANCE_US.unsigned_abs();
            is_near.then_some((value - nearest.1).abs())
        };
        let gaps = (1..=days).filter_map(on);
        gaps.min_by(f64::total_cmp).unwrap_or(0.0)
    }
}

/// The hour of day in UTC as an angle.
fn hour(end_us: i64) -> f64 {
    end_us.rem_euclid(DAY_US) as f64 / DAY_US as f64 * TAU
}
