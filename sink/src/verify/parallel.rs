//! Work on several threads, its results on the caller's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Runs `scan` for 0 to `n` on some threads; `take` gets the results as they come.
pub(super) fn in_parallel<T: Send>(
    threads: usize,
    n: usize,
    scan: &(dyn Fn(usize) -> T + Sync),
    take: &mut dyn FnMut(usize, T),
) {
    let threads = threads.min(n);
    if threads <= 1 {
        (0..n).for_each(|at| take(at, scan(at)));
        return;
    }
    let next = AtomicUsize::new(0);
    // No more than one result per thread waits.
    let (sender, results) = mpsc::sync_channel(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= n || sender.send((at, scan(at))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (at, result) in results {
            take(at, result);
        }
    });
}
