//! The models of a pipeline: what the aliases mean, and scorers that have it in force.

use std::sync::PoisonError;

use anyhow::Result;
use tidegauge_aggregate::Query;
use tidegauge_score::{Models, Scorer};

use super::Pipeline;
use crate::config::Config;

/// The models of each view; none where there are none, or none that are newer.
#[derive(Debug, Clone, Default)]
pub struct Newest {
    pub champion: Option<Models>,
    pub onset: Option<Models>,
    pub challenger: Option<Models>,
    pub fallback: Option<Models>,
}

/// The versions that a lane has in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    pub champion: Option<u64>,
    pub onset: Option<u64>,
    pub challenger: Option<u64>,
    pub fallback: Option<u64>,
}

impl InForce {
    pub fn of(scorer: &Scorer) -> Self {
        let newest = |versions: &[u64]| versions.first().copied();
        Self {
            champion: newest(scorer.model_sets()),
            onset: newest(scorer.onset_sets()),
            challenger: newest(scorer.challenger_sets()),
            fallback: newest(scorer.fallback_sets()),
        }
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
        let beside = |alias: Option<&str>, in_force: Option<u64>| {
            let alias = alias?;
            newer(alias, in_force).unwrap_or_else(|error| self.without(alias, &error))
        };
        Ok(Newest {
            champion: newer(&settings.alias, in_force.champion)?,
            onset: onset.flatten(),
            challenger: beside(settings.challenger.as_deref(), in_force.challenger),
            fallback: beside(settings.group_alias(), in_force.fallback),
        })
    }

    fn newest(&self) -> Result<Newest> {
        let settings = &self.config.models;
        let onset = settings.onset.as_ref().map(|onset| self.registry.resolve(&onset.alias));
        let onset = onset
            .transpose()
            .unwrap_or_else(|error| self.without_onset(&anyhow::Error::from(error)));
        let beside = |alias: Option<&str>| {
            let alias = alias?;
            let found = self.registry.resolve(alias);
            found.unwrap_or_else(|error| self.without(alias, &error.into()))
        };
        Ok(Newest {
            champion: self.registry.resolve(&settings.alias)?,
            onset: onset.flatten(),
            challenger: beside(settings.challenger.as_deref()),
            fallback: beside(settings.group_alias()),
        })
    }

    /// Models that nobody made by hand must not hold up those that someone did.
    fn without_onset<T>(&self, error: &anyhow::Error) -> Option<T> {
        self.metrics.model_reload_failures.inc();
        let error = format!("{error:#}");
        tracing::error!(error, "the onset view's models cannot be used");
        None
    }

    /// The same for what stands beside the champion.
    fn without<T>(&self, alias: &str, error: &anyhow::Error) -> Option<T> {
        self.metrics.model_reload_failures.inc();
        let error = format!("{error:#}");
        tracing::error!(alias, error, "models beside the champion cannot be used");
        None
    }

    /// Challenger and fallback that don't fit are left out: they must not hold up the champion.
    fn scorer_with(&self, models: Newest) -> Result<Scorer> {
        let (challenger, fallback) = (models.challenger.clone(), models.fallback.clone());
        let models = Newest { challenger: None, fallback: None, ..models };
        let mut scorer = scorer(&self.config, &self.query, models)?;
        let settings = &self.config.models;
        if let Err(error) = scorer.replace_challenger_models(challenger) {
            let alias = settings.challenger.as_deref().unwrap_or_default();
            self.without::<()>(alias, &error.into());
        }
        if let Err(error) = scorer.replace_fallback_models(fallback) {
            self.without::<()>(settings.group_alias().unwrap_or_default(), &error.into());
        }
        Ok(scorer)
    }
}

/// A scorer as a configuration wants it.
///
/// # Errors
/// When the configured features are not the query's, or the models don't fit them.
pub fn scorer(config: &Config, query: &Query, models: Newest) -> Result<Scorer> {
    let (key_columns, settings) = (config.event.key.columns().len(), &config.models);
    let Newest { champion, onset, challenger, fallback } = models;
    let (schema, features) = (query.output(), &settings.features);
    let mut scorer = Scorer::new(schema, key_columns, features, champion, settings.min_readings)?;
    if let Some(view) = &settings.onset {
        scorer = scorer.with_onset(&view.settings, onset)?;
    }
    if settings.challenger.is_some() {
        scorer = scorer.with_challenger(challenger)?;
    }
    if let Some(settings) = &settings.fallback {
        scorer = scorer.with_fallback(&settings.settings, fallback)?;
    }
    Ok(scorer)
}
