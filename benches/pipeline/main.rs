//! The end-to-end benchmark: N simulated events from Kafka through the whole pipeline into a lake.
//!
//! ```console
//! $ cargo bench --bench pipeline -- --brokers 127.0.0.1:19092 --events 5000000 --runs 3
//! ```
//!
//! It fills a topic of its own once, then reads it with `tidegauge run` as often as asked, each
//! time as a new consumer group into a new lake, and compares the lake with plain sums over those
//! events. It fails when the output is wrong, never because of time. What the figures mean is in
//! `docs/performance.md`.
//!
//! *Not here*: latency (`--bench freshness`), crashes; what the broker itself costs. Linux only: CPU time and
//! memory are read from `/proc`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod binary;
mod events;
mod flink;
mod job;
mod measure;
mod models;
mod oracle;
mod stat;
mod table;
mod threads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tidegauge_flow::time::NANOS;

use crate::job::{Job, Ledger};
use crate::table::Figures;

/// A wrong command line (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Replay simulated events from Kafka through the whole pipeline, and measure it
#[derive(Debug, Parser)]
#[command(name = "pipeline")]
struct Args {
    /// Events in the topic
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Sensors, five for each device
    #[arg(long, default_value_t = 2_000, value_parser = multiple_of_five)]
    sensors: u32,
    /// Partitions of the topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,
    /// The width of the windows, in seconds or minutes: 5s, 1m
    #[arg(long, default_value = "5s", value_parser = whole_seconds)]
    window: u64,
    /// Let the windows overlap, one ending every so often; a part of their width
    #[arg(long, value_parser = whole_seconds, conflicts_with = "flink")]
    slide: Option<u64>,
    /// Kafka's bootstrap addresses
    #[arg(long, env = "TIDEGAUGE_TEST_KAFKA", default_value = "", hide_default_value = true)]
    brokers: String,
    /// Train a model for each sensor first, so that each row is scored
    #[arg(long)]
    models: bool,
    /// With --models: how many windows each model is trained on
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(30..))]
    train_windows: u64,
    /// Score each row with a made-up model of so many support vectors over all five features
    #[arg(long, conflicts_with = "models", value_parser = clap::value_parser!(u32).range(1..))]
    vectors: Option<u32>,
    /// Worker threads of the pipeline [default: one for each core]
    #[arg(long)]
    threads: Option<u16>,
    /// What lanes may hold in memory, such as 64MiB; the run fails when it is seen to hold more
    #[arg(long)]
    memory: Option<String>,
    /// The pipeline's commit interval, such as 1s
    #[arg(long, default_value = "10s")]
    commit_every: String,
    /// How the topic's batches are packed: none, gzip, snappy, lz4, zstd
    #[arg(long, default_value = "none")]
    compression: String,
    /// Take events of this program instead of `tidegauge simulate`'s: it takes --count, --sensors and --seed, with
    /// --ndjson a file and with --bootstrap, --topic, --partitions and --compression a topic
    #[arg(long, value_name = "PATH", conflicts_with = "models")]
    loader: Option<PathBuf>,
    /// Then read the topic with Apache Flink on all cores, which scores nothing; needs a JDK of Java 17 and Maven
    #[arg(long, conflicts_with_all = ["threads", "commit_every"])]
    flink: bool,
    /// How often the topic is read; more than once prints the median too
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
    /// What the simulated values come from
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Compare the lake with the events and verify it, which is the default
    #[arg(long, overrides_with = "no_check")]
    check: bool,
    /// Measure only
    #[arg(long)]
    no_check: bool,
    /// Measure this binary instead of the one built along
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_tidegauge"))]
    binary: PathBuf,
    /// `cargo bench` passes it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn span(&self, holds: oracle::Holds) -> oracle::Span {
        oracle::Span {
            seconds: self.window,
            slide_seconds: self.slide.unwrap_or(self.window),
            holds,
        }
    }

    fn is_scored(&self) -> bool {
        self.models || self.vectors.is_some()
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nobody can act on a terminal that takes no text.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    if args.brokers.is_empty() {
        eprintln!("pipeline: there is no broker: pass --brokers or set TIDEGAUGE_TEST_KAFKA");
        return EXIT_USAGE.into();
    }
    if args.slide.is_some_and(|slide| !args.window.is_multiple_of(slide)) {
        eprintln!("pipeline: --slide is no part of --window");
        return EXIT_USAGE.into();
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let folder = tempfile::Builder::new().prefix("tidegauge-bench-").tempdir()?;
    let topic = format!("bench-{}-{}", began.as_millis(), std::process::id());
    let job = Job::new(args, folder.path(), &topic);
    let result = measured(args, &job).and_then(|figures| {
        let seconds = i64::try_from(began.as_secs())?;
        table::print(args, &tidegauge_flow::time::rfc3339(seconds * NANOS), &figures);
        if args.flink {
            let flink = flink::run(args, folder.path(), &topic)?;
            table::print_beside(&figures, &flink);
        }
        Ok(())
    });
    result.map_err(|error| error.context(format!("failed; see {}", folder.keep().display())))
}

fn measured(args: &Args, job: &Job<'_>) -> Result<Vec<Figures>> {
    let expected = if args.no_check { None } else { Some(job.expected()?) };
    job.fill()?;
    eprintln!("the topic {} stays at {} until somebody deletes it", job.topic(), args.brokers);
    if args.models {
        job.train()?;
    }
    if let Some(vectors) = args.vectors {
        job.publish(vectors)?;
    }
    let mut figures = Vec::new();
    for number in 1..=args.runs {
        let run = job.run(number)?;
        let phases = run.measure()?;
        let ledger = run.ledger()?;
        complete(args, &ledger)?;
        if let Some(expected) = &expected {
            oracle::compare(expected, run.rows()?, args.is_scored())?;
            run.verify()?;
        }
        let vectors = args.is_scored().then(|| run.vectors()).transpose()?;
        figures.push(Figures::new(args.events, &phases, &ledger, vectors));
        run.remove()?;
    }
    Ok(figures)
}

/// What the ledger says must hold with or without a check: a pipeline that skips events is fast.
fn complete(args: &Args, ledger: &Ledger) -> Result<()> {
    let Ledger { messages, rejected, late, .. } = *ledger;
    ensure!(messages == args.events, "read {messages} of {} events", args.events);
    ensure!(rejected == 0, "{rejected} events were rejected, none is wrong");
    ensure!(late == 0, "{late} readings were late, none is later than the watermark allows");
    Ok(())
}

fn multiple_of_five(text: &str) -> Result<u32, String> {
    let count = text.parse::<u32>().ok().filter(|n| *n > 0 && n.is_multiple_of(5));
    count.ok_or_else(|| "use a multiple of 5 above 0: each device has five sensors".into())
}

fn whole_seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix('s') {
        Some(number) => (number, 1),
        None => (text.strip_suffix('m').unwrap_or_default(), 60),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    let seconds = seconds.filter(|s| (1..=86_400).contains(s));
    seconds.ok_or_else(|| "use whole seconds or minutes up to a day, such as 5s or 1m".into())
}
