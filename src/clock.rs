//! Time, read in the shells only and passed inwards.

use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the process takes its time from.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock, nanoseconds since the epoch. May jump.
    fn now_ns(&self) -> i64;

    /// The steady clock.
    fn instant(&self) -> Instant;

    /// The wall clock, microseconds since the epoch.
    fn now_us(&self) -> i64 {
        self.now_ns() / 1000
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// The machine's wall clock, nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    SystemClock.now_ns()
}

/// The machine's wall clock, microseconds since the epoch.
pub fn now_us() -> i64 {
    SystemClock.now_us()
}
