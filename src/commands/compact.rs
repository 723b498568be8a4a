//! `compact`: maintains a lake once, now.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidegauge_flow::NoFailpoint;
use tidegauge_sink::{Lake, Mode, Outcome, Storage, Writer};

use crate::cli::Compact;
use crate::clock;
use crate::config;
use crate::maintenance::upkeep;
use crate::pipeline;
use crate::progress;
use crate::say::say;

pub fn run(args: &Compact) -> Result<ExitCode> {
    let (lake, storage, settings, lateness) = match (&args.lake, &args.config) {
        // Without a configuration nobody says how long rows are revised. One that comes for an hour that
        // has been compacted is a file of its own until the next time.
        (Some(lake), _) => {
            (lake.clone(), Storage::default(), config::default_upkeep(), Duration::ZERO)
        }
        (None, Some(path)) => {
            let config = config::load(path, &args.sets)?;
            let lateness = config.window.allowed_lateness.unwrap_or_default();
            (config.lake.url, config.lake.storage, config.lake.upkeep, lateness)
        }
        (None, None) => unreachable!("the command line requires one of them"),
    };
    let store = pipeline::existing_store(&lake, &storage)?;
    let lake = Lake::attach(store, Arc::new(NoFailpoint))?;
    let bar = progress::bar(0, "compact {bar:40} {pos}/{len} files");
    let progress = |done: u64, total: u64| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let mode = if args.dry_run { Mode::Look } else { Mode::Act };
    let writer = Writer::random(&mut rand::rng());
    let upkeep = upkeep(&settings, lateness);
    let done = lake.maintain(&upkeep, mode, writer, clock::now_us(), &progress);
    bar.finish_and_clear();
    let done = done.context("the lake cannot be maintained")?;
    say!("{}", told(&done, mode));
    for path in &done.damaged {
        say!("left alone, it is damaged: {path}; run tidegauge verify");
    }
    Ok(if done.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(done: &Outcome, mode: Mode) -> String {
    if done.lost {
        return "another process was quicker: nothing was done".to_owned();
    }
    let Outcome { replaced, made, rows, deleted_files, deleted_records, expired_rows, .. } = done;
    let size = |bytes: u64| indicatif::HumanBytes(bytes).to_string();
    let (before, after) = (size(done.replaced_bytes), size(done.made_bytes));
    match mode {
        Mode::Look => format!(
            "would replace {replaced} files ({before}, {rows} rows) by {made}, let {expired_rows} rows \
             expire and delete {deleted_files} files"
        ),
        Mode::Act => format!(
            "replaced {replaced} files ({before}) by {made} ({after}, {rows} rows), let {expired_rows} \
             rows expire, deleted {deleted_files} files and {deleted_records} records"
        ),
    }
}
