//! Where the events come from: the binary's simulation, or another program of the same purpose.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::Args;
use crate::binary::{self, finish};

/// Whole seconds, so that each first reading lies on the end of a window.
const START: &str = "2026-01-01T00:00:00Z";
/// The stretch that models are trained on ends before the measured one begins.
const TRAIN_START: &str = "2025-06-01T00:00:00Z";
/// How far events are out of order; below the pipeline's `out_of_order`, so that none is late.
const JITTER: &str = "2s";
const DEVICE_SENSORS: u32 = 5;

/// The events of one set of arguments. The same arguments give the same events, in a file and on a topic.
pub struct Events<'a>(pub &'a Args);

impl Events<'_> {
    /// The column that names a sensor within its device.
    pub fn sensor_column(&self) -> &'static str {
        if self.0.loader.is_some() { "Tag" } else { "Sensor" }
    }

    /// Writes all events, a line each.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut command = match &self.0.loader {
            Some(loader) => self.load(loader),
            None => self.simulate_measured(),
        };
        command.arg(if self.0.loader.is_some() { "--ndjson" } else { "--out" }).arg(file);
        finish(command).map(drop)
    }

    /// Creates the topic and sends all events to it, as fast as it takes them.
    pub fn send(&self, topic: &str) -> Result<()> {
        let Args { brokers, partitions, compression, .. } = self.0;
        let partitions = partitions.to_string();
        let mut command = if let Some(loader) = &self.0.loader {
            let mut command = self.load(loader);
            command.args(["--bootstrap", brokers, "--partitions", &partitions]);
            command
        } else {
            let mut command = self.simulate_measured();
            command.args(["--brokers", brokers, "--create", &partitions]);
            command
        };
        command.args(["--topic", topic, "--compression", compression]);
        finish(command).map(drop)
    }

    /// Writes so many seconds of an earlier stretch of other values, in order.
    pub fn write_earlier(&self, seconds: u64, file: &Path) -> Result<()> {
        let mut command = self.simulate(TRAIN_START, self.0.seed.wrapping_add(1));
        command.args(["--seconds", &seconds.to_string(), "--out"]).arg(file);
        finish(command).map(drop)
    }

    fn simulate_measured(&self) -> Command {
        let mut command = self.simulate(START, self.0.seed);
        command.args(["--events", &self.0.events.to_string(), "--jitter", JITTER]);
        command
    }

    fn simulate(&self, start: &str, seed: u64) -> Command {
        let devices = (self.0.sensors / DEVICE_SENSORS).to_string();
        let mut command = binary::command(&self.0.binary);
        command.args(["simulate", "--devices", &devices]);
        command.args(["--sensors", &DEVICE_SENSORS.to_string(), "--interval", "1s"]);
        command.args(["--start", start, "--seed", &seed.to_string(), "--speed", "0"]);
        command
    }

    fn load(&self, loader: &Path) -> Command {
        let Args { events, sensors, seed, .. } = self.0;
        let mut command = Command::new(loader);
        command.args(["--count", &events.to_string(), "--sensors", &sensors.to_string()]);
        command.args(["--seed", &seed.to_string()]);
        command
    }
}

/// The rows of `aggregate` over a file of all events, which is deleted again.
pub fn aggregated<T>(
    args: &Args,
    folder: &Path,
    aggregate: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let file = folder.join("events.jsonl");
    Events(args).write(&file)?;
    let rows = aggregate(&file)?;
    fs::remove_file(file)?;
    Ok(rows)
}
