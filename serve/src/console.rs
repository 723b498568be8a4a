//! What the page and the API ask about, and the words in which they are answered.
//!
//! *Why a trait*: answers come from the lake by the query engine, from the model registry and from the
//! process, none of which this crate knows. The binary implements [`Console`]; the server calls it on
//! threads that may wait, never on the one that serves connections.
//!
//! Field names are those of the JSON. Times are microseconds since 1970 in UTC (`_us`). Numbers that are not
//! there are `null`, never NaN.

mod lake;
mod models;
mod sensors;

use serde::Serialize;
use thiserror::Error;

pub use lake::{
    Commit, Commits, LaneRow, Lanes, LateRows, Overview, ProcessRates, Reject, Rejects,
};
pub use models::{AliasMove, AliasRow, ModelSets, SetRow};
pub use sensors::{
    Anomalies, Anomaly, EventRow, EventState, Events, KeyColumn, KeyValue, ModelSummary, Order,
    Reason, Sensor, SensorHistory, SensorRow, SensorSort, Sensors, SensorsQuery,
};

/// Why a question has no answer. The text goes to the client.
#[derive(Debug, Error)]
pub enum ConsoleError {
    /// There is no such sensor, set or alias: 404.
    #[error("{0}")]
    NotFound(String),
    /// The question itself is wrong: 400.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be done as things are, such as putting a set in force that does not fit: 409.
    #[error("{0}")]
    Refused(String),
    /// The lake or the registry does not answer at the moment: 503.
    #[error("{0}")]
    Unavailable(String),
}

/// What an answer is, or why there is none.
pub type Answer<T> = Result<T, ConsoleError>;

/// A lake, its models and, where one runs, the pipeline that writes it. Methods may take their time and may
/// be called from several threads at once.
pub trait Console: Send + Sync + 'static {
    /// What this is.
    fn info(&self) -> Answer<Info>;
    /// How it stands now.
    fn overview(&self) -> Answer<Overview>;
    /// Sensors with their newest window.
    fn sensors(&self, query: &SensorsQuery) -> Answer<Sensors>;
    /// One sensor's windows that end in (`from_us`, `to_us`], at most about `points` of them: of more, some
    /// at a time are taken together.
    fn sensor(
        &self,
        key: &[KeyValue],
        from_us: Option<i64>,
        to_us: Option<i64>,
        points: usize,
    ) -> Answer<Sensor>;
    /// Anomalous windows, newest first, that end before `before_us`.
    fn anomalies(
        &self,
        key: Option<&[KeyValue]>,
        before_us: Option<i64>,
        limit: usize,
    ) -> Answer<Anomalies>;
    /// Anomalous windows that were seen since the cursor of an earlier call (0: from now on), oldest first,
    /// and the next cursor.
    fn anomalies_since(&self, cursor: u64, limit: usize) -> Answer<(Vec<Anomaly>, u64)>;
    /// Debounced anomaly events, newest first by their start, that start before `before_us`.
    fn events(
        &self,
        key: Option<&[KeyValue]>,
        state: Option<EventState>,
        before_us: Option<i64>,
        limit: usize,
    ) -> Answer<Events>;
    /// Lanes with the newest record of each.
    fn lanes(&self) -> Answer<Lanes>;
    /// Commits of a lane, newest first, below an epoch.
    fn commits(&self, lane: &str, before_epoch: Option<u64>, limit: usize) -> Answer<Commits>;
    /// Aliases and the newest model sets.
    fn models(&self) -> Answer<ModelSets>;
    /// Makes an alias mean a version, when it fits what runs.
    fn move_alias(&self, alias: &str, version: u64) -> Answer<AliasMove>;
    /// Makes an alias mean what it meant before.
    fn roll_back(&self, alias: &str) -> Answer<AliasMove>;
    /// Messages that could not be read, newest first, that were committed before `before_us`.
    fn rejects(&self, before_us: Option<i64>, limit: usize) -> Answer<Rejects>;
    /// Readings that came too late, newest commit first.
    fn late(&self, limit: usize) -> Answer<LateRows>;
}

/// What a lake is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// Of the program.
    pub version: String,
    /// The lake's URL, without secrets.
    pub lake: String,
    /// Whether a pipeline runs in this process; otherwise the lake is only read.
    pub runs: bool,
    /// The columns that name a sensor.
    pub key: Vec<KeyColumn>,
    /// The query's columns.
    pub features: Vec<String>,
    /// The query.
    pub query: String,
    /// The length of a window, when all have the same.
    pub window_us: Option<i64>,
    /// Whether rows have `novelty` and `alarm`.
    pub onset: bool,
    /// Whether rows have challenger columns.
    pub challenger: bool,
    /// Whether anomaly events are written.
    pub events: bool,
}
