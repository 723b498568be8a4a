//! What the source is to do for the lanes; kept until it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegauge_ingest::Source;
use tidegauge_ingest::kafka::KafkaError;

use super::trouble::Trouble;

/// Orders by partition; one that goes takes its orders along.
#[derive(Debug, Default)]
pub(super) struct Orders {
    stop: BTreeSet<i32>,
    go_on: BTreeSet<i32>,
    seek: BTreeMap<i32, i64>,
    trouble: Option<Trouble>,
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
    /// What is final, and what has failed for longer than `bound`.
    pub fn carry_out<S: Source>(
        &mut self,
        source: &mut S,
        now: Instant,
        bound: Duration,
    ) -> Result<()> {
        if self.trouble.is_some_and(|trouble| trouble.at > now) {
            return Ok(());
        }
        match self.try_all(source) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the source has done it now");
                }
            }
            Err(error @ KafkaError::Transient { .. }) => {
                match self.trouble {
                    None => tracing::warn!(%error, "the source will be asked again"),
                    Some(_) => tracing::info!(%error, "the source has still not done it"),
                }
                let trouble = self.trouble.get_or_insert_with(|| Trouble::new(now));
                trouble.again(now, bound, error.into(), |wait| wait)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn try_all<S: Source>(&mut self, source: &mut S) -> Result<(), KafkaError> {
        if !self.stop.is_empty() {
            source.pause(&self.stop.iter().copied().collect::<Vec<_>>())?;
            self.stop.clear();
        }
        if !self.seek.is_empty() {
            source.seek(&self.seek.iter().map(|(p, next)| (*p, *next)).collect::<Vec<_>>())?;
            self.seek.clear();
        }
        if !self.go_on.is_empty() {
            source.resume(&self.go_on.iter().copied().collect::<Vec<_>>())?;
            self.go_on.clear();
        }
        Ok(())
    }
}
