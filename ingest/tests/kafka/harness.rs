//! The broker under test, topics of a test's own, and positions in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegauge_ingest::kafka::{
    Begin, Compression, Consumer, KafkaError, KafkaSettings, LaneOwner, Origins, Outgoing,
    OwnerError, Producer, ProducerSettings, Revoked, Start, create_topic,
};

/// Longer than anything here takes, so that a hang is a failure with a name.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const TICK: Duration = Duration::from_millis(10);

pub struct Kafka {
    pub brokers: String,
}

impl Kafka {
    /// `None` when there is none to test with.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub fn find() -> Option<Self> {
        if let Ok(brokers) = std::env::var("TIDEGAUGE_TEST_KAFKA") {
            return Some(Self { brokers });
        }
        assert!(std::env::var_os("CI").is_none(), "CI must set TIDEGAUGE_TEST_KAFKA");
        eprintln!("skipped: TIDEGAUGE_TEST_KAFKA is not set");
        None
    }

    /// A topic that nobody else has.
    pub fn topic(&self, partitions: u16) -> String {
        let name = unique("topic");
        create_topic(&self.brokers, &name, partitions, &BTreeMap::new()).expect("a topic");
        name
    }

    /// A source on a topic, with a group of its own.
    pub fn settings(&self, topic: &str, extra: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings {
            brokers: self.brokers.clone(),
            topic: topic.to_owned(),
            group: unique("group"),
            instance: unique("instance"),
            start: Start::Earliest,
            extra: owned(extra),
            connect_timeout: Duration::from_secs(10),
        }
    }

    pub fn producer(&self, topic: &str, compression: Compression) -> Producer {
        let (brokers, topic) = (self.brokers.clone(), topic.to_owned());
        let extra = BTreeMap::new();
        let settings = ProducerSettings { brokers, topic, compression, queue_kib: 8192, extra };
        Producer::start(&settings).expect("a producer")
    }

    /// Writes `count` messages to each of the partitions; a message's payload is its offset.
    pub fn fill(&self, topic: &str, partitions: i32, count: i64) {
        let producer = self.producer(topic, Compression::None);
        for partition in 0..partitions {
            for offset in 0..count {
                send(&producer, partition, offset);
            }
        }
        producer.flush(PATIENCE).expect("delivered");
    }
}

pub fn send(producer: &Producer, partition: i32, value: i64) {
    let text = value.to_string();
    let payload = Some(text.as_bytes());
    let partition = Some(partition);
    producer.send(Outgoing { payload, partition, ..Outgoing::default() }).expect("sent");
}

pub fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("{what}-{now:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Positions in memory, and all that came: (partition, offset, payload).
#[derive(Default)]
pub struct Ledger {
    pub next: BTreeMap<i32, i64>,
    /// Where each partition was begun last.
    pub begun: BTreeMap<i32, i64>,
    pub seen: Vec<(i32, i64, String)>,
    pub assignments: u32,
    pub revocations: Vec<Revoked>,
}

impl Ledger {
    pub fn at(next: &[(i32, i64)]) -> Self {
        Self { next: next.iter().copied().collect(), ..Self::default() }
    }

    /// Polls once and takes what comes; it must lie at or above the position.
    pub fn poll(&mut self, consumer: &mut Consumer) -> Result<(), KafkaError> {
        let Some(batch) = consumer.poll(self, 1000, TICK)? else { return Ok(()) };
        for (partition, message) in batch.iter() {
            let next = self.next.get_mut(&partition).expect("an assigned partition");
            assert!(message.offset >= *next, "{partition}: {} is below {next}", message.offset);
            *next = message.offset + 1;
            let text = String::from_utf8_lossy(message.payload.unwrap_or(b"-")).into_owned();
            self.seen.push((partition, message.offset, text));
        }
        Ok(())
    }

    /// Polls until the condition holds.
    pub fn poll_until(&mut self, consumer: &mut Consumer, done: impl Fn(&Self, &Consumer) -> bool) {
        let begun = Instant::now();
        while !done(self, consumer) {
            self.poll(consumer).expect("polled");
            let waited = begun.elapsed();
            assert!(waited < PATIENCE, "{} messages in {waited:?}", self.seen.len());
        }
    }

    /// Polls until it fails.
    pub fn poll_to_error(&mut self, consumer: &mut Consumer) -> KafkaError {
        let begun = Instant::now();
        loop {
            if let Err(error) = self.poll(consumer) {
                return error;
            }
            assert!(begun.elapsed() < PATIENCE, "no error came");
        }
    }
}

impl LaneOwner for Ledger {
    fn assigned(&mut self, given: &[i32], origins: &dyn Origins) -> Result<Vec<Begin>, OwnerError> {
        self.assignments += 1;
        for partition in given {
            if !self.next.contains_key(partition) {
                self.next.insert(*partition, origins.offset(*partition)?);
            }
        }
        let begun: Vec<i64> = given.iter().map(|partition| self.next[partition]).collect();
        self.begun.extend(given.iter().copied().zip(begun.iter().copied()));
        Ok(begun.into_iter().map(Begin::At).collect())
    }

    fn revoked(&mut self, gone: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        self.revocations.push(how);
        Ok(gone.iter().map(|partition| (*partition, self.next[partition])).collect())
    }
}
