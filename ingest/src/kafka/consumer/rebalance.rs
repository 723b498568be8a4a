//! What the group gives and takes, between two polls.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use super::{Consumer, Release};
use crate::kafka::batch::member_epoch;
use crate::kafka::client::bare_list;
use crate::kafka::context::{Rebalance, let_go};
use crate::kafka::error::KafkaError;
use crate::source::{Begin, LaneOwner, Revoked};

/// How long after joining a share of something may follow: a question for the topic's name lies between.
const ASSIGNMENT_MAX: Duration = Duration::from_secs(1);

impl Consumer {
    pub(super) fn serve_rebalances<O: LaneOwner>(
        &mut self,
        owner: &mut O,
    ) -> Result<(), KafkaError> {
        while let Some(rebalance) = self.client.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(partitions) => {
                    if let Err(error) = self.take(owner, &partitions) {
                        self.client.context().put_back(Rebalance::Assign(partitions));
                        return Err(error);
                    }
                    self.set_all_back()?;
                }
                Rebalance::Revoke { partitions, lost } => {
                    let how = if lost { Revoked::Lost } else { Revoked::Orderly };
                    let released = self.release(owner, &partitions, how);
                    self.acknowledge(&partitions)?;
                    self.set_all_back()?;
                    released?;
                }
            }
        }
        Ok(())
    }

    /// The newer protocol tells nobody of a share of nothing: we have joined, and no assignment follows.
    pub(super) fn notice_empty_share(&mut self) {
        let joined = || member_epoch(&self.client).is_some();
        if self.assigned || !self.settings.has_newer_protocol() || !joined() {
            self.without = None;
            return;
        }
        let since = *self.without.get_or_insert_with(Instant::now);
        self.assigned = since.elapsed() >= ASSIGNMENT_MAX;
    }

    fn take<O: LaneOwner>(&mut self, owner: &mut O, given: &[i32]) -> Result<(), KafkaError> {
        let begins = match given {
            [] => Vec::new(),
            _ => owner.assigned(given, &self.origins).map_err(KafkaError::Owner)?,
        };
        assert_eq!(begins.len(), given.len(), "the owner names one beginning per partition");
        let negative = |begin: &Begin| matches!(begin, Begin::At(offset) if *offset < 0);
        assert!(!begins.iter().any(negative), "offsets are not negative: {begins:?}");
        let next: Vec<_> = given.iter().copied().zip(begins).collect();
        tracing::info!(topic = self.settings.topic, ?next, "partitions assigned");
        let assigned = self.assign(&next);
        self.assigned |= assigned.is_ok();
        assigned.map_err(|e| KafkaError::transient("assign partitions", e))
    }

    /// The owner's part of a revocation.
    pub(super) fn release<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        gone: &[i32],
        how: Revoked,
    ) -> Release {
        if gone.is_empty() {
            return Ok(());
        }
        tracing::info!(topic = self.settings.topic, partitions = ?gone, ?how, "partitions revoked");
        let next = owner.revoked(gone, how).map_err(KafkaError::Owner)?;
        if how == Revoked::Orderly {
            self.commit_offsets(&next);
        }
        Ok(())
    }

    /// Our part: only now may another member read these partitions.
    pub(super) fn acknowledge(&mut self, gone: &[i32]) -> Result<(), KafkaError> {
        let_go(&self.client, &bare_list(&self.settings.topic, gone))
            .map_err(|e| KafkaError::transient("give partitions up", e))?;
        self.forwards.retain(|partition, _| !gone.contains(partition));
        self.paused.borrow_mut().retain(|partition| !gone.contains(partition));
        self.handed.end(gone);
        self.unfinished.retain(|partition, _| !gone.contains(partition));
        self.assigned &= !self.forwards.is_empty();
        Ok(())
    }
}
