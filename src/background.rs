//! Work that comes again and again beside the lanes, on a thread of its own: training, maintenance, alerts.
//!
//! *At the end* the thread is told, and waited for only as long as people like to wait: what it does is
//! published whole or not at all, or done again by the next process, so a thread that is left alone does no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Time enough for what is nearly done.
const PATIENCE: Duration = Duration::from_secs(10);

/// Work that is done in rounds.
pub trait Work: Send + 'static {
    /// What it is, for the log and the thread's name.
    fn name(&self) -> &'static str;

    /// How long before the first round.
    fn first(&self) -> Duration;

    /// How long the end of the process waits for a round that is under way.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// One round, and how long to wait before the next one. Whatever goes wrong is told in there. Looks
    /// now and then whether it is to end, and then does not go on.
    fn round(&mut self, end: &End) -> Duration;

    /// What is still to be done after the last round, within [`Work::patience`].
    fn last(&mut self) {}
}

/// Whether work is to end.
#[derive(Debug, Clone, Default)]
pub struct End(Arc<AtomicBool>);

impl End {
    /// Whether it is time.
    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It is, from now on.
    pub fn come(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The thread; told to end when this is dropped.
pub struct Background {
    name: &'static str,
    patience: Duration,
    end: End,
    wakes: Option<Sender<()>>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
    /// When it was told to end.
    told_at: Option<Instant>,
}

impl Background {
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(mut work: impl Work) -> Result<Self> {
        let (wakes, woken) = bounded::<()>(0);
        let (ends, done) = bounded::<()>(0);
        let (name, patience, end) = (work.name(), work.patience(), End::default());
        let ours = end.clone();
        let body = move || {
            // Its going tells that the thread has ended, however it did.
            let _ends = ends;
            let mut wait = work.first();
            while let Err(RecvTimeoutError::Timeout) = woken.recv_timeout(wait) {
                wait = work.round(&ours);
            }
            work.last();
        };
        let spawned = std::thread::Builder::new().name(name.into()).spawn(body);
        let thread = spawned.with_context(|| format!("cannot start the thread of the {name}"))?;
        Ok(Self { name, patience, end, wakes: Some(wakes), done, thread, told_at: None })
    }

    /// What it does.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it has ended by itself, which only a bug can do.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends all of them at once: the wait is that of the most patient one, not of all together.
    pub fn end_all(mut threads: Vec<Self>) {
        threads.iter_mut().for_each(Self::tell);
    }

    fn tell(&mut self) {
        self.end.come();
        self.wakes.take();
        self.told_at.get_or_insert_with(Instant::now);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.tell();
        let waited = self.told_at.map_or(Duration::ZERO, |at| at.elapsed());
        let left = self.patience.saturating_sub(waited);
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(left) {
            tracing::warn!(work = self.name, "its round is not done and is given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does one round after the other until it is told to end, and counts those that began.
    struct Counts(Sender<u32>, u32);

    impl Work for Counts {
        fn name(&self) -> &'static str {
            "counts"
        }

        fn first(&self) -> Duration {
            Duration::ZERO
        }

        fn round(&mut self, end: &End) -> Duration {
            self.1 += 1;
            // Without a reader there is nobody to tell.
            let _ = self.0.send(self.1);
            while self.1 == 3 && !end.has_come() {
                std::thread::yield_now();
            }
            Duration::ZERO
        }
    }

    #[test]
    fn rounds_follow_each_other_and_a_round_under_way_is_told_to_end() {
        let (tells, told) = bounded(0);
        let thread = Background::start(Counts(tells, 0)).expect("a thread");
        assert_eq!(told.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!thread.has_ended());
        let done = thread.done.clone();
        drop(thread);
        assert_eq!(done.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
    }

    /// Ends only when all of them have been told to: one after the other they would never end.
    struct Meets(Arc<std::sync::Barrier>);

    impl Work for Meets {
        fn name(&self) -> &'static str {
            "meets"
        }

        fn first(&self) -> Duration {
            Duration::MAX
        }

        fn patience(&self) -> Duration {
            Duration::MAX
        }

        fn round(&mut self, _: &End) -> Duration {
            Duration::MAX
        }

        fn last(&mut self) {
            self.0.wait();
        }
    }

    #[test]
    fn the_end_comes_to_all_at_once() {
        let barrier = Arc::new(std::sync::Barrier::new(3));
        let start = |_| Background::start(Meets(barrier.clone())).expect("a thread");
        Background::end_all((0..3).map(start).collect());
    }

    struct Panics;

    impl Work for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }

        fn first(&self) -> Duration {
            Duration::ZERO
        }

        fn round(&mut self, _: &End) -> Duration {
            panic!("on purpose");
        }
    }

    #[test]
    fn who_panics_has_ended() {
        let thread = Background::start(Panics).expect("a thread");
        assert_eq!(thread.done.recv(), Err(crossbeam_channel::RecvError));
        // The channel goes a moment before the thread does.
        while !thread.has_ended() {
            std::thread::yield_now();
        }
    }
}
