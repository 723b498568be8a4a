//! Which models a lane's epochs have.
//!
//! ```text
//! hear of newer ones -> cut: they are announced in the checkpoint and in force -> rows of the next epoch
//! ```
//!
//! *Guarantees*: an epoch's rows have one set of models, and the checkpoint that the epoch starts from
//! names them. So an epoch whose process died is read again with the models that it had, wherever the
//! aliases have moved meanwhile; only where there were none, and aliases of people mean some by then, it
//! gets these. Models that can't be read or don't fit never take the place of good ones.

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

    /// What aliases may mean without being heard of: models in force, those that wait for the next cut, and
    /// those that were refused.
    pub(super) fn known_models(&self) -> InForce {
        InForce::of(&self.scorer).over(self.refused).over(self.newer.versions())
    }

    /// Looks whether the aliases mean other models now.
    pub(super) fn look_for_models(&mut self) {
        let newer = self.pipeline.newer_models(self.known_models());
        self.newer.update(newer);
    }

    /// Puts the newer models in force, if there are any. One that is refused is not heard of again before its
    /// alias means another.
    pub(super) fn take_models(&mut self) {
        let newer = std::mem::take(&mut self.newer);
        let (versions, settings) = (newer.versions(), &self.pipeline.config.models);
        let Newest { champion, onset, challenger, fallback } = newer;
        if let Some(models) = champion {
            let taken = self.scorer.replace_models(Some(models));
            let is_good = self.tell(&settings.alias, taken, Scorer::model_sets);
            self.refused.champion = versions.champion.filter(|_| !is_good);
        }
        if let (Some(view), Some(models)) = (&settings.onset, onset) {
            let taken = self.scorer.replace_onset_models(Some(models));
            let is_good = self.tell(&view.alias, taken, Scorer::onset_sets);
            self.refused.onset = versions.onset.filter(|_| !is_good);
        }
        if let (Some(alias), Some(models)) = (&settings.challenger, challenger) {
            let taken = self.scorer.replace_challenger_models(Some(models));
            let is_good = self.tell(alias, taken, Scorer::challenger_sets);
            self.refused.challenger = versions.challenger.filter(|_| !is_good);
        }
        if let (Some(alias), Some(models)) = (settings.group_alias(), fallback) {
            let taken = self.scorer.replace_fallback_models(Some(models));
            let is_good = self.tell(alias, taken, Scorer::fallback_sets);
            self.refused.fallback = versions.fallback.filter(|_| !is_good);
        }
    }

    /// Tells what has become of models, and whether they are in force.
    fn tell(
        &self,
        alias: &str,
        taken: Result<(), ScoreError>,
        sets: fn(&Scorer) -> &[u64],
    ) -> bool {
        let lane = &*self.name;
        match &taken {
            Ok(()) => tracing::info!(lane, alias, sets = ?sets(&self.scorer), "models replaced"),
            Err(error) => {
                self.pipeline.metrics.model_reload_failures.inc();
                tracing::error!(lane, alias, %error, "models kept: the new ones cannot be used");
            }
        }
        taken.is_ok()
    }
}
