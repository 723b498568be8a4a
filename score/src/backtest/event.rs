//! Events that are known to have happened: to whom, from when to when.

use tidegauge_flow::{KeyValue, SensorKey};

/// A range of time of one sensor, or of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// A value of each key column; `None` is any.
    pub key: Vec<Option<KeyValue>>,
    /// Microseconds since 1970 in UTC.
    pub from_us: i64,
    /// Not before `from_us`.
    pub to_us: i64,
}

impl Event {
    /// Whether it is one of this sensor's.
    pub fn is_of(&self, sensor: &SensorKey) -> bool {
        let same = |(wanted, value): (&Option<KeyValue>, &KeyValue)| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        self.key.iter().zip(&sensor.0).all(same)
    }

    /// Whether a window (start, end] lies in it, in part at least.
    pub fn holds(&self, start_us: i64, end_us: i64) -> bool {
        end_us >= self.from_us && start_us < self.to_us.max(self.from_us + 1)
    }
}
