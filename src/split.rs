//! Sensors that are seen in two lanes of a process: a mistake of whoever produces the events.
//!
//! *Why it matters*: with one lane per partition, the events of one sensor must all go to one partition;
//! else each lane makes windows of a part of them. *How it is found*: each lane tells the sensors that are
//! new to it, so known sensors cost nothing. Another process's lanes are not looked at: `verify` does.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};
use tidegauge_flow::Sensors;
use tidegauge_serve::Metrics;

use crate::config::OnSplitSensor;

/// Pairs of lanes that are named in the log at most.
const NAMED_MAX: usize = 100;

/// Where this process has seen each sensor first.
#[derive(Debug, Default)]
pub struct SplitSensors(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Lanes by number.
    lanes: Vec<Box<str>>,
    /// A sensor's fingerprint, and its first lane.
    first: HashMap<u64, u32>,
    /// Pairs that have been named.
    named: BTreeSet<(u32, u32)>,
}

/// A sensor in two lanes.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    sensor: String,
    lanes: [String; 2],
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sensor, lanes: [first, second] } = self;
        write!(
            f,
            "sensor {sensor} is in the lanes {first} and {second}: each makes windows of a part of its \
             readings; have producers send all events of a sensor to one partition (key by sensor)"
        )
    }
}

impl SplitSensors {
    /// A lane has these sensors; those from number `from` on are new to it.
    ///
    /// # Errors
    /// When one of them is another lane's as well and the configuration forbids it.
    pub fn see(
        &self,
        lane: &str,
        sensors: &Sensors,
        from: usize,
        wanted: OnSplitSensor,
        metrics: &Metrics,
    ) -> Result<()> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = seen.number_of(lane);
        for id in from..sensors.len() {
            let id = u32::try_from(id)?;
            let first = *seen.first.entry(sensors.fingerprint(id)).or_insert(number);
            if first == number {
                continue;
            }
            metrics.sensors_in_two_lanes.inc();
            let sensor = sensors.key(id).to_string();
            let lanes = [seen.lanes[first as usize].to_string(), lane.to_string()];
            let split = Split { sensor, lanes };
            if wanted == OnSplitSensor::Fail {
                return Err(anyhow!("{split}, or set [source] on_split_sensor = \"warn\""));
            }
            let pair = (first.min(number), first.max(number));
            if seen.named.len() < NAMED_MAX && seen.named.insert(pair) {
                tracing::warn!("{split}; further ones of these lanes are only counted");
            }
        }
        Ok(())
    }
}

impl Seen {
    fn number_of(&mut self, lane: &str) -> u32 {
        let known = self.lanes.iter().position(|name| &**name == lane);
        let number = known.unwrap_or_else(|| {
            self.lanes.push(lane.into());
            self.lanes.len() - 1
        });
        number as u32
    }
}
