//! Logins of browsers: a random id in a cookie, which stands for a key for a while.
//!
//! *Bounds*: so many at a time, the least used goes; each ends when it is idle, when it is old, and at
//! once when its key is no longer known. They are in memory only: a restart ends them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::keys::{KeyHash, KeysError, hex, random_bytes};

const SESSIONS_MAX: usize = 1000;
/// Without a request.
pub(super) const IDLE: Duration = Duration::from_secs(12 * 3600);
/// From the login on.
pub(super) const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// By the hash of their id: looking one up tells nothing about ids by the time it takes.
    open: Mutex<HashMap<Place, Session>>,
}

/// A session, by the hash of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place([u8; 32]);

#[derive(Debug, Clone, Copy)]
struct Session {
    key: KeyHash,
    began: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= IDLE || now.duration_since(self.began) >= LIFE
    }
}

impl Sessions {
    /// A new session of a key; its id.
    pub(super) fn open(&self, key: KeyHash, now: Instant) -> Result<String, KeysError> {
        let id = hex(&random_bytes()?);
        self.with(|open| {
            if open.len() >= SESSIONS_MAX {
                open.retain(|_, session| !session.is_over(now));
            }
            if open.len() >= SESSIONS_MAX
                && let Some(least) = open.iter().min_by_key(|(_, session)| session.used)
            {
                let least = *least.0;
                open.remove(&least);
            }
            open.insert(Place::of(&id), Session { key, began: now, used: now });
        });
        Ok(id)
    }

    /// The key of a session that is not over; it is used by that.
    pub(super) fn key(&self, place: Place, now: Instant) -> Option<KeyHash> {
        self.with(|open| {
            let session = open.get_mut(&place)?;
            if session.is_over(now) {
                open.remove(&place);
                return None;
            }
            session.used = now;
            Some(session.key)
        })
    }

    /// Whether a session is not over; it is not used by that.
    pub(super) fn holds(&self, place: Place, now: Instant) -> bool {
        self.with(|open| open.get(&place).is_some_and(|session| !session.is_over(now)))
    }

    /// Ends a session.
    pub(super) fn close(&self, place: Place) {
        self.with(|open| open.remove(&place));
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<Place, Session>) -> T) -> T {
        look(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    pub(super) fn of(id: &str) -> Self {
        Self(Sha256::digest(id.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests;
