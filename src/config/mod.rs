//! The configuration: one TOML file, then environment, then flags; all mistakes reported at once.

mod alerts;
mod device;
mod drift;
mod events;
mod fallback;
mod http;
mod load;
mod models;
mod policy;
mod reader;
mod schedule;
mod sections;
#[cfg(test)]
mod tests;
mod train;
pub mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegauge_aggregate::TimePolicy;
use tidegauge_ingest::EventMapping;
use tidegauge_score::EventSettings;
use tidegauge_serve::HttpSettings;
pub use tidegauge_sink::LaneMode;
use tidegauge_sink::Storage;

pub use self::alerts::{Alert, Begin, Receiver, Secret, Topic, Webhook};
pub use self::device::Device;
pub use self::drift::Drift;
pub use self::fallback::{FALLBACK, Fallback};
pub use self::load::{load, parse};
pub use self::models::{CHAMPION, Models, ONSET, Onset};
pub use self::reader::Mistake;
pub use self::schedule::Schedule;
pub use self::sections::default_upkeep;
pub use self::train::{FeatureLimit, Retrain, RuleKind, TrainRule};

/// Everything that one pipeline needs to know. Durations are checked, names are not resolved.
#[derive(Debug, Clone)]
pub struct Config {
    pub source: Source,
    pub event: Arc<EventMapping>,
    pub window: Window,
    pub models: Models,
    /// How anomalies become events; `None`: nobody wants any.
    pub events: Option<EventSettings>,
    /// Who is told of them.
    pub alerts: Vec<Alert>,
    pub lake: LakeSettings,
    pub limits: LimitSettings,
    /// `None`: no server.
    pub http: Option<HttpSettings>,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub kind: SourceKind,
    pub brokers: String,
    pub topic: String,
    pub group: String,
    pub instance: Option<String>,
    pub start: Start,
    /// Files and folders, for `kind = "files"`.
    pub paths: Vec<String>,
    /// Worker threads; each is a member of the consumer group.
    pub threads: usize,
    /// How long to wait for broker, topic and login.
    pub connect_timeout: Duration,
    /// How long a lane's passing trouble may last before the process gives up.
    pub retry_for: Duration,
    /// How long a lane that goes may take for its last commit.
    pub drain_within: Duration,
    /// What happens when what comes next is not to be had.
    pub on_gap: OnGap,
    pub lanes: LaneMode,
    /// What happens when a sensor is in two lanes.
    pub on_split_sensor: OnSplitSensor,
    pub kafka: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    Kafka,
    Files,
}

/// Where a lane without a ledger begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// At the first message with this timestamp or a later one, nanoseconds since the epoch.
    Time(i64),
}

/// What happens when the broker does not have what a lane would read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGap {
    /// The process stops and says what to do.
    Fail,
    /// The lane goes on at the oldest message that is there; the ledger names what was skipped.
    Skip,
}

/// What happens when the events of one sensor come in two lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSplitSensor {
    /// It is counted, and named in the log.
    Warn,
    /// The process stops.
    Fail,
}

#[derive(Debug, Clone)]
pub struct Window {
    pub query: String,
    pub out_of_order: Duration,
    pub late: Late,
    /// How long closed windows are held, for `late = "revise"`.
    pub allowed_lateness: Option<Duration>,
    pub policy: TimePolicy,
    pub idle_after: Duration,
    pub open_max: usize,
    pub sensors_max: u32,
}

/// What happens to a reading whose windows are all closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    Keep,
    Drop,
    /// Its windows give further rows; kept when they are no longer held.
    Revise,
}

#[derive(Debug, Clone)]
pub struct LakeSettings {
    pub url: String,
    /// How buckets are reached, those of models too.
    pub storage: Storage,
    pub commit_every: Duration,
    /// Rejects of one lane that make it commit before the interval is over.
    pub rejects_max: usize,
    pub upkeep: UpkeepSettings,
}

/// How a lake is kept over the years.
#[derive(Debug, Clone)]
pub struct UpkeepSettings {
    /// Whether small files of closed hours and days become large ones.
    pub compact: bool,
    /// How often a running process maintains the lake.
    pub maintain_every: Duration,
    /// A lane that has not committed for so long holds up nothing.
    pub compact_after: Duration,
    /// Files are merged up to this size, bytes.
    pub compact_file_max: u64,
    /// How long replaced files stay for readers that still know them.
    pub keep_replaced: Duration,
    /// How long records stay that a summary holds.
    pub keep_ledger: Duration,
    /// How long rows stay, by table; `None`: for ever.
    pub keep_predictions: Option<Duration>,
    pub keep_late: Option<Duration>,
    pub keep_rejects: Option<Duration>,
    pub keep_events: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Bytes that all lanes of the process may hold together; `None`: a part of what the machine has.
    pub memory: Option<u64>,
    /// A folder for windows that memory has no room for; `None`: in the state directory.
    pub spill: Option<String>,
}

/// A configuration with mistakes: each of them, for exit code 64.
#[derive(Debug)]
pub struct Mistakes {
    pub place: String,
    pub mistakes: Vec<Mistake>,
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.mistakes.len();
        write!(f, "{} has {n} mistake{}", self.place, if n == 1 { "" } else { "s" })?;
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}
