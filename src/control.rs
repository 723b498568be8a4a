//! How the process talks to its workers, and they to it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// What happens to windows that are open when a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWindows {
    /// They are closed and their rows committed; what comes later for them is late.
    Close,
    /// They stay in the checkpoint, for the next run.
    Leave,
}

/// Where one worker stands, as it last said.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub lanes: usize,
    /// Lanes among them that can't be read at the moment.
    pub waiting: usize,
    /// The shortest silence among its lanes; `None` without lanes.
    pub silence: Option<Duration>,
    /// The group has told it which partitions are its own, be it none.
    pub assigned: bool,
    pub rebalanced: Instant,
}

/// Shared by the process and its workers.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    close_windows: AtomicBool,
    ended: AtomicUsize,
    failure: Mutex<Option<anyhow::Error>>,
    workers: Mutex<BTreeMap<usize, Standing>>,
}

impl Control {
    /// Asks all workers to commit and end.
    pub fn stop(&self, windows: OpenWindows) {
        self.close_windows.store(windows == OpenWindows::Close, Ordering::Relaxed);
        self.stop.store(true, Ordering::Release);
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// What becomes of open windows at the stop.
    pub fn open_windows(&self) -> OpenWindows {
        match self.close_windows.load(Ordering::Relaxed) {
            true => OpenWindows::Close,
            false => OpenWindows::Leave,
        }
    }

    /// Workers that have ended, however they did.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Acquire)
    }

    /// The first failure of a worker.
    pub fn take_failure(&self) -> Option<anyhow::Error> {
        lock(&self.failure).take()
    }

    /// What every worker said last; one that has not spoken yet is missing.
    pub fn standings(&self) -> Vec<Standing> {
        lock(&self.workers).values().copied().collect()
    }

    /// Takes down where a worker stands.
    pub fn say(&self, worker: usize, standing: Standing) {
        lock(&self.workers).insert(worker, standing);
    }

    /// Runs a worker's body. Its failure or panic ends all workers: one that is gone must not be missed.
    pub fn run(&self, body: impl FnOnce() -> Result<()>) {
        let panicked = |_| {
            Err(anyhow!("a worker panicked: this is a bug; the lake is as it was last committed"))
        };
        if let Err(error) = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(panicked) {
            lock(&self.failure).get_or_insert(error);
            self.stop(OpenWindows::Leave);
        }
        self.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// What is inside stays whole when a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_or_fails_stops_all() {
        let panicking = Control::default();
        panicking.run(|| panic!("on purpose"));
        assert!(panicking.stopped() && panicking.ended() == 1);
        assert!(panicking.take_failure().is_some_and(|e| e.to_string().contains("panicked")));
        let failing = Control::default();
        failing.run(|| Err(anyhow!("first")));
        failing.run(|| Err(anyhow!("second")));
        assert_eq!(failing.ended(), 2);
        assert!(failing.take_failure().is_some_and(|e| e.to_string() == "first"));
    }
}
