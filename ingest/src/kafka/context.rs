//! What librdkafka tells us on the side: errors, logs, rebalances. Written down here, acted on elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as NativeError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::error::is_refusal;

/// The errors of one client since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    errors: Mutex<Errors>,
    /// How many callbacks have run: tells an event that was served from an empty queue.
    served: AtomicU64,
}

#[derive(Debug, Default)]
struct Errors {
    /// By code name: a closed set of librdkafka's.
    counts: BTreeMap<String, u64>,
    refusal: Option<String>,
    last: Option<String>,
}

impl Watch {
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, code: RDKafkaErrorCode) {
        self.count_as(&format!("{code:?}"));
    }

    pub(crate) fn count_as(&self, name: &str) {
        *lock(&self.errors).counts.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn take_counts(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut lock(&self.errors).counts).into_iter().collect()
    }

    /// The broker's words when it refused us.
    pub(crate) fn refusal(&self) -> Option<String> {
        lock(&self.errors).refusal.clone()
    }

    pub(crate) fn last(&self) -> Option<String> {
        lock(&self.errors).last.clone()
    }

    fn mark_served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.mark_served();
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, "kafka: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "kafka: {message}"),
        }
    }

    fn error(&self, error: NativeError, reason: &str) {
        self.mark_served();
        tracing::warn!("kafka: {reason}");
        let Some(code) = error.rdkafka_error_code() else { return };
        self.count(code);
        let mut errors = lock(&self.errors);
        // "All brokers down" follows every other trouble and explains nothing.
        if code != RDKafkaErrorCode::AllBrokersDown || errors.last.is_none() {
            errors.last = Some(reason.to_owned());
        }
        if is_refusal(code) {
            errors.refusal = Some(reason.to_owned());
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        self.mark_served();
    }
}

impl ConsumerContext for Watch {}

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
#[derive(Debug, Default)]
pub(crate) struct Membership {
    pub(crate) watch: Watch,
    /// At most the one that waits for an answer and, at a close, one more.
    pending: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Membership {
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
        lock(&self.pending).push_back(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.watch.mark_served();
        let Err(error) = result else { return };
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
