//! `train`: one model per sensor, from files of readings or from the lake's window rows.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Train;

pub fn run(_args: &Train) -> Result<ExitCode> {
    anyhow::bail!("placeholder")
}
