//! When a partition counts as silent: on evidence only.
//!
//! The evidence is an end offset that was freshly fetched from the broker and equals our position.
//! Being busy, behind, paused or cut off from the broker gives no evidence, so none of them is
//! mistaken for silence. Time runs from one piece of evidence to the next, never by a clock of ours.

use std::time::{Duration, Instant};

/// How long one lane's input has provably been silent.
#[derive(Debug, Default)]
pub struct IdleClock {
    /// First and newest evidence since the last message.
    silent: Option<(Instant, Instant)>,
    /// The part of the silence that the watermark has already moved by.
    used: Duration,
    /// Older evidence says nothing.
    busy_at: Option<Instant>,
}

impl IdleClock {
    /// A message came, or the input is not known to be read to its end.
    pub fn busy(&mut self, now: Instant) {
        *self = Self { busy_at: Some(now), ..Self::default() };
    }

    /// The broker said at `fetched` where the input ends, and whether we are there. A position beyond the
    /// end is not: the topic was cut or made anew.
    pub fn evidence(&mut self, fetched: Instant, at_end: bool) {
        if self.busy_at.is_some_and(|at| fetched <= at) {
            return;
        }
        if !at_end {
            self.busy(fetched);
            return;
        }
        match &mut self.silent {
            Some((_, newest)) => *newest = fetched.max(*newest),
            None => self.silent = Some((fetched, fetched)),
        }
    }

    /// How long the silence has lasted.
    pub fn silence(&self) -> Duration {
        self.silent.map_or(Duration::ZERO, |(first, newest)| newest - first)
    }

    /// By how much the watermark moves on now: nothing before `idle_after` of silence, then all of the
    /// silence that has not been used.
    pub fn take_move(&mut self, idle_after: Duration) -> Option<Duration> {
        let silence = self.silence();
        if silence < idle_after || silence <= self.used {
            return None;
        }
        let passed = silence - self.used;
        self.used = silence;
        Some(passed)
    }
}
