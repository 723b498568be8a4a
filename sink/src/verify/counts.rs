//! The counts: what records say they counted, against each other and against the rows.

use super::Report;
use super::chain::LaneRecords;
use super::files::Tally;
use crate::paths;
use crate::record::{Record, Table};

/// Compares all counts. `counted_once`: each aggregated reading is in one window row or still open.
pub(super) fn check(
    counted_once: bool,
    lanes: &[LaneRecords],
    tallies: &[Vec<Tally>],
    report: &mut Report,
) {
    for (lane, tallies) in lanes.iter().zip(tallies) {
        for (record, tally) in lane.records.iter().zip(tallies) {
            let path = paths::record_path(&record.lane, record.epoch);
            let mut found = record.counters.contradictions();
            found.extend(rows_problems(record, tally));
            found.into_iter().for_each(|what| report.problem(&path, what));
            report.readings = report.readings.saturating_add(record.counters.readable);
        }
        if counted_once && !lane.incomplete {
            each_counted_once(lane, report);
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
    // What a missing file held is told where it is missing.
    if !tally.unreadable && tally.n_readings != u128::from(counters.n_readings) {
        found.push(format!(
            "it counts {} readings in its rows and n_readings sums to {}",
            counters.n_readings, tally.n_readings
        ));
    }
    found
}

/// Up to each record: aggregated = in rows that hold + in no row yet. Told once per lane, where it starts.
fn each_counted_once(lane: &LaneRecords, report: &mut Report) {
    let (mut aggregated, mut emitted, mut superseded) = (0_u128, 0_u128, 0_u128);
    for record in &lane.records {
        aggregated += u128::from(record.counters.aggregated);
        emitted += u128::from(record.counters.n_readings);
        superseded += u128::from(record.counters.superseded);
        let open = u128::from(record.counters.open);
        if aggregated + superseded != emitted + open {
            let what = format!(
                "so far {aggregated} readings were aggregated, {emitted} are in rows, of which \
                 {superseded} in rows that were revised, and {open} in open windows"
            );
            report.problem(paths::record_path(&record.lane, record.epoch), what);
            return;
        }
    }
}
