//! What can go wrong here, by what the caller does about it.

use arrow::error::ArrowError;
use thiserror::Error;
use tidegauge_flow::StoreError;

/// The crate's error. Trouble with one sensor, row or file is data instead: statuses of rows, lists
/// of refused files and skipped sensors.
#[derive(Debug, Error)]
pub enum ScoreError {
    /// A setting is outside what it may be; the user changes it.
    #[error("{name} is {value}; {expected}")]
    Option {
        /// The setting's name.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The query has no such feature, or one that is no number.
    #[error("feature {name:?} {what}; the query's features are {found:?}")]
    Feature {
        /// The feature that was asked for.
        name: String,
        /// What is wrong with it.
        what: String,
        /// The names that the query has.
        found: Vec<String>,
    },
    /// A model was made for other features than the query gives.
    #[error(
        "the model of sensor {sensor} in set {set} has the features {expected:?}, the query gives \
         {found:?}: name them in [models] features, or train again"
    )]
    FeatureMismatch {
        /// The sensor whose model it is.
        sensor: String,
        /// The version of the set that holds it.
        set: u64,
        /// The features that the model wants, in its order.
        expected: Vec<String>,
        /// The features that rows have, in their order.
        found: Vec<String>,
    },
    /// Models were to go beside an alias's models that see other features.
    #[error(
        "the alias {alias} keeps the model of sensor {sensor} of set {set}, which has the features \
         {expected:?}, and the new models have {found:?}: use another alias, or give all its sensors new models"
    )]
    Mixed {
        /// The alias.
        alias: String,
        /// A sensor whose model would stay.
        sensor: String,
        /// The version of the set that holds it.
        set: u64,
        /// That model's features.
        expected: Vec<String>,
        /// The features of the new models.
        found: Vec<String>,
    },
    /// The sensors of a set are named by other key columns.
    #[error("model set {set} names sensors by {expected}, here they are named by {found}")]
    KeyMismatch {
        /// The set's version.
        set: u64,
        /// The key columns of the set.
        expected: String,
        /// The key columns here.
        found: String,
    },
    /// One model's numbers are no model.
    #[error("the model of sensor {sensor} cannot be used: {what}")]
    Model {
        /// The sensor whose model it is.
        sensor: String,
        /// What is wrong with it.
        what: String,
    },
    /// A set cannot be written or was not written by us; whatever was in force stays in force.
    #[error("model set {set} cannot be used: {what}")]
    Set {
        /// The set's version or path.
        set: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is no set of this version.
    #[error("there is no model set {version} in {place}")]
    UnknownSet {
        /// The version that was asked for.
        version: u64,
        /// Where it was looked for.
        place: String,
    },
    /// An alias has a name that cannot be used or a record that cannot be read.
    #[error("model alias {alias:?}: {what}")]
    Alias {
        /// The alias.
        alias: String,
        /// What is wrong with it.
        what: String,
    },
    /// Others publish faster than we do: try again later.
    #[error("{what} lost {attempts} races in a row; try again")]
    Contention {
        /// What was to be written.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a scorer remembered of sensors cannot be read back.
    #[error("the saved history of sensors cannot be used: {0}")]
    History(String),
    /// Rows came with other columns than were promised.
    #[error("window rows don't have the promised columns: {0}")]
    Rows(String),
    /// Arrow refused to build or cast a column.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
