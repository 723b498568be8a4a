//! The lanes of one worker: fed, committed, watched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tidegauge_ingest::kafka::KafkaError;
use tidegauge_ingest::{Batch, Ends, Source};
use tidegauge_serve::Dropped;

use super::gap;
use super::held::{Consuming, Held, Pause};
use super::orders::Orders;
use super::release::tell;
use super::trouble::Trouble;
use crate::config::LaneMode;
use crate::control::Standing;
use crate::pipeline::Pipeline;

/// Which lanes are to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The interval is over.
    All,
    /// Only those whose epoch should not grow further.
    Full,
}

/// The lanes that are ours, by number: a partition's, or [`ALL`] for the one of a whole topic.
pub(super) struct Lanes {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) topic: Arc<str>,
    pub(super) ends: Arc<dyn Ends>,
    pub(super) held: BTreeMap<i32, Held>,
    pub(super) orders: Orders,
    pub(super) rebalanced: Instant,
    /// The partitions of the lane of a whole topic.
    pub(super) all: Vec<i32>,
    /// What this worker adds to the gauges of waiting and paused lanes.
    said: (i64, i64),
}

/// The number of the lane that holds all partitions.
const ALL: i32 = 0;

impl Lanes {
    pub fn new(pipeline: Arc<Pipeline>, topic: &str, ends: Arc<dyn Ends>) -> Self {
        let rebalanced = pipeline.clock.instant();
        let (held, orders, all) = Default::default();
        Self { topic: topic.into(), held, orders, rebalanced, all, said: (0, 0), pipeline, ends }
    }

    pub fn now(&self) -> Instant {
        self.pipeline.clock.instant()
    }

    pub fn commit_every(&self) -> Duration {
        self.pipeline.config.lake.commit_every
    }

    pub fn retry_for(&self) -> Duration {
        self.pipeline.config.source.retry_for
    }

    pub fn count_errors(&self, code: &str, count: u64) {
        self.pipeline.metrics.kafka_errors(code, count);
    }

    /// The lane that a partition belongs to.
    pub(super) fn lane_of(&self, partition: i32) -> i32 {
        match self.pipeline.config.source.lanes {
            LaneMode::PerPartition => partition,
            LaneMode::Topic => ALL,
        }
    }

    /// The partitions of a lane.
    pub(super) fn partitions_of(&self, number: i32) -> Vec<i32> {
        match self.pipeline.config.source.lanes {
            LaneMode::PerPartition => vec![number],
            LaneMode::Topic => self.all.clone(),
        }
    }

    pub(super) fn lane_name(&self, number: i32) -> String {
        match self.pipeline.config.source.lanes {
            LaneMode::PerPartition => format!("{}-{number}", self.topic),
            LaneMode::Topic => format!("{}-all", self.topic),
        }
    }

    /// # Errors
    /// When the query or a model fails on the data, or a limit is reached.
    pub fn feed(&mut self, batch: &impl Batch) -> Result<()> {
        let arrival_ns = self.pipeline.clock.now_ns();
        let now = self.now();
        self.pipeline.metrics.batch_messages.observe(batch.len() as f64);
        for (partition, run) in batch.runs() {
            let number = self.lane_of(partition);
            // Without a lane it is a leftover: whoever opens the lane reads it.
            let Some(Held::Consuming(held)) = self.held.get_mut(&number) else { continue };
            let Some(input) = held.lane.input_of(partition) else { continue };
            let messages = run.map(|message| (message, message.offset + 1));
            held.lane.feed(input, messages, arrival_ns)?;
            held.lane.busy(input, now);
        }
        Ok(())
    }

    /// Takes finished commits down and cuts the lanes whose time has come; returns what to tell the broker.
    ///
    /// # Errors
    /// What is final.
    pub fn commit(&mut self, due: Due) -> Result<Vec<(i32, i64)>> {
        let (mut told, mut failed, mut full) = (Vec::new(), Vec::new(), Vec::new());
        let now_us = self.pipeline.clock.now_us();
        let mut flying = self.held.values().any(Held::is_in_flight);
        let now = self.now();
        let mut lanes: Vec<(i32, &mut Consuming)> = Vec::new();
        for (&number, held) in &mut self.held {
            let Held::Consuming(held) = held else { continue };
            if due == Due::All {
                held.due_since.get_or_insert(now);
            }
            lanes.push((number, held));
        }
        // Who has waited for longest goes first.
        lanes.sort_by_key(|(number, held)| (held.due_since.is_none(), held.due_since, *number));
        for (number, held) in lanes {
            // Where memory is short one epoch is written at a time: its state is there twice meanwhile.
            let may_cut = !flying || self.pipeline.memory.has_room(held.lane.cut_bytes() as u64);
            let settled = held.commit(now_us, may_cut);
            flying |= held.lane.is_in_flight();
            match settled {
                Ok(settled) => tell(&mut told, &self.topic, settled),
                Err(error) => failed.push((number, error)),
            }
            let is_full = held.is_full();
            if is_full != held.pause.full {
                full.push((number, Pause { full: is_full, ..held.pause }));
            }
        }
        full.into_iter().for_each(|(number, pause)| self.set_pause(number, pause));
        for (number, error) in failed {
            self.fail(number, error)?;
        }
        self.balance()?;
        Ok(told)
    }

    /// Has the source do what lanes need.
    ///
    /// # Errors
    /// What is final.
    pub fn obey<S: Source>(&mut self, source: &mut S) -> Result<()> {
        let (now, bound) = (self.now(), self.retry_for());
        self.orders.carry_out(source, now, bound)
    }

    /// A partition can't be read on from where it stands: its lane commits what is in hand and is opened
    /// again.
    ///
    /// # Errors
    /// What is final.
    pub fn interrupt(&mut self, partition: i32, error: &KafkaError) -> Result<()> {
        let number = self.lane_of(partition);
        let Some(held) = self.take_consuming(number) else { return Ok(()) };
        let lane = self.lane_name(number);
        tracing::warn!(lane, %error, "lane interrupted");
        let trouble = held.trouble;
        self.drain_all(vec![(number, *held)]).map(drop)?;
        let now = self.now();
        self.set_waiting(number, trouble.unwrap_or_else(|| Trouble::new(now)));
        Ok(())
    }

    /// The same of all lanes.
    ///
    /// # Errors
    /// What is final.
    pub fn interrupt_all(&mut self, error: &KafkaError) -> Result<()> {
        let numbers: Vec<i32> = self.held.keys().copied().collect();
        numbers.into_iter().try_for_each(|number| self.interrupt(number, error))
    }

    pub fn skip_to(&mut self, partition: i32, offset: i64) {
        let number = self.lane_of(partition);
        if let Some(Held::Consuming(held)) = self.held.get_mut(&number)
            && let Some(input) = held.lane.input_of(partition)
        {
            held.lane.skip_to(input, offset);
        }
    }

    /// A topic that was made anew while we read it: what is not committed may be of either, so it goes.
    pub fn look_for_another_topic(&mut self) {
        let Some((found, asked_at)) = self.ends.identity() else { return };
        let topic = self.topic.clone();
        let another = |held: &Held| match held {
            // What was asked before the lane was opened says nothing of it.
            Held::Consuming(held) => {
                held.opened_at <= asked_at
                    && gap::is_another(held.lane.identity_of(&topic), Some(&found))
            }
            Held::Waiting(_) => false,
        };
        let of_another = self.held.iter().filter(|(_, held)| another(held));
        let numbers: Vec<i32> = of_another.map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(held) = self.take_consuming(number) else { continue };
            let trouble = held.trouble.unwrap_or_else(|| Trouble::new(self.now()));
            let error = anyhow!("topic {topic} was made anew");
            self.note(number, held.abandon(Dropped::Failed, error));
            self.set_waiting(number, trouble);
        }
    }

    /// # Errors
    /// When the query fails on the data that windows close with.
    pub fn look_for_silence(&mut self) -> Result<()> {
        let idle_after = self.pipeline.config.window.idle_after;
        let now_ns = self.pipeline.clock.now_ns();
        for held in self.held.values_mut() {
            let Held::Consuming(held) = held else { continue };
            let lane = &mut held.lane;
            // A lane that is not read gives no evidence.
            if !held.pause.is_on() {
                lane.look_for_silence(&*self.ends, idle_after)?;
            }
            lane.report(now_ns, lane.lag(&*self.ends), lane.idle.silence() >= idle_after);
        }
        self.say_levels();
        Ok(())
    }

    /// Other workers have lanes as well: each says by how much its part has changed.
    pub(super) fn say_levels(&mut self) {
        let count =
            |is: fn(&Held) -> bool| self.held.values().filter(|held| is(held)).count() as i64;
        let waiting = count(|held| matches!(held, Held::Waiting(_)));
        let paused = count(|held| matches!(held, Held::Consuming(held) if held.pause.memory));
        let before = std::mem::replace(&mut self.said, (waiting, paused));
        self.pipeline.metrics.lanes_waiting.add(waiting - before.0);
        self.pipeline.metrics.lanes_paused.add(paused - before.1);
    }

    pub fn standing(&self, assigned: bool) -> Standing {
        let silence = |held: &Held| match held {
            Held::Consuming(held) => held.lane.idle.silence(),
            Held::Waiting(_) => Duration::ZERO,
        };
        Standing {
            lanes: self.held.len(),
            waiting: self.held.values().filter(|held| matches!(held, Held::Waiting(_))).count(),
            silence: self.held.values().map(silence).min(),
            assigned,
            rebalanced: self.rebalanced,
        }
    }

    /// Closes the windows of all lanes.
    ///
    /// # Errors
    /// When the query fails on their data.
    pub fn close_windows(&mut self) -> Result<()> {
        self.held.values_mut().try_for_each(|held| match held {
            Held::Consuming(held) => held.lane.drain(),
            Held::Waiting(_) => Ok(()),
        })
    }

    /// Stops reading a lane's partitions, or reads on.
    pub(super) fn set_pause(&mut self, number: i32, pause: Pause) {
        let (now, partitions) = (self.now(), self.partitions_of(number));
        let Some(Held::Consuming(held)) = self.held.get_mut(&number) else { return };
        let before = std::mem::replace(&mut held.pause, pause);
        match (before.is_on(), pause.is_on()) {
            (false, true) => {
                // What comes meanwhile is not seen, so silence begins anew.
                held.lane.interrupt_silence(now);
                partitions.into_iter().for_each(|partition| self.orders.stop(partition));
            }
            (true, false) => {
                partitions.into_iter().for_each(|partition| self.orders.go_on(partition));
            }
            _ => {}
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.held.clear();
        self.say_levels();
    }
}
