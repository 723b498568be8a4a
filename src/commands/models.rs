//! `models`: import, list, show, alias; and the table `models` for SQL.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::util::pretty::pretty_format_batches;
use tidegauge_flow::{SensorKey, time::rfc3339};
use tidegauge_score::import::import_files;
use tidegauge_score::{ModelEntry, ModelParams, Registry, Scorer};

use super::load;
use crate::cli::Models;
use crate::clock;
use crate::config::Config;
use crate::pipeline::{self, Newest};
use crate::say::say;

pub fn run(args: Models) -> Result<ExitCode> {
    match args {
        Models::Import { paths, configured, alias } => import(&paths, &load(&configured)?, alias),
        Models::List(configured) => list(&load(&configured)?),
        Models::Show { version, configured } => show(&load(&configured)?, version),
        Models::Alias { name, version, configured } => alias(&load(&configured)?, &name, version),
    }
}

fn import(paths: &[PathBuf], config: &Config, alias: Option<String>) -> Result<ExitCode> {
    let features = features(config)?;
    let (entries, refused) = import_files(paths, &config.event.key, &features);
    for (path, reason) in &refused {
        eprintln!("refused {}: {reason}", path.display());
    }
    if !refused.is_empty() || entries.is_empty() {
        eprintln!("nothing is imported: {} files refused, {} fit", refused.len(), entries.len());
        return Ok(ExitCode::FAILURE);
    }
    publish(config, entries, "imported", alias)
}

/// Publishes models as a new set over the alias's present one, and moves the alias to it.
pub fn publish(
    config: &Config,
    entries: Vec<ModelEntry>,
    note: &str,
    alias: Option<String>,
) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    let alias = alias.unwrap_or_else(|| config.models.alias.clone());
    let count = entries.len();
    // Sensors that the new set lacks keep the models that they have.
    let base = registry.alias(&alias)?.map(|record| record.version);
    let now = clock::now_us();
    let version = registry.publish(&config.event.key, entries, base, note, now)?;
    registry.move_alias(&alias, version, now)?;
    say!("{note} {count} models as set {version}; {alias} is set {version} now");
    Ok(ExitCode::SUCCESS)
}

/// The query's columns that models see.
pub fn features(config: &Config) -> Result<Vec<String>> {
    let scorer = pipeline::scorer(config, &*pipeline::plan(config)?, Newest::default());
    Ok(scorer.context("models.features")?.features().to_vec())
}

fn list(config: &Config) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    let sets = registry.sets()?;
    if sets.is_empty() {
        say!("no model sets; `tidegauge train` or `tidegauge models import` makes one");
    }
    let aliases = registry.aliases()?;
    for set in sets {
        let names: Vec<_> =
            aliases.iter().filter(|a| a.version == set.version).map(|a| a.name.as_str()).collect();
        match set.content {
            Ok((header, models)) => say!(
                "set {:<4} {models:>7} models  {}  {}{}  {}",
                set.version,
                rfc3339(header.created_us.saturating_mul(1000)),
                header.note,
                header.base.map_or(String::new(), |base| format!(", over set {base}")),
                names.join(" "),
            ),
            Err(error) => say!("set {:<4} cannot be read: {error}", set.version),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, version: Option<u64>) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    let version = match version {
        Some(version) => version,
        None => {
            let alias = &config.models.alias;
            let record = registry.alias(alias)?;
            record.with_context(|| format!("there is no alias {alias} yet"))?.version
        }
    };
    let models = registry.models(version)?;
    let row = |(entry, set): (&Arc<ModelEntry>, u64)| Row {
        entry: entry.clone(),
        set,
        aliases: String::new(),
    };
    let rows: Vec<_> = models.effective().map(row).collect();
    say!("{}", pretty_format_batches(&[batch(&rows)?])?);
    Ok(ExitCode::SUCCESS)
}

fn alias(config: &Config, name: &str, version: u64) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    // Models that don't fit this query must not come into force.
    let (query, keys) = (pipeline::plan(config)?, config.event.key.columns().len());
    let models = registry.models(version)?;
    Scorer::new(query.output(), keys, &config.models.features, Some(models), 1)
        .with_context(|| format!("set {version} does not fit this configuration"))?;
    let record = registry.move_alias(name, version, clock::now_us())?;
    say!("{} is set {} now", record.name, record.version);
    Ok(ExitCode::SUCCESS)
}

/// A model, the set that holds it, and the aliases that lead to it.
struct Row {
    entry: Arc<ModelEntry>,
    set: u64,
    aliases: String,
}

/// The table `models`: every model of every readable set.
pub fn table(registry: &Registry) -> Result<RecordBatch> {
    let mut reached: HashMap<(SensorKey, u64), Vec<String>> = HashMap::new();
    for alias in registry.aliases()? {
        // A set that can't be read is told by `models list`; it must not break every other query.
        let Ok(models) = registry.models(alias.version) else { continue };
        for (entry, set) in models.effective() {
            reached.entry((entry.key.clone(), set)).or_default().push(alias.name.clone());
        }
    }
    let mut rows = Vec::new();
    for set in registry.sets()?.into_iter().filter(|set| set.content.is_ok()) {
        let set = set.version;
        let Ok(loaded) = registry.load(set) else { continue };
        rows.extend(loaded.entries().map(|entry| {
            let aliases = reached.get(&(entry.key.clone(), set));
            Row {
                entry: entry.clone(),
                set,
                aliases: aliases.map_or_else(String::new, |a| a.join(" ")),
            }
        }));
    }
    batch(&rows)
}

fn vectors(model: &ModelParams) -> Option<u64> {
    match model {
        ModelParams::OneClassSvm(svm) => Some(svm.alpha().len() as u64),
        _ => None,
    }
}

fn batch(rows: &[Row]) -> Result<RecordBatch> {
    let text = |f: &dyn Fn(&ModelEntry) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| f(&row.entry))))
    };
    let number = |f: &dyn Fn(&ModelEntry) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| f(&row.entry)).collect::<Float64Array>())
    };
    let count = |f: &dyn Fn(&ModelEntry) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| f(&row.entry)).collect::<UInt64Array>())
    };
    let time = |f: &dyn Fn(&ModelEntry) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = rows.iter().map(|row| f(&row.entry)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let sets: UInt64Array = rows.iter().map(|row| Some(row.set)).collect();
    let aliases = StringArray::from_iter_values(rows.iter().map(|row| &row.aliases));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("model_set", Arc::new(sets)),
        ("sensor", text(&|m| m.key.to_string())),
        ("kind", text(&|m| m.model.kind().to_string())),
        ("features", text(&|m| m.features.join(","))),
        ("threshold", number(&|m| Some(m.threshold))),
        ("vectors", count(&|m| vectors(&m.model))),
        ("trained_from", time(&|m| m.training.map(|t| t.from_us))),
        ("trained_to", time(&|m| m.training.map(|t| t.to_us))),
        ("rows", count(&|m| m.training.map(|t| t.rows))),
        ("rows_used", count(&|m| m.training.map(|t| t.rows_used))),
        ("false_alarm_rate", number(&|m| m.training.and_then(|t| t.false_alarm_rate))),
        ("source", text(&|m| m.source.clone())),
        ("hash", text(&ModelEntry::hash)),
        ("aliases", Arc::new(aliases)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).context("the table models")
}
