//! What this machine can do at all: the limits that the pipeline's figures stand beside.
//!
//! ```console
//! $ cargo bench --bench limits -- --brokers 127.0.0.1:19092 --topic bench-1 --events 20000000
//! ```
//!
//! *Kafka*: the pipeline's consumer reads a topic and throws the messages away. `--bench pipeline` leaves its
//! topic behind and says its name. *Memory*: a large array read, and copied, one core and all. *Arithmetic*:
//! multiply-adds of `f64` in registers, one core, for each width of vectors that the CPU has.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arithmetic;
mod consume;
mod memory;
#[path = "../pipeline/stat.rs"]
#[allow(dead_code, reason = "the pipeline's benchmark reads all of it, this one the CPU time")]
mod stat;

use anyhow::Result;
use clap::Parser;

/// Measure what the machine can do at all
#[derive(Debug, Parser)]
#[command(name = "limits")]
struct Args {
    /// Kafka's bootstrap addresses
    #[arg(long, env = "TIDEGAUGE_TEST_KAFKA")]
    brokers: Option<String>,
    /// A topic with events; without one Kafka is left out
    #[arg(long, requires = "brokers")]
    topic: Option<String>,
    /// How many of them are read
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Megabytes that are read and copied: many times the caches
    #[arg(long, default_value_t = 512)]
    megabytes: usize,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arithmetic::print(args.runs);
    for threads in [1, cores] {
        memory::print(args.megabytes, threads, args.runs);
    }
    if let (Some(brokers), Some(topic)) = (&args.brokers, &args.topic) {
        for threads in [1, cores] {
            consume::print(brokers, topic, threads, args.events)?;
        }
    }
    Ok(())
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
