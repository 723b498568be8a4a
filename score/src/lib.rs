//! Window rows to predictions: models of sensors, training, calibration, the registry of model
//! sets, and models that come from elsewhere or go there.
//!
//! **Invariant:** scoring does no I/O, reads no clock and keeps a row's model for the whole row; a
//! row that cannot be scored says why and never gets an invented verdict. The registry sees storage
//! only through [`tidegauge_flow::Store`]; only [`import`] opens files, and [`onnx`] loads a library when a
//! model that needs it is put in force. linfa is used in [`mod@train`] and nowhere else.

pub mod backtest;
pub mod calibration;
pub mod context;
pub mod drift;
pub mod entry;
pub mod error;
pub mod events;
mod exact;
pub mod export;
pub mod follow;
pub mod gaussian;
pub mod group;
pub mod import;
pub mod limits;
pub mod model;
pub mod onnx;
mod options;
pub mod refit;
pub mod registry;
pub mod scorer;
pub mod set;
pub mod svm;
pub mod train;

pub use backtest::{Backtest, Event, TrainingRows, Tried};
pub use calibration::Calibration;
pub use drift::{Drifted, Unknown, Verdict};
pub use entry::{ModelEntry, TrainingSummary};
pub use error::ScoreError;
pub use events::{EventSettings, EventTally, Events, Quiet, Rules, event_id, event_schema};
pub use export::{export_libsvm, export_onnx, key_to_name};
pub use follow::Follower;
pub use gaussian::{GaussianModel, GaussianParams};
pub use group::{Group, train_groups};
pub use import::{import_files, name_to_key};
pub use limits::{Limit, LimitsParams};
pub use model::{Model, ModelParams};
pub use onnx::{OnnxParams, OnnxParts};
pub use refit::{RefitOptions, Refitter};
pub use registry::{About, AliasRecord, Models, Registry, SetSummary};
pub use scorer::{
    FallbackLimit, FallbackSettings, OnsetSettings, Remembered, Scorer, Stamp, Status, Tally,
    Views, prediction_schema,
};
pub use set::{ModelSet, SetHeader, SkippedSensor, TrainingRun};
pub use svm::{PackedSvm, Path, SvmModel, SvmParams, SvmParts, SvmScore};
pub use train::{
    Kind, Recipe, Recipes, Report, SensorRows, SkipReason, Threshold, TrainOptions, train, train_by,
};
