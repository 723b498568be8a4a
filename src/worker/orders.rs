//! What the source is to do for the lanes; kept until it is done.

use std::collections::{BTreeMap, BTreeSet};

use tidegauge_ingest::Source;
use tidegauge_ingest::kafka::KafkaError;

/// Orders by partition; one that goes takes its orders along.
#[derive(Debug, Default)]
pub(super) struct Orders {
    stop: BTreeSet<i32>,
    go_on: BTreeSet<i32>,
    seek: BTreeMap<i32, i64>,
}

impl Orders {
    /// Nothing more of this partition.
    pub fn stop(&mut self, partition: i32) {
        self.forget(partition);
        self.stop.insert(partition);
    }

    /// On from where it stopped.
    pub fn go_on(&mut self, partition: i32) {
        self.stop.remove(&partition);
        self.go_on.insert(partition);
    }

    /// On from this offset.
    pub fn seek(&mut self, partition: i32, offset: i64) {
        self.forget(partition);
        self.seek.insert(partition, offset);
    }

    pub fn forget(&mut self, partition: i32) {
        self.stop.remove(&partition);
        self.go_on.remove(&partition);
        self.seek.remove(&partition);
    }

    /// # Errors
    /// [`KafkaError::Fatal`] and the like; what did not work for the moment is tried again.
    pub fn carry_out<S: Source>(&mut self, source: &mut S) -> Result<(), KafkaError> {
        if !self.stop.is_empty() {
            let partitions: Vec<i32> = self.stop.iter().copied().collect();
            if done(source.pause(&partitions))? {
                self.stop.clear();
            }
        }
        if !self.seek.is_empty() {
            let next: Vec<(i32, i64)> = self.seek.iter().map(|(p, n)| (*p, *n)).collect();
            if done(source.seek(&next))? {
                self.seek.clear();
            }
        }
        if !self.go_on.is_empty() {
            let partitions: Vec<i32> = self.go_on.iter().copied().collect();
            if done(source.resume(&partitions))? {
                self.go_on.clear();
            }
        }
        Ok(())
    }
}

/// Whether it is done; passing trouble is no error.
fn done(result: Result<(), KafkaError>) -> Result<bool, KafkaError> {
    match result {
        Ok(()) => Ok(true),
        Err(error @ KafkaError::Transient { .. }) => {
            tracing::warn!(%error, "the source will be asked again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
