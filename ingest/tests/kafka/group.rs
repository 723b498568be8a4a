//! Coming and going: static members, goodbyes, the newer group protocol.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidegauge_ingest::kafka::{Consumer, KafkaSettings, Leave, Revoked};

use crate::harness::{Kafka, Ledger, PATIENCE};

/// Members hear of a rebalance by their heartbeats.
const HEARTBEAT: (&str, &str) = ("heartbeat.interval.ms", "200");

#[test]
fn a_member_that_comes_back_under_its_name_disturbs_nobody() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(4);
    kafka.fill(&topic, 4, 10);
    let settings = kafka.settings(&topic, &[HEARTBEAT]);
    let (mut stays, mut peer) =
        (Consumer::start(&settings, 0).expect("started"), Ledger::default());
    let (mut goes, mut ours) = (Consumer::start(&settings, 1).expect("started"), Ledger::default());
    settle(&mut stays, &mut peer, &mut goes, &mut ours);
    let before = (peer.assignments, peer.revocations.len());
    let mut had: Vec<i32> = goes.partitions().collect();
    goes.close(&mut ours, Leave::No).expect("closed");
    assert_eq!(ours.revocations.last(), Some(&Revoked::Orderly));
    let mut back = Consumer::start(&settings, 1).expect("started");
    settle(&mut stays, &mut peer, &mut back, &mut ours);
    had.sort_unstable();
    assert_eq!(back.partitions().collect::<Vec<_>>(), had);
    assert_eq!((peer.assignments, peer.revocations.len()), before);
}

#[test]
fn a_goodbye_gives_the_partitions_to_the_others_at_once() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(4);
    kafka.fill(&topic, 4, 10);
    let settings = kafka.settings(&topic, &[HEARTBEAT]);
    let (mut stays, mut peer) =
        (Consumer::start(&settings, 0).expect("started"), Ledger::default());
    let (mut goes, mut ours) = (Consumer::start(&settings, 1).expect("started"), Ledger::default());
    settle(&mut stays, &mut peer, &mut goes, &mut ours);
    let begun = Instant::now();
    goes.close(&mut ours, Leave::Yes).expect("closed");
    peer.poll_until(&mut stays, |_, consumer| consumer.partitions().count() == 4);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_member_is_assigned_when_it_has_its_share_even_if_that_is_nothing() {
    let Some(kafka) = Kafka::find() else { return };
    let strategy = |name| ("partition.assignment.strategy", name);
    for extra in [
        vec![strategy("range"), HEARTBEAT],
        vec![strategy("cooperative-sticky"), HEARTBEAT],
        vec![("group.protocol", "consumer")],
    ] {
        let topic = kafka.topic(1);
        let settings = kafka.settings(&topic, &extra);
        let mut members = [0, 1].map(|n| Consumer::start(&settings, n).expect("started"));
        let mut ledgers = [Ledger::default(), Ledger::default()];
        assert!(members.iter().all(|member| !member.is_assigned()), "{extra:?}");
        let begun = Instant::now();
        while !members.iter().all(Consumer::is_assigned) {
            for (member, ledger) in members.iter_mut().zip(&mut ledgers) {
                ledger.poll(member).expect("polled");
            }
            assert!(begun.elapsed() < PATIENCE, "{extra:?}: the surplus member hears nothing");
        }
        let shares = members.each_ref().map(|member| member.partitions().count());
        assert_eq!(shares.iter().sum::<usize>(), 1, "{extra:?}");
    }
}

#[test]
fn a_member_that_loses_everything_is_not_assigned_until_the_group_answers_again() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(4);
    let settings = kafka.settings(&topic, &[HEARTBEAT]);
    let (mut stays, mut peer) =
        (Consumer::start(&settings, 0).expect("started"), Ledger::default());
    peer.poll_until(&mut stays, |_, consumer| consumer.is_assigned());
    let (mut comes, mut ours) =
        (Consumer::start(&settings, 1).expect("started"), Ledger::default());
    let mut was_without = false;
    let begun = Instant::now();
    while (stays.partitions().count(), comes.partitions().count()) != (2, 2) {
        peer.poll(&mut stays).expect("polled");
        assert_eq!(stays.is_assigned(), stays.partitions().count() > 0);
        was_without |= !stays.is_assigned();
        ours.poll(&mut comes).expect("polled");
        assert!(begun.elapsed() < PATIENCE, "the group did not settle");
    }
    assert!(was_without, "an eager protocol takes everything first");
}

#[test]
fn the_newer_group_protocol_works() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(2);
    kafka.fill(&topic, 2, 100);
    let settings = kafka.settings(&topic, &[("group.protocol", "consumer")]);
    let mut consumer = Consumer::start(&settings, 0).expect("started");
    let mut ledger = Ledger::default();
    ledger.poll_until(&mut consumer, |ledger, _| ledger.seen.len() == 200);
    consumer.close(&mut ledger, Leave::Yes).expect("closed");
    assert_eq!(ledger.revocations, [Revoked::Orderly]);
}

#[test]
fn the_broker_is_told_the_offsets_for_lag_tools_and_never_asked_for_them() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(2);
    kafka.fill(&topic, 2, 10);
    let settings = kafka.settings(&topic, &[]);
    let read = |to: &[(i32, i64)]| {
        let mut consumer = Consumer::start(&settings, 0).expect("started");
        let mut ledger = Ledger::default();
        ledger.poll_until(&mut consumer, |ledger, _| ledger.seen.len() == 20);
        consumer.commit_offsets(to);
        consumer.close(&mut ledger, Leave::Yes).expect("closed");
    };
    read(&[(0, 3)]);
    assert_eq!(committed(&kafka, &settings), [Offset::Offset(10); 2]);
    read(&[]);
}

/// What a lag tool sees.
fn committed(kafka: &Kafka, settings: &KafkaSettings) -> Vec<Offset> {
    let tool: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", &settings.group)
        .create()
        .expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&settings.topic, 0, 1);
    let list = tool.committed_offsets(list, PATIENCE).expect("an answer");
    list.elements().iter().map(|element| element.offset()).collect()
}

#[test]
fn a_consumer_that_is_dropped_at_any_moment_ends() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(4);
    kafka.fill(&topic, 4, 10);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for strategy in ["range", "cooperative-sticky"] {
            let extra = [("partition.assignment.strategy", strategy), HEARTBEAT];
            let settings = kafka.settings(&topic, &extra);
            for polls in 0..12 {
                let mut pair = [0, 1].map(|n| Consumer::start(&settings, n).expect("started"));
                let mut ledgers = [Ledger::default(), Ledger::default()];
                for _ in 0..polls {
                    for (consumer, ledger) in pair.iter_mut().zip(&mut ledgers) {
                        ledger.poll(consumer).expect("polled");
                    }
                }
            }
        }
        ended.send(()).expect("awaited");
    });
    end.recv_timeout(PATIENCE).expect("a consumer hangs in its drop");
}

/// Polls both until each has two partitions.
fn settle(a: &mut Consumer, of_a: &mut Ledger, b: &mut Consumer, of_b: &mut Ledger) {
    let begun = Instant::now();
    while (a.partitions().count(), b.partitions().count()) != (2, 2) {
        of_a.poll(a).expect("polled");
        of_b.poll(b).expect("polled");
        assert!(begun.elapsed() < PATIENCE, "the group did not settle");
    }
}
