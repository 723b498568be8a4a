//! `query`: SQL over a lake, at rest or while a pipeline runs.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::util::pretty::pretty_format_batches;

use tidegauge_sink::Storage;

use crate::cli::{Query, RowFormat};
use crate::config::{self, Device};
use crate::pipeline;
use crate::tables;

pub fn run(args: &Query) -> Result<ExitCode> {
    let (lake, storage, registry, device) = match (&args.lake, &args.config) {
        (Some(lake), _) => {
            let storage = Storage::default();
            let store = pipeline::existing_store(lake, &storage)?;
            (lake.clone(), storage, pipeline::registry_of(store), None)
        }
        (None, Some(path)) => {
            let config = config::load(path, &[])?;
            let registry = pipeline::registry(&config)?;
            (config.lake.url, config.lake.storage, registry, config.models.device)
        }
        (None, None) => unreachable!("the command line requires one of them"),
    };
    let batches = select_with(&lake, &storage, &registry, device.as_ref(), &args.sql)?;
    print(&batches, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// The rows of a statement over the lake.
pub fn select(
    lake: &str,
    storage: &Storage,
    registry: &tidegauge_score::Registry,
    sql: &str,
) -> Result<Vec<RecordBatch>> {
    select_with(lake, storage, registry, None, sql)
}

fn select_with(
    lake: &str,
    storage: &Storage,
    registry: &tidegauge_score::Registry,
    device: Option<&Device>,
    sql: &str,
) -> Result<Vec<RecordBatch>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let session = tables::session(lake, storage, registry, device, sql).await?;
        let frame = session.sql(sql).await.context("the statement is not valid")?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let mut batches = frame.collect().await.context("the statement failed")?;
        if batches.is_empty() {
            // So that a table without rows still shows its columns.
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    })
}

fn print(batches: &[RecordBatch], format: RowFormat) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        RowFormat::Table => {
            let table = pretty_format_batches(batches)?.to_string();
            ignore_closed(writeln!(out, "{table}"))
        }
        RowFormat::Json => {
            let mut lines = Vec::new();
            let mut writer = LineDelimitedWriter::new(&mut lines);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
            ignore_closed(out.write_all(&lines))
        }
    }
}

/// A reader that has seen enough (`| head`) is no failure.
fn ignore_closed(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
