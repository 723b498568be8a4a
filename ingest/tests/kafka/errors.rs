//! Trouble: named clearly, in time.

use std::time::{Duration, Instant};

use tidegauge_ingest::kafka::{Consumer, KafkaError, KafkaSettings};

use crate::harness::{Kafka, Ledger, unique};

#[test]
fn an_unknown_topic_is_named() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = unique("nowhere");
    let begun = Instant::now();
    let error = Consumer::start(&kafka.settings(&topic, &[]), 0).err().expect("must fail");
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error:?}");
    assert!(error.to_string().contains(&topic));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_broker_that_is_not_there_is_named_within_the_timeout() {
    let Some(kafka) = Kafka::find() else { return };
    let settings = KafkaSettings {
        brokers: "127.0.0.1:9".into(),
        connect_timeout: Duration::from_secs(2),
        ..kafka.settings("topic", &[])
    };
    let begun = Instant::now();
    let error = Consumer::start(&settings, 0).err().expect("must fail");
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:9") && text.contains("refused"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn fm_32_38_a_position_that_the_broker_does_not_have_is_an_error_and_no_restart() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    kafka.fill(&topic, 1, 10);
    let mut consumer = Consumer::start(&kafka.settings(&topic, &[]), 0).expect("started");
    let mut ledger = Ledger::at(&[(0, 11)]);
    let error = ledger.poll_to_error(&mut consumer);
    assert!(matches!(error, KafkaError::OutOfRange { partition: 0, offset: 11, .. }), "{error:?}");
    assert!(error.to_string().contains(&topic), "{error}");
    assert_eq!(ledger.seen, []);
}

#[test]
fn a_member_whose_place_is_taken_ends_with_a_fatal_error() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(2);
    let settings = kafka.settings(&topic, &[("heartbeat.interval.ms", "200")]);
    let mut first = Consumer::start(&settings, 0).expect("started");
    let mut old = Ledger::default();
    old.poll_until(&mut first, |_, consumer| consumer.partitions().count() == 2);
    let mut second = Consumer::start(&settings, 0).expect("started");
    let mut new = Ledger::default();
    new.poll_until(&mut second, |_, consumer| consumer.partitions().count() == 2);
    let error = old.poll_to_error(&mut first);
    assert!(
        matches!(&error, KafkaError::Fatal { code, .. } if code == "FencedInstanceId"),
        "{error:?}"
    );
    let again = old.poll(&mut first).expect_err("must stay failed");
    assert!(matches!(again, KafkaError::Fatal { .. }), "{again:?}");
    kafka.fill(&topic, 2, 10);
    new.poll_until(&mut second, |ledger, _| ledger.seen.len() == 20);
}

#[test]
fn an_owner_that_fails_is_asked_again() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(1);
    kafka.fill(&topic, 1, 10);
    let mut consumer = Consumer::start(&kafka.settings(&topic, &[]), 0).expect("started");
    let mut owner = FailsOnce { failed: false, ledger: Ledger::default() };
    let begun = Instant::now();
    let error = loop {
        if let Err(error) = consumer.poll(&mut owner, 10, Duration::from_millis(10)) {
            break error;
        }
        assert!(begun.elapsed() < crate::harness::PATIENCE, "no error came");
    };
    assert!(matches!(error, KafkaError::Owner(_)), "{error:?}");
    owner.ledger.next.insert(0, 4);
    owner.ledger.poll_until(&mut consumer, |ledger, _| ledger.seen.len() == 6);
}

struct FailsOnce {
    failed: bool,
    ledger: Ledger,
}

impl tidegauge_ingest::kafka::LaneOwner for FailsOnce {
    fn assigned(
        &mut self,
        given: &[i32],
        origins: &dyn tidegauge_ingest::kafka::Origins,
    ) -> Result<Vec<tidegauge_ingest::kafka::Begin>, tidegauge_ingest::kafka::OwnerError> {
        if !self.failed {
            self.failed = true;
            return Err("the lake is away".into());
        }
        self.ledger.assigned(given, origins)
    }

    fn revoked(
        &mut self,
        gone: &[i32],
        how: tidegauge_ingest::kafka::Revoked,
    ) -> Result<Vec<(i32, i64)>, tidegauge_ingest::kafka::OwnerError> {
        self.ledger.revoked(gone, how)
    }
}
