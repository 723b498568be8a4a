//! What sets say of their training, and up to where a schedule has come.

use std::collections::BTreeSet;

use super::Registry;
use crate::error::ScoreError;
use crate::set::TrainingRun;

/// What is said of a publication, and kept in the set's file.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// A line for people.
    pub note: String,
    /// How its models were trained together.
    pub training: Option<TrainingRun>,
}

impl From<&str> for About {
    fn from(note: &str) -> Self {
        Self { note: note.to_string(), training: None }
    }
}

impl Registry {
    /// How the models of a version were trained together; `None` when they were not, or nobody wrote it
    /// down.
    ///
    /// # Errors
    /// When there is no such version or its file is not whole.
    pub fn training_run(&self, version: u64) -> Result<Option<TrainingRun>, ScoreError> {
        TrainingRun::from_set(&self.set_path(version), self.get_set(version)?)
    }

    /// Where the ranges end that schedules trained on and that the last moves of an alias led to, at most
    /// so many of them, microseconds since 1970 in UTC. Sets that cannot be read say nothing.
    ///
    /// # Errors
    /// When the alias's moves cannot be read or the store fails.
    pub fn scheduled_ends(&self, alias: &str, moves: usize) -> Result<BTreeSet<i64>, ScoreError> {
        let mut versions = BTreeSet::new();
        for number in self.moves(alias)?.into_iter().rev().take(moves) {
            versions.insert(self.record(alias, number)?.version);
        }
        let mut ends = BTreeSet::new();
        for version in versions {
            match self.training_run(version) {
                Ok(Some(run)) if run.schedule.is_some() => ends.extend(run.to_us),
                Ok(_) | Err(ScoreError::UnknownSet { .. } | ScoreError::Set { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ends)
    }
}
