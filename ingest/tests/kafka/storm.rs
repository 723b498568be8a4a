//! FAILURES 36: a storm of rebalances while a producer writes; nothing is lost, nothing counts twice.
//!
//! One member stays, another comes and goes. Each takes its positions from a ledger that both share, and
//! commits what it has read now and then and when it must give a partition up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegauge_ingest::kafka::{
    Begin, Compression, Consumer, EndOffsets, KafkaSettings, LaneOwner, Leave, Origins, OwnerError,
    Producer, Revoked,
};

use crate::harness::{Kafka, PATIENCE, TICK, send};

const PARTITIONS: u16 = 4;
const RANGE: (&str, &str) = ("partition.assignment.strategy", "range");
const COOPERATIVE: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");
/// Members hear of a rebalance by their heartbeats.
const HEARTBEAT: (&str, &str) = ("heartbeat.interval.ms", "100");

#[test]
fn fm_36_a_storm_loses_and_doubles_nothing_with_range() {
    Storm { extra: &[RANGE, HEARTBEAT], ..Storm::named("range") }.run();
}

#[test]
fn fm_36_a_storm_loses_and_doubles_nothing_with_cooperative_sticky() {
    Storm { extra: &[COOPERATIVE, HEARTBEAT], ..Storm::named("cooperative-sticky") }.run();
}

/// A batch that waits for more messages notes its end only when it is over: the shorter its wait, the more
/// often librdkafka stops a partition just then, and the batch comes again from it.
#[test]
fn fm_36_a_storm_loses_and_doubles_nothing_with_cooperative_sticky_and_short_waits() {
    let hurried = Storm { wait: Duration::from_millis(1), ..Storm::named("short waits") };
    Storm { extra: &[COOPERATIVE, HEARTBEAT], ..hurried }.run();
}

/// One guest only: the brokers keep the share of a static member that leaves until its session is over,
/// 45 s by default, so a storm would take hours.
#[test]
fn fm_36_a_guest_loses_and_doubles_nothing_with_the_newer_protocol() {
    let Some(kafka) = Kafka::find() else { return };
    let topic = kafka.topic(PARTITIONS);
    let settings = kafka.settings(&topic, &[("group.protocol", "consumer")]);
    let mut writer = Writer { producer: kafka.producer(&topic, Compression::Lz4), sent: 0 };
    let committed = Rc::new(RefCell::new(Committed::new()));
    let mut lanes = Lanes::new(&committed, TICK);
    let mut stays = Consumer::start(&settings, 0).expect("started");
    let begun = Instant::now();
    while stays.partitions().count() != usize::from(PARTITIONS) {
        writer.write();
        lanes.poll(&mut stays);
        assert!(begun.elapsed() < PATIENCE, "the first member got no share");
    }
    let (mut guest, mut guest_lanes) = come(&settings, &mut writer, &mut stays, &mut lanes);
    writer.producer.flush(PATIENCE).expect("delivered");
    let begun = Instant::now();
    while lanes.next.values().chain(guest_lanes.next.values()).sum::<i64>() < writer.sent {
        lanes.poll(&mut stays);
        guest_lanes.poll(&mut guest);
        assert!(begun.elapsed() < PATIENCE, "the end was not reached");
    }
    lanes.commit();
    guest_lanes.commit();
    assert_eq!(committed.borrow().values().sum::<i64>(), writer.sent, "lost or doubled");
}

/// One storm: what the members are set to, and how they read and write.
struct Storm {
    name: &'static str,
    extra: &'static [(&'static str, &'static str)],
    /// How long a poll waits.
    wait: Duration,
}

/// What is committed: the next offset of each partition.
type Committed = BTreeMap<i32, i64>;

/// One member's lanes: read and not yet committed.
struct Lanes {
    committed: Rc<RefCell<Committed>>,
    next: BTreeMap<i32, i64>,
    open: Vec<(i32, i64)>,
    wait: Duration,
    rebalances: u32,
}

impl Lanes {
    fn new(committed: &Rc<RefCell<Committed>>, wait: Duration) -> Self {
        let (next, open) = (BTreeMap::new(), Vec::new());
        Self { committed: committed.clone(), next, open, wait, rebalances: 0 }
    }

    fn poll(&mut self, consumer: &mut Consumer) {
        let Some(batch) = consumer.poll(self, 500, self.wait).expect("polled") else { return };
        for (partition, message) in batch.iter() {
            let next = self.next.get_mut(&partition).expect("a partition of ours");
            assert_eq!(
                message.offset, *next,
                "what came of partition {partition} and what is next"
            );
            *next += 1;
            self.open.push((partition, message.offset));
        }
    }

    fn commit(&mut self) {
        let mut committed = self.committed.borrow_mut();
        for (partition, offset) in self.open.drain(..) {
            let next = committed.entry(partition).or_insert(0);
            assert_eq!(*next, offset, "partition {partition} was committed by someone else");
            *next += 1;
        }
    }
}

impl LaneOwner for Lanes {
    fn assigned(&mut self, given: &[i32], _: &dyn Origins) -> Result<Vec<Begin>, OwnerError> {
        self.rebalances += 1;
        let committed = self.committed.borrow();
        let from = |p: &i32| committed.get(p).copied().unwrap_or(0);
        let offsets: Vec<i64> = given.iter().map(from).collect();
        self.next.extend(given.iter().copied().zip(offsets.iter().copied()));
        Ok(offsets.into_iter().map(Begin::At).collect())
    }

    fn revoked(&mut self, gone: &[i32], how: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        if how == Revoked::Lost {
            self.open.retain(|(partition, _)| !gone.contains(partition));
        }
        self.commit();
        self.rebalances += 1;
        Ok(gone.iter().filter_map(|p| Some((*p, self.next.remove(p)?))).collect())
    }
}

/// Writes to the partitions in turn, a few messages per call.
struct Writer {
    producer: Producer,
    sent: i64,
}

impl Writer {
    fn write(&mut self) {
        for _ in 0..40 {
            send(&self.producer, (self.sent % i64::from(PARTITIONS)) as i32, self.sent);
            self.sent += 1;
        }
    }
}

impl Storm {
    fn named(name: &'static str) -> Self {
        Self { name, extra: &[], wait: TICK }
    }

    #[expect(clippy::print_stderr, reason = "a long run says how it went")]
    fn run(&self) {
        let Some(kafka) = Kafka::find() else { return };
        let wanted = match std::env::var("TIDEGAUGE_REBALANCES") {
            Ok(number) => number.parse().expect("a number"),
            Err(_) => 100,
        };
        let topic = kafka.topic(PARTITIONS);
        let settings = kafka.settings(&topic, self.extra);
        let producer = kafka.producer(&topic, Compression::Lz4);
        let mut writer = Writer { producer, sent: 0 };
        let committed = Rc::new(RefCell::new(Committed::new()));
        let mut lanes = Lanes::new(&committed, self.wait);
        let mut consumer = Consumer::start(&settings, 0).expect("started");
        let begun = Instant::now();
        let mut rounds = 0;
        while lanes.rebalances < wanted {
            come_and_go(&settings, &mut writer, &mut consumer, &mut lanes);
            rounds += 1;
        }
        writer.producer.flush(PATIENCE).expect("delivered");
        read_to_end(&settings, &mut consumer, &mut lanes);
        consumer.close(&mut lanes, Leave::Yes).expect("closed");
        // Each offset was committed once and in order, so the sum tells.
        assert_eq!(committed.borrow().values().sum::<i64>(), writer.sent, "lost or doubled");
        let (name, rebalances, sent) = (self.name, lanes.rebalances, writer.sent);
        let took = begun.elapsed();
        eprintln!("{name}: {rebalances} rebalances in {rounds} rounds, {sent} messages, {took:?}");
    }
}

/// A second member comes and gets its share.
fn come(
    settings: &KafkaSettings,
    writer: &mut Writer,
    stays: &mut Consumer,
    lanes: &mut Lanes,
) -> (Consumer, Lanes) {
    let mut guest_lanes = Lanes::new(&lanes.committed, lanes.wait);
    let mut guest = Consumer::start(settings, 1).expect("started");
    let begun = Instant::now();
    while guest.partitions().count() != 2 || stays.partitions().count() != 2 {
        writer.write();
        lanes.poll(stays);
        guest_lanes.poll(&mut guest);
        assert!(begun.elapsed() < PATIENCE, "the guest got no share");
    }
    (guest, guest_lanes)
}

/// A second member comes, gets its share, reads a little and goes.
fn come_and_go(
    settings: &KafkaSettings,
    writer: &mut Writer,
    stays: &mut Consumer,
    lanes: &mut Lanes,
) {
    let (mut guest, mut guest_lanes) = come(settings, writer, stays, lanes);
    for _ in 0..5 {
        writer.write();
        lanes.poll(stays);
        guest_lanes.poll(&mut guest);
    }
    lanes.commit();
    guest.close(&mut guest_lanes, Leave::Yes).expect("closed");
    let begun = Instant::now();
    while stays.partitions().count() != usize::from(PARTITIONS) {
        writer.write();
        lanes.poll(stays);
        assert!(begun.elapsed() < PATIENCE, "the guest's share did not come back");
    }
}

fn read_to_end(settings: &KafkaSettings, consumer: &mut Consumer, lanes: &mut Lanes) {
    let ends = EndOffsets::start(settings, TICK).expect("watching");
    let all: Vec<i32> = (0..i32::from(PARTITIONS)).collect();
    ends.watch(&all);
    let begun = Instant::now();
    let done = |lanes: &Lanes| {
        all.iter().all(|p| ends.get(*p).is_some_and(|e| lanes.next.get(p) == Some(&e.end)))
    };
    while !done(lanes) {
        lanes.poll(consumer);
        assert!(begun.elapsed() < PATIENCE, "the end was not reached: {:?}", lanes.next);
    }
    lanes.commit();
}
