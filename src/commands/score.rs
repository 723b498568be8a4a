//! `score`: stored readings through the same query and models, into a lake of their own.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::{Usage, load};
use crate::cli::Score;
use crate::config::SourceKind;
use crate::control::OpenWindows;
use crate::files::{self, Clock, Ended};
use crate::pipeline::{self, Pipeline, is_same_place, is_there, local_path};
use crate::say::say;
use crate::signals::Signals;

pub fn run(args: &Score) -> Result<ExitCode> {
    let mut config = load(&args.configured)?;
    config.source.kind = SourceKind::Files;
    config.source.paths.clone_from(&args.inputs);
    if config.models.url.is_none() && is_there(&config.lake.url) {
        // The models are those of the configured lake, not of the one that is made.
        let lake = local_path(&config.lake.url).trim_end_matches('/');
        config.models.url = Some(format!("{lake}/_tidegauge/models"));
    }
    if is_same_place(&config.lake.url, &args.output)? {
        let what = "--output is the configured lake: stored readings get a lake of their own";
        return Err(Usage(what.into()).into());
    }
    config.lake.url.clone_from(&args.output);
    // What is stored is nobody's alarm any more.
    config.alerts.clear();
    let registry = pipeline::registry(&config)?;
    if registry.alias(&config.models.alias)?.is_none() {
        let alias = &config.models.alias;
        let then = match config.models.fallback {
            Some(_) => "rows are judged by [models.fallback] at best",
            None => "every row gets the status no_model",
        };
        eprintln!("note: there is no alias {alias} yet: {then}");
    }
    let pipeline = Arc::new(Pipeline::open(config)?);
    let ended = files::run(&pipeline, Clock::Batch, OpenWindows::Close, &Signals::install()?)?;
    summary(&args.output, &pipeline)?;
    if ended == Ended::Stopped {
        say!("stopped: run the same command again to go on");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(output: &str, pipeline: &Pipeline) -> Result<()> {
    let sql = "SELECT status, count(*) AS rows, coalesce(sum(CASE WHEN is_anomaly THEN 1 ELSE 0 END), 0) \
               AS anomalies FROM predictions GROUP BY status ORDER BY status";
    let rows =
        super::query::select(output, &pipeline.config.lake.storage, &pipeline.registry, sql)?;
    say!("{}", datafusion::arrow::util::pretty::pretty_format_batches(&rows)?);
    let totals = pipeline.totals();
    if totals.rejected > 0 {
        say!("{} records cannot be read: see the table rejects", totals.rejected);
    }
    if totals.late > 0 {
        say!("{} readings are late: an earlier run closed their windows", totals.late);
    }
    say!("tidegauge query --lake {output} \"SELECT * FROM predictions WHERE is_anomaly LIMIT 10\"");
    Ok(())
}
