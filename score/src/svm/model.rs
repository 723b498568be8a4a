//! The support vector machine as a [`Model`].

use super::{PackedSvm, SvmParams};
use crate::model::Model;

/// Scores are -f: larger is more anomalous, and rho is the most that a row can get.
#[derive(Debug, Clone, PartialEq)]
pub struct SvmModel {
    packed: PackedSvm,
}

impl SvmModel {
    /// The word for this kind in model sets.
    pub const KIND: &'static str = "one_class_svm";

    /// Packs the parameters.
    pub fn new(params: &SvmParams) -> Self {
        Self { packed: PackedSvm::new(params) }
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
        // Not -f: a decision of 0 would become -0, which some readers sort below 0.
        out.iter_mut().for_each(|f| *f = 0.0 - *f);
    }

    /// The gain in log kernel mass: the score itself saturates at rho, so for a row that is far
    /// away in two features, resetting one of them would not move it.
    fn blame(&self, row: &[f64], blame: &mut [f64]) {
        let before = self.packed.log_mass(row);
        let mut row = row.to_vec();
        for (feature, gain) in blame.iter_mut().enumerate() {
            let value = std::mem::replace(&mut row[feature], self.packed.mean[feature]);
            *gain = self.packed.log_mass(&row) - before;
            row[feature] = value;
        }
    }
}
