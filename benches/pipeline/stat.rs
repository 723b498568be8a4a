//! What Linux tells of a process or a thread: `/proc/PID/stat`, proc_pid_stat(5).

use std::fs;

use anyhow::{Context, Result};

/// Linux counts CPU time for programs in these, whatever the kernel's own tick is.
pub const TICKS_PER_SECOND: f64 = 100.0;

pub struct Stat {
    pub name: String,
    pub state: String,
    /// User and system time so far.
    pub cpu_seconds: f64,
}

impl Stat {
    /// Of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&text).with_context(|| format!("{path} is not as proc(5) has it: {text:?}"))
    }

    /// Of a process, or of one of its threads.
    pub fn parse(text: &str) -> Option<Self> {
        // The second field is the name in parentheses, which may hold anything.
        let (before, after_name) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let cpu_seconds = (ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND;
        Some(Self { name: name.into(), state: (*fields.first()?).to_string(), cpu_seconds })
    }
}
