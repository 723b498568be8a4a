//! Lanes, commits and sums of the lake, by its ledger.

use std::collections::BTreeMap;

use tidegauge_serve::console::{
    Answer, Commit, Commits, ConsoleError, LaneRow, Lanes, Overview, ProcessRates,
};
use tidegauge_sink::{Kind, Reader, Record, Table};

use super::follower::State;
use super::look::{RATE_US, Standing};
use super::origin::Process;
use crate::tables::consumed;

/// Records that are read from the store for one answer: in a bucket each is a request.
const READ_MAX: usize = 200;

pub fn overview(state: &State, now_us: i64) -> Overview {
    let lanes = &state.look.lanes;
    let recent = lanes.values().flat_map(|lane| &lane.recent);
    let recent = recent.filter(|(at, ..)| *at > now_us.saturating_sub(RATE_US));
    let (messages, rows) =
        recent.fold((0, 0), |(m, r), (_, messages, rows)| (m + messages, r + rows));
    let seconds = RATE_US as f64 / 1e6;
    let watermarks = lanes.values().filter_map(|lane| watermark_us(&lane.newest));
    let total = |of: fn(&Standing) -> u64| lanes.values().map(of).sum();
    let sums = state.index.as_ref().map(|index| index.sums()).unwrap_or_default();
    Overview {
        now_us,
        newest_window_us: state.index.as_ref().and_then(|index| index.newest_us()),
        last_commit_us: lanes.values().map(|lane| lane.newest.committed_at_us).max(),
        watermark_delay_s: watermarks.min().map(|slowest| (now_us - slowest) as f64 / 1e6),
        events_per_s: messages as f64 / seconds,
        rows_per_s: rows as f64 / seconds,
        messages: total(|lane| lane.totals.messages),
        rejected: total(|lane| lane.totals.rejected),
        late: total(|lane| lane.totals.late),
        rows: total(|lane| lane.totals.rows),
        commits: total(|lane| lane.newest.epoch),
        lanes: lanes.len(),
        sensors: sums.sensors,
        anomalous: sums.anomalous,
        no_model: sums.no_model,
        anomalies_last_hour: sums.anomalies_last_hour,
        open_events: state.events.open(),
        process: None,
    }
}

/// What the process says of its pipeline.
pub fn process(process: &Process) -> ProcessRates {
    let sum = |name: &str| process.metrics.sum(name).max(0.0) as u64;
    ProcessRates {
        lanes: sum("tidegauge_lanes"),
        lag: sum("tidegauge_ingest_lag_messages"),
        messages: sum("tidegauge_ingest_messages_total"),
        models_missing: sum("tidegauge_score_models_missing"),
        memory_bytes: process.metrics.memory_bytes(),
        ready: process.health.readiness().err().unwrap_or_else(|| "ok".to_owned()),
    }
}

pub fn lanes(state: &State) -> Lanes {
    let row = |(lane, standing): (&String, &Standing)| LaneRow {
        lane: lane.clone(),
        epoch: standing.newest.epoch,
        writer: standing.newest.writer.to_string(),
        committed_at_us: standing.newest.committed_at_us,
        watermark_us: watermark_us(&standing.newest),
        positions: positions(&standing.newest),
        open: standing.totals.open,
        messages: standing.totals.messages,
        rejected: standing.totals.rejected,
        late: standing.totals.late,
        rows: standing.totals.rows,
        model_sets: standing.newest.model_sets.clone(),
    };
    Lanes { lanes: state.look.lanes.iter().map(row).collect() }
}

fn positions(record: &Record) -> BTreeMap<String, i64> {
    let next = record.next_positions().into_iter();
    next.map(|(partition, offset)| (partition.to_string(), offset)).collect()
}

fn watermark_us(record: &Record) -> Option<i64> {
    record.watermark_ns.map(|ns| ns.div_euclid(1000))
}

/// Commits below an epoch, newest first, as far as their records are kept.
pub fn commits(
    reader: &Reader,
    standing: &Standing,
    before_epoch: Option<u64>,
    limit: usize,
) -> Answer<Commits> {
    let newest = &standing.newest;
    let mut epoch = before_epoch.map_or(newest.epoch, |b| b.saturating_sub(1)).min(newest.epoch);
    let mut rows = Vec::new();
    while epoch > 0 && rows.len() < limit.min(READ_MAX) {
        let record = match epoch == newest.epoch {
            true => Some(Record::clone(newest)),
            false => reader
                .record(&newest.lane, epoch)
                .map_err(|error| ConsoleError::Unavailable(error.to_string()))?,
        };
        // What comes before was summarised and deleted.
        let Some(record) = record else { return Ok(Commits { rows, next_before_epoch: None }) };
        rows.push(commit(&record));
        epoch -= 1;
    }
    Ok(Commits { rows, next_before_epoch: (epoch > 0).then_some(epoch + 1) })
}

fn commit(record: &Record) -> Commit {
    Commit {
        epoch: record.epoch,
        kind: if record.kind == Kind::Open { "open" } else { "epoch" },
        writer: record.writer.to_string(),
        committed_at_us: record.committed_at_us,
        watermark_us: watermark_us(record),
        consumed: consumed(record),
        messages: record.counters.messages,
        rejected: record.counters.rejected,
        late: record.counters.late,
        rows: record.rows_of(Table::Predictions),
        files: record.files.iter().map(|file| (file.path.clone(), file.rows)).collect(),
    }
}
