//! A client without a group: looks at the topic from outside, so that no fetch stands in its way.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as NativeError;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::describe::topic_id;
use super::error::{KafkaError, is_refusal, is_unknown_topic};
use super::settings::{KafkaSettings, Start};
use super::watch::Watch;
use crate::source::Origins;

/// How long a new topic may be unknown to a broker before we believe that it is not there.
const UNKNOWN_MAX: Duration = Duration::from_secs(1);
/// The longest wait for one answer, so that errors are looked at in between.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// How long the bounds of a partition or the topic's id may take: a lane waits for them.
const BOUNDS_MAX: Duration = Duration::from_secs(5);
/// How long a commit may wait to hear that the topic is still the same.
const IDENTITY_MAX: Duration = Duration::from_secs(1);
/// How long one partition's offset may take when others' brokers are away.
const ONE_MAX: Duration = Duration::from_millis(250);
/// Events served at a time.
const EVENTS_MAX: usize = 256;

/// A connection that asks about one topic.
pub struct Observer {
    client: Arc<BaseConsumer<Watch>>,
    topic: String,
    partitions: usize,
    timeout: Duration,
    /// Which partition is asked for first when brokers are away.
    turn: Cell<usize>,
}

impl Observer {
    /// Connects and finds the topic.
    ///
    /// # Errors
    /// Within `connect_timeout`: [`KafkaError::Setting`], [`KafkaError::Unreachable`],
    /// [`KafkaError::Authentication`], [`KafkaError::UnknownTopic`].
    pub fn connect(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::connect_with(settings, &settings.observer()?)
    }

    /// The same; it sees what open transactions have written.
    ///
    /// # Errors
    /// As [`Observer::connect`].
    pub fn connect_to_all(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::connect_with(settings, &settings.observer_of_all()?)
    }

    fn connect_with(settings: &KafkaSettings, config: &ClientConfig) -> Result<Self, KafkaError> {
        let client: BaseConsumer<Watch> =
            config.create_with_context(Watch::of("observer")).map_err(KafkaError::creation)?;
        let mut observer = Self {
            client: Arc::new(client),
            topic: settings.topic.clone(),
            partitions: 0,
            timeout: settings.connect_timeout,
            turn: Cell::new(0),
        };
        let begun = Instant::now();
        let mut last = "no answer".to_owned();
        while begun.elapsed() < settings.connect_timeout {
            match observer.look() {
                Ok(partitions) => {
                    observer.partitions = partitions;
                    return Ok(observer);
                }
                Err(code) => observer.judge(code, begun, settings)?,
            }
            last = observer.client.context().last().unwrap_or(last);
        }
        let (brokers, waited) = (settings.brokers.clone(), settings.connect_timeout);
        Err(KafkaError::Unreachable { brokers, waited, reason: last })
    }

    /// The topic's partitions when they were last counted.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Counts the topic's partitions again.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    pub fn count_partitions(&mut self) -> Result<usize, KafkaError> {
        self.partitions = self.partitions_now()?;
        Ok(self.partitions)
    }

    /// Counts them, and forgets it.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    fn partitions_now(&self) -> Result<usize, KafkaError> {
        let failed = |code| KafkaError::transient(format!("look at topic {}", self.topic), code);
        self.look().map_err(failed)
    }

    /// The lowest offset of each partition, and the one after its last readable message, as the brokers
    /// say now. A partition without an answer is missing.
    ///
    /// # Errors
    /// [`KafkaError::Transient`] when there was no answer at all.
    pub fn bounds(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> Result<BTreeMap<i32, (i64, i64)>, KafkaError> {
        let low = self.offsets(partitions, Offset::Beginning, timeout)?;
        let end = self.offsets(partitions, Offset::End, timeout)?;
        let both = |(partition, low)| Some((partition, (low, *end.get(&partition)?)));
        Ok(low.into_iter().filter_map(both).collect())
    }

    /// The offset after the last message of each partition, as [`Observer::bounds`] does.
    ///
    /// # Errors
    /// [`KafkaError::Transient`] when there was no answer at all.
    pub fn ends(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        self.offsets(partitions, Offset::End, timeout)
    }

    /// The offset that a start means for one partition now.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    pub fn start_of(&self, partition: i32, start: Start) -> Result<i64, KafkaError> {
        let of = |at| Ok(self.offsets(&[partition], at, self.timeout)?.get(&partition).copied());
        let found = match start {
            Start::Earliest => of(Offset::Beginning)?,
            Start::Latest => of(Offset::End)?,
            // Rounded up: a message of an earlier part of the millisecond is before the time.
            Start::Time(ns) => match of(Offset::Offset(
                ns.max(0).div_euclid(1_000_000) + i64::from(ns.max(0) % 1_000_000 != 0),
            ))? {
                // Nothing as late as that yet: what comes next.
                None => of(Offset::End)?,
                found => found,
            },
        };
        let action = || format!("find the start of {}[{partition}]", self.topic);
        found.ok_or_else(|| KafkaError::transient(action(), "the broker named no offset"))
    }

    /// The topic's id as Kafka prints it; `None` when the brokers know no ids.
    ///
    /// # Errors
    /// [`KafkaError::Transient`] when there was no answer.
    pub fn identity(&self, timeout: Duration) -> Result<Option<Arc<str>>, KafkaError> {
        self.serve();
        let failed =
            |e: String| KafkaError::transient(format!("ask for the id of topic {}", self.topic), e);
        topic_id(self.client.client(), &self.topic, timeout).map_err(failed)
    }

    /// The same for other threads.
    pub(crate) fn topic_identity(&self) -> TopicIdentity {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        TopicIdentity { client, topic, last: Mutex::default() }
    }

    /// Errors since the last call, by librdkafka's name of the code.
    pub fn take_errors(&self) -> Vec<(String, u64)> {
        self.serve();
        self.client.context().take_counts()
    }

    /// All at once, else one by one: librdkafka throws all answers away when a broker gives none, and the
    /// partitions of the others must not look as if they had no end.
    fn offsets(
        &self,
        partitions: &[i32],
        at: Offset,
        timeout: Duration,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let all = self.offsets_at_once(partitions, at, timeout);
        if all.is_ok() || partitions.len() < 2 {
            return all;
        }
        let until = Instant::now() + timeout;
        // Another one first each time: none is left out for good when the time is short.
        let first = self.turn.get() % partitions.len();
        self.turn.set(first + 1);
        let mut found = BTreeMap::new();
        for partition in partitions.iter().cycle().skip(first).take(partitions.len()) {
            let left = until.saturating_duration_since(Instant::now()).min(ONE_MAX);
            if left.is_zero() {
                break;
            }
            found.extend(self.offsets_at_once(&[*partition], at, left).unwrap_or_default());
        }
        if found.is_empty() { all } else { Ok(found) }
    }

    /// One `ListOffsets` per broker; only answers that are offsets count.
    fn offsets_at_once(
        &self,
        partitions: &[i32],
        at: Offset,
        timeout: Duration,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        self.serve();
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let failed = |e: NativeError| {
            KafkaError::transient(format!("ask for the offsets of topic {}", self.topic), e)
        };
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked.add_partition_offset(&self.topic, partition, at).map_err(failed)?;
        }
        let answer = self.client.offsets_for_times(asked, timeout).map_err(failed)?;
        let offsets = answer.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) if offset >= 0 && element.error().is_ok() => {
                Some((element.partition(), offset))
            }
            _ => None,
        });
        let offsets: BTreeMap<i32, i64> = offsets.collect();
        if !offsets.is_empty() {
            self.client.context().answered();
        }
        Ok(offsets)
    }

    /// The number of partitions, or why there is none.
    fn look(&self) -> Result<usize, RDKafkaErrorCode> {
        let metadata = self.client.fetch_metadata(Some(&self.topic), ANSWER_MAX);
        self.serve();
        if metadata.is_ok() {
            self.client.context().answered();
        }
        partitions_in(metadata, &self.topic)
    }

    /// Ends the waiting for a broker when it would be in vain.
    fn judge(
        &self,
        code: RDKafkaErrorCode,
        begun: Instant,
        settings: &KafkaSettings,
    ) -> Result<(), KafkaError> {
        let KafkaSettings { topic, brokers, .. } = settings.clone();
        let refused = is_refusal(code).then(|| code.to_string());
        if let Some(reason) = self.client.context().refusal().or(refused) {
            return Err(KafkaError::Authentication { brokers, reason });
        }
        if is_unknown_topic(code) && begun.elapsed() >= UNKNOWN_MAX {
            return Err(KafkaError::UnknownTopic { topic, brokers });
        }
        let _ = self.client.poll(Duration::from_millis(50));
        Ok(())
    }

    fn serve(&self) {
        for _ in 0..EVENTS_MAX {
            let served = self.client.context().served();
            let polled = self.client.poll(Duration::ZERO);
            if polled.is_none() && self.client.context().served() == served {
                return;
            }
        }
    }
}

/// The topic's id for whoever must know that it still is the same; one question serves all who ask at once.
pub(crate) struct TopicIdentity {
    client: Arc<BaseConsumer<Watch>>,
    topic: String,
    /// When it was last asked for, and what came; nothing when no broker answered.
    last: Mutex<Option<(Instant, Option<Arc<str>>)>>,
}

impl TopicIdentity {
    pub(crate) fn since(&self, since: Instant) -> Option<Arc<str>> {
        // Held while it asks: who comes meanwhile has the same question.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, found)) = &*last
            && *at >= since
        {
            return found.clone();
        }
        let at = Instant::now();
        let found = topic_id(self.client.client(), &self.topic, IDENTITY_MAX).ok().flatten();
        *last = Some((at, found.clone()));
        found
    }
}

fn partitions_in(
    metadata: Result<Metadata, NativeError>,
    topic: &str,
) -> Result<usize, RDKafkaErrorCode> {
    let unclear = RDKafkaErrorCode::Fail;
    let metadata = metadata.map_err(|e| e.rdkafka_error_code().unwrap_or(unclear))?;
    let found = metadata.topics().iter().find(|t| t.name() == topic).ok_or(unclear)?;
    match (found.error(), found.partitions().len()) {
        (Some(error), _) => Err(error.into()),
        (None, 0) => Err(RDKafkaErrorCode::UnknownTopicOrPartition),
        (None, partitions) => Ok(partitions),
    }
}

/// Says where partitions begin and end, by a client of its own.
pub struct TopicOrigins {
    observer: Observer,
    start: Start,
}

impl TopicOrigins {
    /// For the topic and the start of these settings.
    pub fn new(settings: &KafkaSettings, observer: Observer) -> Self {
        Self { observer, start: settings.start }
    }
}

impl TopicOrigins {
    /// How many partitions the topic has now.
    ///
    /// # Errors
    /// [`KafkaError::Transient`].
    pub fn partitions(&self) -> Result<i32, KafkaError> {
        self.observer.partitions_now().map(|count| i32::try_from(count).unwrap_or(i32::MAX))
    }
}

impl Origins for TopicOrigins {
    fn offset(&self, partition: i32) -> Result<i64, KafkaError> {
        self.observer.start_of(partition, self.start)
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        let bounds = self.observer.bounds(&[partition], BOUNDS_MAX)?;
        let missing = || {
            let action = format!("find the bounds of {}[{partition}]", self.observer.topic);
            KafkaError::transient(action, "no broker named them")
        };
        bounds.get(&partition).copied().ok_or_else(missing)
    }

    fn identity(&self) -> Result<Option<Arc<str>>, KafkaError> {
        self.observer.identity(BOUNDS_MAX)
    }
}
