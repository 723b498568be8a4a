//! Which files are to be replaced by one: those of an hour or a day that gets no more rows.

use std::collections::BTreeMap;

use super::Upkeep;
use crate::paths::{self, date_of_day, day_of};
use crate::record::Table;
use crate::summary::{LaneSummary, Level, LiveFile};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Files of one table and date that one file shall replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub table: Table,
    pub date: String,
    /// Of the file to be made.
    pub level: Level,
    /// Places in the list of files, at least two.
    pub inputs: Vec<usize>,
}

/// The groups of files whose hour or day is closed.
pub(super) fn groups(
    files: &[LiveFile],
    lanes: &BTreeMap<String, LaneSummary>,
    upkeep: &Upkeep,
    now_us: i64,
) -> Vec<Group> {
    let predictions = horizon_us(lanes, upkeep, now_us);
    let others = now_us.saturating_sub(upkeep.compact_after_us);
    let mut buckets: BTreeMap<(Table, i64, Level, i64), Vec<usize>> = BTreeMap::new();
    for (n, live) in files.iter().enumerate() {
        let table = live.file.table;
        let horizon = if table == Table::Predictions { predictions } else { others };
        let time = newest_us(live);
        let day = day_of(time);
        // A name that we did not write is not ours to place.
        if paths::date_of(&live.file.path) != Some(date_of_day(day).as_str()) {
            continue;
        }
        let hour = time.div_euclid(HOUR_US);
        let small = live.file.bytes < upkeep.file_max_bytes / 2;
        let closed = |end: i64| end <= horizon;
        if closed(day.saturating_add(1).saturating_mul(DAY_US)) {
            if small {
                buckets.entry((table, day, Level::Day, 0)).or_default().push(n);
            }
        } else if closed(hour.saturating_add(1).saturating_mul(HOUR_US))
            && live.level == Level::Commit
            && small
        {
            buckets.entry((table, day, Level::Hour, hour)).or_default().push(n);
        }
    }
    let mut groups = Vec::new();
    for ((table, day, level, _), mut inputs) in buckets {
        inputs.sort_by_key(|&n| (newest_us(&files[n]), &files[n].file.path));
        for inputs in chunks(&inputs, files, upkeep.file_max_bytes) {
            groups.push(Group { table, date: date_of_day(day), level, inputs });
        }
    }
    groups
}

/// Event time up to which no lane will add rows: the least of the lanes' watermarks, less the allowed
/// lateness. A lane that has been silent for long does not count.
fn horizon_us(lanes: &BTreeMap<String, LaneSummary>, upkeep: &Upkeep, now_us: i64) -> i64 {
    let speaks =
        |lane: &&LaneSummary| lane.committed_at_us.saturating_add(upkeep.compact_after_us) > now_us;
    let mark = |lane: &LaneSummary| lane.watermark_ns.map_or(i64::MIN, |ns| ns.div_euclid(1000));
    let least = lanes.values().filter(speaks).map(mark).min().unwrap_or(i64::MAX);
    least.saturating_sub(upkeep.allowed_lateness_us)
}

/// The time whose hour and day a file belongs to: the last end of a window, as for its folder, or the
/// commit.
fn newest_us(live: &LiveFile) -> i64 {
    match live.file.window_end_us {
        Some((_, last)) => last,
        None => live.at_us,
    }
}

/// Parts of at least two files, none larger than `max` together.
fn chunks(inputs: &[usize], files: &[LiveFile], max: u64) -> Vec<Vec<usize>> {
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut bytes = u64::MAX;
    for &n in inputs {
        let size = files[n].file.bytes;
        match chunks.last_mut().filter(|_| bytes.saturating_add(size) <= max) {
            Some(chunk) => {
                chunk.push(n);
                bytes += size;
            }
            None => {
                chunks.push(vec![n]);
                bytes = size;
            }
        }
    }
    chunks.retain(|chunk| chunk.len() > 1);
    chunks
}

#[cfg(test)]
mod tests;
