//! A topic in memory that a worker reads as it reads Kafka's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tidegauge::clock::Clock;
use tidegauge_ingest::kafka::KafkaError;
use tidegauge_ingest::{
    Batch, Begin, End, Ends, LaneOwner, Leave, Message, Origins, OwnerError, Revoked, Source,
};

use super::{StillClock, TOPIC};

/// Messages of one partition that a poll takes: a broker's fetches have a limit as well.
const POLL_MAX: usize = 1_000;

/// Shared by all that read it.
#[derive(Clone)]
pub struct Topic(Arc<Mutex<Content>>);

struct Content {
    id: String,
    /// What the watch of the ends saw last, if it looks no more.
    seen: Option<(Arc<str>, Instant)>,
    partitions: Vec<Log>,
}

#[derive(Default)]
struct Log {
    low: i64,
    end: i64,
    messages: BTreeMap<i64, String>,
}

impl Topic {
    pub fn new(partitions: usize) -> Self {
        let partitions = (0..partitions).map(|_| Log::default()).collect();
        Self(Arc::new(Mutex::new(Content { id: "first".into(), seen: None, partitions })))
    }

    pub fn publish(&self, partition: usize, texts: impl IntoIterator<Item = String>) {
        let log = &mut self.content().partitions[partition];
        for text in texts {
            log.messages.insert(log.end, text);
            log.end += 1;
        }
    }

    /// Retention.
    pub fn delete_below(&self, partition: usize, low: i64) {
        let log = &mut self.content().partitions[partition];
        log.low = low;
        log.messages.retain(|offset, _| *offset >= low);
    }

    /// Deleted and made again, with another id, empty.
    pub fn recreate(&self, id: &str) {
        let mut content = self.content();
        content.id = id.into();
        content.partitions.iter_mut().for_each(|log| *log = Log::default());
    }

    /// From now on the watch of the ends stays with what it sees.
    pub fn look_no_more(&self, now: Instant) {
        let mut content = self.content();
        content.seen = Some((content.id.as_str().into(), now));
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("unharmed")
    }
}

impl Origins for Topic {
    fn offset(&self, partition: i32) -> Result<i64, KafkaError> {
        Ok(self.bounds(partition)?.0)
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        let log = &self.content().partitions[partition as usize];
        Ok((log.low, log.end))
    }

    fn identity(&self) -> Result<Option<Arc<str>>, KafkaError> {
        Ok(Some(self.content().id.as_str().into()))
    }
}

pub struct MemoryEnds(Topic, Arc<StillClock>);

impl MemoryEnds {
    pub fn new(topic: &Topic, clock: Arc<StillClock>) -> Self {
        Self(topic.clone(), clock)
    }
}

impl Ends for MemoryEnds {
    fn watch(&self, _: &[i32]) {}

    fn forget(&self, _: &[i32]) {}

    fn get(&self, partition: i32) -> Option<End> {
        let (low, end) = self.0.bounds(partition).ok()?;
        Some(End { low, end, pending: false, fetched_at: self.1.instant(), sequence: 0 })
    }

    fn partitions(&self) -> usize {
        self.0.content().partitions.len()
    }

    fn identity(&self) -> Option<(Arc<str>, Instant)> {
        let content = self.0.content();
        content.seen.clone().or_else(|| Some((content.id.as_str().into(), self.1.instant())))
    }

    fn identity_since(&self, _: Instant) -> Option<Arc<str>> {
        Some(self.0.content().id.as_str().into())
    }
}

/// What the group asks of a member, next first.
#[derive(Clone, Default)]
pub struct Group(Arc<Mutex<VecDeque<Wish>>>);

enum Wish {
    Assign(Vec<i32>),
    Revoke(Vec<i32>, Revoked),
}

impl Group {
    pub fn assign(&self, partitions: &[i32]) {
        self.0.lock().expect("unharmed").push_back(Wish::Assign(partitions.to_vec()));
    }

    pub fn revoke(&self, partitions: &[i32], how: Revoked) {
        self.0.lock().expect("unharmed").push_back(Wish::Revoke(partitions.to_vec(), how));
    }
}

/// One member.
pub struct MemorySource {
    topic: Topic,
    pub group: Group,
    /// `None`: not read yet.
    next: BTreeMap<i32, Option<i64>>,
    paused: RefCell<BTreeSet<i32>>,
    /// The next offsets that the broker was told.
    pub told: RefCell<BTreeMap<i32, i64>>,
}

impl MemorySource {
    pub fn new(topic: &Topic) -> Self {
        let (group, next, paused, told) = Default::default();
        Self { topic: topic.clone(), group, next, paused, told }
    }

    fn serve<O: LaneOwner>(&mut self, owner: &mut O) -> Result<(), OwnerError> {
        loop {
            let wish = self.group.0.lock().expect("unharmed").pop_front();
            match wish {
                None => return Ok(()),
                Some(Wish::Assign(partitions)) => {
                    let begins = owner.assigned(&partitions, &self.topic)?;
                    self.paused.borrow_mut().retain(|p| !partitions.contains(p));
                    self.next.extend(partitions.into_iter().zip(begins.into_iter().map(
                        |b| match b {
                            Begin::At(offset) => Some(offset),
                            Begin::Later => None,
                        },
                    )));
                }
                Some(Wish::Revoke(partitions, how)) => {
                    self.next.retain(|p, _| !partitions.contains(p));
                    let told = owner.revoked(&partitions, how)?;
                    self.told.borrow_mut().extend(told);
                }
            }
        }
    }
}

/// Messages in one order for each partition.
pub struct MemoryBatch(Vec<(i32, Vec<(i64, String)>)>);

impl Batch for MemoryBatch {
    fn len(&self) -> usize {
        self.0.iter().map(|(_, messages)| messages.len()).sum()
    }

    fn runs(&self) -> impl Iterator<Item = (i32, impl Iterator<Item = Message<'_>> + Clone)> {
        self.0.iter().map(|(partition, messages)| (*partition, messages.iter().map(as_message)))
    }
}

fn as_message((offset, text): &(i64, String)) -> Message<'_> {
    Message { offset: *offset, timestamp_ms: None, payload: Some(text.as_bytes()) }
}

impl Source for MemorySource {
    type Batch<'a> = MemoryBatch;

    fn poll<O: LaneOwner>(
        &mut self,
        owner: &mut O,
        max: usize,
        _: Duration,
    ) -> Result<Option<MemoryBatch>, KafkaError> {
        self.serve(owner).map_err(KafkaError::Owner)?;
        let content = self.topic.content();
        let mut runs = Vec::new();
        for (&partition, next) in &mut self.next {
            let Some(next) = next else { continue };
            if self.paused.borrow().contains(&partition) {
                continue;
            }
            let log = &content.partitions[partition as usize];
            if *next < log.low || *next > log.end {
                let (offset, reason) = (*next, "no such offset".to_string());
                let topic = TOPIC.to_string();
                return Err(KafkaError::OutOfRange { topic, partition, offset, reason });
            }
            let range = log.messages.range(*next..).take(max.min(POLL_MAX));
            let run: Vec<_> = range.map(|(offset, text)| (*offset, text.clone())).collect();
            if let Some((last, _)) = run.last() {
                *next = last + 1;
                runs.push((partition, run));
            }
        }
        Ok((!runs.is_empty()).then_some(MemoryBatch(runs)))
    }

    fn positions(&self) -> BTreeMap<i32, i64> {
        self.next.iter().filter_map(|(partition, next)| Some((*partition, (*next)?))).collect()
    }

    fn is_assigned(&self) -> bool {
        true
    }

    fn take_errors(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn commit_offsets(&self, next: &[(i32, i64)]) {
        self.told.borrow_mut().extend(next.iter().copied());
    }

    fn origins(&self) -> &dyn Origins {
        &self.topic
    }

    fn seek(&mut self, next: &[(i32, i64)]) -> Result<(), KafkaError> {
        for (partition, offset) in next {
            if let Some(next) = self.next.get_mut(partition) {
                *next = Some(*offset);
                self.paused.borrow_mut().remove(partition);
            }
        }
        Ok(())
    }

    fn pause(&self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.paused.borrow_mut().extend(partitions);
        Ok(())
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.paused.borrow_mut().retain(|p| !partitions.contains(p));
        Ok(())
    }

    fn close<O: LaneOwner>(mut self, owner: &mut O, _: Leave) -> Result<(), KafkaError> {
        let partitions: Vec<i32> = std::mem::take(&mut self.next).into_keys().collect();
        owner.revoked(&partitions, Revoked::Orderly).map(drop).map_err(KafkaError::Owner)
    }
}
