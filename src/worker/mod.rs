//! A worker thread: one member of the consumer group, and the lanes of its partitions, as one loop.
//!
//! *Guarantees*: one lane's passing trouble ends neither the process nor another lane; what makes going
//! on impossible ends the process. What a lane read after its last commit is thrown away with it, and read
//! again by whoever opens it next.

mod balance;
mod gap;
mod held;
mod lanes;
mod open;
mod orders;
mod release;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegauge_ingest::kafka::KafkaError;
use tidegauge_ingest::{Ends, Leave, Source};

use self::lanes::{Due, Lanes};
use self::trouble::Trouble;
use crate::control::{Control, OpenWindows, Standing};
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
    /// The source's own, since it last delivered something.
    trouble: Option<Trouble>,
}

impl<S: Source> Worker<S> {
    /// A worker that reads `topic` from a source that has joined the group.
    pub fn new(pipeline: Arc<Pipeline>, topic: &str, source: S, ends: Arc<dyn Ends>) -> Self {
        let now = pipeline.clock.instant();
        let commit_at = now + pipeline.config.lake.commit_every;
        let lanes = Lanes::new(pipeline, topic, ends);
        Self { source, lanes, commit_at, tick_at: now, trouble: None }
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

    /// One turn: poll, feed, commit what is due, open what waits. Now and then it says where it stands.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn turn(&mut self, wait: Duration) -> Result<Option<Standing>> {
        let failed = match self.source.poll(&mut self.lanes, BATCH_MAX, wait) {
            Ok(Some(batch)) => {
                self.trouble = None;
                self.lanes.feed(&batch)?;
                None
            }
            Ok(None) => {
                self.trouble = self.trouble.filter(|trouble| !trouble.is_over(self.lanes.now()));
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            self.poll_failed(error)?;
        }
        let now = self.lanes.now();
        let due = if now >= self.commit_at { Due::All } else { Due::Full };
        if due == Due::All {
            self.commit_at = now + self.lanes.commit_every();
        }
        let told = self.lanes.commit(due)?;
        self.source.commit_offsets(&told);
        self.lanes.reopen(self.source.origins())?;
        self.lanes.obey(&mut self.source)?;
        if now < self.tick_at {
            return Ok(None);
        }
        self.tick_at = now + TICK;
        self.tick().map(Some)
    }

    /// What concerns one partition is its lane's trouble; a topic that is not there is every lane's.
    fn poll_failed(&mut self, error: KafkaError) -> Result<()> {
        match &error {
            KafkaError::OutOfRange { partition, .. } => self.lanes.interrupt(*partition, &error),
            KafkaError::UnknownTopic { .. } => self.lanes.interrupt_all(&error),
            KafkaError::Transient { .. } | KafkaError::Unreachable { .. } => {
                tracing::warn!(%error, "the source has trouble, trying on");
                let now = self.lanes.now();
                let trouble = self.trouble.get_or_insert_with(|| Trouble::new(now));
                trouble.again(now, self.lanes.retry_for(), error.into(), |d| d)
            }
            _ => Err(error.into()),
        }
    }

    fn tick(&mut self) -> Result<Standing> {
        for (partition, offset) in self.source.positions() {
            self.lanes.skip_to(partition, offset);
        }
        self.lanes.look_for_another_topic();
        self.lanes.look_for_silence()?;
        for (code, count) in self.source.take_errors() {
            self.lanes.count_errors(&code, count);
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
                self.lanes.close_windows()?;
                Leave::Yes
            }
        };
        // Before the goodbye: a broker that is away now must not cost what is in hand. Should the group
        // have given the partitions to others meanwhile, the ledger refuses.
        let told = self.lanes.end()?;
        self.source.commit_offsets(&told);
        Ok(self.source.close(&mut self.lanes, leave)?)
    }
}
