//! The commands, one file each. Their results go to standard output, everything else to standard error.
#![allow(clippy::print_stderr)]

mod alerts;
mod backtest;
mod check;
mod compact;
mod completions;
mod demo;
mod drift;
mod health;
pub mod history;
mod keys;
mod label;
pub mod models;
pub mod query;
mod score;
mod serve;
mod simulate;
pub mod train;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use thiserror::Error;
use tidegauge_aggregate::PlanError;
use tidegauge_ingest::kafka::{InstanceError, KafkaError};
use tidegauge_score::ScoreError;
use tidegauge_sink::BadStorage;

use crate::cli::{Command, Configured};
use crate::config::{self, Config, Mistakes};
use crate::control::OpenWindows;
use crate::run::{self, Until};
use crate::signals::Signals;

/// Less silence than this is no evidence of an end.
const SILENCE_MIN: Duration = Duration::from_millis(100);

/// A command line that can't be meant.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Runs one command.
///
/// # Errors
/// What stopped it; the caller prints it.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => {
            let windows = if args.leave_open { OpenWindows::Leave } else { OpenWindows::Close };
            let until = match args.until_idle {
                Some(after) if after < SILENCE_MIN => {
                    let what =
                        format!("--until-idle is {after:?}, it must be at least {SILENCE_MIN:?}");
                    return Err(Usage(what).into());
                }
                Some(after) => Until::Idle(after, windows),
                None => Until::Asked(OpenWindows::Leave),
            };
            run::run(load(&args.configured)?, until, &Signals::install()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Score(args) => score::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Models(args) => models::run(args),
        Command::Drift(args) => drift::run(&args),
        Command::Alerts(args) => alerts::run(&args),
        Command::Label(args) => label::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Keys(args) => keys::run(args),
        Command::Health(args) => health::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

fn load(configured: &Configured) -> Result<Config> {
    Ok(config::load(&configured.config, &configured.sets)?)
}

/// True when the user has to change what they wrote, on the command line or in the configuration.
pub fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Mistakes>()
            || cause.is::<Usage>()
            || cause.is::<PlanError>()
            || cause.is::<BadStorage>()
            || matches!(cause.downcast_ref(), Some(KafkaError::Setting { .. }))
            || matches!(cause.downcast_ref(), Some(InstanceError::Name(_)))
            || matches!(
                cause.downcast_ref(),
                Some(ScoreError::Feature { .. } | ScoreError::Option { .. })
            )
    })
}

/// A time on the command line, nanoseconds since the epoch.
fn time(flag: &str, text: &str) -> Result<i64> {
    tidegauge_ingest::decode::time_ns(text).ok_or_else(|| {
        Usage(format!("{flag} is {text:?}, use a time such as 2026-01-31T12:00:00Z")).into()
    })
}
