//! A lane's inputs: how far each is read, and which of them are silent.

use std::time::{Duration, Instant};

use anyhow::Result;
use tidegauge_flow::Partition;
use tidegauge_ingest::Ends;

use super::{IdleClock, Lane};

/// One ordered input of the lane and how far it has been read.
pub(super) struct Input {
    pub partition: Partition,
    /// Where the running epoch began.
    pub from: i64,
    pub next: i64,
    /// The ledger does not know it yet.
    pub is_new: bool,
    /// Its number in the windows' watermark.
    pub clock: usize,
    /// Its own silence, for a lane that has several.
    pub idle: IdleClock,
}

impl Lane {
    /// The index of an input for [`Lane::feed`]; one that the ledger does not know begins at `start`.
    pub fn input(&mut self, partition: &Partition, start: i64) -> usize {
        if let Some(index) = self.inputs.iter().position(|i| i.partition == *partition) {
            return index;
        }
        let (partition, clock) = (partition.clone(), self.clock_of(partition.number));
        let (from, next, idle) = (start, start, IdleClock::default());
        self.inputs.push(Input { partition, from, next, is_new: true, clock, idle });
        self.inputs.len() - 1
    }

    /// The index of an input that the lane knows.
    pub fn input_of(&self, partition: i32) -> Option<usize> {
        self.inputs.iter().position(|i| i.partition.number == partition)
    }

    /// The next offset of an input that the ledger knows.
    pub fn position_of(&self, partition: &Partition) -> Option<i64> {
        self.inputs.iter().find(|i| i.partition == *partition).map(|i| i.next)
    }

    /// The next offset of an input.
    pub fn next(&self, input: usize) -> i64 {
        self.inputs[input].next
    }

    /// A message of an input came.
    pub fn busy(&mut self, input: usize, now: Instant) {
        self.idle.busy(now);
        self.inputs[input].idle.busy(now);
    }

    /// Nothing is known of silence any more.
    pub fn interrupt_silence(&mut self, now: Instant) {
        self.idle.busy(now);
        self.inputs.iter_mut().for_each(|input| input.idle.busy(now));
    }

    /// Messages between the positions and the ends, as far as these are known.
    pub fn lag(&self, ends: &dyn Ends) -> Option<i64> {
        let lag = |i: &super::Input| Some((ends.get(i.partition.number)?.end - i.next).max(0));
        self.inputs.iter().map(lag).sum()
    }

    /// Looks at the ends of the inputs: one that is silent holds the others back no more, and when all are,
    /// the watermark moves on.
    ///
    /// # Errors
    /// When the query fails on the data that windows close with.
    pub fn look_for_silence(&mut self, ends: &dyn Ends, idle_after: Duration) -> Result<()> {
        let mut oldest = None;
        let mut known = true;
        let mut at_end = true;
        for input in &mut self.inputs {
            let Some(end) = ends.get(input.partition.number) else {
                known = false;
                continue;
            };
            oldest = Some(oldest.map_or(end.fetched_at, |at: Instant| at.min(end.fetched_at)));
            let is_at_end = input.next == end.end && !end.pending;
            at_end &= is_at_end;
            input.idle.evidence(end.fetched_at, is_at_end);
        }
        if self.inputs.len() > 1 {
            self.mark_silent_inputs(idle_after)?;
        }
        if let Some(fetched_at) = oldest.filter(|_| known) {
            self.idle.evidence(fetched_at, at_end);
        }
        if let Some(passed) = self.idle.take_move(idle_after) {
            self.move_on(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }

    fn mark_silent_inputs(&mut self, idle_after: Duration) -> Result<()> {
        for input in &self.inputs {
            let silent = input.idle.silence() >= idle_after;
            if let Some(moved) = self.windows.idle_partition(input.clock, silent) {
                self.epoch.moved(moved);
            }
        }
        self.score()
    }

    /// The inputs of a lane of files are one ordered stream: they share a watermark.
    fn clock_of(&mut self, partition: i32) -> usize {
        if self.shares_watermark { 0 } else { self.windows.partition(partition) }
    }
}
