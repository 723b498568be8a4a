//! `models compare`: how far champion and challenger agree, sensor by sensor, as the lake has it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::sum;
use arrow::datatypes::Int64Type;
use datafusion::arrow::util::pretty::pretty_format_batches;
use tidegauge_flow::names;
use tidegauge_score::Status;

use super::missing::renamed;
use crate::commands::history::Range;
use crate::commands::{Usage, query};
use crate::config::Config;
use crate::pipeline;
use crate::say::say;
use crate::sql::{REVISED, newest, quoted};

/// Tells of each sensor how many rows both judged, on how many they agree, and who alone calls a row
/// anomalous; those that agree least first. A row of a fallback is not the champion's, and of a window that was
/// revised only the newest row counts.
pub fn run(config: &Config, range: Range) -> Result<ExitCode> {
    let Some(challenger) = &config.models.challenger else {
        return Err(Usage("compare needs [models.challenger] alias".into()).into());
    };
    let (lake, registry) = (&config.lake, pipeline::registry(config)?);
    let select = |sql: &str| query::select(&lake.url, &lake.storage, &registry, sql);
    let columns = select("SELECT * FROM predictions LIMIT 0")?;
    if columns.iter().all(|batch| batch.column_by_name(names::CHALLENGER_SET).is_none()) {
        let what = "was made without [models.challenger]: it has no columns of a challenger";
        anyhow::bail!("the lake at {} {what}", lake.url);
    }
    let champion = format!("{} only", config.models.alias);
    let challenger = format!("{challenger} only");
    let said = ["rows", "agreed", "agreed %", &champion, &challenger];
    let keys: Vec<_> = config.event.key.columns().iter().map(|k| quoted(&k.name)).collect();
    let rows = match select(REVISED)?.iter().all(|batch| batch.num_rows() == 0) {
        true => format!("(SELECT * FROM predictions WHERE {})", range.condition()),
        false => newest(&keys, &range.condition()),
    };
    let sensors = select(&sql(&keys.join(", "), &rows))?;
    let sensors = sensors.iter().map(|batch| renamed(batch, &said)).collect::<Result<Vec<_>>>()?;
    let total = |place: usize| -> Result<i64> {
        let of = |batch: &RecordBatch| {
            let column = batch.columns().len() - said.len() + place;
            let column = batch.column(column).as_primitive_opt::<Int64Type>();
            column.map(|column| sum(column).unwrap_or(0)).context("a count is no integer")
        };
        sensors.iter().map(of).sum()
    };
    let rows = total(0)?;
    if rows == 0 {
        say!("there are no rows that both have judged{}", range.text());
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", pretty_format_batches(&sensors)?);
    let count: usize = sensors.iter().map(RecordBatch::num_rows).sum();
    let agreed = total(1)? as f64 / rows as f64 * 100.0;
    let (first, second) = (total(3)?, total(4)?);
    say!(
        "{count} sensors, {rows} rows that both have judged: {agreed:.2} % agreed, {first} anomalies \
         of {champion}, {second} of {challenger}"
    );
    Ok(ExitCode::SUCCESS)
}

fn sql(keys: &str, from: &str) -> String {
    let (ours, theirs) = (names::IS_ANOMALY, names::CHALLENGER_IS_ANOMALY);
    let rows = |is: String| format!("sum(CASE WHEN {is} THEN 1 ELSE 0 END)");
    let agreed = rows(format!("{ours} = {theirs}"));
    let (first, second) =
        (rows(format!("{ours} AND NOT {theirs}")), rows(format!("{theirs} AND NOT {ours}")));
    format!(
        "SELECT {keys}, tidegauge_rows, tidegauge_agreed, \
         round(100.0 * tidegauge_agreed / tidegauge_rows, 2), tidegauge_first, tidegauge_second \
         FROM (SELECT {keys}, count(*) AS tidegauge_rows, {agreed} AS tidegauge_agreed, \
         {first} AS tidegauge_first, {second} AS tidegauge_second FROM {from} \
         WHERE status = '{}' AND {theirs} IS NOT NULL GROUP BY {keys}) \
         ORDER BY CAST(tidegauge_agreed AS DOUBLE) / tidegauge_rows, tidegauge_rows DESC, {keys}",
        Status::Ok.as_str(),
    )
}
