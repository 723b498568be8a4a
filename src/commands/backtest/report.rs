//! What a backtest found, as tables: alarms and false alarms at several thresholds, events found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use tidegauge_flow::{SensorKey, names};
use tidegauge_score::{Event, Tried};

use crate::labels::Known;
use crate::say::say;

const WEEK_US: f64 = 7.0 * 86_400e6;
/// Sensors named one by one.
const NAMED_MAX: usize = 5;
/// Scores that the state view is looked at, beside each model's own threshold.
const THRESHOLDS: [f64; 7] = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0];
/// Severities that rows are counted at.
const SEVERITIES: [f64; 4] = [1.0, 2.0, 3.0, 4.0];

/// One scored row.
#[derive(Debug, Clone, Copy)]
struct Row {
    start_us: i64,
    end_us: i64,
    score: Option<f64>,
    flagged: bool,
    severity: Option<f64>,
    alarm: bool,
}

/// The rows of one sensor that were judged, rising in time.
struct History<'a> {
    key: &'a SensorKey,
    rows: Vec<Row>,
    has_onset: bool,
}

pub fn tell(tried: &[Tried], known: Option<&Known>) -> Result<()> {
    sensors(tried);
    let histories: Vec<History<'_>> = tried.iter().map(history).collect::<Result<_>>()?;
    let weeks: f64 = histories.iter().map(History::weeks).sum();
    if weeks == 0.0 {
        say!("no row was judged: train on fewer rows");
        return Ok(());
    }
    let seen = |event: &&Event| histories.iter().any(|history| history.covers(event));
    let of_labels = known.map(|known| Labelled {
        events: known.events.iter().filter(seen).collect(),
        false_alarms: &known.false_alarms,
    });
    let mut lines = vec![header(of_labels.as_ref())];
    let line = |name: String, flagged: &dyn Fn(&Row) -> bool| {
        let found = Found::of(&histories, flagged, of_labels.as_ref());
        found.line(&name, weeks)
    };
    if histories.iter().any(|h| h.rows.iter().any(|row| row.score.is_some())) {
        lines.push(line("state, as trained".into(), &|row| row.flagged));
        for threshold in THRESHOLDS {
            let over = move |row: &Row| row.score.is_some_and(|score| score >= threshold);
            lines.push(line(format!("state, {threshold:.1}"), &over));
        }
    }
    if histories.iter().any(|history| history.has_onset) {
        lines.push(line("onset alarms".into(), &|row| row.alarm));
    }
    say!("{}", lines.join("\n"));
    if let Some(labels) = &of_labels {
        say!("{} labelled events lie where rows were judged", labels.events.len());
    }
    severities(&histories);
    Ok(())
}

/// Who has a model, and why others have none.
fn sensors(tried: &[Tried]) {
    let skipped: Vec<_> =
        tried.iter().filter_map(|t| Some((&t.key, t.champion.as_ref().err()?))).collect();
    let (fits, failed) =
        tried.iter().fold((0, 0), |sum, t| (sum.0 + t.refits.0, sum.1 + t.refits.1));
    let training: u64 = tried.iter().map(|t| t.training_rows).sum();
    let trained = tried.len() - skipped.len();
    say!("{trained} of {} sensors trained on {training} windows", tried.len());
    for (key, reason) in skipped.iter().take(NAMED_MAX) {
        say!("skipped {key}: {reason}");
    }
    if skipped.len() > NAMED_MAX {
        say!("and {} sensors more", skipped.len() - NAMED_MAX);
    }
    if fits > 0 {
        say!("{fits} fits of the onset view, {failed} of them failed");
    }
}

fn history(tried: &Tried) -> Result<History<'_>> {
    let mut rows = Vec::new();
    for batch in &tried.predictions {
        rows.extend(batch_rows(batch)?);
    }
    let judged = rows.split_off((tried.training_rows as usize).min(rows.len()));
    let has_onset = tried.refits.0 > 0;
    Ok(History { key: &tried.key, rows: judged, has_onset })
}

fn batch_rows(batch: &RecordBatch) -> Result<Vec<Row>> {
    let column =
        |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
    let start = column(names::WINDOW_START)?.as_primitive::<TimestampMicrosecondType>();
    let end = column(names::WINDOW_END)?.as_primitive::<TimestampMicrosecondType>();
    let score = column(names::SCORE)?.as_primitive::<Float64Type>();
    let severity = column(names::SEVERITY)?.as_primitive::<Float64Type>();
    let flagged = column(names::IS_ANOMALY)?.as_boolean();
    let alarm = batch.column_by_name(names::ALARM).map(|column| column.as_boolean());
    let row = |i: usize| Row {
        start_us: start.value(i),
        end_us: end.value(i),
        score: score.is_valid(i).then(|| score.value(i)),
        flagged: flagged.is_valid(i) && flagged.value(i),
        severity: severity.is_valid(i).then(|| severity.value(i)),
        alarm: alarm.is_some_and(|alarm| alarm.is_valid(i) && alarm.value(i)),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

impl History<'_> {
    fn weeks(&self) -> f64 {
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return 0.0 };
        (last.end_us - first.start_us) as f64 / WEEK_US
    }

    /// Whether some of these rows lie in a range of this sensor.
    fn touches(&self, rows: &[Row], ranges: &[Event]) -> bool {
        let mut own = ranges.iter().filter(|range| range.is_of(self.key));
        own.any(|range| rows.iter().any(|row| range.holds(row.start_us, row.end_us)))
    }

    fn covers(&self, event: &Event) -> bool {
        event.is_of(self.key) && self.rows.iter().any(|row| event.holds(row.start_us, row.end_us))
    }
}

/// What is known of rows that were judged.
struct Labelled<'a> {
    events: Vec<&'a Event>,
    false_alarms: &'a [Event],
}

/// What a way of flagging rows finds.
#[derive(Debug, Default)]
struct Found {
    /// Runs of flagged rows.
    alarms: u64,
    /// Those that touch no event; 0 without labels.
    false_alarms: u64,
    /// Those of them that are labelled as such; `None` when no such label is there.
    known_false: Option<u64>,
    events: usize,
    found: usize,
    /// From the beginning of each event that was found to its first flagged window's end.
    delays_us: Vec<i64>,
    has_labels: bool,
}

impl Found {
    fn of(
        histories: &[History<'_>],
        flagged: &dyn Fn(&Row) -> bool,
        labels: Option<&Labelled<'_>>,
    ) -> Self {
        let events = labels.map_or(&[][..], |labels| &labels.events);
        let false_alarms = labels.map_or(&[][..], |labels| labels.false_alarms);
        let known_false = (!false_alarms.is_empty()).then_some(0);
        let has_labels = labels.is_some();
        let mut all = Self { has_labels, known_false, events: events.len(), ..Self::default() };
        let mut first: BTreeMap<usize, i64> = BTreeMap::new();
        for history in histories {
            let own: Vec<(usize, &&Event)> =
                events.iter().enumerate().filter(|(_, e)| e.is_of(history.key)).collect();
            for run in history.rows.chunk_by(|a, b| flagged(a) == flagged(b)) {
                if !flagged(&run[0]) {
                    continue;
                }
                all.alarms += 1;
                let mut touches = false;
                for row in run {
                    for (number, _) in own.iter().filter(|(_, e)| e.holds(row.start_us, row.end_us))
                    {
                        touches = true;
                        let at = first.entry(*number).or_insert(row.end_us);
                        *at = (*at).min(row.end_us);
                    }
                }
                all.false_alarms += u64::from(all.has_labels && !touches);
                let is_known = !touches && history.touches(run, false_alarms);
                all.known_false = all.known_false.map(|known| known + u64::from(is_known));
            }
        }
        all.found = first.len();
        all.delays_us = first.iter().map(|(n, at)| (at - events[*n].from_us).max(0)).collect();
        all.delays_us.sort_unstable();
        all
    }

    fn line(&self, name: &str, weeks: f64) -> String {
        let per_week = self.alarms as f64 / weeks;
        let mut line = format!("{name:<20} {:>8} {per_week:>16.2}", self.alarms);
        if self.has_labels {
            let delay = self.delays_us.get(self.delays_us.len() / 2);
            let delay = delay.map_or("-".into(), |us| format!("{:.0} s", *us as f64 / 1e6));
            let rate = self.false_alarms as f64 / weeks;
            let found = format!("{} of {}", self.found, self.events);
            let _ = write!(line, " {found:>12} {delay:>13} {rate:>22.2}");
        }
        if let Some(known) = self.known_false {
            let _ = write!(line, " {known:>12}");
        }
        line
    }
}

fn header(labels: Option<&Labelled<'_>>) -> String {
    let mut line = format!("{:<20} {:>8} {:>16}", "flagged by", "alarms", "per sensor-week");
    if labels.is_some() {
        let _ = write!(
            line,
            " {:>12} {:>13} {:>22}",
            "events found", "median delay", "false per sensor-week"
        );
    }
    if labels.is_some_and(|labels| !labels.false_alarms.is_empty()) {
        let _ = write!(line, " {:>12}", "known false");
    }
    line
}

fn severities(histories: &[History<'_>]) {
    let all: Vec<f64> =
        histories.iter().flat_map(|h| h.rows.iter().filter_map(|row| row.severity)).collect();
    if all.is_empty() {
        return;
    }
    let share = |least: f64| {
        let over = all.iter().filter(|severity| **severity >= least).count();
        format!("{least:.0}: {:.3} %", over as f64 / all.len() as f64 * 100.0)
    };
    let shares: Vec<String> = SEVERITIES.iter().map(|least| share(*least)).collect();
    say!("share of rows with at least this severity: {}", shares.join(", "));
}
