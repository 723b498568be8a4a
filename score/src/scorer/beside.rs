//! What a scorer has beside the champion and the onset view: a challenger, and models that stand in.

use super::Scorer;
use super::fallback::{Fallback, FallbackSettings};
use super::output::{Views, prediction_schema};
use super::view::View;
use crate::error::ScoreError;
use crate::registry::Models;

impl Scorer {
    /// The same with a challenger, whose models see what the champion's see and whose verdicts are in
    /// columns of their own.
    ///
    /// # Errors
    /// As [`Scorer::new`].
    pub fn with_challenger(mut self, models: Option<Models>) -> Result<Self, ScoreError> {
        let view = View::new(&mut self.columns, self.champion.features.names())?;
        self.challenger = Some(view);
        self.predictions = prediction_schema(&self.promised, self.views());
        self.replace_challenger_models(models)?;
        Ok(self)
    }

    /// The same with models and limits that judge sensors without a model of their own. `models` are
    /// those of groups.
    ///
    /// # Errors
    /// [`ScoreError::Option`] or [`ScoreError::Feature`] for a setting that names no key column or
    /// feature, or limits that are none; as [`Scorer::new`] for models that don't fit.
    pub fn with_fallback(
        mut self,
        settings: &FallbackSettings,
        models: Option<Models>,
    ) -> Result<Self, ScoreError> {
        let view = View::new(&mut self.columns, self.champion.features.names())?;
        let no_key =
            || ScoreError::Rows("their key columns are of types that keys don't have".into());
        let key = self.key.as_ref().ok_or_else(no_key)?;
        self.fallback = Some(Fallback::new(settings, view, key)?);
        self.replace_fallback_models(models)?;
        Ok(self)
    }

    /// Puts other models of the challenger in force, from the next row on; nothing without one.
    ///
    /// # Errors
    /// As [`Scorer::replace_models`].
    pub fn replace_challenger_models(&mut self, models: Option<Models>) -> Result<(), ScoreError> {
        let key = self.key.as_ref();
        self.challenger.as_mut().map_or(Ok(()), |view| view.replace(models, key))
    }

    /// Puts other models of groups in force, from the next row on; nothing without groups.
    ///
    /// # Errors
    /// As [`Scorer::replace_models`].
    pub fn replace_fallback_models(&mut self, models: Option<Models>) -> Result<(), ScoreError> {
        self.fallback.as_mut().map_or(Ok(()), |fallback| fallback.replace(models))
    }

    /// Versions of the challenger's sets in force, newest first; empty without models.
    pub fn challenger_sets(&self) -> &[u64] {
        self.challenger.as_ref().map_or(&[], View::versions)
    }

    /// The same of the groups' models.
    pub fn fallback_sets(&self) -> &[u64] {
        self.fallback.as_ref().map_or(&[], Fallback::versions)
    }

    /// Sensors that nothing judges, neither a model of their own nor one that stands in, seen since the
    /// models were put in force.
    pub fn missing(&self) -> usize {
        self.fallback.as_ref().map_or(self.champion.missing(), Fallback::missing)
    }

    /// Sensors that a model or limits judge which stand in for one of their own, seen since the models
    /// were put in force.
    pub fn on_fallback(&self) -> usize {
        self.fallback.as_ref().map_or(0, Fallback::standing_in)
    }

    /// What has columns of its own.
    pub(super) fn views(&self) -> Views {
        Views { onset: self.onset.is_some(), challenger: self.challenger.is_some() }
    }
}
