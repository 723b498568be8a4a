//! Which fields of an event are its time, its key and its values, and what is accepted in them.

use std::sync::Arc;

use tidegauge_flow::{KeySchema, ReadingSchema, time};

/// 2000-01-01T00:00:00Z: no sensor that reports to Kafka is older.
pub const EARLIEST_NS: i64 = 946_684_800 * time::NANOS;
/// One day: wider than any time zone's mistake that should pass as a slow clock.
pub const EARLY_NS: i64 = 86_400 * time::NANOS;

/// How the time field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// RFC 3339 or `YYYY-MM-DD hh:mm:ss[.fff]`; without an offset it is UTC.
    #[default]
    Text,
    /// A number of seconds since 1970-01-01T00:00:00Z.
    EpochSeconds,
    /// A number of milliseconds.
    EpochMillis,
    /// A number of microseconds.
    EpochMicros,
}

impl TimeFormat {
    /// All formats.
    pub const ALL: [Self; 4] =
        [Self::Text, Self::EpochSeconds, Self::EpochMillis, Self::EpochMicros];

    /// The word that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::EpochSeconds => "epoch_seconds",
            Self::EpochMillis => "epoch_millis",
            Self::EpochMicros => "epoch_micros",
        }
    }

    /// The power of ten that makes nanoseconds of the unit; `None` for text.
    pub(crate) fn nanos_exponent(self) -> Option<u32> {
        match self {
            Self::Text => None,
            Self::EpochSeconds => Some(9),
            Self::EpochMillis => Some(6),
            Self::EpochMicros => Some(3),
        }
    }
}

/// The sizes that a message may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a payload, or of a line or record of a file.
    pub message_bytes_max: usize,
    /// Bytes of one key value's text.
    pub key_bytes_max: usize,
    /// Levels of nested objects and arrays.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 1 << 20, key_bytes_max: 1024, depth_max: 128 }
    }
}

/// What an event's fields mean. One field may serve several roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMapping {
    /// The field with the event time.
    pub time: String,
    /// How it is written.
    pub time_format: TimeFormat,
    /// The fields that name the sensor.
    pub key: Arc<KeySchema>,
    /// The fields with numbers.
    pub values: Vec<String>,
    /// The field that tells an event from its duplicates, if readings shall be counted once each.
    pub id: Option<String>,
    /// The sizes that a message may have.
    pub limits: Limits,
    /// An event before this time is rejected, nanoseconds since the epoch.
    pub earliest_ns: i64,
    /// An event more than this after its arrival is rejected, nanoseconds.
    pub early_ns: i64,
}

impl EventMapping {
    /// The mapping of these fields with textual times and the default limits.
    pub fn new(time: impl Into<String>, key: Arc<KeySchema>, values: Vec<String>) -> Self {
        Self {
            time: time.into(),
            time_format: TimeFormat::Text,
            key,
            values,
            id: None,
            limits: Limits::default(),
            earliest_ns: EARLIEST_NS,
            early_ns: EARLY_NS,
        }
    }

    /// The columns of the readings that decoding gives.
    pub fn schema(&self) -> ReadingSchema {
        let values = self.values.clone();
        ReadingSchema { key: self.key.clone(), time: self.time.clone(), values }
    }
}
