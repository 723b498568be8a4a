//! Aliases that move: to a version, and back.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use tidegauge_score::Registry;

use crate::clock;
use crate::config::Config;
use crate::pipeline::{self, Newest};
use crate::say::say;

/// Makes an alias mean a version.
pub fn alias(config: &Config, name: &str, version: u64) -> Result<ExitCode> {
    move_to(config, &pipeline::registry(config)?, name, version)
}

/// Makes an alias mean what it meant before its last move.
pub fn rollback(config: &Config, name: Option<&str>) -> Result<ExitCode> {
    let name = name.unwrap_or(&config.models.alias);
    let registry = pipeline::registry(config)?;
    let moves = registry.history(name)?;
    let now = moves.last().with_context(|| format!("there is no alias {name} yet"))?.version;
    let before = moves.iter().rev().find(|record| record.version != now);
    let before = before.ok_or_else(|| anyhow!("{name} has always been set {now}"))?;
    move_to(config, &registry, name, before.version)
}

fn move_to(config: &Config, registry: &Registry, name: &str, version: u64) -> Result<ExitCode> {
    // Models that don't fit this configuration must not come into force.
    let models = Some(registry.models(version)?);
    let settings = &config.models;
    let is_onset = settings.onset.as_ref().is_some_and(|onset| onset.alias == name);
    let newest = match name {
        _ if is_onset => Newest { onset: models, ..Newest::default() },
        _ if settings.challenger.as_deref() == Some(name) => {
            Newest { challenger: models, ..Newest::default() }
        }
        _ if settings.group_alias() == Some(name) => {
            Newest { fallback: models, ..Newest::default() }
        }
        _ => Newest { champion: models, ..Newest::default() },
    };
    pipeline::scorer(config, &*pipeline::plan(config)?, newest)
        .with_context(|| format!("set {version} does not fit this configuration"))?;
    let record = registry.move_alias(name, version, clock::now_us())?;
    say!("{} is set {} now", record.name, record.version);
    Ok(ExitCode::SUCCESS)
}
