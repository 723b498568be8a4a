//! The demo's end: injected faults against found anomalies, and the proof of the lake.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use tidegauge_ingest::simulate::{Fault, FaultKind};

use tidegauge_sink::Storage;

use crate::commands::query::select;
use crate::pipeline::{self, Pipeline};
use crate::say::say;

/// A scored window.
struct Window {
    device: i64,
    sensor: i64,
    start_ns: i64,
    end_ns: i64,
    flagged: bool,
}

/// Prints the summary.
pub fn tell(lake: &Path, pipeline: &Pipeline, faults: &[Fault]) -> Result<ExitCode> {
    let url = lake.display().to_string();
    let storage = Storage::default();
    let sql = "SELECT \"Device\", \"Sensor\", window_start, window_end, is_anomaly \
               FROM predictions WHERE status = 'ok'";
    let windows = windows(&select(&url, &storage, &pipeline.registry, sql)?)?;
    say!();
    if windows.is_empty() {
        say!("it ended before models were trained: no window was scored");
    } else {
        compare(&windows, faults);
    }
    let report = tidegauge_sink::verify(&*pipeline::existing_store(&url, &storage)?, &|_, _| {})?;
    say!(
        "the lake {url} holds {} predictions in {} files, {} commits; verify: {}",
        report.rows,
        report.files,
        report.records,
        if report.is_clean() { "each reading counts once" } else { "NOT PROVEN" }
    );
    let program = std::env::current_exe().map(|p| p.display().to_string());
    let program = program.unwrap_or_else(|_| "tidegauge".to_string());
    say!(
        "look at it:\n  {program} serve {url}\n  {program} query --lake {url} \"SELECT \\\"Device\\\", \\\"Sensor\\\", window_end, mean, score, reason FROM predictions WHERE is_anomaly ORDER BY window_end LIMIT 20\""
    );
    say!("  {program} verify {url}");
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compare(windows: &[Window], faults: &[Fault]) {
    let until = windows.iter().map(|w| w.end_ns).max().unwrap_or(i64::MIN);
    say!("injected faults against found anomalies:");
    for kind in FaultKind::ALL {
        let of_kind = faults.iter().filter(|f| f.kind == kind && f.to_ns <= until);
        let (mut injected, mut found) = (0, 0);
        for fault in of_kind {
            injected += 1;
            found += usize::from(windows.iter().any(|w| w.flagged && w.is_hit_by(fault)));
        }
        if injected > 0 {
            say!("  {:<8} {injected:>3} injected  {found:>3} found", kind.as_str());
        }
    }
    let normal = windows.iter().filter(|w| !faults.iter().any(|f| w.is_hit_by(f)));
    let (count, flagged) = normal.fold((0u64, 0u64), |(n, f), w| (n + 1, f + u64::from(w.flagged)));
    let share = flagged as f64 / count.max(1) as f64 * 100.0;
    say!("  {count} normal windows, {flagged} of them flagged ({share:.2} %)");
}

impl Window {
    fn is_hit_by(&self, fault: &Fault) -> bool {
        i64::from(fault.device) == self.device
            && i64::from(fault.sensor) == self.sensor
            && fault.from_ns <= self.end_ns
            && fault.to_ns > self.start_ns
    }
}

fn windows(batches: &[RecordBatch]) -> Result<Vec<Window>> {
    let mut windows = Vec::new();
    for batch in batches {
        let int = |c: usize| batch.column(c).as_primitive_opt::<Int64Type>();
        let time = |c: usize| batch.column(c).as_primitive_opt::<TimestampMicrosecondType>();
        let columns = int(0).zip(int(1)).zip(time(2)).zip(time(3));
        let (((device, sensor), start), end) = columns.context("predictions have other columns")?;
        let flags = batch.column(4).as_boolean();
        windows.extend((0..batch.num_rows()).map(|row| Window {
            device: device.value(row),
            sensor: sensor.value(row),
            start_ns: start.value(row) * 1000,
            end_ns: end.value(row) * 1000,
            flagged: flags.is_valid(row) && flags.value(row),
        }));
    }
    Ok(windows)
}
