//! What is known of each sensor's newest window, and of the anomalies of late: held in memory, fed with rows of
//! files in any order.
//!
//! *Why order does not matter*: a row says something of one window under one revision, and the highest revision
//! is what is true of it. So rows may come twice (a large file replaces small ones) and a revision before what it
//! replaces (new files are read first), and the sums are the same.
//!
//! *Memory*: about 70 bytes and the key's texts per sensor, 16 to 24 per anomalous window of the last hour of the
//! lake's time, and the newest [`DETAILS_MAX`] anomalies whole. Each has a bound.

mod list;
mod read;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tidegauge_flow::{KeySchema, SensorKey, Sensors};
use tidegauge_serve::console::Anomaly;

pub use self::read::{
    Columns, News, anomalies, anomaly_columns, finite, number, numbers, texts, verdict_columns,
};

/// Sensors that are held.
pub const SENSORS_MAX: u32 = 1_000_000;
/// A sensor is listed for so long after its newest window, in the lake's time.
pub const HORIZON_US: i64 = 24 * HOUR_US;
/// Anomalies that are held with all that is known of them.
pub const DETAILS_MAX: usize = 10_000;
/// Anomalies of the last hour that are counted, sensor by sensor; of more the oldest go.
const MARKS_MAX: usize = 4_000_000;
/// Windows with revisions that are remembered; of more the oldest go.
const REVISED_MAX: usize = 1_000_000;
/// Anomalies that are kept for those who follow what comes.
const RING_MAX: usize = 2_000;
const HOUR_US: i64 = 3_600_000_000;

/// Statuses that are told apart; nobody writes so many.
const STATUSES_MAX: usize = 255;

/// A window of a sensor.
type Place = (i64, u32);

/// The newest window of a sensor. Numbers that are not there are NaN.
#[derive(Debug, Clone, Copy)]
struct Newest {
    window_end_us: i64,
    score: f64,
    threshold: f64,
    severity: f64,
    revision: u32,
    /// Anomalous windows of the last hour.
    anomalies: u32,
    status: u8,
    is_anomaly: Option<bool>,
}

/// What a row says of its window.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    pub window_end_us: i64,
    pub revision: u32,
    pub score: f64,
    pub threshold: f64,
    pub severity: f64,
    pub is_anomaly: Option<bool>,
}

/// Sums over all sensors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub sensors: usize,
    pub anomalous: usize,
    pub no_model: usize,
    pub anomalies_last_hour: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Index {
    sensors: Sensors,
    newest: Vec<Newest>,
    statuses: Vec<Box<str>>,
    /// Windows of the last hour that are anomalous.
    marks: BTreeSet<Place>,
    /// The highest revision of windows that have one, and whether it is anomalous.
    revised: BTreeMap<Place, u32>,
    details: BTreeMap<Place, Anomaly>,
    /// Of anomalies that end after this all are in `details`.
    details_after_us: i64,
    ring: VecDeque<Anomaly>,
    /// How many anomalies have ever been in the ring.
    ring_end: u64,
    /// Sensors by key: place of each in that order.
    ranks: Vec<u32>,
    /// Windows that end here or before do not count.
    floor_us: i64,
    newest_us: Option<i64>,
    is_full: bool,
    sums: Sums,
}

impl Index {
    pub fn new(key: Arc<KeySchema>) -> Self {
        Self::bounded(key, SENSORS_MAX)
    }

    pub fn bounded(key: Arc<KeySchema>, sensors: u32) -> Self {
        Self {
            sensors: Sensors::new(key, sensors),
            newest: Vec::new(),
            statuses: Vec::new(),
            marks: BTreeSet::new(),
            revised: BTreeMap::new(),
            details: BTreeMap::new(),
            details_after_us: i64::MIN,
            ring: VecDeque::new(),
            ring_end: 1,
            ranks: Vec::new(),
            floor_us: i64::MIN,
            newest_us: None,
            is_full: false,
            sums: Sums::default(),
        }
    }

    /// The end of the newest window.
    pub fn newest_us(&self) -> Option<i64> {
        self.newest_us
    }

    /// Whether there are more sensors than it holds.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Bytes held, about.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        let rows = self.newest.capacity() * size_of::<Newest>() + self.ranks.capacity() * 4;
        // B-trees are two thirds full.
        let trees = self.marks.len() * 24 + self.revised.len() * 30;
        let anomalies = (self.details.len() + self.ring.len()) * 400;
        self.sensors.memory_bytes() + rows + trees + anomalies
    }

    /// The end of a sensor's newest window.
    pub fn newest_of(&self, key: &SensorKey) -> Option<i64> {
        let newest = &self.newest[self.sensors.find(key)? as usize];
        (newest.window_end_us > self.floor_us).then_some(newest.window_end_us)
    }

    /// The lake's time goes on: what is too old goes. `oldest_us` is the first window that the lake still has,
    /// `reached_us` how far back was read.
    pub fn move_on(&mut self, newest_us: Option<i64>, oldest_us: i64, reached_us: i64) {
        let Some(newest_us) = newest_us else { return };
        self.newest_us = Some(newest_us);
        let horizon = newest_us.saturating_sub(HORIZON_US);
        self.floor_us = horizon.max(oldest_us.saturating_sub(1)).max(reached_us);
        let hour = newest_us.saturating_sub(HOUR_US).max(self.floor_us);
        while self.marks.first().is_some_and(|(end, _)| *end <= hour) {
            self.forget_oldest();
        }
        let first = (self.floor_us.saturating_add(1), 0);
        self.revised = self.revised.split_off(&first);
        self.details = self.details.split_off(&first);
        self.details_after_us = self.details_after_us.max(self.floor_us);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, sensor)) = self.marks.pop_first() {
            self.newest[sensor as usize].anomalies -= 1;
        }
    }

    /// What a row says; false when it is too old, or there is no room for its sensor.
    fn take(&mut self, sensor: u32, status: u8, row: &Verdict) {
        let place = (row.window_end_us, sensor);
        let newest = &mut self.newest[sensor as usize];
        if (row.window_end_us, row.revision) >= (newest.window_end_us, newest.revision) {
            newest.window_end_us = row.window_end_us;
            newest.revision = row.revision;
            (newest.score, newest.threshold, newest.severity) =
                (row.score, row.threshold, row.severity);
            (newest.status, newest.is_anomaly) = (status, row.is_anomaly);
        }
        if self.is_replaced(place, row.revision) {
            return;
        }
        if row.revision > 0 {
            self.revised.insert(place, row.revision);
            if self.revised.len() > REVISED_MAX {
                self.revised.pop_first();
            }
        }
        let hour = self.newest_us.map_or(i64::MIN, |newest| newest.saturating_sub(HOUR_US));
        if row.is_anomaly != Some(true) {
            self.details.remove(&place);
            if self.marks.remove(&place) {
                self.newest[sensor as usize].anomalies -= 1;
            }
        } else if row.window_end_us > hour && self.marks.insert(place) {
            self.newest[sensor as usize].anomalies += 1;
            if self.marks.len() > MARKS_MAX {
                self.forget_oldest();
            }
        }
    }

    /// Whether a higher revision of a window is known.
    fn is_replaced(&self, place: Place, revision: u32) -> bool {
        self.revised.get(&place).is_some_and(|known| *known > revision)
    }

    /// All that is known of an anomaly.
    fn detail(&mut self, sensor: u32, anomaly: Anomaly) {
        let place = (anomaly.window_end_us, sensor);
        if self.is_replaced(place, anomaly.revision) || place.0 <= self.details_after_us {
            return;
        }
        self.details.insert(place, anomaly);
        if self.details.len() > DETAILS_MAX
            && let Some(((end, _), _)) = self.details.pop_first()
        {
            // Others that end at the same time may have gone before.
            self.details_after_us = self.details_after_us.max(end);
        }
    }

    /// An anomaly that has just been committed.
    fn announce(&mut self, anomaly: Anomaly) {
        self.ring.push_back(anomaly);
        self.ring_end += 1;
        if self.ring.len() > RING_MAX {
            self.ring.pop_front();
        }
    }

    /// Anomalies that were announced since a cursor, and the next cursor. One that is not ours (0, or of another
    /// process) means from now on.
    pub fn since(&self, cursor: u64, limit: usize) -> (Vec<Anomaly>, u64) {
        if cursor == 0 || cursor > self.ring_end {
            return (Vec::new(), self.ring_end);
        }
        let first = self.ring_end - self.ring.len() as u64;
        let skipped = cursor.saturating_sub(first) as usize;
        let found: Vec<_> = self.ring.iter().skip(skipped).take(limit).cloned().collect();
        let next = cursor.max(first) + found.len() as u64;
        (found, next)
    }

    /// Anomalies that end before a time, newest first, and down to which time they are all.
    pub fn anomalies(&self, sensor: Option<&SensorKey>, before_us: i64) -> (Vec<&Anomaly>, i64) {
        let wanted = sensor.map(|key| self.sensors.find(key));
        let is_wanted = |id: u32| wanted.is_none_or(|wanted| wanted == Some(id));
        let before = self.details.range(..(before_us, 0)).rev();
        let found = before.filter(|((end, id), _)| *end > self.details_after_us && is_wanted(*id));
        (found.map(|(_, anomaly)| anomaly).collect(), self.details_after_us)
    }

    /// Brings up to date what is derived from all sensors. After the rows of a look.
    pub fn settle(&mut self) {
        if self.ranks.len() != self.sensors.len() {
            let mut order: Vec<(SensorKey, u32)> =
                (0..self.sensors.len() as u32).map(|id| (self.sensors.key(id), id)).collect();
            order.sort_unstable();
            self.ranks = vec![0; order.len()];
            for (rank, (_, id)) in order.iter().enumerate() {
                self.ranks[*id as usize] = rank as u32;
            }
        }
        let no_model = self.statuses.iter().position(|status| &**status == "no_model");
        let listed = self.newest.iter().filter(|newest| newest.window_end_us > self.floor_us);
        self.sums = Sums { anomalies_last_hour: self.marks.len() as u64, ..Sums::default() };
        for newest in listed {
            self.sums.sensors += 1;
            self.sums.anomalous += usize::from(newest.is_anomaly == Some(true));
            self.sums.no_model += usize::from(Some(usize::from(newest.status)) == no_model);
        }
    }

    fn status(&mut self, word: &str) -> u8 {
        let known = self.statuses.iter().position(|known| &**known == word);
        let place = known.unwrap_or_else(|| {
            if self.statuses.len() < STATUSES_MAX {
                self.statuses.push(word.into());
            }
            self.statuses.len() - 1
        });
        u8::try_from(place).expect("there are fewer")
    }
}

#[cfg(test)]
mod tests;
