//! What every kind of model does, and the parameters of each kind.
//!
//! *Room for more*: a new kind is a type that implements [`Model`], and a variant of [`ModelParams`]
//! that says how its parameters are stored. Scorer, registry, aliases and the sets' file format know
//! neither.

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gaussian::{GaussianModel, GaussianParams};
use crate::limits::{LimitsModel, LimitsParams};
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
    /// A range for each feature.
    StaticLimits(LimitsParams),
    /// A mean and a standard deviation for each feature.
    Gaussian(GaussianParams),
}

impl ModelParams {
    /// The word for the kind in model sets.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OneClassSvm(_) => SvmModel::KIND,
            Self::StaticLimits(_) => LimitsModel::KIND,
            Self::Gaussian(_) => GaussianModel::KIND,
        }
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        match self {
            Self::OneClassSvm(svm) => svm.width(),
            Self::StaticLimits(limits) => limits.limits().len(),
            Self::Gaussian(gaussian) => gaussian.width(),
        }
    }

    /// The model in the form that scores.
    pub fn build(&self) -> Arc<dyn Model> {
        match self {
            Self::OneClassSvm(svm) => Arc::new(SvmModel::new(svm)),
            Self::StaticLimits(limits) => Arc::new(LimitsModel::new(limits)),
            Self::Gaussian(gaussian) => Arc::new(GaussianModel::new(gaussian)),
        }
    }

    /// What a model set holds of a kind that has no columns of its own there.
    pub(crate) fn to_stored(&self) -> Option<Stored> {
        match self {
            Self::OneClassSvm(_) => None,
            Self::StaticLimits(limits) => Some(Stored::of(limits)),
            Self::Gaussian(gaussian) => Some(Stored::of(gaussian)),
        }
    }

    /// A model of a kind that has no columns of its own.
    ///
    /// # Errors
    /// What is wrong with the kind or its parameters.
    pub(crate) fn from_stored(kind: &str, stored: &Stored) -> Result<Self, String> {
        match kind {
            LimitsModel::KIND => stored.read().map(Self::StaticLimits),
            GaussianModel::KIND => stored.read().map(Self::Gaussian),
            _ => Err(format!("its kind is {kind:?}, which this program does not know")),
        }
    }
}

/// Parameters as a model set holds them, of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// JSON.
    pub parameters: String,
    /// What is no text; may be empty.
    pub blob: Vec<u8>,
}

impl Stored {
    fn of(parameters: &impl Serialize) -> Self {
        let parameters = serde_json::to_string(parameters).expect("parameters are plain data");
        Self { parameters, blob: Vec::new() }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(&self.parameters).map_err(|e| format!("its parameters: {e}"))
    }
}
