//! What came of trainings: what `train` and `models report` print and SQL reads as the table `trainings`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::util::pretty::pretty_format_batches;
use tidegauge_score::train::Report;
use tidegauge_score::{ModelEntry, Registry, SkipReason, SkippedSensor, TrainingRun};

use crate::commands::history::Range;
use crate::config::Config;
use crate::pipeline;
use crate::say::say;

/// Sensors that are shown in a terminal.
const SHOWN_MAX: usize = 20;

/// What came of one sensor.
pub(super) struct Line {
    pub(super) sensor: String,
    /// `trained`, `skipped`, `refused`, or `kept` of a model that an earlier training left.
    pub(super) outcome: &'static str,
    reason: Option<String>,
    what: Option<String>,
    rows: Option<u64>,
    false_alarm_rate: Option<f64>,
}

/// Prints what came of a training that has just been.
pub fn tell(report: &Report, run: &TrainingRun) -> Result<()> {
    let mut lines: Vec<Line> = run.named.iter().map(skipped).collect();
    lines.extend(report.entries.iter().map(|entry| of_model(entry, "trained")));
    print(lines, run)
}

/// Prints what came of the training of a set.
pub fn show(config: &Config, version: Option<u64>) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    let alias = &config.models.alias;
    let version = match version {
        Some(version) => version,
        None => {
            let record = registry.alias(alias)?;
            record.with_context(|| format!("there is no alias {alias} yet"))?.version
        }
    };
    let run = registry.training_run(version)?;
    let run = run.with_context(|| format!("set {version} does not tell how it was trained"))?;
    let schedule = run.schedule.as_ref().map_or(String::new(), |text| format!(", {text:?}"));
    let range = Range { from: run.from_us, to: run.to_us };
    say!("set {version}: trained on windows{}{schedule}", range.text());
    print(lines(&registry, version, &run)?, &run)?;
    Ok(ExitCode::SUCCESS)
}

/// The table `trainings`: what came of each sensor in each set that tells it.
pub fn table(registry: &Registry) -> Result<RecordBatch> {
    let mut all = Vec::new();
    for set in registry.sets()?.into_iter().filter(|set| set.content.is_ok()) {
        // A set that can't be read is told by `models list`; it must not break every other query.
        let Ok(Some(run)) = registry.training_run(set.version) else { continue };
        let Ok(lines) = lines(registry, set.version, &run) else { continue };
        let run = Arc::new(run);
        all.extend(lines.into_iter().map(|line| (set.version, run.clone(), line)));
    }
    let time = |get: fn(&TrainingRun) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = all.iter().map(|(_, run, _)| get(run)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let sets: UInt64Array = all.iter().map(|(set, ..)| Some(*set)).collect();
    let schedules: StringArray = all.iter().map(|(_, run, _)| run.schedule.as_deref()).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("model_set", Arc::new(sets)),
        ("schedule", Arc::new(schedules)),
        ("range_from", time(|run| run.from_us)),
        ("range_to", time(|run| run.to_us)),
    ];
    let lines: Vec<&Line> = all.iter().map(|(.., line)| line).collect();
    columns.extend(of_lines(&lines));
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table trainings")
}

/// What a set says of each sensor.
pub(super) fn lines(registry: &Registry, version: u64, run: &TrainingRun) -> Result<Vec<Line>> {
    let set = registry.load(version)?;
    let mut lines: Vec<Line> = run.named.iter().map(skipped).collect();
    let named: BTreeSet<&str> = run.named.iter().map(|named| named.sensor.as_str()).collect();
    for (place, entry) in set.entries().enumerate() {
        let is_named = || named.contains(entry.key.to_string().as_str());
        let is_new = run.has_made(place).unwrap_or_else(|| is_in_range(entry, run) && !is_named());
        lines.push(of_model(entry, if is_new { "trained" } else { "kept" }));
    }
    Ok(lines)
}

/// Whether a model's rows are of the training's range: what is known of sets that earlier versions wrote.
fn is_in_range(entry: &ModelEntry, run: &TrainingRun) -> bool {
    entry.training.as_ref().is_some_and(|training| {
        run.from_us.is_none_or(|from| training.from_us > from)
            && run.to_us.is_none_or(|to| training.to_us <= to)
    })
}

fn of_model(entry: &ModelEntry, outcome: &'static str) -> Line {
    Line {
        sensor: entry.key.to_string(),
        outcome,
        reason: None,
        what: None,
        rows: entry.training.as_ref().map(|training| training.rows_used),
        false_alarm_rate: entry.training.as_ref().and_then(|training| training.false_alarm_rate),
    }
}

fn skipped(skipped: &SkippedSensor) -> Line {
    let is_refused = skipped.reason == SkipReason::Degenerate(String::new()).word();
    Line {
        sensor: skipped.sensor.clone(),
        outcome: if is_refused { "refused" } else { "skipped" },
        reason: Some(skipped.reason.clone()),
        what: Some(skipped.what.clone()),
        rows: None,
        false_alarm_rate: None,
    }
}

/// Prints those without a model first, then the models that flag most.
fn print(mut lines: Vec<Line>, run: &TrainingRun) -> Result<()> {
    let rate = |line: &Line| line.false_alarm_rate.unwrap_or(-1.0);
    lines.sort_by(|a, b| {
        b.reason.is_some().cmp(&a.reason.is_some()).then(rate(b).total_cmp(&rate(a)))
    });
    let shown: Vec<&Line> = lines.iter().take(SHOWN_MAX).collect();
    let columns = of_lines(&shown).into_iter().map(|(name, column)| (name, column, true));
    say!("{}", pretty_format_batches(&[RecordBatch::try_from_iter_with_nullable(columns)?])?);
    let all = lines.len() as u64 + run.skipped_total() - run.named.len() as u64;
    if all > shown.len() as u64 {
        say!("and {} sensors more", all - shown.len() as u64);
    }
    if run.skipped_total() > 0 {
        let counts: Vec<_> = run.skipped.iter().map(|(word, n)| format!("{n} {word}")).collect();
        say!(
            "{} sensors got no new model ({}); models that they had stay",
            run.skipped_total(),
            counts.join(", ")
        );
    }
    Ok(())
}

fn of_lines(lines: &[&Line]) -> Vec<(&'static str, ArrayRef)> {
    let text = |get: fn(&Line) -> Option<&str>| -> ArrayRef {
        Arc::new(lines.iter().map(|line| get(line)).collect::<StringArray>())
    };
    let rows: UInt64Array = lines.iter().map(|line| line.rows).collect();
    let rates: Float64Array = lines.iter().map(|line| line.false_alarm_rate).collect();
    vec![
        ("sensor", text(|line| Some(&line.sensor))),
        ("outcome", text(|line| Some(line.outcome))),
        ("reason", text(|line| line.reason.as_deref())),
        ("rows_used", Arc::new(rows)),
        ("false_alarm_rate", Arc::new(rates)),
        ("what", text(|line| line.what.as_deref())),
    ]
}
