//! `verify`: the proof, read from the lake alone.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Verify;
use crate::pipeline;
use crate::progress;
use crate::say::say;

pub fn run(args: &Verify) -> Result<ExitCode> {
    let store = pipeline::existing_store(&args.lake)?;
    let bar = progress::bar(0, "verify {bar:40} {pos}/{len} files");
    let progress = |done: u64, total: u64| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let report = tidegauge_sink::verify(&*store, &progress)?;
    bar.finish_and_clear();
    for note in &report.notes {
        say!("note: {note}");
    }
    for problem in &report.problems {
        say!("problem: {problem}");
    }
    if report.more_problems > 0 {
        say!("and {} problems more", report.more_problems);
    }
    say!(
        "{} lanes, {} records, {} files, {} predictions, {} readings",
        report.lanes,
        report.records,
        report.files,
        report.rows,
        report.readings
    );
    if report.is_clean() {
        say!("proven: no gap, no overlap, no duplicate, and the counts add up");
        Ok(ExitCode::SUCCESS)
    } else {
        let count = report.problems.len() as u64 + report.more_problems;
        say!("not proven: {count} problem{}", if count == 1 { "" } else { "s" });
        Ok(ExitCode::FAILURE)
    }
}
