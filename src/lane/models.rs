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
use tidegauge_sink::Cut;

use super::Lane;
use crate::pipeline::{InForce, Newest};

impl Lane {
    /// Whether a lane at rest has models to announce. Those that are fitted beside the stream are announced
    /// once in a rest: they come often, and a checkpoint is as large as its lane.
    pub(super) fn has_to_announce(&self) -> bool {
        let Newest { champion, onset } = &self.newer;
        let wanted = champion.is_some() || (onset.is_some() && !self.announced_at_rest);
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
        let Newest { champion, onset } = std::mem::take(&mut self.newer);
        let settings = &self.pipeline.config.models;
        let of_onset = settings.onset.as_ref().map_or("", |onset| onset.alias.as_str());
        if let Some(models) = champion {
            match self.scorer.replace_models(Some(models)) {
                Ok(()) => self.replaced(&settings.alias, self.scorer.model_sets()),
                Err(error) => self.kept(&settings.alias, &error.into()),
            }
        }
        if let Some(models) = onset {
            match self.scorer.replace_onset_models(Some(models)) {
                Ok(()) => self.replaced(of_onset, self.scorer.onset_sets()),
                Err(error) => self.kept(of_onset, &error.into()),
            }
        }
    }

    fn replaced(&self, alias: &str, sets: &[u64]) {
        tracing::info!(lane = &*self.name, alias, ?sets, "models replaced");
    }

    fn kept(&self, alias: &str, error: &anyhow::Error) {
        self.pipeline.metrics.model_reload_failures.inc();
        let (lane, error) = (&*self.name, format!("{error:#}"));
        tracing::error!(lane, alias, error, "models kept: the new ones cannot be used");
    }
}
