//! `demo`

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Demo;

pub fn run(_args: &Demo) -> Result<ExitCode> {
    anyhow::bail!("placeholder")
}
