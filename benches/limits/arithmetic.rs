//! Multiply-adds in registers.

use std::hint::black_box;
use std::time::Instant;

use crate::median;

const ROUNDS: u32 = 4_000_000;
/// Sums that are kept at once: few enough for the registers, and enough for the latency of two units.
const SUMS: usize = 8;

/// Prints what one core does, for each width of vectors that it has; nothing on other architectures.
pub fn print(runs: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU has both, as just asked.
            #[allow(unsafe_code)]
            row("AVX2", 4, runs, || unsafe { x86::avx2() });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has it, as just asked.
            #[allow(unsafe_code)]
            row("AVX-512", 8, runs, || unsafe { x86::avx512() });
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (runs, row, median, ROUNDS, SUMS);
}

/// `lanes` numbers are in each sum.
fn row(name: &str, lanes: usize, runs: u64, work: impl Fn() -> f64) {
    let measure = |_| {
        let begun = Instant::now();
        black_box(work());
        let operations = 2.0 * (lanes * SUMS) as f64 * f64::from(ROUNDS);
        operations / begun.elapsed().as_secs_f64() / 1e9
    };
    println!("arithmetic, {name}, 1 core: {:.1} Gflop/s", median((0..runs).map(measure).collect()));
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_cvtsd_f64, _mm256_fmadd_pd, _mm256_set1_pd, _mm512_cvtsd_f64, _mm512_fmadd_pd,
        _mm512_set1_pd,
    };
    use std::hint::black_box;

    use super::{ROUNDS, SUMS};

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> f64 {
        let factor = _mm256_set1_pd(black_box(0.999_999));
        let term = _mm256_set1_pd(black_box(1e-9));
        let mut sums = [_mm256_set1_pd(1.0); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_pd(*sum, factor, term);
            }
        }
        sums.into_iter().map(|sum| _mm256_cvtsd_f64(sum)).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> f64 {
        let factor = _mm512_set1_pd(black_box(0.999_999));
        let term = _mm512_set1_pd(black_box(1e-9));
        let mut sums = [_mm512_set1_pd(1.0); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_pd(*sum, factor, term);
            }
        }
        sums.into_iter().map(|sum| _mm512_cvtsd_f64(sum)).sum()
    }
}
