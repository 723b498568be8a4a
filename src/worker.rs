//! A worker thread: one member of the consumer group, and the lanes of its partitions, as one loop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegauge_aggregate::Closing;
use tidegauge_flow::Partition;
use tidegauge_ingest::kafka::{
    Consumer, EndOffsets, KafkaSettings, LaneOwner, Leave, MessageBatch, Origins, OwnerError,
    Revoked,
};

use crate::clock;
use crate::lane::Lane;
use crate::pipeline::Pipeline;

/// Messages taken in one call: enough to make the call's cost vanish, few enough to stay in the cache.
const BATCH_MAX: usize = 10_000;
/// How long a batch may wait for messages.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// How often gauges and evidence of silence are looked at.
const TICK: Duration = Duration::from_millis(200);

/// How the process talks to its workers and they to it.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    /// What to do with open windows at the stop.
    leave_open: AtomicBool,
    ended: AtomicUsize,
    failure: Mutex<Option<anyhow::Error>>,
    workers: Mutex<BTreeMap<usize, Standing>>,
}

/// Where one worker stands, as it last said.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub lanes: usize,
    /// The shortest silence among its lanes; `None` without lanes.
    pub silence: Option<Duration>,
    pub rebalanced: Instant,
}

impl Control {
    /// Asks all workers to commit and end. With `Windows::LeaveOpen`, open windows stay in the checkpoint.
    pub fn stop(&self, windows: OpenWindows) {
        self.leave_open.store(windows == OpenWindows::Leave, Ordering::Relaxed);
        self.stop.store(true, Ordering::Release);
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Workers that have ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Acquire)
    }

    /// The first worker's failure.
    pub fn take_failure(&self) -> Option<anyhow::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn standings(&self) -> Vec<Standing> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.values().copied().collect()
    }

    fn say(&self, worker: usize, standing: Standing) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, standing);
    }

    /// Runs a worker's body and keeps its failure.
    pub fn run(&self, body: impl FnOnce() -> Result<()>) {
        if let Err(error) = body() {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
            self.stop(OpenWindows::Leave);
        }
        self.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// What happens to windows that are open when a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWindows {
    /// They are closed and their rows committed; what comes later for them is late.
    Close,
    /// They stay in the checkpoint, for the next run.
    Leave,
}

/// One worker. Made on its own thread.
pub struct Worker {
    number: usize,
    consumer: Consumer,
    lanes: Lanes,
    control: Arc<Control>,
}

impl Worker {
    /// Joins the group.
    ///
    /// # Errors
    /// When there is no broker, no such topic, or we are refused.
    pub fn join(
        number: usize,
        pipeline: Arc<Pipeline>,
        settings: &KafkaSettings,
        ends: Arc<EndOffsets>,
        control: Arc<Control>,
    ) -> Result<Self> {
        let consumer = Consumer::start(settings, number)?;
        let lanes = Lanes {
            topic: settings.topic.as_str().into(),
            held: BTreeMap::new(),
            rebalanced: Instant::now(),
            pipeline,
            ends,
        };
        Ok(Self { number, consumer, lanes, control })
    }

    /// The loop: poll, feed, commit, until asked to stop.
    ///
    /// # Errors
    /// The first thing that makes going on impossible. What is not committed is dropped then.
    pub fn run(mut self) -> Result<()> {
        let every = self.lanes.pipeline.config.lake.commit_every;
        let (mut commit_at, mut tick_at) = (Instant::now() + every, Instant::now());
        while !self.control.stopped() {
            if let Some(batch) = self.consumer.poll(&mut self.lanes, BATCH_MAX, BATCH_WAIT)? {
                self.lanes.feed(&batch)?;
            }
            let now = Instant::now();
            if now >= commit_at || self.lanes.want_commit() {
                self.consumer.commit_offsets(&self.lanes.commit()?);
                commit_at = now + every;
            }
            if now >= tick_at {
                self.tick()?;
                tick_at = now + TICK;
            }
        }
        self.end()
    }

    fn tick(&mut self) -> Result<()> {
        for (partition, offset) in self.consumer.positions() {
            self.lanes.skip_to(partition, offset);
        }
        self.lanes.look_for_silence()?;
        for (code, count) in self.consumer.take_errors() {
            self.lanes.pipeline.metrics.kafka_errors(&code, count);
        }
        self.control.say(self.number, self.lanes.standing());
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        let leave = if self.control.leave_open.load(Ordering::Relaxed) {
            Leave::No
        } else {
            self.lanes.drain()?;
            Leave::Yes
        };
        Ok(self.consumer.close(&mut self.lanes, leave)?)
    }
}

/// The lanes of one worker, by partition.
struct Lanes {
    pipeline: Arc<Pipeline>,
    topic: Arc<str>,
    ends: Arc<EndOffsets>,
    held: BTreeMap<i32, Lane>,
    rebalanced: Instant,
}

impl Lanes {
    fn feed(&mut self, batch: &MessageBatch<'_>) -> Result<()> {
        let arrival_ns = clock::now_ns();
        self.pipeline.metrics.batch_messages.observe(batch.len() as f64);
        for (partition, run) in batch.runs() {
            let Some(lane) = self.held.get_mut(&partition) else {
                // A leftover of a partition that went: its next owner reads it.
                continue;
            };
            let messages = run.map(|message| (message, message.offset + 1));
            lane.feed(0, messages, arrival_ns)?;
            lane.idle.busy(Instant::now());
        }
        Ok(())
    }

    fn want_commit(&self) -> bool {
        self.held.values().any(Lane::wants_commit)
    }

    /// Commits every lane; returns what to tell the broker.
    fn commit(&mut self) -> Result<Vec<(i32, i64)>> {
        let mut told = Vec::new();
        for (partition, lane) in &mut self.held {
            if let Some(committed) = lane.commit(clock::now_us())? {
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
        let now_ns = clock::now_ns();
        for (partition, lane) in &mut self.held {
            let end = self.ends.get(*partition);
            let position = lane.next(0);
            if let Some(end) = end {
                lane.idle.evidence(end.fetched_at, position, end.end);
            }
            if let Some(passed) = lane.idle.take_move(idle_after) {
                lane.move_on(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))?;
            }
            lane.report(now_ns, end.map(|e| (e.end - position).max(0)));
        }
        Ok(())
    }

    fn standing(&self) -> Standing {
        Standing {
            lanes: self.held.len(),
            silence: self.held.values().map(|lane| lane.idle.silence()).min(),
            rebalanced: self.rebalanced,
        }
    }

    fn drain(&mut self) -> Result<()> {
        self.held.values_mut().try_for_each(Lane::drain)
    }

    fn open(&mut self, number: i32, origins: &Origins<'_>) -> Result<i64> {
        let name = format!("{}-{number}", self.topic);
        let mut lane = Lane::open(&self.pipeline, &name, Closing::ByWatermark)?;
        let partition = Partition::new(self.topic.clone(), number);
        let start = match lane.position_of(&partition) {
            Some(next) => next,
            None => origins.offset(number)?,
        };
        lane.input(&partition, start);
        self.held.insert(number, lane);
        Ok(start)
    }
}

impl LaneOwner for Lanes {
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &Origins<'_>,
    ) -> Result<Vec<i64>, OwnerError> {
        self.rebalanced = Instant::now();
        self.ends.watch(partitions);
        let open = |&number: &i32| match self.held.get(&number) {
            Some(lane) => Ok(lane.next(0)),
            None => self.open(number, origins),
        };
        partitions.iter().map(open).map(|r| r.map_err(OwnerError::from)).collect()
    }

    fn revoked(&mut self, partitions: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        self.rebalanced = Instant::now();
        self.ends.forget(partitions);
        let mut told = Vec::new();
        for number in partitions {
            let Some(mut lane) = self.held.remove(number) else { continue };
            if how == Revoked::Orderly {
                lane.commit(clock::now_us())?;
                told.push((*number, lane.next(0)));
            }
            lane.remove_metrics();
        }
        Ok(told)
    }
}
