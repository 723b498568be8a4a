//! A console that knows one sensor and remembers what it was asked.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use crate::console::{
    AliasMove, Anomalies, Anomaly, Answer, Commits, Console, ConsoleError, EventState, Events,
    Info, KeyColumn, KeyValue, Lanes, LateRows, ModelSets, Overview, Rejects, Sensor, Sensors,
    SensorsQuery,
};

#[derive(Default)]
pub struct Fake {
    asked: Mutex<Vec<String>>,
    /// Questions for lanes wait for this.
    gate: Mutex<Option<Receiver<()>>>,
    /// Told by the next question for anomalies.
    pub news: Mutex<Vec<Anomaly>>,
}

impl Fake {
    /// What it was asked, as text.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the next question for lanes wait until the sender is dropped.
    pub fn hold_lanes(&self) -> Sender<()> {
        let (sender, receiver) = channel();
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
        sender
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

impl Console for Fake {
    fn info(&self) -> Answer<Info> {
        Ok(Info {
            version: "1".to_owned(),
            lake: "lake".to_owned(),
            runs: false,
            key: vec![KeyColumn { name: "Device".to_owned(), kind: "int64" }],
            features: Vec::new(),
            query: String::new(),
            window_us: None,
            onset: false,
            challenger: false,
            events: false,
        })
    }

    fn overview(&self) -> Answer<Overview> {
        self.note("overview".to_owned());
        Ok(Overview {
            now_us: 1,
            newest_window_us: None,
            last_commit_us: None,
            watermark_delay_s: None,
            events_per_s: 0.0,
            rows_per_s: 0.0,
            messages: 0,
            rejected: 0,
            late: 0,
            rows: 0,
            commits: 0,
            lanes: 0,
            sensors: 0,
            anomalous: 0,
            no_model: 0,
            anomalies_last_hour: 0,
            open_events: 0,
            process: None,
        })
    }

    fn sensors(&self, query: &SensorsQuery) -> Answer<Sensors> {
        self.note(format!("{query:?}"));
        Ok(Sensors { total: 0, matching: 0, as_of_us: None, rows: Vec::new() })
    }

    fn sensor(
        &self,
        key: &[KeyValue],
        from_us: Option<i64>,
        to_us: Option<i64>,
        points: usize,
    ) -> Answer<Sensor> {
        self.note(format!("sensor {key:?} {from_us:?} {to_us:?} {points}"));
        Err(ConsoleError::NotFound("there is no such sensor".to_owned()))
    }

    fn anomalies(
        &self,
        key: Option<&[KeyValue]>,
        before_us: Option<i64>,
        limit: usize,
    ) -> Answer<Anomalies> {
        self.note(format!("anomalies {key:?} {before_us:?} {limit}"));
        Ok(Anomalies { rows: Vec::new(), next_before_us: None })
    }

    fn anomalies_since(&self, cursor: u64, _limit: usize) -> Answer<(Vec<Anomaly>, u64)> {
        let news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((news, cursor + 1))
    }

    fn events(
        &self,
        key: Option<&[KeyValue]>,
        state: Option<EventState>,
        before_us: Option<i64>,
        limit: usize,
    ) -> Answer<Events> {
        self.note(format!("events {key:?} {state:?} {before_us:?} {limit}"));
        Ok(Events { rows: Vec::new(), next_before_us: None })
    }

    fn lanes(&self) -> Answer<Lanes> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(gate) = gate {
            self.note("lanes wait".to_owned());
            let _ = gate.recv();
        }
        Ok(Lanes { lanes: Vec::new() })
    }

    fn commits(&self, lane: &str, before_epoch: Option<u64>, limit: usize) -> Answer<Commits> {
        self.note(format!("commits {lane} {before_epoch:?} {limit}"));
        Ok(Commits { rows: Vec::new(), next_before_epoch: None })
    }

    fn models(&self) -> Answer<ModelSets> {
        panic!("this console has a fault")
    }

    fn move_alias(&self, alias: &str, version: u64) -> Answer<AliasMove> {
        self.note(format!("move {alias} {version}"));
        match version {
            0 => Err(ConsoleError::Refused("set 0 does not fit".to_owned())),
            _ => Ok(AliasMove { alias: alias.to_owned(), version }),
        }
    }

    fn roll_back(&self, alias: &str) -> Answer<AliasMove> {
        self.note(format!("roll back {alias}"));
        Ok(AliasMove { alias: alias.to_owned(), version: 1 })
    }

    fn rejects(&self, before_us: Option<i64>, limit: usize) -> Answer<Rejects> {
        self.note(format!("rejects {before_us:?} {limit}"));
        Err(ConsoleError::Unavailable("the lake does not answer".to_owned()))
    }

    fn late(&self, limit: usize) -> Answer<LateRows> {
        self.note(format!("late {limit}"));
        Ok(LateRows { columns: Vec::new(), rows: Vec::new() })
    }
}
