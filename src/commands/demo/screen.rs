//! The demo's live view: a few lines drawn over each other, or one line now and then in a pipe.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use tidegauge_flow::{names, time::rfc3339};
use tidegauge_serve::Metrics;

/// Anomalies that are shown.
const NEWEST: usize = 8;
/// How often a line is printed when the output is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The newest anomalies, as lines.
#[derive(Debug, Default)]
pub struct Anomalies {
    lines: VecDeque<String>,
    count: u64,
}

impl Anomalies {
    /// Takes the anomalies out of a batch of predictions.
    pub fn add(&mut self, batch: &RecordBatch) {
        let Some(flags) = batch.column_by_name(names::IS_ANOMALY) else { return };
        let flags = flags.as_boolean();
        for row in (0..batch.num_rows()).filter(|&r| flags.is_valid(r) && flags.value(r)) {
            self.count += 1;
            if let Some(line) = line(batch, row) {
                self.lines.push_back(line);
            }
            if self.lines.len() > NEWEST {
                self.lines.pop_front();
            }
        }
    }
}

fn line(batch: &RecordBatch, row: usize) -> Option<String> {
    let int = |name: &str| Some(batch.column_by_name(name)?.as_primitive::<Int64Type>().value(row));
    let float =
        |name: &str| Some(batch.column_by_name(name)?.as_primitive::<Float64Type>().value(row));
    let end = batch.column_by_name(names::WINDOW_END)?;
    let end = end.as_primitive::<TimestampMicrosecondType>().value(row);
    let reason = batch.column_by_name(names::REASON)?.as_string::<i32>().value(row);
    Some(format!(
        "{}  sensor {}/{}  mean {:8.2}  stddev {:6.2}  because of {reason}",
        rfc3339(end.saturating_mul(1000)),
        int("Device")?,
        int("Sensor")?,
        float("mean")?,
        float("stddev")?,
    ))
}

/// Where the view is drawn.
pub struct Screen {
    terminal: bool,
    drawn: usize,
    printed: Option<Instant>,
    last: Option<(Instant, f64)>,
    rate: f64,
}

impl Screen {
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, drawn: 0, printed: None, last: None, rate: 0.0 }
    }

    /// Shows the state of the pipeline.
    pub fn draw(
        &mut self,
        phase: &str,
        sent: u64,
        metrics: &Metrics,
        anomalies: &Mutex<Anomalies>,
    ) {
        let now = Instant::now();
        let read = metrics.sum("tidegauge_ingest_messages_total");
        if let Some((at, before)) = self.last {
            let seconds = (now - at).as_secs_f64().max(1e-3);
            self.rate = 0.7 * self.rate + 0.3 * (read - before) / seconds;
        }
        self.last = Some((now, read));
        let anomalies = anomalies.lock().unwrap_or_else(PoisonError::into_inner);
        let head = format!(
            "{phase:<24} {:>8.0} events/s   lag {:>5}   open windows {:>3}   rows {:>6}   commits {:>3}   anomalies {:>4}",
            self.rate,
            sent.saturating_sub(read as u64),
            metrics.sum("tidegauge_aggregate_open_windows"),
            metrics.sum("tidegauge_aggregate_rows_total"),
            metrics.sum("tidegauge_sink_commits_total"),
            anomalies.count,
        );
        let mut lines = vec![head];
        if self.terminal {
            lines.extend(anomalies.lines.iter().map(|line| format!("  {line}")));
        } else if self.printed.is_some_and(|at| now - at < LINE_EVERY) {
            return;
        }
        self.printed = Some(now);
        self.print(&lines);
    }

    fn print(&mut self, lines: &[String]) {
        let mut out = std::io::stdout().lock();
        if self.terminal && self.drawn > 0 {
            // Up to the first line of the last drawing, and clear to the end.
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
        }
        // A line that wraps would be drawn over only in part.
        let width = match self.terminal {
            true => usize::from(console::Term::stdout().size().1),
            false => usize::MAX,
        };
        for line in lines {
            let line: String = line.chars().take(width).collect();
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
        self.drawn = lines.len();
    }
}
