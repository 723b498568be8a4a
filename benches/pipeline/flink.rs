//! The same windows over the same topic in Apache Flink, without scoring, for comparison.
//!
//! *Warm rate*: Flink reads a quarter of the topic and then all of it, each in a new process; what is
//! between the two is the rate without the start and the time until Java's compiler knows the code.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use crate::Args;
use crate::binary::finish;
use crate::events::{self, Events};
use crate::measure::{self, Usage};
use crate::oracle::{self, Holds, Row};

const HEAP: &str = "-Xmx4g";
/// The first run reads this part of the topic.
const PARTS: u64 = 4;
/// Flink's serialisers look into classes of Java's own.
const OPENED: [&str; 4] = ["java.util", "java.lang", "java.time", "java.nio"];

/// What Flink took.
#[derive(Debug)]
pub struct Figures {
    pub all: Usage,
    pub quarter: Usage,
    pub rows: usize,
    /// Rows whose standard deviation is NaN where it is 0: Flink takes it from sums of squares.
    pub not_numbers: usize,
    events: u64,
}

impl Figures {
    /// Events per second between the quarter and the whole.
    pub fn warm_rate(&self) -> f64 {
        let events = (self.events - self.events / PARTS) as f64;
        events / (self.all.wall_seconds - self.quarter.wall_seconds)
    }

    /// CPU seconds per million events between the two.
    pub fn warm_cpu_per_million(&self) -> f64 {
        let events = (self.events - self.events / PARTS) as f64;
        (self.all.cpu_seconds - self.quarter.cpu_seconds) / (events / 1e6)
    }

    /// CPU seconds per million events of the whole run, with its start.
    pub fn cpu_per_million(&self) -> f64 {
        self.all.cpu_seconds / (self.events as f64 / 1e6)
    }
}

/// Builds the job, runs it over the topic and compares its rows with plain sums.
///
/// # Errors
/// Without a JDK and Maven, when Flink fails, or when its rows are wrong.
pub fn run(args: &Args, folder: &Path, topic: &str) -> Result<Figures> {
    let built = build()?;
    let read = |parts: u64| {
        eprintln!("Flink reads 1/{parts} of the topic");
        let name = format!("flink-{parts}");
        let (out, checkpoints) = (folder.join(&name), folder.join(format!("{name}-checkpoints")));
        let usage = measure::whole(job(args, topic, &built, parts, &out, &checkpoints))?;
        anyhow::Ok((usage, out))
    };
    let (quarter, _) = read(PARTS)?;
    let (all, out) = read(1)?;
    let longer = all.wall_seconds > quarter.wall_seconds;
    ensure!(longer, "too few events: Flink takes no longer for all than for a quarter");
    let mut rows = rows(&out, args.window)?;
    let (count, mut not_numbers) = (rows.len(), 0);
    for deviation in rows.iter_mut().filter_map(|row| row.deviation.as_mut()) {
        if deviation.is_nan() {
            (*deviation, not_numbers) = (0.0, not_numbers + 1);
        }
    }
    if !args.no_check {
        let expected = events::aggregated(args, folder, |file| {
            oracle::aggregate(file, args.span(Holds::Start))
        })?;
        oracle::compare_sums(&expected, rows).context("Flink's rows")?;
    }
    Ok(Figures { all, quarter, rows: count, not_numbers, events: args.events })
}

/// The folder with the job and the libraries that it needs.
fn build() -> Result<PathBuf> {
    let source = Path::new("benches/flink/pom.xml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flink");
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-f"]).arg(source);
    command.arg(format!("-Dbench.target={}", target.display()));
    command.args(["package", "dependency:copy-dependencies"]);
    command.arg(format!("-DoutputDirectory={}/libs", target.display()));
    finish(command).context("cannot build Flink's job")?;
    Ok(target)
}

fn job(
    args: &Args,
    topic: &str,
    built: &Path,
    parts: u64,
    out: &Path,
    checkpoints: &Path,
) -> Command {
    let mut command = Command::new("java");
    command.arg(HEAP);
    command.args(OPENED.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
    let built = built.display();
    command.args(["-cp", &format!("{built}/job.jar:{built}/libs/*"), "WindowJob"]);
    command.args([&args.brokers, topic, Events(args).sensor_column()]);
    command.args([args.window.to_string(), parts.to_string()]).arg(out).arg(checkpoints);
    command
}

/// What lies in Flink's folder.
fn rows(folder: &Path, window_seconds: u64) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let batches = runtime.block_on(async {
        // Flink's files have no extension.
        let options = ParquetReadOptions::default().file_extension("");
        let files = format!("{}/", folder.display());
        SessionContext::new().read_parquet(files, options).await?.collect().await
    })?;
    let width_us = i64::try_from(window_seconds)? * 1_000_000;
    let mut rows = Vec::new();
    for batch in &batches {
        append(batch, width_us, &mut rows)?;
    }
    ensure!(!rows.is_empty(), "Flink wrote no rows");
    Ok(rows)
}

fn append(batch: &RecordBatch, width_us: i64, rows: &mut Vec<Row>) -> Result<()> {
    let column = |name: &str, kind: DataType| {
        let column = batch.column_by_name(name).with_context(|| format!("no column {name}"))?;
        anyhow::Ok(cast(column, &kind)?)
    };
    let whole =
        |name| anyhow::Ok(column(name, DataType::Int64)?.as_primitive::<Int64Type>().clone());
    let number =
        |name| anyhow::Ok(column(name, DataType::Float64)?.as_primitive::<Float64Type>().clone());
    let (device, sensor, n) = (whole("device")?, whole("sensor")?, whole("n")?);
    let start = column("start_at", DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let start = start.as_primitive::<TimestampMicrosecondType>();
    let statistics = [number("mean")?, number("deviation")?, number("lowest")?, number("highest")?];
    for row in 0..batch.num_rows() {
        let [mean, deviation, lowest, highest] = std::array::from_fn(|at| {
            let column = &statistics[at];
            column.is_valid(row).then(|| column.value(row))
        });
        let count = u64::try_from(n.value(row))?;
        rows.push(Row {
            device: device.value(row),
            sensor: sensor.value(row),
            end_us: start.value(row) + width_us,
            n: count,
            n_readings: count,
            mean,
            deviation,
            lowest,
            highest,
            status: String::new(),
            score: None,
        });
    }
    Ok(())
}
