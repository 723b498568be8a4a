//! Bounded input: one lane over files that are read one after the other.
#![allow(clippy::print_stderr)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use tidegauge_aggregate::Closing;
use tidegauge_ingest::Files;
use tidegauge_sink::Digest;

use crate::clock;
use crate::control::OpenWindows;
use crate::lane::Lane;
use crate::pipeline::Pipeline;
use crate::progress;
use crate::signals::Signals;

/// Records read at once.
const BATCH_MAX: usize = 8_192;

/// The part of a file's name that its lane's name begins with.
const STEM_MAX: usize = 64;

/// How time passes while files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// As in a stream: windows close as the watermark passes, late readings are late.
    Stream,
    /// The input is known to end: all windows close at its end, in whatever order it is.
    Batch,
}

/// How a run over files ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything is read and committed.
    Complete,
    /// A signal came: the next run goes on from here.
    Stopped,
}

/// Reads all files of the configuration from where an earlier run stopped, and commits.
///
/// # Errors
/// When a file can't be read or has changed, or a commit fails.
pub fn run(
    pipeline: &Arc<Pipeline>,
    time: Clock,
    windows: OpenWindows,
    signals: &Signals,
) -> Result<Ended> {
    let paths = absolute(&pipeline.config.source.paths)?;
    let mut files = Files::open(&paths, &pipeline.config.event)?;
    if files.ignored() > 0 {
        eprintln!("note: {} files with other extensions are left out", files.ignored());
    }
    let closing = match time {
        Clock::Stream => Closing::ByWatermark,
        Clock::Batch => Closing::AtEnd,
    };
    let mut lane = Lane::open(pipeline, &lane_name(&paths), closing)?;
    let bar = progress::bar(files.bytes(), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}");
    for partition in files.partitions().cloned().collect::<Vec<_>>() {
        if let Some(next) = lane.position_of(&partition) {
            files.seek(&partition, next)?;
            bar.inc(next.unsigned_abs());
        }
    }
    let every = pipeline.config.lake.commit_every;
    let mut commit_at = Instant::now() + every;
    let mut current = None;
    while let Some(batch) = files.next_batch(BATCH_MAX)? {
        if current != Some(batch.file) {
            lane.set_format(batch.format.clone());
            current = Some(batch.file);
        }
        let input = lane.input(batch.partition, batch.span.from);
        lane.feed(input, batch.messages(), clock::now_ns())?;
        lane.skip_to(input, batch.span.to);
        bar.inc((batch.span.to - batch.span.from).unsigned_abs());
        if signals.seen() {
            lane.commit(clock::now_us())?;
            return Ok(Ended::Stopped);
        }
        if Instant::now() >= commit_at || lane.wants_commit() {
            lane.commit(clock::now_us())?;
            lane.report(clock::now_ns(), None, false);
            commit_at = Instant::now() + every;
        }
    }
    if windows == OpenWindows::Close {
        lane.drain()?;
    }
    lane.commit(clock::now_us())?;
    lane.report(clock::now_ns(), None, false);
    bar.finish_and_clear();
    Ok(Ended::Complete)
}

/// The inputs by their full paths: the same file under another spelling is the same input.
fn absolute(paths: &[String]) -> Result<Vec<String>> {
    let full = |path: &String| {
        let found = std::fs::canonicalize(path).with_context(|| format!("cannot read {path}"))?;
        found.into_os_string().into_string().map_err(|_| anyhow!("the path of {path} is not UTF-8"))
    };
    paths.iter().map(full).collect()
}

/// The lane of these inputs: a readable name, and a digest of all their paths. Other inputs are another
/// lane, whatever they are called: they have a watermark of their own.
fn lane_name(paths: &[String]) -> String {
    let stem = match paths {
        [path] => Path::new(path).file_stem().map(|s| s.to_string_lossy().into_owned()),
        _ => None,
    };
    let safe = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
    let stem = stem.unwrap_or_else(|| "files".to_string());
    let stem: String = stem.chars().map(safe).take(STEM_MAX).collect();
    let digest = Digest::of(paths.join("\n").as_bytes()).to_string();
    format!("{stem}.{}", &digest[..12])
}
