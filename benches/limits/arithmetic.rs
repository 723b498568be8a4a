//! Multiply-adds in registers.

use std::hint::black_box;
use std::time::Instant;

use crate::median;

/// Sums that are kept at once: more than the units' latency needs, in any width.
const SUMS: usize = 64;
const ROUNDS: u32 = 4_000_000;

/// Prints what one core does.
pub fn print(runs: u64) {
    row("portable", runs, rounds::<false>);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU has both, as just asked.
            #[allow(unsafe_code)]
            row("AVX2", runs, || unsafe { rounds_avx2() });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has it, as just asked.
            #[allow(unsafe_code)]
            row("AVX-512", runs, || unsafe { rounds_avx512() });
        }
    }
}

fn row(name: &str, runs: u64, work: impl Fn() -> f64) {
    let measure = |_| {
        let begun = Instant::now();
        black_box(work());
        let operations = 2.0 * SUMS as f64 * f64::from(ROUNDS);
        operations / begun.elapsed().as_secs_f64() / 1e9
    };
    println!("arithmetic, {name}, 1 core: {:.1} Gflop/s", median((0..runs).map(measure).collect()));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn rounds_avx2() -> f64 {
    rounds::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn rounds_avx512() -> f64 {
    rounds::<true>()
}

/// Without `FUSED` the product and the sum are two instructions: baseline CPUs have no other.
#[inline(always)]
fn rounds<const FUSED: bool>() -> f64 {
    let (factor, term) = (black_box(0.999_999), black_box(1e-9));
    let mut sums: [f64; SUMS] = std::array::from_fn(|n| n as f64);
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = if FUSED { sum.mul_add(factor, term) } else { *sum * factor + term };
        }
    }
    sums.iter().sum()
}
