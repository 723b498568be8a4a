//! From producer to batch through the embedded broker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::{
    Begin, Compression, Consumer, EndOffsets, KafkaSettings, LaneOwner, Leave, Observer, Origins,
    Outgoing, OwnerError, Producer, ProducerSettings, Revoked, Start,
};
use super::*;

/// Positions in memory, as a ledger would have them.
#[derive(Default)]
struct Ledger(BTreeMap<i32, i64>);

impl LaneOwner for Ledger {
    fn assigned(&mut self, given: &[i32], origins: &dyn Origins) -> Result<Vec<Begin>, OwnerError> {
        let next = |p: &i32| match self.0.get(p) {
            Some(next) => Ok(*next),
            None => origins.offset(*p),
        };
        let begin = |p| Ok(Begin::At(next(p)?));
        given.iter().map(begin).collect()
    }

    fn revoked(&mut self, _: &[i32], _: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        Ok(self.0.iter().map(|(partition, next)| (*partition, *next)).collect())
    }
}

const TICK: Duration = Duration::from_millis(10);

fn settings(broker: &EmbeddedBroker) -> KafkaSettings {
    KafkaSettings {
        brokers: broker.bootstrap().into(),
        topic: "demo".into(),
        group: "demo".into(),
        instance: "demo".into(),
        start: Start::Earliest,
        extra: BTreeMap::new(),
        connect_timeout: Duration::from_secs(10),
    }
}

fn producer(broker: &EmbeddedBroker, extra: &[(&str, &str)]) -> Producer {
    Producer::start(&ProducerSettings {
        brokers: broker.bootstrap().into(),
        topic: "demo".into(),
        compression: Compression::Lz4,
        queue_kib: 1024,
        extra: extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    })
    .expect("a producer")
}

fn switch(broker: &EmbeddedBroker, switch: impl Fn(&Mock<'_>)) {
    switch(&broker.client.client().mock_cluster().expect("a mock"));
}

type Mock<'a> = rdkafka::mocking::MockCluster<'a, DefaultProducerContext>;

/// Asks for ends again and again until the answer is as wanted.
fn await_ends(ends: &EndOffsets, mut wanted: impl FnMut(&EndOffsets) -> bool) {
    let begun = Instant::now();
    while !wanted(ends) {
        ends.request_fresh();
        std::thread::park_timeout(Duration::from_millis(10));
        assert!(begun.elapsed() < Duration::from_secs(30), "the ends did not come");
    }
}

#[test]
fn fm_39_a_broker_that_is_away_gives_no_evidence_but_errors_and_comes_back() {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    let ends = EndOffsets::start(&settings(&broker), Duration::from_millis(20)).expect("watching");
    ends.watch(&[0]);
    await_ends(&ends, |ends| ends.get(0).is_some());
    switch(&broker, |mock| mock.broker_down(1).expect("down"));
    let failed =
        |ends: &EndOffsets| ends.take_errors().iter().any(|(name, _)| name == "EndOffsets");
    await_ends(&ends, failed);
    let frozen = ends.get(0).expect("what was known before");
    await_ends(&ends, failed);
    assert_eq!(ends.get(0), Some(frozen));
    switch(&broker, |mock| mock.broker_up(1).expect("up"));
    await_ends(&ends, |ends| ends.get(0).is_some_and(|end| end.sequence > frozen.sequence));
}

#[test]
fn fm_39_a_consumer_counts_the_errors_and_reads_on_when_the_broker_is_back() {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    let producer = producer(&broker, &[]);
    let mut consumer = Consumer::start(&settings(&broker), 0).expect("a consumer");
    let mut ledger = Ledger::default();
    let mut errors = BTreeMap::new();
    let begun = Instant::now();
    for round in 1..=3 {
        producer.send(Outgoing { payload: Some(b"x"), ..Outgoing::default() }).expect("taken");
        producer.flush(Duration::from_secs(20)).expect("delivered");
        while ledger.0.get(&0) != Some(&round) {
            if let Some(batch) = consumer.poll(&mut ledger, 9, TICK).expect("no lasting trouble") {
                assert_eq!(batch.len(), 1);
                ledger.0.extend(batch.iter().map(|(p, message)| (p, message.offset + 1)));
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{errors:?}");
        }
        switch(&broker, |mock| mock.broker_down(1).expect("down"));
        errors.clear();
        while errors.values().sum::<u64>() == 0 {
            consumer.poll(&mut ledger, 9, TICK).expect("no lasting trouble");
            errors.extend(consumer.take_errors());
            assert!(begun.elapsed() < Duration::from_secs(60), "no error was counted");
        }
        switch(&broker, |mock| mock.broker_up(1).expect("up"));
    }
}

#[test]
fn a_message_that_is_not_delivered_is_reported() {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    let producer = producer(&broker, &[("message.timeout.ms", "300")]);
    switch(&broker, |mock| mock.broker_down(1).expect("down"));
    let message = Outgoing { payload: Some(b"x"), ..Outgoing::default() };
    producer.send(message).expect("taken");
    let error = producer.flush(Duration::from_secs(20)).expect_err("must be reported");
    assert!(matches!(error, KafkaError::Undelivered { count: 1, .. }), "{error:?}");
    producer.send(message).expect_err("must be reported again");
}

#[test]
fn a_full_queue_makes_the_sender_wait_and_loses_nothing() {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    let producer = producer(&broker, &[("queue.buffering.max.messages", "10")]);
    for _ in 0..2000 {
        producer.send(Outgoing { payload: Some(b"x"), ..Outgoing::default() }).expect("taken");
        assert!(producer.waiting() <= 20, "{}", producer.waiting());
    }
    assert_eq!(producer.flush(Duration::from_secs(20)).expect("delivered"), 2000);
}

#[test]
fn the_demo_needs_no_kafka() {
    let broker = EmbeddedBroker::start("demo", 2).expect("a broker");
    let producer = producer(&broker, &[]);
    for n in 0..1000_u32 {
        let (key, payload) = (n.to_le_bytes(), n.to_string());
        let payload = Some(payload.as_bytes());
        producer.send(Outgoing { key: Some(&key), payload, ..Outgoing::default() }).expect("sent");
    }
    assert_eq!(producer.flush(Duration::from_secs(10)).expect("delivered"), 1000);

    let settings = settings(&broker);
    let begun = Instant::now();
    let mut ledger = Ledger::default();
    let mut consumer = Consumer::start(&settings, 0).expect("a consumer");
    let mut seen = Vec::new();
    while seen.len() < 1000 && begun.elapsed() < Duration::from_secs(30) {
        let polled = consumer.poll(&mut ledger, 100, Duration::from_millis(10)).expect("polled");
        let Some(batch) = polled else { continue };
        for (partition, run) in batch.runs() {
            for message in run {
                assert_eq!(message.offset, ledger.0.get(&partition).copied().unwrap_or(0));
                ledger.0.insert(partition, message.offset + 1);
                let text = std::str::from_utf8(message.payload.expect("a payload")).expect("text");
                seen.push(text.parse::<u32>().expect("a number"));
            }
        }
    }
    consumer.close(&mut ledger, Leave::Yes).expect("closed");
    seen.sort_unstable();
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(3), "the first join waited: {begun:?}");
}

#[test]
fn fm_39_partitions_of_other_brokers_keep_their_ends_when_one_broker_is_away() {
    let cluster = rdkafka::mocking::MockCluster::new(3).expect("three brokers");
    cluster.create_topic("shared", 3, 1).expect("a topic");
    for partition in 0..3 {
        cluster.partition_leader("shared", partition, Some(partition + 1)).expect("a leader");
    }
    let settings = KafkaSettings {
        brokers: cluster.bootstrap_servers(),
        topic: "shared".into(),
        group: "group".into(),
        instance: "instance".into(),
        start: Start::Earliest,
        extra: BTreeMap::new(),
        connect_timeout: Duration::from_secs(10),
    };
    let ends = EndOffsets::start(&settings, Duration::from_millis(50)).expect("watching");
    ends.watch(&[0, 1, 2]);
    let newest = |partition: i32| ends.get(partition).map(|end| end.fetched_at);
    let deadline = Instant::now() + Duration::from_secs(60);
    while (0..3).any(|partition| newest(partition).is_none()) {
        assert!(Instant::now() < deadline, "{:?}", ends.snapshot());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    cluster.broker_down(3).expect("down");
    let down = Instant::now();
    while (0..2).any(|partition| newest(partition).is_none_or(|at| at < down)) {
        assert!(Instant::now() < deadline, "{:?}", ends.snapshot());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn its_topic_has_no_id_and_nobody_waits_for_one() {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    let observer = Observer::connect(&settings(&broker)).expect("it answers");
    let begun = Instant::now();
    let id = observer.identity(Duration::from_secs(30)).expect("an answer");
    assert_eq!(id, None);
    assert!(begun.elapsed() < Duration::from_secs(20), "it was waited for: {:?}", begun.elapsed());
}
