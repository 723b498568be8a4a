//! `models missing`: sensors of the lake that no model of their own judges.

use std::process::ExitCode;

use anyhow::{Context, Result};
use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;
use tidegauge_score::Status;

use crate::commands::query;
use crate::config::Config;
use crate::pipeline;
use crate::say::say;
use crate::sql::quoted;

/// What is said of a sensor, behind its key: the status of its newest row, the rows of this status and
/// the newest window's end.
const SAID: [&str; 3] = ["status", "rows", "last window"];

/// Lists sensors whose newest row has the status `no_model`, then those with `fallback`.
pub fn run(config: &Config) -> Result<ExitCode> {
    let sensors = sensors(config)?;
    let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let (all, missing) = (count(&sensors), with(&sensors, Status::NoModel)?);
    let fallback = with(&sensors, Status::Fallback)?;
    let (none, standing_in) = (count(&missing), count(&fallback));
    for batches in [missing, fallback].iter().filter(|batches| count(batches) > 0) {
        say!("{}", pretty_format_batches(batches)?);
    }
    say!("{all} sensors in the lake: {none} without a model, {standing_in} judged by a fallback");
    Ok(ExitCode::SUCCESS)
}

/// The newest row's status of every sensor, by key.
fn sensors(config: &Config) -> Result<Vec<RecordBatch>> {
    let keys: Vec<_> = config.event.key.columns().iter().map(|k| quoted(&k.name)).collect();
    let keys = keys.join(", ");
    // Names of our own, for a key column may have any.
    let sql = format!(
        "SELECT {keys}, tidegauge_status, \
         CASE WHEN tidegauge_status = '{}' THEN tidegauge_missing ELSE tidegauge_fallback END, \
         tidegauge_last FROM (SELECT {keys}, \
         last_value(status ORDER BY window_end, revision) AS tidegauge_status, \
         sum(CASE WHEN status = '{}' THEN 1 ELSE 0 END) AS tidegauge_missing, \
         sum(CASE WHEN status = '{}' THEN 1 ELSE 0 END) AS tidegauge_fallback, \
         max(window_end) AS tidegauge_last FROM predictions GROUP BY {keys}) ORDER BY {keys}",
        Status::NoModel.as_str(),
        Status::NoModel.as_str(),
        Status::Fallback.as_str(),
    );
    let (lake, registry) = (&config.lake, pipeline::registry(config)?);
    let batches = query::select(&lake.url, &lake.storage, &registry, &sql)?;
    batches.iter().map(|batch| renamed(batch, &SAID)).collect()
}

/// The sensors whose newest row has a status.
fn with(sensors: &[RecordBatch], status: Status) -> Result<Vec<RecordBatch>> {
    let of = |batch: &RecordBatch| {
        let column = batch.columns().len() - SAID.len();
        let found = cast(batch.column(column), &DataType::Utf8)?;
        let found: &StringArray = found.as_string();
        let wanted: BooleanArray = found.iter().map(|s| Some(s == Some(status.as_str()))).collect();
        Ok(filter_record_batch(batch, &wanted)?)
    };
    sensors.iter().map(of).collect()
}

/// The batch with other names for its last columns: they need not differ from those of the key.
pub(super) fn renamed(batch: &RecordBatch, names: &[&str]) -> Result<RecordBatch> {
    let schema = batch.schema();
    let first = schema.fields().len() - names.len();
    let field = |(at, field): (usize, &std::sync::Arc<Field>)| match at.checked_sub(first) {
        Some(at) => field.as_ref().clone().with_name(names[at]),
        None => field.as_ref().clone(),
    };
    let fields: Vec<Field> = schema.fields().iter().enumerate().map(field).collect();
    let renamed = RecordBatch::try_new(Schema::new(fields).into(), batch.columns().to_vec());
    renamed.context("the table of sensors")
}
