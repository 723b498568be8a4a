//! The command line: what there is to say, with an example each.

mod alerts;
mod http;
mod models;
mod serve;
mod watch;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegauge_serve::metrics::machine;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub use self::alerts::{AlertArgs, AlertVerb};
pub use self::http::{AddKey, Health, Keys, RemoveKey, RoleName};
pub use self::models::{Backtest, ExportFormat, Models, Train};
pub use self::serve::Serve;
pub use self::watch::{Drift, LabelArgs, LabelVerb};
use crate::config::units;

/// Per-sensor anomaly detection on windows of a stream, each reading counted once.
#[derive(Debug, Parser)]
#[command(name = "tidegauge", version, arg_required_else_help = true)]
#[command(after_help = "Start here: tidegauge demo")]
pub struct Cli {
    #[command(flatten)]
    pub log: Log,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Log {
    /// How log lines on standard error are written
    #[arg(id = "log", long = "log", global = true, value_enum, default_value = "text")]
    format: LogFormat,
    /// What is logged: error, warn, info, debug, or a filter such as info,tidegauge=debug
    #[arg(
        id = "log-level",
        long = "log-level",
        global = true,
        env = "TIDEGAUGE_LOG_LEVEL",
        default_value = "warn"
    )]
    level: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Log {
    /// Sends log lines to standard error from here on.
    pub fn install(&self) {
        let filter = EnvFilter::try_new(&self.level).unwrap_or_else(|_| EnvFilter::new("warn"));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let lines = match self.format {
            LogFormat::Text => lines.with_target(false).with_filter(filter).boxed(),
            LogFormat::Json => lines.json().with_filter(filter).boxed(),
        };
        let counted = Complaints.with_filter(LevelFilter::WARN);
        tracing_subscriber::registry().with(lines).with(counted).init();
    }
}

/// Counts warnings and errors, whatever is shown of them.
struct Complaints;

impl<S: tracing::Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        match *event.metadata().level() {
            tracing::Level::ERROR => machine::complained(),
            tracing::Level::WARN => machine::warned(),
            _ => {}
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole job in this terminal: broker, sensors with faults, training, scoring, a lake
    #[command(after_help = "Example:\n  tidegauge demo --seconds 30")]
    Demo(Demo),
    /// Read the source, score windows and commit predictions to the lake, until stopped
    #[command(after_help = "Example:\n  tidegauge run -c tidegauge.toml --until-idle 5s")]
    Run(Run),
    /// Score stored readings: CSV and JSON-lines files and folders of them
    #[command(after_help = "Example:\n  tidegauge score readings.csv -c tidegauge.toml -o scored")]
    Score(Score),
    /// Train one model per sensor, from files of readings or from the lake's window rows
    #[command(
        after_help = "Example:\n  tidegauge train -c tidegauge.toml --from 2026-01-01T00:00:00Z --to 2026-01-08T00:00:00Z"
    )]
    Train(Train),
    /// Show how models would have done on stored readings, each row judged by models that had not seen it
    #[command(
        after_help = "Example:\n  tidegauge backtest readings.csv -c tidegauge.toml -o tried --train-fraction 0.3 --labels events.csv"
    )]
    Backtest(Backtest),
    /// Import, export, list and show models, and move aliases
    #[command(
        subcommand,
        after_help = "Example:\n  tidegauge models import models/ -c tidegauge.toml"
    )]
    Models(Models),
    /// Compare what models see of late with what they were trained on, sensor by sensor
    #[command(
        after_help = "Examples:\n  tidegauge drift -c tidegauge.toml\n  tidegauge drift -c tidegauge.toml --last 1d"
    )]
    Drift(Drift),
    /// Mark what windows were, a true anomaly or a false alarm; list labels, and what became of them
    #[command(
        after_help = "Examples:\n  tidegauge label true -c tidegauge.toml --sensor 1,4 --from 2026-01-31T12:00:00Z --to 2026-01-31T12:30:00Z --note \"pump stopped\"\n  tidegauge label report -c tidegauge.toml"
    )]
    Label(LabelArgs),
    /// Show how far alerts are told, list what nobody took, and send that again
    #[command(
        after_help = "Examples:\n  tidegauge alerts list -c tidegauge.toml\n  tidegauge alerts dead -c tidegauge.toml\n  tidegauge alerts retry -c tidegauge.toml --alert pager"
    )]
    Alerts(AlertArgs),
    /// Publish simulated sensors, or replay a file, to Kafka or to a file
    #[command(
        after_help = "Examples:\n  tidegauge simulate --brokers 127.0.0.1:9092 --topic sensors --create 4 --seconds 60\n  tidegauge simulate --brokers 127.0.0.1:9092 --topic sensors --replay readings.csv --speed 10"
    )]
    Simulate(Box<Simulate>),
    /// Run SQL over the lake's tables: predictions, events, late, rejects, commits, models, trainings, labels, devices
    #[command(
        after_help = "Example:\n  tidegauge query --lake lake \"SELECT status, count(*) FROM predictions GROUP BY status\""
    )]
    Query(Query),
    /// Prove that each reading counts once in a lake
    #[command(
        after_help = "Examples:\n  tidegauge verify lake\n  tidegauge verify lake --incremental"
    )]
    Verify(Verify),
    /// Maintain a lake once: large files from small ones, old records and rows away
    #[command(after_help = "Example:\n  tidegauge compact -c tidegauge.toml --dry-run")]
    Compact(Compact),
    /// Make, list and remove the keys to the HTTP port
    #[command(
        subcommand,
        after_help = "Example:\n  tidegauge keys add keys.toml --role view --name grafana"
    )]
    Keys(Keys),
    /// Ask a running process how it is, for health checks of containers; exit code 0 or 1
    #[command(
        after_help = "Examples:\n  tidegauge health\n  tidegauge health --ready --key-file keys/view"
    )]
    Health(Health),
    /// Show a lake on a live page, at rest or while others write it, until stopped
    #[command(
        after_help = "Examples:\n  tidegauge serve lake\n  tidegauge serve -c tidegauge.toml --listen 127.0.0.1:9000"
    )]
    Serve(Serve),
    /// Check a configuration: connect to Kafka and the lake, run nothing
    #[command(after_help = "Example:\n  tidegauge check -c tidegauge.toml")]
    Check(Configured),
    /// Print a script that completes commands and flags in a shell
    #[command(
        after_help = "Examples:\n  tidegauge completions bash > /etc/bash_completion.d/tidegauge\n  tidegauge completions zsh > ~/.zfunc/_tidegauge"
    )]
    Completions(Completions),
}

#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: PathBuf,
    /// Set one setting, over file and environment; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// How long it runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub seconds: u64,
    /// Where the lake is made [default: a new folder demo-lake-… here]
    #[arg(long, value_name = "DIR")]
    pub lake: Option<PathBuf>,
    /// What the simulated sensors and their faults come from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub configured: Configured,
    /// End when every partition has been at its end for so long, closing the open windows
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub until_idle: Option<Duration>,
    /// With --until-idle: keep open windows in the checkpoint instead of closing them
    #[arg(long, requires = "until_idle")]
    pub leave_open: bool,
}

#[derive(Debug, Args)]
pub struct Score {
    /// Files or folders
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    #[command(flatten)]
    pub configured: Configured,
    /// The folder of the lake that is made
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub output: String,
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// Kafka's bootstrap addresses
    #[arg(long, required_unless_present = "out", conflicts_with = "out")]
    pub brokers: Option<String>,
    /// The topic to publish to
    #[arg(long, required_unless_present = "out")]
    pub topic: Option<String>,
    /// Create the topic with so many partitions if it is not there
    #[arg(long, value_name = "PARTITIONS")]
    pub create: Option<u16>,
    /// How batches are packed: none, gzip, snappy, lz4, zstd
    #[arg(long, default_value = "none")]
    pub compression: String,
    /// A librdkafka setting, such as security.protocol=SASL_SSL; may be repeated
    #[arg(long = "kafka", value_name = "KEY=VALUE")]
    pub kafka: Vec<String>,
    /// Write events to this file as JSON lines instead of Kafka (- for standard output)
    #[arg(long, value_name = "FILE")]
    pub out: Option<String>,
    /// Publish this CSV or JSON-lines file (or folder) instead of simulated sensors
    #[arg(long, value_name = "FILE")]
    pub replay: Option<String>,
    /// Take the event's fields and [source.kafka] from this configuration [default: TS, Device, Sensor,
    /// Value]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many times faster than its own time; 0 is as fast as possible [default: 1 for simulated
    /// sensors, 0 for a replay]
    #[arg(long)]
    pub speed: Option<f64>,
    /// Devices
    #[arg(long, default_value_t = 3)]
    pub devices: u32,
    /// Sensors of each device
    #[arg(long, default_value_t = 5)]
    pub sensors: u32,
    /// The sensors' normal ranges, in turns, such as 10..15,30..40
    #[arg(long, value_name = "MIN..MAX,…")]
    pub ranges: Option<String>,
    /// Time between two readings of a sensor
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,
    /// Readings are sent up to this late, out of order
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    pub jitter: Duration,
    /// How values lie in their range
    #[arg(long, value_enum, default_value = "uniform")]
    pub shape: ShapeName,
    /// Event time of the first reading: a time, or now
    #[arg(long, default_value = "now", value_name = "TIME")]
    pub start: String,
    /// When the topic is empty, begin so long before now; what is past is sent at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration,
        conflicts_with_all = ["start", "out", "replay"])]
    pub history: Option<Duration>,
    /// How much event time is simulated [default: without end]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Faults (spike, stuck value, drift, silence) per sensor and hour; needs --seconds
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub faults: f64,
    /// No fault begins before this much event time has passed
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = parse_duration)]
    pub faults_after: Duration,
    /// Write the injected faults to this file as JSON lines
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// What everything random comes from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ShapeName {
    Uniform,
    Gaussian,
    Sine,
}

#[derive(Debug, Args)]
pub struct Query {
    /// The statement
    pub sql: String,
    /// The lake's folder
    #[arg(
        long,
        value_name = "LAKE",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub lake: Option<String>,
    /// The configuration that names the lake
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: RowFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RowFormat {
    Table,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The lake's folder
    pub lake: String,
    /// Read only what is new since the last proof of this kind
    #[arg(long)]
    pub incremental: bool,
    /// Files read at once [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Compact {
    /// The lake's folder; its settings are then the default ones
    #[arg(value_name = "LAKE", required_unless_present = "config", conflicts_with = "config")]
    pub lake: Option<String>,
    /// The configuration that names the lake and how it is kept
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one setting, over file and environment; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    pub sets: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "use a number with a unit, such as 500ms, 5s or 2m".into())
}

#[cfg(test)]
mod tests;
