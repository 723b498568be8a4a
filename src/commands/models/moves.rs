//! Aliases that move: to a version, and back. The command and the live page use the same.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use tidegauge_score::{AliasRecord, Registry};

use crate::clock;
use crate::config::Config;
use crate::pipeline::{self, Newest};
use crate::say::say;

/// Makes an alias mean a version.
pub(super) fn alias(config: &Config, name: &str, version: u64) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    tell(&move_to(config, &registry, name, version, clock::now_us())?)
}

/// Makes an alias mean what it meant before its last move.
pub(super) fn rollback(config: &Config, name: Option<&str>) -> Result<ExitCode> {
    let name = name.unwrap_or(&config.models.alias);
    tell(&roll_back(config, &pipeline::registry(config)?, name, clock::now_us())?)
}

fn tell(moved: &AliasRecord) -> Result<ExitCode> {
    say!("{} is set {} now", moved.name, moved.version);
    Ok(ExitCode::SUCCESS)
}

/// Makes an alias mean what it meant before.
///
/// # Errors
/// When it never meant anything else, and as [`move_to`].
pub fn roll_back(
    config: &Config,
    registry: &Registry,
    name: &str,
    now_us: i64,
) -> Result<AliasRecord> {
    let now = registry.alias(name)?;
    let now = now.with_context(|| format!("there is no alias {name} yet"))?.version;
    let before = registry.before(name)?;
    let before = before.ok_or_else(|| anyhow!("{name} has always been set {now}"))?;
    move_to(config, registry, name, before.version, now_us)
}

/// Makes an alias mean a version.
///
/// # Errors
/// When the version's models don't fit the configuration, cannot be read, or the alias cannot be moved.
pub fn move_to(
    config: &Config,
    registry: &Registry,
    name: &str,
    version: u64,
    now_us: i64,
) -> Result<AliasRecord> {
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
    Ok(registry.move_alias(name, version, now_us)?)
}
