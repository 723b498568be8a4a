//! The two processes, and what the lake says afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Args;
use crate::binary::{self, finish};
use crate::models::{FEATURES, Made};
use crate::stat::Stat;

/// How far the watermark is behind the newest event.
pub const OUT_OF_ORDER_US: i64 = 5_000_000;
const BINARY: &str = env!("CARGO_BIN_EXE_tidegauge");
/// Support vectors of a model.
const VECTORS: u32 = 50;
const WINDOW_S: u64 = 5;
/// How long a process may take for what it is told.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);

pub struct Plant<'a> {
    args: &'a Args,
    folder: &'a Path,
    config: PathBuf,
    topic: String,
}

/// The rows of one window end in one commit.
#[derive(Debug, Deserialize)]
pub struct Window {
    pub lane: String,
    pub epoch: u64,
    pub end_us: i64,
    pub rows: u64,
}

#[derive(Debug, Deserialize)]
struct Read {
    messages: Option<u64>,
    rejected: Option<u64>,
    late: Option<u64>,
}

impl<'a> Plant<'a> {
    pub fn new(args: &'a Args, folder: &'a Path) -> Result<Self> {
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let topic = format!("freshness-{began}-{}", std::process::id());
        let config = folder.join("tidegauge.toml");
        let sensors = args.rate / 5 * 5;
        let models = Made { sensors, vectors: VECTORS, window_s: WINDOW_S, column: "Sensor" };
        models.publish(&folder.join("models"), tidegauge::clock::now_us())?;
        let plant = Self { args, folder, config, topic };
        fs::write(&plant.config, plant.settings())?;
        Ok(plant)
    }

    /// Sends and reads until all is read; returns the CPU seconds of the reader.
    pub fn run(&self) -> Result<f64> {
        // Made before it is read.
        let mut create = self.simulate();
        create.args(["--create", "4", "--events", "0"]);
        let mut send = self.simulate();
        send.args(["--seconds", &self.args.seconds.to_string()]);
        finish(create)?;
        let mut reader = Running(self.command(&["run"]).arg("-c").arg(&self.config).spawn()?);
        finish(send)?;
        let wanted = u64::from(self.args.rate / 5 * 5) * u64::from(self.args.seconds);
        let begun = Instant::now();
        while self.read()?.messages.unwrap_or(0) < wanted {
            ensure!(begun.elapsed() < PATIENCE, "not all events were read");
            ensure!(reader.0.try_wait()?.is_none(), "the pipeline ended by itself");
            std::thread::sleep(LOOK);
        }
        let cpu_seconds = Stat::of(reader.0.id())?.cpu_seconds;
        let told = Command::new("kill").arg(reader.0.id().to_string()).status()?;
        ensure!(told.success() && reader.0.wait()?.success(), "the pipeline did not end well");
        Ok(cpu_seconds)
    }

    /// The rows by window end and commit, after a check that everything was read and the lake is right.
    pub fn windows(&self, sent: u64) -> Result<Vec<Window>> {
        let Read { messages, rejected, late } = self.read()?;
        ensure!(messages == Some(sent), "read {messages:?} of {sent} events");
        ensure!((rejected, late) == (Some(0), Some(0)), "{rejected:?} rejected, {late:?} late");
        let mut verify = self.command(&["verify"]);
        verify.arg(self.folder.join("lake"));
        finish(verify)?;
        self.query(
            "SELECT lane, epoch, cast(window_end AS bigint) AS end_us, count(*) AS rows FROM predictions
             GROUP BY lane, epoch, window_end",
        )
    }

    fn read(&self) -> Result<Read> {
        let sql = "SELECT sum(messages) AS messages, sum(rejected) AS rejected, sum(late) AS late FROM commits";
        let mut rows: Vec<Read> = self.query(sql)?;
        rows.pop().context("the ledger says nothing")
    }

    fn query<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        binary::query(Path::new(BINARY), &self.config, sql)
    }

    fn simulate(&self) -> Command {
        let devices = (self.args.rate / 5).to_string();
        let mut command =
            self.command(&["simulate", "--sensors", "5", "--interval", "1s", "--jitter", "2s"]);
        command.args(["--devices", &devices, "--speed", "1", "--brokers", &self.args.brokers]);
        command.args(["--topic", &self.topic]);
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = binary::command(Path::new(BINARY));
        command.args(args);
        command
    }

    fn settings(&self) -> String {
        let Args { brokers, commit_every, .. } = self.args;
        let text = |path: PathBuf| toml::Value::from(path.to_string_lossy().as_ref()).to_string();
        let (lake, models) = (text(self.folder.join("lake")), text(self.folder.join("models")));
        format!(
            r#"[source]
brokers = {brokers:?}
topic = "{topic}"
group = "{topic}"
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = """
SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, stddev("Value") AS deviation,
       min("Value") AS lowest, max("Value") AS highest
FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '{WINDOW_S} seconds')"""
out_of_order = "5s"
[models]
url = {models}
features = {features:?}
[lake]
url = {lake}
commit_every = {commit_every:?}
[http]
listen = "127.0.0.1:0"
"#,
            topic = self.topic,
            features = FEATURES,
        )
    }
}

/// Killed when the benchmark ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
