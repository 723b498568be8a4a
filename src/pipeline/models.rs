//! The models of a pipeline: what the aliases mean, and scorers that have it in force.

use std::sync::PoisonError;

use anyhow::{Result, anyhow};
use tidegauge_aggregate::Query;
use tidegauge_score::{Models, ScoreError, Scorer};

use super::Pipeline;
use crate::config::Config;

/// The models of each view; none where there are none, or none that are newer.
#[derive(Debug, Clone, Default)]
pub struct Newest {
    pub champion: Option<Models>,
    pub onset: Option<Models>,
}

/// The versions that a lane has in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    pub champion: Option<u64>,
    pub onset: Option<u64>,
}

impl InForce {
    pub fn of(scorer: &Scorer) -> Self {
        let newest = |versions: &[u64]| versions.first().copied();
        Self { champion: newest(scorer.model_sets()), onset: newest(scorer.onset_sets()) }
    }
}

impl Pipeline {
    /// A scorer with the models that the aliases mean now or, when these cannot be used, with the last
    /// ones that could.
    ///
    /// # Errors
    /// When no usable models were ever in force, or the configured features are not the query's.
    pub fn scorer(&self) -> Result<Scorer> {
        let made = self.newest().and_then(|m| Ok((self.scorer_with(m.clone())?, m)));
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        match (made, good.clone()) {
            (Ok((scorer, models)), _) => {
                *good = Some(models);
                Ok(scorer)
            }
            (Err(error), Some(models)) => {
                let alias = &self.config.models.alias;
                tracing::error!(alias, %error, "models kept: the new ones cannot be used");
                self.scorer_with(models)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The models that the aliases mean, where they are not the ones in force.
    pub fn newer_models(&self, in_force: InForce) -> Result<Newest> {
        let newer = |alias: &str, in_force: Option<u64>| -> Result<Option<Models>> {
            match self.registry.alias(alias)? {
                Some(record) if in_force != Some(record.version) => {
                    Ok(Some(self.registry.models(record.version)?))
                }
                _ => Ok(None),
            }
        };
        let settings = &self.config.models;
        let onset = settings.onset.as_ref().map(|onset| newer(&onset.alias, in_force.onset));
        let onset = onset.transpose().unwrap_or_else(|error| self.without_onset(&error));
        Ok(Newest { champion: newer(&settings.alias, in_force.champion)?, onset: onset.flatten() })
    }

    fn newest(&self) -> Result<Newest> {
        let settings = &self.config.models;
        Ok(Newest { champion: self.registry.resolve(&settings.alias)?, onset: self.onset_models() })
    }

    /// The onset view's models that its alias means; none when there are none or they cannot be used,
    /// which is told.
    pub fn onset_models(&self) -> Option<Models> {
        let onset = self.config.models.onset.as_ref()?;
        match self.registry.resolve(&onset.alias) {
            Ok(models) => models,
            Err(error) => self.without_onset(&anyhow::Error::from(error)),
        }
    }

    /// Models that nobody made by hand must not hold up those that someone did.
    fn without_onset<T>(&self, error: &anyhow::Error) -> Option<T> {
        self.metrics.model_reload_failures.inc();
        let error = format!("{error:#}");
        tracing::error!(error, "the onset view's models cannot be used");
        None
    }

    fn scorer_with(&self, models: Newest) -> Result<Scorer> {
        scorer(&self.config, &self.query, models)
    }
}

/// A scorer as a configuration wants it.
///
/// # Errors
/// When the configured features are not the query's, or the models don't fit them.
pub fn scorer(config: &Config, query: &Query, models: Newest) -> Result<Scorer> {
    let (key_columns, settings) = (config.event.key.columns().len(), &config.models);
    let Newest { champion, onset } = models;
    let (schema, features) = (query.output(), &settings.features);
    let scorer = Scorer::new(schema, key_columns, features, champion, settings.min_readings)?;
    match &settings.onset {
        Some(view) => scorer
            .with_onset(&view.settings, onset)
            .map_err(|error| of_other_features(error, &view.alias)),
        None => Ok(scorer),
    }
}

/// What to do when the onset view's features were changed.
fn of_other_features(error: ScoreError, alias: &str) -> anyhow::Error {
    let ScoreError::FeatureMismatch { expected, found, .. } = &error else { return error.into() };
    let only = |these: &[String], others: &[String]| {
        let only: Vec<_> = these.iter().filter(|name| !others.contains(name)).cloned().collect();
        if only.is_empty() { "none".into() } else { only.join(", ") }
    };
    let (before, now) = (only(expected, found), only(found, expected));
    anyhow!(
        "the models of the alias {alias} see other features than [models.onset] features names (only \
         theirs: {before}; only here: {now}; their order counts): models of other features need an alias \
         of their own, set [models.onset] alias to a new name"
    )
}
