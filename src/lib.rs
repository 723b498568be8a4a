//! tidegauge: per-sensor anomaly detection on windows of a stream, each reading counted once.
//!
//! *Why a library beside the binary*: the crash tests and the simulation drive lanes and workers in
//! surroundings of their own. It is no interface for others: only the command line and the files are.
//!
//! **Invariant:** this crate composes the stages and owns the clock, the threads and the terminal; what
//! a stage decides, it does not decide again.

pub mod background;
mod cli;
pub mod clock;
mod commands;
pub mod config;
mod console;
pub mod control;
pub mod courier;
mod drift;
pub mod executor;
mod files;
mod labels;
pub mod lane;
pub mod maintenance;
pub mod memory;
pub mod pipeline;
mod progress;
pub mod retrain;
mod run;
mod say;
mod sensor_rows;
mod series;
mod signals;
pub mod spill;
mod split;
mod sql;
mod tables;
pub mod trainer;
pub mod worker;

use std::process::ExitCode;

use clap::Parser;

/// A wrong command line or configuration (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// The program: reads the command line, runs the command, says why when it fails.
pub fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    cli.log.install();
    match commands::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the one line that tells why it ended")]
            {
                eprintln!("tidegauge: {error:#}");
            }
            if commands::is_usage(&error) { EXIT_USAGE.into() } else { ExitCode::FAILURE }
        }
    }
}
