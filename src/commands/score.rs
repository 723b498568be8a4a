//! `score`: stored readings through the same query and models, into a lake of their own.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::load;
use crate::cli::Score;
use crate::config::SourceKind;
use crate::files::{self, Clock, Ended};
use crate::pipeline::{self, Pipeline, local_path};
use crate::signals::Signals;

pub fn run(args: &Score) -> Result<ExitCode> {
    let mut config = load(&args.configured)?;
    config.source.kind = SourceKind::Files;
    config.source.paths.clone_from(&args.inputs);
    if config.models.url.is_none() {
        // The models are those of the configured lake, not of the one that is made.
        let lake = local_path(&config.lake.url).trim_end_matches('/');
        config.models.url = Some(format!("{lake}/_tidegauge/models"));
    }
    config.lake.url.clone_from(&args.output);
    let registry = pipeline::registry(&config)?;
    if registry.alias(&config.models.alias)?.is_none() {
        let place = config.models.url.as_deref().unwrap_or_default();
        eprintln!("note: there are no models at {place}: every row gets the status no_model");
    }
    let pipeline = Arc::new(Pipeline::open(config)?);
    let ended = files::run(&pipeline, Clock::Batch, &Signals::install()?)?;
    summary(&args.output, &pipeline)?;
    if ended == Ended::Stopped {
        println!("stopped: run the same command again to go on");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(output: &str, pipeline: &Pipeline) -> Result<()> {
    let sql = "SELECT status, count(*) AS rows, coalesce(sum(CASE WHEN is_anomaly THEN 1 ELSE 0 END), 0) \
               AS anomalies FROM predictions GROUP BY status ORDER BY status";
    let rows = super::query::select(output, &pipeline.registry, sql)?;
    println!("{}", datafusion::arrow::util::pretty::pretty_format_batches(&rows)?);
    println!(
        "tidegauge query --lake {output} \"SELECT * FROM predictions WHERE is_anomaly LIMIT 10\""
    );
    Ok(())
}
