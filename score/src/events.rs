//! Anomaly events: what many anomalous windows of a sensor are to a person, one thing with a beginning and an
//! end.
//!
//! ```text
//! anomalous windows:  . x . x x . x . . .        open = 2, of = 3, close = 3
//! event:                    o---------c          opens with the second of three, closes after three quiet
//! ```
//!
//! *Guarantees*
//! - What comes out depends on the sensor's scored windows in their order, and on nothing else: not on how
//!   rows are cut into batches, on commits, or on when somebody looks.
//! - A window counts for at most one event. It counts as it was judged first: revisions change no event.
//! - Only sensors with an event, or with anomalies that may become one, need room, and of each no more than
//!   [`Rules::open`] anomalies.
//!
//! *Not here*: any clock. Silence is measured in event time, by the sensor's next window or by the lane's
//! watermark, which say the same: a window that ends before the watermark has come already.

mod saved;
mod table;
mod track;

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use tidegauge_flow::{KeySchema, SensorId, Sensors};

use self::table::Verdicts;
pub use self::table::{event_id, event_schema};
use self::track::Track;
pub use self::track::{Anomaly, Change, Event, OF_MOST, Quiet, Rules};
use crate::error::ScoreError;
use crate::scorer::Stamp;

/// A change that waits for the commit, about.
const CHANGE_BYTES: usize = 256;
/// A sensor with something in hand, about.
const TRACK_BYTES: usize = 256;

/// Which verdict counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// That on the state: `is_anomaly`.
    State,
    /// That of the onset view: `alarm`.
    Onset,
}

/// How events are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSettings {
    pub rules: Rules,
    pub by: By,
}

/// The events of a lane's sensors.
#[derive(Debug)]
pub struct Events {
    settings: EventSettings,
    generation: u64,
    schema: SchemaRef,
    tracks: BTreeMap<SensorId, Track>,
    /// A bit for each sensor, set where there is a track.
    in_hand: Vec<u64>,
    /// No track's newest window ended before this.
    oldest_us: i64,
    changes: Vec<(SensorId, Change)>,
    tally: EventTally,
}

/// What was seen since the events were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventTally {
    pub opened: u64,
    pub closed: u64,
    /// Events that are open now.
    pub open: u64,
}

impl Events {
    /// `generation` is the lake's: it is a part of every id.
    pub fn new(settings: EventSettings, key: &KeySchema, generation: u64) -> Self {
        Self {
            settings,
            generation,
            schema: event_schema(key),
            tracks: BTreeMap::new(),
            in_hand: Vec::new(),
            oldest_us: i64::MAX,
            changes: Vec::new(),
            tally: EventTally::default(),
        }
    }

    /// Takes predictions, of which `sensor` says whose they are; a sensor's rows come in order of time.
    ///
    /// # Errors
    /// [`ScoreError::Rows`] when they are no predictions; never because of a value.
    pub fn observe(
        &mut self,
        sensor: &[SensorId],
        predictions: &RecordBatch,
    ) -> Result<(), ScoreError> {
        let verdicts = Verdicts::of(predictions, self.settings.by)?;
        let anomalous = verdicts.anomalous;
        if self.tracks.is_empty() && anomalous.true_count() == 0 {
            return Ok(());
        }
        for (row, &sensor) in sensor.iter().enumerate() {
            let is_anomaly = anomalous.is_valid(row) && anomalous.value(row);
            let concerned = is_anomaly || self.has(sensor);
            if concerned && anomalous.is_valid(row) && verdicts.revision.value(row) == 0 {
                let anomaly = is_anomaly.then(|| verdicts.anomaly(row));
                self.step(sensor, verdicts.end_us(row), anomaly);
            }
        }
        Ok(())
    }

    /// Notes how far the lane's watermark has come, after all windows that ended before it were taken: what
    /// has been silent for long enough ends.
    pub fn pass(&mut self, watermark_ns: Option<i64>) {
        let Some(watermark_ns) = watermark_ns else { return };
        let silence_us = self.settings.rules.silence_us;
        // Windows that end by then are here, and only those.
        let passed_us = watermark_ns.saturating_sub(1).div_euclid(1000);
        let is_over = |last_us: i64| last_us.saturating_add(silence_us) < passed_us;
        if self.tracks.is_empty() || !is_over(self.oldest_us) {
            return;
        }
        let over = self.tracks.iter().filter(|(_, track)| is_over(track.last_us));
        let over: Vec<SensorId> = over.map(|(sensor, _)| *sensor).collect();
        for sensor in over {
            if let Some(mut track) = self.tracks.remove(&sensor) {
                self.clear(sensor);
                let (changes, tally) = (&mut self.changes, &mut self.tally);
                track.end(&mut |change| note(sensor, change, changes, tally));
            }
        }
        self.oldest_us = self.tracks.values().map(|track| track.last_us).min().unwrap_or(i64::MAX);
    }

    /// The rows of what has changed since the last call; `None` when nothing has.
    ///
    /// # Errors
    /// When Arrow refuses to build a column.
    pub fn take(
        &mut self,
        sensors: &Sensors,
        stamp: &Stamp<'_>,
    ) -> Result<Option<RecordBatch>, ScoreError> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        let changes = std::mem::take(&mut self.changes);
        table::batch(&self.schema, self.generation, &changes, sensors, stamp).map(Some)
    }

    /// Rows that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.changes.len()
    }

    pub fn tally(&self) -> EventTally {
        self.tally
    }

    /// Bytes held, about.
    pub fn memory_bytes(&self) -> usize {
        self.in_hand.len() * size_of::<u64>()
            + self.tracks.len() * TRACK_BYTES
            + self.changes.len() * CHANGE_BYTES
    }

    /// What is remembered, for the lane's checkpoint; `None` when nothing is. What waits to be taken is no
    /// part of it.
    pub fn remembered(&self) -> Option<Vec<u8>> {
        (!self.tracks.is_empty()).then(|| saved::encode(&self.tracks))
    }

    /// Takes over what was remembered of the same sensors.
    ///
    /// # Errors
    /// [`ScoreError::History`] when the bytes are not of these sensors.
    pub fn restore(&mut self, bytes: &[u8], sensors: &Sensors) -> Result<(), ScoreError> {
        self.tracks = saved::decode(bytes, sensors.len())?;
        self.in_hand.clear();
        let known: Vec<SensorId> = self.tracks.keys().copied().collect();
        known.into_iter().for_each(|sensor| self.set(sensor));
        self.oldest_us = self.tracks.values().map(|track| track.last_us).min().unwrap_or(i64::MAX);
        let open = self.tracks.values().filter(|track| track.event.is_some()).count();
        self.tally.open = open as u64;
        Ok(())
    }

    fn step(&mut self, sensor: SensorId, end_us: i64, anomaly: Option<Anomaly>) {
        if !self.has(sensor) {
            self.set(sensor);
            self.oldest_us = self.oldest_us.min(end_us);
        }
        let Self { tracks, changes, tally, settings, .. } = self;
        let track = tracks.entry(sensor).or_insert_with(|| Track::new(end_us.saturating_sub(1)));
        track.step(end_us, anomaly, &settings.rules, &mut |change| {
            note(sensor, change, changes, tally);
        });
        if track.is_idle() {
            tracks.remove(&sensor);
            self.clear(sensor);
        }
    }

    fn has(&self, sensor: SensorId) -> bool {
        let word = self.in_hand.get(sensor as usize / 64);
        word.is_some_and(|word| word >> (sensor % 64) & 1 == 1)
    }

    fn set(&mut self, sensor: SensorId) {
        let at = sensor as usize / 64;
        if at >= self.in_hand.len() {
            self.in_hand.resize(at + 1, 0);
        }
        self.in_hand[at] |= 1 << (sensor % 64);
    }

    fn clear(&mut self, sensor: SensorId) {
        if let Some(word) = self.in_hand.get_mut(sensor as usize / 64) {
            *word &= !(1 << (sensor % 64));
        }
    }
}

fn note(
    sensor: SensorId,
    change: Change,
    changes: &mut Vec<(SensorId, Change)>,
    tally: &mut EventTally,
) {
    match change {
        Change::Opened(_) => (tally.opened, tally.open) = (tally.opened + 1, tally.open + 1),
        Change::Closed(_) => (tally.closed, tally.open) = (tally.closed + 1, tally.open - 1),
    }
    changes.push((sensor, change));
}

#[cfg(test)]
mod tests;
