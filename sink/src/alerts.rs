//! How far each alert has told each lane's events, kept in the lake; and what could not be told.
//!
//! ```text
//! _tidegauge/alerts/<alert>/cursors/<lane>/<number>.json    the newest number counts
//! _tidegauge/alerts/<alert>/dead/<lane>/<sequence>.json     letters that nobody took
//! ```
//!
//! *Guarantees*
//! - A cursor moves by an object of the next number, put if absent and synced. So of two processes that tell
//!   the same lane's events, one loses at its next move, and knows it.
//! - What a cursor has passed was acknowledged, is a dead letter, or was not asked for.

use std::sync::Arc;

use tidegauge_flow::{Store, StoreError};

use crate::error::LakeError;
use crate::format;
use crate::lake::put_settled;
use crate::paths;
use crate::writer::Writer;

/// Races lost in a row, after which something is wrong with who is assigned what.
const TRIES: u32 = 16;

/// Dead letters of one alert that are listed.
const LETTERS_MAX: usize = 10_000;

/// How far a lane's events are told, in the order of epochs, and in each by start, id and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// All rows of earlier epochs are done.
    pub epoch: u64,
    /// So many rows of `epoch` are done.
    pub row: u64,
    /// Messages that were told or are dead letters.
    pub sequence: u64,
}

/// A cursor as it lies in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The alert.
    pub alert: String,
    /// The lane.
    pub lane: String,
    /// Grows by one with each move; the first is 1.
    pub number: u64,
    /// Who moved it: a random id of one process's hold on it.
    pub writer: Writer,
    /// How far it is.
    pub at: Progress,
    /// When it was moved, microseconds since 1970.
    pub moved_at_us: i64,
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The alert.
    pub alert: String,
    /// The lane.
    pub lane: String,
    /// The message's number.
    pub sequence: u64,
    /// The message's id.
    pub id: String,
    /// The message.
    pub message: String,
    /// What the receiver said last.
    pub why: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was given up, microseconds since 1970.
    pub died_at_us: i64,
}

/// The alerts' part of a lake.
#[derive(Clone)]
pub struct Alerts {
    store: Arc<dyn Store>,
}

impl Alerts {
    /// That of the lake in a store.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Puts the first cursor of an alert and lane, unless there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin(&self, first: &Cursor) -> Result<(), LakeError> {
        check_alert(&first.alert)?;
        paths::check_lane(&first.lane)?;
        // What it says is for who takes it: a cursor that cannot be read stops no lane.
        if !self.numbers(&first.alert, &first.lane)?.is_empty() {
            return Ok(());
        }
        let path = paths::cursor_path(&first.alert, &first.lane, 1);
        match put_settled(self.store.as_ref(), &path, &format::alert::encode(first)) {
            Ok(()) | Err(StoreError::Exists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest cursor of an alert and lane.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when it is not as it was written.
    pub fn newest(&self, alert: &str, lane: &str) -> Result<Option<Cursor>, LakeError> {
        for _ in 0..TRIES {
            let Some(number) = self.numbers(alert, lane)?.into_iter().max() else {
                return Ok(None);
            };
            let path = paths::cursor_path(alert, lane, number);
            let bytes = match self.store.get(&path) {
                // It was moved on between the two looks.
                Err(StoreError::NotFound { .. }) => continue,
                bytes => bytes?,
            };
            let cursor = format::alert::decode(&path, &bytes)?.intact(&path)?;
            let told = (cursor.alert.as_str(), cursor.lane.as_str(), cursor.number);
            return match told == (alert, lane, number) {
                true => Ok(Some(cursor)),
                false => Err(LakeError::damaged(&path, "it is the cursor of something else")),
            };
        }
        Err(LakeError::Contended { lane: lane.to_owned(), tries: TRIES })
    }

    /// Takes the cursor of an alert and lane for a writer, who must be new: whoever has it loses it. `None`
    /// when the alert was never begun there.
    ///
    /// # Errors
    /// [`LakeError::Contended`] when others are always quicker; or when the store fails.
    pub fn take(
        &self,
        alert: &str,
        lane: &str,
        writer: Writer,
        now_us: i64,
    ) -> Result<Option<Cursor>, LakeError> {
        for _ in 0..TRIES {
            let Some(mut cursor) = self.newest(alert, lane)? else { return Ok(None) };
            let before = cursor.number;
            cursor.writer = writer;
            let at = cursor.at;
            if self.advance(&mut cursor, at, now_us)? {
                for old in self.numbers(alert, lane)?.into_iter().filter(|n| *n < before) {
                    self.store.delete(&paths::cursor_path(alert, lane, old))?;
                }
                return Ok(Some(cursor));
            }
        }
        Err(LakeError::Contended { lane: lane.to_owned(), tries: TRIES })
    }

    /// Moves a cursor on; says whether it was still its writer's. When it was not, nothing has changed.
    ///
    /// # Errors
    /// When the store fails: whether it has moved is open, and the same call may be repeated.
    pub fn advance(
        &self,
        cursor: &mut Cursor,
        to: Progress,
        now_us: i64,
    ) -> Result<bool, LakeError> {
        let number = cursor.number.saturating_add(1);
        let next = Cursor { number, at: to, moved_at_us: now_us, ..cursor.clone() };
        let path = paths::cursor_path(&cursor.alert, &cursor.lane, number);
        let bytes = format::alert::encode(&next);
        match put_settled(self.store.as_ref(), &path, &bytes) {
            // Old numbers are deleted, so one that is free may lie far behind another's: who put it then has
            // lost the cursor long ago.
            Ok(()) if !self.is_newest(&next)? => {
                self.store.delete(&path)?;
                return Ok(false);
            }
            Ok(()) => {}
            Err(StoreError::Exists { .. }) => {
                // After an answer that was lost it is ours.
                let found = self.store.get(&path)?;
                let found = format::alert::decode(&path, &found)?.intact(&path)?;
                if (found.writer, found.at) != (next.writer, next.at) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
        let old = cursor.number.saturating_sub(1);
        if old > 0
            && let Err(error) =
                self.store.delete(&paths::cursor_path(&cursor.alert, &cursor.lane, old))
        {
            // Who takes the cursor next removes it.
            tracing::warn!(alert = cursor.alert, lane = cursor.lane, %error, "an old cursor stays");
        }
        *cursor = next;
        Ok(true)
    }

    /// Whether nobody has moved a cursor on since.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_newest(&self, cursor: &Cursor) -> Result<bool, LakeError> {
        let newest = self.numbers(&cursor.alert, &cursor.lane)?.into_iter().max();
        Ok(newest == Some(cursor.number))
    }

    /// The lanes in which an alert was begun, sorted.
    ///
    /// # Errors
    /// When the store fails.
    pub fn lanes(&self, alert: &str) -> Result<Vec<String>, LakeError> {
        let folder = paths::cursors_folder(alert);
        let entries = self.store.list(&folder)?;
        let lane = |path: &str| Some(path.strip_prefix(&folder)?.split_once('/')?.0.to_owned());
        let mut lanes: Vec<String> = entries.iter().filter_map(|e| lane(&e.path)).collect();
        lanes.sort_unstable();
        lanes.dedup();
        Ok(lanes)
    }

    /// Keeps a message that was given up. The same letter may come again.
    ///
    /// # Errors
    /// When the store fails.
    pub fn bury(&self, letter: &DeadLetter) -> Result<(), LakeError> {
        let path = paths::letter_path(&letter.alert, &letter.lane, letter.sequence);
        Ok(self.store.put(&path, &format::alert::encode_letter(letter))?)
    }

    /// The dead letters of an alert by lane and sequence, 10,000 at most.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when one is not as it was written.
    pub fn letters(&self, alert: &str) -> Result<Vec<DeadLetter>, LakeError> {
        let mut entries = self.store.list(&paths::letters_folder(alert))?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let read = |path: &str| {
            let bytes = self.store.get(path)?;
            format::alert::decode_letter(path, &bytes)?.intact(path)
        };
        let named = entries.iter().filter(|entry| paths::number_of(&entry.path).is_some());
        named.take(LETTERS_MAX).map(|entry| read(&entry.path)).collect()
    }

    /// How many dead letters an alert has.
    ///
    /// # Errors
    /// When the store fails.
    pub fn dead(&self, alert: &str) -> Result<usize, LakeError> {
        Ok(self.store.list(&paths::letters_folder(alert))?.len())
    }

    /// Removes a letter: somebody took it after all.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove(&self, letter: &DeadLetter) -> Result<(), LakeError> {
        let path = paths::letter_path(&letter.alert, &letter.lane, letter.sequence);
        Ok(self.store.delete(&path)?)
    }

    fn numbers(&self, alert: &str, lane: &str) -> Result<Vec<u64>, LakeError> {
        let entries = self.store.list(&paths::cursor_folder(alert, lane))?;
        Ok(entries.iter().filter_map(|entry| paths::number_of(&entry.path)).collect())
    }
}

/// Refuses a name that cannot be part of a path.
fn check_alert(alert: &str) -> Result<(), LakeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=64).contains(&alert.len()) && alert.chars().all(plain) {
        return Ok(());
    }
    let what = "an alert's name has 1 to 64 letters, digits, - and _".to_owned();
    Err(LakeError::refused(&format!("{alert:?}"), what))
}

#[cfg(test)]
mod tests;
