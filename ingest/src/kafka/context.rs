//! What the group asks of a member: written down here, acted on elsewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as NativeError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::watch::Watch;

/// What the group asks of this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rebalance {
    Assign(Vec<i32>),
    Revoke { partitions: Vec<i32>, lost: bool },
}

/// The context of a group's member.
///
/// *Why rebalances are only written down*: the callback runs inside a poll and has no way to the lanes.
/// librdkafka waits for our assign or unassign as long as it takes, up to `max.poll.interval.ms`, and
/// sends no second rebalance before; so the poll's caller answers right after it, on the same thread.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) watch: Watch,
    /// At most the one that waits for an answer and, at a close, one more.
    pending: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Membership {
    pub(crate) fn new() -> Self {
        let (pending, closing) = Default::default();
        Self { watch: Watch::of("member"), pending, closing }
    }

    pub(crate) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.pending).pop_front()
    }

    /// Leaves a rebalance that could not be answered for the next time.
    pub(crate) fn put_back(&self, rebalance: Rebalance) {
        lock(&self.pending).push_front(rebalance);
    }

    /// From now on nobody asks for rebalances: the callback answers them itself, by letting go; without
    /// that a close would wait for an answer for ever.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: NativeError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.watch.stats_raw(statistics);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.watch.mark_served();
        if self.closing.load(Ordering::Relaxed) {
            // A closed group answers no more, and whoever asks it waits for ever.
            if !consumer.closed() {
                let _ = let_go(consumer, list);
            }
            return;
        }
        let partitions = list.elements().iter().map(|e| e.partition()).collect();
        let rebalance = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ => Rebalance::Revoke { partitions, lost: consumer.assignment_lost() },
        };
        self.watch.answered();
        lock(&self.pending).push_back(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.watch.mark_served();
        let Err(error) = result else { return self.watch.answered() };
        match error.rdkafka_error_code() {
            // Nothing to commit is no trouble.
            None | Some(RDKafkaErrorCode::NoOffset) => {}
            Some(code) => self.watch.count(code),
        }
    }
}

/// Answers a rebalance by giving up its partitions.
pub(crate) fn let_go(
    consumer: &BaseConsumer<Membership>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// Plain data stays whole when a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
