//! One member of the consumer group: a thread's source of batches.
//!
//! *Why rebalances are served between polls*: see `context.rs`. *Why this order at an assignment*
//! (unassign, forward, assign, forward): librdkafka's assign over an assignment takes the forwarding
//! back, an unassignment does so later on another thread, and the partitions' messages stall without a
//! word. *Why what stays is set back at a rebalance*: see `handed.rs`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError as NativeError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};

use super::batch::{Forward, Inbox, MessageBatch, Stray, c_name};
use super::client::{Client, bare_list, offset_list};
use super::context::Membership;
use super::error::KafkaError;
use super::handed::Handed;
use super::observer::{Observer, TopicOrigins};
use super::settings::KafkaSettings;
use super::trouble::{Trouble, code_name};
use crate::source::{Begin, LaneOwner, Leave, Origins, Revoked, Source};

mod assign;
mod rebalance;
#[cfg(test)]
mod tests;

/// Events of the main queue served per poll; the rest waits for the next one.
const EVENTS_MAX: usize = 256;
/// How long an orderly goodbye may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How long after the last revoke librdkafka needs to send its goodbye.
const LEAVE_LINGER: Duration = Duration::from_millis(100);

/// What a closing consumer could not do.
pub type Release = Result<(), KafkaError>;

/// A member of the group, for one thread.
pub struct Consumer {
    settings: KafkaSettings,
    topic: CString,
    /// The assignment: each partition's way into the inbox.
    forwards: BTreeMap<i32, Forward>,
    /// How far each partition of it was handed out.
    handed: Handed,
    /// Whether the group has given us our share, which may be nothing.
    assigned: bool,
    /// Since when we are seen to be of the group without a share.
    without: Option<Instant>,
    inbox: Inbox,
    /// Found beside messages, which go first.
    trouble: Trouble,
    origins: TopicOrigins,
    /// Paused by the owner.
    paused: RefCell<BTreeSet<i32>>,
    /// Since when librdkafka refuses to go where it is told.
    adrift: Option<Instant>,
    /// What a failed assignment was to read. It is ours still, and librdkafka may read none of it.
    unfinished: BTreeMap<i32, Begin>,
    /// Last: it is closed when nobody holds a queue of it any more.
    client: Client,
}

impl Consumer {
    /// Checks that the brokers answer, let us in and have the topic; then joins the group as the member
    /// of this thread. The partitions come with the first polls.
    ///
    /// # Errors
    /// Within `connect_timeout`: [`KafkaError::Setting`], [`KafkaError::Unreachable`],
    /// [`KafkaError::Authentication`], [`KafkaError::UnknownTopic`].
    pub fn start(settings: &KafkaSettings, thread: usize) -> Result<Self, KafkaError> {
        let consumer = Self::with(settings, &settings.member(thread)?)?;
        let topics = [settings.topic.as_str()];
        consumer.client.subscribe(&topics).map_err(|e| KafkaError::transient("subscribe", e))?;
        Ok(consumer)
    }

    /// The same without a group: it reads what [`Consumer::add`] says.
    ///
    /// # Errors
    /// As [`Consumer::start`].
    pub(crate) fn alone(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::with(settings, &settings.reader()?)
    }

    fn with(settings: &KafkaSettings, config: &ClientConfig) -> Result<Self, KafkaError> {
        let observer = Observer::connect(settings)?;
        let client: BaseConsumer<Membership> =
            config.create_with_context(Membership::new()).map_err(KafkaError::creation)?;
        let client = Arc::new(client);
        let join = || KafkaError::transient("join the group", "librdkafka gave no queue");
        Ok(Self {
            settings: settings.clone(),
            topic: c_name(&settings.topic).ok_or_else(join)?,
            forwards: BTreeMap::new(),
            handed: Handed::default(),
            assigned: false,
            without: None,
            inbox: Inbox::new(client.clone()).ok_or_else(join)?,
            trouble: Trouble::default(),
            origins: TopicOrigins::new(settings, observer),
            paused: RefCell::default(),
            adrift: None,
            unfinished: BTreeMap::new(),
            client: Client::new(client, &settings.topic),
        })
    }

    /// Reads these partitions besides what it reads already; for a client without a group.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    pub(crate) fn add(&mut self, next: &[(i32, Begin)]) -> Result<(), KafkaError> {
        let all: Vec<_> = self.handed.begins().chain(next.iter().copied()).collect();
        self.assign(&all).map_err(|e| KafkaError::transient("assign partitions", e))
    }

    /// Reads nothing any more; for a client without a group.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    pub(crate) fn let_all_go(&mut self) -> Result<(), KafkaError> {
        self.inbox.clear();
        let all: Vec<i32> = self.partitions().collect();
        self.acknowledge(&all)
    }

    /// Serves rebalances and errors, then takes up to `max` messages. It returns when it has them or
    /// when `timeout` has passed, not at the first message: a small timeout keeps the delay small.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`], [`KafkaError::OutOfRange`], [`KafkaError::UnknownTopic`],
    /// [`KafkaError::Authentication`], [`KafkaError::Owner`]. Trouble that librdkafka mends by itself is
    /// only counted: [`Consumer::take_errors`].
    pub fn poll<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        max: usize,
        timeout: Duration,
    ) -> Result<Option<MessageBatch<'_>>, KafkaError> {
        self.trouble.check()?;
        self.inbox.clear();
        self.serve_rebalances(owner)?;
        self.drain_events();
        self.trouble.check()?;
        // A stray's partition must not go before the stray has been handed over.
        if self.inbox.strays() == 0 {
            self.serve_rebalances(owner)?;
            self.notice_empty_share();
            for notice in self.inbox.fetch(max, timeout, &mut self.handed) {
                self.client.context().watch.count(notice.code);
                self.trouble.take_notice(notice, &self.settings);
            }
        }
        let batch = self.inbox.batch();
        if batch.is_some() {
            self.client.context().watch.answered();
        }
        Ok(batch)
    }

    /// The partitions that we read now.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.forwards.keys().copied()
    }

    /// Whether the group has given us our share, which is nothing when there are more members than
    /// partitions. Not any more when all of it went, until the next answer of the group.
    pub fn is_assigned(&self) -> bool {
        self.assigned
    }

    /// The next offset of each partition that has delivered something: everything readable below it was
    /// in the batches so far. It may lie above the last message's offset plus one, behind the marks of
    /// transactions, so it is this that meets an end offset. For an idle moment, not for each batch.
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        let mut next: BTreeMap<i32, i64> = self.handed.moved().collect();
        // librdkafka's own are missing right after a rebalance, and may lie behind marks.
        let Ok(list) = self.client.position() else { return next };
        let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        };
        for (partition, offset) in list.elements().iter().filter_map(offset) {
            if self.handed.reads(partition) {
                let next = next.entry(partition).or_insert(offset);
                *next = offset.max(*next);
            }
        }
        next
    }

    /// Errors since the last call, by librdkafka's name of the code.
    pub fn take_errors(&self) -> Vec<(String, u64)> {
        self.client.context().watch.take_counts()
    }

    /// Tells the broker the next offsets, for lag tools. Nobody waits for the answer; a failure is
    /// counted.
    pub fn commit_offsets(&self, next: &[(i32, i64)]) {
        if next.is_empty() {
            return;
        }
        let result = offset_list(&self.settings.topic, next)
            .and_then(|offsets| self.client.commit(&offsets, CommitMode::Async));
        if let Err(error) = result {
            self.client.context().watch.count_as(&code_name(&error));
        }
    }

    /// Stops reading these partitions without giving them up; others go on.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    pub fn pause(&self, partitions: &[i32]) -> Result<(), KafkaError> {
        let list = bare_list(&self.settings.topic, partitions);
        self.client.pause(&list).map_err(|e| KafkaError::transient("pause partitions", e))?;
        self.paused.borrow_mut().extend(partitions);
        Ok(())
    }

    /// Reads paused partitions on from where they stopped.
    ///
    /// # Errors
    /// [`KafkaError::Transient`]; [`KafkaError::Fatal`] when it is not sure where they go on.
    pub fn resume(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        let list = bare_list(&self.settings.topic, partitions);
        self.client.resume(&list).map_err(|e| KafkaError::transient("resume partitions", e))?;
        self.paused.borrow_mut().retain(|partition| !partitions.contains(partition));
        self.set_back(partitions)
    }

    /// Where partitions begin and end, by a client of its own.
    pub fn origins(&self) -> &TopicOrigins {
        &self.origins
    }

    /// Lets the owner release all partitions, then ends the membership. Dropping a consumer ends it too,
    /// but asks nobody.
    ///
    /// # Errors
    /// [`KafkaError::Owner`] when the last commit failed.
    pub fn close<O: LaneOwner>(mut self, owner: &mut O, leave: Leave) -> Release {
        match leave {
            Leave::Yes => self.say_goodbye(owner),
            Leave::No => self.release_all(owner),
        }
    }

    fn say_goodbye<O: LaneOwner>(&mut self, owner: &mut O) -> Release {
        let deadline = Instant::now() + LEAVE_MAX;
        self.client.unsubscribe();
        let mut released = Ok(());
        let mut gone_at = None;
        while Instant::now() < deadline {
            self.drain_one(Duration::from_millis(10));
            self.inbox.clear();
            released = released.and(self.serve_rebalances(owner));
            if self.forwards.is_empty() {
                let gone_at = *gone_at.get_or_insert_with(Instant::now);
                if gone_at.elapsed() > LEAVE_LINGER {
                    return released;
                }
            }
        }
        released.and(self.release_all(owner))
    }

    fn release_all<O: LaneOwner>(&mut self, owner: &mut O) -> Release {
        let partitions: Vec<i32> = self.partitions().collect();
        self.release(owner, &partitions, Revoked::Orderly)
    }

    /// Serves what waits in the main queue. A poll serves one event, and `None` may mean that it did.
    fn drain_events(&mut self) {
        for _ in 0..EVENTS_MAX {
            let served = self.client.context().watch.served();
            let found = self.drain_one(Duration::ZERO);
            if !found && self.client.context().watch.served() == served {
                return;
            }
        }
    }

    fn drain_one(&mut self, timeout: Duration) -> bool {
        let polled = self.client.poll(timeout).map(|p| p.map(|message| Stray::of(&message)));
        match polled {
            None => return false,
            Some(Ok(stray)) => {
                self.client.context().watch.count_as("MessageOnMainQueue");
                if self.handed.admit(stray.partition, stray.offset) {
                    self.inbox.keep(stray);
                }
            }
            Some(Err(error)) => self.take_error(&error),
        }
        true
    }

    fn take_error(&mut self, error: &NativeError) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let is_fatal = matches!(error, NativeError::MessageConsumptionFatal(_));
        let fatal = self.client.client().fatal_error();
        if is_fatal || fatal.is_some() {
            let (code, reason) = fatal.unwrap_or_else(|| (code, error.to_string()));
            return self.trouble.end(format!("{code:?}"), reason);
        }
        self.trouble.take_error(code, &self.settings);
    }
}

impl Source for Consumer {
    type Batch<'a> = MessageBatch<'a>;

    fn poll<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        max: usize,
        timeout: Duration,
    ) -> Result<Option<MessageBatch<'_>>, KafkaError> {
        Self::poll(self, owner, max, timeout)
    }

    fn positions(&self) -> BTreeMap<i32, i64> {
        Self::positions(self)
    }

    fn is_assigned(&self) -> bool {
        Self::is_assigned(self)
    }

    fn take_errors(&self) -> Vec<(String, u64)> {
        Self::take_errors(self)
    }

    fn commit_offsets(&self, next: &[(i32, i64)]) {
        Self::commit_offsets(self, next);
    }

    fn origins(&self) -> &dyn Origins {
        Self::origins(self)
    }

    fn seek(&mut self, next: &[(i32, i64)]) -> Result<(), KafkaError> {
        Self::seek(self, next)
    }

    fn pause(&self, partitions: &[i32]) -> Result<(), KafkaError> {
        Self::pause(self, partitions)
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        Self::resume(self, partitions)
    }

    fn close<O: LaneOwner>(self, owner: &mut O, leave: Leave) -> Release {
        Self::close(self, owner, leave)
    }
}
