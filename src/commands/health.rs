//! `health`: asks a running process how it is.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tidegauge_serve::http::probe::{Asked, ask};

use crate::cli::Health;
use crate::say::say;

/// More is no key.
const KEY_BYTES_MAX: usize = 4096;

pub fn run(args: &Health) -> Result<ExitCode> {
    let key = match &args.key_file {
        None => None,
        Some(path) => {
            let key = std::fs::read_to_string(path);
            let key = key.with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::ensure!(key.len() <= KEY_BYTES_MAX, "{} holds no key", path.display());
            Some(key.trim().to_owned())
        }
    };
    let asked = Asked {
        url: &args.url,
        path: if args.ready { "/health/ready" } else { "/health/live" },
        key: key.as_deref(),
        ca: args.ca.as_deref(),
        name: args.name.as_deref(),
    };
    match ask(&asked) {
        Ok(said) => {
            say!("{said}");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            say!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}
