//! The wish to end: SIGINT and SIGTERM (the second one ends the process at once), or our own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The process's wish to end.
pub struct Signals {
    woken: Receiver<()>,
    wake: Sender<()>,
    seen: Arc<AtomicBool>,
}

impl Signals {
    /// Takes over both signals.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn install() -> Result<Self> {
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Registered first, so it sees the flag of an earlier signal only.
            signal_hook::flag::register_conditional_shutdown(signal, 1, seen.clone())
                .context("cannot handle signals")?;
        }
        let (wake, woken) = bounded(1);
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
            .context("cannot handle signals")?;
        let (flag, waker) = (seen.clone(), wake.clone());
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for _ in signals.forever() {
                    flag.store(true, Ordering::Release);
                    let _ = waker.try_send(());
                }
            })
            .context("cannot start the thread for signals")?;
        Ok(Self { woken, wake, seen })
    }

    /// True once a signal has come.
    pub fn seen(&self) -> bool {
        self.seen.load(Ordering::Acquire)
    }

    /// Asks for an orderly end as a signal does.
    pub fn raise(&self) {
        self.seen.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
    }

    /// Waits up to `timeout` for a signal; true once one has come.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.seen() || self.woken.recv_timeout(timeout).is_ok()
    }
}
