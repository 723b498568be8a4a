//! Where epochs of one process are written: whenever the runner wants, on the one thread that there is.
//!
//! *How a write runs beside its worker*: the work stands in the middle of its own calls while the others go
//! on, and its worker is one of them. A worker that waits for work which stands so below it on the stack
//! can only wait until its deadline.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tidegauge::executor::{Executor, Submitted, Work};

use crate::runner;
use crate::world::{World, instant};

/// The writes of one process that have not begun.
pub struct SimExecutor {
    world: Arc<World>,
    process: u64,
    tasks: Mutex<Vec<Arc<Task>>>,
}

/// One piece of work.
struct Task {
    work: Mutex<Option<Work>>,
    done: AtomicBool,
}

impl SimExecutor {
    pub fn new(world: Arc<World>, process: u64) -> Arc<Self> {
        Arc::new(Self { world, process, tasks: Mutex::default() })
    }

    /// Begins some work, if there is any.
    pub fn run_one(&self) {
        let task = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.retain(|task| !task.has_begun());
            if tasks.is_empty() {
                return;
            }
            let chosen = self.world.state().below(tasks.len());
            tasks.remove(chosen)
        };
        task.run();
    }

    /// The process is gone, and what it has not begun with it.
    pub fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // What a task holds may take this lock.
        drop(tasks);
    }
}

impl fmt::Debug for SimExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the writes of process {}", self.process)
    }
}

impl Executor for SimExecutor {
    fn submit(&self, work: Work) -> Box<dyn Submitted> {
        let task = Arc::new(Task { work: Mutex::new(Some(work)), done: AtomicBool::new(false) });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.clone());
        Box::new(Pending { world: self.world.clone(), process: self.process, task })
    }
}

impl Task {
    fn has_begun(&self) -> bool {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Carries it out, unless somebody else has begun to.
    fn run(&self) {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work();
            self.done.store(true, Ordering::Relaxed);
        }
    }
}

struct Pending {
    world: Arc<World>,
    process: u64,
    task: Arc<Task>,
}

impl Submitted for Pending {
    fn is_done(&self) -> bool {
        self.task.done.load(Ordering::Relaxed)
    }

    fn wait(&self, until: Option<Instant>) -> bool {
        let slow = {
            let mut state = self.world.state();
            let rate = state.faults.slow;
            until.is_some() && state.chance(rate)
        };
        if !slow {
            self.task.run();
        }
        if self.is_done() {
            return true;
        }
        // A dead process waits for nothing.
        if let Some(until) = until.filter(|_| !self.world.state().dead.contains(&self.process)) {
            let now = instant(self.world.state().now);
            runner::time_passes(until.saturating_duration_since(now));
        }
        self.is_done()
    }
}
