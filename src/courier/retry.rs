//! When what was not delivered is tried again, and when it is given up.

use std::time::{Duration, Instant};

/// The wait after a first failed attempt; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// How one lane's next message goes.
#[derive(Debug, Default)]
pub struct Retry {
    /// Attempts in a row that have failed, whatever at.
    failures: u32,
    /// The lane is left alone until then.
    until: Option<Instant>,
    /// How often the receiver was asked to take the next message.
    pub attempts: u64,
    /// Since when it does not take it.
    refused_since: Option<Instant>,
}

impl Retry {
    /// Whether it is time.
    pub fn is_due(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Whether the last attempt has failed.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// It went well, or there was nothing to do.
    pub fn went_well(&mut self) {
        (self.failures, self.until) = (0, None);
    }

    /// Something has failed; the next attempt comes after what `wait` says of so many failures.
    pub fn failed(&mut self, now: Instant, wait: impl FnOnce(u32) -> Duration) {
        self.failures = self.failures.saturating_add(1);
        self.until = now.checked_add(wait(self.failures));
    }

    /// The receiver does not take the next message now; for how long it has not.
    pub fn refused(&mut self, now: Instant) -> Duration {
        now.duration_since(*self.refused_since.get_or_insert(now))
    }

    /// The next message is another one.
    pub fn moved_on(&mut self) {
        (self.attempts, self.refused_since) = (0, None);
    }
}

/// How long to wait after so many failures in a row, before chance shortens it.
pub fn doubled(failures: u32, most: Duration) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most)
}

/// What a receiver asks for, but no less than the first wait.
pub fn asked(after: Duration) -> Duration {
    after.max(FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = [1, 2, 3, 4, 40].map(|failures| doubled(failures, Duration::from_secs(5)));
        assert_eq!(waits.map(|wait| wait.as_secs()), [1, 2, 4, 5, 5]);
        assert_eq!(doubled(1, Duration::from_millis(100)), Duration::from_millis(100));
    }

    #[test]
    fn a_message_is_refused_since_its_first_refusal_whatever_happens_to_others() {
        let (mut retry, start) = (Retry::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(retry.refused(at(0)), Duration::ZERO);
        retry.failed(at(0), |failures| Duration::from_secs(10 * u64::from(failures)));
        assert!(!retry.is_due(at(9)) && retry.is_due(at(10)) && retry.has_failed());
        assert_eq!(retry.refused(at(10)), Duration::from_secs(10));
        retry.failed(at(10), |failures| Duration::from_secs(10 * u64::from(failures)));
        assert!(!retry.is_due(at(29)) && retry.is_due(at(30)), "the second failure");
        retry.moved_on();
        assert_eq!(retry.refused(at(30)), Duration::ZERO, "the next message begins anew");
        retry.went_well();
        assert!(retry.is_due(at(0)) && !retry.has_failed());
    }
}
