//! Sensors as a list: searched, sorted, a page at a time.

use std::cmp::Ordering;
use std::fmt::Write;

use tidegauge_serve::console::{Order, SensorRow, SensorSort, Sensors, SensorsQuery};

use super::read::finite;
use super::{Index, Newest};
use crate::console::keys;

/// What a sensor is sorted by: classes are in this order whichever way the numbers go.
#[derive(Debug, Clone, Copy)]
struct Rank {
    class: u8,
    number: f64,
    key: u32,
    sensor: u32,
}

impl Index {
    /// A page of sensors.
    pub fn list(&self, query: &SensorsQuery) -> Sensors {
        let mut total = 0;
        let mut ranks = Vec::new();
        let needle = query.search.to_lowercase();
        let mut text = String::new();
        // Sensors that a look under way has just found have no rank yet.
        for (sensor, newest) in (0u32..).zip(self.newest.iter().take(self.ranks.len())) {
            if newest.window_end_us <= self.floor_us {
                continue;
            }
            total += 1;
            let is_wanted = !query.only_anomalous || newest.is_anomaly == Some(true);
            if is_wanted && (needle.is_empty() || self.holds(sensor, &needle, &mut text)) {
                ranks.push(self.rank(sensor, newest, query.sort));
            }
        }
        let matching = ranks.len();
        let first = query.offset.min(matching);
        let last = query.offset.saturating_add(query.limit).min(matching);
        let compare = |a: &Rank, b: &Rank| compare(a, b, query);
        if last > 0 && last < matching {
            ranks.select_nth_unstable_by(last - 1, compare);
        }
        ranks[..last].sort_unstable_by(compare);
        let rows = ranks[first..last].iter().map(|rank| self.row(rank.sensor)).collect();
        Sensors { total, matching, as_of_us: self.newest_us, rows }
    }

    fn holds(&self, sensor: u32, needle: &str, text: &mut String) -> bool {
        text.clear();
        let _ = write!(text, "{}", self.sensors.key(sensor));
        // Upper case is rare in keys, and making lower case of a text costs an allocation.
        match text.chars().any(char::is_uppercase) {
            true => text.to_lowercase().contains(needle),
            false => text.contains(needle),
        }
    }

    fn rank(&self, sensor: u32, newest: &Newest, sort: SensorSort) -> Rank {
        let (margin, key) = (newest.score - newest.threshold, self.ranks[sensor as usize]);
        let (class, number) = match sort {
            SensorSort::Severity if !newest.severity.is_nan() => (0, newest.severity),
            SensorSort::Severity => (1, margin),
            SensorSort::Score => (0, newest.score),
            // Microseconds of all times that Parquet files have are whole in a float until the year 2255.
            SensorSort::WindowEnd => (0, newest.window_end_us as f64),
            SensorSort::Anomalies => (0, f64::from(newest.anomalies)),
            SensorSort::Key => (0, f64::from(key)),
        };
        let class = if number.is_nan() { 2 } else { class };
        Rank { class, number, key, sensor }
    }

    fn row(&self, sensor: u32) -> SensorRow {
        let newest = &self.newest[sensor as usize];
        SensorRow {
            key: keys::shown(&self.sensors.key(sensor)),
            window_end_us: newest.window_end_us,
            score: finite(newest.score),
            threshold: finite(newest.threshold),
            severity: finite(newest.severity),
            is_anomaly: newest.is_anomaly,
            status: self.statuses[usize::from(newest.status)].to_string(),
            anomalies: newest.anomalies,
        }
    }
}

fn compare(a: &Rank, b: &Rank, query: &SensorsQuery) -> Ordering {
    let numbers = match query.order {
        Order::Asc => a.number.total_cmp(&b.number),
        Order::Desc => b.number.total_cmp(&a.number),
    };
    let numbers = if a.class == 2 && b.class == 2 { Ordering::Equal } else { numbers };
    a.class.cmp(&b.class).then(numbers).then(a.key.cmp(&b.key))
}
