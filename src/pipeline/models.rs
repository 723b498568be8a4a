//! The models of a pipeline: what the aliases mean, and scorers that have it in force.

use std::sync::PoisonError;

use anyhow::{Result, anyhow};
use tidegauge_aggregate::Query;
use tidegauge_score::{Models, ScoreError, Scorer};
use tidegauge_serve::{ModelsSeen, View};
use tidegauge_sink::Digest;

use super::Pipeline;
use crate::config::Config;

/// The views' names, as checkpoints have them.
const CHAMPION: &str = "champion";
const ONSET: &str = "onset";
const CHALLENGER: &str = "challenger";
const FALLBACK: &str = "fallback";
const REGISTRY: &str = "registry";

/// The version that the onset view has before its first models: that there are none is a state of its
/// own, in which rows of an epoch are read again as well.
const NOTHING_FITTED: u64 = 0;

const NOT_AS_ANNOUNCED: &str =
    "the models that were announced for the next epoch cannot be used: it has others";

/// The models of each view; none where there are none, or none that are newer.
#[derive(Debug, Clone, Default)]
pub struct Newest {
    pub champion: Option<Models>,
    pub onset: Option<Models>,
    pub challenger: Option<Models>,
    pub fallback: Option<Models>,
}

/// The versions that a lane has in force. Of the champion there is none when nobody has said one yet;
/// the onset view begins with `NOTHING_FITTED`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InForce {
    pub champion: Option<u64>,
    pub onset: Option<u64>,
    pub challenger: Option<u64>,
    pub fallback: Option<u64>,
}

impl Newest {
    /// Takes over what another has.
    pub fn update(&mut self, newer: Self) {
        let Self { champion, onset, challenger, fallback } = newer;
        self.champion = champion.or(self.champion.take());
        self.onset = onset.or(self.onset.take());
        self.challenger = challenger.or(self.challenger.take());
        self.fallback = fallback.or(self.fallback.take());
    }

    /// The versions of what is there.
    pub fn versions(&self) -> InForce {
        let version = |models: &Option<Models>| models.as_ref().map(Models::version);
        InForce {
            champion: version(&self.champion),
            onset: version(&self.onset),
            challenger: version(&self.challenger),
            fallback: version(&self.fallback),
        }
    }
}

impl InForce {
    pub fn of(scorer: &Scorer) -> Self {
        let newest = |versions: &[u64]| versions.first().copied();
        let has_onset = !scorer.onset_features().is_empty();
        let onset = has_onset.then(|| newest(scorer.onset_sets()).unwrap_or(NOTHING_FITTED));
        Self {
            champion: newest(scorer.model_sets()),
            onset,
            challenger: newest(scorer.challenger_sets()),
            fallback: newest(scorer.fallback_sets()),
        }
    }

    /// The other's versions, and these where it has none.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            champion: other.champion.or(self.champion),
            onset: other.onset.or(self.onset),
            challenger: other.challenger.or(self.challenger),
            fallback: other.fallback.or(self.fallback),
        }
    }

    /// The versions by the views' names.
    fn named(&self) -> Vec<(&'static str, u64)> {
        let all = [
            (CHAMPION, self.champion),
            (ONSET, self.onset),
            (CHALLENGER, self.challenger),
            (FALLBACK, self.fallback),
        ];
        all.into_iter().filter_map(|(view, version)| Some((view, version?))).collect()
    }

    /// What [`InForce::named`] gave; views that are not known are passed over.
    fn from_named(named: &[(&str, u64)]) -> Self {
        let of =
            |wanted| named.iter().find(|(view, _)| *view == wanted).map(|(_, version)| *version);
        Self {
            champion: of(CHAMPION),
            onset: of(ONSET),
            challenger: of(CHALLENGER),
            fallback: of(FALLBACK),
        }
    }
}

impl Pipeline {
    /// What a checkpoint says of the models of its next epoch: their versions, and of which registry.
    pub fn announcement(&self, in_force: InForce) -> Vec<(&'static str, u64)> {
        let mut named = in_force.named();
        if !named.is_empty() {
            named.push((REGISTRY, self.registry_mark()));
        }
        named
    }

    /// What [`Pipeline::announcement`] said. Versions of another registry are other models: they say
    /// nothing.
    pub fn announced_models(&self, named: &[(&str, u64)]) -> InForce {
        match named.contains(&(REGISTRY, self.registry_mark())) {
            true => InForce::from_named(named),
            false => InForce::default(),
        }
    }

    /// A number that tells registries apart; 0 for the one inside of the lake, wherever that is.
    fn registry_mark(&self) -> u64 {
        let url = self.config.models.url.as_ref();
        let digits = |url: &String| Digest::of(url.as_bytes()).to_string()[..16].to_owned();
        url.map_or(0, |url| u64::from_str_radix(&digits(url), 16).expect("digits of a digest"))
    }

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

    /// A scorer with the models that were announced for the lane's next epoch and, where none were or they
    /// are gone, with those that [`Pipeline::scorer`] takes.
    ///
    /// # Errors
    /// As [`Pipeline::scorer`].
    pub fn scorer_as_announced(&self, announced: InForce) -> Result<Scorer> {
        if announced == InForce::default() {
            return self.scorer();
        }
        let made = self.announced(announced).and_then(|models| self.scorer_with(models));
        made.or_else(|error| {
            // Nobody has to act on it: the configuration may name other features now.
            let scorer = self.scorer()?;
            let error = format!("{error:#}");
            tracing::warn!(error, "{NOT_AS_ANNOUNCED}");
            Ok(scorer)
        })
    }

    /// The models that the aliases mean, where they are not known yet. What can't be read is told, and holds
    /// up nothing else.
    pub fn newer_models(&self, known: InForce) -> Newest {
        let newer = |alias: &str, known: Option<u64>| -> Result<Option<Models>> {
            match self.registry.alias(alias)? {
                Some(record) if known != Some(record.version) => {
                    Ok(Some(self.registry.models(record.version)?))
                }
                _ => Ok(None),
            }
        };
        let newer = |alias: Option<&str>, known: Option<u64>| {
            let alias = alias?;
            newer(alias, known).unwrap_or_else(|error| self.without(alias, &error))
        };
        let settings = &self.config.models;
        let onset = settings.onset.as_ref().map(|onset| onset.alias.as_str());
        let newest = Newest {
            champion: newer(Some(&settings.alias), known.champion),
            onset: newer(onset, known.onset),
            challenger: newer(settings.challenger.as_deref(), known.challenger),
            fallback: newer(settings.group_alias(), known.fallback),
        };
        self.measure(&newest);
        newest
    }

    /// Tells the metrics what models are like that are taken, or are about to be.
    fn measure(&self, newest: &Newest) {
        let Newest { champion, onset, challenger, fallback } = newest;
        let views = [
            (View::Champion, champion),
            (View::Onset, onset),
            (View::Challenger, challenger),
            (View::Fallback, fallback),
        ];
        for (view, models) in views {
            if let Some(models) = models {
                self.metrics.models.seen(view, &seen(models));
            }
        }
    }

    fn newest(&self) -> Result<Newest> {
        self.announced(InForce::default())
    }

    /// The announced models, and those that the aliases mean where none are or they are gone.
    fn announced(&self, announced: InForce) -> Result<Newest> {
        let settings = &self.config.models;
        let onset = settings.onset.as_ref().map(|onset| onset.alias.as_str());
        let beside = |alias: Option<&str>, announced: Option<u64>| {
            let alias = alias?;
            let found = self.models_of(alias, announced);
            found.unwrap_or_else(|error| self.without(alias, &error))
        };
        let newest = Newest {
            champion: self.models_of(&settings.alias, announced.champion)?,
            onset: beside(onset, announced.onset),
            challenger: beside(settings.challenger.as_deref(), announced.challenger),
            fallback: beside(settings.group_alias(), announced.fallback),
        };
        self.measure(&newest);
        Ok(newest)
    }

    fn models_of(&self, alias: &str, announced: Option<u64>) -> Result<Option<Models>> {
        let version = match announced {
            None => return Ok(self.registry.resolve(alias)?),
            Some(NOTHING_FITTED) => return Ok(None),
            Some(version) => version,
        };
        self.registry.models(version).map(Some).or_else(|error| {
            self.metrics.model_reload_failures.inc();
            tracing::error!(alias, %error, "{NOT_AS_ANNOUNCED}");
            Ok(self.registry.resolve(alias)?)
        })
    }

    /// The onset view's models that its alias means; none when there are none or they cannot be used,
    /// which is told.
    pub fn onset_models(&self) -> Option<Models> {
        let onset = self.config.models.onset.as_ref()?;
        let models = self.models_of(&onset.alias, None);
        models.unwrap_or_else(|error| self.without(&onset.alias, &error))
    }

    /// What cannot be used must not hold up what can.
    fn without<T>(&self, alias: &str, error: &anyhow::Error) -> Option<T> {
        self.metrics.model_reload_failures.inc();
        let error = format!("{error:#}");
        tracing::error!(alias, error, "the models of this alias cannot be used");
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

/// An alias's models, for the metrics.
fn seen(models: &Models) -> ModelsSeen {
    let seconds = |us: i64| us as f64 / 1e6;
    let mut trained_to: Option<(i64, i64)> = None;
    let (mut count, mut false_alarm_rates) = (0, Vec::new());
    for (entry, _) in models.effective() {
        count += 1;
        if let Some(training) = &entry.training {
            let to = training.to_us;
            let (newest, oldest) = trained_to.unwrap_or((to, to));
            trained_to = Some((newest.max(to), oldest.min(to)));
            false_alarm_rates.extend(training.false_alarm_rate);
        }
    }
    ModelsSeen {
        set: models.version(),
        published_seconds: seconds(models.newest().header.created_us),
        models: count,
        trained_to_seconds: trained_to.map(|(newest, oldest)| (seconds(newest), seconds(oldest))),
        false_alarm_rates,
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
        scorer = scorer
            .with_onset(&view.settings, onset)
            .map_err(|error| of_other_features(error, &view.alias))?;
    }
    if settings.challenger.is_some() {
        scorer = scorer.with_challenger(challenger)?;
    }
    if let Some(settings) = &settings.fallback {
        scorer = scorer.with_fallback(&settings.settings, fallback)?;
    }
    Ok(scorer)
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
