//! A lane: the plain loop's state. Messages in, committed epochs out.
//!
//! ```text
//! feed: decode -> push -> close -> score        commit: cut -> ledger -> (next epoch)
//! ```
//!
//! *Guarantees*: everything between two commits is in memory only, and belongs to exactly one epoch:
//! positions, rows, late readings, rejects, counters and the windows' state are cut together. After an
//! error the lane is not usable; whoever opens it next starts from the ledger.

mod commit;
mod epoch;
mod idle;
mod inputs;
mod models;
mod state;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use tidegauge_aggregate::{Closing, Windows};
use tidegauge_flow::{Readings, Sensors};
use tidegauge_ingest::{Decoder, Ends, Format, Message};
use tidegauge_score::{EventTally, Events, Scorer};
use tidegauge_serve::LaneMetrics;
use tidegauge_sink::{ClosedBy, Jump, JumpReason};

use self::commit::{Hold, Witness};
pub use self::commit::{OtherTopic, Settled};
use self::epoch::Epoch;
pub use self::epoch::late_schema;
pub use self::idle::IdleClock;
use self::inputs::Input;
use self::windows::{Restored, restore};
use crate::config::{LaneMode, SourceKind};
use crate::courier::{self, Holding};
use crate::memory::Share;
use crate::pipeline::{InForce, LABELS, Newest, Pipeline};

/// Messages after which a lane is weighed, at the latest, while there is plenty of memory.
const WEIGH_EVERY: u64 = 50_000;

/// One lane that this process holds.
pub struct Lane {
    pipeline: Arc<Pipeline>,
    name: Arc<str>,
    hold: Hold,
    /// The number of the epoch that is being fed.
    running: u64,
    inputs: Vec<Input>,
    /// All inputs are one ordered stream.
    shares_watermark: bool,
    /// What each input is, where it can tell: topic -> id.
    identities: BTreeMap<Arc<str>, String>,
    identities_changed: bool,
    /// Says at each commit whether the input is still the same.
    witness: Option<Witness>,
    decoder: Decoder,
    sensors: Sensors,
    windows: Windows,
    closing: Closing,
    scorer: Scorer,
    /// `None` when nobody wants any.
    events: Option<Events>,
    /// What of them is in the metrics.
    told: EventTally,
    /// Scratch space of `feed`.
    readings: Readings,
    epoch: Epoch,
    /// Models that are in force from the next cut on.
    newer: Newest,
    /// Models that don't fit, though their alias means them.
    refused: InForce,
    /// Models were announced since anything was read.
    announced_at_rest: bool,
    metrics: LaneMetrics,
    /// Whoever tells events knows the lane by it; `None` when nobody does.
    holding: Option<Holding>,
    share: Share,
    /// Messages since the lane was last weighed.
    unweighed: u64,
    pub idle: IdleClock,
}

impl Lane {
    /// Takes the lane in the ledger and continues from its newest record.
    ///
    /// # Errors
    /// When the ledger, checkpoint or models can't be read or don't fit this pipeline.
    pub fn open(pipeline: &Arc<Pipeline>, name: &str, closing: Closing) -> Result<Self> {
        let ledger = pipeline.take_lane(name)?;
        let restored = restore(pipeline, &ledger, closing).with_context(|| {
            format!("lane {name} cannot continue from epoch {}", ledger.next_epoch() - 1)
        })?;
        let Restored { mut windows, sensors, scorer, events } = restored;
        let shares_watermark = pipeline.config.source.lanes != LaneMode::Topic
            || pipeline.config.source.kind != SourceKind::Kafka;
        let inputs = ledger.positions().iter().map(|(partition, next)| Input {
            partition: partition.clone(),
            from: *next,
            next: *next,
            is_new: false,
            clock: if shares_watermark { 0 } else { windows.partition(partition.number) },
            idle: IdleClock::default(),
        });
        let inputs: Vec<Input> = inputs.collect();
        let metrics = pipeline.metrics.lane(name, &LABELS);
        let name: Arc<str> = name.into();
        let opened = ledger.newest().epoch;
        courier::begin(pipeline, &name, opened)?;
        let told = !pipeline.config.alerts.is_empty();
        let holding = told.then(|| pipeline.outbox().hold(&name, opened));
        let event = pipeline.config.event.clone();
        let mut lane = Self {
            readings: Readings::new(event.values.len()),
            decoder: Decoder::new(event, Format::Json),
            scorer,
            events,
            told: EventTally::default(),
            pipeline: pipeline.clone(),
            epoch: Epoch::default(),
            newer: Newest::default(),
            refused: InForce::default(),
            announced_at_rest: false,
            share: pipeline.memory.share(),
            unweighed: 0,
            idle: IdleClock::default(),
            name,
            holding,
            running: ledger.next_epoch(),
            identities: ledger.newest().inputs.clone(),
            witness: None,
            identities_changed: false,
            hold: Hold::Here(Box::new(ledger)),
            inputs,
            shares_watermark,
            sensors,
            windows,
            closing,
            metrics,
        };
        lane.see_sensors(0)?;
        lane.weigh();
        Ok(lane)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the messages that follow look like; JSON objects until told otherwise.
    pub fn set_format(&mut self, format: Format) {
        self.decoder = Decoder::new(self.pipeline.config.event.clone(), format);
    }

    /// Reads messages of one input, each with the offset after it, and scores the windows that close.
    ///
    /// `now_ns` is the arrival of messages that carry no timestamp, and no message arrives later.
    ///
    /// # Errors
    /// When the query or a model fails on the data, or a limit is reached.
    pub fn feed<'m>(
        &mut self,
        input: usize,
        messages: impl Iterator<Item = (Message<'m>, i64)> + Clone,
        now_ns: i64,
    ) -> Result<()> {
        self.reserve(messages.size_hint().1.unwrap_or_default())?;
        let Input { partition, next, .. } = &mut self.inputs[input];
        self.readings.clear();
        let again = messages.clone();
        let known = self.sensors.len();
        let (mut count, mut bytes) = (0u64, 0u64);
        for (message, after) in messages {
            // Left over from before a seek or a rebalance: counted already.
            if message.offset < *next {
                continue;
            }
            *next = after;
            count += 1;
            bytes += message.payload.map_or(0, <[u8]>::len) as u64;
            let decoded =
                self.decoder.decode(&message, now_ns, &mut self.sensors, &mut self.readings);
            if let Err(reject) = decoded {
                self.epoch.rejects.push(partition, &message, &reject);
                self.metrics.rejects.at(reject.reason as usize).inc();
            }
        }
        if count == 0 {
            return Ok(());
        }
        self.metrics.messages.inc_by(count);
        self.metrics.bytes.inc_by(bytes);
        self.see_sensors(known)?;
        let refused = self.push(input, again.map(|(message, _)| message))?;
        let readings = self.readings.len() as u64 - refused;
        self.epoch.read(count, readings);
        self.metrics.readings.inc_by(readings);
        self.score()?;
        self.unweighed += count;
        if self.unweighed >= WEIGH_EVERY || self.pipeline.memory.is_tight() {
            self.weigh();
            self.make_room(0)?;
        }
        Ok(())
    }

    /// Notes that the input was read up to `next` without a message there (the end of a transaction,
    /// a compacted stretch).
    pub fn skip_to(&mut self, input: usize, next: i64) {
        let input = &mut self.inputs[input];
        input.next = input.next.max(next);
    }

    /// Moves the watermark on because the input is silent, and scores what closes.
    pub fn move_on(&mut self, passed_ns: i64) -> Result<()> {
        if let Some(moved) = self.windows.idle(passed_ns) {
            self.epoch.moved(moved);
        }
        self.score()
    }

    /// Closes all windows.
    pub fn drain(&mut self) -> Result<()> {
        if let Some(moved) = self.windows.drain() {
            self.epoch.moved(moved);
            self.epoch.closed_by = Some(ClosedBy::Drain);
        }
        let pipeline = self.pipeline.clone();
        match pipeline.trial() {
            Some(trial) => self.try_rows(trial),
            None => self.score(),
        }
    }

    /// What an input was when the lane last read it, if it could tell.
    pub fn identity_of(&self, input: &str) -> Option<&str> {
        self.identities.get(input).map(String::as_str)
    }

    /// Notes what an input is. One that is another than before needs a [`Lane::jump`] besides.
    pub fn identify(&mut self, input: &Arc<str>, identity: &str) {
        if self.identity_of(input) != Some(identity) {
            self.identities.insert(input.clone(), identity.to_owned());
            self.identities_changed = true;
        }
    }

    /// From now on each commit makes sure that the input is still what it was identified as: a topic that
    /// was made anew meanwhile may have given readings from the middle of it.
    pub fn set_witness(&mut self, topic: &Arc<str>, ends: &Arc<dyn Ends>) {
        self.witness = self.identities.get(topic).map(|id| Witness {
            ends: ends.clone(),
            topic: topic.clone(),
            id: id.as_str().into(),
        });
    }

    /// Moves an input's position without reading, before anything of it was read. The next epoch says so.
    pub fn jump(&mut self, input: usize, to: i64, why: JumpReason) {
        let Input { partition, from, next, .. } = &mut self.inputs[input];
        assert_eq!(from, next, "{partition} jumps after something of it was read");
        self.epoch.jumped(Jump { partition: partition.clone(), from: *from, to, why });
        (*from, *next) = (to, to);
    }

    /// True when the running epoch holds so much that it should not grow further.
    pub fn wants_commit(&self) -> bool {
        self.epoch.rejects.len() >= self.pipeline.config.lake.rejects_max
            || self.epoch.late_rows() >= epoch::LATE_MAX
            || self.epoch.rejects.bytes() >= epoch::REJECT_BYTES_MAX
            || self.epoch.rows() >= epoch::rows_max(self.closing, self.sensors.len())
    }

    /// Brings the gauges up to date. `silent`: the input has been idle for so long that nothing is due.
    pub fn report(&self, now_ns: i64, lag: Option<i64>, silent: bool) {
        let level = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.open_windows.set(level(self.windows.open_windows()));
        self.metrics.open_groups.set(level(self.windows.open_groups()));
        self.metrics.held_windows.set(level(self.windows.held_windows()));
        self.metrics.sensors.set(level(self.sensors.len()));
        self.metrics.models_missing.set(level(self.scorer.missing()));
        self.metrics.models_fallback.set(level(self.scorer.on_fallback()));
        self.metrics.models_loaded.set(level(self.scorer.loaded()));
        if let Some(events) = &self.events {
            self.metrics.events_open.set(level(events.tally().open as usize));
        }
        if silent && self.windows.open_windows() == 0 {
            // Nothing waits for the watermark: a silent sensor is no delay.
            self.metrics.watermark_delay.set(0.0);
        } else if let Some(watermark) = self.windows.watermark_ns() {
            self.metrics.watermark_delay.set(now_ns.saturating_sub(watermark) as f64 / 1e9);
        }
        if let Some(lag) = lag {
            self.metrics.lag.set(lag);
        }
    }

    /// Takes the lane's series out of the metrics: another process has it now.
    pub fn remove_metrics(&self) {
        self.metrics.remove();
    }

    /// What the lane holds in memory, bytes, as of the last change.
    pub fn bytes(&self) -> u64 {
        self.share.bytes()
    }

    /// What a commit would give back, bytes.
    pub fn bytes_in_hand(&self) -> usize {
        self.epoch.bytes()
    }

    /// The lane's watermark, nanoseconds since 1970.
    pub fn watermark_ns(&self) -> Option<i64> {
        self.windows.watermark_ns()
    }

    /// Says what the lane holds in memory.
    fn weigh(&mut self) {
        let state =
            self.windows.memory_bytes() + self.sensors.memory_bytes() + self.scorer.memory_bytes();
        let state = state + self.events.as_ref().map_or(0, Events::memory_bytes);
        let flight = self.flight_bytes();
        let bytes = state + self.epoch.bytes() + flight;
        self.share.set(bytes as u64, flight as u64);
        self.unweighed = 0;
    }

    /// Tells the sensors that are new since there were `known`.
    fn see_sensors(&self, known: usize) -> Result<()> {
        let Pipeline { config, splits, metrics, .. } = &*self.pipeline;
        let one_each = config.source.lanes == LaneMode::PerPartition
            && config.source.kind == SourceKind::Kafka;
        if self.sensors.len() == known || !one_each {
            return Ok(());
        }
        splits.see(&self.name, &self.sensors, known, config.source.on_split_sensor, metrics)
    }
}
