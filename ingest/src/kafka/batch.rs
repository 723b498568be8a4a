//! Batches of messages, and the one place that calls librdkafka's C interface directly.
//!
//! *Why*: rdkafka has no batch call for a consumer with a group. The partitions' queues are forwarded to
//! one queue of the thread, and `rd_kafka_consume_batch_queue` empties it: half the cost per message.
//!
//! **Safety.** A queue holds an `Arc` of its client, so the client outlives it. A message is owned by the
//! inbox from the batch call until it is destroyed, once, and readers borrow the inbox. librdkafka is
//! thread safe; no pointer is shared besides.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::context::Membership;
use super::handed::Handed;
use crate::message::Message;
use crate::source::Batch;

type Client = BaseConsumer<Membership>;

/// A queue of one client: a thread's own, or a partition's.
struct Queue {
    native: NonNull<RDKafkaQueue>,
    client: Arc<Client>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this reference is ours and given back once; the client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.native.as_ptr()) }
    }
}

/// Keeps a partition's messages flowing into an [`Inbox`]; ends with the partition's assignment.
pub(crate) struct Forward(Queue);

/// One thread's queue and the messages taken from it.
pub(crate) struct Inbox {
    queue: Queue,
    /// Messages taken and not yet destroyed.
    messages: Vec<*mut RDKafkaMessage>,
    /// Messages that came by the client's main queue; they go first.
    strays: Vec<Stray>,
}

// SAFETY: the messages belong to the inbox alone.
unsafe impl Send for Inbox {}

/// A message that did not come through the inbox's queue.
pub(crate) struct Stray {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) payload: Option<Vec<u8>>,
}

impl Stray {
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            payload: message.payload().map(<[u8]>::to_vec),
        }
    }
}

/// An entry of a batch that is no message.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) partition: i32,
    /// For an offset out of range: the one asked for.
    pub(crate) offset: i64,
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
}

impl Inbox {
    /// `None` when librdkafka gives no queue, which it has no reason for.
    pub(crate) fn new(client: Arc<Client>) -> Option<Self> {
        // SAFETY: the client's pointer is valid as long as the client.
        let native = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        let queue = Queue { native: NonNull::new(native)?, client };
        Some(Self { queue, messages: Vec::new(), strays: Vec::new() })
    }

    /// Sends a partition's messages here. Must come before the partition is assigned, so that none goes to
    /// the main queue, and [once more](Self::forward_again) after it: assign and unassign take it back.
    pub(crate) fn forward(&self, topic: &CStr, partition: i32) -> Option<Forward> {
        let client = self.queue.client.clone();
        let rk = client.client().native_ptr();
        // SAFETY: client and topic are valid; the reference returned is ours.
        let native = unsafe { sys::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition) };
        let queue = Queue { native: NonNull::new(native)?, client };
        let forward = Forward(queue);
        self.forward_again(&forward);
        Some(forward)
    }

    /// Sends a partition's messages here once more; those that wait in its own queue come along.
    pub(crate) fn forward_again(&self, Forward(queue): &Forward) {
        // SAFETY: both queues are valid and of the same client.
        unsafe { sys::rd_kafka_queue_forward(queue.native.as_ptr(), self.queue.native.as_ptr()) }
    }

    pub(crate) fn keep(&mut self, stray: Stray) {
        self.strays.push(stray);
    }

    pub(crate) fn strays(&self) -> usize {
        self.strays.len()
    }

    /// Destroys what was taken before and takes up to `max` messages, waiting for them at most `timeout`;
    /// keeps those whose partition and offset `handed` admits. Returns the entries that are no messages.
    pub(crate) fn fetch(
        &mut self,
        max: usize,
        timeout: Duration,
        handed: &mut Handed,
    ) -> Vec<Notice> {
        self.clear();
        self.messages.reserve(max);
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let (queue, slots) = (self.queue.native.as_ptr(), self.messages.as_mut_ptr());
        // SAFETY: `slots` has room for `max` pointers; the call fills as many as it returns, or returns -1.
        let taken = unsafe { sys::rd_kafka_consume_batch_queue(queue, timeout_ms, slots, max) };
        let taken = usize::try_from(taken).unwrap_or(0);
        // SAFETY: the first `taken` pointers were just written; `taken <= max`.
        unsafe { self.messages.set_len(taken) };
        self.sort_out(handed)
    }

    /// What the last [`Inbox::fetch`] took; `None` when that is nothing.
    pub(crate) fn batch(&mut self) -> Option<MessageBatch<'_>> {
        let empty = self.messages.is_empty() && self.strays.is_empty();
        (!empty).then_some(MessageBatch { inbox: self })
    }

    fn sort_out(&mut self, handed: &mut Handed) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.messages.retain(|&message| {
            let keep = match notice(message) {
                // SAFETY: a message in the list is alive.
                None => unsafe { handed.admit((*message).partition, (*message).offset) },
                Some(notice) => {
                    handed.halt(notice.partition);
                    notices.push(notice);
                    false
                }
            };
            if !keep {
                // SAFETY: ours, not destroyed before, and not kept.
                unsafe { sys::rd_kafka_message_destroy(message) };
            }
            keep
        });
        notices
    }

    pub(crate) fn clear(&mut self) {
        self.strays.clear();
        for message in self.messages.drain(..) {
            // SAFETY: each was taken once and leaves the list here.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Messages of one poll, in the order of their arrival; dropping it gives their memory back.
pub struct MessageBatch<'a> {
    inbox: &'a mut Inbox,
}

/// Neighbouring messages of one partition.
#[derive(Clone)]
pub struct Run<'a> {
    inbox: &'a Inbox,
    range: Range<usize>,
}

impl MessageBatch<'_> {
    /// Never 0.
    pub fn len(&self) -> usize {
        self.inbox.strays.len() + self.inbox.messages.len()
    }

    /// Never: a poll without messages gives no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each message with its partition.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Message<'_>)> {
        (0..self.len()).map(|index| self.inbox.at(index))
    }

    /// The same messages as stretches of one partition; a partition may have several.
    pub fn runs(&self) -> impl Iterator<Item = (i32, Run<'_>)> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let from = next;
            let partition = (from < self.len()).then(|| self.inbox.partition(from))?;
            let same = |index: &usize| self.inbox.partition(*index) == partition;
            next = from + (from..self.len()).take_while(same).count();
            Some((partition, Run { inbox: &*self.inbox, range: from..next }))
        })
    }
}

impl Batch for MessageBatch<'_> {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn runs(&self) -> impl Iterator<Item = (i32, impl Iterator<Item = Message<'_>> + Clone)> {
        Self::runs(self)
    }
}

impl Drop for MessageBatch<'_> {
    fn drop(&mut self) {
        self.inbox.clear();
    }
}

impl<'a> Iterator for Run<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        self.range.next().map(|index| self.inbox.at(index).1)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl ExactSizeIterator for Run<'_> {}

impl Inbox {
    fn partition(&self, index: usize) -> i32 {
        match self.strays.get(index) {
            Some(stray) => stray.partition,
            // SAFETY: a message in the list is alive.
            None => unsafe { (*self.messages[index - self.strays.len()]).partition },
        }
    }

    fn at(&self, index: usize) -> (i32, Message<'_>) {
        let Some(stray) = self.strays.get(index) else {
            return read(self.messages[index - self.strays.len()], self);
        };
        let (offset, timestamp_ms) = (stray.offset, stray.timestamp_ms);
        (stray.partition, Message { offset, timestamp_ms, payload: stray.payload.as_deref() })
    }
}

/// Reads a live message; what it returns lives as long as the inbox is borrowed.
fn read(message: *mut RDKafkaMessage, _owner: &Inbox) -> (i32, Message<'_>) {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the owner destroys the message only when it is borrowed mutably. A payload that is not
    // null has `len` bytes, which belong to the message.
    let (native, timestamp_ms, payload) = unsafe {
        let native = &*message;
        let timestamp = sys::rd_kafka_message_timestamp(message, &raw mut kind);
        let bytes = NonNull::new(native.payload.cast::<u8>());
        let payload = bytes.map(|b| std::slice::from_raw_parts(b.as_ptr(), native.len));
        (native, (timestamp >= 0).then_some(timestamp), payload)
    };
    (native.partition, Message { offset: native.offset, timestamp_ms, payload })
}

/// The entry as a notice, or `None` for a message.
fn notice(message: *mut RDKafkaMessage) -> Option<Notice> {
    // SAFETY: the message is alive. The code is read as the C int that it is: a broker may send one that
    // the bindings' enum doesn't have.
    let (code, partition, offset) = unsafe {
        let code = (&raw const (*message).err).cast::<i32>().read();
        (code, (*message).partition, (*message).offset)
    };
    if code == 0 {
        return None;
    }
    // SAFETY: alive, and the text belongs to the message; null is checked.
    let reason = unsafe {
        let text = sys::rd_kafka_message_errstr(message);
        if text.is_null() {
            String::new()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    let code =
        RDKafkaRespErr::try_from(code).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from);
    Some(Notice { partition, offset, code, reason })
}

/// The member's epoch in its group; `None` before it has joined.
pub(crate) fn member_epoch(client: &Client) -> Option<i32> {
    // SAFETY: the client is alive; what it returns is ours, and destroyed once unless it is null.
    let epoch = unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(client.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let epoch = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        epoch
    };
    (epoch > 0).then_some(epoch)
}

/// Lets the groups of a client's embedded broker form at once, instead of after three seconds.
pub(crate) fn hasten_groups<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>) {
    // SAFETY: the client is alive; the pointer is null when it has no embedded broker.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

/// A topic's name as C wants it; `None` when it holds a zero byte.
pub(crate) fn c_name(topic: &str) -> Option<CString> {
    CString::new(topic).ok()
}
