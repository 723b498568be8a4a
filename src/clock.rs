//! The wall clock, read in the shells only and passed inwards.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Microseconds since the epoch.
pub fn now_us() -> i64 {
    now_ns() / 1000
}
