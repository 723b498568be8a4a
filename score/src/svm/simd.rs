//! The decision loop, compiled once for every machine and once for AVX2 with FMA.
//!
//! *How*: one generic body that the compiler vectorises; a function that enables the features
//! inlines it. The only unsafe step is to call that function. Both paths agree within 1e-9.
#![allow(unsafe_code)]

use super::packed::{LANES, Lanes, PackedSvm};

/// Rows of up to this many features are standardised on the stack.
const STACK_WIDTH: usize = 32;

/// Below this exponent exp() is 0 here; the true value is under 1e-304.
const EXP_MIN: f64 = -700.0;

/// Adding this number rounds to an integer, which is then in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// ln 2 in two parts; the upper one has trailing zeros, so that n times it is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1/k! for k = 11 down to 0.
const TAYLOR: [f64; 12] = [
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// How decisions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Whatever the compiler makes of the loop for any processor of this architecture.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
}

impl Path {
    /// The fastest path that this machine has.
    pub fn best() -> Self {
        Self::Avx2.or_portable()
    }

    /// Itself when this machine has it, else the portable path.
    pub fn or_portable(self) -> Self {
        match self {
            Self::Avx2 if has_avx2() => Self::Avx2,
            _ => Self::Portable,
        }
    }
}

/// Fills `out` with the decisions of `rows`, by the path of the model.
pub(super) fn decide(svm: &PackedSvm, rows: &[f64], out: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if svm.path() == Path::Avx2 && has_avx2() {
        // SAFETY: `decide_avx2` is a safe function but for the processor features that it enables,
        // and the line above has just asked this processor whether it has them.
        return unsafe { decide_avx2(svm, rows, out) };
    }
    body::<Separate>(svm, rows, out);
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn decide_avx2(svm: &PackedSvm, rows: &[f64], out: &mut [f64]) {
    body::<Fused>(svm, rows, out);
}

/// a * b + c, the way that is fast on the path.
trait MulAdd {
    fn mul_add(a: f64, b: f64, c: f64) -> f64;
}

/// Two roundings: without the instruction a fused one would be a slow library call.
struct Separate;

/// One rounding.
#[cfg(target_arch = "x86_64")]
struct Fused;

impl MulAdd for Separate {
    #[inline(always)]
    fn mul_add(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

#[cfg(target_arch = "x86_64")]
impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

#[inline(always)]
fn body<M: MulAdd>(svm: &PackedSvm, rows: &[f64], out: &mut [f64]) {
    let width = svm.mean.len();
    let (mut stack, mut heap) = ([0.0; STACK_WIDTH], Vec::new());
    let point = match stack.get_mut(..width) {
        Some(point) => point,
        None => {
            heap.resize(width, 0.0);
            heap.as_mut_slice()
        }
    };
    for (row, decision) in rows.chunks_exact(width).zip(out) {
        for (f, p) in point.iter_mut().enumerate() {
            *p = (row[f] - svm.mean[f]) * svm.step[f];
        }
        *decision = mass::<M>(svm, point) - svm.rho;
    }
}

/// The weighted sum of the kernel at one standardised point.
#[inline(always)]
fn mass<M: MulAdd>(svm: &PackedSvm, point: &[f64]) -> f64 {
    let mut sum: Lanes = [0.0; LANES];
    for (vectors, alpha) in svm.vectors.chunks_exact(point.len()).zip(&svm.alpha) {
        let mut distance: Lanes = [0.0; LANES];
        for (x, vector) in point.iter().zip(vectors) {
            for lane in 0..LANES {
                let apart = x - vector[lane];
                distance[lane] = M::mul_add(apart, apart, distance[lane]);
            }
        }
        for lane in 0..LANES {
            sum[lane] = M::mul_add(alpha[lane], exp::<M>(-distance[lane]), sum[lane]);
        }
    }
    let (low, high) = sum.split_at(LANES / 2);
    low.iter().zip(high).map(|(a, b)| a + b).sum()
}

/// e^x for x <= 0, with a relative error below 1e-14, exactly 0 below [`EXP_MIN`].
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial, 2^n by its exponent bits.
#[inline(always)]
fn exp<M: MulAdd>(x: f64) -> f64 {
    let shifted = M::mul_add(x, std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = M::mul_add(n, -LN_2_LOW, M::mul_add(n, -LN_2_HIGH, x));
    let mut sum = TAYLOR[0];
    for coefficient in &TAYLOR[1..] {
        sum = M::mul_add(sum, r, *coefficient);
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    // Far below, the steps above give nonsense or NaN, which is not taken.
    if x > EXP_MIN { sum * power } else { 0.0 }
}
