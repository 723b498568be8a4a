//! A partition that is ours, and the states that its lane goes through.
//!
//! ```text
//!            opened                    revoked, or the end
//! Waiting ----------> Consuming ----------------------------> Draining --> Released
//!    ^                    | trouble that may pass, a gap          (last commit, by a deadline)
//!    +--------------------+
//! ```
//!
//! *Why types*: only a lane in `Consuming` can be fed or cut, only one in `Draining` can be released, and
//! each step takes the state before it away.

use std::time::Instant;

use anyhow::Result;
use tidegauge_serve::Dropped;

use super::trouble::{Trouble, Weight, weigh};
use crate::lane::{Lane, Settled};

/// A partition that is ours.
pub(super) enum Held {
    Consuming(Box<Consuming>),
    Waiting(Waiting),
}

/// Its lane is open and read.
pub(super) struct Consuming {
    pub lane: Lane,
    pub opened_at: Instant,
    /// Its interval is over, since then.
    pub due_since: Option<Instant>,
    /// It should be cut, and memory has no room for it now.
    deferred: bool,
    pub pause: Pause,
    /// Has not ended until the lane commits again.
    pub trouble: Option<Trouble>,
}

/// Why a lane is not read for the moment. A pause is no silence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pause {
    /// Its epoch is full, and the one before is still being written.
    pub full: bool,
    /// The process holds too much in memory.
    pub memory: bool,
}

impl Pause {
    pub fn is_on(self) -> bool {
        self.full || self.memory
    }
}

/// Its lane is not open: something failed that may pass.
pub(super) struct Waiting {
    pub trouble: Trouble,
}

/// A lane that goes: nothing is fed to it any more, and what is in hand is being committed.
pub(super) struct Draining {
    lane: Lane,
    until: Instant,
}

/// A lane that has gone, and how.
pub(super) struct Released {
    /// The last thing committed while it drained.
    pub settled: Option<Settled>,
    pub ending: Ending,
}

/// What became of what was in hand.
pub(super) enum Ending {
    Committed,
    /// Not committed: the next owner reads it again.
    Dropped(Dropped, anyhow::Error),
    /// Not committed, and a person must act.
    Failed(anyhow::Error),
}

impl Held {
    pub fn is_in_flight(&self) -> bool {
        matches!(self, Self::Consuming(held) if held.lane.is_in_flight())
    }
}

impl Consuming {
    pub fn new(lane: Lane, trouble: Option<Trouble>, opened_at: Instant) -> Self {
        Self { lane, opened_at, due_since: None, deferred: false, pause: Pause::default(), trouble }
    }

    /// Takes down a finished commit and, when the lane is due or full and `may_cut`, cuts the next.
    ///
    /// # Errors
    /// When a commit failed; the lane is not usable then.
    pub fn commit(&mut self, now_us: i64, may_cut: bool) -> Result<Option<Settled>> {
        let settled = self.lane.land()?;
        if settled.is_some() {
            self.trouble = None;
        }
        let wanted =
            (self.due_since.is_some() || self.lane.wants_commit()) && !self.lane.is_in_flight();
        self.deferred = wanted && !may_cut;
        if wanted && may_cut {
            self.due_since = None;
            if !self.lane.cut(now_us)? {
                // All that was read is in the lake.
                self.trouble = None;
            }
        }
        Ok(settled)
    }

    /// Whether it should not be fed before the epoch in flight has landed, or before it can be cut.
    pub fn is_full(&self) -> bool {
        (self.lane.is_in_flight() || self.deferred) && self.lane.wants_commit()
    }

    /// Begins to let the lane go: what is in hand is on its way into the lake when this returns, unless
    /// an epoch is in flight, which goes first.
    ///
    /// # Errors
    /// The lane's release without a commit, when it could not even be cut.
    pub fn drain(mut self, until: Instant, now_us: i64) -> Result<Draining, Released> {
        let begun = match self.lane.is_in_flight() {
            true => Ok(false),
            false => self.lane.cut(now_us),
        };
        match begun {
            Ok(_) => Ok(Draining { lane: self.lane, until }),
            Err(error) => Err(Released::failed(None, error)),
        }
    }

    /// Lets go without a commit.
    pub fn abandon(self, why: Dropped, error: anyhow::Error) -> Released {
        Released { settled: None, ending: Ending::Dropped(why, error) }
    }
}

impl Draining {
    /// Waits until everything is in the lake, or the deadline has passed.
    pub fn finish(mut self, now_us: i64) -> Released {
        let mut settled = None;
        loop {
            if !self.lane.wait(Some(self.until)) {
                let late = anyhow::anyhow!("its last commit was not done in time");
                return Released { settled, ending: Ending::Dropped(Dropped::Deadline, late) };
            }
            match self.lane.land() {
                Ok(landed) => settled = landed.or(settled),
                Err(error) => return Released::failed(settled, error),
            }
            match self.lane.cut(now_us) {
                Ok(true) => {}
                Ok(false) => return Released { settled, ending: Ending::Committed },
                Err(error) => return Released::failed(settled, error),
            }
        }
    }
}

impl Released {
    fn failed(settled: Option<Settled>, error: anyhow::Error) -> Self {
        let ending = match weigh(&error) {
            Weight::Passes(why) => Ending::Dropped(why, error),
            Weight::Final => Ending::Failed(error),
        };
        Self { settled, ending }
    }
}
