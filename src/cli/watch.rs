//! What there is to say of watching over models: drift, labels.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Configured, parse_duration};

#[derive(Debug, Args)]
pub struct Drift {
    #[command(flatten)]
    pub configured: Configured,
    /// The last so long of event time, up to the lake's newest window [default: as configured, 7d]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with_all = ["from", "to"])]
    pub last: Option<Duration>,
    /// Only windows that end after this time
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only windows that end at this time or before it
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

#[derive(Debug, Args)]
pub struct LabelArgs {
    /// What is to be done
    #[arg(value_enum)]
    pub verb: LabelVerb,
    #[command(flatten)]
    pub configured: Configured,
    /// Whose windows: a value of each key column, or COLUMN=VALUE of each; * is any
    #[arg(long, value_name = "K1,K2", required_if_eq_any = MARKS)]
    pub sensor: Option<String>,
    /// From this time
    #[arg(long, value_name = "TIME", required_if_eq_any = MARKS)]
    pub from: Option<String>,
    /// To this time
    #[arg(long, value_name = "TIME", required_if_eq_any = MARKS)]
    pub to: Option<String>,
    /// A line for people
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// The verbs that say something of windows.
const MARKS: [(&str, &str); 3] = [("verb", "true"), ("verb", "false"), ("verb", "remove")];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LabelVerb {
    /// Something was wrong: an event that is to be found
    True,
    /// Nothing was wrong: an alarm is a false one
    False,
    /// Take a label of these sensors and this range back
    Remove,
    /// Show the labels that hold
    List,
    /// Show what the lake's verdicts found of them
    Report,
}
