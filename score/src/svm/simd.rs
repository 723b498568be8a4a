//! The decision loop, compiled for every machine, for AVX2 with FMA and for AVX-512.
//!
//! *How*: one generic body that the compiler vectorises; a function that enables the features
//! inlines it. The only unsafe step is to call such a function. All paths agree within 1e-9. On ARM
//! every machine has NEON with FMA, so there the portable path is the fast one.
#![allow(unsafe_code)]

use super::packed::{LANES, Lanes, PackedSvm};

/// Rows of up to this many features are standardised on the stack.
const STACK_WIDTH: usize = 32;

/// Exponents of 2 below this one are taken for it: nothing beside any weight.
const EXP_MIN: f64 = -1_000.0;

/// Adding this number rounds to an integer, which is then in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// (ln 2)^k / k! for k = 0 to 10: the Taylor series of 2^r.
const TAYLOR: [f64; 11] = taylor();

const fn taylor() -> [f64; 11] {
    let mut terms = [1.0; 11];
    let mut k = 1;
    while k < terms.len() {
        terms[k] = terms[k - 1] * std::f64::consts::LN_2 / k as f64;
        k += 1;
    }
    terms
}

/// How decisions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Whatever the compiler makes of the loop for any processor of this architecture.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors.
    Avx512,
}

impl Path {
    /// All of them, the fastest last.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The fastest path that this machine has.
    pub fn best() -> Self {
        let mut paths = Self::ALL.into_iter().rev();
        paths.find(|path| path.is_here()).unwrap_or(Self::Portable)
    }

    /// Whether this machine has it.
    pub fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => has_avx2(),
            Self::Avx512 => has_avx512(),
        }
    }

    /// Itself when this machine has it, else the portable path.
    pub fn or_portable(self) -> Self {
        if self.is_here() { self } else { Self::Portable }
    }
}

/// Fills `out` with the decisions of `rows`, by the path of the model.
pub(super) fn decide(svm: &PackedSvm, rows: &[f64], out: &mut [f64]) {
    match svm.path() {
        // SAFETY: `decide_avx512` and `decide_avx2` are safe functions but for the processor features
        // that they enable, and this processor has just been asked whether it has them.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 if has_avx512() => unsafe { decide_avx512(svm, rows, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 if has_avx2() => unsafe { decide_avx2(svm, rows, out) },
        _ => body::<Baseline>(svm, rows, out),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn decide_avx2(svm: &PackedSvm, rows: &[f64], out: &mut [f64]) {
    body::<Fused>(svm, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
fn decide_avx512(svm: &PackedSvm, rows: &[f64], out: &mut [f64]) {
    body::<Fused>(svm, rows, out);
}

/// The multiply-add that every machine of this architecture has.
#[cfg(not(target_arch = "aarch64"))]
type Baseline = Separate;
#[cfg(target_arch = "aarch64")]
type Baseline = Fused;

/// a * b + c, the way that is fast on the path.
trait MulAdd {
    fn mul_add(a: f64, b: f64, c: f64) -> f64;
}

/// Two roundings: without the instruction a fused one would be a slow library call.
#[cfg(not(target_arch = "aarch64"))]
struct Separate;

/// One rounding.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
struct Fused;

#[cfg(not(target_arch = "aarch64"))]
impl MulAdd for Separate {
    #[inline(always)]
    fn mul_add(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
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
    let mut sum = [0.0; LANES];
    for (vectors, Lanes(alpha)) in svm.blocks() {
        let mut distance = [0.0; LANES];
        for (x, Lanes(vector)) in point.iter().zip(vectors) {
            for lane in 0..LANES {
                let apart = x - vector[lane];
                distance[lane] = M::mul_add(apart, apart, distance[lane]);
            }
        }
        for lane in 0..LANES {
            sum[lane] = M::mul_add(alpha[lane], exp2::<M>(-distance[lane]), sum[lane]);
        }
    }
    let (low, high) = sum.split_at(LANES / 2);
    low.iter().zip(high).map(|(a, b)| a + b).sum()
}

/// 2^x for x <= 0, with a relative error below 1e-12; below [`EXP_MIN`] what it is there.
///
/// x = n + r with |r| <= 1/2; 2^r by its Taylor polynomial, 2^n by its exponent bits.
#[inline(always)]
fn exp2<M: MulAdd>(x: f64) -> f64 {
    // Not `max`, which would ask for NaN: there is none.
    let x = if x > EXP_MIN { x } else { EXP_MIN };
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    // Estrin's scheme: pairs, then pairs of pairs, so that few steps wait for each other.
    let r2 = r * r;
    let r4 = r2 * r2;
    let pair = |k: usize| M::mul_add(TAYLOR[k + 1], r, TAYLOR[k]);
    let four = |k: usize| M::mul_add(pair(k + 2), r2, pair(k));
    let top = M::mul_add(TAYLOR[10], r2, pair(8));
    let sum = M::mul_add(M::mul_add(top, r4, four(4)), r4, four(0));
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    sum * power
}
