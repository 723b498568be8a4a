//! `verify`: the proof, read from the lake alone.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use tidegauge_sink::Storage;
use tidegauge_sink::{Options, Problem, Report, Scope};

use crate::cli::Verify;
use crate::clock;
use crate::pipeline;
use crate::progress;
use crate::say::say;

pub fn run(args: &Verify) -> Result<ExitCode> {
    let store = pipeline::existing_store(&args.lake, &Storage::default())?;
    let bar = progress::bar(0, "verify {bar:40} {pos}/{len} files");
    let progress = |done: u64, total: u64| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let mut options = Options::default();
    if args.incremental {
        options.scope = Scope::New { now_us: clock::now_us() };
    }
    if let Some(threads) = args.threads {
        options.threads = usize::from(threads);
    }
    let report = tidegauge_sink::verify_with(&*store, options, &progress)?;
    bar.finish_and_clear();
    match args.json {
        true => say!("{}", in_json(&report)),
        false => in_words(&report, options.scope),
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_words(report: &Report, scope: Scope) {
    for note in &report.notes {
        say!("note: {note}");
    }
    for (n, problem) in report.problems.iter().enumerate() {
        say!("problem: {problem}");
        // One sentence for several of a kind.
        if report.problems.get(n + 1).map(|next| next.repair) != Some(problem.repair) {
            say!("  what to do: {}", problem.repair);
        }
    }
    if report.more_problems > 0 {
        say!("and {} problems more", report.more_problems);
    }
    let Report { lanes, records, files, rows, readings, .. } = report;
    say!(
        "{lanes} lanes, {records} records, {files} files, {rows} predictions, {readings} readings"
    );
    if report.expired > 0 {
        say!("{} rows were deleted because of their age", report.expired);
    }
    if scope != Scope::Full {
        say!("read {} files that no earlier proof has read", report.files_read);
    }
    if report.is_clean() {
        say!("proven: no gap, no overlap, no duplicate, and the counts add up");
    } else {
        let count = report.problems.len() as u64 + report.more_problems;
        say!("not proven: {count} problem{}", if count == 1 { "" } else { "s" });
    }
}

fn in_json(report: &Report) -> Value {
    let finding = |p: &Problem| {
        json!({
            "path": p.path,
            "what": p.what,
            "repair": p.repair.as_str(),
            "advice": p.repair.advice(),
        })
    };
    json!({
        "proven": report.is_clean(),
        "lanes": report.lanes,
        "records": report.records,
        "records_read": report.records_read,
        "files": report.files,
        "files_read": report.files_read,
        "bytes_read": report.bytes_read,
        "predictions": report.rows,
        "readings": report.readings,
        "skipped_offsets": report.skipped,
        "expired_rows": report.expired,
        "split_sensors": report.split_sensors,
        "problems": report.problems.iter().map(finding).collect::<Vec<_>>(),
        "more_problems": report.more_problems,
        "notes": report.notes.iter().map(finding).collect::<Vec<_>>(),
    })
}
