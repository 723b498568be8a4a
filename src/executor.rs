//! Where epochs are written: away from the loops of the lanes.
//!
//! *Why a trait*: production writes on threads; the simulation decides itself when a write is done, on
//! the one thread that it has.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, unbounded};

/// One epoch's writing.
pub type Work = Box<dyn FnOnce() + Send>;

/// Carries work out, in any order, each once.
pub trait Executor: fmt::Debug + Send + Sync {
    /// Takes work on. A lane has one piece under way at most, so the queue is bounded by the lanes.
    fn submit(&self, work: Work) -> Box<dyn Submitted>;
}

/// Work under way.
pub trait Submitted: Send {
    /// Whether it is done, or will never be.
    fn is_done(&self) -> bool;

    /// Waits for it, at most until an instant; says whether it is done.
    fn wait(&self, until: Option<Instant>) -> bool;
}

/// A few threads that share one queue. They end by themselves when the pool is dropped.
pub struct Threads {
    queue: Sender<(Work, Sender<()>)>,
}

impl Threads {
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(count: usize) -> Result<Self> {
        let (queue, taken) = unbounded::<(Work, Sender<()>)>();
        for number in 0..count {
            let taken = taken.clone();
            let body = move || {
                for (work, done) in taken {
                    // A panic leaves its mark by what the work did not leave behind.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                    drop(done);
                }
            };
            let spawned = std::thread::Builder::new().name(format!("commit-{number}")).spawn(body);
            spawned.context("cannot start a thread for commits")?;
        }
        Ok(Self { queue })
    }
}

impl Executor for Threads {
    fn submit(&self, work: Work) -> Box<dyn Submitted> {
        let (done, end) = bounded(0);
        // It fails only without threads; then the work is dropped, and counts as done without a result.
        let _ = self.queue.send((work, done));
        Box::new(Pending(end))
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("waiting", &self.queue.len()).finish()
    }
}

/// Nothing is ever sent: the other end is dropped when the work is done.
struct Pending(Receiver<()>);

impl Submitted for Pending {
    fn is_done(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn wait(&self, until: Option<Instant>) -> bool {
        match until {
            None => self.0.recv().is_err(),
            Some(until) => self.0.recv_deadline(until) == Err(RecvTimeoutError::Disconnected),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_is_done_or_dropped_and_a_panic_harms_nobody() {
        let threads = Threads::start(1).expect("starts");
        let (release, held) = bounded::<()>(0);
        let first = threads.submit(Box::new(move || {
            let _ = held.recv();
        }));
        let panics = threads.submit(Box::new(|| panic!("on purpose")));
        let (say, said) = bounded(1);
        let last = threads.submit(Box::new(move || {
            let _ = say.send(7);
        }));
        assert!(!first.is_done() && !last.is_done());
        assert!(!first.wait(Some(Instant::now() + Duration::from_millis(1))));
        drop(release);
        assert!(first.wait(None) && panics.wait(None) && last.wait(None));
        assert!(last.is_done());
        assert_eq!(said.recv(), Ok(7));
    }
}
