//! Failed logins, slowed down by where they come from, so that nobody is locked out by others.
//!
//! *Why at all*: nobody guesses a key. It keeps a broken script from filling the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::accept::counted_as;

/// Failures in a row that are answered at once.
pub(super) const FREE: u32 = 5;
/// After which one more is free.
const EVERY: Duration = Duration::from_secs(10);
/// Addresses that are remembered.
const PEERS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When all failures of an address will be forgotten.
    until: Mutex<HashMap<IpAddr, Instant>>,
}

impl Attempts {
    /// How long an address has to wait before it may try again; `None`: not at all.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        self.with(|until| {
            let left = until.get(&counted_as(peer))?.saturating_duration_since(now);
            left.checked_sub(EVERY * (FREE - 1)).filter(|wait| !wait.is_zero())
        })
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, peer: IpAddr, now: Instant) {
        self.with(|until| {
            until.retain(|_, at| *at > now);
            if until.len() >= PEERS_MAX
                && let Some((first, _)) = until.iter().min_by_key(|(_, at)| **at)
            {
                let first = *first;
                until.remove(&first);
            }
            let at = until.entry(counted_as(peer)).or_insert(now);
            *at = (*at).max(now) + EVERY;
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<IpAddr, Instant>) -> T) -> T {
        look(&mut self.until.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
