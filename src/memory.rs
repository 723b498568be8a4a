//! The memory budget of a process: what its lanes hold, together.
//!
//! Counted are open windows, sensors, and the rows, late readings and rejects that no commit has written
//! yet. Not counted is what a process needs anyway: code, the Kafka client's queues (64 MiB a thread),
//! models.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegauge_serve::Metrics;

/// The part of the machine's memory that lanes may hold by default, in percent.
const DEFAULT_PERCENT: u64 = 60;
/// Relief begins beyond this part of the budget, in percent: a batch that is on its way still has room.
const HIGH_PERCENT: u64 = 90;
/// Lanes that were paused go on below this part of the budget, in percent.
const RELIEVED_PERCENT: u64 = 80;
/// Windows are put into files until lanes hold this part of the budget, in percent.
const ROOMY_PERCENT: u64 = 70;
/// Below this part of the budget nobody needs to know exactly, in percent.
const TIGHT_PERCENT: u64 = 50;
/// Beyond this part of the budget, pausing has not helped, in percent.
const HOPELESS_PERCENT: u64 = 125;

/// The budget and what is used of it, bytes.
#[derive(Debug)]
pub struct Memory {
    budget: u64,
    used: AtomicU64,
    /// The part of it that is being written, and will be free.
    in_flight: AtomicU64,
    metrics: Arc<Metrics>,
}

/// What one lane holds. Given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    bytes: u64,
    in_flight: u64,
}

impl Memory {
    /// With this budget, or else a part of what the machine or the container has.
    pub fn new(budget: Option<u64>, metrics: Arc<Metrics>) -> Arc<Self> {
        let of_machine = || machine_bytes().map(|bytes| bytes / 100 * DEFAULT_PERCENT);
        let budget = budget.or_else(of_machine).unwrap_or(u64::MAX);
        metrics.memory_budget.set(level(budget));
        let (used, in_flight) = Default::default();
        Arc::new(Self { budget, used, in_flight, metrics })
    }

    /// A lane's share, nothing yet.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { memory: self.clone(), bytes: 0, in_flight: 0 }
    }

    /// The budget, bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Whether lanes hold nearly all that they may, or more.
    pub fn is_over(&self) -> bool {
        !self.has_room(0)
    }

    /// What lanes should give up when they hold more than they should, or would with so many bytes more:
    /// enough for all of them to go on for a while; 0 when there is room.
    pub fn excess(&self, more: u64) -> u64 {
        if self.has_room(more) {
            return 0;
        }
        self.used().saturating_add(more).saturating_sub(part(self.budget, ROOMY_PERCENT))
    }

    /// Whether lanes may hold so many bytes more.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= part(self.budget, HIGH_PERCENT)
    }

    /// Whether lanes may go on that were paused.
    pub fn is_relieved(&self) -> bool {
        self.used() < part(self.budget, RELIEVED_PERCENT)
    }

    /// Whether it is worth knowing exactly what lanes hold.
    pub fn is_tight(&self) -> bool {
        self.used() > part(self.budget, TIGHT_PERCENT)
    }

    /// Whether pausing has not helped. What is being written does not count: it will be free.
    pub fn is_hopeless(&self) -> bool {
        let written = self.in_flight.load(Ordering::Relaxed);
        self.used().saturating_sub(written) > part(self.budget, HOPELESS_PERCENT)
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Share {
    /// The lane holds this much now, of which so much is being written.
    pub fn set(&mut self, bytes: u64, in_flight: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let now = change(&self.memory.used, before, bytes);
        self.memory.metrics.memory_used.set(level(now));
        let before = std::mem::replace(&mut self.in_flight, in_flight);
        change(&self.memory.in_flight, before, in_flight);
    }

    /// The lane may hold so much more until it is weighed again.
    pub fn reserve(&mut self, bytes: u64) {
        self.set(self.bytes.saturating_add(bytes), self.in_flight);
    }

    /// What it held when that was last said.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// One lane's part of a sum; returns the sum.
fn change(sum: &AtomicU64, before: u64, now: u64) -> u64 {
    match now >= before {
        true => sum.fetch_add(now - before, Ordering::Relaxed) + (now - before),
        false => sum.fetch_sub(before - now, Ordering::Relaxed) - (before - now),
    }
}

fn part(bytes: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

fn level(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What the machine has, or the container if that is less; `None` where nobody says so.
fn machine_bytes() -> Option<u64> {
    const LIMITS: [&str; 2] =
        ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = |path: &&str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limits = LIMITS.iter().filter_map(limit);
    let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    limits.chain(all).min()
}

/// The total of `/proc/meminfo`, bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fm_19_shares_add_up_and_are_given_back() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let memory = Memory::new(Some(1_000), metrics.clone());
        let (mut one, mut two) = (memory.share(), memory.share());
        one.set(700, 0);
        two.set(190, 0);
        assert!(!memory.is_over() && !memory.is_relieved());
        two.set(301, 0);
        assert!(memory.is_over() && !memory.is_hopeless());
        two.set(600, 50);
        assert!(!memory.is_hopeless(), "some of it will be free");
        two.set(600, 0);
        assert!(memory.is_hopeless());
        assert_eq!(metrics.sum("tidegauge_memory_used_bytes"), 1300.0);
        drop(one);
        assert!(memory.is_relieved());
        assert_eq!(metrics.sum("tidegauge_memory_used_bytes"), 600.0);
        assert_eq!(metrics.sum("tidegauge_memory_budget_bytes"), 1000.0);
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(total("MemTotal:       24 kB\nMemFree: 1 kB\n"), Some(24 * 1024));
        assert_eq!(total("nothing"), None);
    }
}
