//! What a worker reads: partitions of one topic that a group shares out, and where they end.
//!
//! *Why traits*: the worker's loop is the same on Kafka and on the in-memory topic of the simulation;
//! only so does the simulation test the loop that runs in production.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kafka::KafkaError;
use crate::message::Message;

/// What an owner of lanes may fail with.
pub type OwnerError = Box<dyn std::error::Error + Send + Sync>;

/// One member of a group, for one thread.
pub trait Source {
    /// The messages of one poll; gone before the next.
    type Batch<'a>: Batch
    where
        Self: 'a;

    /// Serves rebalances and errors through `owner`, then takes up to `max` messages, for which it waits
    /// at most `timeout`.
    ///
    /// # Errors
    /// As [`crate::kafka::Consumer::poll`].
    fn poll<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        max: usize,
        timeout: Duration,
    ) -> Result<Option<Self::Batch<'_>>, KafkaError>;

    /// The next offset of each partition that has delivered something; it may lie above the last
    /// message's offset plus one.
    fn positions(&self) -> BTreeMap<i32, i64>;

    /// Whether the group has given us our share, which may be nothing.
    fn is_assigned(&self) -> bool;

    /// Errors since the last call, by the code's name.
    fn take_errors(&self) -> Vec<(String, u64)>;

    /// Tells the broker the next offsets, for lag tools. Nobody waits for the answer.
    fn commit_offsets(&self, next: &[(i32, i64)]);

    /// Where partitions begin, for lanes that are opened between two rebalances.
    fn origins(&self) -> &dyn Origins;

    /// Reads held partitions from these offsets on, forwards or backwards: what is queued of them is
    /// thrown away, and a pause or a [`Begin::Later`] is over. Of one that is not held, nothing happens.
    ///
    /// # Errors
    /// [`KafkaError::Transient`]: nothing of these partitions is delivered until it is repeated with success.
    fn seek(&mut self, next: &[(i32, i64)]) -> Result<(), KafkaError>;

    /// Stops reading these partitions without giving them up.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    fn pause(&self, partitions: &[i32]) -> Result<(), KafkaError>;

    /// Reads paused partitions on from where they stopped.
    ///
    /// # Errors
    /// [`KafkaError::Transient`], [`KafkaError::Fatal`].
    fn resume(&mut self, partitions: &[i32]) -> Result<(), KafkaError>;

    /// Lets the owner release all partitions, then ends the membership.
    ///
    /// # Errors
    /// [`KafkaError::Owner`] when the last commit failed.
    fn close<O: LaneOwner>(self, owner: &mut O, leave: Leave) -> Result<(), KafkaError>;
}

/// Messages of one poll.
pub trait Batch {
    /// How many; never 0.
    fn len(&self) -> usize;

    /// Never: a poll without messages gives no batch.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stretches of one partition, in order; a partition may have several.
    fn runs(&self) -> impl Iterator<Item = (i32, impl Iterator<Item = Message<'_>> + Clone)>;
}

/// Who keeps the lanes and their positions. Called on the polling thread, between two batches.
pub trait LaneOwner {
    /// These partitions are ours now: where to read each from, in the same order. For one without a
    /// ledger that is [`Origins::offset`].
    ///
    /// # Errors
    /// The poll ends with them, nothing is read yet, and the next poll asks again for the same partitions.
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &dyn Origins,
    ) -> Result<Vec<Begin>, OwnerError>;

    /// These partitions go: commit what is in hand unless they are lost, and let go of them. Returns the
    /// next offsets to tell the broker, for lag tools.
    ///
    /// # Errors
    /// The partitions are given up all the same, then the poll ends with them.
    fn revoked(&mut self, partitions: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError>;
}

/// Where to read a partition that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// From this offset on.
    At(i64),
    /// Not yet: its lane is not open. Nothing of it is delivered until [`Source::seek`].
    Later,
}

/// Where partitions begin and end, as the brokers say now.
pub trait Origins {
    /// The offset that `[source] start` means for a partition now.
    ///
    /// # Errors
    /// When no broker says it.
    fn offset(&self, partition: i32) -> Result<i64, KafkaError>;

    /// What the brokers keep of a partition: the lowest offset, and the one after the last readable
    /// message.
    ///
    /// # Errors
    /// When no broker says it.
    fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError>;

    /// What the topic is: its id, which another topic of the same name does not have. `None` when the
    /// brokers know no ids; then only positions tell.
    ///
    /// # Errors
    /// When no broker answers.
    fn identity(&self) -> Result<Option<Arc<str>>, KafkaError>;
}

/// How partitions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The group waits for us: nobody reads them yet.
    Orderly,
    /// The group has given us up: someone else may read them already.
    Lost,
}

/// Whether the group shall know that we are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// At once: our partitions go to the others. Not so with `group.protocol=consumer`: there the brokers
    /// keep a static member's share until its session is over.
    Yes,
    /// Not before the session times out: we come back under the same name, to the same partitions.
    No,
}

/// The bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The lowest offset that the broker keeps.
    pub low: i64,
    /// The offset after the last readable message.
    pub end: i64,
    /// Whether more lies behind the end, in a transaction that is still open: the input is then not silent,
    /// whoever stands at its end.
    pub pending: bool,
    /// When the question was sent.
    pub fetched_at: Instant,
    /// The round's number; grows.
    pub sequence: u64,
}

/// End offsets, fetched again and again off the lanes' threads: the evidence for idleness and lag.
pub trait Ends: Send + Sync {
    /// Adds partitions to those that are asked for, until each call has had its [`Ends::forget`].
    fn watch(&self, partitions: &[i32]);

    /// Takes one [`Ends::watch`] of each partition back.
    fn forget(&self, partitions: &[i32]);

    /// What was last published of a partition.
    fn get(&self, partition: i32) -> Option<End>;

    /// How many partitions the topic has.
    fn partitions(&self) -> usize;

    /// What the topic was when it was last looked at, as [`Origins::identity`], and the moment before that
    /// look; `None` before the first one, or when the brokers know no ids.
    fn identity(&self) -> Option<(Arc<str>, Instant)>;

    /// The same, but not from before `since`: looks again if need be, for a bounded time. `None` also when
    /// no broker answers. May be called from any thread.
    fn identity_since(&self, since: Instant) -> Option<Arc<str>>;
}
