//! How a lane's epoch gets into the lake: cut here, written elsewhere, landed here.
//!
//! ```text
//! cut (the lane's thread) -> ledger.commit (another thread) -> land (the lane's thread)
//! ```
//!
//! *Guarantees*: a cut owns copies of all that it commits. The next epoch is not cut before this one has
//! landed. When it fails, the lane is not usable: what was fed since the cut belongs to no epoch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, anyhow};
use thiserror::Error;
use tidegauge_aggregate::Frozen;
use tidegauge_flow::{Partition, Span};
use tidegauge_ingest::Ends;
use tidegauge_score::{Events, Remembered, Stamp};
use tidegauge_sink::{Committed, Cut, Lane as Ledger};

use super::{Lane, epoch, state};
use crate::executor::Submitted;
use crate::pipeline::{InForce, Newest};

/// Where the lane's ledger is.
pub(super) enum Hold {
    Here(Box<Ledger>),
    /// With the epoch that is being written.
    Away(Flight),
    /// Lost with an epoch that failed.
    Gone,
}

/// An epoch in flight.
pub(super) struct Flight {
    landed: Arc<Mutex<Option<Landed>>>,
    submitted: Box<dyn Submitted>,
    anomalies: u64,
    /// What the cut holds in memory.
    bytes: usize,
}

/// What one epoch commits. The windows' state is bytes only where it is written.
struct Prepared {
    cut: Cut,
    state: Frozen,
    remembered: Option<Remembered>,
    /// What may become of anomalies.
    events: Option<Vec<u8>>,
    anomalies: u64,
}

/// What comes back.
struct Landed {
    ledger: Box<Ledger>,
    committed: Result<Committed>,
    newer: Newest,
    seconds: f64,
}

/// Who says whether an input is still the same.
#[derive(Clone)]
pub(super) struct Witness {
    pub ends: Arc<dyn Ends>,
    pub topic: Arc<str>,
    pub id: Arc<str>,
}

/// What was read since the last commit may be of another topic than the ledger's.
#[derive(Debug, Error)]
#[error(
    "topic {topic} was deleted and made anew while it was read: nothing of this epoch is committed"
)]
pub struct OtherTopic {
    topic: Arc<str>,
}

impl Witness {
    /// What was read before `cut_at` is of the same topic, if the topic is the same after it. Nobody who
    /// says so is no objection: brokers may be away for a while, or know no ids.
    fn check(&self, cut_at: Instant) -> Result<(), OtherTopic> {
        match self.ends.identity_since(cut_at) {
            Some(id) if id != self.id => Err(OtherTopic { topic: self.topic.clone() }),
            _ => Ok(()),
        }
    }
}

/// One epoch of a lane that is in the lake.
#[derive(Debug, Clone)]
pub struct Settled {
    pub epoch: u64,
    pub rows: u64,
    /// The next offset of each input.
    pub next: Vec<(Partition, i64)>,
}

impl Lane {
    /// Whether an epoch is being written.
    pub fn is_in_flight(&self) -> bool {
        matches!(self.hold, Hold::Away(_))
    }

    /// What the lane would hold more while its next epoch is written, about, bytes.
    pub fn cut_bytes(&self) -> usize {
        self.windows.memory_bytes()
            + self.windows.spilled_bytes()
            + self.sensors.memory_bytes()
            + self.scorer.memory_bytes()
    }

    /// Cuts the running epoch, if it has anything, and lets it be written; says whether it did. Without
    /// anything to commit it only looks for newer models, and the next time it is their announcement that
    /// there is to commit.
    ///
    /// # Errors
    /// When the state cannot be encoded; the lane is then not usable.
    ///
    /// # Panics
    /// While an epoch is in flight: see [`Lane::land`].
    pub fn cut(&mut self, now_us: i64) -> Result<bool> {
        assert!(!self.is_in_flight(), "lane {} has an epoch in flight", self.name);
        if matches!(self.hold, Hold::Gone) {
            return Err(anyhow!("lane {} has lost its ledger with a failed epoch", self.name));
        }
        let at_rest = !self.has_something();
        if at_rest && !self.has_to_announce() {
            self.look_for_models();
            return Ok(false);
        }
        self.announced_at_rest = at_rest;
        let began = self.pipeline.clock.instant();
        // What is in files already is not helped by more of them.
        self.make_room(self.windows.memory_bytes() + self.sensors.memory_bytes())?;
        let bytes = self.epoch.bytes();
        let prepared = self.make_cut()?;
        let remembered = prepared.remembered.as_ref().map_or(0, Remembered::bytes_about);
        let events = prepared.events.as_ref().map_or(0, Vec::len);
        let bytes = bytes + prepared.state.bytes_about() + remembered + events;
        // From here on the next epoch runs, and it may have other models.
        self.running += 1;
        self.inputs.iter_mut().for_each(|i| i.from = i.next);
        self.take_models();
        let Hold::Here(ledger) = std::mem::replace(&mut self.hold, Hold::Gone) else {
            return Err(anyhow!("lane {} has lost its ledger with a failed epoch", self.name));
        };
        self.hold = Hold::Away(Flight { bytes, ..self.launch(ledger, prepared, now_us) });
        self.weigh();
        let stall = self.pipeline.clock.instant() - began;
        self.pipeline.metrics.commit_stall_seconds.observe(stall.as_secs_f64());
        Ok(true)
    }

    /// Takes down what has become of an epoch in flight, if it is done.
    ///
    /// # Errors
    /// When it is not in the lake; the lane is then not usable.
    pub fn land(&mut self) -> Result<Option<Settled>> {
        match &self.hold {
            Hold::Away(flight) if flight.submitted.is_done() => {}
            _ => return Ok(None),
        }
        let Hold::Away(flight) = std::mem::replace(&mut self.hold, Hold::Gone) else {
            return Ok(None);
        };
        let landed = flight.landed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Landed { ledger, committed, newer, seconds }) = landed else {
            return Err(anyhow!("a commit of lane {} panicked: this is a bug", self.name));
        };
        let committed = committed?;
        let record = ledger.newest();
        self.pipeline.metrics.commit_seconds.observe(seconds);
        self.metrics.commits.inc();
        for file in &record.files {
            self.metrics.files.at(file.table as usize).inc();
            self.metrics.file_rows.at(file.table as usize).inc_by(file.rows);
        }
        if let Some(holding) = &self.holding {
            holding.committed(record);
        }
        self.pipeline.add(&record.counters, flight.anomalies);
        let next = ledger.positions().iter().map(|(p, next)| (p.clone(), *next)).collect();
        self.hold = Hold::Here(ledger);
        self.weigh();
        self.newer.update(newer);
        Ok(Some(Settled { epoch: committed.epoch, rows: committed.rows, next }))
    }

    /// Waits until no epoch is in flight that is not done, at most until an instant; says whether it is so.
    pub fn wait(&self, until: Option<Instant>) -> bool {
        match &self.hold {
            Hold::Away(flight) => flight.submitted.wait(until),
            Hold::Here(_) | Hold::Gone => true,
        }
    }

    /// Commits all that was fed, and waits for it as long as it takes.
    ///
    /// # Errors
    /// When it can't be committed; the lane is then not usable.
    pub fn commit(&mut self, now_us: i64) -> Result<Option<Settled>> {
        self.wait(None);
        let before = self.land()?;
        self.cut(now_us)?;
        self.wait(None);
        Ok(self.land()?.or(before))
    }

    /// The ledger, between two commits.
    #[cfg(test)]
    pub(super) fn ledger(&self) -> &Ledger {
        match &self.hold {
            Hold::Here(ledger) => ledger,
            Hold::Away(_) | Hold::Gone => panic!("lane {} has its ledger away", self.name),
        }
    }

    /// What an epoch in flight holds in memory.
    pub(super) fn flight_bytes(&self) -> usize {
        match &self.hold {
            Hold::Away(flight) => flight.bytes,
            Hold::Here(_) | Hold::Gone => 0,
        }
    }

    fn has_something(&self) -> bool {
        self.inputs.iter().any(|i| i.next > i.from || i.is_new)
            || self.identities_changed
            || !self.epoch.is_empty()
    }

    fn make_cut(&mut self) -> Result<Prepared> {
        let spans =
            self.inputs.iter().map(|i| (i.partition.clone(), Span { from: i.from, to: i.next }));
        let spans = spans.collect();
        self.inputs.iter_mut().for_each(|i| i.is_new = false);
        self.identities_changed = false;
        let state = self.windows.cut(&self.sensors)?;
        let remembered = self.scorer.remembered()?;
        if let Some(events) = &mut self.events {
            let stamp = Stamp { lane: &self.name, epoch: self.running };
            let batch = events.take(&self.sensors, &stamp)?;
            batch.into_iter().for_each(|batch| self.epoch.keep_events(batch));
        }
        let events = self.events.as_ref().and_then(Events::remembered);
        let epoch = std::mem::take(&mut self.epoch);
        let anomalies = epoch.anomalies;
        let in_force = [
            self.scorer.model_sets(),
            self.scorer.onset_sets(),
            self.scorer.challenger_sets(),
            self.scorer.fallback_sets(),
            &epoch.tried_sets,
        ];
        let model_sets = in_force.concat();
        let cut = epoch.cut(epoch::State {
            spans,
            inputs: self.identities.clone(),
            watermark_ns: self.windows.watermark_ns(),
            model_sets,
            open: self.windows.open_readings(),
        })?;
        Ok(Prepared { cut, state, remembered, events, anomalies })
    }

    fn launch(&self, mut ledger: Box<Ledger>, prepared: Prepared, now_us: i64) -> Flight {
        let Prepared { mut cut, state: windows, remembered, events, anomalies } = prepared;
        let landed = Arc::new(Mutex::new(None));
        let (slot, pipeline) = (landed.clone(), self.pipeline.clone());
        let (in_force, known) = (InForce::of(&self.scorer), self.known_models());
        let announced = match self.announces(&cut) {
            true => pipeline.announcement(in_force),
            false => Vec::new(),
        };
        let (witness, cut_at) = (self.witness.clone(), pipeline.clock.instant());
        let work = move || {
            let began = pipeline.clock.instant();
            let commit = || -> Result<Committed> {
                witness.map_or(Ok(()), |witness| witness.check(cut_at))?;
                let remembered = remembered.map(|scorer| scorer.encode()).transpose()?;
                let windows_bytes = windows.encode()?;
                cut.checkpoint = Some(state::join(windows_bytes, &announced, remembered, events));
                drop(windows);
                Ok(ledger.commit(cut, now_us)?)
            };
            let committed = commit();
            let seconds = (pipeline.clock.instant() - began).as_secs_f64();
            let newer = match committed {
                // Here, because a read of the store is nothing that a lane should wait for.
                Ok(_) => pipeline.newer_models(known),
                Err(_) => Newest::default(),
            };
            let back = Landed { ledger, committed, newer, seconds };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(back);
        };
        let submitted = self.pipeline.commits.submit(Box::new(work));
        Flight { landed, submitted, anomalies, bytes: 0 }
    }
}
