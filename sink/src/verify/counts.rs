//! The counts: what records and summaries say they counted, against each other and against the rows.

use super::chain::{LaneRecords, Ledger};
use super::files::{Tallies, Tally};
use super::repair::Repair;
use super::report::Report;
use crate::paths;
use crate::record::{Record, Table};
use crate::summary::Summary;

/// Compares all counts. `counted_once`: each aggregated reading is in one window row or still open.
pub(super) fn check(counted_once: bool, ledger: &Ledger, tallies: &Tallies, report: &mut Report) {
    if let Some(summary) = &ledger.summary {
        summary_rows(summary, report);
        if !tallies.summary.unread {
            summary_readings(summary, tallies, report);
        }
    }
    for (lane, tallies) in ledger.lanes.iter().zip(&tallies.records) {
        for (record, tally) in lane.records.iter().zip(tallies) {
            let path = paths::record_path(&record.lane, record.epoch);
            let mut found = record.counters.contradictions();
            found.extend(rows_problems(record, tally));
            found.into_iter().for_each(|what| report.problem(&path, what, Repair::Report));
            report.readings = report.readings.saturating_add(record.counters.readable);
        }
        if counted_once && !lane.incomplete {
            each_counted_once(lane, report);
        }
    }
}

/// The rows that the summary's files have by name are those that its lanes have counted.
fn summary_rows(summary: &Summary, report: &mut Report) {
    let path = paths::summary_path(summary.number);
    for (name, lane) in &summary.lanes {
        for what in lane.counters.contradictions() {
            report.problem(&path, format!("lane {name}: {what}"), Repair::Report);
        }
    }
    for table in Table::ALL {
        let files = summary.files.iter().filter(|live| live.file.table == table);
        let kept: u128 = files.map(|live| u128::from(live.file.rows)).sum();
        let (expired, _) = summary.expired_of(table, None);
        let counted = |lane: &crate::summary::LaneSummary| match table {
            Table::Predictions => lane.counters.rows,
            Table::Rejects => lane.counters.rejected,
            Table::Late => lane.late_kept,
            Table::Events => lane.counters.events,
        };
        let counted: u128 = summary.lanes.values().map(|lane| u128::from(counted(lane))).sum();
        if kept + expired != counted {
            let what = format!(
                "it counts {counted} rows of {}, its files have {kept} and {expired} were too old",
                table.as_str()
            );
            report.problem(&path, what, Repair::Report);
        }
    }
}

/// The rows themselves, by lane where they tell their lane.
fn summary_readings(summary: &Summary, tallies: &Tallies, report: &mut Report) {
    let path = paths::summary_path(summary.number);
    let counted: u128 = summary.lanes.values().map(|l| u128::from(l.counters.n_readings)).sum();
    let (_, expired) = summary.expired_of(Table::Predictions, None);
    let found = tallies.summary.n_readings;
    if found + expired != counted {
        let what = format!(
            "it counts {counted} readings in its rows, n_readings sums to {found} and {expired} were \
             too old"
        );
        report.problem(&path, what, Repair::Report);
    }
    let told: u128 = tallies.lanes.values().map(|(_, readings)| readings).sum();
    if told != found {
        // Rows of this lake do not tell their lane.
        return;
    }
    for (name, lane) in &summary.lanes {
        let (rows, readings) = tallies.lanes.get(name).copied().unwrap_or_default();
        let (old_rows, old_readings) = summary.expired_of(Table::Predictions, Some(name));
        let (all, sum) = (u128::from(lane.counters.rows), u128::from(lane.counters.n_readings));
        if rows + old_rows != all || readings + old_readings != sum {
            let what = format!(
                "lane {name} counts {all} rows of {sum} readings, and its rows are {rows} of {readings} \
                 and {old_rows} of {old_readings} that were too old"
            );
            report.problem(&path, what, Repair::Report);
        }
    }
}

fn rows_problems(record: &Record, tally: &Tally) -> Vec<String> {
    let counters = &record.counters;
    let mut found = Vec::new();
    for table in Table::ALL {
        let rows = record.rows_of(table);
        match counters.rows_of(table) {
            Some(counted) if counted != rows => found.push(format!(
                "it counts {counted} rows of {} and its files have {rows}",
                table.as_str()
            )),
            _ => {}
        }
    }
    let late = record.rows_of(Table::Late);
    if late > counters.late {
        found.push(format!("it counts {} late readings and keeps {late}", counters.late));
    }
    // What a missing file held is told where it is missing; what was proven before is not read.
    if !tally.unread && tally.n_readings != u128::from(counters.n_readings) {
        found.push(format!(
            "it counts {} readings in its rows and n_readings sums to {}",
            counters.n_readings, tally.n_readings
        ));
    }
    found
}

/// Up to each record: aggregated = in rows that hold + in no row yet. Told once per lane, where it
/// starts.
fn each_counted_once(lane: &LaneRecords, report: &mut Report) {
    let base = lane.base.as_ref().map(|base| (base.to, base.counters)).into_iter();
    let later = lane.records.iter().map(|record| (record.epoch, record.counters));
    let (mut aggregated, mut emitted, mut superseded) = (0_u128, 0_u128, 0_u128);
    for (epoch, counters) in base.chain(later) {
        aggregated += u128::from(counters.aggregated);
        emitted += u128::from(counters.n_readings);
        superseded += u128::from(counters.superseded);
        let open = u128::from(counters.open);
        if aggregated + superseded != emitted + open {
            let what = format!(
                "so far {aggregated} readings were aggregated, {emitted} are in rows, of which \
                 {superseded} in rows that were revised, and {open} in open windows"
            );
            report.problem(paths::record_path(&lane.lane, epoch), what, Repair::Report);
            return;
        }
    }
}
