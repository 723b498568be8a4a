//! `models`: import, export, list, show, report, missing, compare, alias, rollback; and tables of models and
//! trainings for SQL.

mod compare;
mod export;
mod missing;
pub mod moves;
pub mod report;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use datafusion::arrow::util::pretty::pretty_format_batches;
use tidegauge_flow::KeySchema;
use tidegauge_flow::time::rfc3339;
use tidegauge_score::import::import_files;
use tidegauge_score::{About, ModelEntry};

pub use self::table::table;
use self::table::{Row, batch};

use super::history::range;
use super::{Usage, load};
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
        Models::Alias { name, version, configured } => {
            moves::alias(&load(&configured)?, &name, version)
        }
        Models::Report { version, configured } => report::show(&load(&configured)?, version),
        Models::Rollback { name, configured } => {
            moves::rollback(&load(&configured)?, name.as_deref())
        }
        Models::Missing(configured) => missing::run(&load(&configured)?),
        Models::Compare { configured, from, to } => {
            compare::run(&load(&configured)?, range(from.as_deref(), to.as_deref())?)
        }
        Models::Export { folder, format, version, configured } => {
            export::run(&load(&configured)?, &folder, format, version)
        }
    }
}

fn import(paths: &[PathBuf], config: &Config, alias: Option<String>) -> Result<ExitCode> {
    let alias = alias.unwrap_or_else(|| config.models.alias.clone());
    check_alias(config, Of::Sensors, &alias)?;
    let features = features(config)?;
    let (entries, refused) = import_files(paths, &config.event.key, &features);
    for (path, reason) in &refused {
        eprintln!("refused {}: {reason}", path.display());
    }
    if !refused.is_empty() || entries.is_empty() {
        eprintln!("nothing is imported: {} files refused, {} fit", refused.len(), entries.len());
        return Ok(ExitCode::FAILURE);
    }
    publish(config, &config.event.key, entries, "imported", &alias)
}

/// What models are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Sensors,
    Groups,
}

/// # Errors
/// [`Usage`] when an alias is configured for models of the other kind: with both in one chain, neither
/// could be used any more.
pub fn check_alias(config: &Config, of: Of, alias: &str) -> Result<()> {
    let models = &config.models;
    let of_groups = ("models.fallback.alias", models.group_alias());
    let of_sensors = [
        ("models.alias", Some(models.alias.as_str())),
        ("models.onset.alias", models.onset.as_ref().map(|onset| onset.alias.as_str())),
        ("models.challenger.alias", models.challenger.as_deref()),
        ("models.train.alias", models.retrain.as_ref().map(|retrain| retrain.alias.as_str())),
    ];
    let (others, advice): (&[_], _) = match of {
        Of::Sensors => (&[of_groups], "train groups with train --group, or name another alias"),
        Of::Groups => (&of_sensors, "leave --alias out, or name another alias"),
    };
    let Some((key, _)) = others.iter().find(|(_, other)| *other == Some(alias)) else {
        return Ok(());
    };
    let (kind, other) = match of {
        Of::Sensors => ("sensors", "groups"),
        Of::Groups => ("groups", "sensors"),
    };
    let what =
        format!("models of {kind} can't go under {alias}, {key}, which has those of {other}");
    Err(Usage(format!("{what}: {advice}")).into())
}

/// Publishes models, which are named by these key columns, as a new set over the alias's present one, and
/// moves the alias to it.
pub fn publish(
    config: &Config,
    key: &KeySchema,
    entries: Vec<ModelEntry>,
    about: impl Into<About>,
    alias: &str,
) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    let (about, count) = (about.into(), entries.len());
    let note = about.note.clone();
    // Sensors that the new set lacks keep the models that they have.
    let version = registry.advance(alias, key, &entries, about, clock::now_us())?;
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

#[cfg(test)]
mod tests;
