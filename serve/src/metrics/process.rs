//! The process's own memory, processor time and files, read from `/proc` at each scrape.
//!
//! Names and meaning are those of Prometheus' client libraries. *Why our own*: the library's
//! collector needs further crates and counts processor time in whole seconds.

use std::fs;

use prometheus::{Counter, Gauge, IntGauge, Registry};

use super::gauge;

/// Ticks per second of the times in `/proc`: 100 on every architecture that we build for, whatever
/// the kernel's own timer (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    memory: IntGauge,
    cpu: Counter,
    files: IntGauge,
}

/// What `/proc/self/stat` says, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    cpu: u64,
    /// Since the machine's boot.
    start: u64,
}

impl Process {
    /// `None`, and nothing registered, where the system has no `/proc`.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Option<Self>> {
        let (Some(ticks), Some(boot)) = (ticks(), boot_seconds()) else {
            return Ok(None);
        };
        let start = Gauge::new(
            "process_start_time_seconds",
            "Start of the process, seconds since 1970-01-01 UTC.",
        )?;
        start.set(boot as f64 + ticks.start as f64 / TICKS);
        registry.register(Box::new(start))?;
        let cpu = Counter::new(
            "process_cpu_seconds_total",
            "User and system processor time spent, seconds.",
        )?;
        registry.register(Box::new(cpu.clone()))?;
        let memory = "process_resident_memory_bytes";
        let process = Self {
            memory: gauge(registry, memory, "Resident memory, bytes.")?,
            cpu,
            files: gauge(registry, "process_open_fds", "Open file descriptors.")?,
        };
        process.refresh();
        Ok(Some(process))
    }

    /// Resident memory, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.refresh();
        u64::try_from(self.memory.get()).unwrap_or(0)
    }

    /// Reads the numbers anew; what can't be read keeps its last value.
    pub(super) fn refresh(&self) {
        if let Some(bytes) = resident_bytes() {
            self.memory.set(bytes);
        }
        if let Some(ticks) = ticks() {
            let more = ticks.cpu as f64 / TICKS - self.cpu.get();
            self.cpu.inc_by(more.max(0.0));
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the descriptor that reads the folder.
            self.files.set(entries.count().saturating_sub(1) as i64);
        }
    }
}

fn ticks() -> Option<Ticks> {
    parse_ticks(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn boot_seconds() -> Option<u64> {
    parse_boot_seconds(&fs::read_to_string("/proc/stat").ok()?)
}

fn resident_bytes() -> Option<i64> {
    parse_resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Fields 14, 15 and 22 of proc(5). The program's name, field 2, may hold spaces and parentheses,
/// so counting starts behind the last one.
fn parse_ticks(stat: &str) -> Option<Ticks> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Ticks { cpu: number(14)?.checked_add(number(15)?)?, start: number(22)? })
}

fn parse_boot_seconds(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn parse_resident_bytes(status: &str) -> Option<i64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests;
