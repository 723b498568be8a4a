//! What is run: the simulated events, the configuration, and the binary's own commands on them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Args;
use crate::binary::{self, finish};
use crate::measure::{self, Phases};
use crate::models::{self, FEATURES};
use crate::oracle::{self, Row};

/// Whole seconds, so that each first reading lies on the end of a window.
const START: &str = "2026-01-01T00:00:00Z";
/// The stretch that models are trained on ends before the measured one begins.
const TRAIN_START: &str = "2025-06-01T00:00:00Z";
/// How far events are out of order; below the pipeline's `out_of_order`, so that none is late.
const JITTER: &str = "2s";
const DEVICE_SENSORS: u32 = 5;
/// Of the pipeline: how long the topic must be silent before the run ends.
const UNTIL_IDLE: &str = "2s";

/// One set of arguments, and the folder and topic that it works in.
pub struct Job<'a> {
    args: &'a Args,
    folder: &'a Path,
    topic: &'a str,
}

/// One reading of the topic into a lake of its own.
pub struct Run<'a> {
    job: &'a Job<'a>,
    config: PathBuf,
    lake: PathBuf,
    port: u16,
}

/// What the lake's ledger says of a run.
#[derive(Debug, Deserialize)]
pub struct Ledger {
    /// When the first lane was opened, microseconds since the epoch.
    pub opened_us: i64,
    pub commits: u64,
    pub files: u64,
    pub messages: u64,
    pub rejected: u64,
    pub late: u64,
    pub rows: u64,
}

impl<'a> Job<'a> {
    pub fn new(args: &'a Args, folder: &'a Path, topic: &'a str) -> Self {
        Self { args, folder, topic }
    }

    pub fn topic(&self) -> &str {
        self.topic
    }

    /// The rows that a right lake holds, by plain sums over the simulated events.
    pub fn expected(&self) -> Result<Vec<Row>> {
        let file = self.folder.join("events.jsonl");
        let (seed, events) = (self.args.seed.to_string(), self.args.events.to_string());
        let mut command = self.simulate(START, &seed);
        command.args(["--events", &events, "--jitter", JITTER, "--out"]).arg(&file);
        finish(command)?;
        let rows = oracle::aggregate(&file, self.args.window)?;
        fs::remove_file(file)?;
        Ok(rows)
    }

    /// Creates the topic and sends all events to it, as fast as it takes them.
    pub fn fill(&self) -> Result<()> {
        let Args { brokers, partitions, seed, events, compression, .. } = self.args;
        let mut command = self.simulate(START, &seed.to_string());
        command.args(["--events", &events.to_string(), "--jitter", JITTER]);
        command.args(["--brokers", brokers, "--topic", self.topic, "--compression", compression]);
        command.args(["--create", &partitions.to_string()]);
        finish(command).map(drop)
    }

    /// Trains a model for each sensor on an earlier stretch of other values.
    pub fn train(&self) -> Result<()> {
        let file = self.folder.join("train.jsonl");
        let seconds = (self.args.window * self.args.train_windows).to_string();
        let mut command = self.simulate(TRAIN_START, &self.args.seed.wrapping_add(1).to_string());
        command.args(["--seconds", &seconds, "--out"]).arg(&file);
        finish(command)?;
        let run = self.run(0)?;
        let mut command = self.command();
        command.arg("train").arg("-c").arg(&run.config).arg(&file);
        finish(command)?;
        fs::remove_file(file)?;
        Ok(())
    }

    /// Gives each sensor a made-up model of so many support vectors.
    pub fn publish(&self, vectors: u32) -> Result<()> {
        let Args { sensors, window, .. } = *self.args;
        models::publish(&self.models(), sensors, vectors, window, tidegauge::clock::now_us())
    }

    fn models(&self) -> PathBuf {
        self.folder.join("models")
    }

    /// Prepares one reading of the topic.
    pub fn run(&self, number: u64) -> Result<Run<'_>> {
        let config = self.folder.join(format!("run-{number}.toml"));
        let lake = self.folder.join(format!("lake-{number}"));
        // Free now; nobody else is likely to take it in the next moments.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(&config, self.settings(&lake, number, port))?;
        Ok(Run { job: self, config, lake, port })
    }

    fn settings(&self, lake: &Path, number: u64, port: u16) -> String {
        let Args { brokers, window, threads, memory, commit_every, .. } = self.args;
        let topic = self.topic;
        let text = |path: &Path| toml::Value::from(path.to_string_lossy().as_ref()).to_string();
        let (lake, models) = (text(lake), text(&self.models()));
        let threads = threads.map_or(String::new(), |n| format!("threads = {n}\n"));
        // Trained models would see a count that never varies.
        let features = if self.args.vectors.is_some() { &FEATURES[..] } else { &FEATURES[1..] };
        let limits = memory.as_ref().map_or(String::new(), |size| {
            format!("[limits]\nmemory = {size:?}\nspill = {}\n", text(&self.folder.join("spill")))
        });
        format!(
            r#"[source]
kind = "kafka"
brokers = {brokers:?}
topic = "{topic}"
group = "{topic}-{number}"
instance = "bench"
{threads}[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = """
SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, stddev("Value") AS deviation,
       min("Value") AS lowest, max("Value") AS highest
FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '{window} seconds')"""
out_of_order = "5s"
[models]
url = {models}
features = {features:?}
[lake]
url = {lake}
commit_every = {commit_every:?}
[http]
listen = "127.0.0.1:{port}"
{limits}"#
        )
    }

    fn simulate(&self, start: &str, seed: &str) -> Command {
        let devices = (self.args.sensors / DEVICE_SENSORS).to_string();
        let mut command = self.command();
        command.args(["simulate", "--devices", &devices]);
        command.args(["--sensors", &DEVICE_SENSORS.to_string(), "--interval", "1s"]);
        command.args(["--start", start, "--seed", seed, "--speed", "0"]);
        command
    }

    fn command(&self) -> Command {
        binary::command(&self.args.binary)
    }
}

#[derive(Deserialize)]
struct Trained {
    models: u64,
    vectors: f64,
}

impl Run<'_> {
    /// Reads the topic to its end.
    pub fn measure(&self) -> Result<Phases> {
        let mut command = self.job.command();
        command.args(["run", "--until-idle", UNTIL_IDLE, "-c"]).arg(&self.config);
        measure::run(command, self.port)
    }

    pub fn ledger(&self) -> Result<Ledger> {
        let ledgers: Vec<Ledger> = self.query(
            "SELECT cast(min(CASE WHEN kind = 'open' THEN committed_at END) AS bigint) AS opened_us,
                    count(*) FILTER (WHERE kind = 'epoch') AS commits,
                    sum(files) AS files, sum(messages) AS messages, sum(rejected) AS rejected,
                    sum(late) AS late, sum(rows) AS rows
             FROM commits",
        )?;
        ledgers.into_iter().next().context("the ledger has no record")
    }

    /// How many support vectors the models have on average.
    pub fn vectors(&self) -> Result<f64> {
        let sets: Vec<Trained> =
            self.query("SELECT count(*) AS models, avg(vectors) AS vectors FROM models")?;
        let Trained { models, vectors } = sets.into_iter().next().context("no models")?;
        let sensors = u64::from(self.job.args.sensors);
        ensure!(models == sensors, "there are {models} models for {sensors} sensors");
        Ok(vectors)
    }

    /// The lake's predictions.
    pub fn rows(&self) -> Result<Vec<Row>> {
        self.query(
            r#"SELECT "Device" AS device, "Sensor" AS sensor,
                      cast(window_end AS bigint) AS end_us, n, n_readings,
                      mean, deviation, lowest, highest, status, score
               FROM predictions"#,
        )
    }

    /// Lets the binary prove the lake.
    pub fn verify(&self) -> Result<()> {
        let mut command = self.job.command();
        command.arg("verify").arg(&self.lake);
        finish(command).map(drop)
    }

    /// Deletes the lake: several of them may be more than a disk holds.
    pub fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(self.lake)?)
    }

    fn query<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        binary::query(&self.job.args.binary, &self.config, sql)
    }
}
