//! The support vector machine as a [`Model`].

use super::{PackedSvm, SvmParams, SvmScore};
use crate::model::Model;

/// Below this share of rho the mass is computed as a logarithm: the difference that the decision is
/// has lost digits there.
const FAR: f64 = 1e-3;

/// Larger scores are more anomalous; on which scale, [`SvmScore`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct SvmModel {
    packed: PackedSvm,
    gamma: f64,
    score: SvmScore,
}

impl SvmModel {
    /// The word for this kind in model sets.
    pub const KIND: &'static str = "one_class_svm";

    /// Packs the parameters.
    pub fn new(params: &SvmParams) -> Self {
        let (gamma, score) = (params.gamma(), params.score());
        Self { packed: PackedSvm::new(params), gamma, score }
    }

    /// How far a row with this decision is beyond the boundary, in standard deviations.
    fn distance(&self, row: &[f64], decision: f64) -> f64 {
        if decision >= 0.0 {
            return 0.0;
        }
        let rho = self.packed.rho;
        let mass = decision + rho;
        let depth = match mass > FAR * rho {
            true => (rho / mass).ln(),
            false => rho.ln() - self.packed.log_mass(row),
        };
        // A row beyond all numbers is an anomaly like others, with a score that is one.
        (depth.clamp(0.0, f64::MAX) / self.gamma).sqrt().min(f64::MAX)
    }
}

impl Model for SvmModel {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn width(&self) -> usize {
        self.packed.width()
    }

    fn prefetch(&self) {
        self.packed.prefetch();
    }

    fn scores(&self, rows: &[f64], out: &mut [f64]) {
        self.packed.decide(rows, out);
        match self.score {
            // Not -f: a decision of 0 would become -0, which some readers sort below 0.
            SvmScore::Decision => out.iter_mut().for_each(|f| *f = 0.0 - *f),
            SvmScore::Relative => out.iter_mut().for_each(|f| *f = (0.0 - *f) / self.packed.rho),
            SvmScore::Distance { unit } => {
                for (f, row) in out.iter_mut().zip(rows.chunks_exact(self.width())) {
                    *f = self.distance(row, *f) / unit;
                }
            }
        }
    }

    /// The gain in log kernel mass: the decision itself saturates at -rho, so for a row that is far
    /// away in two features, resetting one of them would not move it.
    fn blame(&self, row: &[f64], blame: &mut [f64]) {
        let log_mass = |row: &[f64]| self.packed.log_mass(row).max(f64::MIN / 2.0);
        let before = log_mass(row);
        let mut row = row.to_vec();
        for (feature, gain) in blame.iter_mut().enumerate() {
            let value = std::mem::replace(&mut row[feature], self.packed.mean[feature]);
            *gain = log_mass(&row) - before;
            row[feature] = value;
        }
    }
}
