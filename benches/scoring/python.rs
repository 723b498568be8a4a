//! A script beside ours, run by the Python that the caller names.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a script of `benches/` and prints what it prints.
pub fn print(python: &Path, script: &str, args: &[String]) -> Result<()> {
    let script = Path::new("benches").join(script);
    let mut command = Command::new(python);
    command.arg(&script).args(args);
    let output = command.output().with_context(|| format!("cannot start {}", python.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", script.display());
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
