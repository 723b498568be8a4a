//! The one-class support vector machine: its parameters as plain numbers, and the packed form that
//! scores.
//!
//! With z = (x - mean) / scale, the decision is f = sum(alpha_i exp(-gamma |z - v_i|^2)) - rho. A
//! row is normal when f > 0. Source: Schölkopf et al., "Estimating the Support of a
//! High-Dimensional Distribution" (2001); the sign conventions are those of libsvm and scikit-learn
//! (`intercept_` = -rho, `dual_coef_` = alpha).

mod model;
mod packed;
pub(crate) mod prefetch;
mod simd;

pub use model::SvmModel;
pub use packed::PackedSvm;
pub use simd::Path;

use thiserror::Error;

/// Most support vectors that a model may have.
pub const MAX_VECTORS: usize = 1 << 20;

/// Most features that a model may have.
pub const MAX_WIDTH: usize = 4096;

/// Why numbers are no one-class support vector machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidSvm(pub String);

/// The parameters of one model, checked: see [`SvmParams::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct SvmParams {
    mean: Vec<f64>,
    scale: Vec<f64>,
    vectors: Vec<f64>,
    alpha: Vec<f64>,
    gamma: f64,
    rho: f64,
    score: SvmScore,
}

/// What a model gives as its score. All of them rank rows alike; they differ in their scale.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum SvmScore {
    /// -f, between -(sum of the weights) + rho and rho: what scikit-learn's decision function says,
    /// with the sign turned.
    #[default]
    Decision,
    /// -f / rho: 0 on the boundary, 1 far from everything.
    Relative,
    /// How far the row is beyond the boundary: sqrt(max(0, ln(rho / (f + rho))) / gamma) / unit, in
    /// standard deviations when the unit is 1. 0 inside, and without an end.
    Distance {
        /// What the distance is divided by.
        unit: f64,
    },
}

/// Unchecked numbers on their way to [`SvmParams::new`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SvmParts {
    /// What is subtracted of each feature.
    pub mean: Vec<f64>,
    /// What each feature is then divided by.
    pub scale: Vec<f64>,
    /// The support vectors, standardised, row-major (`alpha.len()` rows of `mean.len()`).
    pub vectors: Vec<f64>,
    /// The weight of each support vector.
    pub alpha: Vec<f64>,
    /// The kernel's width.
    pub gamma: f64,
    /// What is subtracted from the weighted sum: minus scikit-learn's `intercept_`.
    pub rho: f64,
    /// What the model gives as its score.
    pub score: SvmScore,
}

impl SvmParams {
    /// # Errors
    /// When lengths don't fit each other, a number is not finite, a weight is negative or all are
    /// zero, or a scale, gamma or what the score asks for is not a positive number that can be
    /// divided by.
    pub fn new(parts: SvmParts) -> Result<Self, InvalidSvm> {
        let SvmParts { mean, scale, vectors, alpha, gamma, rho, score } = parts;
        let width = mean.len();
        let refuse = |what: String| Err(InvalidSvm(what));
        if width == 0 || width > MAX_WIDTH || scale.len() != width {
            let scales = scale.len();
            return refuse(format!("{width} means and {scales} scales, expected 1..={MAX_WIDTH}"));
        }
        if alpha.is_empty() || alpha.len() > MAX_VECTORS {
            return refuse(format!("{} support vectors, expected 1..={MAX_VECTORS}", alpha.len()));
        }
        if vectors.len() != alpha.len() * width {
            let (n, w) = (vectors.len(), alpha.len());
            return refuse(format!("{n} coordinates for {w} support vectors of {width} features"));
        }
        if !mean.iter().chain(&vectors).chain([&rho]).all(|v| v.is_finite()) {
            return refuse("a mean, a support vector or rho is not a finite number".into());
        }
        let step = |s: &f64| gamma.sqrt() / s;
        if !scale.iter().all(|s| *s > 0.0 && step(s).is_finite() && step(s) > 0.0) {
            return refuse(format!("gamma {gamma} and scales {scale:?} must be positive numbers"));
        }
        let mass: f64 = alpha.iter().sum();
        if alpha.iter().any(|a| a.is_nan() || *a < 0.0) || !mass.is_finite() || mass <= 0.0 {
            return refuse("weights must be finite, not negative and not all zero".into());
        }
        if score != SvmScore::Decision && rho <= 0.0 {
            return refuse(format!("rho is {rho}: a boundary needs one above 0"));
        }
        if matches!(score, SvmScore::Distance { unit } if !(unit > 0.0 && unit.is_finite())) {
            return refuse(format!("{score:?} must have a unit above 0"));
        }
        Ok(Self { mean, scale, vectors, alpha, gamma, rho, score })
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The training mean of each feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The training scale of each feature.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// The standardised support vectors, row-major.
    pub fn vectors(&self) -> &[f64] {
        &self.vectors
    }

    /// The weights of the support vectors.
    pub fn alpha(&self) -> &[f64] {
        &self.alpha
    }

    /// The kernel's width.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// Minus the intercept: the score of a row that is far from everything.
    pub fn rho(&self) -> f64 {
        self.rho
    }

    /// What the model gives as its score.
    pub fn score(&self) -> SvmScore {
        self.score
    }

    /// The threshold that -f has where the score has this one.
    pub fn as_decision(&self, threshold: f64) -> f64 {
        match self.score {
            SvmScore::Decision => threshold,
            SvmScore::Relative => threshold * self.rho,
            // Every row is at least 0 away.
            SvmScore::Distance { .. } if threshold <= 0.0 => self.rho - self.mass(),
            SvmScore::Distance { unit } => {
                -self.rho * (-self.gamma * (threshold * unit).powi(2)).exp_m1()
            }
        }
    }

    /// The sum of all weights: f + rho of a row that sits on every support vector.
    pub fn mass(&self) -> f64 {
        self.alpha.iter().sum()
    }
}

#[cfg(test)]
mod tests;
