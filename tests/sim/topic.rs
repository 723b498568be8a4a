//! The topic in memory: what is sent is there from its time on.

use std::sync::Arc;
use std::time::Duration;

use crate::scenario::{Scenario, Sent, What};

/// The partitions' logs.
pub struct Topic {
    growth: Option<(Duration, usize)>,
    partitions: usize,
    sent: Vec<Vec<Sent>>,
    /// What is below was deleted.
    low: Vec<i64>,
    /// What the brokers say that it is.
    pub identity: Option<Arc<str>>,
}

impl Topic {
    pub fn new(scenario: &Scenario) -> Self {
        let (growth, partitions) = (scenario.growth, scenario.partitions);
        let (sent, identity) = (scenario.sent.clone(), scenario.identity.clone());
        let low = vec![0; sent.len()];
        Self { growth, partitions, sent, low, identity }
    }

    /// How many partitions there are now.
    pub fn partitions(&self, now: Duration) -> usize {
        match self.growth {
            Some((at, partitions)) if now >= at => partitions,
            _ => self.partitions,
        }
    }

    /// The offset after the last one that is taken now.
    pub fn end(&self, partition: i32, now: Duration) -> i64 {
        let log = &self.sent[partition as usize];
        let there = log.partition_point(|sent| sent.at <= now);
        log[..there].last().map_or(0, |sent| sent.offset + 1)
    }

    /// The lowest offset that is kept.
    pub fn low(&self, partition: i32) -> i64 {
        self.low[partition as usize]
    }

    /// Retention deletes what is below an offset.
    pub fn delete_below(&mut self, partition: i32, low: i64) {
        let kept = &mut self.low[partition as usize];
        *kept = low.max(*kept);
    }

    /// Up to `max` messages from an offset on.
    pub fn read(&self, partition: i32, from: i64, max: usize, now: Duration) -> &[Sent] {
        let log = &self.sent[partition as usize];
        let there = log.partition_point(|sent| sent.at <= now);
        let from = log.partition_point(|sent| sent.offset < from).min(there);
        &log[from..from.saturating_add(max).min(there)]
    }

    /// The position of one who has read all messages below `next`: behind offsets without messages.
    pub fn position(&self, partition: i32, next: i64, now: Duration) -> i64 {
        let rest = self.read(partition, next, usize::MAX, now);
        match rest.iter().find(|sent| !matches!(sent.what, What::Nothing)) {
            Some(sent) => sent.offset.max(next),
            None => self.end(partition, now).max(next),
        }
    }
}
