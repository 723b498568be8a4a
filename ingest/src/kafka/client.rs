//! The group's client: how it is set back, and how it ends.
//!
//! *Why an end of its own*: a close asks for a rebalance, and the answer is a request to the group's
//! thread in librdkafka (2.12). When an assignment is on its way at that moment, one answer serves two
//! rebalances; the second answer then may meet a group that is gone and wait for ever. So what is on
//! its way is answered first, and the close itself has a deadline.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::{Membership, Rebalance, let_go};

/// How long a close may take before its thread is left to itself.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// How long a seek may take; librdkafka answers at once unless its own thread is stuck.
const SEEK_MAX: Duration = Duration::from_secs(5);
/// Events served before the close.
const EVENTS_MAX: usize = 256;

/// The group's client; its drop ends the membership, without a goodbye for a static member.
pub(crate) struct Client {
    /// `None` only inside of the drop.
    native: Option<Arc<BaseConsumer<Membership>>>,
    topic: String,
}

impl Client {
    pub(crate) fn new(native: Arc<BaseConsumer<Membership>>, topic: &str) -> Self {
        Self { native: Some(native), topic: topic.to_owned() }
    }
}

impl Deref for Client {
    type Target = BaseConsumer<Membership>;

    fn deref(&self) -> &Self::Target {
        self.native.as_ref().expect("present until the drop")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(native) = self.native.take() else { return };
        native.context().close();
        while let Some(waiting) = native.context().next_rebalance() {
            let (Rebalance::Assign(partitions) | Rebalance::Revoke { partitions, .. }) = waiting;
            let _ = let_go(&native, &bare_list(&self.topic, &partitions));
        }
        for _ in 0..EVENTS_MAX {
            let served = native.context().watch.served();
            if native.poll(Duration::ZERO).is_none() && native.context().watch.served() == served {
                break;
            }
        }
        let (ended, end) = mpsc::channel();
        let close = move || {
            drop(native);
            let _ = ended.send(());
        };
        // Without a thread the closure, and with it the client, is dropped right here.
        let closing = std::thread::Builder::new().name("kafka-close".into()).spawn(close);
        if closing.is_ok() && end.recv_timeout(CLOSE_MAX).is_err() {
            tracing::warn!(topic = self.topic, "the kafka client did not close; it is left behind");
        }
    }
}

/// Sets partitions back to these offsets; what librdkafka has queued of them is thrown away. It has done
/// so when this returns.
///
/// # Errors
/// librdkafka's own, after a second try: it may go on elsewhere.
pub(crate) fn set_back(
    native: &BaseConsumer<Membership>,
    topic: &str,
    next: &[(i32, i64)],
) -> KafkaResult<()> {
    if next.is_empty() {
        return Ok(());
    }
    // All of them again after an error: to seek twice does no harm.
    seek(native, topic, next).or_else(|_| seek(native, topic, next))
}

/// One try of [`set_back`].
pub(crate) fn seek(
    native: &BaseConsumer<Membership>,
    topic: &str,
    next: &[(i32, i64)],
) -> KafkaResult<()> {
    let answer = native.seek_partitions(offset_list(topic, next)?, SEEK_MAX)?;
    answer.elements().iter().try_for_each(|element| element.error())
}

/// Partitions of one topic with their next offsets.
pub(crate) fn offset_list(topic: &str, next: &[(i32, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(next.len());
    for &(partition, offset) in next {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}

/// Partitions of one topic without offsets.
pub(crate) fn bare_list(topic: &str, partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        list.add_partition(topic, partition);
    }
    list
}
