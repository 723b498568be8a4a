//! The Kafka client alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use tidegauge_ingest::kafka::{Consumer, KafkaSettings, Start};
use tidegauge_ingest::{Begin, LaneOwner, Leave, Origins, OwnerError, Revoked};

use crate::stat::Stat;

/// Messages of one call, as a worker takes them.
const BATCH: usize = 10_000;
const WAIT: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(600);

/// Reads partitions from their start and keeps nothing.
struct Reader;

impl LaneOwner for Reader {
    fn assigned(
        &mut self,
        partitions: &[i32],
        origins: &dyn Origins,
    ) -> Result<Vec<Begin>, OwnerError> {
        partitions.iter().map(|partition| Ok(Begin::At(origins.offset(*partition)?))).collect()
    }

    fn revoked(&mut self, _: &[i32], _: Revoked) -> Result<Vec<(i32, i64)>, OwnerError> {
        Ok(Vec::new())
    }
}

/// What all members have read.
#[derive(Default)]
struct Read {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// When the first batch had come, microseconds since the begin, and what was in it.
    first_us: AtomicU64,
    first: AtomicU64,
    last_us: AtomicU64,
}

/// Prints how fast so many members of one group read the topic, from the first batch on. A partition that
/// changes its member is read from its start again, and counts again.
pub fn print(brokers: &str, topic: &str, threads: usize, events: u64) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let group = format!("limits-{now}-{}", std::process::id());
    let settings = KafkaSettings {
        brokers: brokers.into(),
        topic: topic.into(),
        group: group.clone(),
        instance: group,
        start: Start::Earliest,
        extra: BTreeMap::new(),
        connect_timeout: Duration::from_secs(10),
    };
    let (read, settings) = (&Read::default(), &settings);
    let before = Stat::of(std::process::id())?.cpu_seconds;
    let begun = Instant::now();
    thread::scope(|scope| {
        let member = |number| move || consume(settings, number, events, read, begun);
        let members: Vec<_> = (0..threads).map(|number| scope.spawn(member(number))).collect();
        members.into_iter().try_for_each(|member| member.join().expect("a thread panicked"))
    })?;
    let cpu = Stat::of(std::process::id())?.cpu_seconds - before;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let seconds = (of(&read.last_us) - of(&read.first_us)) / 1e6;
    ensure!(seconds > 0.0, "too few events: all came in one batch");
    println!(
        "Kafka, {threads} threads: {:.2} M messages/s of {:.0} bytes, {:.3} CPU s/M",
        (of(&read.messages) - of(&read.first)) / seconds / 1e6,
        of(&read.bytes) / of(&read.messages),
        cpu / (of(&read.messages) / 1e6)
    );
    Ok(())
}

/// One member, until all have read so many events together.
fn consume(
    settings: &KafkaSettings,
    number: usize,
    events: u64,
    read: &Read,
    begun: Instant,
) -> Result<()> {
    let mut consumer = Consumer::start(settings, number)?;
    let mut reader = Reader;
    while read.messages.load(Ordering::Relaxed) < events {
        let topic = &settings.topic;
        ensure!(begun.elapsed() < LONGEST, "{topic} has fewer than {events} events");
        let Some(batch) = consumer.poll(&mut reader, BATCH, WAIT)? else { continue };
        let bytes: usize = batch.iter().map(|(_, m)| m.payload.map_or(0, <[u8]>::len)).sum();
        let count = batch.len() as u64;
        let us = u64::try_from(begun.elapsed().as_micros())?;
        let order = Ordering::Relaxed;
        if read.first_us.compare_exchange(0, us, order, order).is_ok() {
            read.first.store(count, order);
        }
        read.last_us.fetch_max(us, order);
        read.messages.fetch_add(count, order);
        read.bytes.fetch_add(bytes as u64, order);
    }
    Ok(consumer.close(&mut reader, Leave::Yes)?)
}
