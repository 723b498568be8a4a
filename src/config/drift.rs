//! The section `[models.drift]`: how often sensors are compared with what their models were trained on.

use std::time::Duration;

use super::reader::Reader;

/// A shorter interval would do nothing else.
const OFTEN: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone)]
pub struct Drift {
    /// How often `run` compares; `None`: never.
    pub every: Option<Duration>,
    /// How much event time is looked at, up to the newest window.
    pub last: Duration,
}

pub(super) fn drift(reader: &mut Reader) -> Drift {
    const EVERY: &str = "models.drift.every";
    let every = reader.duration(EVERY, "0s", Duration::ZERO..=30 * DAY);
    if !every.is_zero() && every < OFTEN {
        reader.mistake(EVERY, format!("is {every:?}, allowed is 0s, or 100ms and more"));
    }
    let last = reader.duration("models.drift.last", "7d", Duration::from_secs(1)..=3660 * DAY);
    Drift { every: (!every.is_zero()).then_some(every), last }
}
