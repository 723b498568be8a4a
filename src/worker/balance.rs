//! Keeps what lanes hold in memory within the budget of the process.
//!
//! First what is due is written early. Then lanes are paused, the largest first: all of them while
//! something is being written, which makes room; otherwise one that has input goes on, so that its watermark
//! moves and its windows close. It begins at nine tenths of the budget; below eight tenths all go on.

use anyhow::{Result, anyhow};

use super::held::{Consuming, Held, Pause};
use super::lanes::Lanes;

impl Lanes {
    /// Pauses or lets go on, one step at a time.
    ///
    /// # Errors
    /// When one lane alone needs more than the budget.
    pub(super) fn balance(&mut self) -> Result<()> {
        let memory = self.pipeline.memory.clone();
        if memory.is_over() {
            self.relieve()?;
        } else if memory.is_relieved() {
            let paused = self.consuming().filter(|(_, held)| held.pause.memory).map(|(p, _)| p);
            for partition in paused.collect::<Vec<i32>>() {
                self.pause(partition, false);
            }
        } else if self.consuming().any(|(_, held)| held.pause.memory) {
            self.write_early();
            if let Some(runner) = self.runner() {
                self.pause(runner, false);
            }
        }
        Ok(())
    }

    fn relieve(&mut self) -> Result<()> {
        self.write_early();
        // Lanes that were taken over have not been looked at yet.
        for (_, held) in self.consuming() {
            held.lane.make_room(0)?;
        }
        let runner = self.runner();
        if let Some(runner) = runner {
            self.pause(runner, false);
        }
        let others = self.consuming().filter(|(p, held)| Some(*p) != runner && !held.pause.memory);
        let largest = others.map(|(p, held)| (held.lane.bytes(), p)).max();
        match largest {
            Some((_, partition)) => self.pause(partition, true),
            None => self.check_hope(runner)?,
        }
        Ok(())
    }

    /// Makes the fullest lane due. One at a time: a cut needs memory of its own until it is written.
    fn write_early(&mut self) {
        if self.consuming().any(|(_, held)| held.lane.is_in_flight()) {
            return;
        }
        let now = self.now();
        let fullest = self.consuming().max_by_key(|(_, held)| held.lane.bytes_in_hand());
        if let Some((_, held)) = fullest
            && held.lane.bytes_in_hand() > 0
        {
            held.due_since.get_or_insert(now);
        }
    }

    /// The lane that goes on: the one that does, as long as it has input; then the one furthest behind. None
    /// while something is written.
    fn runner(&mut self) -> Option<i32> {
        if self.consuming().any(|(_, held)| waits(held)) {
            return None;
        }
        let has_input = |held: &Consuming| held.lane.idle.silence().is_zero();
        let candidates = self.consuming().filter(|(_, held)| has_input(held));
        let rank = |(p, held): (i32, &mut Consuming)| {
            ((held.pause.memory, held.lane.watermark_ns(), p), p)
        };
        candidates.map(rank).min().map(|(_, partition)| partition)
    }

    /// All others are paused and nothing waits to be written: it is the windows that do not fit.
    fn check_hope(&mut self, runner: Option<i32>) -> Result<()> {
        let memory = self.pipeline.memory.clone();
        if !memory.is_hopeless() {
            return Ok(());
        }
        let Some((_, held)) = self.consuming().find(|(p, _)| Some(*p) == runner) else {
            return Ok(());
        };
        Err(anyhow!(
            "open windows and sensors do not fit into memory: lane {} alone holds {} bytes, the budget of the \
             process is {} bytes; raise [limits] memory, shorten the windows or add processes",
            held.lane.name(),
            held.lane.bytes(),
            memory.budget()
        ))
    }

    fn pause(&mut self, number: i32, memory: bool) {
        let Some(Held::Consuming(held)) = self.held.get(&number) else { return };
        if held.pause.memory == memory {
            return;
        }
        let lane = held.lane.name();
        tracing::debug!(lane, bytes = held.lane.bytes(), paused = memory, "memory");
        self.set_pause(number, Pause { memory, ..held.pause });
        self.say_levels();
    }

    fn consuming(&mut self) -> impl Iterator<Item = (i32, &mut Consuming)> {
        self.held.iter_mut().filter_map(|(partition, held)| match held {
            Held::Consuming(held) => Some((*partition, &mut **held)),
            Held::Waiting(_) => None,
        })
    }
}

/// Whether there is something of the lane that the lake can take over.
fn waits(held: &Consuming) -> bool {
    held.lane.is_in_flight() || held.lane.bytes_in_hand() > 0
}
