//! What there is to say to `alerts`.

use clap::{Args, ValueEnum};

use super::Configured;

#[derive(Debug, Args)]
pub struct AlertArgs {
    /// What to do
    #[arg(value_enum)]
    pub verb: AlertVerb,
    /// Only this alert
    #[arg(long, value_name = "NAME")]
    pub alert: Option<String>,
    #[command(flatten)]
    pub configured: Configured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlertVerb {
    /// How far each alert is told, lane by lane
    List,
    /// Messages that were given up, and why
    Dead,
    /// Send these once more; those that are taken are no longer dead
    Retry,
}
