//! Which models a lane's epochs have.
//!
//! ```text
//! hear of newer ones -> cut: they are announced in the checkpoint and in force -> rows of the next epoch
//! ```
//!
//! *Guarantees*: an epoch's rows have one set of models, and the checkpoint that the epoch starts from
//! names them. So an epoch whose process died is read again with the models that it had, wherever the
//! aliases have moved meanwhile. Models that can't be read or don't fit never take the place of good ones.

use anyhow::Result;
use tidegauge_aggregate::Closing;
use tidegauge_score::{ScoreError, Scorer};
use tidegauge_sink::Cut;

use super::Lane;
use crate::pipeline::{InForce, Newest};

impl Lane {
    /// Whether a lane at rest has models to announce. Those that are fitted beside the stream are announced
    /// once in a rest: they come often, and a checkpoint is as large as its lane.
    pub(super) fn has_to_announce(&self) -> bool {
        let Newest { champion, onset, challenger, fallback } = &self.newer;
        let moved = [champion, challenger, fallback].into_iter().any(Option::is_some);
        let wanted = moved || (onset.is_some() && !self.announced_at_rest);
        self.closing == Closing::ByWatermark && wanted
    }

    /// Whether the epoch after this cut is bound to the models in force. Input that ends, or was drained, is
    /// continued by whatever the aliases mean when more of it comes.
    pub(super) fn announces(&self, cut: &Cut) -> bool {
        self.closing == Closing::ByWatermark && cut.closed_by.is_none()
    }

    /// Looks whether the aliases mean other models now.
    pub(super) fn look_for_models(&mut self) {
        let known = InForce::of(&self.scorer).updated(&self.newer);
        let newer = self.pipeline.newer_models(known);
        self.hear_of(newer);
    }

    /// Keeps newer models for the next cut.
    pub(super) fn hear_of(&mut self, newer: Result<Newest>) {
        match newer {
            Ok(newer) => self.newer.update(newer),
            Err(error) => self.kept(&self.pipeline.config.models.alias, &error),
        }
    }

    /// Puts the newer models in force, if there are any.
    pub(super) fn take_models(&mut self) {
        let Newest { champion, onset, challenger, fallback } = std::mem::take(&mut self.newer);
        let settings = &self.pipeline.config.models;
        if let Some(models) = champion {
            let taken = self.scorer.replace_models(Some(models));
            self.tell(&settings.alias, taken, Scorer::model_sets);
        }
        if let (Some(view), Some(models)) = (&settings.onset, onset) {
            let taken = self.scorer.replace_onset_models(Some(models));
            self.tell(&view.alias, taken, Scorer::onset_sets);
        }
        if let (Some(alias), Some(models)) = (&settings.challenger, challenger) {
            let taken = self.scorer.replace_challenger_models(Some(models));
            self.tell(alias, taken, Scorer::challenger_sets);
        }
        if let (Some(alias), Some(models)) = (settings.group_alias(), fallback) {
            let taken = self.scorer.replace_fallback_models(Some(models));
            self.tell(alias, taken, Scorer::fallback_sets);
        }
    }

    fn tell(&self, alias: &str, taken: Result<(), ScoreError>, sets: fn(&Scorer) -> &[u64]) {
        match taken {
            Ok(()) => {
                let (lane, sets) = (&*self.name, sets(&self.scorer));
                tracing::info!(lane, alias, ?sets, "models replaced");
            }
            Err(error) => self.kept(alias, &error.into()),
        }
    }

    fn kept(&self, alias: &str, error: &anyhow::Error) {
        self.pipeline.metrics.model_reload_failures.inc();
        let (lane, error) = (&*self.name, format!("{error:#}"));
        tracing::error!(lane, alias, error, "models kept: the new ones cannot be used");
    }
}
