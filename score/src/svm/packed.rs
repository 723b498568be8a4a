//! A model in the layout that the vector unit wants.
//!
//! *Why our own*: linfa's `predict` scans all training rows per call and allocates. Support vectors
//! stand in blocks of 16, within a block feature by feature, so that one feature of 16 vectors is
//! two or four registers; a block's weights follow its features, so that a model is one stretch of memory.
//! Coordinates are multiplied by root = sqrt(gamma / ln 2) and rows by root/scale, so that the exponent of 2
//! is a plain squared distance. Missing vectors of the last block have the weight 0.

use super::SvmParams;
use super::prefetch;
use super::simd::{self, Path};

/// Support vectors per block.
pub(super) const LANES: usize = 16;

/// One number for each vector of a block, on cache lines of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(super) struct Lanes(pub [f64; LANES]);

/// A packed model. Immutable, shared between threads.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedSvm {
    pub(super) mean: Vec<f64>,
    /// Root / scale of each feature.
    pub(super) step: Vec<f64>,
    /// `[block]`: for each feature 16 coordinates times the root, then 16 weights.
    blocks: Vec<Lanes>,
    pub(super) rho: f64,
    path: Path,
}

impl PackedSvm {
    /// Packs a model for the best path that this machine has.
    pub fn new(params: &SvmParams) -> Self {
        Self::with_path(params, Path::best())
    }

    /// Packs a model for one path; a path that this machine lacks becomes the portable one.
    pub fn with_path(params: &SvmParams, path: Path) -> Self {
        let width = params.width();
        let root = (params.gamma() * std::f64::consts::LOG2_E).sqrt();
        let blocks = params.alpha().len().div_ceil(LANES);
        let mut blocks = vec![Lanes([0.0; LANES]); blocks * (width + 1)];
        for (i, weight) in params.alpha().iter().enumerate() {
            let (block, lane) = (&mut blocks[i / LANES * (width + 1)..][..=width], i % LANES);
            block[width].0[lane] = *weight;
            for (feature, value) in params.vectors()[i * width..][..width].iter().enumerate() {
                block[feature].0[lane] = value * root;
            }
        }
        let step = params.scale().iter().map(|s| root / s).collect();
        let mean = params.mean().to_vec();
        Self { mean, step, blocks, rho: params.rho(), path: path.or_portable() }
    }

    /// The coordinates and the weights of each block.
    #[inline(always)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = (&[Lanes], &Lanes)> {
        let blocks = self.blocks.chunks_exact(self.width() + 1);
        blocks.filter_map(|block| block.split_last().map(|(alpha, vectors)| (vectors, alpha)))
    }

    /// Asks for the model's numbers to be brought near: a decision follows soon.
    pub fn prefetch(&self) {
        prefetch::slice(&self.mean);
        prefetch::slice(&self.step);
        prefetch::slice(&self.blocks);
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The path that decides.
    pub fn path(&self) -> Path {
        self.path
    }

    /// The decision f of each row; negative or zero is an anomaly. `rows` is row-major, raw
    /// features, all finite. A row so far away that every exponential underflows gives exactly
    /// -rho.
    ///
    /// # Panics
    /// When `rows` doesn't have `out.len()` rows of [`PackedSvm::width`].
    pub fn decide(&self, rows: &[f64], out: &mut [f64]) {
        assert_eq!(rows.len(), out.len() * self.width(), "rows must fit the model and the output");
        simd::decide(self, rows, out);
    }

    /// ln(f + rho) of one row, exact where the sum itself underflows: how near the row is to the
    /// support vectors, on a scale that far rows don't saturate. Not a hot path.
    pub fn log_mass(&self, row: &[f64]) -> f64 {
        let (mut top, mut sum) = (f64::NEG_INFINITY, 0.0);
        for (vectors, alpha) in self.blocks() {
            for (lane, weight) in alpha.0.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                let term = weight.ln() - self.distance(row, vectors, lane);
                if term > top {
                    sum = sum * (top - term).exp() + 1.0;
                    top = term;
                } else if term > f64::NEG_INFINITY {
                    sum += (term - top).exp();
                }
            }
        }
        top + sum.ln()
    }

    /// gamma |z - v|^2 for one vector of a block.
    fn distance(&self, row: &[f64], vectors: &[Lanes], lane: usize) -> f64 {
        let features = row.iter().zip(&self.mean).zip(&self.step).zip(vectors);
        let apart = features.map(|(((x, mean), step), v)| ((x - mean) * step - v.0[lane]).powi(2));
        std::f64::consts::LN_2 * apart.sum::<f64>()
    }
}
