//! The binary's own commands, as benchmarks run them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

/// The binary without the caller's `TIDEGAUGE_…` settings, which would win over the file's.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|n| n.to_string_lossy().starts_with("TIDEGAUGE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end; what it says goes into the error when it fails.
pub fn finish(mut command: Command) -> Result<Output> {
    let words = command.get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    ensure!(
        output.status.success(),
        "{} {words}: {}\n{}\n{}",
        command.get_program().to_string_lossy(),
        output.status,
        said(&output.stderr),
        said(&output.stdout)
    );
    Ok(output)
}

/// The rows of a query over the lake of a configuration.
pub fn query<T: DeserializeOwned>(binary: &Path, config: &Path, sql: &str) -> Result<Vec<T>> {
    let mut command = command(binary);
    command.args(["query", "--format", "json", "-c"]).arg(config).arg(sql);
    let output = finish(command)?;
    let rows = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    rows.collect::<Result<_, _>>().context("query answered with something else than expected")
}
