//! What is delivered: everything from the position on, in order, and nothing else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tidegauge_ingest::kafka::{
    Compression, Consumer, End, EndOffsets, KafkaSettings, Leave, Outgoing, Start,
};

use crate::harness::{Kafka, Ledger, PATIENCE};

#[test]
fn batches_deliver_all_of_four_partitions_in_order() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(4);
    kafka.fill(&topic, 4, 5000);
    let mut consumer = Consumer::start(&kafka.settings(&topic, &[]), 0).expect("started");
    let mut ledger = Ledger::default();
    ledger.poll_until(&mut consumer, |ledger, _| ledger.seen.len() >= 20_000);
    assert_eq!(ledger.next, (0..4).map(|p| (p, 5000)).collect());
    assert!(ledger.seen.iter().all(|(_, offset, text)| *text == offset.to_string()));
    assert_eq!(ledger.seen.len(), 20_000);
    assert_eq!(consumer.take_errors(), []);
}

#[test]
fn fm_33_nothing_below_the_ledgers_position_is_delivered() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(4);
    kafka.fill(&topic, 4, 1000);
    for round in 0..5 {
        let from = [(0, 0), (1, 1 + round), (2, 500 + round), (3, 999)];
        let expected: i64 = from.iter().map(|(_, next)| 1000 - next).sum();
        let mut consumer = Consumer::start(&kafka.settings(&topic, &[]), 0).expect("started");
        let mut ledger = Ledger::at(&from);
        ledger.poll_until(&mut consumer, |ledger, _| ledger.next.values().all(|n| *n == 1000));
        assert_eq!(ledger.seen.len() as i64, expected);
        consumer.close(&mut ledger, Leave::Yes).expect("closed");
    }
}

#[test]
fn fm_32_a_lane_without_a_ledger_starts_where_the_settings_say() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    let producer = kafka.producer(&topic, Compression::None);
    // An hour ago: a broker deletes messages that are older than its retention.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let (base, second) = ((now - 3600) * 1000, 1_000_000_000);
    let send = |ms| {
        let (payload, timestamp_ms) = (Some(b"x".as_slice()), Some(base + ms));
        producer.send(Outgoing { payload, timestamp_ms, ..Outgoing::default() }).expect("sent");
    };
    (1..=10).for_each(|n| send(n * 1000));
    producer.flush(PATIENCE).expect("delivered");
    let cases = [
        (Start::Earliest, 0),
        (Start::Latest, 10),
        (Start::Time(base * 1_000_000 + 4 * second), 3),
        (Start::Time(base * 1_000_000 + 4 * second + 1), 4),
        (Start::Time(base * 1_000_000 + 99 * second), 10),
        (Start::Time(-1), 0),
    ];
    for (start, first) in cases {
        let settings = kafka.settings(&topic, &[]);
        let settings = KafkaSettings { start, ..settings };
        let mut consumer = Consumer::start(&settings, 0).expect("started");
        let mut ledger = Ledger::default();
        ledger.poll_until(&mut consumer, |ledger, _| ledger.begun.contains_key(&0));
        assert_eq!(ledger.begun[&0], first, "{start:?}");
    }
}

#[test]
fn every_compression_is_read() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    for compression in Compression::ALL {
        let producer = kafka.producer(&topic, compression);
        for n in 0..200 {
            let text = format!("{} {n} {}", compression.as_str(), "ab".repeat(50));
            let payload = Some(text.as_bytes());
            producer.send(Outgoing { payload, ..Outgoing::default() }).expect("sent");
        }
        assert_eq!(producer.flush(PATIENCE).expect("delivered"), 200);
    }
    let mut consumer = Consumer::start(&kafka.settings(&topic, &[]), 0).expect("started");
    let mut ledger = Ledger::default();
    ledger.poll_until(&mut consumer, |ledger, _| ledger.seen.len() >= 1000);
    for compression in Compression::ALL {
        let of = |text: &str| text.starts_with(compression.as_str());
        assert_eq!(ledger.seen.iter().filter(|(_, _, text)| of(text)).count(), 200);
    }
}

/// A producer that writes in transactions, ready to begin one.
fn transactional(kafka: &Kafka, topic: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("transactional.id", topic)
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("ready");
    producer
}

#[test]
fn fm_34_aborted_messages_are_not_read_and_the_end_is_reached_behind_the_marks() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    let producer = transactional(&kafka, &topic);
    for (text, commit) in [("kept", true), ("aborted", false), ("kept", true), ("aborted", false)] {
        producer.begin_transaction().expect("begun");
        for _ in 0..5 {
            producer.send(BaseRecord::<(), str>::to(&topic).payload(text)).expect("sent");
        }
        producer.flush(PATIENCE).expect("delivered");
        if commit {
            producer.commit_transaction(PATIENCE).expect("committed");
        } else {
            producer.abort_transaction(PATIENCE).expect("aborted");
        }
    }
    let settings = kafka.settings(&topic, &[]);
    let ends = EndOffsets::start(&settings, Duration::from_millis(50)).expect("watching");
    ends.watch(&[0]);
    let mut consumer = Consumer::start(&settings, 0).expect("started");
    let mut ledger = Ledger::default();
    let position = |consumer: &Consumer| consumer.positions().get(&0).copied();
    ledger.poll_until(&mut consumer, |_, consumer| {
        position(consumer).is_some() && position(consumer) == ends.get(0).map(|end| end.end)
    });
    assert_eq!(ledger.seen.len(), 10);
    assert!(ledger.seen.iter().all(|(_, _, text)| text == "kept"));
    // 20 messages and 4 marks; the last message that counts is the 5th of the third transaction.
    assert_eq!((position(&consumer), ledger.next[&0]), (Some(24), 17));
}

#[test]
fn fm_34_a_partition_with_an_open_transaction_is_not_silent() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    let producer = transactional(&kafka, &topic);
    producer.begin_transaction().expect("begun");
    producer.send(BaseRecord::<(), str>::to(&topic).payload("waits")).expect("sent");
    producer.flush(PATIENCE).expect("delivered");
    let settings = kafka.settings(&topic, &[]);
    let ends = EndOffsets::start(&settings, Duration::from_millis(20)).expect("watching");
    ends.watch(&[0]);
    let wait_for = |pending: bool, at: i64| {
        let deadline = Instant::now() + PATIENCE;
        let is = |end: End| end.pending == pending && end.end == at;
        while !ends.get(0).is_some_and(is) {
            assert!(Instant::now() < deadline, "{:?}", ends.get(0));
            std::thread::park_timeout(Duration::from_millis(10));
        }
    };
    wait_for(true, 0);
    producer.commit_transaction(PATIENCE).expect("committed");
    // The message and the mark.
    wait_for(false, 2);
}

#[test]
fn a_paused_partition_waits_and_loses_nothing() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(2);
    kafka.fill(&topic, 2, 20_000);
    let mut consumer = Consumer::start(&kafka.settings(&topic, &[]), 0).expect("started");
    let mut ledger = Ledger::default();
    ledger.poll_until(&mut consumer, |ledger, _| ledger.next.get(&0).is_some_and(|n| *n > 0));
    consumer.pause(&[0]).expect("paused");
    let stopped_at = ledger.next[&0];
    ledger.poll_until(&mut consumer, |ledger, _| ledger.next[&1] == 20_000);
    assert_eq!(ledger.next[&0], stopped_at);
    consumer.resume(&[0]).expect("resumed");
    ledger.poll_until(&mut consumer, |ledger, _| ledger.next[&0] == 20_000);
    assert_eq!(ledger.seen.len(), 40_000);
}

#[test]
fn end_offsets_are_fetched_afresh_and_partitions_counted() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(3);
    let settings = kafka.settings(&topic, &[]);
    let ends = EndOffsets::start(&settings, Duration::from_secs(3600)).expect("watching");
    assert_eq!(ends.partitions(), 3);
    assert_eq!(ends.get(0), None);
    ends.watch(&[0, 2]);
    let first = await_round(&ends, 0);
    kafka.fill(&topic, 3, 7);
    let asked_at = Instant::now();
    ends.request_fresh();
    let second = await_round(&ends, first);
    let snapshot = ends.snapshot();
    assert_eq!(snapshot.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert!(snapshot.values().all(|end| (end.low, end.end) == (0, 7) && end.sequence == second));
    assert!(snapshot[&0].fetched_at >= asked_at);
    // The next holder of a partition watches before the last one forgets.
    ends.watch(&[2]);
    ends.forget(&[2]);
    assert!(ends.get(2).is_some());
    ends.forget(&[2]);
    assert_eq!(ends.get(2), None);
    ends.forget(&[2]);
    ends.watch(&[2]);
    // A round that was under way may end first, without the partition.
    let mut wait = Wait::begin();
    while ends.get(2).is_none() {
        wait.on(&ends, "a forget too many took something from a later holder");
    }
}

/// Patience with rounds. A busy broker may leave one without an answer, and the next would come in an hour.
struct Wait {
    begun: Instant,
    asked: Instant,
}

impl Wait {
    fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, asked: now }
    }

    fn on(&mut self, ends: &EndOffsets, what: &str) {
        assert!(self.begun.elapsed() < PATIENCE, "{what}");
        if self.asked.elapsed() > Duration::from_secs(5) {
            ends.request_fresh();
            self.asked = Instant::now();
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Waits for a round after this one; returns its number.
fn await_round(ends: &EndOffsets, after: u64) -> u64 {
    let mut wait = Wait::begin();
    loop {
        match ends.get(0) {
            Some(end) if end.sequence > after => return end.sequence,
            _ => wait.on(ends, "no round came"),
        }
    }
}
