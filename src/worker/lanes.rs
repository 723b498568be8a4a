//! The lanes of one worker, by partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tidegauge_aggregate::Closing;
use tidegauge_flow::Partition;
use tidegauge_ingest::kafka::KafkaError;
use tidegauge_ingest::{Batch, Begin, Ends, LaneOwner, Origins, OwnerError, Revoked, Source};
use tidegauge_serve::Dropped;

use super::gap::{self, Gap};
use super::held::{Consuming, Draining, Ending, Held, Pause, Released, Waiting};
use super::orders::Orders;
use super::trouble::{Trouble, Weight, weigh};
use crate::config::OnGap;
use crate::control::Standing;
use crate::lane::{Lane, Settled};
use crate::pipeline::Pipeline;

/// Which lanes are to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The interval is over.
    All,
    /// Only those whose epoch should not grow further.
    Full,
}

pub(super) struct Lanes {
    pub(super) pipeline: Arc<Pipeline>,
    topic: Arc<str>,
    ends: Arc<dyn Ends>,
    pub(super) held: BTreeMap<i32, Held>,
    pub(super) orders: Orders,
    /// What this worker adds to the gauges of waiting and paused lanes.
    said: (i64, i64),
    rebalanced: Instant,
}

impl Lanes {
    pub fn new(pipeline: Arc<Pipeline>, topic: &str, ends: Arc<dyn Ends>) -> Self {
        let rebalanced = pipeline.clock.instant();
        let (held, orders) = Default::default();
        Self { topic: topic.into(), held, orders, rebalanced, said: (0, 0), pipeline, ends }
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

    /// # Errors
    /// When the query or a model fails on the data, or a limit is reached.
    pub fn feed(&mut self, batch: &impl Batch) -> Result<()> {
        let arrival_ns = self.pipeline.clock.now_ns();
        let now = self.now();
        self.pipeline.metrics.batch_messages.observe(batch.len() as f64);
        for (partition, run) in batch.runs() {
            // Without a lane it is a leftover: whoever opens the lane reads it.
            let Some(Held::Consuming(held)) = self.held.get_mut(&partition) else { continue };
            let messages = run.map(|message| (message, message.offset + 1));
            held.lane.feed(0, messages, arrival_ns)?;
            held.lane.idle.busy(now);
        }
        Ok(())
    }

    /// Takes finished commits down and cuts the lanes whose time has come; returns what to tell the broker.
    ///
    /// # Errors
    /// What is final.
    pub fn commit(&mut self, due: Due) -> Result<Vec<(i32, i64)>> {
        let (mut told, mut failed) = (Vec::new(), Vec::new());
        let now_us = self.pipeline.clock.now_us();
        let now = self.now();
        for (&partition, held) in &mut self.held {
            let Held::Consuming(held) = held else { continue };
            held.due |= due == Due::All;
            match held.commit(now_us) {
                Ok(settled) => tell(&mut told, &self.topic, settled),
                Err(error) => failed.push((partition, error)),
            }
            let pause = Pause { full: held.is_full(), ..held.pause };
            held.set_pause(pause, partition, now, &mut self.orders);
        }
        for (partition, error) in failed {
            self.fail(partition, error)?;
        }
        self.balance()?;
        Ok(told)
    }

    /// Opens lanes whose time to try again has come; one per call, for it may take a while.
    ///
    /// # Errors
    /// What is final, and what has lasted too long.
    pub fn reopen(&mut self, origins: &dyn Origins) -> Result<()> {
        let now = self.now();
        let due = |held: &Held| match held {
            Held::Waiting(waiting) if waiting.trouble.at <= now => Some(waiting.trouble),
            _ => None,
        };
        let found = self.held.iter().find_map(|(partition, held)| Some((*partition, due(held)?)));
        let Some((partition, trouble)) = found else { return Ok(()) };
        match self.open(partition, origins) {
            Ok((lane, start)) => {
                tracing::info!(lane = lane.name(), start, "lane opened again");
                let consuming = Consuming::new(lane, Some(trouble));
                self.held.insert(partition, Held::Consuming(Box::new(consuming)));
                self.orders.seek(partition, start);
                Ok(())
            }
            Err(error) => self.wait(partition, trouble, error),
        }
    }

    /// Has the source do what lanes need.
    ///
    /// # Errors
    /// What is final.
    pub fn obey<S: Source>(&mut self, source: &mut S) -> Result<()> {
        let (now, bound) = (self.now(), self.retry_for());
        self.orders.carry_out(source, now, bound)
    }

    /// A lane can't be read on from where it stands: commits what is in hand and opens it again.
    ///
    /// # Errors
    /// What is final.
    pub fn interrupt(&mut self, partition: i32, error: anyhow::Error) -> Result<()> {
        let Some(Held::Consuming(held)) = self.take_consuming(partition) else { return Ok(()) };
        let trouble = held.trouble;
        let released = self.drain(vec![(partition, *held)]);
        for (_, released) in released {
            if let Ending::Failed(error) = released.ending {
                return Err(error);
            }
        }
        let now = self.now();
        tracing::warn!(partition, %error, "lane interrupted");
        self.set_waiting(partition, trouble.unwrap_or_else(|| Trouble::new(now)));
        Ok(())
    }

    /// The same of all lanes.
    ///
    /// # Errors
    /// What is final.
    pub fn interrupt_all(&mut self, error: &KafkaError) -> Result<()> {
        let partitions: Vec<i32> = self.held.keys().copied().collect();
        partitions.into_iter().try_for_each(|p| self.interrupt(p, anyhow!("{error}")))
    }

    pub fn skip_to(&mut self, partition: i32, offset: i64) {
        if let Some(Held::Consuming(held)) = self.held.get_mut(&partition) {
            held.lane.skip_to(0, offset);
        }
    }

    /// A topic that was made anew while we read it: what is not committed may be of either, so it goes.
    pub fn look_for_another_topic(&mut self) {
        let Some(found) = self.ends.identity() else { return };
        let topic = self.topic.clone();
        let another = |held: &Held| match held {
            Held::Consuming(held) => gap::is_another(held.lane.identity_of(&topic), Some(&found)),
            Held::Waiting(_) => false,
        };
        let of_another = self.held.iter().filter(|(_, held)| another(held));
        let partitions: Vec<i32> = of_another.map(|(partition, _)| *partition).collect();
        for partition in partitions {
            let Some(Held::Consuming(held)) = self.take_consuming(partition) else { continue };
            let trouble = held.trouble.unwrap_or_else(|| Trouble::new(self.now()));
            let error = anyhow!("topic {topic} was made anew");
            self.note(partition, held.abandon(Dropped::Failed, error));
            self.set_waiting(partition, trouble);
        }
    }

    /// # Errors
    /// When the query fails on the data that windows close with.
    pub fn look_for_silence(&mut self) -> Result<()> {
        let idle_after = self.pipeline.config.window.idle_after;
        let now_ns = self.pipeline.clock.now_ns();
        for (partition, held) in &mut self.held {
            let Held::Consuming(held) = held else { continue };
            let lane = &mut held.lane;
            let end = self.ends.get(*partition);
            let position = lane.next(0);
            if let Some(end) = end.filter(|_| !held.pause.is_on()) {
                lane.idle.evidence(end.fetched_at, position, end.end);
            }
            if let Some(passed) = lane.idle.take_move(idle_after) {
                lane.move_on(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))?;
            }
            let silent = lane.idle.silence() >= idle_after;
            lane.report(now_ns, end.map(|e| (e.end - position).max(0)), silent);
        }
        self.say_levels();
        Ok(())
    }

    /// Other workers have lanes as well: each says by how much its part has changed.
    fn say_levels(&mut self) {
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

    /// Commits all that is in hand and lets all lanes go; returns what to tell the broker.
    ///
    /// # Errors
    /// The first that could not be committed.
    pub fn end(&mut self) -> Result<Vec<(i32, i64)>> {
        let partitions: Vec<i32> = self.held.keys().copied().collect();
        let mut told = Vec::new();
        let mut result = Ok(());
        for (partition, released) in self.let_go(&partitions) {
            tell(&mut told, &self.topic, released.settled);
            let name = self.lane_name(partition);
            if let Ending::Dropped(_, error) | Ending::Failed(error) = released.ending {
                let what = || format!("lane {name} could not commit at the end");
                result = result.and(Err(error).with_context(what));
            }
        }
        result.map(|()| told)
    }

    fn lane_name(&self, partition: i32) -> String {
        format!("{}-{partition}", self.topic)
    }

    fn take_consuming(&mut self, partition: i32) -> Option<Held> {
        match self.held.get(&partition)? {
            Held::Consuming(_) => self.held.remove(&partition),
            Held::Waiting(_) => None,
        }
    }

    /// Lets lanes go in order: all are cut before the first is waited for. Their partitions' metrics go too.
    fn let_go(&mut self, partitions: &[i32]) -> Vec<(i32, Released)> {
        let mut lanes = Vec::new();
        for &partition in partitions {
            self.orders.forget(partition);
            let Some(held) = self.held.remove(&partition) else { continue };
            self.ends.forget(&[partition]);
            if let Held::Consuming(held) = held {
                held.lane.remove_metrics();
                lanes.push((partition, *held));
            }
        }
        self.drain(lanes)
    }

    fn drain(&mut self, lanes: Vec<(i32, Consuming)>) -> Vec<(i32, Released)> {
        let until = self.now() + self.pipeline.config.source.drain_within;
        let now_us = self.pipeline.clock.now_us();
        let begin = |(partition, held): (i32, Consuming)| (partition, held.drain(until, now_us));
        let draining: Vec<(i32, Result<Draining, Released>)> =
            lanes.into_iter().map(begin).collect();
        let mut all = Vec::with_capacity(draining.len());
        for (partition, draining) in draining {
            let released = draining.map_or_else(|released| released, |d| d.finish(now_us));
            all.push((partition, self.note(partition, released)));
        }
        all
    }

    /// Says and counts what a lane that goes could not commit.
    fn note(&self, partition: i32, released: Released) -> Released {
        let (why, error) = match &released.ending {
            Ending::Committed => return released,
            Ending::Dropped(why, error) => (*why, error),
            Ending::Failed(error) => (Dropped::Failed, error),
        };
        let (lane, error) = (self.lane_name(partition), format!("{error:#}"));
        tracing::warn!(lane, error, why = why.as_str(), "dropped what was not committed");
        self.pipeline.metrics.lane_dropped(why);
        released
    }

    /// A lane's trouble: it is dropped and opened again later, unless the error is final.
    fn fail(&mut self, partition: i32, error: anyhow::Error) -> Result<()> {
        let Some(Held::Consuming(held)) = self.take_consuming(partition) else { return Ok(()) };
        let trouble = held.trouble.unwrap_or_else(|| Trouble::new(self.now()));
        self.wait(partition, trouble, error)
    }

    fn wait(&mut self, partition: i32, mut trouble: Trouble, error: anyhow::Error) -> Result<()> {
        let Weight::Passes(why) = weigh(&error) else { return Err(error) };
        let lane = self.lane_name(partition);
        self.pipeline.metrics.lane_dropped(why);
        tracing::warn!(lane, error = format!("{error:#}"), "lane has trouble, trying again");
        trouble.again(self.now(), self.retry_for(), error, |d| self.pipeline.jitter(d))?;
        self.set_waiting(partition, trouble);
        Ok(())
    }

    fn set_waiting(&mut self, partition: i32, trouble: Trouble) {
        self.orders.stop(partition);
        self.held.insert(partition, Held::Waiting(Waiting { trouble }));
    }

    fn open(&self, number: i32, origins: &dyn Origins) -> Result<(Lane, i64)> {
        let name = self.lane_name(number);
        let identity = origins.identity()?;
        let mut lane = Lane::open(&self.pipeline, &name, Closing::ByWatermark)?;
        let partition = Partition::new(self.topic.clone(), number);
        let start = match lane.position_of(&partition) {
            Some(next) => {
                let known = lane.identity_of(&self.topic);
                let bounds = origins.bounds(number)?;
                let place = format!("{}[{number}]", self.topic);
                match gap::find(place, next, bounds, known, identity.as_deref())? {
                    None => next,
                    Some(gap) => self.cross(&mut lane, &partition, &gap)?,
                }
            }
            None => origins.offset(number)?,
        };
        lane.input(&partition, start);
        if let Some(identity) = &identity {
            lane.identify(&self.topic, identity);
            lane.set_witness(&self.topic, &self.ends);
        }
        // A lane that is new begins here for good: `latest` must not mean another place after a crash.
        lane.commit(self.pipeline.clock.now_us())?;
        Ok((lane, start))
    }

    /// Goes past what is not to be had, if that is what the configuration wants.
    fn cross(&self, lane: &mut Lane, partition: &Partition, gap: &Gap) -> Result<i64> {
        if self.pipeline.config.source.on_gap == OnGap::Fail {
            return Err(anyhow!(
                "{gap}; set [source] on_gap = \"skip\" to go on there, with the jump in the ledger, \
                 or give the lake another [lake] url"
            ));
        }
        tracing::warn!(lane = lane.name(), skipped = gap.skipped(), "{gap}: going on there");
        self.pipeline.metrics.skipped_offsets.inc_by(gap.skipped());
        let input = lane.input(partition, gap.from);
        lane.jump(input, gap.to, gap.why);
        Ok(gap.to)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.held.clear();
        self.say_levels();
    }
}

/// The offsets of a settled epoch, as the broker has them.
fn tell(told: &mut Vec<(i32, i64)>, topic: &Arc<str>, settled: Option<Settled>) {
    let Some(Settled { epoch, rows, next }) = settled else { return };
    tracing::debug!(epoch, rows, ?next, "committed");
    let ours = next.into_iter().filter(|(partition, _)| partition.input == *topic);
    told.extend(ours.map(|(partition, next)| (partition.number, next)));
}

impl LaneOwner for Lanes {
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &dyn Origins,
    ) -> Result<Vec<Begin>, OwnerError> {
        self.rebalanced = self.now();
        let mut begins = Vec::with_capacity(partitions.len());
        for &number in partitions {
            let begin = match self.held.get(&number) {
                Some(Held::Consuming(held)) => Begin::At(held.lane.next(0)),
                Some(Held::Waiting(_)) => Begin::Later,
                None => self.take(number, origins)?,
            };
            self.orders.forget(number);
            begins.push(begin);
        }
        Ok(begins)
    }

    fn revoked(&mut self, partitions: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        self.rebalanced = self.now();
        if how == Revoked::Lost {
            self.lose(partitions);
            return Ok(Vec::new());
        }
        let (mut told, mut result) = (Vec::new(), Ok(()));
        for (_, released) in self.let_go(partitions) {
            tell(&mut told, &self.topic, released.settled);
            if let Ending::Failed(error) = released.ending {
                result = result.and(Err(error));
            }
        }
        result.map(|()| told).map_err(OwnerError::from)
    }
}

impl Lanes {
    /// Takes a partition that is new to us.
    fn take(&mut self, number: i32, origins: &dyn Origins) -> Result<Begin> {
        self.ends.watch(&[number]);
        match self.open(number, origins) {
            Ok((lane, start)) => {
                let held = Held::Consuming(Box::new(Consuming::new(lane, None)));
                self.held.insert(number, held);
                Ok(Begin::At(start))
            }
            Err(error) => {
                let now = self.now();
                let waits = self.wait(number, Trouble::new(now), error);
                waits.inspect_err(|_| self.ends.forget(&[number])).map(|()| Begin::Later)
            }
        }
    }

    /// Partitions that others may read already.
    fn lose(&mut self, partitions: &[i32]) {
        for &partition in partitions {
            self.orders.forget(partition);
            let Some(held) = self.held.remove(&partition) else { continue };
            self.ends.forget(&[partition]);
            if let Held::Consuming(held) = held {
                held.lane.remove_metrics();
                let error = anyhow!("the group gave us up");
                self.note(partition, held.abandon(Dropped::Lost, error));
            }
        }
    }
}
