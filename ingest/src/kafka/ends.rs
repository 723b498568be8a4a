//! End offsets, fetched again and again off the lanes' threads: the evidence for idleness and lag.
//!
//! **Guarantees**: an end is what a broker said at some time after `fetched_at`; without an answer nothing
//! is published, and what was published before keeps its old time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::error::KafkaError;
use super::observer::{Observer, TopicIdentity};
use super::settings::KafkaSettings;
use crate::source::{End, Ends};

/// The default time between two rounds.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// How long one question may take; a close waits for it.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How often partitions are counted and the topic's id is looked at: a topic may grow, or be made anew.
const RECOUNT: Duration = Duration::from_secs(2);

/// Watches the ends of partitions on a thread of its own.
pub struct EndOffsets {
    shared: Arc<Mutex<Shared>>,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    identity: TopicIdentity,
}

#[derive(Default)]
struct Shared {
    /// How many holders ask for each: within a process a partition's next holder may begin to watch
    /// before the last one forgets.
    asked: BTreeMap<i32, usize>,
    ends: BTreeMap<i32, End>,
    partitions: usize,
    /// The topic's id, and a moment before it was asked for.
    identity: Option<(Arc<str>, Instant)>,
    errors: BTreeMap<String, u64>,
}

impl EndOffsets {
    /// Connects, and asks every `interval` from then on.
    ///
    /// # Errors
    /// As [`Observer::connect`].
    pub fn start(settings: &KafkaSettings, interval: Duration) -> Result<Self, KafkaError> {
        let observer = Observer::connect(settings)?;
        let of_all = Observer::connect_to_all(settings)?;
        let partitions = observer.partitions();
        let identity = observer.topic_identity();
        let shared = Arc::new(Mutex::new(Shared { partitions, ..Shared::default() }));
        let (wake, woken) = bounded(1);
        let round = Round { observer, of_all, shared: shared.clone(), sequence: 0, counted: None };
        let thread = std::thread::Builder::new()
            .name("end-offsets".into())
            .spawn(move || round.run(&woken, interval))
            .map_err(|e| KafkaError::transient("start the thread for end offsets", e))?;
        Ok(Self { shared, wake: Some(wake), thread: Some(thread), identity })
    }

    /// Adds partitions to those that are asked for, until each call has had its [`EndOffsets::forget`].
    pub fn watch(&self, partitions: &[i32]) {
        let mut shared = lock(&self.shared);
        for &partition in partitions {
            *shared.asked.entry(partition).or_default() += 1;
        }
        drop(shared);
        self.request_fresh();
    }

    /// Takes one [`EndOffsets::watch`] of each partition back. With the last one, what is known of the
    /// partition is forgotten. One that nobody watches is left as it is.
    pub fn forget(&self, partitions: &[i32]) {
        let mut shared = lock(&self.shared);
        for &partition in partitions {
            let Some(holders) = shared.asked.get_mut(&partition) else { continue };
            *holders -= 1;
            if *holders == 0 {
                shared.asked.remove(&partition);
                shared.ends.remove(&partition);
            }
        }
    }

    /// Asks at once instead of at the next interval; does not wait for the answer.
    pub fn request_fresh(&self) {
        if let Some(wake) = &self.wake {
            // Full: a round is due already.
            let _ = wake.try_send(());
        }
    }

    /// What was last published of a partition.
    pub fn get(&self, partition: i32) -> Option<End> {
        lock(&self.shared).ends.get(&partition).copied()
    }

    /// What was last published of all.
    pub fn snapshot(&self) -> BTreeMap<i32, End> {
        lock(&self.shared).ends.clone()
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> usize {
        lock(&self.shared).partitions
    }

    /// Errors since the last call, by librdkafka's name of the code.
    pub fn take_errors(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut lock(&self.shared).errors).into_iter().collect()
    }
}

impl Ends for EndOffsets {
    fn watch(&self, partitions: &[i32]) {
        Self::watch(self, partitions);
    }

    fn forget(&self, partitions: &[i32]) {
        Self::forget(self, partitions);
    }

    fn get(&self, partition: i32) -> Option<End> {
        Self::get(self, partition)
    }

    fn partitions(&self) -> usize {
        Self::partitions(self)
    }

    fn identity(&self) -> Option<(Arc<str>, Instant)> {
        lock(&self.shared).identity.clone()
    }

    fn identity_since(&self, since: Instant) -> Option<Arc<str>> {
        self.identity.since(since)
    }
}

impl Drop for EndOffsets {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Round {
    observer: Observer,
    /// Sees behind open transactions.
    of_all: Observer,
    shared: Arc<Mutex<Shared>>,
    sequence: u64,
    counted: Option<Instant>,
}

impl Round {
    fn run(mut self, woken: &Receiver<()>, interval: Duration) {
        loop {
            match woken.recv_timeout(interval) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.ask(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn ask(&mut self) {
        let asked: Vec<i32> = lock(&self.shared).asked.keys().copied().collect();
        let fetched_at = Instant::now();
        let bounds = self.observer.bounds(&asked, ANSWER_MAX);
        // Asked after the ends, so that what is written in between counts as more to come. No answer is
        // no evidence of silence.
        let all = self.of_all.ends(&asked, ANSWER_MAX).unwrap_or_default();
        let _ = self.of_all.take_errors();
        let identity = self.look_at_topic();
        let mut shared = lock(&self.shared);
        shared.partitions = self.observer.partitions();
        shared.identity = identity.or(shared.identity.take());
        for (code, count) in self.observer.take_errors() {
            *shared.errors.entry(code).or_default() += count;
        }
        let Ok(bounds) = bounds else {
            *shared.errors.entry("EndOffsets".into()).or_default() += 1;
            return;
        };
        self.sequence += 1;
        for (partition, (low, end)) in bounds {
            if shared.asked.contains_key(&partition) {
                let pending = all.get(&partition).is_none_or(|all| *all > end);
                let end = End { low, end, pending, fetched_at, sequence: self.sequence };
                shared.ends.insert(partition, end);
            }
        }
    }
}

impl Round {
    /// Counts partitions and asks for the topic's id, now and then. A failure shows in the errors; what was
    /// known before stays.
    fn look_at_topic(&mut self) -> Option<(Arc<str>, Instant)> {
        let now = Instant::now();
        if self.counted.is_some_and(|at| now.duration_since(at) < RECOUNT) {
            return None;
        }
        self.counted = Some(now);
        let _ = self.observer.count_partitions();
        let identity = self.observer.identity(ANSWER_MAX).ok().flatten()?;
        Some((identity, now))
    }
}

/// Plain data stays whole when a holder panics.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
