//! The Kafka client alone.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tidegauge_ingest::kafka::{Consumer, KafkaSettings, Start};
use tidegauge_ingest::{Begin, LaneOwner, Leave, Origins, OwnerError, Revoked};

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

/// Prints how fast so many members of one group read the topic.
pub fn print(brokers: &str, topic: &str, threads: usize, events: u64) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let group = format!("limits-{now}-{}", std::process::id());
    let settings = KafkaSettings {
        brokers: brokers.into(),
        topic: topic.into(),
        group: group.clone(),
        instance: group,
        start: Start::Earliest,
        extra: std::collections::BTreeMap::new(),
        connect_timeout: Duration::from_secs(10),
    };
    let (messages, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let (first_us, last_us) = (AtomicI64::new(0), AtomicI64::new(0));
    let (cpu, begun) = (cpu_seconds()?, Instant::now());
    thread::scope(|scope| {
        let read = |number: usize| {
            let (settings, messages, bytes) = (&settings, &messages, &bytes);
            let (first_us, last_us) = (&first_us, &last_us);
            move || -> Result<()> {
                let mut consumer = Consumer::start(settings, number)?;
                let mut reader = Reader;
                while messages.load(Ordering::Relaxed) < events {
                    ensure!(begun.elapsed() < LONGEST, "{topic} has fewer than {events} events");
                    let Some(batch) = consumer.poll(&mut reader, BATCH, WAIT)? else { continue };
                    let length: usize =
                        batch.iter().map(|(_, m)| m.payload.map_or(0, <[u8]>::len)).sum();
                    let us = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
                    // Only the first batch's counts.
                    let _ = first_us.compare_exchange(0, us, Ordering::Relaxed, Ordering::Relaxed);
                    last_us.fetch_max(us, Ordering::Relaxed);
                    messages.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    bytes.fetch_add(length as u64, Ordering::Relaxed);
                }
                Ok(consumer.close(&mut reader, Leave::Yes)?)
            }
        };
        let handles: Vec<_> = (0..threads).map(|number| scope.spawn(read(number))).collect();
        handles.into_iter().try_for_each(|handle| handle.join().expect("a thread panicked"))
    })?;
    let first = first_us.into_inner() as f64 / 1e6;
    let seconds = last_us.into_inner() as f64 / 1e6 - first;
    let (count, bytes) = (messages.into_inner() as f64, bytes.into_inner() as f64);
    println!(
        "Kafka, {threads} threads: {:.2} M messages/s of {:.0} bytes, {:.3} CPU s/M; first after {first:.2} s",
        count / seconds / 1e6,
        bytes / count,
        (cpu_seconds()? - cpu) / (count / 1e6)
    );
    Ok(())
}

/// User and system, of this process so far.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    let (_, fields) = text.rsplit_once(')').context("/proc/self/stat is not as proc(5) has it")?;
    let ticks = |at| fields.split_whitespace().nth(at).and_then(|t: &str| t.parse::<f64>().ok());
    let ticks = ticks(11).zip(ticks(12)).context("/proc/self/stat is not as proc(5) has it")?;
    // Linux counts in hundredths for programs, whatever the kernel's own tick is.
    Ok((ticks.0 + ticks.1) / 100.0)
}
