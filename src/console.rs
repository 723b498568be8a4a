//! The lake's side of the live page: answers from files that the ledger names, from the registry and, where one runs,
//! from the pipeline.
//!
//! Everything is read only while somebody asks; see [`follower`]. What is true of a window is its highest revision;
//! rows that a larger file holds again count once.

mod anomalies;
mod events;
mod follower;
mod index;
mod keys;
mod ledger;
mod look;
mod models;
mod origin;
mod pages;
mod points;
mod rejects;
mod rows;
mod sensor;

use std::sync::{Arc, Mutex, RwLockReadGuard};

use anyhow::{Context, Result};
use tidegauge_aggregate::Query;
use tidegauge_flow::ReadingSchema;
use tidegauge_serve::console::{
    AliasMove, Anomalies, Anomaly, Answer, Commits, Console, ConsoleError, EventState, Events,
    Info, KeyColumn, KeyValue, Lanes, LateRows, ModelSets, Overview, Rejects, Sensor, Sensors,
    SensorsQuery,
};
use tidegauge_sink::{Generation, Reader, Table};

use self::follower::{Follower, Pace, State};
use self::models::SetsSeen;
pub use self::origin::{Origin, Process};
use self::rows::Rows;

/// See the module's documentation.
pub struct LakeConsole {
    origin: Arc<Origin>,
    follower: Follower,
    rows: Rows,
    sets: Mutex<SetsSeen>,
}

impl LakeConsole {
    /// A console, which reads nothing before it is asked.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(origin: Origin) -> Result<Self> {
        Self::at_pace(origin, Pace::default())
    }

    fn at_pace(origin: Origin, pace: Pace) -> Result<Self> {
        let origin = Arc::new(origin);
        let follower = Follower::start(origin.clone(), pace);
        let follower = follower.context("cannot start the console's thread")?;
        let rows = Rows::new().context("cannot start the console's threads")?;
        Ok(Self { origin, follower, rows, sets: Mutex::default() })
    }

    fn now_us(&self) -> i64 {
        self.origin.clock.now_us()
    }
}

/// The lake, without which a question has no answer.
fn lake(state: &State) -> Answer<&Reader> {
    let missing = || ConsoleError::NotFound("there is no lake here yet".into());
    state.look.reader.as_ref().ok_or_else(missing)
}

fn unavailable(error: &anyhow::Error) -> ConsoleError {
    ConsoleError::Unavailable(format!("{error:#}"))
}

impl Console for LakeConsole {
    fn info(&self) -> Answer<Info> {
        let state = self.follower.ledger()?;
        let is_there = |file: &look::DataFile| file.file.table == Table::Events;
        let has_events = state.look.files.iter().any(is_there);
        let info = info(&self.origin, state.look.reader.as_ref().map(Reader::generation));
        Ok(Info { events: info.events || has_events, ..info })
    }

    fn overview(&self) -> Answer<Overview> {
        let state = self.follower.index()?;
        let mut overview = ledger::overview(&state, self.now_us());
        drop::<RwLockReadGuard<'_, State>>(state);
        overview.process = self.origin.process.as_ref().map(ledger::process);
        Ok(overview)
    }

    fn sensors(&self, query: &SensorsQuery) -> Answer<Sensors> {
        let state = self.follower.index()?;
        let Some(index) = &state.index else {
            return Ok(Sensors { total: 0, matching: 0, as_of_us: None, rows: Vec::new() });
        };
        if index.is_full() {
            return Err(ConsoleError::Refused(format!(
                "there are more than {} sensors, which are not listed: ask for one by its key, or use tidegauge \
                 query",
                index::SENSORS_MAX
            )));
        }
        Ok(index.list(query))
    }

    fn sensor(
        &self,
        key: &[KeyValue],
        from_us: Option<i64>,
        to_us: Option<i64>,
        points: usize,
    ) -> Answer<Sensor> {
        self.one_sensor(key, (from_us, to_us), points)
    }

    fn anomalies(
        &self,
        key: Option<&[KeyValue]>,
        before_us: Option<i64>,
        limit: usize,
    ) -> Answer<Anomalies> {
        self.anomalies_before(key, before_us.unwrap_or(i64::MAX), limit)
    }

    fn anomalies_since(&self, cursor: u64, limit: usize) -> Answer<(Vec<Anomaly>, u64)> {
        let state = self.follower.index()?;
        Ok(state.index.as_ref().map_or((Vec::new(), 0), |index| index.since(cursor, limit)))
    }

    fn events(
        &self,
        key: Option<&[KeyValue]>,
        state: Option<EventState>,
        before_us: Option<i64>,
        limit: usize,
    ) -> Answer<Events> {
        let known = self.follower.index()?;
        let Some(reader) = &known.look.reader else {
            return Ok(Events { rows: Vec::new(), next_before_us: None });
        };
        let key = key.map(|key| keys::typed(key, &reader.generation().key_schema())).transpose()?;
        let key = key.as_ref().map(keys::shown);
        let before_us = before_us.unwrap_or(i64::MAX);
        Ok(known.events.page(key.as_deref(), state, before_us, limit))
    }

    fn lanes(&self) -> Answer<Lanes> {
        Ok(ledger::lanes(&*self.follower.ledger()?))
    }

    fn commits(&self, lane: &str, before_epoch: Option<u64>, limit: usize) -> Answer<Commits> {
        let state = self.follower.ledger()?;
        let standing = state.look.lanes.get(lane).cloned();
        let (reader, standing) = match (&state.look.reader, standing) {
            (Some(reader), Some(standing)) => (reader.clone(), standing),
            _ => return Err(ConsoleError::NotFound(format!("there is no lane {lane:?}"))),
        };
        drop(state);
        ledger::commits(&reader, &standing, before_epoch, limit)
    }

    fn models(&self) -> Answer<ModelSets> {
        models::sets(&self.origin, &self.sets)
    }

    fn move_alias(&self, alias: &str, version: u64) -> Answer<AliasMove> {
        models::move_alias(&self.origin, alias, version)
    }

    fn roll_back(&self, alias: &str) -> Answer<AliasMove> {
        models::roll_back(&self.origin, alias)
    }

    fn rejects(&self, before_us: Option<i64>, limit: usize) -> Answer<Rejects> {
        let state = self.follower.ledger()?;
        let Some(reader) = state.look.reader.clone() else { return Ok(rejects::none()) };
        let files = state.look.files.clone();
        drop(state);
        rejects::rejects(&reader, &files, before_us, limit)
    }

    fn late(&self, limit: usize) -> Answer<LateRows> {
        let state = self.follower.ledger()?;
        let Some(reader) = state.look.reader.clone() else {
            return Ok(LateRows { columns: Vec::new(), rows: Vec::new() });
        };
        let files = state.look.files.clone();
        drop(state);
        rejects::late(&reader, &files, limit)
    }
}

fn info(origin: &Origin, generation: Option<&Generation>) -> Info {
    let columns = generation.map(|generation| generation.columns.as_slice()).unwrap_or_default();
    let has = |name: &str| columns.iter().any(|column| column.name == name);
    let views = origin.config.as_ref().map(|config| config.models.views()).unwrap_or_default();
    Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lake: origin.shown_url(),
        runs: origin.process.is_some(),
        key: generation.map(key_columns).unwrap_or_default(),
        features: generation.map(look::features).unwrap_or_default(),
        query: generation.map(|generation| generation.query.clone()).unwrap_or_default(),
        window_us: generation.and_then(window_us),
        onset: views.onset || has(tidegauge_flow::names::NOVELTY),
        challenger: views.challenger || has(tidegauge_flow::names::CHALLENGER_SCORE),
        events: origin.config.as_ref().is_some_and(|config| config.events.is_some()),
    }
}

fn key_columns(generation: &Generation) -> Vec<KeyColumn> {
    let kind = |kind: &str| if kind == "int64" { "int64" } else { "string" };
    let column =
        |c: &tidegauge_sink::Column| KeyColumn { name: c.name.clone(), kind: kind(&c.kind) };
    generation.key.iter().map(column).collect()
}

/// The length of a window, by the lake's query.
fn window_us(generation: &Generation) -> Option<i64> {
    let readings = ReadingSchema {
        key: Arc::new(generation.key_schema()),
        time: generation.time.clone(),
        values: generation.values.clone(),
    };
    let query = Query::plan(&generation.query, &readings).ok()?;
    Some(query.window().size_ns / 1000)
}

#[cfg(test)]
mod tests;
