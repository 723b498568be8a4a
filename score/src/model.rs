//! What every kind of model does, and the parameters of each kind.
//!
//! *Room for more*: a new kind is a variant of [`ModelParams`] with its columns in the set's file
//! format, and a type that implements [`Model`]. Scorer, registry and aliases know neither.

use std::fmt::Debug;
use std::sync::Arc;

use crate::svm::{SvmModel, SvmParams};

/// A model that is ready to score rows of one sensor.
pub trait Model: Debug + Send + Sync {
    /// The word for its kind in model sets.
    fn kind(&self) -> &'static str;

    /// How many features a row has.
    fn width(&self) -> usize;

    /// Asks for what [`Model::scores`] reads to be brought near. A hint: a small model needs none.
    fn prefetch(&self) {}

    /// The score of each row, larger is more anomalous; never NaN. `rows` is row-major with finite
    /// features, `out.len()` rows of [`Model::width`].
    fn scores(&self, rows: &[f64], out: &mut [f64]);

    /// For each feature of a row, how much nearer to normal the row would be with that feature at
    /// its training mean: larger is more to blame, zero or less is innocent.
    fn blame(&self, row: &[f64], blame: &mut [f64]);
}

/// The parameters of a model, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelParams {
    /// A one-class support vector machine with its scaler.
    OneClassSvm(SvmParams),
}

impl ModelParams {
    /// The word for the kind in model sets.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OneClassSvm(_) => SvmModel::KIND,
        }
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        match self {
            Self::OneClassSvm(svm) => svm.width(),
        }
    }

    /// The model in the form that scores.
    pub fn build(&self) -> Arc<dyn Model> {
        match self {
            Self::OneClassSvm(svm) => Arc::new(SvmModel::new(svm)),
        }
    }
}
