//! Which hours and days are closed.

use std::collections::BTreeMap;

use super::*;
use crate::digest::Digest;
use crate::record::{Counters, FileRef};
use crate::testing::plant::{HOUR_US, START_US, upkeep};
use crate::testing::writer;

fn lane(watermark_us: Option<i64>, committed_at_us: i64) -> LaneSummary {
    LaneSummary {
        to: 9,
        digest: Digest::of(b"x"),
        writer: writer(1),
        opened: 1,
        committed_at_us,
        first: BTreeMap::new(),
        positions: BTreeMap::new(),
        jumps: Vec::new(),
        inputs: BTreeMap::new(),
        watermark_ns: watermark_us.map(|us| us * 1000),
        checkpoint: None,
        counters: Counters::default(),
        late_kept: 0,
    }
}

fn file(table: Table, n: u32, time_us: i64, bytes: u64) -> LiveFile {
    let date = date_of_day(day_of(time_us));
    let ends = (table == Table::Predictions).then_some((time_us - 5, time_us));
    LiveFile {
        file: FileRef {
            table,
            path: format!("{}date={date}/{n}.parquet", table.folder()),
            rows: 1,
            bytes,
            sha256: Digest::of(b"x"),
            window_end_us: ends,
        },
        at_us: time_us,
        level: Level::Commit,
    }
}

/// Files of the plant's first three hours, two each; the third is after midnight.
fn files(table: Table) -> Vec<LiveFile> {
    let time = |n: u32| START_US + i64::from(n / 2) * HOUR_US + i64::from(n % 2) * 1_000_000;
    (0..6).map(|n| file(table, n, time(n), 100)).collect()
}

fn closed(files: &[LiveFile], lanes: &[LaneSummary], now_us: i64) -> Vec<(Level, Vec<usize>)> {
    let name = |(n, lane): (usize, &LaneSummary)| (n.to_string(), lane.clone());
    let lanes: BTreeMap<_, _> = lanes.iter().enumerate().map(name).collect();
    let groups = groups(files, &lanes, &upkeep(), now_us);
    groups.into_iter().map(|group| (group.level, group.inputs)).collect()
}

#[test]
fn an_hour_is_closed_when_every_lane_that_speaks_is_past_it() {
    let at = |hours: i64, us: i64| Some(START_US + hours * HOUR_US + us);
    let now = START_US + 2 * HOUR_US;
    let files = files(Table::Predictions);
    let behind = lane(at(0, HOUR_US - 1), now);
    let ahead = lane(at(1, 0), now);
    assert_eq!(closed(&files, &[ahead.clone(), behind.clone()], now), []);
    assert_eq!(closed(&files, std::slice::from_ref(&ahead), now), [(Level::Hour, vec![0, 1])]);
    // A lane that has said nothing for an hour holds up nobody; one without a watermark does.
    let silent = lane(at(0, 0), now - HOUR_US);
    assert_eq!(closed(&files, &[ahead.clone(), silent], now), [(Level::Hour, vec![0, 1])]);
    assert_eq!(closed(&files, &[ahead, lane(None, now)], now), []);
    // At midnight the day is closed, and its hours need no files of their own.
    assert_eq!(closed(&files, &[lane(at(2, 0), now)], now), [(Level::Day, vec![0, 1, 2, 3])]);
    let later = Upkeep { allowed_lateness_us: 1, ..upkeep() };
    let lanes = BTreeMap::from([("0".to_owned(), lane(at(1, 0), now))]);
    assert_eq!(groups(&files, &lanes, &later, now), []);
}

#[test]
fn late_readings_and_rejects_go_by_the_time_of_their_commit() {
    for table in [Table::Late, Table::Rejects] {
        let files = files(table);
        let at = |hours: i64| START_US + hours * HOUR_US;
        assert_eq!(closed(&files, &[lane(None, at(9))], at(2) - 1), []);
        assert_eq!(closed(&files, &[], at(2)), [(Level::Hour, vec![0, 1])]);
        assert_eq!(closed(&files, &[], at(3)), [(Level::Day, vec![0, 1, 2, 3])]);
    }
}

#[test]
fn no_file_grows_beyond_the_limit_and_single_or_large_files_stay() {
    let now = START_US + 100 * HOUR_US;
    let sized = |bytes: &[u64]| -> Vec<LiveFile> {
        let one = |(n, bytes): (usize, &u64)| {
            file(Table::Predictions, n as u32, START_US + n as i64, *bytes)
        };
        bytes.iter().enumerate().map(one).collect()
    };
    let max = upkeep().file_max_bytes;
    let third = max / 3;
    let groups = closed(&sized(&[third, third, third, third, third]), &[], now);
    assert_eq!(groups, [(Level::Day, vec![0, 1, 2]), (Level::Day, vec![3, 4])]);
    assert_eq!(closed(&sized(&[max / 2, 100, 100]), &[], now), [(Level::Day, vec![1, 2])]);
    assert_eq!(closed(&sized(&[100]), &[], now), []);
}
