//! A model in the layout that the vector unit wants.
//!
//! *Why our own*: linfa's `predict` scans all training rows per call and allocates. Support vectors
//! stand in blocks of 16, within a block feature by feature, so that one feature of 16 vectors is
//! two or four registers. They are multiplied by a root and rows by root/scale, so that the exponent of
//! 2 is a plain squared distance: root = sqrt(gamma / ln 2). Missing vectors of the last block have the weight 0.

use super::SvmParams;
use super::simd::{self, Path};

/// Support vectors per block.
pub(super) const LANES: usize = 16;

/// One number for each vector of a block.
pub(super) type Lanes = [f64; LANES];

/// A packed model. Immutable, shared between threads.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedSvm {
    pub(super) mean: Vec<f64>,
    /// Root / scale of each feature.
    pub(super) step: Vec<f64>,
    /// `[block][feature]`, each 16 coordinates times the root.
    pub(super) vectors: Vec<Lanes>,
    /// `[block]`, 16 weights each.
    pub(super) alpha: Vec<Lanes>,
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
        let mut vectors = vec![[0.0; LANES]; blocks * width];
        let mut alpha = vec![[0.0; LANES]; blocks];
        for (i, weight) in params.alpha().iter().enumerate() {
            let (block, lane) = (i / LANES, i % LANES);
            alpha[block][lane] = *weight;
            for (feature, value) in params.vectors()[i * width..][..width].iter().enumerate() {
                vectors[block * width + feature][lane] = value * root;
            }
        }
        let step = params.scale().iter().map(|s| root / s).collect();
        let mean = params.mean().to_vec();
        Self { mean, step, vectors, alpha, rho: params.rho(), path: path.or_portable() }
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
        for (vectors, alpha) in self.vectors.chunks_exact(self.width()).zip(&self.alpha) {
            for (lane, weight) in alpha.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
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
        let apart = features.map(|(((x, mean), step), v)| ((x - mean) * step - v[lane]).powi(2));
        std::f64::consts::LN_2 * apart.sum::<f64>()
    }
}
