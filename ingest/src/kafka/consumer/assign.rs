//! Where a consumer reads: what it is given, and where it is told to go on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError as NativeError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Consumer;
use crate::kafka::client::{bare_list, seek, set_back};
use crate::kafka::error::KafkaError;
use crate::kafka::trouble::code_name;
use crate::source::Begin;

/// What librdkafka says of a partition that it does not read.
const STOPPED: [RDKafkaErrorCode; 2] =
    [RDKafkaErrorCode::State, RDKafkaErrorCode::UnknownPartition];

/// How long librdkafka may refuse a position before its partition is assigned anew.
const ADRIFT_MAX: Duration = Duration::from_secs(1);

impl Consumer {
    /// Reads held partitions from these offsets on, forwards or backwards. What librdkafka has queued of
    /// them is thrown away; a pause is over.
    ///
    /// # Errors
    /// [`KafkaError::Transient`]: nothing of them is delivered until it is repeated with success.
    pub fn seek(&mut self, next: &[(i32, i64)]) -> Result<(), KafkaError> {
        let ours =
            |(p, _): &&(i32, i64)| self.forwards.contains_key(p) || self.unfinished.contains_key(p);
        let next: Vec<(i32, i64)> = next.iter().filter(ours).copied().collect();
        let partitions: Vec<i32> = next.iter().map(|(partition, _)| *partition).collect();
        partitions.iter().for_each(|partition| self.handed.hold(*partition));
        self.paused.borrow_mut().retain(|partition| !partitions.contains(partition));
        // Resumed first: a resume goes on from where librdkafka stopped, the seek then says where to.
        let list = bare_list(&self.settings.topic, &partitions);
        let moved = if self.unfinished.is_empty() {
            let sought = self.client.resume(&list).and_then(|()| {
                seek(&self.client, &self.settings.topic, &next)?;
                next.iter().for_each(|(partition, offset)| self.handed.begin(*partition, *offset));
                Ok(())
            });
            sought.or_else(|error| {
                // Right after an assignment it is only too early.
                let since = *self.adrift.get_or_insert_with(Instant::now);
                match since.elapsed() >= ADRIFT_MAX {
                    true => self.assign_anew(&next),
                    false => Err(error),
                }
            })
        } else {
            self.assign_anew(&next)
        };
        if moved.is_ok() {
            self.adrift = None;
        }
        moved.map_err(|e| KafkaError::transient(format!("go to the positions {next:?}"), e))
    }

    /// A topic that was deleted and made anew has stopped librdkafka's reading of its partitions for good;
    /// only an assignment begins it again.
    ///
    /// That may fail half-way, as long as the client's metadata does not have the new topic: then
    /// nothing is forgotten, and the next try does all of it.
    pub(super) fn assign_anew(&mut self, next: &[(i32, i64)]) -> KafkaResult<()> {
        tracing::info!(topic = self.settings.topic, ?next, "partitions are assigned anew");
        let mut wanted = std::mem::take(&mut self.unfinished);
        wanted.extend(next.iter().map(|(partition, offset)| (*partition, Begin::At(*offset))));
        let assigned = match self.client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.assign_again(&wanted),
            _ => {
                wanted.extend(
                    self.handed
                        .begins()
                        .filter(|(p, _)| !wanted.contains_key(p))
                        .collect::<Vec<_>>(),
                );
                self.assign(&wanted.iter().map(|(p, begin)| (*p, *begin)).collect::<Vec<_>>())
            }
        };
        if assigned.is_err() {
            wanted.keys().for_each(|partition| self.handed.hold(*partition));
            self.unfinished = wanted;
        }
        assigned
    }

    /// Assigns some partitions of a cooperative member anew; those that a failed try has taken away
    /// already are not there to be taken away.
    fn assign_again(&mut self, wanted: &BTreeMap<i32, Begin>) -> KafkaResult<()> {
        let assignment = self.client.assignment()?;
        let there = assignment.elements().into_iter().map(|element| element.partition());
        let there: Vec<i32> = there.filter(|partition| wanted.contains_key(partition)).collect();
        if !there.is_empty() {
            self.client.incremental_unassign(&bare_list(&self.settings.topic, &there))?;
        }
        self.assign(&wanted.iter().map(|(p, begin)| (*p, *begin)).collect::<Vec<_>>())
    }

    pub(super) fn assign(&mut self, next: &[(i32, Begin)]) -> KafkaResult<()> {
        let topic = self.settings.topic.as_str();
        let mut list = TopicPartitionList::with_capacity(next.len());
        for &(partition, begin) in next {
            list.add_partition_offset(
                topic,
                partition,
                match begin {
                    Begin::At(offset) => Offset::Offset(offset),
                    // Never out of range, and nothing old is fetched in vain.
                    Begin::Later => Offset::End,
                },
            )?;
        }
        let cooperative =
            matches!(self.client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        if !cooperative && !self.forwards.is_empty() {
            self.client.unassign()?;
            self.forwards.clear();
            self.handed.clear();
        }
        for &(partition, begin) in next {
            match begin {
                Begin::At(offset) => self.handed.begin(partition, offset),
                Begin::Later => self.handed.hold(partition),
            }
            let forward = self.inbox.forward(&self.topic, partition);
            let failed = NativeError::Subscription(format!("partition {partition} has no queue"));
            self.forwards.insert(partition, forward.ok_or(failed)?);
        }
        if cooperative {
            self.client.incremental_assign(&list)?;
        } else {
            self.client.assign(&list)?;
        }
        self.forward_again(next)?;
        let all: Vec<i32> = next.iter().map(|(partition, _)| *partition).collect();
        let paused = self.paused.borrow();
        let is_still = |(p, begin): &&(i32, Begin)| *begin == Begin::Later || paused.contains(p);
        let still: Vec<i32> = next.iter().filter(is_still).map(|(p, _)| *p).collect();
        // A pause of an earlier time with the partition may still stand.
        self.client.resume(&bare_list(&self.settings.topic, &all))?;
        match still.is_empty() {
            true => Ok(()),
            false => self.client.pause(&bare_list(&self.settings.topic, &still)),
        }
    }

    /// Forwards anew what a stop has taken back.
    ///
    /// What an unassignment lets go is stopped later, on librdkafka's own thread; that clears the
    /// forwarding, which may be the one of the assignment that follows, and a start does not bring it
    /// back: the messages would be fetched and never come. That thread serves questions in their order,
    /// so with the answer to one that was asked after the assignment all stops are behind.
    fn forward_again(&mut self, next: &[(i32, Begin)]) -> KafkaResult<()> {
        self.client.assignment()?;
        for (partition, _) in next {
            if let Some(forward) = self.forwards.get(partition) {
                self.inbox.forward_again(forward);
            }
        }
        Ok(())
    }

    /// Sets what moved of these partitions back to where we are.
    ///
    /// After a broker's death librdkafka may hold a kept partition that it has not started (again), and
    /// such a one can't be told where to go on: it is assigned anew.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`], for good: librdkafka may go on elsewhere, so better an end.
    pub(super) fn set_back(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        let moved = self.handed.moved().filter(|(partition, _)| partitions.contains(partition));
        let moved: Vec<_> = moved.collect();
        let Err(refused) = set_back(&self.client, &self.settings.topic, &moved) else {
            return Ok(());
        };
        tracing::warn!(topic = self.settings.topic, %refused, "kept partitions can't be set back");
        let is_stopped = refused.rdkafka_error_code().is_some_and(|code| STOPPED.contains(&code));
        // A client that is stuck would not answer to an assignment either.
        let anew = if is_stopped { self.assign_anew(&moved) } else { Err(refused) };
        anew.map_err(|error| {
            let topic = &self.settings.topic;
            let reason = format!("the position of kept partitions of {topic} is not sure: {error}");
            let code = code_name(&error);
            self.trouble.end(code.clone(), reason.clone());
            KafkaError::Fatal { code, reason }
        })
    }

    /// After each answer to a rebalance. An eager protocol keeps nothing, so there is nothing to do then.
    pub(super) fn set_all_back(&mut self) -> Result<(), KafkaError> {
        let all: Vec<i32> = self.partitions().collect();
        self.set_back(&all)
    }
}
