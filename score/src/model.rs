//! What every kind of model does, and the parameters of each kind.
//!
//! *Room for more*: a new kind is a type that implements [`Model`], and a variant of [`ModelParams`]
//! that says how its parameters are stored. Scorer, registry, aliases and the sets' file format know
//! neither.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gaussian::{GaussianModel, GaussianParams};
use crate::limits::{LimitsModel, LimitsParams};
use crate::onnx::{OnnxModel, OnnxParams};
use crate::svm::{SvmModel, SvmParams};

/// A model that is ready to score rows of one sensor.
pub trait Model: Debug + Send + Sync {
    /// The word for its kind in model sets.
    fn kind(&self) -> &'static str;

    /// How many features a row has.
    fn width(&self) -> usize;

    /// Asks for what [`Model::scores`] reads to be brought near. A hint: a small model needs none.
    fn prefetch(&self) {}

    /// The score of each row, larger is more anomalous; NaN where the model has none. `rows` is row-major with finite
    /// features, `out.len()` rows of [`Model::width`].
    fn scores(&self, rows: &[f64], out: &mut [f64]);

    /// For each feature of a row, how much nearer to normal the row would be with that feature at
    /// its training mean: larger is more to blame, zero or less is innocent. All zero when nothing is known.
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
    /// A file of another program that ONNX Runtime runs.
    Onnx(OnnxParams),
}

impl ModelParams {
    /// The word for the kind in model sets.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OneClassSvm(_) => SvmModel::KIND,
            Self::StaticLimits(_) => LimitsModel::KIND,
            Self::Gaussian(_) => GaussianModel::KIND,
            Self::Onnx(_) => OnnxModel::KIND,
        }
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        match self {
            Self::OneClassSvm(svm) => svm.width(),
            Self::StaticLimits(limits) => limits.limits().len(),
            Self::Gaussian(gaussian) => gaussian.width(),
            Self::Onnx(onnx) => onnx.width(),
        }
    }

    /// The model in the form that scores.
    ///
    /// # Errors
    /// What a model of a kind that [needs something else](Self::needs_more) lacks, and what to do.
    pub fn build(&self) -> Result<Arc<dyn Model>, String> {
        Ok(match self {
            Self::OneClassSvm(svm) => Arc::new(SvmModel::new(svm)),
            Self::StaticLimits(limits) => Arc::new(LimitsModel::new(limits)),
            Self::Gaussian(gaussian) => Arc::new(GaussianModel::new(gaussian)),
            Self::Onnx(onnx) => onnx.build()?,
        })
    }

    /// Whether it needs more than its parameters to be built, so that building it may fail: the only
    /// kinds that are built before they are put in force.
    pub fn needs_more(&self) -> bool {
        matches!(self, Self::Onnx(_))
    }

    /// Bytes that a model set holds beside its columns.
    pub(crate) fn blob_bytes(&self) -> usize {
        match self {
            Self::Onnx(onnx) => onnx.file().len(),
            Self::OneClassSvm(_) | Self::StaticLimits(_) | Self::Gaussian(_) => 0,
        }
    }

    /// What a model set holds of a kind that has no columns of its own there.
    pub(crate) fn to_stored(&self) -> Option<Stored> {
        match self {
            Self::OneClassSvm(_) => None,
            Self::StaticLimits(limits) => Some(Stored::of(limits)),
            Self::Gaussian(gaussian) => Some(Stored::of(gaussian)),
            Self::Onnx(onnx) => {
                Some(Stored { blob: onnx.file().clone(), ..Stored::of(onnx.parts()) })
            }
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
            OnnxModel::KIND => {
                let onnx = OnnxParams::new(stored.read()?, stored.blob.clone());
                onnx.map(Self::Onnx).map_err(|e| e.to_string())
            }
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
    pub blob: Bytes,
}

impl Stored {
    fn of(parameters: &impl Serialize) -> Self {
        let parameters = serde_json::to_string(parameters).expect("parameters are plain data");
        Self { parameters, blob: Bytes::new() }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(&self.parameters).map_err(|e| format!("its parameters: {e}"))
    }
}
