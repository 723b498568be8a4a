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
use crate::events::{self, Events};
use crate::measure::{self, Phases};
use crate::models::{FEATURES, Made};
use crate::oracle::{self, Holds, Row};

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

    /// The rows that a right lake holds, by plain sums over the events.
    pub fn expected(&self) -> Result<Vec<Row>> {
        events::aggregated(self.args, self.folder, |file| {
            oracle::aggregate(file, self.args.span(Holds::End))
        })
    }

    /// Creates the topic and sends all events to it, as fast as it takes them.
    pub fn fill(&self) -> Result<()> {
        Events(self.args).send(self.topic)
    }

    /// Trains a model for each sensor on an earlier stretch of other values.
    pub fn train(&self) -> Result<()> {
        let file = self.folder.join("train.jsonl");
        Events(self.args).write_earlier(self.args.window * self.args.train_windows, &file)?;
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
        let column = Events(self.args).sensor_column();
        let models = Made { sensors, vectors, window_s: window, column };
        models.publish(&self.models(), tidegauge::clock::now_us())
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
        let (topic, sensor) = (self.topic, Events(self.args).sensor_column());
        let text = |path: &Path| toml::Value::from(path.to_string_lossy().as_ref()).to_string();
        let (lake, models) = (text(lake), text(&self.models()));
        let windows = match self.args.slide {
            Some(slide) => {
                format!(r#"hop("TS", INTERVAL '{slide} seconds', INTERVAL '{window} seconds')"#)
            }
            None => format!(r#"tumble("TS", INTERVAL '{window} seconds')"#),
        };
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
key = [{{ name = "Device", type = "int64" }}, {{ name = "{sensor}", type = "int64" }}]
values = ["Value"]
[window]
query = """
SELECT "Device", "{sensor}", count(*) AS n, avg("Value") AS mean, stddev("Value") AS deviation,
       min("Value") AS lowest, max("Value") AS highest
FROM readings GROUP BY "Device", "{sensor}", {windows}"""
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
        let sensor = Events(self.job.args).sensor_column();
        self.query(&format!(
            r#"SELECT "Device" AS device, "{sensor}" AS sensor,
                      cast(window_end AS bigint) AS end_us, n, n_readings,
                      mean, deviation, lowest, highest, status, score
               FROM predictions"#,
        ))
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
