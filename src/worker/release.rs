//! How lanes go: in order by a deadline, or lost.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tidegauge_ingest::{Begin, LaneOwner, Origins, OwnerError, Revoked};
use tidegauge_serve::Dropped;

use super::held::{Consuming, Draining, Ending, Held, Released};
use super::lanes::Lanes;
use crate::lane::Settled;

impl LaneOwner for Lanes {
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &dyn Origins,
    ) -> Result<Vec<Begin>, OwnerError> {
        self.rebalanced = self.now();
        Ok(self.take(partitions, origins)?)
    }

    fn revoked(&mut self, partitions: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        self.rebalanced = self.now();
        let lanes = self.let_go(partitions);
        if how == Revoked::Lost {
            for (number, held) in lanes {
                // Others may read them already.
                let released = held.abandon(Dropped::Lost, anyhow!("the group gave us up"));
                self.note(number, released);
            }
            return Ok(Vec::new());
        }
        Ok(self.drain_all(lanes)?)
    }
}

impl Lanes {
    /// Commits all that is in hand and lets all lanes go; returns what to tell the broker.
    ///
    /// # Errors
    /// The first that could not be committed.
    pub fn end(&mut self) -> Result<Vec<(i32, i64)>> {
        let numbers: Vec<i32> = self.held.keys().copied().collect();
        let partitions: Vec<i32> = numbers.iter().flat_map(|n| self.partitions_of(*n)).collect();
        let lanes = self.let_go(&partitions);
        let mut told = Vec::new();
        let mut result = Ok(());
        for (number, released) in self.drain(lanes) {
            tell(&mut told, &self.topic, released.settled);
            if let Ending::Dropped(_, error) | Ending::Failed(error) = released.ending {
                let what =
                    || format!("lane {} could not commit at the end", self.lane_name(number));
                result = result.and(Err(error).with_context(what));
            }
        }
        result.map(|()| told)
    }

    /// Lets lanes drain; returns what to tell the broker.
    ///
    /// # Errors
    /// The first that is final. What was only too slow is dropped, and said.
    pub(super) fn drain_all(&mut self, lanes: Vec<(i32, Consuming)>) -> Result<Vec<(i32, i64)>> {
        let mut told = Vec::new();
        let mut result = Ok(());
        for (_, released) in self.drain(lanes) {
            tell(&mut told, &self.topic, released.settled);
            if let Ending::Failed(error) = released.ending {
                result = result.and(Err(error));
            }
        }
        result.map(|()| told)
    }

    /// Takes partitions out; returns the lanes that are ended by it, with their series gone.
    fn let_go(&mut self, partitions: &[i32]) -> Vec<(i32, Consuming)> {
        let mut lanes = Vec::new();
        for &partition in partitions {
            self.orders.forget(partition);
            let number = self.lane_of(partition);
            let Some(held) = self.held.remove(&number) else { continue };
            let all = self.partitions_of(number);
            self.ends.forget(&all);
            if let Held::Consuming(held) = held {
                held.lane.remove_metrics();
                lanes.push((number, *held));
            }
        }
        self.all.retain(|partition| !partitions.contains(partition));
        lanes
    }

    /// All are cut before the first is waited for.
    fn drain(&mut self, lanes: Vec<(i32, Consuming)>) -> Vec<(i32, Released)> {
        let until = self.now() + self.pipeline.config.source.drain_within;
        let now_us = self.pipeline.clock.now_us();
        let begin = |(number, held): (i32, Consuming)| (number, held.drain(until, now_us));
        let draining: Vec<(i32, Result<Draining, Released>)> =
            lanes.into_iter().map(begin).collect();
        let mut all = Vec::with_capacity(draining.len());
        for (number, draining) in draining {
            let released = draining.map_or_else(|released| released, |d| d.finish(now_us));
            all.push((number, self.note(number, released)));
        }
        all
    }

    /// Says and counts what a lane that goes could not commit.
    pub(super) fn note(&self, number: i32, released: Released) -> Released {
        let (why, error) = match &released.ending {
            Ending::Committed => return released,
            Ending::Dropped(why, error) => (*why, error),
            Ending::Failed(error) => (Dropped::Failed, error),
        };
        let (lane, error) = (self.lane_name(number), format!("{error:#}"));
        tracing::warn!(lane, error, why = why.as_str(), "dropped what was not committed");
        self.pipeline.metrics.lane_dropped(why);
        released
    }
}

/// The offsets of a settled epoch, as the broker has them.
pub(super) fn tell(told: &mut Vec<(i32, i64)>, topic: &Arc<str>, settled: Option<Settled>) {
    let Some(Settled { epoch, rows, next }) = settled else { return };
    tracing::debug!(epoch, rows, ?next, "committed");
    let ours = next.into_iter().filter(|(partition, _)| partition.input == *topic);
    told.extend(ours.map(|(partition, next)| (partition.number, next)));
}
