//! How fast memory is read and copied.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::median;

/// Prints it for so many threads, each with arrays of its own.
pub fn print(megabytes: usize, threads: usize, runs: u64) {
    let (mut read, mut copied) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        read.push(rate(megabytes, threads, |from, _| {
            black_box(sum(from));
        }));
        copied.push(rate(megabytes, threads, |from, to| to.copy_from_slice(from)));
    }
    let (read, copied) = (median(read), median(copied));
    println!(
        "memory, {threads} threads: {read:.1} GB/s read, {copied:.1} GB/s copied (each byte counted once)"
    );
}

/// Gigabytes per second over all threads.
fn rate(megabytes: usize, threads: usize, work: impl Fn(&[u64], &mut [u64]) + Sync) -> f64 {
    let length = megabytes * 1_000_000 / size_of::<u64>() / threads;
    let start = Barrier::new(threads);
    let seconds = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    // Written once, so that every page is there.
                    let (from, mut to) = (vec![1; length], vec![2; length]);
                    start.wait();
                    let begun = Instant::now();
                    work(&from, &mut to);
                    black_box(&to);
                    (begun, Instant::now())
                })
            })
            .collect();
        let times = handles.into_iter().map(|handle| handle.join().expect("a thread panicked"));
        let (begun, ended): (Vec<Instant>, Vec<Instant>) = times.unzip();
        let all = begun.iter().min().zip(ended.iter().max());
        all.map_or(f64::NAN, |(begun, ended)| (*ended - *begun).as_secs_f64())
    });
    (length * size_of::<u64>() * threads) as f64 / seconds / 1e9
}

/// Eight sums side by side, so that adding is not what is waited for.
fn sum(values: &[u64]) -> u64 {
    let mut sums = [0_u64; 8];
    for block in values.chunks_exact(8) {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}
