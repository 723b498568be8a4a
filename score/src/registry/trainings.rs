//! What sets say of their training, and up to where a schedule has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use super::Registry;
use crate::error::ScoreError;
use crate::set::TrainingRun;

/// Where the scheduled range ends that a move of an alias led to, by alias and number of the move.
pub(super) type Scheduled = BTreeMap<(String, u64), Option<i64>>;

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
    /// so many of them, microseconds since 1970 in UTC. It looks at the newest move first and no further than
    /// to an end that is `enough`. Sets that cannot be read say nothing.
    ///
    /// *Cheap when asked again*: a move never changes and a set neither, so what they said is kept in memory.
    ///
    /// # Errors
    /// When the alias's moves cannot be read or the store fails.
    pub fn scheduled_ends(
        &self,
        alias: &str,
        moves: usize,
        enough: impl Fn(i64) -> bool,
    ) -> Result<BTreeSet<i64>, ScoreError> {
        let mut ends = BTreeSet::new();
        let numbers = self.moves(alias)?;
        let last = &numbers[numbers.len().saturating_sub(moves)..];
        self.scheduled().retain(|(of, number), _| of != alias || last.contains(number));
        for number in last.iter().rev() {
            if let Some(end) = self.scheduled_end(alias, *number)? {
                ends.insert(end);
                if enough(end) {
                    break;
                }
            }
        }
        Ok(ends)
    }

    /// Where the scheduled range ends that a move led to.
    fn scheduled_end(&self, alias: &str, number: u64) -> Result<Option<i64>, ScoreError> {
        let place = (alias.to_string(), number);
        if let Some(known) = self.scheduled().get(&place) {
            return Ok(*known);
        }
        let end = match self.training_run(self.record(alias, number)?.version) {
            Ok(run) => run.filter(|run| run.schedule.is_some()).and_then(|run| run.to_us),
            Err(ScoreError::UnknownSet { .. } | ScoreError::Set { .. }) => None,
            Err(error) => return Err(error),
        };
        self.scheduled().insert(place, end);
        Ok(end)
    }

    pub(super) fn scheduled(&self) -> MutexGuard<'_, Scheduled> {
        self.scheduled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
