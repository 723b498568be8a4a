//! What the lake must hold: each reading put into its window by plain sums, none of our code in it.

use std::cmp::Ordering;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use serde::Deserialize;

/// Mean, smallest and largest value may differ by this part of themselves.
const RELATIVE: f64 = 1e-9;
/// A standard deviation may differ by this part of itself, and by [`RELATIVE`] of the mean.
const RELATIVE_DEVIATION: f64 = 1e-6;
/// Differences that are named one by one.
const NAMED_MAX: usize = 10;

/// One window of one sensor. The statistics are `None` where SQL says null.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Row {
    pub device: i64,
    pub sensor: i64,
    /// Microseconds since the epoch.
    pub end_us: i64,
    pub n: u64,
    /// The same count, by the pipeline itself and not by the query.
    pub n_readings: u64,
    pub mean: Option<f64>,
    pub deviation: Option<f64>,
    pub lowest: Option<f64>,
    pub highest: Option<f64>,
    #[serde(default)]
    pub status: String,
    pub score: Option<f64>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "TS")]
    time: &'a str,
    #[serde(rename = "Device")]
    device: i64,
    #[serde(rename = "Sensor", alias = "Tag")]
    sensor: i64,
    #[serde(rename = "Value")]
    value: f64,
}

/// Which of its two ends a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Start,
    End,
}

/// Windows of so many seconds, of which one ends every `slide_seconds`.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub seconds: u64,
    pub slide_seconds: u64,
    pub holds: Holds,
}

/// Aggregates a file of events by windows; a reading counts in each window that it lies in.
///
/// # Errors
/// When the file can't be read as what `simulate` writes.
pub fn aggregate(file: &Path, span: Span) -> Result<Vec<Row>> {
    let slide_ns = i64::try_from(span.slide_seconds * 1_000_000_000)?;
    let overlapping = i64::try_from(span.seconds / span.slide_seconds)?;
    let mut readings: Vec<((i64, i64, i64), f64)> = Vec::new();
    for line in BufReader::new(File::open(file)?).lines() {
        let line = line?;
        let event: Event<'_> = serde_json::from_str(&line).with_context(|| line.clone())?;
        let time_ns = string_to_timestamp_nanos(event.time)?;
        let first_end_ns = match span.holds {
            Holds::End => (time_ns + slide_ns - 1).div_euclid(slide_ns) * slide_ns,
            Holds::Start => (time_ns.div_euclid(slide_ns) + 1) * slide_ns,
        };
        for later in 0..overlapping {
            let end_us = (first_end_ns + later * slide_ns) / 1000;
            readings.push(((event.device, event.sensor, end_us), event.value));
        }
    }
    // Stable: each window keeps the order of its readings.
    readings.sort_by_key(|(window, _)| *window);
    let windows = readings.chunk_by(|(left, _), (right, _)| left == right);
    Ok(windows.map(row).collect())
}

fn row(readings: &[((i64, i64, i64), f64)]) -> Row {
    let (device, sensor, end_us) = readings[0].0;
    let values = || readings.iter().map(|(_, value)| *value);
    let count = readings.len() as f64;
    let mean = values().sum::<f64>() / count;
    let squares: f64 = values().map(|value| (value - mean).powi(2)).sum();
    Row {
        device,
        sensor,
        end_us,
        n: readings.len() as u64,
        n_readings: readings.len() as u64,
        mean: Some(mean),
        deviation: (readings.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        lowest: values().reduce(f64::min),
        highest: values().reduce(f64::max),
        status: String::new(),
        score: None,
    }
}

/// Compares the lake's rows, in any order, with the expected ones.
///
/// # Errors
/// When they differ: how much, and the first differences.
pub fn compare(expected: &[Row], rows: Vec<Row>, scored: bool) -> Result<()> {
    compare_by(expected, rows, |row, expected| row.agrees(expected, scored))
}

/// Compares rows of another engine, which scores nothing.
///
/// # Errors
/// As [`compare`].
pub fn compare_sums(expected: &[Row], rows: Vec<Row>) -> Result<()> {
    compare_by(expected, rows, Row::agrees_in_sums)
}

fn compare_by(
    expected: &[Row],
    mut rows: Vec<Row>,
    agrees: impl Fn(&Row, &Row) -> bool,
) -> Result<()> {
    ensure!(!expected.is_empty(), "nothing is expected: there is nothing to compare with");
    rows.sort_by_key(Row::window);
    let mut wrong = Wrong::default();
    let (mut left, mut right) = (expected.iter().peekable(), rows.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(expected), Some(row)) => expected.window().cmp(&row.window()),
        };
        match order {
            Ordering::Less => wrong.add(left.next(), None),
            // A second row for one window ends here too.
            Ordering::Greater => wrong.add(None, right.next()),
            Ordering::Equal => match (left.next(), right.next()) {
                (Some(expected), Some(row)) if agrees(row, expected) => {}
                (expected, row) => wrong.add(expected, row),
            },
        }
    }
    wrong.into_result(expected.len(), rows.len())
}

#[derive(Default)]
struct Wrong {
    count: usize,
    named: Vec<String>,
}

impl Wrong {
    fn add(&mut self, expected: Option<&Row>, found: Option<&Row>) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            let text = |row: Option<&Row>| row.map_or("no row".to_string(), Row::to_string);
            self.named.push(format!("expected {}\n   found {}", text(expected), text(found)));
        }
    }

    fn into_result(self, expected: usize, found: usize) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        bail!(
            "the lake is wrong: {found} rows, {expected} expected, {} differences\n{}",
            self.count,
            self.named.join("\n")
        )
    }
}

impl Row {
    fn window(&self) -> (i64, i64, i64) {
        (self.device, self.sensor, self.end_us)
    }

    fn agrees(&self, expected: &Self, scored: bool) -> bool {
        self.agrees_in_sums(expected)
            && self.status == expected.status_due(scored)
            && self.score.is_some() == (self.status == "ok")
    }

    fn agrees_in_sums(&self, expected: &Self) -> bool {
        let mean = expected.mean.unwrap_or(0.0).abs();
        let close = |left: Option<f64>, right: Option<f64>| near(left, right, RELATIVE, 0.0);
        self.n == expected.n
            && self.n_readings == expected.n
            && close(self.mean, expected.mean)
            && close(self.lowest, expected.lowest)
            && close(self.highest, expected.highest)
            && near(self.deviation, expected.deviation, RELATIVE_DEVIATION, RELATIVE * mean)
    }

    /// A single reading has no standard deviation, so no features to score.
    fn status_due(&self, scored: bool) -> &'static str {
        match (scored, self.n) {
            (false, _) => "no_model",
            (true, 1) => "invalid_features",
            (true, _) => "ok",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, sensor, end_us, n, n_readings, status, .. } = self;
        let Self { mean, deviation, lowest, highest, .. } = self;
        let end = tidegauge_flow::time::rfc3339(end_us * 1000);
        write!(
            f,
            "{device}/{sensor} until {end}: n {n} ({n_readings}), mean {mean:?}, deviation \
             {deviation:?}, {lowest:?} to {highest:?} {status}"
        )
    }
}

fn near(left: Option<f64>, right: Option<f64>, relative: f64, absolute: f64) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => (left - right).abs() <= relative * right.abs() + absolute,
        (None, None) => true,
        _ => false,
    }
}
