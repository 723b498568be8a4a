//! CPU time by thread: which part of the pipeline used it.

use std::collections::BTreeMap;
use std::fs;

use crate::stat::Stat;

/// The threads of a process, ended ones too, as far as they were seen.
#[derive(Debug, Default)]
pub struct Threads(BTreeMap<u32, (String, f64)>);

impl Threads {
    /// Notes what each thread has used so far. One that is just ending may be missed.
    pub fn look(&mut self, pid: u32) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        for task in tasks.flatten() {
            let Ok(thread) = task.file_name().to_string_lossy().parse() else { continue };
            let text = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            if let Some(stat) = Stat::parse(&text) {
                self.0.insert(thread, (stat.name, stat.cpu_seconds));
            }
        }
    }

    /// CPU seconds of each kind of thread, the most first.
    pub fn kinds(&self) -> Vec<(String, f64)> {
        let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, seconds) in self.0.values() {
            *kinds.entry(kind(name)).or_default() += seconds;
        }
        let mut kinds: Vec<(String, f64)> =
            kinds.into_iter().map(|(kind, seconds)| (kind.to_string(), seconds)).collect();
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
        kinds
    }
}

/// `worker-1` and `rdk:broker2` are of the kinds `worker` and `rdk:broker`.
fn kind(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-')
}
