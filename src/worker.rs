//! A worker thread: one member of the consumer group, and the lanes of its partitions, as one loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegauge_aggregate::Closing;
use tidegauge_flow::Partition;
use tidegauge_ingest::{Batch, Ends, LaneOwner, Leave, Origins, OwnerError, Revoked, Source};

use crate::control::{Control, OpenWindows, Standing};
use crate::lane::Lane;
use crate::pipeline::Pipeline;

/// Messages taken in one call: enough to make the call's cost vanish, few enough to stay in the cache.
const BATCH_MAX: usize = 10_000;
/// How long a batch may wait for messages.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// How often gauges and evidence of silence are looked at.
const TICK: Duration = Duration::from_millis(200);

/// One worker, on its own thread.
pub struct Worker<S> {
    source: S,
    lanes: Lanes,
    commit_at: Instant,
    tick_at: Instant,
}

impl<S: Source> Worker<S> {
    /// A worker that reads `topic` from a source that has joined the group.
    pub fn new(pipeline: Arc<Pipeline>, topic: &str, source: S, ends: Arc<dyn Ends>) -> Self {
        let now = pipeline.clock.instant();
        let commit_at = now + pipeline.config.lake.commit_every;
        let lanes =
            Lanes { topic: topic.into(), held: BTreeMap::new(), rebalanced: now, pipeline, ends };
        Self { source, lanes, commit_at, tick_at: now }
    }

    /// The loop: turn after turn, until asked to stop.
    ///
    /// # Errors
    /// The first thing that makes going on impossible. What is not committed is dropped then.
    pub fn run(mut self, number: usize, control: &Control) -> Result<()> {
        while !control.stopped() {
            if let Some(standing) = self.turn(BATCH_WAIT)? {
                control.say(number, standing);
            }
        }
        self.end(control.open_windows())
    }

    /// One turn: poll, feed, commit what is due. Now and then it says where it stands.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn turn(&mut self, wait: Duration) -> Result<Option<Standing>> {
        if let Some(batch) = self.source.poll(&mut self.lanes, BATCH_MAX, wait)? {
            self.lanes.feed(&batch)?;
        }
        let now = self.lanes.pipeline.clock.instant();
        let due = if now >= self.commit_at { Due::All } else { Due::Full };
        self.source.commit_offsets(&self.lanes.commit(due)?);
        if due == Due::All {
            self.commit_at = now + self.lanes.pipeline.config.lake.commit_every;
        }
        if now < self.tick_at {
            return Ok(None);
        }
        self.tick_at = now + TICK;
        self.tick().map(Some)
    }

    fn tick(&mut self) -> Result<Standing> {
        for (partition, offset) in self.source.positions() {
            self.lanes.skip_to(partition, offset);
        }
        self.lanes.look_for_silence()?;
        for (code, count) in self.source.take_errors() {
            self.lanes.pipeline.metrics.kafka_errors(&code, count);
        }
        Ok(self.lanes.standing(self.source.is_assigned()))
    }

    /// The orderly end: the last commit, then the goodbye.
    ///
    /// # Errors
    /// When the last commit fails.
    pub fn end(mut self, windows: OpenWindows) -> Result<()> {
        let leave = match windows {
            OpenWindows::Leave => Leave::No,
            OpenWindows::Close => {
                self.lanes.drain()?;
                Leave::Yes
            }
        };
        // Before the goodbye: a broker that is away now must not cost what is in hand. Should the group
        // have given the partitions to others meanwhile, the ledger refuses.
        self.lanes.commit(Due::All)?;
        Ok(self.source.close(&mut self.lanes, leave)?)
    }
}

/// Which lanes are to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The interval is over.
    All,
    /// Only those whose epoch should not grow further.
    Full,
}

/// The lanes of one worker, by partition.
struct Lanes {
    pipeline: Arc<Pipeline>,
    topic: Arc<str>,
    ends: Arc<dyn Ends>,
    held: BTreeMap<i32, Lane>,
    rebalanced: Instant,
}

impl Lanes {
    fn feed(&mut self, batch: &impl Batch) -> Result<()> {
        let arrival_ns = self.pipeline.clock.now_ns();
        let now = self.pipeline.clock.instant();
        self.pipeline.metrics.batch_messages.observe(batch.len() as f64);
        for (partition, run) in batch.runs() {
            let Some(lane) = self.held.get_mut(&partition) else {
                // A leftover of a partition that went: its next owner reads it.
                continue;
            };
            let messages = run.map(|message| (message, message.offset + 1));
            lane.feed(0, messages, arrival_ns)?;
            lane.idle.busy(now);
        }
        Ok(())
    }

    /// Commits the lanes whose time has come; returns what to tell the broker.
    fn commit(&mut self, due: Due) -> Result<Vec<(i32, i64)>> {
        let mut told = Vec::new();
        let now_us = self.pipeline.clock.now_us();
        for (partition, lane) in &mut self.held {
            if due == Due::Full && !lane.wants_commit() {
                continue;
            }
            if let Some(committed) = lane.commit(now_us)? {
                tracing::debug!(
                    lane = lane.name(),
                    epoch = committed.epoch,
                    rows = committed.rows,
                    "committed"
                );
                told.push((*partition, lane.next(0)));
            }
        }
        Ok(told)
    }

    fn skip_to(&mut self, partition: i32, offset: i64) {
        if let Some(lane) = self.held.get_mut(&partition) {
            lane.skip_to(0, offset);
        }
    }

    fn look_for_silence(&mut self) -> Result<()> {
        let idle_after = self.pipeline.config.window.idle_after;
        let now_ns = self.pipeline.clock.now_ns();
        for (partition, lane) in &mut self.held {
            let end = self.ends.get(*partition);
            let position = lane.next(0);
            if let Some(end) = end {
                lane.idle.evidence(end.fetched_at, position, end.end);
            }
            if let Some(passed) = lane.idle.take_move(idle_after) {
                lane.move_on(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))?;
            }
            let silent = lane.idle.silence() >= idle_after;
            lane.report(now_ns, end.map(|e| (e.end - position).max(0)), silent);
        }
        Ok(())
    }

    fn standing(&self, assigned: bool) -> Standing {
        Standing {
            lanes: self.held.len(),
            silence: self.held.values().map(|lane| lane.idle.silence()).min(),
            assigned,
            rebalanced: self.rebalanced,
        }
    }

    fn drain(&mut self) -> Result<()> {
        self.held.values_mut().try_for_each(Lane::drain)
    }

    fn open(&mut self, number: i32, origins: &dyn Origins) -> Result<i64> {
        let name = format!("{}-{number}", self.topic);
        let mut lane = Lane::open(&self.pipeline, &name, Closing::ByWatermark)?;
        let partition = Partition::new(self.topic.clone(), number);
        let start = match lane.position_of(&partition) {
            Some(next) => next,
            None => origins.offset(number)?,
        };
        lane.input(&partition, start);
        // A lane that is new begins here for good: `latest` must not mean another place after a crash.
        lane.commit(self.pipeline.clock.now_us())?;
        self.held.insert(number, lane);
        self.ends.watch(&[number]);
        Ok(start)
    }
}

impl LaneOwner for Lanes {
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &dyn Origins,
    ) -> Result<Vec<i64>, OwnerError> {
        self.rebalanced = self.pipeline.clock.instant();
        let open = |&number: &i32| match self.held.get(&number) {
            Some(lane) => Ok(lane.next(0)),
            None => self.open(number, origins),
        };
        partitions.iter().map(open).map(|r| r.map_err(OwnerError::from)).collect()
    }

    fn revoked(&mut self, partitions: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        self.rebalanced = self.pipeline.clock.instant();
        let mut told = Vec::new();
        for number in partitions {
            let Some(mut lane) = self.held.remove(number) else { continue };
            self.ends.forget(&[*number]);
            if how == Revoked::Orderly {
                lane.commit(self.pipeline.clock.now_us())?;
                told.push((*number, lane.next(0)));
            }
            lane.remove_metrics();
        }
        Ok(told)
    }
}
