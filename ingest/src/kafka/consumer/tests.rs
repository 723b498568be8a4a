//! A librdkafka that stands elsewhere than we do, as it may around a cooperative rebalance.

use std::collections::BTreeMap;

use super::super::{
    Compression, EmbeddedBroker, Origins, Outgoing, OwnerError, Producer, ProducerSettings,
    client::set_back, context::Rebalance, settings::Start,
};
use super::*;

/// Every partition begins at its first offset.
struct FromZero;

impl LaneOwner for FromZero {
    fn assigned(&mut self, given: &[i32], _: &dyn Origins) -> Result<Vec<Begin>, OwnerError> {
        Ok(vec![Begin::At(0); given.len()])
    }

    fn revoked(&mut self, _: &[i32], _: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        Ok(Vec::new())
    }
}

const COUNT: i64 = 100;
/// Assignments; the stop loses the race in some of them.
const AGAIN: i64 = 10;
const PATIENCE: Duration = Duration::from_secs(30);

fn fill(broker: &EmbeddedBroker) {
    let (brokers, topic, extra) = (broker.bootstrap().into(), "demo".into(), BTreeMap::new());
    let settings =
        ProducerSettings { brokers, topic, compression: Compression::None, queue_kib: 64, extra };
    let producer = Producer::start(&settings).expect("a producer");
    for _ in 0..COUNT {
        let message = Outgoing { payload: Some(b"x"), partition: Some(0), ..Outgoing::default() };
        producer.send(message).expect("sent");
    }
    producer.flush(PATIENCE).expect("delivered");
}

fn member(broker: &EmbeddedBroker) -> Consumer {
    member_with(broker, "cooperative-sticky")
}

fn member_with(broker: &EmbeddedBroker, strategy: &str) -> Consumer {
    let strategy = ("partition.assignment.strategy".into(), strategy.into());
    let settings = KafkaSettings {
        brokers: broker.bootstrap().into(),
        topic: "demo".into(),
        group: "demo".into(),
        instance: "demo".into(),
        start: Start::Earliest,
        extra: BTreeMap::from([strategy]),
        connect_timeout: Duration::from_secs(10),
    };
    Consumer::start(&settings, 0).expect("started")
}

/// Polls until this many offsets have come.
fn read(consumer: &mut Consumer, offsets: &mut Vec<i64>, count: usize) {
    let begun = Instant::now();
    while offsets.len() < count {
        let max = count - offsets.len();
        let batch = consumer.poll(&mut FromZero, max, Duration::from_millis(10)).expect("polled");
        offsets.extend(batch.iter().flat_map(MessageBatch::iter).map(|(_, m)| m.offset));
        assert!(begun.elapsed() < PATIENCE, "{} of {count} came", offsets.len());
    }
}

/// Reads some, puts librdkafka elsewhere, lets `happen` something and reads on.
fn check(elsewhere: i64, happen: impl Fn(&mut Consumer)) {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    fill(&broker);
    let (mut consumer, mut offsets) = (member(&broker), Vec::new());
    read(&mut consumer, &mut offsets, 30);
    set_back(&consumer.client, "demo", &[(0, elsewhere)]).expect("elsewhere");
    happen(&mut consumer);
    assert_eq!(consumer.positions(), BTreeMap::from([(0, 30)]), "what was handed out");
    read(&mut consumer, &mut offsets, COUNT as usize);
    assert_eq!(offsets, (0..COUNT).collect::<Vec<_>>(), "from {elsewhere}");
}

#[test]
fn fm_36_a_kept_partition_goes_on_where_we_are_after_a_cooperative_rebalance() {
    for elsewhere in [0, 10, 30, 50] {
        check(elsewhere, |consumer| {
            consumer.client.context().put_back(Rebalance::Assign(Vec::new()));
        });
    }
}

#[test]
fn a_resumed_partition_goes_on_where_we_are() {
    for elsewhere in [0, 10, 30, 50] {
        check(elsewhere, |consumer| {
            consumer.pause(&[0]).expect("paused");
            consumer.resume(&[0]).expect("resumed");
        });
    }
}

#[test]
fn what_was_handed_out_does_not_come_again_even_without_a_rebalance() {
    check(0, |_| {});
}

/// As after a broker's death: the partition is ours, and librdkafka does not read it.
#[test]
fn fm_36_a_kept_partition_that_cannot_be_set_back_is_assigned_anew() {
    for elsewhere in [0, 10, 30, 50] {
        check(elsewhere, |consumer| {
            consumer.inbox.clear();
            take_away(consumer, "cooperative-sticky");
            consumer.client.context().put_back(Rebalance::Assign(Vec::new()));
        });
    }
}

/// Takes partition 0 from librdkafka without telling the consumer.
fn take_away(consumer: &Consumer, strategy: &str) {
    match strategy {
        "range" => consumer.client.unassign().expect("taken away"),
        _ => consumer.client.incremental_unassign(&bare_list("demo", &[0])).expect("taken away"),
    }
}

#[test]
fn fm_38_an_assignment_that_failed_half_way_is_made_whole_by_the_next_try() {
    for strategy in ["range", "cooperative-sticky"] {
        let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
        fill(&broker);
        let (mut consumer, mut offsets) = (member_with(&broker, strategy), Vec::new());
        read(&mut consumer, &mut offsets, 30);
        // As when the topic was made anew and the client does not know its partitions yet: what there was
        // is taken away, and the queue of the partition is not to be had.
        take_away(&consumer, strategy);
        consumer.forwards.clear();
        consumer.handed.hold(0);
        consumer.unfinished.insert(0, Begin::At(30));
        consumer.seek(&[(0, 30)]).expect("read again");
        read(&mut consumer, &mut offsets, COUNT as usize);
        assert_eq!(offsets, (0..COUNT).collect::<Vec<_>>(), "{strategy}");
        assert!(consumer.unfinished.is_empty());
    }
}

/// librdkafka stops a partition that went on a thread of its own, and takes its forwarding back then.
#[test]
fn fm_38_a_partition_that_is_assigned_again_at_once_is_read() {
    for strategy in ["cooperative-sticky", "range"] {
        let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
        fill(&broker);
        let (mut consumer, mut first) = (member_with(&broker, strategy), Vec::new());
        read(&mut consumer, &mut first, 1);
        for round in 1..=AGAIN {
            consumer.inbox.clear();
            consumer.assign_anew(&[(0, round)]).expect("assigned");
            let mut offsets = Vec::new();
            read(&mut consumer, &mut offsets, 1);
            assert_eq!(offsets, [round], "{strategy}");
        }
    }
}

/// librdkafka's own position lies behind an error that took the place of a message.
#[test]
fn fm_32_an_offset_that_is_not_there_is_an_error_and_no_progress() {
    let broker = EmbeddedBroker::start("demo", 1).expect("a broker");
    fill(&broker);
    let (mut consumer, mut offsets) = (member(&broker), Vec::new());
    read(&mut consumer, &mut offsets, 30);
    set_back(&consumer.client, "demo", &[(0, 500)]).expect("elsewhere");
    let begun = Instant::now();
    let error = loop {
        match consumer.poll(&mut FromZero, 9, Duration::from_millis(10)) {
            Ok(batch) => assert!(batch.is_none(), "there is nothing to read"),
            Err(error) => break error,
        }
        let position = consumer.positions().get(&0).copied();
        assert!(position.is_none_or(|next| next == 30), "{position:?}");
        assert!(begun.elapsed() < PATIENCE, "no error came");
    };
    assert!(matches!(error, KafkaError::OutOfRange { partition: 0, .. }), "{error}");
    consumer.seek(&[(0, 30)]).or_else(|_| consumer.assign_anew(&[(0, 30)])).expect("sought");
    read(&mut consumer, &mut offsets, COUNT as usize);
    assert_eq!(offsets, (0..COUNT).collect::<Vec<_>>());
}
